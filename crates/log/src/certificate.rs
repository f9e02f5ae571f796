//! The finality certificate: a quorum of validators signed for one digest.
//!
//! The bytes are those of commonware simplex's `Finalization` under its ed25519 scheme:
//!
//! ```text
//! proposal    = varint(epoch) ‖ varint(view) ‖ varint(parent view) ‖ digest (32 B)
//! certificate = proposal ‖ n (u64) ‖ bitmap (⌈n/8⌉ B) ‖ varint(k) ‖ k × signature (64 B)
//! signed      = varint(|NS| + 9) ‖ NS ‖ "_FINALIZE" ‖ proposal        NS = "triad" ‖ genesis hash
//! ```
//!
//! `varint` is LEB128 in its shortest form. Bit i of the bitmap (byte i / 8, least significant first) says that
//! validator i signed; unused bits are 0, k is the number of 1 bits, and the signatures stand in the order of i.
//!
//! A certificate holds if n is the size of the validator set, k is at least n − ⌊(n−1)/3⌋ and *every* signature
//! verifies by the rules of ZIP-215. The set comes from the verifier, never from the certificate. The height is not
//! signed: it comes from the checkpoint whose SHA-256 is the digest.

use crate::format::FormatError;
use crate::hash::Hash;
use crate::validators::{MAX_VALIDATORS, Validators, verify_ed25519};

const WHAT: &str = "finality certificate";

/// A certificate as it was read; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Consensus epoch.
    pub epoch: u64,
    /// Consensus view.
    pub view: u64,
    /// The view of the parent.
    pub parent_view: u64,
    /// What was signed for: SHA-256 of a checkpoint.
    pub digest: Hash,
    /// Size of the validator set, as the certificate claims.
    pub validators: u64,
    /// Index and signature of each that signed, by rising index.
    pub signatures: Vec<(u32, [u8; 64])>,
}

/// A certificate that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Made for another number of validators.
    #[error("the finality certificate was made for {found} validators, but the trusted set has {expected}")]
    WrongSet {
        /// Size of the trusted set.
        expected: usize,
        /// What the certificate says.
        found: u64,
    },
    /// Too few signed.
    #[error("only {found} of {of} validators signed; {quorum} must")]
    NoQuorum {
        /// How many must.
        quorum: usize,
        /// How many did.
        found: usize,
        /// Out of how many.
        of: usize,
    },
    /// A signature is wrong.
    #[error("the signature of validator {index} (0x{}) is wrong", hex::encode(.key))]
    Signature {
        /// Its index.
        index: u32,
        /// Its key.
        key: [u8; 32],
    },
}

/// The consensus namespace of a chain: "triad" ‖ genesis hash.
pub fn namespace(genesis_hash: &Hash) -> Vec<u8> {
    [b"triad".as_slice(), genesis_hash].concat()
}

impl Certificate {
    /// The byte format above. Signatures must be in order and inside the set.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.proposal();
        bytes.extend_from_slice(&self.validators.to_be_bytes());
        let mut bitmap = vec![0u8; self.validators.div_ceil(8) as usize];
        for (index, _) in &self.signatures {
            bitmap[*index as usize / 8] |= 1 << (index % 8);
        }
        bytes.extend_from_slice(&bitmap);
        put_varint(&mut bytes, self.signatures.len() as u64);
        for (_, signature) in &self.signatures {
            bytes.extend_from_slice(signature);
        }
        bytes
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Certificate, FormatError> {
        let malformed = |detail: &str| FormatError::Malformed { what: WHAT, detail: detail.into() };
        let short = || malformed("it ends too early");
        let mut rest = bytes;
        let mut number = || take_varint(&mut rest).ok_or_else(|| malformed("a bad varint"));
        let (epoch, view, parent_view) = (number()?, number()?, number()?);
        let (digest, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (validators, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let validators = u64::from_be_bytes(*validators);
        if validators == 0 || validators > MAX_VALIDATORS as u64 {
            return Err(malformed("it names no validators, or too many"));
        }
        let (bitmap, mut rest) = rest.split_at_checked(validators.div_ceil(8) as usize).ok_or_else(short)?;
        let signed = |index: &u32| bitmap[*index as usize / 8] >> (index % 8) & 1 == 1;
        let signers: Vec<u32> = (0..bitmap.len() as u32 * 8).filter(signed).collect();
        if signers.last().is_none_or(|last| u64::from(*last) >= validators) {
            return Err(malformed("its bitmap is empty or reaches past the validators"));
        }
        if take_varint(&mut rest) != Some(signers.len() as u64) {
            return Err(malformed("its bitmap and its number of signatures differ"));
        }
        let (signatures, tail) = rest.as_chunks::<64>();
        if !tail.is_empty() || signatures.len() != signers.len() {
            return Err(malformed("its length does not fit its number of signatures"));
        }
        let signatures = signers.into_iter().zip(signatures.iter().copied()).collect();
        Ok(Certificate { epoch, view, parent_view, digest: *digest, validators, signatures })
    }

    /// Checks it against the validators that ought to have signed, and returns the indices of those who did.
    pub fn verify(&self, namespace: &[u8], validators: &Validators) -> Result<Vec<usize>, CertificateError> {
        let of = validators.len();
        if self.validators != of as u64 {
            return Err(CertificateError::WrongSet { expected: of, found: self.validators });
        }
        let (found, quorum) = (self.signatures.len(), validators.quorum());
        if found < quorum {
            return Err(CertificateError::NoQuorum { quorum, found, of });
        }
        let rising = self.signatures.is_sorted_by(|(a, _), (b, _)| a < b);
        let message = finalize_message(namespace, &self.proposal());
        let mut signers = Vec::with_capacity(found);
        for (index, signature) in &self.signatures {
            let key = validators.keys().get(*index as usize).copied().unwrap_or_default();
            if !rising || !verify_ed25519(&key, &message, signature) {
                return Err(CertificateError::Signature { index: *index, key });
            }
            signers.push(*index as usize);
        }
        Ok(signers)
    }

    /// The part that is signed.
    pub fn proposal(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        for number in [self.epoch, self.view, self.parent_view] {
            put_varint(&mut bytes, number);
        }
        bytes.extend_from_slice(&self.digest);
        bytes
    }
}

/// What a validator signs to finalise a proposal.
pub fn finalize_message(namespace: &[u8], proposal: &[u8]) -> Vec<u8> {
    vote_message(namespace, b"_FINALIZE", proposal)
}

/// What a validator signs with a vote of the sort that the suffix names.
pub(crate) fn vote_message(namespace: &[u8], suffix: &[u8], parts: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    put_varint(&mut bytes, (namespace.len() + suffix.len()) as u64);
    bytes.extend_from_slice(namespace);
    bytes.extend_from_slice(suffix);
    bytes.extend_from_slice(parts);
    bytes
}

pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// None if it is cut, longer than it need be, or over 64 bits.
fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(first & 0x7f);
        if part != 0 && shift > part.leading_zeros() {
            return None;
        }
        number |= part << shift;
        if first & 0x80 == 0 {
            return (part != 0 || shift == 0).then_some(number);
        }
    }
    None
}
