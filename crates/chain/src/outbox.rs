//! What doors accepted here, on its way to the other nodes, so that whoever leads can put it into a block.
//!
//! Nothing is promised: where the network is slower the rest stays here and goes into a block when this node leads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::ledger::Ledger;

/// Something that was verified here and waits for a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// A statement as it will be stored.
    Statement(Bytes),
    /// An EIP-2718 encoded transaction.
    Transaction(Bytes),
}

/// Where accepted work goes; nowhere at first.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    to: OnceLock<mpsc::Sender<Work>>,
    kept: AtomicU64,
}

impl Outbox {
    /// Whether anybody wants it.
    pub fn is_open(&self) -> bool {
        self.to.get().is_some()
    }

    pub fn send(&self, work: Work) {
        if let Some(to) = self.to.get()
            && to.try_send(work).is_err()
        {
            self.kept.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Ledger {
    /// From now on, statements and transactions that this node's own doors accept are sent there as well. Only the first
    /// call counts.
    pub fn send_work_to(&self, to: mpsc::Sender<Work>) {
        // A second one would mean two gossips in one process.
        let _ = self.0.outbox.to.set(to);
    }

    /// How much work stayed here because its receiver was slow.
    pub fn work_kept(&self) -> u64 {
        self.0.outbox.kept.load(Ordering::Relaxed)
    }
}
