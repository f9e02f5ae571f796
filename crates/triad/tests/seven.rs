//! Seven validators and an observer as processes, under load through MQTT and HTTP doors: any two are killed, over and over,
//! one stands still, one loses its disk, all are killed at once, three are too many. Nothing acknowledged is lost, nothing is
//! there twice, and all that is left on each disk re-executes to the same roots.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::load::Load;
use common::network::{Network, wait_for};
use common::*;
use tokio::runtime::Runtime;

const VALIDATORS: usize = 7;
/// How many may be down.
const F: usize = 2;
const ROUNDS: usize = 3;
const READY: Duration = Duration::from_secs(60);

/// The load gets at least so many more acknowledged.
fn goes_on(load: &Load, more: usize, when: &str) {
    let before = load.acknowledged.lock().unwrap().len();
    let since = Instant::now();
    while load.acknowledged.lock().unwrap().len() < before + more {
        assert!(since.elapsed() < READY, "the load goes on {when}: {:?}", load.refused.lock().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn voting(runtime: &Runtime, http: &str) -> String {
    let network = runtime.block_on(get(format!("{http}/v1/network"))).unwrap_or_default();
    network["voting"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn seven_validators_lose_any_two_of_them_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = seed(0x5E7E_4000);
    let runtime = runtime();
    let mut net = Network::new(dir.path(), VALIDATORS);
    net.add_observer();
    net.start();
    net.ready(&runtime, READY);
    register(dir.path(), &net.nodes[1].http, &net.nodes[1].rpc);
    let height = net.height(&runtime, 1);
    net.checkpoints(&runtime, height, READY);
    let mqtt: Vec<String> = net.nodes[..VALIDATORS].iter().map(|n| n.mqtt.clone()).collect();
    let http: Vec<String> = net.nodes[..VALIDATORS].iter().map(|n| n.http.clone()).collect();
    let (load, mut senders) = Load::start(&runtime, &http, 2);
    senders.extend(load.add_mqtt(&runtime, &mqtt, 6));
    goes_on(&load, 20, "at first");

    for round in 0..ROUNDS {
        let first = next(&mut seed) as usize % VALIDATORS;
        let second = (first + 1 + next(&mut seed) as usize % (VALIDATORS - 1)) % VALIDATORS;
        for victim in [first, second] {
            std::thread::sleep(Duration::from_millis(next(&mut seed) % 500));
            net.nodes[victim].kill();
        }
        goes_on(&load, 20, &format!("without {first} and {second}, round {round}"));
        for victim in [first, second] {
            net.nodes[victim].start();
        }
        net.ready(&runtime, READY);
    }

    // One loses its disk, and does not vote again; with it, one that stands still is the second.
    let lost = next(&mut seed) as usize % VALIDATORS;
    net.nodes[lost].kill();
    for part in ["chain", "consensus", "validator", "seen-votes"] {
        let path = net.nodes[lost].data.join(part);
        let gone = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        gone.unwrap();
    }
    net.nodes[lost].start();
    let frozen = (lost + 1) % VALIDATORS;
    net.nodes[frozen].signal("STOP");
    goes_on(&load, 20, "with one that stands still and one that lost its disk");
    net.nodes[frozen].signal("CONT");
    net.ready(&runtime, READY);
    wait_for("what the others remember", READY, || voting(&runtime, &net.nodes[lost].http) == "denied");

    // All at once.
    for node in &mut net.nodes {
        node.kill();
    }
    for node in &mut net.nodes {
        node.start();
    }
    net.ready(&runtime, READY);
    goes_on(&load, 50, "after all were killed");

    // F + 1 are too many, the one that follows among them: the rest says so, and goes on by itself.
    let down: Vec<usize> = (1..VALIDATORS).map(|i| (lost + i) % VALIDATORS).take(F).collect();
    for node in &down {
        net.nodes[*node].kill();
    }
    let up = (lost + VALIDATORS - 1) % VALIDATORS;
    let before = net.height(&runtime, up);
    std::thread::sleep(Duration::from_secs(3));
    let stuck = net.height(&runtime, up);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(net.height(&runtime, up), stuck, "four votes of seven decide nothing (it was at {before})");
    for node in &down {
        net.nodes[*node].start();
    }
    net.ready(&runtime, READY);
    goes_on(&load, 20, "when two are back");

    load.stop.store(true, Relaxed);
    for sender in senders {
        runtime.block_on(sender).unwrap();
    }
    let acknowledged = load.acknowledged.lock().unwrap().clone();
    println!("{} acknowledged; refused on the way: {:?}", acknowledged.len(), load.refused.lock().unwrap());
    // Blocks came as outlines of what had been relayed, and what each link carried is counted.
    for node in &net.nodes {
        let now = runtime.block_on(get(format!("{}/v1/network", node.http))).unwrap();
        println!("{}", now["blocks"]);
        assert!(now["blocks"]["outlines"].as_u64() > Some(0), "{}", now["blocks"]);
        let peers = now["nodes"].as_array().unwrap().iter().filter(|peer| peer["self"] == false);
        assert!(peers.filter(|peer| peer["bytes_received"].as_u64() > Some(0)).count() >= VALIDATORS - 2);
    }
    let height = net.height(&runtime, up);
    let checkpoints = net.checkpoints(&runtime, height, READY);
    assert_eq!(checkpoints.len(), VALIDATORS + 1);
    for other in &checkpoints[1..] {
        assert_eq!(other["digest"], checkpoints[0]["digest"], "block {height}");
    }
    let pairs: Vec<(u32, u64)> = acknowledged.iter().map(|(n, leaf)| (*n, *leaf)).collect();
    let all: Acknowledged = Arc::new(Mutex::new(pairs));
    check_all(&runtime, &net.nodes[VALIDATORS].http, &all);
    net.stop_and_audit(acknowledged.len());
}
