//! How far the chain is, shared between proposing, delivering and stopping.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use commonware_utils::sync::Mutex;
use tokio::sync::{mpsc, watch};

use crate::{ConsensusError, stats::Stats};

/// Heights that matter to whoever proposes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Highest height that the validators finalised, as far as this node knows.
    pub(crate) tip: u64,
    /// Highest height that the ledger made durable.
    pub(crate) acked: u64,
    /// No new blocks: the node is going down.
    pub(crate) stopping: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    progress: watch::Sender<Progress>,
    /// Highest block proposed or seen, and when.
    latest: Mutex<(u64, SystemTime)>,
    fatal: mpsc::UnboundedSender<ConsensusError>,
    pub(crate) stats: Arc<Stats>,
}

impl Shared {
    /// `fatal` receives errors after which consensus must stop.
    pub(crate) fn new(
        acked: u64,
        now: SystemTime,
        stats: Arc<Stats>,
    ) -> (Self, mpsc::UnboundedReceiver<ConsensusError>) {
        let (fatal, errors) = mpsc::unbounded_channel();
        let (progress, _) = watch::channel(Progress { tip: acked, acked, stopping: false });
        stats.tip(acked);
        (Self { progress, latest: Mutex::new((acked, now)), fatal, stats }, errors)
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn tip(&self, height: u64) {
        self.stats.tip(height);
        self.progress.send_if_modified(|p| {
            let news = height > p.tip;
            p.tip = p.tip.max(height);
            news
        });
    }

    pub(crate) fn acked(&self, height: u64) {
        self.stats.tip(height);
        self.progress.send_if_modified(|p| {
            let news = height > p.acked;
            p.acked = p.acked.max(height);
            p.tip = p.tip.max(height);
            news
        });
    }

    pub(crate) fn stop(&self) {
        self.progress.send_modify(|p| p.stopping = true);
    }

    /// A block of this height was proposed, verified or built on.
    pub(crate) fn saw(&self, height: u64, now: SystemTime) {
        self.stats.saw_block(height);
        let mut latest = self.latest.lock();
        if height > latest.0 {
            *latest = (height, now);
        }
    }

    pub(crate) fn latest(&self) -> u64 {
        self.latest.lock().0
    }

    /// Time since the latest block, at most `limit`. A clock that was set back counts as no time.
    pub(crate) fn since_latest(&self, now: SystemTime, limit: Duration) -> Duration {
        now.duration_since(self.latest.lock().1).unwrap_or_default().min(limit)
    }

    pub(crate) fn fail(&self, error: ConsensusError) {
        let _ = self.fatal.send(error);
    }
}
