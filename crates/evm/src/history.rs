//! The state after past blocks: the head's, and what every block since has replaced.
//!
//! A block's commit stores the *old* value of each account and slot that it changes (a reverse diff). The value after
//! block N is then the one that the first block above N replaced, or the head's where none did. Code is never removed and
//! needs no history. Trie nodes have none: [`tries`].
//!
//! | key in `evm_past` | value |
//! | --- | --- |
//! | 0x00 | the oldest height whose state could be told when the node last opened, and the window then (8 + 8, big endian) |
//! | 0x01 ‖ height | what the block at that height replaced, one value ([`diff`]) |
//! | 0x02 ‖ name ‖ height | nothing: that block replaced the value of that name. Only for windows of more than 256 blocks |
//!
//! | name | old value |
//! | --- | --- |
//! | 0x01 ‖ address | the account, empty where there was none |
//! | 0x02 ‖ address ‖ slot | the slot, empty for zero |
//! | 0x03 ‖ … | a trie node, of a block that an earlier version committed; not read |
//! | 0x05 | the block's system calls ([`crate::SystemCall`]), RLP |
//!
//! One value a block, since a row for each replaced value would be two thirds of what a block writes: it is written and
//! pruned with every other. A block that changes nothing and calls no system contract writes nothing. A block's commit
//! also removes what the oldest kept block no longer needs; whoever reads a past state pins it, and pruning waits for
//! the pin. Blocks whose trie nodes are not written yet stay, too, whatever the window.

mod diff;
mod index;
mod pins;
mod tries;

use self::diff::Diff;
use self::index::{IN_MEMORY, Index};
use self::pins::Pins;
pub use self::pins::{Kept, NotKept};
use self::tries::Tries;
use crate::executor::SystemCall;
use crate::state::{Account, NodeKey, StateChanges, StateError, StateView};
use crate::store::{EvmStore, corrupt, decode_account, decode_slot, encode_account, store_error};
use alloy_primitives::{Address, B256, Bytes, U256};
use fjall::{Database, Keyspace, OwnedWriteBatch};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keeps the state of every block.
pub const ARCHIVE: u64 = u64::MAX;

/// Blocks whose reverse diffs one commit removes at most: a window that was made smaller is caught up with in turn.
const PRUNED_AT_ONCE: u64 = 64;

/// Blocks that a past block's tries are kept over, for whoever asks next: as long as its snapshot, the store keeps what
/// later blocks replaced.
const TRIES_KEPT: u64 = 16;

const META: [u8; 1] = [0];
const DIFF: [u8; 1] = [1];

const ACCOUNT: u8 = 1;
const SLOT: u8 = 2;
const CALLS: [u8; 1] = [5];

pub(crate) struct History {
    space: Keyspace,
    /// Past blocks whose state is kept; zero until [`EvmStore::keep_history`], which turns recording on.
    window: AtomicU64,
    /// The last height whose commit has begun.
    begun: AtomicU64,
    /// What blocks up to here wrote is gone.
    pruned: AtomicU64,
    index: Index,
    pins: Arc<Pins>,
    /// The newest tries of a past block, and the last height whose commit had begun when they were made. Whoever makes
    /// some holds the lock: one at a time.
    tries: Mutex<Option<(u64, Arc<Tries>)>>,
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

fn at(name: &[u8], height: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 8);
    key.extend_from_slice(name);
    key.extend_from_slice(&height.to_be_bytes());
    key
}

