//! What the node tells consensus, with defaults that depend on the number of validators.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::{Signer as _, ed25519};

use crate::{
    ConsensusError, application::EpochSpan, directory::DirectoryLock, epochs::key_of, gossip::GossipPort,
};

/// Configuration of one validator. [`Config::new`] fills in defaults.
pub struct Config {
    /// The node's data directory. Consensus keeps `consensus/`, `validator` and `LOCK` in it.
    pub data_dir: PathBuf,
    /// The lock, if the node took it already with [`crate::lock`]; otherwise it is taken here.
    pub lock: Option<DirectoryLock>,
    /// Ed25519 secret key (RFC 8032 seed) of this validator.
    pub secret_key: [u8; 32],
    /// Joined to everything that is signed: `b"triad" ‖ genesis hash`.
    pub namespace: Vec<u8>,
    /// Ed25519 public keys of all validators, in ascending order. Where the ledger knows of epochs
    /// ([`crate::Application::epochs`]) these are of the first one.
    pub validators: Vec<[u8; 32]>,
    /// Where to listen and where the others are; needed with more than one validator. A lone validator without one has no
    /// network at all; with one, others can follow it.
    pub network: Option<Network>,
    /// The key need not be a validator's: the node follows finality while it is none.
    pub observer: bool,
    /// Carries the node's own messages between nodes ([`crate::gossip()`]); unused without a network.
    pub gossip: Option<GossipPort>,
    /// Upper bound of a block's bytes. It may grow between starts, never shrink.
    pub max_block_bytes: usize,
    /// An idle chain makes an empty block this often.
    pub heartbeat: Duration,
    /// View timeouts; `None` takes those that fit the number of validators ([`Timeouts::for_validators`]).
    pub timeouts: Option<Timeouts>,
    /// Final blocks that consensus itself keeps to serve to peers, besides the ledger's copy. Kept in files of 32 blocks.
    pub prune_depth: u64,
    /// Threads of consensus' async runtime.
    pub worker_threads: usize,
}

/// Peer-to-peer settings.
#[derive(Clone, Debug)]
pub struct Network {
    /// Local address to listen on.
    pub listen: SocketAddr,
    /// Public key and address of every other validator (an entry for this one is ignored).
    pub peers: Vec<([u8; 32], SocketAddr)>,
    /// Public key and address of nodes that follow without voting. A validator admits those that it lists.
    pub observers: Vec<([u8; 32], SocketAddr)>,
}

/// View timeouts, all counted from the view's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// How long the leader may take to propose.
    pub leader: Duration,
    /// How long until the view's block is certified, else the view is given up. Longer than `leader`.
    pub certification: Duration,
    /// How often the vote to give up is repeated.
    pub retry: Duration,
    /// A leader silent for this long is skipped at once; `None` always waits. Longer than the two above.
    pub skip: Option<Duration>,
}

impl Timeouts {
    /// What suits `n` validators and a heartbeat.
    ///
    /// A single validator waits for nobody. Its leader timeout lies beyond the heartbeat, so an idle view ends in the
    /// heartbeat's block, not in a vote to give the view up, and nothing is written in between; it is capped so that a view
    /// that is stuck in spite of everything is left.
    pub fn for_validators(n: usize, heartbeat: Duration) -> Self {
        if n == 1 {
            let leader = (heartbeat + Duration::from_secs(1)).min(Duration::from_secs(10));
            Self {
                leader,
                certification: leader + Duration::from_secs(1),
                retry: Duration::from_secs(1),
                skip: None,
            }
        } else {
            Self {
                leader: Duration::from_secs(1),
                certification: Duration::from_millis(1500),
                retry: Duration::from_millis(1500),
                skip: Some(Duration::from_secs(2)),
            }
        }
    }
}

impl Config {
    /// A validator with the defaults: blocks of up to 4 MiB, a heartbeat of 5 s, and 64 blocks kept for peers (2,048 where
    /// there are peers).
    pub fn new(
        data_dir: impl Into<PathBuf>,
        secret_key: [u8; 32],
        namespace: impl Into<Vec<u8>>,
        validators: Vec<[u8; 32]>,
    ) -> Self {
        let prune_depth = if validators.len() > 1 { 2048 } else { 64 };
        Self {
            data_dir: data_dir.into(),
            lock: None,
            secret_key,
            namespace: namespace.into(),
            validators,
            network: None,
            observer: false,
            gossip: None,
            max_block_bytes: 4 << 20,
            heartbeat: Duration::from_secs(5),
            timeouts: None,
            prune_depth,
            worker_threads: 2,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("namespace", &hex::encode(&self.namespace))
            .field("validators", &self.validators.len())
            .field("network", &self.network)
            .field("max_block_bytes", &self.max_block_bytes)
            .field("heartbeat", &self.heartbeat)
            .field("timeouts", &self.timeouts)
            .field("prune_depth", &self.prune_depth)
            .finish_non_exhaustive()
    }
}

/// The public key of a secret key, both 32 bytes.
pub fn public_key(secret_key: &[u8; 32]) -> [u8; 32] {
    let key = decode_secret(secret_key);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.public_key().as_ref());
    bytes
}

