//! SenML in CBOR (RFC 8428), resolved as it is read.
//!
//! A pack is a definite array of maps. Base fields (labels −1 to −6) hold from their record on until the next record that
//! has the same field; they are applied here, so a [`Record`] stands alone. The payload is covered by the signature, so
//! any well-formed encoding of it is accepted. Where the RFC leaves a choice:
//!
//! - A record has exactly one of `v`, `vs`, `vb`, `vd`, or else a sum `s`. `bv` adds to `v` only.
//! - `bt` and `t` are each rounded to microseconds (half to even), then added.
//! - `bver` may be 1 to 10 (the RFC's own examples say 5) or 26 (10 with secondary units, RFC 9100 and RFC 8798); all
//!   records have the version of the first.
//! - Unknown text labels are read over, unless they end in `_`; unknown integer labels are refused, since the RFC's
//!   table is final, and so are the names of known fields as text ("v" for 2), which would lose data silently.

mod number;

use crate::{
    DeviceId, Record, RecordTime, StatementError, Value,
    cbor::{Fault, FaultKind, Number, Reader},
    limits::{
        FIRST_ABSOLUTE_SECOND, MAX_EXTENSIONS, MAX_NAME_BYTES, MAX_RECORDS, MAX_TIME_US, MAX_UNIT_BYTES,
    },
    streams::remembered,
};
use bytes::Bytes;
pub(crate) use number::{decimal_digits, microseconds};
use std::{ops::Range, sync::Arc};

pub(crate) mod label {
    pub(crate) const BASE_VERSION: i64 = -1;
    pub(crate) const BASE_NAME: i64 = -2;
    pub(crate) const BASE_TIME: i64 = -3;
    pub(crate) const BASE_UNIT: i64 = -4;
    pub(crate) const BASE_VALUE: i64 = -5;
    pub(crate) const BASE_SUM: i64 = -6;
    pub(crate) const NAME: i64 = 0;
    pub(crate) const UNIT: i64 = 1;
    pub(crate) const VALUE: i64 = 2;
    pub(crate) const STRING: i64 = 3;
    pub(crate) const BOOLEAN: i64 = 4;
    pub(crate) const SUM: i64 = 5;
    pub(crate) const TIME: i64 = 6;
    pub(crate) const UPDATE_TIME: i64 = 7;
    pub(crate) const DATA: i64 = 8;
}

const KNOWN_NAMES: [&str; 15] =
    ["bver", "bn", "bt", "bu", "bv", "bs", "n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"];
const VERSION: u64 = 10;
const VERSION_WITH_SECONDARY_UNITS: u64 = 26;
/// The bits in [`Fields::present`] of `v`, `vs`, `vb` and `vd`.
const VALUE_FIELDS: u16 = {
    let values = [label::VALUE, label::STRING, label::BOOLEAN, label::DATA];
    let (mut bits, mut index) = (0, 0);
    while index < values.len() {
        bits |= 1 << (values[index] - label::BASE_SUM);
        index += 1;
    }
    bits
};
/// How far back a record of the same name is looked for, to share its name and stream id.
const SHARING_DISTANCE: usize = 8;

/// The fields of one record as they stand in it.
#[derive(Default)]
struct Fields<'a> {
    /// Bit `label + 6` for every integer label seen.
    present: u16,
    base_version: u64,
    base_name: Option<&'a str>,
    base_time: Option<Number>,
    base_unit: Option<&'a str>,
    base_value: Option<Number>,
    base_sum: Option<Number>,
    name: &'a str,
    unit: Option<&'a str>,
    value: Option<Plain<'a>>,
    sum: Option<Number>,
    time: Option<Number>,
    update: Option<Number>,
}

enum Plain<'a> {
    Number(Number),
    Text(&'a str),
    Bool(bool),
    Data(&'a [u8]),
}

/// The base fields in force.
struct Base<'a> {
    version: u64,
    name: &'a str,
    /// The record before had no name but this base name.
    bare: bool,
    time: i64,
    unit: Option<Arc<str>>,
    value: f64,
    sum: Option<f64>,
}

/// Parses the pack at `range` of the statement's bytes.
pub(crate) fn parse(
    bytes: &Bytes,
    range: Range<usize>,
    origin: DeviceId,
) -> Result<Vec<Record>, StatementError> {
    let start = range.start;
    let mut reader = Reader::<false>::new(&bytes[range], start);
    let count =
        reader.array("the pack must be an array of definite length").map_err(|fault| senml(0, fault))?;
    if count > MAX_RECORDS {
        return Err(StatementError::TooManyRecords { found: count as u64 });
    }
    if count == 0 {
        return Err(StatementError::BadSenml { record: 0, what: "the pack is empty" });
    }
    let mut base =
        Base { version: VERSION, name: "", bare: false, time: 0, unit: None, value: 0.0, sum: None };
    let mut records: Vec<Record> = Vec::with_capacity(count);
    for record in 0..count {
        let fields = Fields::parse(&mut reader, record)?;
        let resolved = base.resolve(fields, record, &records, bytes, origin)?;
        records.push(resolved);
    }
    reader.end().map_err(|fault| senml(count - 1, fault))?;
    Ok(records)
}

