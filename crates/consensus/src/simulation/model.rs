//! A ledger in memory: items in blocks. What it finalised survives a crash, what it only executed does not.
//!
//! Block time is what the real ledger makes of it: a leader takes its clock, or a millisecond after the parent; whoever sees a
//! block too far ahead of its own clock waits; what is not after its parent is invalid; what a quorum decided asks no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use commonware_runtime::Clock as _;
use commonware_utils::sync::Mutex;
use tokio::sync::Notify;

use super::block::{Content, Digest, INVALID, build, genesis, is_change, outline, outlined, parse, root};
use super::disk::Disk;
use super::ledger::{Agreement, Flaw, Kind, Lie, MAX_CLOCK_AHEAD};
use super::machine::Machine;
use super::reign::{NOTICE, Reign};
use crate::{Application, At, Block, EpochSpan, Filled, Header, Stored};

/// A block that is not final.
#[derive(Debug)]
struct Executed {
    parent: Digest,
    height: u64,
    content: Content,
}

/// What a child of some block must know.
struct Parent {
    /// Items that it must not hold.
    used: BTreeSet<u64>,
    /// Who decides it.
    reign: Reign,
    time: u64,
    root: Digest,
}

#[derive(Debug)]
struct Inner {
    disk: Arc<Mutex<Disk>>,
    machine: Machine,
    pending: Mutex<BTreeMap<Digest, Executed>>,
    work: Arc<Notify>,
    kind: Kind,
    /// Honest ones must agree.
    agreement: Option<Arc<Agreement>>,
}

#[derive(Clone, Debug)]
pub(super) struct Model(Arc<Inner>);

impl Model {
    pub(super) fn open(
        disk: Arc<Mutex<Disk>>,
        machine: Machine,
        kind: Kind,
        agreement: Option<Arc<Agreement>>,
    ) -> Self {
        let (pending, work) = (Mutex::default(), Arc::default());
        Self(Arc::new(Inner { disk, machine, pending, work, kind, agreement }))
    }

    pub(super) fn submit(&self, item: u64) {
        let mut disk = self.0.disk.lock();
        if !disk.final_items.contains(&item) {
            disk.queue.insert(item);
        }
        drop(disk);
        self.0.work.notify_one();
    }

    /// Milliseconds by this machine's clock.
    fn now(&self) -> u64 {
        self.0.machine.current().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn parent(&self, parent: &Digest) -> Option<Parent> {
        let disk = self.0.disk.lock();
        let tip = disk.tip().map_or(genesis().digest, |block| block.digest);
        let mut used = disk.final_items.clone();
        let pending = self.0.pending.lock();
        let mut at = *parent;
        let mut unfinal = Vec::new();
        while at != tip {
            let executed = pending.get(&at)?;
            if self.0.kind.flaw != Flaw::ForgetsAncestors {
                used.extend(&executed.content.items);
            }
            unfinal.push(executed);
            at = executed.parent;
        }
        let newest = unfinal.first().map(|newest| &newest.content);
        let (time, root) = newest.map_or((disk.time(), disk.root), |content| (content.time, content.root));
        let step = |reign: Reign, block: &Executed| reign.step(block.height, &block.content.items);
        Some(Parent { used, time, root, reign: unfinal.into_iter().rev().fold(disk.reign, step) })
    }

    fn execute(&self, block: &Block) -> bool {
        let Some(Parent { used, reign, time, root: before }) = self.parent(&block.parent) else {
            return false;
        };
        let Ok((header, content)) = parse(&block.bytes) else { return false };
        let items = &content.items;
        let distinct: BTreeSet<u64> = items.iter().copied().collect();
        let fine = distinct.len() == items.len()
            && header.epoch == reign.epoch
            && content.time > time
            && content.root == root(&before, items)
            && !items.contains(&INVALID)
            && (reign.is_open(header.height) || !items.iter().any(|item| is_change(*item)))
            && items.iter().all(|item| !used.contains(item));
        if fine {
            self.insert(block, content);
        }
        fine
    }

    fn insert(&self, block: &Block, content: Content) {
        let executed = Executed { parent: block.parent, height: block.height, content };
        self.0.pending.lock().insert(block.digest, executed);
    }
}

impl Application for Model {
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
        let Parent { used, reign, time, root: before } = self.parent(&parent.digest)?;
        let may_change = reign.is_open(parent.height + 1);
        let mut items: Vec<u64> = self
            .0
            .disk
            .lock()
            .queue
            .iter()
            .filter(|item| !used.contains(*item) && (may_change || !is_change(**item)))
            .take(self.0.kind.size.items)
            .copied()
            .collect();
        if items.is_empty() && !must {
            return None;
        }
        if must {
            items.clear();
        }
        let lie = self.0.kind.lie.filter(|_| parent.height.is_multiple_of(2));
        match lie {
            Some(Lie::Item) => items.push(INVALID),
            Some(Lie::Twice) => items.extend(items.first().copied()),
            _ => {}
        }
        let mut content = Content {
            time: self.now().max(time + 1),
            root: root(&before, &items),
            salt: self.0.kind.salt,
            weight: self.0.kind.size.weight,
            items,
        };
        match lie {
            Some(Lie::Root) => content.root[0] ^= 1,
            Some(Lie::Time) => content.time = time,
            _ => {}
        }
        let block = build(parent.digest, parent.height + 1, reign.epoch, &content);
        self.insert(&block, content);
        Some(block)
    }

