//! Sources of bad signatures are verified apart and slowed down, so that they cost others nothing.
//!
//! A [`Standing`] remembers one source in eight bytes. It is *untried* at first, *proven* after a good signature, and
//! *suspect* for [`PROBATION_MS`] after a bad one; then untried again. Statements of suspects go through one thread that
//! verifies each by itself and sleeps in proportion, from a bounded queue: where it is full they wait a moment, which
//! slows their connection down, and are then refused.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;

use crate::error::{Refusal, RefusalClass};
use crate::ledger::Ledger;
use crate::submit::{Arrived, hand_over, refuse, stopping, verified};

/// How long a source stays apart after its last bad signature.
const PROBATION_MS: u64 = 10_000;
/// Statements of all suspects that may wait.
const QUEUE: usize = 1024;
/// How long a suspect waits for room in the queue.
const PATIENCE: Duration = Duration::from_secs(5);
/// The thread sleeps this many times as long as it worked: all suspects together get a tenth of one core.
const REST: u32 = 9;
/// But not longer: waiting for room in the mempool is no work.
const MAX_REST: Duration = Duration::from_millis(200);
/// Statements between two rests.
const TURN: usize = 16;

const UNTRIED: u64 = 0;
const PROVEN: u64 = 1;

/// Milliseconds since the program's start, and more than [`PROVEN`]. A wall clock set back would prolong suspicions.
fn now_ms() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_millis() as u64 + PROVEN + 1
}

/// What a source has shown so far: [`UNTRIED`], [`PROVEN`], or until when (ms) it is suspect.
#[derive(Debug, Default)]
pub(crate) struct Standing(AtomicU64);

impl Standing {
    pub fn is_proven(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PROVEN
    }

    pub fn is_suspect(&self) -> bool {
        self.0.load(Ordering::Relaxed) > PROVEN && self.is_suspect_at(now_ms())
    }

    fn is_suspect_at(&self, now_ms: u64) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        if until <= PROVEN {
            return false;
        }
        let suspect = now_ms < until;
        if !suspect {
            // Only if nobody has caught it again meanwhile.
            let _ = self.0.compare_exchange(until, UNTRIED, Ordering::Relaxed, Ordering::Relaxed);
        }
        suspect
    }

    /// A good signature. It does not end a suspicion.
    pub fn proved(&self) {
        if !self.is_proven() {
            let _ = self.0.compare_exchange(UNTRIED, PROVEN, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A bad signature; true when the source was not suspect before.
    pub fn caught(&self) -> bool {
        self.caught_at(now_ms())
    }

    fn caught_at(&self, now_ms: u64) -> bool {
        self.0.swap(now_ms + PROBATION_MS, Ordering::Relaxed) <= PROVEN
    }
}

/// The way of suspects' statements.
#[derive(Clone, Debug)]
pub(crate) struct Apart(mpsc::Sender<Arrived>);

impl Apart {
    /// Starts the thread; it ends when the last handle is gone.
    pub fn start(ledger: Ledger) -> std::io::Result<Apart> {
        let (queue, incoming) = mpsc::channel(QUEUE);
        std::thread::Builder::new().name("verify-apart".into()).spawn(move || lane(&ledger, incoming))?;
        Ok(Apart(queue))
    }

    /// Queues a statement; waits a moment where there is no room, then refuses it.
    pub async fn wait(&self, ledger: &Ledger, arrived: Arrived) {
        match self.0.send_timeout(arrived, PATIENCE).await {
            Ok(()) => {}
            Err(SendTimeoutError::Timeout(arrived)) => refuse(ledger, arrived.waiter, slowed()),
            Err(SendTimeoutError::Closed(arrived)) => refuse(ledger, arrived.waiter, stopping()),
        }
    }
}

fn slowed() -> Refusal {
    let why = format!(
        "bad signatures came from this source: until {} s have passed without one, its statements are verified apart \
         and slowly. This one was not looked at: send it again later",
        PROBATION_MS / 1000
    );
    Refusal::new(RefusalClass::QuotaExceeded, "source-slowed", why)
}

fn lane(ledger: &Ledger, mut incoming: mpsc::Receiver<Arrived>) {
    let mut turn = Vec::with_capacity(TURN);
    while incoming.blocking_recv_many(&mut turn, TURN) > 0 {
        let started = Instant::now();
        ledger.0.metrics.verified_apart.inc_by(turn.len() as u64);
        for arrived in turn.drain(..) {
            hand_over(ledger, verified(ledger, vec![arrived]));
        }
        let worked = started.elapsed();
        ledger.0.metrics.verify_seconds.inc_by(worked.as_secs_f64());
        std::thread::sleep((worked * REST).min(MAX_REST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_source_is_suspect_until_it_has_behaved_for_a_while() {
        let source = Standing::default();
        assert!(!source.is_suspect() && !source.is_proven());
        source.proved();
        assert!(source.is_proven());
        assert!(source.caught_at(1000), "first");
        assert!(!source.caught_at(2000), "again, which prolongs it");
        source.proved();
        assert!(!source.is_proven(), "good ones in between do not end it");
        assert!(source.is_suspect_at(2000 + PROBATION_MS - 1));
        assert!(!source.is_suspect_at(2000 + PROBATION_MS));
        assert!(!source.is_proven(), "it begins again as a new one does");
        source.proved();
        assert!(source.is_proven());
    }
}
