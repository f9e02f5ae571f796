//! The state after past blocks: the head's, and what every block since has replaced.
//!
//! A block's commit stores the *old* value of each account, slot and trie node that it changes (a reverse diff). The
//! value after block N is then the one that the first block above N replaced, or the head's where none did. Code is
//! never removed and needs no history.
//!
//! | key in `evm_history` | value |
//! | --- | --- |
//! | 0x00 | the oldest height whose state could be told when the node last opened, and the window then (8 + 8, big endian) |
//! | 0x01 ‖ address ‖ height | the account before the block at that height, empty where there was none |
//! | 0x02 ‖ address ‖ slot ‖ height | the slot before it, empty for zero |
//! | 0x03 ‖ 0x00, or 0x01 and the owner ‖ number of nibbles ‖ packed nibbles ‖ height | the node before it, empty where there was none |
//! | 0x04 ‖ height | the keys that this block wrote here, without their height, each after its length (1); pruning reads it |
//! | 0x05 ‖ height | the block's system calls ([`crate::SystemCall`]), RLP |
//!
//! No key is a prefix of another one of its kind, so one seek finds the first height above N. A block that changes
//! nothing and calls no system contract writes nothing. A block's commit also removes what the oldest kept block no
//! longer needs; whoever reads a past state pins it, and pruning waits for the pin.

use crate::executor::SystemCall;
use crate::state::{Account, NodeKey, StateChanges, StateError, StateView};
use crate::store::{EvmStore, corrupt, decode_account, decode_slot, encode_account, store_error};
use alloy_primitives::{Address, B256, Bytes, U256};
use fjall::{Keyspace, OwnedWriteBatch};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps the state of every block.
pub const ARCHIVE: u64 = u64::MAX;

/// Blocks whose reverse diffs one commit removes at most: a window that was made smaller is caught up with in turn.
const PRUNED_AT_ONCE: u64 = 64;

const META: [u8; 1] = [0];
const ACCOUNT: u8 = 1;
const SLOT: u8 = 2;
const NODE: u8 = 3;
const LIST: u8 = 4;
const CALLS: u8 = 5;

/// The state of a block that is asked for is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state of block {height} is not kept, the oldest kept is that of block {oldest}: a node with a larger \
     --history, or with --archive, keeps more from the time it is started so"
)]
pub struct NotKept {
    pub height: u64,
    pub oldest: u64,
}

/// What is read, and may not be pruned yet.
#[derive(Debug, Default)]
struct Pins {
    heights: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    readers: BTreeMap<u64, usize>,
    /// The oldest height whose state can be told.
    oldest: u64,
}

/// Holds the state after one block: while it lives, that state is not pruned.
#[derive(Debug)]
pub struct Kept {
    pins: Arc<Pins>,
    height: u64,
}

impl Kept {
    pub fn height(&self) -> u64 {
        self.height
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut held = self.pins.heights.lock();
        if let Some(readers) = held.readers.get_mut(&self.height) {
            *readers -= 1;
            if *readers == 0 {
                held.readers.remove(&self.height);
            }
        }
    }
}

pub(crate) struct History {
    space: Keyspace,
    /// Past blocks whose state is kept; zero until [`EvmStore::keep_history`], which turns recording on.
    window: AtomicU64,
    /// The last height whose commit has begun.
    begun: AtomicU64,
    /// What blocks up to here wrote is gone.
    pruned: AtomicU64,
    pins: Arc<Pins>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("window", &self.window).finish_non_exhaustive()
    }
}

/// Name of a value without the height.
fn account_key(address: &Address) -> Vec<u8> {
    let mut key = vec![ACCOUNT];
    key.extend_from_slice(address.as_slice());
    key
}

fn slot_key(address: &Address, slot: &U256) -> Vec<u8> {
    let mut key = vec![SLOT];
    key.extend_from_slice(address.as_slice());
    key.extend_from_slice(&slot.to_be_bytes::<32>());
    key
}

fn node_key(node: &NodeKey) -> Vec<u8> {
    let mut key = vec![NODE, u8::from(node.owner.is_some())];
    if let Some(owner) = &node.owner {
        key.extend_from_slice(owner.as_slice());
    }
    // A path has at most 64 nibbles.
    key.push(node.path.len() as u8);
    key.extend_from_slice(&node.path.pack());
    key
}

fn at(name: &[u8], height: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 8);
    key.extend_from_slice(name);
    key.extend_from_slice(&height.to_be_bytes());
    key
}

