//! A node among others: it tells them what its doors accepted and how far it is, hears the same from them, and knows from
//! that whether it may take work.
//!
//! - What a door accepted goes to all other nodes, in messages of up to 256 KiB, and through the receiver's own verifying
//!   queue. Each peer is a source of its own ([`Submitter::peer`]): one that relays bad signatures is slowed down alone.
//!   It is relayed by the node that took it, and may be lost: what then waits for more than a second is relayed again, a little
//!   each second, and that node proposes it when it leads. Identities make duplicates harmless: the pool keeps one entry an identity, a block holds each number once.
//! - Each half second every node says its height and its clock. Whoever hears fewer than a quorum shuts its gate
//!   (`no-quorum`), whoever lacks more than [`peers::MAX_LAG`] blocks that an honest node has, too (`catching-up`).

mod backfill;
mod evidence;
mod kept;
pub mod message;
pub mod peers;
mod recent;
mod report;
mod roster;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use triad_chain::outline::{ItemName, item_name};
use triad_chain::{Gate, Ledger, Reign, Submitter, Work, clock_ms};
use triad_consensus::{EvidenceStore, Gossip, Heard, Stats, Told};

use message::{Hello, MAX_WORK_BYTES, Message};
pub use peers::{Member, Peers, Standing};
pub use recent::Recent;
pub use roster::Roster;

const HELLO: Duration = Duration::from_millis(500);
/// Least time between two messages of work: the network carries 128 messages a second to a peer and drops what is more, and
/// meanwhile the next message grows.
const PACE: Duration = Duration::from_millis(10);
/// What has waited for so long is relayed again, at most so many of each kind at a time.
const OVERDUE: Duration = Duration::from_secs(1);
const OVERDUE_ITEMS: usize = 64;
const WATCH: Duration = Duration::from_millis(100);
/// How long a node that starts waits for the others before it says that they are missing.
const PATIENCE: Duration = Duration::from_secs(5);
/// Work between the doors and the network.
const OUTBOX: usize = 16_384;
/// Messages of one peer that wait for the verifiers; more are dropped, its own doors keep them.
const INBOX: usize = 64;

/// Statements and transactions of one message.
type Batch = (Vec<Bytes>, Vec<Bytes>);

/// What was gossiped.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    pub dropped: AtomicU64,
    pub malformed: AtomicU64,
    /// Height of the newest snapshot that another validator vouches for differently.
    pub differing: AtomicU64,
}

/// Cheap to clone through its `Arc`.
pub struct Cluster {
    pub peers: Peers,
    roster: Roster,
    pub(crate) counts: Counts,
    pub(crate) stats: Arc<Stats>,
    evidence: Arc<EvidenceStore>,
    ledger: Ledger,
    program: String,
    oldest: kept::Oldest,
    tiles: backfill::Answers,
    recent: Arc<Recent>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("members", &self.peers.members().len()).finish_non_exhaustive()
    }
}

impl Cluster {
    pub fn new(
        own: [u8; 32],
        roster: Roster,
        ledger: Ledger,
        consensus: &triad_consensus::Handle,
        recent: Arc<Recent>,
    ) -> Arc<Cluster> {
        let members = ledger.reigns().last().map(|reign| roster.members(reign)).unwrap_or_default();
        Arc::new(Cluster {
            peers: Peers::new(own, members),
            roster,
            counts: Counts::default(),
            stats: consensus.stats(),
            evidence: consensus.evidence(),
            ledger,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            oldest: kept::Oldest::default(),
            tiles: backfill::Answers::default(),
            recent,
        })
    }

    pub fn standing(&self) -> Standing {
        self.peers.standing(self.ledger.height(), Instant::now())
    }

    /// Talks and listens until the network or the runtime ends. `http` is where this node's API listens.
    pub async fn run(
        self: Arc<Self>,
        gossip: Gossip,
        submitter: Submitter,
        gate: Arc<Gate>,
        http: Option<SocketAddr>,
    ) {
        let (work, outgoing) = mpsc::channel(OUTBOX);
        self.ledger.send_work_to(work);
        let Gossip { out, heard, .. } = gossip;
        tokio::join!(
            self.relay(outgoing, out.clone()),
            self.say_what_is_kept(out.clone()),
            self.backfill(out.clone()),
            self.say_hello(out.clone(), http.map(|a| a.to_string()).unwrap_or_default()),
            self.listen(heard, submitter, out),
            self.watch(gate),
        );
    }

