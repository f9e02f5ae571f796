//! What the range model promises.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;

use common::P::{I, N, T};
use common::{Stream, cbor};
use triad_models::{Input, Spec, SpecError, State};

const BREACH: u32 = 1_000_000;
const HOUR_MS: u64 = 3_600_000;

#[test]
fn every_reading_outside_says_so_and_the_return_says_how_long_it_was() {
    let mut stream = Stream::new("range", &[("low", N(68.0)), ("high", N(77.0))]);
    assert_eq!(stream.says(0, 70.0), ("normal", 0));
    assert_eq!(stream.says(5, 77.0), ("normal", 0));
    assert_eq!(stream.says(10, 77.5), ("high", BREACH));
    assert_eq!(stream.says(15, 80.0), ("high", BREACH));
    assert_eq!(stream.says(20, 78.0), ("high", BREACH));
    let back = stream.at(25, 76.0);
    assert_eq!((back.kind.name(), back.score_ppm), ("back-in-range", 0));
    assert_eq!(back.reason, "76 is within the limits again after 10 min outside, at worst 80");
    assert_eq!(stream.says(30, 76.0), ("normal", 0));
    let low = stream.at(35, 60.0);
    assert_eq!((low.kind.name(), low.reason.as_str()), ("low", "60 is 8 below the limit 68"));
}

#[test]
fn an_excursion_within_the_allowed_limits_is_tolerated_and_scored_by_depth() {
    let params = [("low", N(68.0)), ("high", N(77.0)), ("allowed_low", N(59.0)), ("allowed_high", N(86.0))];
    let mut stream = Stream::new("range", &params);
    assert_eq!(stream.says(0, 77.0 + 4.5), ("high", 750_000));
    assert_eq!(stream.says(5, 86.0), ("high", 999_999));
    assert_eq!(stream.says(10, 86.1), ("high", BREACH));
    assert_eq!(stream.says(15, 64.0), ("low", 500_000 + 222_222));
    assert_eq!(stream.says(20, 58.9), ("low", BREACH));
}

#[test]
fn an_excursion_longer_than_tolerated_is_a_duration_breach_until_it_ends() {
    let mut stream =
        Stream::new("range", &[("high", N(8.0)), ("max_outside_ms", I(30 * 60_000)), ("unit", T("Cel"))]);
    assert_eq!(stream.says(0, 9.0), ("high", 500_000));
    assert_eq!(stream.says(30, 9.0), ("high", 500_000));
    let over = stream.at(31, 9.5);
    assert_eq!((over.kind.name(), over.score_ppm), ("duration", BREACH));
    assert_eq!(over.reason, "outside for 31 min, 30 min is tolerated; 9.5 °C is 1.5 above the limit 8 °C");
    assert_eq!(stream.says(40, 8.5), ("duration", BREACH));
    assert_eq!(stream.says(41, 7.0), ("back-in-range", 0));
    assert_eq!(stream.says(42, 9.0), ("high", 500_000), "a new excursion starts at zero");
}

#[test]
fn the_total_over_excursions_has_its_own_limit_and_skips_what_nobody_saw() {
    let mut stream = Stream::new("range", &[("high", N(8.0)), ("max_outside_total_ms", I(20 * 60_000))]);
    assert_eq!(stream.says(0, 9.0).0, "high");
    assert_eq!(stream.says(15, 9.0).0, "high");
    // The way back to inside and out again is not counted: it was seen from neither side.
    assert_eq!(stream.says(60, 7.0).0, "back-in-range");
    assert_eq!(stream.says(120, 9.0).0, "high");
    assert_eq!(stream.says(125, 9.0).0, "high");
    assert_eq!(stream.says(126, 9.0), ("duration", BREACH));
}

#[test]
fn a_swing_from_one_side_to_the_other_is_one_excursion() {
    let mut stream =
        Stream::new("range", &[("low", N(2.0)), ("high", N(8.0)), ("max_outside_ms", I(60_000))]);
    assert_eq!(stream.says(0, 9.0).0, "high");
    assert_eq!(stream.says(1, 1.0).0, "low");
    assert_eq!(stream.says(2, 9.0).0, "duration");
    assert_eq!(stream.at(3, 5.0).reason, "5 is within the limits again after 2 min outside, at worst 9");
}

#[test]
fn a_reading_that_is_not_newer_is_late_and_changes_nothing() {
    let mut stream = Stream::new("range", &[("high", N(8.0))]);
    stream.at(10, 9.0);
    let before = stream.state.clone();
    assert_eq!(stream.says(10, 5.0), ("late", 0));
    assert_eq!(stream.says(9, 5.0), ("late", 0));
    assert_eq!(stream.says(11, f64::NAN), ("late", 0));
    assert_eq!(stream.state, before);
}

