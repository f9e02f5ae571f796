//! Models that judge rows by a file on the chain: what a binding says of the file, and the model that it opens.

use crate::file::ModelFileError;
use crate::row::{RowModel, TreesSpec};
use crate::window::{WindowModel, WindowSpec};

/// What a binding says of the file by which rows are judged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FileSpec {
    /// An ensemble of trees, without a memory.
    Trees(TreesSpec),
    /// Any other.
    Window(WindowSpec),
}

/// What a verdict costs, from the binding alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileCost {
    /// Length of the file.
    pub bytes: u32,
    /// Streams of a row.
    pub inputs: u16,
    /// Splits of trees that a row goes through.
    pub splits: u32,
    /// Multiplications that a row takes.
    pub products: u32,
    /// Numbers that are remembered.
    pub memory: u16,
}

/// An opened file.
#[derive(Debug, Clone, PartialEq)]
pub enum FileModel {
    /// An ensemble of trees, without a memory.
    Trees(RowModel),
    /// Any other.
    Window(WindowModel),
}

impl FileSpec {
    /// The contract that says where the file's bytes lie.
    pub fn at(&self) -> [u8; 20] {
        match self {
            Self::Trees(spec) => spec.at,
            Self::Window(spec) => spec.at,
        }
    }

    /// How far the readings of a row may lie apart in time.
    pub fn max_age_ms(&self) -> u64 {
        match self {
            Self::Trees(spec) => spec.max_age_ms,
            Self::Window(spec) => spec.max_age_ms,
        }
    }

    /// Whether each reading of its stream is a row of its own, since the model has that one input; else a row is what all inputs said
    /// last when a statement was taken in.
    pub fn judges_each(&self) -> bool {
        matches!(self, Self::Window(spec) if spec.inputs == 1)
    }

    /// What a verdict costs.
    pub fn cost(&self) -> FileCost {
        match self {
            Self::Trees(TreesSpec { bytes, inputs, splits, .. }) => {
                FileCost { bytes: *bytes, inputs: *inputs, splits: *splits, products: 0, memory: 0 }
            }
            Self::Window(WindowSpec { bytes, inputs, splits, products, memory, .. }) => FileCost {
                bytes: *bytes,
                inputs: *inputs,
                splits: *splits,
                products: *products,
                memory: *memory,
            },
        }
    }

    /// The model of a file that may be hostile, if it is the one that the binding names.
    pub fn open(&self, bytes: &[u8]) -> Result<FileModel, ModelFileError> {
        match self {
            Self::Trees(spec) => spec.open(bytes).map(FileModel::Trees),
            Self::Window(spec) => spec.open(bytes).map(FileModel::Window),
        }
    }
}

impl FileModel {
    /// Names of the streams that it reads, all of one device.
    pub fn inputs(&self) -> &[String] {
        match self {
            Self::Trees(model) => model.inputs(),
            Self::Window(model) => model.inputs(),
        }
    }
}
