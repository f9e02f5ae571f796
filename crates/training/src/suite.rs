//! The suites by name.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use triad_models::Assurance;

use crate::error::TrainingError;
use crate::watch::Watch;

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

    /// What is judged: a kind of model of [`crate::KINDS`].
    pub fn model(self) -> &'static str {
        match self {
            Self::Nab => "anomaly",
            Self::Ett | Self::Prices | Self::M4 | Self::Load => "regression",
            Self::Ai4i => "failures",
            Self::Cmapss => "life",
            Self::Skab => "group",
            Self::Ecg => "heart",
        }
    }

    /// The class that verdicts of that kind of model have.
    pub fn class(self) -> Assurance {
        crate::catalogue::kind(self.model()).map_or(Assurance::Attested, |kind| kind.class)
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

/// A suite's own folder: `data`, or the one in it under its name.
pub(crate) fn folder(suite: Suite, data: &Path) -> PathBuf {
    let within = data.join(suite.name());
    if within.is_dir() { within } else { data.into() }
}

/// Runs a suite over `data`: its own folder, or one that holds it under its name.
pub fn evaluate(suite: Suite, data: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let folder = folder(suite, data);
    let started = Instant::now();
    watch.tell("reading", 0, 1);
    let figures = match suite {
        Suite::Nab => crate::nab::evaluate(&folder, watch)?,
        Suite::Prices => crate::prices::evaluate(&folder, watch)?,
        Suite::M4 => crate::m4::evaluate(&folder, watch)?,
        Suite::Load => crate::load::evaluate(&folder, watch)?,
        Suite::Ai4i => crate::ai4i::evaluate(&folder, watch)?,
        Suite::Cmapss => crate::cmapss::evaluate(&folder, watch)?,
        Suite::Skab => crate::skab::evaluate(&folder, watch)?,
        Suite::Ecg => crate::ecg::evaluate(&folder, watch)?,
        Suite::Ett => crate::ett::evaluate(&folder, watch)?,
    };
    let seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let (model, class) = (suite.model(), suite.class().to_string());
    Ok(
        json!({ "suite": suite.name(), "model": model, "class": class, "seconds": seconds, "figures": figures }),
    )
}
