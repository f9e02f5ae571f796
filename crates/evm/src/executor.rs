//! Executes a block, one operation after another.
//!
//! Three kinds of operations change the state:
//! - a *system call*: the node calls a system contract, for nothing, within [`SYSTEM_CALL_GAS`]. Either it succeeds
//!   and counts as a whole, or it leaves no trace. It stands in no list of the block.
//! - a *firing*: the node calls an automation's target as [`FIRING_CALLER`], with zero value and at gas price zero
//!   (its registration pays through system calls). It is a transaction of the block and has a receipt, whether it
//!   succeeds, reverts or runs out of gas.
//! - an Ethereum *transaction*, by mainnet's rules. One that is invalid is refused and leaves no trace.
//!
//! [`Executor::finish`] then computes the roots. Whatever reaches a hash is ordered by its key first.

mod finish;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;

use crate::app::AppView;
use crate::db::BlockDb;
use crate::env::{self, BlockContext, BlockEvm, FIRING_CALLER, SYSTEM_CALL_GAS, SYSTEM_CALLER};
use crate::receipt::{Receipt, logs_bloom};
use crate::state::{StateChanges, StateError, StateView};
use crate::tx::{FIRING_TX_TYPE, Firing, RecoveredTx, TriadTx};
use alloy_consensus::{Header, Transaction, Typed2718};
use alloy_evm::FromRecoveredTx;
use alloy_primitives::{Address, B256, Bytes, Log, TxKind, U256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::ExecuteEvm;
use revm::context::{ContextSetters, TxEnv};
use revm::context_interface::result::{EVMError, ExecutionResult, InvalidTransaction, ResultAndState};
use revm::handler::{Handler, MainnetHandler};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// What a system call did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemOutcome {
    /// `false`: it reverted, ran out of gas, or there is no code at the address; nothing was changed.
    pub success: bool,
    /// What it returned, or why it reverted.
    pub output: Bytes,
    pub logs: Vec<Log>,
    pub gas_used: u64,
}

/// What a firing did. Its logs stand in its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiringOutcome {
    pub success: bool,
    pub gas_used: u64,
    /// What it returned, or why it reverted.
    pub output: Bytes,
    /// Its index among the block's transactions and receipts.
    pub index: usize,
}

/// What a transaction did. Its logs stand in its receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    pub success: bool,
    pub gas_used: u64,
    /// What it returned, or why it reverted.
    pub output: Bytes,
    /// Its index among the block's transactions and receipts.
    pub index: usize,
}

/// Why a transaction cannot stand in this block.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TxError {
    /// Its nonce was used before.
    #[error("nonce too low: the transaction has {tx}, the account is at {account}")]
    NonceTooLow { tx: u64, account: u64 },
    /// Earlier transactions of its sender are missing.
    #[error("nonce too high: the transaction has {tx}, the account is at {account}")]
    NonceTooHigh { tx: u64, account: u64 },
    /// The block's remaining gas is less than its limit; a later block may take it.
    #[error("the transaction may use {limit} gas, the block has {left} left")]
    BlockGas { limit: u64, left: u64 },
    #[error("insufficient funds: the transaction may cost {cost} wei, the account holds {balance}")]
    InsufficientFunds { cost: U256, balance: U256 },
    /// It can stand in no block.
    #[error("invalid transaction: {0}")]
    Invalid(String),
    /// The node's own state failed: this says nothing about the transaction.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A call that the node made while a block was executed. With the block's transactions these are all operations of the
/// block, in order, so that it can be executed again from its parent's state.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct SystemCall {
    /// How many of the block's transactions came before it.
    pub before: u64,
    pub to: Address,
    pub input: Bytes,
}

/// An executed block.
#[derive(Clone, Debug)]
pub struct EvmBlock {
    pub header: Header,
    pub hash: B256,
    pub transactions: Vec<TriadTx>,
    /// One for each transaction.
    pub receipts: Vec<Receipt>,
    pub system_calls: Vec<SystemCall>,
    pub changes: StateChanges,
    /// What computing the state root took: for metrics only.
    pub state_root_time: std::time::Duration,
}

/// The execution of one block. It is bound to its thread. `I` is an inspector that looks on, for traces.
pub struct Executor<'a, I = ()> {
    pub(crate) evm: BlockEvm<'a, I>,
    ctx: BlockContext,
    gas_used: u64,
    transactions: Vec<TriadTx>,
    receipts: Vec<Receipt>,
    system_calls: Vec<SystemCall>,
}

impl<I> fmt::Debug for Executor<'_, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("ctx", &self.ctx)
            .field("gas_used", &self.gas_used)
            .field("transactions", &self.transactions.len())
            .finish_non_exhaustive()
    }
}

type Executed = ExecutionResult;

