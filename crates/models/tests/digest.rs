//! Every machine, build and optimisation level gives the same judgements and states, to the last bit.
//!
//! The constants were made on x86-64 with the debug profile. A change of them is a change of consensus.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

mod common;
#[path = "common/window.rs"]
mod drawn;

use std::path::{Path, PathBuf};

use common::P::{I, N, T};
use sha2::{Digest, Sha256};
use triad_models::group::{GroupSpec, GroupState};
use triad_models::heart::HeartMonitor;
use triad_models::trees::{Node, Trees};
use triad_models::{FileModel, Input, Predicts, RowModel, Spec, State, WindowModel, WindowSpec};

fn specs() -> Vec<Spec> {
    let hour = 3_600_000;
    vec![
        common::spec(
            "range",
            &[
                ("low", N(68.0)),
                ("high", N(77.0)),
                ("allowed_low", N(59.0)),
                ("allowed_high", N(86.0)),
                ("max_outside_ms", I(24 * hour)),
                ("mkt_limit", N(72.5)),
                ("unit", T("Far")),
            ],
        ),
        common::spec("silence", &[("interval_ms", I(hour))]),
        common::spec("anomaly", &[]),
        common::spec("anomaly", &[("low", N(0.0)), ("high", N(120.0))]),
    ]
}

/// Forecasts of half-hourly readings: of the next one, and of three hours ahead with a daily season and limits.
fn forecasts() -> Vec<Spec> {
    let half_hour = ("interval_ms", I(1_800_000));
    let ahead =
        [("season", I(48)), ("horizon", I(6)), ("low", N(66.0)), ("high", N(76.0)), ("tells", T("low"))];
    vec![
        common::spec("forecast", std::slice::from_ref(&half_hour)),
        common::spec("forecast", &[&[half_hour], &ahead[..]].concat()),
    ]
}

fn digest(series: &[Input]) -> String {
    digest_of(specs(), series)
}

/// SHA-256 over everything that each model says of the series and, at times, over its state.
fn digest_of(specs: Vec<Spec>, series: &[Input]) -> String {
    let mut hasher = Sha256::new();
    for spec in specs {
        hasher.update(spec.content_hash());
        let mut state = State::new(&spec);
        for (at, &input) in series.iter().enumerate() {
            if let Some(judgement) = state.on_deadline(&spec, input.block_time_ms.saturating_sub(1)) {
                hasher.update([judgement.kind.as_u8()]);
                hasher.update(judgement.reason.as_bytes());
            }
            let judgement = state.step(&spec, input);
            hasher.update([judgement.kind.as_u8()]);
            hasher.update(judgement.score_ppm.to_be_bytes());
            hasher.update(judgement.reason.as_bytes());
            if let Some(value) = judgement.value {
                hasher.update(value.to_bits().to_be_bytes());
            }
            if at % 97 == 0 {
                hasher.update(state.encode());
            }
        }
        hasher.update(state.encode());
    }
    hex::encode(hasher.finalize())
}

/// Half-hourly readings: a daily hill, noise of an xorshift generator, gaps, spikes, a stuck stretch, a drift.
fn synthetic() -> Vec<Input> {
    let (mut seed, mut time_ms) = (0x9e37_79b9_7f4a_7c15_u64, 1_700_000_000_000_u64);
    let mut noise = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    (0..6_000)
        .map(|step| {
            time_ms += if step % 701 == 700 { 14_400_000 } else { 1_800_000 };
            let hour = (time_ms / 1_800_000 % 48) as f64 / 2.0;
            let hill = if hour < 12.0 { hour } else { 24.0 - hour };
            let value = match step {
                2_000..2_200 => 71.25,
                3_333 => 99.0 + noise(),
                4_500.. => 70.0 + hill / 2.0 + noise() + (step - 4_500) as f64 / 150.0,
                _ => 68.0 + hill / 2.0 + 3.0 * noise() * noise() * noise(),
            };
            Input { time_us: time_ms as i64 * 1_000, value, block_time_ms: time_ms + 40 }
        })
        .collect()
}

