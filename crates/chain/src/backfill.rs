//! The log's older hashes, fetched from other nodes after beginning with a snapshot.
//!
//! A snapshot brings the log's right edge: the last, incomplete tile of each level. Every complete tile before it is named by
//! an entry of a tile one level up, so going from the top down each one is checked the moment it comes, whoever sends it: the
//! root of its hashes is the entry. The topmost are entries of the edge, which the snapshot's checkpoint holds. Once all are
//! here, this node proves every leaf as one that was there from the beginning.

use triad_log::{TILE_WIDTH, TileSource as _, tile_root};

use crate::error::ChainError;
use crate::ledger::Ledger;
use crate::read::Reader;
use crate::store::tile_key;

/// Tiles asked for at once (128 KiB).
pub const MAX_TILES: u64 = 16;
/// Tiles above each other: 256^8 leaves.
const LEVELS: u8 = 8;

/// Complete tiles of one level, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileRun {
    pub level: u8,
    pub first: u64,
    pub count: u64,
}

/// What is missing, from the top of the log down.
#[derive(Debug)]
pub struct Backfill {
    ledger: Ledger,
    /// Leaves that the snapshot had.
    size: u64,
    next: Option<TileRun>,
}

/// Complete tiles of a level in a log of `size` leaves.
fn complete(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * (u32::from(level) + 1)).unwrap_or(0)
}

impl Ledger {
    /// What this ledger lacks of the log's hashes; `None`: nothing.
    pub fn backfill(&self) -> Result<Option<Backfill>, ChainError> {
        let base = self.0.store.base()?;
        let Some(stored) = self.0.store.checkpoint(base)?.filter(|_| base > 0) else { return Ok(None) };
        let mut all = Backfill { ledger: self.clone(), size: stored.checkpoint.log_size, next: None };
        all.next = all.missing_from(LEVELS - 1, 0)?;
        Ok(all.next.is_some().then_some(all))
    }

    /// The bytes of these tiles, one after the other; `None` if one of them is not here, or not complete.
    pub fn tiles(&self, run: TileRun) -> Result<Option<Vec<u8>>, ChainError> {
        let (level, size) = (run.level, Reader::new(self.clone()).tip().0.log_size);
        let end = run.first.checked_add(run.count);
        if level >= LEVELS || run.count > MAX_TILES || end.is_none_or(|end| end > complete(size, level)) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for index in run.first..run.first + run.count {
            match self.0.store.tiles.get(tile_key(level, index))? {
                Some(tile) => bytes.extend_from_slice(&tile),
                None => return Ok(None),
            }
        }
        Ok(Some(bytes))
    }
}

impl Backfill {
    /// What to ask for next; `None`: everything is here.
    pub fn wanted(&self) -> Option<TileRun> {
        self.next
    }

    /// Tiles at or below the present level that are asked about yet.
    pub fn remaining(&self) -> u64 {
        let Some(next) = self.next else { return 0 };
        let below: u64 = (0..next.level).map(|level| complete(self.size, level)).sum();
        below + complete(self.size, next.level) - next.first
    }

    /// Takes what was asked for. False: these are not the log's hashes, and nothing is kept.
    pub fn put(&mut self, bytes: &[u8]) -> Result<bool, ChainError> {
        let Some(run) = self.next else { return Ok(false) };
        let store = &self.ledger.0.store;
        let (hashes, rest) = bytes.as_chunks::<32>();
        let (tiles, partial) = hashes.as_chunks::<TILE_WIDTH>();
        if !rest.is_empty() || !partial.is_empty() || tiles.len() as u64 != run.count {
            return Ok(false);
        }
        let above = store.tile(run.level + 1, run.first >> 8)?;
        let mut batch = store.batch();
        for (index, tile) in (run.first..).zip(tiles) {
            // A run lies under one tile of the level above, which came before it.
            let entry = above.get((index & 0xff) as usize).ok_or_else(|| {
                ChainError::corrupt(format!("the log's tile above {}/{index} is too short", run.level))
            })?;
            if tile_root(tile) != *entry {
                return Ok(false);
            }
            batch.insert(&store.tiles, tile_key(run.level, index), tile.as_flattened());
        }
        batch.commit()?;
        self.next = self.missing_from(run.level, run.first + run.count)?;
        Ok(true)
    }

    /// The first run at or after a tile, downwards, of which something is missing.
    fn missing_from(&self, level: u8, index: u64) -> Result<Option<TileRun>, ChainError> {
        let store = &self.ledger.0.store;
        let mut index = index;
        for level in (0..=level).rev() {
            let end = complete(self.size, level);
            while index < end {
                if !store.tiles.contains_key(tile_key(level, index))? {
                    let count = (MAX_TILES - index % MAX_TILES).min(end - index);
                    return Ok(Some(TileRun { level, first: index, count }));
                }
                index += 1;
            }
            index = 0;
        }
        Ok(None)
    }
}