/// What running the EVM on a transaction gave.
pub(crate) type Ran = Result<ResultAndState, EVMError<StateError>>;

impl<'a> Executor<'a> {
    /// Begins a block on its parent's state.
    pub fn new(view: &'a dyn StateView, app: Arc<dyn AppView>, ctx: BlockContext) -> Self {
        Executor::watched(BlockDb::new(view, ctx.number, ctx.parent_hash), app, ctx, ())
    }
}

impl<'a, I> Executor<'a, I> {
    pub(crate) fn watched(db: BlockDb<'a>, app: Arc<dyn AppView>, ctx: BlockContext, inspector: I) -> Self {
        Executor {
            evm: env::build(db, app, &ctx, inspector),
            ctx,
            gas_used: 0,
            transactions: Vec::new(),
            receipts: Vec::new(),
            system_calls: Vec::new(),
        }
    }

    /// Makes room for so many more transactions at once: growing step by step copies what is there each time.
    pub fn reserve(&mut self, transactions: usize) {
        self.transactions.reserve(transactions);
        self.receipts.reserve(transactions);
    }

    /// Gas used by the block's transactions so far, firings included.
    pub fn gas_used(&self) -> u64 {
        self.gas_used
    }

    /// The receipts so far.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// An account as it is now.
    pub fn account(&mut self, address: &Address) -> Result<Option<(u64, U256)>, StateError> {
        use revm::Database;
        let info = self.evm.ctx.journaled_state.database.basic(*address)?;
        Ok(info.map(|info| (info.nonce, info.balance)))
    }

    /// The accounts whose whole storage a trial has replaced.
    pub(crate) fn wiped(&self) -> BTreeSet<Address> {
        let accounts = &self.evm.ctx.journaled_state.database.accounts;
        accounts.iter().filter(|(_, account)| account.wiped).map(|(address, _)| *address).collect()
    }

    /// Calls a system contract from [`SYSTEM_CALLER`].
    pub fn system_call(&mut self, to: Address, input: Bytes) -> Result<SystemOutcome, StateError> {
        if !self.has_code(to)? {
            return Ok(SystemOutcome::default());
        }
        let before = self.transactions.len() as u64;
        self.system_calls.push(SystemCall { before, to, input: input.clone() });
        self.evm.set_tx(TxEnv {
            caller: SYSTEM_CALLER,
            gas_limit: SYSTEM_CALL_GAS,
            gas_price: 0,
            kind: TxKind::Call(to),
            data: input,
            chain_id: None,
            ..TxEnv::default()
        });
        let result = MainnetHandler::default().run_system_call(&mut self.evm);
        let state = self.evm.finalize();
        let result: Executed = match result {
            Ok(result) => result,
            Err(error) => return Err(state_error(error)),
        };
        let outcome = SystemOutcome {
            success: result.is_success(),
            gas_used: result.tx_gas_used(),
            output: result.output().cloned().unwrap_or_default(),
            logs: Vec::new(),
        };
        if !outcome.success {
            return Ok(outcome);
        }
        self.evm.ctx.journaled_state.database.commit(state)?;
        Ok(SystemOutcome { logs: result.into_logs(), ..outcome })
    }

    fn has_code(&mut self, address: Address) -> Result<bool, StateError> {
        use revm::Database;
        let info = self.evm.ctx.journaled_state.database.basic(address)?;
        Ok(info.is_some_and(|info| !info.is_empty_code_hash()))
    }

    /// Calls an automation's target. A firing that cannot even start (its gas is under the intrinsic cost, or over
    /// the cap of a transaction) counts as one that used all its gas.
    ///
    /// Errors when its gas exceeds what the block has left: whoever schedules firings must not let that happen.
    pub fn firing(&mut self, firing: &Firing) -> Result<FiringOutcome, StateError> {
        self.firing_by(firing, |evm, tx| evm.transact(tx), |_, _| ())
    }

