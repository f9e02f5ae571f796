//! What the anomaly model promises.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;

use common::P::{N, T};
use common::{Stream, cbor};
use triad_models::{Input, MAX_STATE_BYTES, Spec, State};

/// A day of half-hours around 20, with a small deterministic wobble.
fn daily(step: i64) -> f64 {
    let hour = (step % 48) as f64 / 2.0;
    let hill = if hour < 12.0 { hour } else { 24.0 - hour };
    20.0 + hill / 4.0 + ((step * 7_919) % 101) as f64 / 400.0
}

/// After two weeks a daily profile is known.
const SETTLED: usize = 48 * 14;

/// Anomalies among half-hourly readings once the stream is known, and how they were explained.
fn settled_alarms(stream: &mut Stream, values: impl Iterator<Item = f64>) -> Vec<(usize, String)> {
    let mut found = alarms(stream, values);
    found.retain(|(step, _)| *step >= SETTLED);
    found
}

/// Anomalies among half-hourly readings, and how they were explained.
fn alarms(stream: &mut Stream, values: impl Iterator<Item = f64>) -> Vec<(usize, String)> {
    values
        .enumerate()
        .filter_map(|(step, value)| {
            let judgement = stream.at(step as i64 * 30, value);
            assert!(judgement.score_ppm <= 1_000_000);
            assert_eq!(judgement.score_ppm >= 500_000, judgement.kind.name() == "anomaly");
            (judgement.kind.name() == "anomaly").then_some((step, judgement.reason))
        })
        .collect()
}

#[test]
fn the_first_hundred_readings_are_only_learned() {
    let mut stream = Stream::new("anomaly", &[]);
    for step in 0..100 {
        assert_eq!(stream.says(step, if step == 50 { 1e9 } else { 1.0 }), ("learning", 0));
    }
    assert_eq!(stream.says(100, 1.0).0, "normal");
}

#[test]
fn a_value_beyond_everything_seen_is_an_anomaly_with_its_reason() {
    let mut stream = Stream::new("anomaly", &[]);
    let found = settled_alarms(
        &mut stream,
        (0..48 * 21 + 1).map(|step| if step == 48 * 21 { 24.0 } else { daily(step) }),
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, 48 * 21);
    assert_eq!(found[0].1, "24 is 25 % of the usual range above anything seen in 21 days");
}

#[test]
fn a_regular_stream_raises_no_alarm() {
    let mut stream = Stream::new("anomaly", &[]);
    let found = alarms(&mut stream, (0..48 * 60).map(daily));
    assert!(found.len() <= 1 && found.iter().all(|(step, _)| *step < SETTLED), "{found:?}");
}

#[test]
fn a_warm_night_within_the_daily_range_is_found() {
    let mut stream = Stream::new("anomaly", &[]);
    let warm = 48 * 30..48 * 30 + 14;
    let found = settled_alarms(
        &mut stream,
        (0..48 * 32).map(|step| if warm.contains(&step) { 22.5 } else { daily(step) }),
    );
    assert!(found.iter().any(|(step, _)| warm.contains(&(*step as i64))), "{found:?}");
    assert!(found[0].1.contains("farther from its daily course than ever in 30 days"), "{found:?}");
}

#[test]
fn a_stuck_sensor_is_found() {
    let mut stream = Stream::new("anomaly", &[]);
    let found = settled_alarms(
        &mut stream,
        (0..4_000).map(|step| if step < 3_500 { ((step * 7_919) % 101) as f64 } else { 50.0 }),
    );
    assert!(found[0].0 >= 3_500 && found.len() <= 5, "{found:?}");
    assert!(found.iter().all(|(_, reason)| reason.contains("moves less than ever")), "{found:?}");
}

#[test]
fn a_slow_drift_is_found_within_its_first_day() {
    let mut stream = Stream::new("anomaly", &[]);
    let found = settled_alarms(
        &mut stream,
        (0..48 * 40)
            .map(|step| daily(step) + if step > 48 * 30 { (step - 48 * 30) as f64 / 96.0 } else { 0.0 }),
    );
    assert!(found[0].0 > 48 * 30 && found[0].0 < 48 * 31, "{found:?}");
}

#[test]
fn after_an_alarm_only_something_much_stranger_speaks() {
    let mut stream = Stream::new("anomaly", &[]);
    let odd = |step: i64| match step {
        1_000 => 26.0,
        1_030 => 28.0,
        1_060 => 90.0,
        _ => daily(step),
    };
    let found = settled_alarms(&mut stream, (0..1_100).map(odd));
    assert_eq!(found.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1_000, 1_060], "{found:?}");
}

