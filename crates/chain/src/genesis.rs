//! The genesis file: what every validator agrees on before the first block.
//!
//! It is JSON holding integers and strings only. Its hash is SHA-256 of its RFC 8785 (JCS) form, so white space and
//! the order of members do not count. Unknown members and versions are refused: a node that does not understand its
//! genesis must not run it.

use alloy_primitives::{Address, Bytes, U256};
use serde::{Deserialize, Serialize};
use triad_log::TrustAnchor;
use triad_models::Spec;

use crate::error::GenesisError;

/// The only genesis version there is.
pub const GENESIS_VERSION: u32 = 1;
/// The rules that this program knows, by name.
pub(crate) const KNOWN_RULES: &[&str] =
    &["v1", VALIDATOR_SET_RULE, LEARNED_MODELS_RULE, WINDOWED_MODELS_RULE, ATTESTED_MODELS_RULE];
/// Chains with this rule have the `ValidatorSet` contract, by which validators change themselves and schedule rules.
pub const VALIDATOR_SET_RULE: &str = "validator-set";
/// From this rule on forecasts and ensembles of trees can be bound, and contracts read what they predict.
pub const LEARNED_MODELS_RULE: &str = "learned-models";
/// From this rule on, together with [`LEARNED_MODELS_RULE`], models of rows that may remember earlier rows can be bound.
pub const WINDOWED_MODELS_RULE: &str = "windowed-models";
/// From this rule on models that validators do not run can be bound, and their runners' verdicts are taken.
pub const ATTESTED_MODELS_RULE: &str = "attested-models";
/// The most validators that the contract holds.
const MAX_CHANGING_VALIDATORS: usize = 100;
/// The longest name of a validator that it takes.
const MAX_NAME_BYTES: usize = 64;
/// Model ids below this one name genesis defaults; the `ModelRegistry` gives out ids from here up.
pub const FIRST_REGISTRY_MODEL: u64 = 1000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    pub version: u32,
    pub name: String,
    /// Ethereum chain id (EIP-155).
    pub chain_id: u64,
    /// Block time of the genesis block, milliseconds since the epoch.
    pub time_ms: u64,
    pub validators: Vec<Validator>,
    /// Accounts that may register, suspend and revoke devices.
    pub registrars: Vec<Address>,
    /// 1: anybody may register devices that they own. 0: registrars only.
    pub open_registration: u8,
    pub fees: Fees,
    pub limits: Limits,
    /// Models bound to every stream, in this order; their ids are 0, 1, 2, …
    pub default_models: Vec<DefaultModel>,
    /// Accounts that hold coins at genesis.
    pub accounts: Vec<FundedAccount>,
    /// The heights at which rules activate.
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validator {
    pub name: String,
    /// Ed25519 public key that votes, 32 bytes.
    pub consensus_key: Bytes,
    /// Address of the secp256k1 key that signs finalised checkpoints for verification on public chains.
    pub checkpoint_address: Address,
    /// Receives the tips of the blocks this validator proposes.
    pub fee_recipient: Address,
    /// Ed25519 signature of [`Validator::possession_message`] by `consensus_key`, 64 bytes.
    pub consensus_proof: Bytes,
    /// Recoverable secp256k1 signature (r ‖ s ‖ v) of the Keccak-256 of the same message, 65 bytes.
    pub checkpoint_proof: Bytes,
}

impl Validator {
    /// What both keys of a validator sign, so that neither can be claimed by somebody else.
    pub fn possession_message(chain_id: u64, consensus_key: &[u8], checkpoint: &Address) -> Vec<u8> {
        let mut out = b"triad validator possession v1".to_vec();
        out.extend_from_slice(&chain_id.to_be_bytes());
        out.extend_from_slice(consensus_key);
        out.extend_from_slice(checkpoint.as_slice());
        out
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fees {
    /// Fixed price of a unit of gas, in wei; never zero.
    pub base_fee: u64,
    /// Gas charged for one evaluation of an automation's condition.
    pub evaluation_gas: u64,
    /// Who receives the base fee that transactions pay; absent: nobody, it is burnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_fee_to: Option<BaseFeeTo>,
}

/// Where the base fee goes: `"burn"`, `"proposer"`, or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum BaseFeeTo {
    /// To nobody, as on Ethereum.
    Burn,
    /// To the fee recipient of the validator that proposed the block, who receives the tips in any case.
    Proposer,
    Account(Address),
}

impl std::str::FromStr for BaseFeeTo {
    type Err = String;

