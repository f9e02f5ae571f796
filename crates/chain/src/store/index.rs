//! The read side: readings and verdicts by stream, statements by signer and number.
//!
//! Rows gather in RAM and are written as chunks, one bucket of streams (or signers) a block, so that a busy stream
//! costs one key for many readings. What is not written yet is derived again from the last blocks after a restart.
//!
//! | key | value |
//! |---|---|
//! | `r` stream u32, slot i64, height u64 | readings of one slot of 2³⁰ µs, by (time, leaf, record) |
//! | `v` stream u32, height u64 | verdicts: (height, ordinal) |
//! | `o` origin 20, stream u32 | the stream's id |
//! | `s` signer 20, slot u64, height u64 | statements of 64 consecutive numbers: (number, leaf, half its identity) |

use std::collections::BTreeMap;

use fjall::{Keyspace, OwnedWriteBatch};
use parking_lot::RwLock;
use triad_statement::{DeviceId, StreamId};

use crate::error::ChainError;
use crate::execute::ReadingRow;
use crate::state::records::Stream;
use crate::state::{BUCKETS, Changes, Map, Reader, Writer};

/// Half of a statement's identity: enough to tell a repetition from another statement on the same number.
pub(crate) type HalfId = [u8; 16];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StatementRow {
    pub signer: DeviceId,
    pub number: u64,
    pub leaf: u64,
    pub id: HalfId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VerdictRow {
    pub stream: u32,
    pub height: u64,
    pub ordinal: u32,
}

/// What one block adds.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub readings: Vec<ReadingRow>,
    pub statements: Vec<StatementRow>,
    pub verdicts: Vec<VerdictRow>,
}

/// Rows not written yet.
#[derive(Debug, Default)]
pub(crate) struct Pending(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    readings: Map<u32, Vec<ReadingRow>>,
    verdicts: Map<u32, Vec<VerdictRow>>,
    statements: Map<DeviceId, Vec<StatementRow>>,
}

pub(crate) fn stream_bucket(stream: u32) -> u64 {
    u64::from(stream) % BUCKETS
}

pub(crate) fn signer_bucket(signer: &DeviceId) -> u64 {
    u64::from(signer.0[19]) % BUCKETS
}

fn slot_of(time_us: i64) -> i64 {
    time_us >> 30
}

/// Order-preserving bytes of a signed number.
fn ordered(v: i64) -> [u8; 8] {
    ((v as u64) ^ (1 << 63)).to_be_bytes()
}

fn key(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![tag];
    parts.iter().for_each(|p| out.extend_from_slice(p));
    out
}

/// LEB128 of a difference; small ones take a byte.
fn put_varint(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn get_varint(r: &mut Reader<'_>) -> Option<u64> {
    let mut out = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = r.u8()?;
        out |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(out);
        }
    }
    None
}

fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

fn unzigzag(v: u64) -> i64 {
    (v >> 1) as i64 ^ -((v & 1) as i64)
}

fn encode_readings(rows: &[ReadingRow]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() * 14);
    let (mut time, mut leaf) = (0i64, 0i64);
    for r in rows {
        put_varint(&mut out, zigzag(r.time_us.wrapping_sub(time)));
        put_varint(&mut out, zigzag((r.leaf as i64).wrapping_sub(leaf)));
        put_varint(&mut out, u64::from(r.record));
        // Measured values mostly end in zero bits: as little-endian bytes without the leading zeros.
        let bits = r.value.to_bits().swap_bytes();
        put_varint(&mut out, bits);
        (time, leaf) = (r.time_us, r.leaf as i64);
    }
    out
}

fn decode_readings(stream: u32, bytes: &[u8]) -> Option<Vec<ReadingRow>> {
    let mut r = Reader(bytes);
    let (mut time, mut leaf) = (0i64, 0i64);
    let mut rows = Vec::new();
    while !r.0.is_empty() {
        time = time.wrapping_add(unzigzag(get_varint(&mut r)?));
        leaf = leaf.wrapping_add(unzigzag(get_varint(&mut r)?));
        let record = get_varint(&mut r)? as u16;
        let value = f64::from_bits(get_varint(&mut r)?.swap_bytes());
        rows.push(ReadingRow { stream, time_us: time, value, leaf: leaf as u64, record });
    }
    Some(rows)
}

