//! Models that validators do not run: their runners' verdicts are taken or refused by rules that every validator applies alike,
//! shown with whose word they are, acted on only by who asked for such, and the same after a restart and in an audit.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{Address, B256, I256, U256};
use alloy_sol_types::{SolCall, SolValue, sol};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{ATTESTED_MODELS_RULE, Accepted, ChainSpec, Genesis, Refusal, Rule, contracts};
use triad_evm::{CallRequest, LATEST_PREDICTION, LATEST_VERDICT};
use triad_log::{Assurance, Receipt, VerdictKind};
use triad_models::{Meaning, OnnxSpec, RangeSpec, Spec};
use triad_statement::{
    Algorithm, Attestation, AttestedVerdict, DeviceId, Sequence, SigningKey, StatementBuilder, StreamId,
    stream_id,
};

const T0: i64 = 1_700_000_100_000_000;
const MODEL: u64 = 1000;
const FILE: &[u8] = b"some model's file";
/// The bit that admits verdicts of class `attested`.
const ATTESTED_TOO: u32 = 1 << 31;

sol! {
    interface Maintenance {
        function watch(bytes20 device, string name, uint64 model, uint32 kinds, uint32 minScore) external payable;
        function orders() external view returns (uint64);
    }
}

/// exists, leaf, record, class, kind, score, time in ms, fits, value, height
type Answer = (bool, u64, u16, U256, U256, u32, u64, bool, I256, u64);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[seed; 32]).unwrap()
}

fn device() -> DeviceId {
    key(1).public().id()
}

fn runner() -> DeviceId {
    key(2).public().id()
}

fn stream(name: &str) -> StreamId {
    stream_id(device(), name)
}

fn with_rule() -> Genesis {
    let mut genesis = genesis(Vec::new());
    genesis.rules.push(Rule { name: ATTESTED_MODELS_RULE.into(), height: 0 });
    genesis
}

fn start(dir: &std::path::Path, genesis: Genesis) -> TestChain {
    let chain = TestChain::with_genesis(dir, genesis);
    let owner = wallet(1);
    let chain_id = chain.reader.spec().genesis.chain_id;
    let items =
        [1, 2, 3].map(|seed| contracts::registration(chain_id, owner.address(), &key(seed), B256::ZERO));
    let (to, input) = contracts::register(items.to_vec());
    chain.send(&owner, Some(to), input, U256::ZERO);
    chain
}

fn bind(chain: &TestChain, name: &str, spec: &Spec) {
    let (to, input) = contracts::bind_model(device(), name, spec);
    chain.send(&wallet(1), Some(to), input, U256::ZERO);
}

fn risk() -> Spec {
    Spec::Onnx(OnnxSpec::of(FILE, runner().0, Meaning::FailureRisk { limit: 0.5 }))
}

/// A reading, `second` seconds after the first.
fn say(chain: &TestChain, second: u32, name: &str, value: f64) -> Accepted {
    let (key, time) = (key(1), T0 + i64::from(second) * 1_000_000);
    let pack = StatementBuilder::new(&key, Sequence::new(0, second)).number(name, None, value, Some(time));
    chain.statement(pack.sign()).unwrap()
}

fn verdict(leaf: u64, risk: f64) -> AttestedVerdict {
    AttestedVerdict {
        stream: stream("vibration"),
        model: MODEL,
        leaf,
        record: 0,
        kind: VerdictKind::FailureRisk.as_u8(),
        score_ppm: (risk * 1e6) as u32,
        value: Some(risk),
        reason: "as trained".into(),
    }
}

fn attest_as(
    chain: &TestChain,
    seed: u8,
    number: u32,
    file: &[u8],
    verdicts: &[AttestedVerdict],
) -> Result<Accepted, Refusal> {
    let file = OnnxSpec::of(file, [0; 20], Meaning::Forecast).file;
    let attestation = Attestation { file, verdicts: verdicts.to_vec() };
    let key = key(seed);
    chain.statement(StatementBuilder::new(&key, Sequence::new(0, number)).verdicts(&attestation).sign())
}

