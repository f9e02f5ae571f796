//! What the silence model promises.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;

use common::P::{I, N};
use common::{Stream, cbor};
use triad_models::{Spec, State};

const MINUTE: u64 = 60_000;

fn stream() -> Stream {
    Stream::new("silence", &[("interval_ms", I(5 * MINUTE)), ("grace_ms", I(2 * MINUTE))])
}

#[test]
fn nothing_is_expected_before_the_first_reading() {
    let mut stream = stream();
    assert_eq!(stream.deadline(), None);
    assert_eq!(stream.state.on_deadline(&stream.spec, u64::MAX), None);
}

#[test]
fn silence_is_said_once_at_the_deadline_and_the_return_says_how_long_it_lasted() {
    let mut stream = stream();
    assert_eq!(stream.says(10, 1.0), ("normal", 0));
    assert_eq!(stream.deadline(), Some(17 * MINUTE));
    assert_eq!(stream.state.on_deadline(&stream.spec, 17 * MINUTE - 1), None);
    let silent = stream.state.on_deadline(&stream.spec, 17 * MINUTE).unwrap();
    assert_eq!((silent.kind.name(), silent.score_ppm), ("silent", 1_000_000));
    assert_eq!(silent.reason, "no reading for 7 min, one is expected every 5 min");
    assert_eq!(stream.deadline(), None);
    assert_eq!(stream.state.on_deadline(&stream.spec, 99 * MINUTE), None);
    let back = stream.at(130, 1.0);
    assert_eq!(back.kind.name(), "resumed");
    assert_eq!(back.reason, "back after 2 h without a reading, one is expected every 5 min");
    assert_eq!(stream.says(131, 1.0), ("normal", 0));
    assert_eq!(stream.deadline(), Some(138 * MINUTE));
}

#[test]
fn readings_in_time_move_the_deadline_by_block_time() {
    let mut stream = stream();
    for minute in (0..100).step_by(7) {
        assert_eq!(stream.says(minute, 1.0), ("normal", 0));
        assert_eq!(stream.deadline(), Some((minute as u64 + 7) * MINUTE));
    }
}

#[test]
fn a_late_reading_does_not_end_a_silence() {
    let mut stream = stream();
    stream.at(10, 1.0);
    stream.state.on_deadline(&stream.spec, 20 * MINUTE).unwrap();
    assert_eq!(stream.says(9, 1.0), ("late", 0));
    assert_eq!(stream.says(30, 1.0).0, "resumed");
}

#[test]
fn the_grace_is_half_the_interval_unless_given() {
    let spec = common::spec("silence", &[("interval_ms", N(60_000.0))]);
    assert_eq!(hex::encode(spec.params()), "a16b696e74657276616c5f6d7319ea60");
    let given = common::spec("silence", &[("interval_ms", I(60_000)), ("grace_ms", I(30_000))]);
    assert_eq!(spec, given);
    assert_eq!(spec.content_hash(), given.content_hash());
    let error = Spec::decode("silence", &cbor(&[("interval_ms", I(0))])).unwrap_err().to_string();
    assert!(error.contains("from 1 to"), "{error}");
}

#[test]
fn a_silent_state_survives_encoding() {
    let mut stream = stream();
    stream.at(10, 1.0);
    stream.state.on_deadline(&stream.spec, 20 * MINUTE).unwrap();
    let bytes = stream.state.encode();
    assert_eq!(hex::encode(&bytes), "0102010000000023c34600000000000009 27c001".replace(' ', ""));
    assert_eq!(State::decode(&stream.spec, &bytes).unwrap(), stream.state);
}
