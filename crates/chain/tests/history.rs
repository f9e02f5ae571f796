//! The state of past blocks: told as it was, proved, traced, and gone when it is too old.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::collections::BTreeMap;
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes, I256, U256};
use serde_json::{Value, json};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{ARCHIVE, DefaultModel, Genesis, PastError, Reader, StateAt, TraceFailure, contracts};
use triad_evm::bindings::IAutomations;
use triad_evm::{
    CallRequest, FIRING_CALLER, LATEST_READING, LATEST_VERDICT, LOG, StateView, TriadTx, Trial,
    verify_account_proof,
};
use triad_models::{RangeSpec, SilenceSpec, Spec};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder, StreamId, stream_id};

const T0: i64 = 1_700_000_100_000_000;
const NAMES: [&str; 2] = ["level", "flow"];

fn key() -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[1; 32]).unwrap()
}

fn stream(name: &str) -> StreamId {
    stream_id(key().public().id(), name)
}

fn models() -> Genesis {
    let range = Spec::Range(RangeSpec { low: Some(2.0), high: Some(8.0), ..RangeSpec::default() });
    let silence = Spec::Silence(SilenceSpec { interval_ms: 40, grace_ms: 0 });
    let models = [range, silence].map(|s| DefaultModel { kind: s.kind().into(), params: s.params().into() });
    genesis(models.into())
}

fn start(dir: &Path, history: u64) -> TestChain {
    let chain = TestChain::keeping(dir, models(), history);
    if chain.reader.device(&key().public().id()).unwrap().is_none() {
        let chain_id = chain.reader.spec().genesis.chain_id;
        let item = contracts::registration(chain_id, wallet(1).address(), &key(), B256::ZERO);
        let (to, input) = contracts::register(vec![item]);
        chain.send(&wallet(1), Some(to), input, U256::ZERO);
    }
    chain
}

/// Says one reading of each stream at a time; an earlier time than before is a late one.
fn say(chain: &TestChain, n: u32, at: i64, values: [f64; 2]) {
    let key = key();
    let mut statement = StatementBuilder::new(&key, Sequence::new(0, n));
    for (name, value) in NAMES.iter().zip(values) {
        statement = statement.number(name, Some("m"), value, Some(T0 + at * 1_000_000));
    }
    chain.statement(statement.sign()).unwrap();
}

/// Deploys what logs all that the precompiles say of the stream in its input.
fn shower(chain: &TestChain) -> Address {
    let runtime = hex::decode(concat!(
        "366000600037",
        "60c061010060206000620100025afa50",
        "61012061020060206000620100035afa50",
        "606061040060006000620100045afa50",
        "610400610100a000",
    ))
    .unwrap();
    let mut init = vec![0x61, 0, runtime.len() as u8, 0x80, 0x60, 0x0c, 0x60, 0, 0x39, 0x60, 0, 0xf3];
    init.extend(runtime);
    let sent = chain.send(&wallet(2), None, init, U256::ZERO);
    sent.block.receipts[sent.index].contract_address.unwrap()
}

/// What the precompiles show to a call on this state.
fn shown(state: &StateAt) -> Vec<Bytes> {
    let ask = |to: Address, input: &[u8]| {
        let request =
            CallRequest { to: Some(to), input: Bytes::copy_from_slice(input), ..CallRequest::default() };
        let outcome = triad_evm::call(&Trial::new(state, state.app(), state.context()), &request).unwrap();
        assert!(state.failure().is_none());
        outcome.output
    };
    let mut out = vec![ask(LOG, &[])];
    for name in NAMES {
        out.push(ask(LATEST_READING, &stream(name).0));
        out.push(ask(LATEST_VERDICT, &stream(name).0));
    }
    out
}

/// What is shown at the head, by height.
fn record(reader: &Reader, seen: &mut BTreeMap<u64, Vec<Bytes>>) {
    let state = reader.state().unwrap();
    seen.insert(state.height(), shown(&state));
}

fn traces(reader: &Reader, height: u64) -> Vec<Value> {
    let options = serde_json::from_value(json!({"tracer": "callTracer"})).unwrap();
    let traces = reader.trace(height, None, &options, None).unwrap();
    traces.iter().map(|trace| serde_json::to_value(trace).unwrap()).collect()
}

#[test]
fn what_contracts_saw_of_readings_and_verdicts_is_told_of_every_kept_block() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), ARCHIVE);
    let shower = shower(&chain);
    let mut seen = BTreeMap::new();
    record(&chain.reader, &mut seen);
    for n in 0..90u32 {
        // Late ones, equal times, values in and out of range, pauses long enough for silence.
        let at = if n % 7 == 3 { i64::from(n) - 5 } else { i64::from(n) - i64::from(n % 5 == 1) };
        say(&chain, n, at * 200, [f64::from(n % 11), f64::from(n)]);
        record(&chain.reader, &mut seen);
        if n % 10 == 0 {
            chain.send(&wallet(2), Some(shower), stream(NAMES[n as usize / 10 % 2]).0.to_vec(), U256::ZERO);
        }
        if n % 30 == 29 {
            std::thread::sleep(std::time::Duration::from_millis(80));
            record(&chain.reader, &mut seen);
        }
    }
    let newest = seen.values().last().unwrap().clone();
    assert!(seen.values().filter(|shown| **shown != newest).count() > 80);
    let check = |reader: &Reader| {
        for (height, expected) in &seen {
            assert_eq!(shown(&reader.state_at(*height).unwrap()), *expected, "at block {height}");
        }
        // Executed again, everything shows what it showed then: the logs would differ.
        for height in 1..=reader.height() {
            let block = reader.eth_block(height).unwrap().unwrap();
            assert_eq!(traces(reader, height).len(), block.transactions.len());
        }
    };
    check(&chain.reader);
    drop(chain);
    check(&start(dir.path(), ARCHIVE).reader);
}

