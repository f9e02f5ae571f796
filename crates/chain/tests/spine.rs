//! A statement's whole path over a ledger without a consensus engine.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{B256, U256};
use triad_chain::testing::{TestChain, advance, genesis, wallet};
use triad_chain::{Answer, ChainSpec, Ledger, Reader, contracts};
use triad_models::{RangeSpec, Spec};
use triad_statement::{Algorithm, DeviceId, Sequence, SigningKey, StatementBuilder, stream_id};

const T0: i64 = 1_700_000_100_000_000;

fn key(algorithm: Algorithm, seed: u8) -> SigningKey {
    SigningKey::from_secret_bytes(algorithm, &[seed; 32]).unwrap()
}

fn register(chain: &TestChain, keys: &[&SigningKey]) {
    let owner = wallet(1);
    let chain_id = chain.reader.spec().genesis.chain_id;
    let batch =
        keys.iter().map(|k| contracts::registration(chain_id, owner.address(), k, B256::ZERO)).collect();
    let (to, input) = contracts::register(batch);
    chain.send(&owner, Some(to), input, U256::ZERO);
}

fn reading(key: &SigningKey, n: u32, value: f64) -> bytes::Bytes {
    let time = T0 + i64::from(n) * 1_000_000;
    StatementBuilder::new(key, Sequence::new(0, n))
        .number("temperature", Some("Cel"), value, Some(time))
        .sign()
}

fn code(answer: Answer) -> &'static str {
    answer.expect_err("refused").code
}

fn verify(chain: &TestChain, leaf: u64) -> triad_log::Report {
    let receipt = chain.reader.receipt(leaf).unwrap().encode();
    triad_log::Receipt::decode(&receipt).unwrap().verify(&chain.reader.spec().anchor).unwrap()
}

#[test]
fn a_reading_of_each_key_type_becomes_final_and_provable() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let keys = [key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2), key(Algorithm::Es256k, 3)];
    register(&chain, &keys.iter().collect::<Vec<_>>());
    for key in &keys {
        let accepted = chain.statement(reading(key, 0, 21.5)).unwrap();
        assert!(!accepted.duplicate);
        let stored = chain.reader.statement(accepted.leaf).unwrap().unwrap();
        assert_eq!(stored.statement.signer(), key.public().id());
        assert_eq!(stored.height, accepted.height);
        verify(&chain, accepted.leaf);
        let stream = stream_id(key.public().id(), "temperature");
        let page = chain.reader.readings(&stream, (i64::MIN, i64::MAX), None, 10).unwrap().unwrap();
        assert_eq!(page.items.len(), 1);
        assert_eq!((page.items[0].value, page.items[0].time_us), (21.5, T0));
    }
}

#[test]
fn refusals_name_their_reason_and_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let (good, stranger) = (key(Algorithm::EdDsa, 1), key(Algorithm::EdDsa, 9));
    register(&chain, &[&good]);
    assert_eq!(code(chain.statement(reading(&stranger, 0, 1.0))), "unknown-device");
    let forged = StatementBuilder::new(&stranger, Sequence::new(0, 0))
        .kid(good.public().id())
        .number("temperature", Some("Cel"), 1.0, Some(T0))
        .sign();
    assert_eq!(code(chain.statement(forged)), "bad-signature");
    let first = chain.statement(reading(&good, 5, 1.0)).unwrap();
    let again = chain.statement(reading(&good, 5, 1.0)).unwrap();
    assert_eq!((again.leaf, again.duplicate), (first.leaf, true));
    assert_eq!(code(chain.statement(reading(&good, 5, 2.0))), "equivocation");
    chain.statement(reading(&good, 5 + 2000, 1.0)).unwrap();
    assert_eq!(code(chain.statement(reading(&good, 6, 1.0))), "too-old");
    let again = chain.statement(reading(&good, 5, 1.0)).unwrap();
    assert_eq!(
        (again.leaf, again.duplicate),
        (first.leaf, true),
        "the very statement held is acknowledged again"
    );
    let fahrenheit = StatementBuilder::new(&good, Sequence::new(0, 2010))
        .number("temperature", Some("Far"), 70.0, Some(T0))
        .sign();
    assert_eq!(code(chain.statement(fahrenheit)), "changed-unit");
    let ahead = StatementBuilder::new(&good, Sequence::new(0, 2011))
        .number("temperature", Some("Cel"), 7.0, Some(triad_chain::clock_ms() as i64 * 1000 + 3_600_000_000))
        .sign();
    assert_eq!(code(chain.statement(ahead)), "time-ahead");
    let many = (0..300).fold(StatementBuilder::new(&good, Sequence::new(0, 2012)), |b, i| {
        b.number(&format!("s{i}"), None, 1.0, Some(T0))
    });
    assert_eq!(code(chain.statement(many.sign())), "too-many-streams");
    assert_eq!(code(chain.statement(vec![0u8; 10])), "not-cbor");
    let epoch =
        StatementBuilder::new(&good, Sequence::new(1, 0)).number("temperature", Some("Cel"), 1.0, None);
    assert_eq!(code(chain.statement(epoch.sign())), "wrong-epoch");
    let streams = chain.reader.streams(&good.public().id()).unwrap();
    assert_eq!(streams.len(), 1);
}

