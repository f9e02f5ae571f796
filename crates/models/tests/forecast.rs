//! The model `forecast`: what it says of streams that behave, and that nothing upsets it for long.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;

use common::P::{I, N, T};
use common::{P, Stream};
use triad_models::{Input, Judgement, MAX_STATE_BYTES, State, VerdictKind};

const MINUTE: (&str, P) = ("interval_ms", I(60_000));

fn noise(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((1_023 + exponent) as u64) << 52)
}

/// A course of 24 minutes on a slow drift, in noise.
fn course(minute: i64, seed: &mut u64) -> f64 {
    let phase = (minute.rem_euclid(24)) as f64;
    let hill = if phase < 12.0 { phase } else { 24.0 - phase };
    20.0 + hill + minute as f64 / 1_000.0 + noise(seed)
}

fn seasonal(params: &[(&'static str, P)]) -> Stream {
    Stream::new("forecast", &[&[MINUTE, ("season", I(24)), ("horizon", I(6))], params].concat())
}

#[test]
fn nine_in_ten_readings_lie_in_the_interval_forecast_for_them_and_the_forecast_is_near() {
    let (mut stream, mut seed, mut forecasts) = (seasonal(&[]), 7, Vec::new());
    let (mut inside, mut asked, mut error) = (0, 0, 0.0);
    for minute in 0..6_000 {
        let value = course(minute, &mut seed);
        let said = stream.at(minute, value);
        if minute < 24 + 2 + 40 {
            assert_eq!(said.kind, VerdictKind::Learning, "{minute}");
        }
        forecasts.push(said.value);
        if let Some(Some(forecast)) = (minute > 1_000).then(|| forecasts[minute as usize - 6]) {
            asked += 1;
            inside += usize::from(said.kind == VerdictKind::Forecast);
            error += (forecast - value).abs();
        }
    }
    let (share, error) = (inside as f64 / f64::from(asked), error / f64::from(asked));
    assert!((0.88..0.92).contains(&share), "{share}");
    // Noise alone is off by a quarter on average; the value of now would be off by five.
    assert!(error < 0.4, "{error}");
}

#[test]
fn a_reading_far_off_is_told_with_its_interval_and_a_forecast_beyond_a_limit_before_it_comes() {
    let (mut stream, mut seed) = (seasonal(&[]), 3);
    (0..1_000).for_each(|minute| drop(stream.at(minute, course(minute, &mut seed))));
    let said = stream.at(1_000, course(1_000, &mut seed) + 20.0);
    assert_eq!(said.kind, VerdictKind::OffForecast);
    assert!(said.score_ppm > 900_000, "{said:?}");
    assert!(
        said.reason.contains("was forecast 6 min before") && said.reason.ends_with("in 9 of 10 cases"),
        "{said:?}"
    );

    let mut limited = seasonal(&[("low", N(15.0)), ("high", N(31.5))]);
    let mut seed = 3;
    let said: Vec<Judgement> =
        (0..2_000).map(|minute| limited.at(minute, course(minute, &mut seed))).collect();
    let expected: Vec<usize> =
        (1_500..2_000).filter(|&at| said[at].kind == VerdictKind::ExpectedHigh).collect();
    assert!(expected.len() > 40);
    // Six minutes before the hill's top, and nowhere near the valley.
    assert!(expected.iter().all(|at| (3..=9).contains(&(at % 24))), "{expected:?}");
    let first = &said[expected[0]];
    assert!(first.score_ppm >= 500_000 && first.value.unwrap() > 31.5, "{first:?}");
    assert!(
        first.reason.contains("expected in 6 min") && first.reason.ends_with("the limit is 31.5"),
        "{first:?}"
    );
}

#[test]
fn the_value_is_the_number_that_was_asked_for() {
    let of = |tells| {
        let (mut stream, mut seed) = (seasonal(&[("tells", T(tells))]), 3);
        (0..500).map(|minute| stream.at(minute, course(minute, &mut seed))).last().unwrap()
    };
    let [value, low, high] = ["value", "low", "high"].map(|tells| of(tells).value.unwrap());
    assert!(low < value && value < high && ((low + high) / 2.0 - value).abs() < 1e-9, "{low} {value} {high}");
    assert_eq!(of("low").reason, of("high").reason);
}

#[test]
fn a_constant_stream_is_as_forecast_and_its_first_move_is_not() {
    let mut stream = Stream::new("forecast", &[MINUTE]);
    let last = (0..200).map(|minute| stream.at(minute, 5.0)).last().unwrap();
    assert_eq!((last.kind, last.score_ppm, last.value), (VerdictKind::Forecast, 0, Some(5.0)));
    assert_eq!(stream.at(200, 5.1).kind, VerdictKind::OffForecast);
    assert_eq!(stream.at(201, 5.1).kind, VerdictKind::Forecast, "the value of now is a good guess");
}

#[test]
fn gaps_and_second_readings_of_a_period_teach_nothing_wrong() {
    let (mut stream, mut seed) = (seasonal(&[]), 7);
    (0..1_000).for_each(|minute| drop(stream.at(minute, course(minute, &mut seed))));
    // A second reading within the minute is passed over, an old one is late; neither changes what is said next.
    let mut other = State::decode(&stream.spec, &stream.state.encode()).unwrap();
    let soon = Input { time_us: 999 * 60_000_000 + 5_000_000, value: 99.0, block_time_ms: 0 };
    let said = stream.state.step(&stream.spec, soon);
    assert_eq!((said.kind, said.value), (VerdictKind::Normal, None));
    assert_eq!(stream.says(5, 1e9), ("late", 0));
    let next = course(1_000, &mut seed);
    let input = Input { time_us: 1_000 * 60_000_000, value: next, block_time_ms: 60_000_000 };
    assert_eq!(stream.at(1_000, next), other.step(&stream.spec, input));
    // Ten minutes are missing: what was forecast for the eleventh is too long ago, but the course is not lost.
    assert_eq!(stream.at(1_011, course(1_011, &mut seed)).kind, VerdictKind::Learning);
    let after: Vec<Judgement> =
        (1_012..1_100).map(|minute| stream.at(minute, course(minute, &mut seed))).collect();
    let good = after[6..].iter().filter(|said| said.kind == VerdictKind::Forecast).count();
    assert!(good > 65, "{good}");
    // A gap longer than a season: gathered anew, within a season.
    for minute in 2_000..2_100 {
        let kind = stream.at(minute, course(minute, &mut seed)).kind;
        assert_eq!(kind == VerdictKind::Learning, minute < 2_000 + 31, "{minute}: {kind}");
    }
}

#[test]
fn after_an_outlier_of_any_size_forecasts_are_good_again_within_two_seasons() {
    for outlier in [1e300, -1e300, 1e12, f64::MAX, 5e-324, 0.0] {
        let (mut stream, mut seed) = (seasonal(&[]), 7);
        (0..1_000).for_each(|minute| drop(stream.at(minute, course(minute, &mut seed))));
        assert_eq!(stream.at(1_000, outlier).kind, VerdictKind::OffForecast);
        let said: Vec<Judgement> =
            (1_001..1_400).map(|minute| stream.at(minute, course(minute, &mut seed))).collect();
        let good = said[60..].iter().filter(|said| said.kind == VerdictKind::Forecast).count();
        assert!(good > 270, "{outlier}: {good} of 339");
        let near = said[60..].iter().filter(|said| (said.value.unwrap() - 27.0).abs() < 12.0).count();
        assert!(near > 320, "{outlier}: {near} of 339");
    }
}

#[test]
fn streams_of_every_scale_are_forecast_alike() {
    let kinds = |scale: f64| {
        let (mut stream, mut seed) = (seasonal(&[]), 9);
        (0..800).map(|minute| stream.at(minute, scale * course(minute, &mut seed)).kind).collect::<Vec<_>>()
    };
    let plain = kinds(1.0);
    // Powers of two lose nothing.
    assert_eq!(kinds(power_of_two(200)), plain);
    assert_eq!(kinds(power_of_two(-900)), plain);
    let subnormal: Vec<VerdictKind> = kinds(1e-310);
    assert_eq!(subnormal.len(), 800, "subnormal numbers are taken, with what precision they have");
}

#[test]
fn the_largest_state_stays_within_bounds_and_every_cut_of_it_is_refused() {
    let params = [MINUTE, ("season", I(168)), ("horizon", I(24)), ("low", N(-1.0)), ("high", N(1.0))];
    let (mut stream, mut seed) = (Stream::new("forecast", &params), 1);
    let mut most = 0;
    for minute in 0..1_000 {
        stream.at(minute, 1e3 * noise(&mut seed));
        most = most.max(stream.state.encode().len());
    }
    assert!((3_000..=MAX_STATE_BYTES).contains(&most), "{most}");
    let bytes = stream.state.encode();
    assert_eq!(State::decode(&stream.spec, &bytes).unwrap(), stream.state);
    assert!((0..bytes.len()).step_by(7).all(|end| State::decode(&stream.spec, &bytes[..end]).is_err()));
}

#[test]
fn parameters_are_checked_and_have_one_form() {
    let refused = |params: &[(&str, P)]| {
        triad_models::Spec::decode("forecast", &common::cbor(params)).unwrap_err().to_string()
    };
    assert!(refused(&[]).contains("\"interval_ms\" is missing"));
    assert!(refused(&[MINUTE, ("season", I(169))]).contains("from 1 to 168"));
    assert!(refused(&[MINUTE, ("horizon", I(0))]).contains("from 1 to 24"));
    assert!(refused(&[MINUTE, ("low", N(2.0)), ("high", N(1.0))]).contains("is above high"));
    assert!(refused(&[MINUTE, ("tells", T("mean"))]).contains("\"value\", \"low\" or \"high\""));
    let long = common::spec("forecast", &[("tells", T("value")), ("season", I(1)), MINUTE]);
    assert_eq!(long.content_hash(), common::spec("forecast", &[MINUTE]).content_hash());
}
