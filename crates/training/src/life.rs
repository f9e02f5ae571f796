//! Model `life`: the cycles that an engine has left, after each of its cycles so far.
//!
//! Sections of its file: `regimes` (numbers: sensors, then for each regime three settings, the mean of every sensor, and
//! its deviation, 0 where it stands still), `health` (the weights of the health index: one a sensor that moves somewhere,
//! then the constant), `trees` (an ensemble over the features of `engines.rs`). What is said is cut to 0 to 125 cycles.

use std::path::Path;

use triad_models::ModelFile;
use triad_models::forecast::Ridge;
use triad_models::trees::{Trees, TreesError};

use crate::boost::{Growth, train};
use crate::engines::{Run, Usual, features, health_index, width};
use crate::error::TrainingError;

/// Remaining cycles are told up to here.
pub(crate) const CAP: f64 = 125.0;

/// What is learnt from some engines.
#[derive(Debug, Clone)]
pub(crate) struct LifeModel {
    usual: Usual,
    health: Ridge,
    pub trees: Trees,
}

/// Remaining cycles at each cycle of an engine that ran to its end.
pub(crate) fn lives(run: &Run) -> impl Iterator<Item = f64> + use<> {
    (0..run.len()).rev().map(|left| (left as f64).min(CAP))
}

impl LifeModel {
    /// A model for each way to grow.
    pub fn learn(engines: &[Run], growths: &[Growth], path: &Path) -> Result<Vec<Self>, TrainingError> {
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
            let wrong = |error: TreesError| TrainingError::content(path, error.to_string());
            let trained = train(&views, &targets, growth).map_err(wrong)?;
            // What is judged is what a validator would read.
            let trees = Trees::decode(&trained.encode()).map_err(wrong)?;
            models.push(Self { usual: usual.clone(), health: health.clone(), trees });
        }
        Ok(models)
    }

    /// What is said after each cycle.
    pub fn say(&self, run: &Run) -> Vec<f64> {
        let rows = features(&self.usual.compared(run), &self.health);
        rows.iter().map(|row| self.trees.predict(row).unwrap_or(CAP).clamp(0.0, CAP)).collect()
    }

    /// How many sensors a row must have.
    pub fn sensors(&self) -> usize {
        self.usual.width()
    }

    pub fn regimes(&self) -> usize {
        self.usual.regimes()
    }

    pub fn encode(&self) -> ModelFile {
        ModelFile::new("life")
            .with_numbers("regimes", self.usual.numbers())
            .with_numbers("health", self.health.weights().iter().copied())
            .with("trees", self.trees.encode())
    }

    pub fn decode(file: &ModelFile) -> Result<Self, TrainingError> {
        let wrong = |problem: &str| TrainingError::Model(problem.into());
        let usual =
            Usual::from_numbers(&file.numbers("regimes")?).ok_or_else(|| wrong("impossible regimes"))?;
        let moving = usual.moving();
        let health = Ridge::of(moving + 1, file.numbers("health")?)
            .filter(|health| health.weights().len() == moving + 1);
        let health = health.ok_or_else(|| wrong("health index and sensors do not fit each other"))?;
        let trees = Trees::decode(file.section("trees")?).map_err(|error| wrong(&error.to_string()))?;
        if trees.features() != width(moving) {
            let (found, expected) = (trees.features(), width(moving));
            return Err(wrong(&format!("trees over {found} features; {expected} follow from its sensors")));
        }
        Ok(Self { usual, health, trees })
    }
}
