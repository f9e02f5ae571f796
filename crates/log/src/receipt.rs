//! The receipt: one file that shows, offline, who signed a statement, where the log holds it, how it was judged and who
//! made it final.
//!
//! Canonical CBOR, an array of 14:
//!
//! ```text
//!  0  "triad-receipt"
//!  1  1                          version
//!  2  statement          bstr    as stored: tagged COSE_Sign1
//!  3  COSE_Key           bstr    that verifies it
//!  4  statement leaf index
//!  5  verdict leaf index         of the same block
//!  6  verdict leaf       bstr
//!  7  log proof          bstr    hashes of the subset proof for both leaves
//!  8  checkpoint         bstr    of a block at or above the statement's
//!  9  certificate        bstr    for SHA-256(checkpoint)
//! 10  hand-overs         array of [checkpoint bstr, certificate bstr, validators bstr], one an epoch since genesis
//! 11  first verdict              index of the first verdict shown
//! 12  verdicts           array of bstr, consecutive
//! 13  verdict proof      bstr    hashes of the subset proof for them
//! ```
//!
//! The statement leaf is not in it: a verifier makes it from the statement, the key and the verdict leaf's height and
//! time. Shown are all verdicts on the statement in its block, the one before them if there is one, and the one
//! after them if there is one.

use crate::certificate::Certificate;
use crate::checkpoint::Checkpoint;
use crate::format::{self, FormatError, VERSION};
use crate::hash::Hash;
use crate::ids::LeafIndex;
use crate::leaf::VerdictLeaf;
use crate::tiles::{LogError, TileLog, TileSource};
use crate::verdict::{Verdict, verdict_tree};

const WHAT: &str = "receipt";
const MAGIC: &str = "triad-receipt";
/// Longest receipt that is read: a statement of 64 KiB whose 1,024 readings were each judged by 8 models takes 3 MB.
pub const MAX_RECEIPT_BYTES: usize = 8 << 20;

/// A receipt as it was read; nothing is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The statement as stored.
    pub statement: Vec<u8>,
    /// The COSE_Key that verifies it.
    pub cose_key: Vec<u8>,
    /// Where the log holds it.
    pub leaf_index: LeafIndex,
    /// Where the log holds its block's verdicts.
    pub verdict_leaf_index: LeafIndex,
    /// Its block's verdict leaf.
    pub verdict_leaf: VerdictLeaf,
    /// Subset proof for both leaves.
    pub log_proof: Vec<Hash>,
    /// The checkpoint that holds the log's root.
    pub checkpoint: Checkpoint,
    /// What makes the checkpoint final.
    pub certificate: Certificate,
    /// How the validator set came down from genesis.
    pub hand_overs: Vec<HandOver>,
    /// Index of the first verdict shown.
    pub first_verdict: u64,
    /// Consecutive verdicts of the block.
    pub verdicts: Vec<Verdict>,
    /// Subset proof for them.
    pub verdict_proof: Vec<Hash>,
}

/// The end of an epoch: its last checkpoint, certified by its validators, names the set that follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The epoch's last checkpoint.
    pub checkpoint: Checkpoint,
    /// What makes it final.
    pub certificate: Certificate,
    /// The next validators, as [`ValidatorSet::encode`](crate::ValidatorSet::encode) writes them.
    pub validators: Vec<u8>,
}

pub(crate) fn write_hand_overs(
    e: &mut format::Writer,
    hand_overs: &[HandOver],
) -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
    e.array(hand_overs.len() as u64)?;
    for hand_over in hand_overs {
        e.array(3)?.bytes(&hand_over.checkpoint.encode())?;
        e.bytes(&hand_over.certificate.encode())?.bytes(&hand_over.validators)?;
    }
    Ok(())
}

pub(crate) fn read_hand_overs(r: &mut format::Reader<'_>) -> Result<Vec<HandOver>, FormatError> {
    r.list(|r| {
        r.array_of(3)?;
        Ok(HandOver {
            checkpoint: Checkpoint::decode(r.bytes()?)?,
            certificate: Certificate::decode(r.bytes()?)?,
            validators: r.bytes()?.to_vec(),
        })
    })
}

