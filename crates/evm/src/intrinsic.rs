//! What a transaction needs before it runs.

use crate::env::Fork;
use crate::tx::RecoveredTx;
use alloy_evm::FromRecoveredTx;
use revm::context::TxEnv;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas_for_tx;

/// EIP-3860: bytes of the code that creates a contract.
pub const MAX_INITCODE_BYTES: usize = 49_152;
/// EIP-7825: the most gas that a transaction may ask for.
pub const TX_GAS_CAP: u64 = 16_777_216;

/// Gas that a transaction's limit must cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntrinsicGas {
    /// Spent before the first instruction.
    pub initial: u64,
    /// EIP-7623: the least that a transaction with this much data uses.
    pub floor: u64,
}

/// The gas that a transaction's limit must cover for it to stand in a block.
pub fn intrinsic_gas(tx: &RecoveredTx) -> IntrinsicGas {
    let needed = calculate_initial_tx_gas_for_tx(
        TxEnv::from_recovered_tx(tx.inner(), tx.signer()),
        Fork::default().spec(),
        None,
    );
    IntrinsicGas { initial: needed.initial_regular_gas + needed.initial_state_gas, floor: needed.floor_gas }
}
