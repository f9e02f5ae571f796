//! What consensus counts, for metrics and for people.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use commonware_utils::sync::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{
    recall::Voting,
    traffic::{PeerBytes, Traffic},
};

/// Blocks whose first sight is remembered until they are final.
const REMEMBERED: usize = 64;

/// What one validator did, as far as this node saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValidatorStats {
    /// Votes for a block.
    pub notarize: u64,
    /// Votes to give a view up.
    pub nullify: u64,
    /// Votes to finalise.
    pub finalize: u64,
    /// The highest view it voted in.
    pub highest_view: u64,
    /// Proofs seen that it voted twice where it may vote once.
    pub faults: u64,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which set of validators agrees now.
    pub epoch: u64,
    /// The view that this node is in, as far as its own and others' votes show.
    pub view: u64,
    /// Index of that view's leader.
    pub leader: u32,
    /// Height of the highest block that this node knows to be final; it may not have it yet.
    pub tip: u64,
    /// Views that were given up.
    pub nullified: u64,
    /// Views that finalised a block.
    pub finalized: u64,
    /// Blocks whose finality was timed, and how long it took from their first sight here.
    pub timed: u64,
    /// Sum over these.
    pub finality_total: Duration,
    /// Mean over the latest ones (exponential, an eighth each).
    pub finality_recent: Duration,
    /// Whether this node votes.
    pub voting: Voting,
    /// Blocks that came as an outline, to be put together here.
    pub outlines: u64,
    /// Items of these that were not here and had to be asked for.
    pub items_asked: u64,
    /// Blocks that came whole.
    pub whole_blocks: u64,
    /// Bytes that came as blocks, outlines or items.
    pub block_bytes: u64,
    /// By index.
    pub validators: Vec<ValidatorStats>,
    /// By public key, of every node that was connected.
    pub peers: BTreeMap<[u8; 32], PeerBytes>,
}

#[derive(Debug, Default)]
struct Votes {
    notarize: AtomicU64,
    nullify: AtomicU64,
    finalize: AtomicU64,
    highest_view: AtomicU64,
    faults: AtomicU64,
}

#[derive(Debug, Default)]
struct Timing {
    seen: VecDeque<(u64, Instant)>,
    timed: u64,
    total: Duration,
    recent: Duration,
}

/// The counters. Shared by all parts.
#[derive(Debug, Default)]
pub struct Stats {
    view: AtomicU64,
    leader: AtomicU32,
    tip: AtomicU64,
    nullified: AtomicU64,
    finalized: AtomicU64,
    timing: Mutex<Timing>,
    voting: Mutex<Option<watch::Receiver<Voting>>>,
    pub(crate) outlines: AtomicU64,
    pub(crate) items_asked: AtomicU64,
    pub(crate) whole_blocks: AtomicU64,
    pub(crate) block_bytes: AtomicU64,
    pub(crate) traffic: Arc<Traffic>,
    epoch: AtomicU64,
    /// By index in the set of the epoch.
    validators: RwLock<Vec<Votes>>,
}

/// Kinds of votes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Notarize,
    Nullify,
    Finalize,
}

impl Stats {
    /// A set of validators begins its work: what is counted by index begins anew. `voting` tells whether this node votes.
    pub(crate) fn begin(&self, epoch: u64, validators: usize, voting: watch::Receiver<Voting>) {
        *self.validators.write() = (0..validators).map(|_| Votes::default()).collect();
        *self.voting.lock() = Some(voting);
        self.epoch.store(epoch, Relaxed);
        self.view.store(0, Relaxed);
    }

