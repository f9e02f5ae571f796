//! What the node says about itself, and fees.

use alloy_primitives::{Bytes, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::json;

use super::{Context, at, method, quantity};
use crate::{fees, shapes};

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "web3_clientVersion", |_, _| Ok(json!(concat!("Triad/", env!("CARGO_PKG_VERSION")))))?;
    method(m, "web3_sha3", |_, p| Ok(json!(keccak256(at::<Bytes>(p, 0, "data")?))))?;
    method(m, "net_version", |c, _| Ok(json!(c.reader.spec().genesis.chain_id.to_string())))?;
    method(m, "net_listening", |_, _| Ok(json!(true)))?;
    method(m, "net_peerCount", |_, _| Ok(quantity(0)))?;
    method(m, "eth_chainId", |c, _| Ok(quantity(c.reader.spec().genesis.chain_id)))?;
    method(m, "eth_syncing", |_, _| Ok(json!(false)))?;
    method(m, "eth_blockNumber", |c, _| Ok(quantity(c.reader.height())))?;
    method(m, "eth_accounts", |c, _| Ok(json!(c.accounts)))?;
    method(m, "eth_coinbase", |c, _| Ok(json!(c.reader.spec().fee_recipient(0).unwrap_or_default())))?;
    method(m, "eth_baseFee", |c, _| Ok(quantity(c.reader.spec().genesis.fees.base_fee)))?;
    method(m, "eth_gasPrice", |c, _| {
        let base_fee = u128::from(c.reader.spec().genesis.fees.base_fee);
        Ok(shapes::hex_u128(base_fee + fees::suggested_tip(&c.reader)?))
    })?;
    method(m, "eth_maxPriorityFeePerGas", |c, _| Ok(shapes::hex_u128(fees::suggested_tip(&c.reader)?)))?;
    method(m, "eth_blobBaseFee", |_, _| Ok(quantity(1)))?;
    method(m, "eth_feeHistory", |c, p| fees::history(&c.reader, p))
}
