//! States written by an earlier build are read by this one, to the same bytes and the same future.
//!
//! The files are hex, made by `TRIAD_WRITE_FIXTURES=1 cargo test -p triad-models --test fixtures` for version 1 of the
//! layout, of the anomaly model for version 2. A change of layout takes a new version byte and new files; it never rewrites these.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;

use std::path::Path;

use common::P::{I, N, T};
use triad_models::{Input, Spec, State};

/// The model, the number of readings behind its state, and what it says of the next.
fn cases() -> Vec<(&'static str, Spec, i64, &'static str)> {
    let range = common::spec(
        "range",
        &[
            ("high", N(25.0)),
            ("max_outside_ms", I(7_200_000)),
            ("mkt_limit", N(24.0)),
            ("mkt_window_ms", I(86_400_000)),
            ("unit", T("Cel")),
        ],
    );
    let silence = common::spec("silence", &[("interval_ms", I(900_000))]);
    let anomaly = common::spec("anomaly", &[]);
    let forecast = common::spec(
        "forecast",
        &[("interval_ms", I(1_800_000)), ("season", I(40)), ("horizon", I(3)), ("high", N(90.0))],
    );
    vec![
        ("range", range, 40, "duration"),
        ("silence", silence, 3, "resumed"),
        ("anomaly_31", anomaly.clone(), 31, "learning"),
        ("anomaly_1500", anomaly, 1_500, "anomaly"),
        ("forecast_20", forecast.clone(), 20, "learning"),
        ("forecast_500", forecast, 500, "off-forecast"),
    ]
}

/// Half an hour apart; three warm hours in every twenty, so that reading 39 is outside.
fn input(step: i64) -> Input {
    let value = if step % 40 >= 34 { 27.5 } else { 20.0 + ((step * 7_919) % 101) as f64 / 50.0 };
    Input { time_us: step * 1_800_000_000, value, block_time_ms: step as u64 * 1_800_000 }
}

#[test]
fn states_of_the_current_versions_are_still_read() {
    for (name, spec, readings, says) in cases() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.hex"));
        let mut state = State::new(&spec);
        for step in 0..readings {
            state.step(&spec, input(step));
        }
        if std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
            std::fs::write(&path, hex::encode(state.encode()) + "\n").unwrap();
        }
        let bytes = hex::decode(std::fs::read_to_string(&path).unwrap().trim()).unwrap();
        let mut stored = State::decode(&spec, &bytes).unwrap();
        assert_eq!((&stored, stored.encode()), (&state, bytes), "{name}");
        let next = match name {
            "anomaly_1500" | "forecast_500" => Input { value: 35.0, ..input(readings) },
            "range" => Input { value: 26.0, ..input(readings) },
            _ => input(readings),
        };
        let judgement = stored.step(&spec, next);
        assert_eq!(judgement, state.step(&spec, next), "{name}");
        assert_eq!(judgement.kind.name(), says, "{name}: {judgement:?}");
    }
}
