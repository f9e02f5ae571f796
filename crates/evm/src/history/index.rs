//! Which of the kept blocks replaced a value: in memory for a short window, rows on disk for a long one.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use alloy_primitives::map::DefaultHashBuilder;
use fjall::{Keyspace, OwnedWriteBatch};
use parking_lot::RwLock;

use super::at;
use crate::state::StateError;
use crate::store::{corrupt, store_error};

/// The longest window whose index is kept in memory: some 20 bytes for each value that one of its blocks replaced.
pub(super) const IN_MEMORY: u64 = 256;

const ROW: u8 = 2;

fn row(name: &[u8], height: u64) -> Vec<u8> {
    let mut key = vec![ROW];
    key.extend_from_slice(name);
    at(&key, height)
}

/// Heights by name. In memory a name is its hash, so that a height may turn out not to have it.
#[derive(Default)]
pub(super) struct Index {
    memory: RwLock<BTreeSet<(u64, u64)>>,
    hasher: DefaultHashBuilder,
}

impl Index {
    /// Notes what a block replaced before its batch is committed: whoever reads the head's old value and then finds no
    /// diff yet has read right.
    pub fn note(&self, names: impl Iterator<Item = impl AsRef<[u8]>>, height: u64) {
        let mut memory = self.memory.write();
        for name in names {
            memory.insert((self.hasher.hash_one(name.as_ref()), height));
        }
    }

    pub fn forget<'a>(&self, names: impl Iterator<Item = &'a [u8]>, height: u64) {
        let mut memory = self.memory.write();
        for name in names {
            memory.remove(&(self.hasher.hash_one(name), height));
        }
    }

    pub fn clear(&self) {
        self.memory.write().clear();
    }

    /// The first noted height from `first` on that may have replaced the value.
    pub fn next_in_memory(&self, name: &[u8], first: u64) -> Option<u64> {
        let hash = self.hasher.hash_one(name);
        let memory = self.memory.read();
        memory.range((hash, first)..=(hash, u64::MAX)).next().map(|(_, height)| *height)
    }

    pub fn put_row(space: &Keyspace, batch: &mut OwnedWriteBatch, name: &[u8], height: u64) {
        batch.insert(space, row(name, height), []);
    }

    pub fn remove_row(space: &Keyspace, batch: &mut OwnedWriteBatch, name: &[u8], height: u64) {
        batch.remove(space, row(name, height));
    }

    /// The first height from `first` on that replaced the value.
    pub fn next_on_disk(space: &Keyspace, name: &[u8], first: u64) -> Result<Option<u64>, StateError> {
        let Some(guard) = space.range(row(name, first)..=row(name, u64::MAX)).next() else { return Ok(None) };
        let key = guard.key().map_err(store_error("reading the history"))?;
        let height = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        height.map(Some).ok_or_else(|| corrupt("history index", "its key"))
    }
}
