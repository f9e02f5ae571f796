//! Parameters of the model `trees`: which file, where it lies, what it may cost.

use sha2::{Digest, Sha256};

use super::{MAX_CHAIN_MODEL_BYTES, MAX_INPUTS, RowModel};
use crate::error::SpecError;
use crate::file::{ModelFileError, wrong};
use crate::params::{Param, Params, encode};

/// A minute.
pub(crate) const DEFAULT_AGE_MS: u64 = 60_000;
/// A year: readings that lie further apart are no row.
pub(crate) const LONGEST_AGE_MS: u64 = 31_557_600_000;
/// 2,000 trees of 16 splits.
pub(crate) const MAX_SPLITS: u64 = 32_000;

/// Parameters of the model `trees`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TreesSpec {
    /// SHA-256 of the model's file.
    pub file: [u8; 32],
    /// The contract that says where the file's bytes lie (docs/formats.md).
    pub at: [u8; 20],
    /// The file's length. With the two that follow the cost of a verdict, known before the file is read.
    pub bytes: u32,
    /// How many streams a row has.
    pub inputs: u16,
    /// Splits that a row goes through at most.
    pub splits: u32,
    /// How far the readings of a row may lie apart in time.
    pub max_age_ms: u64,
}

impl TreesSpec {
    /// For a file whose bytes lie at a contract.
    pub fn of(bytes: &[u8], model: &RowModel, at: [u8; 20]) -> Self {
        Self {
            file: Sha256::digest(bytes).into(),
            at,
            bytes: bytes.len() as u32,
            inputs: model.inputs().len() as u16,
            splits: model.splits() as u32,
            max_age_ms: DEFAULT_AGE_MS,
        }
    }

    /// The model of a file that may be hostile, if it is the one that these parameters name.
    pub fn open(&self, bytes: &[u8]) -> Result<RowModel, ModelFileError> {
        if bytes.len() != self.bytes as usize {
            return Err(wrong(format!("{} bytes; the parameters say {}", bytes.len(), self.bytes)));
        }
        if <[u8; 32]>::from(Sha256::digest(bytes)) != self.file {
            return Err(wrong("bytes with another SHA-256 than the parameters say"));
        }
        let model = RowModel::decode(bytes)?;
        let (inputs, splits) = (model.inputs().len(), model.splits());
        if (inputs, splits) != (self.inputs.into(), self.splits as usize) {
            let said = format!("the parameters say {} and {}", self.inputs, self.splits);
            return Err(wrong(format!("{inputs} inputs and {splits} splits a row; {said}")));
        }
        Ok(model)
    }

    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let most = MAX_CHAIN_MODEL_BYTES as u64;
        let spec = Self {
            file: params.bytes("file")?.ok_or(SpecError::Missing("file"))?,
            at: params.bytes("at")?.ok_or(SpecError::Missing("at"))?,
            bytes: params.whole("bytes", 1, most, "")?.ok_or(SpecError::Missing("bytes"))? as u32,
            inputs: params.whole("inputs", 1, MAX_INPUTS as u64, "")?.ok_or(SpecError::Missing("inputs"))?
                as u16,
            splits: params.whole("splits", 0, MAX_SPLITS, "")?.ok_or(SpecError::Missing("splits"))? as u32,
            max_age_ms: params.milliseconds("max_age_ms", 0, LONGEST_AGE_MS)?.unwrap_or(DEFAULT_AGE_MS),
        };
        params.end()?;
        Ok(spec)
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        let age = (self.max_age_ms != DEFAULT_AGE_MS).then_some(Param::Integer(self.max_age_ms));
        encode(&[
            ("file", Some(Param::Bytes(self.file.into()))),
            ("at", Some(Param::Bytes(self.at.into()))),
            ("bytes", Some(Param::Integer(self.bytes.into()))),
            ("inputs", Some(Param::Integer(self.inputs.into()))),
            ("splits", Some(Param::Integer(self.splits.into()))),
            ("max_age_ms", age),
        ])
    }
}
