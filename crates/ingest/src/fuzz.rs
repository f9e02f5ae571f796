//! Sessions fed with valid, mutated and random packets in random pieces.
//!
//! Deterministic: a failing run prints its seed, and `TRIAD_FUZZ_SEED` runs that one alone. `TRIAD_FUZZ_SECONDS`
//! lengthens the search (3 by default).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt as _;
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{broadcast, oneshot};

use crate::config::Limits;
use crate::door::{Accepted, Committed, Door, Refusal, RefusalClass};
use crate::{frame, server, session};

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next() as u8).collect()
    }
}

/// Accepts at once, after the fact, or never, by the payload's first byte.
#[derive(Clone)]
struct FuzzDoor(broadcast::Sender<Arc<Committed>>);

impl Door for FuzzDoor {
    fn source(&self) -> Self {
        self.clone()
    }

    async fn submit(&self, statement: Bytes) -> oneshot::Receiver<Result<Accepted, Refusal>> {
        let (sender, receiver) = oneshot::channel();
        let accepted =
            Accepted { leaf: 1, height: 2, signer: [0; 20], statement_id: [0; 32], duplicate: false };
        match statement.first().copied().unwrap_or(0) % 5 {
            0 | 1 => drop(sender.send(Ok(accepted))),
            2 => {
                let refusal =
                    Refusal { code: "x", message: "é".repeat(600), class: RefusalClass::Malformed };
                drop(sender.send(Err(refusal)));
            }
            3 => drop(sender),
            _ => {
                tokio::spawn(async move {
                    tokio::task::yield_now().await;
                    drop(sender.send(Ok(accepted)));
                });
            }
        }
        receiver
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.0.subscribe()
    }
}

fn packet(kind_and_flags: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind_and_flags];
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

fn text(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text].concat()
}

/// A list of MQTT 5 properties, right or wrong for the packet it goes into.
fn properties(rng: &mut Rng) -> Vec<u8> {
    let mut list = Vec::new();
    for _ in 0..rng.below(4) {
        let id = [
            1, 2, 3, 8, 9, 11, 17, 18, 19, 21, 22, 23, 24, 25, 26, 28, 31, 33, 34, 35, 36, 37, 38, 39, 40,
            41, 42,
        ][rng.below(27)];
        list.push(id);
        match id {
            1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => list.push(rng.below(3) as u8),
            33..=35 | 19 => list.extend([0, rng.below(3) as u8]),
            2 | 17 | 24 | 39 => list.extend((rng.next() as u32 >> rng.below(32)).to_be_bytes()),
            11 => list.push(rng.below(128) as u8),
            38 => list.extend([text(b"key"), text(&vec![b'v'; rng.below(20)])].concat()),
            _ => list.extend(text(&vec![b'x'; rng.below(10)])),
        }
    }
    let mut whole = vec![list.len() as u8];
    whole.extend(list);
    whole
}

fn any_packet(rng: &mut Rng, v5: bool) -> Vec<u8> {
    let props = |rng: &mut Rng| match (v5, rng.chance(60)) {
        (false, _) => Vec::new(),
        (true, true) => vec![0],
        (true, false) => properties(rng),
    };
    let id = [0, 1 + rng.below(4) as u8];
    match rng.below(12) {
        0..=5 => {
            let qos = rng.below(3) as u8;
            let topic: &[u8] = if rng.chance(85) { b"triad/v1/statements" } else { b"a/b" };
            let mut body = text(topic);
            if qos > 0 {
                body.extend(id);
            }
            body.extend(props(rng));
            body.extend(rng.bytes(80));
            packet(0x30 | qos << 1 | u8::from(rng.chance(20)) << 3, &body)
        }
        6 => {
            let filters: [&[u8]; 5] = [
                b"triad/v1/devices/+/receipts",
                b"#",
                b"triad/v1/devices/0x0101010101010101010101010101010101010101/errors",
                b"$share/g/#",
                b"nonsense/#/x",
            ];
            let mut body = [&id[..], &props(rng)].concat();
            for _ in 0..=rng.below(3) {
                body.extend(text(filters[rng.below(5)]));
                body.push(rng.below(4) as u8);
            }
            packet(0x82, &body)
        }
        7 => packet(0xa2, &[&id[..], &props(rng), &text(b"#")].concat()),
        8 => packet(
            0x62,
            &if v5 && rng.chance(50) { [&id[..], &[0], &props(rng)].concat() } else { id.to_vec() },
        ),
        9 => packet(0xc0, &[]),
        10 => packet([0x40, 0x50, 0x70, 0xf0, 0x10, 0x20][rng.below(6)], &rng.bytes(12)),
        _ if rng.chance(10) => packet(0xe0, &if v5 { [&[0][..], &props(rng)].concat() } else { Vec::new() }),
        _ => packet(0xc0, &[]),
    }
}

fn connect(rng: &mut Rng, v5: bool) -> Vec<u8> {
    let mut body = text(b"MQTT");
    body.push(if v5 { 5 } else { 4 });
    let flags = if rng.chance(70) { 2 } else { rng.next() as u8 & 0xf6 };
    body.push(flags);
    body.extend([0, rng.below(60) as u8]);
    if v5 {
        body.extend(if rng.chance(50) { vec![0] } else { properties(rng) });
    }
    body.extend(text(b"fuzz"));
    if flags & 4 != 0 {
        if v5 {
            body.push(0);
        }
        body.extend([text(b"will"), text(b"gone")].concat());
    }
    if flags & 0x80 != 0 {
        body.extend(text(b"name"));
    }
    if flags & 0x40 != 0 {
        body.extend(text(b"word"));
    }
    packet(0x10, &body)
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..=rng.below(4) {
        let Some(last) = bytes.len().checked_sub(1) else { return };
        let at = rng.below(last + 1);
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, rng.next() as u8),
            _ => {
                let piece = bytes[at..(at + rng.below(30)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
}

/// Names the seed when the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with TRIAD_FUZZ_SEED={}", self.0);
        }
    }
}

