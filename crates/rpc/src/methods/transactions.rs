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
/// A transaction that waits no longer, and has no receipt after this time either, is in no block.
const COMMIT_TIME: Duration = Duration::from_millis(250);

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    // Not on a blocking thread, as other methods are: getting there and back costs as much as recovering the sender. A
    // batch gives way to others after each transaction.
    m.register_async_method("eth_sendRawTransaction", |params, c, _| async move {
        let [raw]: [Bytes; 1] = match params.parse() {
            Ok(raw) => raw,
            // Whatever is wrong, or too much, is told as with all methods.
            Err(_) => [at(&positional(&params)?, 0, "transaction")?],
        };
        let sent = c.submitter.transaction(&raw).map_err(|e| transaction(&e))?;
        tokio::task::yield_now().await;
        Answer::Ok(json!(sent))
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
    let (mut wait, mut news) = c.feed.wait(hash);
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
    let mut missed = false;
    loop {
        let receipt = c.receipt(&hash)?;
        if !receipt.is_null() {
            return Ok(receipt);
        }
        let late = Instant::now() >= deadline;
        let waits = c.reader.pending_transaction(&hash).is_some();
        // One that leaves with a block has no receipt until the commit is done, and then there is news of it again.
        if late || (missed && !waits) {
            let why = match waits {
                true => {
                    let ms = timeout.as_millis();
                    format!("the transaction was added to the pool but is not final after {ms} ms")
                }
                false => "the transaction was added to the pool, then replaced or dropped".to_owned(),
            };
            return Err(coded(NOT_PROCESSED, why, hash));
        }
        if waits {
            let _ = tokio::time::timeout_at(deadline, news).await;
            missed = false;
        } else {
            let patience = deadline.min(Instant::now() + COMMIT_TIME);
            missed = tokio::time::timeout_at(patience, news).await.is_err();
        }
        drop(wait);
        (wait, news) = c.feed.wait(hash);
    }
}
