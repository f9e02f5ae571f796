//! The baseline: nothing but batch verification of the same signatures, on all cores.
//!
//! Parsing is not counted: each core parses a batch, then verifies it against the clock, so that all cores are busy all
//! the time as they are in a node. The best of four sizes of batches is the baseline.

use std::time::{Duration, Instant};

use serde::Serialize;
use triad_statement::{DeviceKey, Statement, verify_batch};

use super::fleet::{Fleet, Pool};
use super::machine::cores;

pub const BATCHES: [usize; 4] = [64, 256, 1024, 4096];

#[derive(Debug, Clone, Serialize)]
pub struct Baseline {
    pub pack: usize,
    /// (signatures a batch, signatures a second)
    pub rates: Vec<(usize, f64)>,
    pub best: f64,
}

impl Baseline {
    pub fn measure(fleet: &Fleet, pool: &Pool, each: Duration) -> anyhow::Result<Baseline> {
        let part = (pool.statements.len() / BATCHES.len()).max(1);
        let mut rates = Vec::new();
        // Each size has statements of its own.
        for (n, batch) in BATCHES.into_iter().enumerate() {
            let from = (n * part).min(pool.statements.len());
            rates.push((
                batch,
                rate(fleet, pool, from..(from + part).min(pool.statements.len()), batch, each)?,
            ));
        }
        let best = rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        Ok(Baseline { pack: pool.pack, rates, best })
    }
}

/// Signatures a second over all cores.
pub fn rate(
    fleet: &Fleet,
    pool: &Pool,
    range: std::ops::Range<usize>,
    batch: usize,
    time: Duration,
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
            let started = Instant::now();
            let good = verify_batch(&items);
            spent += started.elapsed();
            anyhow::ensure!(good.iter().all(|good| *good), "a signature made here does not verify");
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