#[test]
fn owners_suspend_revoke_rotate_and_raise_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let (old, new) = (key(Algorithm::EdDsa, 1), key(Algorithm::Es256, 2));
    let id = old.public().id();
    register(&chain, &[&old]);
    let owner = wallet(1);
    let call = |(to, input): contracts::Call| chain.send(&owner, Some(to), input, U256::ZERO);
    let before = chain.statement(reading(&old, 0, 1.0)).unwrap();
    call(contracts::suspend(id));
    assert_eq!(code(chain.statement(reading(&old, 1, 1.0))), "suspended-device");
    call(contracts::activate(id));
    chain.statement(reading(&old, 1, 1.0)).unwrap();
    call(contracts::rotate(chain.reader.spec().genesis.chain_id, id, &new));
    let by_new = |epoch, n| {
        let b = StatementBuilder::new(&new, Sequence::new(epoch, n)).kid(id);
        b.number("temperature", Some("Cel"), 1.0, Some(T0 + i64::from(n))).sign()
    };
    assert_eq!(code(chain.statement(reading(&old, 2, 1.0))), "wrong-key");
    let after = chain.statement(by_new(0, 2)).unwrap();
    call(contracts::raise_epoch(id, 3));
    assert_eq!(code(chain.statement(by_new(0, 3))), "wrong-epoch");
    assert_eq!(chain.reader.next_sequence(&id).unwrap(), Some(Sequence::new(3, 0)));
    chain.statement(by_new(3, 0)).unwrap();
    call(contracts::revoke(id));
    assert_eq!(code(chain.statement(by_new(3, 1))), "revoked-device");
    // Receipts of both keys still verify.
    verify(&chain, before.leaf);
    verify(&chain, after.leaf);
}

#[test]
fn a_gateway_signs_for_a_device_that_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let gateway = key(Algorithm::EdDsa, 1);
    register(&chain, &[&gateway]);
    let owner = wallet(1);
    let (sensor, (to, input)) =
        contracts::register_unsigned(owner.address(), B256::repeat_byte(1), B256::ZERO);
    chain.send(&owner, Some(to), input, U256::ZERO);
    let statement = |n| {
        let b = StatementBuilder::new(&gateway, Sequence::new(0, n)).on_behalf_of(sensor);
        b.number("humidity", Some("%RH"), 40.0, Some(T0)).sign()
    };
    assert_eq!(code(chain.statement(statement(0))), "origin-not-allowed");
    let (to, input) = contracts::set_speaker(sensor, gateway.public().id(), true);
    chain.send(&owner, Some(to), input, U256::ZERO);
    let accepted = chain.statement(statement(1)).unwrap();
    assert_eq!(chain.reader.streams(&sensor).unwrap().len(), 1);
    verify(&chain, accepted.leaf);
}

fn range_default() -> triad_chain::DefaultModel {
    let spec = Spec::Range(RangeSpec { low: Some(2.0), high: Some(8.0), ..RangeSpec::default() });
    triad_chain::DefaultModel { kind: spec.kind().into(), params: spec.params().into() }
}

fn fill(chain: &TestChain, key: &SigningKey, from: u32, to: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut answers = Vec::new();
        for n in from..to {
            answers.push(chain.submitter.submit(reading(key, n, f64::from(n % 12))).await);
        }
        for answer in answers {
            answer.await.unwrap().unwrap();
        }
    });
}

