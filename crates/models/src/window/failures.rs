//! Model `failures`: will this machine fail, and by which mode, from its type and five measurements.
//!
//! Sections of its file: an ensemble for each mode (`TWF`, `HDF`, `PWF`, `OSF`; its sum is the logarithm of the odds) over
//! what [`derived`] makes of a row, and `thresholds` (numbers: for each mode and, last, for any failure the probability above
//! which it is told). The probability of any failure is that of at least one mode, were they independent. It has no memory.

use triad_log::VerdictKind;

use crate::file::{ModelFile, ModelFileError, wrong};
use crate::state::{FULL, Judgement};
use crate::trees::Trees;
use crate::words;

/// The kind in the file, and of the model on a stream.
pub(crate) const KIND: &str = "failures";
/// What a failure can come from; the place behind them stands for any failure.
pub const MODES: [&str; 4] = ["TWF", "HDF", "PWF", "OSF"];
/// The place of any failure, behind the modes.
pub const ANY: usize = MODES.len();
/// What a row holds: the type (0 L, 1 M, 2 H), temperatures in K, speed in rotations a minute, torque in Nm, wear in minutes.
pub const INPUTS: [&str; 6] =
    ["type", "air_temperature", "process_temperature", "rotational_speed", "torque", "tool_wear"];
/// The row and what follows from it.
const FEATURES: usize = 10;

/// The row, and what follows from it by physics: temperature difference, power in W, strain, and strain against what the
/// type bears (Matzka 2020: 11,000, 12,000 and 13,000 Nm min).
pub fn derived(row: [f64; INPUTS.len()]) -> [f64; FEATURES] {
    let [quality, air, process, speed, torque, wear] = row;
    let power = torque * speed * std::f64::consts::PI / 30.0;
    let strain = torque * wear;
    // The better the machine, the more strain it bears.
    let borne = strain - 1_000.0 * quality;
    [quality, air, process, speed, torque, wear, process - air, power, strain, borne]
}

/// Probability of each mode, and of any: that of all staying away, were they independent, taken from one.
pub fn probabilities(modes: &[Trees], features: &[f64]) -> Vec<f64> {
    let odds = |trees: &Trees| 1.0 / (1.0 + libm::exp(-trees.predict(features).unwrap_or_default()));
    let mut said: Vec<f64> = modes.iter().map(odds).collect();
    let none = said.iter().fold(1.0, |none, odds| none * (1.0 - odds));
    said.push(1.0 - none);
    said
}

/// A trained model.
#[derive(Debug, Clone, PartialEq)]
pub struct FailureModel {
    modes: Vec<Trees>,
    thresholds: Vec<f64>,
}

impl FailureModel {
    /// Checks that there is an ensemble over [`derived`] for each mode, and a threshold for each and for any failure.
    pub fn new(modes: Vec<Trees>, thresholds: Vec<f64>) -> Result<Self, ModelFileError> {
        if modes.len() != MODES.len() {
            return Err(wrong(format!("{} ensembles; {} are expected", modes.len(), MODES.len())));
        }
        for (mode, trees) in MODES.iter().zip(&modes) {
            if trees.features() != FEATURES {
                let found = trees.features();
                return Err(wrong(format!("{mode}: trees over {found} features; {FEATURES} are expected")));
            }
        }
        let expected = MODES.len() + 1;
        if thresholds.len() != expected || thresholds.iter().any(|threshold| !threshold.is_finite()) {
            return Err(wrong(format!(
                "{} thresholds; {expected} finite ones are expected",
                thresholds.len()
            )));
        }
        Ok(Self { modes, thresholds })
    }

    /// From a file that may be hostile and was taken apart.
    pub fn from_file(file: &ModelFile) -> Result<Self, ModelFileError> {
        let ensemble = |mode: &&str| {
            Trees::decode(file.section(mode)?).map_err(|error| wrong(format!("{mode}: {error}")))
        };
        let modes = MODES.iter().map(ensemble).collect::<Result<_, _>>()?;
        if file.sections.len() != MODES.len() + 1 {
            let (found, expected) = (file.sections.len(), MODES.len() + 1);
            return Err(wrong(format!("{found} sections; {expected} are expected")));
        }
        Self::new(modes, file.numbers("thresholds")?)
    }

    /// Its file.
    pub fn file(&self) -> ModelFile {
        let each = MODES.iter().zip(&self.modes);
        each.fold(ModelFile::new(KIND), |file, (mode, trees)| file.with(mode, trees.encode()))
            .with_numbers("thresholds", self.thresholds.iter().copied())
    }

    /// An ensemble a mode, in the order of [`MODES`].
    pub fn modes(&self) -> &[Trees] {
        &self.modes
    }

    /// Of each mode, and last of any failure.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// The probability of each mode and of any failure, and whether the last is above its threshold; `None` where a number
    /// that follows from the row is not finite.
    pub fn tell(&self, row: [f64; INPUTS.len()]) -> Option<(Vec<f64>, bool)> {
        let features = derived(row);
        if features.iter().any(|feature| !feature.is_finite()) {
            return None;
        }
        let said = probabilities(&self.modes, &features);
        let any = said[ANY] > self.thresholds[ANY];
        Some((said, any))
    }

    /// The verdict on a row; `None` where it is none of this model.
    pub(crate) fn judge(&self, row: &[f64]) -> Option<Judgement> {
        let (said, any) = self.tell(row.try_into().ok()?)?;
        let (told, limit) = (words::value(said[ANY]), words::value(self.thresholds[ANY]));
        let reason = if any {
            let first =
                (1..MODES.len()).fold(0, |best, mode| if said[mode] > said[best] { mode } else { best });
            let (mode, odds) = (MODES[first], words::value(said[first]));
            format!(
                "a failure is expected, most likely {mode} ({odds}): probability {told}, above {limit} it is"
            )
        } else {
            format!("no failure is expected: probability {told}, above {limit} it would be")
        };
        let score = (said[ANY] * f64::from(FULL)) as u32;
        Some(Judgement::new(VerdictKind::FailureRisk, score, reason).telling(said[ANY]))
    }
}
