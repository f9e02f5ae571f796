//! Triad's own namespace.

use alloy_primitives::{B256, Bytes};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};

use super::{Context, method, quantity};
use crate::errors::{chain, invalid, refused};
use crate::params;

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "triad_getReceipt", |c, p| {
        let leaf = match p.first() {
            Some(Value::String(text)) => params::quantity(text)?,
            Some(Value::Number(n)) => n.as_u64().ok_or_else(|| invalid("parameter 1, leaf"))?,
            _ => return Err(invalid("parameter 1, leaf: a number or 0x quantity")),
        };
        let receipt = c.reader.receipt(leaf).map_err(|e| refused(e.to_string()))?;
        Ok(json!(Bytes::from(receipt.encode())))
    })?;
    method(m, "triad_getCheckpoint", |c, _| {
        let Some((checkpoint, certificate)) = c.reader.certified_checkpoint().map_err(chain)? else {
            return Ok(Value::Null);
        };
        Ok(json!({
            "height": quantity(checkpoint.height.0),
            "checkpoint": Bytes::from(checkpoint.encode()),
            "digest": B256::from(checkpoint.digest()),
            "certificate": Bytes::from(certificate),
        }))
    })
}
