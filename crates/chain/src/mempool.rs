//! What waits for a block: verified statements with whoever waits for them, and transactions ([`crate::txpool`]).
//!
//! Both are bounded in number, bytes and share a device or account. Items are looked at when a block is built and
//! leave when a block is final, or when they were refused on a state that is final.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{broadcast, oneshot};
use triad_evm::{Account, RecoveredTx, TxError};
use triad_statement::{DeviceId, StatementId};

use crate::admission::{self, Verified};
use crate::block::Block;
use crate::error::{Refusal, RefusalClass};
use crate::execute::{BLOCK_FULL, Executed, Rejected};
use crate::genesis::{Genesis, Limits};
use crate::txpool::{Bounds, SenderState, TxPool, TxRefusal};

/// Statements that may wait; past this the doors slow down.
const MAX_STATEMENTS: usize = 131_072;
const MAX_STATEMENT_BYTES: usize = 64 << 20;
/// Statements of one device that may wait.
const MAX_DEVICE_STATEMENTS: usize = 16_384;
/// Hashes of pending transactions that a slow watcher may lag behind before it misses some.
const PENDING_BUFFER: usize = 16_384;
/// The same of messages about transactions that left; each is of one addition or block.
const GONE_BUFFER: usize = 1_024;
/// The least gas that a transaction uses.
const LEAST_GAS: u64 = 21_000;

/// A statement is final and its commit is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub leaf: u64,
    pub height: u64,
    pub signer: [u8; 20],
    pub statement_id: [u8; 32],
    /// It was held already; leaf and height are those of the first time.
    pub duplicate: bool,
}

pub type Answer = Result<Accepted, Refusal>;
pub type Waiter = oneshot::Sender<Answer>;

struct Entry {
    verified: Arc<Verified>,
    waiters: Vec<Waiter>,
    /// Digest of the block that it was last put into.
    proposed: Option<[u8; 32]>,
    /// Height of the parent on whose state it was refused, if that state was not final.
    refused_at: Option<u64>,
}

#[derive(Default)]
struct Pool {
    entries: HashMap<StatementId, Entry>,
    order: VecDeque<StatementId>,
    by_number: HashMap<(DeviceId, u64), StatementId>,
    by_device: HashMap<DeviceId, usize>,
    bytes: usize,
}

pub(crate) struct Mempool {
    pool: Mutex<Pool>,
    room: Condvar,
    txs: Mutex<TxPool>,
    /// Hashes of transactions that became pending.
    pending: broadcast::Sender<B256>,
    /// Hashes of transactions that left.
    gone: broadcast::Sender<Arc<[B256]>>,
}

impl Pool {
    fn take(&mut self, id: &StatementId) -> Option<Entry> {
        let entry = self.entries.remove(id)?;
        let statement = &entry.verified.statement;
        self.by_number.remove(&(statement.signer(), statement.sequence().0));
        self.bytes -= statement.bytes().len();
        if let Some(n) = self.by_device.get_mut(&statement.signer()) {
            *n -= 1;
            if *n == 0 {
                self.by_device.remove(&statement.signer());
            }
        }
        Some(entry)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_STATEMENTS || self.bytes >= MAX_STATEMENT_BYTES
    }
}

/// Statements that a committed block settled, with whoever waits for them, and transactions that left with it.
pub(crate) struct Settled {
    height: u64,
    done: Vec<(u64, Entry)>,
    gone: Vec<B256>,
    watchers: broadcast::Sender<Arc<[B256]>>,
}

impl Settled {
    /// Tells everybody. To be called once the block is on disk.
    pub fn answer(self) {
        for (leaf, entry) in self.done {
            let statement = &entry.verified.statement;
            let accepted = Accepted {
                leaf,
                height: self.height,
                signer: statement.signer().0,
                statement_id: statement.id().0,
                duplicate: false,
            };
            answer(entry.waiters, &Ok(accepted));
        }
        tell(&self.watchers, self.gone);
    }
}

fn tell(watchers: &broadcast::Sender<Arc<[B256]>>, gone: Vec<B256>) {
    if !gone.is_empty() {
        // Nobody watching is fine.
        let _ = watchers.send(gone.into());
    }
}

fn answer(waiters: Vec<Waiter>, answer: &Answer) {
    for waiter in waiters {
        // Whoever has gone away does not want it.
        let _ = waiter.send(answer.clone());
    }
}

