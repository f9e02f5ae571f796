//! What a simulated ledger keeps.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;

use super::block::{Digest, is_change, parse};
use super::reign::Reign;
use crate::{Block, EpochSpan};

/// What survives a crash.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) blocks: Vec<(Block, Option<Bytes>)>,
    /// Of the last block.
    pub(super) time: u64,
    pub(super) root: Digest,
    pub(super) final_items: BTreeSet<u64>,
    pub(super) queue: BTreeSet<u64>,
    /// All that ever are validators, in ascending order.
    all: Vec<[u8; 32]>,
    pub(super) reign: Reign,
    pub(super) spans: Arc<Vec<EpochSpan>>,
}

impl Disk {
    pub(super) fn new(all: Vec<[u8; 32]>, reign: Reign) -> Self {
        let mut this = Self {
            blocks: Vec::new(),
            time: 0,
            root: Digest::default(),
            final_items: BTreeSet::new(),
            queue: BTreeSet::new(),
            all,
            reign,
            spans: Arc::default(),
        };
        this.spans = Arc::new(vec![this.span()]);
        this
    }

    fn span(&self) -> EpochSpan {
        let Reign { epoch, first, last, now, .. } = self.reign;
        let chosen = self.all.iter().enumerate().filter(|(i, _)| now >> i & 1 == 1);
        EpochSpan { epoch, first, last, validators: chosen.map(|(_, key)| *key).collect() }
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
        self.blocks.iter().map(|(block, _)| block.digest).collect()
    }

    pub(super) fn items(&self) -> Vec<u64> {
        self.items_after(0)
    }

    /// Items of blocks above a height.
    pub(super) fn items_after(&self, height: u64) -> Vec<u64> {
        self.blocks
            .iter()
            .skip(height as usize)
            .flat_map(|(block, _)| parse(&block.bytes).map(|(_, content)| content.items))
            .flatten()
            .filter(|item| !is_change(*item))
            .collect()
    }
}
