//! What callers send.

use alloy_primitives::B256;
use serde_json::Value;
use triad_chain::Reader;

use crate::errors::{Answer, chain, invalid};

/// A block by tag, number or hash (EIP-1898).
pub fn height(reader: &Reader, block: &Value) -> Answer<Option<u64>> {
    let tip = reader.height();
    match block {
        Value::Null => Ok(Some(tip)),
        Value::String(text) => match text.as_str() {
            "latest" | "pending" | "safe" | "finalized" => Ok(Some(tip)),
            "earliest" => Ok(Some(0)),
            hash if hash.len() == 66 => {
                let hash: B256 = hash.parse().map_err(|_| invalid(format!("`{hash}` is no block hash")))?;
                reader.eth_height(&hash).map_err(chain)
            }
            number => quantity(number).map(|n| (n <= tip).then_some(n)),
        },
        Value::Object(fields) => match (fields.get("blockNumber"), fields.get("blockHash")) {
            (Some(number), None) => height(reader, number),
            (None, Some(hash)) => {
                let hash: B256 = serde_json::from_value(hash.clone()).map_err(|e| invalid(e.to_string()))?;
                reader.eth_height(&hash).map_err(chain)
            }
            _ => Err(invalid("a block object takes `blockNumber` or `blockHash`")),
        },
        other => Err(invalid(format!("{other} names no block"))),
    }
}

pub fn quantity(text: &str) -> Answer<u64> {
    let digits = text.strip_prefix("0x").ok_or_else(|| invalid(format!("`{text}` is no 0x quantity")))?;
    u64::from_str_radix(digits, 16).map_err(|_| invalid(format!("`{text}` is no quantity of 64 bits")))
}

/// A number, given as such or as a 0x quantity; `what` names it.
pub fn number(value: Option<&Value>, what: &str) -> Answer<u64> {
    match value {
        Some(Value::String(text)) => quantity(text),
        Some(Value::Number(n)) => {
            n.as_u64().ok_or_else(|| invalid(format!("{what}: {n} is no whole number")))
        }
        _ => Err(invalid(format!("{what}: a number or a 0x quantity is expected"))),
    }
}
