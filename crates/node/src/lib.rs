//! A running node: ledger, consensus and doors in one process.
//!
//! Everything that a node is made of is built elsewhere; this crate only connects it: the ledger as consensus sees it, the
//! chain behind the MQTT door, the data directory's layout, and start and stop in the right order. The commands are in
//! `triad`.

mod app;
pub mod cluster;
pub mod disk;
mod door;
mod journal_loss;
pub mod layout;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use triad_api::{ApiConfig, ApiServer, Backend};
use triad_chain::{CheckpointSigner, Ledger, Reader, SnapshotOptions, Submitter};
use triad_ingest::{MqttConfig, MqttServer};
use triad_rpc::{Rpc, RpcConfig};
use triad_statement::{Algorithm, SigningKey};

use app::App;
pub use door::ChainDoor;
pub use journal_loss::Accepted;
use layout::{Layout, ValidatorKeys};

/// Room on the disk below which a node only reads, in bytes, unless the operator says otherwise.
pub const DISK_RESERVE: u64 = 256 << 20;

/// Final blocks that consensus keeps for peers, besides the ledger's.
const PRUNE_DEPTH: u64 = 2048;

/// How often a node looks for what it may drop.
const PRUNE: Duration = Duration::from_secs(20);

/// Where a node listens and how it behaves.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    pub layout: Layout,
    pub http: Option<SocketAddr>,
    pub rpc: Option<SocketAddr>,
    pub mqtt: MqttConfig,
    pub heartbeat: Duration,
    /// With less room on the disk (bytes) the node only reads, and with a quarter of it ends; 0 never. See [`disk`].
    pub disk_reserve: u64,
    /// Blocks before the head whose state is kept ([`triad_chain::ARCHIVE`]: of all from now on).
    pub history: u64,
    /// Blocks between snapshots; 0: none are made.
    pub snapshot_every: u64,
    /// Statements and transactions that are older go, as far as a snapshot allows; `None`: none do.
    pub retention: Option<Duration>,
    /// Threads that verify signatures.
    pub verifiers: usize,
    /// Shown by `eth_accounts`; only `--dev` has any.
    pub dev_accounts: Vec<alloy_primitives::Address>,
    /// Where the others are; needed with more than one validator.
    pub network: Option<NetworkOptions>,
    /// Of a chain's only validator: go on if the journal of its votes is lost. See [`Accepted`].
    pub accept_journal_loss: bool,
}

/// A node's place in a network.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Where other nodes reach this one.
    pub listen: SocketAddr,
    /// Consensus keys and addresses of the other validators.
    pub peers: Vec<([u8; 32], SocketAddr)>,
    /// Keys and addresses of nodes that follow without voting, and that this one admits.
    pub observers: Vec<([u8; 32], SocketAddr)>,
    /// Follow without voting.
    pub observer: bool,
}

impl NodeOptions {
    /// Free loopback ports everywhere.
    pub fn on_free_ports(layout: Layout) -> NodeOptions {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        NodeOptions {
            layout,
            http: Some(free),
            rpc: Some(free),
            mqtt: MqttConfig { tcp: Some(free), ..MqttConfig::default() },
            heartbeat: Duration::from_secs(5),
            disk_reserve: DISK_RESERVE,
            history: triad_chain::HISTORY,
            snapshot_every: triad_chain::SNAPSHOT_EVERY,
            retention: None,
            verifiers: 2,
            dev_accounts: Vec::new(),
            network: None,
            accept_journal_loss: false,
        }
    }
}

/// A node that takes part. [`Node::stop`] it; dropping it leaves its threads running.
pub struct Node {
    pub reader: Reader,
    pub submitter: Submitter,
    pub http: Option<SocketAddr>,
    pub rpc: Option<SocketAddr>,
    pub mqtt: MqttServer,
    api: Option<ApiServer>,
    /// On its own port, and under `/rpc` of the HTTP door.
    rpc_servers: Vec<triad_rpc::ServerHandle>,
    json_rpc: Rpc,
    ledger: Ledger,
    consensus: triad_consensus::Handle,
    /// What was done about a lost journal, if one was lost and that was accepted.
    pub accepted: Option<Accepted>,
    /// Ends with the reason when there is no room on the disk.
    disk: tokio::task::JoinHandle<String>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("http", &self.http).field("rpc", &self.rpc).finish_non_exhaustive()
    }
}

