//! Suite `ai4i2020`: will this machine fail, from its type and five measurements, on every CSV file of the folder.
//!
//! 5 x 5 stratified cross-validation; the threshold is chosen inside each fold, by a cross-validation over its training
//! rows. Features: the six inputs and what follows from them by physics (temperature difference, power, wear times
//! torque). Ensembles are trained here, exported, read back and evaluated by `triad_models::trees`.

use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::trees::Trees;

use crate::boost::{Growth, train};
use crate::error::TrainingError;
use crate::table::{Table, csv_files};

const FOLDS: usize = 5;
const ROUNDS: usize = 5;
const INNER_FOLDS: usize = 4;
const GROWTH: Growth = Growth { trees: 150, depth: 4, rate: 0.1, penalty: 1.0, least_weight: 0.5 };
const MODES: [&str; 4] = ["TWF", "HDF", "PWF", "OSF"];

pub(crate) fn evaluate(folder: &Path) -> Result<Value, TrainingError> {
    let mut out = Map::new();
    for path in csv_files(folder)? {
        let table = Table::read(&path)?;
        let rows = features(&table)?;
        let failed = flags(&table, "Machine")?;
        let mut figures = Map::new();
        figures.insert("rows".into(), json!(rows.len()));
        figures.insert("failures".into(), json!(failed.iter().filter(|&&flag| flag).count()));
        figures.insert("failure".into(), cross_validate(&rows, &failed, ROUNDS, &path)?);
        for mode in MODES {
            figures.insert(mode.into(), cross_validate(&rows, &flags(&table, mode)?, 1, &path)?);
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        out.insert(name, Value::Object(figures));
    }
    Ok(Value::Object(out))
}

fn column(table: &Table, start: &str) -> Result<usize, TrainingError> {
    let found = table.header.iter().position(|name| name.starts_with(start));
    found.ok_or_else(|| TrainingError::content(&table.path, format!("no column that begins with {start:?}")))
}

fn flags(table: &Table, start: &str) -> Result<Vec<bool>, TrainingError> {
    Ok(table.expect_numbers(column(table, start)?)?.into_iter().map(|flag| flag > 0.5).collect())
}

fn features(table: &Table) -> Result<Vec<Vec<f64>>, TrainingError> {
    let numbers = |start: &str| table.expect_numbers(column(table, start)?);
    let kind = column(table, "Type")?;
    let (air, process) = (numbers("Air temperature")?, numbers("Process temperature")?);
    let (speed, torque, wear) = (numbers("Rotational speed")?, numbers("Torque")?, numbers("Tool wear")?);
    let row = |at: usize| {
        let quality = match table.rows[at].get(kind).map(str::trim) {
            Some("L") => 0.0,
            Some("M") => 1.0,
            _ => 2.0,
        };
        // Watts.
        let power = torque[at] * speed[at] * std::f64::consts::PI / 30.0;
        // The better the machine, the more strain it bears.
        let strain = torque[at] * wear[at];
        let borne = strain - 1_000.0 * quality;
        vec![
            quality,
            air[at],
            process[at],
            speed[at],
            torque[at],
            wear[at],
            process[at] - air[at],
            power,
            strain,
            borne,
        ]
    };
    Ok((0..table.rows.len()).map(row).collect())
}

/// Fold of each row: rows of each label dealt out in an order of a fixed generator.
fn folds(labels: &[bool], count: usize, seed: u64) -> Vec<usize> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut order: Vec<(bool, u64, usize)> =
        labels.iter().enumerate().map(|(row, &label)| (label, next(), row)).collect();
    order.sort_unstable();
    let mut out = vec![0; labels.len()];
    for (place, (_, _, row)) in order.into_iter().enumerate() {
        out[row] = place % count;
    }
    out
}

fn fit(rows: &[&[f64]], labels: &[bool], path: &Path) -> Result<Trees, TrainingError> {
    let wrong = |error: triad_models::trees::TreesError| TrainingError::content(path, error.to_string());
    let trained = train(rows, labels, GROWTH).map_err(wrong)?;
    // What is judged is what a validator would read.
    Trees::decode(&trained.encode()).map_err(wrong)
}

fn cross_validate(
    rows: &[Vec<f64>],
    labels: &[bool],
    rounds: usize,
    path: &Path,
) -> Result<Value, TrainingError> {
    let mut scores = Vec::new();
    for round in 0..rounds {
        let folds_of = folds(labels, FOLDS, 1 + round as u64);
        for fold in 0..FOLDS {
            let pick = |inside: bool| -> (Vec<&[f64]>, Vec<bool>) {
                let chosen = (0..rows.len()).filter(|&row| (folds_of[row] == fold) == inside);
                chosen.map(|row| (rows[row].as_slice(), labels[row])).unzip()
            };
            let (known, known_labels) = pick(false);
            let (held, held_labels) = pick(true);
            let threshold = threshold(&known, &known_labels, path)?;
            let model = fit(&known, &known_labels, path)?;
            let said: Vec<f64> = held.iter().map(|row| model.predict(row).unwrap_or_default()).collect();
            scores.push(f1(&said, &held_labels, threshold));
        }
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let variance =
        scores.iter().map(|score| (score - mean) * (score - mean)).sum::<f64>() / scores.len() as f64;
    let three = |value: f64| (value * 1e3).round() / 1e3;
    Ok(json!({ "f1_mean": three(mean), "f1_deviation": three(variance.sqrt()), "folds": scores.len() }))
}

/// The threshold with the best F1 on predictions for rows that the model had not seen.
fn threshold(rows: &[&[f64]], labels: &[bool], path: &Path) -> Result<f64, TrainingError> {
    let folds_of = folds(labels, INNER_FOLDS, 99);
    let mut said = vec![0.0; rows.len()];
    for fold in 0..INNER_FOLDS {
        let (known, known_labels): (Vec<&[f64]>, Vec<bool>) =
            (0..rows.len()).filter(|&row| folds_of[row] != fold).map(|row| (rows[row], labels[row])).unzip();
        let model = fit(&known, &known_labels, path)?;
        for row in (0..rows.len()).filter(|&row| folds_of[row] == fold) {
            said[row] = model.predict(rows[row]).unwrap_or_default();
        }
    }
    let tried = (-40..=40).map(|tenth| f64::from(tenth) / 10.0).map(|at| (f1(&said, labels, at), at));
    let best = tried.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.abs().total_cmp(&a.1.abs())));
    Ok(best.map_or(0.0, |best| best.1))
}

fn f1(said: &[f64], labels: &[bool], threshold: f64) -> f64 {
    let (mut hit, mut said_yes, mut yes) = (0.0, 0.0, 0.0);
    for (&value, &label) in said.iter().zip(labels) {
        let positive = value > threshold;
        said_yes += f64::from(u8::from(positive));
        yes += f64::from(u8::from(label));
        hit += f64::from(u8::from(positive && label));
    }
    if said_yes + yes > 0.0 { 2.0 * hit / (said_yes + yes) } else { 0.0 }
}
