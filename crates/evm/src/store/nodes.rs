//! The nodes of the tries, on disk and in memory.
//!
//! Near the root every block changes the same nodes again, so they are not written by every block. The newest form of a
//! changed node waits in memory until [`WRITE_EVERY`] blocks have passed or those that wait take much room; then all are
//! written in one block's batch, and its height with them. However the process ends, the stored tries are those of that
//! height. Which accounts and slots have changed since is in the history, which keeps those blocks for it, and their
//! values are in the flat state: so the nodes are made again ([`EvmStore::keep_history`]). Without history, and by
//! genesis, they are written at once.
//!
//! Of the written ones branches and extensions are cached. A leaf is hardly ever read, since who changes it mostly knows
//! its value, and there are more leaves than all others together.
//!
//! [`EvmStore::keep_history`]: crate::EvmStore::keep_history

use super::caches::{ByteCache, ENTRY_OVERHEAD, byte_cache, cached};
use super::{CacheSizes, corrupt, store_error};
use crate::state::{NodeKey, StateError};
use crate::trie::is_leaf;
use alloy_primitives::Bytes;
use alloy_primitives::map::HashMap;
use fjall::{Database, Keyspace, OwnedWriteBatch, Readable, Snapshot, UserValue};
use parking_lot::RwLock;
use std::sync::Arc;

/// Blocks after which nodes are written at the latest.
pub(crate) const WRITE_EVERY: u64 = 32;

/// The row beside the nodes with the height whose tries they are. The key is no node's.
const WRITTEN: [u8; 1] = [2];

type Nodes = HashMap<NodeKey, Option<Bytes>>;

pub(crate) struct NodeStore {
    space: Keyspace,
    cache: ByteCache<NodeKey>,
    /// Bytes that may wait.
    room: u64,
    waiting: RwLock<Waiting>,
}

/// The nodes that are not written yet.
#[derive(Default)]
struct Waiting {
    nodes: Arc<Nodes>,
    bytes: u64,
    /// The height of the stored tries, and of those with these nodes laid over.
    written: u64,
    height: u64,
    /// The block whose batch is being committed, and whether that writes the nodes.
    committing: u64,
    writing: bool,
}

/// The tries after a block, whatever is committed meanwhile.
pub(crate) struct Frozen {
    pub snapshot: Snapshot,
    pub height: u64,
    waiting: Arc<Nodes>,
}

fn found(stored: fjall::Result<Option<UserValue>>) -> Result<Option<Bytes>, StateError> {
    Ok(stored.map_err(store_error("reading a trie node"))?.map(|bytes| Bytes(bytes.into())))
}

fn written(stored: fjall::Result<Option<UserValue>>) -> Result<Option<u64>, StateError> {
    let Some(bytes) = stored.map_err(store_error("reading the height of the tries"))? else {
        return Ok(None);
    };
    let height = bytes.as_ref().try_into().map(u64::from_be_bytes);
    height.map(Some).map_err(|_| corrupt("height of the tries", "its key"))
}

fn size(node: Option<&Bytes>) -> u64 {
    ENTRY_OVERHEAD + node.map_or(0, |bytes| bytes.len() as u64)
}

impl NodeStore {
    pub fn new(space: Keyspace, sizes: &CacheSizes) -> Self {
        let cache = byte_cache(sizes.node_bytes, 500);
        NodeStore { space, cache, room: sizes.waiting_node_bytes, waiting: RwLock::default() }
    }

    /// The height of the tries, when the last commit is that of `head`.
    pub fn open(&self, head: u64) -> Result<u64, StateError> {
        let mut waiting = self.waiting.write();
        if waiting.height == 0 {
            waiting.written = match written(self.space.get(WRITTEN))? {
                Some(height) => height,
                // Earlier versions wrote all nodes at once, and no height.
                None => {
                    let wrote = self.space.insert(WRITTEN, head.to_be_bytes());
                    wrote.map_err(store_error("writing the height of the tries"))?;
                    head
                }
            };
            waiting.height = waiting.written;
        }
        Ok(waiting.height)
    }

