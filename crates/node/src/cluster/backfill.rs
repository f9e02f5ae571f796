//! The log's hashes from before a snapshot, asked for one run of tiles at a time, of one node after the other.
//!
//! Each run is checked when it comes (`triad_chain::Backfill`), so it matters little who sends it: whoever sends nothing, or what
//! is not the log's, is not asked again for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use triad_chain::{Backfill, TileRun};
use triad_consensus::Told;

use super::message::Message;
use super::peers::SILENT_AFTER;
use super::{Cluster, tell};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a node that had no answer is not asked again.
const SHUN: Duration = Duration::from_secs(30);
const SAY: Duration = Duration::from_secs(5);

type Key = [u8; 32];

/// The answer that is waited for, and whether somebody else's question is being answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    expected: Mutex<Option<(Key, TileRun)>>,
    answer: Mutex<Option<Bytes>>,
    came: Notify,
    busy: Arc<AtomicBool>,
}

impl Answers {
    /// Whatever nobody asked for is let go.
    pub(super) fn came(&self, from: Key, level: u8, first: u64, bytes: Bytes) {
        let expected = self.expected.lock();
        if expected.is_some_and(|(key, run)| key == from && (run.level, run.first) == (level, first)) {
            *self.answer.lock() = Some(bytes);
            self.came.notify_one();
        }
    }

    async fn ask(&self, of: Key, run: TileRun, out: &mpsc::Sender<Told>) -> Option<Bytes> {
        *self.expected.lock() = Some((of, run));
        *self.answer.lock() = None;
        let question = Told { to: Some(of), bytes: Message::Ask(run).encode() };
        let answer = async {
            out.send(question).await.ok()?;
            loop {
                self.came.notified().await;
                if let Some(answer) = self.answer.lock().take() {
                    return Some(answer);
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await.ok().flatten();
        *self.expected.lock() = None;
        answer.filter(|bytes| !bytes.is_empty())
    }
}

impl Cluster {
    /// Fetches what is missing, and returns when nothing is.
    pub(super) async fn backfill(&self, out: mpsc::Sender<Told>) {
        let ledger = self.ledger.clone();
        let mut work = match tokio::task::spawn_blocking(move || ledger.backfill()).await {
            Ok(Ok(Some(work))) => work,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return tracing::error!(%error, "the log's older hashes cannot be looked for"),
            Err(error) => return tracing::error!(%error, "the log's older hashes cannot be looked for"),
        };
        let mut shunned: BTreeMap<Key, Instant> = BTreeMap::new();
        let mut said: Option<Instant> = None;
        while let Some(run) = work.wanted() {
            let Some(peer) = self.whom_to_ask(&mut shunned) else {
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            if said.is_none_or(|at| at.elapsed() > SAY) {
                tell(&format!("fetching the log's older hashes: {} KiB to come", work.remaining() * 8));
                said = Some(Instant::now());
            }
            let Some(bytes) = self.tiles.ask(peer, run, &out).await else {
                shunned.insert(peer, Instant::now());
                continue;
            };
            let put = move || {
                let mut work: Backfill = work;
                let taken = work.put(&bytes);
                (work, taken)
            };
            let Ok((again, taken)) = tokio::task::spawn_blocking(put).await else { return };
            work = again;
            match taken {
                Ok(true) => {}
                Ok(false) => {
                    self.counts.malformed.fetch_add(1, Relaxed);
                    tracing::warn!(peer = %hex::encode(peer), ?run, "hashes that are not the log's");
                    shunned.insert(peer, Instant::now());
                }
                Err(error) => return tracing::error!(%error, "the log's older hashes cannot be kept"),
            }
        }
        tell("the log's older hashes are all here");
    }

    /// The node in reach that keeps most, of those that were not asked in vain.
    fn whom_to_ask(&self, shunned: &mut BTreeMap<Key, Instant>) -> Option<Key> {
        shunned.retain(|_, since| since.elapsed() < SHUN);
        let now = Instant::now();
        let known = self.known_oldest();
        let mut reachable: Vec<(u64, Key)> = known
            .into_iter()
            .filter(|(key, _)| !shunned.contains_key(key))
            .filter(|(key, _)| {
                let heard = self.peers.heard(key);
                heard.is_some_and(|heard| now.saturating_duration_since(heard.at) < SILENT_AFTER)
            })
            .map(|(key, oldest)| (oldest, key))
            .collect();
        reachable.sort_unstable();
        reachable.first().map(|(_, key)| *key)
    }

    /// Answers one question at a time; whoever asks meanwhile asks again, or somebody else.
    pub(super) fn answer(&self, from: Key, run: TileRun, out: &mpsc::Sender<Told>) {
        if self.tiles.busy.swap(true, Relaxed) {
            return;
        }
        let (ledger, busy, out) = (self.ledger.clone(), self.tiles.busy.clone(), out.clone());
        tokio::task::spawn_blocking(move || {
            let bytes = match ledger.tiles(run) {
                Ok(found) => found.unwrap_or_default(),
                Err(error) => {
                    tracing::error!(%error, "tiles of the log cannot be read");
                    Vec::new()
                }
            };
            let (level, first) = (run.level, run.first);
            let answer = Message::Tiles { level, first, bytes: bytes.into() }.encode();
            // Dropped where the network is slower: it will be asked for again.
            let _ = out.try_send(Told { to: Some(from), bytes: answer });
            busy.store(false, Relaxed);
        });
    }
}
