//! The network of a single validator: nothing is sent, nobody answers, nobody is blocked.
//!
//! One thing does arrive. The voter journals its vote before it counts it; killed in between, it comes up with a vote that
//! it will neither repeat nor count, and the view is stuck until its timeout. While it replays its journal the voter
//! reports these votes, and [`Replayed`] hands the very same signed bytes back as if the network had brought them. No vote
//! is ever made here, so none can contradict the journal.

use std::{
    collections::VecDeque,
    convert::Infallible,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    BlockedSubscription, Blocker, CheckedSender, LimitedSender, Message, Receiver, Recipients,
};
use commonware_runtime::{Clock, IoBuf, IoBufs};
use commonware_utils::{NZUsize, channel::ring, ordered::Set, sync::Mutex};
use tokio::sync::Notify;

/// When, after the start, replayed votes are handed back. Repeated because replay takes a while and the batcher ignores
/// votes for views that it has not reached; repetitions are recognised and ignored.
const HAND_BACK: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(40),
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(1000),
];

/// The newest votes suffice: only the last view or two can be undecided.
const KEPT_VOTES: usize = 8;

/// Own votes that the journal brought back.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    seen: VecDeque<Bytes>,
    handed_back: VecDeque<Bytes>,
    closed: bool,
}

impl Replayed {
    /// Takes note of an own vote, encoded as on the wire.
    pub(crate) fn saw(&self, vote: impl FnOnce() -> Bytes) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        if state.seen.len() == KEPT_VOTES {
            state.seen.pop_front();
        }
        state.seen.push_back(vote());
    }

    /// Hands back what was replayed, then stops taking notes.
    pub(crate) async fn hand_back(&self, clock: impl Clock) {
        for pause in HAND_BACK {
            clock.sleep(pause).await;
            {
                let mut state = self.state.lock();
                state.handed_back = state.seen.clone();
            }
            self.arrived.notify_one();
        }
        let mut state = self.state.lock();
        state.closed = true;
        state.seen.clear();
    }

    async fn next(&self) -> Bytes {
        loop {
            if let Some(vote) = self.state.lock().handed_back.pop_front() {
                return vote;
            }
            self.arrived.notified().await;
        }
    }
}

/// One end of a channel to nobody.
#[derive(Clone, Debug)]
pub(crate) struct Inert {
    me: PublicKey,
    replayed: Option<Arc<Replayed>>,
}

impl Inert {
    pub(crate) fn silent(me: PublicKey) -> Self {
        Self { me, replayed: None }
    }

    /// The vote channel, which brings back replayed votes.
    pub(crate) fn votes(me: PublicKey, replayed: Arc<Replayed>) -> Self {
        Self { me, replayed: Some(replayed) }
    }
}

impl LimitedSender for Inert {
    type PublicKey = PublicKey;
    type Checked<'a> = Nobody;

    fn check(&mut self, _: Recipients<PublicKey>) -> Result<Nobody, SystemTime> {
        Ok(Nobody)
    }
}

/// A send that reaches nobody.
#[derive(Debug)]
pub(crate) struct Nobody;

impl CheckedSender for Nobody {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        Vec::new()
    }

    fn send(self, _: impl Into<IoBufs> + Send, _: bool) -> Unreliable<Feedback> {
        Unreliable::new(Feedback::Ok)
    }
}

impl Receiver for Inert {
    type Error = Infallible;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Infallible> {
        match &self.replayed {
            Some(replayed) => Ok((self.me.clone(), IoBuf::from(replayed.next().await))),
            None => std::future::pending().await,
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        NZUsize!(16)
    }
}

/// Blocks nobody.
#[derive(Clone)]
pub(crate) struct NoBlocker {
    subscribers: Arc<Mutex<Vec<ring::Sender<Set<PublicKey>>>>>,
}

impl NoBlocker {
    pub(crate) fn new() -> Self {
        Self { subscribers: Arc::default() }
    }
}

impl Blocker for NoBlocker {
    type PublicKey = PublicKey;

    fn block(&mut self, peer: PublicKey) -> Feedback {
        tracing::error!(%peer, "a single validator was asked to block a peer");
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<PublicKey> {
        let (sender, receiver) = ring::channel(NZUsize!(1));
        self.subscribers.lock().push(sender);
        receiver
    }
}
