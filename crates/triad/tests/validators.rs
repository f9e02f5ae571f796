//! Validators of a network of processes are added and removed while a load runs: nothing acknowledged is lost, whoever comes
//! votes and whoever goes follows, and receipts of every epoch hold against the genesis file.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::load::Load;
use common::network::{Network, pass, triad, wait_for};
use common::*;
use serde_json::Value;
use triad_log::Receipt;

const READY: Duration = Duration::from_secs(30);
/// An epoch ends at most 128 blocks after the change.
const EPOCH: Duration = Duration::from_secs(120);

fn receipt_of(runtime: &tokio::runtime::Runtime, http: &str, leaf: u64, path: &Path) -> Receipt {
    let bytes = runtime.block_on(async {
        let answer = reqwest::get(format!("{http}/v1/statements/{leaf}/receipt")).await.unwrap();
        answer.bytes().await.unwrap()
    });
    std::fs::write(path, &bytes).unwrap();
    Receipt::decode(&bytes).unwrap()
}

/// Deploys `TriadVerifier` and calls it with what `triad receipt evm` gives. Any EVM would do: this chain's own simulates it.
fn proven_by_the_contract(runtime: &tokio::runtime::Runtime, net: &Network, leaf: u64) {
    let out = net.dir.join("late.evm.json");
    let mut args = vec!["receipt".to_owned(), "evm".into(), leaf.to_string(), "--out".into()];
    args.extend([out.display().to_string(), "--api".into(), net.nodes[5].http.clone()]);
    net.nodes[..5].iter().for_each(|node| args.extend(["--also".into(), node.http.clone()]));
    triad(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let made: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
    let artifact = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/artifacts/TriadVerifier.json");
    let artifact: Value = serde_json::from_slice(&std::fs::read(artifact).unwrap()).unwrap();
    let arguments = made["constructor_arguments"].as_str().unwrap().trim_start_matches("0x");
    let creation = format!("{}{arguments}", artifact["bytecode"].as_str().unwrap());
    let from = alloy_primitives::Address::repeat_byte(0x11);
    let calldata = &made["calldata"];
    let overs = calldata["handOver"].as_array().unwrap();
    assert_eq!(overs.len(), 2, "{calldata}");
    let simulate = |data: &[&Value]| {
        let mut calls = vec![serde_json::json!({"from": from, "input": creation, "gas": "0x989680"})];
        let call = |data: &&Value| serde_json::json!({"from": from, "to": from.create(0), "input": data, "gas": "0x989680"});
        calls.extend(data.iter().map(call));
        let body = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "eth_simulateV1",
            "params": [{"blockStateCalls": [{"calls": calls}]}, "latest"]});
        let answer: Value = runtime.block_on(async {
            let post = reqwest::Client::new().post(&net.nodes[5].rpc).json(&body);
            post.send().await.unwrap().json().await.unwrap()
        });
        let calls = answer["result"][0]["calls"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        calls.iter().map(|call| call["status"] == "0x1").collect::<Vec<_>>()
    };
    let prove = &calldata["proveStatement"];
    let submit = &calldata["submitCheckpoint"];
    assert_eq!(simulate(&[&overs[0], &overs[1], submit, prove]), [true; 5]);
    // Not without the second one.
    assert_eq!(simulate(&[&overs[0], submit]), [true, true, false]);
}

