//! Suite `cmapss`: how many cycles an engine has left, for every `train_X.txt` with a `test_X.txt` and a `RUL_X.txt`.
//!
//! Boosted trees on an engine's age and its smoothed sensors, trained on lives capped at 125 cycles (what comes before is
//! no wear that sensors could show), exported, read back and evaluated by `triad_models::trees`. How the trees are grown
//! is chosen by a cross-validation that leaves whole engines out; the test engines are judged once, after their last
//! cycle. Errors are of the life capped at 125 and, beside it, of the life as it was.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::window::LifeModel;
use triad_models::window::life::MOST_CYCLES as CAP;

use crate::boost::{Growth, Loss};
use crate::draws::stratified_folds;
use crate::engines::{Run, numbers, runs};
use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Role};
use crate::life::{self, lives};
use crate::watch::Watch;

const FOLDS: usize = 5;
/// In the cross-validation an engine is judged at every cycle from here to this many before its end.
const FROM_CYCLE: usize = 30;
const BEFORE_END: usize = 150;
/// Engines whose course is drawn.
const SHOWN: usize = 8;
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

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
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
        let learnt = learn(&known, &file("train"), watch)?;
        out.insert(name.clone(), judge(&name, &asked, &answers, learnt, watch));
    }
    Ok(Value::Object(out))
}

/// A way to grow, chosen by a cross-validation that leaves whole engines out; the error of each, and the place of the
/// chosen one.
fn choose(known: &[Run], path: &Path, watch: &mut Watch<'_>) -> Result<(Vec<f64>, usize), TrainingError> {
    let folds = stratified_folds(&vec![false; known.len()], FOLDS.min(known.len().max(2)), 1);
    let mut squares = [(0.0, 0.0); CANDIDATES.len()];
    for fold in 0..FOLDS {
        watch.tell("training", fold, FOLDS + 1);
        let part = |inside: bool| -> Vec<Run> {
            (0..known.len()).filter(|&at| (folds[at] == fold) == inside).map(|at| known[at].clone()).collect()
        };
        let (learnt, held) = (part(false), part(true));
        if held.is_empty() || learnt.is_empty() {
            continue;
        }
        for (model, sum) in life::learn(&learnt, &CANDIDATES, path)?.iter().zip(&mut squares) {
            for run in &held {
                let judged = run.len().saturating_sub(BEFORE_END).max(FROM_CYCLE.min(run.len() - 1));
                for (said, life) in life::say(model, run).iter().zip(lives(run)).skip(judged) {
                    *sum = (sum.0 + (said - life) * (said - life), sum.1 + 1.0);
                }
            }
        }
    }
    let errors: Vec<f64> = squares.iter().map(|(sum, count)| (sum / count).sqrt()).collect();
    let best = (0..CANDIDATES.len()).min_by(|&a, &b| errors[a].total_cmp(&errors[b])).unwrap_or(0);
    watch.tell("training", FOLDS, FOLDS + 1);
    Ok((errors, best))
}

/// The model of engines that ran to their end, and how it was chosen.
pub(crate) fn learn(
    known: &[Run],
    path: &Path,
    watch: &mut Watch<'_>,
) -> Result<(LifeModel, Value), TrainingError> {
    let (errors, best) = choose(known, path, watch)?;
    let mut models = life::learn(known, &CANDIDATES[best..=best], path)?;
    let errors: Vec<f64> = errors.into_iter().map(three).collect();
    let how = json!({ "engines": known.len(), "cross_validation_rmse": errors, "chosen": best });
    Ok((models.swap_remove(0), how))
}

fn judge(
    name: &str,
    asked: &[Run],
    answers: &[f64],
    (model, mut how): (LifeModel, Value),
    watch: &mut Watch<'_>,
) -> Value {
    let courses: Vec<Vec<f64>> = asked.iter().map(|run| life::say(&model, run)).collect();
    let said: Vec<f64> = courses.iter().map(|course| course.last().copied().unwrap_or(CAP)).collect();
    let capped: Vec<f64> = answers.iter().map(|life| life.min(CAP)).collect();
    how["test_engines"] = json!(asked.len());
    how["trees_bytes"] = json!(model.trees().encode().len());
    how["capped_at_125"] = figures(&said, &capped);
    how["uncapped"] = figures(&said, answers);
    watch.draw(|| curves(name, &courses, answers));
    how
}

/// What was said in the course of some test engines, with little and with much life left, and what was true.
fn curves(name: &str, courses: &[Vec<f64>], answers: &[f64]) -> Figure {
    let mut order: Vec<usize> = (0..courses.len()).collect();
    order.sort_by(|&a, &b| answers[a].total_cmp(&answers[b]).then(a.cmp(&b)));
    let shown = (0..SHOWN.min(order.len())).map(|at| order[at * order.len() / SHOWN.min(order.len())]);
    let title = format!(
        "{name}: cycles left as told after each cycle, and as they were (at most 125), {SHOWN} test engines one after the other"
    );
    let axis = Axis::Number("cycles".into());
    let mut figure = Figure::new(format!("cmapss-{name}"), title, axis, "cycles left");
    let mut from = 0.0;
    for engine in shown {
        let length = courses[engine].len();
        let at = |cycle: usize| from + cycle as f64;
        let left = |cycle: usize| (answers[engine] + (length - 1 - cycle) as f64).min(CAP);
        figure = figure.line("true", Role::Measured, (0..length).map(|cycle| (at(cycle), left(cycle)))).line(
            "told",
            Role::Said,
            courses[engine].iter().enumerate().map(|(cycle, &said)| (at(cycle), said)),
        );
        from += length as f64 + 20.0;
    }
    figure
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
