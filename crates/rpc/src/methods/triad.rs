//! Triad's own namespace.

use alloy_primitives::{B256, Bytes};
use jsonrpsee::RpcModule;
use jsonrpsee::core::RegisterMethodError;
use serde_json::{Value, json};
use triad_statement::{StreamId, stream_id};

use super::{Context, at, method, quantity};
use crate::errors::{chain, refused};
use crate::{params, readings};

pub fn register(m: &mut RpcModule<Context>) -> Result<(), RegisterMethodError> {
    method(m, "triad_getReceipt", |c, p| {
        let leaf = params::number(p.first(), "parameter 1, leaf")?;
        let receipt = c.reader.receipt(leaf).map_err(|e| refused(e.to_string()))?;
        Ok(json!(Bytes::from(receipt.encode())))
    })?;
    method(m, "triad_getCheckpoint", |c, p| {
        let found = match p.first() {
            None | Some(Value::Null) => c
                .reader
                .certified_checkpoint()
                .map_err(chain)?
                .map(|(checkpoint, own)| (checkpoint, Some(own))),
            given => {
                let height = params::number(given, "parameter 1, height")?;
                let known = height <= c.reader.height();
                if known { c.reader.checkpoint(height).map_err(chain)? } else { None }
            }
        };
        Ok(found.map_or(Value::Null, |(checkpoint, certificate)| {
            json!({
                "height": quantity(checkpoint.height.0),
                "checkpoint": Bytes::from(checkpoint.encode()),
                "digest": B256::from(checkpoint.digest()),
                "certificate": certificate.map(Bytes::from),
            })
        }))
    })?;
    method(m, "triad_getLatestReading", |c, p| {
        let id: StreamId = match p.get(1) {
            None | Some(Value::Null) => at(p, 0, "stream")?,
            Some(_) => stream_id(at(p, 0, "device")?, &at::<String>(p, 1, "name")?),
        };
        let found = c.reader.stream(&id).map_err(chain)?;
        Ok(found.map_or(Value::Null, |(stream, latest)| readings::latest(&id, &stream, &latest)))
    })
}
