//! Snapshots: the whole state after a block, for whoever joins late.
//!
//! ```text
//! commit of block N × every ──▶ Capture ──▶ thread: chunks, root ──▶ own signature ──▶ others' signatures ──▶ served
//! ```
//!
//! Every node makes one from its own state after the same blocks, in the background: the store's view of that moment with the rows
//! that were not written yet laid over. Validators sign its root and tell each other; with a quorum of signatures the root
//! is what consensus agreed on, model states included, and a newcomer may begin with it ([`import`]). A validator whose root
//! differs shows at once that its state does.
//!
//! Why the root is signed beside the chain and not committed in a block: a block would have to wait until every validator had gone
//! through its whole state, and one that was killed meanwhile could never check that block, for the state it speaks of is gone.
//!
//! | file in `<height>/` | what |
//! | --- | --- |
//! | `head` | [`triad_log::SnapshotHead`], written anew with each signature |
//! | `000000.chunk` … | see [`rows`] |

mod capture;
mod import;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use triad_log::{
    Certificate, Checkpoint, SnapshotHead, SnapshotSignature, TrustAnchor, Validators, snapshot_message,
    verify_ed25519,
};
use triad_statement::SigningKey;

pub(crate) use capture::Capture;
pub use import::{ImportProgress, import, read_chunk, write_chunk};
pub use rows::MAX_CHUNK_BYTES;
#[cfg(test)]
pub(crate) use rows::chunk_path;

use crate::error::ChainError;
use crate::ledger::Ledger;
use crate::read::Reader;
use crate::receipts::hand_overs;
use crate::state::records::Reign;
use crate::store::Store;

/// Blocks between snapshots, unless the operator says otherwise.
pub const SNAPSHOT_EVERY: u64 = 4096;
/// Snapshots that a quorum signed and that stay.
const KEPT: usize = 2;
/// Snapshots in the time that statements are kept: they go at the latest this part of it later.
const SLOTS: u64 = 4;
const LOOK: Duration = Duration::from_millis(100);

/// Where snapshots go and how often.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    pub dir: PathBuf,
    /// After each block whose height is a multiple of this; 0: never (those that are there are served).
    pub every: u64,
    /// How long statements are kept ([`Ledger::prune`]): there must be snapshots of that age.
    pub retention: Option<Duration>,
    /// A validator's consensus key, public and whole, which vouches for what it made.
    pub key: Option<([u8; 32], Arc<SigningKey>)>,
}

/// A snapshot as it is told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    pub checkpoint: Checkpoint,
    pub root: [u8; 32],
    pub chunks: usize,
    pub bytes: u64,
    pub signatures: usize,
    /// How many it takes until others begin with it.
    pub quorum: usize,
}

impl SnapshotInfo {
    pub fn is_vouched_for(&self) -> bool {
        self.signatures >= self.quorum
    }
}

/// What one validator says of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotWord {
    pub height: u64,
    pub root: [u8; 32],
    pub signed: SnapshotSignature,
}

/// What became of a validator's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Added,
    /// It was known already, or the snapshot is not held here (yet, or any more).
    Idle,
    /// The validator vouches for another state after the same block.
    Differs,
    /// Not a validator's signature.
    Bad,
}

#[derive(Debug)]
struct Held {
    head: SnapshotHead,
    root: [u8; 32],
    validators: Validators,
}

impl Held {
    fn is_vouched_for(&self) -> bool {
        self.head.signatures.len() >= self.validators.quorum()
    }
}

#[derive(Debug)]
struct Keeper {
    options: SnapshotOptions,
    anchor: TrustAnchor,
    held: Mutex<BTreeMap<u64, Held>>,
    making: Mutex<Option<JoinHandle<()>>>,
    /// Whether one is being written.
    busy: AtomicBool,
    stop: AtomicBool,
}

/// Those of a ledger.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(RwLock<Option<Arc<Keeper>>>);

fn io(path: &Path) -> impl Fn(std::io::Error) -> ChainError {
    move |error| rows::disk(error, path)
}