fn attest(chain: &TestChain, number: u32, verdicts: &[AttestedVerdict]) -> Result<Accepted, Refusal> {
    attest_as(chain, 2, number, FILE, verdicts)
}

fn code(answer: Result<Accepted, Refusal>) -> &'static str {
    answer.unwrap_err().code
}

/// What the precompile answers after a block.
fn ask(chain: &TestChain, height: u64, model: u64) -> Option<Answer> {
    let input = (B256::from(stream("vibration").0), model).abi_encode();
    let output = call(chain, height, LATEST_PREDICTION, input);
    (!output.is_empty()).then(|| Answer::abi_decode(&output).unwrap())
}

fn call(chain: &TestChain, height: u64, to: Address, input: Vec<u8>) -> Vec<u8> {
    let state = chain.reader.state_at(height).unwrap();
    let request = CallRequest { to: Some(to), input: input.into(), ..CallRequest::default() };
    let trial = triad_evm::Trial::new(&state, state.app(), state.context());
    triad_evm::call(&trial, &request).unwrap().output.to_vec()
}

fn watcher(chain: &TestChain, kinds: u32) -> Address {
    let artifact: serde_json::Value =
        serde_json::from_str(include_str!("../../../contracts/artifacts/Maintenance.json")).unwrap();
    let code = hex::decode(artifact["bytecode"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let plan = chain.deploy(&wallet(2), code);
    let call = Maintenance::watchCall {
        device: device().0.into(),
        name: "vibration".into(),
        model: MODEL,
        kinds,
        minScore: 500_000,
    };
    chain.send(&wallet(2), Some(plan), call.abi_encode(), U256::from(100_000_000_000_000_000_u64));
    plan
}

fn orders(chain: &TestChain, plan: Address) -> u64 {
    let input = Maintenance::ordersCall {}.abi_encode().into();
    let request = CallRequest { to: Some(plan), input, ..CallRequest::default() };
    Maintenance::ordersCall::abi_decode_returns(&chain.reader.call(&request).unwrap().output).unwrap()
}

#[test]
fn a_runners_verdict_is_final_with_its_block_and_its_receipt_names_runner_file_and_reading() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), with_rule());
    bind(&chain, "vibration", &risk());
    bind(&chain, "vibration", &Spec::Range(RangeSpec { high: Some(9.0), ..RangeSpec::default() }));
    let kinds = 1 << VerdictKind::FailureRisk as u32;
    let (asked, unasked) = (watcher(&chain, kinds | ATTESTED_TOO), watcher(&chain, kinds));

    let first = say(&chain, 1, "vibration", 4.0);
    let second = say(&chain, 2, "vibration", 5.0);
    let told = attest(&chain, 1, &[verdict(first.leaf, 0.25), verdict(second.leaf, 0.925)]).unwrap();
    let all = chain.reader.block_verdicts(told.height).unwrap();
    assert_eq!(all.len(), 2);
    for (place, (verdict, judged)) in all.iter().zip([first.leaf, second.leaf]).enumerate() {
        assert_eq!((verdict.class, verdict.leaf.0), (Assurance::Attested, told.leaf));
        let by = chain.reader.attested(verdict).unwrap().unwrap();
        assert_eq!((by.runner, by.leaf, by.record), (runner(), judged, 0));
        assert_eq!(usize::from(verdict.record), place);
    }
    assert_eq!((all[1].value_e9, all[1].score.ppm()), (925_000_000, 925_000));
    assert_eq!(all[1].time_ms, T0 / 1000 + 2_000, "of the reading");

    // Only who asked for the word of others is called.
    assert_eq!((orders(&chain, asked), orders(&chain, unasked)), (1, 0));
    // Contracts read it with its class, and it is no stream's latest verdict.
    let answer = ask(&chain, told.height, MODEL).unwrap();
    assert_eq!((answer.0, answer.1, answer.3), (true, told.leaf, U256::from(1)));
    assert_eq!((answer.4, answer.8), (U256::from(16), I256::try_from(925_000_000).unwrap()));
    assert!(!ask(&chain, told.height - 1, MODEL).unwrap().0);
    let latest =
        |height| call(&chain, height, LATEST_VERDICT, B256::from(stream("vibration").0).abi_encode());
    assert_eq!(latest(told.height), latest(second.height));
    let latest = chain.reader.stream(&stream("vibration")).unwrap().unwrap().1.verdict.unwrap();
    assert_eq!(latest.model, MODEL + 1);

    // The receipt of the runner's statement proves it offline.
    let receipt = chain.reader.receipt(told.leaf).unwrap().encode();
    let report = Receipt::verify_bytes(&receipt, &chain.reader.spec().anchor).unwrap();
    assert_eq!((report.statement.signer, report.statement.content), (runner(), "verdicts"));
    let attested = report.verdicts[1].attested.clone().unwrap();
    let file = OnnxSpec::of(FILE, [0; 20], Meaning::Forecast).file;
    assert_eq!(attested.model_file, format!("0x{}", hex::encode(file)));
    assert_eq!((attested.leaf.0, report.verdicts[1].class.name()), (second.leaf, "attested"));
    let text = report.to_string();
    assert!(text.contains("(attested)") && text.contains(&attested.model_file), "{text}");
    // That of the reading is as it was.
    let receipt = chain.reader.receipt(second.leaf).unwrap().encode();
    let report = Receipt::verify_bytes(&receipt, &chain.reader.spec().anchor).unwrap();
    assert!(report.verdicts.iter().all(|verdict| verdict.class == Assurance::Consensus));

    // After a restart everything is as it was: what was judged, what awaits a verdict, what contracts read.
    let third = say(&chain, 3, "vibration", 6.0);
    let (head, before) = (chain.reader.height(), ask(&chain, chain.reader.height(), MODEL));
    drop(chain);
    let chain = TestChain::with_genesis(dir.path(), with_rule());
    assert_eq!(ask(&chain, head, MODEL), before);
    assert_eq!(code(attest(&chain, 2, &[verdict(second.leaf, 0.9)])), "already-judged");
    let told = attest(&chain, 2, &[verdict(third.leaf, 0.75)]).unwrap();
    assert_eq!(ask(&chain, told.height, MODEL).unwrap().1, told.leaf);
    let spec: ChainSpec = chain.reader.spec().clone();
    drop(chain);
    let scratch = tempfile::tempdir().unwrap();
    triad_chain::audit::run(dir.path(), &dir.path().join("snapshots"), spec, scratch.path(), |_| {}).unwrap();
}

