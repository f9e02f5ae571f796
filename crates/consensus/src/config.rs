//! What the node tells consensus, with defaults that depend on the number of validators.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::{Signer as _, ed25519};
use commonware_utils::ordered::Set;

use crate::{ConsensusError, directory::DirectoryLock, gossip::GossipPort};

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
    /// Ed25519 public keys of all validators, in ascending order, this one among them.
    pub validators: Vec<[u8; 32]>,
    /// Where to listen and where the others are; needed with more than one validator, unused with one.
    pub network: Option<Network>,
    /// Follow finality without voting; the key is not a validator's then. Needs two validators or more.
    pub observer: bool,
    /// Carries the node's own messages between nodes ([`crate::gossip()`]); unused with one validator.
    pub gossip: Option<GossipPort>,
    /// Epoch of this validator set. Only 0 until validator sets can change.
    pub epoch: u64,
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
            epoch: 0,
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
    pub(crate) validators: Set<ed25519::PublicKey>,
    /// This validator's index; `None` for an observer.
    pub(crate) index: Option<u32>,
    pub(crate) timeouts: Timeouts,
    /// Addresses of the others; empty for one validator.
    pub(crate) peers: Vec<(ed25519::PublicKey, SocketAddr)>,
    /// Addresses of nodes that do not vote.
    pub(crate) observers: Vec<(ed25519::PublicKey, SocketAddr)>,
    pub(crate) listen: Option<SocketAddr>,
}

impl Config {
    pub(crate) fn check(&self) -> Result<Checked, ConsensusError> {
        let bad = |what: String| Err(ConsensusError::Config(what));
        let parse = |bytes: &[u8; 32]| {
            ed25519::PublicKey::decode(Copying(bytes.as_slice())).map_err(|_| {
                ConsensusError::Config(format!("{} is not an Ed25519 public key", hex::encode(bytes)))
            })
        };
        if !self.validators.is_sorted_by(|a, b| a < b) {
            return bad("validators must be in ascending order, without duplicates".into());
        }
        if self.epoch != 0 {
            return bad(format!("epoch {} is not supported yet: validator sets are fixed", self.epoch));
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
        let keys = self.validators.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let index = keys.iter().position(|k| *k == public);
        match (index, self.observer) {
            (None, false) => {
                return bad(format!(
                    "the key {} is not among the {} validators of this chain",
                    hex::encode(public.as_ref()),
                    keys.len()
                ));
            }
            (Some(_), true) => {
                return bad(format!(
                    "the key {} is a validator's: an observer needs its own",
                    hex::encode(public.as_ref())
                ));
            }
            (None, true) if keys.len() < 2 => {
                return bad("a chain with one validator has no network to observe".into());
            }
            _ => {}
        }
        let timeouts = self.timeouts.unwrap_or_else(|| Timeouts::for_validators(keys.len(), self.heartbeat));
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
        if keys.len() > 1 {
            let Some(network) = &self.network else {
                return bad(format!(
                    "{} validators need a network: a listen address and the peers' addresses",
                    keys.len()
                ));
            };
            for (bytes, address) in &network.peers {
                let peer = parse(bytes)?;
                if peer == public {
                    continue;
                }
                if !keys.contains(&peer) {
                    return bad(format!("peer {} is not a validator", hex::encode(bytes)));
                }
                if peers.iter().any(|(known, _)| *known == peer) {
                    return bad(format!("peer {} is listed twice", hex::encode(bytes)));
                }
                peers.push((peer, *address));
            }
            let others = keys.len() - usize::from(index.is_some());
            if peers.len() != others {
                return bad(format!(
                    "{} of {others} other validators have no address",
                    others.saturating_sub(peers.len())
                ));
            }
            for (bytes, address) in &network.observers {
                let observer = parse(bytes)?;
                if keys.contains(&observer) {
                    return bad(format!("observer {} is a validator", hex::encode(bytes)));
                }
                if observer != public && !observers.iter().any(|(known, _)| *known == observer) {
                    observers.push((observer, *address));
                }
            }
            listen = Some(network.listen);
        }
        let index = index
            .map(u32::try_from)
            .transpose()
            .map_err(|_| ConsensusError::Config("too many validators".into()))?;
        let validators = Set::from_iter_dedup(keys);
        Ok(Checked { key, public, validators, index, timeouts, peers, observers, listen })
    }
}
