//! How fast a single validator orders blocks, and how long an item takes from submission to durable delivery.
//!
//! `cargo run --release -p triad-consensus --example block_rate [directory]`: the directory should be on the disk that
//! matters; by default a temporary one.

#![allow(clippy::unwrap_used)] // a measurement has no caller to tell

#[path = "../tests/it/ledger.rs"]
#[allow(dead_code)]
mod ledger;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ledger::{Ledger, Options};
use triad_consensus::{Config, public_key, start};

const RUN: Duration = Duration::from_secs(6);

fn config(dir: &Path) -> Config {
    let secret = [7; 32];
    Config::new(dir, secret, b"triad-throughput".to_vec(), vec![public_key(&secret)])
}

fn main() {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!("directory {}", base.display());
    println!("fsyncs a second (4 KiB, one file): {:.0}", fsyncs(&base));
    for (name, bytes) in [("empty (40 B)", 40), ("100 KB", 100_000), ("1 MB", 1_000_000)] {
        let (blocks, elapsed) = runtime.block_on(throughput(&base, bytes));
        println!("always work, {name} blocks: {:.0} blocks/s", blocks as f64 / elapsed.as_secs_f64());
        let mut latencies = runtime.block_on(latency(&base, bytes));
        latencies.sort();
        let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize];
        println!(
            "one {name} item every 50 ms, submission to durable delivery: p50 {:?}, p99 {:?} ({} items)",
            at(0.5),
            at(0.99),
            latencies.len()
        );
    }
}

fn fsyncs(base: &Path) -> f64 {
    use std::io::Write as _;
    let mut file = tempfile::tempfile_in(base).unwrap();
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < Duration::from_secs(1) {
        file.write_all(&[1; 4096]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn item(index: u64, bytes: usize) -> Vec<u8> {
    let mut item = vec![0u8; bytes];
    item[..8].copy_from_slice(&index.to_be_bytes());
    item
}

async fn throughput(base: &Path, bytes: usize) -> (u64, Duration) {
    let dir = tempfile::tempdir_in(base).unwrap();
    let ledger = Ledger::open(dir.path(), Options { items_a_block: 1, ..Options::default() });
    let validator = start(config(dir.path()), ledger.clone()).unwrap();
    let mut heights = ledger.heights();
    let begun = Instant::now();
    let mut next = 0;
    while begun.elapsed() < RUN {
        while ledger.queued() < 24 {
            ledger.submit(item(next, bytes));
            next += 1;
        }
        heights.changed().await.unwrap();
    }
    let result = (*heights.borrow(), begun.elapsed());
    validator.shutdown().await.unwrap();
    result
}

async fn latency(base: &Path, bytes: usize) -> Vec<Duration> {
    let dir = tempfile::tempdir_in(base).unwrap();
    let ledger = Ledger::open(dir.path(), Options::default());
    let validator = start(config(dir.path()), ledger.clone()).unwrap();
    let mut heights = ledger.heights();
    let mut latencies = Vec::new();
    let begun = Instant::now();
    let mut next = 0;
    while begun.elapsed() < RUN {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let submitted = Instant::now();
        ledger.submit(item(next, bytes));
        next += 1;
        while ledger.queued() > 0 {
            heights.changed().await.unwrap();
        }
        latencies.push(submitted.elapsed());
    }
    validator.shutdown().await.unwrap();
    latencies
}
