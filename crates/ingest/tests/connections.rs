//! Connecting, misbehaving, and being closed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::{Setup, connect, packet, publish, text, wait_for};
use tokio::io::AsyncWriteExt as _;
use triad_ingest::Limits;

#[tokio::test]
async fn packets_cut_anywhere() {
    let setup = Setup::new(false, Limits::default()).await;
    for v5 in [false, true] {
        let stream = [
            connect(v5, 60, &[]),
            publish(v5, "triad/v1/statements", 1, 1, b"first"),
            packet(0xc0, &[]),
            publish(v5, "triad/v1/statements", 2, 2, &[b'x'; 200]),
        ]
        .concat();
        let whole = stream.len() - publish(v5, "triad/v1/statements", 2, 2, &[b'x'; 200]).len();
        for cut in 1..stream.len() {
            // In two pieces: as if it were one.
            let mut client = setup.client().await;
            client.send(&stream[..cut]).await;
            tokio::task::yield_now().await;
            client.send(&stream[cut..]).await;
            let mut kinds = Vec::new();
            for _ in 0..4 {
                kinds.push(client.packet().await.0);
            }
            assert_eq!(kinds, [0x20, 0x40, 0xd0, 0x50], "cut at {cut}");
            // Cut and gone: what was whole counts, the rest is nothing.
            let before = setup.door.submitted();
            let mut client = setup.client().await;
            client.send(&stream[..cut]).await;
            client.stream.shutdown().await.unwrap();
            while client.try_packet().await.is_some() {}
            let statements = setup.door.submitted() - before;
            assert!(statements <= usize::from(cut >= whole - 2), "cut at {cut}: {statements}");
        }
    }
    wait_for(|| setup.metric("triad_mqtt_disconnects_total{reason=\"cut-packet\"}") > 300.0, "cuts counted")
        .await;
    let mut client = setup.connected(true).await;
    client.publish(1, 1, b"still here").await;
    assert_eq!(client.packet().await.0, 0x40);
}

#[tokio::test]
async fn garbage_is_closed() {
    let setup = Setup::new(false, Limits::default()).await;
    let http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let tls = [&[0x16, 3, 1, 2, 0][..], &[1; 600]].concat();
    for garbage in [http, tls, vec![0; 50], vec![0xff; 50], packet(0xc0, &[]), packet(0x10, &[0; 3])] {
        let mut client = setup.client().await;
        client.send(&garbage).await;
        client.assert_closed().await;
    }
    let expected = [
        // Length, or reserved bits, or type, wrong.
        (vec![0x30, 0xff, 0xff, 0xff, 0xff, 0xff], 0x81),
        (vec![0x36, 3, 0, 0, 0], 0x81),
        (vec![0x00, 0], 0x81),
        (vec![0x80, 0], 0x81),
        (packet(0x82, &[0, 1, 0]), 0x82),
        (packet(0x30, &[0, 9, 1]), 0x81),
        (packet(0x32, &[&text("triad/v1/statements")[..], &[0, 0, 0]].concat()), 0x82),
        // Not for a client to send, or not now.
        (packet(0x20, &[0, 0, 0]), 0x82),
        (packet(0x40, &[0, 1]), 0x82),
        (packet(0xf0, &[]), 0x82),
        (connect(true, 60, &[]), 0x82),
        // What was not offered: retain, topic alias, subscription identifier.
        (packet(0x33, &[&text("triad/v1/statements")[..], &[0, 1, 0]].concat()), 0x9a),
        (packet(0x32, &[&text("triad/v1/statements")[..], &[0, 1, 3, 0x23, 0, 1]].concat()), 0x94),
        (packet(0x82, &[&[0, 1, 2, 11, 1][..], &text("#"), &[0]].concat()), 0xa1),
    ];
    for (bytes, code) in expected {
        let mut client = setup.connected(true).await;
        client.send(&bytes).await;
        client.assert_disconnected(code).await;
        if code != 0x9a && code != 0x94 && code != 0xa1 {
            let mut old = setup.connected(false).await;
            old.send(&bytes).await;
            old.assert_closed().await;
        }
    }
    assert_eq!(setup.door.submitted(), 0);
}