#[test]
fn validators_come_and_go_while_the_load_runs() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let mut net = Network::new(dir.path(), 4);
    net.start();
    net.ready(&runtime, READY);
    register(dir.path(), &net.nodes[1].http, &net.nodes[1].rpc);
    let height = net.height(&runtime, 1);
    net.checkpoints(&runtime, height, READY);
    let doors: Vec<String> = net.nodes.iter().map(|n| n.http.clone()).collect();
    let (load, senders) = Load::start(&runtime, &doors, 4);
    let network = |http: &str| runtime.block_on(get(format!("{http}/v1/network"))).unwrap_or_default();

    // A fifth one. Nobody lists it in a configuration: that it is to come is enough to be admitted.
    let (entry, listen) = net.add_candidate("acme");
    let what = ["add", "--entry", entry.to_str().unwrap(), "--network", &listen];
    pass(&net, &what, &[0, 1, 2], &doors[0]);
    wait_for("the change at another node", READY, || {
        let found = runtime.block_on(get(format!("{}/v1/validators", doors[1]))).unwrap();
        found["next"].as_array().unwrap().len() == 5
    });
    net.nodes[4].start();
    wait_for("the fifth validator's epoch", EPOCH, || network(&net.nodes[4].http)["epoch"] == 1);
    net.ready(&runtime, READY);
    wait_for("the fifth validator's vote", READY, || {
        let now = network(&net.nodes[4].http);
        let votes =
            now["nodes"].as_array().and_then(|nodes| nodes.iter().find(|n| n["self"] == true).cloned());
        let voted = votes.is_some_and(|own| own["votes"]["finalize"].as_u64() > Some(0));
        now["role"] == "validator" && now["voting"] == "allowed" && voted
    });

    // One of the first goes; four of five must agree, the new one among them.
    pass(&net, &["remove", "validator-0"], &[1, 2, 3, 4], &net.nodes[4].http);
    wait_for("the epoch without validator 0", EPOCH, || network(&doors[0])["epoch"] == 2);
    wait_for("validator 0 as an observer", READY, || network(&doors[0])["role"] == "observer");
    // Its doors still take work, which the others make final.
    let client = reqwest::Client::new();
    let n = load.next.fetch_add(1, Relaxed);
    let answer = runtime.block_on(post(&client, &doors[0], reading(n))).unwrap();
    let late = answer["leaf"].as_u64().unwrap_or_else(|| panic!("{answer}"));

    // What was decided survives that all are killed at once.
    load.stop.store(true, Relaxed);
    for sender in senders {
        runtime.block_on(sender).unwrap();
    }
    for node in &mut net.nodes {
        node.kill();
    }
    // With one that knows the genesis file and where the nodes are: it comes after them through all epochs.
    net.add_observer();
    for node in &mut net.nodes {
        node.start();
    }
    net.ready(&runtime, READY);
    let answer = runtime.block_on(post(&client, &net.nodes[2].http, reading(n))).unwrap();
    assert_eq!(answer["leaf"].as_u64(), Some(late), "{answer}");

    let height = net.height(&runtime, 1);
    let checkpoints = net.checkpoints(&runtime, height, READY);
    for other in &checkpoints[1..] {
        assert_eq!(other["digest"], checkpoints[0]["digest"], "block {height}");
    }

    // Receipts of the first epoch and the last hold, each against the genesis file alone.
    let genesis = net.dir.join("genesis.json");
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let first = *acknowledged.values().min().unwrap();
    for (leaf, epoch) in [(first, 0), (late, 2)] {
        let path = dir.path().join(format!("receipt-{leaf}"));
        let receipt = receipt_of(&runtime, &net.nodes[5].http, leaf, &path);
        assert_eq!((receipt.checkpoint.epoch, receipt.hand_overs.len()), (epoch, epoch as usize));
        let said = verify(&path, &genesis);
        assert_eq!(said["verified"], true, "{said}");
        let mut cut = receipt;
        if cut.hand_overs.pop().is_some() {
            std::fs::write(&path, cut.encode()).unwrap();
            assert_eq!(verify(&path, &genesis)["verified"], Value::Bool(false));
        }
    }
    // A contract on another chain, which knows the validators of genesis, is led through both hand-overs to the last receipt.
    proven_by_the_contract(&runtime, &net, late);
    // Who wrote the end of the second epoch down believes no receipt that former validators could make alone.
    let found = runtime.block_on(get(format!("{}/v1/validators", net.nodes[5].http))).unwrap();
    let trusted = found["epochs"][1]["last_digest"].as_str().unwrap();
    let path = dir.path().join("newest");
    let (path, leaf) = (path.to_str().unwrap(), first.to_string());
    let check = ["verify", path, "--genesis", genesis.to_str().unwrap(), "--trusted-checkpoint", trusted];
    triad(&["receipt", "get", &leaf, "--newest", "--out", path, "--api", &net.nodes[5].http]);
    triad(&check);
    triad(&["receipt", "get", &leaf, "--out", path, "--api", &net.nodes[5].http]);
    let refused = Command::new(TRIAD).args(check).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stdout).contains("NOT PROVED: the trusted checkpoint"));
    let pairs: Vec<(u32, u64)> = acknowledged.iter().map(|(n, leaf)| (*n, *leaf)).collect();
    let all: Acknowledged = Arc::new(Mutex::new(pairs));
    assert!(check_all(&runtime, &net.nodes[5].http, &all) > 100, "the load got through");

    net.stop_and_audit(acknowledged.len());
}

