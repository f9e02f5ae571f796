//! What the application state holds of automations: the registrations, who watches which stream, the firings that wait.

use std::sync::Arc;

use alloy_primitives::{Address, I256, U256};
use triad_statement::StreamId;

use super::TableId;
use crate::state::codec::{Reader, Writer};
use crate::state::table::Record;

/// An automation, as the `Automations` contract's events tell, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    pub owner: Address,
    pub stream: StreamId,
    pub condition: Condition,
    pub target: Address,
    pub gas_limit: u64,
    pub cooldown_ms: u64,
    /// The models (`u64::MAX` for readings) for which the condition held at their last evaluation, sorted: a firing
    /// needs the change from false to true.
    pub held: Vec<u64>,
    /// Block time of the last firing.
    pub fired_ms: Option<u64>,
    /// Evaluations not yet charged.
    pub owed: u64,
    /// Its balance could not pay: it sleeps until it is topped up.
    pub paused: bool,
    /// Its owner, or the stream's device owner, closes it: nothing fires any more.
    pub closing: bool,
}

/// When an automation fires.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The reading compares to the threshold (value × 10⁹).
    Reading { op: Comparison, threshold: I256 },
    /// A verdict's kind is in the mask and its score is at least `min_score`.
    Verdict { kinds: U256, min_score: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Comparison {
    Any = 0,
    Less = 1,
    LessOrEqual = 2,
    Greater = 3,
    GreaterOrEqual = 4,
}

impl Comparison {
    pub fn from_u8(v: u8) -> Option<Comparison> {
        use Comparison::*;
        [Any, Less, LessOrEqual, Greater, GreaterOrEqual].into_iter().find(|c| *c as u8 == v)
    }
    pub fn holds(self, value: &I256, threshold: &I256) -> bool {
        match self {
            Comparison::Any => true,
            Comparison::Less => value < threshold,
            Comparison::LessOrEqual => value <= threshold,
            Comparison::Greater => value > threshold,
            Comparison::GreaterOrEqual => value >= threshold,
        }
    }
}

impl Record for Registration {
    type Key = u64;
    const TABLE: TableId = TableId::Registrations;
    fn write_key(key: &u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.to_be_bytes());
    }
    fn read_key(bytes: &[u8]) -> Option<u64> {
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.raw(self.owner.as_slice()).raw(&self.stream.0);
        match &self.condition {
            Condition::Reading { op, threshold } => {
                w.u8(0).u8(*op as u8).raw(&threshold.to_be_bytes::<32>());
            }
            Condition::Verdict { kinds, min_score } => {
                w.u8(1).raw(&kinds.to_be_bytes::<32>()).u32(*min_score);
            }
        }
        w.raw(self.target.as_slice()).u64(self.gas_limit).u64(self.cooldown_ms);
        let flags =
            (self.paused as u8) << 1 | (self.closing as u8) << 2 | (self.fired_ms.is_some() as u8) << 3;
        w.u8(flags).u64(self.fired_ms.unwrap_or(0)).u64(self.owed).u16(self.held.len() as u16);
        for model in &self.held {
            w.u64(*model);
        }
    }
    fn decode(bytes: &[u8]) -> Option<Registration> {
        let mut r = Reader(bytes);
        let (owner, stream) = (Address::from(r.array::<20>()?), StreamId(r.array()?));
        let condition = match r.u8()? {
            0 => Condition::Reading {
                op: Comparison::from_u8(r.u8()?)?,
                threshold: I256::from_be_bytes(r.array::<32>()?),
            },
            1 => Condition::Verdict { kinds: U256::from_be_bytes(r.array::<32>()?), min_score: r.u32()? },
            _ => return None,
        };
        let (target, gas_limit, cooldown_ms) = (Address::from(r.array::<20>()?), r.u64()?, r.u64()?);
        let (flags, fired, owed, models) = (r.u8()?, r.u64()?, r.u64()?, r.u16()?);
        let held = (0..models).map(|_| r.u64()).collect::<Option<Vec<_>>>()?;
        r.end()?;
        Some(Registration {
            owner,
            stream,
            condition,
            target,
            gas_limit,
            cooldown_ms,
            held,
            paused: flags & 2 != 0,
            closing: flags & 4 != 0,
            fired_ms: (flags & 8 != 0).then_some(fired),
            owed,
        })
    }
}

/// The registrations that watch one stream, in order of their ids.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Watchers(pub Arc<Vec<u64>>);

impl Record for Watchers {
    type Key = StreamId;
    const TABLE: TableId = TableId::Watchers;
    fn write_key(key: &StreamId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<StreamId> {
        Some(StreamId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        for id in self.0.iter() {
            w.u64(*id);
        }
    }
    fn decode(bytes: &[u8]) -> Option<Watchers> {
        let mut r = Reader(bytes);
        let mut list = Vec::new();
        while !r.0.is_empty() {
            list.push(r.u64()?);
        }
        Some(Watchers(Arc::new(list)))
    }
}

/// A firing whose turn has not come; keyed by (leaf, registration), the order in which firings run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Queued {
    pub stream: StreamId,
    pub leaf: u64,
    pub time_ms: u64,
    pub value: I256,
    pub kind: u8,
}

impl Record for Queued {
    /// (height that queued it, ordinal in that block, registration)
    type Key = (u64, u32, u64);
    const TABLE: TableId = TableId::Queue;
    fn write_key(key: &Self::Key, out: &mut Vec<u8>) {
        Writer(out).u64(key.0).u32(key.1).u64(key.2);
    }
    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let mut r = Reader(bytes);
        let key = (r.u64()?, r.u32()?, r.u64()?);
        r.end()?;
        Some(key)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.raw(&self.stream.0)
            .u64(self.leaf)
            .u64(self.time_ms)
            .raw(&self.value.to_be_bytes::<32>())
            .u8(self.kind);
    }
    fn decode(bytes: &[u8]) -> Option<Queued> {
        let mut r = Reader(bytes);
        let out = Queued {
            stream: StreamId(r.array()?),
            leaf: r.u64()?,
            time_ms: r.u64()?,
            value: I256::from_be_bytes(r.array::<32>()?),
            kind: r.u8()?,
        };
        r.end()?;
        Some(out)
    }
}
