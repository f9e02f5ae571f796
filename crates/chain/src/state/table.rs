//! A table of the committed state: what changed lately in RAM, the rest in a cache over the store.
//!
//! Writing every changed row in every block would cost more than everything else together, so a block's commit
//! writes, as one value, the changed rows that do not follow from the block itself ([`Record::is_derived`]), and in turn
//! one of [`BUCKETS`] buckets of the rows that changed since they were last written. After a restart the last `BUCKETS`
//! blocks are gone through again: what follows from them is derived and what they kept is laid over it, which gives
//! exactly the state of the last commit (see `start`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::records::TableId;
use crate::error::ChainError;

/// A row is written at the latest this many blocks after it changed; what so many blocks kept is stored.
pub(crate) const BUCKETS: u64 = 64;

/// A row type: its key, its table and its stored form.
pub(crate) trait Record: Clone + Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Ord + Send + Sync;
    const TABLE: TableId;
    fn write_key(key: &Self::Key, out: &mut Vec<u8>);
    fn read_key(bytes: &[u8]) -> Option<Self::Key>;
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Whether this row, changed in the given block, follows from that block's statements and verdicts and from the row
    /// before.
    fn is_derived(&self, _: Place) -> bool {
        false
    }
}

/// Where a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub height: u64,
    pub first_leaf: u64,
}

/// Changed rows; `None` is a removed one.
pub(crate) type Changes<R> = Map<<R as Record>::Key, Option<R>>;

/// Seeded at random, and several times as fast as the standard one. Nothing may depend on the order of a map.
pub(crate) type Hasher = foldhash::fast::RandomState;
pub(crate) type Map<K, V> = HashMap<K, V, Hasher>;

fn stored_key<R: Record>(key: &R::Key) -> Vec<u8> {
    let mut out = vec![R::TABLE as u8];
    R::write_key(key, &mut out);
    out
}

