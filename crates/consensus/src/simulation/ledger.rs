//! What stands behind consensus in a simulation: a ledger in memory, or the real one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use commonware_utils::sync::Mutex;
use tokio::sync::Notify;
use triad_chain::SnapshotWord;

use super::block::{self, Digest};
use super::chain::Chain;
use super::model::Model;
use super::reign::NOTICE;
use crate::{Application, At, Block, EpochSpan, Filled, Header, Stored};

/// Milliseconds that a block may be ahead of a clock that judges it.
pub(super) const MAX_CLOCK_AHEAD: u64 = 500;

/// What all honest validators finalised, checked at each commit.
#[derive(Default, Debug)]
pub(super) struct Agreement {
    blocks: Mutex<BTreeMap<u64, Digest>>,
    /// What they say of the whole state after some of the blocks.
    words: Mutex<Vec<SnapshotWord>>,
}

impl Agreement {
    pub(super) fn commit(&self, height: u64, digest: Digest) {
        let mut all = self.blocks.lock();
        let first = *all.entry(height).or_insert(digest);
        assert_eq!(first, digest, "two final blocks at height {height}");
    }

    pub(super) fn height(&self) -> u64 {
        self.blocks.lock().last_key_value().map_or(0, |(height, _)| *height)
    }

    pub(super) fn say(&self, word: SnapshotWord) {
        let mut words = self.words.lock();
        if !words.contains(&word) {
            words.push(word);
        }
    }

    pub(super) fn words(&self) -> Vec<SnapshotWord> {
        self.words.lock().clone()
    }
}

/// How large blocks become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Items a block.
    pub(super) items: usize,
    /// Bytes of an item, beside its number.
    pub(super) weight: u64,
    /// Bytes of a block.
    pub(super) max_bytes: usize,
}

impl Size {
    pub(super) const SMALL: Self = Self { items: 4, weight: 0, max_bytes: 4096 };
    /// What the real ledger's genesis says, and what comes around it.
    pub(super) const REAL: Self = Self { items: 1000, weight: 0, max_bytes: 2 << 20 };
}

/// What is wrong with a ledger, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// It does not know what unfinalised ancestors hold.
    ForgetsAncestors,
    /// It does not wait for its clock.
    BelievesAnyClock,
    /// A start does not derive everything that was there (real chains only).
    ForgetsAReading,
    /// The disk under it says that it has synced, and has not.
    NeverSyncs,
}

/// What is wrong with the blocks of a liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// An item is.
    Item,
    /// An item is there twice.
    Twice,
    /// The state after it is another.
    Root,
    /// It is no later than its parent.
    Time,
}

/// How a ledger behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Two with different ones make different blocks of the same items.
    pub(super) salt: u64,
    /// Every other block is one that nobody accepts.
    pub(super) lie: Option<Lie>,
    pub(super) flaw: Flaw,
    pub(super) size: Size,
    /// Its clock is kept: what becomes final is not ahead of it.
    pub(super) keeps_time: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Ledger {
    Model(Model),
    Chain(Chain),
}

/// What both do.
macro_rules! of {
    ($this:expr, $ledger:ident => $what:expr) => {
        match $this {
            Ledger::Model($ledger) => $what,
            Ledger::Chain($ledger) => $what,
        }
    };
}

impl Ledger {
    pub(super) fn submit(&self, item: u64) {
        of!(self, ledger => ledger.submit(item));
    }
}

impl Application for Ledger {
    // The real chain promises more.
    const EPOCH_NOTICE: u64 = NOTICE;

    fn genesis(&self) -> Block {
        of!(self, ledger => ledger.genesis())
    }

    fn header(bytes: &[u8]) -> Result<Header, String> {
        block::parse(bytes).map(|(header, _)| header).or_else(|_| Chain::header(bytes))
    }

    async fn propose(&self, parent: Block, leader: u32, must: bool) -> Option<Block> {
        of!(self, ledger => ledger.propose(parent, leader, must).await)
    }

    async fn verify(&self, parent: Block, block: Block, leader: u32) -> bool {
        of!(self, ledger => ledger.verify(parent, block, leader).await)
    }

    fn knows(&self, digest: &Digest) -> bool {
        of!(self, ledger => ledger.knows(digest))
    }

    async fn adopt(&self, ancestor: Block) -> bool {
        of!(self, ledger => ledger.adopt(ancestor).await)
    }

    async fn finalized(&self, block: Block, certificate: Option<Bytes>) -> Result<(), String> {
        of!(self, ledger => ledger.finalized(block, certificate).await)
    }

    fn outline(&self, block: &Bytes) -> Option<Bytes> {
        of!(self, ledger => ledger.outline(block))
    }

    fn fill(&self, outline: &Bytes, items: &BTreeMap<u32, Bytes>) -> Filled {
        of!(self, ledger => ledger.fill(outline, items))
    }

    fn items(&self, block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
        of!(self, ledger => ledger.items(block, places))
    }

    fn work(&self) -> Arc<Notify> {
        of!(self, ledger => ledger.work())
    }

    fn final_height(&self) -> u64 {
        of!(self, ledger => ledger.final_height())
    }

    fn epochs(&self) -> Arc<Vec<EpochSpan>> {
        of!(self, ledger => ledger.epochs())
    }

    async fn floor(&self) -> Option<Stored> {
        match self {
            Self::Model(_) => None,
            Self::Chain(ledger) => ledger.floor(),
        }
    }

    fn end_of_epoch(&self, height: u64) -> Option<Digest> {
        match self {
            Self::Model(_) => None,
            Self::Chain(ledger) => ledger.end_of_epoch(height),
        }
    }

    async fn stored(&self, at: At) -> Option<Stored> {
        of!(self, ledger => ledger.stored(at).await)
    }
}
