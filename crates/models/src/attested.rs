//! The model `onnx`: a file that validators do not run. Somebody does, who is named here, and signs for what it says.
//!
//! The parameters say everything that leads from readings to a verdict but the file's own arithmetic: whoever has the file and
//! the log can do it again.

use sha2::{Digest, Sha256};
use triad_log::VerdictKind;

use crate::error::SpecError;
use crate::params::{Param, Params, encode};
use crate::row::is_name;
use crate::state::{FULL, Judgement};
use crate::words;

pub(crate) const KIND: &str = "onnx";
/// A minute.
const DEFAULT_AGE_MS: u64 = 60_000;
/// A year: readings that lie further apart are no row.
const LONGEST_AGE_MS: u64 = 31_557_600_000;
/// Most readings of a window.
pub const MAX_WINDOW: u16 = 1_024;
/// Most streams of a row.
const MAX_INPUTS: usize = 64;
/// Most columns of an output.
const MAX_COLUMN: u64 = 65_535;
/// Longest name of an output and of a unit, in bytes.
const MAX_TEXT_BYTES: usize = 64;
/// From which an anomaly or a failure is expected, where nothing is said.
const DEFAULT_LIMIT: f64 = 0.5;

/// What the model's number means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// The probability of a failure, from `limit` on expected; verdicts `failure-risk`.
    FailureRisk { limit: f64 },
    /// What is left of a life, at most `most`; verdicts `remaining-life`.
    RemainingLife { most: f64, unit: String },
    /// How unusual, from 0 to 1: verdicts `anomaly` from `limit` on, else `normal`.
    Anomaly { limit: f64 },
    /// A number of its own, such as what comes next: verdicts `forecast`.
    Forecast,
}

impl Meaning {
    /// As parameters say it.
    pub fn name(&self) -> &'static str {
        match self {
            Meaning::FailureRisk { .. } => "failure-risk",
            Meaning::RemainingLife { .. } => "remaining-life",
            Meaning::Anomaly { .. } => "anomaly",
            Meaning::Forecast => "forecast",
        }
    }
}

/// Parameters of the model `onnx`.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxSpec {
    /// SHA-256 of the model's file.
    pub file: [u8; 32],
    /// The device whose key signs the verdicts.
    pub runner: [u8; 20],
    /// Streams of the same device that make a row, in the order of the model's input; empty: the stream itself.
    pub inputs: Vec<String>,
    /// How many of the stream's newest readings the model sees, the oldest first; above 1 only without `inputs`.
    pub window: u16,
    /// The output that counts; `None`: the last one with a number.
    pub output: Option<String>,
    /// Its column; `None`: the last one (of two classes the second).
    pub column: Option<u16>,
    /// The number is output × `gain` + `offset`.
    pub gain: f64,
    /// See `gain`.
    pub offset: f64,
    /// What that number means.
    pub tells: Meaning,
    /// How far the readings of a row may lie apart in time.
    pub max_age_ms: u64,
}

impl OnnxSpec {
    /// For a file and its runner; everything else as it is where nothing is said.
    pub fn of(file: &[u8], runner: [u8; 20], tells: Meaning) -> Self {
        Self {
            file: Sha256::digest(file).into(),
            runner,
            inputs: Vec::new(),
            window: 1,
            output: None,
            column: None,
            gain: 1.0,
            offset: 0.0,
            tells,
            max_age_ms: DEFAULT_AGE_MS,
        }
    }

    /// How many numbers the model sees.
    pub fn width(&self) -> usize {
        self.inputs.len().max(usize::from(self.window))
    }

    /// The verdict on what the model's output says; `None` where that is no number.
    pub fn judge(&self, output: f64) -> Option<Judgement> {
        let told = output * self.gain + self.offset;
        if !told.is_finite() {
            return None;
        }
        let ppm = |part: f64| (part * f64::from(FULL)) as u32;
        Some(match &self.tells {
            Meaning::FailureRisk { limit } => {
                let told = told.clamp(0.0, 1.0) + 0.0;
                let expected = if told >= *limit { "a failure is" } else { "no failure is" };
                let (said, limit) = (words::value(told), words::value(*limit));
                let reason = format!("{expected} expected: probability {said}, the limit is {limit}");
                Judgement::new(VerdictKind::FailureRisk, ppm(told), reason).telling(told)
            }
            Meaning::RemainingLife { most, unit } => {
                let told = told.clamp(0.0, *most) + 0.0;
                let (said, limit) = (words::value(told), words::value(*most));
                let reason = format!("{said} {unit} left, of at most {limit} that are told");
                Judgement::new(VerdictKind::RemainingLife, ppm(1.0 - told / most), reason).telling(told)
            }
            Meaning::Anomaly { limit } => {
                let told = told.clamp(0.0, 1.0) + 0.0;
                let kind = if told >= *limit { VerdictKind::Anomaly } else { VerdictKind::Normal };
                let reason = match kind {
                    VerdictKind::Anomaly => {
                        let (said, limit) = (words::value(told), words::value(*limit));
                        format!("unusual by {said}, the limit is {limit}")
                    }
                    _ => String::new(),
                };
                Judgement::new(kind, ppm(told), reason)
            }
            Meaning::Forecast => Judgement::new(VerdictKind::Forecast, 0, "").telling(told + 0.0),
        })
    }