#[tokio::test]
async fn connect_is_answered_in_the_client_s_words() {
    let setup = Setup::new(false, Limits::default()).await;
    let with = |name: &str, level: u8, flags: u8, rest: &[u8]| {
        packet(0x10, &[&text(name)[..], &[level, flags, 0, 60], rest].concat())
    };
    let cases = [
        // MQTT 3.1, and a version of the future: unacceptable protocol version.
        (with("MQIsdp", 3, 2, &text("old")), vec![0, 1]),
        (with("MQTT", 6, 2, &text("new")), vec![0, 1]),
        // 3.1.1: no client id needs a clean session.
        (with("MQTT", 4, 0, &text("")), vec![0, 2]),
        (with("MQTT", 4, 2, &text("")), vec![0, 0]),
        // A stored session is never present.
        (with("MQTT", 4, 0, &text("id")), vec![0, 0]),
        // Name, password and will are taken and ignored.
        (
            with("MQTT", 4, 0xc6, &[text("id"), text("t"), text("w"), text("u"), text("p")].concat()),
            vec![0, 0],
        ),
    ];
    for (bytes, answer) in cases {
        let mut client = setup.client().await;
        client.send(&bytes).await;
        assert_eq!(client.packet().await, (0x20, answer.clone()), "{bytes:?}");
        if answer[1] != 0 {
            client.assert_closed().await;
        }
    }
    let cases = [
        (with("MQTT", 5, 2, &[&[0][..], &text("")].concat()), 0),
        // Topic Alias Maximum 0, spelled out.
        (with("MQTT", 5, 2, &[&[3, 0x22, 0, 0][..], &text("id")].concat()), 0),
        // A session to be kept, a will to be retained, an authentication method.
        (with("MQTT", 5, 0, &[&[5, 0x11, 0, 0, 1, 0][..], &text("id")].concat()), 0),
        (with("MQTT", 5, 0x26, &[&[0][..], &text("id"), &[0], &text("t"), &text("w")].concat()), 0x9a),
        (with("MQTT", 5, 2, &[&[6, 0x15][..], &text("abc"), &text("id")].concat()), 0x8c),
        // Receive Maximum 0, reserved flag, bytes after the end.
        (with("MQTT", 5, 2, &[&[3, 0x21, 0, 0][..], &text("id")].concat()), 0x82),
        (with("MQTT", 5, 3, &[&[0][..], &text("id")].concat()), 0x81),
        (with("MQTT", 5, 2, &[&[0][..], &text("id"), &[1]].concat()), 0x81),
    ];
    for (bytes, code) in cases {
        let mut client = setup.client().await;
        client.send(&bytes).await;
        let (kind, body) = client.packet().await;
        assert_eq!((kind, body[0], body[1]), (0x20, 0, code), "{bytes:?}");
        if code == 0 {
            client.v5 = true;
            client.publish(1, 1, b"good").await;
            assert_eq!(client.packet().await.0, 0x40);
        } else {
            client.assert_closed().await;
        }
        if bytes[12] == 0 && code == 0 && bytes.len() == 17 {
            assert!(String::from_utf8_lossy(&body).contains("triad-"), "an assigned client id");
        }
        if bytes[13] == 0x11 {
            assert!(body.windows(5).any(|w| w == [0x11, 0, 0, 0, 0]), "session expiry 0");
        }
    }
}

#[tokio::test]
async fn half_open_connections_end() {
    let limits = Limits { connect_timeout: Duration::from_millis(200), ..Limits::default() };
    let setup = Setup::new(false, limits).await;
    let start = Instant::now();
    let mut silent = setup.client().await;
    let mut partial = setup.client().await;
    partial.send(&connect(true, 60, &[])[..5]).await;
    let mut websocket = common::Raw::new(setup.ws()).await;
    silent.assert_closed().await;
    partial.assert_closed().await;
    websocket.assert_closed().await;
    assert!(start.elapsed() >= Duration::from_millis(190) && start.elapsed() < Duration::from_secs(3));
    setup.wait_metric("triad_mqtt_disconnects_total{reason=\"connect-timeout\"}", 3.0).await;
    setup.wait_metric("triad_mqtt_connections{transport=\"tcp\"}", 0.0).await;
}