fn decode_verdict_rows(stream: u32, bytes: &[u8]) -> Result<Vec<VerdictRow>, ChainError> {
    let mut r = Reader(bytes);
    let (mut rows, mut height) = (Vec::new(), 0);
    while !r.0.is_empty() {
        let row = (|| {
            height += get_varint(&mut r)?;
            Some(VerdictRow { stream, height, ordinal: get_varint(&mut r)? as u32 })
        })();
        rows.push(row.ok_or_else(|| ChainError::corrupt("a chunk of the verdicts index does not decode"))?);
    }
    Ok(rows)
}

/// First byte of the keys of chunks of readings.
pub(crate) const READINGS: u8 = b'r';

/// The height at which a chunk of readings was written: none in it is of a later block.
pub(crate) fn written_at(name: &[u8]) -> Option<u64> {
    name.get(13..).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes)
}

/// The slot in the key of a chunk of readings, and the rows in it.
fn decode_chunk(stream: u32, name: &[u8], value: &[u8]) -> Result<(i64, Vec<ReadingRow>), ChainError> {
    let slot = name.get(5..13).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
    slot.and_then(|slot| Some(((slot ^ (1 << 63)) as i64, decode_readings(stream, value)?)))
        .ok_or_else(|| ChainError::corrupt("a chunk of the readings index does not decode"))
}

/// Adds the streams that a block opened to the list of their origin's.
pub(crate) fn put_streams(streams: &Changes<Stream>, space: &Keyspace, batch: &mut OwnedWriteBatch) {
    for (id, stream) in streams {
        if let Some(stream) = stream {
            let name = key(b'o', &[&stream.origin.0, &stream.number.to_be_bytes()]);
            batch.insert(space, name, id.0.as_slice());
        }
    }
}

/// The streams of one origin, in order of their first reading.
pub(crate) fn streams_of(space: &Keyspace, origin: &DeviceId) -> Result<Vec<StreamId>, ChainError> {
    let mut out = Vec::new();
    for guard in space.prefix(key(b'o', &[&origin.0])) {
        let (_, id) = guard.into_inner()?;
        let id =
            id.as_ref().try_into().map_err(|_| ChainError::corrupt("the list of streams does not decode"))?;
        out.push(StreamId(id));
    }
    Ok(out)
}

impl Pending {
    /// Adds one block's rows, leaving out those whose bucket says that they are on disk already.
    pub fn add(&self, rows: &Rows, wanted: impl Fn(u64) -> bool) {
        let mut maps = self.0.write();
        for r in rows.readings.iter().filter(|r| wanted(stream_bucket(r.stream))) {
            maps.readings.entry(r.stream).or_default().push(*r);
        }
        for v in rows.verdicts.iter().filter(|v| wanted(stream_bucket(v.stream))) {
            maps.verdicts.entry(v.stream).or_default().push(*v);
        }
        for s in rows.statements.iter().filter(|s| wanted(signer_bucket(&s.signer))) {
            maps.statements.entry(s.signer).or_default().push(*s);
        }
    }

    /// Writes the bucket whose turn `height` is, with the block's own rows (already added) included.
    pub fn flush(&self, height: u64, space: &Keyspace, batch: &mut OwnedWriteBatch) {
        let maps = self.0.read();
        let turn = height % BUCKETS;
        let at = height.to_be_bytes();
        for (stream, rows) in maps.readings.iter().filter(|(s, _)| stream_bucket(**s) == turn) {
            let mut slots: BTreeMap<i64, Vec<ReadingRow>> = BTreeMap::new();
            for row in rows {
                slots.entry(slot_of(row.time_us)).or_default().push(*row);
            }
            for (slot, mut rows) in slots {
                rows.sort_by_key(|r| (r.time_us, r.leaf, r.record));
                let name = key(b'r', &[&stream.to_be_bytes(), &ordered(slot), &at]);
                batch.insert(space, name, encode_readings(&rows));
            }
        }
        for (stream, rows) in maps.verdicts.iter().filter(|(s, _)| stream_bucket(**s) == turn) {
            let mut value = Vec::new();
            let mut last = 0;
            for row in rows {
                put_varint(&mut value, row.height - last);
                put_varint(&mut value, u64::from(row.ordinal));
                last = row.height;
            }
            batch.insert(space, key(b'v', &[&stream.to_be_bytes(), &at]), value);
        }
        for (signer, rows) in maps.statements.iter().filter(|(s, _)| signer_bucket(s) == turn) {
            let mut slots: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
            for row in rows {
                let value = slots.entry(row.number >> 6).or_default();
                put_varint(value, row.number & 63);
                put_varint(value, row.leaf);
                value.extend_from_slice(&row.id);
            }
            for (slot, value) in slots {
                batch.insert(space, key(b's', &[&signer.0, &slot.to_be_bytes(), &at]), value);
            }
        }
    }

