//! Proofs of double votes through the door.

use std::sync::Arc;

use serde_json::json;
use triad_api::{HeldEvidence, Limits};
use triad_log::{BlockVote, Conflict, Evidence, Seen, namespace};

use crate::common::*;

fn vote(parent_view: u64, block: u8) -> BlockVote {
    BlockVote { parent_view, digest: [block; 32], signature: [block; 64] }
}

/// What a node would hold: the door shows, it does not verify.
pub fn held() -> HeldEvidence {
    let one = |validator: u8, view: u64, conflict| Evidence {
        namespace: namespace(&[7; 32]),
        validator: [validator; 32],
        epoch: 0,
        view,
        conflict,
        seen: Seen { height: 12, time_ms: 1_700_000_000_123, led: view == 10 },
    };
    let pair = [vote(7, 1), vote(8, 2)];
    let records = vec![
        (Some("acme".to_owned()), Arc::new(one(1, 9, Conflict::notarizes(pair)))),
        (Some("acme".to_owned()), Arc::new(one(1, 10, Conflict::notarizes(pair)))),
        (None, Arc::new(one(2, 3, Conflict::NullifyFinalize { nullify: [5; 64], finalize: vote(2, 6) }))),
    ];
    HeldEvidence { records, dropped: 4, unproven: 1, damaged: vec!["x.evidence".into()] }
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_is_listed_with_all_that_its_proof_needs() {
    let world = World::with(Limits::default(), false).await;
    let list = world.door.json("/v1/network/evidence").await;
    assert_eq!((&list["held"], &list["dropped"], &list["unproven"]), (&json!(3), &json!(4), &json!(1)));
    assert_eq!((&list["damaged"], &list["next"]), (&json!(["x.evidence"]), &json!(null)));
    let words: Vec<_> = list["evidence"].as_array().unwrap().iter().map(|e| e["meaning"].clone()).collect();
    assert_eq!(
        words,
        [
            "voted for two blocks in one view",
            "proposed two blocks in one view",
            "gave a view up and voted to finalise in it"
        ]
    );
    let first = &list["evidence"][0];
    assert_eq!((&first["name"], &first["validator"]), (&json!("acme"), &json!(hex0x(&[1; 32]))));
    assert_eq!((&first["epoch"], &first["view"], &first["kind"]), (&json!(0), &json!(9), &json!(1)));
    assert_eq!(first["seen_height"], 12);
    assert_eq!(first["seen_time"], "2023-11-14T22:13:20.123000Z");
    let message = [&[46][..], b"triad", &[7; 32], b"_NOTARIZE", &[0, 9, 7], &[1; 32]].concat();
    let vote = json!({
        "vote": "notarize", "epoch": 0, "view": 9, "parent_view": 7, "digest": hex0x(&[1; 32]),
        "message": hex0x(&message), "signature": hex0x(&[1; 64]),
    });
    assert_eq!(first["votes"][0], vote);
    let nullify = &list["evidence"][2]["votes"][0];
    let message = [&[45][..], b"triad", &[7; 32], b"_NULLIFY", &[0, 3]].concat();
    assert_eq!((&nullify["vote"], &nullify["message"]), (&json!("nullify"), &json!(hex0x(&message))));
    assert_eq!((&nullify["parent_view"], &nullify["digest"]), (&json!(null), &json!(null)));

    // As a file, of which the same can be read again.
    let file = world.door.get(first["links"]["file"].as_str().unwrap()).await;
    assert_eq!(file.headers()["content-type"], "application/vnd.triad.evidence+cbor");
    let name = format!("attachment; filename=\"{}.evidence\"", first["id"].as_str().unwrap());
    assert_eq!(file.headers()["content-disposition"], name);
    assert_eq!(Evidence::decode(&file.bytes().await.unwrap()).as_ref(), Ok(&*held().records[0].1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evidence_comes_in_pages_and_unknown_evidence_is_a_problem() {
    let world = World::with(Limits::default(), false).await;
    let (mut path, mut ids) = ("/v1/network/evidence?limit=2".to_owned(), Vec::new());
    for rows in [2, 1] {
        let page = world.door.json(&path).await;
        let records = page["evidence"].as_array().unwrap();
        assert_eq!(records.len(), rows);
        ids.extend(records.iter().map(|e| e["id"].as_str().unwrap().to_owned()));
        path = format!("/v1/network/evidence?limit=2&after={}", page["next"].as_str().unwrap_or_default());
    }
    let all: Vec<String> = held().records.iter().map(|(_, e)| e.id().to_string()).collect();
    assert_eq!(ids, all);
    let unknown = format!("/v1/network/evidence/{}-0-1-1", hex::encode([9; 32]));
    assert_problem(world.door.get(&unknown).await, 404, "no-such-evidence").await;
    for bad in ["/v1/network/evidence/17", "/v1/network/evidence?after=17", "/v1/network/evidence?limit=0"] {
        assert_problem(world.door.get(bad).await, 400, "bad-parameter").await;
    }
}
