//! The client: batches over keep-alive connections, bounded by a window, and a watcher that sees transactions in blocks.
//!
//! A transaction counts from the moment its batch is sent to the moment a block that has it could be read: from then on
//! the node gives its receipt. After the clock every receipt is fetched and must say success.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use anyhow::{Context as _, bail, ensure};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::work::Work;
use crate::client::Rpc;

/// Time between two looks for a block that is not there yet.
const LOOK: Duration = Duration::from_millis(1);
/// No block with any of the load for so long: the chain stands still.
const STALLED: Duration = Duration::from_secs(60);
/// Transfers sent one by one for the latency without load.
pub const LIGHT: usize = 50;

/// What the client saw.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub seconds: f64,
    /// Microseconds, in no order.
    pub latencies: Vec<u32>,
    /// That hold the load.
    pub blocks: std::ops::Range<u64>,
}

impl Seen {
    /// In milliseconds.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

#[derive(Deserialize)]
struct Sent {
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Block {
    transactions: Vec<B256>,
}

#[derive(Deserialize)]
struct Found {
    result: Option<Block>,
}

/// Sends all of the work with at most `window` transactions on their way, and waits until each is in a block.
pub async fn drive(url: &str, work: &Arc<Work>, window: usize) -> anyhow::Result<Seen> {
    let rpc = Rpc::new(url)?;
    let first_block = rpc.height().await? + 1;
    let http = reqwest::Client::builder().timeout(STALLED).tcp_nodelay(true).build()?;
    let sent = Arc::new(Mutex::new(vec![None::<Instant>; work.hashes.len()]));
    let share = (window / work.connections.len()).max(super::work::BATCH);
    let rooms: Vec<_> = work.connections.iter().map(|_| Arc::new(Semaphore::new(share))).collect();
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (connection, room) in rooms.iter().enumerate() {
        let (work, room, sent) = (work.clone(), room.clone(), sent.clone());
        let (http, url) = (http.clone(), url.to_owned());
        tasks.spawn(async move {
            for batch in &work.connections[connection] {
                // Given back by the watcher.
                room.acquire_many(batch.indices.len() as u32).await?.forget();
                let now = Instant::now();
                {
                    let mut sent = sent.lock();
                    batch.indices.iter().for_each(|index| sent[*index as usize] = Some(now));
                }
                let request = http.post(&url).header("content-type", "application/json");
                let answer = request.body(batch.body.clone()).send().await?.bytes().await?;
                let answers: Vec<Sent> = serde_json::from_slice(&answer)
                    .with_context(|| format!("not a batch: {}", String::from_utf8_lossy(&answer)))?;
                if let Some(error) = answers.into_iter().find_map(|answer| answer.error) {
                    bail!("a transfer was refused: {error}");
                }
            }
            anyhow::Ok(())
        });
    }
    let owner: Vec<usize> =
        (0..work.hashes.len()).map(|i| (i % super::work::SENDERS) % rooms.len()).collect();
    let mut seen = Seen::default();
    let (mut next, mut last, mut left) = (first_block, Instant::now(), work.hashes.len());
    let mut latencies = vec![None; work.hashes.len()];
    while left > 0 {
        while let Some(done) = tasks.try_join_next() {
            done??;
        }
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getBlockByNumber","params":["{next:#x}",false]}}"#
        );
        let request = http.post(url).header("content-type", "application/json").body(body);
        let answer = request.send().await?.bytes().await?;
        let Some(block) = serde_json::from_slice::<Found>(&answer)?.result else {
            ensure!(last.elapsed() < STALLED, "{left} transfers are in no block after {STALLED:?}");
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let now = Instant::now();
        let sent = sent.lock();
        let mut freed = BTreeMap::<usize, usize>::new();
        for hash in &block.transactions {
            let Some(index) = work.places.get(hash).map(|index| *index as usize) else { continue };
            let begun = sent[index].context("a block has a transfer that was not sent")?;
            latencies[index] = Some((now - begun).as_micros() as u32);
            *freed.entry(owner[index]).or_default() += 1;
            left -= 1;
            last = now;
        }
        drop(sent);
        freed.into_iter().for_each(|(connection, n)| rooms[connection].add_permits(n));
        next += 1;
    }
    seen.seconds = (last - started).as_secs_f64();
    seen.latencies = latencies.into_iter().flatten().collect();
    ensure!(seen.latencies.len() == work.hashes.len(), "a transfer was seen in no block");
    seen.blocks = first_block..next;
    Ok(seen)
}

/// Every transfer has a receipt that says success.
pub async fn check(url: &str, work: &Work, seen: &Seen) -> anyhow::Result<()> {
    let (rpc, mut good) = (Rpc::new(url)?, 0);
    for number in seen.blocks.clone() {
        let receipts = rpc.call("eth_getBlockReceipts", json!([format!("{number:#x}")])).await?;
        for receipt in receipts.as_array().into_iter().flatten() {
            let hash: B256 = receipt["transactionHash"].as_str().unwrap_or_default().parse()?;
            if work.places.contains_key(&hash) {
                ensure!(receipt["status"] == "0x1", "transfer {hash} failed");
                good += 1;
            }
        }
    }
    ensure!(good == work.hashes.len(), "{good} receipts for {} transfers", work.hashes.len());
    Ok(())
}

/// Sends transactions one after the other, each when the last one has a receipt.
pub async fn one_by_one(url: &str, raw: &[Vec<u8>]) -> anyhow::Result<Seen> {
    let rpc = Rpc::new(url)?;
    let mut seen = Seen::default();
    for tx in raw {
        let started = Instant::now();
        let hash = rpc.call("eth_sendRawTransaction", json!([format!("0x{}", hex::encode(tx))])).await?;
        loop {
            let receipt = rpc.call("eth_getTransactionReceipt", json!([hash])).await?;
            if !receipt.is_null() {
                break;
            }
            ensure!(started.elapsed() < STALLED, "a transfer has no receipt after {STALLED:?}");
            tokio::time::sleep(LOOK).await;
        }
        seen.latencies.push(started.elapsed().as_micros() as u32);
    }
    Ok(seen)
}
