//! The ledger: unfinalised blocks as layers over the committed state, and the one place that commits.
//!
//! Consensus asks it to [`Ledger::propose`] on a parent, to [`Ledger::check`] a block, and tells it what became final
//! with [`Ledger::finalize`], which returns only once the commit is on disk. Work is looked at when a block is built
//! and taken out when a block is final, so a proposal that comes to nothing loses nothing.

mod parent;
mod propose;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use alloy_primitives::B256;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, broadcast};
use triad_evm::EvmBlock;
use triad_log::{Checkpoint, TileWriter};

use crate::block::Block;
use crate::error::{BlockError, ChainError};
use crate::events::Committed;
use crate::execute::{ExecError, Executed, Parent, Rules, check, epoch_after, reign};
use crate::genesis::{ChainSpec, KNOWN_RULES};
use crate::mempool::Mempool;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::serve::Uncertified;
use crate::snapshot::{Capture, Snapshots};
use crate::state::View;
use crate::state::records::{Reign, Scheduled};
use crate::store::Store;
use crate::store::blocks::{EthBlock, RecentBlocks};
use crate::store::index::Pending;
pub(crate) use parent::OpenParent;
use parent::Past;

/// A block that lies further ahead of this node's clock than this is not judged yet.
pub const MAX_CLOCK_AHEAD_MS: u64 = 500;
/// Blocks before the head whose state is kept unless somebody asks for more or less.
pub const HISTORY: u64 = 128;
/// Committed blocks that a slow watcher may lag behind before it misses some.
const WATCH_BUFFER: usize = 1024;
/// Memory for Ethereum blocks that were committed or read lately.
const RECENT_BLOCK_BYTES: u64 = 64 << 20;
/// Longer than any commit takes.
const COMMIT_PATIENCE: Duration = Duration::from_secs(30);

/// The last committed block, as far as the next one needs it.
#[derive(Clone)]
pub(crate) struct Tip {
    pub checkpoint: Checkpoint,
    pub digest: [u8; 32],
    pub eth_hash: B256,
    pub state_root: B256,
    pub log: TileWriter,
}

pub(crate) struct Inner {
    pub rules: Rules,
    pub store: Arc<Store>,
    pub pending: Pending,
    pub eth_blocks: RecentBlocks,
    /// The block whose state the store holds or is about to: the tip, or the one above it.
    committing: RwLock<[u8; 32]>,
    pub tip: RwLock<Tip>,
    /// Executed, not final.
    layers: Mutex<HashMap<[u8; 32], Arc<Executed>>>,
    pub pool: Mempool,
    pub work: Arc<Notify>,
    pub watchers: broadcast::Sender<Arc<Committed>>,
    pub metrics: Metrics,
    pub uncertified: Uncertified,
    /// What is accepted here goes to other nodes through this.
    pub outbox: Outbox,
    pub snapshots: Snapshots,
    /// See [`Store::base`] and [`Store::oldest`].
    pub base: AtomicU64,
    pub oldest: AtomicU64,
    /// All epochs up to the next block's.
    reigns: RwLock<Arc<Vec<Reign>>>,
    genesis: Block,
    sync: bool,
    clock: Clock,
}

/// Says what time it is, in milliseconds since 1970.
pub(crate) type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// Cheap to clone; all clones are one ledger.
#[derive(Clone)]
pub struct Ledger(pub(crate) Arc<Inner>);

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("height", &self.height()).finish_non_exhaustive()
    }
}

/// What a node says about a block that somebody proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Valid,
    Invalid(BlockError),
    /// Its time is ahead of our clock: ask again in so many milliseconds.
    Wait(u64),
    /// A parent is not known here.
    UnknownParent,
}

/// Milliseconds since 1970 by this machine's clock.
pub fn clock_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

impl Ledger {
    /// Opens the chain under `dir`, creating it from genesis the first time, and restores what a crash left.
    pub fn open(dir: &Path, spec: ChainSpec) -> Result<Ledger, ChainError> {
        Ledger::open_keeping(dir, spec, HISTORY)
    }

    /// [`Ledger::open`], keeping the state of the last `history` blocks before the head (at least one; [`triad_evm::ARCHIVE`]: of
    /// all from now on).
    pub fn open_keeping(dir: &Path, spec: ChainSpec, history: u64) -> Result<Ledger, ChainError> {
        Ledger::open_with(dir, spec, history, true)
    }

