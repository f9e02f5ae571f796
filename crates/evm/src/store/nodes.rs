//! The nodes of the tries on disk, with those in memory that are read again: branches and extensions. A leaf is hardly
//! ever read, since who changes it mostly knows its value, and there are more leaves than all others together.

use super::caches::{ByteCache, byte_cache, cached};
use super::store_error;
use crate::state::{NodeKey, StateError};
use crate::trie::is_leaf;
use alloy_primitives::Bytes;
use alloy_primitives::map::HashMap;
use fjall::{Keyspace, OwnedWriteBatch, Readable, Snapshot, UserValue};

pub(crate) struct NodeStore {
    space: Keyspace,
    cache: ByteCache<NodeKey>,
}

fn found(stored: fjall::Result<Option<UserValue>>) -> Result<Option<Bytes>, StateError> {
    Ok(stored.map_err(store_error("reading a trie node"))?.map(|bytes| Bytes(bytes.into())))
}

impl NodeStore {
    pub fn new(space: Keyspace, cache_bytes: u64) -> Self {
        NodeStore { space, cache: byte_cache(cache_bytes, 500) }
    }

    #[cfg(test)]
    pub fn rows(&self) -> usize {
        self.space.len().unwrap()
    }

    pub fn get(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        cached(&self.cache, key, |node| !is_leaf(node), || found(self.space.get(key.to_bytes())))
    }

    /// A node as a snapshot has it.
    pub fn get_in(&self, snapshot: &Snapshot, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        found(snapshot.get(&self.space, key.to_bytes()))
    }

    /// Adds changed nodes to a block's batch.
    pub fn apply(&self, batch: &mut OwnedWriteBatch, changes: &HashMap<NodeKey, Option<Bytes>>) {
        let mut nodes: Vec<_> = changes.iter().map(|(key, node)| (key.to_bytes(), node)).collect();
        nodes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, node) in nodes {
            match node {
                Some(node) => batch.insert(&self.space, key, node.0.clone()),
                None => batch.remove(&self.space, key),
            }
        }
    }

    /// Brings the cache up to date, once the batch is committed.
    pub fn committed(&self, changes: &HashMap<NodeKey, Option<Bytes>>) {
        for (key, node) in changes {
            match node {
                Some(node) if !is_leaf(node) => self.cache.insert(*key, node.clone()),
                // Also the place of a reader that is loading the older node.
                _ => drop(self.cache.remove(key)),
            }
        }
    }
}
