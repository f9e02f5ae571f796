//! Final blocks for peers that were off for long.
//!
//! By height for a block with a certificate of its own. A block without one (a descendant's made it final) is asked for by
//! its digest; there are few of these, and their digests are gathered when the first is asked for.

use std::collections::HashMap;

use bytes::Bytes;
use fjall::PersistMode;
use parking_lot::Mutex;

use crate::error::ChainError;
use crate::ledger::Ledger;

/// Digests of final blocks without a certificate of their own.
#[derive(Debug, Default)]
pub(crate) struct Uncertified(Mutex<(u64, HashMap<[u8; 32], u64>)>);

/// A stored block and the encoded certificate of exactly its height, if there is one.
#[derive(Debug, Clone)]
pub struct FinalBlock {
    pub bytes: Bytes,
    pub certificate: Option<Vec<u8>>,
}

impl Ledger {
    /// The final block at a height.
    pub fn final_block(&self, height: u64) -> Result<Option<FinalBlock>, ChainError> {
        let store = &self.0.store;
        let (Some(block), Some(stored)) = (store.block(height)?, store.checkpoint(height)?) else {
            return Ok(None);
        };
        Ok(Some(FinalBlock { bytes: block.bytes, certificate: stored.certificate }))
    }

    /// The certified block on which consensus stands here, where this ledger began with a snapshot.
    pub fn floor(&self) -> Result<Option<u64>, ChainError> {
        self.0.store.floor()
    }

    /// From now on consensus stands on the newest block here, as a ledger's does that began with a snapshot: its journal is lost.
    /// Returns that block's height; 0 needs nothing.
    pub fn stand_on_newest(&self) -> Result<u64, ChainError> {
        let (store, height) = (&self.0.store, self.height());
        if height > 0 {
            if store.checkpoint(height)?.is_none_or(|stored| stored.certificate.is_none()) {
                return Err(ChainError::corrupt(format!("block {height} has no certificate of its own")));
            }
            let mut batch = store.batch().durability(Some(PersistMode::SyncAll));
            batch.insert(&store.meta, "floor", height.to_be_bytes());
            batch.commit()?;
        }
        Ok(height)
    }

    /// Digest of a final block.
    pub fn digest_of(&self, height: u64) -> Result<Option<[u8; 32]>, ChainError> {
        Ok(self.0.store.checkpoint(height)?.map(|stored| stored.checkpoint.digest()))
    }

    /// The height of a final block that has no certificate of its own. The first call goes through all checkpoints.
    pub fn uncertified(&self, digest: &[u8; 32]) -> Result<Option<u64>, ChainError> {
        let mut known = self.0.uncertified.0.lock();
        let (seen, heights) = &mut *known;
        for height in (*seen).max(self.0.store.base()?) + 1..=self.height() {
            if let Some(stored) = self.0.store.checkpoint(height)?
                && stored.certificate.is_none()
            {
                heights.insert(stored.checkpoint.digest(), height);
            }
            *seen = height;
        }
        Ok(heights.get(digest).copied())
    }
}
