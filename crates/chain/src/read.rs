//! Reading what is final. Never waits for a commit, never slows one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_primitives::{Address, B256, Bloom};
use triad_evm::{
    Account, CallError, CallOutcome, CallRequest, GethDebugTracingOptions, GethTrace, RecoveredTx,
    StateError, StateView, Stop, Trial,
};
use triad_log::{Checkpoint, Verdict};
use triad_models::Spec;
use triad_statement::{DeviceId, Sequence, Statement, StreamId};

use crate::admission;
use crate::block::Block;
use crate::checkpoint_signature::{CheckpointSignature, CheckpointSigner};
use crate::error::ChainError;
use crate::genesis::ChainSpec;
use crate::ledger::Ledger;
use crate::past::{PastError, StateAt, TraceFailure};
use crate::state::records::*;
use crate::store::blocks::{EthBlock, LogBlock};
use crate::txpool::Waiting;

/// The most rows that one call returns.
pub const MAX_PAGE: usize = 10_000;

/// Rows, and where the next page begins.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// To be given back as `after`; `None` at the end.
    pub next: Option<String>,
}

/// A numeric reading of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    pub time_us: i64,
    pub value: f64,
    pub leaf: u64,
    pub record: u16,
}

/// A verdict and the block that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVerdict {
    pub height: u64,
    /// Position among the block's verdicts.
    pub ordinal: u32,
    pub verdict: Verdict,
}

/// A statement as stored.
#[derive(Debug, Clone)]
pub struct StoredStatement {
    pub leaf: u64,
    pub height: u64,
    /// Block time, milliseconds since the epoch.
    pub time_ms: u64,
    pub statement: Statement,
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) ledger: Ledger,
    signer: Option<Arc<CheckpointSigner>>,
}

impl Reader {
    pub fn new(ledger: Ledger) -> Reader {
        Reader { ledger, signer: None }
    }

    /// One that gives signatures of final checkpoints, too.
    pub fn with_signer(self, signer: Option<CheckpointSigner>) -> Reader {
        Reader { signer: signer.map(Arc::new), ..self }
    }

    pub fn spec(&self) -> &ChainSpec {
        self.ledger.spec()
    }

    /// Height of the last final block.
    pub fn height(&self) -> u64 {
        self.ledger.height()
    }

    /// The last final block's checkpoint and digest.
    pub fn tip(&self) -> (Checkpoint, [u8; 32]) {
        let tip = self.ledger.0.tip.read();
        (tip.checkpoint, tip.digest)
    }

    /// (statements, transactions) that wait for a block here.
    pub fn waiting(&self) -> (usize, usize) {
        self.ledger.0.pool.len()
    }

    pub fn watch(&self) -> tokio::sync::broadcast::Receiver<Arc<crate::Committed>> {
        self.ledger.watch()
    }

    pub fn disk_bytes(&self) -> Result<u64, ChainError> {
        self.ledger.disk_bytes()
    }

    pub fn register_metrics(&self, registry: &mut prometheus_client::registry::Registry) {
        self.ledger.0.metrics.register(registry);
    }

    /// A checkpoint and its own certificate, if it has one.
    #[allow(clippy::type_complexity)] // A pair that may be absent, whose second half may be absent.
    pub fn checkpoint(&self, height: u64) -> Result<Option<(Checkpoint, Option<Vec<u8>>)>, ChainError> {
        match self.ledger.0.store.checkpoint(height)? {
            Some(stored) => Ok(Some((stored.checkpoint, stored.certificate))),
            None => self.from(height, self.base()).map(|()| None),
        }
    }

    /// The block after which this node began with a snapshot; 0: it began with genesis.
    pub fn base(&self) -> u64 {
        self.ledger.0.base.load(Ordering::Relaxed)
    }

    /// The oldest block, genesis apart, whose statements and transactions are here.
    pub fn oldest(&self) -> u64 {
        self.ledger.0.oldest.load(Ordering::Relaxed)
    }

    /// Refuses a height below what is kept; genesis always is.
    fn from(&self, height: u64, oldest: u64) -> Result<(), ChainError> {
        if height > 0 && height < oldest { Err(ChainError::NotKept { oldest }) } else { Ok(()) }
    }

