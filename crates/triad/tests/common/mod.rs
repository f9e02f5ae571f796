//! The binary as a process, a load on it, and what it must still know afterwards.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod load;
pub mod network;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

pub const TRIAD: &str = env!("CARGO_BIN_EXE_triad");

/// The arguments of a development node on free loopback ports that prints where it listens.
pub fn node_args(data: &Path) -> Vec<String> {
    let free = "127.0.0.1:0";
    let args =
        ["node", "--dev", "--json", "--heartbeat-ms", "500", "--http", free, "--rpc", free, "--mqtt", free];
    let args = args.iter().map(|s| (*s).to_owned());
    args.chain(["--data-dir".to_owned(), data.to_str().unwrap().to_owned()]).collect()
}

/// Where a node listens, from the line it prints: HTTP, JSON-RPC, MQTT.
pub fn addresses(line: &str) -> (String, String, String) {
    let addresses: Value =
        serde_json::from_str(line).unwrap_or_else(|e| panic!("no addresses ({e}): {line:?}"));
    let url = |name: &str| format!("http://{}", addresses[name].as_str().unwrap());
    (url("http"), url("rpc"), addresses["mqtt"].as_str().unwrap().to_owned())
}

pub struct Node {
    pub child: Child,
    pub http: String,
    pub rpc: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Dead already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn start(data: &Path) -> Node {
    start_with(data, &[])
}

pub fn start_with(data: &Path, more: &[&str]) -> Node {
    let mut child = Command::new(TRIAD)
        .args(node_args(data))
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (http, rpc, _) = addresses(&line);
    Node { child, http, rpc }
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap()
}

pub async fn get(url: String) -> Option<Value> {
    reqwest::get(url).await.ok()?.json().await.ok()
}

pub async fn status(http: &str) -> Option<Value> {
    get(format!("{http}/v1/status")).await
}

pub fn key() -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[5; 32]).unwrap()
}

/// Registers [`key`] at a node.
pub fn register(scratch: &Path, http: &str, rpc: &str) {
    let pem = scratch.join("key.pem");
    std::fs::write(&pem, key().to_secret_text()).unwrap();
    let done = Command::new(TRIAD)
        .args(["device", "register", "--key", pem.to_str().unwrap(), "--from", "dev:1"])
        .env("TRIAD_API", http)
        .env("TRIAD_RPC", rpc)
        .output()
        .unwrap();
    assert!(done.status.success(), "register: {}", String::from_utf8_lossy(&done.stderr));
}

pub fn reading(n: u32) -> Vec<u8> {
    let time = 1_700_000_000_000_000 + i64::from(n) * 1000;
    let key = key();
    let builder = StatementBuilder::new(&key, Sequence::new(0, n));
    builder.number("load", None, f64::from(n), Some(time)).sign().to_vec()
}

pub async fn post(client: &reqwest::Client, http: &str, statement: Vec<u8>) -> Option<Value> {
    let post = client.post(format!("{http}/v1/statements")).body(statement);
    post.header("content-type", "application/cose").send().await.ok()?.json().await.ok()
}

/// number → leaf, as acknowledged.
pub type Acknowledged = Arc<Mutex<Vec<(u32, u64)>>>;

/// Statements from number `first` on, several at once, until told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u32>,
}

impl Load {
    pub fn start(runtime: &Runtime, http: &str, first: u32, acknowledged: &Acknowledged) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, acknowledged, http) = (stop.clone(), acknowledged.clone(), http.to_owned());
        let task = runtime.spawn(async move {
            let client = reqwest::Client::new();
            let mut n = first;
            while !stopped.load(Ordering::Relaxed) {
                // Several at once, so that blocks hold more than one.
                let (client, http) = (&client, &http);
                let sent = (n..n + 8).map(|n| async move { (n, post(client, http, reading(n)).await) });
                for (n, answer) in futures::future::join_all(sent).await {
                    if let Some(leaf) = answer.and_then(|a| a["leaf"].as_u64()) {
                        acknowledged.lock().unwrap().push((n, leaf));
                    }
                }
                n += 8;
            }
            n
        });
        Load { stop, task }
    }

    /// The number to go on with.
    pub fn end(self, runtime: &Runtime) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        runtime.block_on(self.task).unwrap()
    }
}

/// The statement that was acknowledged with a leaf is there.
pub fn check(runtime: &Runtime, http: &str, n: u32, leaf: u64) {
    let found = runtime.block_on(get(format!("{http}/v1/statements/{leaf}"))).unwrap();
    let number = found["sequence"]["number"].as_u64();
    assert_eq!(number, Some(u64::from(n)), "leaf {leaf}: {found}");
}

/// All of them are there, and no two share a leaf.
pub fn check_all(runtime: &Runtime, http: &str, acknowledged: &Acknowledged) -> usize {
    let all = acknowledged.lock().unwrap().clone();
    let mut leaves: Vec<u64> = all.iter().map(|(_, leaf)| *leaf).collect();
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), all.len(), "no two statements share a leaf");
    for (n, leaf) in &all {
        check(runtime, http, *n, *leaf);
    }
    all.len()
}

pub fn audit(data: &Path) -> Value {
    let audit = Command::new(TRIAD).args(["audit", "--json", "--data-dir"]).arg(data).output().unwrap();
    serde_json::from_slice(&audit.stdout)
        .unwrap_or_else(|_| panic!("audit: {}", String::from_utf8_lossy(&audit.stderr)))
}

/// The seed of a randomised test, printed so that a failing run can be repeated.
pub fn seed(default: u64) -> u64 {
    let seed = std::env::var("TRIAD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(default);
    println!("seed {seed} (TRIAD_SEED repeats it)");
    seed
}

/// A small generator (xorshift); `seed` must not be 0.
pub fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// What `triad verify` says of a receipt.
pub fn verify(receipt: &Path, genesis: &Path) -> Value {
    let done = Command::new(TRIAD)
        .args(["verify", "--json", "--genesis"])
        .args([genesis, receipt])
        .output()
        .unwrap();
    serde_json::from_slice(&done.stdout).unwrap()
}
