//! Bytes to and from each peer, counted on every channel, as they are before encryption.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use commonware_actor::{Feedback, Unreliable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Message, Receiver, Recipients, Sender};
use commonware_runtime::{Buf as _, IoBufs};
use commonware_utils::sync::RwLock;

/// Peers that are counted by themselves; a network admits fewer.
const MAX_PEERS: usize = 1024;

/// Bytes of one peer.
#[derive(Debug, Default)]
struct Bytes {
    sent: AtomicU64,
    received: AtomicU64,
}

/// Bytes of all peers since the start.
#[derive(Debug, Default)]
pub(crate) struct Traffic(RwLock<BTreeMap<[u8; 32], Arc<Bytes>>>);

/// Bytes that went to a peer and came from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerBytes {
    /// To it, sent or at least handed to its connection.
    pub sent: u64,
    /// From it.
    pub received: u64,
}

impl Traffic {
    fn of(&self, peer: &PublicKey) -> Option<Arc<Bytes>> {
        let mut key = [0; 32];
        key.copy_from_slice(peer.as_ref());
        if let Some(known) = self.0.read().get(&key) {
            return Some(known.clone());
        }
        let mut peers = self.0.write();
        (peers.len() < MAX_PEERS || peers.contains_key(&key)).then(|| peers.entry(key).or_default().clone())
    }

    pub(crate) fn snapshot(&self) -> BTreeMap<[u8; 32], PeerBytes> {
        let bytes = |b: &Bytes| PeerBytes { sent: b.sent.load(Relaxed), received: b.received.load(Relaxed) };
        self.0.read().iter().map(|(key, b)| (*key, bytes(b))).collect()
    }
}

/// One end of a channel whose bytes are counted.
#[derive(Clone)]
pub(crate) struct Counted<C> {
    inner: C,
    traffic: Arc<Traffic>,
}

impl<C> Counted<C> {
    /// Both ends of a channel.
    pub(crate) fn both<R>(traffic: &Arc<Traffic>, (sender, receiver): (C, R)) -> (Self, Counted<R>) {
        let sender = Self { inner: sender, traffic: traffic.clone() };
        (sender, Counted { inner: receiver, traffic: traffic.clone() })
    }
}

impl<C: fmt::Debug> fmt::Debug for Counted<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<S: Sender<PublicKey = PublicKey>> LimitedSender for Counted<S> {
    type PublicKey = PublicKey;
    type Checked<'a> = CountedChecked<'a, S>;

    fn check(&mut self, recipients: Recipients<PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        Ok(CountedChecked { inner: self.inner.check(recipients)?, traffic: &self.traffic })
    }
}

/// A counted sender that knows its recipients.
pub(crate) struct CountedChecked<'a, S: Sender> {
    inner: S::Checked<'a>,
    traffic: &'a Traffic,
}

impl<S: Sender<PublicKey = PublicKey>> CheckedSender for CountedChecked<'_, S> {
    type PublicKey = PublicKey;

    fn recipients(&self) -> Vec<PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message = message.into();
        let length = message.remaining() as u64;
        for peer in self.inner.recipients() {
            if let Some(bytes) = self.traffic.of(&peer) {
                bytes.sent.fetch_add(length, Relaxed);
            }
        }
        self.inner.send(message, priority)
    }
}

impl<R: Receiver<PublicKey = PublicKey>> Receiver for Counted<R> {
    type Error = R::Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, R::Error> {
        let (from, message) = self.inner.recv().await?;
        if let Some(bytes) = self.traffic.of(&from) {
            bytes.received.fetch_add(message.len() as u64, Relaxed);
        }
        Ok((from, message))
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}
