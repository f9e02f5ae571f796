//! Four validators and an observer as processes: under load through all doors the validators are killed one by one, all at
//! once, and two at once, one stands still for a while, and one loses its disk. Nothing acknowledged is lost, nothing is there twice, all agree, and receipts need a quorum.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::load::Load;
use common::network::{Network, wait_for};
use common::*;
use serde_json::Value;
use triad_log::Receipt;

const KILLS: usize = 4;
/// How soon a node that starts has caught up and takes work, on a busy machine.
const READY: Duration = Duration::from_secs(30);

#[test]
fn a_network_survives_kills_and_forgets_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = seed(0x00C1_0573);
    let runtime = runtime();
    let mut net = Network::new(dir.path(), 4);
    net.add_observer();
    net.start();
    net.ready(&runtime, READY);
    register(dir.path(), &net.nodes[1].http, &net.nodes[1].rpc);
    // The registration counts at every door once it is final there.
    let height = net.height(&runtime, 1);
    net.checkpoints(&runtime, height, READY);

    // The observer has doors, too; all are killed with it in the middle, and its ports change then.
    let doors: Vec<String> = net.nodes[..4].iter().map(|n| n.http.clone()).collect();
    let (load, senders) = Load::start(&runtime, &doors, 8);

    // One at a time, at random moments.
    for _ in 0..KILLS {
        let victim = next(&mut seed) as usize % 4;
        std::thread::sleep(Duration::from_millis(200 + next(&mut seed) % 600));
        net.nodes[victim].kill();
        std::thread::sleep(Duration::from_millis(next(&mut seed) % 1500));
        net.nodes[victim].start();
        net.ready(&runtime, READY);
    }
    // One stands still for longer than the others wait, with its connections open; the rest goes on without it.
    let frozen = next(&mut seed) as usize % 4;
    net.nodes[frozen].signal("STOP");
    std::thread::sleep(Duration::from_secs(3));
    let (since, before) = (Instant::now(), load.acknowledged.lock().unwrap().len());
    while load.acknowledged.lock().unwrap().len() < before + 20 {
        assert!(since.elapsed() < READY, "the load goes on while one stands still");
        std::thread::sleep(Duration::from_millis(50));
    }
    net.nodes[frozen].signal("CONT");
    net.ready(&runtime, READY);
    // All at once.
    for node in &mut net.nodes {
        node.kill();
    }
    for node in &mut net.nodes {
        node.start();
    }
    net.ready(&runtime, READY);
    let before = load.acknowledged.lock().unwrap().len();
    let since = Instant::now();
    while load.acknowledged.lock().unwrap().len() < before + 50 {
        assert!(since.elapsed() < READY, "the load goes on after all were killed");
        std::thread::sleep(Duration::from_millis(50));
    }
    load.stop.store(true, Relaxed);
    for sender in senders {
        runtime.block_on(sender).unwrap();
    }
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    println!("{} acknowledged; refused on the way: {:?}", acknowledged.len(), load.refused.lock().unwrap());

    // The same statement through two doors at once is one leaf.
    let client = reqwest::Client::new();
    for i in 0..8 {
        let n = load.next.fetch_add(1, Relaxed);
        let (a, b) = (&doors[i % 4], &doors[(i + 1) % 4]);
        let (a, b) = runtime.block_on(async {
            futures::future::join(post(&client, a, reading(n)), post(&client, b, reading(n))).await
        });
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a["leaf"].is_u64(), "{a}");
        assert_eq!(a["leaf"], b["leaf"], "{a} {b}");
    }

    // An observer takes statements, and has them before it says so.
    let n = load.next.fetch_add(1, Relaxed);
    let answer = runtime.block_on(post(&client, &net.nodes[4].http, reading(n))).unwrap();
    check(&runtime, &net.nodes[4].http, n, answer["leaf"].as_u64().unwrap());
    let network = runtime.block_on(get(format!("{}/v1/network", net.nodes[4].http))).unwrap();
    assert_eq!((&network["role"], &network["connected"]), (&"observer".into(), &4.into()), "{network}");

    // Two of four down: the rest says so at once, and goes on by itself.
    net.nodes[2].kill();
    net.nodes[3].kill();
    let since = Instant::now();
    let n = load.next.fetch_add(1, Relaxed);
    loop {
        let post = client
            .post(format!("{}/v1/statements", doors[0]))
            .header("content-type", "application/cose")
            .timeout(Duration::from_secs(4));
        let answer = runtime.block_on(async { post.body(reading(n)).send().await });
        // Taken in the moment in which nobody has noticed yet, it is not acknowledged.
        if let Ok(answer) = answer
            && answer.status() == 503
        {
            assert!(answer.headers().contains_key("retry-after"));
            let problem: Value = runtime.block_on(async { answer.json().await }).unwrap();
            assert_eq!(problem["code"], "no-quorum", "{problem}");
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(15), "it does not say that it has no quorum");
    }
    let ready = runtime.block_on(get(format!("{}/readyz", doors[1]))).unwrap();
    assert_eq!(ready["code"], "not-ready", "{ready}");
    net.nodes[2].start();
    net.nodes[3].start();
    net.ready(&runtime, READY);
    let again = runtime.block_on(post(&client, &doors[3], reading(n))).unwrap();
    assert!(again["leaf"].is_u64(), "it resumes by itself: {again}");

    // Whoever was killed and kept its disk votes again.
    for node in &net.nodes[..4] {
        wait_for("a vote of whoever kept its disk", READY, || {
            let network = runtime.block_on(get(format!("{}/v1/network", node.http)));
            network.is_some_and(|network| network["voting"] == "allowed")
        });
    }
    // A validator that lost its disk follows, and casts no vote: it cannot know what it voted.
    net.nodes[3].kill();
    for part in ["chain", "consensus", "validator", "seen-votes"] {
        let path = net.nodes[3].data.join(part);
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
    net.nodes[3].start();
    net.ready(&runtime, READY);
    let network = runtime.block_on(get(format!("{}/v1/network", net.nodes[3].http))).unwrap();
    assert_eq!(network["voting"], "denied", "{network}");
    let n = load.next.fetch_add(1, Relaxed);
    let answer = runtime.block_on(post(&client, &net.nodes[3].http, reading(n))).unwrap();
    assert!(answer["leaf"].is_u64(), "its doors still work: {answer}");

    // All have the same log, and in it everything that was acknowledged, once.
    let height = net.height(&runtime, 3);
    let checkpoints = net.checkpoints(&runtime, height, READY);
    for other in &checkpoints[1..] {
        assert_eq!(other["digest"], checkpoints[0]["digest"], "block {height}");
    }
    let pairs: Vec<(u32, u64)> = acknowledged.iter().map(|(n, leaf)| (*n, *leaf)).collect();
    let all: Acknowledged = Arc::new(Mutex::new(pairs));
    assert!(check_all(&runtime, &doors[0], &all) > 100, "the load got through");
    for (i, (n, leaf)) in acknowledged.iter().enumerate().step_by(17) {
        let answer = runtime.block_on(post(&client, &doors[i % 4], reading(*n))).unwrap();
        assert_eq!((answer["leaf"].as_u64(), &answer["duplicate"]), (Some(*leaf), &Value::Bool(true)));
    }

    // A receipt holds offline; with the signatures of two of four it does not.
    let leaf = acknowledged.values().next().unwrap();
    let receipt = runtime.block_on(async {
        let answer = reqwest::get(format!("{}/v1/statements/{leaf}/receipt", doors[2])).await.unwrap();
        answer.bytes().await.unwrap()
    });
    let (path, genesis) = (dir.path().join("receipt"), net.dir.join("genesis.json"));
    std::fs::write(&path, &receipt).unwrap();
    assert_eq!(verify(&path, &genesis)["verified"], true);
    let mut short = Receipt::decode(&receipt).unwrap();
    short.certificate.signatures.truncate(2);
    std::fs::write(&path, short.encode()).unwrap();
    let refused = verify(&path, &genesis);
    assert_eq!(refused["verified"], false, "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains("only 2 of 4"), "{refused}");

    net.stop_and_audit(acknowledged.len());
}
