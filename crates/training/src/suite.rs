//! The suites by name.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::TrainingError;

/// A public benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Numenta Anomaly Benchmark: streaming anomaly detection.
    Nab,
    /// ETTh1: long forecasts of transformer loads.
    Ett,
    /// Day-ahead electricity prices.
    Prices,
    /// M4 competition, hourly series.
    M4,
    /// Half-hourly electricity demand.
    Load,
    /// Failures of milling machines.
    Ai4i,
    /// Remaining useful life of turbofan engines.
    Cmapss,
    /// Several streams of a pump's test bench.
    Skab,
    /// Heart beats.
    Ecg,
}

impl Suite {
    /// Every suite.
    pub const ALL: &[Self] = &[
        Self::Nab,
        Self::Ett,
        Self::Prices,
        Self::M4,
        Self::Load,
        Self::Ai4i,
        Self::Cmapss,
        Self::Skab,
        Self::Ecg,
    ];

    /// Its name on the command line, and that of its folder among others.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nab => "nab",
            Self::Ett => "ett",
            Self::Prices => "epf_prices",
            Self::M4 => "m4_hourly",
            Self::Load => "load_vic",
            Self::Ai4i => "ai4i2020",
            Self::Cmapss => "cmapss",
            Self::Skab => "skab",
            Self::Ecg => "ecg_mitbih",
        }
    }

    pub(crate) fn names() -> String {
        Self::ALL.iter().map(|suite| format!("{:?}", suite.name())).collect::<Vec<_>>().join(", ")
    }

    /// The suites of that name; "all" means every one.
    pub fn named(name: &str) -> Result<Vec<Self>, TrainingError> {
        let found: Vec<Self> =
            Self::ALL.iter().copied().filter(|suite| name == "all" || suite.name() == name).collect();
        if found.is_empty() { Err(TrainingError::UnknownSuite(name.into())) } else { Ok(found) }
    }
}

/// Runs a suite over `data`: its own folder, or one that holds it under its name.
pub fn evaluate(suite: Suite, data: &Path) -> Result<Value, TrainingError> {
    let within: PathBuf = data.join(suite.name());
    let folder = if within.is_dir() { within } else { data.into() };
    let figures = match suite {
        Suite::Nab => crate::nab::evaluate(&folder)?,
        Suite::Prices => crate::prices::evaluate(&folder)?,
        Suite::M4 => crate::m4::evaluate(&folder)?,
        Suite::Load => crate::load::evaluate(&folder)?,
        Suite::Ai4i => crate::ai4i::evaluate(&folder)?,
        Suite::Cmapss => crate::cmapss::evaluate(&folder)?,
        Suite::Skab => crate::skab::evaluate(&folder)?,
        Suite::Ecg => crate::ecg::evaluate(&folder)?,
        Suite::Ett => crate::ett::evaluate(&folder)?,
    };
    Ok(json!({ "suite": suite.name(), "figures": figures }))
}