    /// As it is now.
    pub fn snapshot(&self) -> Snapshot {
        let timing = self.timing.lock();
        let validator = |v: &Votes| ValidatorStats {
            notarize: v.notarize.load(Relaxed),
            nullify: v.nullify.load(Relaxed),
            finalize: v.finalize.load(Relaxed),
            highest_view: v.highest_view.load(Relaxed),
            faults: v.faults.load(Relaxed),
        };
        Snapshot {
            peers: self.traffic.snapshot(),
            outlines: self.outlines.load(Relaxed),
            items_asked: self.items_asked.load(Relaxed),
            whole_blocks: self.whole_blocks.load(Relaxed),
            block_bytes: self.block_bytes.load(Relaxed),
            epoch: self.epoch.load(Relaxed),
            view: self.view.load(Relaxed),
            leader: self.leader.load(Relaxed),
            tip: self.tip.load(Relaxed),
            nullified: self.nullified.load(Relaxed),
            finalized: self.finalized.load(Relaxed),
            timed: timing.timed,
            finality_total: timing.total,
            finality_recent: timing.recent,
            voting: self.voting.lock().as_ref().map_or(Voting::Waiting, |voting| *voting.borrow()),
            validators: self.validators.read().iter().map(validator).collect(),
        }
    }

    /// A view was entered or is spoken of. Leaders take turns by index, so it names its leader.
    pub(crate) fn view(&self, view: u64, epoch: u64) {
        let before = self.view.fetch_max(view, Relaxed);
        let validators = self.validators.read().len() as u64;
        if view > before && validators > 0 {
            let leader = epoch.wrapping_add(view) % validators;
            self.leader.store(leader as u32, Relaxed);
        }
    }

    pub(crate) fn nullified(&self) {
        self.nullified.fetch_add(1, Relaxed);
    }

    pub(crate) fn finalized(&self) {
        self.finalized.fetch_add(1, Relaxed);
    }

    pub(crate) fn vote(&self, signer: u32, view: u64, kind: Kind) {
        let validators = self.validators.read();
        let Some(votes) = validators.get(signer as usize) else { return };
        let counter = match kind {
            Kind::Notarize => &votes.notarize,
            Kind::Nullify => &votes.nullify,
            Kind::Finalize => &votes.finalize,
        };
        counter.fetch_add(1, Relaxed);
        votes.highest_view.fetch_max(view, Relaxed);
    }

    pub(crate) fn fault(&self, signer: u32) {
        if let Some(votes) = self.validators.read().get(signer as usize) {
            votes.faults.fetch_add(1, Relaxed);
        }
    }

    /// A block of this height was proposed or came to be verified.
    pub(crate) fn saw_block(&self, height: u64) {
        let mut timing = self.timing.lock();
        if height <= self.tip.load(Relaxed) || timing.seen.back().is_some_and(|(last, _)| *last >= height) {
            return;
        }
        if timing.seen.len() == REMEMBERED {
            timing.seen.pop_front();
        }
        timing.seen.push_back((height, Instant::now()));
    }

    /// Everything up to this height is final.
    pub(crate) fn tip(&self, height: u64) {
        self.tip.fetch_max(height, Relaxed);
        let mut timing = self.timing.lock();
        while let Some((_, since)) = timing.seen.pop_front_if(|(seen, _)| *seen <= height) {
            let took = since.elapsed();
            timing.timed += 1;
            timing.total += took;
            timing.recent = match timing.timed {
                1 => took,
                _ => (timing.recent * 7 + took) / 8,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_name_their_leader_and_finality_is_timed_once_a_block() {
        let stats = Stats::default();
        stats.begin(0, 4, watch::channel(Voting::Allowed).1);
        stats.view(6, 0);
        stats.view(5, 0);
        stats.saw_block(1);
        stats.saw_block(1);
        stats.saw_block(2);
        stats.tip(2);
        stats.tip(2);
        stats.vote(3, 6, Kind::Finalize);
        stats.vote(9, 6, Kind::Finalize);
        let now = stats.snapshot();
        assert_eq!((now.view, now.leader, now.tip, now.timed), (6, 2, 2, 2));
        assert_eq!(now.validators[3].finalize, 1);
        assert_eq!(now.validators[3].highest_view, 6);
    }
}