    /// [`Executor::firing`], run in a way of the caller's and looked at before it counts.
    pub(crate) fn firing_by(
        &mut self,
        firing: &Firing,
        run: impl FnOnce(&mut BlockEvm<'a, I>, TxEnv) -> Ran,
        look: impl FnOnce(&mut BlockEvm<'a, I>, &ResultAndState),
    ) -> Result<FiringOutcome, StateError> {
        let left = self.ctx.gas_limit.saturating_sub(self.gas_used);
        if firing.gas > left {
            return Err(StateError::Rule(format!(
                "a firing of {} gas does not fit into the {left} that the block has left",
                firing.gas
            )));
        }
        let cfg = &mut self.evm.ctx.cfg;
        cfg.disable_base_fee = true;
        cfg.disable_nonce_check = true;
        let tx = TxEnv {
            caller: FIRING_CALLER,
            gas_limit: firing.gas,
            gas_price: 0,
            kind: TxKind::Call(firing.to),
            data: firing.input.clone(),
            chain_id: None,
            ..TxEnv::default()
        };
        let result = run(&mut self.evm, tx);
        let cfg = &mut self.evm.ctx.cfg;
        cfg.disable_base_fee = false;
        cfg.disable_nonce_check = false;
        let result = match result {
            Ok(mut done) => {
                // The caller signs nothing and counts nothing: it stays as if it had never sent a transaction.
                if let Some(caller) = done.state.get_mut(&FIRING_CALLER) {
                    caller.info.nonce = 0;
                }
                look(&mut self.evm, &done);
                self.evm.ctx.journaled_state.database.commit(done.state)?;
                Some(done.result)
            }
            Err(EVMError::Transaction(_)) => None,
            Err(error) => return Err(state_error(error)),
        };
        let (success, gas_used, output, logs) = match result {
            Some(result) => split(result),
            None => (false, firing.gas, Bytes::new(), Vec::new()),
        };
        let price = u128::from(self.ctx.base_fee);
        let index = self.record(TriadTx::Firing(firing.clone()), success, gas_used, price, None, logs);
        Ok(FiringOutcome { success, gas_used, output, index })
    }

    /// Executes a transaction, or refuses it.
    pub fn transaction(&mut self, tx: &RecoveredTx) -> Result<TxOutcome, TxError> {
        self.transaction_by(tx, |evm, tx| evm.transact(tx), |_, _| ())
    }

    /// [`Executor::transaction`], run in a way of the caller's and looked at before it counts.
    pub(crate) fn transaction_by(
        &mut self,
        tx: &RecoveredTx,
        run: impl FnOnce(&mut BlockEvm<'a, I>, TxEnv) -> Ran,
        look: impl FnOnce(&mut BlockEvm<'a, I>, &ResultAndState),
    ) -> Result<TxOutcome, TxError> {
        if tx.is_eip4844() {
            return Err(TxError::Invalid("blob transactions are not accepted".to_owned()));
        }
        let left = self.ctx.gas_limit.saturating_sub(self.gas_used);
        if tx.gas_limit() > left && tx.gas_limit() <= self.ctx.gas_limit {
            return Err(TxError::BlockGas { limit: tx.gas_limit(), left });
        }
        let env = TxEnv::from_recovered_tx(tx.inner(), tx.signer());
        let done = run(&mut self.evm, env).map_err(transaction_error)?;
        look(&mut self.evm, &done);
        self.evm.ctx.journaled_state.database.commit(done.state)?;
        let (success, gas_used, output, logs) = split(done.result);
        let contract = tx.to().is_none().then(|| tx.signer().create(tx.nonce()));
        let price = tx.effective_gas_price(Some(self.ctx.base_fee));
        let index = self.record(TriadTx::Ethereum(tx.clone()), success, gas_used, price, contract, logs);
        Ok(TxOutcome { success, gas_used, output, index })
    }

    fn record(
        &mut self,
        tx: TriadTx,
        success: bool,
        gas_used: u64,
        effective_gas_price: u128,
        contract_address: Option<Address>,
        logs: Vec<Log>,
    ) -> usize {
        self.gas_used += gas_used;
        let bloom = logs_bloom(&logs);
        let index = self.receipts.len();
        self.receipts.push(Receipt {
            tx_type: match &tx {
                TriadTx::Ethereum(tx) => tx.ty(),
                TriadTx::Firing(_) => FIRING_TX_TYPE,
            },
            success,
            cumulative_gas_used: self.gas_used,
            gas_used,
            effective_gas_price,
            contract_address,
            logs,
            bloom,
        });
        self.transactions.push(tx);
        index
    }
}

fn split(result: Executed) -> (bool, u64, Bytes, Vec<Log>) {
    let (success, gas_used) = (result.is_success(), result.tx_gas_used());
    let output = result.output().cloned().unwrap_or_default();
    let logs = if success { result.into_logs() } else { Vec::new() };
    (success, gas_used, output, logs)
}

pub(crate) fn state_error(error: EVMError<StateError>) -> StateError {
    match error {
        EVMError::Database(error) => error,
        other => StateError::Rule(format!("the EVM failed: {other}")),
    }
}

fn transaction_error(error: EVMError<StateError>) -> TxError {
    match error {
        EVMError::Transaction(InvalidTransaction::NonceTooLow { tx, state }) => {
            TxError::NonceTooLow { tx, account: state }
        }
        EVMError::Transaction(InvalidTransaction::NonceTooHigh { tx, state }) => {
            TxError::NonceTooHigh { tx, account: state }
        }
        EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
            TxError::InsufficientFunds { cost: *fee, balance: *balance }
        }
        EVMError::Transaction(invalid) => TxError::Invalid(invalid.to_string()),
        other => TxError::State(state_error(other)),
    }
}
