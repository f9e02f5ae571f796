//! What the handlers share, and how they read: on blocking threads, a bounded number at a time, within a time.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use triad_chain::Reader;

use crate::config::{ApiConfig, Backend};
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::sources::Sources;

/// Reads that look at a whole table, at a time.
const CONCURRENT_SCANS: usize = 2;

#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

pub(crate) struct Inner {
    pub config: ApiConfig,
    pub backend: Backend,
    pub metrics: Metrics,
    pub sources: Sources,
    pub own_registry: Registry,
    pub genesis: Bytes,
    /// In KiB.
    pub bodies: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    scans: Arc<Semaphore>,
}

impl Deref for Api {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    pub fn new(config: ApiConfig, backend: Backend) -> Api {
        let mut own_registry = Registry::default();
        let metrics = Metrics::register(&mut own_registry);
        let sources = Sources::default();
        let genesis = Bytes::from(backend.reader.spec().to_json());
        let bodies = Arc::new(Semaphore::new(config.limits.body_memory_kib));
        let reads = Arc::new(Semaphore::new(config.limits.concurrent_reads));
        let scans = Arc::new(Semaphore::new(CONCURRENT_SCANS));
        Api(Arc::new(Inner {
            config,
            backend,
            metrics,
            sources,
            own_registry,
            genesis,
            bodies,
            reads,
            scans,
        }))
    }

    /// Runs a read of a bounded number of rows.
    pub async fn read<T, F>(&self, f: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, Problem> + Send + 'static,
    {
        self.bounded(self.reads.clone(), f).await
    }

    /// Runs a read whose cost grows with the number of devices or streams of the chain.
    pub async fn scan<T, F>(&self, f: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, Problem> + Send + 'static,
    {
        self.bounded(self.scans.clone(), f).await
    }

    async fn bounded<T, F>(&self, turns: Arc<Semaphore>, f: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, Problem> + Send + 'static,
    {
        let reader = self.backend.reader.clone();
        let run = async move {
            let turn = turns.acquire_owned().await.map_err(|_| Problem::busy())?;
            let work = tokio::task::spawn_blocking(move || {
                // Kept until the read ends, even when nobody waits for it any more.
                let _turn = turn;
                f(&reader)
            });
            work.await.unwrap_or_else(|error| Err(Problem::internal(&error)))
        };
        let late = |_| {
            let why = "the read did not end in time: ask for less, or try again";
            Err(Problem::new("read-timeout", why).retry_after(1))
        };
        let answer = timeout(self.config.limits.read_timeout, run).await.unwrap_or_else(late);
        answer.map_err(|problem| match &self.backend.elsewhere {
            Some(elsewhere) if problem.code == "not-kept" => match elsewhere() {
                Some((name, url)) => problem.elsewhere(name, url),
                None => problem,
            },
            _ => problem,
        })
    }
}