    /// Forgets what the (now durable) flush of `height` wrote.
    pub fn settle(&self, height: u64) {
        let turn = height % BUCKETS;
        let mut maps = self.0.write();
        maps.readings.retain(|stream, _| stream_bucket(*stream) != turn);
        maps.verdicts.retain(|stream, _| stream_bucket(*stream) != turn);
        maps.statements.retain(|signer, _| signer_bucket(signer) != turn);
    }

    /// Readings of a stream in [from, to), by (time, leaf, record), starting behind `after`; at most `limit`.
    pub fn readings(
        &self,
        space: &Keyspace,
        stream: u32,
        (from, to): (i64, i64),
        after: Option<(i64, u64, u16)>,
        limit: usize,
    ) -> Result<Vec<ReadingRow>, ChainError> {
        let order = |r: &ReadingRow| (r.time_us, r.leaf, r.record);
        let wanted = |r: &ReadingRow| {
            r.time_us >= from && r.time_us < to && after.is_none_or(|after| order(r) > after)
        };
        let start = after.map_or(from, |(time, ..)| time.max(from));
        let mut fresh: BTreeMap<i64, Vec<ReadingRow>> = BTreeMap::new();
        // Held until the disk was read: a flush in between would show a row twice or not at all.
        let maps = self.0.read();
        for row in maps.readings.get(&stream).into_iter().flatten().filter(|r| wanted(r)) {
            fresh.entry(slot_of(row.time_us)).or_default().push(*row);
        }
        let low = key(b'r', &[&stream.to_be_bytes(), &ordered(slot_of(start))]);
        let high = key(b'r', &[&stream.to_be_bytes(), &ordered(slot_of(to.saturating_sub(1))), &[0xff; 9]]);
        let (mut out, mut slot_rows, mut current) = (Vec::new(), Vec::new(), i64::MIN);
        let mut close = |slot: i64, rows: &mut Vec<ReadingRow>, out: &mut Vec<ReadingRow>| {
            // Slots before this one that have rows in RAM only, then this one.
            while let Some(first) = fresh.first_entry().filter(|e| *e.key() <= slot) {
                if *first.key() == slot {
                    rows.extend(first.remove());
                    break;
                }
                let mut early = first.remove();
                early.sort_by_key(order);
                out.extend(early);
            }
            // A row that is being written may be seen in both places.
            rows.sort_by_key(order);
            rows.dedup_by_key(|r| order(r));
            out.append(rows);
        };
        for guard in space.range(low..=high) {
            let (name, value) = guard.into_inner()?;
            let (slot, rows) = decode_chunk(stream, &name, &value)?;
            if slot != current && !slot_rows.is_empty() {
                close(current, &mut slot_rows, &mut out);
                if out.len() >= limit {
                    out.truncate(limit);
                    return Ok(out);
                }
            }
            current = slot;
            slot_rows.extend(rows.into_iter().filter(|r| wanted(r)));
        }
        close(current, &mut slot_rows, &mut out);
        close(i64::MAX, &mut Vec::new(), &mut out);
        out.truncate(limit);
        Ok(out)
    }

    /// Verdicts of a stream in blocks from `from` to `to` (inclusive), in order; at most `limit`, behind `after`.
    pub fn verdicts(
        &self,
        space: &Keyspace,
        stream: u32,
        (from, to): (u64, u64),
        after: Option<(u64, u32)>,
        limit: usize,
    ) -> Result<Vec<VerdictRow>, ChainError> {
        let wanted = |v: &VerdictRow| {
            v.height >= from && v.height <= to && after.is_none_or(|a| (v.height, v.ordinal) > a)
        };
        let maps = self.0.read();
        // A chunk is keyed by the height that flushed it, at most 64 blocks after its rows' heights.
        let start = after.map_or(from, |(height, _)| height.max(from));
        let low = key(b'v', &[&stream.to_be_bytes(), &start.to_be_bytes()]);
        let high = key(b'v', &[&stream.to_be_bytes(), &to.saturating_add(BUCKETS).to_be_bytes()]);
        let mut out = Vec::new();
        for guard in space.range(low..=high) {
            let (_, value) = guard.into_inner()?;
            out.extend(decode_verdict_rows(stream, &value)?.into_iter().filter(wanted));
            if out.len() >= limit {
                out.truncate(limit);
                return Ok(out);
            }
        }
        out.extend(maps.verdicts.get(&stream).into_iter().flatten().filter(|v| wanted(v)));
        out.sort_by_key(|v| (v.height, v.ordinal));
        out.dedup();
        out.truncate(limit);
        Ok(out)
    }

