//! What waits for a block. Numbers of nonces are decimal here, as geth has them.

use std::sync::Arc;

use alloy_consensus::Transaction;
use alloy_primitives::Address;
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Map, Value, json};
use triad_chain::Waiting;
use triad_evm::{RecoveredTx, TriadTx};

use super::{Context, at, method, quantity};
use crate::shapes;

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "txpool_status", |c, _| {
        let (pending, queued) = c.reader.waiting_transactions();
        Ok(json!({"pending": quantity(pending as u64), "queued": quantity(queued as u64)}))
    })?;
    method(m, "txpool_content", |c, _| Ok(all(c.reader.pool(None), object)))?;
    method(m, "txpool_contentFrom", |c, p| {
        let sender: Address = at(p, 0, "address")?;
        let waiting = c.reader.pool(Some(&sender)).pop().map(|(_, w)| w).unwrap_or_default();
        Ok(
            json!({"pending": by_nonce(&waiting.pending, object), "queued": by_nonce(&waiting.queued, object)}),
        )
    })?;
    method(m, "txpool_inspect", |c, _| Ok(all(c.reader.pool(None), summary)))
}

fn all(pool: Vec<(Address, Waiting)>, show: fn(&RecoveredTx) -> Value) -> Value {
    let (mut pending, mut queued) = (Map::new(), Map::new());
    for (sender, waiting) in pool {
        for (part, list) in [(&mut pending, &waiting.pending), (&mut queued, &waiting.queued)] {
            if !list.is_empty() {
                part.insert(sender.to_checksum(None), by_nonce(list, show));
            }
        }
    }
    json!({"pending": pending, "queued": queued})
}

fn by_nonce(list: &[Arc<RecoveredTx>], show: fn(&RecoveredTx) -> Value) -> Value {
    list.iter().map(|tx| (tx.nonce().to_string(), show(tx))).collect::<Map<_, _>>().into()
}

fn object(tx: &RecoveredTx) -> Value {
    shapes::transaction(&TriadTx::Ethereum(tx.clone()), None)
}

fn summary(tx: &RecoveredTx) -> Value {
    let to = tx.to().map_or("contract creation".to_owned(), |to| to.to_checksum(None));
    let (value, gas, price) = (tx.value(), tx.gas_limit(), tx.max_fee_per_gas());
    json!(format!("{to}: {value} wei + {gas} gas × {price} wei"))
}