impl Mempool {
    pub fn new(genesis: &Genesis) -> Mempool {
        Mempool {
            pool: Mutex::default(),
            room: Condvar::new(),
            txs: Mutex::new(TxPool::new(genesis.fees.base_fee, Bounds::default())),
            pending: broadcast::channel(PENDING_BUFFER).0,
            gone: broadcast::channel(GONE_BUFFER).0,
        }
    }

    /// Adds verified statements. Waits while the pool is full: the doors' queue fills up behind it.
    pub fn add(&self, batch: Vec<(Arc<Verified>, Waiter)>) {
        let mut pool = self.pool.lock();
        for (verified, waiter) in batch {
            while pool.is_full() {
                self.room.wait(&mut pool);
            }
            let statement = &verified.statement;
            let id = statement.id();
            if let Some(entry) = pool.entries.get_mut(&id) {
                entry.waiters.push(waiter);
                continue;
            }
            let number = (statement.signer(), statement.sequence().0);
            if pool.by_number.contains_key(&number) {
                answer(vec![waiter], &Err(admission::equivocation(statement)));
                continue;
            }
            let count = pool.by_device.get(&number.0).copied().unwrap_or(0);
            if count >= MAX_DEVICE_STATEMENTS {
                let why = format!("{count} statements of device {} wait already: slow down", number.0);
                let refusal = Refusal::new(RefusalClass::QuotaExceeded, "device-quota", why);
                answer(vec![waiter], &Err(refusal));
                continue;
            }
            pool.by_device.insert(number.0, count + 1);
            pool.by_number.insert(number, id);
            pool.bytes += statement.bytes().len();
            pool.order.push_back(id);
            let entry = Entry { verified, waiters: vec![waiter], proposed: None, refused_at: None };
            pool.entries.insert(id, entry);
        }
    }

    /// A statement that was verified here, by its identity.
    pub fn verified(&self, id: &StatementId) -> Option<Arc<Verified>> {
        self.pool.lock().entries.get(id).map(|e| e.verified.clone())
    }

    pub fn has_work(&self) -> bool {
        !self.pool.lock().entries.is_empty() || self.txs.lock().has_pending()
    }

    /// (statements, transactions) that wait.
    pub fn len(&self) -> (usize, usize) {
        let (pending, queued) = self.txs.lock().counts();
        (self.pool.lock().entries.len(), pending + queued)
    }

    /// The oldest statements that no ancestor holds, as many as a block takes.
    pub fn statements(&self, ancestors: &[[u8; 32]], limits: &Limits) -> Vec<Arc<Verified>> {
        let mut pool = self.pool.lock();
        let pool = &mut *pool;
        while pool.order.front().is_some_and(|id| !pool.entries.contains_key(id)) {
            pool.order.pop_front();
        }
        let (mut out, mut bytes, mut readings) = (Vec::new(), 0, 0);
        for id in &pool.order {
            let Some(entry) = pool.entries.get(id) else { continue };
            if entry.proposed.is_some_and(|digest| ancestors.contains(&digest)) {
                continue;
            }
            let statement = &entry.verified.statement;
            bytes += statement.bytes().len() as u64 + 5;
            readings += statement.records().len() as u64;
            let full = out.len() as u64 >= limits.block_statements
                || bytes > limits.block_bytes
                || readings > limits.block_readings;
            if full {
                break;
            }
            out.push(entry.verified.clone());
        }
        out
    }

    /// Transactions that no ancestor holds, as many as a block may take, the best paying first.
    pub fn transactions(&self, ancestors: &[[u8; 32]], limits: &Limits) -> Vec<Arc<RecoveredTx>> {
        self.txs.lock().best(ancestors, (limits.block_gas / LEAST_GAS) as usize)
    }

    /// Remembers which block an item was put into.
    pub fn proposed(&self, statements: &[Arc<Verified>], block: &Block) {
        let mut pool = self.pool.lock();
        for verified in statements {
            if let Some(entry) = pool.entries.get_mut(&verified.statement.id()) {
                entry.proposed = Some(block.digest);
                entry.refused_at = None;
            }
        }
        drop(pool);
        let mut txs = self.txs.lock();
        for raw in &block.body.transactions {
            txs.proposed(&alloy_primitives::keccak256(raw), block.digest);
        }
    }