    /// Whether the model's verdicts may be of this kind, with or without a value.
    pub fn admits(&self, kind: VerdictKind, has_value: bool) -> bool {
        let kinds: &[VerdictKind] = match self.tells {
            Meaning::FailureRisk { .. } => &[VerdictKind::FailureRisk],
            Meaning::RemainingLife { .. } => &[VerdictKind::RemainingLife],
            Meaning::Anomaly { .. } => &[VerdictKind::Anomaly, VerdictKind::Normal],
            Meaning::Forecast => &[VerdictKind::Forecast],
        };
        kinds.contains(&kind) && has_value == kind.is_prediction()
    }

    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let file = params.bytes("file")?.ok_or(SpecError::Missing("file"))?;
        let runner = params.bytes("runner")?.ok_or(SpecError::Missing("runner"))?;
        let inputs = names(params.text("inputs")?)?;
        let window = params.whole("window", 1, MAX_WINDOW.into(), "")?.unwrap_or(1) as u16;
        if window > 1 && !inputs.is_empty() {
            return Err(bad("window", "a window is of the stream itself: it has no inputs"));
        }
        let output = text("output", params.text("output")?)?;
        let column = params.whole("column", 0, MAX_COLUMN, "")?.map(|column| column as u16);
        let (gain, offset) = (params.number("gain")?.unwrap_or(1.0), params.number("offset")?.unwrap_or(0.0));
        if gain == 0.0 {
            return Err(bad("gain", "anything but 0 is expected"));
        }
        let tells = meaning(&mut params)?;
        let max_age_ms = params.milliseconds("max_age_ms", 0, LONGEST_AGE_MS)?.unwrap_or(DEFAULT_AGE_MS);
        params.end()?;
        Ok(Self { file, runner, inputs, window, output, column, gain, offset, tells, max_age_ms })
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        let number = |value: f64, default: f64| (value != default).then_some(Param::Number(value));
        let (mut limit, mut most, mut unit) = (None, None, None);
        match &self.tells {
            Meaning::FailureRisk { limit: at } | Meaning::Anomaly { limit: at } => {
                limit = number(*at, DEFAULT_LIMIT);
            }
            Meaning::RemainingLife { most: at, unit: of } => {
                (most, unit) = (Some(Param::Number(*at)), Some(Param::Text(of.clone())));
            }
            Meaning::Forecast => {}
        }
        let age = (self.max_age_ms != DEFAULT_AGE_MS).then_some(Param::Integer(self.max_age_ms));
        encode(&[
            ("file", Some(Param::Bytes(self.file.into()))),
            ("runner", Some(Param::Bytes(self.runner.into()))),
            ("tells", Some(Param::Text(self.tells.name().into()))),
            ("inputs", (!self.inputs.is_empty()).then(|| Param::Text(self.inputs.join(",")))),
            ("window", (self.window != 1).then_some(Param::Integer(self.window.into()))),
            ("output", self.output.clone().map(Param::Text)),
            ("column", self.column.map(|column| Param::Integer(column.into()))),
            ("gain", number(self.gain, 1.0)),
            ("offset", number(self.offset, 0.0)),
            ("limit", limit),
            ("most", most),
            ("unit", unit),
            ("max_age_ms", age),
        ])
    }
}

fn bad(key: &'static str, problem: impl Into<String>) -> SpecError {
    SpecError::Bad { key, problem: problem.into() }
}

fn text(key: &'static str, found: Option<String>) -> Result<Option<String>, SpecError> {
    match found {
        Some(text) if !(1..=MAX_TEXT_BYTES).contains(&text.len()) || text.chars().any(char::is_control) => {
            Err(bad(key, format!("1 to {MAX_TEXT_BYTES} bytes without control characters are expected")))
        }
        found => Ok(found),
    }
}

fn names(joined: Option<String>) -> Result<Vec<String>, SpecError> {
    let Some(joined) = joined else { return Ok(Vec::new()) };
    let names: Vec<String> = joined.split(',').map(str::to_owned).collect();
    if names.len() > MAX_INPUTS || !names.iter().all(|name| is_name(name)) {
        return Err(bad(
            "inputs",
            format!("1 to {MAX_INPUTS} names of streams, joined by commas, are expected"),
        ));
    }
    Ok(names)
}

