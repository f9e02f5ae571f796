//! `triad bench snapshot`: making a snapshot of a large state beside the running chain, and beginning with it elsewhere.
//!
//! One node with many accounts and a log of many leaves makes one after a block; the time is from that block's commit until the snapshot can be
//! fetched, while blocks go on. Then it is read back as a node that joins does, chunks checked, tries built, roots compared; the way over
//! a network is not in it. Of the log a snapshot has only the right edge; the older hashes are handed over tile by tile and checked as a node does that
//! fetches them, again without the network.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::runtime::Runtime;
use triad_chain::{Ledger, Reader, import, read_head};

use super::case::{new_chain, registered, registrations};
use super::evm::recipient;
use super::fleet::Fleet;
use super::load::{Plan, on_client_thread};
use super::local;
use super::machine::Machine;
use crate::node::layout::{self, Layout, NewChain, dev_wallets};
use crate::node::{Node, NodeOptions};

const EVERY: u64 = 8;
const HEARTBEAT: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(2);
const DEVICES: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Options {
    pub accounts: u64,
    /// Statements that the log has, one leaf each.
    pub leaves: usize,
    pub data_dir: PathBuf,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub accounts: u64,
    pub chunks: usize,
    pub bytes: u64,
    pub made_s: f64,
    /// Blocks that became final meanwhile.
    pub blocks: u64,
    pub import_s: f64,
    pub open_s: f64,
    /// Leaves of the log.
    pub leaves: u64,
    /// Bytes of the log's older hashes, and how long taking and checking them took.
    pub hash_bytes: usize,
    pub hashes_s: f64,
}

impl Report {
    pub fn table(&self) -> String {
        format!(
            "{}\n\n| accounts | chunks | MiB | made in s | blocks meanwhile | imported in s | opened in s | leaves | older hashes, MiB | \
             taken in s |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n\
             | {} | {} | {:.1} | {:.1} | {} | {:.1} | {:.2} | {} | {:.1} | {:.1} |\n",
            format_args!(
                "{} cores, {}; {}, {:.0} fsyncs/s",
                self.machine.cores, self.machine.cpu, self.machine.file_system, self.machine.fsyncs_per_s
            ),
            self.accounts,
            self.chunks,
            self.bytes as f64 / f64::from(1 << 20),
            self.made_s,
            self.blocks,
            self.import_s,
            self.open_s,
            self.leaves,
            self.hash_bytes as f64 / f64::from(1 << 20),
            self.hashes_s,
        )
    }
}

pub fn run(options: &Options) -> anyhow::Result<Report> {
    std::fs::create_dir_all(&options.data_dir)?;
    let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(&options.data_dir)?;
    let machine = Machine::look(dir.path())?;
    let layout = Layout::new(dir.path().join("node"));
    let base = new_chain(&dev_wallets().swap_remove(0));
    let funded = base.funded.iter().copied().chain((0..options.accounts).map(recipient)).collect();
    let spec = layout::create(&layout, &NewChain { funded, ..base })?;
    eprintln!("a chain with {} accounts", options.accounts);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if options.leaves > 0 {
        fill(&layout, options.leaves, &runtime)?;
    }
    let node = NodeOptions {
        snapshot_every: EVERY,
        heartbeat: HEARTBEAT,
        ..NodeOptions::on_free_ports(layout.clone())
    };
    let node = runtime.block_on(Node::start(node))?;
    let reader = node.reader.clone();
    let due = reader.height().next_multiple_of(EVERY).max(EVERY);
    until("its block", || (reader.height() >= due).then_some(()))?;
    let since = Instant::now();
    let made = until("the snapshot", || reader.snapshots().into_iter().find(|s| s.is_vouched_for()))?;
    let made_s = since.elapsed().as_secs_f64();
    let height = made.checkpoint.height.0;
    ensure!(height == due || height == due + EVERY, "the snapshot after block {height} came first");
    let blocks = reader.height() - height;
    drop(reader);
    runtime.block_on(node.stop())?;

    let from = layout.snapshots().join(height.to_string());
    let head = read_head(&from)?;
    head.verify(&spec.anchor)?;
    let chain = dir.path().join("joined");
    let since = Instant::now();
    import(&chain, &spec, &from, &head, |_| ())?;
    let import_s = since.elapsed().as_secs_f64();
    let since = Instant::now();
    let joined = Ledger::open(&chain, spec.clone())?;
    ensure!(joined.height() == height, "the chain that began with it is at block {}", joined.height());
    let open_s = since.elapsed().as_secs_f64();
    let (since, mut hash_bytes) = (Instant::now(), 0);
    let first = Ledger::open(&layout.chain(), spec)?;
    if let Some(mut work) = joined.backfill()? {
        while let Some(run) = work.wanted() {
            let tiles = first.tiles(run)?.context("the first node lacks hashes of its log")?;
            hash_bytes += tiles.len();
            ensure!(work.put(&tiles)?, "the log's hashes are not believed");
        }
    }
    let hashes_s = since.elapsed().as_secs_f64();
    Ok(Report {
        machine,
        accounts: options.accounts,
        chunks: head.chunks.len(),
        bytes: head.bytes,
        made_s,
        blocks,
        import_s,
        open_s,
        leaves: Reader::new(joined).tip().0.log_size,
        hash_bytes,
        hashes_s,
    })
}

/// Gives the chain so many statements.
fn fill(layout: &Layout, leaves: usize, runtime: &Runtime) -> anyhow::Result<()> {
    let options = NodeOptions { snapshot_every: 0, ..NodeOptions::on_free_ports(layout.clone()) };
    let node = runtime.block_on(Node::start(options))?;
    let (fleet, wallet) = (Fleet::new(DEVICES)?, dev_wallets().swap_remove(0));
    for raw in registrations(&wallet, &fleet) {
        node.submitter.transaction(&raw)?;
    }
    until("the devices", || registered(&node.reader, &fleet).ok().filter(|all| *all).map(drop))?;
    eprintln!("signing {leaves} statements");
    let pool = Arc::new(fleet.sign(1, leaves));
    let (submitter, plan) = (node.submitter.clone(), Plan { from: 0, time: PATIENCE, pace: None });
    let run = on_client_thread(move || local::run(submitter, pool, plan))?;
    ensure!(run.acknowledged.len() == leaves, "{} of {leaves} statements are final", run.acknowledged.len());
    eprintln!("{leaves} are final after {:.0} s", run.seconds());
    runtime.block_on(node.stop())
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if since.elapsed() > PATIENCE {
            None::<()>.with_context(|| format!("{what} did not come within {PATIENCE:?}"))?;
        }
        std::thread::sleep(LOOK);
    }
}