    pub(crate) fn open_with(
        dir: &Path,
        spec: ChainSpec,
        history: u64,
        sync: bool,
    ) -> Result<Ledger, ChainError> {
        Ledger::open_timed(dir, spec, history, sync, Box::new(clock_ms))
    }

    pub(crate) fn open_timed(
        dir: &Path,
        spec: ChainSpec,
        history: u64,
        sync: bool,
        clock: Clock,
    ) -> Result<Ledger, ChainError> {
        let store = Arc::new(Store::open(dir, &spec.hash)?);
        let rules = Rules::new(spec);
        let pending = Pending::default();
        let (genesis, evm) = crate::start::genesis_block(&rules.spec)?;
        let tip = match store.tip()? {
            None => {
                crate::start::store_genesis(&store, &genesis, &evm)?;
                genesis_tip(&genesis, &evm)
            }
            Some(height) => crate::restore::restore(&store, &rules, &pending, height)?,
        };
        store.keep_history(history, tip.checkpoint.height.0)?;
        let reigns = reigns(&store, &rules.spec, &tip.checkpoint)?;
        let (base, oldest) = (AtomicU64::new(store.base()?), AtomicU64::new(store.oldest()?));
        let (watchers, _) = broadcast::channel(WATCH_BUFFER);
        let pool = Mempool::new(&rules.spec.genesis);
        let inner = Inner {
            rules,
            store,
            pending,
            eth_blocks: RecentBlocks::new(RECENT_BLOCK_BYTES),
            committing: RwLock::new(tip.digest),
            tip: RwLock::new(tip),
            layers: Mutex::new(HashMap::new()),
            pool,
            work: Arc::new(Notify::new()),
            watchers,
            metrics: Metrics::default(),
            uncertified: Uncertified::default(),
            outbox: Outbox::default(),
            snapshots: Snapshots::default(),
            base,
            oldest,
            reigns: RwLock::new(reigns),
            genesis,
            sync,
            clock,
        };
        Ok(Ledger(Arc::new(inner)))
    }

    /// Milliseconds since 1970 by the clock of this ledger's machine. Only leaders' proposals, what is refused for its time, and doors'
    /// early checks use it.
    pub(crate) fn now_ms(&self) -> u64 {
        (self.0.clock)()
    }

    /// Whether this is the only handle left: dropping it closes the store.
    pub fn is_last(&self) -> bool {
        Arc::strong_count(&self.0) == 1 && Arc::strong_count(&self.0.store) == 1
    }

    pub fn spec(&self) -> &ChainSpec {
        &self.0.rules.spec
    }

    pub fn genesis_block(&self) -> &Block {
        &self.0.genesis
    }

    /// Height of the last committed block.
    pub fn height(&self) -> u64 {
        self.0.tip.read().checkpoint.height.0
    }

    /// All epochs up to the one of the next block, oldest first.
    pub fn reigns(&self) -> Arc<Vec<Reign>> {
        self.0.reigns.read().clone()
    }

    /// Notified when there may be something to put into a block.
    pub fn work(&self) -> Arc<Notify> {
        self.0.work.clone()
    }

    /// One message a committed block, sent after its commit.
    pub fn watch(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.0.watchers.subscribe()
    }

    /// Bytes that the store takes on disk, its journals included.
    pub fn disk_bytes(&self) -> Result<u64, ChainError> {
        self.0.store.disk_bytes()
    }

    /// Whether a block's state is at hand, so that a child can be executed on it.
    pub fn knows(&self, digest: &[u8; 32]) -> bool {
        self.0.tip.read().digest == *digest || self.0.layers.lock().contains_key(digest)
    }

    pub(crate) fn parent(&self, digest: &[u8; 32]) -> Option<OpenParent> {
        let tip = self.0.tip.read();
        let layers = self.0.layers.lock();
        let mut ancestors: Vec<Arc<Executed>> = Vec::new();
        let mut at = *digest;
        while at != tip.digest {
            let layer = layers.get(&at)?;
            at = layer.block.checkpoint.parent_digest;
            ancestors.push(layer.clone());
        }
        let state = self.0.store.state.clone();
        let view = View { state, layers: ancestors.iter().map(|e| e.tables.clone()).collect() };
        let history = Arc::new(Past { ancestors: ancestors.clone(), store: self.0.store.clone() });
        let parent = match ancestors.first() {
            None => Parent {
                checkpoint: tip.checkpoint,
                digest: tip.digest,
                eth_hash: tip.eth_hash,
                state_root: tip.state_root,
                log: tip.log.clone(),
                view,
                history,
            },
            Some(newest) => Parent {
                checkpoint: newest.block.checkpoint,
                digest: newest.block.digest,
                eth_hash: newest.evm.hash,
                state_root: newest.evm.header.state_root,
                log: newest.log.clone(),
                view,
                history,
            },
        };
        Some(OpenParent { parent, ancestors, base: tip.digest })
    }

