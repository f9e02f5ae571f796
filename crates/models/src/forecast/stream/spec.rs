//! Parameters of the model `forecast`.

use crate::error::SpecError;
use crate::params::{Param, Params, encode};

/// A year between two readings: longer is a mistake.
const LONGEST_MS: u64 = 31_557_600_000;
/// A week of hours.
const MAX_SEASON: u64 = 168;
/// With the longest season a state just stays below what a state may have.
const MAX_HORIZON: u64 = 24;

/// Which of a forecast's three numbers a verdict has as its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tells {
    /// The forecast itself.
    #[default]
    Value,
    /// The lower end of its interval.
    Low,
    /// The upper end.
    High,
}

impl Tells {
    fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Low => "low",
            Self::High => "high",
        }
    }
}

impl std::str::FromStr for Tells {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = [Self::Value, Self::Low, Self::High].into_iter().find(|tells| tells.name() == text);
        found.ok_or_else(|| "\"value\", \"low\" or \"high\" is expected".into())
    }
}

/// Parameters of the model `forecast`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastSpec {
    /// Time between two readings, milliseconds; the period.
    pub interval_ms: u64,
    /// Periods in a season, 1 to 168; 1: there is none.
    pub season: u16,
    /// So many periods ahead, 1 to 24.
    pub horizon: u16,
    /// A forecast below it is `expected-low`.
    pub low: Option<f64>,
    /// A forecast above it is `expected-high`.
    pub high: Option<f64>,
    /// What a verdict's value is.
    pub tells: Tells,
}

impl ForecastSpec {
    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let interval = params.milliseconds("interval_ms", 1, LONGEST_MS)?;
        let tells = params.text("tells")?.map(|text| text.parse());
        let spec = Self {
            interval_ms: interval.ok_or(SpecError::Missing("interval_ms"))?,
            season: params.whole("season", 1, MAX_SEASON, " of readings")?.unwrap_or(1) as u16,
            horizon: params.whole("horizon", 1, MAX_HORIZON, " of readings")?.unwrap_or(1) as u16,
            low: params.number("low")?,
            high: params.number("high")?,
            tells: tells
                .transpose()
                .map_err(|problem| SpecError::Bad { key: "tells", problem })?
                .unwrap_or_default(),
        };
        params.end()?;
        if spec.low.zip(spec.high).is_some_and(|(low, high)| low > high) {
            return Err(SpecError::Bad { key: "low", problem: "is above high".into() });
        }
        Ok(spec)
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        let count = |count: u16| (count != 1).then_some(Param::Integer(count.into()));
        let tells = (self.tells != Tells::Value).then(|| Param::Text(self.tells.name().into()));
        encode(&[
            ("interval_ms", Some(Param::Integer(self.interval_ms))),
            ("season", count(self.season)),
            ("horizon", count(self.horizon)),
            ("low", self.low.map(Param::Number)),
            ("high", self.high.map(Param::Number)),
            ("tells", tells),
        ])
    }

    /// Values that are remembered: a season and two.
    pub(super) fn values(&self) -> usize {
        usize::from(self.season) + 2
    }
}