#[test]
fn what_a_runner_may_not_say_is_refused_with_the_reason_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), with_rule());
    let early = say(&chain, 1, "vibration", 4.0);
    bind(&chain, "vibration", &risk());
    bind(&chain, "vibration", &Spec::Range(RangeSpec { high: Some(9.0), ..RangeSpec::default() }));
    let seen = say(&chain, 2, "vibration", 5.0);
    let other = say(&chain, 3, "temperature", 5.0);
    let late = {
        let (key, time) = (key(1), T0 - 1_000_000);
        let pack =
            StatementBuilder::new(&key, Sequence::new(0, 4)).number("vibration", None, 1.0, Some(time));
        chain.statement(pack.sign()).unwrap()
    };
    let good = verdict(seen.leaf, 0.5);
    let with = |change: &dyn Fn(&mut AttestedVerdict)| {
        let mut verdict = good.clone();
        change(&mut verdict);
        code(attest(&chain, 1, &[verdict]))
    };
    assert_eq!(code(attest_as(&chain, 3, 1, FILE, std::slice::from_ref(&good))), "not-the-runner");
    assert_eq!(code(attest_as(&chain, 2, 1, b"another", std::slice::from_ref(&good))), "wrong-file");
    assert_eq!(with(&|v| v.model = 7), "no-such-model");
    assert_eq!(with(&|v| v.stream = stream("temperature")), "no-such-model");
    assert_eq!(with(&|v| v.model = MODEL + 1), "not-the-runner");
    assert_eq!(with(&|v| v.kind = VerdictKind::RemainingLife.as_u8()), "wrong-kind");
    assert_eq!(with(&|v| v.kind = 200), "wrong-kind");
    assert_eq!(with(&|v| v.value = None), "wrong-kind");
    assert_eq!(with(&|v| v.record = 1), "nothing-to-judge");
    for leaf in [early.leaf, other.leaf, late.leaf, seen.leaf + 1_000_000] {
        assert_eq!(with(&|v| v.leaf = leaf), "nothing-to-judge", "{leaf}");
    }
    // One bad verdict refuses the statement, which names it.
    let why = attest(&chain, 1, &[good.clone(), good.clone()]).unwrap_err();
    assert_eq!(why.code, "already-judged");
    assert!(why.message.starts_with("verdict 1: "), "{}", why.message);
    let behalf = {
        let file = OnnxSpec::of(FILE, [0; 20], Meaning::Forecast).file;
        let attestation = Attestation { file, verdicts: vec![good.clone()] };
        let key = key(2);
        StatementBuilder::new(&key, Sequence::new(0, 1)).verdicts(&attestation).on_behalf_of(device()).sign()
    };
    assert!(["origin-not-allowed", "bad-subject"].contains(&code(chain.statement(behalf))));
    // The number is unused still.
    attest(&chain, 1, std::slice::from_ref(&good)).unwrap();

    // Unbound, nobody speaks for it any more; bound again, it begins anew.
    let (to, input) = contracts::unbind_model(MODEL);
    chain.send(&wallet(1), Some(to), input, U256::ZERO);
    assert_eq!(code(attest(&chain, 2, std::slice::from_ref(&good))), "no-such-model");
    bind(&chain, "vibration", &risk());
    let again = AttestedVerdict { model: MODEL + 2, ..good.clone() };
    assert_eq!(code(attest(&chain, 2, &[again])), "nothing-to-judge");
    let seen = say(&chain, 5, "vibration", 5.0);
    let again = AttestedVerdict { model: MODEL + 2, ..verdict(seen.leaf, 0.5) };
    attest(&chain, 2, &[again]).unwrap();
}

