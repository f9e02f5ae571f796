//! What the node says about itself, and fees.

use alloy_primitives::{Bytes, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::{Context, at, method, quantity};
use crate::errors::{chain, invalid, refused};
use crate::params;

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
    method(m, "eth_gasPrice", |c, _| Ok(quantity(c.reader.spec().genesis.fees.base_fee)))?;
    method(m, "eth_maxPriorityFeePerGas", |_, _| Ok(quantity(0)))?;
    method(m, "eth_blobBaseFee", |_, _| Ok(quantity(1)))?;
    method(m, "eth_feeHistory", |c, p| {
        let count = match p.first() {
            Some(Value::String(text)) => params::quantity(text)?,
            Some(Value::Number(n)) => n.as_u64().ok_or_else(|| invalid("block count"))?,
            _ => return Err(invalid("parameter 1, block count: a number or 0x quantity")),
        };
        let newest = params::height(&c.reader, p.get(1).unwrap_or(&Value::Null))?;
        let newest = newest.ok_or_else(|| refused("block not found"))?;
        let count = count.clamp(1, 1024).min(newest + 1);
        let base = quantity(c.reader.spec().genesis.fees.base_fee);
        let percentiles: Option<Vec<f64>> = at(p, 2, "reward percentiles")?;
        let mut ratios = Vec::new();
        for height in newest + 1 - count..=newest {
            let block = c.reader.eth_block(height).map_err(chain)?;
            ratios.push(block.map_or(0.0, |b| b.header.gas_used as f64 / b.header.gas_limit as f64));
        }
        let mut out = json!({
            "oldestBlock": quantity(newest + 1 - count),
            "baseFeePerGas": vec![base; count as usize + 1],
            "gasUsedRatio": ratios,
        });
        if let Some(percentiles) = percentiles {
            out["reward"] = json!(vec![vec!["0x0"; percentiles.len()]; count as usize]);
        }
        Ok(out)
    })
}
