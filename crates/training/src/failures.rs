//! Training of the model `failures` (`triad_models::window::failures`): will this machine fail, and by which mode.

use std::path::Path;

use triad_models::trees::{Trees, TreesError};
use triad_models::window::FailureModel;
pub(crate) use triad_models::window::failures::{ANY, MODES};
use triad_models::window::failures::{INPUTS, derived, probabilities};

use crate::boost::{Growth, Loss, train};
use crate::draws::stratified_folds;
use crate::error::TrainingError;
use crate::table::Table;

const INNER_FOLDS: usize = 4;
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

fn column(table: &Table, start: &str) -> Result<usize, TrainingError> {
    let found = table.header.iter().position(|name| name.starts_with(start));
    found.ok_or_else(|| TrainingError::content(&table.path, format!("no column that begins with {start:?}")))
}

fn flag(table: &Table, start: &str) -> Result<Vec<bool>, TrainingError> {
    Ok(table.expect_numbers(column(table, start)?)?.into_iter().map(|flag| flag > 0.5).collect())
}

/// Whether each mode, and last any failure, struck in each row.
pub(crate) fn flags(table: &Table) -> Result<Vec<Vec<bool>>, TrainingError> {
    MODES.iter().chain(&["Machine"]).map(|start| flag(table, start)).collect()
}

/// The inputs of every row, in the order of [`INPUTS`].
pub(crate) fn inputs(table: &Table) -> Result<Vec<[f64; INPUTS.len()]>, TrainingError> {
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
        [quality, air[at], process[at], speed[at], torque[at], wear[at]]
    };
    Ok((0..table.rows.len()).map(row).collect())
}

/// The features of every row.
pub(crate) fn features(table: &Table) -> Result<Vec<Vec<f64>>, TrainingError> {
    Ok(inputs(table)?.into_iter().map(|row| derived(row).to_vec()).collect())
}

/// What is known of some rows: their features, and for each mode and, last, for any failure, whether it struck.
pub(crate) struct Known<'a> {
    pub rows: Vec<&'a [f64]>,
    pub labels: Vec<Vec<bool>>,
}

impl<'a> Known<'a> {
    pub fn of(rows: &[&'a [f64]], labels: &[Vec<bool>], keep: impl Fn(usize) -> bool) -> Self {
        let kept: Vec<usize> = (0..rows.len()).filter(|&row| keep(row)).collect();
        let labels = labels.iter().map(|labels| kept.iter().map(|&row| labels[row]).collect()).collect();
        Self { rows: kept.into_iter().map(|row| rows[row]).collect(), labels }
    }

    /// An ensemble for each mode.
    pub fn fit(&self, growth: Growth, path: &Path) -> Result<Vec<Trees>, TrainingError> {
        let wrong = |error: TreesError| TrainingError::content(path, error.to_string());
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
                said[row] = probabilities(&model, self.rows[row]);
            }
        }
        Ok(said)
    }
}

/// The threshold with the best F1, the one nearest to a half where several have it, and that F1.
pub(crate) fn best_threshold(said: &[Vec<f64>], label: usize, labels: &[bool]) -> (f64, f64) {
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

/// How ensembles are grown and from which probability on a failure is told, by a cross-validation over known rows.
pub(crate) struct Chosen {
    pub growth: Growth,
    pub thresholds: Vec<f64>,
    /// Of any failure, in that cross-validation.
    pub f1: f64,
}

impl Chosen {
    pub fn by_cross_validation(known: &Known<'_>, path: &Path) -> Result<Self, TrainingError> {
        let mut best = (SHALLOW, known.unseen(SHALLOW, path)?);
        let figure = |said: &[Vec<f64>]| best_threshold(said, ANY, &known.labels[ANY]).1;
        for &growth in &CANDIDATES[1..] {
            let unseen = known.unseen(growth, path)?;
            if figure(&unseen) > figure(&best.1) {
                best = (growth, unseen);
            }
        }
        let threshold = |label: usize| best_threshold(&best.1, label, &known.labels[label]).0;
        let thresholds = (0..known.labels.len()).map(threshold).collect();
        Ok(Self { growth: best.0, thresholds, f1: figure(&best.1) })
    }
}

/// A model of all rows of a table; with it the F1 of its inner cross-validation.
pub(crate) fn learn(table: &Table) -> Result<(FailureModel, f64), TrainingError> {
    let (rows, labels) = (features(table)?, flags(table)?);
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let known = Known::of(&rows, &labels, |_| true);
    let chosen = Chosen::by_cross_validation(&known, &table.path)?;
    let modes = known.fit(chosen.growth, &table.path)?;
    Ok((FailureModel::new(modes, chosen.thresholds)?, chosen.f1))
}

/// F1 of what is above the threshold; 0 where nothing is and nothing should be.
pub(crate) fn f1(said: &[Vec<f64>], label: usize, labels: &[bool], threshold: f64) -> f64 {
    let (mut hit, mut said_yes, mut yes) = (0.0, 0.0, 0.0);
    for (said, &is) in said.iter().zip(labels) {
        let positive = said[label] > threshold;
        said_yes += f64::from(u8::from(positive));
        yes += f64::from(u8::from(is));
        hit += f64::from(u8::from(positive && is));
    }
    if said_yes + yes > 0.0 { 2.0 * hit / (said_yes + yes) } else { 0.0 }
}
