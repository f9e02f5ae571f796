//! What a model remembers of one stream, and its judgements.

use triad_log::VerdictKind;

use crate::anomaly::AnomalyState;
use crate::codec::{Reader, Writer};
use crate::error::StateError;
use crate::forecast::ForecastState;
use crate::range::RangeState;
use crate::silence::SilenceState;
use crate::spec::Spec;
use crate::words;

/// The most that any state encodes to.
pub const MAX_STATE_BYTES: usize = 4096;

/// The version and the kind that open an encoded state. A kind whose layout changes gets a new version.
const RANGE: [u8; 2] = [1, 1];
const SILENCE: [u8; 2] = [1, 2];
const ANOMALY: [u8; 2] = [2, 3];
const FORECAST: [u8; 2] = [1, 4];
const ROW: [u8; 2] = [1, 5];

/// The highest score, in parts per million.
pub(crate) const FULL: u32 = 1_000_000;

/// One reading, as models see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Input {
    /// The reading's own time, microseconds since the epoch.
    pub time_us: i64,
    /// The reading; the door lets only finite numbers in.
    pub value: f64,
    /// The time of the block that holds it, milliseconds since the epoch.
    pub block_time_ms: u64,
}

/// What a model says of one reading, or of its absence.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// What was found.
    pub kind: VerdictKind,
    /// How sure or how grave, 0 to 1,000,000.
    pub score_ppm: u32,
    /// One sentence for people, at most 255 bytes of UTF-8; empty where there is nothing to say.
    pub reason: String,
    /// What is predicted; `None` where the kind is no prediction.
    pub value: Option<f64>,
}

impl Judgement {
    pub(crate) fn new(kind: VerdictKind, score_ppm: u32, reason: impl Into<String>) -> Self {
        Self { kind, score_ppm: score_ppm.min(FULL), reason: words::fit(reason.into()), value: None }
    }

    /// The same with what is predicted.
    pub(crate) fn telling(self, value: f64) -> Self {
        Self { value: Some(value), ..self }
    }

    pub(crate) fn normal() -> Self {
        Self::new(VerdictKind::Normal, 0, "")
    }

    /// The reading is not newer than one taken in before.
    pub fn late() -> Self {
        Self::new(VerdictKind::Late, 0, "")
    }

    /// There is not enough to judge, and why.
    pub fn learning(reason: impl Into<String>) -> Self {
        Self::new(VerdictKind::Learning, 0, reason)
    }
}

/// The state of one model on one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// The latest reading time taken in.
    latest_us: Option<i64>,
    inner: Inner,
}

#[derive(Debug, Clone, PartialEq)]
enum Inner {
    Range(RangeState),
    Silence(SilenceState),
    Anomaly(AnomalyState),
    Forecast(Box<ForecastState>),
    /// A model of rows remembers nothing.
    Row,
}

impl State {
    /// The state before the first reading.
    pub fn new(spec: &Spec) -> Self {
        let inner = match spec {
            Spec::Range(_) => Inner::Range(RangeState::default()),
            Spec::Silence(_) => Inner::Silence(SilenceState::default()),
            Spec::Anomaly(_) => Inner::Anomaly(AnomalyState::default()),
            Spec::Forecast(spec) => Inner::Forecast(Box::new(ForecastState::new(spec))),
            Spec::Trees(_) => Inner::Row,
        };
        Self { latest_us: None, inner }
    }

