//! Nodes of a network of processes that join with a snapshot, one that drops what is old, and what is still to be had.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::process::Stdio;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use common::load::Load;
use common::network::{Network, pass, wait_for};
use common::*;
use serde_json::Value;
use tokio::runtime::Runtime;
use triad_log::Receipt;

const READY: Duration = Duration::from_secs(60);
const EPOCH: Duration = Duration::from_secs(120);
/// Blocks between snapshots.
const EVERY: u64 = 32;

fn json(runtime: &Runtime, url: String) -> Value {
    runtime.block_on(get(url)).unwrap_or_default()
}

/// Height of the newest snapshot that a quorum vouches for.
fn newest(runtime: &Runtime, http: &str) -> u64 {
    let list = json(runtime, format!("{http}/v1/snapshots"));
    let all = list["snapshots"].as_array().cloned().unwrap_or_default();
    let good = all.iter().filter(|s| s["vouched_for"] == true);
    good.filter_map(|s| s["height"].as_u64()).max().unwrap_or(0)
}

fn sync_from(urls: &[String]) -> Vec<String> {
    std::iter::once("--snapshot-sync".to_owned()).chain(urls.iter().cloned()).collect()
}

#[test]
fn nodes_join_with_a_snapshot_and_one_drops_what_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let mut net = Network::new(dir.path(), 4);
    net.nodes.iter().for_each(|node| node.set(&format!("snapshot_every = {EVERY}")));
    net.nodes[3].set("retention = \"5s\"");
    net.add_observer();
    for node in &mut net.nodes[..4] {
        node.start();
    }
    net.ready(&runtime, READY);
    register(dir.path(), &net.nodes[1].http, &net.nodes[1].rpc);
    let height = net.height(&runtime, 1);
    net.checkpoints(&runtime, height, READY);
    let doors: Vec<String> = net.nodes[..4].iter().map(|n| n.http.clone()).collect();
    let (load, senders) = Load::start(&runtime, &doors, 4);
    wait_for("a snapshot", READY, || newest(&runtime, &doors[0]) >= 2 * EVERY);

    // An observer begins with one. It is killed on the way, and begins again.
    let sync = sync_from(&doors[..2]);
    let sync: Vec<&str> = sync.iter().map(String::as_str).collect();
    for ms in [5, 50, 150] {
        let mut child =
            net.nodes[4].command(&sync).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    net.nodes[4].start_with(&sync);
    net.ready(&runtime, READY);
    let begun = json(&runtime, format!("{}/v1/snapshots", net.nodes[4].http))["begins_at"].as_u64().unwrap();
    assert!(begun >= EVERY, "it began with a snapshot: {begun}");

    // In the next epoch, whose validators are known through the hand-over, another one does.
    let (entry, listen) = net.add_candidate("acme");
    let what = ["add", "--entry", entry.to_str().unwrap(), "--network", &listen];
    pass(&net, &what, &[0, 1, 2], &doors[0]);
    let epoch = |http: &str| json(&runtime, format!("{http}/v1/network"))["epoch"].as_u64();
    wait_for("the next epoch", EPOCH, || epoch(&doors[0]) == Some(1));
    let end = json(&runtime, format!("{}/v1/validators", doors[0]))["epochs"][0]["last_block"].as_u64();
    wait_for("a snapshot of it", READY, || newest(&runtime, &doors[1]) > end.unwrap_or(u64::MAX));
    let sync = sync_from(&doors[1..2]);
    let sync: Vec<&str> = sync.iter().map(String::as_str).collect();
    net.nodes[5].start_with(&sync);
    net.ready(&runtime, READY);
    wait_for("the newcomer's vote", READY, || {
        let now = json(&runtime, format!("{}/v1/network", net.nodes[5].http));
        let own = now["nodes"].as_array().and_then(|nodes| nodes.iter().find(|n| n["self"] == true).cloned());
        own.is_some_and(|own| own["votes"]["finalize"].as_u64() > Some(0))
    });

    // The one that drops what is old says so, and who has it.
    wait_for("pruning", READY, || {
        json(&runtime, format!("{}/v1/snapshots", doors[3]))["oldest_block"].as_u64() > Some(0)
    });
    load.stop.store(true, Relaxed);
    for sender in senders {
        runtime.block_on(sender).unwrap();
    }
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let first = *acknowledged.values().min().unwrap();
    for node in [3, 4, 5] {
        let http = &net.nodes[node].http;
        let answer = json(&runtime, format!("{http}/v1/statements/{first}/receipt"));
        assert_eq!(
            (&answer["status"], &answer["code"]),
            (&503.into(), &"not-kept".into()),
            "{node}: {answer}"
        );
        // It names the one that keeps most of those it heard of, and that one the next.
        wait_for("a node that has it", READY, || {
            let mut url = http.clone();
            for _ in 0..net.nodes.len() {
                let found = json(&runtime, format!("{url}/v1/statements/{first}"));
                match found["elsewhere"]["url"].as_str() {
                    Some(next) => url = next.to_owned(),
                    None => return found["leaf"].as_u64() == Some(first),
                }
            }
            false
        });
    }
    // What is newer is to be had from all, and proves.
    let (n, last) = acknowledged.iter().max_by_key(|(_, leaf)| **leaf).map(|(n, leaf)| (*n, *leaf)).unwrap();
    let height = net.height(&runtime, 1);
    let checkpoints = net.checkpoints(&runtime, height, READY);
    for other in &checkpoints[1..] {
        assert_eq!(other["digest"], checkpoints[0]["digest"], "block {height}");
    }
    let genesis = net.dir.join("genesis.json");
    for node in &net.nodes {
        check(&runtime, &node.http, n, last);
        let url = format!("{}/v1/statements/{last}/receipt", node.http);
        let bytes = runtime.block_on(async { reqwest::get(url).await.unwrap().bytes().await.unwrap() });
        assert_eq!(Receipt::decode(&bytes).unwrap().hand_overs.len(), 1);
        let path = dir.path().join("last.receipt");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(verify(&path, &genesis)["verified"], true);
    }
    // A number that was used before the snapshot is no equivocation: the statement may be the very same.
    let client = reqwest::Client::new();
    let again = *acknowledged.iter().find(|(_, leaf)| **leaf == first).unwrap().0;
    let answer = runtime.block_on(post(&client, &net.nodes[5].http, reading(again))).unwrap();
    assert_eq!(answer["code"], "used-before", "{answer}");

    // Who began with a snapshot has the log's older hashes meanwhile, and proves any leaf, though it lacks what was in it.
    let size = json(&runtime, format!("{}/v1/status", doors[0]))["log_size"].as_u64().unwrap();
    for node in [4, 5] {
        for leaf in [0, first, size / 2] {
            let of = |http: &str| json(&runtime, format!("{http}/v1/log/{leaf}?size={size}"));
            wait_for("the older hashes", READY, || of(&net.nodes[node].http) == of(&doors[0]));
            assert!(of(&doors[0])["inclusion_path"].is_array());
        }
    }

    // A restart goes on where it was.
    net.nodes[4].kill();
    net.nodes[4].start();
    net.ready(&runtime, READY);
    for node in &mut net.nodes {
        node.stop();
    }
    for (i, node) in net.nodes.iter().enumerate() {
        let said = audit(&node.data);
        assert_eq!(said["ok"], true, "{i}: {said}");
        assert_eq!(said["from"].as_u64() > Some(0), [3, 4, 5].contains(&i), "{i}: {said}");
    }
}
