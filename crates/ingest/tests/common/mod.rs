//! A door that the test releases by hand, a server on free ports, and a client that speaks bytes.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, broadcast, oneshot};
use triad_ingest::{Accepted, Committed, Door, Limits, MqttConfig, MqttServer, Refusal, RefusalClass, serve};

pub const STATEMENTS: &str = "triad/v1/statements";

type Answer = oneshot::Sender<Result<Accepted, Refusal>>;

/// Accepts everything but payloads that say `refuse:<class>:<code>`; at once, or when released.
#[derive(Clone)]
pub struct TestDoor {
    pub shared: Arc<Shared>,
}

pub struct Shared {
    pub hold: AtomicBool,
    pub held: Mutex<VecDeque<(Bytes, Answer)>>,
    pub submitted: Mutex<Vec<Bytes>>,
    /// Queue space.
    pub space: Semaphore,
    pub events: broadcast::Sender<Arc<Committed>>,
    leaf: AtomicU64,
}

impl TestDoor {
    pub fn new(hold: bool) -> Self {
        let shared = Shared {
            hold: AtomicBool::new(hold),
            held: Mutex::default(),
            submitted: Mutex::default(),
            space: Semaphore::new(1_000_000),
            events: broadcast::channel(1_024).0,
            leaf: AtomicU64::new(100),
        };
        Self { shared: Arc::new(shared) }
    }

    pub fn held(&self) -> usize {
        self.shared.held.lock().len()
    }

    pub fn submitted(&self) -> usize {
        self.shared.submitted.lock().len()
    }

    pub async fn wait_held(&self, count: usize) {
        wait_for(|| self.held() >= count, "statements at the door").await;
    }

    /// Answers the held statement at `index`.
    pub fn release_at(&self, index: usize) {
        let (statement, answer) = self.shared.held.lock().remove(index).expect("a held statement");
        // The session may have ended.
        let _ = answer.send(self.decide(&statement));
    }

    pub fn release_all(&self) {
        while self.held() > 0 {
            self.release_at(0);
        }
    }

    fn decide(&self, statement: &[u8]) -> Result<Accepted, Refusal> {
        let text = String::from_utf8_lossy(statement);
        if let Some(class) = text.split("refuse:").nth(1) {
            let (class, code) = match class.split(|c: char| !c.is_ascii_lowercase()).next() {
                Some("malformed") => (RefusalClass::Malformed, "not-cbor"),
                Some("unauthorized") => (RefusalClass::NotAuthorized, "bad-signature"),
                Some("conflict") => (RefusalClass::Conflict, "too-old"),
                Some("quota") => (RefusalClass::QuotaExceeded, "quota"),
                Some("unavailable") => (RefusalClass::Unavailable, "timed-out"),
                _ => (RefusalClass::Internal, "internal"),
            };
            return Err(Refusal { code, message: "because the test says so".to_owned(), class });
        }
        let leaf = self.shared.leaf.fetch_add(1, Ordering::Relaxed);
        let duplicate = text.contains("again");
        Ok(Accepted { leaf, height: 7, signer: [1; 20], statement_id: [2; 32], duplicate })
    }
}

impl Door for TestDoor {
    fn source(&self) -> Self {
        self.clone()
    }

    async fn submit(&self, statement: Bytes) -> oneshot::Receiver<Result<Accepted, Refusal>> {
        self.shared.space.acquire().await.expect("never closed").forget();
        self.shared.submitted.lock().push(statement.clone());
        let (sender, receiver) = oneshot::channel();
        if self.shared.hold.load(Ordering::Relaxed) {
            self.shared.held.lock().push_back((statement, sender));
        } else {
            let _ = sender.send(self.decide(&statement));
        }
        receiver
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.shared.events.subscribe()
    }
}

/// A server, its door, its metrics, and the switch that stops it.
pub struct Setup {
    pub door: TestDoor,
    pub server: Option<MqttServer>,
    pub registry: Registry,
    pub stop: Option<oneshot::Sender<()>>,
}

pub fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

impl Setup {
    pub async fn new(hold: bool, limits: Limits) -> Self {
        let config =
            MqttConfig { tcp: Some(loopback()), ws: Some(loopback()), limits, ..MqttConfig::default() };
        Self::with(hold, config).await
    }

    pub async fn with(hold: bool, config: MqttConfig) -> Self {
        let door = TestDoor::new(hold);
        let (stop, stopped) = oneshot::channel::<()>();
        let mut registry = Registry::default();
        let shutdown = async move {
            // A dropped switch stops the server too.
            let _ = stopped.await;
        };
        let server = serve(config, door.clone(), &mut registry, shutdown).await.unwrap();
        Self { door, server: Some(server), registry, stop: Some(stop) }
    }

