//! `triad bench evm`: transfers through HTTP JSON-RPC, with anvil beside it in the same run, and on a large state.
//!
//! The same client sends the same pre-signed bytes to anvil and to a node on loopback, from [`SENDERS`] accounts. A node is
//! durable (every block is synced to disk before its transactions are shown), anvil keeps its state in memory.

mod anvil;
mod client;
mod setup;
mod table;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::Address;
use anyhow::Context as _;
use serde::Serialize;
use tokio::runtime::Runtime;

use self::anvil::Anvil;
use self::client::{LIGHT, Seen};
pub use self::work::recipient;
use self::work::{Kind, SENDERS, Work, senders};
use super::case::new_chain;
use super::cpu;
use super::machine::{Machine, disk_bytes, resident_bytes};
use crate::client::Rpc;
use crate::node::layout::{self, Layout, dev_wallets};
use crate::node::{Node, NodeOptions};

/// Recipients on the small state.
const FEW: u64 = 1_000;
/// Connections of the client.
const CONNECTIONS: usize = 4;

#[derive(Debug)]
pub struct Options {
    /// Transfers of a case.
    pub transfers: usize,
    /// Transfers on their way at once.
    pub window: usize,
    /// Accounts of the large state; 0 leaves it out.
    pub accounts: u64,
    pub anvil: Option<PathBuf>,
    pub data_dir: PathBuf,
}

/// What a node says that it spent, in seconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spent {
    /// Executing blocks, the roots included.
    pub execute_s: f64,
    /// Of that, the state root.
    pub state_root_s: f64,
    /// Committing blocks.
    pub commit_s: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub chain: &'static str,
    /// Accounts in the state before the case.
    pub accounts: u64,
    pub kind: Kind,
    pub transfers: usize,
    pub seconds: f64,
    pub transfers_per_s: f64,
    pub full_ms_p50: f64,
    pub full_ms_p99: f64,
    pub light_ms_p50: f64,
    pub light_ms_p99: f64,
    pub blocks: usize,
    /// The rest is of nodes only.
    pub spent: Option<Spent>,
    pub disk_bytes_per_transfer: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub cpu_s: Option<cpu::Seconds>,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub senders: usize,
    pub connections: usize,
    pub batch: usize,
    pub window: usize,
    pub anvil: Option<String>,
    pub outcomes: Vec<Outcome>,
}

impl Report {
    fn rate(&self, chain: &str, kind: Kind, large: bool) -> Option<f64> {
        let fits = |o: &&Outcome| o.chain == chain && o.kind == kind && (o.accounts > 2 * FEW) == large;
        self.outcomes.iter().find(fits).map(|o| o.transfers_per_s)
    }

    pub fn table(&self) -> String {
        table::evm(self)
    }
}

/// Runs all cases.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    std::fs::create_dir_all(&options.data_dir)?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&options.data_dir)?;
    let machine = Machine::look(dir.path())?;
    let mut report = Report {
        machine,
        senders: SENDERS,
        connections: CONNECTIONS,
        batch: work::BATCH,
        window: options.window,
        anvil: None,
        outcomes: Vec::new(),
    };
    let token = work::token_of(&dev_wallets().swap_remove(0));
    eprintln!("signing {} transfers", 2 * options.transfers);
    let few = Load::sign(options, token, FEW);
    match anvil::find(options.anvil.as_deref()) {
        None => eprintln!("anvil is not on PATH, and --anvil names none: Triad is measured alone"),
        Some(program) => {
            let outcomes = with_anvil(&program, options, &few)?;
            report.anvil = Some(outcomes.0);
            report.outcomes.extend(outcomes.1);
        }
    }
    let place = dir.path().join("small");
    report.outcomes.extend(with_node(&place, options, &few, FEW, false)?);
    // Room for the next one.
    std::fs::remove_dir_all(&place)?;
    if options.accounts > 0 {
        drop(few);
        eprintln!("signing {} transfers to {} accounts", 2 * options.transfers, options.accounts);
        let many = Load::sign(options, token, options.accounts);
        let place = dir.path().join("large");
        report.outcomes.extend(with_node(&place, options, &many, options.accounts, true)?);
    }
    Ok(report)
}

/// ERC-20 transfers a second, final, through the JSON-RPC door at `url` of a chain on which the first development account has
/// sent nothing yet.
pub fn erc20_per_s(url: &str, transfers: usize, window: usize) -> anyhow::Result<f64> {
    let token = work::token_of(&dev_wallets().swap_remove(0));
    let work = Arc::new(work::transfers(Kind::Erc20, token, transfers, 0, FEW, CONNECTIONS));
    on_client_thread(|runtime| {
        runtime.block_on(async {
            setup::prepare(&Rpc::new(url)?, FEW, true).await?;
            let seen = client::drive(url, &work, window).await?;
            client::check(url, &work, &seen).await?;
            Ok(work.hashes.len() as f64 / seen.seconds)
        })
    })
}

/// Both kinds of transfers, and a few to send one by one before each.
struct Load {
    work: [Arc<Work>; 2],
    light: [Vec<Vec<u8>>; 2],
}

impl Load {
    fn sign(options: &Options, token: Address, recipients: u64) -> Load {
        // Nonces 0 is the light load's of plain transfers, then come the full load's, and so on.
        let light_each = LIGHT.div_ceil(SENDERS) as u64;
        let full_each = options.transfers.div_ceil(SENDERS) as u64;
        let second = light_each + full_each;
        let full = |kind, nonce| {
            Arc::new(work::transfers(kind, token, options.transfers, nonce, recipients, CONNECTIONS))
        };
        let light = |kind, nonce| -> Vec<Vec<u8>> {
            let wallets = senders();
            let one = |n: usize| {
                let nonce = nonce + (n / SENDERS) as u64;
                work::transfer(kind, token, &wallets[n % SENDERS], nonce, work::recipient(n as u64))
            };
            (0..light_each as usize * SENDERS).map(one).collect()
        };
        Load {
            work: [full(Kind::Plain, light_each), full(Kind::Erc20, second + light_each)],
            light: [light(Kind::Plain, 0), light(Kind::Erc20, second)],
        }
    }
}