#[test]
fn a_chain_of_one_is_followed_and_becomes_one_of_two() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let mut net = Network::new(dir.path(), 1);
    net.add_observer();
    // It needs nobody.
    net.nodes[0].start();
    net.ready(&runtime, READY);
    wait_for("a block of its own", READY, || net.height(&runtime, 0) > 0);
    net.nodes[1].start();
    net.ready(&runtime, READY);
    register(dir.path(), &net.nodes[0].http, &net.nodes[0].rpc);
    let height = net.height(&runtime, 0);
    net.checkpoints(&runtime, height, READY);
    let doors: Vec<String> = net.nodes.iter().map(|n| n.http.clone()).collect();
    let (load, senders) = Load::start(&runtime, &doors, 3);
    let network = |http: &str| runtime.block_on(get(format!("{http}/v1/network"))).unwrap_or_default();
    assert_eq!(network(&doors[1])["role"], "observer");

    let (entry, listen) = net.add_candidate("acme");
    let what = ["add", "--entry", entry.to_str().unwrap(), "--network", &listen];
    pass(&net, &what, &[0], &doors[0]);
    // Who follows is admitted by whom its configuration names, the newcomer too.
    let listed = std::fs::read_to_string(net.nodes[0].data.join("node.toml")).unwrap();
    let at = listed.find("[[network.observers]]").unwrap();
    let path = net.nodes[2].data.join("node.toml");
    std::fs::write(&path, format!("{}\n{}", std::fs::read_to_string(&path).unwrap(), &listed[at..])).unwrap();
    net.nodes[2].start();
    wait_for("the epoch of two", EPOCH, || net.nodes.iter().all(|node| network(&node.http)["epoch"] == 1));
    net.ready(&runtime, READY);
    wait_for("both votes", READY, || {
        [0, 2].iter().all(|i| {
            let now = network(&net.nodes[*i].http);
            let votes = |n: &Value| n["votes"]["finalize"].as_u64() > Some(0);
            now["voting"] == "allowed"
                && now["nodes"].as_array().unwrap().iter().filter(|n| votes(n)).count() == 2
        })
    });
    let before = load.acknowledged.lock().unwrap().len();
    wait_for("the load to go on", READY, || load.acknowledged.lock().unwrap().len() > before + 20);
    load.stop.store(true, Relaxed);
    for sender in senders {
        runtime.block_on(sender).unwrap();
    }
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    let height = net.height(&runtime, 0);
    let checkpoints = net.checkpoints(&runtime, height, READY);
    for other in &checkpoints[1..] {
        assert_eq!(other["digest"], checkpoints[0]["digest"], "block {height}");
    }
    let leaf = *acknowledged.values().max().unwrap();
    let path = dir.path().join("receipt");
    let receipt = receipt_of(&runtime, &net.nodes[1].http, leaf, &path);
    assert_eq!(receipt.hand_overs.len(), 1);
    assert_eq!(verify(&path, &net.dir.join("genesis.json"))["verified"], true);
    let pairs: Vec<(u32, u64)> = acknowledged.iter().map(|(n, leaf)| (*n, *leaf)).collect();
    check_all(&runtime, &net.nodes[2].http, &Arc::new(Mutex::new(pairs)));
    net.stop_and_audit(acknowledged.len());
}
