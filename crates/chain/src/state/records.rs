//! What the application state holds: one type a table.

mod attested;
mod automations;
mod predictions;
mod validators;

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_primitives::Address;
use triad_log::VerdictKind;
use triad_models::Spec;
use triad_statement::{DeviceId, DeviceKey, SequenceWindow, StreamId};

use super::codec::{Reader, Writer};
use super::table::{Place, Record};
pub(crate) use attested::{Awaited, Awaiting, slot};
pub use automations::*;
pub(crate) use predictions::ATTESTED;
pub use predictions::Prediction;
pub use validators::*;

/// Tables of the application state; the numbers are part of the stored format and of the application digest.
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TableId {
    Devices = 1,
    Windows = 2,
    Opened = 3,
    Streams = 4,
    Latest = 5,
    Bindings = 6,
    Registrations = 7,
    Watchers = 8,
    Deadlines = 9,
    Queue = 10,
    Counters = 11,
    Models = 12,
    Reigns = 13,
    Scheduled = 14,
    Predictions = 15,
    Awaiting = 16,
    Awaited = 17,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    Active = 1,
    Suspended = 2,
    Revoked = 3,
}

impl Status {
    pub fn from_u8(v: u8) -> Option<Status> {
        match v {
            1 => Some(Status::Active),
            2 => Some(Status::Suspended),
            3 => Some(Status::Revoked),
            _ => None,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Status::Active => "active",
            Status::Suspended => "suspended",
            Status::Revoked => "revoked",
        }
    }
}

/// A registered device, as the `DeviceRegistry` contract's events tell.
#[derive(Debug, Clone)]
pub struct Device {
    pub owner: Address,
    /// `None`: it cannot sign and is spoken for.
    pub key: Option<Arc<DeviceKey>>,
    /// Height of the block whose execution set `key`; it verifies statements of later blocks.
    pub key_since: u64,
    pub status: Status,
    pub epoch: u32,
    pub metadata: [u8; 32],
    pub registered_at: u64,
    /// Devices that may sign readings of this one.
    pub speakers: Arc<BTreeSet<DeviceId>>,
}

