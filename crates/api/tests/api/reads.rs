//! What is final, read back: statements, receipts, readings, verdicts, checkpoints, genesis.

use alloy_primitives::Signature;
use serde_json::Value;
use triad_chain::checkpoint_message;
use triad_log::{Certificate, Checkpoint, Receipt, TrustAnchor};
use triad_statement::{Statement, stream_id};

use crate::common::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetched_receipt_verifies_against_the_fetched_genesis() {
    let world = World::start().await;
    let leaf = world.door.accept(reading(&world.device, 0, 30.0)).await;
    let response = world.door.get(&format!("/v1/statements/{leaf}/receipt")).await;
    assert_eq!(response.headers()["content-type"], "application/vnd.triad.receipt+cbor");
    let name = format!("attachment; filename=\"triad-receipt-{leaf}.cbor\"");
    assert_eq!(response.headers()["content-disposition"], name.as_str());
    let receipt = response.bytes().await.unwrap();
    let genesis = world.door.get("/v1/genesis").await;
    assert_eq!(genesis.headers()["content-type"], "application/json");
    let anchor = TrustAnchor::from_genesis_json(&genesis.text().await.unwrap()).unwrap();
    assert_eq!(anchor.genesis_hash, world.chain.reader.spec().hash);
    let report = Receipt::verify_bytes(&receipt, &anchor).unwrap();
    assert!(report.to_string().contains("above its upper limit"), "{report}");
    let mut tampered = receipt.to_vec();
    let at = tampered.len() / 2;
    tampered[at] ^= 1;
    assert!(Receipt::verify_bytes(&tampered, &anchor).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_given_as_json_or_as_its_bytes() {
    let world = World::start().await;
    let statement = reading(&world.device, 7, 30.0);
    let leaf = world.door.accept(statement.clone()).await;
    let path = format!("/v1/statements/{leaf}");
    let shown = world.door.json(&path).await;
    let id = world.device.public().id().to_string();
    assert_eq!((&shown["signer"], &shown["origin"]), (&id.clone().into(), &id.into()));
    assert_eq!(shown["signed"], "device-signed");
    assert_eq!(shown["sequence"], serde_json::json!({"epoch": 0, "counter": 7, "number": 7}));
    assert_eq!(shown["readings"][0]["value"], 30.0);
    assert_eq!(shown["readings"][0]["time"], "2023-11-14T22:15:07.000000Z");
    assert_eq!(shown["verdicts"][0]["kind"], "high");
    assert_eq!(shown["verdicts"][0]["value_e9"], "30000000000");
    assert!(!shown["verdicts"][0]["reason"].as_str().unwrap().is_empty());
    let raw = |accept: &'static str| {
        let request = world.door.client.get(format!("{}{path}", world.door.base));
        async move { request.header("accept", accept).send().await.unwrap() }
    };
    for accept in ["application/cose", "application/cbor", "application/json;q=0.1, application/cose"] {
        let response = raw(accept).await;
        assert_eq!(response.headers()["content-type"], COSE);
        assert_eq!(response.headers()["vary"], "accept");
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes, statement);
        Statement::parse_stored(bytes).unwrap();
    }
    assert_problem(raw("text/html").await, 406, "not-acceptable").await;
    // The block's verdicts have the next leaf.
    for tail in ["", "/receipt"] {
        let response = world.door.get(&format!("/v1/statements/{}{tail}", leaf + 1)).await;
        assert_problem(response, 404, "not-a-statement").await;
        assert_problem(world.door.get(&format!("/v1/statements/999999{tail}")).await, 404, "no-such-leaf")
            .await;
        for bad in ["x", "-1", "1.5", "18446744073709551616", "%20", "+1"] {
            let response = world.door.get(&format!("/v1/statements/{bad}{tail}")).await;
            let problem = assert_problem(response, 400, "bad-parameter").await;
            assert_eq!(problem["parameter"], "leaf");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_come_in_pages_by_time() {
    let world = World::with(Default::default(), false).await;
    let all: Vec<_> = (0..25).map(|n| reading(&world.device, n, f64::from(n) / 2.0)).collect();
    assert_eq!(world.door.post("application/cbor-seq", concat(&all)).await.status(), 201);
    let id = world.device.public().id();
    let stream = stream_id(id, "temperature");
    for base in [format!("/v1/streams/{stream}"), format!("/v1/devices/{id}/streams/temperature")] {
        let mut seen = Vec::new();
        let mut path = format!("{base}/readings?limit=10");
        loop {
            let response = world.door.get(&path).await;
            let link = response.headers().get("link").map(|l| l.to_str().unwrap().to_owned());
            let page: Value = response.json().await.unwrap();
            assert_eq!((&page["unit"], &page["name"]), (&"Cel".into(), &"temperature".into()));
            seen.extend(page["readings"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else {
                assert_eq!(link, None);
                break;
            };
            path = format!("{base}/readings?limit=10&after={next}");
            assert_eq!(link, Some(format!("<{path}>; rel=\"next\"")));
        }
        assert_eq!(seen.len(), 25);
        for (n, reading) in seen.iter().enumerate() {
            assert_eq!(reading["value"].as_f64(), Some(n as f64 / 2.0));
            assert_eq!(reading["time_us"], T0 + n as i64 * 1_000_000);
        }
        let count = |query: &'static str| {
            let path = format!("{base}/readings?{query}");
            let door = &world.door;
            async move { door.json(&path).await["readings"].as_array().unwrap().len() }
        };
        assert_eq!(count("from=2023-11-14T22:15:05Z&to=2023-11-14T22:15:08.5Z").await, 4);
        assert_eq!(count("from=2023-11-14T23:15:05%2B01:00&to=1700000108500").await, 4);
        assert_eq!(count("from=1700000124000").await, 1);
        assert_eq!(count("to=1700000100000").await, 0);
        for (query, parameter) in [
            ("from=yesterday", "from"),
            ("to=", "to"),
            ("limit=0", "limit"),
            ("limit=10001", "limit"),
            ("limit=many", "limit"),
            ("after=nonsense", "after"),
            ("after=1.2", "after"),
            ("form=1", "form"),
            ("from=1&from=2", "from"),
        ] {
            let response = world.door.get(&format!("{base}/readings?{query}")).await;
            assert_eq!(
                assert_problem(response, 400, "bad-parameter").await["parameter"],
                parameter,
                "{query}"
            );
        }
    }
    let shown = world.door.json(&format!("/v1/streams/{stream}")).await;
    assert_eq!(shown["latest_reading"]["value"], 12.0);
    assert_eq!(shown["latest_verdict"], Value::Null);
    let unknown = stream_id(id, "humidity");
    for tail in ["", "/readings", "/verdicts"] {
        for path in
            [format!("/v1/streams/{unknown}{tail}"), format!("/v1/devices/{id}/streams/humidity{tail}")]
        {
            assert_problem(world.door.get(&path).await, 404, "no-such-stream").await;
        }
        assert_problem(world.door.get(&format!("/v1/streams/0x12{tail}")).await, 400, "bad-parameter").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_with_slashes_are_percent_encoded() {
    let world = World::with(Default::default(), false).await;
    let builder = triad_statement::StatementBuilder::new(&world.device, triad_statement::Sequence::new(0, 0));
    world.door.accept(builder.number("room/3:t.a_b-c", None, 4.0, Some(T0)).sign()).await;
    let id = world.device.public().id();
    let shown = world.door.json(&format!("/v1/devices/{id}/streams/room%2F3:t.a_b-c")).await;
    assert_eq!((&shown["name"], &shown["unit"]), (&"room/3:t.a_b-c".into(), &Value::Null));
    let path = format!("/v1/devices/{id}/streams/room%2F3%3At.a_b-c/readings");
    assert_eq!(world.door.json(&path).await["readings"][0]["value"], 4.0);
    let response = world.door.get(&format!("/v1/devices/{id}/streams/%FF/readings")).await;
    assert_problem(response, 400, "bad-parameter").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_are_filtered_and_paged() {
    let world = World::start().await;
    // Every fifth is too high; ends inside.
    let value = |n: u32| if n.is_multiple_of(5) { 30.0 } else { 21.0 };
    for part in 0..3 {
        let all: Vec<_> = (part * 10..part * 10 + 10).map(|n| reading(&world.device, n, value(n))).collect();
        assert_eq!(world.door.post("application/cbor-seq", concat(&all)).await.status(), 201);
    }
    let stream = stream_id(world.device.public().id(), "temperature");
    let base = format!("/v1/streams/{stream}/verdicts");
    let page = world.door.json(&base).await;
    let all = page["verdicts"].as_array().unwrap().clone();
    assert_eq!((all.len(), &page["next"]), (30, &Value::Null));
    for (query, expected) in [
        ("kind=high", 6),
        ("kind=back-in-range", 6),
        ("kind=high,back-in-range", 12),
        ("kind=silent", 0),
        ("model=0", 30),
        ("model=7", 0),
    ] {
        for limit in [1, 4, 6, 1000] {
            let (mut seen, mut after) = (Vec::new(), String::new());
            loop {
                let page = world.door.json(&format!("{base}?{query}&limit={limit}{after}")).await;
                let items = page["verdicts"].as_array().unwrap();
                assert!(items.len() <= limit);
                seen.extend(items.clone());
                let Some(next) = page["next"].as_str() else { break };
                after = format!("&after={next}");
            }
            assert_eq!(seen.len(), expected, "{query} in pages of {limit}");
        }
    }
    let first = all[0]["height"].as_u64().unwrap();
    let in_first = all.iter().filter(|v| v["height"] == first).count();
    let page = world.door.json(&format!("{base}?from_height={first}&to_height={first}")).await;
    assert_eq!(page["verdicts"].as_array().unwrap().len(), in_first);
    let response = world.door.get(&format!("{base}?kind=high,strange")).await;
    assert_eq!(assert_problem(response, 400, "bad-parameter").await["parameter"], "kind");
    let shown = world.door.json(&format!("/v1/streams/{stream}")).await;
    assert_eq!(shown["latest_verdict"]["kind"], "normal");
    assert_eq!(shown["models"][0]["params"], serde_json::json!({"low": 20, "high": 25}));
    assert_eq!(shown["models"][0]["default"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_carry_their_certificates() {
    let world = World::start().await;
    world.door.accept(reading(&world.device, 0, 21.0)).await;
    let newest = world.door.json("/v1/checkpoint").await;
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap();
    let checkpoint = Checkpoint::decode(&bytes(&newest["cbor"])).unwrap();
    assert_eq!(bytes(&newest["digest"]), checkpoint.digest());
    assert_eq!(newest["height"], checkpoint.height.0);
    assert_eq!(newest["log_size"], checkpoint.log_size);
    let spec = world.chain.reader.spec();
    let certificate = Certificate::decode(&bytes(&newest["certificate"])).unwrap();
    assert_eq!(certificate.digest, checkpoint.digest());
    certificate.verify(&spec.namespace(), &spec.anchor.validators).unwrap();
    let [signed] = &newest["signatures"].as_array().unwrap()[..] else { panic!("{newest}") };
    let message = checkpoint_message(&spec.hash, spec.genesis.chain_id, &checkpoint.digest());
    let signature = Signature::from_raw(&bytes(&signed["signature"])).unwrap();
    assert_eq!(signature.recover_address_from_prehash(&message).unwrap(), spec.checkpoint_addresses()[0]);
    assert_eq!(bytes(&signed["address"]), spec.checkpoint_addresses()[0].as_slice());
    assert_eq!(signed["validator"], 0);
    assert_eq!(world.door.json(&format!("/v1/checkpoints/{}", checkpoint.height.0)).await, newest);
    assert_eq!(world.door.json("/v1/checkpoints/0").await["certificate"], Value::Null);
    assert_problem(world.door.get("/v1/checkpoints/999999").await, 404, "no-such-block").await;
    assert_problem(world.door.get("/v1/checkpoints/first").await, 400, "bad-parameter").await;
    let status = world.door.json("/v1/status").await;
    assert_eq!(status["chain_id"], spec.genesis.chain_id);
    assert_eq!(bytes(&status["genesis_hash"]), spec.hash);
    assert_eq!(status["waiting"]["statements"], 0);
    assert!(status["disk_bytes"].as_u64().unwrap() > 0);
    assert!(status["height"].as_u64().unwrap() >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_proves_what_is_in_it_and_that_it_only_grows() {
    let world = World::start().await;
    let mut leaves = Vec::new();
    let mut sizes = Vec::new();
    for n in 0..6 {
        leaves.push(world.door.accept(reading(&world.device, n, 21.0)).await);
        sizes.push(world.door.json("/v1/status").await["log_size"].as_u64().unwrap());
    }
    let hash = |value: &Value| -> triad_log::Hash {
        let bytes = hex::decode(value.as_str().unwrap().strip_prefix("0x").unwrap()).unwrap();
        bytes.try_into().unwrap()
    };
    let path =
        |value: &Value| -> Vec<triad_log::Hash> { value.as_array().unwrap().iter().map(hash).collect() };
    for (leaf, size) in leaves.iter().zip(&sizes) {
        for asked in [format!("/v1/log/{leaf}"), format!("/v1/log/{leaf}?size={size}")] {
            let said = world.door.json(&asked).await;
            let (of, root) = (said["log_size"].as_u64().unwrap(), hash(&said["log_root"]));
            let inside = path(&said["inclusion_path"]);
            assert!(
                triad_log::verify_inclusion(&hash(&said["leaf_hash"]), *leaf, of, &inside, &root),
                "{said}"
            );
            let said = world.door.json(&format!("/v1/log/consistency?from={size}")).await;
            let (first, last) = (hash(&said["from_root"]), hash(&said["to_root"]));
            let grown = path(&said["consistency_path"]);
            let to = said["to"].as_u64().unwrap();
            assert!(triad_log::verify_consistency(*size, to, &first, &last, &grown), "{said}");
        }
    }
    let status = world.door.json("/v1/status").await;
    let said = world.door.json(&format!("/v1/log/0?size={}", status["log_size"])).await;
    assert_eq!(said["log_root"], status["log_root"], "no other log than the checkpoint's");
    for beyond in [
        "/v1/log/99999999",
        "/v1/log/5?size=5",
        "/v1/log/0?size=99999999",
        "/v1/log/consistency?from=99999999",
    ] {
        assert_problem(world.door.get(beyond).await, 404, "no-such-leaf").await;
    }
}
