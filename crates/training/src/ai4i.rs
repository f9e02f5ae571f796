//! Suite `ai4i2020`: will this machine fail, from its type and five measurements, on every CSV file of the folder.
//!
//! 5 x 5 stratified cross-validation. An ensemble is trained for each failure mode that the table names (but not for
//! `RNF`, which is random by construction); the probability of a failure is that of at least one of them. How the
//! ensembles are grown and the thresholds are chosen inside each fold, by a cross-validation over its training rows.
//! Features: the six inputs and what follows from them by physics (temperature difference, power, wear times torque).
//! Ensembles are trained here, exported, read back and evaluated by `triad_models::trees`.

use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::trees::Trees;

use crate::boost::{Growth, Loss, train};
use crate::draws::stratified_folds;
use crate::error::TrainingError;
use crate::table::{Table, csv_files};

const FOLDS: usize = 5;
const ROUNDS: usize = 5;
const INNER_FOLDS: usize = 4;
/// What a failure can come from; the place behind them stands for any failure.
const MODES: [&str; 4] = ["TWF", "HDF", "PWF", "OSF"];
const ANY: usize = MODES.len();
/// Few shallow trees: a rule of physics has one or two sharp limits. Every value is tried as a limit.
const SHALLOW: Growth = Growth {
    loss: Loss::Logistic,
    trees: 15,
    depth: 2,
    rate: 0.3,
    penalty: 0.1,
    least_weight: 0.1,
    bins: 8_192,
    rows: 1.0,
    features: 1.0,
};
const CANDIDATES: [Growth; 4] = [
    SHALLOW,
    Growth { trees: 30, ..SHALLOW },
    Growth { trees: 30, depth: 3, penalty: 1.0, ..SHALLOW },
    Growth { trees: 30, depth: 3, penalty: 4.0, ..SHALLOW },
];

pub(crate) fn evaluate(folder: &Path) -> Result<Value, TrainingError> {
    let mut out = Map::new();
    for path in csv_files(folder)? {
        let table = Table::read(&path)?;
        let rows = features(&table)?;
        let mut labels: Vec<Vec<bool>> =
            MODES.iter().map(|mode| flags(&table, mode)).collect::<Result<_, _>>()?;
        labels.push(flags(&table, "Machine")?);
        let scores = cross_validate(&rows, &labels, &path)?;
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
        // The better the machine, the more strain it bears (Matzka 2020: 11,000, 12,000 and 13,000 Nm min).
        let strain = torque[at] * wear[at];
        let borne = strain - 1_000.0 * quality;
        let (air, process) = (air[at], process[at]);
        vec![quality, air, process, speed[at], torque[at], wear[at], process - air, power, strain, borne]
    };
    Ok((0..table.rows.len()).map(row).collect())
}

/// What is known of some rows: their features, and for each mode and, last, for any failure, whether it struck.
struct Known<'a> {
    rows: Vec<&'a [f64]>,
    labels: Vec<Vec<bool>>,
}

impl<'a> Known<'a> {
    fn of(rows: &[&'a [f64]], labels: &[Vec<bool>], keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..rows.len()).filter(|&row| keep(row)).collect();
        let labels = labels.iter().map(|labels| kept.iter().map(|&row| labels[row]).collect()).collect();
        Self { rows: kept.into_iter().map(|row| rows[row]).collect(), labels }
    }

    /// An ensemble for each mode.
    fn fit(&self, growth: Growth, path: &Path) -> Result<Vec<Trees>, TrainingError> {
        let wrong = |error: triad_models::trees::TreesError| TrainingError::content(path, error.to_string());
        let fit = |labels: &Vec<bool>| {
            let targets: Vec<f64> = labels.iter().map(|&label| f64::from(u8::from(label))).collect();
            let trained = train(&self.rows, &targets, growth).map_err(wrong)?;
            // What is judged is what a validator would read.
            Trees::decode(&trained.encode()).map_err(wrong)
        };
        self.labels[..ANY].iter().map(fit).collect()
    }

    /// Predictions for rows that a model had not seen.
    fn unseen(&self, growth: Growth, path: &Path) -> Result<Vec<Vec<f64>>, TrainingError> {
        let folds = stratified_folds(&self.labels[ANY], INNER_FOLDS, 99);
        let mut said = vec![Vec::new(); self.rows.len()];
        for fold in 0..INNER_FOLDS {
            let model = Self::of(&self.rows, &self.labels, |row| folds[row] != fold).fit(growth, path)?;
            for row in (0..self.rows.len()).filter(|&row| folds[row] == fold) {
                said[row] = predict(&model, self.rows[row]);
            }
        }
        Ok(said)
    }
}

/// Probability of each mode, and of any: that of all staying away, were they independent, taken from one.
fn predict(model: &[Trees], row: &[f64]) -> Vec<f64> {
    let odds = |trees: &Trees| 1.0 / (1.0 + libm::exp(-trees.predict(row).unwrap_or_default()));
    let mut said: Vec<f64> = model.iter().map(odds).collect();
    said.push(1.0 - said.iter().map(|odds| 1.0 - odds).product::<f64>());
    said
}

/// The threshold with the best F1, the one nearest to a half where several have it, and that F1.
fn best_threshold(said: &[Vec<f64>], label: usize, labels: &[bool]) -> (f64, f64) {
    let mut best = (0.5, f1(said, label, labels, 0.5));
    for step in 1..=24 {
        for threshold in [0.5 - f64::from(step) / 50.0, 0.5 + f64::from(step) / 50.0] {
            let f1 = f1(said, label, labels, threshold);
            if f1 > best.1 {
                best = (threshold, f1);
            }
        }
    }
    best
}

/// F1 of every mode and of any failure in every held-out fold.
fn cross_validate(
    rows: &[Vec<f64>],
    labels: &[Vec<bool>],
    path: &Path,
) -> Result<Vec<Vec<f64>>, TrainingError> {
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let mut scores = vec![Vec::new(); labels.len()];
    for round in 0..ROUNDS {
        let folds = stratified_folds(&labels[ANY], FOLDS, 1 + round as u64);
        for fold in 0..FOLDS {
            let known = Known::of(&rows, labels, |row| folds[row] != fold);
            let held = Known::of(&rows, labels, |row| folds[row] == fold);
            let mut best = (SHALLOW, known.unseen(SHALLOW, path)?);
            let figure = |said: &[Vec<f64>]| best_threshold(said, ANY, &known.labels[ANY]).1;
            for &growth in &CANDIDATES[1..] {
                let unseen = known.unseen(growth, path)?;
                if figure(&unseen) > figure(&best.1) {
                    best = (growth, unseen);
                }
            }
            let model = known.fit(best.0, path)?;
            let said: Vec<Vec<f64>> = held.rows.iter().map(|row| predict(&model, row)).collect();
            for (label, scores) in scores.iter_mut().enumerate() {
                let (threshold, _) = best_threshold(&best.1, label, &known.labels[label]);
                scores.push(f1(&said, label, &held.labels[label], threshold));
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

fn f1(said: &[Vec<f64>], label: usize, labels: &[bool], threshold: f64) -> f64 {
    let (mut hit, mut said_yes, mut yes) = (0.0, 0.0, 0.0);
    for (said, &is) in said.iter().zip(labels) {
        let positive = said[label] > threshold;
        said_yes += f64::from(u8::from(positive));
        yes += f64::from(u8::from(is));
        hit += f64::from(u8::from(positive && is));
    }
    if said_yes + yes > 0.0 { 2.0 * hit / (said_yes + yes) } else { 0.0 }
}
