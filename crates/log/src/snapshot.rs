//! What stands over a snapshot of a chain's state: what it holds, who vouches for it, and why its block is final.
//!
//! A snapshot is a row of chunks. Every validator makes it from its own state after the same block and signs its root, so a
//! root with a quorum of signatures is the state that consensus reached. Whoever takes it needs the genesis file only.
//!
//! ```text
//! head      = ["triad-snapshot", 1, checkpoint bstr, bytes uint, chunks bstr,
//!              [signature …], [later checkpoint bstr …], certificate bstr, [hand-over …]]        canonical CBOR
//! signature = [consensus key bstr (32), Ed25519 signature bstr (64)]      in rising order of the keys
//! chunks    = SHA-256(00 ‖ chunk), 32 bytes each, in order
//! root      = the RFC 9162 root over the chunks
//! signed    = "triad snapshot v1" ‖ genesis hash ‖ height u64 ‖ digest of the checkpoint ‖ root
//! ```
//!
//! `checkpoint` is that of the snapshot's block. Where that block has no certificate of its own, the checkpoints of the blocks
//! after it follow up to the first that has one, each naming its parent by digest; all are of one epoch.

use crate::anchor::TrustAnchor;
use crate::certificate::Certificate;
use crate::checkpoint::Checkpoint;
use crate::format::{self, FormatError, VERSION};
use crate::frontier::Frontier;
use crate::hash::Hash;
use crate::receipt::{HandOver, read_hand_overs, write_hand_overs};
use crate::validators::{Validators, verify_ed25519};
use crate::verify::{VerifyError, check_chain, check_final, follow};

const MAGIC: &str = "triad-snapshot";
const WHAT: &str = "snapshot head";
/// Longer ones are not read.
pub const MAX_SNAPSHOT_HEAD_BYTES: usize = 64 << 20;

/// One validator's word for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotSignature {
    /// Its consensus key.
    pub key: [u8; 32],
    /// Of [`snapshot_message`].
    pub signature: [u8; 64],
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotHead {
    /// Of the block after which the state is this.
    pub checkpoint: Checkpoint,
    /// All chunks together.
    pub bytes: u64,
    /// Leaf hash of each chunk.
    pub chunks: Vec<Hash>,
    /// In rising order of the keys.
    pub signatures: Vec<SnapshotSignature>,
    /// The checkpoints after it, up to the one that is certified.
    pub later: Vec<Checkpoint>,
    /// What makes the last of them final, or the first where there are none.
    pub certificate: Certificate,
    /// How its validators came down from genesis.
    pub hand_overs: Vec<HandOver>,
}

/// Why a snapshot is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Its checkpoints, hand-overs or certificate.
    #[error(transparent)]
    NotFinal(#[from] VerifyError),
    /// The checkpoints do not follow each other.
    #[error("the checkpoint of block {0} is not the next after the one before it")]
    Order(crate::ids::Height),
    /// Too few validators vouch for it.
    #[error("{signed} of {validators} validators vouch for it, {quorum} must")]
    Quorum {
        /// Good signatures.
        signed: usize,
        /// How many there are.
        validators: usize,
        /// How many must sign.
        quorum: usize,
    },
    /// A signature that its key did not make.
    #[error("the signature of validator 0x{} is not one, or its key is no validator's, or is there twice", hex::encode(.0))]
    Signature([u8; 32]),
}

/// What a validator signs for a snapshot. It begins with another letter than what consensus signs (a length) and goes on with
/// another word than a proof of possession.
pub fn snapshot_message(checkpoint: &Checkpoint, root: &Hash) -> Vec<u8> {
    let mut message = b"triad snapshot v1".to_vec();
    message.extend_from_slice(&checkpoint.genesis_hash);
    message.extend_from_slice(&checkpoint.height.0.to_be_bytes());
    message.extend_from_slice(&checkpoint.digest());
    message.extend_from_slice(root);
    message
}

