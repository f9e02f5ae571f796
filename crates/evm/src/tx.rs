//! What stands in a block's transaction list: Ethereum's signed transactions, and automation firings.
//!
//! A firing is a transaction of the reserved EIP-2718 type 0x74. It is encoded as
//! `0x74 ‖ RLP([height, ordinal, registration, gas, to, input])`, its hash is the keccak256 of that, and it carries no
//! signature: every validator derives it from the block's readings and verdicts, and nobody can submit one.

use crate::env::FIRING_CALLER;
use alloy_consensus::Transaction;
use alloy_consensus::TxEnvelope;
use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{BufMut, Decodable, Encodable, RlpDecodable, RlpEncodable};

/// The EIP-2718 type of a firing, the letter 't'.
pub const FIRING_TX_TYPE: u8 = 0x74;
/// The type of Ethereum's blob transactions, which no block takes.
const BLOB_TX_TYPE: u8 = 0x03;
/// The largest encoded transaction that [`recover`] looks at.
pub const MAX_TX_BYTES: usize = 128 * 1024;

/// A signed Ethereum transaction and who signed it.
pub type RecoveredTx = Recovered<TxEnvelope>;

/// One call of an automation's target.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Firing {
    /// Height of the block whose reading or verdict fired it.
    pub height: u64,
    /// Its place among the firings caused by that block.
    pub ordinal: u64,
    pub registration: u64,
    /// Gas limit.
    pub gas: u64,
    pub to: Address,
    pub input: Bytes,
}

impl Firing {
    pub fn encode_2718(&self, out: &mut dyn BufMut) {
        out.put_u8(FIRING_TX_TYPE);
        self.encode(out);
    }

    pub fn encoded_2718(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(96 + self.input.len());
        self.encode_2718(&mut out);
        out
    }

    /// Reads a whole encoding.
    pub fn decode_2718(raw: &[u8]) -> Result<Firing, TxDecodeError> {
        match raw.split_first() {
            Some((&FIRING_TX_TYPE, mut rest)) => {
                let firing = Firing::decode(&mut rest).map_err(malformed)?;
                if rest.is_empty() { Ok(firing) } else { Err(TxDecodeError::NotCanonical) }
            }
            _ => Err(TxDecodeError::Malformed("not a firing: its first byte is not 0x74".to_owned())),
        }
    }

    pub fn hash(&self) -> B256 {
        keccak256(self.encoded_2718())
    }
}

/// A transaction of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)] // Nearly all are of the large kind.
pub enum TriadTx {
    Ethereum(RecoveredTx),
    Firing(Firing),
}

impl TriadTx {
    pub fn tx_type(&self) -> u8 {
        match self {
            TriadTx::Ethereum(tx) => tx.tx_type() as u8,
            TriadTx::Firing(_) => FIRING_TX_TYPE,
        }
    }

    pub fn hash(&self) -> B256 {
        match self {
            TriadTx::Ethereum(tx) => *tx.tx_hash(),
            TriadTx::Firing(firing) => firing.hash(),
        }
    }

    pub fn from(&self) -> Address {
        match self {
            TriadTx::Ethereum(tx) => tx.signer(),
            TriadTx::Firing(_) => FIRING_CALLER,
        }
    }

    /// `None` where a contract is created.
    pub fn to(&self) -> Option<Address> {
        match self {
            TriadTx::Ethereum(tx) => tx.to(),
            TriadTx::Firing(firing) => Some(firing.to),
        }
    }

    pub fn gas_limit(&self) -> u64 {
        match self {
            TriadTx::Ethereum(tx) => tx.gas_limit(),
            TriadTx::Firing(firing) => firing.gas,
        }
    }

    pub fn input(&self) -> &Bytes {
        match self {
            TriadTx::Ethereum(tx) => tx.input(),
            TriadTx::Firing(firing) => &firing.input,
        }
    }

    /// The EIP-2718 encoding: what the transaction root commits to.
    pub fn encode_2718(&self, out: &mut dyn BufMut) {
        match self {
            TriadTx::Ethereum(tx) => tx.encode_2718(out),
            TriadTx::Firing(firing) => firing.encode_2718(out),
        }
    }

    pub fn encoded_2718(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode_2718(&mut out);
        out
    }

    /// Reads an encoding written by [`TriadTx::encode_2718`], recovering the signer.
    pub fn decode_2718(raw: &[u8]) -> Result<TriadTx, TxDecodeError> {
        if raw.first() == Some(&FIRING_TX_TYPE) {
            Firing::decode_2718(raw).map(TriadTx::Firing)
        } else {
            recover(raw).map(TriadTx::Ethereum)
        }
    }
}

/// Why bytes are no transaction that a block may hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxDecodeError {
    #[error("the transaction has {0} bytes; at most {MAX_TX_BYTES} are accepted")]
    TooLarge(usize),
    #[error("the transaction is malformed: {0}")]
    Malformed(String),
    #[error("the transaction is not encoded canonically")]
    NotCanonical,
    #[error("blob transactions (EIP-4844) are not accepted: this chain stores no blobs")]
    Blob,
    #[error("the transaction's signature is invalid")]
    BadSignature,
}

fn malformed(error: impl std::fmt::Display) -> TxDecodeError {
    TxDecodeError::Malformed(error.to_string())
}

/// Decodes a signed transaction (EIP-2718) and recovers who signed it. Its chain id is the caller's to check.
pub fn recover(raw: &[u8]) -> Result<RecoveredTx, TxDecodeError> {
    if raw.len() > MAX_TX_BYTES {
        return Err(TxDecodeError::TooLarge(raw.len()));
    }
    if raw.first() == Some(&BLOB_TX_TYPE) {
        return Err(TxDecodeError::Blob);
    }
    let tx = TxEnvelope::decode_2718_exact(raw).map_err(malformed)?;
    // One transaction has one encoding, else its bytes in a block and in the transaction root could differ.
    if tx.encoded_2718() != raw {
        return Err(TxDecodeError::NotCanonical);
    }
    let signer = tx.recover_signer().map_err(|_| TxDecodeError::BadSignature)?;
    Ok(Recovered::new_unchecked(tx, signer))
}

#[cfg(test)]
mod tests;
