//! What waits for a block: verified statements with whoever waits for them, and transactions.
//!
//! Both are bounded in number, bytes and share a device or account. Items are looked at when a block is built and
//! leave when a block is final, or when they were refused on a state that is final.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;
use triad_evm::{RecoveredTx, TriadTx, TxError};
use triad_statement::{DeviceId, StatementId};

use crate::admission::{self, Verified};
use crate::block::Block;
use crate::error::{Refusal, RefusalClass};
use crate::execute::{BLOCK_FULL, Executed, Rejected};
use crate::genesis::Limits;

/// Statements that may wait; past this the doors slow down.
const MAX_STATEMENTS: usize = 131_072;
const MAX_STATEMENT_BYTES: usize = 64 << 20;
/// Statements of one device that may wait.
const MAX_DEVICE_STATEMENTS: usize = 16_384;
/// Transactions that may wait, and of one sender.
const MAX_TRANSACTIONS: usize = 16_384;
const MAX_SENDER_TRANSACTIONS: usize = 1024;
/// Percent by which a replacement must raise both fees.
const REPLACEMENT_PERCENT: u128 = 10;

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

/// Why a transaction was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TxRefusal {
    #[error("{0}")]
    Malformed(String),
    #[error("already known")]
    Known,
    #[error("chain id {found} is not this chain's ({expected})")]
    ChainId { expected: u64, found: u64 },
    #[error("nonce too low: next nonce {next}, tx nonce {found}")]
    NonceTooLow { next: u64, found: u64 },
    #[error("max fee per gas {offered} is less than the block base fee {base_fee}: raise it")]
    Underpriced { offered: u128, base_fee: u64 },
    #[error("replacement transaction underpriced: offer at least {REPLACEMENT_PERCENT} % more")]
    ReplacementUnderpriced,
    #[error("insufficient funds for gas * price + value: have {have} want {want}")]
    Funds { have: String, want: String },
    #[error("gas limit {found} exceeds the limit of {limit}")]
    GasLimit { found: u64, limit: u64 },
    #[error("intrinsic gas too low: have {found}, want {want}")]
    IntrinsicGas { found: u64, want: u64 },
    #[error("the transaction pool is full, or the sender's share of it: try again")]
    Full,
    #[error("the node cannot take it now: {0}")]
    Unavailable(String),
}

struct Entry {
    verified: Arc<Verified>,
    waiters: Vec<Waiter>,
    /// Digest of the block that it was last put into.
    proposed: Option<[u8; 32]>,
    /// Height of the parent on whose state it was refused, if that state was not final.
    refused_at: Option<u64>,
}

struct TxEntry {
    tx: Arc<RecoveredTx>,
    proposed: Option<[u8; 32]>,
    arrival: u64,
}

#[derive(Default)]
struct Pool {
    entries: HashMap<StatementId, Entry>,
    order: VecDeque<StatementId>,
    by_number: HashMap<(DeviceId, u64), StatementId>,
    by_device: HashMap<DeviceId, usize>,
    bytes: usize,
    txs: BTreeMap<(Address, u64), TxEntry>,
    tx_hashes: HashMap<B256, (Address, u64)>,
    by_sender: HashMap<Address, usize>,
    arrivals: u64,
}

pub(crate) struct Mempool {
    pool: Mutex<Pool>,
    room: Condvar,
    max_gas: u64,
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

    fn take_tx(&mut self, key: &(Address, u64)) -> Option<TxEntry> {
        let entry = self.txs.remove(key)?;
        self.tx_hashes.remove(entry.tx.tx_hash());
        if let Some(n) = self.by_sender.get_mut(&key.0) {
            *n -= 1;
            if *n == 0 {
                self.by_sender.remove(&key.0);
            }
        }
        Some(entry)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_STATEMENTS || self.bytes >= MAX_STATEMENT_BYTES
    }
}

/// Statements that a committed block settled, with whoever waits for them.
pub(crate) struct Settled {
    height: u64,
    done: Vec<(u64, Entry)>,
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
    }
}

fn answer(waiters: Vec<Waiter>, answer: &Answer) {
    for waiter in waiters {
        // Whoever has gone away does not want it.
        let _ = waiter.send(answer.clone());
    }
}

impl Mempool {
    pub fn new(limits: &Limits) -> Mempool {
        Mempool { pool: Mutex::default(), room: Condvar::new(), max_gas: limits.block_gas }
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
        let pool = self.pool.lock();
        !pool.entries.is_empty() || !pool.txs.is_empty()
    }

