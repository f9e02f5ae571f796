//! Training of a model of rows (`trees`, what a chain can judge a device's streams by) on somebody's own table.
//!
//! One ensemble on the columns as they are. What to expect of it on other rows is told by a cross-validation in five parts, which leaves
//! whole groups out (machines, engines) where a column names them; the model itself is trained on all rows.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use triad_models::trees::Trees;
use triad_models::{Predicts, RowModel};

use crate::boost::{Growth, Loss, train};
use crate::draws::stratified_folds;
use crate::error::TrainingError;
use crate::failures::best_threshold;
use crate::table::Table;
use crate::trained::Trained;
use crate::watch::Watch;

const FOLDS: usize = 5;
const LIFE: Growth = Growth {
    loss: Loss::Squared,
    trees: 200,
    depth: 5,
    rate: 0.06,
    penalty: 1.0,
    least_weight: 10.0,
    bins: 1_024,
    rows: 0.5,
    features: 0.7,
};
const FAILURE: Growth = Growth {
    loss: Loss::Logistic,
    trees: 150,
    depth: 5,
    rate: 0.1,
    penalty: 1.0,
    least_weight: 0.1,
    bins: 1_024,
    rows: 1.0,
    features: 1.0,
};

/// What a column is the truth of.
#[derive(Debug, Clone, PartialEq)]
pub enum RowTarget {
    /// What is left of a life; more than `most` counts, and is told, as that.
    RemainingLife { most: f64, unit: String },
    /// 1 where a failure struck, 0 where none did.
    FailureRisk,
}

/// Which columns of a table mean what.
#[derive(Debug, Clone)]
pub struct RowOptions {
    /// The column of the truth.
    pub target: String,
    pub tells: RowTarget,
    /// The columns of the inputs, named as the device's streams will be; none: every other column but the group's.
    pub inputs: Vec<String>,
    /// Rows with the same text here belong together.
    pub group: Option<String>,
}

