//! Who decides which blocks of the simulated ledger, by the rules of the real chain with shorter times.

use super::block::is_change;

/// Blocks between the last change of an epoch and its end, and between the heights where it may end.
pub(super) const NOTICE: u64 = 4;

/// Who decides, after some block. Sets are bits by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    pub(super) epoch: u64,
    pub(super) first: u64,
    pub(super) last: Option<u64>,
    pub(super) now: u64,
    pub(super) next: u64,
}

impl Reign {
    pub(super) fn first(now: u64) -> Self {
        Self { epoch: 0, first: 1, last: None, now, next: now }
    }

    /// Whether a block may hold a change.
    pub(super) fn is_open(&self, height: u64) -> bool {
        self.last.is_none_or(|last| height + NOTICE <= last)
    }

    /// After a block.
    pub(super) fn step(mut self, height: u64, items: &[u64]) -> Self {
        for item in items.iter().filter(|item| is_change(**item)) {
            self.next ^= 1 << (item & 0xff);
            self.last = self.last.or(Some(height.next_multiple_of(NOTICE) + NOTICE));
        }
        if self.last == Some(height) {
            let (epoch, now) = (self.epoch + 1, self.next);
            self = Self { epoch, first: height + 1, last: None, now, next: now };
        }
        self
    }
}
