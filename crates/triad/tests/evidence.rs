//! A proof of a double vote in a node's data directory: after a start the API, the metrics and the commands show it, and
//! `verify` believes it, or says why not.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::*;
use ed25519_zebra::SigningKey;
use serde_json::{Value, json};
use triad_log::{BlockVote, Conflict, Evidence, Seen, TrustAnchor, namespace};

/// Made with the key of the validator whose directory it is.
fn two_proposals(data: &Path) -> Evidence {
    let genesis = fs::read_to_string(data.join("genesis.json")).unwrap();
    let anchor = TrustAnchor::from_genesis_json(&genesis).unwrap();
    let secrets: Value =
        serde_json::from_str(&fs::read_to_string(data.join("validator.json")).unwrap()).unwrap();
    let seed = hex::decode(secrets["consensus_secret"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let key = SigningKey::from(<[u8; 32]>::try_from(seed).unwrap());
    let vote = |block| BlockVote { parent_view: 41, digest: [block; 32], signature: [0; 64] };
    let mut evidence = Evidence {
        namespace: namespace(&anchor.genesis_hash),
        validator: key.verification_key().into(),
        epoch: 0,
        view: 42,
        conflict: Conflict::notarizes([vote(1), vote(2)]),
        seen: Seen { height: 7, time_ms: 1_700_000_000_000, led: true },
    };
    let signatures = evidence.votes().map(|vote| <[u8; 64]>::from(key.sign(&vote.message)));
    let Conflict::Notarizes(votes) = &mut evidence.conflict else { unreachable!() };
    for (vote, signature) in votes.iter_mut().zip(signatures) {
        vote.signature = signature;
    }
    evidence
}

fn triad(args: &[&str], api: &str) -> (bool, String) {
    let done = Command::new(TRIAD).args(args).env("TRIAD_API", api).output().unwrap();
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(errors.is_empty(), "{args:?}: {errors}");
    (done.status.success(), String::from_utf8(done.stdout).unwrap())
}

#[test]
fn evidence_on_disk_is_shown_and_checked_offline() {
    let (dir, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let data = dir.path().join("data");
    let node = start(&data);
    assert_eq!(
        triad(&["network", "evidence"], &node.http).1,
        "This node holds no proof that a validator voted twice.\n"
    );
    drop(node);
    let evidence = two_proposals(&data);
    let (id, folder) = (evidence.id().to_string(), data.join("consensus-evidence"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{id}.evidence")), evidence.encode()).unwrap();
    fs::write(folder.join("damaged.evidence"), b"rubbish").unwrap();
    let node = start(&data);

    let list = runtime.block_on(get(format!("{}/v1/network/evidence", node.http))).unwrap();
    assert_eq!((&list["held"], &list["damaged"]), (&json!(1), &json!(["damaged.evidence"])), "{list}");
    let record = &list["evidence"][0];
    assert_eq!((&record["id"], &record["view"], &record["kind"]), (&json!(id), &json!(42), &json!(1)));
    assert_eq!(record["meaning"], "proposed two blocks in one view");
    let network = runtime.block_on(get(format!("{}/v1/network", node.http))).unwrap();
    assert_eq!((&network["evidence"], &network["nodes"][0]["evidence"]), (&json!(1), &json!(1)), "{network}");
    let name = network["nodes"][0]["name"].as_str().unwrap();
    assert_eq!(record["name"], name);
    let metrics = runtime
        .block_on(async { reqwest::get(format!("{}/metrics", node.http)).await.unwrap().text().await })
        .unwrap();
    let sample = format!("triad_network_evidence{{node=\"{name}\"}} 1");
    assert!(metrics.lines().any(|line| line == sample), "{sample} is not in {metrics}");

    // The commands.
    let (_, listed) = triad(&["network", "evidence"], &node.http);
    assert!(listed.contains(&id) && listed.contains("proposed two blocks"), "{listed}");
    let file = dir.path().join("proof");
    let file = file.to_str().unwrap();
    assert!(triad(&["network", "evidence", "fetch", &id, "--out", file], &node.http).0);
    // The contract checks both votes itself, and records them once.
    let submit = ["network", "evidence", "submit", file];
    let (sent, said) = triad(&submit, &node.http);
    assert!(sent && said.starts_with("Recorded on chain: 0x"), "{said}");
    let again = Command::new(TRIAD).args(submit).env("TRIAD_API", &node.http).output().unwrap();
    assert!(!again.status.success(), "{}", String::from_utf8_lossy(&again.stdout));
    drop(node);
    let genesis = data.join("genesis.json");
    let verify = ["network", "evidence", "verify", file, "--genesis", genesis.to_str().unwrap()];
    let (proved, said) = triad(&verify, "http://127.0.0.1:1");
    assert!(proved && said.starts_with(&format!("PROVED: {name} ")), "{said}");
    let as_json = [&verify[..], &["--json"]].concat();
    let (proved, said) = triad(&as_json, "http://127.0.0.1:1");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((proved, &said["verified"], &said["name"]), (true, &json!(true), &json!(name)), "{said}");

    // A bit of the second signature, and a chain that is another.
    let mut bytes = fs::read(file).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    fs::write(file, &bytes).unwrap();
    let (proved, said) = triad(&verify, "http://127.0.0.1:1");
    assert_eq!(
        (proved, said.as_str()),
        (false, "NOT PROVED: the signature of the second vote (notarize) is not the validator's\n")
    );
    fs::write(file, evidence.encode()).unwrap();
    let text = fs::read_to_string(&genesis).unwrap();
    let other = dir.path().join("other.json");
    let chain_name =
        format!("\"name\": \"{}\"", serde_json::from_str::<Value>(&text).unwrap()["name"].as_str().unwrap());
    assert!(text.contains(&chain_name), "{text}");
    fs::write(&other, text.replacen(&chain_name, "\"name\": \"another\"", 1)).unwrap();
    let verify = ["network", "evidence", "verify", file, "--genesis", other.to_str().unwrap(), "--json"];
    let (proved, said) = triad(&verify, "http://127.0.0.1:1");
    assert!(!proved && said.contains("another chain"), "{said}");
}