    fn from_str(text: &str) -> Result<BaseFeeTo, String> {
        match text {
            "burn" => Ok(BaseFeeTo::Burn),
            "proposer" => Ok(BaseFeeTo::Proposer),
            // The zero address would be another way to write `burn`, and coins that nobody can count as gone.
            _ => match text.strip_prefix("0x").and_then(|_| text.parse::<Address>().ok()) {
                Some(address) if !address.is_zero() => Ok(BaseFeeTo::Account(address)),
                _ => Err(format!(
                    "base_fee_to is `{text}`; it must be `burn`, `proposer` or an address other than zero"
                )),
            },
        }
    }
}

impl TryFrom<String> for BaseFeeTo {
    type Error = String;

    fn try_from(text: String) -> Result<BaseFeeTo, String> {
        text.parse()
    }
}

impl From<BaseFeeTo> for String {
    fn from(to: BaseFeeTo) -> String {
        match to {
            BaseFeeTo::Burn => "burn".into(),
            BaseFeeTo::Proposer => "proposer".into(),
            // As all addresses of a genesis: lower case.
            BaseFeeTo::Account(address) => format!("{address:#x}"),
        }
    }
}

impl Fees {
    /// Who receives the base fees of a block whose tips go to `proposer`; `None`: they are burnt.
    pub(crate) fn base_fee_recipient(&self, proposer: Address) -> Option<Address> {
        match self.base_fee_to {
            None | Some(BaseFeeTo::Burn) => None,
            Some(BaseFeeTo::Proposer) => Some(proposer),
            Some(BaseFeeTo::Account(address)) => Some(address),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of statements and transactions in a block.
    pub block_bytes: u64,
    /// Statements in a block.
    pub block_statements: u64,
    /// Readings in a block, over all its statements.
    pub block_readings: u64,
    /// Runs of readings in a block: successive readings of one stream in a statement. Each costs looking the stream and its
    /// models up.
    pub block_runs: u64,
    /// Gas of a block, firings included.
    pub block_gas: u64,
    /// The part of `block_gas` that firings may use.
    pub automation_gas: u64,
    /// Statements of one device in a block.
    pub device_statements: u64,
    /// Streams that one device may open.
    pub device_streams: u64,
    /// Firings that may wait for a later block.
    pub firing_queue: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            block_bytes: 1 << 20,
            block_statements: 8192,
            block_readings: 65_536,
            block_runs: 8192,
            block_gas: 30_000_000,
            automation_gas: 10_000_000,
            device_statements: 4096,
            device_streams: 256,
            firing_queue: 4096,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefaultModel {
    pub kind: String,
    /// The model's parameters, deterministic CBOR.
    pub params: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FundedAccount {
    pub address: Address,
    /// Wei, as a decimal string or a 0x quantity.
    pub balance: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: String,
    pub height: u64,
}

/// A genesis that was checked, with what follows from it.
#[derive(Debug, Clone)]
pub struct ChainSpec {
    pub genesis: Genesis,
    pub hash: [u8; 32],
    pub anchor: TrustAnchor,
    /// `default_models`, decoded.
    pub default_models: Vec<Spec>,
}

impl ChainSpec {
    pub fn parse(json: &str) -> Result<ChainSpec, GenesisError> {
        let genesis: Genesis =
            serde_json::from_str(json).map_err(|e| GenesisError::Malformed(e.to_string()))?;
        let spec = ChainSpec::new(genesis)?;
        // Whoever verifies a receipt hashes the file as it is: it must spell everything as this program would.
        let file =
            TrustAnchor::from_genesis_json(json).map_err(|e| GenesisError::Malformed(e.to_string()))?;
        if file.genesis_hash != spec.hash {
            return Err(GenesisError::Spelling);
        }
        Ok(spec)
    }

    pub fn new(genesis: Genesis) -> Result<ChainSpec, GenesisError> {
        if genesis.version != GENESIS_VERSION {
            return Err(GenesisError::Version(genesis.version));
        }
        if genesis.validators.is_empty() {
            return Err(GenesisError::NoValidators);
        }
        if genesis.fees.base_fee == 0 {
            return Err(GenesisError::ZeroBaseFee);
        }
        let unknown = |r: &&Rule| r.height != 0 || !KNOWN_RULES.contains(&r.name.as_str());
        if let Some(rule) = genesis.rules.iter().find(unknown) {
            return Err(GenesisError::UnknownRule(rule.name.clone()));
        }
        let changing = genesis.rules.iter().any(|r| r.name == VALIDATOR_SET_RULE);
        if changing && genesis.validators.len() > MAX_CHANGING_VALIDATORS {
            return Err(GenesisError::TooManyValidators(genesis.validators.len(), MAX_CHANGING_VALIDATORS));
        }
        let named = |v: &&Validator| !(1..=MAX_NAME_BYTES).contains(&v.name.len());
        if let Some(validator) = genesis.validators.iter().find(named).filter(|_| changing) {
            return Err(GenesisError::ValidatorName(validator.name.clone(), MAX_NAME_BYTES));
        }
        check_limits(&genesis.limits)?;
        for validator in &genesis.validators {
            check_possession(genesis.chain_id, validator)?;
        }
        check_addresses(&genesis.validators)?;
        for account in &genesis.accounts {
            parse_wei(&account.balance)?;
        }
        let learned = genesis.rules.iter().any(|r| r.name == LEARNED_MODELS_RULE);
        let default_models = genesis
            .default_models
            .iter()
            .map(|m| default_model(m, learned))
            .collect::<Result<Vec<_>, _>>()?;
        let json = genesis_json(&genesis);
        let anchor =
            TrustAnchor::from_genesis_json(&json).map_err(|e| GenesisError::Malformed(e.to_string()))?;
        Ok(ChainSpec { hash: anchor.genesis_hash, anchor, default_models, genesis })
    }

    /// The consensus namespace: certificates of another chain never verify here.
    pub fn namespace(&self) -> Vec<u8> {
        let mut out = b"triad".to_vec();
        out.extend_from_slice(&self.hash);
        out
    }

    /// The genesis file, indented for people.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.genesis).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Validators' consensus keys in index order: sorted by their bytes.
    pub fn sorted_keys(&self) -> Vec<[u8; 32]> {
        let mut keys: Vec<[u8; 32]> = self
            .genesis
            .validators
            .iter()
            .filter_map(|v| <[u8; 32]>::try_from(v.consensus_key.as_ref()).ok())
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Validators' checkpoint addresses in index order.
    pub fn checkpoint_addresses(&self) -> Vec<Address> {
        let mut rows: Vec<(&[u8], Address)> = self
            .genesis
            .validators
            .iter()
            .map(|v| (v.consensus_key.as_ref(), v.checkpoint_address))
            .collect();
        rows.sort_unstable();
        rows.into_iter().map(|(_, address)| address).collect()
    }

    /// Whether its validators change themselves by a contract.
    pub fn has_validator_set(&self) -> bool {
        self.has_rule(VALIDATOR_SET_RULE)
    }

    /// Whether genesis names the rule.
    pub(crate) fn has_rule(&self, name: &str) -> bool {
        self.genesis.rules.iter().any(|r| r.name == name)
    }

    /// Where the tips of blocks proposed by the validator at `index` (see [`ChainSpec::sorted_keys`]) of genesis go.
    pub fn fee_recipient(&self, index: u32) -> Option<Address> {
        let key = *self.sorted_keys().get(index as usize)?;
        let found = self.genesis.validators.iter().find(|v| v.consensus_key.as_ref() == key)?;
        Some(found.fee_recipient)
    }
}

/// A model for every stream, if a chain with these rules can have it.
fn default_model(model: &DefaultModel, learned: bool) -> Result<Spec, GenesisError> {
    let refuse = |why: String| GenesisError::DefaultModel(model.kind.clone(), why);
    let spec = Spec::decode(&model.kind, &model.params).map_err(|e| refuse(e.to_string()))?;
    if spec.is_learned() && !learned {
        return Err(refuse(format!("needs rule `{LEARNED_MODELS_RULE}`")));
    }
    if spec.class() == triad_log::Assurance::Attested {
        return Err(refuse("is run by somebody: it cannot judge every stream".into()));
    }
    if !spec.judges_readings() {
        return Err(refuse("is for rows of one device, not for every stream".into()));
    }
    Ok(spec)
}

/// The members of the genesis file, compact.
fn genesis_json(genesis: &Genesis) -> String {
    serde_json::to_string(genesis).unwrap_or_default()
}

pub(crate) fn parse_wei(text: &str) -> Result<U256, GenesisError> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => U256::from_str_radix(hex, 16),
        None => U256::from_str_radix(text, 10),
    };
    parsed.map_err(|_| GenesisError::Balance(text.to_owned()))
}

fn check_limits(l: &Limits) -> Result<(), GenesisError> {
    let bad = |what: &'static str| Err(GenesisError::Limit(what));
    if !(131_072..=16 << 20).contains(&l.block_bytes) {
        return bad("block_bytes must be 131072 to 16777216");
    }
    if l.block_gas < 20_000_000 {
        return bad("block_gas must be at least 20000000");
    }
    if l.automation_gas > l.block_gas / 2 {
        return bad("automation_gas must be at most half of block_gas");
    }
    if l.block_statements == 0 || l.device_statements == 0 {
        return bad("statement limits must not be zero");
    }
    if l.block_readings < 1024 {
        return bad("block_readings must be at least 1024");
    }
    if l.block_runs < 1024 {
        return bad("block_runs must be at least 1024");
    }
    Ok(())
}

/// Two validators with one checkpoint key would have two votes on public chains with one signature.
fn check_addresses(validators: &[Validator]) -> Result<(), GenesisError> {
    for (n, validator) in validators.iter().enumerate() {
        let address = validator.checkpoint_address;
        if validators[..n].iter().any(|earlier| earlier.checkpoint_address == address) {
            return Err(GenesisError::SharedCheckpointKey(validator.name.clone(), address));
        }
    }
    Ok(())
}

fn check_possession(chain_id: u64, v: &Validator) -> Result<(), GenesisError> {
    let refuse = |what| GenesisError::Possession(v.name.clone(), what);
    let message = Validator::possession_message(chain_id, &v.consensus_key, &v.checkpoint_address);
    let key = <[u8; 32]>::try_from(v.consensus_key.as_ref()).map_err(|_| refuse("consensus_key"))?;
    let signature =
        <[u8; 64]>::try_from(v.consensus_proof.as_ref()).map_err(|_| refuse("consensus_proof"))?;
    if !triad_log::verify_ed25519(&key, &message, &signature) {
        return Err(refuse("consensus_proof"));
    }
    let signature =
        alloy_primitives::Signature::from_raw(&v.checkpoint_proof).map_err(|_| refuse("checkpoint_proof"))?;
    let hash = alloy_primitives::keccak256(&message);
    let signer = alloy_consensus::crypto::secp256k1::recover_signer(&signature, hash)
        .map_err(|_| refuse("checkpoint_proof"))?;
    if signer != v.checkpoint_address { Err(refuse("checkpoint_proof")) } else { Ok(()) }
}
