//! The network of a cluster: authenticated and encrypted connections between validators with known addresses.
//!
//! Five channels of consensus, one of the node's own and one about votes, each with a rate per peer; what a peer sends beyond it waits
//! on its connection. A block may be as large as
//! the configured limit, so the rates also bound the memory that faulty validators can fill: validators × burst × block size.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
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
};
use commonware_runtime::Quota;
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize, ordered::Map};

use crate::{
    Application, Block, Scheme,
    engine::{Channels, MAILBOX, Runtime, Setup},
    gossip::MAX_GOSSIP_BYTES,
    recall,
};

/// Votes, certificates and requests for them, a second and peer.
const VOTES_PER_SECOND: NonZeroU32 = NZU32!(512);
/// Blocks and requests for them, a second and peer.
const BLOCKS_PER_SECOND: NonZeroU32 = NZU32!(32);
/// Gossip messages, a second and peer.
const GOSSIP_PER_SECOND: NonZeroU32 = NZU32!(128);

/// Questions about votes and their answers, a second and peer.
const RECALL_PER_SECOND: NonZeroU32 = NZU32!(16);

type Handshake = Cups<Sake<PrivateKey>, ChaCha20Poly1305>;
type Channel<E> = (Sender<PublicKey, E>, Receiver<PublicKey>);

/// A network that is ready to run.
pub(crate) struct Opened<E: Runtime> {
    pub(crate) network: Network<E, Handshake>,
    pub(crate) oracle: Oracle<PublicKey>,
    pub(crate) channels: Channels<Sender<PublicKey, E>, Receiver<PublicKey>>,
    pub(crate) gossip: Channel<E>,
    pub(crate) recall: Channel<E>,
}

/// Prepares the network; it runs once started.
pub(crate) fn open<E: Runtime, A: Application>(context: E, setup: &Setup<A>) -> Opened<E> {
    let checked = &setup.checked;
    let participants = u32::try_from(checked.validators.len()).expect("the validator count was checked");
    // This node, the other validators, and observers.
    let n = 1 + checked.peers.len() + checked.observers.len();
    let listen = checked.listen.expect("a cluster's network was checked");
    // Sending more than the limit panics: it must admit whatever either part may send.
    let limit = commonware_p2p::max_message_size(&[
        simplex::max_payload_size::<Scheme, sha256::Digest>(participants),
        marshal::max_payload_size::<Standard<Block>, Scheme>(participants, &setup.codec()),
        MAX_GOSSIP_BYTES,
        recall::MAX_BYTES,
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
    let validators = NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    // `recommended` would refuse private addresses, which clusters in one rack or on one machine have.
    let mut config = Config::local(handshake, &setup.namespace, listen, validators, limit, MAILBOX);
    config.tracked_peer_sets = NZUsize!(1);
    let (mut network, mut oracle) = Network::new(context, config);
    let own = (checked.public.clone(), listen);
    let (mut primary, mut secondary) = (checked.peers.clone(), checked.observers.clone());
    // Observers follow: they are admitted, and hear what all hear, but nobody calls them.
    if checked.index.is_some() {
        primary.push(own)
    } else {
        secondary.push(own)
    }
    let map = |nodes: Vec<(PublicKey, SocketAddr)>| -> Map<PublicKey, Address> {
        let nodes: Vec<_> =
            nodes.into_iter().map(|(key, address)| (key, Address::Symmetric(address))).collect();
        Map::try_from(nodes).expect("nodes were checked to be distinct")
    };
    oracle.track(setup.epoch, AddressableTrackedPeers::new(map(primary), map(secondary)));
    let mut register = |channel, rate| network.register(channel, Quota::per_second(rate));
    let channels = Channels {
        votes: register(0, VOTES_PER_SECOND),
        certificates: register(1, VOTES_PER_SECOND),
        resolver: register(2, VOTES_PER_SECOND),
        broadcast: register(3, BLOCKS_PER_SECOND),
        backfill: register(4, BLOCKS_PER_SECOND),
    };
    let gossip = register(5, GOSSIP_PER_SECOND);
    let recall = register(6, RECALL_PER_SECOND);
    Opened { network, oracle, channels, gossip, recall }
}
