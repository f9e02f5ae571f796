//! A state written and read again has the same future, and nothing else is read as a state.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;

use common::P::{I, N, T};
use proptest::prelude::*;
use triad_models::{Input, MAX_STATE_BYTES, Spec, State, StateError};

fn specs() -> Vec<Spec> {
    let hour = 3_600_000;
    vec![
        common::spec("range", &[("low", N(2.0)), ("high", N(8.0))]),
        common::spec(
            "range",
            &[
                ("low", N(-50.0)),
                ("high", N(50.0)),
                ("allowed_low", N(-90.0)),
                ("allowed_high", N(90.0)),
                ("max_outside_ms", I(10 * hour)),
                ("max_outside_total_ms", I(40 * hour)),
                ("mkt_limit", N(25.0)),
                ("mkt_window_ms", I(72 * hour)),
                ("unit", T("Cel")),
            ],
        ),
        common::spec("silence", &[("interval_ms", I(hour)), ("grace_ms", I(0))]),
        common::spec("anomaly", &[]),
        common::spec("anomaly", &[("low", N(-100.0)), ("high", N(100.0))]),
        common::spec("forecast", &[("interval_ms", I(hour)), ("low", N(-50.0))]),
        common::spec("forecast", &[("interval_ms", I(600_000)), ("season", I(12)), ("horizon", I(20))]),
    ]
}

/// Ordinary values mostly, any finite one at times.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -100.0..100.0_f64,
        2 => prop::sample::select(vec![0.0, 1.0, 1.0, -0.0, 5e-324, 1e300, f64::MAX, f64::MIN]),
        1 => any::<f64>().prop_filter("finite", |value| value.is_finite()),
    ]
}

/// Steps between readings in microseconds; at times none, or backwards.
fn pace() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 1..7_200_000_000_i64, 1 => -10..1_i64, 1 => 0..i64::MAX / 1_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_decoded_state_has_the_same_future(
        which in 0_usize..7,
        cut in 0_usize..400,
        course in prop::collection::vec((pace(), value()), 1..400),
    ) {
        let spec = &specs()[which];
        let (mut kept, mut copy) = (State::new(spec), State::new(spec));
        let mut time_us = 1_700_000_000_000_000_i64;
        for (at, (pace, value)) in course.into_iter().enumerate() {
            if at >= cut {
                let bytes = copy.encode();
                prop_assert!(bytes.len() <= MAX_STATE_BYTES && (at >= 32 || which == 1 || which >= 5 || bytes.len() < 256));
                copy = State::decode(spec, &bytes).unwrap();
                prop_assert_eq!(copy.encode(), bytes);
            }
            time_us = time_us.saturating_add(pace);
            let input = Input { time_us, value, block_time_ms: (time_us / 1_000) as u64 };
            let (said, again) = (kept.step(spec, input), copy.step(spec, input));
            prop_assert!(said.score_ppm <= 1_000_000 && said.reason.len() <= 255);
            prop_assert_eq!(said, again);
            prop_assert_eq!(kept.deadline_ms(spec), copy.deadline_ms(spec));
            if pace % 5 == 0 {
                let late = input.block_time_ms.saturating_add(4_000_000);
                prop_assert_eq!(kept.on_deadline(spec, late), copy.on_deadline(spec, late));
            }
        }
        prop_assert_eq!(kept, copy);
    }

    #[test]
    fn bytes_that_are_no_state_are_refused_and_any_that_is_steps_on(
        which in 0_usize..7,
        readings in 0_i64..200,
        at in any::<prop::sample::Index>(),
        bits in 1_u8..=255,
        length in any::<prop::sample::Index>(),
    ) {
        let spec = &specs()[which];
        let mut state = State::new(spec);
        let input = |step: i64| Input { time_us: step * 600_000_000, value: (step * 37 % 120) as f64, block_time_ms: 0 };
        (0..readings).for_each(|step| drop(state.step(spec, input(step))));
        let bytes = state.encode();
        prop_assert!(State::decode(spec, &bytes[..length.index(bytes.len())]).is_err());
        prop_assert!(State::decode(spec, &[&bytes[..], &[0]].concat()).is_err());
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= bits;
        if let Ok(mut other) = State::decode(spec, &changed) {
            for step in readings..readings + 150 {
                other.step(spec, input(step + 1));
                prop_assert!(State::decode(spec, &other.encode()).is_ok());
            }
        }
    }
}

#[test]
fn a_state_of_another_kind_or_version_is_refused() {
    let specs = specs();
    let bytes = State::new(&specs[0]).encode();
    assert_eq!(hex::encode(&bytes), "010100");
    assert_eq!(State::decode(&specs[3], &bytes), Err(StateError::Mismatch { version: 1, kind: 1 }));
    assert_eq!(State::decode(&specs[0], &[2, 1, 0]), Err(StateError::Mismatch { version: 2, kind: 1 }));
    assert_eq!(State::decode(&specs[0], &[]), Err(StateError::Length));
}
