//! The real ledger behind consensus, as a node has it: blocks are executed, its store is in files and opened again after each crash.
//!
//! What is not as in a node: it runs in the thread of the simulation, what comes in is verified at once, its clock is the machine's,
//! and its files survive a crash as they are (a commit is one batch, which is synced before anybody is told).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use commonware_runtime::{Clock as _, Supervisor as _, deterministic::Context};
use commonware_utils::sync::Mutex;
use tokio::sync::{Notify, oneshot};
use triad_chain::{
    Answer, ChainError, Judgement, Reader, SnapshotOptions, Taken,
    audit::{self, Audit, AuditError},
    header_of, import,
    outline::{self, ItemName, item_name},
    read_chunk, read_head, testing, write_chunk, write_head,
};
use triad_evm::FIRING_TX_TYPE;
use triad_statement::{Algorithm, SigningKey};

use super::{
    block::Digest,
    disk::{Chained, Disk, in_memory},
    ledger::{Agreement, Flaw, Kind, Lie},
    machine::Machine,
    world::{Payload, World},
};
use crate::{At, Block, EpochSpan, Filled, Header, Stored, public_key};

/// Blocks between snapshots.
const SNAPSHOT_EVERY: u64 = 8;

/// How long a store may take to be let go of by its own threads.
const PATIENCE: Duration = Duration::from_secs(30);

struct Inner {
    ledger: triad_chain::Ledger,
    world: Arc<World>,
    disk: Arc<Mutex<Disk>>,
    machine: Arc<Machine>,
    kind: Kind,
    agreement: Option<Arc<Agreement>>,
    /// What was submitted here.
    heard: Mutex<BTreeMap<ItemName, Bytes>>,
    /// Statements that somebody waits for.
    waiting: Mutex<BTreeMap<u64, oneshot::Receiver<Answer>>>,
    /// Its clock shows the end of time.
    believes: Arc<AtomicBool>,
}

#[derive(Clone)]
pub(super) struct Chain(Arc<Inner>);

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.ledger.fmt(f)
    }
}

impl Chain {
    /// Nobody may have it open.
    pub(super) fn open(
        disk: Arc<Mutex<Disk>>,
        world: Arc<World>,
        machine: Machine,
        kind: Kind,
        agreement: Option<Arc<Agreement>>,
        secret: [u8; 32],
    ) -> Self {
        let machine = Arc::new(machine);
        let believes = Arc::<AtomicBool>::default();
        let clock = {
            let (machine, believes) = (machine.child("clock"), believes.clone());
            move || if believes.load(Relaxed) { u64::MAX / 2 } else { now(&machine) + kind.salt }
        };
        let Chained { chain, snapshots } = disk.lock().chained();
        let clock = Arc::new(clock);
        let ledger = once_closed(|| {
            let clock = clock.clone();
            testing::simulated(&chain, world.spec.clone(), move || clock())
        });
        let ledger = ledger.expect("a ledger opens after a crash");
        let key = SigningKey::from_secret_bytes(Algorithm::EdDsa, &secret).expect("a secret");
        if kind.flaw == Flaw::ForgetsAReading {
            testing::forget_a_reading(&ledger);
        }
        let options = SnapshotOptions {
            dir: snapshots,
            every: SNAPSHOT_EVERY,
            retention: None,
            key: Some((public_key(&secret), Arc::new(key))),
        };
        ledger.keep_snapshots(options).expect("snapshots are read");
        disk.lock().reigned(&ledger.reigns());
        let (heard, waiting) = (Mutex::default(), Mutex::default());
        let this =
            Self(Arc::new(Inner { ledger, world, disk, machine, kind, agreement, heard, waiting, believes }));
        this.offer();
        this
    }

    /// Waits until whoever had it has let go of it.
    pub(super) async fn closed(self, context: &Context) {
        self.0.ledger.stop_snapshots();
        let inner = Arc::downgrade(&self.0);
        drop(self);
        for _ in 0..1000 {
            if inner.strong_count() == 0 {
                return;
            }
            context.sleep(Duration::from_millis(1)).await;
        }
        panic!("{} have the ledger of a machine that is off", inner.strong_count());
    }

