//! A ledger in memory: items in blocks. What it finalised survives a crash, what it only executed does not.
//!
//! Block bytes: parent 32 ‖ height u64 ‖ salt u64 ‖ items of 8 bytes. Digest: SHA-256 of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use commonware_utils::sync::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use crate::{Application, At, Block, Header, Stored};

/// An item that no honest validator accepts.
pub(super) const INVALID: u64 = u64::MAX;
/// Items a block.
const ITEMS: usize = 4;

pub(super) type Digest = [u8; 32];

fn parse(bytes: &[u8]) -> Result<(Header, Vec<u64>), String> {
    let (parent, rest) = bytes.split_first_chunk::<32>().ok_or("no parent")?;
    let (height, rest) = rest.split_first_chunk::<8>().ok_or("no height")?;
    let (_salt, rest) = rest.split_first_chunk::<8>().ok_or("no salt")?;
    let (items, tail) = rest.as_chunks::<8>();
    if !tail.is_empty() {
        return Err("an item is cut".into());
    }
    let header =
        Header { digest: Sha256::digest(bytes).into(), parent: *parent, height: u64::from_be_bytes(*height) };
    Ok((header, items.iter().map(|item| u64::from_be_bytes(*item)).collect()))
}

fn build(parent: Digest, height: u64, salt: u64, items: &[u64]) -> Block {
    let mut bytes = parent.to_vec();
    bytes.extend_from_slice(&height.to_be_bytes());
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
#[derive(Default, Debug)]
pub(super) struct Disk {
    blocks: Vec<(Block, Option<Bytes>)>,
    final_items: BTreeSet<u64>,
    queue: BTreeSet<u64>,
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

    /// Items that a child of this block must not hold.
    fn used(&self, parent: &Digest) -> Option<BTreeSet<u64>> {
        let disk = self.0.disk.lock();
        let tip = disk.blocks.last().map_or(genesis().digest, |(block, _)| block.digest);
        let mut used = disk.final_items.clone();
        let pending = self.0.pending.lock();
        let mut at = *parent;
        while at != tip {
            let (parent, _, items) = pending.get(&at)?;
            if !self.0.kind.forgets {
                used.extend(items);
            }
            at = *parent;
        }
        Some(used)
    }

    fn execute(&self, block: &Block) -> bool {
        let Some(used) = self.used(&block.parent) else { return false };
        let Ok((header, items)) = parse(&block.bytes) else { return false };
        let distinct: BTreeSet<u64> = items.iter().copied().collect();
        let fine = distinct.len() == items.len()
            && !items.contains(&INVALID)
            && items.iter().all(|item| !used.contains(item));
        if fine {
            self.0.pending.lock().insert(header.digest, (header.parent, header.height, items));
        }
        fine
    }
}

pub(super) fn genesis() -> Block {
    build([0; 32], 0, 0, &[])
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
            .collect()
    }
}

impl Application for Ledger {
    fn genesis(&self) -> Block {
        genesis()
    }

    fn header(bytes: &[u8]) -> Result<Header, String> {
        parse(bytes).map(|(header, _)| header)
    }

    async fn propose(&self, parent: Block, _: u32, must: bool) -> Option<Block> {
        let used = self.used(&parent.digest)?;
        let mut items: Vec<u64> = self
            .0
            .disk
            .lock()
            .queue
            .iter()
            .filter(|item| !used.contains(*item))
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
        let block = build(parent.digest, parent.height + 1, self.0.kind.salt, &items);
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
