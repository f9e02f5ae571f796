//! `eth_simulateV1`: whole blocks of calls that build on each other, executed and forgotten.
//!
//! Each block is executed as a block of the chain would be, its roots included, so what it shows (state root, receipts
//! root, hash) is what such a block would have. Its calls are unsigned transactions: their hashes are those of
//! transactions with a signature of zeros. The next block stands on its changes.
//!
//! Without `validation`, nonces, the sender's code, the base fee and the gas cap of a transaction count for nothing; the
//! sender must still hold what it sends.

use crate::app::AppView;
use crate::call::{CALL_GAS_CAP, CallError, CallRequest, CallStatus, overrides};
use crate::db::{BlockDb, Stop};
use crate::env::{BlockContext, BlockEvm};
use crate::executor::{EvmBlock, Executor, TxError};
use crate::state::{Account, NodeKey, StateChanges, StateError, StateView};
use crate::tx::RecoveredTx;
use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Header, SignableTransaction, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes, Log, Signature, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::simulate::{MAX_SIMULATE_BLOCKS, SimBlock, SimulatePayload};
use revm::ExecuteEvm;
use revm::context_interface::result::{EVMError, ExecutionResult, InvalidTransaction, ResultAndState};
use revm::inspector::InspectEvm;
use revm_inspectors::transfer::TransferInspector;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The gas of all calls of a simulation together.
pub const SIMULATE_GAS_CAP: u64 = 2 * CALL_GAS_CAP;
/// The calls of a simulation.
pub const MAX_SIMULATE_CALLS: usize = 1_000;

/// Why nothing was simulated; the code is the one that the specification of `eth_simulateV1` gives it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SimulateError {
    #[error("{message}")]
    Refused { code: i32, message: String },
    #[error(transparent)]
    State(#[from] StateError),
}

const INVALID: i32 = -32_602;
const NONCE_TOO_LOW: i32 = -38_010;
const NONCE_TOO_HIGH: i32 = -38_011;
const BASE_FEE: i32 = -38_012;
const INTRINSIC_GAS: i32 = -38_013;
const FUNDS: i32 = -38_014;
const BLOCK_GAS: i32 = -38_015;
const NUMBER: i32 = -38_020;
const TIME: i32 = -38_021;
const MOVED_TO_ITSELF: i32 = -38_022;
const MOVED_TWICE: i32 = -38_023;
const NOT_EOA: i32 = -38_024;
const INIT_CODE: i32 = -38_025;
const LIMIT: i32 = -38_026;

fn refuse<T>(code: i32, message: impl Into<String>) -> Result<T, SimulateError> {
    Err(SimulateError::Refused { code, message: message.into() })
}

/// What one call did.
#[derive(Clone, Debug)]
pub struct SimulatedCall {
    pub status: CallStatus,
    /// What it returned, or why it reverted.
    pub output: Bytes,
    pub gas_used: u64,
    /// Before what was given back for freed storage.
    pub max_gas_used: u64,
    /// With `traceTransfers`, transfers of ether are among them.
    pub logs: Vec<Log>,
}

/// One simulated block. The block's `changes` are used up.
#[derive(Clone, Debug)]
pub struct SimulatedBlock {
    pub block: EvmBlock,
    pub calls: Vec<SimulatedCall>,
}

/// A block's changes, and the accounts whose storage they replace as a whole.
struct Layer {
    changes: StateChanges,
    wiped: BTreeSet<Address>,
}

/// The state after the simulated blocks so far, oldest first, over the one that they stand on.
struct Layers<'a> {
    layers: Vec<Layer>,
    base: &'a dyn StateView,
}

impl StateView for Layers<'_> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.changes.accounts.get(address)) {
            Some(account) => Ok(*account),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        for layer in self.layers.iter().rev() {
            if let Some(value) = layer.changes.storage.get(&(*address, *slot)) {
                return Ok(*value);
            }
            if layer.wiped.contains(address) {
                return Ok(U256::ZERO);
            }
        }
        self.base.storage(address, slot)
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.changes.code.get(hash)) {
            Some(code) => Ok(Some(code.clone())),
            None => self.base.code(hash),
        }
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.changes.nodes.get(key)) {
            Some(node) => Ok(node.clone()),
            None => self.base.node(key),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        match self.layers.iter().rev().find_map(|layer| layer.changes.block_hashes.get(&number)) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash(number),
        }
    }
}

