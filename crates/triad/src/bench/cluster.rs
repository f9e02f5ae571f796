//! Networks of several validators as processes of this machine, a load through one door.
//!
//! All of them and the client share the cores, so statements/s says little by itself; CPU and loopback bytes a statement
//! mean something elsewhere, too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::case::{new_chain, registrations};
use super::fleet::{Fleet, Pool};
use super::load::{Plan, Run, on_client_thread};
use super::machine::Machine;
use super::{count, cpu, evm, mqtt};
use crate::client::{Api, Rpc};
use crate::commands::block_on;
use crate::network::files;
use crate::network::local::LocalNode;
use crate::node::layout::{Layout, dev_wallets};

/// Time between two statements under light load.
const LIGHT_PACE: Duration = Duration::from_millis(20);
const LIGHT: Duration = Duration::from_secs(5);
/// Connections of the client, each with 1,024 statements in flight.
const CONNECTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);
/// ERC-20 transfers on their way at once.
const WINDOW: usize = 8000;

#[derive(Debug)]
pub struct Options {
    pub validators: Vec<usize>,
    pub seconds: u64,
    pub devices: usize,
    pub statements: usize,
    /// ERC-20 transfers; 0: none.
    pub transfers: usize,
    pub data_dir: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub cases: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
pub struct Outcome {
    pub validators: usize,
    pub seconds: f64,
    pub acknowledged: usize,
    /// Acknowledged and not in the door's ledger afterwards.
    pub missing: usize,
    pub statements_per_s: f64,
    pub light_ms_p50: f64,
    pub light_ms_p99: f64,
    pub full_ms_p50: f64,
    pub full_ms_p99: f64,
    /// CPU microseconds a statement, of all nodes together.
    pub cpu_us_per_statement: f64,
    /// Bytes over the loopback a statement, TCP, votes, gossip, blocks and the client's own traffic included.
    pub loopback_bytes_per_statement: f64,
    pub statement_bytes: f64,
    /// Bytes that a validator received from the others a statement: votes, gossip, blocks; before encryption.
    pub wire_bytes_per_statement: f64,
    /// ERC-20 transfers a second, through one door.
    pub transfers_per_s: Option<f64>,
    /// A node that was off while the full load ran again, from its start until it has everything.
    pub catch_up: Option<CatchUp>,
    /// From the leader's SIGKILL to the acknowledgement of the first statement sent after it through another node.
    pub leader_killed_ms: Option<f64>,
    /// From the killed node's start until it has everything and takes work again.
    pub back_s: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct CatchUp {
    pub blocks: u64,
    pub statements: usize,
    pub seconds: f64,
    pub blocks_per_s: f64,
    pub statements_per_s: f64,
}

pub fn run(options: &Options) -> anyhow::Result<Report> {
    let machine = Machine::look(&options.data_dir)?;
    let fleet = Fleet::new(options.devices)?;
    let pool = Arc::new(fleet.sign(1, options.statements));
    let mut cases = Vec::new();
    for n in &options.validators {
        let scratch = tempfile::Builder::new().prefix("bench-cluster-").tempdir_in(&options.data_dir)?;
        let outcome = network(*n, options, &fleet, &pool, scratch.path())?;
        eprintln!("  {n} validators: {:.0} statements/s", outcome.statements_per_s);
        cases.push(outcome);
    }
    Ok(Report { machine, cases })
}

fn network(
    n: usize,
    options: &Options,
    fleet: &Fleet,
    pool: &Arc<Pool>,
    scratch: &Path,
) -> anyhow::Result<Outcome> {
    let mut wallets = dev_wallets();
    // The first one deploys the token.
    let (wallet, deployer) = (wallets.swap_remove(1), wallets.swap_remove(0));
    let mut new = new_chain(&wallet);
    new.funded.push(deployer.address());
    let dir = scratch.join("net");
    files::create(&dir, n, &new)?;
    let dirs = files::node_dirs(&dir)?;
    let mut nodes = dirs.iter().map(|dir| LocalNode::start(dir)).collect::<anyhow::Result<Vec<_>>>()?;
    wait_ready(&nodes)?;
    let (rpc, api) = (Rpc::new(&nodes[0].rpc)?, Api::new(&nodes[0].http)?);
    block_on(async {
        for raw in registrations(&wallet, fleet) {
            rpc.call("eth_sendRawTransaction", json!([format!("0x{}", hex::encode(raw))])).await?;
        }
        let last = fleet.public.last().context("no devices")?.id();
        let since = Instant::now();
        while api.get(&format!("/v1/devices/{last}")).await.is_err() {
            ensure!(since.elapsed() < PATIENCE, "the devices are not registered after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    })?;
    let mut light = load(&nodes[0], 1, pool, Plan { from: 0, time: LIGHT, pace: Some(LIGHT_PACE) })?;
    let used = |nodes: &[LocalNode]| nodes.iter().map(|node| cpu::of_process(node.id())).sum::<f64>();
    let (cpu_before, bytes_before, wire_before) = (used(&nodes), loopback_bytes(), received(&nodes)?);
    let time = Duration::from_secs(options.seconds);
    let mut full = load(&nodes[0], CONNECTIONS, pool, Plan { from: light.next, time, pace: None })?;
    let cpu_s = used(&nodes) - cpu_before;
    let bytes = loopback_bytes().saturating_sub(bytes_before);
    let wire = received(&nodes)?.saturating_sub(wire_before);
    let mut next = full.next;
    let mut acknowledged: Vec<u32> = light.acknowledged.iter().chain(&full.acknowledged).copied().collect();
    let transfers_per_s = match options.transfers {
        0 => None,
        transfers => Some(evm::erc20_per_s(&nodes[0].rpc, transfers, WINDOW)?),
    };
    let (mut leader_killed_ms, mut back_s, mut catch_up) = (None, None, None);
    if n >= 4 {
        let (off, before) = (n - 1, height(&nodes[n - 1])?);
        nodes[off].kill();
        let more = load(&nodes[0], CONNECTIONS, pool, Plan { from: next, time, pace: None })?;
        next = more.next;
        acknowledged.extend(&more.acknowledged);
        let since = Instant::now();
        nodes[off] = LocalNode::start(&dirs[off])?;
        wait_level(&nodes)?;
        let (seconds, statements) = (since.elapsed().as_secs_f64(), more.acknowledged.len());
        let blocks = height(&nodes[off])?.saturating_sub(before);
        catch_up = Some(CatchUp {
            blocks,
            statements,
            seconds,
            blocks_per_s: blocks as f64 / seconds,
            statements_per_s: statements as f64 / seconds,
        });
        wait_ready(&nodes)?;
        let leader = leader(&nodes)?;
        let other = (leader + 1) % n;
        nodes[leader].kill();
        let killed = Instant::now();
        loop {
            let plan = Plan { from: next, time: Duration::from_millis(10), pace: Some(LIGHT_PACE) };
            let after = load(&nodes[other], 1, pool, plan)?;
            next = after.next;
            acknowledged.extend(&after.acknowledged);
            if !after.acknowledged.is_empty() {
                leader_killed_ms = Some(killed.elapsed().as_secs_f64() * 1e3);
                break;
            }
            ensure!(killed.elapsed() < PATIENCE, "nothing is acknowledged after the leader's end");
        }
        let since = Instant::now();
        nodes[leader] = LocalNode::start(&dirs[leader])?;
        wait_ready(&nodes)?;
        back_s = Some(since.elapsed().as_secs_f64());
    }
    // A statement is stored where it was acknowledged; this door's ledger has it once it is as far as the others.
    wait_level(&nodes)?;
    let door = dirs[0].clone();
    for node in &mut nodes {
        node.ask_to_stop();
    }
    drop(nodes);
    let found = count::count(&Layout::new(door), fleet, next)?;
    let missing = acknowledged.iter().filter(|i| !found.seen[**i as usize]).count();
    let done = full.acknowledged.len().max(1) as f64;
    Ok(Outcome {
        validators: n,
        seconds: full.seconds(),
        acknowledged: acknowledged.len(),
        missing,
        statements_per_s: full.acknowledged.len() as f64 / full.seconds(),
        light_ms_p50: light.percentile(50),
        light_ms_p99: light.percentile(99),
        full_ms_p50: full.percentile(50),
        full_ms_p99: full.percentile(99),
        cpu_us_per_statement: cpu_s * 1e6 / done,
        loopback_bytes_per_statement: bytes as f64 / done,
        statement_bytes: pool.bytes() as f64 / pool.statements.len().max(1) as f64,
        wire_bytes_per_statement: wire as f64 / n as f64 / done,
        transfers_per_s,
        catch_up,
        leader_killed_ms,
        back_s,
    })
}

fn load(node: &LocalNode, connections: usize, pool: &Arc<Pool>, plan: Plan) -> anyhow::Result<Run> {
    let (address, pool) = (node.mqtt.context("the MQTT door is not open")?, pool.clone());
    on_client_thread(move || mqtt::run(address, connections, pool, plan))
}

fn wait_ready(nodes: &[LocalNode]) -> anyhow::Result<()> {
    let since = Instant::now();
    for node in nodes {
        let api = Api::new(&node.http)?;
        while block_on(api.get("/readyz")).is_err() {
            ensure!(since.elapsed() < PATIENCE, "{} is not ready after {PATIENCE:?}", node.dir.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn height(node: &LocalNode) -> anyhow::Result<u64> {
    let status = block_on(Api::new(&node.http)?.get("/v1/status"))?;
    status["height"].as_u64().context("a status without a height")
}

/// Waits until every node has the highest block that any of them has now.
fn wait_level(nodes: &[LocalNode]) -> anyhow::Result<()> {
    let since = Instant::now();
    let all = nodes.iter().map(height).collect::<anyhow::Result<Vec<u64>>>()?;
    let highest = all.into_iter().max().unwrap_or(0);
    for node in nodes {
        while height(node)? < highest {
            ensure!(since.elapsed() < PATIENCE, "{} lacks block {highest}", node.dir.display());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Bytes that all nodes together received from each other so far.
fn received(nodes: &[LocalNode]) -> anyhow::Result<u64> {
    let mut sum = 0;
    for node in nodes {
        let network = block_on(Api::new(&node.http)?.get("/v1/network"))?;
        let all = network["nodes"].as_array().cloned().unwrap_or_default();
        sum += all.iter().filter_map(|other| other["bytes_received"].as_u64()).sum::<u64>();
    }
    Ok(sum)
}

/// Index of the node that leads now.
fn leader(nodes: &[LocalNode]) -> anyhow::Result<usize> {
    let api = Api::new(&nodes[0].http)?;
    let network: Value = block_on(api.get("/v1/network"))?;
    let name = network["leader"].as_str().context("nobody leads")?;
    // Named as their directories are numbered.
    name.strip_prefix("validator-").and_then(|i| i.parse().ok()).context("a leader of another name")
}

/// What the loopback interface has received so far.
fn loopback_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

pub fn table(report: &Report) -> String {
    let m = &report.machine;
    let mut out = format!(
        "{} cores, {}, {} ({:.0} fsyncs/s); all nodes and the client on this machine\n\n\
         | validators | statements/s | light ms p50 / p99 | full ms p50 / p99 | CPU µs a statement, all | bytes a statement (of {:.0}) that \
         a validator receives | over the loopback, all | ERC-20 transfers/s | catch-up: blocks/s, statements/s | leader killed: next final after | killed node back after |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        m.cores,
        m.cpu,
        m.file_system,
        m.fsyncs_per_s,
        report.cases.first().map_or(0.0, |c| c.statement_bytes),
    );
    for c in &report.cases {
        let or_none = |x: Option<String>| x.unwrap_or_else(|| "-".into());
        out.push_str(&format!(
            "| {} | {:.0} | {:.0} / {:.0} | {:.0} / {:.0} | {:.1} | {:.0} | {:.0} | {} | {} | {} | {} |\n",
            c.validators,
            c.statements_per_s,
            c.light_ms_p50,
            c.light_ms_p99,
            c.full_ms_p50,
            c.full_ms_p99,
            c.cpu_us_per_statement,
            c.wire_bytes_per_statement,
            c.loopback_bytes_per_statement,
            or_none(c.transfers_per_s.map(|rate| format!("{rate:.0}"))),
            or_none(c.catch_up.as_ref().map(|c| format!("{:.0}, {:.0}", c.blocks_per_s, c.statements_per_s))),
            or_none(c.leader_killed_ms.map(|ms| format!("{ms:.0} ms"))),
            or_none(c.back_s.map(|s| format!("{s:.1} s"))),
        ));
        if c.missing > 0 {
            out.push_str(&format!("{} of {} acknowledged ones are MISSING\n", c.missing, c.acknowledged));
        }
    }
    out
}