/// What one block writes.
struct Writer<'a> {
    space: &'a Keyspace,
    batch: &'a mut OwnedWriteBatch,
    height: u64,
    list: Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, name: &[u8], value: &[u8]) {
        self.batch.insert(self.space, at(name, self.height), value);
        // At most 67 bytes.
        self.list.push(name.len() as u8);
        self.list.extend_from_slice(name);
    }
}

impl History {
    pub(crate) fn new(space: Keyspace) -> Self {
        History {
            space,
            window: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            pruned: AtomicU64::new(0),
            pins: Arc::default(),
        }
    }

    /// The oldest height that the stored history reaches back to, if any was kept.
    fn reach(&self, head: u64) -> Result<Option<u64>, StateError> {
        let Some(bytes) = self.space.get(META).map_err(store_error("reading the history"))? else {
            return Ok(None);
        };
        let number = |part: Option<&[u8]>| part.and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
        match (number(bytes.get(..8)), number(bytes.get(8..))) {
            (Some(oldest), Some(window)) => Ok(Some(oldest.max(head.saturating_sub(window)))),
            _ => Err(corrupt("history window", "its key")),
        }
    }

    fn open(&self, window: u64, head: u64) -> Result<(), StateError> {
        let oldest = match self.reach(head)? {
            Some(reach) => reach.max(head.saturating_sub(window)),
            None => head,
        };
        let mut meta = oldest.to_be_bytes().to_vec();
        meta.extend_from_slice(&window.to_be_bytes());
        self.space.insert(META, meta).map_err(store_error("writing the history"))?;
        let mut pruned = oldest;
        if let Some(guard) = self.space.prefix([LIST]).next() {
            let (key, _) = guard.into_inner().map_err(store_error("reading the history"))?;
            let first = key.get(1..).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
            pruned = pruned.min(first.ok_or_else(|| corrupt("history list", "its key"))?.saturating_sub(1));
        }
        self.pruned.store(pruned, Ordering::SeqCst);
        self.begun.store(head, Ordering::SeqCst);
        self.pins.heights.lock().oldest = oldest;
        self.window.store(window, Ordering::SeqCst);
        Ok(())
    }

    /// Adds the old value of everything that a block changes, and removes what is no longer needed. `store` is still
    /// as the block's parent left it.
    pub(crate) fn record(
        &self,
        store: &EvmStore,
        batch: &mut OwnedWriteBatch,
        height: u64,
        changes: &StateChanges,
        system_calls: &[SystemCall],
    ) -> Result<(), StateError> {
        let window = self.window.load(Ordering::SeqCst);
        if window == 0 || height == 0 {
            return Ok(());
        }
        let mut out = Writer { space: &self.space, batch, height, list: Vec::new() };
        for (address, account) in sorted(changes.accounts.iter()) {
            let old = store.account(address)?;
            if old != *account {
                out.put(&account_key(address), &old.as_ref().map_or(Vec::new(), encode_account));
            }
        }
        for ((address, slot), value) in sorted(changes.storage.iter()) {
            let old = store.storage(address, slot)?;
            if old != *value {
                out.put(&slot_key(address, slot), &old.to_be_bytes_trimmed_vec());
            }
        }
        let mut nodes = Vec::with_capacity(changes.nodes.len());
        for (key, node) in &changes.nodes {
            let old = store.node(key)?;
            if old != *node {
                nodes.push((node_key(key), old.unwrap_or_default()));
            }
        }
        nodes.sort_unstable();
        for (name, old) in nodes {
            out.put(&name, &old);
        }
        if !system_calls.is_empty() {
            let mut calls = Vec::new();
            alloy_rlp::encode_list::<_, SystemCall>(system_calls, &mut calls);
            out.put(&[CALLS], &calls);
        }
        let list = out.list;
        if !list.is_empty() {
            batch.insert(&self.space, at(&[LIST], height), list);
        }
        self.prune(batch, height, window)?;
        self.begun.store(height, Ordering::SeqCst);
        Ok(())
    }

    fn prune(&self, batch: &mut OwnedWriteBatch, height: u64, window: u64) -> Result<(), StateError> {
        let oldest = {
            let mut held = self.pins.heights.lock();
            let wanted = height.saturating_sub(window);
            let pinned = held.readers.keys().next().copied().unwrap_or(u64::MAX);
            held.oldest = held.oldest.max(wanted.min(pinned));
            held.oldest
        };
        // What block h replaced is needed by states before h only.
        let first = self.pruned.load(Ordering::SeqCst) + 1;
        let last = oldest.min(first.saturating_add(PRUNED_AT_ONCE - 1));
        for gone in first..=last {
            let list = at(&[LIST], gone);
            let Some(names) = self.space.get(&list).map_err(store_error("reading the history"))? else {
                continue;
            };
            let mut rest: &[u8] = &names;
            while let Some((length, after)) = rest.split_first() {
                let Some((name, after)) = after.split_at_checked(usize::from(*length)) else {
                    return Err(corrupt("history list", gone));
                };
                batch.remove(&self.space, at(name, gone));
                rest = after;
            }
            batch.remove(&self.space, list);
        }
        self.pruned.fetch_max(last, Ordering::SeqCst);
        Ok(())
    }

