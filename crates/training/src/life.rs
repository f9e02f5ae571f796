//! Training of the model `life` (`triad_models::window::life`): the cycles that an engine has left.

use std::path::Path;

use triad_models::Memory;
use triad_models::trees::{Trees, TreesError};
use triad_models::window::LifeModel;
use triad_models::window::life::{Course, MOST_CYCLES, SETTINGS};

use crate::boost::{Growth, train};
use crate::engines::{Run, features, health_index, regimes};
use crate::error::TrainingError;

/// Remaining cycles at each cycle of an engine that ran to its end.
pub(crate) fn lives(run: &Run) -> impl Iterator<Item = f64> + use<> {
    (0..run.len()).rev().map(|left| (left as f64).min(MOST_CYCLES))
}

/// A model of some engines for each way to grow.
pub(crate) fn learn(
    engines: &[Run],
    growths: &[Growth],
    path: &Path,
) -> Result<Vec<LifeModel>, TrainingError> {
    let problem = || TrainingError::content(path, "sensors and lives that no regression can be fitted to");
    let regimes = regimes(engines).ok_or_else(problem)?;
    let each = engines.iter().flat_map(|run| run.rows.iter().zip(lives(run)));
    let health = health_index(each.filter_map(|(row, left)| Some((regimes.compare(row)?, left))));
    let health = health.ok_or_else(problem)?;
    let course = Course::new(regimes, health.weights().to_vec()).ok_or_else(problem)?;
    let seen: Vec<Vec<f64>> = engines.iter().flat_map(|run| features(&course, run)).collect();
    let views: Vec<&[f64]> = seen.iter().map(Vec::as_slice).collect();
    let targets: Vec<f64> = engines.iter().flat_map(lives).collect();
    let grow = |&growth: &Growth| {
        let wrong = |error: TreesError| TrainingError::content(path, error.to_string());
        let trained = train(&views, &targets, growth).map_err(wrong)?;
        // What is judged is what a validator would read.
        let trees = Trees::decode(&trained.encode()).map_err(wrong)?;
        Ok(LifeModel::new(course.clone(), trees)?)
    };
    growths.iter().map(grow).collect()
}

/// What is said after each cycle of a run.
pub(crate) fn say(model: &LifeModel, run: &Run) -> Vec<f64> {
    let mut memory = Memory::default();
    run.rows.iter().map_while(|row| model.tell(&mut memory, row).ok().flatten()).collect()
}

/// How many sensors a row must have.
pub(crate) fn sensors(model: &LifeModel) -> usize {
    model.inputs().len() - SETTINGS
}
