//! Errors as Ethereum tools expect them.

use std::time::Duration;

use alloy_primitives::Bytes;
use jsonrpsee::types::ErrorObjectOwned;
use triad_chain::{ChainError, PastError, TxRefusal};
use triad_evm::{CallError, StateError};

use crate::bounds::Turn;

/// EIP-1474: the server refuses.
const SERVER: i32 = -32000;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL: i32 = -32603;
/// EIP-1474: a request exceeds a limit.
const LIMIT: i32 = -32005;
/// What geth answers to a reverted call; the data is the revert's.
const REVERTED: i32 = 3;
/// What the specification of the execution API calls "VM error", "timeout" and "pruned history unavailable".
const HALTED: i32 = -32015;
const TIMED_OUT: i32 = -32016;
const PRUNED: i32 = 4444;

pub type Answer<T> = Result<T, ErrorObjectOwned>;

pub fn invalid(message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(INVALID_PARAMS, message.into(), None::<()>)
}

pub fn refused(message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(SERVER, message.into(), None::<()>)
}

/// Past a limit; `data` says what would be within it.
pub fn limit(message: impl Into<String>, data: serde_json::Value) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(LIMIT, message.into(), (!data.is_null()).then_some(data))
}

pub fn coded(code: i32, message: impl Into<String>, data: impl serde::Serialize) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message.into(), Some(data))
}

pub fn chain(error: ChainError) -> ErrorObjectOwned {
    if let ChainError::NotKept { .. } = error {
        return ErrorObjectOwned::owned(PRUNED, error.to_string(), None::<()>);
    }
    tracing::error!(%error, "a JSON-RPC request failed");
    ErrorObjectOwned::owned(INTERNAL, "the node failed; its log says why", None::<()>)
}

pub fn transaction(refusal: &TxRefusal) -> ErrorObjectOwned {
    refused(refusal.to_string())
}

pub fn reverted(output: &Bytes) -> ErrorObjectOwned {
    let message = match alloy_sol_types::decode_revert_reason(output) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    };
    ErrorObjectOwned::owned(REVERTED, message, Some(output.to_string()))
}

/// The call ran out of gas, met an invalid instruction, or the like.
pub fn halted(why: &str) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(HALTED, format!("execution failed: {why}"), None::<()>)
}

pub fn timed_out(time: Duration) -> ErrorObjectOwned {
    let message = format!("execution timed out: it was given {} s", time.as_secs_f64());
    ErrorObjectOwned::owned(TIMED_OUT, message, None::<()>)
}

/// The node stops.
pub fn going_down() -> ErrorObjectOwned {
    refused("the node is going down")
}

/// There is no state of that block.
pub fn past(error: PastError) -> ErrorObjectOwned {
    match error {
        PastError::NotKept(why) => ErrorObjectOwned::owned(PRUNED, why.to_string(), None::<()>),
        PastError::Future { .. } => refused(error.to_string()),
        PastError::Chain(error) => chain(error),
    }
}

/// The state could not be read, or its tries are not to be had any more.
pub fn state(error: StateError) -> ErrorObjectOwned {
    match error {
        StateError::TooFarBack { .. } => ErrorObjectOwned::owned(PRUNED, error.to_string(), None::<()>),
        error => chain(error.into()),
    }
}

/// A call has no answer.
pub fn failed_call(error: CallError, turn: &Turn) -> ErrorObjectOwned {
    match error {
        CallError::Reverted(output) => reverted(&output),
        CallError::State(StateError::Stopped) => turn.stopped(),
        CallError::State(error) => state(error),
        other => refused(other.to_string()),
    }
}
