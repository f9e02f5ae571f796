//! Blocks, their receipts, and logs.

use std::sync::Arc;

use alloy_rpc_types_eth::Filter;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_chain::EthBlock;

use super::{Context, at, method, quantity};
use crate::errors::Answer;
use crate::{logs, shapes};

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    let shape = |block: Option<Arc<EthBlock>>, p: &[Value]| -> Answer<Value> {
        let full: Option<bool> = at(p, 1, "full transactions")?;
        Ok(block.map_or(Value::Null, |b| shapes::block(&b, full.unwrap_or(false))))
    };
    method(m, "eth_getBlockByNumber", move |c, p| shape(c.block(p.first().unwrap_or(&Value::Null))?, p))?;
    method(m, "eth_getBlockByHash", move |c, p| shape(c.block_by_hash(&at(p, 0, "hash")?)?, p))?;
    let count = |block: Option<Arc<EthBlock>>| {
        Ok(block.map_or(Value::Null, |b| quantity(b.transactions.len() as u64)))
    };
    method(m, "eth_getBlockTransactionCountByNumber", move |c, p| {
        count(c.block(p.first().unwrap_or(&Value::Null))?)
    })?;
    method(m, "eth_getBlockTransactionCountByHash", move |c, p| count(c.block_by_hash(&at(p, 0, "hash")?)?))?;
    method(m, "eth_getBlockReceipts", |c, p| {
        let Some(block) = c.block(p.first().unwrap_or(&Value::Null))? else { return Ok(Value::Null) };
        Ok((0..block.transactions.len()).filter_map(|i| shapes::receipt(&block, i)).collect())
    })?;
    let uncles = |block: Option<Arc<EthBlock>>| Ok(block.map_or(Value::Null, |_| quantity(0)));
    method(m, "eth_getUncleCountByBlockNumber", move |c, p| {
        uncles(c.block(p.first().unwrap_or(&Value::Null))?)
    })?;
    method(m, "eth_getUncleCountByBlockHash", move |c, p| uncles(c.block_by_hash(&at(p, 0, "hash")?)?))?;
    // There are none.
    method(m, "eth_getUncleByBlockNumberAndIndex", |_, _| Ok(Value::Null))?;
    method(m, "eth_getUncleByBlockHashAndIndex", |_, _| Ok(Value::Null))?;
    method(m, "eth_getLogs", |c, p| Ok(json!(logs::query(&c.reader, &at::<Filter>(p, 0, "filter")?)?)))
}
