//! Looking at executed transactions again: call frames, states before and after, single steps.
//!
//! A stored block is executed again on its parent's state from its recorded operations (the block's transactions,
//! firings among them, and the system calls between them); an inspector looks on at what is asked for. What comes out
//! must be the stored receipts, else there is an error and no trace. System calls are no transactions and have no
//! trace of their own.

mod tracer;

use crate::app::AppView;
use crate::call::{CALL_GAS_CAP, CallError, CallRequest, Trial, call_error};
use crate::db::{BlockDb, Stop};
use crate::env::{BlockContext, BlockEvm};
use crate::executor::{Executor, SystemCall, TxError};
use crate::receipt::Receipt;
use crate::state::{StateError, StateView};
use crate::tx::TriadTx;
use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use revm::context_interface::result::ResultAndState;
use revm::inspector::InspectEvm;
use revm_inspectors::tracing::TransactionContext;
use std::sync::Arc;
use tracer::{End, Tracer};

pub use tracer::MAX_TRACE_BYTES;

/// Why there is no trace.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TraceError {
    #[error("{0}")]
    Unsupported(String),
    #[error(
        "the trace takes more than {} MiB: ask for less with `limit`, `disableStack` or another tracer",
        MAX_TRACE_BYTES >> 20
    )]
    TooLarge,
    /// The state is not what the block was executed on.
    #[error(
        "executed again, transaction {index} differs in its {what} from what is stored: audit this node's data directory"
    )]
    Differs { index: usize, what: &'static str },
    #[error("the block has no transaction {0}")]
    NoSuchTransaction(usize),
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<StateError> for TraceError {
    fn from(error: StateError) -> Self {
        TraceError::Call(CallError::State(error))
    }
}

/// What is stored of an executed block.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    pub hash: B256,
    pub transactions: &'a [TriadTx],
    pub receipts: &'a [Receipt],
    pub system_calls: &'a [SystemCall],
}

/// Where a stored block is executed again.
#[derive(Clone)]
pub struct Again<'a> {
    /// The state after its parent.
    pub parent: &'a dyn StateView,
    /// What the precompiles show in the block.
    pub app: Arc<dyn AppView>,
    pub ctx: BlockContext,
    /// See [`Trial::stop`]; asked between steps, too.
    pub stop: Option<&'a Stop<'a>>,
}

impl std::fmt::Debug for Again<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Again").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

/// Traces the transactions of a stored block, or only one.
pub fn trace_block(
    again: &Again<'_>,
    block: &Recorded<'_>,
    only: Option<usize>,
    options: &GethDebugTracingOptions,
) -> Result<Vec<GethTrace>, TraceError> {
    let end = match only {
        Some(index) if index >= block.transactions.len() => return Err(TraceError::NoSuchTransaction(index)),
        Some(index) => index + 1,
        None => block.transactions.len(),
    };
    let mut db = BlockDb::new(again.parent, again.ctx.number, again.ctx.parent_hash);
    db.stop = again.stop;
    let tracer = Tracer::new(options.clone(), again.stop)?;
    let mut executor = Executor::watched(db, Arc::clone(&again.app), again.ctx, tracer);
    let mut calls = block.system_calls.iter().peekable();
    let mut traces = Vec::new();
    for (index, tx) in block.transactions[..end].iter().enumerate() {
        while let Some(call) = calls.next_if(|call| call.before <= index as u64) {
            executor.system_call(call.to, call.input.clone())?;
        }
        let place = TransactionContext {
            block_hash: Some(block.hash),
            tx_index: Some(index),
            tx_hash: Some(tx.hash()),
        };
        let watch = only.is_none_or(|only| only == index);
        let trace = one(&mut executor, tx, watch.then_some(place))?;
        let (found, stored) = (&executor.receipts()[index], &block.receipts[index]);
        if let Some(what) = difference(found, stored) {
            return Err(TraceError::Differs { index, what });
        }
        traces.extend(trace);
    }
    Ok(traces)
}

fn difference(found: &Receipt, stored: &Receipt) -> Option<&'static str> {
    match () {
        () if found.gas_used != stored.gas_used => Some("gas"),
        () if found.success != stored.success => Some("status"),
        () if found.logs != stored.logs => Some("logs"),
        () if found != stored => Some("receipt"),
        () => None,
    }
}

/// Executes a transaction of the block, and looks on if it is placed.
fn one<'a>(
    executor: &mut Executor<'a, Tracer<'a>>,
    tx: &TriadTx,
    place: Option<TransactionContext>,
) -> Result<Option<GethTrace>, TraceError> {
    let mut trace = None;
    let run = |evm: &mut BlockEvm<'a, Tracer<'a>>, env| match place {
        Some(_) => {
            evm.inspector.next();
            evm.inspect_tx(env)
        }
        None => revm::ExecuteEvm::transact(evm, env),
    };
    let look = |evm: &mut BlockEvm<'a, Tracer<'a>>, done: &ResultAndState| {
        trace = place.map(|place| Tracer::result(evm, done, Some(place)));
    };
    let done = match tx {
        TriadTx::Firing(firing) => executor.firing_by(firing, run, look).map(drop).map_err(TxError::State),
        TriadTx::Ethereum(tx) => executor.transaction_by(tx, run, look).map(drop),
    };
    ended(executor.evm.inspector.end)?;
    done.map_err(|error| match error {
        TxError::State(error) => TraceError::from(error),
        other => CallError::Invalid(other.to_string()).into(),
    })?;
    trace.transpose()
}

/// The tracer itself may have ended the execution; the EVM then gives an error that does not say so.
fn ended(end: Option<End>) -> Result<(), TraceError> {
    match end {
        None => Ok(()),
        Some(End::TooLarge) => Err(TraceError::TooLarge),
        Some(End::Stopped) => Err(StateError::Stopped.into()),
    }
}

/// Traces a call that changes nothing.
pub fn trace_call(
    trial: &Trial<'_>,
    request: &CallRequest,
    options: &GethDebugTracingOptions,
) -> Result<GethTrace, TraceError> {
    let gas = request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP);
    let tracer = Tracer::new(options.clone(), trial.stop)?;
    let (mut evm, tx) = trial.prepare(request, gas, tracer)?;
    let done = evm.inspect_tx(tx);
    ended(evm.inspector.end)?;
    Tracer::result(&mut evm, &done.map_err(call_error)?, None)
}

#[cfg(test)]
mod tests;
