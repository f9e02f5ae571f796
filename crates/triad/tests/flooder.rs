//! One of four validators floods the others, over their real connections: with garbage of all sizes and what it has heard, on every
//! channel, as fast as they take it. The others go on, and their memory stays bounded.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use common::load::Load;
use common::network::Network;
use common::*;
use triad_chain::ChainSpec;
use triad_consensus::{Config, testing::Flooder};

const READY: Duration = Duration::from_secs(60);
const FLOOD: Duration = Duration::from_secs(6);
/// More than a flooded node may take beyond what it took before.
const MOST: u64 = 256 << 20;

/// The configuration of the last node, as consensus takes it.
fn config(net: &Network) -> Config {
    let data = &net.nodes.last().unwrap().data;
    let read = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    let spec = ChainSpec::new(serde_json::from_str(&read("genesis.json")).unwrap()).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&read("validator.json")).unwrap();
    let network = read("node.toml").parse::<toml::Table>().unwrap()["network"].clone();
    let key =
        |value: &str| <[u8; 32]>::try_from(hex::decode(value.trim_start_matches("0x")).unwrap()).unwrap();
    let address = |value: &toml::Value| value.as_str().unwrap().parse::<SocketAddr>().unwrap();
    let peers = network["peers"].as_array().unwrap();
    let peers = peers.iter().map(|p| (key(p["key"].as_str().unwrap()), address(&p["address"]))).collect();
    let secret = key(keys["consensus_secret"].as_str().unwrap());
    let mut config = Config::new(data, secret, spec.namespace(), spec.sorted_keys());
    config.max_block_bytes = (2 * spec.genesis.limits.block_bytes + 65_536) as usize;
    config.network =
        Some(triad_consensus::Network { listen: address(&network["listen"]), peers, observers: Vec::new() });
    config
}

#[test]
fn a_flooder_costs_the_others_little() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let mut net = Network::new(dir.path(), 4);
    for node in &mut net.nodes[..3] {
        node.start();
    }
    net.ready(&runtime, READY);
    register(dir.path(), &net.nodes[0].http, &net.nodes[0].rpc);
    let http: Vec<String> = net.nodes[..3].iter().map(|n| n.http.clone()).collect();
    let (load, senders) = Load::start(&runtime, &http, 3);
    let acknowledged = || load.acknowledged.lock().unwrap().len();
    let more_within = |time: Duration| {
        let before = acknowledged();
        std::thread::sleep(time);
        acknowledged() - before
    };
    std::thread::sleep(Duration::from_secs(2));
    let memory = |net: &Network| net.nodes[..3].iter().map(|n| n.resident()).collect::<Vec<u64>>();
    let (quiet, before) = (more_within(FLOOD / 2) * 2, memory(&net));

    let flooder = Flooder::start(config(&net)).unwrap();
    let since = Instant::now();
    let (mut most, first) = (before.clone(), acknowledged());
    while since.elapsed() < FLOOD {
        std::thread::sleep(Duration::from_millis(50));
        most.iter_mut().zip(memory(&net)).for_each(|(most, now)| *most = now.max(*most));
    }
    let flooded = acknowledged() - first;
    let sent = flooder.sent();
    drop(flooder);
    let bytes = |net: &Network| {
        let each = net.nodes[..3].iter().map(|node| {
            let now = runtime.block_on(get(format!("{}/v1/network", node.http))).unwrap();
            now["nodes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|peer| peer["bytes_received"].as_u64().unwrap_or(0))
                .max()
        });
        each.collect::<Vec<_>>()
    };
    println!(
        "{sent} messages offered in {FLOOD:?}; acknowledged meanwhile {flooded}, as long before {quiet}; MiB before {:?}, at most {:?}; \
         bytes from whoever sent the most: {:?}",
        before.iter().map(|b| b >> 20).collect::<Vec<_>>(),
        most.iter().map(|b| b >> 20).collect::<Vec<_>>(),
        bytes(&net)
    );
    assert!(sent > 1000, "it hardly sent anything: {sent}");
    for (before, most) in before.iter().zip(&most) {
        assert!(most - before < MOST, "a flooded node grew from {before} to {most} bytes");
    }
    let since = Instant::now();
    let now = acknowledged();
    while acknowledged() < now + 20 {
        assert!(since.elapsed() < READY, "the others do not go on: {:?}", load.refused.lock().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    load.stop.store(true, Relaxed);
    for sender in senders {
        runtime.block_on(sender).unwrap();
    }
    net.nodes.truncate(3);
    net.stop_and_audit(acknowledged());
}
