//! `triad network`

mod change;
mod evidence;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use triad_chain::Validator;

use super::init::{self, ChainArgs};
use super::{Done, block_on};
use crate::config::{FileConfig, NetworkConfig, PeerConfig};
use crate::network::files::{self, CONFIG};
use crate::network::local::LocalNode;
use crate::network::table::{Row, render};
use crate::node::layout::{Layout, NewChain, ValidatorKeys, read_genesis};
use change::{ApproveArgs, ChangeArgs, SubmitArgs, ValidatorsArgs};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Create a network whose nodes all begin on this machine: genesis, keys, a configuration a node.
    New(New),
    /// Run a whole network on this machine, with a live table, until Ctrl-C.
    Up(Up),
    /// Show who is in reach and how far everybody is.
    Status(Status),
    /// List the proofs that validators voted twice, or check one offline.
    Evidence(evidence::Args),
    /// Make a validator's keys where they will live, and print what the others may know of them.
    Key(Key),
    /// Put the validators' public entries together into a genesis file.
    Genesis(GenesisArgs),
    /// Write the configuration of a node, from the genesis file and the address of one node.
    Join(Join),
    /// Show who decides blocks now and in the next epoch.
    Validators(ValidatorsArgs),
    /// Propose other validators, or a rule that all follow from a block on.
    Change(ChangeArgs),
    /// Sign a proposed change with a validator's key.
    Approve(ApproveArgs),
    /// Send a change that a quorum approved.
    Submit(SubmitArgs),
}

/// What a new chain is like.
#[derive(Debug, Clone, clap::Args)]
pub struct Chain {
    #[command(flatten)]
    given: ChainArgs,
    /// To try things on: registration is open and the well-known development accounts hold coins.
    #[arg(long)]
    dev: bool,
}

impl Chain {
    fn to_new(&self) -> NewChain {
        let mut new = self.given.to_new();
        if self.dev {
            let dev = init::dev_chain();
            new.open_registration = true;
            new.registrars.extend(dev.registrars);
            new.funded.extend(dev.funded);
        }
        new
    }
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  triad network new --validators 4 --out ./net --dev\n  triad node --config ./net/node-0/node.toml     (and so on, each in a terminal)\n\nAll listen on the loopback only. Where each party has a machine of its own, see `triad network key`, `genesis` and `join`:\nno secret is ever sent then."
)]
pub struct New {
    /// How many nodes vote; 4 is the least that survives one failing.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Where the files go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    chain: Chain,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  triad network up --validators 4")]
pub struct Up {
    /// How many nodes vote, when the network is created.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// The network's directory; created with `--dev` accounts if it holds none [default: a temporary one, gone afterwards].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// End by itself after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
}

#[derive(Debug, clap::Args)]
pub struct Status {
    /// The HTTP API of any node of the network.
    #[arg(long, env = "TRIAD_API", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api: String,
    /// Print what the node says, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example, on each party's machine:\n  triad network key --data-dir ./plant --name acme > acme.json\nGive acme.json to whoever makes the genesis file. validator.json stays."
)]
pub struct Key {
    /// Where the keys will live.
    #[arg(long, env = "TRIAD_DATA_DIR", default_value = "triad-data")]
    data_dir: PathBuf,
    /// The party's name, as all will see it.
    #[arg(long)]
    name: String,
    /// EIP-155 chain id of the network.
    #[arg(long, default_value_t = 7423)]
    chain_id: u64,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  triad network genesis --entry acme.json --entry bolt.json … --out genesis.json"
)]
pub struct GenesisArgs {
    /// Public entries made by `triad network key`.
    #[arg(long = "entry", required = true, value_name = "FILE")]
    entries: Vec<PathBuf>,
    /// The genesis file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    chain: Chain,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  triad network join --genesis genesis.json --from http://10.0.0.1:8080 --data-dir ./plant --listen 10.0.0.5:7424\n  triad network join --genesis genesis.json --peer 8f…=10.0.0.1:7424 --peer … --data-dir ./plant --listen 10.0.0.5:7424\n\nA key that genesis names votes; any other follows as an observer, once the validators list it under [[network.observers]]."
)]
pub struct Join {
    /// The chain's genesis file.
    #[arg(long)]
    genesis: PathBuf,
    /// HTTP API of a node that runs: it says where the others are.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Key and address of a validator; instead of --from, or to correct it.
    #[arg(long = "peer", value_name = "KEY=ADDRESS")]
    peers: Vec<String>,
    /// Data directory. Keys in it are used, else new ones are made, which follow without voting.
    #[arg(long, env = "TRIAD_DATA_DIR", default_value = "triad-data")]
    data_dir: PathBuf,
    /// Where the other nodes reach this one.
    #[arg(long)]
    listen: std::net::SocketAddr,
}

