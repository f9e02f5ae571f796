//! Model `life`: the cycles that an engine has left, after each of its cycles so far.
//!
//! Sections of its file: `regimes` (numbers: sensors, then for each regime three settings, the mean of every sensor, and
//! its deviation, 0 where it stands still), `health` (the weights of the health index: one a sensor that moves somewhere,
//! then the constant), `trees` (an ensemble over the features of [`Course`]). What is said is cut to 0 to 125 cycles. Its
//! inputs are three settings and the sensors, a row a cycle; the first row is taken for the engine's first cycle.

mod course;
mod regimes;

pub use course::Course;
pub use regimes::{MAX_REGIMES, MAX_SENSORS, Regime, Regimes, SAME_REGIME, SETTINGS, nearest};

use super::Memory;
use crate::error::StateError;
use crate::file::{ModelFile, ModelFileError, wrong};
use crate::row::remaining_life;
use crate::state::Judgement;
use crate::trees::Trees;

/// The kind in the file, and of the model on a stream.
pub(crate) const KIND: &str = "life";
/// Remaining cycles are told up to here.
pub const MOST_CYCLES: f64 = 125.0;

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeModel {
    course: Course,
    trees: Trees,
}

impl LifeModel {
    /// Checks that the parts fit each other.
    pub fn new(course: Course, trees: Trees) -> Result<Self, ModelFileError> {
        if trees.features() == course.features() {
            return Ok(Self { course, trees });
        }
        let (found, expected) = (trees.features(), course.features());
        Err(wrong(format!("trees over {found} features; {expected} follow from its sensors")))
    }

    /// From a file that may be hostile and was taken apart.
    pub fn from_file(file: &ModelFile) -> Result<Self, ModelFileError> {
        let regimes = Regimes::from_numbers(&file.numbers("regimes")?);
        let regimes = regimes.ok_or_else(|| wrong("impossible regimes"))?;
        let course = Course::new(regimes, file.numbers("health")?);
        let course = course.ok_or_else(|| wrong("health index and sensors do not fit each other"))?;
        let trees = Trees::decode(file.section("trees")?).map_err(|error| wrong(error.to_string()))?;
        if file.sections.len() != 3 {
            return Err(wrong(format!("{} sections; 3 are expected", file.sections.len())));
        }
        Self::new(course, trees)
    }

    /// Its file.
    pub fn file(&self) -> ModelFile {
        ModelFile::new(KIND)
            .with_numbers("regimes", self.course.regimes().numbers())
            .with_numbers("health", self.course.health().iter().copied())
            .with("trees", self.trees.encode())
    }

    /// What it makes of an engine's rows.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// Its ensemble.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }

    /// Names of its inputs: `setting1` to `setting3`, then `sensor1` and so on.
    pub fn inputs(&self) -> Vec<String> {
        let settings = (1..=SETTINGS).map(|number| format!("setting{number}"));
        settings
            .chain((1..=self.course.regimes().sensors()).map(|number| format!("sensor{number}")))
            .collect()
    }

    /// The cycles left after one more cycle; `None` where the row has another width.
    pub fn tell(&self, memory: &mut Memory, row: &[f64]) -> Result<Option<f64>, StateError> {
        let Some(features) = self.course.step(memory, row)? else { return Ok(None) };
        let sum = self.trees.predict(&features).filter(|sum| !sum.is_nan()).unwrap_or(MOST_CYCLES);
        Ok(Some(sum.clamp(0.0, MOST_CYCLES)))
    }

    /// The verdict after one more cycle.
    pub(crate) fn judge(&self, memory: &mut Memory, row: &[f64]) -> Result<Option<Judgement>, StateError> {
        let told = self.tell(memory, row)?;
        Ok(told.map(|told| remaining_life(told, MOST_CYCLES, "cycles")))
    }
}
