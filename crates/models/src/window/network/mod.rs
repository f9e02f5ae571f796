//! Model `network`: a small neural network over a row, or over the latest rows, of several streams of a device.
//!
//! The file is a [`ModelFile`] of this kind:
//!
//! ```text
//! inputs  names of the streams, in the order of the network's inputs, joined by "," (UTF-8)
//! tells   "remaining-life", "failure-risk" or "estimate"
//! limits  f64s: of a life the most that is told; of a failure the probability from which it is expected; of an estimate none, or
//!         two between which it is usual
//! unit    what a life is counted in (UTF-8, 1 to 16 bytes), what an estimate is measured in (0 to 16 bytes); of a failure there is
//!         no such section
//! layers  the network ("TNET", `bytes.rs`)
//! ```
//!
//! Its one output is cut to 0 to the most of a life, or to 0 to 1 of a probability. Numbers are of 64 bits, weights of 32 (as
//! other programs train and export them); sums run in one order, and `exp` and `tanh` are the pinned `libm`'s, so the same
//! row gives the same bits everywhere. It remembers rows, no results: the layers go over the whole window each time.

mod activation;
mod bytes;
mod gru;
mod layers;

use triad_log::VerdictKind;

pub use activation::Activation;
pub use gru::Gru;
pub use layers::{Layer, Layers, Pool, Shape};

use super::Memory;
use crate::error::StateError;
use crate::file::{ModelFile, ModelFileError, wrong};
use crate::row::{check_inputs, failure_risk, remaining_life};
use crate::state::{FULL, Judgement};
use crate::words;

/// The kind in the file, and of the model on a stream.
pub(crate) const KIND: &str = "network";
const MAX_UNIT_BYTES: usize = 16;

/// What the network's output stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// What is left of a life, in `unit`, at most `most`.
    RemainingLife { most: f64, unit: String },
    /// The probability of a failure, which is expected from `from` on.
    FailureRisk { from: f64 },
    /// Some number; outside `usual` the verdict's score is full.
    Estimate { usual: Option<(f64, f64)>, unit: String },
}

/// A network with the names of its inputs and what it tells.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkModel {
    inputs: Vec<String>,
    output: Output,
    layers: Layers,
}

impl NetworkModel {
    /// Checks that the parts fit each other.
    pub fn new(inputs: Vec<String>, output: Output, layers: Layers) -> Result<Self, ModelFileError> {
        check_inputs(&inputs)?;
        if inputs.len() != layers.inputs() {
            let (found, expected) = (inputs.len(), layers.inputs());
            return Err(wrong(format!("{found} inputs for a network over {expected}; as many are expected")));
        }
        match &output {
            Output::RemainingLife { most, unit } => {
                if !(most.is_finite() && *most > 0.0) {
                    let problem =
                        format!("at most {most} of a life is told; a number above zero is expected");
                    return Err(wrong(problem));
                }
                check_unit(unit, 1)?;
            }
            Output::FailureRisk { from } if !(0.0..=1.0).contains(from) => {
                return Err(wrong(format!("a failure expected from {from} on; 0 to 1 is expected")));
            }
            Output::FailureRisk { .. } => {}
            Output::Estimate { usual, unit } => {
                if let Some((low, high)) = usual
                    && !(low.is_finite() && high.is_finite() && low <= high)
                {
                    return Err(wrong(format!("usual from {low} to {high}; low <= high is expected")));
                }
                check_unit(unit, 0)?;
            }
        }
        Ok(Self { inputs, output, layers })
    }

    /// From a file that may be hostile and was taken apart.
    pub fn from_file(file: &ModelFile) -> Result<Self, ModelFileError> {
        let text = |name| {
            let bytes = file.section(name)?;
            str::from_utf8(bytes).map_err(|_| wrong(format!("section {name:?} is no UTF-8 text")))
        };
        let inputs = text("inputs")?.split(',').map(str::to_owned).collect();
        let limits = file.numbers("limits")?;
        let (output, sections) = match (text("tells")?, &limits[..]) {
            ("remaining-life", &[most]) => (Output::RemainingLife { most, unit: text("unit")?.into() }, 5),
            ("failure-risk", &[from]) => (Output::FailureRisk { from }, 4),
            ("estimate", &[]) => (Output::Estimate { usual: None, unit: text("unit")?.into() }, 5),
            ("estimate", &[low, high]) => {
                (Output::Estimate { usual: Some((low, high)), unit: text("unit")?.into() }, 5)
            }
            (tells, limits) => {
                let known = "\"remaining-life\" or \"failure-risk\" with one, \"estimate\" with none or two";
                let found = limits.len();
                return Err(wrong(format!("tells {tells:?} with {found} limits; {known} is expected")));
            }
        };
        if file.sections.len() != sections {
            return Err(wrong(format!("{} sections; {sections} are expected", file.sections.len())));
        }
        Self::new(inputs, output, Layers::decode(file.section("layers")?)?)
    }

