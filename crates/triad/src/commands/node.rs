//! `triad node`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use triad_ingest::{MqttConfig, TlsListener};

use super::{Done, block_on, init, stopped};
use crate::config::{self, FileConfig};
use crate::node::layout::{self, Layout, dev_wallets};
use crate::node::{DISK_RESERVE, NetworkOptions, Node, NodeOptions};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  triad node --dev\n  triad node --data-dir ./plant --mqtt 0.0.0.0:1883\n  triad node --config plant.toml\n\nSettings come from the file, then TRIAD_… variables, then flags; what comes later wins."
)]
pub struct Args {
    /// Settings file (TOML): the long flags' names with `_` for `-`.
    #[arg(long, env = "TRIAD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where keys, genesis and the chain live [default: triad-data].
    #[arg(long, env = "TRIAD_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A chain to try things on: created if absent, with well-known keys. Never for anything of value.
    #[arg(long)]
    dev: bool,
    /// HTTP API [default: 127.0.0.1:8080].
    #[arg(long, env = "TRIAD_HTTP", value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// Ethereum JSON-RPC [default: 127.0.0.1:8545].
    #[arg(long = "rpc", env = "TRIAD_RPC_LISTEN", value_name = "ADDRESS")]
    rpc: Option<SocketAddr>,
    /// MQTT over TCP [default: 127.0.0.1:1883].
    #[arg(long, env = "TRIAD_MQTT", value_name = "ADDRESS")]
    mqtt: Option<SocketAddr>,
    /// MQTT over TLS; needs --tls-cert and --tls-key.
    #[arg(long, env = "TRIAD_MQTT_TLS", value_name = "ADDRESS")]
    mqtt_tls: Option<SocketAddr>,
    #[arg(long, env = "TRIAD_TLS_CERT", value_name = "PEM")]
    tls_cert: Option<PathBuf>,
    #[arg(long, env = "TRIAD_TLS_KEY", value_name = "PEM")]
    tls_key: Option<PathBuf>,
    /// MQTT over WebSocket.
    #[arg(long, env = "TRIAD_MQTT_WS", value_name = "ADDRESS")]
    mqtt_ws: Option<SocketAddr>,
    /// An idle chain makes an empty block this often [default: 5000].
    #[arg(long, env = "TRIAD_HEARTBEAT_MS", value_name = "MS")]
    heartbeat_ms: Option<u64>,
    /// With less room on the disk than this the node only reads; with a quarter of it, it ends [default: 256].
    #[arg(long, env = "TRIAD_DISK_RESERVE_MIB", value_name = "MIB")]
    disk_reserve_mib: Option<u64>,
    /// Blocks before the newest whose contract state is kept, for calls, proofs and traces at them [default: 128].
    #[arg(long, env = "TRIAD_HISTORY", value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(1..))]
    history: Option<u64>,
    /// Keep the contract state of all blocks from now on. Proofs reach back only as far as little enough has changed since.
    #[arg(long, env = "TRIAD_ARCHIVE", conflicts_with = "history")]
    archive: bool,
    /// Begin with the newest snapshot that the validators vouch for instead of with genesis, where there is no chain yet. From
    /// these nodes' APIs [default: those of the configured peers].
    #[arg(long, env = "TRIAD_SNAPSHOT_SYNC", value_name = "URL", num_args = 0.., value_delimiter = ',')]
    snapshot_sync: Option<Vec<String>>,
    /// Make a snapshot of the whole state after each block whose height is a multiple of this, for nodes that join; 0: none
    /// [default: 4096].
    #[arg(long, env = "TRIAD_SNAPSHOT_EVERY", value_name = "BLOCKS")]
    snapshot_every: Option<u64>,
    /// Drop statements and transactions that are older, as 12h or 30d; their hashes, verdicts and all contract state stay
    /// [default: keep all].
    #[arg(long, env = "TRIAD_RETENTION", value_name = "TIME")]
    retention: Option<String>,
    /// Go on although the journal of what this validator voted is lost or a copy, as after restoring a backup. Only for a chain's only
    /// validator, and for one start: whatever was acknowledged after the copy was made is gone, and receipts of it contradict the chain.
    #[arg(long)]
    accept_journal_loss: bool,
    /// Once it runs, print a JSON object with its addresses.
    #[arg(long)]
    json: bool,
    /// Stop when the standard input ends: whoever started this is gone then.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

pub fn run(args: Args) -> Done {
    let file = match &args.config {
        Some(path) => config::read(path)?,
        None => FileConfig::default(),
    };
    let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
    let dir = args.data_dir.or(file.data_dir.clone()).or_else(|| beside(args.config.as_deref(), &file));
    let dir = dir.unwrap_or_else(|| "triad-data".into());
    let layout = Layout::new(dir);
    if !layout.genesis().exists() {
        if !args.dev {
            bail!(
                "{} holds no chain: create one with `triad init --data-dir {}`, or try `triad node --dev`",
                layout.dir.display(),
                layout.dir.display()
            );
        }
        layout::create(&layout, &init::dev_chain())?;
    }
    let tls = match (
        args.mqtt_tls.or(file.mqtt_tls),
        args.tls_cert.or(file.tls_cert),
        args.tls_key.or(file.tls_key),
    ) {
        (None, ..) => None,
        (Some(address), Some(certificate), Some(key)) => Some(TlsListener { address, certificate, key }),
        _ => bail!("--mqtt-tls needs --tls-cert and --tls-key"),
    };
    let options = NodeOptions {
        layout,
        http: Some(args.http.or(file.http).unwrap_or(loopback(8080))),
        rpc: Some(args.rpc.or(file.rpc).unwrap_or(loopback(8545))),
        mqtt: MqttConfig {
            tcp: Some(args.mqtt.or(file.mqtt).unwrap_or(loopback(1883))),
            tls,
            ws: args.mqtt_ws.or(file.mqtt_ws),
            ..MqttConfig::default()
        },
        heartbeat: Duration::from_millis(args.heartbeat_ms.or(file.heartbeat_ms).unwrap_or(5000).max(100)),
        disk_reserve: args.disk_reserve_mib.or(file.disk_reserve_mib).map_or(DISK_RESERVE, |mib| mib << 20),
        history: match args.archive || (args.history.is_none() && file.archive.unwrap_or(false)) {
            true => triad_chain::ARCHIVE,
            false => args.history.or(file.history).unwrap_or(triad_chain::HISTORY),
        },
        snapshot_every: args.snapshot_every.or(file.snapshot_every).unwrap_or(triad_chain::SNAPSHOT_EVERY),
        retention: args
            .retention
            .as_ref()
            .or(file.retention.as_ref())
            .map(|text| duration(text))
            .transpose()?,
        verifiers: 2,
        network: file.network.as_ref().map(options_of).transpose()?,
        accept_journal_loss: args.accept_journal_loss,
        dev_accounts: if args.dev { dev_wallets().iter().map(|w| w.address()).collect() } else { Vec::new() },
    };
    let (dev, json, until_stdin_ends) = (args.dev, args.json, args.until_stdin_ends);
    let dir = options.layout.dir.clone();
    stopped::instead_of_panics("the node", &dir);
    let sync = args.snapshot_sync.map(|urls| sources(urls, file.network.as_ref()));
    block_on(async move {
        if let Some(from) = sync {
            let begun = begin(&options, &from, json).await;
            begun.map_err(|error| stopped::before_it_began(&dir, error))?;
        }
        let accepting = options.accept_journal_loss;
        let started = Node::start(options).await;
        let mut node = started.map_err(|error| stopped::before_it_began(&dir, error))?;
        match &node.accepted {
            Some(accepted) => eprintln!("triad: {accepted}"),
            None if accepting => {
                eprintln!("triad: the journal is all there: --accept-journal-loss was not needed")
            }
            None => {}
        }
        announce(&node, dev, json);
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            // At once: an orderly stop would wait for what failed.
            error = node.failed() => stopped::end(&dir, &format!("{error:#}")),
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
            () = stdin_end(until_stdin_ends) => {}
        }
        eprintln!("stopping: what is in flight becomes final first");
        node.stop().await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// A whole number and its unit.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    let total = number.parse::<u64>().ok().zip(seconds).and_then(|(n, s)| n.checked_mul(s));
    match total {
        Some(total) => Ok(Duration::from_secs(total)),
        None => bail!("`{text}` is no length of time: a whole number and s, m, h or d, as 30d"),
    }
}

/// Whom to ask for a snapshot: those named, else the configured peers.
fn sources(named: Vec<String>, network: Option<&config::NetworkConfig>) -> Vec<String> {
    if !named.is_empty() {
        return named;
    }
    let peers = network.iter().flat_map(|network| network.peers.iter().chain(&network.observers));
    peers.filter_map(|peer| Some(format!("http://{}", peer.http?))).collect()
}

/// Takes a snapshot where there is no chain yet.
async fn begin(options: &NodeOptions, from: &[String], quiet: bool) -> anyhow::Result<()> {
    let layout = &options.layout;
    if layout.chain().exists() {
        eprintln!("triad: {} holds a chain already: it goes on by blocks", layout.dir.display());
        return Ok(());
    }
    if options.network.is_none() {
        bail!(
            "--snapshot-sync is for a node of a network: a chain's only validator has nobody to take its state from. Restore              its data directory from a backup"
        );
    }
    let _lock = triad_consensus::lock(&layout.dir)?;
    let height = crate::snapshot_sync::run(layout, layout.spec()?, from, quiet).await?;
    eprintln!("triad: the state after block {height} is in place; what came after it follows by blocks");
    Ok(())
}

/// Resolves when the standard input ends, if that is asked for.
async fn stdin_end(wanted: bool) {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    if !wanted {
        return std::future::pending().await;
    }
    // A thread of its own: nothing waits for it when the node stops for another reason.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(ended);
    });
    let _ = end.await;
}