fn senml(record: usize, Fault { kind, what, .. }: Fault) -> StatementError {
    let what = if kind == FaultKind::Malformed { "the payload is not well-formed CBOR" } else { what };
    StatementError::BadSenml { record, what }
}

impl<'a> Fields<'a> {
    fn parse(reader: &mut Reader<'a, false>, record: usize) -> Result<Self, StatementError> {
        let fault = |fault| senml(record, fault);
        let bad = |what| StatementError::BadSenml { record, what };
        let mut left = reader.map("a record must be a map").map_err(fault)?;
        let mut fields = Self::default();
        let mut carried: Vec<&str> = Vec::new();
        while reader.more(&mut left) {
            if reader.peek().is_some_and(|initial| initial >> 5 == 3) {
                let label = reader.text("").map_err(fault)?;
                if label.ends_with('_') {
                    let what = "a field whose label ends in _ must be understood, and this one is not";
                    return Err(StatementError::UnsupportedSenml { record, what });
                }
                if KNOWN_NAMES.contains(&label) {
                    return Err(bad("a known field has its number as label in CBOR, not its name"));
                }
                if carried.contains(&label) {
                    return Err(bad("a field twice"));
                }
                if carried.len() == MAX_EXTENSIONS {
                    return Err(bad("more than 16 fields that are not understood"));
                }
                carried.push(label);
                reader.skip().map_err(fault)?;
                continue;
            }
            let label = reader.integer("a label must be an integer or a text").map_err(fault)?;
            if !(label::BASE_SUM..=label::DATA).contains(&label) {
                return Err(bad("an integer label that SenML does not have"));
            }
            let bit = 1 << (label - label::BASE_SUM);
            if fields.present & bit != 0 {
                return Err(bad("a field twice"));
            }
            fields.present |= bit;
            fields.read(label, reader).map_err(fault)?;
        }
        if (fields.present & VALUE_FIELDS).count_ones() > 1 {
            return Err(bad("more than one of v, vs, vb and vd"));
        }
        Ok(fields)
    }

    #[inline]
    fn has(&self, label: i64) -> bool {
        self.present >> (label - label::BASE_SUM) & 1 == 1
    }

    #[inline]
    fn read(&mut self, label: i64, reader: &mut Reader<'a, false>) -> Result<(), Fault> {
        const NUMBER: &str = "expected a number: an integer, a float, or a decimal fraction of 64 bits";
        match label {
            label::BASE_VERSION => self.base_version = reader.unsigned("bver must be an unsigned integer")?,
            label::BASE_NAME => self.base_name = Some(reader.text("bn must be a text of definite length")?),
            label::BASE_TIME => self.base_time = Some(reader.number(NUMBER)?),
            label::BASE_UNIT => self.base_unit = Some(reader.text("bu must be a text of definite length")?),
            label::BASE_VALUE => self.base_value = Some(reader.number(NUMBER)?),
            label::BASE_SUM => self.base_sum = Some(reader.number(NUMBER)?),
            label::NAME => self.name = reader.text("n must be a text of definite length")?,
            label::UNIT => self.unit = Some(reader.text("u must be a text of definite length")?),
            label::VALUE => self.value = Some(Plain::Number(reader.number(NUMBER)?)),
            label::STRING => {
                self.value = Some(Plain::Text(reader.text("vs must be a text of definite length")?))
            }
            label::BOOLEAN => self.value = Some(Plain::Bool(reader.bool("vb must be true or false")?)),
            label::SUM => self.sum = Some(reader.number(NUMBER)?),
            label::TIME => self.time = Some(reader.number(NUMBER)?),
            label::UPDATE_TIME => self.update = Some(reader.number(NUMBER)?),
            _ => self.value = Some(Plain::Data(reader.bytes("vd must be a byte string of definite length")?)),
        }
        Ok(())
    }
}