#[test]
fn a_synthetic_series_is_judged_alike_everywhere() {
    assert_eq!(digest(&synthetic()), "af3cfd94e2365d035be97461019b1b97d79959ed05a919ce7050130a7cffc08f");
}

#[test]
fn the_shipped_temperature_record_is_judged_alike_everywhere() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../triad/data/nab/ambient_temperature_system_failure.csv");
    assert_eq!(digest(&read(&path)), "20024993705ccfe3a9f94b17cebf34d3cc4fca7c8738bc3d8a8b3f54a1f2cd81");
}

#[test]
fn forecasts_are_alike_everywhere() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../triad/data/nab/ambient_temperature_system_failure.csv");
    let digests = [synthetic(), read(&path)].map(|series| digest_of(forecasts(), &series));
    assert_eq!(
        digests,
        [
            "5aae75da07ae1eff5dad4f20a61067862cfbe0bd95a626cf3191d69c9ed146ad",
            "a446b78f6419533fd5ceea38ffa3dfdf9267d658ba30719b252b7f83e005a250",
        ]
    );
}

/// Rows of an ensemble drawn at random, for a life and for a failure.
#[test]
fn rows_are_judged_alike_everywhere() {
    let mut seed = 5_u64;
    let mut draw = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut tree = |_| {
        let mut nodes: Vec<Node> = (0..31_u16)
            .map(|at| Node::Split { feature: at % 3, threshold: draw(), low: 2 * at + 1, high: 2 * at + 2 })
            .collect();
        nodes.extend((0..32).map(|_| Node::Leaf(draw() - 0.5)));
        nodes
    };
    let trees = Trees::new(3, 0.25, &(0..50).map(&mut tree).collect::<Vec<_>>()).unwrap();
    let inputs = ["a", "b", "c"].map(str::to_owned);
    let mut hasher = Sha256::new();
    for predicts in
        [Predicts::RemainingLife { most: 4.0, unit: "h".into() }, Predicts::FailureRisk { from: 0.5 }]
    {
        let model = RowModel::new(inputs.to_vec(), predicts, trees.clone()).unwrap();
        hasher.update(model.file().encode());
        for _ in 0..2_000 {
            let said = model.judge(&[draw(), draw(), draw()]).unwrap();
            hasher.update([said.kind.as_u8()]);
            hasher.update(said.score_ppm.to_be_bytes());
            hasher.update(said.value.unwrap().to_bits().to_be_bytes());
            hasher.update(said.reason.as_bytes());
        }
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "587eb396f9f97674c9b33ee41faa6e06cb77c641f7c48a410824d6ff8a923747"
    );
}

/// A drawn network of every kind of layer, over windows that move on.
#[test]
fn networks_are_alike_everywhere() {
    let model = drawn::network();
    let file = model.file().encode();
    let whole = WindowModel::network(model);
    let spec = WindowSpec::of(&file, &whole, [1; 20]);
    let (opened, spec) = (FileModel::Window(spec.open(&file).unwrap()), Spec::Window(spec));
    let (mut hasher, mut state, mut draws) = (Sha256::new(), State::new(&spec), drawn::Draws(12));
    hasher.update(spec.content_hash());
    for at in 0..3_000 {
        let row = [draws.share() * 4.0 - 2.0, draws.share() * 100.0, draws.share() - 0.5];
        let said = state.step_row(&opened, at, &row).unwrap().unwrap();
        hasher.update([said.kind.as_u8()]);
        hasher.update(said.score_ppm.to_be_bytes());
        hasher.update(said.reason.as_bytes());
        if let Some(value) = said.value {
            hasher.update(value.to_bits().to_be_bytes());
        }
        if at % 97 == 0 {
            hasher.update(state.encode());
        }
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "0cf46d055a63f1ae9fe7a08b2bd4b989368ed87f0f7fbe1e948f3a221d0f6fca"
    );
}

