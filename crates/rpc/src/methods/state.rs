//! Accounts, storage and calls.

use alloy_primitives::{Address, B256, U256};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_evm::CallStatus;

use super::{Context, at, method, quantity};
use crate::errors::{call, chain, refused, reverted};
use crate::params::{self, Call};
use crate::shapes;

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "eth_getBalance", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        Ok(shapes::hex_u256(c.reader.account(&at(p, 0, "address")?).map_err(chain)?.balance))
    })?;
    method(m, "eth_getTransactionCount", |c, p| {
        let (address, block) = (at(p, 0, "address")?, p.get(1).unwrap_or(&Value::Null));
        if block == "pending" {
            return Ok(quantity(c.reader.pending_nonce(&address).map_err(chain)?));
        }
        params::head(&c.reader, block)?;
        Ok(quantity(c.reader.account(&address).map_err(chain)?.nonce))
    })?;
    method(m, "eth_getCode", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        Ok(json!(c.reader.code(&at(p, 0, "address")?).map_err(chain)?))
    })?;
    method(m, "eth_getStorageAt", |c, p| {
        params::head(&c.reader, p.get(2).unwrap_or(&Value::Null))?;
        let (address, slot): (Address, U256) = (at(p, 0, "address")?, at(p, 1, "slot")?);
        Ok(json!(B256::from(c.reader.storage(&address, &slot).map_err(chain)?)))
    })?;
    method(m, "eth_getProof", |c, p| {
        params::head(&c.reader, p.get(2).unwrap_or(&Value::Null))?;
        let slots: Vec<U256> = at(p, 1, "storage keys")?;
        let slots: Vec<B256> = slots.into_iter().map(B256::from).collect();
        Ok(json!(c.reader.proof(at(p, 0, "address")?, &slots).map_err(chain)?))
    })?;
    method(m, "eth_call", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        let outcome = c.reader.call(&at::<Call>(p, 0, "call")?.request()?).map_err(call)?;
        match outcome.status {
            CallStatus::Success => Ok(json!(outcome.output)),
            CallStatus::Revert => Err(reverted(&outcome.output)),
            CallStatus::Halt(why) => Err(refused(format!("execution failed: {why}"))),
        }
    })?;
    method(m, "eth_estimateGas", |c, p| {
        params::head(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        let gas = c.reader.estimate_gas(&at::<Call>(p, 0, "call")?.request()?).map_err(call)?;
        Ok(quantity(gas))
    })
}
