//! Proofs about the log alone, for whoever watches it or holds a statement and asks whether it is in there.

use triad_log::{Hash, LogError, TileLog};

use crate::error::ChainError;
use crate::read::Reader;

/// A proof about the log, with the size and root it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    pub size: u64,
    pub root: Hash,
    pub path: Vec<Hash>,
}

impl Reader {
    /// The hash of a leaf and its inclusion proof (RFC 9162, 2.1.3) in the log of `size` leaves, or the newest. `None`: there is
    /// no such leaf, or the log has not that many.
    pub fn inclusion(&self, leaf: u64, size: Option<u64>) -> Result<Option<(Hash, LogProof)>, ChainError> {
        let newest = self.tip().0.log_size;
        let size = size.unwrap_or(newest);
        if leaf >= size || size > newest {
            return Ok(None);
        }
        let log = TileLog::new(self.ledger.0.store.as_ref(), size);
        let hash = log.leaf_hash(leaf).map_err(|e| self.lacks(e))?;
        let path = log.inclusion_proof(leaf).map_err(|e| self.lacks(e))?;
        let root = log.root().map_err(|e| self.lacks(e))?;
        Ok(Some((hash, LogProof { size, root, path })))
    }

    /// That the log of `from` leaves is the beginning of the one of `to`, or the newest (RFC 9162, 2.1.4), and the former's root.
    /// `None`: there are not that many, or `from` is above `to`.
    pub fn consistency(&self, from: u64, to: Option<u64>) -> Result<Option<(Hash, LogProof)>, ChainError> {
        let newest = self.tip().0.log_size;
        let size = to.unwrap_or(newest);
        if from > size || size > newest {
            return Ok(None);
        }
        let store = self.ledger.0.store.as_ref();
        let log = TileLog::new(store, size);
        let first = TileLog::new(store, from).root().map_err(|e| self.lacks(e))?;
        let path = log.consistency_proof(from).map_err(|e| self.lacks(e))?;
        let root = log.root().map_err(|e| self.lacks(e))?;
        Ok(Some((first, LogProof { size, root, path })))
    }

    /// Hashes from before a snapshot may be on their way.
    fn lacks(&self, error: LogError<ChainError>) -> ChainError {
        match error {
            LogError::Store(error) => error,
            LogError::ShortTile { .. } if self.base() > 0 => ChainError::NotKept { oldest: self.base() },
            other => ChainError::corrupt(format!("the log: {other}")),
        }
    }
}