/// Drops what is older than `retention`, now and then, until `stop` resolves.
async fn prune(ledger: Ledger, retention: Duration, stop: impl Future<Output = ()>) {
    let mut stop = std::pin::pin!(stop);
    loop {
        let pruning = ledger.clone();
        // Not cut short: the store is in use until it is done.
        match tokio::task::spawn_blocking(move || pruning.prune(retention)).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(oldest))) => {
                tracing::info!(oldest, "dropped what is older");
                eprintln!("triad: the statements of blocks before {oldest} are dropped; their hashes stay");
            }
            Ok(Err(error)) => tracing::error!(%error, "old statements could not be dropped"),
            Err(error) => tracing::error!(%error, "old statements could not be dropped"),
        }
        tokio::select! {
            () = tokio::time::sleep(PRUNE) => {}
            () = &mut stop => return,
        }
    }
}

impl Node {
    /// Opens the data directory, which must hold a chain, and starts everything.
    pub async fn start(options: NodeOptions) -> anyhow::Result<Node> {
        let layout = &options.layout;
        let spec = layout.spec()?;
        let keys = ValidatorKeys::load(&layout.validator())?;
        let observer = options.network.as_ref().is_some_and(|network| network.observer);
        // Taken before the store is opened: a second process must find out before it touches anything.
        let lock = triad_consensus::lock(&layout.dir)?;
        let configured = {
            let (dir, key, heartbeat) = (layout.dir.clone(), keys.consensus()?, options.heartbeat);
            let (namespace, validators) = (spec.namespace(), spec.sorted_keys());
            let max_block_bytes = (2 * spec.genesis.limits.block_bytes + 65_536) as usize;
            move |lock| {
                let (namespace, validators) = (namespace.clone(), validators.clone());
                let mut config = triad_consensus::Config::new(&dir, key, namespace, validators);
                config.max_block_bytes = max_block_bytes;
                config.heartbeat = heartbeat;
                config.lock = Some(lock);
                config
            }
        };
        let mut consensus = configured(lock);
        let networked = options.network.is_some() || spec.genesis.validators.len() > 1;
        let mut gossip = None;
        if let Some(network) = options.network.as_ref().filter(|_| networked) {
            let (ours, port) = triad_consensus::gossip();
            gossip = Some(ours);
            consensus.gossip = Some(port);
            consensus.observer = observer;
            // Others may have been off for longer than a lone validator would keep blocks for itself.
            consensus.prune_depth = consensus.prune_depth.max(PRUNE_DEPTH);
            consensus.network = Some(triad_consensus::Network {
                listen: network.listen,
                peers: network.peers.clone(),
                observers: network.observers.clone(),
            });
        }
        let own_key = triad_consensus::public_key(&keys.consensus()?);
        let roster = cluster::Roster::new(own_key, options.network.clone());
        let signer = CheckpointSigner::new(&spec, keys.checkpoint()?);
        let (chain_dir, history) = (layout.chain(), options.history);
        let ledger =
            tokio::task::spawn_blocking(move || Ledger::open_keeping(&chain_dir, spec, history)).await??;
        if !observer {
            keys.check(&ledger.reigns())
                .with_context(|| format!("{} cannot be used", layout.validator().display()))?;
        }
        let vouching = SigningKey::from_secret_bytes(Algorithm::EdDsa, &keys.consensus()?)?;
        ledger.keep_snapshots(SnapshotOptions {
            dir: layout.snapshots(),
            every: options.snapshot_every,
            retention: options.retention,
            key: (!observer).then(|| (own_key, Arc::new(vouching))),
        })?;
        let reader = Reader::new(ledger.clone()).with_signer(Some(signer));
        let submitter = Submitter::start(ledger.clone(), options.verifiers)?;

        let mut registry = Registry::default();
        reader.register_metrics(&mut registry);
        let (stop, stopped) = watch::channel(false);
        let when_stopped = || {
            let mut stopped = stopped.clone();
            async move {
                // A vanished sender means the same.
                let _ = stopped.wait_for(|stop| *stop).await;
            }
        };
        let (waker, stopping) = (ledger.clone().wake_for_deadlines(), when_stopped());
        tokio::spawn(async move {
            tokio::select! {
                () = waker => {}
                () = stopping => {}
            }
        });
        if let Some(retention) = options.retention {
            tokio::spawn(prune(ledger.clone(), retention, when_stopped()));
        }
        // Looked at before anything is written.
        let gate = submitter.gate().clone();
        let mut room =
            disk::Watch::new(layout.dir.clone(), options.disk_reserve, gate.clone(), &mut registry);
        room.look().map_err(anyhow::Error::msg)?;
        let disk = tokio::spawn(room.run());
        let recent = Arc::<cluster::Recent>::default();
        let start = |config| {
            let app = App::new(ledger.clone(), recent.clone());
            tokio::task::spawn_blocking(move || triad_consensus::start(config, app))
        };
        if options.accept_journal_loss {
            journal_loss::refuse_several(&ledger)?;
        }
        let mut accepted = None;
        let consensus = match start(consensus).await? {
            Err(error) if options.accept_journal_loss && error.is_journal_loss() => {
                tracing::warn!(%error, "accepted");
                let (what, lock) = journal_loss::accept(&layout.dir, &ledger)?;
                accepted = Some(what);
                start(configured(lock)).await??
            }
            started => started?,
        };
        let cluster = cluster::Cluster::new(own_key, roster, ledger.clone(), &consensus, recent);
        if networked {
            gate.shut_as(
                "no-quorum",
                "the node has just started and does not know yet whether the others are in reach",
            );
        }
        let door = ChainDoor::new(submitter.clone(), &reader, when_stopped());
        let mqtt = triad_ingest::serve(options.mqtt.clone(), door, &mut registry, when_stopped())
            .await
            .context("the MQTT door does not open")?;
        let mut config = RpcConfig::default();
        config.addr = options.rpc.unwrap_or(config.addr);
        let accounts = options.dev_accounts.clone();
        let json_rpc = Rpc::new(config, reader.clone(), submitter.clone(), accounts)?;
        let mut rpc_servers = Vec::new();
        let api = match options.http {
            None => None,
            Some(address) => {
                // Even an idle chain makes a block at each heartbeat.
                let max_commit_age = Some(options.heartbeat * 4 + Duration::from_secs(10));
                let config = ApiConfig { address, max_commit_age, ..ApiConfig::default() };
                let mut backend = Backend::new(reader.clone(), submitter.clone(), Arc::new(registry));
                let ready_gate = gate.clone();
                backend.ready = Some(Arc::new(move || ready_gate.why().map_or(Ok(()), Err)));
                let (shown, counted) = (cluster.clone(), cluster.clone());
                backend.network = Some(Arc::new(move || shown.json()));
                let proven = cluster.clone();
                backend.evidence = Some(Arc::new(move || proven.evidence()));
                let wider = cluster.clone();
                backend.elsewhere = Some(Arc::new(move || wider.elsewhere()));
                backend.extra_metrics = Some(Arc::new(move || counted.metrics()));
                let (service, server) = json_rpc.service();
                backend.rpc = Some(door::json_rpc(service));
                rpc_servers.push(server);
                Some(triad_api::serve(config, backend, when_stopped()).await?)
            }
        };
        let rpc = match options.rpc {
            None => None,
            Some(_) => {
                let (address, server) = json_rpc.listen().await?;
                rpc_servers.push(server);
                Some(address)
            }
        };
        let http = api.as_ref().map(|api| api.address);
        if let Some(gossip) = gossip {
            let (talking, stopping) = (cluster.run(gossip, submitter.clone(), gate, http), when_stopped());
            tokio::spawn(async move {
                tokio::select! {
                    () = talking => {}
                    () = stopping => {}
                }
            });
        }
        Ok(Node {
            reader,
            submitter,
            http,
            rpc,
            mqtt,
            api,
            rpc_servers,
            json_rpc,
            ledger,
            consensus,
            accepted,
            disk,
            stop,
        })
    }

