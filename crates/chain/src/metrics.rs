//! Counters of the ledger, for `/metrics`.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::execute::Executed;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    pub code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    pub kind: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub blocks: Counter,
    pub statements: Counter,
    pub readings: Counter,
    pub verdicts: Family<KindLabel, Counter>,
    pub refused: Family<CodeLabel, Counter>,
    pub transactions: Counter,
    pub firings: Counter,
    pub firings_reverted: Counter,
    pub firings_dropped: Counter,
    pub paused: Counter,
    pub height: Gauge,
    pub waiting: Gauge,
    pub sources_caught: Counter,
    pub verified_apart: Counter,
    pub commit_seconds: Histogram,
    pub verify_seconds: Counter<f64, AtomicU64>,
    pub execute_seconds: Counter<f64, AtomicU64>,
    pub state_root_seconds: Counter<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            blocks: Counter::default(),
            statements: Counter::default(),
            readings: Counter::default(),
            verdicts: Family::default(),
            refused: Family::default(),
            transactions: Counter::default(),
            firings: Counter::default(),
            firings_reverted: Counter::default(),
            firings_dropped: Counter::default(),
            paused: Counter::default(),
            height: Gauge::default(),
            waiting: Gauge::default(),
            sources_caught: Counter::default(),
            verified_apart: Counter::default(),
            commit_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            verify_seconds: Counter::default(),
            execute_seconds: Counter::default(),
            state_root_seconds: Counter::default(),
        }
    }
}

impl Metrics {
    pub fn committed(&self, executed: &Executed, took: Duration) {
        self.blocks.inc();
        self.statements.inc_by(executed.statements.len() as u64);
        self.readings.inc_by(executed.readings.len() as u64);
        for verdict in &executed.verdicts {
            let kind = verdict.kind.name().to_owned();
            self.verdicts.get_or_create(&KindLabel { kind }).inc();
        }
        self.transactions.inc_by(executed.block.body.transactions.len() as u64);
        self.firings.inc_by(executed.firings.fired);
        self.firings_reverted.inc_by(executed.firings.reverted);
        self.firings_dropped.inc_by(executed.firings.dropped);
        self.paused.inc_by(executed.firings.paused);
        self.height.set(executed.block.height() as i64);
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// A block was executed: to build it, or to check it.
    pub fn executed(&self, executed: &Executed, took: Duration) {
        self.execute_seconds.inc_by(took.as_secs_f64());
        self.state_root_seconds.inc_by(executed.evm.state_root_time.as_secs_f64());
    }

    pub fn refuse(&self, code: &'static str) {
        self.refused.get_or_create(&CodeLabel { code: code.to_owned() }).inc();
    }

    pub fn register(&self, r: &mut Registry) {
        let r = r.sub_registry_with_prefix("triad");
        r.register("blocks", "Blocks committed", self.blocks.clone());
        r.register("statements", "Statements committed", self.statements.clone());
        r.register("readings", "Numeric readings committed", self.readings.clone());
        r.register("verdicts", "Verdicts by kind", self.verdicts.clone());
        r.register("statements_refused", "Statements refused, by code", self.refused.clone());
        r.register("transactions", "Ethereum transactions committed", self.transactions.clone());
        r.register("firings", "Automation firings", self.firings.clone());
        r.register("firings_reverted", "Automation firings that reverted", self.firings_reverted.clone());
        r.register(
            "firings_dropped",
            "Automation firings without a place in the queue",
            self.firings_dropped.clone(),
        );
        r.register("automations_paused", "Automations put to sleep for lack of funds", self.paused.clone());
        r.register("height", "Height of the last commit", self.height.clone());
        r.register("statements_waiting", "Statements waiting for a block", self.waiting.clone());
        r.register(
            "sources_caught",
            "Times that a source of statements was set apart for a bad signature",
            self.sources_caught.clone(),
        );
        r.register(
            "statements_verified_apart",
            "Statements of sources of bad signatures, verified slowly and one by one",
            self.verified_apart.clone(),
        );
        r.register("commit_seconds", "Time of a block's commit", self.commit_seconds.clone());
        r.register(
            "verify_seconds",
            "Time spent verifying signatures at the doors",
            self.verify_seconds.clone(),
        );
        r.register(
            "execute_seconds",
            "Time spent executing blocks, to build or to check them",
            self.execute_seconds.clone(),
        );
        r.register(
            "state_root_seconds",
            "Of execute_seconds, what the Ethereum state root took",
            self.state_root_seconds.clone(),
        );
    }
}
