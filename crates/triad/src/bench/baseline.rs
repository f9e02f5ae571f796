//! The baseline: nothing but batch verification of the same signatures, on all cores.
//!
//! Measured twice: as the library of these rules does it (`ed25519-zebra`, which takes keys as bytes), and as a node does, which
//! holds its devices' keys decompressed. Parsing is not counted: each core parses a batch, then verifies it against the
//! clock, so that all cores are busy all the time as they are in a node. The best of four sizes of batches is the baseline; each
//! case measures that one again right before and right after its full load and is compared with the mean of both.

use std::time::{Duration, Instant};

use ed25519_zebra::{Signature, VerificationKeyBytes, batch};
use serde::Serialize;
use triad_statement::{DeviceKey, Statement, verify_batch};

use super::fleet::{Fleet, Pool};
use super::machine::cores;

pub const BATCHES: [usize; 4] = [64, 256, 1024, 4096];

/// Whose batch verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verifier {
    Library,
    Node,
}

#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    pub pack: usize,
    /// (signatures a batch, signatures a second) with `ed25519-zebra`.
    pub library_rates: Vec<(usize, f64)>,
    pub library: f64,
    /// The same with the node's own verification.
    pub node_rates: Vec<(usize, f64)>,
    pub node: f64,
}

impl Baseline {
    /// Takes `time` in all.
    pub fn measure(fleet: &Fleet, pool: &Pool, time: Duration) -> anyhow::Result<Baseline> {
        let each = time / (2 * BATCHES.len() as u32);
        let part = (pool.statements.len() / BATCHES.len()).max(1);
        let (mut library_rates, mut node_rates) = (Vec::new(), Vec::new());
        // Each size has statements of its own.
        for (n, batch) in BATCHES.into_iter().enumerate() {
            let from = (n * part).min(pool.statements.len());
            let range = from..(from + part).min(pool.statements.len());
            for (verifier, rates) in
                [(Verifier::Library, &mut library_rates), (Verifier::Node, &mut node_rates)]
            {
                rates.push((batch, rate(fleet, pool, range.clone(), batch, each, verifier)?));
            }
        }
        let best = |rates: &[(usize, f64)]| rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let (library, node) = (best(&library_rates), best(&node_rates));
        Ok(Baseline { pack: pool.pack, library_rates, library, node_rates, node })
    }
}

/// Both rates in signatures a second, measured beside a case: machines are not equally fast all the time.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Beside {
    pub library: f64,
    pub node: f64,
}

impl Beside {
    /// With the batches that were best for `baseline`; takes `time` in all.
    pub fn measure(baseline: &Baseline, fleet: &Fleet, pool: &Pool, time: Duration) -> anyhow::Result<Self> {
        let all = 0..pool.statements.len();
        let one = |rates: &[(usize, f64)], verifier| {
            let best = rates.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(BATCHES[0], |best| best.0);
            rate(fleet, pool, all.clone(), best, time / 2, verifier)
        };
        let library = one(&baseline.library_rates, Verifier::Library)?;
        Ok(Beside { library, node: one(&baseline.node_rates, Verifier::Node)? })
    }

    /// Halfway between two measurements.
    pub fn between(self, other: Beside) -> Beside {
        let mean = |a, b| (a + b) / 2.0;
        Beside { library: mean(self.library, other.library), node: mean(self.node, other.node) }
    }
}

/// Signatures a second over all cores.
pub fn rate(
    fleet: &Fleet,
    pool: &Pool,
    range: std::ops::Range<usize>,
    batch: usize,
    time: Duration,
    verifier: Verifier,
) -> anyhow::Result<f64> {
    let indices: Vec<usize> = range.collect();
    let batches: Vec<&[usize]> = indices.chunks(batch).collect();
    let cores = cores();
    let begin = Instant::now();
    let work = |core: usize| -> anyhow::Result<f64> {
        let (mut verified, mut spent) = (0usize, Duration::ZERO);
        for batch in batches.iter().skip(core).step_by(cores) {
            let parsed: Vec<Statement> = batch
                .iter()
                .map(|i| Statement::parse(pool.statements[*i].clone()))
                .collect::<Result<_, _>>()?;
            let items: Vec<(&Statement, &DeviceKey)> =
                parsed.iter().zip(batch.iter()).map(|(s, i)| (s, fleet.key(*i))).collect();
            let good;
            (good, spent) = match verifier {
                Verifier::Node => {
                    let started = Instant::now();
                    let good = verify_batch(&items).iter().all(|good| *good);
                    (good, spent + started.elapsed())
                }
                Verifier::Library => {
                    let items =
                        items.iter().map(|(s, key)| bare(s, key)).collect::<anyhow::Result<Vec<_>>>()?;
                    let started = Instant::now();
                    let mut queue = batch::Verifier::new();
                    for (key, signature, message) in &items {
                        queue.queue((*key, *signature, message));
                    }
                    let good = queue.verify(rand::rng()).is_ok();
                    (good, spent + started.elapsed())
                }
            };
            anyhow::ensure!(good, "a signature made here does not verify");
            verified += batch.len();
            if begin.elapsed() >= time {
                break;
            }
        }
        Ok(if verified == 0 { 0.0 } else { verified as f64 / spent.as_secs_f64() })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|core| scope.spawn(move || work(core))).collect();
        let rates = threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        rates.sum()
    })
}

/// A statement as the library takes it.
fn bare(
    statement: &Statement,
    key: &DeviceKey,
) -> anyhow::Result<(VerificationKeyBytes, Signature, Vec<u8>)> {
    let key: [u8; 32] = key.raw_xy().try_into()?;
    Ok((key.into(), (*statement.signature()).into(), statement.signed_bytes()))
}
