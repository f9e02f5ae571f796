//! What callers send.

use std::time::Duration;

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

/// A span of time as Go writes it, which is how geth's options have it: `300ms`, `5s`, `1m30s`; units h, m, s, ms, us (µs), ns.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        // At least one digit: "." alone is no number, and f64 reads no sign, exponent or word from these characters.
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * unit).ok()?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_are_read_as_go_writes_them() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        assert_eq!((ms("300ms"), ms("5s"), ms("1m30s")), (Some(300), Some(5_000), Some(90_000)));
        assert_eq!(
            (ms("1.5h"), ms("2500us"), ms("1s500ms"), ms("0s")),
            (Some(5_400_000), Some(2), Some(1_500), Some(0))
        );
        for text in
            ["", "5", "s", "-1s", "5 s", ".s", "1e3s", "5d", "1.2.3s", "99999999999999999999h", "infs"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