pub fn run(command: Command) -> Done {
    match command {
        Command::New(args) => new(&args),
        Command::Up(args) => up(&args),
        Command::Status(args) => status(&args),
        Command::Evidence(args) => evidence::run(args),
        Command::Key(args) => key(&args),
        Command::Genesis(args) => genesis(&args),
        Command::Join(args) => join(&args),
        Command::Validators(args) => change::validators(&args),
        Command::Change(args) => change::change(&args),
        Command::Approve(args) => change::approve(&args),
        Command::Submit(args) => change::submit(&args),
    }
}

fn new(args: &New) -> Done {
    let spec = files::create(&args.out, args.validators, &args.chain.to_new())?;
    let hash = format!("0x{}", hex::encode(spec.hash));
    let configs: Vec<PathBuf> = files::node_dirs(&args.out)?.iter().map(|dir| dir.join(CONFIG)).collect();
    if args.json {
        println!(
            "{}",
            json!({"genesis": args.out.join("genesis.json"), "genesis_hash": hash, "configs": configs})
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("Created a network of {} validators in {}", args.validators, args.out.display());
    println!("  genesis  {}  (public)", args.out.join("genesis.json").display());
    println!("  hash     {hash}");
    println!("Start it whole:     triad network up --dir {}", args.out.display());
    println!("or node by node:");
    for config in configs {
        println!("  triad node --config {}", config.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn up(args: &Up) -> Done {
    let temporary;
    let dir: &Path = match &args.dir {
        Some(dir) => dir,
        None => {
            temporary = tempfile::Builder::new().prefix("triad-network-").tempdir()?;
            temporary.path()
        }
    };
    if !dir.join("genesis.json").exists() {
        files::create(dir, args.validators, &init::dev_chain())?;
    }
    let dirs = files::node_dirs(dir)?;
    let mut nodes = Vec::new();
    for dir in &dirs {
        nodes.push(LocalNode::start(dir)?);
    }
    println!("{} nodes run in {} (their logs: node.log). Ctrl-C stops them.\n", nodes.len(), dir.display());
    let watched: Vec<(String, String)> =
        nodes.iter().enumerate().map(|(i, node)| (format!("node {i}"), node.http.clone())).collect();
    let ended = block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let limit = args.duration.map_or(Duration::MAX, Duration::from_secs);
        let watching = async {
            tokio::select! {
                ended = watch(&watched, &mut nodes) => ended.map(Some),
                () = tokio::time::sleep(limit.min(Duration::from_secs(1 << 30))) => Ok(None),
            }
        };
        tokio::select! {
            ended = watching => ended,
            _ = tokio::signal::ctrl_c() => Ok(None),
            _ = terminate.recv() => Ok(None),
        }
    })?;
    eprintln!("stopping {} nodes", nodes.len());
    for node in &mut nodes {
        node.ask_to_stop();
    }
    for node in &mut nodes {
        node.stop();
    }
    match ended {
        Some(why) => bail!("{why}"),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Shows the table each second until a node ends by itself.
async fn watch(nodes: &[(String, String)], children: &mut [LocalNode]) -> anyhow::Result<String> {
    let client = client()?;
    let terminal = std::io::stdout().is_terminal();
    let mut drawn = 0;
    for second in 0u64.. {
        for child in children.iter_mut() {
            if let Some(status) = child.ended() {
                return Ok(format!(
                    "the node in {} (process {}) ended: {status}; its node.log says why",
                    child.dir.display(),
                    child.id()
                ));
            }
        }
        let rows = futures::future::join_all(nodes.iter().map(|(name, http)| row(&client, name, http))).await;
        let table = render(&rows);
        // Where nobody looks at a screen, a table now and then.
        if terminal || second.is_multiple_of(5) {
            let mut out = std::io::stdout().lock();
            if terminal && drawn > 0 {
                write!(out, "\x1b[{drawn}A\x1b[J")?;
            }
            write!(out, "{table}")?;
            out.flush()?;
            drawn = table.lines().count();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(String::new())
}

fn client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?)
}

async fn row(client: &reqwest::Client, name: &str, http: &str) -> Row {
    let get = |path: &str| client.get(format!("{http}{path}")).send();
    let network: Option<Value> = match get("/v1/network").await {
        Ok(answer) => answer.json().await.ok(),
        Err(_) => None,
    };
    let not_ready = match get("/readyz").await {
        Ok(answer) if !answer.status().is_success() => {
            let problem: Value = answer.json().await.unwrap_or_default();
            problem["detail"].as_str().map(str::to_owned)
        }
        _ => None,
    };
    let name = network.as_ref().and_then(|n| n["name"].as_str()).unwrap_or(name).to_owned();
    Row { name, at: http.to_owned(), network, not_ready }
}

fn status(args: &Status) -> Done {
    let client = client()?;
    let base = args.api.trim_end_matches('/').to_owned();
    let base = if base.contains("://") { base } else { format!("http://{base}") };
    block_on(async move {
        let own = row(&client, "this node", &base).await;
        let Some(network) = own.network.clone() else {
            bail!("no node answers at {base}: is it running, and is --api right?");
        };
        if args.json {
            println!("{network}");
            return Ok(ExitCode::SUCCESS);
        }
        let mut rows = vec![own];
        let empty = Vec::new();
        for node in network["nodes"].as_array().unwrap_or(&empty) {
            if node["self"] == true {
                continue;
            }
            let name = node["name"].as_str().unwrap_or("?").to_owned();
            let asked = match node["http"].as_str().filter(|http| !http.is_empty()) {
                Some(http) => Some(row(&client, &name, &format!("http://{http}")).await),
                None => None,
            };
            // Where its API cannot be reached from here, what this node heard of it must do.
            rows.push(match asked {
                Some(row) if row.network.is_some() => row,
                _ => heard(&name, node),
            });
        }
        print!("{}", render(&rows));
        match network["evidence"].as_u64() {
            None | Some(0) => {}
            Some(n) => {
                println!("\nThis node holds {n} proofs that a validator voted twice: triad network evidence")
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A node as another one knows it.
fn heard(name: &str, node: &Value) -> Row {
    let connected = node["connected"] == true;
    Row {
        name: name.to_owned(),
        at: node["address"].as_str().unwrap_or("-").to_owned(),
        network: connected.then(|| json!({"role": node["role"], "height": node["height"]})),
        not_ready: connected.then(|| "in reach; its API is not".to_owned()),
    }
}

fn key(args: &Key) -> Done {
    let layout = Layout::new(&args.data_dir);
    std::fs::create_dir_all(&layout.dir)
        .with_context(|| format!("cannot create {}", layout.dir.display()))?;
    let keys = ValidatorKeys::generate()?;
    keys.write(&layout)?;
    let entry = keys.entry(&args.name, args.chain_id)?;
    println!("{}", serde_json::to_string_pretty(&entry)?);
    eprintln!("The secret keys are in {}: they never leave this machine.", layout.validator().display());
    Ok(ExitCode::SUCCESS)
}

fn genesis(args: &GenesisArgs) -> Done {
    let mut entries: Vec<Validator> = Vec::new();
    for path in &args.entries {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let entry = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `triad network key` prints", path.display()))?;
        entries.push(entry);
    }
    if args.out.exists() {
        bail!("{} is there already", args.out.display());
    }
    let spec = args.chain.to_new().spec(entries)?;
    std::fs::write(&args.out, spec.to_json())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("{} validators; hash 0x{}", spec.genesis.validators.len(), hex::encode(spec.hash));
    println!("All parties compare the hash, then: triad network join --genesis {} …", args.out.display());
    Ok(ExitCode::SUCCESS)
}

fn join(args: &Join) -> Done {
    let spec = read_genesis(&args.genesis)?;
    let layout = Layout::new(&args.data_dir);
    std::fs::create_dir_all(&layout.dir)
        .with_context(|| format!("cannot create {}", layout.dir.display()))?;
    if !layout.validator().exists() {
        ValidatorKeys::generate()?.write(&layout)?;
    }
    let own = triad_consensus::public_key(&ValidatorKeys::load(&layout.validator())?.consensus()?);
    let mut known: Vec<PeerConfig> = Vec::new();
    if let Some(from) = &args.from {
        known = block_on(ask_for_peers(from))?;
    }
    for peer in &args.peers {
        let (key, address) = peer.split_once('=').context("--peer is KEY=ADDRESS")?;
        let address = address.parse().with_context(|| format!("`{address}` is no address"))?;
        known.retain(|p| p.key != key);
        known.push(PeerConfig { name: String::new(), key: key.to_owned(), address, http: None });
    }
    let observer = !spec.genesis.validators.iter().any(|v| v.consensus_key.as_ref() == own);
    let mut peers = Vec::new();
    for validator in &spec.genesis.validators {
        let key = hex::encode(&validator.consensus_key);
        if validator.consensus_key.as_ref() == own {
            continue;
        }
        match known.iter().find(|p| p.key == key) {
            Some(peer) => peers.push(PeerConfig { name: validator.name.clone(), ..peer.clone() }),
            // It may be no validator any more; who follows can do without.
            None if observer => {}
            None => bail!("where is validator `{}`? Say --peer {key}=ADDRESS", validator.name),
        }
    }
    for other in known.iter().filter(|_| observer) {
        if other.key != hex::encode(own) && peers.iter().all(|p| p.key != other.key) {
            peers.push(other.clone());
        }
    }
    let network = NetworkConfig { listen: args.listen, observer, peers, observers: Vec::new() };
    let config = FileConfig { network: Some(network), ..FileConfig::default() };
    let genesis = layout.genesis();
    if !genesis.exists() {
        std::fs::copy(&args.genesis, &genesis)
            .with_context(|| format!("cannot write {}", genesis.display()))?;
    }
    let path = layout.dir.join(CONFIG);
    files::write_config(&path, &config)?;
    if observer {
        println!("This node follows without voting. Each validator must admit it, in its configuration:");
        println!(
            "  [[network.observers]]\n  key = \"{}\"\n  address = \"{}\"",
            hex::encode(own),
            args.listen
        );
    }
    println!("Start it:  triad node --config {}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// Keys and addresses of the nodes that a running one knows.
async fn ask_for_peers(from: &str) -> anyhow::Result<Vec<PeerConfig>> {
    let base = if from.contains("://") { from.to_owned() } else { format!("http://{from}") };
    let url = format!("{}/v1/network", base.trim_end_matches('/'));
    let answer = client()?.get(&url).send().await.with_context(|| format!("no node answers at {base}"))?;
    let network: Value = answer.json().await.context("the node's answer is not JSON")?;
    let nodes = network["nodes"].as_array().context("the node does not say who the others are")?;
    let peer = |node: &Value| {
        Some(PeerConfig {
            name: node["name"].as_str()?.to_owned(),
            key: node["key"].as_str()?.to_owned(),
            address: node["address"].as_str()?.parse().ok()?,
            http: node["http"].as_str().and_then(|http| http.parse().ok()),
        })
    };
    Ok(nodes.iter().filter_map(peer).collect())
}
