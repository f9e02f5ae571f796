//! Suites and scoring over folders that hold other names than the public ones.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::{engines, folder, heart, machines, only};
use serde_json::Value;
use triad_training::{ScoreOptions, Scored, Suite, TrainingError, Watch};

/// Five-minute readings with a daily course, and a jump at row 2,500.
fn series() -> String {
    let mut text = String::from("timestamp,value\n");
    for row in 0..3_000_u32 {
        let (day, minute) = (1 + row / 288, row % 288 * 5);
        let hill = f64::from(row % 288).min(288.0 - f64::from(row % 288)) / 20.0;
        let value = if row == 2_500 { 60.0 } else { 20.0 + hill + f64::from(row * 7_919 % 101) / 100.0 };
        writeln!(text, "2024-05-{day:02} {:02}:{:02}:00,{value}", minute / 60, minute % 60).unwrap();
    }
    text
}

fn evaluate(suite: Suite, data: &Path) -> Result<Value, TrainingError> {
    triad_training::evaluate(suite, data, &mut Watch::nobody())
}

fn score_csv(path: &Path, options: &ScoreOptions) -> Result<Scored, TrainingError> {
    triad_training::score_csv(path, options, &mut Watch::nobody())
}

#[test]
fn every_row_gets_a_score_and_the_jump_an_alarm() {
    let path = folder("score").join("pump.csv");
    fs::write(&path, series()).unwrap();
    let scored = score_csv(&path, &ScoreOptions::default()).unwrap();
    assert_eq!(scored.scores.len(), 3_000);
    assert!(scored.scores.iter().all(|score| (0.0..=1.0).contains(score)));
    assert!(
        scored.alarms.iter().any(|(row, score, reason)| *row == 2_500 && *score >= 0.5 && !reason.is_empty())
    );
}

#[test]
fn gaps_and_repeated_times_keep_a_score_a_row_and_nonsense_is_refused() {
    let path = folder("gaps").join("a.csv");
    fs::write(&path, "time,bar\n2024-01-01 00:00:00,1\n2024-01-01 00:00:00,2\n2024-01-01 00:05:00,\n")
        .unwrap();
    assert_eq!(score_csv(&path, &ScoreOptions::default()).unwrap().scores, [0.0; 3]);
    fs::write(&path, "time,bar\n2024-01-01 00:00:00,high\n").unwrap();
    let error = score_csv(&path, &ScoreOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("line 2: \"high\" in column 2 is no number"), "{error}");
    let missing = ScoreOptions { value_column: Some("kpa".into()), ..ScoreOptions::default() };
    assert!(score_csv(&path, &missing).unwrap_err().to_string().contains("no column \"kpa\""));
}

#[test]
fn nab_takes_any_names() {
    let root = folder("nab");
    fs::create_dir_all(root.join("data/shed")).unwrap();
    fs::create_dir_all(root.join("labels")).unwrap();
    fs::write(root.join("data/shed/pump.csv"), series()).unwrap();
    let labels = r#"{"shed/pump.csv": [["2024-05-09 16:00:00.000000", "2024-05-09 18:00:00.000000"]]}"#;
    fs::write(root.join("labels/combined_windows.json"), labels).unwrap();
    let result = evaluate(only("nab"), &root).unwrap();
    let score = result["figures"]["causal"]["standard"]["at_0.5"].as_f64().unwrap();
    assert!(score > 50.0, "{result}");
}

#[test]
fn m4_takes_any_series() {
    let root = folder("m4");
    let line = |name: &str, from: usize, to: usize| {
        (from..to).fold(format!("\"{name}\""), |mut line, at| {
            write!(line, ",\"{}\"", 100 + at % 24 * 10 + at * 37 % 11).unwrap();
            line
        })
    };
    let file = |from, to| format!("\"V1\"\n{}\n{}\n", line("a", from, to), line("b", from, to));
    fs::write(root.join("Hourly-train.csv"), file(0, 700)).unwrap();
    fs::write(root.join("Hourly-test.csv"), file(700, 748)).unwrap();
    let result = evaluate(only("m4_hourly"), &root).unwrap();
    assert_eq!(result["figures"]["series"], 2);
    assert!(result["figures"]["smape"].as_f64().unwrap() < 5.0, "{result}");
}

#[test]
fn unknown_suites_and_empty_folders_are_refused_with_words() {
    assert!(matches!(Suite::named("nobody"), Err(TrainingError::UnknownSuite(_))));
    assert_eq!(Suite::named("all").unwrap().len(), Suite::ALL.len());
    for suite in [only("nab"), only("m4_hourly"), only("cmapss"), only("skab"), only("ecg_mitbih")] {
        assert!(evaluate(suite, Path::new("no such folder")).is_err());
    }
}

#[test]
fn failures_are_foretold_by_rules_that_only_the_rows_show() {
    let root = folder("machines");
    fs::write(root.join("mill.csv"), machines(1_500)).unwrap();
    let result = evaluate(only("ai4i2020"), &root).unwrap();
    let figures = &result["figures"]["mill"];
    let f1 = |of: &str| figures[of]["f1_mean"].as_f64().unwrap();
    assert!(f1("failure") > 0.85, "{figures}");
    assert!(f1("OSF") > 0.85 && f1("PWF") > 0.8, "{figures}");
    // What is random is not found, whatever the threshold: a leak from the held-out rows would find it.
    assert!(f1("TWF") < 0.3, "{figures}");
    assert_eq!(figures["failure"]["folds"], 25);
}