/// Twelve hourly readings in °C (arithmetic mean 23.33) whose mean kinetic temperature is 23.751 153 564 °C, worked out
/// from the formula of USP <1079.2> with 50 decimal digits.
#[test]
fn mean_kinetic_temperature_follows_the_worked_example() {
    let example = [19.8, 20.4, 21.9, 23.6, 25.2, 27.1, 28.4, 26.0, 24.3, 22.2, 21.0, 20.1];
    let limit = 23.7;
    let params =
        [("mkt_limit", N(limit)), ("mkt_window_ms", I(48 * HOUR_MS)), ("unit", T("Cel")), ("high", N(40.0))];
    let mut stream = Stream::new("range", &params);
    let last = (0..36).map(|hour| stream.at(hour * 60, example[hour as usize % 12])).last().unwrap();
    assert_eq!((last.kind.name(), last.score_ppm), ("mkt", BREACH), "{last:?}");
    assert_eq!(last.reason, "mean kinetic temperature 23.751 °C is above the limit 23.7 °C (window 2 days)");
    let mut cool = Stream::new("range", &[("mkt_limit", N(23.8)), ("unit", T("Cel"))]);
    let last = (0..36).map(|hour| cool.says(hour * 60, example[hour as usize % 12])).last().unwrap();
    assert_eq!(last, ("normal", 0));
}

#[test]
fn fahrenheit_and_celsius_agree_on_the_mean_kinetic_temperature() {
    let mut celsius = Stream::new("range", &[("mkt_limit", N(25.0)), ("unit", T("Cel"))]);
    let mut fahrenheit = Stream::new("range", &[("mkt_limit", N(77.0)), ("unit", T("Far"))]);
    for hour in 0..24 * 40 {
        let value = 20.0 + (hour % 24) as f64 * 0.5;
        assert_eq!(celsius.says(hour * 60, value), fahrenheit.says(hour * 60, value * 9.0 / 5.0 + 32.0));
    }
}

#[test]
fn parameters_have_one_canonical_form_and_hash() {
    let loose = cbor(&[("high", N(77.0)), ("max_outside_ms", N(60_000.0)), ("low", N(68.5))]);
    let spec = Spec::decode("range", &loose).unwrap();
    assert_eq!(
        hex::encode(spec.params()),
        "a3636c6f77f9544864686967681 84d6e6d61785f6f7574736964655f6d7319ea60".replace(' ', "")
    );
    let again = Spec::decode("range", &spec.params()).unwrap();
    assert_eq!((again.params(), again.content_hash()), (spec.params(), spec.content_hash()));
    assert_eq!(again, spec);
}

#[test]
fn wrong_parameters_are_refused_with_the_reason() {
    let refused =
        |params: &[(&str, common::P)]| Spec::decode("range", &cbor(params)).unwrap_err().to_string();
    assert_eq!(refused(&[]), "parameter \"low, high or mkt_limit\" is missing");
    assert_eq!(refused(&[("lo", N(1.0))]), "unknown parameter \"lo\"");
    assert_eq!(
        refused(&[("low", N(9.0)), ("high", N(8.0))]),
        "parameter \"low\": not above \"high\" is expected"
    );
    assert_eq!(
        refused(&[("high", N(8.0)), ("allowed_high", N(7.0))]),
        "parameter \"allowed_high\": not below \"high\" is expected"
    );
    assert_eq!(refused(&[("allowed_low", N(7.0)), ("high", N(8.0))]), "parameter \"low\" is missing");
    assert_eq!(refused(&[("mkt_limit", N(25.0))]), "parameter \"unit\" is missing");
    assert_eq!(
        refused(&[("mkt_limit", N(25.0)), ("unit", T("Reaumur"))]),
        "parameter \"unit\": \"Cel\", \"Far\" or \"K\" is expected"
    );
    assert_eq!(refused(&[("high", T("8"))]), "parameter \"high\": a finite number is expected");
    assert!(refused(&[("high", N(f64::NAN))]).contains("not finite"));
    assert!(
        refused(&[("high", N(8.0)), ("max_outside_ms", N(0.5))]).contains("whole number of milliseconds")
    );
    assert!(matches!(Spec::decode("rnage", &[]), Err(SpecError::UnknownKind(_))));
}

#[test]
fn the_longest_window_stays_within_the_state_bound() {
    for window in [HOUR_MS, 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS, 1_000 * 24 * HOUR_MS] {
        let params = [("mkt_limit", N(77.0)), ("mkt_window_ms", I(window)), ("unit", T("Far"))];
        let mut stream = Stream::new("range", &params);
        let mut largest = 0;
        for step in 0..20_000 {
            stream.at(step * 60, 70.0 + (step % 7) as f64);
            if step == 31 {
                assert!(stream.state.encode().len() < 600);
            }
            largest = largest.max(stream.state.encode().len());
        }
        assert!(largest <= 2_500, "{largest}");
        let copy = State::decode(&stream.spec, &stream.state.encode()).unwrap();
        assert_eq!(copy, stream.state);
    }
}

#[test]
fn extreme_values_and_times_do_not_panic() {
    let params = [
        ("low", N(-1e308)),
        ("high", N(1e308)),
        ("allowed_high", N(f64::MAX)),
        ("max_outside_total_ms", I(1)),
        ("mkt_limit", N(300.0)),
        ("unit", T("K")),
    ];
    let mut stream = Stream::new("range", &params);
    for (time_us, value) in
        [(i64::MIN, f64::MAX), (-1, f64::MIN), (0, 5e-324), (1, -0.0), (i64::MAX, f64::MAX)]
    {
        let spec = stream.spec.clone();
        let judgement = stream.state.step(&spec, Input { time_us, value, block_time_ms: u64::MAX });
        assert!(judgement.reason.len() <= 255 && judgement.score_ppm <= BREACH);
        assert_eq!(State::decode(&spec, &stream.state.encode()).unwrap(), stream.state);
    }
}