    pub fn tcp(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addresses.tcp.unwrap()
    }

    pub fn ws(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addresses.ws.unwrap()
    }

    pub async fn client(&self) -> Raw {
        Raw::new(self.tcp()).await
    }

    /// A connected client.
    pub async fn connected(&self, v5: bool) -> Raw {
        let mut client = self.client().await;
        client.v5 = v5;
        client.send(&connect(v5, 60, &[])).await;
        let (kind, body) = client.packet().await;
        assert_eq!((kind, body[0], body[1]), (0x20, 0, 0), "accepted, no session present");
        client
    }

    /// The value of a metric line that starts so, 0 when there is none.
    pub fn metric(&self, start: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text.lines().find_map(|line| line.strip_prefix(start)?.trim().parse().ok()).unwrap_or(0.0)
    }

    pub async fn wait_metric(&self, start: &str, value: f64) {
        wait_for(|| self.metric(start) == value, start).await;
    }
}

pub async fn wait_for(condition: impl Fn() -> bool, what: &str) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain for {what}");
}

/// A TCP client that speaks MQTT byte by byte.
pub struct Raw {
    pub stream: TcpStream,
    pub v5: bool,
}

impl Raw {
    pub async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, v5: false }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn publish(&mut self, qos: u8, id: u16, payload: &[u8]) {
        let packet = publish(self.v5, STATEMENTS, qos, id, payload);
        self.send(&packet).await;
    }

    /// The next packet, or `None` at the end of the stream.
    pub async fn try_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let reading = async {
            let kind = self.stream.read_u8().await.ok()?;
            let (mut length, mut shift) = (0usize, 0);
            loop {
                let byte = self.stream.read_u8().await.ok()?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((kind, body))
        };
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("a packet or the end")
    }

    pub async fn packet(&mut self) -> (u8, Vec<u8>) {
        self.try_packet().await.expect("a packet, not the end")
    }

    /// Nothing arrives for a while, and the connection stays open.
    pub async fn assert_silent(&mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_millis(60), self.stream.read(&mut byte)).await;
        assert!(read.is_err(), "expected silence, got {read:?}");
    }

    pub async fn assert_closed(&mut self) {
        assert_eq!(self.try_packet().await, None);
    }

    /// The server says DISCONNECT with this code and closes.
    pub async fn assert_disconnected(&mut self, code: u8) {
        let (kind, body) = self.packet().await;
        assert_eq!((kind, body[0]), (0xe0, code), "{}", String::from_utf8_lossy(&body));
        self.assert_closed().await;
    }

    pub async fn subscribe(&mut self, id: u16, filter: &str) -> u8 {
        let properties: &[u8] = if self.v5 { &[0] } else { &[] };
        let body = [&id.to_be_bytes()[..], properties, &text(filter), &[1]].concat();
        self.send(&packet(0x82, &body)).await;
        let (kind, body) = self.packet().await;
        assert_eq!((kind, &body[..2]), (0x90, &id.to_be_bytes()[..]));
        *body.last().unwrap()
    }

    /// Topic and payload of an event.
    pub async fn event(&mut self) -> (String, String) {
        let (kind, body) = self.packet().await;
        assert_eq!(kind, 0x30);
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + length].to_vec()).unwrap();
        let rest = &body[2 + length + usize::from(self.v5)..];
        (topic, String::from_utf8(rest.to_vec()).unwrap())
    }
}

pub fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        packet.push(if length == 0 { byte } else { byte | 0x80 });
        if length == 0 {
            break;
        }
    }
    packet.extend_from_slice(body);
    packet
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

pub fn connect(v5: bool, keep_alive: u16, properties: &[u8]) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([if v5 { 5 } else { 4 }, 2]);
    body.extend(keep_alive.to_be_bytes());
    if v5 {
        body.push(properties.len() as u8);
        body.extend(properties);
    }
    body.extend(text("raw"));
    packet(0x10, &body)
}

pub fn publish(v5: bool, topic: &str, qos: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    if v5 {
        body.push(0);
    }
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

/// COSE_Sign1 enough to claim a signer and a sequence number.
pub fn claimed(signer: [u8; 20], sequence: u8, payload: &str) -> Vec<u8> {
    let mut header = vec![0xa3, 0x01, 0x27, 0x04, 0x54];
    header.extend(signer);
    header.extend([0x0f, 0xa1, 0x3a, 0x00, 0x01, 0x00, 0x00, sequence]);
    let mut statement = vec![0xd2, 0x84, 0x58, header.len() as u8];
    statement.extend(header);
    statement.extend([0xa0, 0x78, payload.len() as u8]);
    statement.extend(payload.as_bytes());
    statement.extend([0x41, 0x00]);
    statement
}
