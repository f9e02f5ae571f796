//! Calls that change nothing: `eth_call` and `eth_estimateGas`.

use crate::app::AppView;
use crate::db::BlockDb;
use crate::env::{self, BlockContext};
use crate::state::{StateError, StateView};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use revm::ExecuteEvm;
use revm::context::TxEnv;
use revm::context_interface::result::{EVMError, ExecutionResult};
use std::sync::Arc;

/// The gas of a call that names none, and the most that a call may ask for.
pub const CALL_GAS_CAP: u64 = 50_000_000;
/// EIP-7825: the most gas that a transaction may ask for.
const TX_GAS_CAP: u64 = 16_777_216;
const TRANSFER_GAS: u64 = 21_000;

/// A call to try.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    pub from: Address,
    /// `None` to create a contract.
    pub to: Option<Address>,
    pub input: Bytes,
    pub value: U256,
    /// Gas limit; at most [`CALL_GAS_CAP`].
    pub gas: Option<u64>,
    /// Wei per gas that the call appears to pay; nothing when absent. What it names, `from` must hold.
    pub gas_price: Option<u128>,
    pub access_list: AccessList,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallStatus {
    Success,
    Revert,
    /// Out of gas, invalid opcode, and the like.
    Halt(String),
}

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    pub status: CallStatus,
    /// What it returned, or why it reverted.
    pub output: Bytes,
    pub gas_used: u64,
    /// Gas given back at the end for freed storage: while running, the call needed that much more.
    pub gas_refunded: u64,
    pub logs: Vec<Log>,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// The call could not start.
    #[error("{0}")]
    Invalid(String),
    /// No gas makes it succeed: it reverted.
    #[error("execution reverted")]
    Reverted(Bytes),
    /// No gas that a transaction may have makes it succeed.
    #[error("the call fails with every amount of gas up to {cap}: {reason}")]
    Halted { cap: u64, reason: String },
    #[error(transparent)]
    State(#[from] StateError),
}

/// Executes a call on a state and forgets what it did. Nonces, the sender's code and the block's gas limit are not
/// checked; the sender must hold the value it sends.
pub fn call(
    view: &dyn StateView,
    app: Arc<dyn AppView>,
    ctx: &BlockContext,
    request: &CallRequest,
) -> Result<CallOutcome, CallError> {
    run(view, &app, ctx, request, request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP))
}

fn run(
    view: &dyn StateView,
    app: &Arc<dyn AppView>,
    ctx: &BlockContext,
    request: &CallRequest,
    gas: u64,
) -> Result<CallOutcome, CallError> {
    let mut evm = env::build(BlockDb::new(view, ctx.number, ctx.parent_hash), Arc::clone(app), ctx);
    let cfg = &mut evm.ctx.cfg;
    cfg.disable_nonce_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_block_gas_limit = true;
    cfg.disable_base_fee = request.gas_price.is_none_or(|price| price == 0);
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    let tx_type = u8::from(!request.access_list.0.is_empty());
    let done = evm
        .transact(TxEnv {
            tx_type,
            caller: request.from,
            gas_limit: gas,
            gas_price: request.gas_price.unwrap_or(0),
            kind: request.to.map_or(TxKind::Create, TxKind::Call),
            value: request.value,
            data: request.input.clone(),
            access_list: request.access_list.clone(),
            chain_id: None,
            ..TxEnv::default()
        })
        .map_err(|error| match error {
            EVMError::Database(error) => CallError::State(error),
            EVMError::Transaction(invalid) => CallError::Invalid(invalid.to_string()),
            other => CallError::Invalid(other.to_string()),
        })?;
    let gas_used = done.result.tx_gas_used();
    Ok(match done.result {
        ExecutionResult::Success { gas, logs, output, .. } => CallOutcome {
            status: CallStatus::Success,
            output: output.into_data(),
            gas_used,
            gas_refunded: gas.final_refunded(),
            logs,
        },
        ExecutionResult::Revert { output, .. } => {
            CallOutcome { status: CallStatus::Revert, output, gas_used, gas_refunded: 0, logs: Vec::new() }
        }
        ExecutionResult::Halt { reason, .. } => CallOutcome {
            status: CallStatus::Halt(format!("{reason:?}")),
            output: Bytes::new(),
            gas_used,
            gas_refunded: 0,
            logs: Vec::new(),
        },
    })
}

/// The least gas limit with which the call succeeds as a transaction, found by bisection to within 1 %.
pub fn estimate_gas(
    view: &dyn StateView,
    app: Arc<dyn AppView>,
    ctx: &BlockContext,
    request: &CallRequest,
) -> Result<u64, CallError> {
    let cap = request.gas.unwrap_or(TX_GAS_CAP).min(TX_GAS_CAP).min(ctx.gas_limit);
    let attempt = |gas: u64| run(view, &app, ctx, request, gas);
    let first = attempt(cap)?;
    match first.status {
        CallStatus::Success => {}
        CallStatus::Revert => return Err(CallError::Reverted(first.output)),
        CallStatus::Halt(reason) => return Err(CallError::Halted { cap, reason }),
    }
    if first.gas_used == TRANSFER_GAS {
        return Ok(TRANSFER_GAS);
    }
    let succeeds = |gas: u64| match attempt(gas) {
        Ok(outcome) => Ok(outcome.status == CallStatus::Success),
        // Less than the intrinsic cost.
        Err(CallError::Invalid(_)) => Ok(false),
        Err(error) => Err(error),
    };
    let mut fails = first.gas_used.saturating_sub(1);
    let mut works = cap;
    // Mostly what was spent suffices, or with the 1/64 that every inner call leaves behind.
    let spent = first.gas_used + first.gas_refunded;
    for guess in [spent, spent + spent / 63 + 2_300] {
        if guess < works && guess > fails {
            if succeeds(guess)? {
                works = guess;
                break;
            }
            fails = guess;
        }
    }
    while works - fails > 1 && (works - fails) > works / 100 {
        let middle = fails + (works - fails) / 2;
        if succeeds(middle)? {
            works = middle;
        } else {
            fails = middle;
        }
    }
    Ok(works)
}

#[cfg(test)]
mod tests;
