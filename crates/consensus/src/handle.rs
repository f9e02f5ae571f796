//! Starting and stopping: one thread that owns commonware's runtime, and the handle to it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, mpsc as std_mpsc},
    thread,
    time::Duration,
};

use commonware_runtime::{Metrics as _, Runner as _, Spawner as _, Supervisor as _, tokio as runtime};
use futures::future::select_all;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Application, Config, ConsensusError, EpochSpan,
    directory::{self, Directory},
    engine::{Running, Setup, journal_partition},
    epochs::Epochs,
    evidence::EvidenceStore,
    progress::Shared,
    stats::Stats,
};

/// How long a graceful stop waits for blocks under way to become final and durable.
const DRAIN: Duration = Duration::from_secs(2);
/// How long the parts may take to close their files.
const CLOSE: Duration = Duration::from_secs(5);

enum Command {
    Metrics(oneshot::Sender<String>),
    Stop,
}

type Outcome = Option<Result<(), ConsensusError>>;

/// A running validator. Dropping it stops the validator gracefully, in the background.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    finished: watch::Receiver<Outcome>,
    stats: Arc<Stats>,
    evidence: Arc<EvidenceStore>,
}

/// Starts a validator on threads of its own and returns once it takes part.
///
/// The data directory is checked first: it must be free, belong to this key and chain, and hold the journal of what this
/// key voted. Blocks the calling thread while stored data is read (well under a second).
pub fn start<A: Application>(config: Config, app: A) -> Result<Handle, ConsensusError> {
    let Prepared { runner, directory, setup } = prepare(config, app)?;
    let (stats, evidence) = (setup.stats.clone(), setup.evidence.clone());
    let (commands, inbox) = mpsc::unbounded_channel();
    let (outcome, finished) = watch::channel(None);
    let (ready, started) = std_mpsc::sync_channel(1);
    thread::Builder::new()
        .name("triad-consensus".into())
        .spawn(move || {
            let result =
                catch_unwind(AssertUnwindSafe(|| runner.start(|context| run(context, setup, inbox, ready))))
                    .unwrap_or_else(|panic| Err(ConsensusError::Stopped(panic_message(&*panic))));
            // The lock goes only after the runtime has closed every file.
            drop(directory);
            outcome.send_replace(Some(result));
        })
        .map_err(|e| ConsensusError::Stopped(format!("its thread could not be started: {e}")))?;
    let handle = Handle { commands, finished, stats, evidence };
    match started.recv() {
        Ok(()) => Ok(handle),
        // It ended before it took part; the thread is about to say why.
        Err(_) => Err(handle.wait_blocking()),
    }
}

/// All that is decided and opened before consensus' threads begin.
pub(crate) struct Prepared<A> {
    pub(crate) runner: runtime::Runner,
    pub(crate) directory: Arc<Directory>,
    pub(crate) setup: Setup<A>,
}

pub(crate) fn prepare<A: Application>(mut config: Config, app: A) -> Result<Prepared<A>, ConsensusError> {
    let mut spans = app.epochs();
    if spans.is_empty() {
        let validators = config.validators.clone();
        spans = Arc::new(vec![EpochSpan { epoch: 0, first: 1, last: None, validators }]);
    }
    let checked = config.check(&spans, &app.addresses())?;
    let epochs = Epochs::new(&config.namespace, A::EPOCH_NOTICE, &spans)?;
    let lock = match config.lock.take() {
        Some(lock) if lock.dir() != config.data_dir => {
            return Err(ConsensusError::Config(format!(
                "the lock is for {}, the data directory is {}",
                lock.dir().display(),
                config.data_dir.display()
            )));
        }
        Some(lock) => lock,
        None => directory::lock(&config.data_dir)?,
    };
    let public = crate::public_key(&config.secret_key);
    let directory = Directory::open(lock, &public, &config.namespace, journal_partition)?;
    raise_descriptor_limit();
    let runner = runtime::Runner::new(
        runtime::Config::new()
            .with_storage_directory(directory.storage())
            .with_worker_threads(config.worker_threads)
            .with_catch_panics(false),
    );
    let directory = Arc::new(directory);
    let evidence = Arc::new(EvidenceStore::open(directory.path(), &config.namespace));
    let setup = Setup {
        app,
        checked,
        namespace: config.namespace,
        epochs,
        max_block_bytes: config.max_block_bytes,
        heartbeat: config.heartbeat,
        prune_depth: config.prune_depth,
        directory: directory.clone(),
        partition: String::new(),
        stats: Arc::default(),
        evidence,
        gossip: config.gossip,
    };
    Ok(Prepared { runner, directory, setup })
}

