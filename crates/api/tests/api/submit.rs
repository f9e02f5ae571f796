//! Statements handed in, and what the sender hears.

use std::time::Duration;

use serde_json::Value;
use triad_api::Limits;
use triad_chain::testing::{advance, certificate, genesis};
use triad_chain::{ChainSpec, Ledger, Submitter};
use triad_statement::{Sequence, StatementBuilder};

use crate::common::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_statement_is_answered_when_it_is_final() {
    let world = World::start().await;
    for (n, content_type) in
        [COSE, "application/cose", "application/cbor", "application/octet-stream", ""].iter().enumerate()
    {
        let statement = reading(&world.device, n as u32, 21.0);
        let response = world.door.post(content_type, statement.clone()).await;
        assert_eq!(response.status(), 201, "{content_type}");
        let location = response.headers()["location"].to_str().unwrap().to_owned();
        let body: Value = response.json().await.unwrap();
        assert_eq!(location, format!("/v1/statements/{}", body["leaf"]));
        assert_eq!(body["duplicate"], false);
        assert_eq!(body["signer"], world.device.public().id().to_string());
        let parsed = triad_statement::Statement::parse(statement.clone()).unwrap();
        assert_eq!(body["statement_id"], parsed.id().to_string());
        assert!(world.chain.reader.height() >= body["height"].as_u64().unwrap());
        let again: Value = world.door.post(content_type, statement).await.json().await.unwrap();
        assert_eq!(again["duplicate"], true);
        assert_eq!((&again["leaf"], &again["height"]), (&body["leaf"], &body["height"]));
    }
    let metrics = &world.door;
    assert_eq!(metrics.metric("triad_http_statements_total{result=\"accepted\"}").await, 5.0);
    assert_eq!(metrics.metric("triad_http_statements_total{result=\"duplicate\"}").await, 5.0);
    let requests = "triad_http_requests_total{method=\"POST\",route=\"/v1/statements\",status=\"201\"}";
    assert_eq!(metrics.metric(requests).await, 10.0);
    assert_eq!(metrics.metric("triad_http_in_flight").await, 0.0);
    assert_eq!(metrics.metric("triad_statements_total").await, 5.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sequence_gets_an_answer_for_each_statement() {
    let world = World::start().await;
    let all: Vec<_> = (0..50).map(|n| reading(&world.device, n, 21.0)).collect();
    let response = world.door.post("application/cbor-seq", concat(&all)).await;
    assert_eq!(response.status(), 201);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["accepted"], &body["refused"]), (&50.into(), &0.into()));
    for (n, item) in body["items"].as_array().unwrap().iter().enumerate() {
        assert_eq!(
            (&item["index"], &item["status"], &item["duplicate"]),
            (&n.into(), &201.into(), &false.into())
        );
        let shown = world.door.json(item["location"].as_str().unwrap()).await;
        assert_eq!(shown["sequence"]["counter"], n);
    }
    // A sequence of one is answered as a list when it is called a sequence, and as one statement otherwise.
    let body: Value = world.door.post("application/cbor-seq", all[0].clone()).await.json().await.unwrap();
    assert_eq!((&body["accepted"], &body["items"][0]["duplicate"]), (&1.into(), &true.into()));
    // More than one statement is a sequence also when nobody says so.
    let body: Value = world.door.post("", concat(&all[..2])).await.json().await.unwrap();
    assert_eq!(body["accepted"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_signatures_among_good_ones_cost_the_good_ones_nothing() {
    let world = World::start().await;
    let forger = key(9);
    let forged = |n: u32| {
        let builder = StatementBuilder::new(&forger, Sequence::new(0, n)).kid(world.device.public().id());
        builder.number("temperature", Some("Cel"), 1.0, Some(T0)).sign()
    };
    // As many as the slow lane holds: how soon this source is caught decides only which way they go.
    let all: Vec<_> =
        (0..400).map(|n| if n % 3 == 1 { forged(n) } else { reading(&world.device, n, 21.0) }).collect();
    let response = world.door.post("application/cbor-seq", concat(&all)).await;
    assert_eq!(response.status(), 207);
    let body: Value = response.json().await.unwrap();
    let bad = (0..400).filter(|n| n % 3 == 1).count();
    assert_eq!(body["refused"], bad);
    for (n, item) in body["items"].as_array().unwrap().iter().enumerate() {
        match n % 3 {
            1 => {
                assert_eq!(item["status"], 403);
                assert_eq!(item["problem"]["code"], "bad-signature");
            }
            _ => assert_eq!(item["status"], 201, "{item}"),
        }
    }
    assert_eq!(world.door.metric("triad_http_problems_total{code=\"bad-signature\"}").await, bad as f64);
    assert_eq!(world.door.metric("triad_statements_refused_total{code=\"bad-signature\"}").await, bad as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_sequence_is_refused_whole() {
    let limits = Limits { batch_statements: 10, ..Limits::default() };
    let world = World::with(limits, false).await;
    let mut cut = concat(&[reading(&world.device, 0, 21.0), reading(&world.device, 1, 21.0)]);
    cut.pop();
    for content_type in ["application/cbor-seq", ""] {
        let problem = assert_problem(world.door.post(content_type, cut.clone()).await, 400, "not-cbor").await;
        assert!(problem["detail"].as_str().unwrap().contains("item 1"), "{problem}");
    }
    let many: Vec<_> = (0..11).map(|n| reading(&world.device, n, 21.0)).collect();
    let response = world.door.post("application/cbor-seq", concat(&many)).await;
    assert_problem(response, 413, "too-many-statements").await;
    assert_eq!(world.door.metric("triad_statements_total").await, 0.0);
    assert_problem(world.door.post("application/cbor-seq", "").await, 400, "empty-body").await;
    // Said to be one: what follows the first is not overlooked.
    let two = concat(&[reading(&world.device, 0, 21.0), reading(&world.device, 1, 21.0)]);
    assert_problem(world.door.post(COSE, two).await, 400, "not-cbor").await;
}

/// A ledger whose blocks the test makes itself.
struct Stalled {
    ledger: Ledger,
    door: Door,
    _dir: tempfile::TempDir,
}

async fn stalled(limits: Limits) -> Stalled {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), ChainSpec::new(genesis(Vec::new())).unwrap()).unwrap();
    let submitter = Submitter::start(ledger.clone(), 1).unwrap();
    let door = Door::open(config(limits), backend(&ledger, submitter)).await;
    Stalled { ledger, door, _dir: dir }
}

/// Registers device 1 by a block of the test's own.
fn register(ledger: &Ledger, submitter: &Submitter) {
    use triad_chain::{TxRequest, contracts, testing::wallet};
    let chain_id = ledger.spec().genesis.chain_id;
    let owner = wallet(1);
    let device = contracts::registration(chain_id, owner.address(), &key(1), Default::default());
    let (to, input) = contracts::register(vec![device]);
    let request = TxRequest {
        to: Some(to),
        value: Default::default(),
        input: input.into(),
        nonce: 0,
        gas_limit: 10_000_000,
        max_fee_per_gas: 2_000_000_000,
    };
    submitter.transaction(&owner.transaction(chain_id, request)).unwrap();
    assert!(advance(ledger, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_final_in_time_may_still_become_final() {
    let limits = Limits { finality_timeout: Duration::from_millis(300), ..Limits::default() };
    let Stalled { ledger, door, _dir } = stalled(limits).await;
    assert_problem(door.get("/v1/checkpoint").await, 503, "not-certified").await;
    register(&ledger, &Submitter::start(ledger.clone(), 1).unwrap());
    let statement = reading(&key(1), 0, 21.0);
    let problem = assert_problem(door.post(COSE, statement.clone()).await, 504, "not-final-in-time").await;
    assert!(problem["detail"].as_str().unwrap().contains("send it again"));
    let body = door.post("application/cbor-seq", statement.clone()).await;
    assert_eq!(body.status(), 207);
    assert_eq!(body.json::<Value>().await.unwrap()["items"][0]["problem"]["code"], "not-final-in-time");
    assert!(advance(&ledger, false));
    let again: Value = door.post(COSE, statement).await.json().await.unwrap();
    assert_eq!(again["duplicate"], true);
    assert_eq!(door.metric("triad_http_problems_total{code=\"not-final-in-time\"}").await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_waits_for_its_certificate() {
    let Stalled { ledger, door, _dir } = stalled(Limits::default()).await;
    register(&ledger, &Submitter::start(ledger.clone(), 1).unwrap());
    let client = door.client.clone();
    let url = format!("{}/v1/statements", door.base);
    let posted = tokio::spawn(async move {
        client.post(url).header("content-type", COSE).body(reading(&key(1), 0, 21.0)).send().await.unwrap()
    });
    let block = loop {
        let (_, parent) = triad_chain::Reader::new(ledger.clone()).tip();
        match ledger.propose(&parent, 0, false).unwrap() {
            Some(block) => break block,
            None => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    ledger.finalize(&block.bytes, None).unwrap();
    let response = posted.await.unwrap();
    assert_eq!(response.status(), 201);
    let leaf = response.json::<Value>().await.unwrap()["leaf"].as_u64().unwrap();
    let path = format!("/v1/statements/{leaf}/receipt");
    assert_problem(door.get(&path).await, 503, "not-certified").await;
    let checkpoint = door.json(&format!("/v1/checkpoints/{}", block.height())).await;
    assert_eq!(checkpoint["certificate"], Value::Null);
    ledger.finalize(&block.bytes, Some(&certificate(ledger.spec(), &block))).unwrap();
    assert_eq!(door.get(&path).await.status(), 200);
}