/// Writes a head so that a reader finds the old one or the new one.
pub fn write_head(dir: &Path, head: &SnapshotHead) -> Result<(), ChainError> {
    let (path, fresh) = (dir.join("head"), dir.join("head.new"));
    rows::write_durably(&fresh, &head.encode())?;
    fs::rename(&fresh, &path).map_err(io(&path))
}

/// The head of a snapshot's directory.
pub fn read_head(dir: &Path) -> Result<SnapshotHead, ChainError> {
    let path = dir.join("head");
    let bytes = fs::read(&path).map_err(io(&path))?;
    SnapshotHead::decode(&bytes).map_err(|e| ChainError::Snapshot(format!("{}: {e}", path.display())))
}

/// The first certificate at or above a checkpoint, and the checkpoints after it up to there; `None` while there is none.
fn finality(store: &Store, of: &Checkpoint) -> Result<Option<(Vec<Checkpoint>, Certificate)>, ChainError> {
    let mut later = Vec::new();
    for height in of.height.0.. {
        let Some(stored) = store.checkpoint(height)? else { break };
        if height > of.height.0 {
            later.push(stored.checkpoint);
        }
        if let Some(certificate) = stored.certificate {
            let certificate = Certificate::decode(&certificate)
                .map_err(|e| ChainError::corrupt(format!("a stored certificate: {e}")))?;
            return Ok(Some((later, certificate)));
        }
    }
    Ok(None)
}

impl Snapshots {
    /// Takes the state after a block that was just committed, if it is its turn.
    pub fn committed(&self, height: u64, capture: impl FnOnce() -> Capture, reigns: &Arc<Vec<Reign>>) {
        let keeper = self.0.read().clone();
        let Some(keeper) = keeper.filter(|k| k.options.every > 0 && height.is_multiple_of(k.options.every))
        else {
            return;
        };
        if keeper.busy.swap(true, Ordering::AcqRel) {
            tracing::warn!(height, "the snapshot before this one is not done: this one is left out");
            return;
        }
        let (capture, reigns, worker) = (capture(), reigns.clone(), keeper.clone());
        let work = move || {
            let made = worker.make(capture, &reigns);
            worker.busy.store(false, Ordering::Release);
            match made.and_then(|(head, store)| worker.vouch(head).and_then(|()| worker.drop_old(&store))) {
                Ok(()) => return,
                Err(ChainError::Stopped) => {}
                // The chain goes on without.
                Err(error) => tracing::error!(height, %error, "a snapshot could not be made"),
            }
            // The disk may be full; what is left of it otherwise goes at the next start.
            let _ = fs::remove_dir_all(worker.part(height));
        };
        match std::thread::Builder::new().name("snapshot".into()).spawn(work) {
            Ok(thread) => *keeper.making.lock() = Some(thread),
            Err(error) => {
                keeper.busy.store(false, Ordering::Release);
                tracing::error!(height, %error, "a snapshot could not be made");
            }
        }
    }
}

#[cfg(any(test, feature = "testing"))]
impl Snapshots {
    /// Waits for what is being made.
    pub fn made(&self) {
        let making = self.0.read().as_ref().and_then(|keeper| keeper.making.lock().take());
        if let Some(making) = making {
            making.join().expect("snapshots are made without a panic");
        }
    }
}

impl Keeper {
    fn dir(&self, height: u64) -> PathBuf {
        self.options.dir.join(height.to_string())
    }

    fn part(&self, height: u64) -> PathBuf {
        self.dir(height).with_extension("part")
    }

