//! What a client saw of a load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cpu;

/// How a load is sent: as fast as it is taken, or so often.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// First statement.
    pub from: usize,
    pub time: Duration,
    /// Time between two statements; `None`: as fast as they are taken.
    pub pace: Option<Duration>,
}

#[derive(Debug)]
pub struct Run {
    /// The statement after the last one sent.
    pub next: usize,
    /// Indices of acknowledged statements.
    pub acknowledged: Vec<u32>,
    /// Microseconds from handing in to acknowledgement, in no order.
    pub latencies: Vec<u32>,
    /// Refusals by their code.
    pub refused: BTreeMap<String, u64>,
    pub first: Instant,
    pub last: Instant,
    pub cpu: cpu::Seconds,
}

impl Run {
    pub fn new(from: usize) -> Run {
        let now = Instant::now();
        Run {
            next: from,
            acknowledged: Vec::new(),
            latencies: Vec::new(),
            refused: BTreeMap::new(),
            first: now,
            last: now,
            cpu: cpu::Seconds::new(),
        }
    }

    pub fn acknowledge(&mut self, index: usize, sent: Instant) {
        let now = Instant::now();
        self.acknowledged.push(index as u32);
        self.latencies.push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
        self.last = now;
    }

    pub fn refuse(&mut self, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
    }

    /// From the first statement sent to the last one acknowledged.
    pub fn seconds(&self) -> f64 {
        (self.last - self.first).as_secs_f64()
    }

    /// In milliseconds.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let Some(last) = self.latencies.len().checked_sub(1) else { return 0.0 };
        f64::from(self.latencies[last * percent / 100]) / 1e3
    }
}

/// Runs a client on a thread of its own, whose CPU time is told apart by its name.
pub fn on_client_thread<F>(client: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<Run>
where
    F: Future<Output = anyhow::Result<Run>>,
{
    let thread = std::thread::Builder::new().name(cpu::CLIENT.into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let before = cpu::now();
        let mut run = runtime.block_on(client())?;
        run.cpu = cpu::between(&before, &cpu::now());
        anyhow::Ok(run)
    })?;
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
