//! Who subscribed to what, and the hand-over of a committed block to those who did.
//!
//! A block is looked through once; each subscriber's queue then gets the block (shared) and the indices picked for it.
//! Queues are bounded. A subscriber whose queue is full when a block comes is disconnected with a reason; nobody else
//! notices. `errors` events are dropped instead, since anybody can cause them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};

use crate::door::Committed;
use crate::events::{Delivery, Event, Pick, Picks};
use crate::metrics::Metrics;
use crate::topics::{Filter, Kinds, Who};

/// Names a connection within this process.
pub(crate) type ConnectionId = u64;

/// A connection's end of its subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub queue: mpsc::Receiver<Delivery>,
    /// Resolves when the queue was full: the connection must end.
    pub overflow: oneshot::Receiver<()>,
}

#[derive(Debug)]
struct Member {
    queue: mpsc::Sender<Delivery>,
    overflow: Option<oneshot::Sender<()>>,
    filters: Vec<Filter>,
}

#[derive(Debug, Default)]
struct Index {
    members: HashMap<ConnectionId, Member>,
    by_device: HashMap<[u8; 20], Vec<(ConnectionId, Kinds)>>,
    everyone: Vec<(ConnectionId, Kinds)>,
    unknown: Vec<(ConnectionId, Kinds)>,
    /// The first member's watch on the door, until the forwarding task has taken it.
    watch: Option<Watch>,
}

/// Committed blocks as the door tells them.
pub(crate) type Watch = broadcast::Receiver<Arc<Committed>>;

#[derive(Debug)]
pub(crate) struct Router {
    index: Mutex<Index>,
    /// There is a first member, or no member any more.
    changed: Notify,
    /// Members, readable without the lock: blocks cost nothing while nobody listens.
    members: AtomicUsize,
    errors: Mutex<Bucket>,
}

/// Lets through a fixed number a second.
#[derive(Debug)]
struct Bucket {
    per_second: u32,
    second: Instant,
    used: u32,
}

impl Bucket {
    fn take(&mut self) -> bool {
        let now = Instant::now();
        if now.duration_since(self.second).as_secs() >= 1 {
            (self.second, self.used) = (now, 0);
        }
        self.used += 1;
        self.used <= self.per_second
    }
}

impl Router {
    pub(crate) fn new(foreign_errors_per_second: u32) -> Self {
        Self {
            index: Mutex::default(),
            changed: Notify::new(),
            members: AtomicUsize::new(0),
            errors: Mutex::new(Bucket {
                per_second: foreign_errors_per_second,
                second: Instant::now(),
                used: 0,
            }),
        }
    }

    /// Makes a connection known, as yet without filters. The first one opens the watch on the door: while nobody
    /// listens the door need not tell.
    pub(crate) fn join(
        &self,
        id: ConnectionId,
        capacity: usize,
        watch: impl FnOnce() -> Watch,
    ) -> Subscriber {
        let (queue, receiver) = mpsc::channel(capacity);
        let (overflow, overflowed) = oneshot::channel();
        let member = Member { queue, overflow: Some(overflow), filters: Vec::new() };
        let mut index = self.index.lock();
        index.members.insert(id, member);
        if self.members.fetch_add(1, Ordering::Release) == 0 {
            index.watch = Some(watch());
            self.changed.notify_one();
        }
        Subscriber { queue: receiver, overflow: overflowed }
    }

    /// Replaces a connection's filters.
    pub(crate) fn set(&self, id: ConnectionId, filters: Vec<Filter>) {
        let mut index = self.index.lock();
        index.forget(id);
        for filter in &filters {
            index.entry(filter.who).push((id, filter.kinds));
        }
        if let Some(member) = index.members.get_mut(&id) {
            member.filters = filters;
        }
    }

    pub(crate) fn leave(&self, id: ConnectionId) {
        let mut index = self.index.lock();
        index.forget(id);
        if index.members.remove(&id).is_some() && self.members.fetch_sub(1, Ordering::Release) == 1 {
            index.watch = None;
            self.changed.notify_one();
        }
    }

