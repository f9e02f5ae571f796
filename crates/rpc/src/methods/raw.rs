//! Blocks, transactions and receipts as their encodings: what the roots of a header commit to.
//!
//! A firing is in them as its own EIP-2718 encoding.

use alloy_primitives::{B256, Bytes, hex::encode_prefixed};
use alloy_rlp::{Encodable, Header};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use std::sync::Arc;
use triad_chain::EthBlock;
use triad_evm::TriadTx;

use super::{Context, at, method};
use crate::errors::{Answer, refused};

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "debug_getRawHeader", |c, p| Ok(hex(&alloy_rlp::encode(&block(c, p)?.header))))?;
    method(m, "debug_getRawBlock", |c, p| Ok(hex(&raw_block(&*block(c, p)?))))?;
    method(m, "debug_getRawTransaction", |c, p| {
        let hash: B256 = at(p, 0, "hash")?;
        let raw = match c.placed(&hash)? {
            Some((block, index)) => block.transactions[index].encoded_2718(),
            None => {
                let waiting = c.reader.pending_transaction(&hash);
                waiting.map(|tx| TriadTx::Ethereum((*tx).clone()).encoded_2718()).unwrap_or_default()
            }
        };
        Ok(hex(&raw))
    })?;
    method(m, "debug_getRawReceipts", |c, p| {
        let encoded = |receipt: &triad_evm::Receipt| {
            let mut out = Vec::new();
            receipt.encode_2718(&mut out);
            hex(&out)
        };
        Ok(block(c, p)?.receipts.iter().map(encoded).collect())
    })
}

/// By number or tag, or by hash.
fn block(c: &Context, p: &[Value]) -> Answer<Arc<EthBlock>> {
    let wanted = p.first().unwrap_or(&Value::Null);
    let found = match wanted.as_str().filter(|text| text.len() == 66) {
        Some(_) => c.block_by_hash(&at(p, 0, "block")?)?,
        None => c.block(wanted)?,
    };
    found.ok_or_else(|| refused("block not found"))
}

/// RLP([header, transactions, uncles, withdrawals]); a transaction with a type is a string in it.
fn raw_block(block: &EthBlock) -> Vec<u8> {
    let mut transactions = Vec::new();
    for tx in &block.transactions {
        let raw = tx.encoded_2718();
        if tx.tx_type() == 0 {
            transactions.extend(raw);
        } else {
            Bytes::from(raw).encode(&mut transactions);
        }
    }
    let list = |payload: &[u8]| {
        let mut out = Vec::with_capacity(payload.len() + 9);
        Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend_from_slice(payload);
        out
    };
    let mut body = alloy_rlp::encode(&block.header);
    body.extend(list(&transactions));
    body.extend(list(&[]));
    body.extend(list(&[]));
    list(&body)
}

fn hex(bytes: &[u8]) -> Value {
    json!(encode_prefixed(bytes))
}
