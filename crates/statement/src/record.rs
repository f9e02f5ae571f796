//! What a SenML pack says once its base fields are resolved.

use crate::{StreamId, limits};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One resolved reading. Consecutive records of one name share the name's allocation and its stream id.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// [`crate::stream_id`] of the statement's origin and [`Record::name`].
    pub stream: StreamId,
    /// Base name and name joined; 1 to 255 bytes of the characters that RFC 8428 allows.
    pub name: Arc<str>,
    /// Unit, or base unit where the record has none of its own.
    pub unit: Option<Arc<str>>,
    /// What was measured.
    pub value: Value,
    /// Integrated sum in unit × seconds, base sum included. Finite.
    pub sum: Option<f64>,
    /// When it was measured.
    pub time: RecordTime,
    /// The longest time in seconds until the next reading, as the device declares it. Finite, not negative.
    pub update: Option<f64>,
}

impl Record {
    /// The number, for those records that have one: only these reach models and contracts.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
}

/// The value of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `v`, base value included. Never NaN, infinite or −0.
    Number(f64),
    /// `vs`.
    Text(Arc<str>),
    /// `vb`.
    Bool(bool),
    /// `vd`: a view into the statement's bytes.
    Data(Bytes),
    /// The record has only a sum.
    None,
}

/// Time of a record in microseconds, base time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordTime {
    /// Since the Unix epoch; at least 2^28 seconds.
    Absolute(i64),
    /// From "now", which is `iat` or else the block's time; below 2^28 seconds, often 0 or negative.
    Relative(i64),
}

/// Whose clock a resolved time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Clock {
    /// The record carried an absolute time.
    #[serde(rename = "device-clock")]
    Device = 0,
    /// A relative time on the statement's own `iat`.
    IssuedAt = 1,
    /// A relative time on the block's time, because the device knows none.
    #[serde(rename = "block-clock")]
    Block = 2,
}

impl Clock {
    /// The name used in APIs and reports.
    pub fn name(self) -> &'static str {
        match self {
            Clock::Device => "device-clock",
            Clock::IssuedAt => "issued-at",
            Clock::Block => "block-clock",
        }
    }
}

impl RecordTime {
    /// Absolute time in microseconds since the epoch, and whose clock it is. `issued_at` is in microseconds and
    /// `block_time_ms` in milliseconds since the epoch. The result stays within ±[`limits::MAX_TIME_US`].
    pub fn resolve(self, issued_at: Option<i64>, block_time_ms: u64) -> (i64, Clock) {
        let bounded = |time: i64| time.clamp(-limits::MAX_TIME_US, limits::MAX_TIME_US);
        match (self, issued_at) {
            (RecordTime::Absolute(time), _) => (time, Clock::Device),
            (RecordTime::Relative(offset), Some(issued_at)) => {
                (bounded(issued_at.saturating_add(offset)), Clock::IssuedAt)
            }
            (RecordTime::Relative(offset), None) => {
                let block = i64::try_from(block_time_ms).unwrap_or(i64::MAX).saturating_mul(1000);
                (bounded(block.saturating_add(offset)), Clock::Block)
            }
        }
    }
}