/// Everything that a restart must bring back.
fn picture(
    reader: &Reader,
    device: DeviceId,
) -> (Vec<u8>, Vec<triad_chain::Reading>, Vec<triad_chain::StoredVerdict>) {
    let stream = stream_id(device, "temperature");
    let readings = reader.readings(&stream, (i64::MIN, i64::MAX), None, 10_000).unwrap().unwrap().items;
    let verdicts = reader.verdicts(&stream, (0, u64::MAX), None, 10_000).unwrap().unwrap().items;
    (reader.tip().0.encode(), readings, verdicts)
}

#[test]
fn a_restart_brings_everything_back_and_goes_on_alike() {
    let (dir, twin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let key = key(Algorithm::EdDsa, 1);
    let device = key.public().id();
    let spec = || genesis(vec![range_default()]);
    let chain = TestChain::with_genesis(dir.path(), spec());
    register(&chain, &[&key]);
    // More blocks than rows stay unwritten.
    for step in 0..90 {
        fill(&chain, &key, step * 3, step * 3 + 3);
    }
    let before = picture(&chain.reader, device);
    assert_eq!(before.1.len(), 270);
    assert_eq!(before.2.len(), 270, "every reading was judged");
    drop(chain);

    let chain = TestChain::with_genesis(dir.path(), spec());
    assert_eq!(picture(&chain.reader, device), before);
    fill(&chain, &key, 270, 300);
    let accepted = chain.statement(reading(&key, 7, 7.0)).unwrap();
    assert!(accepted.duplicate, "the index knows old numbers after a restart");
    verify(&chain, 3);
    let tip = chain.reader.height();
    let blocks: Vec<_> = (1..=tip).map(|h| chain.reader.block(h).unwrap().unwrap()).collect();
    let after = picture(&chain.reader, device);
    drop(chain);

    // A second validator that only re-executes comes to the very same state.
    let ledger = Ledger::open(twin.path(), ChainSpec::new(spec()).unwrap()).unwrap();
    for block in &blocks {
        assert_eq!(ledger.check(&block.bytes, None).unwrap(), triad_chain::Judgement::Valid);
        ledger.finalize(&block.bytes, None).unwrap();
        ledger.finalize(&block.bytes, None).unwrap();
    }
    assert_eq!(picture(&Reader::new(ledger), device), after);
}

#[test]
fn an_audit_reproduces_everything_and_finds_a_changed_byte() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(Algorithm::EdDsa, 1);
    let spec = || ChainSpec::new(genesis(vec![range_default()])).unwrap();
    let chain = TestChain::with_genesis(dir.path(), genesis(vec![range_default()]));
    register(&chain, &[&key]);
    for step in 0..10 {
        fill(&chain, &key, step * 10, step * 10 + 10);
    }
    drop(chain);
    let scratch = tempfile::tempdir().unwrap();
    let audit =
        triad_chain::audit::run(dir.path(), &dir.path().join("snapshots"), spec(), scratch.path(), |_| {})
            .unwrap();
    assert_eq!((audit.statements, audit.readings, audit.verdicts), (100, 100, 100));
    assert_eq!(audit.certificates, audit.tip);
}

#[test]
fn an_invalid_block_is_refused_whatever_is_wrong_with_it() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let chain = TestChain::start(dir.path());
    let key = key(Algorithm::EdDsa, 1);
    register(&chain, &[&key]);
    chain.statement(reading(&key, 0, 3.0)).unwrap();
    let tip = chain.reader.height();
    let ledger = Ledger::open(other.path(), ChainSpec::new(genesis(Vec::new())).unwrap()).unwrap();
    for height in 1..tip {
        let block = chain.reader.block(height).unwrap().unwrap();
        ledger.finalize(&block.bytes, None).unwrap();
    }
    let good = chain.reader.block(tip).unwrap().unwrap();
    for at in 0..good.bytes.len() {
        let mut bad = good.bytes.to_vec();
        bad[at] ^= 1;
        let judged = ledger.check(&bad.into(), None).unwrap();
        assert_ne!(judged, triad_chain::Judgement::Valid, "byte {at}");
    }
    assert_eq!(ledger.check(&good.bytes, None).unwrap(), triad_chain::Judgement::Valid);
}

#[test]
fn an_idle_chain_makes_no_blocks_unless_it_must() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), ChainSpec::new(genesis(Vec::new())).unwrap()).unwrap();
    assert!(!advance(&ledger, false));
    assert!(advance(&ledger, true));
    assert_eq!(ledger.height(), 1);
}
