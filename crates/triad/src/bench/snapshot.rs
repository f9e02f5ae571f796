//! `triad bench snapshot`: making a snapshot of a large state beside the running chain, and beginning with it elsewhere.
//!
//! One node with many accounts makes one after its eighth block; the time is from that block's commit until the snapshot can be
//! fetched, while blocks go on. Then it is read back as a node that joins does, chunks checked, tries built, roots compared; the way over
//! a network is not in it. The length of the log does not matter: its right edge is all that a snapshot has.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use triad_chain::{Ledger, import, read_head};

use super::case::new_chain;
use super::evm::recipient;
use super::machine::Machine;
use crate::node::layout::{self, Layout, NewChain, dev_wallets};
use crate::node::{Node, NodeOptions};

const EVERY: u64 = 8;
const HEARTBEAT: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub struct Options {
    pub accounts: u64,
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
}

impl Report {
    pub fn table(&self) -> String {
        format!(
            "{}\n\n| accounts | chunks | MiB | made in s | blocks meanwhile | imported in s | opened in s |\n\
             | --- | --- | --- | --- | --- | --- | --- |\n| {} | {} | {:.1} | {:.1} | {} | {:.1} | {:.2} |\n",
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
            self.open_s
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
    let node = NodeOptions {
        snapshot_every: EVERY,
        heartbeat: HEARTBEAT,
        ..NodeOptions::on_free_ports(layout.clone())
    };
    let node = runtime.block_on(Node::start(node))?;
    let reader = node.reader.clone();
    until("block 8", || (reader.height() >= EVERY).then_some(()))?;
    let since = Instant::now();
    let made = until("the snapshot", || reader.snapshots().into_iter().find(|s| s.is_vouched_for()))?;
    let made_s = since.elapsed().as_secs_f64();
    let height = made.checkpoint.height.0;
    ensure!(height == EVERY, "the snapshot after block {height} came first");
    let blocks = reader.height() - EVERY;
    drop(reader);
    runtime.block_on(node.stop())?;

    let from = layout.snapshots().join(EVERY.to_string());
    let head = read_head(&from)?;
    head.verify(&spec.anchor)?;
    let chain = dir.path().join("joined");
    let since = Instant::now();
    import(&chain, &spec, &from, &head, |_| ())?;
    let import_s = since.elapsed().as_secs_f64();
    let since = Instant::now();
    let joined = Ledger::open(&chain, spec)?;
    ensure!(joined.height() == EVERY, "the chain that began with it is at block {}", joined.height());
    let open_s = since.elapsed().as_secs_f64();
    Ok(Report {
        machine,
        accounts: options.accounts,
        chunks: head.chunks.len(),
        bytes: head.bytes,
        made_s,
        blocks,
        import_s,
        open_s,
    })
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
