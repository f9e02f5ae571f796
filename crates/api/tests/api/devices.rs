//! Devices and their DID documents.

use serde_json::{Value, json};
use triad_chain::contracts;
use triad_statement::{Algorithm, Sequence, StatementBuilder};

use crate::common::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_shown_with_all_that_the_registry_knows() {
    let world = World::with(Default::default(), false).await;
    let keys = [key_of(Algorithm::Es256, 2), key_of(Algorithm::Es256k, 3)];
    world.register(&keys.iter().collect::<Vec<_>>());
    let owner = triad_chain::testing::wallet(1).address();
    let (mute, call) = contracts::register_unsigned(owner, Default::default(), Default::default());
    world.call(call);
    let gateway = world.device.public().id();
    world.call(contracts::set_speaker(mute, gateway, true));
    for key in [&world.device, &keys[0], &keys[1]] {
        let public = key.public();
        let id = public.id();
        world.door.accept(reading(key, 4, 21.0)).await;
        let shown = world.door.json(&format!("/v1/devices/{id}")).await;
        assert_eq!(shown["id"], id.to_string());
        assert_eq!(shown["owner"], format!("{owner:?}").to_lowercase());
        assert_eq!(shown["algorithm"], public.algorithm().name());
        assert_eq!(shown["status"], "active");
        assert_eq!(shown["key"]["cose_key"], format!("0x{}", hex::encode(public.cose_key())));
        assert_eq!(shown["key"]["did_key"], public.did_key());
        assert_eq!(shown["next_sequence"], json!({"epoch": 0, "counter": 5, "number": 5}));
        assert_eq!(shown["streams"].as_array().unwrap().len(), 1);
        assert_eq!(shown["streams"][0]["name"], "temperature");
        let streams = world.door.json(&format!("/v1/devices/{id}/streams")).await;
        assert_eq!(streams["streams"], shown["streams"]);
        // As wallets print it.
        let upper = id.to_string().to_ascii_uppercase().replace("0X", "0x");
        assert_eq!(world.door.json(&format!("/v1/devices/{upper}")).await["id"], shown["id"]);
    }
    let spoken_for = StatementBuilder::new(&world.device, Sequence::new(0, 5))
        .on_behalf_of(mute)
        .number("power", Some("W"), 5.0, Some(T0))
        .sign();
    let leaf = world.door.accept(spoken_for).await;
    let statement = world.door.json(&format!("/v1/statements/{leaf}")).await;
    assert_eq!(
        (&statement["signed"], &statement["origin"]),
        (&"gateway-signed".into(), &mute.to_string().into())
    );
    let shown = world.door.json(&format!("/v1/devices/{mute}")).await;
    assert_eq!(
        (&shown["key"], &shown["algorithm"], &shown["next_sequence"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(shown["speakers"], json!([gateway.to_string()]));
    assert_eq!(shown["streams"][0]["name"], "power");
    world.call(contracts::raise_epoch(gateway, 9));
    let shown = world.door.json(&format!("/v1/devices/{gateway}")).await;
    assert_eq!(shown["next_sequence"]["epoch"], 9);
    assert_eq!(shown["next_sequence"]["number"], 9u64 << 32);
    let stranger = key(9).public().id();
    for tail in ["", "/streams", "/did.json"] {
        assert_problem(world.door.get(&format!("/v1/devices/{stranger}{tail}")).await, 404, "no-such-device")
            .await;
        let response = world.door.get(&format!("/v1/devices/0xabc{tail}")).await;
        assert_eq!(assert_problem(response, 400, "bad-parameter").await["parameter"], "id");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_come_in_pages() {
    let world = World::with(Default::default(), false).await;
    let keys: Vec<_> = (10..33).map(key).collect();
    world.register(&keys.iter().collect::<Vec<_>>());
    let (mut seen, mut path) = (Vec::new(), "/v1/devices?limit=7".to_owned());
    loop {
        let page = world.door.json(&path).await;
        for device in page["devices"].as_array().unwrap() {
            seen.push(device["id"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/devices?limit=7&after={next}");
    }
    assert_eq!(seen.len(), 24);
    assert!(seen.is_sorted());
    assert_eq!(world.door.json("/v1/devices").await["devices"].as_array().unwrap().len(), 24);
    let response = world.door.get("/v1/devices?after=zz").await;
    assert_eq!(assert_problem(response, 400, "bad-parameter").await["parameter"], "after");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_did_document_names_the_current_key() {
    let world = World::with(Default::default(), false).await;
    let id = world.device.public().id();
    let url = format!("{}/v1/devices/{id}/did.json", world.door.base);
    let fetch = |host: &'static str| {
        let request = world.door.client.get(&url).header("host", host);
        async move { request.send().await.unwrap() }
    };
    let response = fetch("Sensors.example.org:8443").await;
    assert_eq!(response.headers()["content-type"], "application/did+json");
    let document: Value = response.json().await.unwrap();
    let did = format!("did:web:sensors.example.org%3A8443:v1:devices:{id}");
    let multibase = world.device.public().multibase();
    let method = format!("did:key:{multibase}#{multibase}");
    assert_eq!(
        document,
        json!({
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": did,
            "verificationMethod": [
                {"id": method, "type": "Multikey", "controller": did, "publicKeyMultibase": multibase}
            ],
            "authentication": [method],
            "assertionMethod": [method],
        })
    );
    let new = key_of(Algorithm::Es256, 8);
    world.call(contracts::rotate(world.chain.reader.spec().genesis.chain_id, id, &new));
    let document: Value = fetch("example.org").await.json().await.unwrap();
    assert_eq!(document["id"], format!("did:web:example.org:v1:devices:{id}"));
    assert_eq!(document["verificationMethod"][0]["publicKeyMultibase"], new.public().multibase());
    world.call(contracts::suspend(id));
    let document: Value = fetch("example.org").await.json().await.unwrap();
    assert!(document.get("verificationMethod").is_some());
    world.call(contracts::revoke(id));
    let document: Value = fetch("example.org").await.json().await.unwrap();
    assert_eq!(document["deactivated"], true);
    assert!(document.get("verificationMethod").is_none());
    let response = fetch("bad host/").await;
    assert_eq!(assert_problem(response, 400, "bad-parameter").await["parameter"], "Host");
}
