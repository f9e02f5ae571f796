//! What callers send.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use serde_json::Value;
use triad_chain::Reader;
use triad_evm::CallRequest;

use crate::errors::{Answer, chain, invalid, refused};

/// A call or transaction object. Fields that do not matter here (chain id, type, access list) are read and ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Call {
    from: Option<Address>,
    to: Option<Address>,
    gas: Option<U256>,
    gas_price: Option<U256>,
    max_fee_per_gas: Option<U256>,
    value: Option<U256>,
    data: Option<Bytes>,
    input: Option<Bytes>,
}

impl Call {
    pub fn request(self) -> Answer<CallRequest> {
        let input = match (self.input, self.data) {
            (Some(input), Some(data)) if input != data => {
                return Err(invalid("`input` and `data` are both given and differ"));
            }
            (Some(input), _) => input,
            (None, data) => data.unwrap_or_default(),
        };
        let price = self.gas_price.or(self.max_fee_per_gas).map(|p| p.saturating_to());
        Ok(CallRequest {
            from: self.from.unwrap_or_default(),
            to: self.to,
            input,
            value: self.value.unwrap_or_default(),
            gas: self.gas.map(|g| g.saturating_to()),
            gas_price: price.filter(|price| *price > 0),
            access_list: Default::default(),
        })
    }
}

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

/// State is kept for the last block only.
pub fn head(reader: &Reader, block: &Value) -> Answer<()> {
    let tip = reader.height();
    match height(reader, block)? {
        Some(height) if height == tip => Ok(()),
        Some(height) => {
            Err(refused(format!("the state of block {height} is not kept, only that of the latest ({tip})")))
        }
        None => Err(refused("block not found")),
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
