//! Every bad input through both doors of a running node: refused in the door's own words, counted, and of no
//! consequence for anybody else. The table of `docs/testing.md`, as far as statements go; what concerns connections is
//! tested beside each door.

#![allow(clippy::unwrap_used)] // A test may panic.

mod mqtt;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use mqtt::Client;
use serde_json::Value;
use triad_chain::{TxRequest, clock_ms, contracts};
use triad_node::layout::{Layout, NewChain, create, dev_wallets};
use triad_node::{Node, NodeOptions};
use triad_statement::{Algorithm, DeviceId, Sequence, SigningKey, StatementBuilder};

const T0: i64 = 1_700_000_100_000_000;

struct World {
    node: Node,
    http: String,
    mqtt: SocketAddr,
    client: reqwest::Client,
    nonce: u64,
    _dir: tempfile::TempDir,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[seed; 32]).unwrap()
}

fn builder(key: &SigningKey, n: u32) -> StatementBuilder<'_> {
    StatementBuilder::new(key, Sequence::new(0, n))
}

fn good(key: &SigningKey, n: u32) -> StatementBuilder<'_> {
    builder(key, n).number("temperature", Some("Cel"), 21.0, Some(T0 + i64::from(n)))
}

fn edited(statement: Bytes, edit: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = statement.to_vec();
    edit(&mut bytes);
    bytes.into()
}

impl World {
    async fn start() -> World {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("data"));
        let new = NewChain {
            name: "test".into(),
            chain_id: 7423,
            registrars: Vec::new(),
            open_registration: true,
            funded: dev_wallets().iter().map(|w| w.address()).collect(),
            default_models: Vec::new(),
            base_fee_to: None,
        };
        create(&layout, &new).unwrap();
        let node = Node::start(NodeOptions::on_free_ports(layout)).await.unwrap();
        let (http, mqtt) = (format!("http://{}", node.http.unwrap()), node.mqtt.addresses.tcp.unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        World { node, http, mqtt, client, nonce: 0, _dir: dir }
    }

    /// Sends a transaction of account 0 and waits for its finality.
    async fn call(&mut self, (to, input): contracts::Call) {
        let request = TxRequest {
            to: Some(to),
            value: U256::ZERO,
            input: input.into(),
            nonce: self.nonce,
            gas_limit: 10_000_000,
            max_fee_per_gas: 2_000_000_000,
        };
        self.nonce += 1;
        let hash = self.node.submitter.transaction(&dev_wallets()[0].transaction(7423, request)).unwrap();
        let since = Instant::now();
        while self.node.reader.eth_transaction(&hash).unwrap().is_none() {
            assert!(since.elapsed() < Duration::from_secs(20), "not final");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn register(&mut self, keys: &[&SigningKey]) {
        let owner = dev_wallets()[0].address();
        let batch = keys.iter().map(|k| contracts::registration(7423, owner, k, B256::ZERO)).collect();
        self.call(contracts::register(batch)).await;
    }

    async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let post = self.client.post(format!("{}/v1/statements", self.http)).body(body);
        let answer = post.header("content-type", content_type).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn metrics(&self) -> String {
        self.client.get(format!("{}/metrics", self.http)).send().await.unwrap().text().await.unwrap()
    }

    async fn counted(&self, sample: &str) -> u64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |n| n.parse().unwrap())
    }
}

struct Case {
    code: &'static str,
    status: u16,
    /// MQTT 5 reason code.
    reason: u8,
    bytes: Bytes,
}

