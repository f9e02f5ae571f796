//! A further channel between nodes, for whatever the node wants all others to hear: work that waits, and how far it is.
//!
//! Bytes go out to every connected node, or to one, and come in with the authenticated key of whoever sent them. Nothing is promised:
//! a message may be lost, and is dropped rather than queued where its receiver is slow, so that it never holds votes or
//! blocks back. What they mean is the node's business.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use tokio::sync::mpsc;

/// The largest message.
pub const MAX_GOSSIP_BYTES: usize = 256 << 10;
/// Messages in either direction between the node and the network.
const QUEUE: usize = 256;

/// A message of another node.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Public key of the sender, proved by the connection.
    pub from: [u8; 32],
    /// What it says.
    pub bytes: Bytes,
}

/// A message to others.
#[derive(Clone, Debug)]
pub struct Told {
    /// Public key of the one that it is for; `None`: for all.
    pub to: Option<[u8; 32]>,
    /// What it says.
    pub bytes: Bytes,
}

impl Told {
    /// For all connected nodes.
    pub fn all(bytes: Bytes) -> Self {
        Self { to: None, bytes }
    }
}

/// The node's end.
#[derive(Debug)]
pub struct Gossip {
    /// Messages for connected nodes; sending fails where the network is slower.
    pub out: mpsc::Sender<Told>,
    /// Messages of others.
    pub heard: mpsc::Receiver<Heard>,
    /// Messages of others that were dropped because the node was slower.
    pub dropped: Arc<AtomicU64>,
}

/// The network's end, for [`crate::Config`].
#[derive(Debug)]
pub struct GossipPort {
    out: mpsc::Receiver<Told>,
    heard: mpsc::Sender<Heard>,
    dropped: Arc<AtomicU64>,
}

/// Both ends.
pub fn gossip() -> (Gossip, GossipPort) {
    let (out, outgoing) = mpsc::channel(QUEUE);
    let (incoming, heard) = mpsc::channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    let port = GossipPort { out: outgoing, heard: incoming, dropped: dropped.clone() };
    (Gossip { out, heard, dropped }, port)
}

impl GossipPort {
    /// Carries messages until the network ends. The node letting go of its end is no reason to end.
    pub(crate) async fn run<S, R>(self, (mut sender, mut receiver): (S, R))
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let Self { mut out, heard, dropped } = self;
        let sending = async move {
            while let Some(Told { to, bytes }) = out.recv().await {
                if bytes.len() > MAX_GOSSIP_BYTES {
                    tracing::error!(bytes = bytes.len(), "a gossip message is too large and is not sent");
                    continue;
                }
                let recipients = match to.map(|key| PublicKey::decode(Copying(key.as_slice()))) {
                    None => Recipients::All,
                    Some(Ok(key)) => Recipients::One(key),
                    // Nobody has such a key.
                    Some(Err(_)) => continue,
                };
                let _ = sender.send(recipients, bytes, false);
            }
            std::future::pending::<()>().await
        };
        let receiving = async move {
            while let Ok((key, message)) = receiver.recv().await {
                let mut from = [0; 32];
                from.copy_from_slice(key.as_ref());
                if heard.try_send(Heard { from, bytes: message.into() }).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        tokio::select! {
            biased;
            () = receiving => {}
            () = sending => {}
        }
    }
}
