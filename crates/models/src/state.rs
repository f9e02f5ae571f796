//! What a model remembers of one stream, and its judgements.

use triad_log::VerdictKind;

use crate::anomaly::AnomalyState;
use crate::codec::{Reader, Writer};
use crate::error::StateError;
use crate::filed::FileModel;
use crate::forecast::ForecastState;
use crate::range::RangeState;
use crate::silence::SilenceState;
use crate::spec::Spec;
use crate::window::{MAX_MEMORY, Memory};
use crate::words;

/// The most that a state of a model of readings encodes to.
pub const MAX_STATE_BYTES: usize = 4096;
/// The most that a state of a model of rows encodes to: version, kind, time, rows, count, and the numbers.
pub const MAX_ROW_STATE_BYTES: usize = 32 + 8 * MAX_MEMORY;

/// The version and the kind that open an encoded state. A kind whose layout changes gets a new version.
const RANGE: [u8; 2] = [1, 1];
const SILENCE: [u8; 2] = [1, 2];
const ANOMALY: [u8; 2] = [2, 3];
const FORECAST: [u8; 2] = [1, 4];
const ROW: [u8; 2] = [1, 5];
const WINDOW: [u8; 2] = [1, 6];

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
    /// An ensemble of trees remembers nothing, nor does a model that validators do not run.
    Row,
    Window(Memory),
}

impl State {
    /// The state before the first reading.
    pub fn new(spec: &Spec) -> Self {
        let inner = match spec {
            Spec::Range(_) => Inner::Range(RangeState::default()),
            Spec::Silence(_) => Inner::Silence(SilenceState::default()),
            Spec::Anomaly(_) => Inner::Anomaly(AnomalyState::default()),
            Spec::Forecast(spec) => Inner::Forecast(Box::new(ForecastState::new(spec))),
            Spec::Trees(_) | Spec::Onnx(_) => Inner::Row,
            Spec::Window(_) => Inner::Window(Memory::default()),
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
            (Inner::Row, Spec::Trees(_) | Spec::Onnx(_)) | (Inner::Window(_), Spec::Window(_)) => {
                Judgement::normal()
            }
            _ => unreachable!("a state is only stepped with the spec that it was made for"),
        }
    }

    /// Lets the model of a file judge a row of that time, with what this state remembers; `None` where the row is none of the
    /// model. An error where the state is none of the model.
    ///
    /// # Panics
    /// Never for a state made for the spec that opened the model; the caller keeps the two together.
    pub fn step_row(
        &mut self,
        model: &FileModel,
        time_us: i64,
        row: &[f64],
    ) -> Result<Option<Judgement>, StateError> {
        let said = match (&mut self.inner, model) {
            (Inner::Row, FileModel::Trees(model)) => model.judge(row),
            (Inner::Window(memory), FileModel::Window(model)) => model.step(memory, row)?,
            _ => unreachable!("a row is only judged with the state of its model"),
        };
        if said.is_some() {
            self.latest_us = Some(time_us);
        }
        Ok(said)
    }

    /// Whether a reading of that time is not newer than what was taken in.
    pub fn is_late(&self, time_us: i64) -> bool {
        self.latest_us.is_some_and(|latest| time_us <= latest)
    }

    /// Whether it remembers rows, which cannot be had again from readings of its own stream.
    pub fn remembers_rows(&self) -> bool {
        matches!(self.inner, Inner::Window(_))
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

    /// Version, kind, latest time, then the model's own fields; at most [`MAX_STATE_BYTES`], or [`MAX_ROW_STATE_BYTES`] of a
    /// model of rows.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(match &self.inner {
            Inner::Range(_) | Inner::Silence(_) | Inner::Row => 64,
            Inner::Anomaly(state) => state.size(),
            Inner::Forecast(_) => MAX_STATE_BYTES,
            Inner::Window(memory) => 32 + 8 * memory.len(),
        });
        writer.bytes(match self.inner {
            Inner::Range(_) => &RANGE,
            Inner::Silence(_) => &SILENCE,
            Inner::Anomaly(_) => &ANOMALY,
            Inner::Forecast(_) => &FORECAST,
            Inner::Row => &ROW,
            Inner::Window(_) => &WINDOW,
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
                Inner::Window(memory) => memory.encode(&mut writer),
            }
        }
        let most = if self.remembers_rows() { MAX_ROW_STATE_BYTES } else { MAX_STATE_BYTES };
        assert!(writer.0.len() <= most, "every model bounds its state");
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
            Spec::Trees(_) | Spec::Onnx(_) => ROW,
            Spec::Window(_) => WINDOW,
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
                Spec::Trees(_) | Spec::Onnx(_) => Inner::Row,
                Spec::Window(spec) => Inner::Window(Memory::decode(spec.memory.into(), &mut reader)?),
            };
        }
        reader.end()?;
        Ok(state)
    }
}
