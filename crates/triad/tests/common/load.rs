//! A load on a network that knows what was acknowledged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::{post, reading};

/// Statements that an MQTT connection sends before it goes on to the next door.
const A_CONNECTION: usize = 16;
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

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

    /// The same through MQTT 5 doors, one statement at a time on each of `connections` connections.
    pub fn add_mqtt(
        self: &Arc<Load>,
        runtime: &Runtime,
        doors: &[String],
        connections: usize,
    ) -> Vec<JoinHandle<()>> {
        let run = |i| {
            let (load, doors) = (self.clone(), doors.to_vec());
            runtime.spawn(async move { load.run_mqtt(&doors, i).await })
        };
        (0..connections).map(run).collect()
    }

    async fn run_mqtt(&self, doors: &[String], first: usize) {
        let mut door = first;
        let mut waiting: Option<u32> = None;
        while !self.stop.load(Relaxed) {
            let (host, port) = doors[door % doors.len()].rsplit_once(':').unwrap();
            let mut options = MqttOptions::new(format!("load-{first}-{door}"), host, port.parse().unwrap());
            options.set_keep_alive(Duration::from_secs(30));
            let (client, mut events) = AsyncClient::new(options, 4);
            for _ in 0..A_CONNECTION {
                let n = waiting.unwrap_or_else(|| self.next.fetch_add(1, Relaxed));
                waiting = Some(n);
                if self.stop.load(Relaxed) {
                    return;
                }
                client.publish("triad/v1/statements", QoS::AtLeastOnce, false, reading(n)).await.unwrap();
                match tokio::time::timeout(ANSWERED_WITHIN, acknowledged(&mut events)).await {
                    Ok(Ok(leaf)) => {
                        let before = self.acknowledged.lock().unwrap().insert(n, leaf);
                        assert_eq!(before, None);
                        waiting = None;
                    }
                    // A dead door, or a reason: the next one.
                    refused => {
                        let why = refused.map_or("no PUBACK".to_owned(), |said| said.unwrap_err());
                        *self.refused.lock().unwrap().entry(why).or_default() += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        break;
                    }
                }
            }
            door += 1;
        }
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

/// The leaf that the next PUBACK names, or why there is none.
async fn acknowledged(events: &mut EventLoop) -> Result<u64, String> {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::PubAck(ack))) => {
                if ack.reason != PubAckReason::Success {
                    return Err(format!("PUBACK {:?}", ack.reason));
                }
                let properties = ack.properties.expect("a PUBACK names the leaf");
                let leaf = properties.user_properties.iter().find(|(name, _)| name == "leaf");
                return Ok(leaf.unwrap().1.parse().unwrap());
            }
            Ok(_) => {}
            Err(_) => return Err("no connection".to_owned()),
        }
    }
}