/// Three streams of one machine: a steady one that falls and comes back, one that wanders, one that falls silent.
#[test]
fn a_synthetic_group_is_judged_alike_everywhere() {
    let spec = GroupSpec::new(3, 400).unwrap();
    let (mut hasher, mut state) = (Sha256::new(), GroupState::new(spec));
    let mut wandering = 20.0;
    for (at, input) in synthetic().into_iter().take(3_000).enumerate() {
        wandering += (input.value - 71.0) / 50.0;
        let steady = 5.0 + input.value / 10.0 - if (900..1_300).contains(&at) { 6.0 } else { 0.0 };
        let silent = (at % 500 < 450).then_some(input.value * input.value);
        let said = state.step(&[Some(steady), Some(wandering), silent]).unwrap();
        for number in [said.score, said.difference, said.usual] {
            hasher.update(number.to_bits().to_be_bytes());
        }
        hasher.update([said.column as u8, u8::from(said.change)]);
        if at % 97 == 0 {
            hasher.update(state.encode());
        }
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "7e0ab8cce2a7045a2363dd9bdc4a8e39fd604506cedab95b8a9e8b6a0d793c4a"
    );
}

/// A heart that now and then beats early and wide, in noise.
#[test]
fn a_synthetic_heart_is_judged_alike_everywhere() {
    let (mut hasher, mut monitor) = (Sha256::new(), HeartMonitor::default());
    let (mut seed, mut next, mut number) = (11_u64, 200_i64, 0_u32);
    let mut beats = 0;
    for at in 0..60_000_i64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let half = if number % 7 == 6 { 25 } else { 9 };
        let height = 400 * (half - (at - next).abs()).max(0) / half;
        if at > next + half {
            number += 1;
            next += 250 + (seed >> 59) as i64 - if number % 7 == 6 { 80 } else { 0 };
        }
        if let Some(beat) = monitor.step((height + (seed >> 60) as i64) as i32) {
            beats += 1;
            hasher.update(beat.at.to_be_bytes());
            for feature in beat.features.iter().flatten() {
                hasher.update(feature.to_bits().to_be_bytes());
            }
        }
    }
    assert!(beats > 200, "{beats}");
    assert_eq!(
        hex::encode(hasher.finalize()),
        "c288e0175bec1875e6920d0fa554308903bd3b90dca4b407420a5c46cacd10e5"
    );
}

/// The main job shows this: at least one of the two labelled failures is found, with at most three false alarms.
#[test]
fn the_labelled_failures_of_the_shipped_record_are_found_with_few_false_alarms() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../triad/data/nab");
    let labels = std::fs::read_to_string(folder.join("windows.json")).unwrap();
    let labels: std::collections::BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(&labels).unwrap();
    let windows: Vec<_> =
        labels.values().flatten().map(|[a, b]| (microseconds(a), microseconds(b))).collect();
    let series = read(&folder.join("ambient_temperature_system_failure.csv"));
    let spec = Spec::decode("anomaly", &[]).unwrap();
    let mut state = State::new(&spec);
    let alarms: Vec<i64> = series
        .iter()
        .filter(|&&input| state.step(&spec, input).kind.name() == "anomaly")
        .map(|input| input.time_us)
        .collect();
    let inside = |time: i64, &(from, to): &(i64, i64)| (from..=to).contains(&time);
    let found = windows.iter().filter(|window| alarms.iter().any(|&time| inside(time, window))).count();
    let false_alarms =
        alarms.iter().filter(|&&time| !windows.iter().any(|window| inside(time, window))).count();
    assert_eq!((windows.len(), found), (2, 2));
    assert!(false_alarms <= 3, "{false_alarms}");
}

