//! What tests of predicting models share: one device, its owner, a contract that acts, and the precompile.
#![allow(dead_code, reason = "each test binary uses its part")]

use alloy_primitives::{Address, B256, I256, U256};
use alloy_sol_types::{SolCall, SolValue, sol};
use triad_chain::audit::Audit;
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{ChainSpec, Genesis, Rule, contracts};
use triad_evm::{CallRequest, LATEST_PREDICTION};
use triad_log::Verdict;
use triad_models::Spec;
use triad_statement::{Algorithm, DeviceId, Sequence, SigningKey, StatementBuilder, StreamId, stream_id};

pub const T0: i64 = 1_700_000_100_000_000;
pub const FIRST_MODEL: u64 = 1000;

sol! {
    interface Maintenance {
        function watch(bytes20 device, string name, uint64 model, uint32 kinds, uint32 minScore) external payable;
        function orders() external view returns (uint64);
        function predicted() external view returns (int256);
    }
}

/// exists, leaf, record, class, kind, score, time in ms, fits, value, height
pub type Answer = (bool, u64, u16, U256, U256, u32, u64, bool, I256, u64);

pub fn key() -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[1; 32]).unwrap()
}

pub fn device() -> DeviceId {
    key().public().id()
}

pub fn stream(name: &str) -> StreamId {
    stream_id(device(), name)
}

/// A chain without default models and with these rules.
pub fn with_rules(rules: &[&str]) -> Genesis {
    let mut genesis = genesis(Vec::new());
    genesis.rules.extend(rules.iter().map(|&name| Rule { name: name.into(), height: 0 }));
    genesis
}

pub fn start(dir: &std::path::Path, genesis: Genesis) -> TestChain {
    let chain = TestChain::with_genesis(dir, genesis);
    let owner = wallet(1);
    let chain_id = chain.reader.spec().genesis.chain_id;
    let item = contracts::registration(chain_id, owner.address(), &key(), B256::ZERO);
    let (to, input) = contracts::register(vec![item]);
    chain.send(&owner, Some(to), input, U256::ZERO);
    chain
}

pub fn bind(chain: &TestChain, name: &str, spec: &Spec) {
    let (to, input) = contracts::bind_model(device(), name, spec);
    chain.send(&wallet(1), Some(to), input, U256::ZERO);
}

/// A pack of the readings, `second` seconds after the first, in this order.
pub fn say(chain: &TestChain, second: u32, readings: &[(&str, f64)]) -> triad_chain::Accepted {
    let (key, time) = (key(), T0 + i64::from(second) * 1_000_000);
    let pack =
        readings.iter().fold(StatementBuilder::new(&key, Sequence::new(0, second)), |pack, (name, value)| {
            pack.number(name, None, *value, Some(time))
        });
    chain.statement(pack.sign()).unwrap()
}

pub fn verdicts(chain: &TestChain, height: u64, model: u64) -> Vec<Verdict> {
    let all = chain.reader.block_verdicts(height).unwrap();
    all.into_iter().filter(|verdict| verdict.model == model).collect()
}

/// What the precompile answers after a block; `None` where there is no such precompile.
pub fn ask(chain: &TestChain, height: u64, name: &str, model: u64) -> Option<Answer> {
    let state = chain.reader.state_at(height).unwrap();
    let input = (B256::from(stream(name).0), model).abi_encode().into();
    let request = CallRequest { to: Some(LATEST_PREDICTION), input, ..CallRequest::default() };
    let trial = triad_evm::Trial::new(&state, state.app(), state.context());
    let output = triad_evm::call(&trial, &request).unwrap().output;
    (!output.is_empty()).then(|| Answer::abi_decode(&output).unwrap())
}

pub fn maintenance(chain: &TestChain, name: &str, kinds: u32, min_score: u32) -> Address {
    let artifact: serde_json::Value =
        serde_json::from_str(include_str!("../../../../contracts/artifacts/Maintenance.json")).unwrap();
    let code = hex::decode(artifact["bytecode"].as_str().unwrap().trim_start_matches("0x")).unwrap();
    let plan = chain.deploy(&wallet(2), code);
    let call = Maintenance::watchCall {
        device: device().0.into(),
        name: name.into(),
        model: FIRST_MODEL,
        kinds,
        minScore: min_score,
    };
    chain.send(&wallet(2), Some(plan), call.abi_encode(), U256::from(100_000_000_000_000_000_u64));
    plan
}

/// Orders so far, and what was predicted when the last one was placed.
pub fn orders(chain: &TestChain, plan: Address) -> (u64, I256) {
    let view = |input: Vec<u8>| {
        let request = CallRequest { to: Some(plan), input: input.into(), ..CallRequest::default() };
        chain.reader.call(&request).unwrap().output
    };
    let orders =
        Maintenance::ordersCall::abi_decode_returns(&view(Maintenance::ordersCall {}.abi_encode())).unwrap();
    let input = Maintenance::predictedCall {}.abi_encode();
    (orders, Maintenance::predictedCall::abi_decode_returns(&view(input)).unwrap())
}

/// Everything re-executed from genesis.
pub fn audited(dir: &std::path::Path, spec: ChainSpec) -> Audit {
    let scratch = tempfile::tempdir().unwrap();
    triad_chain::audit::run(dir, &dir.join("snapshots"), spec, scratch.path(), |_| {}).unwrap()
}
