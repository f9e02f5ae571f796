//! What a trial pretends: other accounts, another block.

use super::CallError;
use crate::db::{BlockDb, Slot};
use crate::env::{BlockContext, BlockEvm};
use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rpc_types_eth::BlockOverrides;
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use revm::state::Bytecode;

/// The block as somebody wishes it. Difficulty means nothing since the merge.
pub(crate) fn block(ctx: &mut BlockContext, overrides: &BlockOverrides) -> Result<(), CallError> {
    let small = |what: &str, value: U256| {
        u64::try_from(value)
            .map_err(|_| CallError::Invalid(format!("the block's {what} {value} is too large")))
    };
    if overrides.beacon_root.is_some() {
        return Err(CallError::Invalid("blocks here have no beacon root to override".to_owned()));
    }
    if let Some(number) = overrides.number {
        ctx.number = small("number", number)?;
    }
    if let Some(base_fee) = overrides.base_fee {
        ctx.base_fee = small("base fee", base_fee)?;
    }
    ctx.timestamp = overrides.time.unwrap_or(ctx.timestamp);
    ctx.gas_limit = overrides.gas_limit.unwrap_or(ctx.gas_limit);
    ctx.beneficiary = overrides.coinbase.unwrap_or(ctx.beneficiary);
    ctx.prev_randao = overrides.random.unwrap_or(ctx.prev_randao);
    Ok(())
}

/// Lays overrides over what a trial executes on. Precompiles move first, as their addresses may be given code then.
pub(crate) fn apply<I>(
    evm: &mut BlockEvm<'_, I>,
    state: &StateOverride,
    block: &BlockOverrides,
) -> Result<(), CallError> {
    let moves = state.iter().filter_map(|(from, account)| Some((*from, account.move_precompile_to?)));
    evm.precompiles.move_precompiles(moves).map_err(|error| CallError::Invalid(error.to_string()))?;
    if let Some(price) = block.blob_base_fee
        && let Some(blob) = &mut evm.ctx.block.blob_excess_gas_and_price
    {
        blob.blob_gasprice = price.saturating_to();
    }
    let db = &mut evm.ctx.journaled_state.database;
    db.hashes.extend(block.block_hash.iter().flatten());
    // In order, so that a trial fails in the same way every time.
    let mut accounts: Vec<_> = state.iter().collect();
    accounts.sort_unstable_by_key(|(address, _)| **address);
    for (address, wanted) in accounts {
        account(db, *address, wanted)?;
    }
    Ok(())
}

fn account(db: &mut BlockDb<'_>, address: Address, wanted: &AccountOverride) -> Result<(), CallError> {
    let code = match &wanted.code {
        None => None,
        Some(bytes) => {
            let code = Bytecode::new_raw_checked(bytes.clone())
                .map_err(|error| CallError::Invalid(format!("the code of {address}: {error}")))?;
            let hash = keccak256(bytes);
            db.put_code(hash, code.clone());
            Some((hash, code))
        }
    };
    let cached = db.load(address)?;
    let info = cached.info.get_or_insert_default();
    info.balance = wanted.balance.unwrap_or(info.balance);
    info.nonce = wanted.nonce.unwrap_or(info.nonce);
    if let Some((hash, code)) = code {
        (info.code_hash, info.code) = (hash, Some(code));
    }
    cached.touched = true;
    match (&wanted.state, &wanted.state_diff) {
        (Some(_), Some(_)) => Err(CallError::Invalid(format!("{address} has both `state` and `stateDiff`"))),
        (Some(all), None) => {
            cached.wiped = true;
            cached.slots.clear();
            slots(db, address, all)
        }
        (None, Some(some)) => slots(db, address, some),
        (None, None) => Ok(()),
    }
}

fn slots(db: &mut BlockDb<'_>, address: Address, wanted: &B256Map<B256>) -> Result<(), CallError> {
    use revm::Database;
    for (slot, value) in wanted {
        let slot = U256::from_be_bytes(slot.0);
        let original = db.storage(address, slot)?;
        db.load(address)?.slots.insert(slot, Slot { original, value: U256::from_be_bytes(value.0) });
    }
    Ok(())
}