impl Record for Device {
    type Key = DeviceId;
    const TABLE: TableId = TableId::Devices;
    fn write_key(key: &DeviceId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<DeviceId> {
        Some(DeviceId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let key = self.key.as_ref().map(|k| k.cose_key()).unwrap_or_default();
        let mut w = Writer(out);
        w.raw(self.owner.as_slice()).bytes(&key).u64(self.key_since).u8(self.status as u8).u32(self.epoch);
        w.raw(&self.metadata).u64(self.registered_at).u32(self.speakers.len() as u32);
        for speaker in self.speakers.iter() {
            w.raw(&speaker.0);
        }
    }
    fn decode(bytes: &[u8]) -> Option<Device> {
        let mut r = Reader(bytes);
        let owner = Address::from(r.array::<20>()?);
        let key = match r.bytes()? {
            [] => None,
            key => Some(Arc::new(DeviceKey::from_cose_key(key).ok()?)),
        };
        let key_since = r.u64()?;
        let status = Status::from_u8(r.u8()?)?;
        let (epoch, metadata, registered_at) = (r.u32()?, r.array()?, r.u64()?);
        let n = r.u32()?;
        let speakers = (0..n).map(|_| r.array().map(DeviceId)).collect::<Option<BTreeSet<_>>>()?;
        r.end()?;
        let speakers = Arc::new(speakers);
        Some(Device { owner, key, key_since, status, epoch, metadata, registered_at, speakers })
    }
}

/// The sequence numbers a signer has used.
#[derive(Debug, Clone)]
pub(crate) struct Window(pub SequenceWindow);

impl Record for Window {
    type Key = DeviceId;
    const TABLE: TableId = TableId::Windows;
    fn write_key(key: &DeviceId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<DeviceId> {
        Some(DeviceId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.encode());
    }
    fn decode(bytes: &[u8]) -> Option<Window> {
        SequenceWindow::decode(bytes).map(Window)
    }
    /// A raised epoch, which the registry's event says and no statement, leaves a window without numbers.
    fn is_derived(&self, _: Place) -> bool {
        self.0.highest().is_some()
    }
}

/// How many streams an origin has opened.
#[derive(Debug, Clone)]
pub(crate) struct Opened(pub u32);

impl Record for Opened {
    type Key = DeviceId;
    const TABLE: TableId = TableId::Opened;
    fn write_key(key: &DeviceId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<DeviceId> {
        Some(DeviceId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        Writer(out).u32(self.0);
    }
    fn decode(bytes: &[u8]) -> Option<Opened> {
        Reader(bytes).u32().map(Opened)
    }
}

/// What does not change about a stream, but for its unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Running number over all streams of the chain, in order of their first reading.
    pub number: u32,
    pub origin: DeviceId,
    pub name: Arc<str>,
    /// Fixed by the first numeric reading; `None` while there was none, or when it had no unit.
    pub unit: Option<Arc<str>>,
}

impl Record for Stream {
    type Key = StreamId;
    const TABLE: TableId = TableId::Streams;
    fn write_key(key: &StreamId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<StreamId> {
        Some(StreamId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u32(self.number).raw(&self.origin.0).bytes(self.name.as_bytes());
        match &self.unit {
            Some(unit) => w.u8(1).bytes(unit.as_bytes()),
            None => w.u8(0),
        };
    }
    fn decode(bytes: &[u8]) -> Option<Stream> {
        let mut r = Reader(bytes);
        let (number, origin, name) = (r.u32()?, DeviceId(r.array()?), r.string()?.into());
        let unit = if r.u8()? == 1 { Some(r.string()?.into()) } else { None };
        r.end()?;
        Some(Stream { number, origin, name, unit })
    }
}

/// The newest reading and verdict of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latest {
    pub reading: Option<LatestReading>,
    pub verdict: Option<LatestVerdict>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatestReading {
    pub leaf: u64,
    pub record: u16,
    pub time_us: i64,
    pub value: f64,
    pub height: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LatestVerdict {
    pub leaf: u64,
    pub record: u16,
    pub model: u64,
    pub kind: VerdictKind,
    pub score: u32,
    pub time_us: i64,
    pub height: u64,
}

impl Latest {
    /// Takes a reading in, if it is newer.
    pub(crate) fn read(&mut self, reading: LatestReading) {
        if self.reading.is_none_or(|latest| reading.time_us > latest.time_us) {
            self.reading = Some(reading);
        }
    }

    /// Takes a verdict in, unless it says that its reading came too late to be judged.
    pub(crate) fn judged(&mut self, verdict: LatestVerdict) {
        if verdict.kind != VerdictKind::Late {
            self.verdict = Some(verdict);
        }
    }
}

impl Record for Latest {
    type Key = StreamId;
    const TABLE: TableId = TableId::Latest;
    fn write_key(key: &StreamId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<StreamId> {
        Some(StreamId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u8(self.reading.is_some() as u8 | (self.verdict.is_some() as u8) << 1);
        if let Some(r) = &self.reading {
            w.u64(r.leaf).u16(r.record).u64(r.time_us as u64).u64(r.value.to_bits()).u64(r.height);
        }
        if let Some(v) = &self.verdict {
            w.u64(v.leaf).u16(v.record).u64(v.model).u8(v.kind as u8).u32(v.score);
            w.u64(v.time_us as u64).u64(v.height);
        }
    }
    fn decode(bytes: &[u8]) -> Option<Latest> {
        let mut r = Reader(bytes);
        let flags = r.u8()?;
        let mut out = Latest::default();
        if flags & 1 != 0 {
            out.reading = Some(LatestReading {
                leaf: r.u64()?,
                record: r.u16()?,
                time_us: r.u64()? as i64,
                value: f64::from_bits(r.u64()?),
                height: r.u64()?,
            });
        }
        if flags & 2 != 0 {
            out.verdict = Some(LatestVerdict {
                leaf: r.u64()?,
                record: r.u16()?,
                model: r.u64()?,
                kind: VerdictKind::from_u8(r.u8()?)?,
                score: r.u32()?,
                time_us: r.u64()? as i64,
                height: r.u64()?,
            });
        }
        r.end()?;
        Some(out)
    }
    /// The verdict of a deadline is on a reading of an earlier block, whose exact time that block alone knows.
    fn is_derived(&self, block: Place) -> bool {
        self.verdict.is_none_or(|v| v.height < block.height || v.leaf >= block.first_leaf)
    }
}

/// The models bound to one stream by the `ModelRegistry`, in order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Bindings(pub Arc<Vec<Binding>>);

#[derive(Debug, Clone)]
pub struct Binding {
    pub model: u64,
    /// Height of the block that bound it; it judges readings of later blocks.
    pub since: u64,
    pub spec: Arc<Spec>,
}

impl Record for Bindings {
    type Key = StreamId;
    const TABLE: TableId = TableId::Bindings;
    fn write_key(key: &StreamId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<StreamId> {
        Some(StreamId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u32(self.0.len() as u32);
        for b in self.0.iter() {
            w.u64(b.model).u64(b.since).bytes(b.spec.kind().as_bytes()).bytes(&b.spec.params());
        }
    }
    fn decode(bytes: &[u8]) -> Option<Bindings> {
        let mut r = Reader(bytes);
        let n = r.u32()?;
        let mut list = Vec::new();
        for _ in 0..n {
            let (model, since, kind) = (r.u64()?, r.u64()?, r.string()?);
            let spec = Arc::new(Spec::decode(&kind, r.bytes()?).ok()?);
            list.push(Binding { model, since, spec });
        }
        r.end()?;
        Some(Bindings(Arc::new(list)))
    }
}

/// When a silence detector must speak unless a reading comes: (block time in ms, stream, model).
pub(crate) type DeadlineKey = (u64, StreamId, u64);

#[derive(Debug, Clone)]
pub(crate) struct Deadline;

impl Record for Deadline {
    type Key = DeadlineKey;
    const TABLE: TableId = TableId::Deadlines;
    fn write_key(key: &DeadlineKey, out: &mut Vec<u8>) {
        Writer(out).u64(key.0).raw(&key.1.0).u64(key.2);
    }
    fn read_key(bytes: &[u8]) -> Option<DeadlineKey> {
        let mut r = Reader(bytes);
        let key = (r.u64()?, StreamId(r.array()?), r.u64()?);
        r.end()?;
        Some(key)
    }
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &[u8]) -> Option<Deadline> {
        Some(Deadline)
    }
}

/// Running numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counter(pub u64);

/// The number the next new stream gets.
pub(crate) const NEXT_STREAM: u8 = 1;

impl Record for Counter {
    type Key = u8;
    const TABLE: TableId = TableId::Counters;
    fn write_key(key: &u8, out: &mut Vec<u8>) {
        out.push(*key);
    }
    fn read_key(bytes: &[u8]) -> Option<u8> {
        Reader(bytes).u8()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.0);
    }
    fn decode(bytes: &[u8]) -> Option<Counter> {
        Reader(bytes).u64().map(Counter)
    }
}
