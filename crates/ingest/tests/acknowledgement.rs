//! PUBACK and PUBREC: when they come, what they say, and what comes instead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Setup, claimed, connect, packet, publish, text, wait_for};
use triad_ingest::Limits;

/// The MQTT 5 user property `key`, written as MQTT text pair.
fn has_property(body: &[u8], key: &str, value: &str) -> bool {
    let wanted = [&[0x26][..], &text(key), &text(value)].concat();
    body.windows(wanted.len()).any(|window| window == wanted)
}

#[tokio::test]
async fn acknowledged_only_when_final() {
    let setup = Setup::new(true, Limits::default()).await;
    for v5 in [false, true] {
        let mut client = setup.connected(v5).await;
        client.publish(1, 9, b"one").await;
        setup.door.wait_held(1).await;
        client.assert_silent().await;
        setup.door.release_all();
        let (kind, body) = client.packet().await;
        assert_eq!((kind, &body[..2]), (0x40, &[0, 9][..]));
        if v5 {
            assert_eq!(body[2], 0);
            assert!(has_property(&body, "leaf", "101") && has_property(&body, "height", "7"), "{body:?}");
            assert!(!has_property(&body, "duplicate", "1"));
        } else {
            assert_eq!(body.len(), 2);
        }
    }
    setup.wait_metric("triad_mqtt_publishes_total{result=\"accepted\"}", 2.0).await;
    setup.wait_metric("triad_mqtt_in_flight", 0.0).await;
}

#[tokio::test]
async fn acknowledgements_go_by_identifier_in_the_order_of_finality() {
    let setup = Setup::new(true, Limits::default()).await;
    let mut client = setup.connected(false).await;
    for id in 1..=5 {
        client.publish(1, id, format!("statement {id}").as_bytes()).await;
    }
    setup.door.wait_held(5).await;
    for index in [4, 1, 2, 0, 0] {
        setup.door.release_at(index);
        // One at a time, so that the order is the door's.
        let (_, body) = client.packet().await;
        assert_eq!(body[1], [5, 2, 4, 1, 3][5 - setup.door.held() - 1]);
    }
}

#[tokio::test]
async fn refusals_in_mqtt_5() {
    let setup = Setup::new(false, Limits::default()).await;
    let mut client = setup.connected(true).await;
    let expected = [
        ("malformed", 0x99, "not-cbor"),
        ("unauthorized", 0x87, "bad-signature"),
        ("conflict", 0x83, "too-old"),
        ("quota", 0x97, "quota"),
        ("unavailable", 0x80, "timed-out"),
        ("internal", 0x80, "internal"),
    ];
    for (id, (class, code, name)) in (1u16..).zip(expected) {
        for (qos, kind) in [(1, 0x40), (2, 0x50)] {
            client.publish(qos, id, format!("refuse:{class}").as_bytes()).await;
            let (got, body) = client.packet().await;
            assert_eq!((got, &body[..2], body[2]), (kind, &id.to_be_bytes()[..], code), "{class}");
            let reason = text(&format!("{name}: because the test says so"));
            assert!(body.ends_with(&reason), "{}", String::from_utf8_lossy(&body));
        }
        let metric = format!("triad_mqtt_publishes_total{{result=\"{name}\"}}");
        assert_eq!(setup.metric(&metric), 2.0, "{metric}");
    }
    // The identifiers are free again, and the connection lives.
    client.publish(1, 1, b"good").await;
    assert_eq!(client.packet().await.1[2], 0);
    client.publish(1, 2, b"good again").await;
    assert!(has_property(&client.packet().await.1, "duplicate", "1"));
    assert_eq!(setup.metric("triad_mqtt_publishes_total{result=\"duplicate\"}"), 1.0);
}

