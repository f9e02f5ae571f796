//! Stream ids, remembered.
//!
//! Keccak-256 of id and name costs as much as the rest of the parser together (0.4 µs), and devices use the same few
//! names again and again. So each thread remembers the streams that it saw last: two a slot, the older one making room.
//! The answer is the same with and without it.

use crate::{DeviceId, StreamId, stream_id};
use std::{cell::RefCell, sync::Arc};

/// 16,384 streams a thread: 1.2 MB and their names. More streams than that cost what they would without it.
const SLOTS: usize = 8_192;

type Remembered = Option<(DeviceId, Arc<str>, StreamId)>;

thread_local! {
    static STREAMS: RefCell<Vec<[Remembered; 2]>> = const { RefCell::new(Vec::new()) };
}

/// The name in shared form and its stream id.
pub(crate) fn remembered(origin: DeviceId, name: &str) -> (Arc<str>, StreamId) {
    STREAMS.with_borrow_mut(|streams| {
        if streams.is_empty() {
            streams.resize_with(SLOTS, Default::default);
        }
        let slot = &mut streams[slot(origin, name)];
        let is = |stream: &Remembered| {
            stream.as_ref().is_some_and(|(device, known, _)| *device == origin && **known == *name)
        };
        if !is(&slot[0]) {
            slot.swap(0, 1);
        }
        if !is(&slot[0]) {
            slot[0] = Some((origin, name.into(), stream_id(origin, name)));
        }
        let (_, name, stream) = slot[0].as_ref().expect("the slot was filled just now");
        (name.clone(), *stream)
    })
}

/// Where a stream is remembered. Device ids are hashes, so their bytes spread well; whoever makes names that collide only
/// slows down the parsing of their own statements to what it costs without this memory.
fn slot(origin: DeviceId, name: &str) -> usize {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let id = origin.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let hash =
        name.bytes().fold(id, |hash, byte| (hash.rotate_left(5) ^ u64::from(byte)).wrapping_mul(MULTIPLIER));
    (hash >> 32) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_never_changes_an_answer() {
        let device = |index: usize| DeviceId(std::array::from_fn(|at| (index >> (8 * (at % 2))) as u8));
        for round in 0..3 {
            for index in 0..30_000 {
                let name = format!("n{}", index % (7 + round));
                let (shared, stream) = remembered(device(index), &name);
                assert_eq!((&*shared, stream), (&*name, stream_id(device(index), &name)));
            }
        }
        let (first, _) = remembered(device(1), "n");
        let (second, _) = remembered(device(1), "n");
        assert!(Arc::ptr_eq(&first, &second));
    }
}
