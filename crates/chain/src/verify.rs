//! The signatures of a block's statements and transactions, before it is executed.

use std::sync::Arc;

use alloy_primitives::keccak256;
use bytes::Bytes;
use triad_evm::RecoveredTx;
use triad_statement::{DeviceKey, Statement, verify_batch};

use crate::admission::{self, Verified};
use crate::block::Block;
use crate::error::{BlockError, Refusal, RefusalClass};
use crate::execute::ExecError;
use crate::genesis::Limits;
use crate::ledger::OpenParent;
use crate::mempool::Mempool;

/// From twice as many unknown transactions on, their senders are recovered on several cores.
const PARALLEL: usize = 32;

/// A block's items, parsed and with good signatures.
pub(crate) struct Items {
    pub statements: Vec<Arc<Verified>>,
    pub transactions: Vec<Arc<RecoveredTx>>,
}

pub(crate) fn bad_signature(statement: &Statement) -> Refusal {
    let why = format!("the signature is not by the registered key of device {}", statement.signer());
    Refusal::new(RefusalClass::NotAuthorized, "bad-signature", why)
}

pub(crate) fn malformed(error: &triad_statement::StatementError) -> Refusal {
    Refusal::new(RefusalClass::Malformed, error.code(), error.to_string())
}

/// Statements that one thread parses and verifies; fewer are not worth a thread.
const LEAST_SHARE: usize = 256;

/// What was verified at this node's door is not verified again; the rest, on all cores.
pub(crate) fn body(
    open: &OpenParent,
    block: &Block,
    limits: &Limits,
    pool: &Mempool,
) -> Result<Items, ExecError> {
    let raw = &block.body.statements;
    if raw.len() as u64 > limits.block_statements {
        return Err(BlockError::Limit("the number of statements").into());
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = raw.len().div_ceil(cores).max(LEAST_SHARE);
    let statements = std::thread::scope(|scope| {
        let mut shares = raw.chunks(share).enumerate();
        let first = shares.next();
        let others: Vec<_> =
            shares.map(|(n, raw)| scope.spawn(move || statements(open, pool, n * share, raw))).collect();
        let first = first.map_or_else(|| Ok(Vec::new()), |(_, raw)| statements(open, pool, 0, raw));
        let others = others.into_iter().map(|thread| match thread.join() {
            Ok(statements) => statements,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        std::iter::once(first).chain(others).collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Items {
        statements: statements.into_iter().flatten().collect(),
        transactions: transactions(&block.body.transactions, pool)?,
    })
}

/// A share of a block's statements, of which the first has this index.
fn statements(
    open: &OpenParent,
    pool: &Mempool,
    first: usize,
    raw: &[Bytes],
) -> Result<Vec<Arc<Verified>>, ExecError> {
    let view = &open.parent.view;
    // The final block below the parent's layers.
    let checked_at = open.parent.checkpoint.height.0 - open.ancestors.len() as u64;
    let mut slots: Vec<Option<Arc<Verified>>> = Vec::with_capacity(raw.len());
    let mut unknown: Vec<(usize, Statement, Arc<DeviceKey>)> = Vec::new();
    for (slot, bytes) in raw.iter().enumerate() {
        let refuse = |why| BlockError::Statement { index: first + slot, why };
        let statement = Statement::parse(bytes.clone()).map_err(|e| refuse(malformed(&e)))?;
        if statement.bytes() != bytes {
            let why =
                Refusal::new(RefusalClass::Malformed, "not-stored-form", "it is not in its stored form");
            return Err(refuse(why).into());
        }
        match pool.verified(&statement) {
            Some(known) => slots.push(Some(known)),
            None => {
                let key = admission::signer_key(view, &statement)?.map_err(refuse)?;
                unknown.push((slot, statement, key));
                slots.push(None);
            }
        }
    }
    let items: Vec<(&Statement, &DeviceKey)> = unknown.iter().map(|(_, s, k)| (s, k.as_ref())).collect();
    let good = verify_batch(&items);
    for ((slot, statement, key), good) in unknown.into_iter().zip(good) {
        if !good {
            let (index, why) = (first + slot, bad_signature(&statement));
            return Err(BlockError::Statement { index, why }.into());
        }
        let key = key.fingerprint();
        slots[slot] = Some(Arc::new(Verified { statement, key, checked_at }));
    }
    Ok(slots.into_iter().flatten().collect())
}

/// What waits at this node was recovered at its door; the rest is recovered here, on all cores if there is much of it.
fn transactions(raw: &[Bytes], pool: &Mempool) -> Result<Vec<Arc<RecoveredTx>>, BlockError> {
    let known = |raw: &Bytes| pool.txs().get(&keccak256(raw));
    let mut slots: Vec<Option<Arc<RecoveredTx>>> = raw.iter().map(known).collect();
    let recover = |index: usize| match triad_evm::recover(&raw[index]) {
        Ok(tx) => Ok((index, Arc::new(tx))),
        Err(error) => Err(BlockError::Transaction { index, why: error.to_string() }),
    };
    let unknown: Vec<usize> = (0..raw.len()).filter(|index| slots[*index].is_none()).collect();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(unknown.len() / PARALLEL);
    let mut recovered = Vec::with_capacity(unknown.len());
    if threads < 2 {
        recovered.extend(unknown.iter().map(|index| recover(*index)));
    } else {
        std::thread::scope(|scope| {
            let part = |part: &[usize]| part.iter().map(|index| recover(*index)).collect::<Vec<_>>();
            let parts = unknown.chunks(unknown.len().div_ceil(threads));
            let running: Vec<_> = parts.map(|indices| scope.spawn(move || part(indices))).collect();
            for done in running {
                // In order of index, so that all validators name the same bad one.
                recovered.extend(done.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
    }
    for tx in recovered {
        let (index, tx) = tx?;
        slots[index] = Some(tx);
    }
    Ok(slots.into_iter().flatten().collect())
}