#[test]
fn a_declared_range_only_scales() {
    let odd = |step: i64| if step == 990 { 115.0 } else { ((step * 7_919) % 101) as f64 };
    let run = |params: &[(&str, common::P)]| {
        settled_alarms(&mut Stream::new("anomaly", params), (0..1_000).map(odd)).len()
    };
    assert_eq!(run(&[]), 1);
    assert_eq!(run(&[("low", N(0.0)), ("high", N(120.0))]), 1);
    assert_eq!(
        run(&[("low", N(-1_000.0)), ("high", N(1_000.0))]),
        0,
        "under a per cent of the range is no novelty"
    );
    // Reaching the end of the declared range is no evidence by itself.
    let mut stream = Stream::new("anomaly", &[("low", N(0.0)), ("high", N(100.0))]);
    assert_eq!(settled_alarms(&mut stream, (0..2_000).map(|step| ((step * 7_919) % 101) as f64)), vec![]);
}

#[test]
fn no_reading_changes_an_earlier_judgement() {
    let mut whole = Stream::new("anomaly", &[]);
    let all: Vec<_> = (0..600).map(|step| whole.at(step * 30, daily(step))).collect();
    let mut part = Stream::new("anomaly", &[]);
    for step in 0..300 {
        assert_eq!(part.at(step * 30, daily(step)), all[step as usize]);
    }
}

#[test]
fn states_are_small() {
    let mut stream = Stream::new("anomaly", &[]);
    for step in 0..31 {
        stream.at(step * 30, daily(step));
    }
    assert!(stream.state.encode().len() < 256, "{}", stream.state.encode().len());
    for step in 31..5_000 {
        stream.at(step * 30, daily(step));
    }
    assert!(stream.state.encode().len() < 640 && 640 < MAX_STATE_BYTES);
}

#[test]
fn hostile_streams_neither_panic_nor_leave_what_cannot_be_encoded() {
    let values: [fn(i64) -> f64; 9] = [
        |_| 0.0,
        |_| 5e-324,
        |step| if step % 2 == 0 { f64::MAX } else { f64::MIN },
        |step| if step < 200 { 0.0 } else { 1e300 },
        |step| if step < 200 { 5e-324 } else { 1.5e-323 },
        |step| if step % 50 == 0 { -1e300 } else { 1e-300 },
        |step| if step == 0 { 1e308 } else { 1.0 },
        |step| if step < 150 { 20.1 } else { 20.1 + 1e-14 },
        |step| (step % 2) as f64 * 5e-324,
    ];
    for (at, value) in values.iter().enumerate() {
        let mut stream = Stream::new("anomaly", &[]);
        let found = settled_alarms(&mut stream, (0..1_000).map(value));
        assert!(found.len() < 25, "stream {at}: {found:?}");
        assert_eq!(State::decode(&stream.spec, &stream.state.encode()).unwrap(), stream.state, "stream {at}");
    }
    let mut stream = Stream::new("anomaly", &[("low", N(f64::MIN)), ("high", N(f64::MAX))]);
    let spec = stream.spec.clone();
    for time_us in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        stream.state.step(&spec, Input { time_us, value: 1.0, block_time_ms: 0 });
    }
    assert_eq!(State::decode(&spec, &stream.state.encode()).unwrap(), stream.state);
}

#[test]
fn a_standing_stream_that_moves_for_the_first_time_is_an_anomaly() {
    let mut stream = Stream::new("anomaly", &[]);
    let found = alarms(&mut stream, (0..300).map(|step| if step < 250 { 4.0 } else { 4.5 }));
    assert_eq!(
        found,
        [(250, "4.5 is many times the usual range above anything seen in 5 days 5 h".to_owned())]
    );
}

#[test]
fn wrong_parameters_are_refused() {
    let refused =
        |params: &[(&str, common::P)]| Spec::decode("anomaly", &cbor(params)).unwrap_err().to_string();
    assert_eq!(refused(&[("low", N(1.0))]), "parameter \"high\" is missing");
    assert_eq!(
        refused(&[("low", N(1.0)), ("high", N(1.0))]),
        "parameter \"low\": below \"high\" is expected"
    );
    assert_eq!(refused(&[("threshold", T("0.5"))]), "unknown parameter \"threshold\"");
    assert_eq!(hex::encode(Spec::decode("anomaly", &[]).unwrap().params()), "a0");
}
