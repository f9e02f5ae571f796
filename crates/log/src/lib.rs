//! The Merkle log of Triad and everything that can be proved from it.
//!
//! One append-only RFC 9162 tree holds a leaf for each statement and one for each block's verdicts ([`TileWriter`] grows
//! it, [`TileLog`] proves from it). Validators sign the digest of a [`Checkpoint`], which holds the tree's root; a quorum
//! of signatures is a finality [`Certificate`]. A [`Receipt`] carries all of it for one statement, and
//! [`Receipt::verify_bytes`] checks it offline against a genesis file ([`TrustAnchor`]) and says what was proved.
//! [`Evidence`] proves that a validator voted twice where it may vote once.
//!
//! It promises that every format has exactly one byte string a value, that its decoders return an error on whatever
//! else they are given, and that a receipt which verifies was certified by a quorum of the validators that genesis leads
//! to. It never does I/O, reads no clock, and never takes a validator set, a key's owner or `not judged` on the word of
//! the receipt. The byte formats are described in the modules that hold them.

mod anchor;
mod certificate;
mod checkpoint;
mod evidence;
mod fixed;
mod format;
mod frontier;
mod hash;
mod ids;
mod jcs;
mod kind;
mod leaf;
mod memory;
mod proof;
mod receipt;
mod report;
mod reporting;
mod snapshot;
mod text;
mod tiles;
mod validator_set;
mod validators;
mod verdict;
mod verify;

pub use anchor::{AnchorError, TrustAnchor};
pub use certificate::{Certificate, CertificateError, finalize_message, namespace};
pub use checkpoint::Checkpoint;
pub use evidence::{
    BadEvidenceId, BlockVote, Conflict, Evidence, EvidenceError, EvidenceId, EvidenceKind,
    MAX_EVIDENCE_BYTES, Seen, SignedVote,
};
pub use fixed::{DOES_NOT_FIT, value_e9};
pub use format::FormatError;
pub use frontier::{Frontier, FrontierError};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash, sha256};
pub use ids::{Height, LeafIndex, Score};
pub use jcs::{JsonError, canonical_json};
pub use kind::{Assurance, VerdictKind};
pub use leaf::{StatementLeaf, VerdictLeaf};
pub use memory::MemoryTree;
pub use proof::{path_from_subset, root_from_subset, verify_consistency, verify_inclusion};
pub use receipt::{HandOver, MAX_RECEIPT_BYTES, Receipt, ReceiptParts};
pub use report::{
    AttestedReport, FinalityReport, LogReport, ReadingReport, Report, Signed, StatementReport, ValueReport,
    VerdictReport,
};
pub use snapshot::{
    MAX_SNAPSHOT_HEAD_BYTES, SnapshotError, SnapshotHead, SnapshotSignature, snapshot_message,
};
pub use tiles::{LogError, TILE_WIDTH, Tile, TileLog, TileSource, TileWriter, tile_root};
pub use validator_set::{ValidatorRow, ValidatorSet};
pub use validators::{MAX_VALIDATORS, Validators, ValidatorsError, verify_ed25519};
pub use verdict::{Reason, VERDICT_HEAD, Verdict, verdict_tree};
pub use verify::VerifyError;
