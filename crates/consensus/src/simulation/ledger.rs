//! A ledger in memory: items in blocks. What it finalised survives a crash, what it only executed does not.
//!
//! Block bytes: parent 32 ‖ height u64 ‖ epoch u64 ‖ salt u64 ‖ items of 8 bytes. Digest: SHA-256 of them.
//!
//! Some items change who is a validator ([`change`]), by the rules of the real chain with shorter times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use commonware_utils::sync::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::{Application, At, Block, EpochSpan, Header, Stored};

/// An item that no honest validator accepts.
pub(super) const INVALID: u64 = u64::MAX;
/// Items a block.
const ITEMS: usize = 4;
/// Blocks between the last change of an epoch and its end, and between the heights where it may end.
const NOTICE: u64 = 4;
const CHANGE: u64 = 1 << 62;

/// An item that makes the validator of this number (of all that ever are) one of the next epoch's, or none. `count` tells
/// changes apart.
pub(super) fn change(count: u64, validator: usize) -> u64 {
    CHANGE | count << 8 | validator as u64
}

/// Who decides, after some block. Sets are bits by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    epoch: u64,
    first: u64,
    last: Option<u64>,
    now: u8,
    next: u8,
}

impl Reign {
    pub(super) fn first(now: u8) -> Self {
        Self { epoch: 0, first: 1, last: None, now, next: now }
    }

    /// Whether a block may hold a change.
    fn is_open(&self, height: u64) -> bool {
        self.last.is_none_or(|last| height + NOTICE <= last)
    }

    /// After a block.
    fn step(mut self, height: u64, items: &[u64]) -> Self {
        for item in items.iter().filter(|item| is_change(**item)) {
            self.next ^= 1 << (item & 0xff);
            self.last = self.last.or(Some(height.next_multiple_of(NOTICE) + NOTICE));
        }
        if self.last == Some(height) {
            let (epoch, now) = (self.epoch + 1, self.next);
            self = Self { epoch, first: height + 1, last: None, now, next: now };
        }
        self
    }
}

fn is_change(item: u64) -> bool {
    item & CHANGE != 0 && item != INVALID
}

pub(super) type Digest = [u8; 32];

fn parse(bytes: &[u8]) -> Result<(Header, Vec<u64>), String> {
    let (parent, rest) = bytes.split_first_chunk::<32>().ok_or("no parent")?;
    let (height, rest) = rest.split_first_chunk::<8>().ok_or("no height")?;
    let (epoch, rest) = rest.split_first_chunk::<8>().ok_or("no epoch")?;
    let (_salt, rest) = rest.split_first_chunk::<8>().ok_or("no salt")?;
    let (items, tail) = rest.as_chunks::<8>();
    if !tail.is_empty() {
        return Err("an item is cut".into());
    }
    let (height, epoch) = (u64::from_be_bytes(*height), u64::from_be_bytes(*epoch));
    let header = Header { digest: Sha256::digest(bytes).into(), parent: *parent, height, epoch };
    Ok((header, items.iter().map(|item| u64::from_be_bytes(*item)).collect()))
}

fn build(parent: Digest, height: u64, epoch: u64, salt: u64, items: &[u64]) -> Block {
    let mut bytes = parent.to_vec();
    bytes.extend_from_slice(&height.to_be_bytes());
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.extend_from_slice(&salt.to_be_bytes());
    for item in items {
        bytes.extend_from_slice(&item.to_be_bytes());
    }
    let header = parse(&bytes).expect("just built").0;
    Block::new(header, bytes)
}

/// What all honest validators finalised, checked at each commit.
#[derive(Default, Debug)]
pub(super) struct Agreement(Mutex<BTreeMap<u64, Digest>>);

impl Agreement {
    fn commit(&self, height: u64, digest: Digest) {
        let mut all = self.0.lock();
        let first = *all.entry(height).or_insert(digest);
        assert_eq!(first, digest, "two final blocks at height {height}");
    }

