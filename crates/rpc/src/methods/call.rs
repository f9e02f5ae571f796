//! Calls that change nothing, at every block whose state is kept.

use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_chain::StateAt;
use triad_evm::{CallError, CallRequest, CallStatus, Stop, Trial};

use super::state::state_at;
use super::{Context, at, method, quantity};
use crate::bounds::{CALL_TIME, Gate, Turn};
use crate::errors::{Answer, chain, failed_call, halted, refused, reverted};

pub fn register(m: &mut RpcModule<Context>, gate: &Gate) -> Result<(), RegisterMethodError> {
    let to_call = |gate: Gate| {
        move |c: &Context, p: &[Value]| {
            let outcome = tried(c, p, &gate, triad_evm::call)?;
            match outcome.status {
                CallStatus::Success => Ok(json!(outcome.output)),
                CallStatus::Revert => Err(reverted(&outcome.output)),
                CallStatus::Halt(why) => Err(refused(format!("execution failed: {why}"))),
            }
        }
    };
    method(m, "eth_call", to_call(gate.clone()))?;
    let to_estimate = |gate: Gate| {
        move |c: &Context, p: &[Value]| Ok(quantity(tried(c, p, &gate, triad_evm::estimate_gas)?))
    };
    method(m, "eth_estimateGas", to_estimate(gate.clone()))?;
    let to_list = |gate: Gate| {
        move |c: &Context, p: &[Value]| {
            let found = tried(c, p, &gate, triad_evm::create_access_list)?;
            let mut out = json!({ "accessList": found.access_list, "gasUsed": quantity(found.gas_used) });
            match found.status {
                CallStatus::Success => {}
                CallStatus::Revert => out["error"] = json!(reverted(&found.output).message()),
                CallStatus::Halt(why) => out["error"] = json!(halted(&why).message()),
            }
            Ok(out)
        }
    };
    method(m, "eth_createAccessList", to_list(gate.clone()))
}

/// Tries the call in parameter 1 on the state of the block in parameter 2, under the overrides of state (3) and block (4).
fn tried<T>(
    c: &Context,
    p: &[Value],
    gate: &Gate,
    try_it: impl FnOnce(&Trial<'_>, &CallRequest) -> Result<T, CallError>,
) -> Answer<T> {
    let turn = gate.enter(CALL_TIME)?;
    let stop = || turn.over();
    let request = request(p)?;
    let state = state_at(c, p.get(1))?;
    let overrides = (at::<Option<StateOverride>>(p, 2, "state overrides")?, at(p, 3, "block overrides")?);
    let trial = trial(&state, overrides, &stop);
    answered(&state, &turn, try_it(&trial, &request))
}

pub(super) fn request(p: &[Value]) -> Answer<CallRequest> {
    let request = at::<TransactionRequest>(p, 0, "call")?;
    CallRequest::try_from(request).map_err(|error| crate::errors::invalid(error.to_string()))
}

pub(super) fn trial<'a>(
    state: &'a StateAt,
    (accounts, block): (Option<StateOverride>, Option<BlockOverrides>),
    stop: &'a Stop<'a>,
) -> Trial<'a> {
    Trial {
        state: accounts.unwrap_or_default(),
        block: block.unwrap_or_default(),
        stop: Some(stop),
        ..Trial::new(state, state.app(), state.context())
    }
}

/// A failure of the store that a precompile met spoils whatever was answered.
fn answered<T>(state: &StateAt, turn: &Turn, answer: Result<T, CallError>) -> Answer<T> {
    match state.failure() {
        Some(error) => Err(chain(error)),
        None => answer.map_err(|error| failed_call(error, turn)),
    }
}