    fn make(&self, capture: Capture, reigns: &[Reign]) -> Result<(SnapshotHead, Arc<Store>), ChainError> {
        let checkpoint = capture.checkpoint;
        let (dir, part) = (self.dir(checkpoint.height.0), self.part(checkpoint.height.0));
        for old in [&dir, &part] {
            if old.exists() {
                fs::remove_dir_all(old).map_err(io(old))?;
            }
        }
        fs::create_dir_all(&part).map_err(io(&part))?;
        let written = capture.write(&part, &self.stop)?.ok_or(ChainError::Stopped)?;
        let store = capture.into_store();
        let (later, certificate) = loop {
            match finality(&store, &checkpoint)? {
                Some(found) => break found,
                None if self.stop.load(Ordering::Relaxed) => return Err(ChainError::Stopped),
                None => std::thread::sleep(LOOK),
            }
        };
        let head = SnapshotHead {
            checkpoint,
            bytes: written.bytes,
            chunks: written.chunks,
            signatures: Vec::new(),
            later,
            certificate,
            hand_overs: hand_overs(&store, reigns, checkpoint.epoch)?,
        };
        write_head(&part, &head)?;
        fs::rename(&part, &dir).map_err(io(&dir))?;
        Ok((head, store))
    }

    /// Takes a snapshot in that was made here, and vouches for it.
    fn vouch(&self, head: SnapshotHead) -> Result<(), ChainError> {
        let (checkpoint, root) = (head.checkpoint, head.root());
        self.hold(head)?;
        let Some((public, key)) = &self.options.key else { return Ok(()) };
        let message = snapshot_message(&checkpoint, &root);
        let Ok(signature) = key.sign(&message).as_slice().try_into() else { return Ok(()) };
        let signed = SnapshotSignature { key: *public, signature };
        // Whoever is no validator of that epoch is not heard.
        self.take(&SnapshotWord { height: checkpoint.height.0, root, signed }).map(|_| ())
    }

    /// Takes a snapshot in that lies in its directory, with those signatures of it that are good.
    fn hold(&self, mut head: SnapshotHead) -> Result<(), ChainError> {
        let validators = head.validators(&self.anchor).map_err(|e| ChainError::Snapshot(e.to_string()))?;
        let root = head.root();
        let message = snapshot_message(&head.checkpoint, &root);
        head.signatures.retain(|SnapshotSignature { key, signature }| {
            validators.index_of(key).is_some() && verify_ed25519(key, &message, signature)
        });
        head.signatures.sort();
        head.signatures.dedup_by_key(|signed| signed.key);
        self.held.lock().insert(head.checkpoint.height.0, Held { head, root, validators });
        Ok(())
    }

    fn take(&self, word: &SnapshotWord) -> Result<Taken, ChainError> {
        let mut all = self.held.lock();
        let Some(held) = all.get_mut(&word.height) else { return Ok(Taken::Idle) };
        let key = word.signed.key;
        let place = match held.head.signatures.binary_search_by_key(&key, |signed| signed.key) {
            Ok(_) if held.root == word.root => return Ok(Taken::Idle),
            Ok(place) | Err(place) => place,
        };
        let message = snapshot_message(&held.head.checkpoint, &word.root);
        if held.validators.index_of(&key).is_none() || !verify_ed25519(&key, &message, &word.signed.signature)
        {
            return Ok(Taken::Bad);
        }
        if held.root != word.root {
            return Ok(Taken::Differs);
        }
        held.head.signatures.insert(place, word.signed);
        write_head(&self.dir(word.height), &held.head)?;
        Ok(Taken::Added)
    }

    /// Removes what newer ones that a quorum signed replace, but for the one that an audit of this store begins with and those
    /// up to which it will be pruned: the first in each quarter of the retention.
    fn drop_old(&self, store: &Store) -> Result<(), ChainError> {
        let begun = store.oldest()?;
        let mut held = self.held.lock();
        let vouched = held.iter().filter(|(_, held)| held.is_vouched_for());
        let Some(newest) = vouched.rev().nth(KEPT - 1).map(|(height, _)| *height) else { return Ok(()) };
        let slot = self.options.retention.map(|retention| (retention.as_millis() as u64 / SLOTS).max(1));
        let mut slots = BTreeSet::new();
        let mut is_old = |height: u64, held: &Held| {
            let next = height > begun
                && held.is_vouched_for()
                && slot.is_some_and(|slot| slots.insert(held.head.checkpoint.time_ms / slot));
            height < newest && height != begun && !next
        };
        let old: Vec<u64> = held.iter().filter(|(h, held)| is_old(**h, held)).map(|(h, _)| *h).collect();
        for height in old {
            held.remove(&height);
            let dir = self.dir(height);
            fs::remove_dir_all(&dir).map_err(io(&dir))?;
        }
        Ok(())
    }

