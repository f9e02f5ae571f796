//! Changes of the validator set, and rules to come: what the present validators approve, and the call that carries it.
//!
//! ```text
//! challenge = keccak256(abi.encode("Triad validator change v1", chain id, ValidatorSet, nonce, action, fields …))
//! approval  = Ed25519 signature of the challenge by a present validator's consensus key
//! ```
//!
//! The nonce goes up with each change, so an approval is used up by any. Anybody may send the call.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue};
use serde::{Deserialize, Serialize};
use triad_evm::VALIDATOR_SET;
use triad_evm::bindings::IValidatorSet;

use crate::contracts::Call;

const DOMAIN: &str = "Triad validator change v1";

/// A validator to come, with proofs of possession of both keys as in genesis ([`crate::Validator::possession_message`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    pub name: String,
    pub consensus_key: B256,
    pub checkpoint_address: Address,
    pub fee_recipient: Address,
    /// Where other nodes reach it, `address:port`.
    pub network: String,
    pub consensus_proof: Bytes,
    pub checkpoint_proof: Bytes,
}

impl Candidate {
    /// From the entry that `triad network key` prints.
    pub fn new(entry: crate::Validator, network: String) -> Option<Candidate> {
        Some(Candidate {
            consensus_key: <[u8; 32]>::try_from(entry.consensus_key.as_ref()).ok()?.into(),
            name: entry.name,
            checkpoint_address: entry.checkpoint_address,
            fee_recipient: entry.fee_recipient,
            network,
            consensus_proof: entry.consensus_proof,
            checkpoint_proof: entry.checkpoint_proof,
        })
    }

    fn sol(&self) -> IValidatorSet::Validator {
        IValidatorSet::Validator {
            consensusKey: self.consensus_key,
            checkpointAddress: self.checkpoint_address,
            feeRecipient: self.fee_recipient,
            name: self.name.clone(),
            network: self.network.clone(),
        }
    }
}

/// What is to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// One validator more.
    Add { validator: Candidate },
    /// One less; its keys never return.
    Remove { consensus_key: B256 },
    /// One in the place of another.
    Replace { consensus_key: B256, validator: Candidate },
    /// A rule that all follow from a height on.
    Rule { rule: String, height: u64 },
}

/// A present validator's word for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub consensus_key: B256,
    /// 64 bytes.
    pub signature: Bytes,
}

impl Change {
    /// What approvals sign.
    pub fn challenge(&self, chain_id: u64, nonce: u64) -> B256 {
        let head =
            |action: &str| (DOMAIN.to_owned(), U256::from(chain_id), VALIDATOR_SET, nonce, action.to_owned());
        let bytes = match self {
            Change::Add { validator } => {
                let (a, b, c, d, e) = head("add");
                (a, b, c, d, e, validator.sol()).abi_encode_params()
            }
            Change::Remove { consensus_key } => {
                let (a, b, c, d, e) = head("remove");
                (a, b, c, d, e, *consensus_key).abi_encode_params()
            }
            Change::Replace { consensus_key, validator } => {
                let (a, b, c, d, e) = head("replace");
                (a, b, c, d, e, *consensus_key, validator.sol()).abi_encode_params()
            }
            Change::Rule { rule, height } => {
                let (a, b, c, d, e) = head("rule");
                (a, b, c, d, e, rule.clone(), *height).abi_encode_params()
            }
        };
        keccak256(bytes)
    }

    /// The call that makes it, with the approvals of a quorum.
    pub fn call(&self, approvals: &[Approval]) -> Call {
        let approvals: Vec<IValidatorSet::Approval> = approvals
            .iter()
            .map(|a| IValidatorSet::Approval {
                consensusKey: a.consensus_key,
                signature: a.signature.clone(),
            })
            .collect();
        let input = match self.clone() {
            Change::Add { validator } => IValidatorSet::addCall {
                v: validator.sol(),
                consensusProof: validator.consensus_proof,
                checkpointProof: validator.checkpoint_proof,
                approvals,
            }
            .abi_encode(),
            Change::Remove { consensus_key } => {
                IValidatorSet::removeCall { consensusKey: consensus_key, approvals }.abi_encode()
            }
            Change::Replace { consensus_key, validator } => IValidatorSet::replaceCall {
                consensusKey: consensus_key,
                v: validator.sol(),
                consensusProof: validator.consensus_proof,
                checkpointProof: validator.checkpoint_proof,
                approvals,
            }
            .abi_encode(),
            Change::Rule { rule, height } => {
                IValidatorSet::scheduleRuleCall { rule, height, approvals }.abi_encode()
            }
        };
        (VALIDATOR_SET, input)
    }
}
