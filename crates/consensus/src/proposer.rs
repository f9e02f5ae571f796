//! When to propose and when to hold back: the rules between simplex, which asks for a block in every view, and the ledger,
//! which has one only when work waits.
//!
//! - A request to propose stays open until there is work. An open request costs nothing.
//! - At the heartbeat an empty block is made.
//! - If the parent is not final after a while, an empty block is made: finality of a descendant brings it along. (Its own
//!   finalize votes may have been lost in a crash or on the way.)
//! - If more than [`MAX_VIEW_GAP`] views passed since the parent's, an empty block is made at once: each undecided view
//!   keeps a file and a descriptor, and only a final block lets them go.
//! - If the ledger is more than [`MAX_AHEAD`] final blocks behind, or the parent more than [`MAX_UNFINAL`] ahead of it, nothing
//!   is proposed until it has caught up, so that blocks waiting for it do not pile up. The two rules above still hold: their blocks are empty and rare.
//! - Once the node is going down, nothing is proposed.
//!
//! The ledger is only asked to build on blocks it knows. A parent may be certified and unknown to it: the process was
//! killed after certification and before the commit, or a quorum certified the block without this node. Then the chain of
//! unknown ancestors is handed to the ledger first, oldest first ([`Proposer::introduce`]).

use std::{pin::pin, sync::Arc, time::Duration};

use commonware_consensus::{
    Application as ConsensusApplication, Heightable as _, marshal::ancestry::Ancestry,
    simplex::types::Context,
};
use commonware_cryptography::{Digested, ed25519::PublicKey, sha256};
use commonware_runtime::{Clock, Metrics, Spawner};
use commonware_utils::ordered::Set;
use futures::StreamExt as _;
use rand::Rng;
use tokio::sync::Mutex;

use crate::{Application, Block, ConsensusError, Mailbox, Scheme, progress::Shared};

/// Views without a block after which an empty one is made.
pub(crate) const MAX_VIEW_GAP: u64 = 64;
/// Final blocks that the ledger may lag behind before proposing is held. The one that is being committed: more would make
/// blocks smaller under load, and nothing final sooner.
pub(crate) const MAX_AHEAD: u64 = 1;
/// The same for blocks that are certified and not final. Their finality may depend on what is built on them.
pub(crate) const MAX_UNFINAL: u64 = 8;

/// Numbers the rules depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) heartbeat: Duration,
    /// How long a parent may stay unfinal before it is pushed.
    pub(crate) push_after: Duration,
    pub(crate) max_block_bytes: usize,
    /// Make an own block durable before it is voted for. With peers they hold the block too; alone, a vote for a block that
    /// a crash took away would leave the view stuck until its timeout.
    pub(crate) durable_before_vote: bool,
}

/// The ledger, as commonware calls it.
#[derive(Clone)]
pub(crate) struct Proposer<A> {
    pub(crate) app: A,
    /// Blocks of other epochs are none of its business.
    pub(crate) epoch: u64,
    pub(crate) validators: Set<PublicKey>,
    pub(crate) index: u32,
    pub(crate) rules: Rules,
    pub(crate) marshal: Mailbox,
    pub(crate) shared: Arc<Shared>,
    pub(crate) adopting: Arc<Mutex<()>>,
}

impl<A: Application> Proposer<A> {
    /// Makes sure that the ledger can build on `block`, whose ancestors `ancestry` yields, newest first. Pending for ever
    /// if they are not to be had, or if the chain went another way: consensus drops the request then.
    async fn introduce(&self, block: &Block, ancestry: &mut impl Ancestry<Block>) {
        if self.app.knows(&block.digest) {
            return;
        }
        if !self.adopt_unknown(block, ancestry).await {
            std::future::pending().await
        }
    }

    async fn adopt_unknown(&self, block: &Block, ancestry: &mut impl Ancestry<Block>) -> bool {
        // Proposing and verifying may want the same ancestors at once.
        let _turn = self.adopting.lock().await;
        let mut unknown = Vec::new();
        let mut oldest = block.clone();
        while oldest.height > self.app.final_height() && !self.app.knows(&oldest.digest) {
            let Some(parent) = ancestry.next().await else { return false };
            unknown.push(std::mem::replace(&mut oldest, parent.inner().clone()));
        }
        let mut parent = oldest;
        while let Some(block) = unknown.pop() {
            tracing::debug!(height = block.height, "adopting a certified block");
            if !self.app.adopt(block.clone()).await {
                if self.app.knows(&parent.digest) {
                    let what = format!("{block:?} is certified but does not execute here");
                    self.shared.fail(ConsensusError::Contract(what));
                }
                return false;
            }
            parent = block;
        }
        true
    }

