//! A stored block executed again with somebody looking on.

use std::sync::Arc;

use triad_evm::{Again, GethDebugTracingOptions, GethTrace, Recorded, Stop, TraceError};

use super::app::PastApp;
use super::{PastError, StateAt, context};
use crate::error::ChainError;
use crate::ledger::Ledger;

/// There is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceFailure {
    #[error("the genesis block has no parent whose state it could be executed on again")]
    Genesis,
    #[error(transparent)]
    State(#[from] PastError),
    #[error(transparent)]
    Trace(#[from] TraceError),
}

impl From<ChainError> for TraceFailure {
    fn from(error: ChainError) -> Self {
        TraceFailure::State(error.into())
    }
}

/// Traces the transactions of a block, or only the one at an index.
pub(crate) fn trace(
    ledger: &Ledger,
    height: u64,
    only: Option<usize>,
    options: &GethDebugTracingOptions,
    stop: Option<&Stop<'_>>,
) -> Result<Vec<GethTrace>, TraceFailure> {
    let newest = ledger.height();
    if height > newest {
        return Err(PastError::Future { height, newest }.into());
    }
    let parent = StateAt::open(ledger, height.checked_sub(1).ok_or(TraceFailure::Genesis)?)?;
    let store = &ledger.0.store;
    let missing = || ChainError::corrupt(format!("block {height} is missing"));
    let block = store.eth_block(height)?.ok_or_else(missing)?;
    let checkpoint = store.checkpoint(height)?.ok_or_else(missing)?.checkpoint;
    let system_calls = store.evm.system_calls(height).map_err(ChainError::from)?;
    let app = Arc::new(PastApp::new(ledger.0.clone(), &checkpoint));
    let again = Again {
        parent: &parent,
        app: app.clone(),
        ctx: context(&block.header, ledger.spec().genesis.chain_id, parent.header().state_root),
        stop,
    };
    let recorded = Recorded {
        hash: block.hash,
        transactions: &block.transactions,
        receipts: &block.receipts,
        system_calls: &system_calls,
    };
    let traces = triad_evm::trace_block(&again, &recorded, only, options);
    // A failure of the store explains whatever went wrong because of it.
    match app.take_error() {
        Some(error) => Err(error.into()),
        None => Ok(traces?),
    }
}
