//! How many statements a second the MQTT door itself can take: a door behind it that accepts everything, at once or
//! in "blocks", and clients that keep a window of QoS 1 publishes full. Server and clients share the machine.
//!
//! ```text
//! cargo run --release -p triad-ingest --example throughput -- [connections] [seconds] [block interval in ms, 0: at once]
//! ```

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{broadcast, oneshot};
use triad_ingest::{Accepted, Committed, Door, MqttConfig, Refusal, serve};

const WINDOW: usize = 1_000;
const PAYLOAD: usize = 150;

type Answer = oneshot::Sender<Result<Accepted, Refusal>>;

#[derive(Clone)]
struct EveryoneIsWelcome {
    waiting: Option<Arc<Mutex<Vec<Answer>>>>,
    events: broadcast::Sender<Arc<Committed>>,
}

fn accepted() -> Accepted {
    Accepted { leaf: 123_456, height: 789, signer: [0; 20], statement_id: [0; 32], duplicate: false }
}

impl Door for EveryoneIsWelcome {
    fn source(&self) -> Self {
        self.clone()
    }

    async fn submit(&self, _statement: Bytes) -> oneshot::Receiver<Result<Accepted, Refusal>> {
        let (sender, receiver) = oneshot::channel();
        match &self.waiting {
            Some(waiting) => waiting.lock().push(sender),
            None => drop(sender.send(Ok(accepted()))),
        }
        receiver
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.events.subscribe()
    }
}

/// Keeps the window full until the time is over; the number of acknowledgements.
fn client(address: SocketAddr, v5: bool, until: Instant) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let level = if v5 { 5 } else { 4 };
    let mut connect = vec![0x10, 0, 0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 60];
    connect.extend(if v5 { &[0, 0, 1, b'x'][..] } else { &[0, 1, b'x'][..] });
    connect[1] = connect.len() as u8 - 2;
    stream.write_all(&connect)?;
    let topic = triad_ingest::topics::STATEMENTS;
    let body = 2 + topic.len() + 2 + usize::from(v5) + PAYLOAD;
    let mut packet = vec![0x32, (body & 0x7f) as u8 | 0x80, (body >> 7) as u8, 0, topic.len() as u8];
    packet.extend(topic.bytes());
    let id_at = packet.len();
    packet.extend([0; 2]);
    packet.extend(vec![0; PAYLOAD + usize::from(v5)]);

    let (mut sent, mut acknowledged) = (0u64, 0u64);
    let mut input = vec![0; 1 << 18];
    let mut filled = 0;
    let mut output = Vec::new();
    let mut connected = false;
    loop {
        if connected && Instant::now() < until {
            output.clear();
            while sent - acknowledged < WINDOW as u64 {
                sent += 1;
                let id = (sent % 60_000 + 1) as u16;
                packet[id_at..id_at + 2].copy_from_slice(&id.to_be_bytes());
                output.extend_from_slice(&packet);
            }
            stream.write_all(&output)?;
        } else if connected && sent == acknowledged {
            return Ok(acknowledged);
        }
        filled += stream.read(&mut input[filled..])?;
        let mut at = 0;
        // All packets here are shorter than 128 bytes.
        while filled - at >= 2 && filled - at >= 2 + usize::from(input[at + 1]) {
            match input[at] {
                0x40 => acknowledged += 1,
                0x20 => connected = true,
                other => panic!("unexpected packet {other:#x}"),
            }
            at += 2 + usize::from(input[at + 1]);
        }
        input.copy_within(at..filled, 0);
        filled -= at;
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let connections = arguments.next().unwrap_or(1);
    let seconds = arguments.next().unwrap_or(5);
    let block_ms = arguments.next().unwrap_or(0);
    let waiting = (block_ms > 0).then(Arc::default);
    let door = EveryoneIsWelcome { waiting: waiting.clone(), events: broadcast::channel(4).0 };
    if let Some(waiting) = waiting {
        let waiting: Arc<Mutex<Vec<Answer>>> = waiting;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(block_ms)).await;
                for answer in std::mem::take(&mut *waiting.lock()) {
                    let _ = answer.send(Ok(accepted()));
                }
            }
        });
    }
    let config = MqttConfig { tcp: Some(([127, 0, 0, 1], 0).into()), ..MqttConfig::default() };
    let mut registry = prometheus_client::registry::Registry::default();
    let server = serve(config, door, &mut registry, std::future::pending()).await.expect("a free port");
    let address = server.addresses.tcp.expect("asked for");
    let mut acknowledged = 0;
    for v5 in [false, true] {
        let start = Instant::now();
        let until = start + Duration::from_secs(seconds);
        let clients: Vec<_> =
            (0..connections).map(|_| std::thread::spawn(move || client(address, v5, until))).collect();
        let mut total = 0;
        for client in clients {
            total += tokio::task::spawn_blocking(move || client.join())
                .await
                .expect("no panic")
                .expect("no panic")
                .expect("no I/O error");
        }
        let rate = total as f64 / start.elapsed().as_secs_f64();
        let version = if v5 { "5" } else { "3.1.1" };
        println!(
            "MQTT {version}: {connections} connections, window {WINDOW}: {rate:.0} acknowledged a second"
        );
        acknowledged += total;
    }
    // The clients' count must be the server's.
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("writing to a String");
    let line = "triad_mqtt_publishes_total{result=\"accepted\"}";
    let accepted = text.lines().find_map(|text| text.strip_prefix(line)?.trim().parse::<u64>().ok());
    assert_eq!(accepted, Some(acknowledged), "the server accepted another number than the clients counted");
    println!("{acknowledged} acknowledged, as many as the server counts accepted");
}