    /// Judges one reading. A reading that is not newer than the latest one is `late` and leaves the state as it was,
    /// and so does one that is not finite (which no door lets in).
    ///
    /// # Panics
    /// Never for a state made for this kind of spec; the caller keeps the two together.
    pub fn step(&mut self, spec: &Spec, input: Input) -> Judgement {
        if !input.value.is_finite() || self.latest_us.is_some_and(|latest| input.time_us <= latest) {
            return Judgement::late();
        }
        let previous_us = self.latest_us.replace(input.time_us);
        // Adding zero turns -0 into 0.
        let input = Input { value: input.value + 0.0, ..input };
        match (&mut self.inner, spec) {
            (Inner::Range(state), Spec::Range(spec)) => state.step(spec, previous_us, input),
            (Inner::Silence(state), Spec::Silence(spec)) => state.step(spec, input),
            (Inner::Anomaly(state), Spec::Anomaly(spec)) => state.step(spec, input),
            (Inner::Forecast(state), Spec::Forecast(spec)) => state.step(spec, input),
            // One reading is no row: nobody asks.
            (Inner::Row, Spec::Trees(_)) => Judgement::normal(),
            _ => unreachable!("a state is only stepped with the spec that it was made for"),
        }
    }

    /// The block time at or after which [`State::on_deadline`] has something to say if no reading comes before.
    pub fn deadline_ms(&self, spec: &Spec) -> Option<u64> {
        match (&self.inner, spec) {
            (Inner::Silence(state), Spec::Silence(spec)) => state.deadline_ms(spec),
            _ => None,
        }
    }

    /// Called in a block that reached the deadline. `None` before it, after it was answered, and for models that wait
    /// for nothing.
    pub fn on_deadline(&mut self, spec: &Spec, block_time_ms: u64) -> Option<Judgement> {
        match (&mut self.inner, spec) {
            (Inner::Silence(state), Spec::Silence(spec)) => state.on_deadline(spec, block_time_ms),
            _ => None,
        }
    }

    /// Version, kind, latest time, then the model's own fields; at most [`MAX_STATE_BYTES`].
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(match &self.inner {
            Inner::Range(_) | Inner::Silence(_) | Inner::Row => 64,
            Inner::Anomaly(state) => state.size(),
            Inner::Forecast(_) => MAX_STATE_BYTES,
        });
        writer.bytes(match self.inner {
            Inner::Range(_) => &RANGE,
            Inner::Silence(_) => &SILENCE,
            Inner::Anomaly(_) => &ANOMALY,
            Inner::Forecast(_) => &FORECAST,
            Inner::Row => &ROW,
        });
        writer.u8(u8::from(self.latest_us.is_some()));
        if let Some(latest) = self.latest_us {
            writer.i64(latest);
            match &self.inner {
                Inner::Range(state) => state.encode(&mut writer),
                Inner::Silence(state) => state.encode(&mut writer),
                Inner::Anomaly(state) => state.encode(&mut writer),
                Inner::Forecast(state) => state.encode(&mut writer),
                Inner::Row => {}
            }
        }
        assert!(writer.0.len() <= MAX_STATE_BYTES, "every model bounds its state");
        writer.0
    }

    /// Reads what [`State::encode`] wrote for the same spec.
    pub fn decode(spec: &Spec, bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes);
        let (version, kind) = (reader.u8()?, reader.u8()?);
        let expected = match spec {
            Spec::Range(_) => RANGE,
            Spec::Silence(_) => SILENCE,
            Spec::Anomaly(_) => ANOMALY,
            Spec::Forecast(_) => FORECAST,
            Spec::Trees(_) => ROW,
        };
        if [version, kind] != expected {
            return Err(StateError::Mismatch { version, kind });
        }
        let mut state = Self::new(spec);
        if reader.flag()? {
            state.latest_us = Some(reader.i64()?);
            state.inner = match spec {
                Spec::Range(spec) => Inner::Range(RangeState::decode(spec, &mut reader)?),
                Spec::Silence(_) => Inner::Silence(SilenceState::decode(&mut reader)?),
                Spec::Anomaly(_) => Inner::Anomaly(AnomalyState::decode(&mut reader)?),
                Spec::Forecast(spec) => Inner::Forecast(Box::new(ForecastState::decode(spec, &mut reader)?)),
                Spec::Trees(_) => Inner::Row,
            };
        }
        reader.end()?;
        Ok(state)
    }
}
