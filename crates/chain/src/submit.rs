//! From a door's bytes to a waiting, verified statement: parse, look the signer up, verify in batches, queue.
//!
//! Every caller hears one of: final (after the commit is on disk), refused with a reason. Whoever stops listening
//! harms nobody. Batches grow by themselves under load: a worker takes whatever has come while it was busy.
//!
//! One bad signature makes a batch fail, and finding it costs as much again. So statements are kept apart by what their
//! *source* has shown so far ([`Submitter::source`]): sources that have proven themselves share a batch, those that have
//! not yet (all new ones, so that coming again under another name gains nothing) share another, and a source that sent
//! a bad signature waits in the slow lane (`crate::apart`) until it has behaved for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy_consensus::Transaction;
use alloy_primitives::{B256, KECCAK256_EMPTY};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use triad_evm::{RecoveredTx, StateView};
use triad_statement::{DeviceKey, Statement, verify_batch};

use crate::admission::{self, Number, Verified};
use crate::apart::{Apart, Standing};
use crate::error::{ChainError, Refusal, RefusalClass};
use crate::execute::{check_attestation, holds};
use crate::gate::Gate;
use crate::genesis::ATTESTED_MODELS_RULE;
use crate::ledger::Ledger;
use crate::mempool::{Accepted, Answer, Waiter};
use crate::outbox::Work;
use crate::state::records::Scheduled;
use crate::txpool::{SenderState, TxRefusal};
use crate::verify::{bad_signature, malformed};

/// Statements between the doors and the verifiers.
const QUEUE: usize = 32_768;
/// What an account's code begins with that has delegated itself (EIP-7702).
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];
/// Signatures verified at once.
const MAX_BATCH: usize = 2048;

/// A statement on its way to a verifier.
pub(crate) struct Arrived {
    pub bytes: Bytes,
    pub waiter: Waiter,
    pub source: Arc<Standing>,
    /// Another node sent it, and sent it to all.
    pub relayed: bool,
}

/// Hands statements and transactions in. Cheap to clone; clones are one source.
#[derive(Clone, Debug)]
pub struct Submitter {
    ledger: Ledger,
    queue: mpsc::Sender<Arrived>,
    apart: Apart,
    standing: Arc<Standing>,
    gate: Arc<Gate>,
    relayed: bool,
}

impl Submitter {
    /// Starts `workers` verifying threads; they end when the last submitter is gone.
    pub fn start(ledger: Ledger, workers: usize) -> std::io::Result<Submitter> {
        let (queue, incoming) = mpsc::channel(QUEUE);
        let incoming = Arc::new(Mutex::new(Incoming { queue: incoming, taken: 0 }));
        let turns = Arc::new(Mutex::new(Turns::default()));
        let apart = Apart::start(ledger.clone())?;
        for n in 0..workers.max(1) {
            let (ledger, incoming, turns) = (ledger.clone(), incoming.clone(), turns.clone());
            std::thread::Builder::new()
                .name(format!("verify-{n}"))
                .spawn(move || worker(&ledger, &incoming, &turns))?;
        }
        Ok(Submitter { ledger, queue, apart, standing: Arc::default(), gate: Arc::default(), relayed: false })
    }

    /// A handle for another source of statements, of which nothing is known yet: a door makes one for each connection
    /// (or for each address, where connections come and go).
    pub fn source(&self) -> Submitter {
        Submitter { standing: Arc::default(), ..self.clone() }
    }

    /// A handle for what another node relays: it is verified as anything else, but not relayed again, and passes a shut
    /// gate, since it will come in a block anyway.
    pub fn peer(&self) -> Submitter {
        Submitter { relayed: true, ..self.source() }
    }

    /// What all sources pass; shut it to make the node read-only.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether bad signatures came from this source lately, so that its statements are verified apart and slowly.
    pub fn is_suspect(&self) -> bool {
        self.standing.is_suspect()
    }

    /// Hands over one encoded statement; waits only for queue space, and if this source sent bad signatures for at most
    /// five seconds. The receiver resolves when the statement is final and stored, or refused.
    pub async fn submit(&self, statement: Bytes) -> oneshot::Receiver<Answer> {
        let (waiter, answer) = oneshot::channel();
        if !self.relayed
            && let Some(refusal) = self.gate.refusal()
        {
            refuse(&self.ledger, waiter, refusal);
            return answer;
        }
        let source = self.standing.clone();
        let arrived = Arrived { bytes: statement, waiter, source, relayed: self.relayed };
        if self.standing.is_suspect() {
            self.apart.wait(&self.ledger, arrived).await;
        } else if let Err(mpsc::error::SendError(arrived)) = self.queue.send(arrived).await {
            let _ = arrived.waiter.send(Err(stopping()));
        }
        answer
    }

