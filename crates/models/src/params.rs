//! Parameters as CBOR maps with text keys.
//!
//! Read leniently where two people would mean the same (an integer where a number is wanted, any float width, any key
//! order), written in one way only: RFC 8949 section 4.2.1 (shortest lengths, keys sorted by their encoding), and a
//! number that is a whole number below 2^53 as an integer, any other as the shortest float that holds it. So a model
//! has one content hash however its owner's CBOR library writes.

use std::collections::BTreeMap;

use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::error::SpecError;

/// No honest parameter set comes near it.
const MAX_PARAMS_BYTES: usize = 1024;

/// 2^53: below it every integer is exactly an `f64`.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Param {
    Integer(u64),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// Parameters taken one by one; what is left over at the end is refused.
#[derive(Debug)]
pub(crate) struct Params(BTreeMap<String, Param>);

impl Params {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SpecError> {
        if bytes.len() > MAX_PARAMS_BYTES {
            return Err(SpecError::TooLarge { found: bytes.len(), limit: MAX_PARAMS_BYTES });
        }
        if bytes.is_empty() {
            return Ok(Self(BTreeMap::new()));
        }
        let mut decoder = Decoder::new(bytes);
        let not_a_map = |error: minicbor::decode::Error| SpecError::NotAMap(error.to_string());
        let length = decoder
            .map()
            .map_err(not_a_map)?
            .ok_or_else(|| SpecError::NotAMap("indefinite length is not accepted".into()))?;
        let mut entries = BTreeMap::new();
        for _ in 0..length {
            let key = decoder.str().map_err(not_a_map)?.to_owned();
            let value = param(&mut decoder, &key)?;
            if entries.insert(key.clone(), value).is_some() {
                return Err(SpecError::DuplicateKey(key));
            }
        }
        if decoder.position() != bytes.len() {
            return Err(SpecError::NotAMap("bytes follow the map".into()));
        }
        Ok(Self(entries))
    }

    pub(crate) fn number(&mut self, key: &'static str) -> Result<Option<f64>, SpecError> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Param::Number(value)) => Ok(Some(value)),
            Some(Param::Integer(value)) if value as f64 <= EXACT => Ok(Some(value as f64)),
            Some(_) => Err(SpecError::Bad { key, problem: "a finite number is expected".into() }),
        }
    }

    /// A whole number of milliseconds, between `low` and `high`.
    pub(crate) fn milliseconds(
        &mut self,
        key: &'static str,
        low: u64,
        high: u64,
    ) -> Result<Option<u64>, SpecError> {
        self.whole(key, low, high, " of milliseconds")
    }

    /// A whole number between `low` and `high`; `of` says in errors what it counts.
    pub(crate) fn whole(
        &mut self,
        key: &'static str,
        low: u64,
        high: u64,
        of: &str,
    ) -> Result<Option<u64>, SpecError> {
        let value = match self.0.remove(key) {
            None => return Ok(None),
            Some(Param::Integer(value)) => Some(value),
            Some(Param::Number(value)) if (0.0..EXACT).contains(&value) && libm::trunc(value) == value => {
                Some(value as u64)
            }
            Some(_) => None,
        };
        match value {
            Some(value) if (low..=high).contains(&value) => Ok(Some(value)),
            _ => Err(SpecError::Bad {
                key,
                problem: format!("a whole number{of} from {low} to {high} is expected"),
            }),
        }
    }

    pub(crate) fn text(&mut self, key: &'static str) -> Result<Option<String>, SpecError> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(Param::Text(value)) => Ok(Some(value)),
            Some(_) => Err(SpecError::Bad { key, problem: "a text is expected".into() }),
        }
    }

    /// Exactly `N` bytes.
    pub(crate) fn bytes<const N: usize>(&mut self, key: &'static str) -> Result<Option<[u8; N]>, SpecError> {
        let bad = || SpecError::Bad { key, problem: format!("{N} bytes are expected") };
        match self.0.remove(key) {
            None => Ok(None),
            Some(Param::Bytes(value)) => value.try_into().map(Some).map_err(|_| bad()),
            Some(_) => Err(bad()),
        }
    }

    pub(crate) fn end(self) -> Result<(), SpecError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(SpecError::UnknownKey(key)),
        }
    }
}

fn param(decoder: &mut Decoder<'_>, key: &str) -> Result<Param, SpecError> {
    let bad = |problem: String| SpecError::NotAMap(format!("value of {key:?}: {problem}"));
    let wrong = |error: minicbor::decode::Error| bad(error.to_string());
    let value = match decoder.datatype().map_err(wrong)? {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => {
            return Ok(Param::Integer(decoder.u64().map_err(wrong)?));
        }
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => decoder.i64().map_err(wrong)? as f64,
        Type::F16 => half(decoder).ok_or_else(|| bad("ends early".into()))?,
        Type::F32 => f64::from(decoder.f32().map_err(wrong)?),
        Type::F64 => decoder.f64().map_err(wrong)?,
        Type::String => return Ok(Param::Text(decoder.str().map_err(wrong)?.to_owned())),
        Type::Bytes => return Ok(Param::Bytes(decoder.bytes().map_err(wrong)?.to_vec())),
        other => return Err(bad(format!("a number, a text or bytes are expected, found {other}"))),
    };
    if value.is_finite() {
        // Adding zero turns -0 into 0.
        Ok(Param::Number(value + 0.0))
    } else {
        Err(bad("not finite".into()))
    }
}

