//! Each kind of bad statement has its own code and status, is counted, and leaves the door serving others.

use bytes::Bytes;
use serde_json::Value;
use triad_chain::contracts;
use triad_statement::{Algorithm, DeviceId, Sequence, SigningKey, StatementBuilder, Value as Reading};

use crate::common::*;

fn builder(key: &SigningKey, n: u32) -> StatementBuilder<'_> {
    StatementBuilder::new(key, Sequence::new(0, n))
}

fn good(key: &SigningKey, n: u32) -> StatementBuilder<'_> {
    builder(key, n).number("temperature", Some("Cel"), 21.0, Some(T0))
}

fn edited(statement: Bytes, edit: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = statement.to_vec();
    edit(&mut bytes);
    bytes.into()
}

/// Where the unprotected header stands: behind tag, array head, and a protected header of 24 to 255 bytes.
fn unprotected_at(bytes: &[u8]) -> usize {
    assert_eq!((bytes[0], bytes[1], bytes[2]), (0xd2, 0x84, 0x58));
    4 + usize::from(bytes[3])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_statement_has_its_own_problem() {
    let world = World::with(Default::default(), false).await;
    let (device, stranger) = (&world.device, key(9));
    let (suspended, revoked, gateway) = (key(2), key(3), key(4));
    world.register(&[&suspended, &revoked, &gateway]);
    world.call(contracts::suspend(suspended.public().id()));
    world.call(contracts::revoke(revoked.public().id()));
    let (mute, call) = contracts::register_unsigned(
        triad_chain::testing::wallet(1).address(),
        Default::default(),
        Default::default(),
    );
    world.call(call);
    let id = device.public().id();
    world.door.accept(reading(device, 3000, 21.0)).await;
    let ahead = triad_chain::clock_ms() as i64 * 1000 + 3_600_000_000;
    let other_algorithm = key_of(Algorithm::Es256, 5);
    let many_streams =
        (0..300).fold(builder(device, 3001), |b, i| b.number(&format!("s{i}"), None, 1.0, Some(T0)));
    let cases: Vec<(&str, u16, Bytes)> = vec![
        ("not-cbor", 400, Bytes::from_static(b"hello")),
        ("not-cbor", 400, edited(reading(device, 4000, 1.0), |b| b.truncate(b.len() - 1))),
        (
            "non-deterministic-cbor",
            400,
            edited(reading(device, 4000, 1.0), |b| {
                b.splice(0..1, [0xd8, 0x12]);
            }),
        ),
        ("not-cose", 400, Bytes::from_static(&[0x63, b'a', b'b', b'c'])),
        ("wrong-tag", 400, edited(reading(device, 4000, 1.0), |b| b[0] = 0xd1)),
        (
            "wrong-tag",
            400,
            edited(reading(device, 4000, 1.0), |b| {
                b.remove(0);
            }),
        ),
        (
            "unprotected-header",
            400,
            edited(reading(device, 4000, 1.0), |b| {
                let at = unprotected_at(b);
                b.splice(at..at + 1, [0xa1, 0x04, 0x41, 0x01]);
            }),
        ),
        // alg is the first parameter of the header: a4 01 27.
        (
            "unknown-algorithm",
            400,
            edited(reading(device, 4000, 1.0), |b| {
                assert_eq!(b[5..7], [0x01, 0x27]);
                b[6] = 0x37;
            }),
        ),
        ("bad-senml", 400, builder(device, 4000).payload(112, [0x80]).sign()),
        ("unknown-content-type", 400, builder(device, 4000).payload(50, [0xa0]).sign()),
        ("not-finite", 400, builder(device, 4000).number("t", None, f64::NAN, Some(T0)).sign()),
        ("not-finite", 400, builder(device, 4000).number("t", None, f64::INFINITY, Some(T0)).sign()),
        ("bad-name", 400, builder(device, 4000).number("a b", None, 1.0, Some(T0)).sign()),
        ("name-too-long", 400, builder(device, 4000).number(&"n".repeat(256), None, 1.0, Some(T0)).sign()),
        ("bad-unit", 400, builder(device, 4000).number("t", Some(&"u".repeat(33)), 1.0, Some(T0)).sign()),
        ("issuer-mismatch", 400, good(device, 4000).issuer(stranger.public().id().to_string()).sign()),
        ("bad-subject", 400, good(device, 4000).subject("nobody").sign()),
        (
            "time-ahead",
            400,
            builder(device, 4000).number("temperature", Some("Cel"), 1.0, Some(ahead)).sign(),
        ),
        ("too-large", 413, builder(device, 4000).data("blob", &[7; 66_000], Some(T0)).sign()),
        ("unknown-device", 403, good(&stranger, 0).sign()),
        ("suspended-device", 403, good(&suspended, 0).sign()),
        ("revoked-device", 403, good(&revoked, 0).sign()),
        ("device-without-key", 403, good(&stranger, 0).kid(mute).sign()),
        ("origin-not-allowed", 403, good(&gateway, 0).on_behalf_of(id).sign()),
        ("unknown-device", 403, good(&gateway, 0).on_behalf_of(DeviceId([7; 20])).sign()),
        ("wrong-key", 403, good(&other_algorithm, 4000).kid(id).sign()),
        ("bad-signature", 403, good(&stranger, 4000).kid(id).sign()),
        ("bad-signature", 403, edited(reading(device, 4000, 1.0), |b| *b.last_mut().unwrap() ^= 1)),
        ("too-old", 409, reading(device, 5, 21.0)),
        ("equivocation", 409, reading(device, 3000, 22.0)),
        ("wrong-epoch", 409, {
            let b = StatementBuilder::new(device, Sequence::new(1, 0));
            b.number("temperature", Some("Cel"), 1.0, Some(T0)).sign()
        }),
        (
            "changed-unit",
            409,
            builder(device, 4000).number("temperature", Some("Far"), 70.0, Some(T0)).sign(),
        ),
        ("too-many-streams", 429, many_streams.sign()),
    ];
    let mut expected: std::collections::BTreeMap<&str, f64> = Default::default();
    for (code, status, bytes) in &cases {
        let class =
            assert_problem(world.door.post("", bytes.clone()).await, *status, code).await["class"].clone();
        let named = match status {
            400 | 413 => "malformed",
            403 => "not-authorized",
            409 => "conflict",
            _ => "quota-exceeded",
        };
        assert_eq!(class, named, "{code}");
        *expected.entry(code).or_default() += 1.0;
    }
    // The same ones among good ones: each gets its own answer.
    let mut all = Vec::new();
    let cbor: Vec<_> = cases.iter().filter(|(code, ..)| *code != "not-cbor").collect();
    for (n, (_, _, bytes)) in cbor.iter().enumerate() {
        all.extend([bytes.clone(), reading(device, 3100 + n as u32, 21.0)]);
    }
    let response = world.door.post("application/cbor-seq", concat(&all)).await;
    assert_eq!(response.status(), 207);
    assert_eq!(response.headers()["retry-after"], "3600");
    let body: Value = response.json().await.unwrap();
    for (i, item) in body["items"].as_array().unwrap().iter().enumerate() {
        match i % 2 {
            1 => assert_eq!(item["status"], 201, "{item}"),
            _ => {
                let (code, status, _) = cbor[i / 2];
                let late = ["too-old", "equivocation"].contains(code);
                assert!(late || item["problem"]["code"] == *code, "{item}");
                assert!(late || item["status"] == *status, "{item}");
                *expected
                    .entry(item["problem"]["code"].as_str().map_or(code, |c| {
                        cases.iter().map(|(code, ..)| *code).find(|code| *code == c).unwrap()
                    }))
                    .or_default() += 1.0;
            }
        }
    }
    for (code, count) in expected {
        let sample = format!("triad_http_problems_total{{code=\"{code}\"}}");
        assert_eq!(world.door.metric(&sample).await, count, "{code}");
        let sample = format!("triad_http_statements_total{{result=\"{code}\"}}");
        assert_eq!(world.door.metric(&sample).await, count, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_content_is_shown() {
    let world = World::with(Default::default(), false).await;
    let statement = builder(&world.device, 0)
        .iat(T0)
        .number("a", Some("Cel"), -0.0, Some(-1_500_000))
        .text("b", "héllo \"quoted\"", Some(T0))
        .bool("c", true, Some(T0))
        .data("d", &[0xfb, 0xff], Some(T0))
        .reading("e", Some("J"), Reading::None, Some(T0))
        .sum(12.5)
        .sign();
    let leaf = world.door.accept(statement).await;
    let shown = world.door.json(&format!("/v1/statements/{leaf}")).await;
    let readings = &shown["readings"];
    assert_eq!(readings[0]["value"], 0.0);
    assert_eq!(
        (&readings[0]["clock"], &readings[0]["time_us"]),
        (&"issued-at".into(), &(T0 - 1_500_000).into())
    );
    assert_eq!(readings[0]["time"], "2023-11-14T22:14:58.500000Z");
    assert_eq!(readings[1]["text"], "héllo \"quoted\"");
    assert_eq!(readings[1]["clock"], "device-clock");
    assert_eq!(readings[2]["boolean"], true);
    assert_eq!(readings[3]["data"], "-_8");
    assert_eq!((&readings[4]["sum"], readings[4].get("value")), (&12.5.into(), None));
    assert_eq!(shown["content"]["kind"], "senml");
    let encrypted = builder(&world.device, 1).payload(16, [0x83, 0x40, 0xa0, 0x41, 0x01]).sign();
    let leaf = world.door.accept(encrypted).await;
    let shown = world.door.json(&format!("/v1/statements/{leaf}")).await;
    assert_eq!((&shown["content"]["kind"], &shown["readings"]), (&"encrypted".into(), &Value::Array(vec![])));
    let envelope = triad_statement::HashEnvelope {
        algorithm: triad_statement::HashAlgorithm::Sha256,
        digest: Bytes::from_static(&[5; 32]),
        content_type: Some(triad_statement::ContentType::Text("text/csv".into())),
        location: Some("https://example.org/x".into()),
    };
    let leaf = world.door.accept(builder(&world.device, 2).hash_envelope(envelope).sign()).await;
    let content = world.door.json(&format!("/v1/statements/{leaf}")).await["content"].clone();
    assert_eq!(content["digest"], format!("0x{}", "05".repeat(32)));
    assert_eq!(
        (&content["hash_algorithm"], &content["content_type"]),
        (&"SHA-256".into(), &"text/csv".into())
    );
    // A device without a clock: block time, and it says so.
    let leaf = world.door.accept(builder(&world.device, 3).number("a", Some("Cel"), 1.0, None).sign()).await;
    let shown = world.door.json(&format!("/v1/statements/{leaf}")).await;
    let reading = &shown["readings"][0];
    assert_eq!(reading["clock"], "block-clock");
    assert_eq!(reading["time_us"], shown["block_time_ms"].as_i64().unwrap() * 1000);
}