impl SnapshotHead {
    /// The RFC 9162 root over the chunks.
    pub fn root(&self) -> Hash {
        let mut tree = Frontier::new();
        self.chunks.iter().for_each(|chunk| tree.append(*chunk));
        tree.root()
    }

    /// Checks everything but the chunks; returns how many validators vouch for it.
    pub fn verify(&self, anchor: &TrustAnchor) -> Result<usize, SnapshotError> {
        let validators = self.validators(anchor)?;
        let message = snapshot_message(&self.checkpoint, &self.root());
        let mut before = None;
        for SnapshotSignature { key, signature } in &self.signatures {
            let known = validators.index_of(key).is_some() && before < Some(key);
            if !known || !verify_ed25519(key, &message, signature) {
                return Err(SnapshotError::Signature(*key));
            }
            before = Some(key);
        }
        let (signed, quorum) = (self.signatures.len(), validators.quorum());
        if signed < quorum {
            return Err(SnapshotError::Quorum { signed, validators: validators.len(), quorum });
        }
        Ok(signed)
    }

    /// The validators of its epoch, once it is clear that its block is final.
    pub fn validators(&self, anchor: &TrustAnchor) -> Result<Validators, SnapshotError> {
        let (validators, height) = follow(&self.hand_overs, anchor)?;
        check_chain(&self.checkpoint, anchor)?;
        let reached = self.hand_overs.len() as u64;
        if self.checkpoint.epoch != reached || height >= Some(self.checkpoint.height) {
            let (height, epoch) = (self.checkpoint.height, self.checkpoint.epoch);
            return Err(VerifyError::Epoch { height, epoch, reached }.into());
        }
        let mut last = &self.checkpoint;
        for next in &self.later {
            let follows = next.parent_digest == last.digest()
                && next.height.0 == last.height.0 + 1
                && next.epoch == last.epoch;
            if !follows {
                return Err(SnapshotError::Order(next.height));
            }
            last = next;
        }
        if self.certificate.digest != last.digest() || self.certificate.epoch != last.epoch {
            return Err(VerifyError::OtherDigest { height: last.height }.into());
        }
        check_final(last, &self.certificate, &validators)?;
        Ok(validators)
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        format::write(4096 + 32 * self.chunks.len(), |e| {
            e.array(9)?.str(MAGIC)?.u64(VERSION)?.bytes(&self.checkpoint.encode())?;
            e.u64(self.bytes)?.bytes(self.chunks.as_flattened())?;
            e.array(self.signatures.len() as u64)?;
            for signed in &self.signatures {
                e.array(2)?.bytes(&signed.key)?.bytes(&signed.signature)?;
            }
            e.array(self.later.len() as u64)?;
            for checkpoint in &self.later {
                e.bytes(&checkpoint.encode())?;
            }
            e.bytes(&self.certificate.encode())?;
            write_hand_overs(e, &self.hand_overs)
        })
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<SnapshotHead, FormatError> {
        if bytes.len() > MAX_SNAPSHOT_HEAD_BYTES {
            return Err(FormatError::Length { what: WHAT, expected: "at most 64 MiB", found: bytes.len() });
        }
        format::read(WHAT, bytes, SnapshotHead::parse, SnapshotHead::encode)
    }

    fn parse(r: &mut format::Reader<'_>) -> Result<SnapshotHead, FormatError> {
        r.array_of(9)?;
        let magic = r.text()?;
        if magic != MAGIC {
            return Err(r.malformed(format!("it begins with {magic:?} instead of {MAGIC:?}")));
        }
        r.version()?;
        Ok(SnapshotHead {
            checkpoint: Checkpoint::decode(r.bytes()?)?,
            bytes: r.u64()?,
            chunks: r.hashes()?,
            signatures: r.list(|r| {
                r.array_of(2)?;
                Ok(SnapshotSignature { key: r.fixed()?, signature: r.fixed()? })
            })?,
            later: r.list(|r| Checkpoint::decode(r.bytes()?))?,
            certificate: Certificate::decode(r.bytes()?)?,
            hand_overs: read_hand_overs(r)?,
        })
    }
}