    async fn say_hello(&self, out: mpsc::Sender<Told>, http: String) {
        loop {
            let hello = Hello {
                program: self.program.clone(),
                height: self.ledger.height(),
                tip: self.stats.snapshot().tip,
                time_ms: clock_ms(),
                http: http.clone(),
            };
            // The next one will do.
            let _ = out.try_send(Told::all(Message::Hello(hello).encode()));
            tokio::time::sleep(HELLO).await;
        }
    }

    /// Takes whatever has come meanwhile into one message, so messages grow under load.
    async fn relay(&self, mut outgoing: mpsc::Receiver<Work>, out: mpsc::Sender<Told>) {
        let mut out = Paced { out, next: tokio::time::Instant::now() };
        let mut ready: Vec<Work> = Vec::new();
        let mut look = tokio::time::interval(OVERDUE);
        let mut waited: HashSet<ItemName> = HashSet::new();
        loop {
            tokio::select! {
                taken = outgoing.recv_many(&mut ready, 2048) => if taken == 0 { return },
                _ = look.tick() => {
                    let all = self.ledger.waiting_work(OVERDUE, OVERDUE_ITEMS);
                    let names: Vec<ItemName> = all.iter().map(|work| item_name(work.bytes())).collect();
                    // Seen a look ago, too.
                    ready.extend(all.into_iter().zip(&names).filter(|(_, n)| waited.contains(*n)).map(|(w, _)| w));
                    waited = names.into_iter().collect();
                }
            }
            let (mut statements, mut transactions, mut bytes) = (Vec::new(), Vec::new(), 0);
            for work in ready.drain(..) {
                let size = 5 + match &work {
                    Work::Statement(item) | Work::Transaction(item) => item.len(),
                };
                if bytes + size > MAX_WORK_BYTES {
                    self.send(&mut out, std::mem::take(&mut statements), std::mem::take(&mut transactions))
                        .await;
                    bytes = 0;
                }
                if size > MAX_WORK_BYTES {
                    continue;
                }
                bytes += size;
                match work {
                    Work::Statement(item) => statements.push(item),
                    Work::Transaction(item) => transactions.push(item),
                }
            }
            self.send(&mut out, statements, transactions).await;
        }
    }

    async fn send(&self, out: &mut Paced, statements: Vec<Bytes>, transactions: Vec<Bytes>) {
        let items = (statements.len() + transactions.len()) as u64;
        if items == 0 {
            return;
        }
        // Copied: a door's statement may be a small part of a large buffer.
        let own: Vec<Bytes> =
            statements.iter().chain(&transactions).map(|item| Bytes::copy_from_slice(item)).collect();
        let message = Message::Work { statements, transactions }.encode();
        match out.send(message).await {
            Ok(()) => {
                self.recent.add(&own);
                self.counts.sent.fetch_add(items, Relaxed)
            }
            Err(_) => self.counts.dropped.fetch_add(items, Relaxed),
        };
    }

    async fn listen(&self, mut heard: mpsc::Receiver<Heard>, submitter: Submitter, out: mpsc::Sender<Told>) {
        let mut inboxes: BTreeMap<[u8; 32], mpsc::Sender<Batch>> = BTreeMap::new();
        while let Some(Heard { from, bytes }) = heard.recv().await {
            match Message::decode(&bytes) {
                Ok(Message::Hello(hello)) => self.peers.hear(from, hello, Instant::now(), clock_ms()),
                Ok(Message::Keeps(keeps)) => self.hear_what_is_kept(from, keeps).await,
                Ok(Message::Ask(run)) => self.answer(from, run, &out),
                Ok(Message::Tiles { level, first, bytes }) => self.tiles.came(from, level, first, bytes),
                Ok(Message::Work { statements, transactions }) => {
                    let items = (statements.len() + transactions.len()) as u64;
                    self.counts.received.fetch_add(items, Relaxed);
                    self.recent.add(&statements);
                    self.recent.add(&transactions);
                    let inbox = inboxes.entry(from).or_insert_with(|| inbox(submitter.peer()));
                    if inbox.try_send((statements, transactions)).is_err() {
                        self.counts.dropped.fetch_add(items, Relaxed);
                    }
                }
                Err(error) => {
                    self.counts.malformed.fetch_add(1, Relaxed);
                    tracing::debug!(from = %hex::encode(from), %error, "a message is not understood");
                }
            }
        }
    }

