//! Where things are in a data directory.
//!
//! ```text
//! genesis.json     what all validators agree on; public, give it to whoever verifies receipts
//! validator.json   this validator's secret keys; never leaves the machine
//! chain/           the ledger's store
//! snapshots/       the whole state after some blocks, for nodes that join; may be deleted
//! consensus/       the consensus journal: without it this key must not vote again
//! ```

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use alloy_primitives::{Address, Bytes, keccak256};
use anyhow::{Context as _, bail};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use triad_chain::{
    ATTESTED_MODELS_RULE, BaseFeeTo, ChainSpec, DefaultModel, Fees, FundedAccount, GENESIS_VERSION, Genesis,
    LEARNED_MODELS_RULE, Limits, Reign, Rule, VALIDATOR_SET_RULE, Validator, WINDOWED_MODELS_RULE, Wallet,
    clock_ms,
};

#[derive(Debug, Clone)]
pub struct Layout {
    pub dir: PathBuf,
}

impl Layout {
    pub fn new(dir: impl Into<PathBuf>) -> Layout {
        Layout { dir: dir.into() }
    }
    pub fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.json")
    }
    pub fn validator(&self) -> PathBuf {
        self.dir.join("validator.json")
    }
    pub fn chain(&self) -> PathBuf {
        self.dir.join("chain")
    }

    pub fn snapshots(&self) -> PathBuf {
        self.dir.join("snapshots")
    }

    pub fn spec(&self) -> anyhow::Result<ChainSpec> {
        read_genesis(&self.genesis())
    }
}

/// Reads and checks a genesis file.
pub fn read_genesis(path: &Path) -> anyhow::Result<ChainSpec> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the genesis file {}", path.display()))?;
    ChainSpec::parse(&text)
        .with_context(|| format!("{} is not a genesis this program can run", path.display()))
}

const KEY_ADVICE: &str = "restore it from a backup: without its keys a validator cannot take part";

/// The secret keys of a validator. Its `Debug` shows none of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorKeys {
    /// Ed25519 seed that votes.
    consensus_secret: Bytes,
    /// secp256k1 secret that signs finalised checkpoints for public chains.
    checkpoint_secret: Bytes,
}

impl std::fmt::Debug for ValidatorKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValidatorKeys").finish_non_exhaustive()
    }
}

impl ValidatorKeys {
    pub fn generate() -> anyhow::Result<ValidatorKeys> {
        let mut rng = rand::rng();
        let (consensus, checkpoint): ([u8; 32], [u8; 32]) = (rng.random(), rng.random());
        Wallet::from_secret(&checkpoint).context("the random number is no secp256k1 secret: try again")?;
        Ok(ValidatorKeys {
            consensus_secret: Bytes::copy_from_slice(&consensus),
            checkpoint_secret: Bytes::copy_from_slice(&checkpoint),
        })
    }

    /// Writes them where they belong, for their owner's eyes only. Refuses to overwrite.
    pub fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        write_secret(&layout.validator(), &serde_json::to_string_pretty(self)?)
    }

    pub fn load(path: &Path) -> anyhow::Result<ValidatorKeys> {
        let text = fs::read_to_string(path).with_context(|| {
            format!("cannot read the validator's keys in {}; {KEY_ADVICE}", path.display())
        })?;
        let keys: ValidatorKeys = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; {KEY_ADVICE}", path.display()))?;
        keys.consensus()?;
        Ok(keys)
    }

    /// Whether both keys are those of one validator of one of these epochs or the next: a damaged file may still hold two good
    /// keys. One that was a validator's follows.
    pub fn check(&self, reigns: &[Reign]) -> anyhow::Result<()> {
        let key = triad_consensus::public_key(&self.consensus()?);
        let mut members =
            reigns.iter().rev().flat_map(|reign| reign.next.iter().chain(reign.validators.iter()));
        let Some(own) = members.find(|m| m.consensus_key == key) else {
            bail!(
                "consensus_secret is not the key of a validator of this chain; {KEY_ADVICE}. A node that is to become one \
                 follows at first: set `observer = true` under [network]"
            );
        };
        if self.checkpoint()?.address() != own.checkpoint_address {
            bail!(
                "checkpoint_secret is not the key that the chain names for validator `{}`; {KEY_ADVICE}",
                own.name
            );
        }
        Ok(())
    }

    pub fn consensus(&self) -> anyhow::Result<[u8; 32]> {
        self.consensus_secret.as_ref().try_into().context("consensus_secret must have 32 bytes")
    }

    pub fn checkpoint(&self) -> anyhow::Result<Wallet> {
        let secret =
            self.checkpoint_secret.as_ref().try_into().context("checkpoint_secret must have 32 bytes")?;
        Wallet::from_secret(&secret).context("checkpoint_secret is not a secp256k1 secret")
    }

    /// This validator's entry of a genesis file, with proofs of possession of both keys.
    pub fn entry(&self, name: &str, chain_id: u64) -> anyhow::Result<Validator> {
        let key = triad_consensus::public_key(&self.consensus()?);
        let checkpoint = self.checkpoint()?;
        let message = Validator::possession_message(chain_id, &key, &checkpoint.address());
        let proof = triad_statement::SigningKey::from_secret_bytes(
            triad_statement::Algorithm::EdDsa,
            &self.consensus()?,
        )?
        .sign(&message);
        Ok(Validator {
            name: name.to_owned(),
            consensus_key: Bytes::copy_from_slice(&key),
            checkpoint_address: checkpoint.address(),
            fee_recipient: checkpoint.address(),
            consensus_proof: proof.into(),
            checkpoint_proof: Bytes::copy_from_slice(&checkpoint.sign_hash(&keccak256(&message)).as_bytes()),
        })
    }
}