async fn one(seed: u64, door: &FuzzDoor) {
    let _named = Seed(seed);
    let mut rng = Rng(seed);
    let v5 = rng.chance(60);
    let mut input = if rng.chance(97) { connect(&mut rng, v5) } else { Vec::new() };
    for _ in 0..rng.below(12) {
        let mut next = any_packet(&mut rng, v5);
        if rng.chance(10) {
            mutate(&mut rng, &mut next);
        }
        input.extend(next);
    }
    if rng.chance(20) {
        mutate(&mut rng, &mut input);
    }
    if rng.chance(3) {
        input = rng.bytes(300);
    }

    let limits = Limits {
        max_packet: 2_000,
        max_in_flight: 1 + rng.below(4) as u16,
        output_high_water: 64 + rng.below(4_000),
        max_subscriptions: 2,
        ..Limits::default()
    };
    let common = server::standalone(door.clone(), limits);
    let (client, end) = tokio::io::duplex(1 + rng.below(2_000));
    let (mut reader, mut writer) = tokio::io::split(client);
    let never = futures::future::pending().boxed().shared();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let serving = session::run(common, 1, end, never, rng.chance(2), deadline);
    let sent = input.clone();
    let writing = async move {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + rng.below(rest.len()));
            if writer.write_all(piece).await.is_err() {
                return;
            }
            rest = after;
            if rng.chance(30) {
                tokio::task::yield_now().await;
            }
        }
        // The session may already have closed.
        let _ = writer.shutdown().await;
    };
    let mut output = Vec::new();
    let reading = reader.read_to_end(&mut output);
    let everything = async { tokio::join!(serving, writing, reading) };
    tokio::time::timeout(Duration::from_secs(30), everything).await.expect("the session hangs").2.unwrap();
    check(&input, &output);
}

/// What was sent is whole packets, and nothing was acknowledged that was not published.
fn check(input: &[u8], output: &[u8]) {
    let mut published: HashMap<[u8; 2], u32> = HashMap::new();
    let mut rest = input;
    while let Ok(Some(frame)) = frame::next(rest, 1 << 20) {
        let body = &rest[frame.header..frame.total];
        if frame.kind == frame::PUBLISH
            && let Some(length) = body.first_chunk::<2>()
            && let Some(id) =
                body.get(2 + usize::from(u16::from_be_bytes(*length))..).and_then(<[u8]>::first_chunk)
        {
            *published.entry(*id).or_default() += 1;
        }
        rest = &rest[frame.total..];
    }
    let mut rest = output;
    while !rest.is_empty() {
        let frame = frame::next(rest, 1 << 20).expect("a valid header").expect("a whole packet");
        let body = &rest[frame.header..frame.total];
        if matches!(rest[0], 0x40 | 0x50) {
            let count = published.get_mut(&body[..2]).expect("only what was published is acknowledged");
            *count = count.checked_sub(1).expect("at most one acknowledgement a PUBLISH");
        }
        assert!(
            matches!(rest[0], 0x20 | 0x30 | 0x40 | 0x50 | 0x70 | 0x90 | 0xb0 | 0xd0 | 0xe0),
            "{:x}",
            rest[0]
        );
        rest = &rest[frame.total..];
    }
}

/// For `TRIAD_FUZZ_SECONDS`, or 3 seconds.
fn until() -> Instant {
    let seconds = std::env::var("TRIAD_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    Instant::now() + Duration::from_secs(seconds)
}

fn chosen_seed() -> Option<u64> {
    std::env::var("TRIAD_FUZZ_SEED").ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_input_breaks_a_session() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let door = FuzzDoor(broadcast::channel(4).0);
    runtime.block_on(async {
        if let Some(seed) = chosen_seed() {
            return one(seed, &door).await;
        }
        let until = until();
        let mut seed = 0;
        while Instant::now() < until {
            one(seed, &door).await;
            seed += 1;
        }
        eprintln!("{seed} sessions");
    });
}

/// The library's decoders, on their own: panics in them would take the node down.
#[test]
fn no_body_breaks_a_decoder() {
    let until = until();
    let mut seed = chosen_seed().unwrap_or(0);
    let mut decoded = 0;
    while Instant::now() < until {
        let _named = Seed(seed);
        let mut rng = Rng(seed);
        let v5 = rng.chance(70);
        let mut body =
            if rng.chance(30) { connect(&mut rng, v5) } else { any_packet(&mut rng, v5) }.split_off(2);
        mutate(&mut rng, &mut body);
        decoded += usize::from(v3_1_1::Connect::parse(&body).is_ok());
        decoded += usize::from(v5_0::Connect::parse(&body).is_ok());
        decoded += usize::from(v3_1_1::Subscribe::parse(&body).is_ok());
        decoded += usize::from(v5_0::Subscribe::parse(&body).is_ok());
        decoded += usize::from(v3_1_1::Unsubscribe::parse(&body).is_ok());
        decoded += usize::from(v5_0::Unsubscribe::parse(&body).is_ok());
        decoded += usize::from(v3_1_1::Pubrel::parse(&body).is_ok());
        decoded += usize::from(v5_0::Pubrel::parse(&body).is_ok());
        decoded += usize::from(v3_1_1::Disconnect::parse(&body).is_ok());
        decoded += usize::from(v5_0::Disconnect::parse(&body).is_ok());
        decoded += usize::from(v5_0::Publish::parse(rng.below(6) as u8, Arc::from(&body[..])).is_ok());
        seed += 1;
    }
    assert!(decoded > 0);
}
