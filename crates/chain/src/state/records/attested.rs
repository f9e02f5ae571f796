//! What waits for the verdict of a model that validators do not run.
//!
//! Of a stream with such a model the state keeps the last [`KEPT`] statements that brought it its newest reading, in a ring:
//! their numbers count from 1 since the stream's first such binding, and number n lies in slot (n − 1) mod [`KEPT`]. So an
//! execution that knows no past block can tell whether what a runner judged is there, and what was read.

use triad_log::Height;
use triad_statement::StreamId;

use super::TableId;
use crate::state::codec::{Reader, Writer};
use crate::state::table::Record;

/// Statements of a stream that a runner may still judge: the newest so many.
pub(crate) const KEPT: u64 = 256;

/// How far a stream with an attested model is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Awaiting {
    /// Number of the newest statement; 0: none yet.
    pub newest: u64,
    /// The number that each model judged last, by rising models.
    pub judged: Vec<(u64, u64)>,
}

impl Awaiting {
    /// The oldest number that can still be judged.
    pub fn oldest(&self) -> u64 {
        self.newest.saturating_sub(KEPT - 1).max(1)
    }

    /// The number that a model judged last; 0: none yet.
    pub fn last(&self, model: u64) -> u64 {
        self.judged.binary_search_by_key(&model, |(model, _)| *model).map_or(0, |at| self.judged[at].1)
    }

    pub fn judged(&mut self, model: u64, number: u64) {
        match self.judged.binary_search_by_key(&model, |(model, _)| *model) {
            Ok(at) => self.judged[at].1 = number,
            Err(at) => self.judged.insert(at, (model, number)),
        }
    }
}

/// Where a number lies.
pub(crate) fn slot(number: u64) -> u8 {
    (number.wrapping_sub(1) % KEPT) as u8
}

/// A statement that can be judged: the newest reading of the stream in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Awaited {
    pub leaf: u64,
    pub record: u16,
    pub time_us: i64,
    pub value: f64,
    pub height: Height,
}

impl Record for Awaiting {
    type Key = StreamId;
    const TABLE: TableId = TableId::Awaiting;
    fn write_key(key: &StreamId, out: &mut Vec<u8>) {
        out.extend_from_slice(&key.0);
    }
    fn read_key(bytes: &[u8]) -> Option<StreamId> {
        Some(StreamId(bytes.try_into().ok()?))
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u64(self.newest).u32(self.judged.len() as u32);
        for (model, number) in &self.judged {
            w.u64(*model).u64(*number);
        }
    }
    fn decode(bytes: &[u8]) -> Option<Awaiting> {
        let mut r = Reader(bytes);
        let (newest, count) = (r.u64()?, r.u32()?);
        let judged = (0..count).map(|_| Some((r.u64()?, r.u64()?))).collect::<Option<Vec<_>>>()?;
        r.end()?;
        Some(Awaiting { newest, judged })
    }
}

impl Record for Awaited {
    /// (stream, slot)
    type Key = (StreamId, u8);
    const TABLE: TableId = TableId::Awaited;
    fn write_key(key: &Self::Key, out: &mut Vec<u8>) {
        Writer(out).raw(&key.0.0).u8(key.1);
    }
    fn read_key(bytes: &[u8]) -> Option<Self::Key> {
        let mut r = Reader(bytes);
        let key = (StreamId(r.array()?), r.u8()?);
        r.end()?;
        Some(key)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer(out);
        w.u64(self.leaf)
            .u16(self.record)
            .u64(self.time_us as u64)
            .u64(self.value.to_bits())
            .u64(self.height.0);
    }
    fn decode(bytes: &[u8]) -> Option<Awaited> {
        let mut r = Reader(bytes);
        let out = Awaited {
            leaf: r.u64()?,
            record: r.u16()?,
            time_us: r.u64()? as i64,
            value: f64::from_bits(r.u64()?),
            height: Height(r.u64()?),
        };
        r.end()?;
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stored_forms_stay() {
        let mut row = Awaiting { newest: 300, judged: Vec::new() };
        row.judged(1001, 7);
        row.judged(1000, 299);
        row.judged(1001, 8);
        assert_eq!((row.oldest(), row.last(1000), row.last(1001), row.last(5)), (45, 299, 8, 0));
        let mut value = Vec::new();
        row.encode(&mut value);
        let fixture =
            "000000000000012c 00000002 00000000000003e8 000000000000012b 00000000000003e9 0000000000000008";
        assert_eq!(hex::encode(&value), fixture.replace(' ', ""));
        assert_eq!(Awaiting::decode(&value), Some(row));
        assert_eq!(Awaiting::decode(&value[..20]), None);

        let row = Awaited { leaf: 5, record: 2, time_us: -1, value: 21.5, height: Height(9) };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        Awaited::write_key(&(StreamId([7; 32]), slot(257)), &mut key);
        row.encode(&mut value);
        assert_eq!(hex::encode(&key), "07".repeat(32) + "00");
        let fixture = "0000000000000005 0002 ffffffffffffffff 4035800000000000 0000000000000009";
        assert_eq!(hex::encode(&value), fixture.replace(' ', ""));
        assert_eq!(
            (Awaited::read_key(&key), Awaited::decode(&value)),
            (Some((StreamId([7; 32]), 0)), Some(row))
        );
    }
}