fn half(decoder: &mut Decoder<'_>) -> Option<f64> {
    let at = decoder.position();
    let (&high, &low) = (decoder.input().get(at + 1)?, decoder.input().get(at + 2)?);
    decoder.set_position(at + 3);
    Some(half_to_f64(u16::from_be_bytes([high, low])))
}

fn half_to_f64(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => libm::ldexp(fraction, -24),
        31 => f64::INFINITY,
        _ => libm::ldexp(fraction + 1024.0, exponent - 25),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// The half-precision bits of `value`, if it has an exact normal form there.
fn f64_to_half(value: f64) -> Option<u16> {
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    let fraction = bits & ((1 << 52) - 1);
    let sign = (bits >> 63) as u16;
    let half = if (-14..=15).contains(&exponent) && fraction & ((1 << 42) - 1) == 0 {
        sign << 15 | ((exponent + 15) as u16) << 10 | (fraction >> 42) as u16
    } else if (-24..-14).contains(&exponent) {
        let whole = libm::ldexp(value, 24);
        if libm::trunc(whole) != whole {
            return None;
        }
        sign << 15 | libm::fabs(whole) as u16
    } else {
        return None;
    };
    (half_to_f64(half) == value).then_some(half)
}

/// Writes the canonical form of `entries`; `None` values are left out.
pub(crate) fn encode(entries: &[(&str, Option<Param>)]) -> Vec<u8> {
    let mut present: Vec<(Vec<u8>, &Param)> =
        entries.iter().filter_map(|(key, value)| value.as_ref().map(|value| (text(key), value))).collect();
    present.sort();
    let mut out = head(5, present.len() as u64);
    for (key, value) in present {
        out.extend(key);
        out.extend(match value {
            Param::Integer(value) => head(0, *value),
            Param::Number(value) => number(*value),
            Param::Text(value) => text(value),
            Param::Bytes(value) => string(2, value),
        });
    }
    out
}

impl Eq for Param {}
impl PartialOrd for Param {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Param {
    /// Keys are unique, so values never decide an order.
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

fn head(major: u8, value: u64) -> Vec<u8> {
    let major = major << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..=23 => vec![major | value as u8],
        24..=0xff => vec![major | 24, value as u8],
        0x100..=0xffff => [&[major | 25], &bytes[6..]].concat(),
        0x1_0000..=0xffff_ffff => [&[major | 26], &bytes[4..]].concat(),
        _ => [&[major | 27], &bytes[..]].concat(),
    }
}

fn text(value: &str) -> Vec<u8> {
    string(3, value.as_bytes())
}

fn string(major: u8, value: &[u8]) -> Vec<u8> {
    let mut out = head(major, value.len() as u64);
    out.extend_from_slice(value);
    out
}

fn number(value: f64) -> Vec<u8> {
    if libm::trunc(value) == value && libm::fabs(value) < EXACT {
        return if value < 0.0 { head(1, (-value) as u64 - 1) } else { head(0, value as u64) };
    }
    if let Some(half) = f64_to_half(value) {
        return [&[0xf9], &half.to_be_bytes()[..]].concat();
    }
    let single = value as f32;
    if f64::from(single) == value {
        return [&[0xfa], &single.to_be_bytes()[..]].concat();
    }
    [&[0xfb], &value.to_be_bytes()[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: f64) -> String {
        hex::encode(number(value))
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        assert_eq!(written(0.0), "00");
        assert_eq!(written(68.0), "1844");
        assert_eq!(written(-1.0), "20");
        assert_eq!(written(-500.0), "3901f3");
        assert_eq!(written(1.5), "f93e00");
        assert_eq!(written(-4.1), "fbc010666666666666");
        assert_eq!(written(0.000_060_975_551_605_224_61), "f903ff");
        assert_eq!(written(3.402_823_466_385_288_6e38), "fa7f7fffff");
        assert_eq!(written(0.100_000_001_490_116_12), "fa3dcccccd");
    }

    #[test]
    fn every_half_reads_back() {
        for bits in 0..=0xffffu16 {
            let value = half_to_f64(bits);
            if value.is_finite() && value != 0.0 {
                assert_eq!(f64_to_half(value), Some(bits), "{value}");
            }
        }
        assert_eq!(f64_to_half(1.0e-9), None);
        assert_eq!(f64_to_half(0.1), None);
    }

    #[test]
    fn duplicate_and_trailing_bytes_are_refused() {
        assert!(matches!(
            Params::decode(&[0xa2, 0x61, b'a', 1, 0x61, b'a', 2]),
            Err(SpecError::DuplicateKey(_))
        ));
        assert!(matches!(Params::decode(&[0xa0, 0]), Err(SpecError::NotAMap(_))));
        assert!(matches!(Params::decode(&[0x80]), Err(SpecError::NotAMap(_))));
        assert!(matches!(Params::decode(&[0xa1, 0x61, b'a', 0xf9, 0x7c]), Err(SpecError::NotAMap(_))));
        assert!(matches!(Params::decode(&[0xa1, 0x61, b'a', 0xf9, 0x7c, 0]), Err(SpecError::NotAMap(_))));
        assert!(matches!(Params::decode(&[0xbf, 0xff]), Err(SpecError::NotAMap(_))));
        assert!(matches!(Params::decode(&vec![0; 2000]), Err(SpecError::TooLarge { .. })));
    }
}
