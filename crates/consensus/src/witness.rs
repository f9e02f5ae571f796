//! Watches what simplex reports on its way to marshal: it counts, and takes note of own votes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use commonware_actor::Feedback;
use commonware_codec::{Encode as _, varint::UInt};
use commonware_consensus::{
    Reporter, Viewable,
    simplex::types::{Activity, Attributable, Vote},
    types::View,
};
use commonware_cryptography::sha256;
use commonware_runtime::Spawner;

use crate::{
    Scheme,
    directory::Directory,
    inert::Replayed,
    progress::Shared,
    recall::Memory,
    stats::{Kind, Stats},
};

type Report = Activity<Scheme, sha256::Digest>;
type Seen = Vote<Scheme, sha256::Digest>;

/// Which votes are this node's own.
pub(crate) struct Own {
    /// `None` for one that does not vote.
    pub(crate) index: Option<u32>,
    pub(crate) epoch: u64,
    pub(crate) memory: Arc<Memory>,
}

/// A reporter in front of another.
pub(crate) struct Witness<E, R> {
    context: Arc<E>,
    next: R,
    /// `None` for one that does not vote.
    index: Option<u32>,
    epoch: u64,
    directory: Arc<Directory>,
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    voted: Arc<AtomicBool>,
    replayed: Option<Arc<Replayed>>,
}

impl<E, R: Clone> Clone for Witness<E, R> {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
            next: self.next.clone(),
            index: self.index,
            epoch: self.epoch,
            directory: self.directory.clone(),
            shared: self.shared.clone(),
            memory: self.memory.clone(),
            voted: self.voted.clone(),
            replayed: self.replayed.clone(),
        }
    }
}

impl<E: Spawner, R> Witness<E, R> {
    pub(crate) fn new(
        context: E,
        next: R,
        own: Own,
        directory: Arc<Directory>,
        shared: Arc<Shared>,
        replayed: Option<Arc<Replayed>>,
    ) -> Self {
        let Own { index, epoch, memory } = own;
        let voted = Arc::new(AtomicBool::new(directory.voted() == Some(epoch)));
        Self { context: Arc::new(context), next, index, epoch, directory, shared, memory, voted, replayed }
    }

    /// The first own vote, journalled by now, is noted beside the journal as well.
    fn note_first_vote(&self) {
        if self.voted.swap(true, Ordering::Relaxed) {
            return;
        }
        let (directory, shared, epoch) = (self.directory.clone(), self.shared.clone(), self.epoch);
        let _task = self.context.child("first_vote").shared(true).spawn(move |_| async move {
            if let Err(error) = directory.mark_voted(epoch) {
                shared.fail(error);
            }
        });
    }

    /// Remembers a vote; gives it back if it is this node's own.
    fn seen<V: Attributable + Viewable>(&self, vote: &V, whole: impl Fn() -> Seen) -> Option<Seen> {
        let (signer, view) = (vote.signer().get(), vote.view().get());
        self.memory.saw(signer, view, || whole().encode().to_vec());
        if Some(signer) != self.index {
            return None;
        }
        self.memory.voted(view);
        Some(whole())
    }

    fn count(&self, activity: &Report) {
        let stats = &self.shared.stats;
        let reached = |stats: &Stats, view: View| stats.view(view.get(), self.epoch);
        match activity {
            Activity::Notarize(vote) => stats.vote(vote.signer().get(), vote.view().get(), Kind::Notarize),
            Activity::Nullify(vote) => stats.vote(vote.signer().get(), vote.view().get(), Kind::Nullify),
            Activity::Finalize(vote) => stats.vote(vote.signer().get(), vote.view().get(), Kind::Finalize),
            // Whoever holds one of these goes on to the next view.
            Activity::Notarization(certificate) => reached(stats, certificate.view().next()),
            Activity::Nullification(certificate) => {
                stats.nullified();
                reached(stats, certificate.view().next());
            }
            Activity::Finalization(certificate) => {
                stats.finalized();
                reached(stats, certificate.view().next());
            }
            Activity::Certification(_) => {}
            Activity::ConflictingNotarize(evidence) => stats.fault(evidence.signer().get()),
            Activity::ConflictingFinalize(evidence) => stats.fault(evidence.signer().get()),
            Activity::NullifyFinalize(evidence) => stats.fault(evidence.signer().get()),
        }
    }
}

impl<E, R> Reporter for Witness<E, R>
where
    E: Spawner + Sync,
    R: Reporter<Activity = Report>,
{
    type Activity = Report;

    fn report(&mut self, activity: Report) -> Feedback {
        self.count(&activity);
        let vote = match &activity {
            Activity::Notarize(vote) => self.seen(vote, || Vote::Notarize(vote.clone())),
            Activity::Nullify(vote) => self.seen(vote, || Vote::Nullify(vote.clone())),
            Activity::Finalize(vote) => self.seen(vote, || Vote::Finalize(vote.clone())),
            _ => None,
        };
        if let Some(vote) = vote {
            self.note_first_vote();
            if let Some(replayed) = &self.replayed {
                // As the network would bring it, for this epoch's engine.
                replayed.saw(|| [UInt(self.epoch).encode(), vote.encode()].concat().into());
            }
        }
        self.next.report(activity)
    }
}