/// Every file of the public benchmark through the default detector.
#[test]
fn the_public_benchmark_is_judged_alike_everywhere() {
    let shared = std::env::var_os("TRIAD_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let folder = shared.join("data/nab/data");
    if !folder.is_dir() {
        assert!(std::env::var("CI_REQUIRE_DATA").as_deref() != Ok("1"), "no {}", folder.display());
        println!("SKIPPED: judgements over the NAB files (shared data not found)");
        return;
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .flat_map(|category| std::fs::read_dir(category.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let spec = Spec::decode("anomaly", &[]).unwrap();
    let mut hasher = Sha256::new();
    for file in files {
        let mut state = State::new(&spec);
        for input in read(&file) {
            let judgement = state.step(&spec, input);
            hasher.update([judgement.kind.as_u8()]);
            hasher.update(judgement.score_ppm.to_be_bytes());
            hasher.update(judgement.reason.as_bytes());
        }
        hasher.update(state.encode());
    }
    assert_eq!(
        hex::encode(hasher.finalize()),
        "e1fc3ae60c5ce265b00422bff05662453209226926d616a79f7c3b0a4d66180c"
    );
}

fn read(path: &Path) -> Vec<Input> {
    csv::Reader::from_path(path)
        .unwrap()
        .records()
        .map(|record| {
            let record = record.unwrap();
            let time_us = microseconds(&record[0]);
            Input { time_us, value: record[1].parse().unwrap(), block_time_ms: (time_us / 1_000) as u64 }
        })
        .collect()
}

/// `YYYY-MM-DD HH:MM:SS` as microseconds since the epoch; years of this century only.
fn microseconds(text: &str) -> i64 {
    let numbers: Vec<i64> = text.split(['-', ' ', ':', '.']).map(|part| part.parse().unwrap()).collect();
    let leap = |year: i64| year % 4 == 0;
    let lengths = [31, if leap(numbers[0]) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let days = 10_957
        + (2_000..numbers[0]).map(|year| if leap(year) { 366 } else { 365 }).sum::<i64>()
        + lengths[..numbers[1] as usize - 1].iter().sum::<i64>()
        + numbers[2]
        - 1;
    (((days * 24 + numbers[3]) * 60 + numbers[4]) * 60 + numbers[5]) * 1_000_000
}

/// A drawn life model over an engine that wears out, and a drawn model of failures.
#[test]
fn models_that_remember_rows_are_alike_everywhere() {
    let mut hasher = Sha256::new();
    let mut judge = |model: WindowModel, file: Vec<u8>, rows: &[Vec<f64>]| {
        let spec = WindowSpec::of(&file, &model, [1; 20]);
        let (opened, spec) = (FileModel::Window(spec.open(&file).unwrap()), Spec::Window(spec));
        hasher.update(spec.content_hash());
        let mut state = State::new(&spec);
        for (at, row) in rows.iter().enumerate() {
            let said = state.step_row(&opened, at as i64, row).unwrap().unwrap();
            hasher.update([said.kind.as_u8()]);
            hasher.update(said.score_ppm.to_be_bytes());
            hasher.update(said.reason.as_bytes());
            if let Some(value) = said.value {
                hasher.update(value.to_bits().to_be_bytes());
            }
            hasher.update(state.encode());
        }
    };
    let (life, failures) = (drawn::life(), drawn::failures());
    judge(WindowModel::life(life.clone()), life.file().encode(), &drawn::engine(400));
    let mut draws = drawn::Draws(8);
    let rows: Vec<Vec<f64>> = (0..500).map(|_| (0..6).map(|_| 2.0 * draws.share()).collect()).collect();
    judge(WindowModel::failures(failures.clone()), failures.file().encode(), &rows);
    assert_eq!(
        hex::encode(hasher.finalize()),
        "2a8bb523eae17a492fc58a083dcf45c2cc81f79777dd204536e89024061c0b4a"
    );
}
