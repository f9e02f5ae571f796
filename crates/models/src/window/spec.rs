//! Parameters of models of rows that come from a file and may have a memory: which file, where it lies, what it may cost.

use sha2::{Digest, Sha256};

use super::{MAX_MEMORY, WindowModel, failures, life, network};
use crate::error::SpecError;
use crate::file::{ModelFileError, wrong};
use crate::params::{Param, Params, encode};
use crate::row::spec::{DEFAULT_AGE_MS, LONGEST_AGE_MS, MAX_SPLITS};
use crate::row::{MAX_CHAIN_MODEL_BYTES, MAX_INPUTS, check_inputs};

/// Of a row: some milliseconds at most.
pub const MAX_PRODUCTS: u64 = 1_000_000;

/// Which of these models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// Remaining cycles of an engine from its course.
    Life,
    /// The risk of each mode of failure of a machine.
    Failures,
    /// A small neural network.
    Network,
}

impl WindowKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Life, Self::Failures, Self::Network];

    /// As in files and bindings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Life => life::KIND,
            Self::Failures => failures::KIND,
            Self::Network => network::KIND,
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Parameters of such a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// Which model.
    pub kind: WindowKind,
    /// SHA-256 of the model's file.
    pub file: [u8; 32],
    /// The contract that says where the file's bytes lie (docs/formats.md).
    pub at: [u8; 20],
    /// The file's length. With the four that follow the cost of a verdict, known before the file is read.
    pub bytes: u32,
    /// How many streams a row has.
    pub inputs: u16,
    /// Splits of trees that a row goes through at most.
    pub splits: u32,
    /// Multiplications that a row takes, and what costs as much.
    pub products: u32,
    /// Numbers that are remembered at most.
    pub memory: u16,
    /// How far the readings of a row may lie apart in time.
    pub max_age_ms: u64,
    /// Names of the streams in the order of the inputs; none: those that the file gives.
    pub names: Vec<String>,
}

impl WindowSpec {
    /// For a file whose bytes lie at a contract.
    pub fn of(bytes: &[u8], model: &WindowModel, at: [u8; 20]) -> Self {
        Self {
            kind: model.kind(),
            file: Sha256::digest(bytes).into(),
            at,
            bytes: bytes.len() as u32,
            inputs: model.inputs().len() as u16,
            splits: model.splits() as u32,
            products: model.products() as u32,
            memory: model.memory() as u16,
            max_age_ms: DEFAULT_AGE_MS,
            names: Vec::new(),
        }
    }

    /// The model of a file that may be hostile, if it is the one that these parameters name.
    pub fn open(&self, bytes: &[u8]) -> Result<WindowModel, ModelFileError> {
        if bytes.len() != self.bytes as usize {
            return Err(wrong(format!("{} bytes; the parameters say {}", bytes.len(), self.bytes)));
        }
        if <[u8; 32]>::from(Sha256::digest(bytes)) != self.file {
            return Err(wrong("bytes with another SHA-256 than the parameters say"));
        }
        let model = WindowModel::decode(bytes)?;
        if model.kind() != self.kind {
            let (found, said) = (model.kind().name(), self.kind.name());
            return Err(wrong(format!("kind {found:?}; the parameters say {said:?}")));
        }
        let found = [model.inputs().len(), model.splits(), model.products(), model.memory()];
        let said = [self.inputs.into(), self.splits as usize, self.products as usize, self.memory.into()];
        if found != said {
            return Err(wrong(format!(
                "inputs, splits, products and memory are {found:?}; the parameters say {said:?}"
            )));
        }
        if self.names.is_empty() { Ok(model) } else { model.with_inputs(self.names.clone()) }
    }

    pub(crate) fn read(kind: WindowKind, mut params: Params) -> Result<Self, SpecError> {
        let mut whole = |key: &'static str, low: u64, high: u64| {
            params.whole(key, low, high, "").and_then(|found| match (found, low) {
                (Some(found), _) => Ok(found),
                (None, 0) => Ok(0),
                (None, _) => Err(SpecError::Missing(key)),
            })
        };
        let bytes = whole("bytes", 1, MAX_CHAIN_MODEL_BYTES as u64)? as u32;
        let inputs = whole("inputs", 1, MAX_INPUTS as u64)? as u16;
        let splits = whole("splits", 0, MAX_SPLITS)? as u32;
        let products = whole("products", 0, MAX_PRODUCTS)? as u32;
        let memory = whole("memory", 0, MAX_MEMORY as u64)? as u16;
        let names = params.text("names")?;
        let names: Vec<String> = names.iter().flat_map(|names| names.split(',')).map(str::to_owned).collect();
        let bad = |problem: String| SpecError::Bad { key: "names", problem };
        if !names.is_empty() {
            check_inputs(&names).map_err(|error| bad(error.0))?;
            if names.len() != usize::from(inputs) {
                return Err(bad(format!("{} names; as many as inputs are expected", names.len())));
            }
        }
        let spec = Self {
            kind,
            file: params.bytes("file")?.ok_or(SpecError::Missing("file"))?,
            at: params.bytes("at")?.ok_or(SpecError::Missing("at"))?,
            bytes,
            inputs,
            splits,
            products,
            memory,
            max_age_ms: params.milliseconds("max_age_ms", 0, LONGEST_AGE_MS)?.unwrap_or(DEFAULT_AGE_MS),
            names,
        };
        params.end()?;
        Ok(spec)
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        let unless = |value: u64, default: u64| (value != default).then_some(Param::Integer(value));
        encode(&[
            ("file", Some(Param::Bytes(self.file.into()))),
            ("at", Some(Param::Bytes(self.at.into()))),
            ("bytes", Some(Param::Integer(self.bytes.into()))),
            ("inputs", Some(Param::Integer(self.inputs.into()))),
            ("splits", unless(self.splits.into(), 0)),
            ("products", unless(self.products.into(), 0)),
            ("memory", unless(self.memory.into(), 0)),
            ("max_age_ms", unless(self.max_age_ms, DEFAULT_AGE_MS)),
            ("names", (!self.names.is_empty()).then(|| Param::Text(self.names.join(",")))),
        ])
    }
}