fn meaning(params: &mut Params) -> Result<Meaning, SpecError> {
    let tells = params.text("tells")?.ok_or(SpecError::Missing("tells"))?;
    let limit = |params: &mut Params| match params.number("limit")?.unwrap_or(DEFAULT_LIMIT) {
        limit if (0.0..=1.0).contains(&limit) => Ok(limit),
        _ => Err(bad("limit", "a number from 0 to 1 is expected")),
    };
    match tells.as_str() {
        "failure-risk" => Ok(Meaning::FailureRisk { limit: limit(params)? }),
        "anomaly" => Ok(Meaning::Anomaly { limit: limit(params)? }),
        "forecast" => Ok(Meaning::Forecast),
        "remaining-life" => {
            let most = params.number("most")?.ok_or(SpecError::Missing("most"))?;
            if most <= 0.0 {
                return Err(bad("most", "a number above 0 is expected"));
            }
            let unit = text("unit", params.text("unit")?)?.ok_or(SpecError::Missing("unit"))?;
            Ok(Meaning::RemainingLife { most, unit })
        }
        _ => Err(bad("tells", "failure-risk, remaining-life, anomaly or forecast is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    fn spec(tells: Meaning) -> OnnxSpec {
        OnnxSpec::of(b"file", [2; 20], tells)
    }

    fn read(spec: &OnnxSpec) -> Result<Spec, SpecError> {
        Spec::decode(KIND, &spec.params())
    }

    #[test]
    fn parameters_read_back_and_defaults_are_left_out() {
        let plain = spec(Meaning::FailureRisk { limit: 0.5 });
        assert_eq!(read(&plain), Ok(Spec::Onnx(plain.clone())));
        assert_eq!(plain.params()[0], 0xa3, "file, runner, tells");
        let full = OnnxSpec {
            inputs: vec!["vibration".into(), "temperature".into()],
            output: Some("probabilities".into()),
            column: Some(1),
            gain: -1.0,
            offset: 0.5,
            max_age_ms: 5,
            ..spec(Meaning::RemainingLife { most: 200.0, unit: "h".into() })
        };
        assert_eq!(read(&full), Ok(Spec::Onnx(full.clone())));
        assert!(!Spec::Onnx(full).judges_readings());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = spec(Meaning::Anomaly { limit: 0.5 });
        let wrong = [
            OnnxSpec { window: 0, ..good.clone() },
            OnnxSpec { window: MAX_WINDOW + 1, ..good.clone() },
            OnnxSpec { window: 2, inputs: vec!["a".into()], ..good.clone() },
            OnnxSpec { inputs: vec!["a b".into()], ..good.clone() },
            OnnxSpec { inputs: vec!["a".into(); 65], ..good.clone() },
            OnnxSpec { output: Some(String::new()), ..good.clone() },
            OnnxSpec { gain: 0.0, ..good.clone() },
            spec(Meaning::Anomaly { limit: 1.5 }),
            spec(Meaning::RemainingLife { most: 0.0, unit: "h".into() }),
            spec(Meaning::RemainingLife { most: 1.0, unit: "\n".into() }),
        ];
        for wrong in wrong {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_number_becomes_the_verdict_that_the_parameters_say() {
        let told = |spec: &OnnxSpec, output| {
            let j = spec.judge(output).unwrap();
            assert!(spec.admits(j.kind, j.value.is_some()), "{j:?}");
            (j.kind, j.score_ppm, j.value)
        };
        let risk = spec(Meaning::FailureRisk { limit: 0.5 });
        assert_eq!(told(&risk, 0.925), (VerdictKind::FailureRisk, 925_000, Some(0.925)));
        assert_eq!(told(&risk, -3.0), (VerdictKind::FailureRisk, 0, Some(0.0)));
        assert_eq!(risk.judge(f64::NAN), None);
        // scikit-learn's isolation forest: below 0 is unusual.
        let isolation = OnnxSpec { gain: -1.0, offset: 0.5, ..spec(Meaning::Anomaly { limit: 0.5 }) };
        assert_eq!(told(&isolation, -0.25), (VerdictKind::Anomaly, 750_000, None));
        assert_eq!(told(&isolation, 0.125), (VerdictKind::Normal, 375_000, None));
        let life = spec(Meaning::RemainingLife { most: 200.0, unit: "h".into() });
        assert_eq!(told(&life, 50.0), (VerdictKind::RemainingLife, 750_000, Some(50.0)));
        assert_eq!(told(&spec(Meaning::Forecast), -7.5), (VerdictKind::Forecast, 0, Some(-7.5)));
        assert!(!risk.admits(VerdictKind::Anomaly, false) && !risk.admits(VerdictKind::FailureRisk, false));
    }
}
