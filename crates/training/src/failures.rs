//! Model `failures`: will this machine fail, and by which mode, from its type and five measurements.
//!
//! Sections of its file: an ensemble for each mode (`TWF`, `HDF`, `PWF`, `OSF`; its sum is the logarithm of the odds) over
//! the features below, and `thresholds` (numbers: for each mode and, last, for any failure the probability above which it is
//! told). The probability of any failure is that of at least one mode, were they independent.

use std::path::Path;

use triad_models::ModelFile;
use triad_models::trees::{Trees, TreesError};

use crate::boost::{Growth, Loss, train};
use crate::draws::stratified_folds;
use crate::error::TrainingError;
use crate::table::Table;

const INNER_FOLDS: usize = 4;
/// What a failure can come from; the place behind them stands for any failure.
pub(crate) const MODES: [&str; 4] = ["TWF", "HDF", "PWF", "OSF"];
pub(crate) const ANY: usize = MODES.len();
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

/// Type, five measurements, and what follows from them.
const FEATURES: usize = 10;

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

/// The features of every row.
pub(crate) fn features(table: &Table) -> Result<Vec<Vec<f64>>, TrainingError> {
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
                said[row] = predict(&model, self.rows[row]);
            }
        }
        Ok(said)
    }
}

/// Probability of each mode, and of any: that of all staying away, were they independent, taken from one.
pub(crate) fn predict(model: &[Trees], row: &[f64]) -> Vec<f64> {
    let odds = |trees: &Trees| 1.0 / (1.0 + libm::exp(-trees.predict(row).unwrap_or_default()));
    let mut said: Vec<f64> = model.iter().map(odds).collect();
    said.push(1.0 - said.iter().map(|odds| 1.0 - odds).product::<f64>());
    said
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

/// A trained model.
#[derive(Debug, Clone)]
pub(crate) struct FailureModel {
    pub modes: Vec<Trees>,
    pub thresholds: Vec<f64>,
}

impl FailureModel {
    /// From all rows of a table; with it the F1 of its inner cross-validation.
    pub fn learn(table: &Table) -> Result<(Self, f64), TrainingError> {
        let (rows, labels) = (features(table)?, flags(table)?);
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        let known = Known::of(&rows, &labels, |_| true);
        let chosen = Chosen::by_cross_validation(&known, &table.path)?;
        let modes = known.fit(chosen.growth, &table.path)?;
        Ok((Self { modes, thresholds: chosen.thresholds }, chosen.f1))
    }

    /// The probability of each mode and of any failure, and whether the last is above its threshold.
    pub fn say(&self, row: &[f64]) -> (Vec<f64>, bool) {
        let said = predict(&self.modes, row);
        let any = said[ANY] > self.thresholds[ANY];
        (said, any)
    }

    pub fn encode(&self) -> ModelFile {
        let file = MODES
            .iter()
            .zip(&self.modes)
            .fold(ModelFile::new("failures"), |file, (mode, trees)| file.with(mode, trees.encode()));
        file.with_numbers("thresholds", self.thresholds.iter().copied())
    }

    pub fn decode(file: &ModelFile) -> Result<Self, TrainingError> {
        let wrong = |problem: String| TrainingError::Model(problem);
        let ensemble = |mode: &&str| {
            let trees = Trees::decode(file.section(mode)?).map_err(|error| wrong(error.to_string()))?;
            if trees.features() == FEATURES {
                Ok(trees)
            } else {
                Err(wrong(format!(
                    "{mode}: trees over {} features; {FEATURES} are expected",
                    trees.features()
                )))
            }
        };
        let modes = MODES.iter().map(ensemble).collect::<Result<_, _>>()?;
        let thresholds = file.numbers("thresholds")?;
        if thresholds.len() == MODES.len() + 1 {
            Ok(Self { modes, thresholds })
        } else {
            Err(wrong(format!("{} thresholds; {} are expected", thresholds.len(), MODES.len() + 1)))
        }
    }
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