#[tokio::test]
async fn a_refused_3_1_1_client_loses_its_connection_but_nothing_good() {
    let setup = Setup::new(true, Limits::default()).await;
    for qos in [1, 2] {
        let mut client = setup.connected(false).await;
        assert_eq!(client.subscribe(1, "triad/v1/devices/+/errors").await, 0);
        for id in 1..=6 {
            let payload = if id % 3 == 2 { "refuse:unauthorized" } else { "good" };
            client.publish(qos, id, &claimed([7; 20], id as u8, payload)).await;
        }
        setup.door.wait_held(6).await;
        // The bad one is refused at the door, early; the good ones become final later.
        setup.door.release_at(1);
        let (topic, json) = client.event().await;
        assert_eq!(topic, format!("triad/v1/devices/0x{}/errors", "07".repeat(20)));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["code"], &json["sequence"]), (&"bad-signature".into(), &2.into()));
        assert_eq!((&json["class"], &json["retry"]), (&"not-authorized".into(), &false.into()));
        client.assert_silent().await;
        setup.door.release_all();
        let mut acknowledged = Vec::new();
        let mut errors = 0;
        while let Some((kind, body)) = client.try_packet().await {
            match kind {
                0x30 => errors += 1,
                _ => acknowledged.push((kind, body[1])),
            }
        }
        let kind = if qos == 1 { 0x40 } else { 0x50 };
        assert_eq!(acknowledged, [(kind, 1), (kind, 3), (kind, 4), (kind, 6)]);
        assert_eq!(errors, 1, "the second bad one");
    }
    setup.wait_metric("triad_mqtt_disconnects_total{reason=\"refused-statement\"}", 2.0).await;
    setup.wait_metric("triad_mqtt_publishes_total{result=\"bad-signature\"}", 4.0).await;
}

#[tokio::test]
async fn a_bad_statement_does_not_keep_out_the_good_ones_behind_it() {
    let setup = Setup::new(false, Limits::default()).await;
    for qos in [1, 2] {
        let mut client = setup.connected(false).await;
        client.publish(qos, 1, b"refuse:unauthorized").await;
        // Refused by now, as seen with paho, which writes packet by packet.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        for id in 2..=30 {
            client.publish(qos, id, b"good").await;
            assert_eq!(client.packet().await.1, id.to_be_bytes());
        }
        client.assert_closed().await;
    }
    setup.wait_metric("triad_mqtt_disconnects_total{reason=\"refused-statement\"}", 2.0).await;
}

