//! RFC 8785 (JCS) for JSON of integers and strings: one byte string for one value, so that a file can be named by its
//! hash whatever its white space and the order of its members.
//!
//! Floats, `true`, `false`, `null`, integers beyond ±(2^53 − 1) and a member named twice are refused: they are what
//! makes two JSON programs read one file differently.

use std::collections::HashSet;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// JSON without a canonical form here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or a member twice.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// Neither an integer in ±(2^53 − 1), nor text, nor made of them.
    #[error("{0} stands where only integers up to 2^53 - 1 and text may stand; write large numbers as text")]
    Value(String),
}

/// The canonical form of a JSON text.
pub fn canonical_json(text: &str) -> Result<String, JsonError> {
    let mut out = String::with_capacity(text.len());
    write(&parse(text)?, &mut out)?;
    Ok(out)
}

/// Parses JSON and refuses a member named twice.
pub(crate) fn parse(text: &str) -> Result<Value, JsonError> {
    let syntax = |error: serde_json::Error| JsonError::Syntax(error.to_string());
    serde_json::from_str::<UniqueMembers>(text).map_err(syntax)?;
    serde_json::from_str(text).map_err(syntax)
}

fn write(value: &Value, out: &mut String) -> Result<(), JsonError> {
    const LARGEST: u64 = (1 << 53) - 1;
    let refused = || JsonError::Value(value.to_string());
    match value {
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Number(number) => {
            let integer = number.as_i64().ok_or_else(refused)?;
            let digits = integer.to_string();
            if integer.unsigned_abs() > LARGEST || digits != number.to_string() {
                return Err(refused());
            }
            out.push_str(&digits);
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&quoted(name));
                out.push(':');
                write(&members[name], out)?;
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) => return Err(refused()),
    }
    Ok(())
}

/// `serde_json` escapes exactly what RFC 8785 section 3.2.2.2 asks for.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Any JSON in which no object names a member twice.
struct UniqueMembers;

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Check)
    }
}

struct Check;

impl<'de> Visitor<'de> for Check {
    type Value = UniqueMembers;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMembers, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<UniqueMembers>()?;
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format!("the member {name:?} is there twice")));
            }
        }
        Ok(UniqueMembers)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<UniqueMembers, A::Error> {
        while items.next_element::<UniqueMembers>()?.is_some() {}
        Ok(UniqueMembers)
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_i64<E>(self, _: i64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_u64<E>(self, _: u64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_f64<E>(self, _: f64) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_str<E>(self, _: &str) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }

    fn visit_unit<E>(self) -> Result<UniqueMembers, E> {
        Ok(UniqueMembers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_space_and_escapes_do_not_count() {
        let expected = "{\"\\r\":1,\"1\":2,\"a\":[-9007199254740991,\"\\u000f\u{7f}/ö\"],\"\u{20ac}\":3,\"\u{1f600}\":4,\"\u{fb33}\":5}";
        let text = "{ \"a\" : [ -9007199254740991 , \"\\u000F\\u007f\\/\\u00f6\" ],\n\"\u{fb33}\":5, \"\u{1f600}\":4,\
                    \"\\u20ac\":3, \"1\":2, \"\\r\":1 }";
        assert_eq!(canonical_json(text).as_deref(), Ok(expected));
        assert_eq!(canonical_json(expected).as_deref(), Ok(expected));
    }

    #[test]
    fn what_programs_read_differently_is_refused() {
        for text in [
            "{\"a\":1,\"a\":1}",
            "{\"b\":{\"a\":1,\"\\u0061\":2}}",
            "1.0",
            "1e2",
            "-0",
            "9007199254740992",
            "18446744073709551616",
            "null",
            "[true]",
            "\"\\ud800\"",
            "{} {}",
            "",
        ] {
            assert!(canonical_json(text).is_err(), "{text}");
        }
    }
}
