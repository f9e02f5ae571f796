//! What can go wrong, in words for the operator.

use std::path::PathBuf;

/// Why consensus did not start, or stopped.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// The configuration contradicts itself.
    #[error("consensus configuration: {0}")]
    Config(String),
    /// Another process uses the data directory.
    #[error(
        "the data directory {} is in use by another process ({holder}); stop that one first, or give this node another directory",
        dir.display()
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// What the lock file says about its holder.
        holder: String,
    },
    /// The directory belongs to another validator key.
    #[error(
        "the data directory {} belongs to validator {found}, but the configured key is {configured}; use the key that this directory was made with, or a fresh directory for the new key",
        dir.display()
    )]
    WrongKey {
        /// The directory.
        dir: PathBuf,
        /// Public key the directory is bound to, in hex.
        found: String,
        /// Public key of this start, in hex.
        configured: String,
    },
    /// The directory belongs to another chain.
    #[error(
        "the data directory {} belongs to another chain (consensus namespace {found}, this genesis gives {configured}); use the genesis file that it was made with, or a fresh directory",
        dir.display()
    )]
    WrongChain {
        /// The directory.
        dir: PathBuf,
        /// Namespace the directory is bound to, in hex.
        found: String,
        /// Namespace of this start, in hex.
        configured: String,
    },
    /// The consensus journal is missing although this key has voted from here.
    #[error(
        "the consensus journal in {} is missing or not the one this data directory was made with ({what}); validator {key} has voted from here and must not vote again without its journal, since it could contradict itself. Put the journal back. If it is lost: the only validator of a chain starts once with `triad node --accept-journal-loss` (docs/operations.md says what that means); on a chain with several, retire this key and join with a new one",
        dir.display()
    )]
    JournalMissing {
        /// Where the journal should be.
        dir: PathBuf,
        /// What is missing.
        what: String,
        /// Public key, in hex.
        key: String,
    },
    /// The journal is older than what is known to have been final: it was restored from a copy.
    #[error(
        "the consensus journal in {} is older than the chain beside it ({what}); it was probably restored from a copy. Validator {key} must not vote from it, since it could contradict its later votes. Put back the newest journal. If it is lost: the only validator of a chain starts once with `triad node --accept-journal-loss` (docs/operations.md says what that means); on a chain with several, retire this key and join with a new one",
        dir.display()
    )]
    JournalStale {
        /// Where the journal is.
        dir: PathBuf,
        /// The two heights or views that disagree.
        what: String,
        /// Public key, in hex.
        key: String,
    },
    /// A single validator's directory is a copy.
    #[error(
        "the data directory {} is a copy, as of a backup: the files that validator {key} voted with were others. If votes were cast after the copy was made, this chain would contradict them, and there is no other validator to ask. If this copy is the newest there is, or the directory was only moved while nothing ran, start once with `triad node --accept-journal-loss` (docs/operations.md says what that means), and never start the other again",
        dir.display()
    )]
    DirectoryCopied {
        /// The data directory.
        dir: PathBuf,
        /// Public key, in hex.
        key: String,
    },
    /// Another process votes with this validator's key.
    #[error(
        "validator {key} voted in view {view}, but not from here: another process uses the same key. Two that vote with one key \
         contradict each other: stop one of them, and start this one again. If that vote was made on this machine before its \
         data was restored from a copy, the node will follow without voting"
    )]
    KeyInUse {
        /// Public key, in hex.
        key: String,
        /// The view of the other's vote.
        view: u64,
    },
    /// The ledger lacks blocks that consensus delivered, and consensus no longer keeps them.
    #[error(
        "the ledger is at height {ledger} but consensus delivered up to {delivered} and keeps no block {missing}; restore the ledger from a copy taken at height {missing} or later"
    )]
    LedgerBehind {
        /// Last height of the ledger.
        ledger: u64,
        /// Last height that was acknowledged durable.
        delivered: u64,
        /// First height that is gone.
        missing: u64,
    },
    /// Reading or writing the data directory failed.
    #[error("{what} ({}): {cause}", path.display())]
    Io {
        /// What was attempted.
        what: String,
        /// File or directory.
        path: PathBuf,
        /// The system's words.
        cause: String,
    },
    /// The ledger refused a final block; going on would fork it from the chain.
    #[error("the ledger could not commit the final block {height}: {reason}")]
    Application {
        /// Height of the block.
        height: u64,
        /// The ledger's words.
        reason: String,
    },
    /// The ledger broke its contract with consensus.
    #[error("the ledger broke its contract: {0}")]
    Contract(String),
    /// A part of consensus ended or panicked.
    #[error("consensus stopped: {0}")]
    Stopped(String),
}

impl ConsensusError {
    /// The journal of what this key voted is lost, or not the newest. A chain's only validator can have it
    /// [set aside](crate::set_aside).
    pub fn is_journal_loss(&self) -> bool {
        matches!(self, Self::JournalMissing { .. } | Self::JournalStale { .. } | Self::DirectoryCopied { .. })
    }

    pub(crate) fn io(
        what: impl Into<String>,
        path: impl Into<PathBuf>,
        cause: impl std::fmt::Display,
    ) -> Self {
        Self::Io { what: what.into(), path: path.into(), cause: cause.to_string() }
    }
}