    pub(super) fn height(&self) -> u64 {
        self.0.lock().last_key_value().map_or(0, |(height, _)| *height)
    }
}

/// How a ledger behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Two with different ones make different blocks of the same items.
    pub(super) salt: u64,
    /// Puts what nobody accepts into every other block.
    pub(super) lies: bool,
    /// Does not know what unfinalised ancestors hold.
    pub(super) forgets: bool,
}

/// What survives a crash.
#[derive(Debug)]
pub(super) struct Disk {
    blocks: Vec<(Block, Option<Bytes>)>,
    final_items: BTreeSet<u64>,
    queue: BTreeSet<u64>,
    /// All that ever are validators, in ascending order.
    all: Vec<[u8; 32]>,
    reign: Reign,
    spans: Arc<Vec<EpochSpan>>,
}

impl Disk {
    pub(super) fn new(all: Vec<[u8; 32]>, reign: Reign) -> Self {
        let mut this = Self {
            blocks: Vec::new(),
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

    fn reign(&mut self, height: u64, items: &[u64]) {
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
    pub(super) fn sets(&self) -> (u8, u8) {
        (self.reign.now, self.reign.next)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.reign.epoch
    }

    /// How many changes are final.
    pub(super) fn changed(&self) -> u64 {
        self.final_items.iter().filter(|item| is_change(**item)).count() as u64
    }
}

/// A block that is not final: parent, height, items.
type Executed = (Digest, u64, Vec<u64>);

#[derive(Debug)]
struct Inner {
    disk: Arc<Mutex<Disk>>,
    pending: Mutex<BTreeMap<Digest, Executed>>,
    work: Arc<Notify>,
    kind: Kind,
    /// Honest ones must agree.
    agreement: Option<Arc<Agreement>>,
}

#[derive(Clone, Debug)]
pub(super) struct Ledger(Arc<Inner>);

impl Ledger {
    pub(super) fn open(disk: Arc<Mutex<Disk>>, kind: Kind, agreement: Option<Arc<Agreement>>) -> Self {
        Self(Arc::new(Inner { disk, pending: Mutex::default(), work: Arc::default(), kind, agreement }))
    }

    pub(super) fn submit(&self, item: u64) {
        let mut disk = self.0.disk.lock();
        if !disk.final_items.contains(&item) {
            disk.queue.insert(item);
        }
        drop(disk);
        self.0.work.notify_one();
    }

    /// Items that a child of this block must not hold, and who decides it.
    fn used(&self, parent: &Digest) -> Option<(BTreeSet<u64>, Reign)> {
        let disk = self.0.disk.lock();
        let tip = disk.blocks.last().map_or(genesis().digest, |(block, _)| block.digest);
        let mut used = disk.final_items.clone();
        let pending = self.0.pending.lock();
        let mut at = *parent;
        let mut unfinal = Vec::new();
        while at != tip {
            let (parent, height, items) = pending.get(&at)?;
            if !self.0.kind.forgets {
                used.extend(items);
            }
            unfinal.push((*height, items));
            at = *parent;
        }
        let step = |reign: Reign, (height, items): (u64, &Vec<u64>)| reign.step(height, items);
        Some((used, unfinal.into_iter().rev().fold(disk.reign, step)))
    }

    fn execute(&self, block: &Block) -> bool {
        let Some((used, reign)) = self.used(&block.parent) else { return false };
        let Ok((header, items)) = parse(&block.bytes) else { return false };
        let distinct: BTreeSet<u64> = items.iter().copied().collect();
        let fine = distinct.len() == items.len()
            && header.epoch == reign.epoch
            && !items.contains(&INVALID)
            && (reign.is_open(header.height) || !items.iter().any(|item| is_change(*item)))
            && items.iter().all(|item| !used.contains(item));
        if fine {
            self.0.pending.lock().insert(header.digest, (header.parent, header.height, items));
        }
        fine
    }
}

pub(super) fn genesis() -> Block {
    build([0; 32], 0, 0, 0, &[])
}

impl Disk {
    pub(super) fn digests(&self) -> Vec<Digest> {
        self.blocks.iter().map(|(block, _)| block.digest).collect()
    }

    pub(super) fn items(&self) -> Vec<u64> {
        self.blocks
            .iter()
            .flat_map(|(block, _)| parse(&block.bytes).map(|(_, items)| items))
            .flatten()
            .filter(|item| !is_change(*item))
            .collect()
    }
}

impl Application for Ledger {
    const EPOCH_NOTICE: u64 = NOTICE;

    fn epochs(&self) -> Arc<Vec<EpochSpan>> {
        self.0.disk.lock().spans.clone()
    }

    fn genesis(&self) -> Block {
        genesis()
    }

    fn header(bytes: &[u8]) -> Result<Header, String> {
        parse(bytes).map(|(header, _)| header)
    }

    async fn propose(&self, parent: Block, _: u32, must: bool) -> Option<Block> {
        let (used, reign) = self.used(&parent.digest)?;
        let may_change = reign.is_open(parent.height + 1);
        let mut items: Vec<u64> = self
            .0
            .disk
            .lock()
            .queue
            .iter()
            .filter(|item| !used.contains(*item) && (may_change || !is_change(**item)))
            .take(ITEMS)
            .copied()
            .collect();
        if items.is_empty() && !must {
            return None;
        }
        if must {
            items.clear();
        }
        if self.0.kind.lies && parent.height.is_multiple_of(2) {
            items.push(INVALID);
        }
        let block = build(parent.digest, parent.height + 1, reign.epoch, self.0.kind.salt, &items);
        self.0.pending.lock().insert(block.digest, (parent.digest, block.height, items));
        Some(block)
    }

    async fn verify(&self, _: Block, block: Block, _: u32) -> bool {
        self.execute(&block)
    }

    fn knows(&self, digest: &Digest) -> bool {
        let tip = self.0.disk.lock().blocks.last().map_or(genesis().digest, |(block, _)| block.digest);
        tip == *digest || self.0.pending.lock().contains_key(digest)
    }

    async fn adopt(&self, ancestor: Block) -> bool {
        self.execute(&ancestor)
    }

    async fn finalized(&self, block: Block, certificate: Option<Bytes>) -> Result<(), String> {
        let mut disk = self.0.disk.lock();
        let height = disk.blocks.len() as u64;
        if block.height <= height {
            let again = disk.blocks[block.height as usize - 1].0.digest == block.digest;
            return if again { Ok(()) } else { Err("another block came again".into()) };
        }
        if block.height != height + 1 {
            return Err(format!("block {} after {height}", block.height));
        }
        if let Some(agreement) = &self.0.agreement {
            agreement.commit(block.height, block.digest);
        }
        let (_, items) = parse(&block.bytes)?;
        for item in &items {
            if *item == INVALID || !disk.final_items.insert(*item) {
                return Err(format!("item {item} in block {} is invalid or there twice", block.height));
            }
            disk.queue.remove(item);
        }
        disk.reign(block.height, &items);
        self.0.pending.lock().retain(|_, (_, height, _)| *height > block.height);
        disk.blocks.push((block, certificate));
        if !disk.queue.is_empty() {
            self.0.work.notify_one();
        }
        Ok(())
    }

    fn work(&self) -> Arc<Notify> {
        self.0.work.clone()
    }

    fn final_height(&self) -> u64 {
        self.0.disk.lock().blocks.len() as u64
    }

    async fn stored(&self, at: At) -> Option<Stored> {
        let disk = self.0.disk.lock();
        let found = match at {
            At::Height(height) => disk.blocks.get(height.checked_sub(1)? as usize),
            At::Digest(digest) => disk.blocks.iter().find(|(block, _)| block.digest == digest),
        };
        found.map(|(block, certificate)| Stored { block: block.clone(), certificate: certificate.clone() })
    }
}