#[tokio::test]
async fn a_refused_client_that_never_pauses_is_closed_too() {
    let limits = Limits { drain_timeout: std::time::Duration::from_millis(500), ..Limits::default() };
    let setup = Setup::new(false, limits).await;
    let mut client = setup.connected(false).await;
    client.publish(1, 1, b"refuse:malformed").await;
    let start = std::time::Instant::now();
    let ping = packet(0xc0, &[]);
    use tokio::io::AsyncWriteExt as _;
    while client.stream.write_all(&ping).await.is_ok() {
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(start.elapsed() >= std::time::Duration::from_millis(500));
}

#[tokio::test]
async fn a_drain_is_bounded() {
    let limits = Limits { drain_timeout: std::time::Duration::from_millis(100), ..Limits::default() };
    let setup = Setup::new(true, limits).await;
    let mut client = setup.connected(false).await;
    client.publish(1, 1, b"never final").await;
    client.publish(1, 2, b"refuse:malformed").await;
    setup.door.wait_held(2).await;
    setup.door.release_at(1);
    client.assert_closed().await;
    setup.wait_metric("triad_mqtt_in_flight", 0.0).await;
}

#[tokio::test]
async fn wrong_topics() {
    let setup = Setup::new(false, Limits::default()).await;
    let mut client = setup.connected(true).await;
    client.send(&publish(true, "sensors/1", 1, 5, b"20.5")).await;
    let (kind, body) = client.packet().await;
    assert_eq!((kind, body[2]), (0x40, 0x90));
    let reason = String::from_utf8_lossy(&body).into_owned();
    assert!(
        reason.contains("wrong-topic: statements go to triad/v1/statements, not to \"sensors/1\""),
        "{reason}"
    );
    // QoS 0 has no answer; it is counted.
    client.send(&publish(true, "sensors/1", 0, 0, b"20.5")).await;
    client.assert_silent().await;
    let mut old = setup.connected(false).await;
    old.send(&publish(false, "sensors/1", 1, 5, b"20.5")).await;
    old.assert_closed().await;
    assert_eq!(setup.door.submitted(), 0);
    setup.wait_metric("triad_mqtt_publishes_total{result=\"wrong-topic\"}", 3.0).await;
}

#[tokio::test]
async fn qos_2_is_received_when_final() {
    let setup = Setup::new(true, Limits::default()).await;
    for v5 in [false, true] {
        let mut client = setup.connected(v5).await;
        let mut first = publish(v5, "triad/v1/statements", 2, 3, b"exactly once");
        client.send(&first).await;
        setup.door.wait_held(1).await;
        // A resend while it is in flight must not be answered early.
        first[0] |= 8;
        client.send(&first).await;
        client.assert_silent().await;
        assert_eq!(setup.door.held(), 1);
        setup.door.release_all();
        let (kind, body) = client.packet().await;
        assert_eq!((kind, &body[..2]), (0x50, &[0, 3][..]));
        // Resent after PUBREC was lost: answered again, not submitted again.
        client.send(&first).await;
        assert_eq!(client.packet().await.0, 0x50);
        assert_eq!(setup.door.held(), 0);
        client.send(&packet(0x62, &[0, 3])).await;
        assert_eq!(client.packet().await, (0x70, vec![0, 3]));
        // After a reconnect the session knows nothing of it.
        client.send(&packet(0x62, &[0, 3])).await;
        let expected = if v5 { vec![0, 3, 0x92] } else { vec![0, 3] };
        assert_eq!(client.packet().await, (0x70, expected));
        // The identifier is free.
        client.publish(2, 3, b"another").await;
        setup.door.wait_held(1).await;
        client.send(&packet(0x62, &[0, 3])).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        setup.door.release_all();
        assert_eq!(client.packet().await.0, 0x50, "what was in flight is still answered");
        if v5 {
            client.assert_disconnected(0x82).await;
        } else {
            client.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn qos_0_is_accepted_without_an_answer() {
    let setup = Setup::new(false, Limits::default()).await;
    for v5 in [false, true] {
        let mut client = setup.connected(v5).await;
        client.publish(0, 0, b"good").await;
        client.publish(0, 0, b"refuse:malformed").await;
        client.assert_silent().await;
    }
    // Sent, and gone: it counts all the same, and its refusal too.
    let mut client = setup.connected(false).await;
    client.publish(0, 0, b"good").await;
    client.publish(0, 0, b"refuse:malformed").await;
    client.send(&packet(0xe0, &[])).await;
    client.assert_closed().await;
    setup.wait_metric("triad_mqtt_publishes_total{result=\"accepted\"}", 3.0).await;
    setup.wait_metric("triad_mqtt_publishes_total{result=\"not-cbor\"}", 3.0).await;
}

#[tokio::test]
async fn packet_identifiers_in_flight() {
    let setup = Setup::new(true, Limits::default()).await;
    for v5 in [false, true] {
        let mut client = setup.connected(v5).await;
        let mut first = publish(v5, "triad/v1/statements", 1, 3, b"statement");
        client.send(&first).await;
        first[0] |= 8;
        client.send(&first).await;
        setup.door.wait_held(1).await;
        client.assert_silent().await;
        assert_eq!(setup.door.held(), 1, "a resend shares the acknowledgement");
        setup.door.release_all();
        client.packet().await;
        client.assert_silent().await;
        // Another statement under the same identifier, before the first was acknowledged.
        client.publish(1, 3, b"one").await;
        client.publish(1, 3, b"two").await;
        setup.door.wait_held(1).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        setup.door.release_all();
        assert_eq!(client.packet().await.0, 0x40, "the first is still acknowledged");
        if v5 {
            client.assert_disconnected(0x82).await;
        } else {
            client.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn receive_maximum_is_advertised_and_enforced() {
    let setup = Setup::new(true, Limits { max_in_flight: 3, ..Limits::default() }).await;
    let mut client = setup.client().await;
    client.send(&connect(true, 60, &[])).await;
    let (_, body) = client.packet().await;
    assert!(body.windows(3).any(|w| w == [0x21, 0, 3]), "Receive Maximum 3 in {body:?}");
    assert!(body.windows(5).any(|w| w == [0x27, 0, 1, 4, 0]), "Maximum Packet Size 66560 in {body:?}");
    client.v5 = true;
    for id in 1..=3 {
        client.publish(1, id, b"x").await;
    }
    client.send(&packet(0xc0, &[])).await;
    assert_eq!(client.packet().await.0, 0xd0, "a full window does not stop pings");
    client.publish(1, 4, b"x").await;
    setup.door.wait_held(3).await;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    setup.door.release_all();
    for _ in 0..3 {
        assert_eq!(client.packet().await.0, 0x40);
    }
    client.assert_disconnected(0x93).await;

    // 3.1.1 has no such word: the client has to wait.
    let mut old = setup.connected(false).await;
    for id in 1..=10 {
        old.publish(1, id, b"x").await;
    }
    setup.door.wait_held(3).await;
    old.assert_silent().await;
    assert_eq!(setup.door.held(), 3);
    for _ in 0..10 {
        setup.door.wait_held(1).await;
        setup.door.release_at(0);
        assert_eq!(old.packet().await.0, 0x40);
    }
}

#[tokio::test]
async fn bytes_in_flight_are_bounded() {
    let setup = Setup::new(true, Limits { max_in_flight_bytes: 10_000, ..Limits::default() }).await;
    let mut client = setup.connected(true).await;
    for id in 1..=6 {
        client.publish(1, id, &[0; 5_000]).await;
    }
    setup.door.wait_held(2).await;
    client.assert_silent().await;
    assert_eq!(setup.door.held(), 2);
    for _ in 0..6 {
        setup.door.wait_held(1).await;
        setup.door.release_at(0);
        assert_eq!(client.packet().await.0, 0x40);
    }
}

#[tokio::test]
async fn a_full_queue_holds_up_its_own_client_only() {
    let setup = Setup::new(false, Limits::default()).await;
    let mut waiting = setup.connected(true).await;
    let mut other = setup.connected(true).await;
    let all = setup.door.shared.space.available_permits();
    let taken = setup.door.shared.space.acquire_many(all as u32).await.unwrap();
    waiting.publish(1, 1, b"waits").await;
    waiting.assert_silent().await;
    other.send(&packet(0xc0, &[])).await;
    assert_eq!(other.packet().await.0, 0xd0);
    drop(taken);
    assert_eq!(waiting.packet().await.0, 0x40);
}

#[tokio::test]
async fn clients_that_want_little_get_little() {
    let setup = Setup::new(false, Limits::default()).await;
    // Request Problem Information 0, and a Maximum Packet Size with room for the CONNACK but not for more.
    for properties in [&[0x17, 0][..], &[0x27, 0, 0, 0, 20][..]] {
        let mut client = setup.client().await;
        client.v5 = true;
        client.send(&connect(true, 60, properties)).await;
        assert_eq!(client.packet().await.0, 0x20);
        client.publish(1, 1, b"good").await;
        assert_eq!(client.packet().await, (0x40, vec![0, 1, 0]));
        client.publish(1, 2, b"refuse:quota").await;
        assert_eq!(client.packet().await, (0x40, vec![0, 2, 0x97]));
    }
    let mut client = setup.client().await;
    client.send(&connect(true, 60, &[0x27, 0, 0, 0, 10])).await;
    client.assert_closed().await;
}

#[tokio::test]
async fn a_stop_acknowledges_what_is_in_flight() {
    let mut setup = Setup::new(true, Limits::default()).await;
    let mut new = setup.connected(true).await;
    let mut old = setup.connected(false).await;
    new.publish(1, 1, b"a").await;
    old.publish(1, 1, b"b").await;
    setup.door.wait_held(2).await;
    drop(setup.stop.take());
    wait_for(|| std::net::TcpStream::connect(setup.tcp()).is_err(), "the listener to close").await;
    new.publish(1, 2, b"too late").await;
    new.assert_silent().await;
    setup.door.release_all();
    assert_eq!(new.packet().await.0, 0x40);
    new.assert_disconnected(0x8b).await;
    assert_eq!(old.packet().await.0, 0x40);
    old.assert_closed().await;
    setup.server.take().unwrap().stopped().await;
    assert_eq!(setup.door.submitted(), 2);
}