/// The configuration of a node of a network lives in its data directory.
fn beside(config: Option<&Path>, file: &FileConfig) -> Option<PathBuf> {
    file.network.as_ref()?;
    let dir = config?.parent()?;
    Some(if dir.as_os_str().is_empty() { ".".into() } else { dir.to_owned() })
}

fn options_of(network: &config::NetworkConfig) -> anyhow::Result<NetworkOptions> {
    let nodes = |list: &[config::PeerConfig]| {
        list.iter().map(|peer| Ok((peer.key()?, peer.address))).collect::<anyhow::Result<Vec<_>>>()
    };
    Ok(NetworkOptions {
        listen: network.listen,
        peers: nodes(&network.peers)?,
        observers: nodes(&network.observers)?,
        observer: network.observer,
    })
}

fn announce(node: &Node, dev: bool, json: bool) {
    let spec = node.reader.spec();
    let mqtt = &node.mqtt.addresses;
    if json {
        println!(
            "{}",
            serde_json::json!({
                "http": node.http, "rpc": node.rpc, "mqtt": mqtt.tcp, "mqtt_tls": mqtt.tls, "mqtt_ws": mqtt.ws,
                "chain_id": spec.genesis.chain_id, "genesis_hash": format!("0x{}", hex::encode(spec.hash)),
                "height": node.reader.height(),
            })
        );
        return;
    }
    println!(
        "Triad {} · chain {} · height {}",
        env!("CARGO_PKG_VERSION"),
        spec.genesis.chain_id,
        node.reader.height()
    );
    let show = |name: &str, scheme: &str, address: Option<SocketAddr>| {
        if let Some(address) = address {
            println!("  {name:9} {scheme}://{address}");
        }
    };
    show("HTTP", "http", node.http);
    show("JSON-RPC", "http", node.rpc);
    show("MQTT", "mqtt", mqtt.tcp);
    show("MQTT/TLS", "mqtts", mqtt.tls);
    show("MQTT/WS", "ws", mqtt.ws);
    if dev {
        println!("\n  DEV CHAIN: everybody knows these keys. Never send anything of value here.");
        for (i, wallet) in dev_wallets().iter().enumerate() {
            println!("  dev:{i}  {}  0x{}", wallet.address(), hex::encode(wallet.secret()));
        }
    }
    println!("\nCtrl-C stops it. Logs: --log info");
}
