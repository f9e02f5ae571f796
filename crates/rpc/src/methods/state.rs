//! Accounts, storage and proofs, at the head and at every block whose state is kept.

use alloy_primitives::{Address, B256, U256};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_chain::StateAt;
use triad_evm::{Account, StateView};

use super::{Context, at, call, debug, method, quantity, raw, simulate};
use crate::bounds::{CALL_TIME, Gate};
use crate::errors::{self, Answer, chain, invalid, past, refused};
use crate::params;

/// The slots that one proof may be asked for.
const MAX_PROOF_SLOTS: usize = 1_024;

pub fn register(m: &mut RpcModule<Context>, gate: &Gate) -> Result<(), RegisterMethodError> {
    method(m, "eth_getBalance", |c, p| Ok(json!(account(c, p)?.balance)))?;
    method(m, "eth_getTransactionCount", |c, p| {
        if p.get(1).is_some_and(|block| block == "pending") {
            let address = at(p, 0, "address")?;
            return Ok(quantity(c.reader.pending_nonce(&address).map_err(chain)?));
        }
        Ok(quantity(account(c, p)?.nonce))
    })?;
    method(m, "eth_getCode", |c, p| {
        let address = at(p, 0, "address")?;
        Ok(json!(state_at(c, p.get(1))?.code_at(&address).map_err(|e| chain(e.into()))?))
    })?;
    method(m, "eth_getStorageAt", |c, p| {
        let (address, slot): (Address, U256) = (at(p, 0, "address")?, at(p, 1, "slot")?);
        let value = state_at(c, p.get(2))?.storage(&address, &slot).map_err(|e| chain(e.into()))?;
        Ok(json!(B256::from(value)))
    })?;
    let proofs = gate.clone();
    method(m, "eth_getProof", move |c, p| {
        let _turn = proofs.enter(CALL_TIME)?;
        let slots: Vec<U256> = at(p, 1, "storage keys")?;
        if slots.len() > MAX_PROOF_SLOTS {
            let why = format!("{} storage keys: at most {MAX_PROOF_SLOTS} are proved at once", slots.len());
            return Err(invalid(why));
        }
        let slots: Vec<B256> = slots.into_iter().map(B256::from).collect();
        let proof = state_at(c, p.get(2))?.proof(at(p, 0, "address")?, &slots);
        Ok(json!(proof.map_err(errors::state)?))
    })?;
    call::register(m, gate)?;
    simulate::register(m, gate)?;
    debug::register(m, gate)?;
    raw::register(m)
}

/// The state after the block that a parameter names; the newest when there is none.
pub(super) fn state_at(c: &Context, block: Option<&Value>) -> Answer<StateAt> {
    match params::height(&c.reader, block.unwrap_or(&Value::Null))? {
        None => Err(refused("block not found")),
        Some(height) if height == c.reader.height() => c.reader.state().map_err(past),
        Some(height) => c.reader.state_at(height).map_err(past),
    }
}

fn account(c: &Context, p: &[Value]) -> Answer<Account> {
    let address: Address = at(p, 0, "address")?;
    let found = state_at(c, p.get(1))?.account(&address).map_err(|e| chain(e.into()))?;
    Ok(found.unwrap_or_default())
}
