//! What a verdict can say, and on whose word it rests.

/// What a model found. The numbers are part of the verdict's byte format and never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum VerdictKind {
    /// Nothing to remark.
    Normal = 0,
    /// Below the lower limit.
    Low = 1,
    /// Above the upper limit.
    High = 2,
    /// Outside the limits for too long.
    Duration = 3,
    /// Mean kinetic temperature over its limit.
    Mkt = 4,
    /// Inside the limits again.
    BackInRange = 5,
    /// No reading within the declared interval.
    Silent = 6,
    /// The first reading after a silence.
    Resumed = 7,
    /// Not what this stream usually does.
    Anomaly = 8,
    /// Skipped: not newer than the stream's latest reading.
    Late = 9,
    /// The model has not seen enough to judge.
    Learning = 10,
    /// As forecast; the verdict's value is the next forecast.
    Forecast = 11,
    /// Outside the interval that was forecast for it; the verdict's value is the next forecast.
    OffForecast = 12,
    /// The value, a forecast, is below the lower limit.
    ExpectedLow = 13,
    /// The value, a forecast, is above the upper limit.
    ExpectedHigh = 14,
    /// The value is what is left of a life, the score what is gone of it.
    RemainingLife = 15,
    /// Value and score are the probability of a failure.
    FailureRisk = 16,
    /// The value is what a model computes of the readings; the score says whether it is unusual.
    Estimate = 17,
}

impl VerdictKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [VerdictKind; 18] = [
        VerdictKind::Normal,
        VerdictKind::Low,
        VerdictKind::High,
        VerdictKind::Duration,
        VerdictKind::Mkt,
        VerdictKind::BackInRange,
        VerdictKind::Silent,
        VerdictKind::Resumed,
        VerdictKind::Anomaly,
        VerdictKind::Late,
        VerdictKind::Learning,
        VerdictKind::Forecast,
        VerdictKind::OffForecast,
        VerdictKind::ExpectedLow,
        VerdictKind::ExpectedHigh,
        VerdictKind::RemainingLife,
        VerdictKind::FailureRisk,
        VerdictKind::Estimate,
    ];

    /// None for a number without a meaning.
    pub fn from_u8(number: u8) -> Option<VerdictKind> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number in the byte format.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// Its name in APIs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            VerdictKind::Normal => "normal",
            VerdictKind::Low => "low",
            VerdictKind::High => "high",
            VerdictKind::Duration => "duration",
            VerdictKind::Mkt => "mkt",
            VerdictKind::BackInRange => "back-in-range",
            VerdictKind::Silent => "silent",
            VerdictKind::Resumed => "resumed",
            VerdictKind::Anomaly => "anomaly",
            VerdictKind::Late => "late",
            VerdictKind::Learning => "learning",
            VerdictKind::Forecast => "forecast",
            VerdictKind::OffForecast => "off-forecast",
            VerdictKind::ExpectedLow => "expected-low",
            VerdictKind::ExpectedHigh => "expected-high",
            VerdictKind::RemainingLife => "remaining-life",
            VerdictKind::FailureRisk => "failure-risk",
            VerdictKind::Estimate => "estimate",
        }
    }

    /// In words for people.
    pub fn words(self) -> &'static str {
        match self {
            VerdictKind::Normal => "normal",
            VerdictKind::Low => "below its lower limit",
            VerdictKind::High => "above its upper limit",
            VerdictKind::Duration => "outside its limits for too long",
            VerdictKind::Mkt => "mean kinetic temperature over its limit",
            VerdictKind::BackInRange => "back inside its limits",
            VerdictKind::Silent => "silent: no reading in the declared interval",
            VerdictKind::Resumed => "heard again after a silence",
            VerdictKind::Anomaly => "anomaly: not what this stream usually does",
            VerdictKind::Late => "skipped: not newer than the stream's latest reading",
            VerdictKind::Learning => "not enough seen yet to judge",
            VerdictKind::Forecast => "as forecast; the value is the next forecast",
            VerdictKind::OffForecast => "not as forecast; the value is the next forecast",
            VerdictKind::ExpectedLow => "expected to fall below its lower limit; the value is the forecast",
            VerdictKind::ExpectedHigh => "expected to rise above its upper limit; the value is the forecast",
            VerdictKind::RemainingLife => "the value is the life that remains",
            VerdictKind::FailureRisk => "the value is the probability of a failure",
            VerdictKind::Estimate => "the value is estimated from the readings",
        }
    }

    /// Whether a verdict of this kind has what the model says as its value, not what was read.
    pub fn is_prediction(self) -> bool {
        self >= VerdictKind::Forecast
    }
}

impl std::fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// On whose word a verdict rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Assurance {
    /// A deterministic model that every validator ran again.
    Consensus = 0,
    /// A model that one party ran and signed for.
    Attested = 1,
}

impl Assurance {
    /// None for a number without a meaning.
    pub fn from_u8(number: u8) -> Option<Assurance> {
        match number {
            0 => Some(Assurance::Consensus),
            1 => Some(Assurance::Attested),
            _ => None,
        }
    }

    /// Its number in the byte format.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// Its name in APIs.
    pub fn name(self) -> &'static str {
        match self {
            Assurance::Consensus => "consensus",
            Assurance::Attested => "attested",
        }
    }
}

impl std::fmt::Display for Assurance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
