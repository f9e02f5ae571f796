//! The signatures of a block's statements and transactions, before it is executed.

use std::sync::Arc;

use triad_evm::RecoveredTx;
use triad_statement::{DeviceKey, Statement, verify_batch};

use crate::admission::{self, Verified};
use crate::block::Block;
use crate::error::{BlockError, Refusal, RefusalClass};
use crate::execute::ExecError;
use crate::genesis::Limits;
use crate::ledger::OpenParent;
use crate::mempool::Mempool;

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

/// What was verified at this node's door is not verified again.
pub(crate) fn body(
    open: &OpenParent,
    block: &Block,
    limits: &Limits,
    pool: &Mempool,
) -> Result<Items, ExecError> {
    let view = &open.parent.view;
    // The final block below the parent's layers.
    let checked_at = open.parent.checkpoint.height.0 - open.ancestors.len() as u64;
    if block.body.statements.len() as u64 > limits.block_statements {
        return Err(BlockError::Limit("the number of statements").into());
    }
    let mut slots: Vec<Option<Arc<Verified>>> = Vec::with_capacity(block.body.statements.len());
    let mut unknown: Vec<(usize, Statement, Arc<DeviceKey>)> = Vec::new();
    for (index, bytes) in block.body.statements.iter().enumerate() {
        let refuse = |why| BlockError::Statement { index, why };
        let statement = Statement::parse(bytes.clone()).map_err(|e| refuse(malformed(&e)))?;
        if statement.bytes() != bytes {
            let why =
                Refusal::new(RefusalClass::Malformed, "not-stored-form", "it is not in its stored form");
            return Err(refuse(why).into());
        }
        match pool.verified(&statement.id()).filter(|v| v.statement.bytes() == bytes) {
            Some(known) => slots.push(Some(known)),
            None => {
                let key = admission::signer_key(view, &statement)?.map_err(refuse)?;
                unknown.push((index, statement, key));
                slots.push(None);
            }
        }
    }
    let items: Vec<(&Statement, &DeviceKey)> = unknown.iter().map(|(_, s, k)| (s, k.as_ref())).collect();
    let good = verify_batch(&items);
    for ((index, statement, key), good) in unknown.into_iter().zip(good) {
        if !good {
            return Err(BlockError::Statement { index, why: bad_signature(&statement) }.into());
        }
        let key = key.fingerprint();
        slots[index] = Some(Arc::new(Verified { statement, key, checked_at }));
    }
    let transactions = block.body.transactions.iter().enumerate().map(|(index, raw)| {
        let tx = triad_evm::recover(raw);
        tx.map(Arc::new).map_err(|e| BlockError::Transaction { index, why: e.to_string() })
    });
    Ok(Items {
        statements: slots.into_iter().flatten().collect(),
        transactions: transactions.collect::<Result<_, _>>()?,
    })
}