/// What a new chain with one validator is like.
#[derive(Debug, Clone)]
pub struct NewChain {
    pub name: String,
    pub chain_id: u64,
    pub registrars: Vec<Address>,
    pub open_registration: bool,
    /// Accounts that begin with a million coins each.
    pub funded: Vec<Address>,
    pub default_models: Vec<DefaultModel>,
    /// Where the base fee goes; absent: it is burnt.
    pub base_fee_to: Option<BaseFeeTo>,
}

/// Writes keys and genesis of a new chain into an empty (or absent) data directory.
pub fn create(layout: &Layout, new: &NewChain) -> anyhow::Result<ChainSpec> {
    if layout.genesis().exists() {
        bail!(
            "{} holds a chain already; choose another --data-dir or start it with `triad node`",
            layout.dir.display()
        );
    }
    let keys = ValidatorKeys::generate()?;
    let spec = new.spec(vec![keys.entry("validator-0", new.chain_id)?])?;
    place(layout, &keys, &spec)?;
    Ok(spec)
}

/// Writes a node's keys and the genesis of its chain into its data directory.
pub fn place(layout: &Layout, keys: &ValidatorKeys, spec: &ChainSpec) -> anyhow::Result<()> {
    fs::create_dir_all(&layout.dir).with_context(|| format!("cannot create {}", layout.dir.display()))?;
    keys.write(layout)?;
    fs::write(layout.genesis(), spec.to_json())
        .with_context(|| format!("cannot write {}", layout.genesis().display()))
}

impl NewChain {
    /// The chain of these validators.
    pub fn spec(&self, validators: Vec<Validator>) -> anyhow::Result<ChainSpec> {
        let new = self;
        let genesis = Genesis {
            version: GENESIS_VERSION,
            name: new.name.clone(),
            chain_id: new.chain_id,
            time_ms: clock_ms(),
            validators,
            registrars: new.registrars.clone(),
            open_registration: u8::from(new.open_registration),
            fees: Fees { base_fee: 1_000_000_000, evaluation_gas: 2_000, base_fee_to: new.base_fee_to },
            limits: Limits::default(),
            default_models: new.default_models.clone(),
            accounts: new
                .funded
                .iter()
                .map(|address| FundedAccount {
                    address: *address,
                    balance: "1000000000000000000000000".into(),
                })
                .collect(),
            rules: [
                "v1",
                VALIDATOR_SET_RULE,
                LEARNED_MODELS_RULE,
                WINDOWED_MODELS_RULE,
                ATTESTED_MODELS_RULE,
            ]
            .map(|name| Rule { name: name.into(), height: 0 })
            .to_vec(),
        };
        Ok(ChainSpec::new(genesis)?)
    }
}

/// Writes a file that only its owner can read; refuses to overwrite one.
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot create {}", path.display()))?;
    writeln!(file, "{}", text.trim_end())?;
    file.sync_all()?;
    Ok(())
}

/// The accounts of `--dev`: those of the test mnemonic that Ethereum development nodes share. Everybody has their
/// keys.
pub fn dev_wallets() -> Vec<Wallet> {
    DEV_SECRETS
        .iter()
        .filter_map(|text| Wallet::from_secret(hex::decode(text).ok()?.as_slice().try_into().ok()?))
        .collect()
}

const DEV_SECRETS: [&str; 10] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
];