    /// The reading of a stream with the latest time among those of leaves below `before`; of several with that time the
    /// first in the log. Looks at what is newer only.
    pub fn latest_reading(
        &self,
        space: &Keyspace,
        stream: u32,
        before: u64,
    ) -> Result<Option<ReadingRow>, ChainError> {
        let later = |a: &ReadingRow, b: &ReadingRow| {
            (a.time_us, std::cmp::Reverse((a.leaf, a.record)))
                .cmp(&(b.time_us, std::cmp::Reverse((b.leaf, b.record))))
        };
        // Rows that are written meanwhile are seen in both places, which does no harm.
        let fresh = self.0.read().readings.get(&stream).cloned().unwrap_or_default();
        let mut best = fresh.into_iter().filter(|r| r.leaf < before).max_by(later);
        for guard in space.prefix(key(b'r', &[&stream.to_be_bytes()])).rev() {
            let (name, value) = guard.into_inner()?;
            let (slot, rows) = decode_chunk(stream, &name, &value)?;
            if best.as_ref().is_some_and(|best| slot_of(best.time_us) > slot) {
                break;
            }
            best = rows.into_iter().chain(best).filter(|r| r.leaf < before).max_by(later);
        }
        Ok(best)
    }

    /// Visits the heights up to `to` at which a stream was judged, newest first, until `visit` says that it has enough.
    pub fn blocks_with_verdicts(
        &self,
        space: &Keyspace,
        stream: u32,
        to: u64,
        mut visit: impl FnMut(u64) -> Result<bool, ChainError>,
    ) -> Result<(), ChainError> {
        let mut last = u64::MAX;
        let mut newest_first = |rows: &[VerdictRow]| -> Result<bool, ChainError> {
            for row in rows.iter().rev().filter(|row| row.height <= to) {
                // A height may come again: once a verdict, and from both places while it is written.
                if row.height < last {
                    last = row.height;
                    if visit(row.height)? {
                        return Ok(true);
                    }
                }
            }
            Ok(false)
        };
        let fresh = self.0.read().verdicts.get(&stream).cloned().unwrap_or_default();
        if newest_first(&fresh)? {
            return Ok(());
        }
        let low = key(b'v', &[&stream.to_be_bytes()]);
        let high = key(b'v', &[&stream.to_be_bytes(), &to.saturating_add(BUCKETS).to_be_bytes()]);
        for guard in space.range(low..=high).rev() {
            let (_, value) = guard.into_inner()?;
            if newest_first(&decode_verdict_rows(stream, &value)?)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The statement of a signer with a number.
    pub fn statement(
        &self,
        space: &Keyspace,
        signer: &DeviceId,
        number: u64,
    ) -> Result<Option<StatementRow>, ChainError> {
        let maps = self.0.read();
        let mut fresh = maps.statements.get(signer).into_iter().flatten();
        if let Some(row) = fresh.find(|row| row.number == number) {
            return Ok(Some(*row));
        }
        let slot = number >> 6;
        for guard in space.prefix(key(b's', &[&signer.0, &slot.to_be_bytes()])) {
            let (_, value) = guard.into_inner()?;
            let mut r = Reader(&value);
            while !r.0.is_empty() {
                let row = (|| {
                    let number = slot << 6 | get_varint(&mut r)?;
                    Some(StatementRow { signer: *signer, number, leaf: get_varint(&mut r)?, id: r.array()? })
                })();
                match row {
                    None => {
                        return Err(ChainError::corrupt("a chunk of the statements index does not decode"));
                    }
                    Some(row) if row.number == number => return Ok(Some(row)),
                    Some(_) => {}
                }
            }
        }
        Ok(None)
    }
}

/// A verdict list as stored: each length-prefixed.
pub(crate) fn encode_verdicts(verdicts: &[triad_log::Verdict]) -> Vec<u8> {
    let mut out = Vec::new();
    for verdict in verdicts {
        Writer(&mut out).bytes(&verdict.encode());
    }
    out
}

pub(crate) fn decode_verdicts(bytes: &[u8]) -> Option<Vec<triad_log::Verdict>> {
    let mut r = Reader(bytes);
    let mut out = Vec::new();
    while !r.0.is_empty() {
        out.push(triad_log::Verdict::decode(r.bytes()?).ok()?);
    }
    Some(out)
}
