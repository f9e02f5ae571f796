//! What a simulated ledger keeps, and what must hold of each block that becomes final.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tempfile::TempDir;

use super::block::{Digest, INVALID, is_change};
use super::clock::MAX_HONEST_SKEW;
use super::ledger::MAX_CLOCK_AHEAD;
use super::reign::Reign;
use crate::{Block, EpochSpan};

/// Free space that a file system in memory must have to be used: a run takes some megabytes.
const ROOM: u64 = 1 << 30;

/// A directory, in memory if it can be: a store that is opened and closed over and over syncs little else.
pub(super) fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let room = rustix::fs::statvfs(memory).map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    let made = if room > ROOM { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.or_else(|_| tempfile::tempdir()).expect("a directory")
}

/// Where the real chain is, and its snapshots.
#[derive(Debug)]
pub(super) struct Chained {
    pub(super) chain: PathBuf,
    pub(super) snapshots: PathBuf,
}

/// A final block.
#[derive(Clone, Debug)]
pub(super) struct Final {
    pub(super) block: Block,
    pub(super) certificate: Option<Bytes>,
    items: Vec<u64>,
    time: u64,
}

/// What survives a crash.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) blocks: Vec<Final>,
    /// Of the last block of a ledger in memory.
    pub(super) root: Digest,
    pub(super) final_items: BTreeSet<u64>,
    pub(super) queue: BTreeSet<u64>,
    /// All that ever are validators, in ascending order.
    all: Vec<[u8; 32]>,
    pub(super) reign: Reign,
    pub(super) spans: Arc<Vec<EpochSpan>>,
    /// How often automations of the real chain fired here.
    pub(super) fired: u64,
    /// Of the real chain.
    dir: Option<TempDir>,
}

impl Disk {
    pub(super) fn new(all: Vec<[u8; 32]>, reign: Reign) -> Self {
        let mut this = Self {
            blocks: Vec::new(),
            root: Digest::default(),
            final_items: BTreeSet::new(),
            queue: BTreeSet::new(),
            all,
            reign,
            spans: Arc::default(),
            fired: 0,
            dir: None,
        };
        this.spans = Arc::new(vec![this.span()]);
        this
    }

    /// With room for the real chain.
    pub(super) fn with_chain(all: Vec<[u8; 32]>, reign: Reign) -> Self {
        Self { dir: Some(in_memory()), ..Self::new(all, reign) }
    }

    pub(super) fn chained(&self) -> Chained {
        let dir = self.dir.as_ref().expect("there is room for a chain").path();
        Chained { chain: dir.join("chain"), snapshots: dir.join("snapshots") }
    }

    /// The same blocks, up to one, as another.
    pub(super) fn begin(&mut self, other: &Self, height: u64) {
        self.blocks = other.blocks[..height as usize].to_vec();
        self.final_items = self.blocks.iter().flat_map(|made| made.items.iter().copied()).collect();
    }

    fn span(&self) -> EpochSpan {
        let Reign { epoch, first, last, now, .. } = self.reign;
        let chosen = self.all.iter().enumerate().filter(|(i, _)| now >> i & 1 == 1);
        EpochSpan { epoch, first, last, validators: chosen.map(|(_, key)| *key).collect() }
    }

    /// The last block.
    pub(super) fn tip(&self) -> Option<&Block> {
        self.blocks.last().map(|last| &last.block)
    }

    /// Its time.
    pub(super) fn time(&self) -> u64 {
        self.blocks.last().map_or(0, |last| last.time)
    }

    /// Keeps the next block. `clock`: what a clock shows that is kept.
    pub(super) fn commit(
        &mut self,
        block: Block,
        certificate: Option<Bytes>,
        items: Vec<u64>,
        time: u64,
        clock: Option<u64>,
    ) -> Result<(), String> {
        let (height, before) = (block.height, self.time());
        for item in &items {
            if *item == INVALID || !self.final_items.insert(*item) {
                return Err(format!("item {item} in block {height} is invalid or there twice"));
            }
            self.queue.remove(item);
        }
        if time <= before {
            return Err(format!("block {height} is of {time}, its parent of {before}"));
        }
        // Some validator whose clock is kept judged it before.
        let ahead = clock.map_or(0, |now| time.saturating_sub(now));
        if ahead > MAX_CLOCK_AHEAD + 2 * MAX_HONEST_SKEW.as_millis() as u64 {
            return Err(format!("block {height} is of {time}, which is {ahead} ahead"));
        }
        self.blocks.push(Final { block, certificate, items, time });
        Ok(())
    }

    /// Takes over who decides on a real chain.
    pub(super) fn reigned(&mut self, reigns: &[triad_chain::Reign]) {
        let Some(last) = reigns.last() else { return };
        let bits = |members: &[triad_chain::ChainMember]| {
            let is_one = |key: &[u8; 32]| members.iter().any(|member| member.consensus_key == *key);
            (0..).zip(&self.all).filter(|(_, key)| is_one(key)).map(|(i, _)| 1 << i).sum()
        };
        let now = bits(&last.validators);
        let next = if last.next.is_empty() { now } else { bits(&last.next) };
        let epoch = reigns.len() as u64 - 1;
        self.reign = Reign { epoch, first: last.first, last: last.last, now, next };
        let spans = (0..).zip(reigns).map(|(epoch, reign)| EpochSpan {
            epoch,
            first: reign.first,
            last: reign.last,
            validators: reign.validators.iter().map(|member| member.consensus_key).collect(),
        });
        self.spans = Arc::new(spans.collect());
    }

    pub(super) fn step(&mut self, height: u64, items: &[u64]) {
        let before = self.reign;
        self.reign = before.step(height, items);
        if self.reign != before {
            let mut spans = Vec::clone(&self.spans);
            if self.reign.epoch == before.epoch {
                spans.pop();
            }
            spans.push(self.span());
            self.spans = Arc::new(spans);
        }
    }

    /// The set of the epoch of the next block, and of the one after.
    pub(super) fn sets(&self) -> (u64, u64) {
        (self.reign.now, self.reign.next)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.reign.epoch
    }

    /// How many changes are final.
    pub(super) fn changed(&self) -> u64 {
        self.final_items.iter().filter(|item| is_change(**item)).count() as u64
    }

    pub(super) fn digests(&self) -> Vec<Digest> {
        self.blocks.iter().map(|made| made.block.digest).collect()
    }

    pub(super) fn items(&self) -> Vec<u64> {
        self.items_after(0)
    }

    /// Items of blocks above a height.
    pub(super) fn items_after(&self, height: u64) -> Vec<u64> {
        self.blocks
            .iter()
            .skip(height as usize)
            .flat_map(|made| made.items.iter().copied())
            .filter(|item| !is_change(*item))
            .collect()
    }
}