    /// The newest certified checkpoint.
    pub fn certified_checkpoint(&self) -> Result<Option<(Checkpoint, Vec<u8>)>, ChainError> {
        let tip = self.height();
        for back in 0..64 {
            let Some(height) = tip.checked_sub(back) else { break };
            let Some(stored) = self.ledger.0.store.checkpoint(height)? else { continue };
            if let Some(certificate) = stored.certificate {
                return Ok(Some((stored.checkpoint, certificate)));
            }
        }
        Ok(None)
    }

    /// The validators' signatures of a final checkpoint for public chains, as far as this node has them: its own, if it
    /// is a validator's. Empty where there is no such block.
    pub fn checkpoint_signatures(&self, height: u64) -> Result<Vec<CheckpointSignature>, ChainError> {
        let Some(signer) = self.signer.as_ref().filter(|_| height <= self.height()) else {
            return Ok(Vec::new());
        };
        let stored = self.ledger.0.store.checkpoint(height)?;
        let reigns = self.reigns();
        let signature = stored.and_then(|stored| {
            let reign = reigns.get(usize::try_from(stored.checkpoint.epoch).ok()?)?;
            signer.sign(&stored.checkpoint.digest(), reign)
        });
        Ok(signature.into_iter().collect())
    }

    pub fn block(&self, height: u64) -> Result<Option<Block>, ChainError> {
        self.from(height, self.oldest())?;
        self.ledger.0.store.block(height)
    }

    pub fn device(&self, id: &DeviceId) -> Result<Option<Device>, ChainError> {
        self.ledger.0.store.state.devices.get(id)
    }

    /// The number that a signer should use next.
    pub fn next_sequence(&self, id: &DeviceId) -> Result<Option<Sequence>, ChainError> {
        let epoch = self.device(id)?.map_or(0, |d| d.epoch);
        let window = self.ledger.0.store.state.windows.get(id)?;
        Ok(window.map_or(Some(Sequence::new(epoch, 0)), |w| w.0.next()))
    }

    /// Registered devices by id, behind `after`.
    pub fn devices(
        &self,
        after: Option<DeviceId>,
        limit: usize,
    ) -> Result<Page<(DeviceId, Device)>, ChainError> {
        let limit = limit.clamp(1, MAX_PAGE);
        let mut items = self.ledger.0.store.state.devices.page(after.as_ref(), limit + 1)?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(|(id, _)| id.to_string());
        Ok(Page { items, next })
    }

    pub fn stream(&self, id: &StreamId) -> Result<Option<(Stream, Latest)>, ChainError> {
        let state = &self.ledger.0.store.state;
        match state.streams.get(id)? {
            None => Ok(None),
            Some(stream) => Ok(Some((stream, state.latest.get(id)?.unwrap_or_default()))),
        }
    }

    /// The streams of one device.
    pub fn streams(&self, origin: &DeviceId) -> Result<Vec<(StreamId, Stream)>, ChainError> {
        let store = &self.ledger.0.store;
        let mut items = Vec::new();
        for id in crate::store::index::streams_of(store.index(), origin)? {
            if let Some(stream) = store.state.streams.get(&id)? {
                items.push((id, stream));
            }
        }
        Ok(items)
    }

    /// The models that judge a stream: genesis defaults, then bound ones.
    pub fn models(&self, stream: &StreamId) -> Result<Vec<(u64, Arc<Spec>)>, ChainError> {
        let defaults = self.ledger.0.rules.defaults.iter().enumerate();
        let mut all: Vec<_> = defaults.map(|(i, spec)| (i as u64, spec.clone())).collect();
        if let Some(bound) = self.ledger.0.store.state.bindings.get(stream)? {
            all.extend(bound.0.iter().map(|b| (b.model, b.spec.clone())));
        }
        Ok(all)
    }

    pub fn registration(&self, id: u64) -> Result<Option<Registration>, ChainError> {
        self.ledger.0.store.state.registrations.get(&id)
    }