#[test]
fn accounts_code_slots_and_proofs_of_past_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), 128);
    let (from, to) = (wallet(3), Address::repeat_byte(0x77));
    let mut balances = BTreeMap::new();
    for wei in 1..=20u64 {
        let sent = chain.send(&from, Some(to), vec![], U256::from(wei));
        balances.insert(sent.block.header.number, (sent.block.header.state_root, wei * (wei + 1) / 2));
    }
    let shower = shower(&chain);
    let deployed = chain.reader.height();
    drop(chain);
    let chain = start(dir.path(), 128);
    for (height, (root, wei)) in balances {
        let state = chain.reader.state_at(height).unwrap();
        assert_eq!(state.account(&to).unwrap().unwrap().balance, U256::from(wei));
        assert_eq!(state.header().state_root, root);
        for address in [to, from.address(), shower, triad_evm::DEVICE_REGISTRY] {
            let proof = state.proof(address, &[B256::ZERO, B256::with_last_byte(1)]).unwrap();
            verify_account_proof(root, &proof).unwrap();
        }
        assert!(state.code_at(&shower).unwrap().is_empty());
        let hash: B256 = chain.reader.eth_block(height - 1).unwrap().unwrap().hash;
        assert_eq!(state.block_hash(height - 1).unwrap(), hash);
        assert_eq!(state.block_hash(height + 1).unwrap(), B256::ZERO);
    }
    assert!(!chain.reader.state_at(deployed).unwrap().code_at(&shower).unwrap().is_empty());
}

#[test]
fn a_state_that_is_too_old_is_refused_with_what_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), 4);
    for _ in 0..10 {
        chain.send(&wallet(3), Some(Address::repeat_byte(1)), vec![], U256::from(1));
    }
    let (newest, oldest) = (chain.reader.height(), chain.reader.oldest_state());
    assert_eq!(oldest, newest - 4);
    assert!(chain.reader.state_at(oldest).is_ok());
    let error = chain.reader.state_at(oldest - 1).unwrap_err().to_string();
    for part in [format!("block {}", oldest - 1), format!("block {oldest}"), "--archive".into()] {
        assert!(error.contains(&part), "{error}");
    }
    assert!(matches!(chain.reader.state_at(newest + 1), Err(PastError::Future { .. })));
    // A block is executed again on its parent's state.
    assert_eq!(traces(&chain.reader, oldest + 1).len(), 1);
    let options = Default::default();
    let trace = |height| chain.reader.trace(height, None, &options, None).map(drop);
    assert!(matches!(trace(oldest), Err(TraceFailure::State(PastError::NotKept(_)))));
    assert!(matches!(trace(0), Err(TraceFailure::Genesis)));
    assert!(matches!(trace(newest + 1), Err(TraceFailure::State(PastError::Future { .. }))));
    // A larger window begins to fill; a smaller one takes effect at once.
    drop(chain);
    let chain = start(dir.path(), ARCHIVE);
    assert_eq!(chain.reader.oldest_state(), oldest);
    for _ in 0..10 {
        chain.send(&wallet(3), Some(Address::repeat_byte(1)), vec![], U256::from(1));
    }
    assert_eq!(chain.reader.oldest_state(), oldest);
    drop(chain);
    let chain = start(dir.path(), 2);
    assert_eq!(chain.reader.oldest_state(), chain.reader.height() - 2);
}

#[test]
fn firings_are_traced_among_the_calls_of_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), 128);
    let alarm: Value = serde_json::from_str(include_str!("../../../contracts/artifacts/Alarm.json")).unwrap();
    let code = hex::decode(alarm["bytecode"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let sent = chain.send(&wallet(2), None, code, U256::ZERO);
    let alarm = sent.block.receipts[sent.index].contract_address.unwrap();
    let condition = |name: &str, op: u8| IAutomations::Condition {
        device: key().public().id().0.into(),
        name: name.into(),
        source: 0,
        op,
        threshold: I256::ZERO,
        kinds: U256::ZERO,
        minScore: 0,
    };
    // Any reading of each stream fires, at targets that take it, refuse it, and are no contract.
    let targets = [alarm, triad_evm::DEVICE_REGISTRY, Address::repeat_byte(9)];
    let deposit = U256::from(100_000_000_000_000_000u64);
    for (i, target) in targets.into_iter().enumerate() {
        let (to, input) = contracts::automation(condition(NAMES[i % 2], 0), target, 150_000, 0);
        chain.send(&wallet(2), Some(to), input, deposit);
    }
    for n in 0..5 {
        say(&chain, n, i64::from(n) * 100, [1.0, f64::from(n)]);
        chain.send(&wallet(3), Some(Address::repeat_byte(5)), vec![], U256::from(n));
    }
    let mut fired = 0;
    for height in 1..=chain.reader.height() {
        let block = chain.reader.eth_block(height).unwrap().unwrap();
        let frames = traces(&chain.reader, height);
        for ((tx, receipt), frame) in block.transactions.iter().zip(&block.receipts).zip(frames) {
            let TriadTx::Firing(firing) = tx else { continue };
            fired += 1;
            assert_eq!(frame["from"], json!(FIRING_CALLER));
            assert_eq!(frame["to"], json!(firing.to));
            assert_eq!(frame["input"], json!(firing.input));
            assert_eq!(frame["gasUsed"], json!(alloy_primitives::U64::from(receipt.gas_used)));
            assert_eq!(frame["error"].is_null(), receipt.success);
        }
    }
    assert!(fired >= 10, "{fired}");
}
