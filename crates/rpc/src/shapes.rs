//! Blocks, transactions and receipts as JSON.
//!
//! A firing has the fields of a legacy transaction with type 0x74 and a zero signature, so that tools which switch on
//! the type and fall back to the common fields read it.

use alloy_consensus::Transaction;
use alloy_primitives::{B256, U64, U128};
use alloy_rpc_types_eth::{Header, Log};
use serde_json::{Value, json};
use triad_chain::{EthBlock, LogBlock};
use triad_evm::{Receipt, TriadTx};

/// A block's header, as `newHeads` gives it.
pub fn header(block: &EthBlock) -> Value {
    let mut out = serde_json::to_value(Header::new(block.header.clone())).unwrap_or_default();
    out["hash"] = json!(block.hash);
    out
}

pub fn block(block: &EthBlock, full: bool) -> Value {
    let mut out = header(block);
    // As in Ethereum: of the whole block's RLP, [header, transactions, uncles, withdrawals].
    let bytes = |tx: &TriadTx| {
        let length = tx.encoded_2718().len();
        if tx.tx_type() == 0 { length } else { length + alloy_rlp::length_of_length(length) }
    };
    let list = |payload: usize| payload + alloy_rlp::length_of_length(payload);
    let transactions: usize = block.transactions.iter().map(bytes).sum();
    let size = list(alloy_rlp::Encodable::length(&block.header) + list(transactions) + 2);
    out["size"] = json!(U64::from(size as u64));
    out["totalDifficulty"] = json!("0x0");
    out["uncles"] = json!([]);
    out["withdrawals"] = json!([]);
    out["transactions"] = block
        .transactions
        .iter()
        .enumerate()
        .map(|(i, tx)| if full { transaction(tx, Some((block, i))) } else { json!(tx.hash()) })
        .collect();
    out
}

pub fn transaction(tx: &TriadTx, place: Option<(&EthBlock, usize)>) -> Value {
    let mut out = match tx {
        TriadTx::Ethereum(tx) => serde_json::to_value(tx.inner()).unwrap_or_default(),
        TriadTx::Firing(firing) => json!({
            "type": "0x74",
            "nonce": U64::from(firing.ordinal),
            "gas": U64::from(firing.gas),
            "to": firing.to,
            "value": "0x0",
            "input": firing.input,
            "registration": U64::from(firing.registration),
            "height": U64::from(firing.height),
            "v": "0x0", "r": "0x0", "s": "0x0", "yParity": "0x0",
            "accessList": [],
        }),
    };
    out["hash"] = json!(tx.hash());
    out["from"] = json!(tx.from());
    let base_fee = place.and_then(|(block, _)| block.header.base_fee_per_gas);
    let price = match (tx, base_fee) {
        (TriadTx::Ethereum(tx), base_fee) => tx.effective_gas_price(base_fee),
        (TriadTx::Firing(_), base_fee) => u128::from(base_fee.unwrap_or(0)),
    };
    out["gasPrice"] = json!(U128::from(price));
    match place {
        Some((block, index)) => {
            out["blockHash"] = json!(block.hash);
            out["blockNumber"] = json!(U64::from(block.header.number));
            out["blockTimestamp"] = json!(U64::from(block.header.timestamp));
            out["transactionIndex"] = json!(U64::from(index as u64));
        }
        None => {
            out["blockHash"] = Value::Null;
            out["blockNumber"] = Value::Null;
            out["blockTimestamp"] = Value::Null;
            out["transactionIndex"] = Value::Null;
        }
    }
    out
}

pub fn receipt(block: &EthBlock, index: usize) -> Option<Value> {
    let (tx, receipt) = (block.transactions.get(index)?, block.receipts.get(index)?);
    let logs = logs_of(block, index, receipt);
    Some(json!({
        "type": U64::from(receipt.tx_type),
        "status": U64::from(u64::from(receipt.success)),
        "transactionHash": tx.hash(),
        "transactionIndex": U64::from(index as u64),
        "blockHash": block.hash,
        "blockNumber": U64::from(block.header.number),
        "from": tx.from(),
        "to": tx.to(),
        "contractAddress": receipt.contract_address,
        "cumulativeGasUsed": U64::from(receipt.cumulative_gas_used),
        "gasUsed": U64::from(receipt.gas_used),
        "effectiveGasPrice": U128::from(receipt.effective_gas_price),
        "logs": logs,
        "logsBloom": receipt.bloom,
    }))
}

/// The logs of a block before one of its transactions.
fn first_log(block: &EthBlock, index: usize) -> u64 {
    block.receipts[..index].iter().map(|r| r.logs.len() as u64).sum()
}

/// A log of the transaction `hash`, which is the block's at `index`; the log itself is the block's at `position`.
pub fn log(block: &LogBlock, hash: B256, index: usize, position: u64, inner: &triad_evm::Log) -> Log {
    Log {
        inner: inner.clone(),
        block_hash: Some(block.hash),
        block_number: Some(block.number),
        block_timestamp: Some(block.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index as u64),
        log_index: Some(position),
        removed: false,
    }
}

pub fn logs_of(block: &EthBlock, index: usize, receipt: &Receipt) -> Vec<Log> {
    let (hash, first) = (block.transactions[index].hash(), first_log(block, index));
    let place = |(i, inner): (usize, &triad_evm::Log)| Log {
        inner: inner.clone(),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: Some(hash),
        transaction_index: Some(index as u64),
        log_index: Some(first + i as u64),
        removed: false,
    };
    receipt.logs.iter().enumerate().map(place).collect()
}

pub fn hex_u128(value: u128) -> Value {
    json!(U128::from(value))
}
