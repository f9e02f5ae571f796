//! Calls that change nothing: `eth_call`, `eth_estimateGas` and `eth_createAccessList`.

mod access_list;
pub(crate) mod overrides;
mod request;

pub use access_list::{AccessListOutcome, create_access_list};
pub use request::CallRequest;

use crate::app::AppView;
use crate::db::{BlockDb, Stop};
use crate::env::{self, BlockContext, BlockEvm};
use crate::executor::Ran;
use crate::state::{StateError, StateView};
use alloy_primitives::{Bytes, Log, U256};
use alloy_rpc_types_eth::BlockOverrides;
use alloy_rpc_types_eth::state::StateOverride;
use revm::ExecuteEvm;
use revm::context::TxEnv;
use revm::context_interface::result::{EVMError, ExecutionResult};
use std::fmt;
use std::sync::Arc;

/// The gas of a call that names none, and the most that a call may ask for.
pub const CALL_GAS_CAP: u64 = 50_000_000;
/// EIP-7825: the most gas that a transaction may ask for.
pub(crate) const TX_GAS_CAP: u64 = 16_777_216;
const TRANSFER_GAS: u64 = 21_000;

/// Where something is tried: a state, a block, and what of both is pretended to be otherwise.
#[derive(Clone)]
pub struct Trial<'a> {
    pub view: &'a dyn StateView,
    pub app: Arc<dyn AppView>,
    /// The block that it happens in.
    pub ctx: BlockContext,
    pub state: StateOverride,
    pub block: BlockOverrides,
    /// Asked while it runs, whenever state is read: `true` ends it with [`StateError::Stopped`].
    pub stop: Option<&'a Stop<'a>>,
}

impl fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("ctx", &self.ctx).finish_non_exhaustive()
    }
}

impl<'a> Trial<'a> {
    /// A state as it is, in a block as it is, for as long as it takes.
    pub fn new(view: &'a dyn StateView, app: Arc<dyn AppView>, ctx: BlockContext) -> Self {
        Trial {
            view,
            app,
            ctx,
            state: StateOverride::default(),
            block: BlockOverrides::default(),
            stop: None,
        }
    }

    fn check_stop(&self) -> Result<(), StateError> {
        if self.stop.is_some_and(|stop| stop()) { Err(StateError::Stopped) } else { Ok(()) }
    }

    /// An EVM that takes the call as a transaction of the block, but asks nothing of its sender's nonce and code, nor
    /// of the block's gas limit.
    pub(crate) fn prepare<I>(
        &self,
        request: &CallRequest,
        gas: u64,
        inspector: I,
    ) -> Result<(BlockEvm<'a, I>, TxEnv), CallError> {
        self.check_stop()?;
        let mut ctx = self.ctx;
        overrides::block(&mut ctx, &self.block)?;
        let mut db = BlockDb::new(self.view, self.ctx.number, self.ctx.parent_hash);
        db.stop = self.stop;
        let mut evm = env::build(db, Arc::clone(&self.app), &ctx, inspector);
        overrides::apply(&mut evm, &self.state, &self.block)?;
        let cfg = &mut evm.ctx.cfg;
        cfg.disable_nonce_check = true;
        cfg.disable_eip3607 = true;
        cfg.disable_block_gas_limit = true;
        cfg.disable_base_fee = request.pays_nothing();
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        let tx = request.env(gas, ctx.chain_id)?;
        Ok((evm, tx))
    }

    fn run(&self, request: &CallRequest, gas: u64) -> Result<CallOutcome, CallError> {
        let (mut evm, tx) = self.prepare(request, gas, ())?;
        outcome(evm.transact(tx))
    }
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

pub(crate) fn call_error(error: EVMError<StateError>) -> CallError {
    match error {
        EVMError::Database(error) => CallError::State(error),
        EVMError::Transaction(invalid) => CallError::Invalid(invalid.to_string()),
        other => CallError::Invalid(other.to_string()),
    }
}

fn outcome(ran: Ran) -> Result<CallOutcome, CallError> {
    let result = ran.map_err(call_error)?.result;
    let gas_used = result.tx_gas_used();
    let without =
        |status, output| CallOutcome { status, output, gas_used, gas_refunded: 0, logs: Vec::new() };
    Ok(match result {
        ExecutionResult::Success { gas, logs, output, .. } => CallOutcome {
            status: CallStatus::Success,
            output: output.into_data(),
            gas_used,
            gas_refunded: gas.final_refunded(),
            logs,
        },
        ExecutionResult::Revert { output, .. } => without(CallStatus::Revert, output),
        ExecutionResult::Halt { reason, .. } => {
            without(CallStatus::Halt(format!("{reason:?}")), Bytes::new())
        }
    })
}

/// Executes a call on a state and forgets what it did. Nonces, the sender's code and the block's gas limit are not
/// checked; the sender must hold the value it sends.
pub fn call(trial: &Trial<'_>, request: &CallRequest) -> Result<CallOutcome, CallError> {
    trial.run(request, request.gas.unwrap_or(CALL_GAS_CAP).min(CALL_GAS_CAP))
}

/// The most gas that a call may be estimated at: what a transaction may ask for, a block has, and the sender can pay.
fn estimate_cap(trial: &Trial<'_>, request: &CallRequest) -> Result<u64, CallError> {
    let block = trial.block.gas_limit.unwrap_or(trial.ctx.gas_limit);
    let cap = request.gas.unwrap_or(TX_GAS_CAP).min(TX_GAS_CAP).min(block);
    let price = request.price();
    if price == 0 {
        return Ok(cap);
    }
    let pretended = trial.state.get(&request.from).and_then(|account| account.balance);
    let balance = match pretended {
        Some(balance) => balance,
        None => trial.view.account(&request.from)?.unwrap_or_default().balance,
    };
    let left = balance.saturating_sub(request.value) / U256::from(price);
    Ok(u64::try_from(left).map_or(cap, |left| cap.min(left)))
}

/// The least gas limit with which the call succeeds as a transaction, found by bisection to within 1 %.
pub fn estimate_gas(trial: &Trial<'_>, request: &CallRequest) -> Result<u64, CallError> {
    let cap = estimate_cap(trial, request)?;
    let attempt = |gas: u64| trial.run(request, gas);
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