    /// Refuses what did not fit a final state; what did not fit an unfinalised one gets another try. `account` is as the
    /// final state has it.
    #[allow(clippy::too_many_arguments)] // What was offered, what became of it, and two ways to look things up.
    pub fn rejected(
        &self,
        offered: &[Arc<Verified>],
        offered_txs: &[Arc<RecoveredTx>],
        rejected: &Rejected,
        parent_height: u64,
        final_height: u64,
        settle: impl Fn(&Verified, &Refusal) -> Answer,
        account: impl Fn(&Address) -> Option<Account>,
    ) {
        let mut done = Vec::new();
        let mut pool = self.pool.lock();
        for (index, refusal) in rejected.statements.iter().filter(|(_, r)| r.code != BLOCK_FULL) {
            let id = offered[*index].statement.id();
            let Some(entry) = pool.entries.get_mut(&id) else { continue };
            let at = *entry.refused_at.get_or_insert(parent_height);
            if at <= final_height
                && let Some(entry) = pool.take(&id)
            {
                done.push((entry, refusal));
            }
        }
        drop(pool);
        let mut txs = self.txs.lock();
        for (index, error) in &rejected.transactions {
            if parent_height > final_height {
                break;
            }
            let tx = &offered_txs[*index];
            match error {
                TxError::Invalid(_) => txs.remove(tx.tx_hash()),
                TxError::NonceTooLow { .. } | TxError::InsufficientFunds { .. } => {
                    if let Some(account) = account(&tx.signer()) {
                        txs.refresh(&tx.signer(), account.nonce, account.balance);
                    }
                }
                // A gap may still be filled, a full block empties, and the node's own failures are not the transaction's.
                TxError::NonceTooHigh { .. } | TxError::BlockGas { .. } | TxError::State(_) => {}
            }
        }
        let gone = txs.take_gone();
        drop(txs);
        tell(&self.gone, gone);
        for (entry, refusal) in done {
            let settled = settle(&entry.verified, refusal);
            answer(entry.waiters, &settled);
        }
    }

    /// Takes out what a block settles. To be called before the block becomes the tip: a proposer that saw the tip and
    /// the pool the other way round would offer its statements again and find their numbers used.
    pub fn settled(&self, executed: &Executed) -> Settled {
        let mut pool = self.pool.lock();
        let mut done = Vec::with_capacity(executed.statements.len());
        for (i, verified) in executed.statements.iter().enumerate() {
            let statement = &verified.statement;
            if let Some(entry) = pool.take(&statement.id()) {
                done.push((executed.first_leaf + i as u64, entry));
            }
        }
        drop(pool);
        self.room.notify_all();
        let mut txs = self.txs.lock();
        // All that a block changed of them: nonces, also by authorisations, and balances.
        for (address, account) in txs.senders_among(executed.evm_changes.accounts.iter()) {
            let account = account.unwrap_or_default();
            txs.refresh(&address, account.nonce, account.balance);
        }
        txs.expire(Instant::now());
        let gone = txs.take_gone();
        drop(txs);
        Settled { height: executed.block.height(), done, gone, watchers: self.gone.clone() }
    }

    /// Adds a transaction that is acceptable by itself; `state` is its sender's in the final state. Says whether a block
    /// may take it now.
    pub fn add_transaction(&self, tx: RecoveredTx, state: SenderState) -> Result<bool, TxRefusal> {
        let mut txs = self.txs.lock();
        let added = txs.add(tx, state, Instant::now());
        let gone = txs.take_gone();
        drop(txs);
        tell(&self.gone, gone);
        let added = added?;
        for hash in &added.pending {
            // Nobody watching is fine.
            let _ = self.pending.send(*hash);
        }
        Ok(!added.pending.is_empty())
    }

    /// Hashes of transactions as they become pending.
    pub fn watch_pending(&self) -> broadcast::Receiver<B256> {
        self.pending.subscribe()
    }

    /// Hashes of transactions as they leave: mined (after the commit), replaced, pushed out, or no longer payable.
    pub fn watch_gone(&self) -> broadcast::Receiver<Arc<[B256]>> {
        self.gone.subscribe()
    }

    pub fn txs(&self) -> MutexGuard<'_, TxPool> {
        self.txs.lock()
    }
}
