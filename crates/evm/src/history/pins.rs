//! Which past states are read, and so not pruned.

use super::tries::Tries;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

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
pub(super) struct Pins {
    heights: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    readers: BTreeMap<u64, usize>,
    /// The oldest height whose state can be told.
    oldest: u64,
}

impl Pins {
    /// The oldest height whose state can be told from now on.
    pub fn begin(&self, oldest: u64) {
        self.heights.lock().oldest = oldest;
    }

    pub fn oldest(&self) -> u64 {
        self.heights.lock().oldest
    }

    /// Lets go of the states before `wanted`, as far as nobody reads them; the oldest that is kept.
    pub fn let_go(&self, wanted: u64) -> u64 {
        let mut held = self.heights.lock();
        let pinned = held.readers.keys().next().copied().unwrap_or(u64::MAX);
        held.oldest = held.oldest.max(wanted.min(pinned));
        held.oldest
    }

    pub fn keep(self: &Arc<Self>, height: u64) -> Result<Kept, NotKept> {
        let mut held = self.heights.lock();
        if height < held.oldest {
            return Err(NotKept { height, oldest: held.oldest });
        }
        *held.readers.entry(height).or_default() += 1;
        Ok(Kept { pins: Arc::clone(self), height, tries: OnceLock::new() })
    }
}

/// Holds the state after one block: while it lives, that state is not pruned.
pub struct Kept {
    pins: Arc<Pins>,
    pub(super) height: u64,
    /// Its tries, once somebody asked.
    pub(super) tries: OnceLock<Arc<Tries>>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("height", &self.height).finish_non_exhaustive()
    }
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
