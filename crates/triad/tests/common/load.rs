//! A load on a network that knows what was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{post, reading};

/// One device whose statements go through all doors in turn, each again through the next door until it is acknowledged.
#[derive(Default)]
pub struct Load {
    pub stop: AtomicBool,
    pub next: AtomicU32,
    pub acknowledged: Mutex<BTreeMap<u32, u64>>,
    pub refused: Mutex<BTreeMap<String, u64>>,
}

impl Load {
    /// As many at once as `senders`, each beginning at another door.
    pub fn start(runtime: &Runtime, doors: &[String], senders: usize) -> (Arc<Load>, Vec<JoinHandle<()>>) {
        let load = Arc::<Load>::default();
        let run = |i| {
            let (load, doors) = (load.clone(), doors.to_vec());
            runtime.spawn(async move { load.run(&doors, i).await })
        };
        let senders = (0..senders).map(run).collect();
        (load, senders)
    }

    async fn run(&self, doors: &[String], first: usize) {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
        let mut door = first;
        while !self.stop.load(Relaxed) {
            let n = self.next.fetch_add(1, Relaxed);
            let statement = reading(n);
            loop {
                let answer = post(&client, &doors[door % doors.len()], statement.clone()).await;
                if let Some(leaf) = answer.as_ref().and_then(|a| a["leaf"].as_u64()) {
                    let before = self.acknowledged.lock().unwrap().insert(n, leaf);
                    assert_eq!(before, None);
                    break;
                }
                // A dead door, or a problem: the next one.
                let code = answer.as_ref().and_then(|a| a["code"].as_str()).unwrap_or("no answer").to_owned();
                *self.refused.lock().unwrap().entry(code).or_default() += 1;
                door += 1;
                if self.stop.load(Relaxed) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            door += 1;
        }
    }
}