/// What a receipt is made of, besides the log.
#[derive(Clone, Debug)]
pub struct ReceiptParts<'a> {
    /// The statement as stored.
    pub statement: &'a [u8],
    /// The COSE_Key that verified it.
    pub cose_key: &'a [u8],
    /// Where the log holds it.
    pub leaf_index: LeafIndex,
    /// Where the log holds its block's verdicts.
    pub verdict_leaf_index: LeafIndex,
    /// Its block's verdict leaf.
    pub verdict_leaf: VerdictLeaf,
    /// All verdicts of its block, in order.
    pub block_verdicts: &'a [Verdict],
    /// A checkpoint at or above its block.
    pub checkpoint: Checkpoint,
    /// What makes the checkpoint final.
    pub certificate: Certificate,
    /// One for each epoch before the checkpoint's.
    pub hand_overs: Vec<HandOver>,
}

impl Receipt {
    /// Makes a receipt, reading the log at the checkpoint's size. The parts must belong together.
    pub fn build<S: TileSource>(parts: ReceiptParts<'_>, tiles: &S) -> Result<Receipt, LogError<S::Error>> {
        let log = TileLog::new(tiles, parts.checkpoint.log_size);
        let log_proof = log.subset_proof(&[parts.leaf_index.0, parts.verdict_leaf_index.0])?;
        let all = parts.block_verdicts;
        let begin = all.partition_point(|verdict| verdict.leaf < parts.leaf_index);
        let end = all.partition_point(|verdict| verdict.leaf <= parts.leaf_index);
        let shown = begin.saturating_sub(1)..(end + 1).min(all.len());
        let indices: Vec<u64> = shown.clone().map(|index| index as u64).collect();
        let verdict_proof = if all.is_empty() {
            Vec::new()
        } else {
            verdict_tree(all).subset_proof(&indices).expect("indices of these very verdicts")
        };
        Ok(Receipt {
            statement: parts.statement.to_vec(),
            cose_key: parts.cose_key.to_vec(),
            leaf_index: parts.leaf_index,
            verdict_leaf_index: parts.verdict_leaf_index,
            verdict_leaf: parts.verdict_leaf,
            log_proof,
            checkpoint: parts.checkpoint,
            certificate: parts.certificate,
            hand_overs: parts.hand_overs,
            first_verdict: shown.start as u64,
            verdicts: all[shown].to_vec(),
            verdict_proof,
        })
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        format::write(2048 + self.statement.len(), |e| {
            e.array(14)?.str(MAGIC)?.u64(VERSION)?;
            e.bytes(&self.statement)?.bytes(&self.cose_key)?;
            e.u64(self.leaf_index.0)?.u64(self.verdict_leaf_index.0)?.bytes(&self.verdict_leaf.encode())?;
            e.bytes(self.log_proof.as_flattened())?;
            e.bytes(&self.checkpoint.encode())?.bytes(&self.certificate.encode())?;
            write_hand_overs(e, &self.hand_overs)?;
            e.u64(self.first_verdict)?.array(self.verdicts.len() as u64)?;
            for verdict in &self.verdicts {
                e.bytes(&verdict.encode())?;
            }
            e.bytes(self.verdict_proof.as_flattened())?;
            Ok(())
        })
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Receipt, FormatError> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(FormatError::Length { what: WHAT, expected: "at most 8388608", found: bytes.len() });
        }
        format::read(WHAT, bytes, Receipt::parse, Receipt::encode)
    }

    fn parse(r: &mut format::Reader<'_>) -> Result<Receipt, FormatError> {
        r.array_of(14)?;
        let magic = r.text()?;
        if magic != MAGIC {
            return Err(r.malformed(format!("it begins with {magic:?} instead of {MAGIC:?}")));
        }
        r.version()?;
        Ok(Receipt {
            statement: r.bytes()?.to_vec(),
            cose_key: r.bytes()?.to_vec(),
            leaf_index: LeafIndex(r.u64()?),
            verdict_leaf_index: LeafIndex(r.u64()?),
            verdict_leaf: VerdictLeaf::decode(r.bytes()?)?,
            log_proof: r.hashes()?,
            checkpoint: Checkpoint::decode(r.bytes()?)?,
            certificate: Certificate::decode(r.bytes()?)?,
            hand_overs: read_hand_overs(r)?,
            first_verdict: r.u64()?,
            verdicts: r.list(|r| Verdict::decode(r.bytes()?))?,
            verdict_proof: r.hashes()?,
        })
    }
}
