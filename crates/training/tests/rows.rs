//! A model of rows from somebody's own table: what it is trained on is what it says, and figures are of rows it never saw.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::fmt::Write as _;
use std::fs;

use common::folder;
use triad_models::{Predicts, RowModel};
use triad_training::{PredictOptions, RowOptions, RowTarget, Trained, Watch, train_rows};

/// Twenty machines that wear out in 100 rows each; wear shows in `shake`, `noise` says nothing.
fn machines() -> String {
    let mut text = String::from("machine,shake,noise,left,failed\n");
    for machine in 0..20_u32 {
        for row in 0..100_u32 {
            let (shake, noise) = (f64::from(row) / 10.0, (machine * 37 + row * 7_919) % 101);
            writeln!(text, "m{machine},{shake},{noise},{},{}", 99 - row, u8::from(row >= 90)).unwrap();
        }
    }
    text + "m3,,5,50,0\n"
}

fn options(target: &str, tells: RowTarget) -> RowOptions {
    let inputs = vec!["shake".into(), "noise".into()];
    RowOptions { target: target.into(), tells, inputs, group: Some("machine".into()) }
}

#[test]
fn a_life_and_a_failure_are_learnt_from_one_table() {
    let root = folder("rows");
    let path = root.join("machines.csv");
    fs::write(&path, machines()).unwrap();
    let mut watch = Watch::nobody();
    let life = options("left", RowTarget::RemainingLife { most: 60.0, unit: "rows".into() });
    let (model, how) = train_rows(&path, &life, &mut watch).unwrap();
    assert_eq!((how["rows"].as_u64(), how["left_out"].as_u64()), (Some(2_000), Some(1)));
    assert!(how["cross_validation"]["rmse"].as_f64().unwrap() < 2.0, "{how}");
    let said = model.as_row().unwrap().predict(&[8.0, 3.0]).unwrap();
    assert!((said - 19.0).abs() < 3.0, "{said}");
    let (again, _) = train_rows(&path, &life, &mut watch).unwrap();
    assert_eq!(again.bytes(), model.bytes(), "the same rows give the same file");

    // What the file says is what a chain would say, and what `score` writes.
    let back = Trained::decode(model.bytes()).unwrap();
    assert_eq!((back.kind(), back.describe()), ("trees", model.describe()));
    assert_eq!(model.describe()["class"], "consensus");
    assert_eq!(RowModel::decode(model.bytes()).unwrap(), *model.as_row().unwrap());
    let told = back.predict(&path, &PredictOptions::default(), &mut watch).unwrap();
    assert_eq!((told.header, told.rows.len()), (vec!["prediction"], 2_001));
    assert_eq!(told.rows[80][0], model.as_row().unwrap().predict(&[8.0, f64::from(80 * 7_919 % 101)]));
    assert_eq!(told.rows[2_000][0], None, "a value is missing");

    let (model, how) = train_rows(&path, &options("failed", RowTarget::FailureRisk), &mut watch).unwrap();
    assert_eq!(how["cross_validation"]["failures"].as_u64(), Some(200));
    assert!(how["cross_validation"]["f1"].as_f64().unwrap() > 0.95, "{how}");
    let model = model.as_row().unwrap();
    assert!(matches!(model.predicts(), Predicts::FailureRisk { from } if (0.02..=0.98).contains(from)));
    assert!(model.predict(&[9.5, 3.0]).unwrap() > 0.9 && model.predict(&[2.0, 3.0]).unwrap() < 0.1);
}

#[test]
fn tables_that_teach_nothing_are_refused_with_the_reason() {
    let path = folder("rows_refused").join("machines.csv");
    fs::write(&path, machines()).unwrap();
    let refused =
        |options: RowOptions| train_rows(&path, &options, &mut Watch::nobody()).unwrap_err().to_string();
    let life = |target: &str| options(target, RowTarget::RemainingLife { most: 60.0, unit: "h".into() });
    assert!(refused(life("gone")).contains("no column \"gone\"; there are: machine, shake"));
    assert!(
        refused(RowOptions { inputs: vec!["left".into()], ..life("left") })
            .contains("is the truth and no input")
    );
    assert!(refused(RowOptions { inputs: vec!["machine".into()], ..life("left") }).contains("is no number"));
    assert!(
        refused(RowOptions { group: Some("failed".into()), ..life("left") }).contains("name another group")
    );
    let most = RowTarget::RemainingLife { most: 0.0, unit: "h".into() };
    assert!(refused(options("left", most)).contains("a number above zero is expected"));
    fs::write(&path, "shake,noise,machine,left\n1,2,m,3\n").unwrap();
    assert!(refused(life("left")).contains("at least 50 are expected"));
}