    /// The committed state, to read from.
    pub(crate) fn committed(&self) -> OpenParent {
        loop {
            let digest = self.0.tip.read().digest;
            // Only a commit in between can make it unknown.
            if let Some(parent) = self.parent(&digest) {
                return parent;
            }
        }
    }

    /// Whether the chain went past this parent, or another way, in the meantime. The store then holds other state than the
    /// parent's, so whatever was found on it means nothing, and nobody needs it any more. When this says so, the commit is
    /// done, and what it made final or dropped is known as such.
    fn is_past(&self, open: &OpenParent) -> bool {
        let stored = *self.0.committing.read();
        if open.stands_on(&stored) {
            return false;
        }
        let since = Instant::now();
        // A commit that takes longer failed, which ends the node.
        while self.0.tip.read().digest != *self.0.committing.read() && since.elapsed() < COMMIT_PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    fn insert(&self, executed: Executed) {
        self.0.layers.lock().insert(executed.block.digest, Arc::new(executed));
    }

    /// Re-executes a block on its parent.
    pub fn check(&self, bytes: &Bytes, leader: Option<u32>) -> Result<Judgement, ChainError> {
        let block = match Block::decode(bytes.clone()) {
            Ok(block) => block,
            Err(why) => return Ok(Judgement::Invalid(why)),
        };
        if leader.is_some_and(|leader| leader != block.body.proposer) {
            return Ok(Judgement::Invalid(BlockError::Proposer(block.body.proposer)));
        }
        if self.knows(&block.digest) {
            return Ok(Judgement::Valid);
        }
        let ahead = block.checkpoint.time_ms.saturating_sub(self.now_ms());
        if leader.is_some() && ahead > MAX_CLOCK_AHEAD_MS {
            return Ok(Judgement::Wait(ahead - MAX_CLOCK_AHEAD_MS));
        }
        let Some(open) = self.parent(&block.checkpoint.parent_digest) else {
            return Ok(Judgement::UnknownParent);
        };
        let executed = self.execute_block(&open, &block);
        if self.is_past(&open) {
            // Perhaps by this very block.
            let known = self.knows(&block.digest);
            return Ok(if known { Judgement::Valid } else { Judgement::UnknownParent });
        }
        match executed {
            Ok(executed) => {
                // What another leader's block holds need not be offered again on top of it.
                self.0.pool.proposed(&executed.statements, &block);
                self.insert(executed);
                Ok(Judgement::Valid)
            }
            Err(ExecError::Invalid(why)) => Ok(Judgement::Invalid(why)),
            Err(ExecError::Broken(error)) => Err(error),
        }
    }

    pub(crate) fn execute_block(&self, open: &OpenParent, block: &Block) -> Result<Executed, ExecError> {
        let limits = &self.0.rules.spec.genesis.limits;
        let body = crate::verify::body(open, block, limits, &self.0.pool)?;
        let state = open.state(&self.0.store);
        let started = Instant::now();
        let executed = check(&self.0.rules, &open.parent, &state, block, body.statements, body.transactions)?;
        self.0.metrics.executed(&executed, started.elapsed());
        Ok(executed)
    }

    /// Commits a final block. Idempotent: a block delivered again changes nothing.
    pub fn finalize(&self, bytes: &Bytes, certificate: Option<&[u8]>) -> Result<(), ChainError> {
        let block = Block::decode(bytes.clone()).map_err(|why| ChainError::Block { height: 0, why })?;
        let height = block.height();
        let tip = self.height();
        if height <= tip {
            return match certificate {
                Some(certificate) if height > 0 => self.0.store.put_certificate(height, certificate),
                _ => Ok(()),
            };
        }
        let known = self.0.layers.lock().get(&block.digest).cloned();
        let executed = match known {
            Some(executed) => executed,
            None => {
                let gap =
                    || ChainError::Block { height, why: BlockError::Parent("it is not the next block") };
                let open = self.parent(&block.checkpoint.parent_digest).ok_or_else(gap)?;
                let executed = self.execute_block(&open, &block).map_err(|error| match error {
                    ExecError::Invalid(why) => ChainError::Block { height, why },
                    ExecError::Broken(error) => error,
                })?;
                Arc::new(executed)
            }
        };
        self.commit(executed, certificate)
    }

    fn commit(&self, executed: Arc<Executed>, certificate: Option<&[u8]>) -> Result<(), ChainError> {
        let started = Instant::now();
        let inner = &self.0;
        let view = View { state: inner.store.state.clone(), layers: Vec::new() };
        let rows = crate::store::index_rows(&executed, &view)?;
        *inner.committing.write() = executed.block.digest;
        inner.store.commit(&executed, certificate, &rows, &inner.pending, inner.sync)?;
        let settled = inner.pool.settled(&executed);
        let eth = Arc::new(EthBlock::of(&executed.evm));
        inner.eth_blocks.insert(eth.clone());
        {
            let mut tip = inner.tip.write();
            *tip = Tip {
                checkpoint: executed.block.checkpoint,
                digest: executed.block.digest,
                eth_hash: executed.evm.hash,
                state_root: executed.evm.header.state_root,
                log: executed.log.clone(),
            };
            // At once, so that nobody finds a block known on which nothing can be built.
            keep_descendants(&mut inner.layers.lock(), &tip);
        }
        if !executed.tables.reigns.is_empty() {
            *inner.reigns.write() = reigns(&inner.store, &inner.rules.spec, &executed.block.checkpoint)?;
        }
        if let Some(Some(scheduled)) = executed.tables.scheduled.get(&0) {
            warn_of_rules(scheduled);
        }
        inner.metrics.committed(&executed, started.elapsed());
        settled.answer();
        let capture = || Capture::take(&inner.store, &executed);
        inner.snapshots.committed(executed.block.height(), capture, &self.reigns());
        // Nobody watching is fine.
        let _ = inner.watchers.send(Arc::new(Committed::of(&executed, eth)));
        if inner.pool.has_work() || inner.store.state.queue.len() > 0 {
            inner.work.notify_one();
        }
        Ok(())
    }

    /// Wakes the proposer when a silence detector's time has come. Runs for ever.
    pub async fn wake_for_deadlines(self) {
        loop {
            let now = self.now_ms();
            let next = self.0.store.state.deadlines.first_key().map(|(at, ..)| at);
            match next {
                Some(at) if at <= now => {
                    self.0.work.notify_one();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Some(at) => {
                    let wait = (at - now).min(200);
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// The committed state's epochs.
fn reigns(store: &Store, spec: &ChainSpec, tip: &Checkpoint) -> Result<Arc<Vec<Reign>>, ChainError> {
    let view = View { state: store.state.clone(), layers: Vec::new() };
    let all = (0..=epoch_after(tip)).map(|epoch| reign(&view, spec, epoch));
    all.collect::<Result<Vec<_>, _>>().map(Arc::new)
}

/// Tells the operator in time that another release is needed.
fn warn_of_rules(scheduled: &Scheduled) {
    for (name, height) in scheduled.0.iter().filter(|(name, _)| !KNOWN_RULES.contains(&name.as_str())) {
        tracing::warn!(rule = name, height, "an unknown rule is scheduled");
        eprintln!(
            "triad: from block {height} on the validators follow rule `{name}`, which this program does not know. Install a \
             release that does before that block; this one stops there"
        );
    }
}

/// Drops the layers that do not stand on the tip: its ancestors' siblings with all that was built on them.
fn keep_descendants(layers: &mut HashMap<[u8; 32], Arc<Executed>>, tip: &Tip) {
    let mut by_height: Vec<&Arc<Executed>> = layers.values().collect();
    by_height.sort_by_key(|layer| layer.block.height());
    let mut standing = HashSet::from([tip.digest]);
    for layer in by_height {
        if standing.contains(&layer.block.checkpoint.parent_digest) {
            standing.insert(layer.block.digest);
        }
    }
    layers.retain(|digest, _| *digest != tip.digest && standing.contains(digest));
}

pub(crate) fn genesis_tip(genesis: &Block, evm: &EvmBlock) -> Tip {
    Tip {
        checkpoint: genesis.checkpoint,
        digest: genesis.digest,
        eth_hash: evm.hash,
        state_root: evm.header.state_root,
        log: TileWriter::new(),
    }
}

#[cfg(test)]
mod tests;
