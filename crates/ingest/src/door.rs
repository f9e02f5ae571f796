//! What lies behind the front door: somebody who takes statements and says when they are final.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{broadcast, oneshot};
pub use triad_chain::{Accepted, Refusal, RefusalClass};

/// Takes encoded statements in, and tells what was committed.
///
/// Two implementations exist: the chain's submit handle and the one that this crate's tests release by hand.
pub trait Door: Clone + Send + Sync + 'static {
    /// A handle for one connection. What one of them sends never counts against another.
    fn source(&self) -> Self;

    /// Hands over one encoded statement. Waits only for queue space (back-pressure). The receiver resolves when the
    /// statement is final and its commit is on disk, or refused; a dropped sender counts as `Unavailable`.
    fn submit(
        &self,
        statement: Bytes,
    ) -> impl Future<Output = oneshot::Receiver<Result<Accepted, Refusal>>> + Send;

    /// One message a committed block, after the commit it speaks of.
    fn watch(&self) -> broadcast::Receiver<Arc<Committed>>;
}

/// What one committed block holds, as far as subscribers care.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    pub height: u64,
    /// Block time, milliseconds since the epoch.
    pub time_ms: u64,
    pub leaves: Vec<CommittedLeaf>,
    pub verdicts: Vec<CommittedVerdict>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedLeaf {
    pub leaf: u64,
    pub origin: [u8; 20],
    pub signer: [u8; 20],
    pub statement_id: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedVerdict {
    /// The device whose stream was judged.
    pub origin: [u8; 20],
    /// The verdict as a JSON object, published as it is.
    pub json: String,
}