    /// Readings of a stream with `from <= time < to` (microseconds), by time; `after` is a page's `next`.
    pub fn readings(
        &self,
        stream: &StreamId,
        (from, to): (i64, i64),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<Reading>>, ChainError> {
        let Some((known, _)) = self.stream(stream)? else { return Ok(None) };
        let limit = limit.clamp(1, MAX_PAGE);
        let Some(after) = cursor::<3>(after) else { return Ok(Some(Page { items: vec![], next: None })) };
        let after = after.map(|[time, leaf, record]| (time, leaf as u64, record as u16));
        let (pending, space) = (&self.ledger.0.pending, self.ledger.0.store.index());
        let mut rows = pending.readings(space, known.number, (from, to), after, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|r| format!("{}.{}.{}", r.time_us, r.leaf, r.record));
        let item = |r: &crate::execute::ReadingRow| Reading {
            time_us: r.time_us,
            value: r.value,
            leaf: r.leaf,
            record: r.record,
        };
        Ok(Some(Page { items: rows.iter().map(item).collect(), next }))
    }

    /// Verdicts on a stream by block height (inclusive bounds), in order; `after` is a page's `next`.
    pub fn verdicts(
        &self,
        stream: &StreamId,
        (from, to): (u64, u64),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<StoredVerdict>>, ChainError> {
        let Some((known, _)) = self.stream(stream)? else { return Ok(None) };
        let limit = limit.clamp(1, MAX_PAGE);
        let Some(after) = cursor::<2>(after) else { return Ok(Some(Page { items: vec![], next: None })) };
        let after = after.map(|[height, ordinal]| (height as u64, ordinal as u32));
        let store = &self.ledger.0.store;
        let mut rows =
            self.ledger.0.pending.verdicts(store.index(), known.number, (from, to), after, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|r| format!("{}.{}", r.height, r.ordinal));
        let mut items = Vec::with_capacity(rows.len());
        let mut block: (u64, Vec<Verdict>) = (0, Vec::new());
        for row in rows {
            if block.0 != row.height || block.1.is_empty() {
                block = (row.height, store.verdicts(row.height)?);
            }
            if let Some(verdict) = block.1.get(row.ordinal as usize).cloned() {
                items.push(StoredVerdict { height: row.height, ordinal: row.ordinal, verdict });
            }
        }
        Ok(Some(Page { items, next }))
    }

    /// All verdicts of one block.
    pub fn block_verdicts(&self, height: u64) -> Result<Vec<Verdict>, ChainError> {
        self.from(height, self.base())?;
        self.ledger.0.store.verdicts(height)
    }

    /// The statement of a leaf; `None` when there is no such leaf, or it is a block's verdict leaf.
    pub fn statement(&self, leaf: u64) -> Result<Option<StoredStatement>, ChainError> {
        if leaf >= self.tip().0.log_size {
            return Ok(None);
        }
        let store = &self.ledger.0.store;
        let not_kept = || ChainError::NotKept { oldest: self.oldest() };
        let (height, first) = store.height_of_leaf(leaf)?.ok_or_else(not_kept)?;
        let block = store.block(height)?.ok_or_else(not_kept)?;
        let Some(bytes) = block.body.statements.get((leaf - first) as usize) else { return Ok(None) };
        let statement = Statement::parse(bytes.clone())
            .map_err(|e| ChainError::corrupt(format!("the statement of leaf {leaf} does not parse: {e}")))?;
        Ok(Some(StoredStatement { leaf, height, time_ms: block.checkpoint.time_ms, statement }))
    }

    /// All epochs up to the one of the next block, oldest first.
    pub fn reigns(&self) -> Arc<Vec<Reign>> {
        self.ledger.reigns()
    }

    /// Rules that the validators agreed to follow, and from which height on.
    pub fn scheduled_rules(&self) -> Result<Arc<Vec<(String, u64)>>, ChainError> {
        Ok(self.ledger.0.store.state.scheduled.get(&0)?.unwrap_or_default().0)
    }

    pub fn eth_block(&self, height: u64) -> Result<Option<Arc<EthBlock>>, ChainError> {
        if height > self.height() {
            return Ok(None);
        }
        self.from(height, self.base())?;
        self.ledger.0.eth_blocks.get(&self.ledger.0.store, height)
    }

    /// The logs of a final block, if its bloom is `wanted`.
    pub fn eth_logs(
        &self,
        height: u64,
        wanted: impl Fn(&Bloom) -> bool,
    ) -> Result<Option<LogBlock>, ChainError> {
        if height > self.height() {
            return Ok(None);
        }
        self.from(height, self.base())?;
        self.ledger.0.eth_blocks.logs(&self.ledger.0.store, height, wanted)
    }

    pub fn eth_height(&self, hash: &B256) -> Result<Option<u64>, ChainError> {
        self.ledger.0.store.eth_height(hash)
    }

    /// Height and position of a final transaction.
    pub fn eth_transaction(&self, hash: &B256) -> Result<Option<(u64, u32)>, ChainError> {
        // The store has a block a moment before the tip moves.
        Ok(self.ledger.0.store.eth_tx(hash)?.filter(|(height, _)| *height <= self.height()))
    }

    pub fn pending_transaction(&self, hash: &B256) -> Option<Arc<RecoveredTx>> {
        self.ledger.0.pool.txs().get(hash)
    }

    /// Hashes of transactions as they become ready for a block.
    pub fn watch_pending(&self) -> tokio::sync::broadcast::Receiver<B256> {
        self.ledger.0.pool.watch_pending()
    }

    /// Hashes of transactions as they leave those that wait, for whatever reason. When a block took one, its receipt is there.
    pub fn watch_gone_transactions(&self) -> tokio::sync::broadcast::Receiver<Arc<[B256]>> {
        self.ledger.0.pool.watch_gone()
    }

    /// How many transactions wait that a block may take, and how many behind a gap in their sender's nonces.
    pub fn waiting_transactions(&self) -> (usize, usize) {
        self.ledger.0.pool.txs().counts()
    }

    /// Transactions that wait, by sender; of one sender only, if one is named.
    pub fn pool(&self, of: Option<&Address>) -> Vec<(Address, Waiting)> {
        self.ledger.0.pool.txs().waiting(of)
    }

    pub fn account(&self, address: &Address) -> Result<Account, ChainError> {
        let open = self.ledger.committed();
        Ok(open.state(&self.ledger.0.store).account(address)?.unwrap_or_default())
    }

    /// The account's next nonce, waiting transactions included.
    pub fn pending_nonce(&self, address: &Address) -> Result<u64, ChainError> {
        Ok(self.ledger.0.pool.txs().pending_nonce(address, self.account(address)?.nonce))
    }

    pub fn code(&self, address: &Address) -> Result<alloy_primitives::Bytes, ChainError> {
        let open = self.ledger.committed();
        let state = open.state(&self.ledger.0.store);
        match state.account(address)? {
            None => Ok(Default::default()),
            Some(account) => Ok(state.code(&account.code_hash)?.unwrap_or_default()),
        }
    }

    /// The state after a block, as far back as it is kept.
    pub fn state_at(&self, height: u64) -> Result<StateAt, PastError> {
        StateAt::open(&self.ledger, height)
    }

    /// The state after the last final block.
    pub fn state(&self) -> Result<StateAt, PastError> {
        loop {
            match self.state_at(self.height()) {
                // Only blocks committed in between can have made it too old.
                Err(PastError::NotKept(_)) => {}
                other => return other,
            }
        }
    }

    /// The oldest block whose state is kept.
    pub fn oldest_state(&self) -> u64 {
        self.ledger.0.store.evm.oldest()
    }

    /// Traces the transactions of a block in order, or only the one at an index. The state before the block must be kept.
    pub fn trace(
        &self,
        height: u64,
        only: Option<usize>,
        options: &GethDebugTracingOptions,
        stop: Option<&Stop<'_>>,
    ) -> Result<Vec<GethTrace>, TraceFailure> {
        crate::past::trace(&self.ledger, height, only, options, stop)
    }

    /// Executes a call on the last final state.
    pub fn call(&self, request: &CallRequest) -> Result<CallOutcome, CallError> {
        let state = self.state().map_err(|error| StateError::Rule(error.to_string()))?;
        let outcome = triad_evm::call(&Trial::new(&state, state.app(), state.context()), request)?;
        match state.failure() {
            Some(error) => Err(StateError::Rule(error.to_string()).into()),
            None => Ok(outcome),
        }
    }
}

/// The numbers of a cursor; `Some(None)` for none, `None` for one that is not ours.
fn cursor<const N: usize>(text: Option<&str>) -> Option<Option<[i64; N]>> {
    let Some(text) = text else { return Some(None) };
    let numbers: Option<Vec<i64>> = text.split('.').map(|n| n.parse().ok()).collect();
    Some(Some(numbers?.try_into().ok()?))
}

/// The numeric readings of a statement with their resolved times, for whoever shows it.
pub fn resolved_readings(statement: &Statement, time_ms: u64) -> Vec<(u16, i64, f64)> {
    admission::readings(statement, time_ms).map(|r| (r.record, r.time_us, r.value)).collect()
}
