//! Suite `ai4i2020`: will this machine fail, from its type and five measurements, on every CSV file of the folder.
//!
//! 5 x 5 stratified cross-validation. An ensemble is trained for each failure mode that the table names (but not for
//! `RNF`, which is random by construction); the probability of a failure is that of at least one of them. How the
//! ensembles are grown and the thresholds are chosen inside each fold, by a cross-validation over its training rows.
//! Features: the six inputs and what follows from them by physics (temperature difference, power, wear times torque).
//! Ensembles are trained here, exported, read back and evaluated by `triad_models::trees`.

use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::window::failures::probabilities;

use crate::draws::stratified_folds;
use crate::error::TrainingError;
use crate::failures::{ANY, Chosen, Known, MODES, f1, features, flags};
use crate::table::{Table, csv_files};
use crate::watch::Watch;

const FOLDS: usize = 5;
const ROUNDS: usize = 5;

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let mut out = Map::new();
    for path in csv_files(folder)? {
        let table = Table::read(&path)?;
        let rows = features(&table)?;
        let labels = flags(&table)?;
        let scores = cross_validate(&rows, &labels, &path, watch)?;
        let mut figures = Map::new();
        figures.insert("rows".into(), json!(rows.len()));
        figures.insert("failures".into(), json!(labels[ANY].iter().filter(|&&flag| flag).count()));
        for (label, scores) in scores.iter().enumerate() {
            let name = MODES.get(label).copied().unwrap_or("failure");
            figures.insert(name.into(), mean_and_deviation(scores));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        out.insert(name, Value::Object(figures));
    }
    Ok(Value::Object(out))
}

/// F1 of every mode and of any failure in every held-out fold.
fn cross_validate(
    rows: &[Vec<f64>],
    labels: &[Vec<bool>],
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<Vec<Vec<f64>>, TrainingError> {
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let mut scores = vec![Vec::new(); labels.len()];
    for round in 0..ROUNDS {
        let folds = stratified_folds(&labels[ANY], FOLDS, 1 + round as u64);
        for fold in 0..FOLDS {
            watch.tell("fold", round * FOLDS + fold, ROUNDS * FOLDS);
            let known = Known::of(&rows, labels, |row| folds[row] != fold);
            let held = Known::of(&rows, labels, |row| folds[row] == fold);
            let chosen = Chosen::by_cross_validation(&known, path)?;
            let model = known.fit(chosen.growth, path)?;
            let said: Vec<Vec<f64>> = held.rows.iter().map(|row| probabilities(&model, row)).collect();
            for (label, scores) in scores.iter_mut().enumerate() {
                scores.push(f1(&said, label, &held.labels[label], chosen.thresholds[label]));
            }
        }
    }
    Ok(scores)
}

fn mean_and_deviation(scores: &[f64]) -> Value {
    let count = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / count;
    let variance = scores.iter().map(|score| (score - mean) * (score - mean)).sum::<f64>() / count;
    let three = |value: f64| (value * 1e3).round() / 1e3;
    json!({ "f1_mean": three(mean), "f1_deviation": three(variance.sqrt()), "folds": scores.len() })
}
