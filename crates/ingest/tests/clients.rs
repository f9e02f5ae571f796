//! Clients that others wrote: rumqttc in both versions, over TCP and TLS; tungstenite for WebSocket.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{STATEMENTS, Setup, connect, loopback, packet, publish};
use futures::{SinkExt as _, StreamExt as _};
use rumqttc::{TlsConfiguration, Transport};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use triad_ingest::{Limits, MqttConfig, TlsListener};

const COUNT: usize = 2_000;

/// Publishes with QoS 1 and counts the acknowledgements.
async fn exercise_3(address: SocketAddr, transport: Transport) {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let mut options = MqttOptions::new("three", "localhost", address.port());
    options.set_transport(transport).set_inflight(100);
    let (client, mut events) = AsyncClient::new(options, 100);
    let publishing = tokio::spawn(async move {
        for index in 0..COUNT {
            let payload = format!("statement {index}");
            client.publish(STATEMENTS, QoS::AtLeastOnce, false, payload).await.unwrap();
        }
        client
    });
    let mut acknowledged = 0;
    while acknowledged < COUNT {
        let event = tokio::time::timeout(Duration::from_secs(20), events.poll()).await.unwrap().unwrap();
        acknowledged += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
    drop(publishing.await.unwrap());
}

async fn exercise_5(address: SocketAddr, transport: Transport) {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let mut options = MqttOptions::new("five", "localhost", address.port());
    options.set_transport(transport);
    let (client, mut events) = AsyncClient::new(options, 100);
    let publishing = tokio::spawn(async move {
        for index in 0..COUNT {
            let payload = if index % 10 == 3 { "refuse:unauthorized" } else { "good" };
            let qos = if index % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            client.publish(STATEMENTS, qos, false, payload).await.unwrap();
        }
        client
    });
    let (mut good, mut refused) = (0, 0);
    while good + refused < COUNT {
        let event = tokio::time::timeout(Duration::from_secs(20), events.poll()).await.unwrap().unwrap();
        match event {
            Event::Incoming(Packet::PubAck(ack)) => {
                assert_eq!(ack.reason, PubAckReason::Success);
                let user = ack.properties.unwrap().user_properties;
                assert_eq!(user[0].0, "leaf");
                good += 1;
            }
            Event::Incoming(Packet::PubRec(rec)) if rec.reason as u8 != 0 => {
                let reason = rec.properties.unwrap().reason_string.unwrap();
                assert_eq!(reason, "bad-signature: because the test says so");
                refused += 1;
            }
            Event::Incoming(Packet::PubComp(_)) => good += 1,
            _ => {}
        }
    }
    assert_eq!(refused, COUNT / 10);
    drop(publishing.await.unwrap());
}

#[tokio::test]
async fn rumqttc_over_tcp() {
    let setup = Setup::new(false, Limits::default()).await;
    exercise_3(setup.tcp(), Transport::Tcp).await;
    exercise_5(setup.tcp(), Transport::Tcp).await;
    assert_eq!(setup.door.submitted(), 2 * COUNT);
}

#[tokio::test]
async fn rumqttc_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let tls = TlsListener { address: loopback(), certificate, key };
    let config = MqttConfig { tls: Some(tls), ..MqttConfig::default() };
    let setup = Setup::with(false, config).await;
    let address = setup.server.as_ref().unwrap().addresses.tls.unwrap();
    let trust = || {
        Transport::Tls(TlsConfiguration::Simple {
            ca: made.cert.pem().into_bytes(),
            alpn: None,
            client_auth: None,
        })
    };
    exercise_3(address, trust()).await;
    exercise_5(address, trust()).await;
    assert_eq!(setup.door.submitted(), 2 * COUNT);

    // Plain MQTT on the TLS port is no handshake.
    let mut plain = common::Raw::new(address).await;
    plain.send(&connect(true, 60, &[])).await;
    while plain.try_packet().await.is_some() {}
    setup.wait_metric("triad_mqtt_disconnects_total{reason=\"tls-handshake\"}", 1.0).await;
}

#[tokio::test]
async fn tls_files_that_do_not_work_are_named() {
    let tls = TlsListener { address: loopback(), certificate: "no/such.pem".into(), key: "none".into() };
    let config = MqttConfig { tls: Some(tls), ..MqttConfig::default() };
    let door = common::TestDoor::new(false);
    let mut registry = prometheus_client::registry::Registry::default();
    let error = triad_ingest::serve(config, door, &mut registry, std::future::pending()).await.unwrap_err();
    assert!(error.to_string().contains("no/such.pem"), "{error}");
}

#[tokio::test]
async fn websocket() {
    let setup = Setup::new(false, Limits::default()).await;
    let url = format!("ws://{}/mqtt", setup.ws());
    // Without the subprotocol there is no MQTT.
    let refused = tokio_tungstenite::connect_async(url.as_str()).await.unwrap_err();
    assert!(matches!(&refused, Error::Http(response) if response.status() == 400), "{refused}");

    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "mqttv3.1, mqtt".parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::connect_async(request.clone()).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    // Packets need not keep to messages.
    let bytes = [
        connect(true, 60, &[]),
        publish(true, STATEMENTS, 1, 1, &[b'x'; 60_000]),
        publish(true, STATEMENTS, 1, 2, b"refuse:quota"),
        packet(0xc0, &[]),
    ]
    .concat();
    for piece in bytes.chunks(25_000) {
        socket.send(Message::Binary(piece.to_vec().into())).await.unwrap();
        socket.send(Message::Ping(b"there?".to_vec().into())).await.unwrap();
    }
    let mut received = Vec::new();
    while !received.ends_with(&[0xd0, 0]) {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap();
        if let Message::Binary(bytes) = message.unwrap().unwrap() {
            received.extend_from_slice(&bytes);
        }
    }
    assert_eq!(received[0], 0x20);
    let reason = String::from_utf8_lossy(&received).into_owned();
    assert!(reason.contains("quota: because the test says so"), "{reason}");
    socket.send(Message::Binary(packet(0xe0, &[]).into())).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(!matches!(message, Message::Binary(_)), "{message:?}");
    }

    // Text is not MQTT.
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    socket.send(Message::Text("hello".into())).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    setup.wait_metric("triad_mqtt_connections{transport=\"ws\"}", 0.0).await;
}
