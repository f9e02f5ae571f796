//! SIGKILL at random moments under load: nothing acknowledged is lost, nothing is there twice, and the chain goes on by
//! itself.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

const KILLS: usize = 20;
/// How soon a restarted node must have a new block.
const RESUMES_WITHIN: Duration = Duration::from_secs(2);

struct Node {
    child: Child,
    http: String,
    rpc: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Dead already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(dir: &Path) -> Node {
    let free = SocketAddr::from(([127, 0, 0, 1], 0)).to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_triad"))
        .args(["node", "--dev", "--json", "--heartbeat-ms", "500", "--data-dir"])
        .arg(dir)
        .args(["--http", &free, "--rpc", &free, "--mqtt", &free])
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addresses: Value =
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("no addresses ({e}): {line:?}"));
    let url = |name: &str| format!("http://{}", addresses[name].as_str().unwrap());
    Node { http: url("http"), rpc: url("rpc"), child }
}

async fn status(http: &str) -> Option<Value> {
    reqwest::get(format!("{http}/v1/status")).await.ok()?.json().await.ok()
}

fn run(args: &[&str], node: &Node) {
    let done = Command::new(env!("CARGO_BIN_EXE_triad"))
        .args(args)
        .env("TRIAD_API", &node.http)
        .env("TRIAD_RPC", &node.rpc)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn reading(key: &SigningKey, n: u32) -> Vec<u8> {
    let time = 1_700_000_000_000_000 + i64::from(n) * 1000;
    let builder = StatementBuilder::new(key, Sequence::new(0, n));
    builder.number("load", None, f64::from(n), Some(time)).sign().to_vec()
}

/// A small generator, so that a failing run's moments are printed and can be repeated.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn a_killed_node_loses_nothing_acknowledged_and_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let key = SigningKey::from_secret_bytes(Algorithm::EdDsa, &[5; 32]).unwrap();
    let pem = dir.path().join("key.pem");
    std::fs::write(&pem, key.to_secret_text()).unwrap();
    let mut seed = std::env::var("TRIAD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x7121_AD00_u64);
    println!("seed {seed} (TRIAD_SEED repeats it)");

    let mut node = start(&data);
    run(&["device", "register", "--key", pem.to_str().unwrap(), "--from", "dev:1"], &node);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    // number -> leaf, as acknowledged
    let acknowledged: Arc<Mutex<Vec<(u32, u64)>>> = Arc::default();
    let mut first = 0u32;
    for kill in 0..KILLS {
        let height = runtime.block_on(status(&node.http)).unwrap()["height"].as_u64().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let load = {
            let (stop, acknowledged, http, key) =
                (stop.clone(), acknowledged.clone(), node.http.clone(), key.clone());
            runtime.spawn(async move {
                let client = reqwest::Client::new();
                let mut n = first;
                while !stop.load(Ordering::Relaxed) {
                    // Several at once, so that blocks hold more than one.
                    let sent = (n..n + 8).map(|n| {
                        let post = client.post(format!("{http}/v1/statements")).body(reading(&key, n));
                        let post = post.header("content-type", "application/cose");
                        async move { (n, async { post.send().await.ok()?.json::<Value>().await.ok() }.await) }
                    });
                    for (n, answer) in futures::future::join_all(sent).await {
                        if let Some(leaf) = answer.and_then(|a| a["leaf"].as_u64()) {
                            acknowledged.lock().unwrap().push((n, leaf));
                        }
                    }
                    n += 8;
                }
                n
            })
        };
        std::thread::sleep(Duration::from_millis(20 + next(&mut seed) % 250));
        node.child.kill().unwrap();
        node.child.wait().unwrap();
        stop.store(true, Ordering::Relaxed);
        first = runtime.block_on(load).unwrap();

        node = start(&data);
        let since = Instant::now();
        loop {
            let now = runtime.block_on(status(&node.http)).and_then(|s| s["height"].as_u64());
            // A heartbeat is due within half a second: a chain that stands still shows.
            if now.is_some_and(|now| now > height + 1) {
                break;
            }
            assert!(since.elapsed() < RESUMES_WITHIN, "kill {kill}: stuck at {now:?}, was at {height}");
            std::thread::sleep(Duration::from_millis(10));
        }
        let sample = acknowledged.lock().unwrap().clone();
        for (n, leaf) in sample.iter().rev().take(16) {
            check(&runtime, &node, *n, *leaf);
        }
    }
    let all = acknowledged.lock().unwrap().clone();
    assert!(all.len() > KILLS, "the load got through: {}", all.len());
    let mut leaves: Vec<u64> = all.iter().map(|(_, leaf)| *leaf).collect();
    leaves.sort_unstable();
    leaves.dedup();
    assert_eq!(leaves.len(), all.len(), "no two statements share a leaf");
    for (n, leaf) in &all {
        check(&runtime, &node, *n, *leaf);
    }
    // Sent again, each is acknowledged with the leaf it has: none is in the log twice.
    for (n, leaf) in all.iter().step_by(7) {
        let post =
            reqwest::Client::new().post(format!("{}/v1/statements", node.http)).body(reading(&key, *n));
        let post = post.header("content-type", "application/cose");
        let answer: Value = runtime.block_on(async { post.send().await.unwrap().json().await.unwrap() });
        assert_eq!(
            (answer["leaf"].as_u64(), answer["duplicate"].as_bool()),
            (Some(*leaf), Some(true)),
            "{answer}"
        );
    }
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    let audit = Command::new(env!("CARGO_BIN_EXE_triad"))
        .args(["audit", "--json", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    let audit: Value = serde_json::from_slice(&audit.stdout).unwrap();
    assert_eq!(audit["ok"], true, "{audit}");
    println!("{} acknowledged over {KILLS} kills, all there; audit: {audit}", all.len());
}

fn check(runtime: &tokio::runtime::Runtime, node: &Node, n: u32, leaf: u64) {
    let path = format!("{}/v1/statements/{leaf}", node.http);
    let found: Value = runtime.block_on(async { reqwest::get(path).await.unwrap().json().await.unwrap() });
    let number = found["sequence"]["number"].as_u64();
    assert_eq!(number, Some(u64::from(n)), "leaf {leaf}: {found}");
}