    /// Takes in what the chain says of its validators, and says so.
    fn keep_roster(&self, told: &mut Arc<Vec<Reign>>) {
        let now = self.ledger.reigns();
        if Arc::ptr_eq(&now, told) {
            return;
        }
        let Some(reign) = now.last() else { return };
        let epoch = now.len() - 1;
        self.peers.are(self.roster.members(reign));
        let names = |members: &[triad_chain::ChainMember]| {
            members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        match reign.last {
            Some(last) => tell(&format!(
                "epoch {epoch} ends with block {last}; the validators after it: {}",
                names(&reign.next)
            )),
            None => tell(&format!("epoch {epoch} begins; the validators: {}", names(&reign.validators))),
        }
        *told = now;
    }

    /// Opens and shuts the gate, and tells the operator when something changes.
    async fn watch(&self, gate: Arc<Gate>) {
        let mut told = self.ledger.reigns();
        let (mut had_quorum, mut was_behind, mut was_wrong) = (None, false, false);
        let started = Instant::now();
        loop {
            self.keep_roster(&mut told);
            let now = self.standing();
            let has_quorum = now.has_quorum();
            if !has_quorum {
                gate.shut_as("no-quorum", report::no_quorum(&now));
            } else {
                gate.open_as("no-quorum");
            }
            // At first the others may still be starting.
            let patient = had_quorum.is_none() && !has_quorum && started.elapsed() < PATIENCE;
            if had_quorum != Some(has_quorum) && !patient {
                if has_quorum {
                    tell(&format!("{} validators are in reach: the node takes work", now.connected));
                } else {
                    tell(&report::no_quorum(&now));
                }
                had_quorum = Some(has_quorum);
            }
            let behind = now.is_behind();
            if behind {
                gate.shut_as("catching-up", report::behind(&now, self.ledger.height()));
            } else if was_behind {
                gate.open_as("catching-up");
            }
            if behind != was_behind {
                let height = self.ledger.height();
                if behind {
                    tell(&report::behind(&now, height));
                } else {
                    tell(&format!("caught up at block {height}"));
                }
                was_behind = behind;
            }
            if now.has_wrong_clock() != was_wrong {
                was_wrong = now.has_wrong_clock();
                if was_wrong {
                    tell(&report::wrong_clock(&now));
                }
            }
            tokio::time::sleep(WATCH).await;
        }
    }
}

/// Sends to all, not more often than the network carries.
struct Paced {
    out: mpsc::Sender<Told>,
    next: tokio::time::Instant,
}

impl Paced {
    async fn send(&mut self, message: Bytes) -> Result<(), mpsc::error::SendError<Told>> {
        tokio::time::sleep_until(self.next).await;
        self.next = tokio::time::Instant::now() + PACE;
        self.out.send(Told::all(message)).await
    }
}

fn tell(what: &str) {
    tracing::info!("{what}");
    eprintln!("triad: {what}");
}

/// Submits what one peer relays, one message after the other, as fast as the verifiers take it.
fn inbox(source: Submitter) -> mpsc::Sender<Batch> {
    let (sender, mut messages) = mpsc::channel::<Batch>(INBOX);
    tokio::spawn(async move {
        while let Some((statements, transactions)) = messages.recv().await {
            for statement in statements {
                // Nobody here waits for the answer.
                drop(source.submit(statement).await);
            }
            for transaction in transactions {
                if let Err(refusal) = source.transaction(&transaction) {
                    tracing::debug!(%refusal, "a relayed transaction is not taken");
                }
            }
        }
    });
    sender
}
