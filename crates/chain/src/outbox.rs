//! What doors accepted here, on its way to the other nodes, so that whoever leads can put it into a block.
//!
//! Nothing is promised: where the network is slower the rest stays here and goes into a block when this node leads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_eips::eip2718::Encodable2718 as _;
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

impl Work {
    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Work::Statement(bytes) | Work::Transaction(bytes) => bytes,
        }
    }
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

    /// What has been waiting here, to be sent again: the oldest statements that a door of this node waits with (however long), and
    /// senders' first transactions of more than `age`; at most `limit` of each. Whatever they wait for, somebody may lack them.
    pub fn waiting_work(&self, age: Duration, limit: usize) -> Vec<Work> {
        let Some(since) = Instant::now().checked_sub(age) else { return Vec::new() };
        let (statements, transactions) = self.0.pool.overdue(since, limit);
        let statements = statements.into_iter().map(Work::Statement);
        statements.chain(transactions.iter().map(|tx| Work::Transaction(tx.encoded_2718().into()))).collect()
    }

    /// How much work stayed here because its receiver was slow.
    pub fn work_kept(&self) -> u64 {
        self.0.outbox.kept.load(Ordering::Relaxed)
    }
}
