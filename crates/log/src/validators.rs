//! Who may finalise: a set of ed25519 keys, in the order of their bytes.

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes};

use crate::hash::Hash;

/// Most validators in a set: a certificate names each with one bit and carries 64 bytes for each that signed.
pub const MAX_VALIDATORS: usize = 1024;

/// A validator set. Never empty, never a key twice, and every key is a point of the curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators {
    keys: Vec<Hash>,
}

/// Keys that are no validator set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValidatorsError {
    /// None, or too many.
    #[error("a validator set has 1 to {MAX_VALIDATORS} keys, found {0}")]
    Count(usize),
    /// The same key twice.
    #[error("the validator key 0x{} is there twice", hex::encode(.0))]
    Duplicate([u8; 32]),
    /// Not an ed25519 key.
    #[error("0x{} is not an ed25519 public key", hex::encode(.0))]
    Key([u8; 32]),
    /// The same checkpoint address twice.
    #[error("the checkpoint address 0x{} is there twice", hex::encode(.0))]
    DuplicateAddress([u8; 20]),
    /// No key has this address.
    #[error("a checkpoint address is zero")]
    ZeroAddress,
    /// Bytes of the wrong form.
    #[error(
        "a validator set is written as a byte 2, then 52 bytes a validator (consensus key and checkpoint address) in rising order of the keys"
    )]
    Encoding,
}

impl Validators {
    /// In any order.
    pub fn new(keys: impl IntoIterator<Item = [u8; 32]>) -> Result<Validators, ValidatorsError> {
        let mut keys: Vec<Hash> = keys.into_iter().collect();
        if keys.is_empty() || keys.len() > MAX_VALIDATORS {
            return Err(ValidatorsError::Count(keys.len()));
        }
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(ValidatorsError::Duplicate(pair[0]));
        }
        match keys.iter().find(|key| VerificationKey::try_from(**key).is_err()) {
            Some(key) => Err(ValidatorsError::Key(*key)),
            None => Ok(Validators { keys }),
        }
    }

    /// The keys in rising order. A validator's index is its place here.
    pub fn keys(&self) -> &[[u8; 32]] {
        &self.keys
    }

    /// Number of validators.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many must sign: n − ⌊(n−1)/3⌋.
    pub fn quorum(&self) -> usize {
        Self::quorum_of(self.keys.len())
    }

    /// The same for `n` validators, of which there is at least one.
    pub fn quorum_of(n: usize) -> usize {
        n - (n - 1) / 3
    }

    /// A key's index.
    pub fn index_of(&self, key: &[u8; 32]) -> Option<usize> {
        self.keys.binary_search(key).ok()
    }
}

/// One ed25519 signature by the rules of ZIP-215 (cofactored equation; any encoding of a point, only the reduced
/// encoding of a scalar).
pub fn verify_ed25519(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    VerificationKey::try_from(VerificationKeyBytes::from(*key))
        .is_ok_and(|key| key.verify(&Signature::from_bytes(signature), message).is_ok())
}