/// Simulates blocks on a state, which is that after the block with the header `parent`.
pub fn simulate(
    base: &dyn StateView,
    app: &Arc<dyn AppView>,
    parent: &Header,
    chain_id: u64,
    payload: &SimulatePayload,
    stop: Option<&Stop<'_>>,
) -> Result<Vec<SimulatedBlock>, SimulateError> {
    let calls: usize = payload.block_state_calls.iter().map(|block| block.calls.len()).sum();
    if payload.block_state_calls.is_empty() {
        return refuse(INVALID, "there is no block to simulate");
    }
    if calls > MAX_SIMULATE_CALLS {
        return refuse(LIMIT, format!("{calls} calls: at most {MAX_SIMULATE_CALLS} are simulated at once"));
    }
    let blocks = with_gaps(parent.number, &payload.block_state_calls)?;
    let mut state = Layers { layers: Vec::new(), base };
    let mut parent = parent.clone();
    let mut gas_left = SIMULATE_GAS_CAP;
    let mut out = Vec::with_capacity(blocks.len());
    for block in &blocks {
        if stop.is_some_and(|stop| stop()) {
            return Err(StateError::Stopped.into());
        }
        let ctx = context(&parent, chain_id, block, payload.validation)?;
        let one = One { app, ctx, block, payload, stop };
        let (mut done, wiped) = one.run(&state, &mut gas_left)?;
        parent.clone_from(&done.block.header);
        state.layers.push(Layer { changes: std::mem::take(&mut done.block.changes), wiped });
        out.push(done);
    }
    Ok(out)
}

/// The blocks that are asked for, and empty ones where numbers are left out.
fn with_gaps(parent: u64, asked: &[SimBlock]) -> Result<Vec<SimBlock>, SimulateError> {
    let mut blocks: Vec<SimBlock> = Vec::with_capacity(asked.len());
    let mut last = U256::from(parent);
    for block in asked {
        let number = block.block_number_override().unwrap_or(last + U256::from(1));
        if number <= last {
            return refuse(NUMBER, format!("block numbers must increase: {number} comes after {last}"));
        }
        if number - U256::from(parent) > U256::from(MAX_SIMULATE_BLOCKS) {
            return refuse(LIMIT, format!("more than {MAX_SIMULATE_BLOCKS} blocks, skipped ones included"));
        }
        while last + U256::from(1) < number {
            blocks.push(SimBlock::default());
            last += U256::from(1);
        }
        blocks.push(block.clone());
        last = number;
    }
    Ok(blocks)
}

fn context(
    parent: &Header,
    chain_id: u64,
    block: &SimBlock,
    validation: bool,
) -> Result<BlockContext, SimulateError> {
    let mut ctx = BlockContext {
        number: parent.number + 1,
        timestamp: parent.timestamp + 1,
        beneficiary: parent.beneficiary,
        prev_randao: B256::ZERO,
        gas_limit: parent.gas_limit,
        base_fee: if validation { parent.base_fee_per_gas.unwrap_or_default() } else { 0 },
        parent_hash: parent.hash_slow(),
        chain_id,
        parent_state_root: parent.state_root,
        ..BlockContext::default()
    };
    if let Some(wanted) = &block.block_overrides {
        overrides::block(&mut ctx, wanted).map_err(invalid)?;
    }
    if ctx.timestamp < parent.timestamp {
        let (time, before) = (ctx.timestamp, parent.timestamp);
        return refuse(TIME, format!("block times must not decrease: {time} comes after {before}"));
    }
    Ok(ctx)
}

fn invalid(error: CallError) -> SimulateError {
    match error {
        CallError::State(error) => SimulateError::State(error),
        other => SimulateError::Refused { code: INVALID, message: other.to_string() },
    }
}

/// One block to simulate.
struct One<'a> {
    app: &'a Arc<dyn AppView>,
    ctx: BlockContext,
    block: &'a SimBlock,
    payload: &'a SimulatePayload,
    stop: Option<&'a Stop<'a>>,
}

type Simulation<'a> = Executor<'a, TransferInspector>;

