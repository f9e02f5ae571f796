//! Traces of stored transactions and of calls.

use std::time::Duration;

use alloy_primitives::B256;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_chain::TraceFailure;
use triad_evm::TraceError;

use super::call::{request, trial};
use super::state::state_at;
use super::{Context, at, method};
use crate::bounds::{Gate, TRACE_TIME, Turn};
use crate::errors::{Answer, chain, failed_call, invalid, past, refused};
use crate::params::{self, duration};

pub fn register(m: &mut RpcModule<Context>, gate: &Gate) -> Result<(), RegisterMethodError> {
    let of_transaction = |gate: Gate| {
        move |c: &Context, p: &[Value]| {
            let hash: B256 = at(p, 0, "hash")?;
            let found = c.reader.eth_transaction(&hash).map_err(chain)?;
            let (height, index) = found.ok_or_else(|| refused("transaction not found"))?;
            let traces = traces(c, p, &gate, height, Some(index as usize))?;
            traces
                .into_iter()
                .next()
                .map(|trace| json!(trace))
                .ok_or_else(|| refused("transaction not found"))
        }
    };
    method(m, "debug_traceTransaction", of_transaction(gate.clone()))?;
    let of_number = |gate: Gate| {
        move |c: &Context, p: &[Value]| {
            let height = params::height(&c.reader, p.first().unwrap_or(&Value::Null))?;
            block(c, p, &gate, height)
        }
    };
    method(m, "debug_traceBlockByNumber", of_number(gate.clone()))?;
    let of_hash = |gate: Gate| {
        move |c: &Context, p: &[Value]| {
            let height = c.reader.eth_height(&at(p, 0, "hash")?).map_err(chain)?;
            block(c, p, &gate, height)
        }
    };
    method(m, "debug_traceBlockByHash", of_hash(gate.clone()))?;
    let of_call = |gate: Gate| {
        move |c: &Context, p: &[Value]| {
            let options: Option<GethDebugTracingCallOptions> = at(p, 2, "trace options")?;
            let options = options.unwrap_or_default();
            let turn = gate.enter(time(&options.tracing_options)?)?;
            let stop = || turn.over();
            if options.tx_index.is_some() {
                return Err(invalid("`txIndex` is not here: a call is traced on the state after a block"));
            }
            let (request, state) = (request(p)?, state_at(c, p.get(1))?);
            let trial = trial(&state, (options.state_overrides, options.block_overrides), &stop);
            let trace = triad_evm::trace_call(&trial, &request, &options.tracing_options);
            match state.failure() {
                Some(error) => Err(chain(error)),
                None => Ok(json!(trace.map_err(|error| failed(error, &turn))?)),
            }
        }
    };
    method(m, "debug_traceCall", of_call(gate.clone()))
}

fn block(c: &Context, p: &[Value], gate: &Gate, height: Option<u64>) -> Answer<Value> {
    let height = height.ok_or_else(|| refused("block not found"))?;
    let traces = traces(c, p, gate, height, None)?;
    let block = c.reader.eth_block(height).map_err(chain)?.ok_or_else(|| refused("block not found"))?;
    let entry =
        |(tx, trace): (&triad_evm::TriadTx, GethTrace)| json!({ "txHash": tx.hash(), "result": trace });
    Ok(block.transactions.iter().zip(traces).map(entry).collect())
}

fn traces(c: &Context, p: &[Value], gate: &Gate, height: u64, only: Option<usize>) -> Answer<Vec<GethTrace>> {
    let options = at::<Option<GethDebugTracingOptions>>(p, 1, "trace options")?.unwrap_or_default();
    let turn = gate.enter(time(&options)?)?;
    let traces = c.reader.trace(height, only, &options, Some(&|| turn.over()));
    traces.map_err(|error| match error {
        TraceFailure::Genesis => refused(error.to_string()),
        TraceFailure::State(error) => past(error),
        TraceFailure::Trace(error) => failed(error, &turn),
    })
}

/// How long the trace may take: what its options say, and at most what this node gives.
fn time(options: &GethDebugTracingOptions) -> Answer<Duration> {
    match &options.timeout {
        None => Ok(TRACE_TIME),
        Some(text) => match duration(text) {
            Some(time) => Ok(time.min(TRACE_TIME)),
            None => Err(invalid(format!("`timeout` is {text:?}; it is written like 5s, 300ms or 1m30s"))),
        },
    }
}

fn failed(error: TraceError, turn: &Turn) -> jsonrpsee::types::ErrorObjectOwned {
    match error {
        TraceError::Call(error) => failed_call(error, turn),
        TraceError::Unsupported(why) => invalid(why),
        TraceError::TooLarge | TraceError::Differs { .. } | TraceError::NoSuchTransaction(_) => {
            refused(error.to_string())
        }
    }
}
