//! What waits for a block: verified statements with whoever waits for them ([`crate::waiting`]), and transactions
//! ([`crate::txpool`]).
//!
//! Both are bounded in number, bytes and share a device or account. Items are looked at when a block is built and
//! leave when a block is final, or when they were refused on a state that is final.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{broadcast, oneshot};
use triad_evm::{Account, RecoveredTx, TxError};
use triad_statement::Statement;

use crate::admission::Verified;
use crate::block::Block;
use crate::error::Refusal;
use crate::execute::{BLOCK_FULL, Executed, Rejected};
use crate::genesis::{Genesis, Limits};
use crate::txpool::{Bounds, SenderState, TxPool, TxRefusal};
use crate::waiting::{Entry, Waiting};

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

pub(crate) struct Mempool {
    statements: Mutex<Waiting>,
    room: Condvar,
    txs: Mutex<TxPool>,
    /// Hashes of transactions that became pending.
    pending: broadcast::Sender<B256>,
    /// Hashes of transactions that left.
    gone: broadcast::Sender<Arc<[B256]>>,
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
            let (signer, statement_id) = (statement.signer().0, statement.id().0);
            let accepted = Accepted { leaf, height: self.height, signer, statement_id, duplicate: false };
            entry.answer(&Ok(accepted));
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

impl Mempool {
    pub fn new(genesis: &Genesis) -> Mempool {
        Mempool {
            statements: Mutex::default(),
            room: Condvar::new(),
            txs: Mutex::new(TxPool::new(genesis.fees.base_fee, Bounds::default())),
            pending: broadcast::channel(PENDING_BUFFER).0,
            gone: broadcast::channel(GONE_BUFFER).0,
        }
    }

    /// Adds verified statements. Waits while the pool is full: the doors' queue fills up behind it.
    pub fn add(&self, batch: Vec<(Arc<Verified>, Waiter)>) {
        let mut waiting = self.statements.lock();
        for (verified, waiter) in batch {
            while waiting.is_full() {
                self.room.wait(&mut waiting);
            }
            waiting.add(verified, waiter);
        }
    }

    /// The very same statement, verified here.
    pub fn verified(&self, statement: &Statement) -> Option<Arc<Verified>> {
        self.statements.lock().verified(statement)
    }

    pub fn has_work(&self) -> bool {
        self.statements.lock().len() > 0 || self.txs.lock().has_pending()
    }

    /// What has waited long: the oldest statements that somebody here waits for, and senders' first transactions that came before
    /// `since`, at most `limit` of each.
    pub fn overdue(&self, since: Instant, limit: usize) -> (Vec<Bytes>, Vec<Arc<RecoveredTx>>) {
        (self.statements.lock().oldest(limit), self.txs.lock().overdue(since, limit))
    }

    /// (statements, transactions) that wait.
    pub fn len(&self) -> (usize, usize) {
        let (pending, queued) = self.txs.lock().counts();
        (self.statements.lock().len(), pending + queued)
    }

    /// The oldest statements that no ancestor holds, as many as a block takes.
    pub fn statements(&self, ancestors: &[[u8; 32]], limits: &Limits) -> Vec<Arc<Verified>> {
        self.statements.lock().for_block(ancestors, limits)
    }

    /// Transactions that no ancestor holds, as many as a block may take, the best paying first.
    pub fn transactions(&self, ancestors: &[[u8; 32]], limits: &Limits) -> Vec<Arc<RecoveredTx>> {
        self.txs.lock().best(ancestors, (limits.block_gas / LEAST_GAS) as usize)
    }

    /// Remembers which block an item was put into.
    pub fn proposed(&self, statements: &[Arc<Verified>], block: &Block) {
        self.statements.lock().proposed(statements, block.digest);
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
        let mut waiting = self.statements.lock();
        for (index, refusal) in rejected.statements.iter().filter(|(_, r)| r.code != BLOCK_FULL) {
            let statement = &offered[*index].statement;
            done.extend(
                waiting.refused(statement, parent_height, final_height).map(|entry| (entry, refusal)),
            );
        }
        drop(waiting);
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
            entry.answer(&settled);
        }
    }

    /// Takes out what a block settles. To be called before the block becomes the tip: a proposer that saw the tip and
    /// the pool the other way round would offer its statements again and find their numbers used.
    pub fn settled(&self, executed: &Executed) -> Settled {
        let mut waiting = self.statements.lock();
        let mut done = Vec::with_capacity(executed.statements.len());
        for (i, verified) in executed.statements.iter().enumerate() {
            let entry = waiting.take(&verified.statement);
            done.extend(entry.map(|entry| (executed.first_leaf + i as u64, entry)));
        }
        drop(waiting);
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
