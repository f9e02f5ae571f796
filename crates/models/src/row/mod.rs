//! Models of rows: what several streams of a device show together, judged by an ensemble of trees from a file.
//!
//! The file is a [`ModelFile`] of kind `trees`:
//!
//! ```text
//! inputs  names of the streams, in the order of the features, joined by "," (UTF-8)
//! tells   "remaining-life" or "failure-risk"
//! limits  f64s: of a life the most that is told; of a failure the probability from which it is expected
//! unit    what a life is counted in (UTF-8, 1 to 16 bytes); of a failure there is no such section
//! trees   the ensemble ("TGBT")
//! ```
//!
//! A life is the sum of the trees, cut to 0 to the most that is told; the probability of a failure is the logistic
//! function of it. A row has no memory: whatever trend is to count, the device (or a model of its own) has to show as a stream.

pub(crate) mod spec;

use triad_log::VerdictKind;

use crate::file::{ModelFile, ModelFileError, wrong};
use crate::state::{FULL, Judgement};
use crate::trees::Trees;
use crate::words;
pub use spec::TreesSpec;

/// The kind in the file, and of the model on a stream.
pub(crate) const KIND: &str = "trees";
/// A larger file is not taken by a chain.
pub const MAX_CHAIN_MODEL_BYTES: usize = 1 << 20;
/// A verdict needs that many look-ups, so few are enough for everybody.
pub(crate) const MAX_INPUTS: usize = 64;
const MAX_NAME_BYTES: usize = 255;
const MAX_UNIT_BYTES: usize = 16;

/// What an ensemble's sum stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Predicts {
    /// What is left of a life, in `unit`, at most `most`.
    RemainingLife { most: f64, unit: String },
    /// The logarithm of the odds of a failure; it is expected from the probability `from` on.
    FailureRisk { from: f64 },
}

/// An ensemble with the names of its inputs and what it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct RowModel {
    inputs: Vec<String>,
    predicts: Predicts,
    trees: Trees,
}

impl RowModel {
    /// Checks that the parts fit each other.
    pub fn new(inputs: Vec<String>, predicts: Predicts, trees: Trees) -> Result<Self, ModelFileError> {
        if inputs.len() != trees.features() || inputs.len() > MAX_INPUTS {
            let (found, features) = (inputs.len(), trees.features());
            return Err(wrong(format!(
                "{found} inputs for trees over {features} features; as many are expected, at most {MAX_INPUTS}"
            )));
        }
        check_inputs(&inputs)?;
        match &predicts {
            Predicts::RemainingLife { most, unit } => {
                if !(most.is_finite() && *most > 0.0) {
                    return Err(wrong(format!(
                        "at most {most} of a life is told; a number above zero is expected"
                    )));
                }
                let plain = !unit.chars().any(char::is_control);
                if !(1..=MAX_UNIT_BYTES).contains(&unit.len()) || !plain {
                    return Err(wrong(format!("unit {unit:?}; 1 to {MAX_UNIT_BYTES} bytes are expected")));
                }
            }
            Predicts::FailureRisk { from } => {
                if !(0.0..=1.0).contains(from) {
                    return Err(wrong(format!("a failure expected from {from} on; 0 to 1 is expected")));
                }
            }
        }
        Ok(Self { inputs, predicts, trees })
    }