impl<'a> Base<'a> {
    /// Takes over the record's base fields, then resolves its own.
    fn resolve(
        &mut self,
        fields: Fields<'a>,
        record: usize,
        before: &[Record],
        bytes: &Bytes,
        origin: DeviceId,
    ) -> Result<Record, StatementError> {
        if fields.has(label::BASE_VERSION) {
            self.set_version(fields.base_version, record)?;
        }
        if let Some(name) = fields.base_name {
            (self.name, self.bare) = (name, false);
        }
        if let Some(unit) = fields.base_unit {
            self.unit = Some(shared_unit(unit, record, before)?);
        }
        let time = |seconds: Option<Number>, field| match seconds {
            None => Ok(0),
            Some(Number::Float(seconds)) if !seconds.is_finite() => {
                Err(StatementError::NotFinite { record, field })
            }
            Some(seconds) => microseconds(seconds).ok_or(StatementError::TimeOutOfRange { record }),
        };
        if fields.base_time.is_some() {
            self.time = time(fields.base_time, "bt")?;
        }
        let finite = |number: f64, field| {
            // Adding zero turns −0 into 0.
            if number.is_finite() {
                Ok(number + 0.0)
            } else {
                Err(StatementError::NotFinite { record, field })
            }
        };
        if let Some(value) = fields.base_value {
            self.value = finite(value.to_f64(), "bv")?;
        }
        if let Some(sum) = fields.base_sum {
            self.sum = Some(finite(sum.to_f64(), "bs")?);
        }

        let (name, stream) = self.named(fields.name, record, before, origin)?;
        self.bare = fields.name.is_empty();
        let unit = match fields.unit {
            Some(unit) => Some(shared_unit(unit, record, before)?),
            None => self.unit.clone(),
        };
        let value = match fields.value {
            Some(Plain::Number(number)) => {
                let number = finite(number.to_f64(), "v")?;
                Value::Number(finite(self.value + number, "the value with its base value")?)
            }
            Some(Plain::Text(text)) => Value::Text(text.into()),
            Some(Plain::Bool(value)) => Value::Bool(value),
            Some(Plain::Data(data)) => Value::Data(bytes.slice_ref(data)),
            None if fields.sum.is_some() => Value::None,
            None => {
                return Err(StatementError::BadSenml {
                    record,
                    what: "neither a value (v, vs, vb, vd) nor a sum (s)",
                });
            }
        };
        let sum = match fields.sum {
            None => self.sum,
            Some(sum) => {
                let sum = finite(sum.to_f64(), "s")?;
                Some(finite(self.sum.unwrap_or(0.0) + sum, "the sum with its base sum")?)
            }
        };
        let update = match fields.update {
            None => None,
            Some(update) => match finite(update.to_f64(), "ut")? {
                update if update < 0.0 => {
                    return Err(StatementError::BadSenml { record, what: "ut is negative" });
                }
                update => Some(update),
            },
        };
        let time = match self.time + time(fields.time, "t")? {
            time if time.abs() > MAX_TIME_US => return Err(StatementError::TimeOutOfRange { record }),
            time if time < FIRST_ABSOLUTE_SECOND * 1_000_000 => RecordTime::Relative(time),
            time => RecordTime::Absolute(time),
        };
        Ok(Record { stream, name, unit, value, sum, time, update })
    }

    fn set_version(&mut self, version: u64, record: usize) -> Result<(), StatementError> {
        if !(1..=VERSION).contains(&version) && version != VERSION_WITH_SECONDARY_UNITS {
            let what = "bver is a version of SenML that is not understood; 1 to 10 and 26 are";
            return Err(StatementError::UnsupportedSenml { record, what });
        }
        if record > 0 && version != self.version {
            return Err(StatementError::BadSenml { record, what: "another bver than the records before" });
        }
        self.version = version;
        Ok(())
    }

    /// The joined name and its stream, shared with a near record before where the name is the same.
    #[inline]
    fn named(
        &self,
        own: &str,
        record: usize,
        before: &[Record],
        origin: DeviceId,
    ) -> Result<(Arc<str>, crate::StreamId), StatementError> {
        let (base, length) = (self.name, self.name.len() + own.len());
        if own.is_empty()
            && self.bare
            && let Some(last) = before.last()
        {
            return Ok((last.name.clone(), last.stream));
        }
        for other in before.iter().rev().take(SHARING_DISTANCE) {
            let same =
                other.name.len() == length && other.name.starts_with(base) && other.name.ends_with(own);
            if same {
                return Ok((other.name.clone(), other.stream));
            }
        }
        if length > MAX_NAME_BYTES {
            return Err(StatementError::NameTooLong { record, found: length });
        }
        let mut buffer = [0; MAX_NAME_BYTES];
        let name = if base.is_empty() {
            own
        } else if own.is_empty() {
            base
        } else {
            buffer[..base.len()].copy_from_slice(base.as_bytes());
            buffer[base.len()..length].copy_from_slice(own.as_bytes());
            std::str::from_utf8(&buffer[..length]).map_err(|_| StatementError::BadName { record })?
        };
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'/' | b'_');
        let starts_well = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if !starts_well || !name.bytes().all(allowed) {
            return Err(StatementError::BadName { record });
        }
        Ok(remembered(origin, name))
    }
}

fn shared_unit(unit: &str, record: usize, before: &[Record]) -> Result<Arc<str>, StatementError> {
    if let Some(other) = before.last().and_then(|other| other.unit.as_ref())
        && **other == *unit
    {
        return Ok(other.clone());
    }
    if unit.is_empty() || unit.len() > MAX_UNIT_BYTES || unit.chars().any(char::is_control) {
        return Err(StatementError::BadUnit { record });
    }
    Ok(unit.into())
}

#[cfg(test)]
mod tests;