fn with_anvil(program: &Path, options: &Options, load: &Load) -> anyhow::Result<(String, Vec<Outcome>)> {
    on_client_thread(|runtime| {
        runtime.block_on(async {
            let anvil = Anvil::start(program).await?;
            eprintln!("{}", anvil.version);
            let rpc = Rpc::new(&anvil.url)?;
            let mining = tokio::spawn(Anvil::mine(anvil.url.clone()));
            let measured = async {
                setup::prepare(&rpc, FEW, true).await?;
                let mut outcomes = Vec::new();
                for (work, light) in load.work.iter().zip(&load.light) {
                    let light = client::one_by_one(&anvil.url, light).await?;
                    let full = client::drive(&anvil.url, work, options.window).await?;
                    client::check(&anvil.url, work, &full).await?;
                    outcomes.push(outcome("anvil", FEW, work, full, light));
                }
                anyhow::Ok(outcomes)
            };
            let outcomes = tokio::select! {
                outcomes = measured => outcomes?,
                stopped = mining => stopped?.and(Err(anyhow::anyhow!("anvil mines no more")))?,
            };
            Ok((anvil.version.clone(), outcomes))
        })
    })
}

fn with_node(
    dir: &Path,
    options: &Options,
    load: &Load,
    accounts: u64,
    large: bool,
) -> anyhow::Result<Vec<Outcome>> {
    let layout = Layout::new(dir);
    let wallet = dev_wallets().swap_remove(0);
    let recipients = if large { accounts } else { 0 };
    let mut new = new_chain(&wallet);
    new.funded.extend((0..recipients).map(work::recipient));
    let started = Instant::now();
    layout::create(&layout, &new)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("doors").build()?;
    let node = runtime.block_on(Node::start(NodeOptions::on_free_ports(layout)))?;
    let url = format!("http://{}", node.rpc.context("the JSON-RPC door is not open")?);
    let api = format!("http://{}", node.http.context("the HTTP door is not open")?);
    let outcomes = on_client_thread(|runtime| {
        runtime.block_on(async {
            setup::prepare(&Rpc::new(&url)?, accounts, !large).await?;
            eprintln!(
                "a node with {accounts} accounts and holders stands after {:.0} s",
                started.elapsed().as_secs_f64()
            );
            let mut outcomes = Vec::new();
            for (work, light) in load.work.iter().zip(&load.light) {
                let light = client::one_by_one(&url, light).await?;
                let (disk, spent, cpu) = (disk_bytes(dir), spent(&api).await?, cpu::now());
                let full = client::drive(&url, work, options.window).await?;
                let cpu = cpu::between(&cpu, &cpu::now());
                let spent = spent_between(&spent, &self::spent(&api).await?);
                let grown = disk_bytes(dir).saturating_sub(disk) as f64;
                client::check(&url, work, &full).await?;
                let mut outcome = outcome("triad", accounts, work, full, light);
                (outcome.cpu_s, outcome.spent) = (Some(cpu), Some(spent));
                outcome.disk_bytes_per_transfer = Some(grown / outcome.transfers as f64);
                outcome.resident_bytes = Some(resident_bytes());
                outcomes.push(outcome);
            }
            Ok(outcomes)
        })
    })?;
    runtime.block_on(node.stop())?;
    runtime.shutdown_timeout(Duration::from_secs(10));
    Ok(outcomes)
}

fn outcome(chain: &'static str, accounts: u64, work: &Work, mut full: Seen, mut light: Seen) -> Outcome {
    let transfers = work.hashes.len();
    let per_s = transfers as f64 / full.seconds;
    eprintln!("  {chain}, {accounts} accounts: {per_s:.0} {}/s", work.kind.name());
    Outcome {
        chain,
        accounts,
        kind: work.kind,
        transfers,
        seconds: full.seconds,
        transfers_per_s: per_s,
        full_ms_p50: full.percentile(50),
        full_ms_p99: full.percentile(99),
        light_ms_p50: light.percentile(50),
        light_ms_p99: light.percentile(99),
        blocks: full.blocks.clone().count(),
        spent: None,
        disk_bytes_per_transfer: None,
        resident_bytes: None,
        cpu_s: None,
    }
}

/// From the node's metrics.
async fn spent(api: &str) -> anyhow::Result<Spent> {
    let text = reqwest::get(format!("{api}/metrics")).await?.text().await?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse::<f64>().ok()).with_context(|| format!("no metric {name}"))
    };
    Ok(Spent {
        execute_s: value("triad_execute_seconds_total")?,
        state_root_s: value("triad_state_root_seconds_total")?,
        commit_s: value("triad_commit_seconds_sum")?,
    })
}

fn spent_between(before: &Spent, after: &Spent) -> Spent {
    Spent {
        execute_s: after.execute_s - before.execute_s,
        state_root_s: after.state_root_s - before.state_root_s,
        commit_s: after.commit_s - before.commit_s,
    }
}

/// Runs the client on a thread of its own, whose CPU time is told apart by its name.
fn on_client_thread<T: Send>(client: impl FnOnce(Runtime) -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(cpu::CLIENT.into()).spawn_scoped(scope, || {
            client(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