impl Handle {
    /// Resolves when the validator has stopped: `Ok` after [`shutdown`](Self::shutdown), else with the reason, after which
    /// the process should end.
    pub async fn finished(&mut self) -> Result<(), ConsensusError> {
        match self.finished.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().expect("waited for it to be there"),
            Err(_) => Err(ConsensusError::Stopped("its thread vanished".into())),
        }
    }

    /// Stops gracefully: no new block is proposed, blocks under way become final and durable (for at most two seconds), all
    /// files are closed and the data directory is free again.
    pub async fn shutdown(mut self) -> Result<(), ConsensusError> {
        let _ = self.commands.send(Command::Stop);
        self.finished().await
    }

    /// [`shutdown`](Self::shutdown) for callers outside of an async runtime.
    pub fn shutdown_blocking(self) -> Result<(), ConsensusError> {
        futures::executor::block_on(self.shutdown())
    }

    /// What consensus counts.
    pub fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// The proofs of double votes that are held.
    pub fn evidence(&self) -> Arc<EvidenceStore> {
        self.evidence.clone()
    }

    /// The metrics of consensus and its runtime, in Prometheus' text format; empty when it has stopped.
    pub async fn metrics(&self) -> String {
        let (answer, metrics) = oneshot::channel();
        let _ = self.commands.send(Command::Metrics(answer));
        metrics.await.unwrap_or_default()
    }

    fn wait_blocking(mut self) -> ConsensusError {
        match futures::executor::block_on(self.finished()) {
            Err(error) => error,
            Ok(()) => ConsensusError::Stopped("it ended while starting".into()),
        }
    }
}

async fn run<A: Application>(
    context: runtime::Context,
    setup: Setup<A>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    ready: std_mpsc::SyncSender<()>,
) -> Result<(), ConsensusError> {
    let Running { tasks, shared, mut errors } = setup.start(&context).await?;
    let _ = ready.send(());
    drop(ready);
    let (names, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
    let mut any_end = select_all(tasks);
    loop {
        tokio::select! {
            biased;
            Some(error) = errors.recv() => return Err(error),
            (result, index, _) = &mut any_end => {
                // A part that panicked or lost its counterpart; a reason, if there is one, was sent before.
                if let Ok(error) = errors.try_recv() {
                    return Err(error);
                }
                return Err(ConsensusError::Stopped(format!("{} ended: {result:?}", names[index])));
            }
            command = inbox.recv() => match command {
                Some(Command::Metrics(answer)) => {
                    let _ = answer.send(context.encode());
                }
                Some(Command::Stop) | None => break,
            }
        }
    }
    shared.stop();
    if tokio::time::timeout(DRAIN, drained(&shared)).await.is_err() {
        tracing::warn!(
            "stopping although a block under way is not final yet; it is taken up again at the next start"
        );
    }
    if let Err(error) = context.child("stop").stop(0, Some(CLOSE)).await {
        tracing::warn!(%error, "some parts did not close in time");
    }
    errors.try_recv().map_or(Ok(()), Err)
}

/// Resolves once every block seen is final and durable in the ledger.
async fn drained(shared: &Shared) {
    let mut progress = shared.subscribe();
    loop {
        let state = *progress.borrow_and_update();
        if state.acked >= shared.latest().max(state.tip) {
            return;
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    format!("a part panicked: {message}")
}

/// Each undecided view and each archive file takes a descriptor; the usual soft limit of 1,024 is close.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays at its low default");
    }
}