    pub(super) fn header(bytes: &[u8]) -> Result<Header, String> {
        let h = header_of(bytes).map_err(|error| error.to_string())?;
        Ok(Header { digest: h.digest, parent: h.parent, height: h.height, epoch: h.epoch })
    }

    pub(super) fn submit(&self, item: u64) {
        let mut disk = self.0.disk.lock();
        if !disk.final_items.contains(&item) {
            disk.queue.insert(item);
        }
        drop(disk);
        self.offer();
    }

    /// Hands in what is not final and not handed in: whoever sent it tries again, after a refusal or a crash.
    fn offer(&self) {
        let queue = self.0.disk.lock().queue.clone();
        let mut waiting = self.0.waiting.lock();
        for item in queue {
            let payload = self.0.world.payload(item);
            self.0.heard.lock().insert(item_name(payload.bytes()), payload.bytes().clone());
            match payload {
                Payload::Statement(bytes) => {
                    waiting.entry(item).or_insert_with(|| testing::submit_now(&self.0.ledger, bytes));
                }
                // It is there already, it has to wait for others, or its time will come.
                Payload::Transaction(bytes) => drop(testing::send_now(&self.0.ledger, &bytes)),
            }
        }
    }

    /// Whoever waits hears that its statement is final, which then it is, or that its device is not known yet.
    fn answers(&self, disk: &Disk) -> Result<(), String> {
        let mut waiting = self.0.waiting.lock();
        let mut wrong = Ok(());
        waiting.retain(|item, answer| match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => true,
            Ok(Ok(_)) if disk.final_items.contains(item) => false,
            Ok(Err(refusal)) if refusal.code == "unknown-device" => false,
            other => {
                wrong = Err(format!("whoever sent item {item} was told {other:?}"));
                false
            }
        });
        wrong
    }

    fn block(bytes: Bytes) -> Block {
        Block::new(Self::header(&bytes).expect("own blocks are canonical"), bytes)
    }

    /// What a liar makes of a block.
    fn lie(&self, made: &triad_chain::Block, lie: Lie) -> triad_chain::Block {
        let (mut checkpoint, mut body) = (made.checkpoint, made.body.clone());
        match lie {
            Lie::Item => body.statements.push(self.0.world.strange()),
            Lie::Twice => {
                let all =
                    if body.statements.is_empty() { &mut body.transactions } else { &mut body.statements };
                all.extend(all.first().cloned());
            }
            Lie::Root => checkpoint.app_digest[0] ^= 1,
            Lie::Time => checkpoint.time_ms = self.0.disk.lock().time(),
        }
        testing::forged(checkpoint, body)
    }

    pub(super) fn genesis(&self) -> Block {
        Self::block(self.0.ledger.genesis_block().bytes.clone())
    }

    pub(super) async fn propose(&self, parent: Block, leader: u32, must: bool) -> Option<Block> {
        let made = self.0.ledger.propose(&parent.digest, leader, must).expect("the ledger proposes")?;
        let lie = self.0.kind.lie.filter(|_| parent.height.is_multiple_of(2));
        Some(Self::block(lie.map_or(made.bytes.clone(), |lie| self.lie(&made, lie).bytes)))
    }

    pub(super) async fn verify(&self, _: Block, block: Block, leader: u32) -> bool {
        loop {
            self.0.believes.store(self.0.kind.flaw == Flaw::BelievesAnyClock, Relaxed);
            let judged = self.0.ledger.check(&block.bytes, Some(leader)).expect("the ledger judges");
            self.0.believes.store(false, Relaxed);
            match judged {
                Judgement::Valid => return true,
                Judgement::Wait(ms) => self.0.machine.sleep(Duration::from_millis(ms.clamp(1, 1000))).await,
                Judgement::Invalid(_) | Judgement::UnknownParent => return false,
            }
        }
    }

    pub(super) fn knows(&self, digest: &Digest) -> bool {
        self.0.ledger.knows(digest)
    }

    pub(super) async fn adopt(&self, ancestor: Block) -> bool {
        self.0.ledger.check(&ancestor.bytes, None).expect("the ledger judges") == Judgement::Valid
    }

    pub(super) async fn finalized(&self, block: Block, certificate: Option<Bytes>) -> Result<(), String> {
        let mut disk = self.0.disk.lock();
        let before = self.0.ledger.height();
        self.0.ledger.finalize(&block.bytes, certificate.as_deref()).map_err(|error| error.to_string())?;
        if block.height <= before {
            return Ok(());
        }
        if let Some(agreement) = &self.0.agreement {
            agreement.commit(block.height, block.digest);
        }
        let inside = triad_chain::Block::decode(block.bytes.clone()).map_err(|error| error.to_string())?;
        let all = inside.body.statements.iter().chain(&inside.body.transactions);
        let items: Option<Vec<u64>> = all.map(|bytes| self.0.world.item(bytes)).collect();
        let items = items.ok_or("nobody submitted what a block holds")?;
        let clock = self.0.kind.keeps_time.then(|| now(&self.0.machine));
        let (certified, height) = (certificate.is_some(), block.height);
        disk.commit(block, certificate, items, inside.checkpoint.time_ms, clock)?;
        disk.reigned(&self.0.ledger.reigns());
        disk.fired += self.receipts(height)?;
        self.answers(&disk)?;
        drop(disk);
        self.offer();
        self.snapshots(certified)
    }

    /// Nothing that is sent here reverts. How many automations fired in a block.
    fn receipts(&self, height: u64) -> Result<u64, String> {
        let made = Reader::new(self.0.ledger.clone()).eth_block(height).map_err(|error| error.to_string())?;
        let receipts = &made.ok_or("a final block has no receipts")?.receipts;
        if let Some(place) = receipts.iter().position(|receipt| !receipt.success) {
            return Err(format!("transaction {place} of block {height} reverted"));
        }
        Ok(receipts.iter().filter(|receipt| receipt.tx_type == FIRING_TX_TYPE).count() as u64)
    }

    /// Whoever has gone through the same blocks, however often it was put together again meanwhile, has the same state.
    fn snapshots(&self, certified: bool) -> Result<(), String> {
        let Some(agreement) = &self.0.agreement else { return Ok(()) };
        if certified {
            // At a moment that no thread decides.
            testing::snapshot_made(&self.0.ledger);
        }
        if let Some(word) = self.0.ledger.snapshot_word() {
            agreement.say(word);
        }
        for word in agreement.words() {
            match self.0.ledger.take_snapshot_word(&word).map_err(|error| error.to_string())? {
                Taken::Added | Taken::Idle => {}
                wrong => {
                    return Err(format!(
                        "{wrong:?}: what another says of the state after block {}",
                        word.height
                    ));
                }
            }
        }
        Ok(())
    }

    pub(super) fn floor(&self) -> Option<Stored> {
        let height = self.0.ledger.floor().expect("the ledger reads")?;
        self.final_block(height)
    }

    fn final_block(&self, height: u64) -> Option<Stored> {
        let found = self.0.ledger.final_block(height).expect("the ledger reads")?;
        Some(Stored { block: Self::block(found.bytes), certificate: found.certificate.map(Bytes::from) })
    }

    pub(super) fn end_of_epoch(&self, height: u64) -> Option<Digest> {
        self.0.ledger.digest_of(height).expect("the ledger reads")
    }

    pub(super) fn outline(&self, block: &Bytes) -> Option<Bytes> {
        outline::outline(block, |name| self.0.heard.lock().contains_key(name))
    }

    pub(super) fn fill(&self, outline: &Bytes, items: &BTreeMap<u32, Bytes>) -> Filled {
        match outline::fill(outline, items, |name| self.0.heard.lock().get(name).cloned()) {
            outline::Filled::Whole(block) => Filled::Whole(block),
            outline::Filled::Lacks(places) => Filled::Lacks(places),
            outline::Filled::Wrong => Filled::Wrong,
        }
    }

    pub(super) fn items(&self, block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
        outline::items(block, places)
    }

    pub(super) fn work(&self) -> Arc<Notify> {
        self.0.ledger.work()
    }

    pub(super) fn final_height(&self) -> u64 {
        self.0.ledger.height()
    }

    pub(super) fn epochs(&self) -> Arc<Vec<EpochSpan>> {
        self.0.disk.lock().spans.clone()
    }

    pub(super) async fn stored(&self, at: At) -> Option<Stored> {
        let height = match at {
            At::Height(height) => height,
            At::Digest(digest) => {
                let floor = self.0.ledger.floor().expect("the ledger reads");
                match floor.filter(|floor| self.end_of_epoch(*floor) == Some(digest)) {
                    Some(floor) => floor,
                    None => self.0.ledger.uncertified(&digest).expect("the ledger reads")?,
                }
            }
        };
        self.final_block(height)
    }
}

