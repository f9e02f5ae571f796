//! What the precompiles show after a past block.
//!
//! Nothing is written for this. The rows of the head say at which height they were set: one that was set at or before
//! the block was in force there. Otherwise the read side has it: of the statements up to the block, a stream's latest
//! reading is the one with the latest time, the first of them in the log; its latest verdict is the last one of class `consensus` of the last
//! block, up to this one, that judged it other than late. A model's latest prediction is found in the same way.
//!
//! One case is told by a rule instead of from what was done: where several silence models of one stream spoke in one
//! block and nothing else judged it there, the last of them is the one with the largest number.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use triad_evm::{AppView, LogAt, ModelPrediction};
use triad_log::{Assurance, Checkpoint, Verdict, VerdictKind};
use triad_statement::StreamId;

use crate::error::ChainError;
use crate::execute::{contract_prediction, contract_reading, contract_verdict, holds};
use crate::genesis::{ATTESTED_MODELS_RULE, LEARNED_MODELS_RULE};
use crate::ledger::Inner;
use crate::state::records::{Latest, LatestReading, LatestVerdict, Prediction};

pub(super) struct PastApp {
    inner: Arc<Inner>,
    log: LogAt,
    /// Streams that were asked for: a call may ask many times.
    known: Mutex<HashMap<StreamId, Latest>>,
    /// The interface has no way to say that the store failed; whoever executes asks afterwards.
    error: Mutex<Option<ChainError>>,
}

impl PastApp {
    pub fn new(inner: Arc<Inner>, checkpoint: &Checkpoint) -> Self {
        let log = LogAt { height: checkpoint.height.0, size: checkpoint.log_size, root: checkpoint.log_root };
        PastApp { inner, log, known: Mutex::default(), error: Mutex::new(None) }
    }

    pub fn take_error(&self) -> Option<ChainError> {
        self.error.lock().take()
    }

    fn note<T: Default>(&self, found: Result<T, ChainError>) -> T {
        found.unwrap_or_else(|error| {
            *self.error.lock() = Some(error);
            T::default()
        })
    }

    fn latest(&self, stream: &[u8; 32]) -> Latest {
        let stream = StreamId(*stream);
        if let Some(row) = self.known.lock().get(&stream) {
            return row.clone();
        }
        let row = self.note(self.find(&stream));
        self.known.lock().insert(stream, row.clone());
        row
    }

    fn find(&self, stream: &StreamId) -> Result<Latest, ChainError> {
        let state = &self.inner.store.state;
        let (Some(known), Some(newest)) = (state.streams.get(stream)?, state.latest.get(stream)?) else {
            return Ok(Latest::default());
        };
        let was = |height: u64| height <= self.log.height;
        let reading = match newest.reading {
            Some(reading) if !was(reading.height) => self.reading(known.number)?,
            reading => reading,
        };
        let verdict = match newest.verdict {
            Some(verdict) if !was(verdict.height) => self.verdict(stream, known.number)?,
            verdict => verdict,
        };
        Ok(Latest { reading, verdict })
    }

    fn reading(&self, stream: u32) -> Result<Option<LatestReading>, ChainError> {
        let store = &self.inner.store;
        let Some(row) = self.inner.pending.latest_reading(store.index(), stream, self.log.size)? else {
            return Ok(None);
        };
        let (height, _) = store
            .height_of_leaf(row.leaf)?
            .ok_or_else(|| ChainError::corrupt(format!("the block of leaf {} is missing", row.leaf)))?;
        let (leaf, record, time_us, value) = (row.leaf, row.record, row.time_us, row.value);
        Ok(Some(LatestReading { leaf, record, time_us, value, height }))
    }

    /// The last verdict on a stream up to the block, of those that are wanted, with its height.
    fn last_verdict(
        &self,
        number: u32,
        wanted: impl Fn(&Verdict) -> bool,
    ) -> Result<Option<(u64, Verdict)>, ChainError> {
        let store = &self.inner.store;
        let mut found = None;
        self.inner.pending.blocks_with_verdicts(store.index(), number, self.log.height, |height| {
            let verdicts = store.verdicts(height)?;
            let last = verdicts.iter().filter(|v| wanted(v)).max_by_key(|v| v.order());
            found = last.map(|v| (height, v.clone()));
            Ok(found.is_some())
        })?;
        Ok(found)
    }

    fn find_prediction(&self, stream: &StreamId, model: u64) -> Result<Option<Prediction>, ChainError> {
        let state = &self.inner.store.state;
        let newest = state.predictions.get(&(*stream, model))?;
        if newest.is_none_or(|newest| newest.height <= self.log.height) {
            return Ok(newest);
        }
        let Some(known) = state.streams.get(stream)? else { return Ok(None) };
        let wanted = |v: &Verdict| v.stream == *stream && v.model == model && Prediction::of(v, 0).is_some();
        let found = self.last_verdict(known.number, wanted)?;
        Ok(found.and_then(|(height, verdict)| Prediction::of(&verdict, height)))
    }

    fn verdict(&self, stream: &StreamId, number: u32) -> Result<Option<LatestVerdict>, ChainError> {
        let judged = |v: &Verdict| {
            v.stream == *stream && v.kind != VerdictKind::Late && v.class == Assurance::Consensus
        };
        let Some((height, verdict)) = self.last_verdict(number, judged)? else { return Ok(None) };
        // A verdict keeps its reading's time in milliseconds only; contracts see no more than that.
        let time_us = i64::saturating_mul(verdict.time_ms, 1000);
        Ok(Some(LatestVerdict {
            leaf: verdict.leaf.0,
            record: verdict.record,
            model: verdict.model,
            kind: verdict.kind,
            score: verdict.score.ppm(),
            time_us,
            height,
        }))
    }
}

impl AppView for PastApp {
    fn latest_reading(&self, stream: &[u8; 32]) -> Option<triad_evm::LatestReading> {
        contract_reading(&self.latest(stream))
    }

    fn latest_verdict(&self, stream: &[u8; 32]) -> Option<triad_evm::LatestVerdict> {
        contract_verdict(&self.latest(stream))
    }

    fn has_predictions(&self) -> bool {
        let scheduled = self.note(self.inner.store.state.scheduled.get(&0));
        [LEARNED_MODELS_RULE, ATTESTED_MODELS_RULE]
            .iter()
            .any(|rule| holds(&self.inner.rules.spec, scheduled.as_ref(), rule, self.log.height))
    }

    fn prediction(&self, stream: &[u8; 32], model: u64) -> Option<ModelPrediction> {
        self.note(self.find_prediction(&StreamId(*stream), model)).as_ref().map(contract_prediction)
    }

    fn log_at(&self, height: Option<u64>) -> Option<LogAt> {
        match height {
            None => Some(self.log),
            Some(h) if h > self.log.height => None,
            Some(h) => self.note(self.inner.store.log_at(h)),
        }
    }
}