fn decode_secret(secret_key: &[u8; 32]) -> ed25519::PrivateKey {
    ed25519::PrivateKey::decode(Copying(secret_key.as_slice())).expect("any 32 bytes are an Ed25519 seed")
}

/// A configuration that was checked.
pub(crate) struct Checked {
    pub(crate) key: ed25519::PrivateKey,
    pub(crate) public: ed25519::PublicKey,
    pub(crate) timeouts: Timeouts,
    /// Addresses of the others, validators or to become one; empty for one validator.
    pub(crate) peers: Vec<(ed25519::PublicKey, SocketAddr)>,
    /// Addresses of nodes that do not vote.
    pub(crate) observers: Vec<(ed25519::PublicKey, SocketAddr)>,
    pub(crate) listen: Option<SocketAddr>,
}

impl Config {
    /// Checks it for a chain whose ledger knows these epochs and addresses.
    pub(crate) fn check(
        &self,
        spans: &[EpochSpan],
        addresses: &[([u8; 32], SocketAddr)],
    ) -> Result<Checked, ConsensusError> {
        let bad = |what: String| Err(ConsensusError::Config(what));
        let current = spans.last().map_or(self.validators.as_slice(), |span| span.validators.as_slice());
        if !current.is_sorted_by(|a, b| a < b) {
            return bad("validators must be in ascending order, without duplicates".into());
        }
        if self.max_block_bytes == 0 || self.max_block_bytes > 64 << 20 {
            return bad(format!("max_block_bytes {} is not between 1 and 64 MiB", self.max_block_bytes));
        }
        if self.heartbeat < Duration::from_millis(10) {
            return bad(format!("a heartbeat of {:?} is too short", self.heartbeat));
        }
        if self.worker_threads == 0 {
            return bad("worker_threads must be at least 1".into());
        }
        let key = decode_secret(&self.secret_key);
        let public = key.public_key();
        let own = public_key(&self.secret_key);
        let keys = current.iter().map(key_of).collect::<Result<Vec<_>, _>>()?;
        if u32::try_from(keys.len()).is_err() {
            return bad("too many validators".into());
        }
        // One that was a validator follows; one that is to be one is told by the flag or by the ledger.
        let known = self.observer
            || current.contains(&own)
            || spans.iter().any(|span| span.validators.contains(&own))
            || addresses.iter().any(|(key, _)| *key == own);
        if !known {
            return bad(format!(
                "the key {} is not among the {} validators of this chain",
                hex::encode(own),
                keys.len()
            ));
        }
        if !current.contains(&own) && self.network.is_none() {
            return bad(
                "a node that follows needs a network: a listen address and the validators' addresses".into(),
            );
        }
        // A lone validator with a network has others that follow, and may become one of several.
        let members = keys.len().max(if self.network.is_some() { 2 } else { 1 });
        let timeouts = self.timeouts.unwrap_or_else(|| Timeouts::for_validators(members, self.heartbeat));
        if timeouts.leader.is_zero() || timeouts.certification <= timeouts.leader || timeouts.retry.is_zero()
        {
            return bad(format!(
                "0 < leader timeout < certification timeout is required, found {timeouts:?}"
            ));
        }
        if timeouts.skip.is_some_and(|skip| skip <= timeouts.certification || skip <= timeouts.retry) {
            return bad(format!(
                "the skip timeout must exceed the certification and retry timeouts, found {timeouts:?}"
            ));
        }
        let mut peers = Vec::new();
        let mut observers = Vec::new();
        let mut listen = None;
        if members > 1 {
            let Some(network) = &self.network else {
                return bad(format!(
                    "{} validators need a network: a listen address and the peers' addresses",
                    keys.len()
                ));
            };
            for (n, (bytes, address)) in network.peers.iter().enumerate() {
                let peer = key_of(bytes)?;
                if network.peers[..n].iter().any(|(known, _)| known == bytes) {
                    return bad(format!("peer {} is listed twice", hex::encode(bytes)));
                }
                if peer != public {
                    peers.push((peer, *address));
                }
            }
            let of = |key: &ed25519::PublicKey| {
                let told = addresses.iter().find(|(bytes, _)| bytes.as_slice() == key.as_ref() as &[u8]);
                *key == public || told.is_some() || peers.iter().any(|(known, _)| known == key)
            };
            let missing = keys.iter().filter(|key| !of(key)).count();
            let others = keys.iter().filter(|key| **key != public).count();
            // Who follows needs somebody to follow; the validators that it knows of may be gone since.
            if missing > 0 && (current.contains(&own) || (peers.is_empty() && addresses.is_empty())) {
                return bad(format!("{missing} of {others} other validators have no address"));
            }
            for (bytes, address) in &network.observers {
                let observer = key_of(bytes)?;
                if observer != public && !observers.iter().any(|(known, _)| *known == observer) {
                    observers.push((observer, *address));
                }
            }
            listen = Some(network.listen);
        }
        Ok(Checked { key, public, timeouts, peers, observers, listen })
    }
}
