//! Suite `cmapss`: how many cycles an engine has left, for every `train_X.txt` with a `test_X.txt` and a `RUL_X.txt`.
//!
//! Boosted trees on an engine's age and its smoothed sensors, trained on lives capped at 125 cycles (what comes before is
//! no wear that sensors could show), exported, read back and evaluated by `triad_models::trees`. How the trees are grown
//! is chosen by a cross-validation that leaves whole engines out; the test engines are judged once, after their last
//! cycle. Errors are of the life capped at 125 and, beside it, of the life as it was.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::trees::Trees;

use crate::boost::{Growth, Loss, train};
use crate::draws::stratified_folds;
use crate::engines::{Run, Usual, features, health_index, numbers, runs};
use crate::error::TrainingError;

/// Remaining cycles are told up to here.
const CAP: f64 = 125.0;
const FOLDS: usize = 5;
/// In the cross-validation an engine is judged at every cycle from here to this many before its end.
const FROM_CYCLE: usize = 30;
const BEFORE_END: usize = 150;
const BASE: Growth = Growth {
    loss: Loss::Squared,
    trees: 200,
    depth: 5,
    rate: 0.06,
    penalty: 1.0,
    least_weight: 50.0,
    bins: 64,
    rows: 0.5,
    features: 0.5,
};
const CANDIDATES: [Growth; 3] =
    [BASE, Growth { depth: 6, ..BASE }, Growth { depth: 6, least_weight: 100.0, ..BASE }];

pub(crate) fn evaluate(folder: &Path) -> Result<Value, TrainingError> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainingError::io(folder))? {
        let name = entry.map_err(TrainingError::io(folder))?.file_name().to_string_lossy().into_owned();
        names.extend(
            name.strip_prefix("train_").and_then(|rest| rest.strip_suffix(".txt")).map(str::to_owned),
        );
    }
    names.sort();
    if names.is_empty() {
        return Err(TrainingError::content(folder, "no file train_….txt"));
    }
    let mut out = Map::new();
    for name in names {
        let file = |kind: &str| folder.join(format!("{kind}_{name}.txt"));
        let (known, asked) = (runs(&file("train"))?, runs(&file("test"))?);
        let answers: Vec<f64> = numbers(&file("RUL"))?.into_iter().flatten().collect();
        if answers.len() != asked.len() {
            let problem = format!("{} numbers for {} engines", answers.len(), asked.len());
            return Err(TrainingError::content(&file("RUL"), problem));
        }
        out.insert(name.clone(), judge(&known, &asked, &answers, &file("train"))?);
    }
    Ok(Value::Object(out))
}

/// What is learnt from some engines.
struct Model {
    usual: Usual,
    health: triad_models::forecast::Ridge,
    trees: Trees,
}

/// Remaining cycles at each cycle of an engine that ran to its end.
fn lives(run: &Run) -> impl Iterator<Item = f64> + use<> {
    (0..run.len()).rev().map(|left| (left as f64).min(CAP))
}

impl Model {
    fn learn(engines: &[Run], growths: &[Growth], path: &Path) -> Result<Vec<Self>, TrainingError> {
        let mut models = Vec::new();
        let usual = Usual::of(engines);
        let compared: Vec<Vec<Vec<f64>>> = engines.iter().map(|run| usual.compared(run)).collect();
        let rows = engines.iter().zip(&compared).flat_map(|(run, rows)| rows.iter().zip(lives(run)));
        let problem =
            || TrainingError::content(path, "sensors and lives that no regression can be fitted to");
        let health = health_index(rows).ok_or_else(problem)?;
        let seen: Vec<Vec<f64>> = compared.iter().flat_map(|rows| features(rows, &health)).collect();
        let views: Vec<&[f64]> = seen.iter().map(Vec::as_slice).collect();
        let targets: Vec<f64> = engines.iter().flat_map(lives).collect();
        for &growth in growths {
            let wrong =
                |error: triad_models::trees::TreesError| TrainingError::content(path, error.to_string());
            let trained = train(&views, &targets, growth).map_err(wrong)?;
            // What is judged is what a validator would read.
            let trees = Trees::decode(&trained.encode()).map_err(wrong)?;
            models.push(Self { usual: usual.clone(), health: health.clone(), trees });
        }
        Ok(models)
    }

    /// What is said after each cycle.
    fn say(&self, run: &Run) -> Vec<f64> {
        let rows = features(&self.usual.compared(run), &self.health);
        rows.iter().map(|row| self.trees.predict(row).unwrap_or(CAP).clamp(0.0, CAP)).collect()
    }
}

fn judge(known: &[Run], asked: &[Run], answers: &[f64], path: &Path) -> Result<Value, TrainingError> {
    let folds = stratified_folds(&vec![false; known.len()], FOLDS.min(known.len().max(2)), 1);
    let mut squares = [(0.0, 0.0); CANDIDATES.len()];
    for fold in 0..FOLDS {
        let part = |inside: bool| -> Vec<Run> {
            (0..known.len()).filter(|&at| (folds[at] == fold) == inside).map(|at| known[at].clone()).collect()
        };
        let (learnt, held) = (part(false), part(true));
        if held.is_empty() || learnt.is_empty() {
            continue;
        }
        for (model, sum) in Model::learn(&learnt, &CANDIDATES, path)?.iter().zip(&mut squares) {
            for run in &held {
                let judged = run.len().saturating_sub(BEFORE_END).max(FROM_CYCLE.min(run.len() - 1));
                for (said, life) in model.say(run).iter().zip(lives(run)).skip(judged) {
                    *sum = (sum.0 + (said - life) * (said - life), sum.1 + 1.0);
                }
            }
        }
    }
    let errors = squares.map(|(sum, count)| (sum / count).sqrt());
    let best = (0..CANDIDATES.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or(0);
    let models = Model::learn(known, &CANDIDATES[best..=best], path)?;
    let said: Vec<f64> = asked.iter().map(|run| models[0].say(run).last().copied().unwrap_or(CAP)).collect();
    let capped: Vec<f64> = answers.iter().map(|life| life.min(CAP)).collect();
    Ok(json!({
        "engines": { "train": known.len(), "test": asked.len() },
        "cross_validation_rmse": errors.map(three),
        "chosen": best,
        "trees_bytes": models[0].trees.encode().len(),
        "capped_at_125": figures(&said, &capped),
        "uncapped": figures(&said, answers),
    }))
}

fn three(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Root mean squared error, and NASA's score (Saxena et al. 2008), which charges late predictions more; a sum.
fn figures(said: &[f64], answers: &[f64]) -> Value {
    let apart = || said.iter().zip(answers).map(|(said, answer)| said - answer);
    let charge =
        |apart: f64| if apart < 0.0 { libm::exp(-apart / 13.0) } else { libm::exp(apart / 10.0) } - 1.0;
    json!({
        "rmse": three((apart().map(|apart| apart * apart).sum::<f64>() / said.len() as f64).sqrt()),
        "nasa_score": three(apart().map(charge).sum()),
        "mean_error": three(apart().sum::<f64>() / said.len() as f64),
    })
}
