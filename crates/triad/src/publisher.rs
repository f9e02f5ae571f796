//! A device's side of MQTT 5: publish signed statements, a bounded number in flight, and time each acknowledgement.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Where statements go.
pub const TOPIC: &str = "triad/v1/statements";

#[derive(Debug, Clone, Default)]
pub struct Report {
    pub acknowledged: u64,
    /// Send to acknowledgement, sorted.
    pub latencies: Vec<Duration>,
    /// Leaves, in order of acknowledgement, as the door names them.
    pub leaves: Vec<u64>,
}

impl Report {
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        if self.latencies.is_empty() {
            return 0.0;
        }
        let index = (self.latencies.len() - 1) * percent / 100;
        self.latencies[index].as_secs_f64() * 1e3
    }
}

/// One connection of one device.
#[derive(Debug)]
pub struct Publisher {
    client: AsyncClient,
    /// A message for each statement that is final; the permit to send another.
    done: mpsc::Receiver<anyhow::Result<(Duration, Option<u64>)>>,
    events: JoinHandle<()>,
    in_flight: usize,
    window: usize,
    report: Report,
}

impl Publisher {
    pub async fn connect(address: &str, client_id: &str, window: usize) -> anyhow::Result<Publisher> {
        let (host, port) = address.rsplit_once(':').context("the MQTT address must be HOST:PORT")?;
        let window = window.clamp(1, 1000);
        let mut options = MqttOptions::new(client_id, host, port.parse()?);
        options.set_outgoing_inflight_upper_limit(window as u16);
        options.set_clean_start(true);
        options.set_keep_alive(Duration::from_secs(30));
        let (client, mut connection) = AsyncClient::new(options, window);
        let (sender, done) = mpsc::channel(window + 1);
        let events = tokio::spawn(async move {
            let mut sent: HashMap<u16, Instant> = HashMap::new();
            loop {
                let outcome = match connection.poll().await {
                    Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                        sent.insert(id, Instant::now());
                        continue;
                    }
                    Ok(Event::Incoming(Packet::PubAck(ack))) => {
                        let took = sent.remove(&ack.pkid).map_or(Duration::ZERO, |at| at.elapsed());
                        match ack.reason {
                            PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {
                                let leaf = ack.properties.as_ref().and_then(|p| {
                                    let found = p.user_properties.iter().find(|(name, _)| name == "leaf");
                                    found.and_then(|(_, leaf)| leaf.parse().ok())
                                });
                                Ok((took, leaf))
                            }
                            reason => {
                                let why = ack.properties.and_then(|p| p.reason_string).unwrap_or_default();
                                Err(anyhow::anyhow!("the node refused a statement ({reason:?}): {why}"))
                            }
                        }
                    }
                    Ok(_) => continue,
                    Err(error) => Err(anyhow::anyhow!("the MQTT connection broke: {error}")),
                };
                let broken = outcome.is_err();
                if sender.send(outcome).await.is_err() || broken {
                    return;
                }
            }
        });
        Ok(Publisher { client, done, events, in_flight: 0, window, report: Report::default() })
    }

    /// Sends a statement; waits while the window is full.
    pub async fn publish(&mut self, statement: Vec<u8>) -> anyhow::Result<()> {
        while self.in_flight >= self.window {
            self.one().await?;
        }
        while let Ok(outcome) = self.done.try_recv() {
            self.count(outcome?);
        }
        self.in_flight += 1;
        self.client
            .publish(TOPIC, QoS::AtLeastOnce, false, statement)
            .await
            .context("the MQTT connection is closed")
    }

    fn count(&mut self, (took, leaf): (Duration, Option<u64>)) {
        self.in_flight -= 1;
        self.report.acknowledged += 1;
        self.report.latencies.push(took);
        self.report.leaves.extend(leaf);
    }

    async fn one(&mut self) -> anyhow::Result<()> {
        match tokio::time::timeout(Duration::from_secs(60), self.done.recv()).await {
            Ok(Some(outcome)) => {
                self.count(outcome?);
                Ok(())
            }
            Ok(None) => bail!("the MQTT connection is closed"),
            Err(_) => bail!("no acknowledgement for a minute: is the node making blocks?"),
        }
    }

    pub fn acknowledged(&self) -> u64 {
        self.report.acknowledged
    }

    /// Waits for everything in flight.
    pub async fn drain(&mut self) -> anyhow::Result<()> {
        while self.in_flight > 0 {
            self.one().await?;
        }
        Ok(())
    }

    /// Waits for everything in flight and disconnects.
    pub async fn finish(mut self) -> anyhow::Result<Report> {
        self.drain().await?;
        // Closed by the node already is fine.
        let _ = self.client.disconnect().await;
        self.events.abort();
        let mut report = self.report;
        report.latencies.sort_unstable();
        Ok(report)
    }
}
