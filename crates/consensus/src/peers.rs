//! The network of a cluster: authenticated and encrypted connections between nodes with known addresses, which the
//! configuration or the ledger tells.
//!
//! Five channels of consensus, one of the node's own, one about votes and one about heights, each with a rate per peer; what a peer sends beyond it waits
//! on its connection. A block may be as large as
//! the configured limit, so the rates also bound the memory that faulty validators can fill: validators × burst × block size.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use commonware_consensus::{
    marshal::{self, standard::Standard},
    simplex,
};
use commonware_cryptography::{
    ChaCha20Poly1305,
    ed25519::{PrivateKey, PublicKey},
    sha256,
};
use commonware_p2p::{
    Address, AddressableManager as _, AddressableTrackedPeers,
    authenticated::lookup::{Config, Network, Oracle, Receiver, Sender},
    utils::mux::prefixed,
};
use commonware_runtime::Quota;
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, ordered::Map};
use tokio::sync::watch;

use crate::{
    Application, Block, Scheme,
    engine::{Channels, MAILBOX, Runtime, Setup},
    epochs::{Epochs, key_of},
    gossip::MAX_GOSSIP_BYTES,
    progress::Progress,
    recall, slim,
    traffic::Counted,
};

/// Nodes that speak another version of what travels here do not connect at all.
const WIRE: &[u8] = b"/wire 3";

/// Votes, certificates and requests for them, a second and peer.
const VOTES_PER_SECOND: NonZeroU32 = NZU32!(512);
/// Requests for blocks and their answers, a second and peer.
const BLOCKS_PER_SECOND: NonZeroU32 = NZU32!(32);
/// Blocks on their way, questions about their items, and the answers, a second and peer.
const BROADCAST_PER_SECOND: NonZeroU32 = NZU32!(64);
/// Gossip messages, a second and peer.
const GOSSIP_PER_SECOND: NonZeroU32 = NZU32!(128);

/// Questions about votes and their answers, and how far nodes are, a second and peer.
const RECALL_PER_SECOND: NonZeroU32 = NZU32!(16);

type Handshake = Cups<Sake<PrivateKey>, ChaCha20Poly1305>;
type Channel<E> = (Counted<Sender<PublicKey, E>>, Counted<Receiver<PublicKey>>);

/// The largest set of validators that a chain may come to have. Fixed, since all nodes must admit messages of one size.
const MAX_VALIDATORS: u32 = 100;
/// Nodes that may be connected at most: validators of this epoch and the next, and observers.
const MAX_PEERS: usize = 512;
/// Of these, such as become known while this node runs. commonware makes room beforehand for what each may send in a second, about a MiB
/// each with the rates above, so there is not room for all that may ever be.
const NEWCOMERS: usize = 32;

/// A network that is ready to run.
pub(crate) struct Opened<E: Runtime> {
    pub(crate) network: Network<E, Handshake>,
    pub(crate) oracle: Oracle<PublicKey>,
    pub(crate) channels: Channels<Counted<Sender<PublicKey, E>>, Counted<Receiver<PublicKey>>>,
    pub(crate) gossip: Channel<E>,
    pub(crate) membership: Membership,
    /// Bytes of the largest message.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "who obeys never comes near it"))]
    pub(crate) limit: u32,
}