    /// What lies in the directory already.
    fn load(&self) -> Result<(), ChainError> {
        let dir = &self.options.dir;
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(rows::disk(error, dir)),
        };
        for entry in entries {
            let path = entry.map_err(io(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(".part") {
                fs::remove_dir_all(&path).map_err(io(&path))?;
            } else if name.parse::<u64>().is_ok()
                && let Err(error) = read_head(&path).and_then(|head| self.hold(head))
            {
                tracing::warn!(path = %path.display(), %error, "a snapshot is left aside");
            }
        }
        Ok(())
    }
}

impl Ledger {
    /// Makes and serves snapshots from now on.
    pub fn keep_snapshots(&self, options: SnapshotOptions) -> Result<(), ChainError> {
        let keeper = Keeper {
            options,
            anchor: self.spec().anchor.clone(),
            held: Mutex::default(),
            making: Mutex::default(),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        };
        keeper.load()?;
        *self.0.snapshots.0.write() = Some(Arc::new(keeper));
        Ok(())
    }

    /// Ends what is being made; the store is free of it when this returns.
    pub fn stop_snapshots(&self) {
        let Some(keeper) = self.0.snapshots.0.write().take() else { return };
        keeper.stop.store(true, Ordering::Relaxed);
        if let Some(making) = keeper.making.lock().take() {
            // A panic was printed.
            let _ = making.join();
        }
    }

    /// What this node's validator says of its newest snapshot.
    pub fn snapshot_word(&self) -> Option<SnapshotWord> {
        let keeper = self.0.snapshots.0.read().clone()?;
        let key = keeper.options.key.as_ref()?.0;
        let held = keeper.held.lock();
        let (height, newest) = held.last_key_value()?;
        let signed = newest.head.signatures.iter().find(|signed| signed.key == key)?;
        Some(SnapshotWord { height: *height, root: newest.root, signed: *signed })
    }

    /// Takes a validator's word for a snapshot in.
    pub fn take_snapshot_word(&self, word: &SnapshotWord) -> Result<Taken, ChainError> {
        let keeper = self.0.snapshots.0.read().clone();
        let Some(keeper) = keeper else { return Ok(Taken::Idle) };
        let taken = keeper.take(word)?;
        if taken == Taken::Added {
            keeper.drop_old(&self.0.store)?;
        }
        Ok(taken)
    }
}

impl Reader {
    /// The snapshots that are held here, oldest first.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let Some(keeper) = self.keeper() else { return Vec::new() };
        let held = keeper.held.lock();
        let info = |held: &Held| SnapshotInfo {
            checkpoint: held.head.checkpoint,
            root: held.root,
            chunks: held.head.chunks.len(),
            bytes: held.head.bytes,
            signatures: held.head.signatures.len(),
            quorum: held.validators.quorum(),
        };
        held.values().map(info).collect()
    }

    /// The head of the snapshot after a block.
    pub fn snapshot_head(&self, height: u64) -> Option<Vec<u8>> {
        Some(self.keeper()?.held.lock().get(&height)?.head.encode())
    }

    /// A chunk of it.
    pub fn snapshot_chunk(&self, height: u64, index: usize) -> Result<Option<Vec<u8>>, ChainError> {
        let Some(keeper) = self.keeper() else { return Ok(None) };
        let known = keeper.held.lock().get(&height).is_some_and(|held| index < held.head.chunks.len());
        if known { read_chunk(&keeper.dir(height), index).map(Some) } else { Ok(None) }
    }

    fn keeper(&self) -> Option<Arc<Keeper>> {
        self.ledger.0.snapshots.0.read().clone()
    }
}
