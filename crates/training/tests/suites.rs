//! Suites and scoring over folders that hold other names than the public ones.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use triad_training::{ScoreOptions, Suite, TrainingError, evaluate, score_csv};

/// A folder of its own for one test.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

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

fn only(suite: &str) -> Suite {
    Suite::named(suite).unwrap()[0]
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
    for suite in [only("nab"), only("m4_hourly")] {
        assert!(evaluate(suite, Path::new("no such folder")).is_err());
    }
}

/// Machines of a workshop of its own: three rules of physics, and wear that strikes at random.
fn machines(rows: u32) -> String {
    let mut text = String::from(
        "no,Type,Air temperature,Process temperature,Rotational speed,Torque,Tool wear,Machine failure,TWF,HDF,PWF,OSF,RNF\n",
    );
    let mut state = 1_u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for row in 0..rows {
        let kind = ["L", "M", "H"][draw(3) as usize];
        let (air, warmer) = (290 + draw(10), 7 + draw(6));
        let (speed, torque, wear) = (1_200 + draw(1_200), 15 + draw(50), draw(230));
        let power = f64::from(torque * speed) * std::f64::consts::PI / 30.0;
        let borne = match kind {
            "L" => 11_000,
            "M" => 12_000,
            _ => 13_000,
        };
        let modes = [
            draw(500) == 0,
            warmer < 9 && speed < 1_300,
            !(2_500.0..=13_500.0).contains(&power),
            torque * wear > borne,
        ];
        let any = modes.iter().any(|&mode| mode);
        write!(text, "{row},{kind},{air},{},{speed},{torque},{wear},{}", air + warmer, u8::from(any))
            .unwrap();
        for mode in modes {
            write!(text, ",{}", u8::from(mode)).unwrap();
        }
        text.push_str(",0\n");
    }
    text
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