/// Opens a store, whose own threads let go of it in their own time.
fn once_closed<T>(open: impl Fn() -> Result<T, ChainError>) -> Result<T, ChainError> {
    let started = std::time::Instant::now();
    loop {
        match open() {
            Err(ChainError::InUse(_)) if started.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}

/// Lets a disk on which nothing ever was begin with the newest snapshot on another that the validators vouch for, as `--snapshot-sync` does.
pub(super) fn sync(fresh: &mut Disk, from: &Disk, world: &World) -> bool {
    let (to, theirs) = (fresh.chained(), from.chained().snapshots);
    // Whoever was started before has its genesis, and perhaps votes.
    if to.chain.exists() {
        return false;
    }
    let entries = std::fs::read_dir(&theirs).into_iter().flatten().flatten();
    let mut heights: Vec<u64> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    heights.sort_unstable();
    for height in heights.into_iter().rev() {
        let dir = theirs.join(height.to_string());
        let head = read_head(&dir).expect("a head is whole");
        if head.verify(&world.spec.anchor).is_err() {
            continue;
        }
        let own = to.snapshots.join(height.to_string());
        std::fs::create_dir_all(&own).expect("a directory");
        for index in 0..head.chunks.len() {
            let chunk = read_chunk(&dir, index).expect("a chunk is whole");
            write_chunk(&own, &head, index, &chunk).expect("a chunk is the one that was signed");
        }
        write_head(&own, &head).expect("a head is written");
        import(&to.chain, &world.spec, &own, &head, |_| ()).expect("a snapshot is imported");
        let last = height + head.later.len() as u64;
        if last > height {
            // Up to the one that the certificate is of.
            let ledger = once_closed(|| testing::simulated(&to.chain, world.spec.clone(), || 0));
            let ledger = ledger.expect("an imported ledger opens");
            for height in height..last {
                let certificate = (height + 1 == last).then(|| head.certificate.encode());
                let block = &from.blocks[height as usize].block;
                ledger.finalize(&block.bytes, certificate.as_deref()).expect("it follows");
            }
        }
        fresh.begin(from, last);
        return true;
    }
    false
}

/// Executes a chain again, which nobody has open.
pub(super) fn audit(disk: &Disk, world: &World) -> Audit {
    let Chained { chain, snapshots } = disk.chained();
    let audited = once_closed(|| {
        let scratch = in_memory();
        match audit::run(&chain, &snapshots, world.spec.clone(), scratch.path(), |_| ()) {
            Err(AuditError::Chain(error)) => Err(error),
            other => Ok(other),
        }
    });
    audited
        .and_then(|audited| audited.map_err(|error| ChainError::Corrupt { what: error.to_string() }))
        .expect("it audits")
}

/// Milliseconds by a machine's clock.
fn now(machine: &Machine) -> u64 {
    machine.current().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