/// Trains on a table; returns the model and what it was made of, with the figures of the cross-validation.
pub fn train_rows(
    path: &Path,
    options: &RowOptions,
    watch: &mut Watch<'_>,
) -> Result<(Trained, Value), TrainingError> {
    let table = Table::read(path)?;
    let wrong = |problem: String| TrainingError::content(path, problem);
    let target = table.expect_column(&options.target)?;
    let group = options.group.as_deref().map(|name| table.expect_column(name)).transpose()?;
    let columns: Vec<usize> = if options.inputs.is_empty() {
        (0..table.header.len()).filter(|&column| column != target && Some(column) != group).collect()
    } else {
        options.inputs.iter().map(|name| table.expect_column(name)).collect::<Result<_, _>>()?
    };
    if columns.contains(&target) {
        return Err(wrong(format!("column {:?} is the truth and no input", options.target)));
    }
    let truth = table.expect_numbers(target)?;
    let numbers: Vec<Vec<Option<f64>>> =
        columns.iter().map(|&column| table.numbers(column)).collect::<Result<_, _>>()?;
    let (mut rows, mut targets, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..table.rows.len() {
        let row: Option<Vec<f64>> = numbers.iter().map(|column| column[at]).collect();
        let Some(row) = row else { continue };
        rows.push(row);
        targets.push(match &options.tells {
            RowTarget::RemainingLife { most, .. } => truth[at].clamp(0.0, *most),
            RowTarget::FailureRisk => f64::from(u8::from(truth[at] > 0.5)),
        });
        groups.push(group.map(|group| table.rows[at].get(group).unwrap_or_default().trim().to_owned()));
    }
    if rows.len() < 10 * FOLDS {
        let least = 10 * FOLDS;
        return Err(wrong(format!(
            "{} rows with a number in every input; at least {least} are expected",
            rows.len()
        )));
    }
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let folds = folds(&groups, &targets);
    let unseen = unseen(&rows, &targets, &folds, options, path, watch)?;
    let (predicts, figure) = judged(&unseen, &targets, &options.tells);
    watch.tell("training", FOLDS, FOLDS + 1);
    let trees = fit(&rows, &targets, &options.tells, path)?;
    let inputs: Vec<String> = columns.iter().map(|&column| table.header[column].clone()).collect();
    let model = RowModel::new(inputs, predicts, trees)?;
    let mut how = json!({
        "file": path.display().to_string(), "rows": rows.len(), "left_out": table.rows.len() - rows.len(),
        "target": options.target, "cross_validation": figure,
    });
    if let Some(group) = &options.group {
        how["group"] = json!(group);
    }
    Ok((Trained::row(model), how))
}

/// Fold of each row: groups stay whole; without groups rows are dealt out, failures evenly.
fn folds(groups: &[Option<String>], targets: &[f64]) -> Vec<usize> {
    if groups.iter().all(Option::is_none) {
        let labels: Vec<bool> = targets.iter().map(|&target| target == 1.0).collect();
        return stratified_folds(&labels, FOLDS, 1);
    }
    let mut numbers: BTreeMap<&Option<String>, usize> = groups.iter().map(|group| (group, 0)).collect();
    let dealt = stratified_folds(&vec![false; numbers.len()], FOLDS, 1);
    numbers.values_mut().zip(dealt).for_each(|(number, fold)| *number = fold);
    groups.iter().map(|group| numbers[group]).collect()
}

fn fit(rows: &[&[f64]], targets: &[f64], tells: &RowTarget, path: &Path) -> Result<Trees, TrainingError> {
    let growth = match tells {
        RowTarget::RemainingLife { .. } => LIFE,
        RowTarget::FailureRisk => FAILURE,
    };
    train(rows, targets, growth).map_err(|error| TrainingError::content(path, error.to_string()))
}

/// Sums for rows that the ensemble had not seen.
fn unseen(
    rows: &[&[f64]],
    targets: &[f64],
    folds: &[usize],
    options: &RowOptions,
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<Vec<f64>, TrainingError> {
    let mut said = vec![0.0; rows.len()];
    for fold in 0..FOLDS {
        watch.tell("training", fold, FOLDS + 1);
        let (seen, held): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|&row| folds[row] != fold);
        if seen.is_empty() || held.is_empty() {
            let problem = format!("the groups of {FOLDS} parts would be empty: name another group column");
            return Err(TrainingError::content(path, problem));
        }
        let known: Vec<&[f64]> = seen.iter().map(|&row| rows[row]).collect();
        let truths: Vec<f64> = seen.iter().map(|&row| targets[row]).collect();
        let trees = fit(&known, &truths, &options.tells, path)?;
        for row in held {
            said[row] = trees.predict(rows[row]).unwrap_or_default();
        }
    }
    Ok(said)
}

/// What the model predicts, with the threshold that the unseen rows suggest, and how good it was on them.
fn judged(said: &[f64], targets: &[f64], tells: &RowTarget) -> (Predicts, Value) {
    let rounded = |figure: f64| (figure * 1e4).round() / 1e4;
    match tells {
        RowTarget::RemainingLife { most, unit } => {
            let square = |(said, target): (&f64, &f64)| {
                let error = said.clamp(0.0, *most) - target;
                error * error
            };
            let rmse = (said.iter().zip(targets).map(square).sum::<f64>() / said.len() as f64).sqrt();
            let predicts = Predicts::RemainingLife { most: *most, unit: unit.clone() };
            (predicts, json!({ "rmse": rounded(rmse) }))
        }
        RowTarget::FailureRisk => {
            let odds: Vec<Vec<f64>> = said.iter().map(|sum| vec![1.0 / (1.0 + libm::exp(-sum))]).collect();
            let labels: Vec<bool> = targets.iter().map(|&target| target == 1.0).collect();
            let (from, f1) = best_threshold(&odds, 0, &labels);
            let failures = labels.iter().filter(|&&label| label).count();
            let figure = json!({ "f1": rounded(f1), "from": rounded(from), "failures": failures });
            (Predicts::FailureRisk { from }, figure)
        }
    }
}