#[test]
fn a_runner_that_fell_behind_judges_the_newest_statements() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), with_rule());
    bind(&chain, "vibration", &risk());
    let leaves: Vec<u64> = (1..=300).map(|second| say(&chain, second, "vibration", 4.0).leaf).collect();
    assert_eq!(code(attest(&chain, 1, &[verdict(leaves[43], 0.5)])), "nothing-to-judge");
    let all: Vec<AttestedVerdict> = leaves[44..].iter().map(|leaf| verdict(*leaf, 0.5)).collect();
    assert_eq!(all.len(), 256);
    let told = attest(&chain, 1, &all).unwrap();
    assert_eq!(chain.reader.block_verdicts(told.height).unwrap().len(), 256);
}

#[test]
fn a_chain_without_the_rule_takes_neither_the_model_nor_its_verdicts() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), genesis(Vec::new()));
    bind(&chain, "vibration", &risk());
    let seen = say(&chain, 1, "vibration", 4.0);
    assert!(chain.reader.models(&stream("vibration")).unwrap().is_empty());
    assert_eq!(code(attest(&chain, 1, &[verdict(seen.leaf, 0.5)])), "unknown-content-type");
    assert!(ask(&chain, seen.height, MODEL).is_none());
    let mut default = with_rule();
    let params = risk().params().into();
    default.default_models = vec![triad_chain::DefaultModel { kind: "onnx".into(), params }];
    assert!(ChainSpec::new(default).unwrap_err().to_string().contains("run by somebody"));
}