    async fn verify(&self, _: Block, block: Block, _: u32) -> bool {
        let Ok((_, content)) = parse(&block.bytes) else { return false };
        while !self.knows(&block.digest) {
            let ahead = content.time.saturating_sub(self.now());
            if ahead <= MAX_CLOCK_AHEAD || self.0.kind.flaw == Flaw::BelievesAnyClock {
                return self.execute(&block);
            }
            let wait = (ahead - MAX_CLOCK_AHEAD).clamp(1, 1000);
            self.0.machine.sleep(Duration::from_millis(wait)).await;
        }
        true
    }

    fn knows(&self, digest: &Digest) -> bool {
        let tip = self.0.disk.lock().tip().map_or(genesis().digest, |block| block.digest);
        tip == *digest || self.0.pending.lock().contains_key(digest)
    }

    async fn adopt(&self, ancestor: Block) -> bool {
        self.execute(&ancestor)
    }

    async fn finalized(&self, block: Block, certificate: Option<Bytes>) -> Result<(), String> {
        let mut disk = self.0.disk.lock();
        let height = disk.blocks.len() as u64;
        if block.height <= height {
            let again = disk.blocks[block.height as usize - 1].block.digest == block.digest;
            return if again { Ok(()) } else { Err("another block came again".into()) };
        }
        if block.height != height + 1 {
            return Err(format!("block {} after {height}", block.height));
        }
        if let Some(agreement) = &self.0.agreement {
            agreement.commit(block.height, block.digest);
        }
        let (_, Content { time, items, root: after, .. }) = parse(&block.bytes)?;
        if after != root(&disk.root, &items) {
            return Err(format!("the root of block {} is not that of its items", block.height));
        }
        let clock = self.0.kind.keeps_time.then(|| self.now());
        disk.root = after;
        disk.step(block.height, &items);
        self.0.pending.lock().retain(|_, executed| executed.height > block.height);
        disk.commit(block, certificate, items, time, clock)?;
        if !disk.queue.is_empty() {
            self.0.work.notify_one();
        }
        Ok(())
    }

    fn outline(&self, block: &Bytes) -> Option<Bytes> {
        outline(block).map(Bytes::from)
    }

    fn fill(&self, outline: &Bytes, items: &BTreeMap<u32, Bytes>) -> Filled {
        let Some((digest, header, mut content, names)) = outlined(outline) else { return Filled::Wrong };
        let disk = self.0.disk.lock();
        let mut lacks = Vec::new();
        for (place, name) in (0..).zip(names) {
            let given =
                items.get(&place).and_then(|item| item.first_chunk()).map(|item| u64::from_be_bytes(*item));
            let heard = disk.queue.contains(&name) || disk.final_items.contains(&name);
            match given {
                Some(item) => content.items.push(item),
                // Now and then what has this name is something else here.
                None if heard && self.0.kind.size.weight == 0 && name % 16 == 5 => {
                    content.items.push(name ^ 1)
                }
                None if heard => content.items.push(name),
                None => lacks.push(place),
            }
        }
        if !lacks.is_empty() {
            return Filled::Lacks(lacks);
        }
        let block = build(header.parent, header.height, header.epoch, &content);
        if block.digest == digest { Filled::Whole(block.bytes) } else { Filled::Wrong }
    }

    fn items(&self, block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
        let (_, content) = parse(block).ok()?;
        let weight = content.weight as usize;
        let item = |place: &u32| {
            let mut item = content.items.get(*place as usize)?.to_be_bytes().to_vec();
            item.resize(8 + weight, 0);
            Some(Bytes::from(item))
        };
        places.iter().map(item).collect()
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
            At::Digest(digest) => disk.blocks.iter().find(|found| found.block.digest == digest),
        };
        found.map(|found| Stored { block: found.block.clone(), certificate: found.certificate.clone() })
    }
}
