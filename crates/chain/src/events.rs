//! What is told after a commit.

use std::sync::Arc;

use triad_log::Verdict;
use triad_statement::StreamId;

use crate::admission::Verified;
use crate::execute::Executed;
use crate::store::blocks::EthBlock;

/// A committed block, as watchers want it.
#[derive(Debug, Clone)]
pub struct Committed {
    pub height: u64,
    pub time_ms: u64,
    pub digest: [u8; 32],
    /// The statements' leaves are consecutive from here.
    pub first_leaf: u64,
    pub statements: Vec<Arc<Verified>>,
    pub verdicts: Vec<Verdict>,
    /// Streams with a new reading, in no particular order.
    pub streams: Vec<StreamId>,
    pub eth: Arc<EthBlock>,
}

impl Committed {
    pub(crate) fn of(executed: &Executed, eth: Arc<EthBlock>) -> Committed {
        let c = &executed.block.checkpoint;
        Committed {
            height: c.height.0,
            time_ms: c.time_ms,
            digest: executed.block.digest,
            first_leaf: executed.first_leaf,
            statements: executed.statements.clone(),
            verdicts: executed.verdicts.clone(),
            streams: executed.tables.latest.keys().copied().collect(),
            eth,
        }
    }
}
