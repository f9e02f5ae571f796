//! Models of rows: at the end of a statement, what its device's streams show together.
//!
//! A model of rows is bound to one stream and speaks once for each statement that brings that stream its newest reading,
//! on that reading. A row is the latest reading of each input, those of the statement included, however they are ordered
//! in it. Of a model with one input and a binding that says so, each reading is a row.

use std::sync::Arc;

use triad_models::{FileModel, FileSpec, Judgement, Spec, State};
use triad_statement::{DeviceId, StreamId, stream_id};

use super::statements::{Judged, Stage, is_watched};
use crate::admission::Verified;
use crate::error::ChainError;
use crate::model_files::Refusal;
use crate::state::Map;
use crate::state::model::ModelState;
use crate::state::records::{Latest, LatestReading};

/// A model of rows that is bound to a stream of the statement at hand.
struct Bound {
    stream: StreamId,
    model: u64,
    spec: Arc<Spec>,
    file: FileSpec,
    /// The newest reading of the stream in the statement; all of them where each is a row.
    readings: Vec<LatestReading>,
}

/// The models of rows that the statement at hand concerns, and those that the block has opened.
#[derive(Default)]
pub(super) struct Rows {
    bound: Vec<Bound>,
    /// Streams with models that others run, and the newest reading of each in the statement.
    awaited: Vec<(StreamId, Option<LatestReading>)>,
    opened: Map<FileSpec, Result<Arc<FileModel>, Refusal>>,
}

impl Rows {
    /// Notes a model; a stream may be opened more than once in a statement.
    pub fn bound(&mut self, stream: StreamId, model: u64, spec: Arc<Spec>, file: FileSpec) {
        if !self.bound.iter().any(|b| (b.stream, b.model) == (stream, model)) {
            self.bound.push(Bound { stream, model, spec, file, readings: Vec::new() });
        }
    }

    /// Notes that models which others run judge a stream.
    pub fn awaited(&mut self, stream: StreamId) {
        if !self.awaited.iter().any(|(known, _)| *known == stream) {
            self.awaited.push((stream, None));
        }
    }

    pub fn read(&mut self, stream: &StreamId, reading: LatestReading) {
        for (_, newest) in self.awaited.iter_mut().filter(|(known, _)| known == stream) {
            if newest.is_none_or(|newest| reading.time_us > newest.time_us) {
                *newest = Some(reading);
            }
        }
        for bound in self.bound.iter_mut().filter(|bound| bound.stream == *stream) {
            if bound.file.judges_each() || bound.readings.is_empty() {
                bound.readings.push(reading);
            } else if reading.time_us > bound.readings[0].time_us {
                bound.readings[0] = reading;
            }
        }
    }
}

impl Stage<'_> {
    /// Notes what others may judge, once all readings of a statement are taken in.
    pub(super) fn await_runners(&mut self, leaf: u64) -> Result<(), ChainError> {
        for (stream, newest) in std::mem::take(&mut self.rows.awaited) {
            let latest = self.work.get::<Latest>(&stream)?.and_then(|latest| latest.reading);
            // What came too late is judged by nobody.
            if let Some(reading) =
                newest.filter(|newest| latest.is_some_and(|l| (l.leaf, l.record) == (leaf, newest.record)))
            {
                self.await_verdicts(stream, &reading)?;
            }
        }
        Ok(())
    }

    /// Lets the models of rows speak, once all readings of a statement are taken in.
    pub(super) fn judge_rows(&mut self, verified: &Verified, leaf: u64) -> Result<(), ChainError> {
        for bound in std::mem::take(&mut self.rows.bound) {
            let (stream, model) = (bound.stream, bound.model);
            for &reading in &bound.readings {
                let mut latest = self.work.get::<Latest>(&stream)?.unwrap_or_default();
                // Of several rows in a statement the state tells which are late.
                let newest = bound.file.judges_each()
                    || latest.reading.is_some_and(|r| (r.leaf, r.record) == (leaf, reading.record));
                let judgement = if newest {
                    self.judge_row(&bound, verified.statement.origin(), &reading)?
                } else {
                    Judgement::late()
                };
                let judged = Judged { reading, model, judgement };
                let watched = is_watched(self.work, &stream)?;
                // The latest verdict is the last one in the order in which a block holds them, whatever was said first.
                let place = (self.ctx.height, leaf, reading.record, model);
                if latest.verdict.is_some_and(|v| (v.height, v.leaf, v.record, v.model) > place) {
                    self.judged(&stream, &mut latest.clone(), watched, judged)?;
                } else {
                    self.judged(&stream, &mut latest, watched, judged)?;
                    self.work.put(stream, latest);
                }
            }
        }
        Ok(())
    }

    fn judge_row(
        &mut self,
        bound: &Bound,
        origin: DeviceId,
        reading: &LatestReading,
    ) -> Result<Judgement, ChainError> {
        let model = match self.rows.opened.get(&bound.file) {
            Some(opened) => opened.clone(),
            None => {
                let opened = self.ctx.files.open(self.ctx.evm, &bound.file)?;
                self.rows.opened.insert(bound.file.clone(), opened.clone());
                opened
            }
        };
        let model = match model {
            Ok(model) => model,
            Err(refusal) => return Ok(Judgement::learning(refusal.to_string())),
        };
        let row = match self.row_of(&model, bound, origin, reading)? {
            Ok(row) => row,
            Err(why) => return Ok(Judgement::learning(why)),
        };
        let key = (bound.stream, bound.model);
        let mut state = self.model(&key, &bound.spec)?.unwrap_or_else(|| State::new(&bound.spec));
        let late = bound.file.judges_each() && state.is_late(reading.time_us);
        let said = match late {
            true => Ok(Some(Judgement::late())),
            false => state.step_row(&model, reading.time_us, &row),
        };
        let said = said
            .map_err(|error| ChainError::corrupt(format!("what model {} remembers: {error}", bound.model)))?;
        if bound.file.cost().memory > 0 {
            self.work.put(key, ModelState::live(self.ctx.height, state));
        }
        Ok(said.unwrap_or_else(|| Judgement::learning("the row is none of this model")))
    }

    /// The row that a reading completes, or why there is none.
    fn row_of(
        &self,
        model: &FileModel,
        bound: &Bound,
        origin: DeviceId,
        reading: &LatestReading,
    ) -> Result<Result<Vec<f64>, String>, ChainError> {
        if bound.file.judges_each() {
            let own = |name: &&String| stream_id(origin, name) == bound.stream;
            return Ok(match model.inputs().first().filter(own) {
                Some(_) => Ok(vec![reading.value]),
                None => {
                    Err(format!("its one input is {}: it is to be bound to that", model.inputs().join(",")))
                }
            });
        }
        let mut row = Vec::with_capacity(model.inputs().len());
        for name in model.inputs() {
            let input = self.work.get::<Latest>(&stream_id(origin, name))?.and_then(|latest| latest.reading);
            let Some(input) = input else {
                return Ok(Err(format!("no reading of {name} so far")));
            };
            let apart_ms = input.time_us.abs_diff(reading.time_us) / 1_000;
            let most = bound.file.max_age_ms();
            if apart_ms > most {
                let why = format!("{name} was read {apart_ms} ms apart, at most {most} ms are one row");
                return Ok(Err(why));
            }
            row.push(input.value);
        }
        Ok(Ok(row))
    }
}
