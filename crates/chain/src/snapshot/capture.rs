//! Taking a snapshot: the state after a block, while later blocks are committed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::Readable as _;
use triad_log::{Checkpoint, Hash, Tile};

use super::rows::*;
use crate::error::ChainError;
use crate::execute::Executed;
use crate::state::Tables;
use crate::store::{Store, tile_key};

/// The state after one block: the store as it was then, and what was not written yet.
pub(crate) struct Capture {
    store: Arc<Store>,
    at: fjall::Snapshot,
    recent: Tables,
    edge: Vec<Tile>,
    first_leaf: u64,
    pub checkpoint: Checkpoint,
}

/// What the chunks came to.
pub(crate) struct Written {
    pub chunks: Vec<Hash>,
    pub bytes: u64,
}

impl Capture {
    /// Call it between this block's commit and the next.
    pub fn take(store: &Arc<Store>, executed: &Executed) -> Capture {
        Capture {
            store: store.clone(),
            at: store.snapshot(),
            recent: store.state.recent(),
            edge: executed.log.edge(),
            first_leaf: executed.first_leaf,
            checkpoint: executed.block.checkpoint,
        }
    }

    /// Lets go of the moment and keeps the store.
    pub fn into_store(self) -> Arc<Store> {
        self.store
    }

    /// Writes all chunks to `dir`; `None` when it was stopped.
    pub fn write(&self, dir: &Path, stop: &AtomicBool) -> Result<Option<Written>, ChainError> {
        let mut out = ChunkWriter::new(dir);
        match self.rows(|space, key, value| {
            if stop.load(Ordering::Relaxed) {
                return Err(ChainError::Stopped);
            }
            out.row(space, key, value)
        }) {
            Err(ChainError::Stopped) => return Ok(None),
            other => other?,
        }
        out.flush()?;
        Ok(Some(Written { chunks: out.chunks, bytes: out.bytes }))
    }

    fn rows(
        &self,
        mut row: impl FnMut(u8, &[u8], &[u8]) -> Result<(), ChainError>,
    ) -> Result<(), ChainError> {
        let (store, at) = (&self.store, &self.at);
        self.recent.over(|table| at.prefix(&store.rows, [table]), &mut row)?;
        let evm = store.evm.flat();
        for (space, keyspace) in [
            (ACCOUNTS, evm.accounts),
            (STORAGE, evm.storage),
            (CODE, evm.code),
            (HASHES, evm.hashes),
            (KEYS, &store.keys),
        ] {
            for guard in at.iter(keyspace) {
                let (key, value) = guard.into_inner()?;
                row(space, &key, &value)?;
            }
        }
        for tile in &self.edge {
            row(TILES, &tile_key(tile.level, tile.index), tile.bytes())?;
        }
        let height = self.checkpoint.height.0.to_be_bytes();
        for (space, keyspace) in [(BLOCK, &store.blocks), (ETH_BLOCK, &store.eth_blocks)] {
            let value = at.get(keyspace, height)?;
            row(space, &height, &value.ok_or_else(|| ChainError::corrupt("a block is missing"))?)?;
        }
        if let Some(verdicts) = at.get(&store.verdicts, height)? {
            row(VERDICTS, &height, &verdicts)?;
        }
        row(LEAVES, &self.first_leaf.to_be_bytes(), &height)
    }
}
