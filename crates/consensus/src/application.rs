//! What the ledger gives consensus.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::block::{Block, Header};

/// Names a final block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// By its height.
    Height(u64),
    /// By its digest.
    Digest([u8; 32]),
}

/// Successive heights that one set of validators decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochSpan {
    /// Counts from 0, which begins after genesis.
    pub epoch: u64,
    /// Its first height.
    pub first: u64,
    /// Its last height, once that is decided: at least [`Application::EPOCH_NOTICE`] blocks before it.
    pub last: Option<u64>,
    /// Ed25519 keys in ascending order.
    pub validators: Vec<[u8; 32]>,
}

/// A final block in the ledger.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The block.
    pub block: Block,
    /// The certificate given to [`Application::finalized`] with it.
    pub certificate: Option<Bytes>,
}

/// What came of putting a block together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The block's bytes, which are the ones that its hash is of.
    Whole(Bytes),
    /// Items at these places are missing; never empty.
    Lacks(Vec<u32>),
    /// It is no outline, or what it names is something else here.
    Wrong,
}

/// The ledger behind consensus.
///
/// Its futures run on consensus' own tokio runtime, so they may use `tokio::task::spawn_blocking` for long work; they
/// must not block a worker thread for long (there are two). `propose`, `verify` and `adopt` may be dropped at any await:
/// take work out of a queue in `finalized`, never in `propose`.
///
/// Blocks are only built on, verified on or adopted on a parent for which [`knows`](Self::knows) is true. So the ledger needs
/// state for the last final block and for blocks above it that came out of `propose` or went through `verify` or `adopt`
/// in this process, and drops it for a final block's siblings and their descendants: a request still under way on one of
/// these is about to be dropped, and any answer to it will do.
pub trait Application: Clone + Send + Sync + 'static {
    /// Blocks between the one that decides where an epoch ends and that end, at least. So whoever has block N knows of all
    /// heights up to N + `EPOCH_NOTICE` to which epoch they belong.
    const EPOCH_NOTICE: u64 = 64;

    /// The block of height 0. It must be the same at every start.
    fn genesis(&self) -> Block;

    /// Digest, parent and height of a block's bytes. Refuses bytes that are not canonical; they may come from the network,
    /// so it must not panic. Pure: consults no state.
    fn header(bytes: &[u8]) -> Result<Header, String>;

    /// Builds a block on `parent`.
    ///
    /// `must` = false: a block if there is work, else `None`; asked again when [`work`](Self::work) is notified.
    /// `must` = true: an empty block, quickly, whether or not there is work. It is asked for at the heartbeat, and when
    /// the chain needs a push: the parent is not final after a while, or many views passed without a block.
    fn propose(&self, parent: Block, leader: u32, must: bool) -> impl Future<Output = Option<Block>> + Send;

    /// Re-executes `block` on `parent`. `leader` is the proposer's index in the sorted validator set. Waits (does not say
    /// false) while the answer may still change, such as when the block's time is ahead of the clock: false is for ever.
    fn verify(&self, parent: Block, block: Block, leader: u32) -> impl Future<Output = bool> + Send;

    /// Whether this block's state is at hand, so that a child can be built on it. Always true for the last final block.
    fn knows(&self, digest: &[u8; 32]) -> bool;

    /// Executes `ancestor`, which a quorum certified but whose state is not at hand: the process restarted since, or was too
    /// late to vote. Its parent is known; others will be built on it before it is final. No question of leader or clock:
    /// the quorum settled those. False (it does not execute here as it did there) stops consensus.
    fn adopt(&self, ancestor: Block) -> impl Future<Output = bool> + Send;

    /// Commits `block` durably before returning. Called in order of height, once a height, from 1; after a crash the last
    /// one may come again, so it must be idempotent. The block may be one that this process never verified (it caught up).
    /// `certificate` is the encoded finalization of exactly this height, if this node has one (it may have caught up through
    /// a descendant's). An error stops consensus.
    fn finalized(
        &self,
        block: Block,
        certificate: Option<Bytes>,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// A block of which items are only named that the other nodes have probably heard of. `None`: send it whole.
    fn outline(&self, block: &Bytes) -> Option<Bytes> {
        let _ = block;
        None
    }

    /// Puts a block together from an outline, which may come from anybody: from `items` by their places, and from what this node
    /// has heard.
    fn fill(&self, outline: &Bytes, items: &BTreeMap<u32, Bytes>) -> Filled {
        let _ = (outline, items);
        Filled::Wrong
    }

    /// Items of a block by their places. `None`: it has none there.
    fn items(&self, block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
        let _ = (block, places);
        None
    }

    /// Notified (`notify_one` suffices) when work arrives that `propose` would put in a block.
    fn work(&self) -> Arc<Notify>;

    /// Height of the last block that `finalized` made durable; 0 if none.
    fn final_height(&self) -> u64;

    /// All epochs up to the one of the next block, oldest first, as the last final block leaves them. Asked after every commit,
    /// so it must be cheap. Empty: the configured validators, for ever.
    fn epochs(&self) -> Arc<Vec<EpochSpan>> {
        Arc::default()
    }

    /// Where validators of this epoch and the next are to be reached that the configuration may not know. Asked after every
    /// commit.
    fn addresses(&self) -> Arc<Vec<([u8; 32], SocketAddr)>> {
        Arc::default()
    }

    /// Where this ledger began, if not with genesis: a final block and its certificate, which blocks above it stand on.
    /// Always the same one. Blocks below it are not to be had here.
    fn floor(&self) -> impl Future<Output = Option<Stored>> + Send {
        async { None }
    }

    /// Digest of the last block of an epoch before the present one.
    fn end_of_epoch(&self, height: u64) -> Option<[u8; 32]> {
        let _ = height;
        None
    }

    /// A final block for a peer that was off for longer than consensus keeps blocks. `None` if it is not to be had; by
    /// digest it may be so for blocks with a certificate of their own, which peers ask for by height.
    fn stored(&self, at: At) -> impl Future<Output = Option<Stored>> + Send {
        let _ = at;
        async { None }
    }
}
