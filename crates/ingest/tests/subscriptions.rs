//! Receipts, verdicts and errors for those who subscribed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Setup, claimed, packet, text};
use triad_ingest::{Committed, CommittedLeaf, CommittedVerdict, Limits};

fn topic(device: u8, kind: &str) -> String {
    format!("triad/v1/devices/0x{}/{kind}", format!("{device:02x}").repeat(20))
}

fn block(height: u64, devices: &[(u8, u8)]) -> Arc<Committed> {
    let leaves = (0..)
        .zip(devices)
        .map(|(index, (origin, signer))| CommittedLeaf {
            leaf: height * 100 + index,
            origin: [*origin; 20],
            signer: [*signer; 20],
            statement_id: [9; 32],
        })
        .collect();
    let verdicts = devices
        .iter()
        .map(|(origin, _)| CommittedVerdict {
            origin: [*origin; 20],
            json: format!("{{\"verdict of\":{origin}}}"),
        })
        .collect();
    Arc::new(Committed { height, time_ms: 1_000 * height, leaves, verdicts })
}

#[tokio::test]
async fn a_device_hears_of_its_own() {
    let setup = Setup::new(false, Limits::default()).await;
    for v5 in [false, true] {
        let mut receipts = setup.connected(v5).await;
        assert_eq!(receipts.subscribe(1, &topic(1, "receipts")).await, 0);
        let mut everything = setup.connected(v5).await;
        // Two filters that overlap: each event once.
        assert_eq!(everything.subscribe(1, &topic(1, "+")).await, 0);
        assert_eq!(everything.subscribe(2, &topic(1, "receipts")).await, 0);
        let mut operator = setup.connected(v5).await;
        assert_eq!(operator.subscribe(1, "#").await, 0);
        setup.door.shared.events.send(block(5, &[(1, 1), (2, 1), (3, 3)])).unwrap();

        let (first, json) = receipts.event().await;
        assert_eq!(first, topic(1, "receipts"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["leaf"], &json["height"], &json["time_ms"]),
            (&500.into(), &5.into(), &5_000.into())
        );
        assert_eq!(json["statement_id"], format!("0x{}", "09".repeat(32)));
        assert_eq!((&json["origin"], &json["signer"]), (&json["signer"], &json["origin"]));
        // Device 1 signed for device 2: it gets that receipt under its own name.
        let (second, json) = receipts.event().await;
        assert_eq!(second, topic(1, "receipts"));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["origin"], format!("0x{}", "02".repeat(20)));
        receipts.assert_silent().await;

        let mut topics = Vec::new();
        for _ in 0..3 {
            topics.push(everything.event().await);
        }
        assert_eq!(topics[2], (topic(1, "verdicts"), "{\"verdict of\":1}".to_owned()));
        everything.assert_silent().await;

        let mut topics = Vec::new();
        for _ in 0..7 {
            topics.push(operator.event().await.0);
        }
        let expected = [
            topic(1, "receipts"),
            topic(2, "receipts"),
            topic(1, "receipts"),
            topic(3, "receipts"),
            topic(1, "verdicts"),
            topic(2, "verdicts"),
            topic(3, "verdicts"),
        ];
        assert_eq!(topics, expected);
        operator.assert_silent().await;

        let properties: &[u8] = if v5 { &[0] } else { &[] };
        receipts.send(&packet(0xa2, &[&[0, 7][..], properties, &text(&topic(1, "receipts"))].concat())).await;
        assert_eq!(receipts.packet().await.0, 0xb0);
        setup.door.shared.events.send(block(6, &[(1, 1)])).unwrap();
        everything.event().await;
        receipts.assert_silent().await;
    }
    setup.wait_metric("triad_mqtt_subscriptions", 0.0).await;
}

#[tokio::test]
async fn filters_are_granted_or_refused() {
    let setup = Setup::new(false, Limits { max_subscriptions: 2, ..Limits::default() }).await;
    for v5 in [false, true] {
        let mut client = setup.connected(v5).await;
        let refused = |code: u8| if v5 { code } else { 0x80 };
        assert_eq!(client.subscribe(1, "sensors/#").await, refused(0x8f));
        assert_eq!(client.subscribe(2, "triad/v1/statements").await, refused(0x8f));
        assert_eq!(client.subscribe(3, "$share/group/#").await, refused(0x9e));
        assert_eq!(client.subscribe(4, "triad/v1/devices/+/errors").await, 0);
        assert_eq!(client.subscribe(5, "triad/v1/devices/+/verdicts").await, 0);
        assert_eq!(client.subscribe(6, "triad/v1/devices/+/errors").await, 0, "the same again");
        assert_eq!(client.subscribe(7, "triad/v1/devices/+/receipts").await, refused(0x97));
    }
}

#[tokio::test]
async fn errors_reach_others_within_their_budget() {
    let setup = Setup::new(false, Limits { foreign_errors_per_second: 5, ..Limits::default() }).await;
    let mut operator = setup.connected(true).await;
    operator.subscribe(1, "triad/v1/devices/+/errors").await;
    let mut device = setup.connected(true).await;
    device.subscribe(1, &topic(4, "errors")).await;
    for id in 1..=100 {
        device.publish(1, id, &claimed([4; 20], 9, "refuse:conflict")).await;
        // Its own errors are never held back.
        let (event_topic, json) = device.event().await;
        assert_eq!(event_topic, topic(4, "errors"));
        assert!(json.contains("\"too-old\"") && json.contains("\"sequence\":9"), "{json}");
        assert_eq!(device.packet().await.0, 0x40);
    }
    for _ in 0..5 {
        assert_eq!(operator.event().await.0, topic(4, "errors"));
    }
    assert!(setup.metric("triad_mqtt_events_lost_total") >= 80.0);

    // Bytes that name nobody.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut lost = setup.connected(true).await;
    lost.publish(1, 1, b"refuse:malformed").await;
    loop {
        let (event_topic, _) = operator.event().await;
        if event_topic == "triad/v1/devices/unknown/errors" {
            break;
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_never_reads_is_cut_and_others_are_not() {
    let limits =
        Limits { subscriber_blocks: 8, drain_timeout: Duration::from_millis(100), ..Limits::default() };
    let setup = Setup::new(false, limits).await;
    let mut deaf = setup.connected(true).await;
    deaf.subscribe(1, "#").await;
    let mut reader = setup.connected(true).await;
    reader.subscribe(1, "#").await;
    let devices = vec![(1, 1); 1_000];
    let heights = 60;
    for height in 1..=heights {
        setup.door.shared.events.send(block(height, &devices)).unwrap();
        for _ in 0..2_000 {
            reader.event().await;
        }
    }
    setup.wait_metric("triad_mqtt_disconnects_total{reason=\"slow-subscriber\"}", 1.0).await;
    reader.publish(1, 1, b"good").await;
    assert_eq!(reader.packet().await.0, 0x40);
    // What the deaf client finds when it reads after all: events, and the end.
    let mut events = 0;
    while let Some((kind, _)) = deaf.try_packet().await {
        events += usize::from(kind == 0x30);
    }
    assert!(events < 2_000 * heights as usize, "{events}");
}