    /// Takes committed blocks to the subscribers, for ever.
    pub(crate) async fn forward(&self, metrics: &Metrics) {
        let mut watch: Option<Watch> = None;
        loop {
            let next = async {
                match &mut watch {
                    Some(watch) => watch.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {
                    let mut index = self.index.lock();
                    if let Some(new) = index.watch.take() {
                        watch = Some(new);
                    } else if index.members.is_empty() {
                        watch = None;
                    }
                }
                block = next => match block {
                    Ok(block) => self.publish(&block),
                    Err(broadcast::error::RecvError::Lagged(blocks)) => {
                        metrics.events_lost.inc_by(blocks);
                        tracing::warn!(blocks, "MQTT subscribers missed the events of some blocks");
                    }
                    Err(broadcast::error::RecvError::Closed) => watch = None,
                },
            }
        }
    }

    /// Hands a committed block to those who asked for something in it.
    fn publish(&self, block: &Arc<Committed>) {
        if self.members.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut index = self.index.lock();
        let picks = index.pick(block);
        for (id, (receipts, verdicts)) in picks {
            let Some(member) = index.members.get_mut(&id) else { continue };
            let delivery = Delivery::Block { block: block.clone(), receipts, verdicts };
            if let Err(mpsc::error::TrySendError::Full(_)) = member.queue.try_send(delivery)
                && let Some(overflow) = member.overflow.take()
            {
                // The connection may have ended by itself meanwhile.
                let _ = overflow.send(());
            }
        }
    }

    /// Tells others than `sender` about a refused statement.
    pub(crate) fn error(&self, sender: ConnectionId, who: Who, event: Event, metrics: &Metrics) {
        if self.members.load(Ordering::Acquire) == 0 {
            return;
        }
        let index = self.index.lock();
        let mut targets: Vec<ConnectionId> = index
            .everyone
            .iter()
            .chain(index.peek(who))
            .filter(|(id, kinds)| *id != sender && kinds.contains(Kinds::ERRORS))
            .map(|(id, _)| *id)
            .collect();
        if targets.is_empty() {
            return;
        }
        if !self.errors.lock().take() {
            metrics.events_lost.inc();
            return;
        }
        targets.sort_unstable();
        targets.dedup();
        let event = Arc::new(event);
        for id in targets {
            if let Some(member) = index.members.get(&id)
                && member.queue.try_send(Delivery::Error(event.clone())).is_err()
            {
                metrics.events_lost.inc();
            }
        }
    }
}

impl Index {
    fn entry(&mut self, who: Who) -> &mut Vec<(ConnectionId, Kinds)> {
        match who {
            Who::Everyone => &mut self.everyone,
            Who::Unknown => &mut self.unknown,
            Who::Device(id) => self.by_device.entry(id).or_default(),
        }
    }

    fn peek(&self, who: Who) -> &[(ConnectionId, Kinds)] {
        match who {
            Who::Everyone => &[],
            Who::Unknown => &self.unknown,
            Who::Device(id) => self.by_device.get(&id).map_or(&[], Vec::as_slice),
        }
    }

    /// Removes a connection's filters from the index.
    fn forget(&mut self, id: ConnectionId) {
        let Some(member) = self.members.get_mut(&id) else { return };
        for filter in std::mem::take(&mut member.filters) {
            self.entry(filter.who).retain(|(other, _)| *other != id);
            if let Who::Device(device) = filter.who
                && self.peek(filter.who).is_empty()
            {
                self.by_device.remove(&device);
            }
        }
    }

    fn pick(&self, block: &Committed) -> HashMap<ConnectionId, (Picks, Picks)> {
        let mut picked: HashMap<ConnectionId, (Picks, Picks)> = HashMap::new();
        for (id, kinds) in &self.everyone {
            let (receipts, verdicts) = picked.entry(*id).or_default();
            if kinds.contains(Kinds::RECEIPTS) && !block.leaves.is_empty() {
                *receipts = Picks::Everything;
            }
            if kinds.contains(Kinds::VERDICTS) && !block.verdicts.is_empty() {
                *verdicts = Picks::Everything;
            }
        }
        if !self.by_device.is_empty() {
            for (index, leaf) in (0u32..).zip(&block.leaves) {
                for (device, of_signer) in [(leaf.origin, false), (leaf.signer, true)] {
                    if of_signer && leaf.signer == leaf.origin {
                        continue;
                    }
                    for (id, kinds) in self.peek(Who::Device(device)) {
                        if kinds.contains(Kinds::RECEIPTS) {
                            picked.entry(*id).or_default().0.add(Pick { index, of_signer });
                        }
                    }
                }
            }
            for (index, verdict) in (0u32..).zip(&block.verdicts) {
                for (id, kinds) in self.peek(Who::Device(verdict.origin)) {
                    if kinds.contains(Kinds::VERDICTS) {
                        picked.entry(*id).or_default().1.add(Pick { index, of_signer: false });
                    }
                }
            }
        }
        picked.retain(|_, (receipts, verdicts)| *receipts != Picks::Nothing || *verdicts != Picks::Nothing);
        picked
    }
}