    /// Waits until a block is due on `parent` and builds it.
    async fn build(&self, clock: &impl Clock, parent: &Block, view_gap: u64) -> Block {
        let Rules { heartbeat, push_after, .. } = self.rules;
        let now = clock.current();
        self.shared.saw(parent.height, now);
        let work = self.app.work();
        let mut progress = self.shared.subscribe();
        // Sleeps, not deadlines: a clock that is set back must not delay them.
        let mut beat = pin!(clock.sleep(heartbeat - self.shared.since_latest(now, heartbeat)));
        let mut push = pin!(clock.sleep(push_after));
        let (mut beat_due, mut push_due) = (false, false);
        loop {
            let state = *progress.borrow_and_update();
            if state.stopping {
                return std::future::pending().await;
            }
            let held = parent.height.min(state.tip) > state.acked + MAX_AHEAD
                || parent.height > state.acked + MAX_UNFINAL;
            let unfinal = parent.height > state.tip;
            // Registered before asking, so that work arriving meanwhile is not missed.
            let mut notified = pin!(work.notified());
            notified.as_mut().enable();
            if !held && let Some(block) = self.ask(parent, false).await {
                return block;
            }
            let must = view_gap > MAX_VIEW_GAP || (beat_due && !held) || (push_due && unfinal);
            if must && let Some(block) = self.ask(parent, true).await {
                return block;
            }
            tokio::select! {
                // A fixed order, so that a simulated run repeats.
                biased;
                () = &mut notified, if !held => {}
                changed = progress.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
                () = &mut beat, if !beat_due => beat_due = true,
                () = &mut push, if !push_due => push_due = true,
            }
        }
    }

    async fn ask(&self, parent: &Block, must: bool) -> Option<Block> {
        let block = self.app.propose(parent.clone(), self.index, must).await;
        if block.as_ref().is_some_and(|block| block.epoch != self.epoch) {
            // The epoch is over, and whoever leads does not know it yet: nothing is built in it any more.
            return std::future::pending().await;
        }
        let wrong = match &block {
            Some(block) if block.parent != parent.digest || block.height != parent.height + 1 => {
                format!("{block:?} was proposed on {parent:?}, which is not its parent")
            }
            Some(block) if block.bytes.len() > self.rules.max_block_bytes => {
                format!("{block:?} is larger than {} bytes", self.rules.max_block_bytes)
            }
            // A request on a parent that lost to another block is about to be dropped; any answer will do.
            None if must && self.app.knows(&parent.digest) => {
                format!("no block on {parent:?} although one was demanded")
            }
            _ => return block,
        };
        self.shared.fail(ConsensusError::Contract(wrong));
        std::future::pending().await
    }
}

impl<E, A> ConsensusApplication<E> for Proposer<A>
where
    E: Rng + Spawner + Metrics + Clock,
    A: Application,
{
    type SigningScheme = Scheme;
    type Context = Context<sha256::Digest, PublicKey>;
    type Block = Block;
    type Input = ();

    async fn propose(
        &mut self,
        (clock, context): (E, Self::Context),
        mut ancestry: impl Ancestry<Block>,
        (): (),
    ) -> Option<Digested<Block>> {
        let parent = ancestry.next().await?.inner().clone();
        self.introduce(&parent, &mut ancestry).await;
        let (parent_view, _) = context.parent;
        let view_gap = context.round.view().get().saturating_sub(parent_view.get());
        let block = self.build(&clock, &parent, view_gap).await;
        let block = Digested::precomputed(block.clone(), sha256::Digest::from(block.digest));
        if self.rules.durable_before_vote && !self.marshal.verified(context.round, block.clone()).await {
            return None;
        }
        self.shared.saw(block.height().get(), clock.current());
        Some(block)
    }

    async fn verify(
        &mut self,
        (clock, context): (E, Self::Context),
        mut ancestry: impl Ancestry<Block>,
    ) -> bool {
        let leader = self.validators.iter().position(|key| *key == context.leader);
        let (Some(block), Some(parent)) = (ancestry.next().await, ancestry.next().await) else {
            // Not to be had for now: abstain until consensus drops the request.
            return std::future::pending().await;
        };
        let Some(leader) = leader.and_then(|index| u32::try_from(index).ok()) else {
            return false;
        };
        if block.inner().epoch != self.epoch {
            return false;
        }
        self.shared.saw(block.height().get(), clock.current());
        let (parent, block) = (parent.inner().clone(), block.inner().clone());
        self.introduce(&parent, &mut ancestry).await;
        self.app.verify(parent, block, leader).await
    }
}
