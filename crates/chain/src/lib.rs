//! Blocks, genesis, the pure state transition, the mempool and the store.
//!
//! The [`Ledger`] turns ordered blocks into final, stored state: consensus proposes, checks and finalises through it;
//! the doors hand statements and transactions in through the [`Submitter`] and read through the [`Reader`]. It
//! promises that an acknowledgement follows a synced commit, that a commit is one atomic batch, that execution is a
//! function of (parent state, block) and nothing else, and that [`audit`] reproduces every root from the stored
//! blocks. It never talks to a network and never asks a clock except to stamp and to wait for blocks.

mod admission;
mod apart;
pub mod audit;
mod backfill;
mod block;
mod change;
mod checkpoint_signature;
pub mod contracts;
mod error;
mod events;
mod execute;
mod gate;
mod genesis;
mod ledger;
mod log_proofs;
mod mempool;
mod metrics;
pub mod model_files;
mod outbox;
pub mod outline;
mod past;
mod prune;
mod read;
mod read_attested;
mod receipts;
mod restore;
mod serve;
mod snapshot;
mod start;
mod state;
mod store;
mod submit;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod txpool;
pub mod verifier;
mod verify;
mod waiting;
mod wallet;

pub use admission::{MAX_AHEAD_MS, Verified};
pub use backfill::{Backfill, MAX_TILES, TileRun};
pub use block::{Block, BlockHeader, Body, MAX_BLOCK_BYTES, header_of};
pub use change::{Approval, Candidate, Change};
pub use checkpoint_signature::{CheckpointSignature, CheckpointSigner, checkpoint_message};
pub use error::{BlockError, ChainError, GenesisError, Refusal, RefusalClass};
pub use events::Committed;
pub use execute::SYSTEM_CONTRACTS;
pub use gate::Gate;
pub use genesis::{
    ATTESTED_MODELS_RULE, BaseFeeTo, ChainSpec, DefaultModel, FIRST_REGISTRY_MODEL, Fees, FundedAccount,
    GENESIS_VERSION, Genesis, LEARNED_MODELS_RULE, Limits, Rule, VALIDATOR_SET_RULE, Validator,
    WINDOWED_MODELS_RULE,
};
pub use ledger::{HISTORY, Judgement, Ledger, MAX_CLOCK_AHEAD_MS, clock_ms};
pub use log_proofs::LogProof;
pub use mempool::{Accepted, Answer, Waiter};
pub use outbox::Work;
pub use past::{PastError, StateAt, TraceFailure};
pub use read::{MAX_PAGE, Page, Reader, Reading, StoredStatement, StoredVerdict, resolved_readings};
pub use read_attested::Attested;
pub use receipts::ReceiptError;
pub use serve::FinalBlock;
pub use snapshot::{
    ImportProgress, MAX_CHUNK_BYTES, SNAPSHOT_EVERY, SnapshotInfo, SnapshotOptions, SnapshotWord, Taken,
    import, read_chunk, read_head, write_chunk, write_head,
};
pub use state::records::{
    Binding, Device, Latest, LatestReading, LatestVerdict, Member as ChainMember, Prediction, Registration,
    Reign, Status, Stream,
};
pub use store::blocks::{EthBlock, LogBlock};
pub use submit::Submitter;
pub use triad_evm::ARCHIVE;
pub use triad_log::SnapshotSignature;
pub use txpool::{Shortfall, TxRefusal, Waiting};
pub use wallet::{TxRequest, Wallet};
