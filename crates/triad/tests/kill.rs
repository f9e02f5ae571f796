//! SIGKILL at random moments under load: nothing acknowledged is lost, nothing is there twice, and the chain goes on by
//! itself.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::time::{Duration, Instant};

use common::*;

const KILLS: usize = 20;
/// How soon a restarted node must have a new block.
const RESUMES_WITHIN: Duration = Duration::from_secs(2);

#[test]
fn a_killed_node_loses_nothing_acknowledged_and_goes_on_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut seed = seed(0x7121_AD00);
    let mut node = start(&data);
    register(dir.path(), &node.http, &node.rpc);
    let runtime = runtime();
    let acknowledged = Acknowledged::default();
    let mut first = 0;
    for kill in 0..KILLS {
        let height = runtime.block_on(status(&node.http)).unwrap()["height"].as_u64().unwrap();
        let load = Load::start(&runtime, &node.http, first, &acknowledged);
        std::thread::sleep(Duration::from_millis(20 + next(&mut seed) % 250));
        node.child.kill().unwrap();
        node.child.wait().unwrap();
        first = load.end(&runtime);

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
            check(&runtime, &node.http, *n, *leaf);
        }
    }
    let all = check_all(&runtime, &node.http, &acknowledged);
    assert!(all > KILLS, "the load got through: {all}");
    // Sent again, each is acknowledged with the leaf it has: none is in the log twice.
    let client = reqwest::Client::new();
    for (n, leaf) in acknowledged.lock().unwrap().iter().step_by(7) {
        let answer = runtime.block_on(post(&client, &node.http, reading(*n))).unwrap();
        assert_eq!(
            (answer["leaf"].as_u64(), answer["duplicate"].as_bool()),
            (Some(*leaf), Some(true)),
            "{answer}"
        );
    }
    node.child.kill().unwrap();
    node.child.wait().unwrap();
    let audit = audit(&data);
    assert_eq!(audit["ok"], true, "{audit}");
    println!("{all} acknowledged over {KILLS} kills, all there; audit: {audit}");
}