    /// The height of the stored tries.
    pub fn written(&self) -> u64 {
        self.waiting.read().written
    }

    #[cfg(test)]
    pub fn rows(&self) -> usize {
        self.space.len().unwrap()
    }

    pub fn get(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        if let Some(node) = self.waiting.read().nodes.get(key) {
            return Ok(node.clone());
        }
        cached(&self.cache, key, |node| !is_leaf(node), || found(self.space.get(key.to_bytes())))
    }

    /// The tries after the last block, or after the one whose commit is not known here yet.
    pub fn freeze(&self, database: &Database) -> Result<Frozen, StateError> {
        let waiting = self.waiting.read();
        let snapshot = database.snapshot();
        match written(snapshot.get(&self.space, WRITTEN))? {
            Some(height) if height > waiting.height => {
                Ok(Frozen { snapshot, height, waiting: Arc::default() })
            }
            _ => Ok(Frozen { snapshot, height: waiting.height, waiting: Arc::clone(&waiting.nodes) }),
        }
    }

    pub fn get_frozen(&self, frozen: &Frozen, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        match frozen.waiting.get(key) {
            Some(node) => Ok(node.clone()),
            None => found(frozen.snapshot.get(&self.space, key.to_bytes())),
        }
    }

    /// Adds the nodes to a block's batch if it is time, or `at_once`.
    pub fn apply(&self, batch: &mut OwnedWriteBatch, height: u64, changes: &Nodes, at_once: bool) {
        let mut waiting = self.waiting.write();
        let bytes = changes.values().fold(waiting.bytes, |bytes, node| bytes + size(node.as_ref()));
        waiting.writing = at_once || bytes >= self.room || height - waiting.written >= WRITE_EVERY;
        waiting.committing = height;
        if !waiting.writing {
            return;
        }
        self.put(batch, newest(&waiting.nodes, changes));
        batch.insert(&self.space, WRITTEN, height.to_be_bytes());
    }

    /// Adds nodes to a batch, whatever block they are of.
    pub fn put<'a>(
        &self,
        batch: &mut OwnedWriteBatch,
        nodes: impl Iterator<Item = (&'a NodeKey, &'a Option<Bytes>)>,
    ) {
        let mut nodes: Vec<_> = nodes.map(|(key, node)| (key.to_bytes(), node)).collect();
        nodes.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, node) in nodes {
            match node {
                Some(node) => batch.insert(&self.space, key, node.0.clone()),
                None => batch.remove(&self.space, key),
            }
        }
    }

    /// Lets the nodes wait, or caches those that were written, once the batch is committed.
    pub fn committed(&self, changes: &Nodes) {
        let (height, writing) = {
            let waiting = self.waiting.read();
            (waiting.committing, waiting.writing)
        };
        if !writing {
            self.wait(height, changes);
            return;
        }
        let waiting = Arc::clone(&self.waiting.read().nodes);
        for (key, node) in newest(&waiting, changes) {
            match node {
                Some(node) if !is_leaf(node) => self.cache.insert(*key, node.clone()),
                // Also the place of a reader that is loading the older node.
                _ => drop(self.cache.remove(key)),
            }
        }
        *self.waiting.write() = Waiting { written: height, height, ..Waiting::default() };
    }

    /// Lays changed nodes over those that wait: they are then the tries after `height`.
    pub fn wait(&self, height: u64, changes: &Nodes) {
        let mut waiting = self.waiting.write();
        let mut bytes = waiting.bytes;
        let nodes = Arc::make_mut(&mut waiting.nodes);
        for (key, node) in changes {
            bytes += size(node.as_ref());
            if let Some(older) = nodes.insert(*key, node.clone()) {
                bytes -= size(older.as_ref());
            }
        }
        waiting.bytes = bytes;
        waiting.height = height;
    }
}

/// Everything in either, as the newer has it.
fn newest<'a>(older: &'a Nodes, newer: &'a Nodes) -> impl Iterator<Item = (&'a NodeKey, &'a Option<Bytes>)> {
    older.iter().filter(|(key, _)| !newer.contains_key(*key)).chain(newer)
}
