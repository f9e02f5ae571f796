//! Sending transactions and finding them again.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, Bytes, keccak256};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use tokio::time::Instant;
use triad_chain::{EthBlock, TxRefusal};
use triad_evm::TriadTx;

use super::{Context, at, method, positional};
use crate::errors::{Answer, coded, refused, transaction};
use crate::{params, shapes};

/// EIP-7966: the transaction was taken but is not final in time; the data is its hash.
const NOT_PROCESSED: i32 = 4;
/// EIP-7966: earlier transactions of the sender are missing; the data is the next nonce.
const NONCE_GAP: i32 = 6;

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "eth_sendRawTransaction", |c, p| {
        let raw: Bytes = at(p, 0, "transaction")?;
        Ok(json!(c.submitter.transaction(&raw).map_err(|e| transaction(&e))?))
    })?;
    m.register_async_method("eth_sendRawTransactionSync", |params, c, _| async move {
        let list = positional(&params)?;
        send_and_wait(c, at(&list, 0, "transaction")?, list.get(1)).await
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
    let pick = |block: Option<Arc<EthBlock>>, p: &[Value]| -> Answer<Value> {
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

/// EIP-7966: sends a transaction and answers with its receipt once it is final.
async fn send_and_wait(c: Arc<Context>, raw: Bytes, timeout: Option<&Value>) -> Answer<Value> {
    let longest = c.config.sync_timeout;
    let timeout = match timeout {
        None | Some(Value::Null) => longest,
        given => Duration::from_millis(params::number(given, "parameter 2, timeout in ms")?).min(longest),
    };
    let hash = keccak256(&raw);
    let deadline = Instant::now() + timeout;
    let (mut news, mut wait) = c.feed.wait(hash);
    let sent = {
        let c = c.clone();
        // It looks the sender up, perhaps on disk.
        tokio::task::spawn_blocking(move || c.submitter.ready_transaction(&raw)).await
    };
    match sent.map_err(|_| refused("the node is going down"))? {
        Ok(_) | Err(TxRefusal::Known) => {}
        Err(refusal @ TxRefusal::NonceGap { next, .. }) => {
            return Err(coded(NONCE_GAP, refusal.to_string(), format!("{next:#x}")));
        }
        Err(refusal) => {
            // Sent again after it became final.
            let receipt = c.receipt(&hash)?;
            return if receipt.is_null() { Err(transaction(&refusal)) } else { Ok(receipt) };
        }
    }
    loop {
        let receipt = c.receipt(&hash)?;
        if !receipt.is_null() {
            return Ok(receipt);
        }
        if tokio::time::timeout_at(deadline, news).await.is_err() {
            let ms = timeout.as_millis();
            let why = match c.reader.pending_transaction(&hash) {
                Some(_) => format!("the transaction was added to the pool but is not final after {ms} ms"),
                None => {
                    format!("the transaction was added to the pool, then replaced or dropped within {ms} ms")
                }
            };
            return Err(coded(NOT_PROCESSED, why, hash));
        }
        drop(wait);
        (news, wait) = c.feed.wait(hash);
    }
}
