//! What can be said of a transaction without looking at the state.

use alloy_consensus::Transaction;
use triad_evm::{MAX_INITCODE_BYTES, RecoveredTx, TX_GAS_CAP, intrinsic_gas};

use super::TxRefusal;
use crate::genesis::Genesis;

/// Refuses what no block of this chain can hold.
///
/// A legacy transaction without a chain id (before EIP-155) could be replayed on every chain. It is accepted only where
/// it creates a contract and sends nothing: so the well-known deployers, whose keys nobody holds, come to this chain too.
pub(crate) fn check(tx: &RecoveredTx, genesis: &Genesis) -> Result<(), TxRefusal> {
    let expected = genesis.chain_id;
    match tx.chain_id() {
        Some(id) if id == expected => {}
        Some(found) => return Err(TxRefusal::ChainId { expected, found }),
        None if tx.is_create() && tx.value().is_zero() => {}
        None => return Err(TxRefusal::Unprotected(expected)),
    }
    if tx.nonce() == u64::MAX {
        return Err(TxRefusal::NonceMax);
    }
    let fee = tx.max_fee_per_gas();
    if let Some(tip) = tx.max_priority_fee_per_gas().filter(|tip| *tip > fee) {
        return Err(TxRefusal::TipAboveFee { tip, fee });
    }
    if tx.is_eip7702() && tx.authorization_list().unwrap_or_default().is_empty() {
        return Err(TxRefusal::NoAuthorization);
    }
    if tx.is_create() && tx.input().len() > MAX_INITCODE_BYTES {
        return Err(TxRefusal::InitCode { found: tx.input().len(), limit: MAX_INITCODE_BYTES });
    }
    let found = tx.gas_limit();
    if found > genesis.limits.block_gas {
        return Err(TxRefusal::BlockGasLimit { found, limit: genesis.limits.block_gas });
    }
    if found > TX_GAS_CAP {
        return Err(TxRefusal::GasLimit { found, limit: TX_GAS_CAP });
    }
    let needed = intrinsic_gas(tx);
    if found < needed.initial {
        return Err(TxRefusal::IntrinsicGas { found, want: needed.initial });
    }
    if found < needed.floor {
        return Err(TxRefusal::FloorGas { found, want: needed.floor });
    }
    let base_fee = genesis.fees.base_fee;
    if fee < u128::from(base_fee) {
        return Err(TxRefusal::Underpriced { offered: fee, base_fee });
    }
    Ok(())
}
