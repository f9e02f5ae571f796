//! Agreement on the order of blocks: commonware's simplex and marshal behind a small door.
//!
//! A ledger implements [`Application`]; [`start`] runs a validator on its own threads and [`Handle`] stops it. One
//! validator runs the very same engine as a cluster, with a network that reaches nobody.
//!
//! # Protocol
//!
//! Time is cut into *views*, each with one leader (round robin over the sorted keys). The leader asks its ledger for a block
//! on the newest certified parent and sends it; the others re-execute it and vote `notarize`. A quorum of n − ⌊(n−1)/3⌋
//! such votes is a *notarization*; whoever holds it together with the durable block *certifies* it, votes `finalize`, and
//! goes on to the next view at once, so the next block is proposed while this one is still being finalised and committed.
//! A quorum of `finalize` votes is the *finalization*: the block and all its ancestors are final, and this certificate is
//! what receipts carry. A view that makes no progress in time is given up with a quorum of `nullify` votes.
//!
//! # What is promised, and why it holds
//!
//! - **One block a height.** Two quorums share an honest validator; an honest validator votes `notarize` once a view and
//!   never both `nullify` and `finalize` in one. Each vote is in the journal, synced, before it leaves.
//! - **A vote is never given twice.** The data directory belongs to one process, one key and one chain, and refuses to
//!   start when its journal is missing, foreign, or older than the blocks beside it (`directory`).
//! - **In order, durable, once.** The ledger gets every final block in order of height, and the next only once it is
//!   durable. After a crash the last one may come again. Consensus is never behind the ledger.
//! - **Two votes that contradict each other are kept as evidence**, signatures and all, and survive restarts (`evidence`).
//! - **It goes on by itself** after SIGKILL at any moment, within about a second (`inert`, `proposer`).
//! - **Memory is flat.** At most eight final blocks wait for the ledger; proposing holds back when it lags.
//! - **An idle chain writes nothing** but an empty block at each heartbeat (one validator; in a cluster leaders take turns
//!   and journal the views they give up).
//!
//! It never looks into a block, keeps no ledger state, and judges no time: the ledger does.

mod agreement;
mod application;
mod archive;
mod block;
mod config;
mod delivery;
mod directory;
mod engine;
mod epochs;
mod error;
mod evidence;
mod follow;
mod gossip;
mod handle;
mod inert;
mod kept;
mod peers;
mod progress;
mod proposer;
mod recall;
#[cfg(test)]
mod simulation;
mod slim;
mod stats;
#[cfg(feature = "testing")]
pub mod testing;
mod traffic;
mod witness;

pub use application::{Application, At, EpochSpan, Filled, Stored};
pub use block::{Block, Header, HeaderOf};
pub use config::{Config, Network, Timeouts, public_key};
pub use directory::{DirectoryLock, lock, set_aside};
pub use error::ConsensusError;
pub use evidence::{EvidenceHeld, EvidenceStore, MAX_EVIDENCE, MAX_EVIDENCE_EACH};
pub use gossip::{Gossip, GossipPort, Heard, MAX_GOSSIP_BYTES, Told, gossip};
pub use handle::{Handle, start};
pub use recall::Voting;
pub use stats::{Snapshot, Stats, ValidatorStats};
pub use traffic::PeerBytes;

pub(crate) type Scheme = commonware_consensus::simplex::scheme::ed25519::Scheme;
pub(crate) type Mailbox = commonware_consensus::marshal::core::Mailbox<
    Scheme,
    commonware_consensus::marshal::standard::Standard<Block>,
>;