#[test]
fn lives_of_engines_are_told_from_their_wear() {
    let root = folder("engines");
    let left = |engine: usize| 5 + engine * 29 % 70;
    fs::write(root.join("train_shop.txt"), engines(24, 5, |_| 0)).unwrap();
    fs::write(root.join("test_shop.txt"), engines(20, 77, left)).unwrap();
    let answers: Vec<f64> = (0..20).map(|engine| left(engine) as f64).collect();
    let lines: Vec<String> = answers.iter().map(ToString::to_string).collect();
    fs::write(root.join("RUL_shop.txt"), lines.join("\n")).unwrap();
    let result = evaluate(only("cmapss"), &root).unwrap();
    let figures = &result["figures"]["shop"];
    let rmse = figures["capped_at_125"]["rmse"].as_f64().unwrap();
    // Always saying the mean, which nobody knows, would be wrong by the deviation.
    let mean = answers.iter().sum::<f64>() / 20.0;
    let deviation = (answers.iter().map(|life| (life - mean) * (life - mean)).sum::<f64>() / 20.0).sqrt();
    assert!(rmse < 0.6 * deviation, "{figures}, deviation {deviation}");
    assert_eq!(
        figures["uncapped"]["rmse"].as_f64().unwrap(),
        rmse,
        "no engine has more than 125 cycles left"
    );

    fs::write(root.join("RUL_shop.txt"), "5\n").unwrap();
    let error = evaluate(only("cmapss"), &root).unwrap_err().to_string();
    assert!(error.ends_with("1 numbers for 20 engines"), "{error}");
    fs::write(root.join("train_shop.txt"), "1 1 0 0 100 600 14.7 9000\n1 2 0 0 100 600 fourteen 9000\n")
        .unwrap();
    let error = evaluate(only("cmapss"), &root).unwrap_err().to_string();
    assert!(error.ends_with("line 2: not only numbers"), "{error}");
}

/// A pump whose flow falls from row `from` to row `to`, beside a temperature that wanders.
fn pump(from: u32, to: u32) -> String {
    let mut text = String::from("datetime;Flow;Temperature;anomaly;changepoint\n");
    let (mut state, mut temperature) = (from, 70.0);
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    for row in 0..1_000_u32 {
        temperature += 0.05 * draw();
        let broken = (from..to).contains(&row);
        let flow = if broken { 29.0 } else { 32.0 } + draw();
        let (minute, second) = (row / 60, row % 60);
        let (anomaly, change) = (u8::from(broken), u8::from(row == from || row == to));
        writeln!(text, "2024-05-01 10:{minute:02}:{second:02};{flow};{temperature};{anomaly};{change}")
            .unwrap();
    }
    text
}

#[test]
fn a_pump_is_judged_wherever_it_breaks() {
    let root = folder("pumps");
    fs::create_dir_all(root.join("hall")).unwrap();
    fs::write(root.join("hall/early.csv"), pump(450, 650)).unwrap();
    fs::write(root.join("hall/late.csv"), pump(800, 960)).unwrap();
    fs::write(root.join("unlabelled.csv"), "datetime;Flow\n2024-05-01 10:00:00;32\n").unwrap();
    let result = evaluate(only("skab"), &root).unwrap();
    let figures = &result["figures"];
    let number = |name: &str| figures[name].as_f64().unwrap();
    assert_eq!((figures["files"].as_u64(), figures["rows_judged"].as_u64()), (Some(2), Some(1_200)));
    assert!(number("f1") > 0.9, "{figures}");
    assert!(number("f1_if_every_row_were_flagged") < 0.5, "{figures}");
    assert!(figures["drawn_starts"]["f1_least"].as_f64().unwrap() > 0.85, "{figures}");
    assert!(figures["change_points"]["recall"].as_f64().unwrap() > 0.7, "{figures}");

    let empty = folder("no_pumps");
    fs::write(empty.join("unlabelled.csv"), "datetime;Flow\n2024-05-01 10:00:00;32\n").unwrap();
    assert!(evaluate(only("skab"), &empty).unwrap_err().to_string().contains("no file with columns"));
}

#[test]
fn ventricular_beats_are_told_by_other_patients() {
    let root = folder("hearts");
    for (name, height, seed) in [("ann", 300, 1), ("ben", -500, 8), ("cleo", 900, 20), ("dan", 400, 5)] {
        let (samples, beats, wide) = heart(height, seed);
        fs::write(root.join(format!("{name}.i16")), samples).unwrap();
        fs::write(root.join(format!("{name}_beats.csv")), beats).unwrap();
        fs::write(root.join(format!("{name}_pvc.csv")), wide).unwrap();
    }
    fs::write(root.join("README.md"), "Four patients, among them cleo. Only dan is paced.\n").unwrap();
    let result = evaluate(only("ecg_mitbih"), &root).unwrap();
    let figures = &result["figures"];
    let number = |of: &str, name: &str| figures[of][name].as_f64().unwrap();
    assert!(number("beats", "sensitivity") > 0.995 && number("beats", "precision") > 0.995, "{figures}");
    assert!(number("ventricular", "f1") > 0.9, "{figures}");
    let paced =
        ["ann", "ben", "cleo", "dan"].map(|name| figures["records"][name]["paced"].as_bool().unwrap());
    assert_eq!(paced, [false, false, false, true]);

    fs::write(root.join("ann_pvc.csv"), "sample\n12\nmany\n").unwrap();
    let error = evaluate(only("ecg_mitbih"), &root).unwrap_err().to_string();
    assert!(error.ends_with("line 3: no sample number"), "{error}");
}
