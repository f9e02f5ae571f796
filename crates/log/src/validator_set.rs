//! The set that an epoch's last checkpoint hands over to: both keys of each validator.
//!
//! ```text
//! set  = 02 ‖ n × (consensus key (32 B) ‖ checkpoint address (20 B))     rows in rising order of the keys
//! hash = SHA-256(set)
//! ```
//!
//! The first byte is the version. The address is that of the secp256k1 key which signs final checkpoints for public
//! chains: a contract there can follow the hand-overs only if the checkpoint commits to it. (Version 1, bare consensus
//! keys without a version byte, never ended an epoch of any chain and is not read.)

use crate::hash::{Hash, sha256};
use crate::validators::{Validators, ValidatorsError};

const VERSION: u8 = 2;
const ROW: usize = 52;

/// One row: consensus key and checkpoint address.
pub type ValidatorRow = ([u8; 32], [u8; 20]);

/// A validator set with both keys of each. Neither a key nor an address is there twice; no address is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    consensus: Validators,
    addresses: Vec<[u8; 20]>,
}

impl ValidatorSet {
    /// In any order.
    pub fn new(rows: impl IntoIterator<Item = ValidatorRow>) -> Result<ValidatorSet, ValidatorsError> {
        let mut rows: Vec<ValidatorRow> = rows.into_iter().collect();
        rows.sort_unstable();
        let consensus = Validators::new(rows.iter().map(|(key, _)| *key))?;
        let addresses: Vec<_> = rows.into_iter().map(|(_, address)| address).collect();
        let mut sorted = addresses.clone();
        sorted.sort_unstable();
        // An address twice would give its key two votes; address zero is what a failed recovery looks like in the EVM.
        if sorted.first() == Some(&[0; 20]) {
            return Err(ValidatorsError::ZeroAddress);
        }
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ValidatorsError::DuplicateAddress(pair[0])),
            None => Ok(ValidatorSet { consensus, addresses }),
        }
    }

    /// Those who finalise.
    pub fn consensus(&self) -> &Validators {
        &self.consensus
    }

    /// The checkpoint addresses, by validator index.
    pub fn addresses(&self) -> &[[u8; 20]] {
        &self.addresses
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + ROW * self.addresses.len());
        bytes.push(VERSION);
        for (key, address) in self.consensus.keys().iter().zip(&self.addresses) {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(address);
        }
        bytes
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<ValidatorSet, ValidatorsError> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(ValidatorsError::Encoding) };
        let (rows, rest) = rest.as_chunks::<ROW>();
        let split = |row: &[u8; ROW]| {
            let (mut key, mut address) = ([0; 32], [0; 20]);
            key.copy_from_slice(&row[..32]);
            address.copy_from_slice(&row[32..]);
            (key, address)
        };
        let set = ValidatorSet::new(rows.iter().map(split))?;
        if rest.is_empty() && set.encode() == bytes { Ok(set) } else { Err(ValidatorsError::Encoding) }
    }

    /// What an epoch's last checkpoint says of the next set.
    pub fn hash(&self) -> Hash {
        sha256(&self.encode())
    }
}