    /// Reads a file that may be hostile.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelFileError> {
        Self::from_file(&ModelFile::decode(bytes)?)
    }

    /// The same from a file that was taken apart.
    pub fn from_file(file: &ModelFile) -> Result<Self, ModelFileError> {
        if file.kind != KIND {
            return Err(wrong(format!("kind {:?}; {KIND:?} is what a stream can be judged by", file.kind)));
        }
        let text = |name| {
            let bytes = file.section(name)?;
            str::from_utf8(bytes).map_err(|_| wrong(format!("section {name:?} is no UTF-8 text")))
        };
        let inputs = text("inputs")?.split(',').map(str::to_owned).collect();
        let [limit] = file.numbers("limits")?[..] else {
            return Err(wrong("section \"limits\": one number is expected"));
        };
        let (predicts, sections) = match text("tells")? {
            "remaining-life" => (Predicts::RemainingLife { most: limit, unit: text("unit")?.into() }, 5),
            "failure-risk" => (Predicts::FailureRisk { from: limit }, 4),
            other => {
                return Err(wrong(format!(
                    "tells {other:?}; \"remaining-life\" or \"failure-risk\" is expected"
                )));
            }
        };
        if file.sections.len() != sections {
            return Err(wrong(format!("{} sections; {sections} are expected", file.sections.len())));
        }
        let trees = Trees::decode(file.section("trees")?).map_err(|error| wrong(error.to_string()))?;
        Self::new(inputs, predicts, trees)
    }

    /// Its file.
    pub fn file(&self) -> ModelFile {
        let file = ModelFile::new(KIND).with("inputs", self.inputs.join(",").into_bytes());
        let tells = |kind: VerdictKind| kind.name().as_bytes().to_vec();
        let file = match &self.predicts {
            Predicts::RemainingLife { most, unit } => file
                .with("tells", tells(VerdictKind::RemainingLife))
                .with_numbers("limits", [*most])
                .with("unit", unit.clone().into_bytes()),
            Predicts::FailureRisk { from } => {
                file.with("tells", tells(VerdictKind::FailureRisk)).with_numbers("limits", [*from])
            }
        };
        file.with("trees", self.trees.encode())
    }

    /// Names of the streams that it reads, all of one device.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// What it tells.
    pub fn predicts(&self) -> &Predicts {
        &self.predicts
    }

    /// Its ensemble.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }

    /// Splits that a row goes through at most, over all trees.
    pub fn splits(&self) -> usize {
        self.trees.trees().count() * self.trees.depth().max(1)
    }

    /// What is told of a row; `None` where it has another length or a number that is not finite.
    pub fn predict(&self, row: &[f64]) -> Option<f64> {
        let sum = self.trees.predict(row)?;
        Some(match self.predicts {
            // A sum of finite leaves may still be too large for a number.
            Predicts::RemainingLife { most, .. } => {
                if sum.is_nan() {
                    0.0
                } else {
                    sum.clamp(0.0, most)
                }
            }
            Predicts::FailureRisk { .. } => {
                if sum.is_nan() {
                    1.0
                } else {
                    1.0 / (1.0 + libm::exp(-sum))
                }
            }
        })
    }

    /// The verdict on a row; `None` as of [`RowModel::predict`].
    pub fn judge(&self, row: &[f64]) -> Option<Judgement> {
        let told = self.predict(row)?;
        Some(match &self.predicts {
            Predicts::RemainingLife { most, unit } => remaining_life(told, *most, unit),
            Predicts::FailureRisk { from } => failure_risk(told, *from),
        })
    }
}

fn ppm(part: f64) -> u32 {
    (part * f64::from(FULL)) as u32
}

/// The verdict on what is left of a life, 0 to `most`.
pub(crate) fn remaining_life(told: f64, most: f64, unit: &str) -> Judgement {
    let reason =
        format!("{} {unit} left, of at most {} that are told", words::value(told), words::value(most));
    Judgement::new(VerdictKind::RemainingLife, ppm(1.0 - told / most), reason).telling(told)
}

/// The verdict on the probability of a failure, which is expected from the probability `from` on.
pub(crate) fn failure_risk(told: f64, from: f64) -> Judgement {
    let (said, limit) = (words::value(told), words::value(from));
    let reason = if told >= from {
        format!("a failure is expected: probability {said}, from {limit} on it is")
    } else {
        format!("no failure is expected: probability {said}, from {limit} on it would be")
    };
    Judgement::new(VerdictKind::FailureRisk, ppm(told), reason).telling(told)
}

/// Whether names are those of different streams, 1 to 64 of them.
pub(crate) fn check_inputs(inputs: &[String]) -> Result<(), ModelFileError> {
    if !(1..=MAX_INPUTS).contains(&inputs.len()) {
        return Err(wrong(format!("{} inputs; 1 to {MAX_INPUTS} are expected", inputs.len())));
    }
    for (at, name) in inputs.iter().enumerate() {
        if !is_name(name) {
            return Err(wrong(format!("input {name:?} is no name of a stream")));
        }
        if inputs[..at].contains(name) {
            return Err(wrong(format!("input {name:?} comes twice")));
        }
    }
    Ok(())
}

/// As names of readings are (RFC 8428, section 4.5.1).
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-:./_".contains(&byte);
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(plain)
        && name.as_bytes()[0].is_ascii_alphanumeric()
}