    /// Its file.
    pub fn file(&self) -> ModelFile {
        let (kind, limits, unit) = match &self.output {
            Output::RemainingLife { most, unit } => (VerdictKind::RemainingLife, vec![*most], Some(unit)),
            Output::FailureRisk { from } => (VerdictKind::FailureRisk, vec![*from], None),
            Output::Estimate { usual, unit } => {
                let limits = usual.map_or_else(Vec::new, |(low, high)| vec![low, high]);
                (VerdictKind::Estimate, limits, Some(unit))
            }
        };
        let file = ModelFile::new(KIND)
            .with("inputs", self.inputs.join(",").into_bytes())
            .with("tells", kind.name().as_bytes().to_vec())
            .with_numbers("limits", limits);
        let file = match unit {
            Some(unit) => file.with("unit", unit.clone().into_bytes()),
            None => file,
        };
        file.with("layers", self.layers.encode())
    }

    /// Names of the streams that it reads.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// What it tells.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Its layers.
    pub fn layers(&self) -> &Layers {
        &self.layers
    }

    /// The most numbers that it remembers: all rows of the window but the one at hand.
    pub fn memory(&self) -> usize {
        (self.layers.rows() - 1) * self.inputs.len()
    }

    /// What is told of a whole window, rows one after the other, oldest first; `None` where it has another length, or where a
    /// number on the way is not finite.
    pub fn tell(&self, window: &[f64]) -> Option<f64> {
        let said = self.layers.run(window)?;
        Some(match self.output {
            Output::RemainingLife { most, .. } => said.clamp(0.0, most),
            Output::FailureRisk { .. } => said.clamp(0.0, 1.0),
            Output::Estimate { .. } => said,
        })
    }

    /// Takes a row in; the window once it is whole.
    pub fn take(&self, memory: &mut Memory, row: &[f64]) -> Result<Option<Vec<f64>>, StateError> {
        let (rows, width) = (self.layers.rows(), self.inputs.len());
        let before = (memory.rows as usize).min(rows - 1);
        let numbers = memory.expect(before * width)?;
        let window: Vec<f64> = numbers.iter().chain(row).copied().collect();
        let from = if before + 1 == rows { width } else { 0 };
        *numbers = window[from..].to_vec();
        memory.count();
        Ok((before + 1 == rows).then_some(window))
    }

    /// The verdict after one more row.
    pub(crate) fn judge(&self, memory: &mut Memory, row: &[f64]) -> Result<Judgement, StateError> {
        let Some(window) = self.take(memory, row)? else {
            let (seen, rows) = (memory.rows(), self.layers.rows());
            return Ok(Judgement::learning(format!("{seen} of the {rows} rows of its window so far")));
        };
        let Some(told) = self.tell(&window) else {
            return Ok(Judgement::learning("numbers on the way through the network are too large"));
        };
        Ok(match &self.output {
            Output::RemainingLife { most, unit } => remaining_life(told, *most, unit),
            Output::FailureRisk { from } => failure_risk(told, *from),
            Output::Estimate { usual, unit } => estimate(told, *usual, unit),
        })
    }
}

fn check_unit(unit: &str, least: usize) -> Result<(), ModelFileError> {
    let plain = !unit.chars().any(char::is_control);
    if (least..=MAX_UNIT_BYTES).contains(&unit.len()) && plain {
        Ok(())
    } else {
        Err(wrong(format!("unit {unit:?}; {least} to {MAX_UNIT_BYTES} bytes are expected")))
    }
}

fn estimate(told: f64, usual: Option<(f64, f64)>, unit: &str) -> Judgement {
    let space = if unit.is_empty() { "" } else { " " };
    let said = format!("estimated {}{space}{unit}", words::value(told));
    let (score, reason) = match usual {
        None => (0, said),
        Some((low, high)) => {
            let (score, where_) = match told {
                told if told < low => (FULL, "below"),
                told if told > high => (FULL, "above"),
                _ => (0, "within"),
            };
            (score, format!("{said}, {where_} the usual {} to {}", words::value(low), words::value(high)))
        }
    };
    Judgement::new(VerdictKind::Estimate, score, reason).telling(told)
}