#[tokio::test]
async fn keep_alive_is_enforced() {
    let setup = Setup::new(true, Limits::default()).await;
    let start = Instant::now();
    let mut clients = Vec::new();
    for v5 in [false, true] {
        let mut client = setup.client().await;
        client.send(&connect(v5, 1, &[])).await;
        client.packet().await;
        clients.push(client);
    }
    // A packet that never becomes whole is no sign of life.
    let mut trickle = setup.client().await;
    trickle.send(&connect(false, 1, &[])).await;
    trickle.packet().await;
    trickle.send(&[0x30, 100, 0]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    trickle.send(&[0]).await;
    // A ping is.
    let mut alive = setup.client().await;
    alive.send(&connect(false, 1, &[])).await;
    alive.packet().await;
    let mut new = clients.pop().unwrap();
    new.assert_disconnected(0x8d).await;
    clients.pop().unwrap().assert_closed().await;
    trickle.assert_closed().await;
    assert!(start.elapsed() >= Duration::from_millis(1_450), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    alive.send(&packet(0xc0, &[])).await;
    assert_eq!(alive.packet().await.0, 0xd0);
}

#[tokio::test]
async fn keep_alive_is_not_held_against_a_client_that_we_do_not_read() {
    let setup = Setup::new(true, Limits { max_in_flight: 1, ..Limits::default() }).await;
    let mut client = setup.client().await;
    client.send(&connect(false, 1, &[])).await;
    client.packet().await;
    for id in 1..=2 {
        client.publish(1, id, b"slow").await;
    }
    setup.door.wait_held(1).await;
    for _ in 0..5 {
        client.send(&packet(0xc0, &[])).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    setup.door.release_all();
    assert_eq!(client.packet().await.0, 0x40);
    setup.door.wait_held(1).await;
    setup.door.release_all();
    for _ in 0..6 {
        client.packet().await;
    }
}

#[tokio::test]
async fn no_keep_alive_still_has_an_end() {
    let limits = Limits { max_keep_alive: Duration::from_secs(1), ..Limits::default() };
    let setup = Setup::new(false, limits).await;
    for (v5, keep_alive) in [(false, 0), (true, 0), (true, 900)] {
        let mut client = setup.client().await;
        client.send(&connect(v5, keep_alive, &[])).await;
        let (_, body) = client.packet().await;
        assert_eq!(body.windows(3).any(|w| w == [0x13, 0, 1]), v5, "Server Keep Alive 1 in {body:?}");
        if v5 {
            client.assert_disconnected(0x8d).await;
        } else {
            client.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn oversize_packets_are_refused_at_their_header() {
    let setup = Setup::new(false, Limits { max_packet: 1_000, ..Limits::default() }).await;
    let mut client = setup.connected(true).await;
    client.publish(1, 1, &[0; 900]).await;
    assert_eq!(client.packet().await.0, 0x40);
    // The header alone: nobody waits for the body.
    client.send(&publish(true, "triad/v1/statements", 1, 1, &[0; 1_000])[..3]).await;
    client.assert_disconnected(0x95).await;
    let mut old = setup.connected(false).await;
    old.send(&publish(false, "triad/v1/statements", 1, 1, &[0; 1_000])).await;
    old.assert_closed().await;
    setup.wait_metric("triad_mqtt_disconnects_total{reason=\"packet-too-large\"}", 2.0).await;
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let setup = Setup::new(false, Limits { max_connections: 2, ..Limits::default() }).await;
    let _first = setup.connected(true).await;
    let second = setup.connected(true).await;
    for (v5, code) in [(false, 3), (true, 0x89)] {
        let mut client = setup.client().await;
        client.send(&connect(v5, 60, &[])).await;
        let (kind, body) = client.packet().await;
        assert_eq!((kind, body[1]), (0x20, code));
        client.assert_closed().await;
    }
    drop(second);
    setup.wait_metric("triad_mqtt_connections{transport=\"tcp\"}", 1.0).await;
    let mut third = setup.connected(true).await;
    third.publish(1, 1, b"good").await;
    assert_eq!(third.packet().await.0, 0x40);
}

#[tokio::test]
async fn a_publisher_that_never_reads_is_cut_and_others_are_not() {
    let limits = Limits {
        write_timeout: Duration::from_millis(300),
        output_high_water: 4_096,
        drain_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let setup = Setup::new(false, limits).await;
    let mut deaf = setup.connected(true).await;
    let mut other = setup.connected(true).await;
    let flooding = async {
        // Pings, each answered with two bytes nobody reads, until the server has had enough.
        let pings = packet(0xc0, &[]).repeat(50_000);
        while deaf.stream.write_all(&pings).await.is_ok() {}
    };
    tokio::time::timeout(Duration::from_secs(30), flooding).await.expect("the server cuts it");
    other.publish(1, 1, b"good").await;
    assert_eq!(other.packet().await.0, 0x40);
    assert_eq!(setup.metric("triad_mqtt_disconnects_total{reason=\"slow-reader\"}"), 1.0);
}