impl One<'_> {
    fn run(
        &self,
        state: &dyn StateView,
        gas_left: &mut u64,
    ) -> Result<(SimulatedBlock, BTreeSet<Address>), SimulateError> {
        let mut db = BlockDb::new(state, self.ctx.number, self.ctx.parent_hash);
        db.stop = self.stop;
        let transfers = TransferInspector::new(false).with_logs(self.payload.trace_transfers);
        let mut executor = Executor::watched(db, Arc::clone(self.app), self.ctx, transfers);
        if !self.payload.validation {
            let cfg = &mut executor.evm.ctx.cfg;
            cfg.disable_nonce_check = true;
            cfg.disable_eip3607 = true;
            cfg.disable_base_fee = true;
            cfg.tx_gas_limit_cap = Some(u64::MAX);
        }
        let pretended = self.block.state_overrides.clone().unwrap_or_default();
        let mut targets = BTreeSet::new();
        for (from, to) in
            pretended.iter().filter_map(|(from, account)| Some((from, account.move_precompile_to?)))
        {
            if *from == to {
                return refuse(MOVED_TO_ITSELF, format!("the precompile {from} is moved to itself"));
            }
            if !targets.insert(to) {
                return refuse(MOVED_TWICE, format!("two precompiles are moved to {to}"));
            }
        }
        let block = self.block.block_overrides.clone().unwrap_or_default();
        overrides::apply(&mut executor.evm, &pretended, &block).map_err(invalid)?;
        let mut calls = Vec::with_capacity(self.block.calls.len());
        for call in &self.block.calls {
            let done = self.call(&mut executor, call, *gas_left)?;
            *gas_left = gas_left.saturating_sub(done.gas_used);
            calls.push(done);
        }
        let wiped = executor.wiped();
        let block = executor.finish()?;
        for (call, receipt) in calls.iter_mut().zip(&block.receipts) {
            call.logs.clone_from(&receipt.logs);
        }
        Ok((SimulatedBlock { block, calls }, wiped))
    }

    fn call(
        &self,
        executor: &mut Simulation<'_>,
        call: &TransactionRequest,
        gas_left: u64,
    ) -> Result<SimulatedCall, SimulateError> {
        let tx = self.transaction(executor, call, gas_left)?;
        let (mut seen, mut why) = (None, None);
        let run = |evm: &mut BlockEvm<'_, TransferInspector>, env| {
            let ran = if self.payload.trace_transfers { evm.inspect_tx(env) } else { evm.transact(env) };
            if let Err(EVMError::Transaction(invalid)) = &ran {
                why = Some(invalid.clone());
            }
            ran
        };
        let done = executor.transaction_by(&tx, run, |_, done| seen = Some(ending(done)));
        let done = done.map_err(|error| transaction_error(error, why))?;
        let (status, refunded) = seen.unwrap_or((CallStatus::Success, 0));
        Ok(SimulatedCall {
            status,
            output: done.output,
            gas_used: done.gas_used,
            max_gas_used: done.gas_used + refunded,
            logs: Vec::new(),
        })
    }

    /// The call as a transaction, what it leaves open filled in.
    fn transaction(
        &self,
        executor: &mut Simulation<'_>,
        call: &TransactionRequest,
        gas_left: u64,
    ) -> Result<RecoveredTx, SimulateError> {
        // For what it refuses.
        CallRequest::try_from(call.clone()).map_err(invalid)?;
        let mut tx = call.clone();
        let from = tx.from.unwrap_or_default();
        let block_left = self.ctx.gas_limit.saturating_sub(executor.gas_used());
        if tx.gas.is_some_and(|gas| gas > block_left) {
            let message = format!("a call asks for {:?} gas, the block has {block_left} left", tx.gas);
            return refuse(BLOCK_GAS, message);
        }
        if gas_left == 0 {
            return refuse(LIMIT, format!("the calls use more than {SIMULATE_GAS_CAP} gas together"));
        }
        let cap = if self.payload.validation { crate::call::TX_GAS_CAP } else { u64::MAX };
        tx.gas = Some(tx.gas.unwrap_or(block_left.min(cap)).min(gas_left));
        if tx.nonce.is_none() {
            tx.nonce = Some(executor.account(&from)?.map_or(0, |(nonce, _)| nonce));
        }
        if tx.to.is_none() {
            tx.to = Some(alloy_primitives::TxKind::Create);
        }
        if tx.gas_price.is_none() {
            let tip = *tx.max_priority_fee_per_gas.get_or_insert(0);
            tx.max_fee_per_gas.get_or_insert(tip);
        }
        tx.chain_id.get_or_insert(self.ctx.chain_id);
        let typed = tx.build_consensus_tx().map_err(|error| SimulateError::Refused {
            code: INVALID,
            message: format!("a call is no transaction: {}", error.error),
        })?;
        let signature = Signature::new(U256::ZERO, U256::ZERO, false);
        Ok(Recovered::new_unchecked(TxEnvelope::from(typed.into_signed(signature)), from))
    }
}

/// How a call ended, and the gas that was given back.
fn ending(done: &ResultAndState) -> (CallStatus, u64) {
    match &done.result {
        ExecutionResult::Success { gas, .. } => (CallStatus::Success, gas.final_refunded()),
        ExecutionResult::Revert { .. } => (CallStatus::Revert, 0),
        ExecutionResult::Halt { reason, .. } => (CallStatus::Halt(format!("{reason:?}")), 0),
    }
}

fn transaction_error(error: TxError, why: Option<InvalidTransaction>) -> SimulateError {
    use InvalidTransaction as Why;
    let code = match (&error, why) {
        (TxError::State(error), _) => return SimulateError::State(error.clone()),
        (TxError::NonceTooLow { .. }, _) => NONCE_TOO_LOW,
        (TxError::NonceTooHigh { .. }, _) => NONCE_TOO_HIGH,
        (TxError::BlockGas { .. }, _) => BLOCK_GAS,
        (TxError::InsufficientFunds { .. }, _) => FUNDS,
        (_, Some(Why::GasPriceLessThanBasefee)) => BASE_FEE,
        (_, Some(Why::CallGasCostMoreThanGasLimit { .. } | Why::GasFloorMoreThanGasLimit { .. })) => {
            INTRINSIC_GAS
        }
        (_, Some(Why::CallerGasLimitMoreThanBlock)) => BLOCK_GAS,
        (_, Some(Why::RejectCallerWithCode)) => NOT_EOA,
        (_, Some(Why::CreateInitCodeSizeLimit)) => INIT_CODE,
        (TxError::Invalid(_), _) => INVALID,
    };
    SimulateError::Refused { code, message: error.to_string() }
}

#[cfg(test)]
mod tests;
