//! SIGKILL at random moments.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use triad_consensus::start;

use crate::{
    ledger::{Ledger, Options, file_of, hex, read},
    runtime, solo,
};

const DIR: &str = "TRIAD_CONSENSUS_CHILD";
/// Light load (an item at a time) instead of a flood.
const LIGHT: &str = "TRIAD_CONSENSUS_LIGHT";

/// Not a test: the process that is killed. Says `acked <item>` for each item that is final and durable.
#[test]
#[ignore = "run by the tests that kill it"]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let light = std::env::var(LIGHT).is_ok();
    let dir = Path::new(&dir);
    runtime().block_on(async {
        let ledger = Ledger::open(dir, Options { items_a_block: 3, ..Options::default() });
        let mut validator = start(solo(dir), ledger.clone()).unwrap();
        tokio::spawn(async move {
            eprintln!("the validator ended: {:?}", validator.finished().await);
            std::process::exit(3);
        });
        let mut heights = ledger.heights();
        let mut open: Vec<Bytes> = Vec::new();
        loop {
            while open.len() < if light { 1 } else { 30 } {
                let item = Bytes::copy_from_slice(&rand::random::<[u8; 16]>());
                ledger.submit(item.clone());
                open.push(item);
            }
            heights.changed().await.unwrap();
            let waiting = ledger.waiting();
            open.retain(|item| {
                let waits = waiting.contains(item);
                if !waits {
                    println!("acked {}", hex(item));
                }
                waits
            });
            if light {
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..30))).await;
            }
        }
    });
}

/// Kills its process also when a test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill_often(rounds: usize, light: bool) {
    let dir = tempfile::tempdir().unwrap();
    let acked = Arc::new(Mutex::new(Vec::<String>::new()));
    let mut resumed = Vec::new();
    for round in 0..rounds {
        let before = read(&file_of(dir.path())).len();
        let begun = Instant::now();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["crash::child", "--exact", "--ignored", "--nocapture"]).env(DIR, dir.path());
        if light {
            command.env(LIGHT, "1");
        }
        let mut child = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
        let output = BufReader::new(child.0.stdout.take().unwrap());
        let reader = std::thread::spawn({
            let acked = acked.clone();
            move || {
                for line in output.lines().map_while(Result::ok) {
                    if let Some((_, item)) = line.split_once("acked ") {
                        acked.lock().unwrap().push(item.to_owned());
                    }
                }
            }
        });
        // Some are killed while they start, the others after they went on for a while.
        if round % 3 == 2 {
            std::thread::sleep(Duration::from_millis(rand::random_range(0..150)));
        } else {
            while read(&file_of(dir.path())).len() <= before + 1 {
                assert!(begun.elapsed() < Duration::from_secs(20), "round {round}: the chain does not go on");
                assert!(
                    child.0.try_wait().unwrap().is_none(),
                    "round {round}: the validator ended by itself"
                );
                std::thread::sleep(Duration::from_millis(2));
            }
            resumed.push(begun.elapsed());
            std::thread::sleep(Duration::from_micros(rand::random_range(0..150_000)));
        }
        drop(child);
        reader.join().unwrap();
    }
    let lines = read(&file_of(dir.path()));
    for (index, (height, _, _)) in lines.iter().enumerate() {
        assert_eq!(*height, index as u64 + 1);
    }
    let all: Vec<&String> = lines.iter().flat_map(|(_, _, items)| items).collect();
    let once: HashSet<&String> = all.iter().copied().collect();
    assert_eq!(all.len(), once.len(), "an item is there twice");
    let acked = acked.lock().unwrap();
    let lost: Vec<_> = acked.iter().filter(|item| !once.contains(item)).collect();
    assert!(lost.is_empty(), "{} acknowledged items are lost: {lost:?}", lost.len());
    resumed.sort();
    let slowest = resumed[resumed.len() - 1];
    println!(
        "{rounds} kills, {} blocks, {} items, {} acknowledged; from start to two new blocks: median {:?}, slowest {slowest:?}",
        lines.len(),
        all.len(),
        acked.len(),
        resumed[resumed.len() / 2],
    );
    assert!(slowest < Duration::from_secs(2), "it took {slowest:?} to go on after a kill");
    assert!(!acked.is_empty());
}

#[test]
fn killed_under_load_it_goes_on_and_loses_nothing() {
    kill_often(15, false);
}

#[test]
fn killed_under_light_load_it_goes_on_and_loses_nothing() {
    kill_often(15, true);
}
