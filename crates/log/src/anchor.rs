//! What a verifier trusts beforehand: the genesis file, and nothing else.

use serde_json::Value;

use crate::hash::{Hash, sha256};
use crate::jcs::{self, JsonError, canonical_json};
use crate::validators::{Validators, ValidatorsError};

/// The root of trust of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchor {
    /// SHA-256 of the canonical (RFC 8785) form of the genesis file.
    pub genesis_hash: Hash,
    /// Ethereum chain id.
    pub chain_id: u64,
    /// The validators of epoch 0.
    pub validators: Validators,
}

/// A genesis file that gives no trust anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// Not canonical-isable JSON.
    #[error("the genesis file is {0}")]
    Json(#[from] JsonError),
    /// A member is missing or of the wrong kind.
    #[error("the genesis file has no {member:?} that is {expected}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What it should be, in words.
        expected: &'static str,
    },
    /// The keys are no validator set.
    #[error("the genesis file's validators: {0}")]
    Validators(#[from] ValidatorsError),
}

impl TrustAnchor {
    /// From the text of a genesis file, of which it reads `chain_id` and each `consensus_key` in `validators`. All else
    /// counts through the hash only.
    pub fn from_genesis_json(text: &str) -> Result<TrustAnchor, AnchorError> {
        let genesis_hash = sha256(canonical_json(text)?.as_bytes());
        let genesis = jcs::parse(text)?;
        let member = |member, expected| AnchorError::Member { member, expected };
        let chain_id =
            genesis["chain_id"].as_u64().ok_or_else(|| member("chain_id", "a positive integer"))?;
        let validators = genesis["validators"].as_array().ok_or_else(|| member("validators", "an array"))?;
        let keys = validators
            .iter()
            .map(|validator| {
                consensus_key(validator)
                    .ok_or_else(|| member("consensus_key", "0x and 64 hexadecimal digits in each validator"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(TrustAnchor { genesis_hash, chain_id, validators: Validators::new(keys)? })
    }
}

fn consensus_key(validator: &Value) -> Option<[u8; 32]> {
    let digits = validator["consensus_key"].as_str()?.strip_prefix("0x")?;
    let mut key = [0; 32];
    hex::decode_to_slice(digits, &mut key).ok()?;
    Some(key)
}
