//! Models of rows from a file that may remember: what several streams of a device show together, and how that came about.
//!
//! A row is taken in once ([`WindowModel::step`]), with a [`Memory`] that the caller keeps: a bounded list of numbers, so
//! that it can be written byte for byte and read again to the same future. What is judged off the chain (`triad models
//! score`) goes through the very same steps.

pub mod failures;
pub mod life;
mod memory;
pub mod network;
mod spec;

pub use failures::FailureModel;
pub use life::LifeModel;
pub use memory::{MAX_MEMORY, Memory};
pub use network::NetworkModel;
pub use spec::{MAX_PRODUCTS, WindowKind, WindowSpec};

use crate::error::StateError;
use crate::file::{ModelFile, ModelFileError, wrong};
use crate::row::spec::MAX_SPLITS;
use crate::row::{MAX_INPUTS, check_inputs};
use crate::state::Judgement;
use crate::trees::Trees;

/// A model and the streams that its rows are of.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowModel {
    inputs: Vec<String>,
    inner: Inner,
}

#[derive(Debug, Clone, PartialEq)]
enum Inner {
    Life(Box<LifeModel>),
    Failures(FailureModel),
    Network(NetworkModel),
}

impl WindowModel {
    /// Reads a file that may be hostile.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelFileError> {
        Self::from_file(&ModelFile::decode(bytes)?)
    }

    /// The same from a file that was taken apart. Refused is also what a chain would not take.
    pub fn from_file(file: &ModelFile) -> Result<Self, ModelFileError> {
        let model = match WindowKind::named(&file.kind) {
            Some(WindowKind::Life) => Self::life(LifeModel::from_file(file)?),
            Some(WindowKind::Failures) => Self::failures(FailureModel::from_file(file)?),
            Some(WindowKind::Network) => Self::network(NetworkModel::from_file(file)?),
            None => {
                let known = WindowKind::ALL.map(WindowKind::name).join(", ");
                return Err(wrong(format!("kind {:?}; one of these is expected: {known}", file.kind)));
            }
        };
        let within = |what, found: usize, most: usize| {
            let problem = || wrong(format!("{found} {what}; at most {most} are taken"));
            (found <= most).then_some(()).ok_or_else(problem)
        };
        within("inputs", model.inputs.len(), MAX_INPUTS)?;
        within("splits a row", model.splits(), MAX_SPLITS as usize)?;
        within("multiplications a row", model.products(), MAX_PRODUCTS as usize)?;
        within("numbers to remember", model.memory(), MAX_MEMORY)?;
        Ok(model)
    }

    /// Remaining cycles.
    pub fn life(model: LifeModel) -> Self {
        Self { inputs: model.inputs(), inner: Inner::Life(Box::new(model)) }
    }

    /// Modes of failure.
    pub fn failures(model: FailureModel) -> Self {
        Self { inputs: failures::INPUTS.map(str::to_owned).to_vec(), inner: Inner::Failures(model) }
    }

    /// A small neural network.
    pub fn network(model: NetworkModel) -> Self {
        Self { inputs: model.inputs().to_vec(), inner: Inner::Network(model) }
    }

    /// Its file, which knows nothing of other names.
    pub fn file(&self) -> ModelFile {
        match &self.inner {
            Inner::Life(model) => model.file(),
            Inner::Failures(model) => model.file(),
            Inner::Network(model) => model.file(),
        }
    }

    /// The same on streams of other names.
    pub fn with_inputs(self, inputs: Vec<String>) -> Result<Self, ModelFileError> {
        check_inputs(&inputs)?;
        if inputs.len() != self.inputs.len() {
            let (found, expected) = (inputs.len(), self.inputs.len());
            return Err(wrong(format!("{found} names of streams; the model has {expected} inputs")));
        }
        Ok(Self { inputs, ..self })
    }

    /// Which kind it is.
    pub fn kind(&self) -> WindowKind {
        match self.inner {
            Inner::Life(_) => WindowKind::Life,
            Inner::Failures(_) => WindowKind::Failures,
            Inner::Network(_) => WindowKind::Network,
        }
    }

    /// Names of the streams that it reads, all of one device.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn ensembles(&self) -> &[Trees] {
        match &self.inner {
            Inner::Life(model) => std::slice::from_ref(model.trees()),
            Inner::Failures(model) => model.modes(),
            Inner::Network(_) => &[],
        }
    }

    /// Splits that a row goes through at most, over all trees.
    pub fn splits(&self) -> usize {
        self.ensembles().iter().map(|trees| trees.trees().count() * trees.depth().max(1)).sum()
    }

    /// About how many multiplications a row takes.
    pub fn products(&self) -> usize {
        match &self.inner {
            Inner::Life(model) => model.course().products(),
            Inner::Failures(_) => 256,
            Inner::Network(model) => model.layers().products(),
        }
    }

    /// The most numbers that it remembers.
    pub fn memory(&self) -> usize {
        match &self.inner {
            Inner::Life(model) => model.course().memory(),
            Inner::Failures(_) => 0,
            Inner::Network(model) => model.memory(),
        }
    }

    /// Takes a row in and judges it; `None` where it is none of this model, which leaves the memory as it was. An error
    /// where the memory is none of this model.
    pub fn step(&self, memory: &mut Memory, row: &[f64]) -> Result<Option<Judgement>, StateError> {
        if row.len() != self.inputs.len() || row.iter().any(|value| !value.is_finite()) {
            return Ok(None);
        }
        match &self.inner {
            Inner::Life(model) => model.judge(memory, row),
            Inner::Failures(model) => Ok(model.judge(row)),
            Inner::Network(model) => model.judge(memory, row).map(Some),
        }
    }
}
