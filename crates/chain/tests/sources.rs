//! A source of bad signatures is verified apart and slowed down; the others notice nothing.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use triad_chain::testing::{TestChain, wallet};
use triad_chain::{Answer, Submitter, contracts};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[seed; 32]).unwrap()
}

fn start(dir: &std::path::Path, keys: &[&SigningKey]) -> TestChain {
    let chain = TestChain::start(dir);
    let owner = wallet(1);
    let chain_id = chain.reader.spec().genesis.chain_id;
    let batch =
        keys.iter().map(|k| contracts::registration(chain_id, owner.address(), k, B256::ZERO)).collect();
    let (to, input) = contracts::register(batch);
    chain.send(&owner, Some(to), input, U256::ZERO);
    chain
}

/// Signed by `by`, in the name of `of`.
fn reading(by: &SigningKey, of: &SigningKey, n: u32) -> Bytes {
    let time = 1_700_000_100_000_000 + i64::from(n);
    let builder = StatementBuilder::new(by, Sequence::new(0, n)).kid(of.public().id());
    builder.number("level", Some("m"), f64::from(n), Some(time)).sign()
}

/// Hands all of them in at once and waits for all answers.
fn send(source: &Submitter, statements: Vec<Bytes>) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut answers = Vec::new();
        for statement in statements {
            answers.push(source.submit(statement).await);
        }
        let mut out = Vec::new();
        for answer in answers {
            out.push(answer.await.unwrap());
        }
        out
    })
}

fn counted(chain: &TestChain, name: &str) -> u64 {
    let mut registry = Registry::default();
    chain.reader.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn a_source_of_bad_signatures_is_set_apart_and_still_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (good, stranger) = (key(1), key(9));
    let chain = start(dir.path(), &[&good]);
    let (honest, bad) = (chain.submitter.source(), chain.submitter.source());
    assert!(send(&honest, vec![reading(&good, &good, 0)])[0].is_ok());
    assert!(!bad.is_suspect());
    assert_eq!(send(&bad, vec![reading(&stranger, &good, 1)])[0].clone().unwrap_err().code, "bad-signature");
    assert!(bad.is_suspect() && !honest.is_suspect());
    assert_eq!(counted(&chain, "triad_sources_caught_total"), 1);
    assert_eq!(counted(&chain, "triad_statements_verified_apart_total"), 0);

    // What it says next is looked at, apart: good ones become final, bad ones are refused for what they are.
    let mixed = vec![reading(&good, &good, 2), reading(&stranger, &good, 3), reading(&good, &good, 4)];
    let answers = send(&bad, mixed);
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert_eq!(answers[1].clone().unwrap_err().code, "bad-signature");
    assert_eq!(counted(&chain, "triad_statements_verified_apart_total"), 3);
    assert_eq!(counted(&chain, "triad_sources_caught_total"), 1, "it was caught before");
    assert!(send(&honest, vec![reading(&good, &good, 5)])[0].is_ok());
    assert_eq!(counted(&chain, "triad_statements_verified_apart_total"), 3);
    assert!(!bad.clone().source().is_suspect(), "another source is another one");
    assert!(bad.clone().is_suspect(), "a clone is the same");
}

#[test]
fn a_flood_is_bounded_and_every_caller_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (good, stranger) = (key(1), key(9));
    let chain = start(dir.path(), &[&good]);
    let flood: Vec<Bytes> = (0..6000).map(|n| reading(&stranger, &good, n)).collect();
    let (honest, bad) = (chain.submitter.source(), chain.submitter.source());
    let flooding = {
        let bad = bad.clone();
        std::thread::spawn(move || send(&bad, flood))
    };
    // Meanwhile another source gets everything through.
    for n in 0..20 {
        let statements = (n * 50..n * 50 + 50).map(|n| reading(&good, &good, n)).collect();
        assert!(send(&honest, statements).iter().all(Answer::is_ok));
    }
    let answers = flooding.join().unwrap();
    assert_eq!(answers.len(), 6000);
    let codes: Vec<&str> = answers.into_iter().map(|a| a.unwrap_err().code).collect();
    let bad_ones = codes.iter().filter(|c| **c == "bad-signature").count();
    let slowed = codes.iter().filter(|c| **c == "source-slowed").count();
    assert_eq!(bad_ones + slowed, 6000, "{:?}", codes.iter().collect::<std::collections::BTreeSet<_>>());
    assert!(bad_ones > 0);
    assert_eq!(counted(&chain, "triad_sources_caught_total"), 1);
    assert!(bad.is_suspect() && !honest.is_suspect());
}

#[test]
fn thousands_of_bad_signatures_among_good_ones_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let (good, stranger) = (key(1), key(9));
    let chain = start(dir.path(), &[&good]);
    // Every statement by another source, as one-shot connections bring them: nobody is set apart for another's fault.
    let (mut sources, mut answers) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for n in 0..4000u32 {
        let by = if n % 2 == 0 { &good } else { &stranger };
        let source = chain.submitter.source();
        answers.push(runtime.block_on(source.submit(reading(by, &good, n))));
        sources.push(source);
    }
    for (n, answer) in answers.into_iter().enumerate() {
        let answer = answer.blocking_recv().unwrap();
        match n % 2 {
            0 => assert!(!answer.unwrap().duplicate),
            _ => assert_eq!(answer.unwrap_err().code, "bad-signature"),
        }
        assert_eq!(sources[n].is_suspect(), n % 2 == 1, "{n}");
    }
}
