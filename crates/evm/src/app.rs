//! What contracts may see of the application: the newest reading and verdict of a stream, and the log.

use alloy_primitives::I256;

/// The newest reading of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestReading {
    /// Statement leaf that carried it.
    pub leaf: u64,
    /// Its index in the statement's pack.
    pub record: u16,
    /// Milliseconds since the epoch, rounded down.
    pub time_ms: u64,
    /// value × 10⁹, half to even.
    pub value_e9: I256,
    /// Height of the block that carried it.
    pub block_height: u64,
}

/// The newest verdict on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestVerdict {
    pub leaf: u64,
    pub record: u16,
    pub model: u64,
    /// 0 consensus, 1 attested.
    pub class: u8,
    pub kind: u8,
    /// Parts per million.
    pub score: u32,
    pub time_ms: u64,
    pub block_height: u64,
}

/// The newest prediction of one model on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelPrediction {
    pub leaf: u64,
    pub record: u16,
    /// 0 consensus, 1 attested.
    pub class: u8,
    pub kind: u8,
    /// Parts per million.
    pub score: u32,
    /// Of the reading that it was made on.
    pub time_ms: u64,
    /// What is predicted × 10⁹; `None` where it does not fit.
    pub value_e9: Option<i128>,
    pub block_height: u64,
}

/// The log after a block's verdict leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogAt {
    pub height: u64,
    pub size: u64,
    pub root: [u8; 32],
}

/// The application state that the precompiles read: that of the block being executed, after its verdict leaf. It must
/// answer the same on every validator, and not change while a block executes.
pub trait AppView: Send + Sync {
    fn latest_reading(&self, stream: &[u8; 32]) -> Option<LatestReading>;
    fn latest_verdict(&self, stream: &[u8; 32]) -> Option<LatestVerdict>;
    /// Whether the chain's rules know predictions in this block; where they do not, [`crate::LATEST_PREDICTION`] is no precompile.
    fn has_predictions(&self) -> bool {
        false
    }
    fn prediction(&self, _stream: &[u8; 32], _model: u64) -> Option<ModelPrediction> {
        None
    }
    /// The log at a height, or at the block being executed for `None`.
    fn log_at(&self, height: Option<u64>) -> Option<LogAt>;
}

/// An application that has seen nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyApp;

impl AppView for EmptyApp {
    fn latest_reading(&self, _: &[u8; 32]) -> Option<LatestReading> {
        None
    }

    fn latest_verdict(&self, _: &[u8; 32]) -> Option<LatestVerdict> {
        None
    }

    fn log_at(&self, _: Option<u64>) -> Option<LogAt> {
        None
    }
}