    /// What the first block above `height` replaced under this name.
    fn replaced(&self, name: &[u8], height: u64) -> Result<Option<fjall::UserValue>, StateError> {
        let (first, last) = (at(name, height.saturating_add(1)), at(name, u64::MAX));
        match self.space.range(first..=last).next() {
            None => Ok(None),
            Some(guard) => guard.value().map(Some).map_err(store_error("reading the history")),
        }
    }
}

fn sorted<'a, K: Ord + 'a, V: 'a>(entries: impl Iterator<Item = (&'a K, &'a V)>) -> Vec<(&'a K, &'a V)> {
    let mut all: Vec<_> = entries.collect();
    all.sort_unstable_by(|a, b| a.0.cmp(b.0));
    all
}

impl EvmStore {
    /// Keeps the state of the last `window` blocks before the head ([`ARCHIVE`]: of all from now on; at least one),
    /// and tells the state of those that earlier runs have kept. `head` is the last committed height. Without this call
    /// no history is recorded.
    pub fn keep_history(&self, window: u64, head: u64) -> Result<(), StateError> {
        self.history.open(window.max(1), head)
    }

    /// The oldest height whose state can be told.
    pub fn oldest(&self) -> u64 {
        self.history.pins.heights.lock().oldest
    }

    /// Holds the state after a block, which must be committed.
    pub fn keep(&self, height: u64) -> Result<Kept, NotKept> {
        let mut held = self.history.pins.heights.lock();
        if height < held.oldest {
            return Err(NotKept { height, oldest: held.oldest });
        }
        *held.readers.entry(height).or_default() += 1;
        Ok(Kept { pins: Arc::clone(&self.history.pins), height })
    }

    /// The state that is held: the same answers whatever is committed meanwhile. It knows the block hashes that the
    /// store knows, which are those of the head.
    pub fn past<'a>(&'a self, kept: &Kept) -> PastState<'a> {
        PastState { store: self, height: kept.height }
    }

    /// The system calls that [`EvmStore::apply`] was given with a block. The state before the block must be held.
    pub fn system_calls(&self, height: u64) -> Result<Vec<SystemCall>, StateError> {
        let found =
            self.history.space.get(at(&[CALLS], height)).map_err(store_error("reading the history"))?;
        found.map_or(Ok(Vec::new()), |bytes| {
            alloy_rlp::decode_exact(&bytes).map_err(|_| corrupt("list of system calls", height))
        })
    }
}

/// The state after a past block.
#[derive(Debug)]
pub struct PastState<'a> {
    store: &'a EvmStore,
    height: u64,
}

impl PastState<'_> {
    /// The head's value unless a later block replaced it. The head is read first: a commit that comes between is seen
    /// in the history then, as both are one batch.
    fn value<T>(
        &self,
        head: Result<T, StateError>,
        name: impl FnOnce() -> Vec<u8>,
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T, StateError> {
        let head = head?;
        if self.store.history.begun.load(Ordering::SeqCst) == self.height {
            return Ok(head);
        }
        let name = name();
        match self.store.history.replaced(&name, self.height)? {
            None => Ok(head),
            Some(old) => {
                decode(&old).ok_or_else(|| corrupt("past value", alloy_primitives::hex::encode(&name)))
            }
        }
    }
}

fn present<T>(bytes: &[u8], decode: impl FnOnce(&[u8]) -> Option<T>) -> Option<Option<T>> {
    if bytes.is_empty() { Some(None) } else { decode(bytes).map(Some) }
}

impl StateView for PastState<'_> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.value(self.store.account(address), || account_key(address), |old| present(old, decode_account))
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.value(self.store.storage(address, slot), || slot_key(address, slot), decode_slot)
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.store.code(hash)
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        let owned = |old: &[u8]| Some(Bytes::copy_from_slice(old));
        self.value(self.store.node(key), || node_key(key), |old| present(old, owned))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.store.block_hash(number)
    }
}

#[cfg(test)]
mod tests;