    /// Submits and waits for the answer.
    pub async fn statement(&self, statement: Bytes) -> Answer {
        self.submit(statement).await.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Checks a raw transaction against the final state and queues it.
    pub fn transaction(&self, raw: &[u8]) -> Result<B256, TxRefusal> {
        self.add_transaction(raw, false)
    }

    /// The same, but refuses a transaction that would have to wait for others of its sender.
    pub fn ready_transaction(&self, raw: &[u8]) -> Result<B256, TxRefusal> {
        self.add_transaction(raw, true)
    }

    fn add_transaction(&self, raw: &[u8], ready: bool) -> Result<B256, TxRefusal> {
        if !self.relayed
            && let Some(why) = self.gate.why()
        {
            return Err(TxRefusal::Unavailable(why));
        }
        let hash = queue_transaction(&self.ledger, raw, ready)?;
        if !self.relayed && self.ledger.0.outbox.is_open() {
            self.ledger.0.outbox.send(Work::Transaction(Bytes::copy_from_slice(raw)));
        }
        Ok(hash)
    }
}

/// See [`Submitter::transaction`].
pub(crate) fn queue_transaction(ledger: &Ledger, raw: &[u8], ready: bool) -> Result<B256, TxRefusal> {
    let tx = triad_evm::recover(raw)?;
    let hash = *tx.tx_hash();
    let state = acceptable(ledger, &tx)?;
    if ready {
        let next = ledger.0.pool.txs().pending_nonce(&tx.signer(), state.nonce);
        if tx.nonce() > next {
            return Err(TxRefusal::NonceGap { next, found: tx.nonce() });
        }
    }
    if ledger.0.pool.add_transaction(tx, state)? {
        ledger.0.work.notify_one();
    }
    Ok(hash)
}

/// Whether a transaction can stand in a block at all; its sender's state if so.
fn acceptable(ledger: &Ledger, tx: &RecoveredTx) -> Result<SenderState, TxRefusal> {
    let genesis = &ledger.spec().genesis;
    crate::txpool::check(tx, genesis)?;
    let open = ledger.committed();
    let state = open.state(&ledger.0.store);
    let unavailable = |e: triad_evm::StateError| TxRefusal::Unavailable(e.to_string());
    let account = state.account(&tx.signer()).map_err(unavailable)?.unwrap_or_default();
    let code = match account.code_hash == KECCAK256_EMPTY {
        true => None,
        false => state.code(&account.code_hash).map_err(unavailable)?,
    };
    let delegated = match code {
        None => false,
        // EIP-3607: an account with code that is no delegation signs nothing.
        Some(code) if !code.starts_with(&DELEGATION) => {
            return Err(TxRefusal::Signature(format!("{} is a contract", tx.signer())));
        }
        Some(_) => true,
    };
    Ok(SenderState { nonce: account.nonce, balance: account.balance, delegated })
}

pub(crate) fn stopping() -> Refusal {
    Refusal::new(
        RefusalClass::Unavailable,
        "stopping",
        "the node is going down: send it again, here or elsewhere",
    )
}

/// What the verifiers take from, and how many batches they took.
struct Incoming {
    queue: mpsc::Receiver<Arrived>,
    taken: u64,
}

/// Hands batches to the pool in the order in which they were taken, whichever is verified first: a model has no use for a
/// reading that comes after a newer one of its stream.
#[derive(Default)]
pub(crate) struct Turns {
    next: u64,
    /// Verified batches whose turn has not come: fewer than there are verifiers.
    early: BTreeMap<u64, Fresh>,
}

impl Turns {
    pub fn done(&mut self, ledger: &Ledger, turn: u64, batch: Fresh) {
        self.early.insert(turn, batch);
        while let Some(batch) = self.early.remove(&self.next) {
            self.next += 1;
            hand_over(ledger, batch);
        }
    }
}

fn worker(ledger: &Ledger, incoming: &Mutex<Incoming>, turns: &Mutex<Turns>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    loop {
        // One worker waits; the others are busy, or wait for it.
        let mut from = incoming.lock();
        if from.queue.blocking_recv_many(&mut batch, MAX_BATCH) == 0 {
            return;
        }
        let turn = from.taken;
        from.taken += 1;
        drop(from);
        let started = std::time::Instant::now();
        let (mut proven, mut untried) = (Vec::with_capacity(batch.len()), Vec::new());
        for arrived in batch.drain(..) {
            // A suspect's among the untried: it was sent before its source was caught, and there are at most a queue of them.
            if arrived.source.is_proven() { proven.push(arrived) } else { untried.push(arrived) }
        }
        // A source that another verifier proves meanwhile has its earlier statements among the untried: they stay first.
        let mut fresh = verified(ledger, untried);
        fresh.extend(verified(ledger, proven));
        turns.lock().done(ledger, turn, fresh);
        ledger.0.metrics.verify_seconds.inc_by(started.elapsed().as_secs_f64());
        ledger.0.metrics.waiting.set(ledger.0.pool.len().0 as i64);
    }
}

pub(crate) fn refuse(ledger: &Ledger, waiter: Waiter, refusal: Refusal) {
    ledger.0.metrics.refuse(refusal.code);
    let _ = waiter.send(Err(refusal));
}

/// A statement whose signer is known, its source, and whether another node relayed it.
type Known = (Statement, Arc<DeviceKey>, Waiter, Arc<Standing>, bool);

/// Verified statements that were not seen before, with whoever waits for them.
pub(crate) type Fresh = Vec<(Arc<Verified>, Waiter)>;

/// Verifies statements in one batch; all but the fresh ones are answered.
pub(crate) fn verified(ledger: &Ledger, batch: Vec<Arrived>) -> Fresh {
    if batch.is_empty() {
        return Vec::new();
    }
    let open = ledger.committed();
    let (view, checked_at) = (&open.parent.view, open.parent.checkpoint.height.0);
    let mut known: Vec<Known> = Vec::with_capacity(batch.len());
    for Arrived { bytes, waiter, source, relayed } in batch {
        let statement = match Statement::parse(bytes) {
            Ok(statement) => statement,
            Err(error) => {
                refuse(ledger, waiter, malformed(&error));
                continue;
            }
        };
        match admission::signer_key(view, &statement) {
            Ok(Ok(key)) => known.push((statement, key, waiter, source, relayed)),
            Ok(Err(refusal)) => refuse(ledger, waiter, refusal),
            Err(error) => refuse(ledger, waiter, internal(&error)),
        }
    }
    let items: Vec<(&Statement, &DeviceKey)> = known.iter().map(|(s, k, ..)| (s, k.as_ref())).collect();
    let good = verify_batch(&items);
    let now = ledger.now_ms();
    let streams = ledger.spec().genesis.limits.device_streams;
    let attested = match view.get::<Scheduled>(&0) {
        Ok(scheduled) => holds(ledger.spec(), scheduled.as_ref(), ATTESTED_MODELS_RULE, checked_at + 1),
        // Whoever sends verdicts hears of the failure when bindings are looked up.
        Err(_) => true,
    };
    let mut fresh = Vec::with_capacity(known.len());
    let gossip = ledger.0.outbox.is_open();
    for ((statement, key, waiter, source, relayed), good) in known.into_iter().zip(good) {
        if !good {
            if source.caught() {
                ledger.0.metrics.sources_caught.inc();
            }
            refuse(ledger, waiter, bad_signature(&statement));
            continue;
        }
        source.proved();
        let settled = match admission::number(view, &statement) {
            Ok(Ok(Number::Fresh(_))) => None,
            Ok(Ok(number)) => Some(held(ledger, &statement, matches!(number, Number::TooOld))),
            Ok(Err(refusal)) => Some(Err(refusal)),
            Err(error) => Some(Err(internal(&error))),
        };
        let settled = settled.or_else(|| match admission::check_readings(view, &statement, now, streams) {
            Ok(Ok(_)) => None,
            Ok(Err(refusal)) => Some(Err(refusal)),
            Err(error) => Some(Err(internal(&error))),
        });
        let settled = settled.or_else(|| match check_attestation(view, attested, &statement) {
            Ok(Ok(_)) => None,
            Ok(Err(refusal)) => Some(Err(refusal)),
            Err(error) => Some(Err(internal(&error))),
        });
        match settled {
            None => {
                let key = key.fingerprint();
                if gossip && !relayed {
                    ledger.0.outbox.send(Work::Statement(statement.bytes().clone()));
                }
                fresh.push((Arc::new(Verified { statement, key, checked_at }), waiter));
            }
            Some(Err(refusal)) => refuse(ledger, waiter, refusal),
            Some(Ok(accepted)) => {
                let _ = waiter.send(Ok(accepted));
            }
        }
    }
    fresh
}

/// Gives statements to the pool.
pub(crate) fn hand_over(ledger: &Ledger, fresh: Fresh) {
    if !fresh.is_empty() {
        ledger.0.pool.add(fresh);
        ledger.0.work.notify_one();
    }
}

fn internal(error: &ChainError) -> Refusal {
    tracing::error!(%error, "a statement could not be looked up");
    Refusal::new(RefusalClass::Internal, "internal", "the node failed; its log says why")
}

/// What is said to a number that was used: the leaf, if it is this very statement.
pub(crate) fn held(ledger: &Ledger, statement: &Statement, too_old: bool) -> Answer {
    let store = &ledger.0.store;
    let found =
        ledger.0.pending.statement(store.index(), &statement.signer(), statement.sequence().0).and_then(
            |row| match row {
                Some(row) => Ok(store.height_of_leaf(row.leaf)?.map(|(height, _)| (row, height))),
                None => Ok(None),
            },
        );
    match found {
        Ok(Some((row, height))) if row.id == statement.id().0[..16] => Ok(Accepted {
            leaf: row.leaf,
            height,
            signer: statement.signer().0,
            statement_id: statement.id().0,
            duplicate: true,
        }),
        // Which statement used it is known to nodes that were there.
        Ok(None) if ledger.0.base.load(Ordering::Relaxed) > 0 => Err(admission::used_before(statement)),
        Ok(_) if too_old => Err(admission::too_old(statement)),
        Ok(_) => Err(admission::equivocation(statement)),
        Err(error) => Err(internal(&error)),
    }
}
