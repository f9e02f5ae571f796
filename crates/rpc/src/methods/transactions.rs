//! Sending transactions and finding them again.

use std::time::Instant;

use alloy_primitives::{B256, Bytes};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_chain::EthBlock;
use triad_evm::TriadTx;

use super::{Context, at, method, positional};
use crate::errors::{Answer, refused, transaction};
use crate::{params, shapes};

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "eth_sendRawTransaction", |c, p| {
        let raw: Bytes = at(p, 0, "transaction")?;
        Ok(json!(c.submitter.transaction(&raw).map_err(|e| transaction(&e))?))
    })?;
    m.register_async_method("eth_sendRawTransactionSync", |params, c, _| async move {
        let raw: Bytes = at(&positional(&params)?, 0, "transaction")?;
        let hash = c.submitter.transaction(&raw).map_err(|e| transaction(&e))?;
        let started = Instant::now();
        while started.elapsed() < c.config.sync_timeout {
            let receipt = c.receipt(&hash)?;
            if !receipt.is_null() {
                return Ok(receipt);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Err(refused(format!("transaction {hash} was taken but is not final yet")))
    })?;
    method(m, "eth_getTransactionByHash", |c, p| {
        let hash: B256 = at(p, 0, "hash")?;
        if let Some((block, index)) = c.placed(&hash)? {
            return Ok(shapes::transaction(&block.transactions[index], Some((&block, index))));
        }
        let pending = c.reader.pending_transaction(&hash);
        Ok(pending.map_or(Value::Null, |tx| shapes::transaction(&TriadTx::Ethereum((*tx).clone()), None)))
    })?;
    method(m, "eth_getTransactionReceipt", |c, p| c.receipt(&at(p, 0, "hash")?))?;
    let pick = |block: Option<EthBlock>, p: &[Value]| -> Answer<Value> {
        let index = params::quantity(&at::<String>(p, 1, "index")?)? as usize;
        let found = block.filter(|b| index < b.transactions.len());
        Ok(found.map_or(Value::Null, |b| shapes::transaction(&b.transactions[index], Some((&b, index)))))
    };
    method(m, "eth_getTransactionByBlockNumberAndIndex", move |c, p| {
        pick(c.block(p.first().unwrap_or(&Value::Null))?, p)
    })?;
    method(m, "eth_getTransactionByBlockHashAndIndex", move |c, p| {
        pick(c.block_by_hash(&at(p, 0, "hash")?)?, p)
    })
}