fn bucket(stored_key: &[u8]) -> usize {
    let spread = stored_key.iter().fold(0u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    ((spread >> 20) % BUCKETS) as usize
}

/// What one flush wrote, to be settled once the batch is durable.
pub(crate) struct Flushed<R: Record> {
    bucket: usize,
    rows: Vec<(R::Key, Option<R>)>,
}

struct Hot<R: Record> {
    rows: Map<R::Key, Option<R>>,
    buckets: Vec<HashSet<R::Key, Hasher>>,
}

impl<R: Record> Hot<R> {
    fn put(&mut self, key: &R::Key, row: &Option<R>) {
        if self.rows.insert(key.clone(), row.clone()).is_none() {
            self.buckets[bucket(&stored_key::<R>(key))].insert(key.clone());
        }
    }
}

/// A table of any size: only what changed lately, and a bounded cache, are in RAM.
pub(crate) struct Table<R: Record> {
    /// Height of the last block that changed a row since the store was opened.
    changed_at: AtomicU64,
    /// Whether there may be any row: many chains leave some tables empty, and asking those costs nothing.
    used: AtomicBool,
    hot: RwLock<Hot<R>>,
    cold: Cache<R::Key, Option<R>, UnitWeighter, Hasher>,
    store: fjall::Keyspace,
}

impl<R: Record> Table<R> {
    pub fn new(store: fjall::Keyspace, cached_rows: usize) -> Self {
        let buckets = vec![HashSet::default(); BUCKETS as usize];
        let hot = RwLock::new(Hot { rows: Map::default(), buckets });
        let weight = cached_rows as u64;
        let (hasher, lifecycle) = (Hasher::default(), DefaultLifecycle::default());
        let cold = Cache::with(cached_rows, weight, UnitWeighter, hasher, lifecycle);
        // What cannot be read now will be an error when it is asked for.
        let used = store.prefix([R::TABLE as u8]).next().is_some();
        Table { changed_at: AtomicU64::new(0), used: AtomicBool::new(used), hot, cold, store }
    }

    /// Height of the last block that changed a row since the store was opened.
    pub fn changed_at(&self) -> u64 {
        self.changed_at.load(Ordering::Acquire)
    }

    pub fn get(&self, key: &R::Key) -> Result<Option<R>, ChainError> {
        if !self.used.load(Ordering::Acquire) {
            return Ok(None);
        }
        // The lock is held over the miss path: otherwise a slow reader could put an old row into the cache after a
        // commit has replaced it.
        let hot = self.hot.read();
        if let Some(row) = hot.rows.get(key) {
            return Ok(row.clone());
        }
        if let Some(row) = self.cold.get(key) {
            return Ok(row);
        }
        let row = match self.store.get(stored_key::<R>(key))? {
            None => None,
            Some(bytes) => Some(R::decode(&bytes).ok_or_else(|| {
                ChainError::corrupt(format!("a row of table {:?} does not decode", R::TABLE))
            })?),
        };
        self.cold.insert(key.clone(), row.clone());
        Ok(row)
    }

    /// Adds to `batch` every row whose turn is `height`, as it is once `changes` apply.
    pub fn flush(&self, height: u64, changes: &Changes<R>, batch: &mut fjall::OwnedWriteBatch) -> Flushed<R> {
        let turn = (height % BUCKETS) as usize;
        let hot = self.hot.read();
        let mut rows: Vec<(R::Key, Option<R>)> = Vec::new();
        for key in &hot.buckets[turn] {
            if !changes.contains_key(key) {
                rows.push((key.clone(), hot.rows.get(key).cloned().flatten()));
            }
        }
        for (key, row) in changes {
            if bucket(&stored_key::<R>(key)) == turn {
                rows.push((key.clone(), row.clone()));
            }
        }
        for (key, row) in &rows {
            match row {
                Some(row) => {
                    let mut value = Vec::new();
                    row.encode(&mut value);
                    batch.insert(&self.store, stored_key::<R>(key), value);
                }
                None => batch.remove(&self.store, stored_key::<R>(key)),
            }
        }
        Flushed { bucket: turn, rows }
    }

    /// Makes a durable block's changes visible and moves what it flushed to the cache.
    pub fn settle(&self, height: u64, changes: &Changes<R>, flushed: Flushed<R>) {
        let mut hot = self.hot.write();
        if !changes.is_empty() {
            self.changed_at.store(height, Ordering::Release);
            self.used.store(true, Ordering::Release);
        }
        for (key, row) in changes {
            hot.put(key, row);
        }
        hot.buckets[flushed.bucket].clear();
        for (key, row) in flushed.rows {
            hot.rows.remove(&key);
            self.cold.insert(key, row);
        }
    }

    /// The rows that changed since they were last written.
    pub fn recent(&self) -> Changes<R> {
        self.hot.read().rows.clone()
    }

    /// Takes rows in that a restart derived again.
    pub fn absorb(&self, changes: &Changes<R>) {
        let mut hot = self.hot.write();
        self.used.fetch_or(!changes.is_empty(), Ordering::AcqRel);
        changes.iter().for_each(|(key, row)| hot.put(key, row));
    }

    /// Lays one row of a stored delta over the table.
    pub fn overlay(&self, key: &[u8], value: Option<&[u8]>) -> Option<()> {
        let key = R::read_key(key)?;
        let row = match value {
            Some(bytes) => Some(R::decode(bytes)?),
            None => None,
        };
        self.used.store(true, Ordering::Release);
        self.hot.write().put(&key, &row);
        Some(())
    }

    /// The rows behind `after` in key order, at most `limit`: the stored ones with the changed ones laid over.
    pub fn page(&self, after: Option<&R::Key>, limit: usize) -> Result<Vec<(R::Key, R)>, ChainError> {
        let start = match after {
            None => std::ops::Bound::Included(vec![R::TABLE as u8]),
            Some(key) => std::ops::Bound::Excluded(stored_key::<R>(key)),
        };
        let end = std::ops::Bound::Excluded(vec![R::TABLE as u8 + 1]);
        let hot = self.hot.read();
        let mut rows: BTreeMap<R::Key, R> = BTreeMap::new();
        let mut last = None;
        for guard in self.store.range::<Vec<u8>, _>((start, end)) {
            let (key, value) = guard.into_inner()?;
            let damaged = || ChainError::corrupt(format!("a row of table {:?} does not decode", R::TABLE));
            let key = R::read_key(&key[1..]).ok_or_else(damaged)?;
            if !hot.rows.contains_key(&key) {
                rows.insert(key.clone(), R::decode(&value).ok_or_else(damaged)?);
            }
            last = Some(key);
            if rows.len() >= limit {
                break;
            }
        }
        // Changed rows count as far as the stored ones were read.
        let full = rows.len() >= limit;
        for (key, row) in &hot.rows {
            let wanted =
                after.is_none_or(|after| key > after) && (!full || last.as_ref().is_none_or(|l| key <= l));
            if let (true, Some(row)) = (wanted, row) {
                rows.insert(key.clone(), row.clone());
            }
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// Visits every row, in key order: the stored ones with the changed ones laid over.
    pub fn for_each(&self, mut visit: impl FnMut(&R::Key, &R)) -> Result<(), ChainError> {
        let mut rows: BTreeMap<R::Key, R> = BTreeMap::new();
        for guard in self.store.prefix([R::TABLE as u8]) {
            let (key, value) = guard.into_inner()?;
            let damaged = || ChainError::corrupt(format!("a row of table {:?} does not decode", R::TABLE));
            let key = R::read_key(&key[1..]).ok_or_else(damaged)?;
            rows.insert(key, R::decode(&value).ok_or_else(damaged)?);
        }
        for (key, row) in &self.hot.read().rows {
            match row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        rows.iter().for_each(|(key, row)| visit(key, row));
        Ok(())
    }
}

/// Is shown a row: the bytes of its key and of its value.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), ChainError> + 'a;

/// Visits every row of a table with its key, by the key's bytes: the `stored` ones with the recent ones laid over.
pub(crate) fn merged<R: Record>(
    recent: &Changes<R>,
    stored: fjall::Iter,
    visit: &mut Visit<'_>,
) -> Result<(), ChainError> {
    let mut recent: Vec<(Vec<u8>, &Option<R>)> = recent
        .iter()
        .map(|(key, row)| {
            let mut name = Vec::new();
            R::write_key(key, &mut name);
            (name, row)
        })
        .collect();
    recent.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut recent = recent.into_iter().peekable();
    let mut value = Vec::new();
    let mut show = |key: &[u8], row: &Option<R>, visit: &mut Visit<'_>| match row {
        None => Ok(()),
        Some(row) => {
            value.clear();
            row.encode(&mut value);
            visit(key, &value)
        }
    };
    for guard in stored {
        let (name, bytes) = guard.into_inner()?;
        let name = &name[1..];
        while let Some((key, row)) = recent.next_if(|(key, _)| key.as_slice() < name) {
            show(&key, row, visit)?;
        }
        match recent.next_if(|(key, _)| key.as_slice() == name) {
            Some((key, row)) => show(&key, row, visit)?,
            None => visit(name, &bytes)?,
        }
    }
    for (key, row) in recent {
        show(&key, row, visit)?;
    }
    Ok(())
}

/// A small table whose rows are visited in key order: all of it is in RAM.
pub(crate) struct Ordered<R: Record> {
    table: Table<R>,
    rows: RwLock<BTreeMap<R::Key, R>>,
}

impl<R: Record> Ordered<R> {
    pub fn new(store: fjall::Keyspace) -> Self {
        Ordered { table: Table::new(store, 16), rows: RwLock::new(BTreeMap::new()) }
    }

    /// Reads the stored rows; call it after the deltas were laid over.
    pub fn load(&self) -> Result<(), ChainError> {
        let mut rows = self.rows.write();
        rows.clear();
        self.table.for_each(|key, row| {
            rows.insert(key.clone(), row.clone());
        })
    }

    pub fn overlay(&self, key: &[u8], value: Option<&[u8]>) -> Option<()> {
        self.table.overlay(key, value)
    }

    pub fn recent(&self) -> Changes<R> {
        self.table.recent()
    }

    pub fn flush(&self, height: u64, changes: &Changes<R>, batch: &mut fjall::OwnedWriteBatch) -> Flushed<R> {
        self.table.flush(height, changes, batch)
    }

    pub fn settle(&self, height: u64, changes: &Changes<R>, flushed: Flushed<R>) {
        let mut rows = self.rows.write();
        for (key, row) in changes {
            match row {
                Some(row) => rows.insert(key.clone(), row.clone()),
                None => rows.remove(key),
            };
        }
        self.table.settle(height, changes, flushed);
    }

    /// The rows up to and including `last`, at most `limit`, with `layers` (newest first) laid over.
    pub fn up_to(&self, last: &R::Key, limit: usize, layers: &[&Changes<R>]) -> Vec<(R::Key, R)> {
        let mut seen: BTreeMap<R::Key, Option<R>> = BTreeMap::new();
        for changes in layers {
            for (key, row) in changes.iter().filter(|(key, _)| *key <= last) {
                seen.entry(key.clone()).or_insert_with(|| row.clone());
            }
        }
        let rows = self.rows.read();
        // Removed rows of the layers can hide at most that many committed ones.
        for (key, row) in rows.range(..=last.clone()).take(limit.saturating_add(seen.len())) {
            seen.entry(key.clone()).or_insert_with(|| Some(row.clone()));
        }
        seen.into_iter().filter_map(|(key, row)| Some((key, row?))).take(limit).collect()
    }

    #[cfg(test)]
    pub fn table(&self) -> &Table<R> {
        &self.table
    }

    pub fn first_key(&self) -> Option<R::Key> {
        self.rows.read().keys().next().cloned()
    }

    pub fn len(&self) -> usize {
        self.rows.read().len()
    }
}