impl History {
    pub(crate) fn new(space: Keyspace) -> Self {
        History {
            space,
            window: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            pruned: AtomicU64::new(0),
            index: Index::default(),
            pins: Arc::default(),
            tries: Mutex::new(None),
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

    fn open(&self, database: &Database, window: u64, head: u64) -> Result<(), StateError> {
        let oldest = match self.reach(head)? {
            Some(reach) => reach.max(head.saturating_sub(window)),
            None => head,
        };
        let mut batch = database.batch();
        let mut meta = oldest.to_be_bytes().to_vec();
        meta.extend_from_slice(&window.to_be_bytes());
        batch.insert(&self.space, META, meta);
        self.index_kept(&mut batch, oldest, window)?;
        batch.commit().map_err(store_error("writing the history"))?;
        let mut pruned = oldest;
        if let Some(guard) = self.space.prefix(DIFF).next() {
            let key = guard.key().map_err(store_error("reading the history"))?;
            pruned = pruned.min(height_of(&key)?.saturating_sub(1));
        }
        self.pruned.store(pruned, Ordering::SeqCst);
        self.begun.store(head, Ordering::SeqCst);
        self.pins.begin(oldest);
        self.window.store(window, Ordering::SeqCst);
        Ok(())
    }

    /// Brings the index over the kept blocks into the form that the window asks for.
    fn index_kept(&self, batch: &mut OwnedWriteBatch, oldest: u64, window: u64) -> Result<(), StateError> {
        self.index.clear();
        for guard in self.space.range(at(&DIFF, oldest.saturating_add(1))..=at(&DIFF, u64::MAX)) {
            let (key, bytes) = guard.into_inner().map_err(store_error("reading the history"))?;
            let height = height_of(&key)?;
            let diff = Diff::decode(&bytes, height)?;
            let names = diff.names().collect::<Result<Vec<_>, _>>()?;
            if window <= IN_MEMORY {
                self.index.note(names.into_iter(), height);
            } else if !diff.is_indexed() {
                for name in names {
                    Index::put_row(&self.space, batch, name, height);
                }
                let mut indexed = bytes.to_vec();
                indexed[0] = 1;
                batch.insert(&self.space, key, indexed);
            }
        }
        Ok(())
    }

    /// Whether what a block replaces is recorded.
    pub(crate) fn records(&self, height: u64) -> bool {
        height > 0 && self.window.load(Ordering::SeqCst) > 0
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
        if !self.records(height) {
            return Ok(());
        }
        let window = self.window.load(Ordering::SeqCst);
        let mut replaced = Vec::with_capacity(changes.accounts.len() + changes.storage.len());
        for (address, account) in &changes.accounts {
            let old = store.account(address)?;
            if old != *account {
                replaced.push((account_key(address), old.as_ref().map_or(Vec::new(), encode_account)));
            }
        }
        for ((address, slot), value) in &changes.storage {
            let old = store.storage(address, slot)?;
            if old != *value {
                replaced.push((slot_key(address, slot), old.to_be_bytes_trimmed_vec()));
            }
        }
        if !system_calls.is_empty() {
            let mut calls = Vec::new();
            alloy_rlp::encode_list::<_, SystemCall>(system_calls, &mut calls);
            replaced.push((CALLS.to_vec(), calls));
        }
        if !replaced.is_empty() {
            replaced.sort_unstable();
            let indexed = window > IN_MEMORY;
            if indexed {
                for (name, _) in &replaced {
                    Index::put_row(&self.space, batch, name, height);
                }
            } else {
                self.index.note(replaced.iter().map(|(name, _)| name), height);
            }
            batch.insert(&self.space, at(&DIFF, height), diff::encode(&replaced, indexed));
        }
        // What block h replaced is needed by states before h, and to make the nodes that wait again.
        let oldest = self.pins.let_go(height.saturating_sub(window));
        self.prune(batch, oldest.min(store.nodes.written()))?;
        self.begun.store(height, Ordering::SeqCst);
        // A commit does not wait for whoever makes some.
        if let Some(mut newest) = self.tries.try_lock() {
            newest.take_if(|(made, _)| *made + TRIES_KEPT <= height);
        }
        Ok(())
    }

    /// Removes what blocks up to `unneeded` replaced.
    fn prune(&self, batch: &mut OwnedWriteBatch, unneeded: u64) -> Result<(), StateError> {
        let first = self.pruned.load(Ordering::SeqCst) + 1;
        let last = unneeded.min(first.saturating_add(PRUNED_AT_ONCE - 1));
        for gone in first..=last {
            let Some(bytes) = self.diff(gone)? else { continue };
            let diff = Diff::decode(&bytes, gone)?;
            let names = diff.names().collect::<Result<Vec<_>, _>>()?;
            if diff.is_indexed() {
                for name in &names {
                    Index::remove_row(&self.space, batch, name, gone);
                }
            }
            self.index.forget(names.into_iter(), gone);
            batch.remove(&self.space, at(&DIFF, gone));
        }
        self.pruned.fetch_max(last, Ordering::SeqCst);
        Ok(())
    }

    /// The tries of the state that is held.
    fn tries(&self, store: &EvmStore, kept: &Kept) -> Result<Arc<Tries>, StateError> {
        if let Some(tries) = kept.tries.get() {
            return Ok(Arc::clone(tries));
        }
        let mut newest = self.tries.lock();
        let tries = match &*newest {
            Some((_, tries)) if tries.height() == kept.height => Arc::clone(tries),
            _ => {
                let begun = self.begun.load(Ordering::SeqCst);
                let made = Arc::new(Tries::new(store, kept)?);
                *newest = Some((begun, Arc::clone(&made)));
                made
            }
        };
        Ok(Arc::clone(kept.tries.get_or_init(|| tries)))
    }

    fn diff(&self, height: u64) -> Result<Option<fjall::UserValue>, StateError> {
        self.space.get(at(&DIFF, height)).map_err(store_error("reading the history"))
    }

    /// What the first block above `height` replaced under this name, decoded.
    fn replaced<T>(
        &self,
        name: &[u8],
        height: u64,
        decode: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, StateError> {
        let in_memory = self.window.load(Ordering::SeqCst) <= IN_MEMORY;
        let mut first = height.saturating_add(1);
        loop {
            let next = match in_memory {
                true => self.index.next_in_memory(name, first),
                false => Index::next_on_disk(&self.space, name, first)?,
            };
            let Some(found) = next else { return Ok(None) };
            // A block that is being committed may have no diff yet: then the head's value, read before, is still its own.
            if let Some(bytes) = self.diff(found)?
                && let Some(old) = Diff::decode(&bytes, found)?.get(name)?
            {
                let value = decode(old);
                return value
                    .map(Some)
                    .ok_or_else(|| corrupt("past value", alloy_primitives::hex::encode(name)));
            }
            first = found.saturating_add(1);
        }
    }
}

fn height_of(key: &[u8]) -> Result<u64, StateError> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(|| corrupt("history", "its key"))
}

impl EvmStore {
    /// Keeps the state of the last `window` blocks before the head ([`ARCHIVE`]: of all from now on; at least one),
    /// and tells the state of those that earlier runs have kept. `head` is the last committed height. Without this call
    /// no history is recorded.
    pub fn keep_history(&self, database: &Database, window: u64, head: u64) -> Result<(), StateError> {
        tries::bring_up(self, head)?;
        self.history.open(database, window.max(1), head)
    }

    /// The oldest height whose state can be told.
    pub fn oldest(&self) -> u64 {
        self.history.pins.oldest()
    }

    /// Holds the state after a block, which must be committed.
    pub fn keep(&self, height: u64) -> Result<Kept, NotKept> {
        self.history.pins.keep(height)
    }

    /// The state that is held: the same answers whatever is committed meanwhile. It knows the block hashes that the
    /// store knows, which are those of the head.
    pub fn past<'a>(&'a self, kept: &'a Kept) -> PastState<'a> {
        PastState { store: self, kept }
    }

    /// The system calls that [`EvmStore::apply`] was given with a block. The state before the block must be held.
    pub fn system_calls(&self, height: u64) -> Result<Vec<SystemCall>, StateError> {
        let Some(bytes) = self.history.diff(height)? else { return Ok(Vec::new()) };
        match Diff::decode(&bytes, height)?.get(&CALLS)? {
            None => Ok(Vec::new()),
            Some(calls) => {
                alloy_rlp::decode_exact(calls).map_err(|_| corrupt("list of system calls", height))
            }
        }
    }
}

/// The state after a past block.
#[derive(Debug)]
pub struct PastState<'a> {
    store: &'a EvmStore,
    kept: &'a Kept,
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
        if self.is_head() {
            return Ok(head);
        }
        Ok(self.store.history.replaced(&name(), self.kept.height, decode)?.unwrap_or(head))
    }

    /// Whether what was read of the head before is this block's.
    fn is_head(&self) -> bool {
        self.store.history.begun.load(Ordering::SeqCst) == self.kept.height
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
        if self.kept.tries.get().is_none() {
            let head = self.store.node(key)?;
            if self.is_head() {
                return Ok(head);
            }
        }
        self.store.history.tries(self.store, self.kept)?.node(self.store, key)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        self.store.block_hash(number)
    }
}

#[cfg(test)]
mod tests;
