//! Watches what simplex reports on its way to marshal: own votes, and evidence against others.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::{
    Reporter, Viewable as _,
    simplex::types::{Activity, Attributable, Vote},
};
use commonware_cryptography::sha256;
use commonware_runtime::Spawner;

use crate::{Scheme, directory::Directory, inert::Replayed, progress::Shared};

type Report = Activity<Scheme, sha256::Digest>;

/// A reporter in front of another.
pub(crate) struct Witness<E, R> {
    context: Arc<E>,
    next: R,
    index: u32,
    directory: Arc<Directory>,
    shared: Arc<Shared>,
    voted: Arc<AtomicBool>,
    replayed: Option<Arc<Replayed>>,
}

impl<E, R: Clone> Clone for Witness<E, R> {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
            next: self.next.clone(),
            index: self.index,
            directory: self.directory.clone(),
            shared: self.shared.clone(),
            voted: self.voted.clone(),
            replayed: self.replayed.clone(),
        }
    }
}

impl<E: Spawner, R> Witness<E, R> {
    pub(crate) fn new(
        context: E,
        next: R,
        index: u32,
        directory: Arc<Directory>,
        shared: Arc<Shared>,
        replayed: Option<Arc<Replayed>>,
    ) -> Self {
        let voted = Arc::new(AtomicBool::new(directory.voted()));
        Self { context: Arc::new(context), next, index, directory, shared, voted, replayed }
    }

    /// The first own vote, journalled by now, is noted beside the journal as well.
    fn note_first_vote(&self) {
        if self.voted.swap(true, Ordering::Relaxed) {
            return;
        }
        let (directory, shared) = (self.directory.clone(), self.shared.clone());
        let _task = self.context.child("first_vote").shared(true).spawn(move |_| async move {
            if let Err(error) = directory.mark_voted() {
                shared.fail(error);
            }
        });
    }

    fn own(&self, vote: &impl Attributable) -> bool {
        vote.signer().get() == self.index
    }
}

impl<E, R> Reporter for Witness<E, R>
where
    E: Spawner + Sync,
    R: Reporter<Activity = Report>,
{
    type Activity = Report;

    fn report(&mut self, activity: Report) -> Feedback {
        let vote = match &activity {
            Activity::Notarize(vote) if self.own(vote) => Some(Vote::Notarize(vote.clone())),
            Activity::Nullify(vote) if self.own(vote) => Some(Vote::Nullify(vote.clone())),
            Activity::Finalize(vote) if self.own(vote) => Some(Vote::Finalize(vote.clone())),
            Activity::ConflictingNotarize(evidence) => {
                tracing::error!(view = %evidence.view(), signer = %evidence.signer(), "a validator voted for two blocks in one view");
                None
            }
            Activity::ConflictingFinalize(evidence) => {
                tracing::error!(view = %evidence.view(), signer = %evidence.signer(), "a validator finalised two blocks in one view");
                None
            }
            Activity::NullifyFinalize(evidence) => {
                tracing::error!(view = %evidence.view(), signer = %evidence.signer(), "a validator gave up a view and finalised in it");
                None
            }
            _ => None,
        };
        if let Some(vote) = vote {
            self.note_first_vote();
            if let Some(replayed) = &self.replayed {
                replayed.saw(|| vote.encode());
            }
        }
        self.next.report(activity)
    }
}