async fn cases(world: &mut World, device: &SigningKey) -> Vec<Case> {
    let (stranger, suspended, revoked, gateway) = (key(9), key(2), key(3), key(4));
    let other_algorithm = SigningKey::from_secret_bytes(Algorithm::Es256, &[5; 32]).unwrap();
    let (mute, unsigned) = contracts::register_unsigned(dev_wallets()[0].address(), B256::ZERO, B256::ZERO);
    world.register(&[device, &suspended, &revoked, &gateway]).await;
    for call in
        [contracts::suspend(suspended.public().id()), contracts::revoke(revoked.public().id()), unsigned]
    {
        world.call(call).await;
    }
    let id = device.public().id();
    // What the numbers below clash with.
    let (status, answer) = world.post("application/cose", good(device, 3000).sign()).await;
    assert_eq!(status, 201, "{answer}");
    let ahead = clock_ms() as i64 * 1000 + 3_600_000_000;
    let streams =
        (0..300).fold(builder(device, 4000), |b, i| b.number(&format!("s{i}"), None, 1.0, Some(T0)));
    let unprotected = |b: &mut Vec<u8>| {
        let at = 4 + usize::from(b[3]);
        b.splice(at..at + 1, [0xa1, 0x04, 0x41, 0x01]);
    };
    let sample = || good(device, 4000).sign();
    let malformed = |code, bytes| Case { code, status: 400, reason: 0x99, bytes };
    let forbidden = |code, bytes| Case { code, status: 403, reason: 0x87, bytes };
    let conflict = |code, bytes| Case { code, status: 409, reason: 0x83, bytes };
    vec![
        malformed("not-cbor", Bytes::from_static(b"hello")),
        malformed("not-cbor", edited(sample(), |b| b.truncate(b.len() - 1))),
        malformed("non-deterministic-cbor", edited(sample(), |b| drop(b.splice(0..1, [0xd8, 0x12])))),
        malformed("not-cose", Bytes::from_static(&[0x63, b'a', b'b', b'c'])),
        malformed("wrong-tag", edited(sample(), |b| b[0] = 0xd1)),
        malformed("unprotected-header", edited(sample(), unprotected)),
        malformed("unknown-algorithm", edited(sample(), |b| b[6] = 0x37)),
        malformed("bad-senml", builder(device, 4000).payload(112, [0x80]).sign()),
        malformed("not-finite", builder(device, 4000).number("t", None, f64::NAN, Some(T0)).sign()),
        malformed("not-finite", builder(device, 4000).number("t", None, f64::NEG_INFINITY, Some(T0)).sign()),
        malformed("name-too-long", builder(device, 4000).number(&"n".repeat(256), None, 1.0, None).sign()),
        malformed("bad-unit", builder(device, 4000).number("t", Some(&"u".repeat(33)), 1.0, None).sign()),
        malformed("time-ahead", builder(device, 4000).number("t", None, 1.0, Some(ahead)).sign()),
        Case {
            code: "too-large",
            status: 413,
            reason: 0x99,
            bytes: builder(device, 4000).data("blob", &[7; 65_500], None).sign(),
        },
        forbidden("unknown-device", good(&stranger, 0).sign()),
        forbidden("unknown-device", good(&gateway, 0).on_behalf_of(DeviceId([7; 20])).sign()),
        forbidden("suspended-device", good(&suspended, 0).sign()),
        forbidden("revoked-device", good(&revoked, 0).sign()),
        forbidden("device-without-key", good(&stranger, 0).kid(mute).sign()),
        forbidden("origin-not-allowed", good(&gateway, 0).on_behalf_of(id).sign()),
        forbidden("wrong-key", good(&other_algorithm, 4000).kid(id).sign()),
        conflict("too-old", good(device, 5).sign()),
        conflict("equivocation", builder(device, 3000).number("temperature", Some("Cel"), 9.0, None).sign()),
        conflict(
            "wrong-epoch",
            StatementBuilder::new(device, Sequence::new(1, 0)).number("t", None, 1.0, None).sign(),
        ),
        conflict("changed-unit", builder(device, 4000).number("temperature", Some("Far"), 70.0, None).sign()),
        Case { code: "too-many-streams", status: 429, reason: 0x97, bytes: streams.sign() },
        // Last: whoever sends these is verified apart from then on.
        forbidden("bad-signature", good(&stranger, 4000).kid(id).sign()),
        forbidden("bad-signature", edited(sample(), |b| *b.last_mut().unwrap() ^= 1)),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_statement_is_refused_in_each_door_s_words_and_counted() {
    let mut world = World::start().await;
    let device = key(1);
    let cases = cases(&mut world, &device).await;
    let mut sent: BTreeMap<&str, u64> = BTreeMap::new();

    for Case { code, status, bytes, .. } in &cases {
        // Said to be CBOR only: what is said to be one statement is refused by its size at the head, uncounted as one.
        let (found, problem) = world.post("application/cbor", bytes.clone()).await;
        assert_eq!((found, problem["code"].as_str()), (*status, Some(*code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().len() > 15, "{problem}");
        *sent.entry(code).or_default() += 1;
    }
    let mut client = Client::connect(world.mqtt, true).await;
    for (id, Case { code, reason, bytes, .. }) in (1..).zip(&cases) {
        client.publish(id, bytes).await;
        let (acknowledged, found, text) = client.puback().await;
        assert_eq!((acknowledged, found), (id, *reason), "{code}: {text}");
        assert!(text.starts_with(&format!("{code}: ")), "{code}: {text}");
    }
    // A good one among them: the connection lives, though it is verified apart by now.
    client.publish(9, &good(&device, 3001).sign()).await;
    assert_eq!(client.puback().await.1, 0);

    // 3.1.1 has no word for no: the good one is acknowledged, the connection closed, the reasons are on the errors topic.
    let mut old = Client::connect(world.mqtt, false).await;
    old.subscribe().await;
    for (id, case) in (1..).zip(&cases) {
        old.publish(id, &case.bytes).await;
    }
    old.publish(500, &good(&device, 3002).sign()).await;
    let (mut acknowledged, mut told) = (Vec::new(), BTreeMap::<String, u64>::new());
    while let Some((kind, body)) = old.packet().await {
        match kind {
            0x40 => acknowledged.push(u16::from_be_bytes([body[0], body[1]])),
            _ => {
                let json = body.iter().position(|b| *b == b'{').unwrap();
                let event: Value = serde_json::from_slice(&body[json..]).unwrap();
                *told.entry(event["code"].as_str().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert_eq!(acknowledged, [500]);
    let expected: BTreeMap<String, u64> = sent.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect();
    assert_eq!(told, expected);

    for (code, n) in sent {
        let http = format!("triad_http_statements_total{{result=\"{code}\"}}");
        assert_eq!(world.counted(&http).await, n, "{http}");
        let mqtt = format!("triad_mqtt_publishes_total{{result=\"{code}\"}}");
        assert_eq!(world.counted(&mqtt).await, 2 * n, "{mqtt}");
        let all = format!("triad_statements_refused_total{{code=\"{code}\"}}");
        assert_eq!(world.counted(&all).await, 3 * n, "{all}");
    }
    // Two sources were caught and a third with its connection closed; nobody else notices.
    assert_eq!(world.counted("triad_sources_caught_total").await, 3);
    let mut other = Client::connect(world.mqtt, true).await;
    other.publish(1, &good(&device, 3003).sign()).await;
    assert_eq!(other.puback().await.1, 0);
    let (status, answer) = world.post("application/cose", good(&device, 3004).sign()).await;
    assert_eq!(status, 201, "{answer}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_door_is_refused_at_its_head() {
    let mut world = World::start().await;
    let device = key(1);
    world.register(&[&device]).await;
    let huge = builder(&device, 0).data("blob", &[7; 70_000], None).sign();
    for content_type in ["application/cose", "application/cbor-seq"] {
        let (status, problem) = world.post(content_type, vec![0x40; 2 << 20]).await;
        assert_eq!((status, problem["code"].as_str()), (413, Some("too-large")), "{problem}");
    }
    let mut client = Client::connect(world.mqtt, true).await;
    client.publish(1, &huge).await;
    let (kind, body) = client.packet().await.unwrap();
    assert_eq!((kind, body[0]), (0xe0, 0x95), "DISCONNECT, packet too large");
    assert!(client.packet().await.is_none());
    let mut old = Client::connect(world.mqtt, false).await;
    old.publish(1, &huge).await;
    assert!(old.packet().await.is_none(), "closed without an answer");
    assert_eq!(world.counted("triad_http_problems_total{code=\"too-large\"}").await, 2);
    assert_eq!(world.counted("triad_mqtt_disconnects_total{reason=\"packet-too-large\"}").await, 2);
    let (status, answer) = world.post("application/cose", good(&device, 0).sign()).await;
    assert_eq!(status, 201, "{answer}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_bad_signatures_hidden_among_good_ones() {
    const EACH: u32 = 2000;
    let mut world = World::start().await;
    let (device, stranger, neighbour) = (key(1), key(9), key(6));
    let id = device.public().id();
    world.register(&[&device, &neighbour]).await;
    let mixed = |first: u32| -> Vec<Bytes> {
        let by = |n: u32| if n.is_multiple_of(2) { &device } else { &stranger };
        (first..first + EACH).map(|n| good(by(n), n).kid(id).sign()).collect()
    };
    // Whoever mixes them is slowed down, and each statement still has its own answer.
    let (status, answer) = world.post("application/cbor-seq", mixed(0).concat()).await;
    assert_eq!(status, 207);
    for (n, item) in answer["items"].as_array().unwrap().iter().enumerate() {
        match (n % 2, item["status"].as_u64().unwrap()) {
            (0, 201) | (_, 429) => {}
            (1, 403) => assert_eq!(item["problem"]["code"], "bad-signature"),
            _ => panic!("{n}: {item}"),
        }
    }
    let mut client = Client::connect(world.mqtt, true).await;
    let mut other = Client::connect(world.mqtt, true).await;
    let all = mixed(EACH);
    for (turn, chunk) in (0..).zip(all.chunks(500)) {
        for (i, statement) in (1..).zip(chunk) {
            client.publish(i, statement).await;
        }
        for _ in chunk {
            let (i, code, reason) = client.puback().await;
            match (i % 2, code) {
                // Identifiers begin at 1: odd ones are good.
                (1, 0) => {}
                (0, 0x87) => assert!(reason.starts_with("bad-signature"), "{reason}"),
                (_, 0x97) => assert!(reason.starts_with("source-slowed"), "{reason}"),
                _ => panic!("{i}: {code:#x} {reason}"),
            }
        }
        // Meanwhile another connection is served at once.
        let started = Instant::now();
        other.publish(7, &good(&neighbour, turn).sign()).await;
        assert_eq!(other.puback().await.1, 0);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    assert!(world.counted("triad_statements_verified_apart_total").await > 0);
    assert_eq!(world.counted("triad_sources_caught_total").await, 2);
    world.node.stop().await.unwrap();
}
