//! What nodes tell each other of what they keep: from which block on, and their validator's word for its newest snapshot.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use triad_chain::{Reader, SnapshotWord, Taken};
use triad_consensus::Told;

use super::message::{Keeps, Message};
use super::peers::SILENT_AFTER;
use super::{Cluster, tell};

const TELL: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(200);

/// The oldest block of each peer, as it says.
#[derive(Debug, Default)]
pub(super) struct Oldest(Mutex<BTreeMap<[u8; 32], u64>>);

impl Cluster {
    /// Says what this node keeps when that changes, and now and then, until the network ends.
    pub(super) async fn say_what_is_kept(&self, out: mpsc::Sender<Told>) {
        let reader = Reader::new(self.ledger.clone());
        let mut said = Keeps::default();
        let mut when = Instant::now();
        loop {
            let keeps = Keeps { oldest: reader.oldest(), word: self.ledger.snapshot_word() };
            if keeps != said || when.elapsed() >= TELL {
                // The next one will do.
                let _ = out.try_send(Told::all(Message::Keeps(keeps).encode()));
                (said, when) = (keeps, Instant::now());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn hear_what_is_kept(&self, from: [u8; 32], keeps: Keeps) {
        self.oldest.0.lock().insert(from, keeps.oldest);
        let Some(word) = keeps.word else { return };
        let ledger = self.ledger.clone();
        // Writes a small file.
        let taken = tokio::task::spawn_blocking(move || ledger.take_snapshot_word(&word)).await;
        match taken {
            Ok(Ok(Taken::Added | Taken::Idle)) => {}
            Ok(Ok(Taken::Bad)) => {
                self.counts.malformed.fetch_add(1, Relaxed);
            }
            Ok(Ok(Taken::Differs)) => self.differs(&word),
            Ok(Err(error)) => tracing::warn!(%error, "a word for a snapshot could not be kept"),
            Err(error) => tracing::warn!(%error, "a word for a snapshot could not be kept"),
        }
    }

    /// One of the two computes wrongly; nothing is more urgent to find out.
    fn differs(&self, word: &SnapshotWord) {
        if self.counts.differing.fetch_max(word.height, Relaxed) < word.height {
            tell(&format!(
                "validator {} vouches for another state after block {} (0x{}): one of us computes wrongly. Audit both with \
                 `triad audit`",
                self.called(&word.signed.key),
                word.height,
                hex::encode(word.root)
            ));
        }
    }

    /// The oldest block of each peer, as far as it said.
    pub(super) fn known_oldest(&self) -> Vec<([u8; 32], u64)> {
        self.oldest.0.lock().iter().map(|(key, oldest)| (*key, *oldest)).collect()
    }

    fn called(&self, key: &[u8; 32]) -> String {
        self.name_of(key).unwrap_or_else(|| hex::encode(key))
    }

    /// A node in reach that keeps more of the past than this one, and its API.
    pub fn elsewhere(&self) -> Option<(String, String)> {
        let own = Reader::new(self.ledger.clone()).oldest();
        let (now, oldest) = (Instant::now(), self.oldest.0.lock());
        let further = oldest.iter().filter(|(_, oldest)| **oldest < own);
        let mut reachable: Vec<(u64, [u8; 32], String)> = further
            .filter_map(|(key, oldest)| {
                let heard = self.peers.heard(key)?;
                let here = now.saturating_duration_since(heard.at) < SILENT_AFTER;
                (here && !heard.hello.http.is_empty()).then_some((*oldest, *key, heard.hello.http))
            })
            .collect();
        reachable.sort();
        let (_, key, http) = reachable.into_iter().next()?;
        Some((self.called(&key), format!("http://{http}")))
    }
}
