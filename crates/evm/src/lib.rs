//! Triad's EVM: state, Merkle Patricia trie, precompiles, system contracts and block execution.
//!
//! A block is executed as a pure function of (parent state, application view, block context, operations): an
//! [`Executor`] runs system calls, automation firings and Ethereum transactions one after another and
//! [`Executor::finish`] yields the header, the receipts and the [`StateChanges`]. The parent state is any
//! [`StateView`]: the [`EvmStore`] on disk, or an [`Overlay`] of unfinalised blocks' changes over it. Nothing is
//! written until the owner of the store applies the changes in its own atomic batch.
//!
//! It promises: the newest mainnet rules (Osaka), the same result on every machine, and that a refused transaction
//! leaves no trace. It never reads a clock, never reaches the network, and knows nothing about statements or models
//! beyond the small [`AppView`] that its precompiles show to contracts.

mod app;
pub mod bindings;
mod call;
mod db;
mod env;
mod executor;
mod fixed;
mod genesis;
mod history;
mod intrinsic;
mod precompiles;
mod rebuild;
mod receipt;
mod simulate;
mod state;
pub mod statetest;
mod store;
#[cfg(test)]
mod testing;
mod trace;
mod trie;
mod tx;

pub use app::{AppView, EmptyApp, LatestReading, LatestVerdict, LogAt, ModelPrediction};
pub use bindings::{system_contracts, validator_set_code};
pub use call::{
    AccessListOutcome, CALL_GAS_CAP, CallError, CallOutcome, CallRequest, CallStatus, Trial, call,
    create_access_list, estimate_gas,
};
pub use db::Stop;
pub use env::{
    AUTOMATIONS, BlockContext, DEVICE_REGISTRY, FIRING_CALLER, Fork, MODEL_REGISTRY, SYSTEM_CALL_GAS,
    SYSTEM_CALLER, VALIDATOR_SET,
};
pub use executor::{EvmBlock, Executor, FiringOutcome, SystemCall, SystemOutcome, TxError, TxOutcome};
pub use fixed::{to_e9, to_e9_i128};
pub use genesis::{GenesisAccount, GenesisError, genesis};
pub use history::{ARCHIVE, Kept, NotKept, PastState};
pub use intrinsic::{IntrinsicGas, MAX_INITCODE_BYTES, TX_GAS_CAP, intrinsic_gas};
pub use precompiles::{
    ED25519_VERIFY, ED25519_VERIFY_GAS, ED25519_VERIFY_WORD_GAS, LATEST_PREDICTION, LATEST_READING,
    LATEST_VERDICT, LOG, READ_GAS,
};
pub use rebuild::Flat;
pub use receipt::Receipt;
pub use simulate::{
    MAX_SIMULATE_CALLS, SIMULATE_GAS_CAP, SimulateError, SimulatedBlock, SimulatedCall, simulate,
};
pub use state::{Account, EmptyState, NodeKey, Overlay, StateChanges, StateError, StateView};
pub use store::{CacheSizes, EvmStore};
pub use trace::{Again, MAX_TRACE_BYTES, Recorded, TraceError, trace_block, trace_call};
pub use trie::{proof, verify_account_proof};
pub use tx::{FIRING_TX_TYPE, Firing, MAX_TX_BYTES, RecoveredTx, TriadTx, TxDecodeError, recover};

// The names of other crates that appear in this crate's interface.
pub use alloy_consensus::{Header, TxEnvelope};
pub use alloy_primitives::{Address, B256, Bytes, I256, Log, U256};
pub use alloy_rpc_types_eth::EIP1186AccountProofResponse;
pub use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
