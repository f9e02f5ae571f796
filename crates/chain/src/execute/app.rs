//! What the precompiles see while a block executes: its own readings and verdicts, then its ancestors'.

use std::sync::Arc;

use parking_lot::Mutex;
use triad_evm::{AppView, LatestReading, LatestVerdict, LogAt, ModelPrediction};
use triad_statement::StreamId;

use super::trigger::contract_time;
use crate::error::ChainError;
use crate::state::records::{Latest, Prediction};
use crate::state::{Changes, View};

/// Past blocks: those of the unfinalised ancestors and the committed ones.
pub(crate) trait History: Send + Sync {
    fn log_at(&self, height: u64) -> Result<Option<LogAt>, ChainError>;
}

/// What the block itself changed.
#[derive(Clone)]
pub(crate) struct Own {
    pub latest: Changes<Latest>,
    /// `None` where the chain's rules know no predictions.
    pub predictions: Option<Changes<Prediction>>,
}

pub(crate) struct BlockApp {
    own: Arc<Own>,
    parent: View,
    history: Arc<dyn History>,
    log: LogAt,
    /// The interface has no way to say that the store failed; whoever executes asks afterwards.
    error: Mutex<Option<ChainError>>,
}

impl BlockApp {
    pub fn new(own: Arc<Own>, parent: View, history: Arc<dyn History>, log: LogAt) -> Self {
        BlockApp { own, parent, history, log, error: Mutex::new(None) }
    }

    pub fn take_error(&self) -> Option<ChainError> {
        self.error.lock().take()
    }

    fn note<T>(&self, found: Result<Option<T>, ChainError>) -> Option<T> {
        found.unwrap_or_else(|error| {
            *self.error.lock() = Some(error);
            None
        })
    }

    fn latest(&self, stream: &[u8; 32]) -> Option<Latest> {
        let stream = StreamId(*stream);
        match self.own.latest.get(&stream) {
            Some(row) => row.clone(),
            None => self.note(self.parent.get::<Latest>(&stream)),
        }
    }
}

impl AppView for BlockApp {
    fn latest_reading(&self, stream: &[u8; 32]) -> Option<LatestReading> {
        contract_reading(&self.latest(stream)?)
    }

    fn latest_verdict(&self, stream: &[u8; 32]) -> Option<LatestVerdict> {
        contract_verdict(&self.latest(stream)?)
    }

    fn has_predictions(&self) -> bool {
        self.own.predictions.is_some()
    }

    fn prediction(&self, stream: &[u8; 32], model: u64) -> Option<ModelPrediction> {
        let key = (StreamId(*stream), model);
        let row = match self.own.predictions.as_ref()?.get(&key) {
            Some(row) => *row,
            None => self.note(self.parent.get::<Prediction>(&key)),
        };
        row.as_ref().map(contract_prediction)
    }

    fn log_at(&self, height: Option<u64>) -> Option<LogAt> {
        match height {
            None => Some(self.log),
            Some(h) if h == self.log.height => Some(self.log),
            Some(h) if h > self.log.height => None,
            Some(h) => self.note(self.history.log_at(h)),
        }
    }
}

/// A stream's latest reading as contracts see it.
pub(crate) fn contract_reading(latest: &Latest) -> Option<LatestReading> {
    let r = latest.reading?;
    Some(LatestReading {
        leaf: r.leaf,
        record: r.record,
        time_ms: contract_time(r.time_us),
        value_e9: triad_evm::to_e9(r.value)?,
        block_height: r.height,
    })
}

/// A stream's latest verdict as contracts see it.
pub(crate) fn contract_verdict(latest: &Latest) -> Option<LatestVerdict> {
    let v = latest.verdict?;
    Some(LatestVerdict {
        leaf: v.leaf,
        record: v.record,
        model: v.model,
        class: 0,
        kind: v.kind as u8,
        score: v.score,
        time_ms: contract_time(v.time_us),
        block_height: v.height,
    })
}

/// A model's latest prediction as contracts see it.
pub(crate) fn contract_prediction(p: &Prediction) -> ModelPrediction {
    ModelPrediction {
        leaf: p.leaf,
        record: p.record,
        class: p.class.as_u8(),
        kind: p.kind as u8,
        score: p.score,
        time_ms: u64::try_from(p.time_ms).unwrap_or(0),
        value_e9: (p.value_e9 != triad_log::DOES_NOT_FIT).then_some(p.value_e9),
        block_height: p.height,
    }
}