/// Prepares the network; it runs once started. Whoever obeys sends at the rates that all know: `haste` is 1.
pub(crate) fn open<E: Runtime, A: Application>(context: E, setup: &Setup<A>, haste: u32) -> Opened<E> {
    let checked = &setup.checked;
    let listen = checked.listen.expect("a cluster's network was checked");
    // Sending more than the limit panics: it must admit whatever either part may send.
    let limit = commonware_p2p::max_message_size(&[
        prefixed(simplex::max_payload_size::<Scheme, sha256::Digest>(MAX_VALIDATORS)),
        marshal::max_payload_size::<Standard<Block>, Scheme>(MAX_VALIDATORS, &setup.codec()) + slim::HEAD,
        MAX_GOSSIP_BYTES,
        prefixed(recall::MAX_BYTES),
    ]);
    let handshake = Cups::new(
        Sake {
            signer: checked.key.clone(),
            synchrony_bound: Duration::from_secs(5),
            max_handshake_age: Duration::from_secs(10),
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let addresses = setup.app.addresses();
    let known = Known {
        own: (checked.public.clone(), listen),
        peers: checked.peers.clone(),
        observers: checked.observers.clone(),
    };
    let room = (known.nodes(&addresses).len() + NEWCOMERS).min(MAX_PEERS);
    let room = NonZeroUsize::new(room).unwrap_or(NonZeroUsize::MIN);
    let namespace = [setup.namespace.as_slice(), WIRE].concat();
    // `recommended` would refuse private addresses, which clusters in one rack or on one machine have.
    let mut config = Config::local(handshake, &namespace, listen, room, limit, MAILBOX);
    config.tracked_peer_sets = NZUsize!(1);
    let (mut network, oracle) = Network::new(context, config);
    let mut membership = Membership { oracle: oracle.clone(), known, room: room.get(), tracked: 0 };
    membership.track(&setup.epochs, &addresses);
    let traffic = setup.stats.traffic.clone();
    let mut register = |channel, rate: NonZeroU32| {
        let quota = Quota::per_second(rate.saturating_mul(NonZeroU32::new(haste).unwrap_or(NonZeroU32::MIN)));
        Counted::both(&traffic, network.register(channel, quota))
    };
    let channels = Channels {
        votes: register(0, VOTES_PER_SECOND),
        certificates: register(1, VOTES_PER_SECOND),
        resolver: register(2, VOTES_PER_SECOND),
        broadcast: register(3, BROADCAST_PER_SECOND),
        backfill: register(4, BLOCKS_PER_SECOND),
        recall: Some(register(6, RECALL_PER_SECOND)),
        follow: Some(register(7, RECALL_PER_SECOND)),
    };
    let gossip = register(5, GOSSIP_PER_SECOND);
    Opened { network, oracle, channels, gossip, membership, limit }
}

/// What the configuration says of nodes and their addresses, this one among them.
struct Known {
    own: (PublicKey, SocketAddr),
    peers: Vec<(PublicKey, SocketAddr)>,
    observers: Vec<(PublicKey, SocketAddr)>,
}

impl Known {
    /// All nodes, with those whose addresses the ledger tells. The configuration has the last word on an address.
    fn nodes(&self, addresses: &[([u8; 32], SocketAddr)]) -> BTreeMap<PublicKey, SocketAddr> {
        let told = addresses.iter().filter_map(|(key, address)| Some((key_of(key).ok()?, *address)));
        let nodes = self.observers.iter().cloned().chain(told).chain(self.peers.iter().cloned());
        nodes.chain([self.own.clone()]).collect()
    }
}

/// Whom this node connects to: the validators, and whoever is to become one or follows.
pub(crate) struct Membership {
    oracle: Oracle<PublicKey>,
    known: Known,
    /// How many there may be.
    room: usize,
    /// How often the network was told.
    tracked: u64,
}

impl Membership {
    /// Tells the network again whenever another epoch begins or the ledger knows other addresses.
    pub(crate) async fn keep<A: Application>(
        mut self,
        epochs: Epochs,
        app: A,
        mut progress: watch::Receiver<Progress>,
    ) {
        let mut told = (epochs.current().epoch, app.addresses());
        while progress.changed().await.is_ok() {
            let now = (epochs.current().epoch, app.addresses());
            if now.0 != told.0 || !Arc::ptr_eq(&now.1, &told.1) {
                self.track(&epochs, &now.1);
                told = now;
            }
        }
        // Consensus is stopping.
        std::future::pending().await
    }

    /// Validators of the present epoch are called and called upon; others are admitted, and hear what all hear. Whoever only
    /// follows calls all that it knows: the validators of its epoch may be gone since.
    fn track(&mut self, epochs: &Epochs, addresses: &[([u8; 32], SocketAddr)]) {
        let validators = epochs.current().validators;
        let own = &self.known.own.0;
        let follows = validators.position(own).is_none();
        let (mut primary, mut secondary) = (BTreeMap::new(), BTreeMap::new());
        let mut nodes: Vec<(PublicKey, SocketAddr)> = self.known.nodes(addresses).into_iter().collect();
        // Whom it is about comes first, should there not be room for all.
        nodes.sort_by_key(|(key, _)| (key != own, validators.position(key).is_none()));
        if nodes.len() > self.room {
            let (nodes, room) = (nodes.len(), self.room);
            tracing::warn!(
                nodes,
                room,
                "too many nodes are known: start this node again to make room for more"
            );
        }
        for (key, address) in nodes.into_iter().take(self.room) {
            let called = validators.position(&key).is_some() || (follows && key != *own);
            let nodes = if called { &mut primary } else { &mut secondary };
            nodes.insert(key, Address::Symmetric(address));
        }
        let map = |nodes: BTreeMap<PublicKey, Address>| -> Map<PublicKey, Address> {
            Map::try_from(nodes.into_iter().collect::<Vec<_>>()).expect("keys of a map are distinct")
        };
        let _ = self.oracle.track(self.tracked, AddressableTrackedPeers::new(map(primary), map(secondary)));
        self.tracked += 1;
    }
}