    /// (statements, transactions) that wait.
    pub fn len(&self) -> (usize, usize) {
        let pool = self.pool.lock();
        (pool.entries.len(), pool.txs.len())
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

    /// Transactions that no ancestor holds: senders by their oldest one, each sender's by nonce.
    pub fn transactions(&self, ancestors: &[[u8; 32]], limits: &Limits) -> Vec<Arc<RecoveredTx>> {
        let pool = self.pool.lock();
        if pool.txs.is_empty() {
            return Vec::new();
        }
        let mut senders: BTreeMap<u64, Vec<Arc<RecoveredTx>>> = BTreeMap::new();
        let mut current: Option<(Address, u64)> = None;
        for ((sender, _), entry) in &pool.txs {
            if entry.proposed.is_some_and(|digest| ancestors.contains(&digest)) {
                continue;
            }
            let slot = match current {
                Some((address, slot)) if address == *sender => slot,
                _ => entry.arrival,
            };
            current = Some((*sender, slot));
            senders.entry(slot).or_default().push(entry.tx.clone());
        }
        let (mut gas, mut out) = (0u64, Vec::new());
        for tx in senders.into_values().flatten() {
            gas = gas.saturating_add(21_000);
            if gas > limits.block_gas {
                break;
            }
            out.push(tx);
        }
        out
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
        let included: HashSet<B256> =
            block.body.transactions.iter().map(alloy_primitives::keccak256).collect();
        for hash in included {
            if let Some(key) = pool.tx_hashes.get(&hash).copied()
                && let Some(entry) = pool.txs.get_mut(&key)
            {
                entry.proposed = Some(block.digest);
            }
        }
    }

    /// Refuses what did not fit a final state; what did not fit an unfinalised one gets another try.
    pub fn rejected(
        &self,
        offered: &[Arc<Verified>],
        offered_txs: &[Arc<RecoveredTx>],
        rejected: &Rejected,
        parent_height: u64,
        final_height: u64,
        settle: impl Fn(&Verified, &Refusal) -> Answer,
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
        for (index, error) in &rejected.transactions {
            let tx = &offered_txs[*index];
            // A gap in the nonces may still be filled; a full block empties; a low nonce goes with its finality.
            let keep = matches!(error, TxError::NonceTooHigh { .. } | TxError::NonceTooLow { .. })
                || matches!(error, TxError::BlockGas { .. })
                || parent_height > final_height;
            if !keep {
                pool.take_tx(&(tx.signer(), tx.nonce()));
            }
        }
        drop(pool);
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
        for tx in &executed.evm.transactions {
            if let TriadTx::Ethereum(tx) = tx {
                let (sender, nonce) = (tx.signer(), tx.nonce());
                let old: Vec<_> =
                    pool.txs.range((sender, 0)..=(sender, nonce)).map(|(key, _)| *key).collect();
                for key in old {
                    pool.take_tx(&key);
                }
            }
        }
        drop(pool);
        self.room.notify_all();
        Settled { height: executed.block.height(), done }
    }

    /// Adds a transaction that was checked against the final state (`next_nonce` is its sender's there).
    pub fn add_transaction(&self, tx: RecoveredTx, next_nonce: u64) -> Result<B256, TxRefusal> {
        let hash = *tx.tx_hash();
        let key = (tx.signer(), tx.nonce());
        let mut pool = self.pool.lock();
        if pool.tx_hashes.contains_key(&hash) {
            return Err(TxRefusal::Known);
        }
        if key.1 < next_nonce {
            return Err(TxRefusal::NonceTooLow { next: next_nonce, found: key.1 });
        }
        if tx.gas_limit() > self.max_gas {
            return Err(TxRefusal::GasLimit { found: tx.gas_limit(), limit: self.max_gas });
        }
        if let Some(old) = pool.txs.get(&key) {
            let enough = |old: u128, new: u128| new >= old + old / (100 / REPLACEMENT_PERCENT);
            let raised = enough(old.tx.max_fee_per_gas(), tx.max_fee_per_gas())
                && enough(
                    old.tx.max_priority_fee_per_gas().unwrap_or(0),
                    tx.max_priority_fee_per_gas().unwrap_or(0),
                );
            if !raised {
                return Err(TxRefusal::ReplacementUnderpriced);
            }
            pool.take_tx(&key);
        }
        let own = pool.by_sender.get(&key.0).copied().unwrap_or(0);
        if pool.txs.len() >= MAX_TRANSACTIONS || own >= MAX_SENDER_TRANSACTIONS {
            return Err(TxRefusal::Full);
        }
        pool.by_sender.insert(key.0, own + 1);
        pool.tx_hashes.insert(hash, key);
        pool.arrivals += 1;
        let arrival = pool.arrivals;
        pool.txs.insert(key, TxEntry { tx: Arc::new(tx), proposed: None, arrival });
        Ok(hash)
    }

    pub fn transaction(&self, hash: &B256) -> Option<Arc<RecoveredTx>> {
        let pool = self.pool.lock();
        let key = pool.tx_hashes.get(hash)?;
        pool.txs.get(key).map(|e| e.tx.clone())
    }

    /// The nonce after the gapless run of waiting transactions that begins at `next`.
    pub fn pending_nonce(&self, sender: &Address, mut next: u64) -> u64 {
        let pool = self.pool.lock();
        while pool.txs.contains_key(&(*sender, next)) {
            next += 1;
        }
        next
    }
}
