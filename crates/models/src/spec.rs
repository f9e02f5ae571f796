//! Which model, with which parameters.

use sha2::{Digest, Sha256};
use triad_log::Assurance;

use crate::anomaly::AnomalySpec;
use crate::attested::{self, OnnxSpec};
use crate::error::SpecError;
use crate::filed::FileSpec;
use crate::forecast::ForecastSpec;
use crate::params::Params;
use crate::range::RangeSpec;
use crate::row::{self, TreesSpec};
use crate::silence::SilenceSpec;
use crate::window::{WindowKind, WindowSpec};

/// A model and its parameters, checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Spec {
    /// Limits, time outside them, mean kinetic temperature.
    Range(RangeSpec),
    /// No reading for longer than expected.
    Silence(SilenceSpec),
    /// A value or a course of values that the stream has not shown before.
    Anomaly(AnomalySpec),
    /// What comes, and whether what came was as forecast.
    Forecast(ForecastSpec),
    /// What several streams of a device say together of its life or failure.
    Trees(TreesSpec),
    /// The same by a model of another kind, which may remember rows.
    Window(WindowSpec),
    /// A file that its runner runs and signs for; class `attested`.
    Onnx(OnnxSpec),
}

impl Spec {
    /// Reads parameters (a CBOR map with text keys; no bytes at all mean an empty map) of a model of that kind.
    pub fn decode(kind: &str, params: &[u8]) -> Result<Self, SpecError> {
        match kind {
            "range" => RangeSpec::read(Params::decode(params)?).map(Self::Range),
            "silence" => SilenceSpec::read(Params::decode(params)?).map(Self::Silence),
            "anomaly" => AnomalySpec::read(Params::decode(params)?).map(Self::Anomaly),
            "forecast" => ForecastSpec::read(Params::decode(params)?).map(Self::Forecast),
            row::KIND => TreesSpec::read(Params::decode(params)?).map(Self::Trees),
            attested::KIND => OnnxSpec::read(Params::decode(params)?).map(Self::Onnx),
            other => match WindowKind::named(other) {
                Some(kind) => WindowSpec::read(kind, Params::decode(params)?).map(Self::Window),
                None => Err(SpecError::UnknownKind(other.chars().take(64).collect())),
            },
        }
    }

    /// `range`, `silence`, `anomaly`, `forecast`, `trees`, `life`, `failures`, `network` or `onnx`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Range(_) => "range",
            Self::Silence(_) => "silence",
            Self::Anomaly(_) => "anomaly",
            Self::Forecast(_) => "forecast",
            Self::Trees(_) => row::KIND,
            Self::Window(spec) => spec.kind.name(),
            Self::Onnx(_) => attested::KIND,
        }
    }

    /// The parameters in their canonical form: deterministic CBOR, defaults left out.
    pub fn params(&self) -> Vec<u8> {
        match self {
            Self::Range(spec) => spec.params(),
            Self::Silence(spec) => spec.params(),
            Self::Anomaly(spec) => spec.params(),
            Self::Forecast(spec) => spec.params(),
            Self::Trees(spec) => spec.params(),
            Self::Window(spec) => spec.params(),
            Self::Onnx(spec) => spec.params(),
        }
    }

    /// Whether it needs the chain's rule for learned models: it predicts, and is charged for its work.
    pub fn is_learned(&self) -> bool {
        matches!(self, Self::Forecast(_) | Self::Trees(_) | Self::Window(_))
    }

    /// Whether it needs the chain's rule for models that remember rows, besides.
    pub fn is_windowed(&self) -> bool {
        matches!(self, Self::Window(_))
    }

    /// Whether it judges readings one by one; else it judges rows, by a file, or validators do not run it.
    pub fn judges_readings(&self) -> bool {
        !matches!(self, Self::Trees(_) | Self::Window(_) | Self::Onnx(_))
    }

    /// On whose word its verdicts rest.
    pub fn class(&self) -> Assurance {
        match self {
            Self::Onnx(_) => Assurance::Attested,
            _ => Assurance::Consensus,
        }
    }

    /// What it says of the file by which it judges rows.
    pub fn file(&self) -> Option<FileSpec> {
        match self {
            Self::Trees(spec) => Some(FileSpec::Trees(spec.clone())),
            Self::Window(spec) => Some(FileSpec::Window(spec.clone())),
            _ => None,
        }
    }

    /// SHA-256(kind ‖ 0x00 ‖ canonical parameters): two bindings with one hash judge alike.
    pub fn content_hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.kind().as_bytes());
        hasher.update([0]);
        hasher.update(self.params());
        hasher.finalize().into()
    }
}