    /// Resolves when the node cannot go on: consensus has stopped by itself, which it never should, or there is no
    /// room on the disk. End the process then: an orderly stop would write.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            ended = self.consensus.finished() => match ended {
                Err(error) => anyhow::Error::new(error),
                Ok(()) => anyhow::anyhow!("consensus stopped"),
            },
            why = &mut self.disk => anyhow::anyhow!(why.unwrap_or_else(|error| error.to_string())),
        }
    }

    /// Closes the doors, lets what is in flight become final, ends consensus and closes the store.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Node {
            reader, submitter, mqtt, api, rpc_servers, json_rpc, ledger, consensus, disk, stop, ..
        } = self;
        disk.abort();
        let making = ledger.clone();
        tokio::task::spawn_blocking(move || making.stop_snapshots()).await?;
        json_rpc.end_calls();
        // Nobody listening any more is fine.
        let _ = stop.send(true);
        for server in &rpc_servers {
            // Stopped already is fine.
            let _ = server.stop();
        }
        mqtt.stopped().await;
        if let Some(api) = api {
            api.stopped().await;
        }
        for server in rpc_servers {
            server.stopped().await;
        }
        consensus.shutdown().await?;
        drop((reader, submitter, json_rpc));
        // The last threads let go of the store within moments; whoever opens it next must find it closed.
        for _ in 0..500 {
            if ledger.is_last() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("the store is still in use five seconds after everything was stopped")
    }
}
