//! `eth_simulateV1`.

use alloy_rpc_types_eth::simulate::SimulatePayload;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::types::ErrorObjectOwned;
use serde_json::{Value, json};
use triad_chain::EthBlock;
use triad_evm::{CallStatus, SimulateError, SimulatedBlock, SimulatedCall};

use super::state::state_at;
use super::{Context, at, method, quantity};
use crate::bounds::{Gate, TRACE_TIME};
use crate::errors::{chain, failed_call, halted, reverted};
use crate::shapes;

pub fn register(m: &mut RpcModule<Context>, gate: &Gate) -> Result<(), RegisterMethodError> {
    let gate = gate.clone();
    method(m, "eth_simulateV1", move |c, p| {
        let turn = gate.enter(TRACE_TIME)?;
        let stop = || turn.over();
        let payload: SimulatePayload = at(p, 0, "payload")?;
        let state = state_at(c, p.get(1))?;
        let chain_id = c.reader.spec().genesis.chain_id;
        let done = triad_evm::simulate(&state, &state.app(), state.header(), chain_id, &payload, Some(&stop));
        if let Some(error) = state.failure() {
            return Err(chain(error));
        }
        let blocks = done.map_err(|error| match error {
            SimulateError::Refused { code, message } => ErrorObjectOwned::owned(code, message, None::<()>),
            SimulateError::State(error) => failed_call(error.into(), &turn),
        })?;
        Ok(blocks.into_iter().map(|block| shape(block, payload.return_full_transactions)).collect())
    })
}

fn shape(simulated: SimulatedBlock, full: bool) -> Value {
    let SimulatedBlock { block, calls } = simulated;
    let block = EthBlock {
        hash: block.hash,
        header: block.header,
        transactions: block.transactions,
        receipts: block.receipts,
    };
    let mut out = shapes::block(&block, full);
    out["calls"] = calls.iter().enumerate().map(|(index, call)| shape_call(&block, index, call)).collect();
    out
}

fn shape_call(block: &EthBlock, index: usize, call: &SimulatedCall) -> Value {
    let logs = shapes::logs_of(block, index, &block.receipts[index]);
    let error = match &call.status {
        CallStatus::Success => None,
        CallStatus::Revert => Some(reverted(&call.output)),
        CallStatus::Halt(why) => Some(halted(why)),
    };
    let mut out = json!({
        "status": quantity(u64::from(error.is_none())),
        "returnData": if error.is_none() { call.output.clone() } else { Default::default() },
        "gasUsed": quantity(call.gas_used),
        "maxUsedGas": quantity(call.max_gas_used),
        "logs": logs,
    });
    if let Some(error) = error {
        out["error"] = json!(error);
    }
    out
}
