use super::*;
use crate::testing::*;
use crate::{EmptyApp, EvmBlock, FIRING_CALLER, Firing, GenesisAccount};
use alloy_primitives::{Address, Bytes, U256, address};
use serde_json::{Value, json};

const TOKEN: Address = address!("0x0000000000000000000000000000000000007000");
const RECORDER: Address = address!("0x0000000000000000000000000000000000007001");
/// Calls the recorder with what it is sent, and passes its answer on.
const CALLER: Address = address!("0x0000000000000000000000000000000000007002");
const LOOPER: Address = address!("0x0000000000000000000000000000000000007003");

struct Scene {
    before: MemState,
    ctx: BlockContext,
    block: EvmBlock,
}

/// A block of a system call, a firing, a system call, a transfer, a token transfer, one that reverts and a creation.
fn scene() -> Scene {
    let alice = Wallet::new(1);
    let mut token = GenesisAccount::contract(token_code());
    token.storage.insert(U256::from_be_bytes(alice.address.into_word().0), U256::from(100));
    let calls = code("36 6000 6000 37 6000 6000 36 6000 34 617001 5af1 00");
    let mut chain = TestChain::new(&[
        (alice.address, GenesisAccount::funded(U256::from(1u64 << 60))),
        (TOKEN, token),
        (RECORDER, GenesisAccount::contract(recorder_code())),
        (CALLER, GenesisAccount::contract(calls)),
        (LOOPER, GenesisAccount::contract(code("5b600056"))),
    ]);
    let (before, ctx) = (chain.state.clone(), chain.head);
    let firing = Firing {
        height: 1,
        ordinal: 0,
        registration: 9,
        gas: 200_000,
        to: CALLER,
        input: Bytes::copy_from_slice(&[7; 32]),
    };
    let ((), block) = chain.block(|executor| {
        executor.system_call(RECORDER, Bytes::copy_from_slice(&[1; 32])).unwrap();
        assert!(executor.firing(&firing).unwrap().success);
        executor.system_call(RECORDER, Bytes::copy_from_slice(&[2; 32])).unwrap();
        let run = |executor: &mut Executor<'_>, tx| executor.transaction(&tx).unwrap().success;
        assert!(run(executor, alice.call(0, Address::repeat_byte(5), 3, vec![])));
        assert!(run(executor, alice.call(1, TOKEN, 0, transfer_input(RECORDER, 5))));
        assert!(!run(executor, alice.call(2, TOKEN, 0, transfer_input(RECORDER, 500))));
        assert!(run(executor, alice.create(3, deploy_code(&recorder_code()))));
    });
    Scene { before, ctx, block }
}

impl Scene {
    fn again(&self) -> Again<'_> {
        Again { parent: &self.before, app: Arc::new(EmptyApp), ctx: self.ctx, stop: None }
    }

    fn recorded(&self) -> Recorded<'_> {
        let block = &self.block;
        Recorded {
            hash: block.hash,
            transactions: &block.transactions,
            receipts: &block.receipts,
            system_calls: &block.system_calls,
        }
    }

    fn trace(&self, only: Option<usize>, options: Value) -> Result<Vec<Value>, TraceError> {
        let options = serde_json::from_value(options).unwrap();
        let traces = trace_block(&self.again(), &self.recorded(), only, &options)?;
        Ok(traces.iter().map(|trace| serde_json::to_value(trace).unwrap()).collect())
    }

    fn one(&self, index: usize, options: Value) -> Value {
        self.trace(Some(index), options).unwrap().remove(0)
    }
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

#[test]
fn call_frames_of_every_kind_of_transaction() {
    let scene = scene();
    let traces = scene.trace(None, json!({"tracer": "callTracer"})).unwrap();
    assert_eq!(traces.len(), 5);
    for (trace, receipt) in traces.iter().zip(&scene.block.receipts) {
        assert_eq!(number(&trace["gasUsed"]), receipt.gas_used);
        assert_eq!(trace["error"].is_null(), receipt.success, "{trace}");
    }
    let firing = &traces[0];
    assert_eq!(firing["from"], json!(FIRING_CALLER));
    assert_eq!(firing["to"], json!(CALLER));
    let inner = &firing["calls"][0];
    assert_eq!((&inner["from"], &inner["to"]), (&json!(CALLER), &json!(RECORDER)));
    assert_eq!(inner["input"], json!(Bytes::copy_from_slice(&[7; 32])));
    assert_eq!(traces[1]["value"], "0x3");
    assert_eq!(traces[3]["error"], "execution reverted");
    assert_eq!(traces[4]["type"], "CREATE");
    let log = scene.one(2, json!({"tracer": "callTracer", "tracerConfig": {"withLog": true}}));
    assert_eq!(log["logs"][0]["address"], json!(TOKEN));
    let top = scene.one(0, json!({"tracer": "callTracer", "tracerConfig": {"onlyTopCall": true}}));
    assert!(top["calls"].is_null());
    // The same transaction alone and among all.
    assert_eq!(scene.one(2, json!({"tracer": "callTracer"})), traces[2]);
}

#[test]
fn states_before_and_after() {
    let scene = scene();
    let slot = format!(
        "{:#x}",
        alloy_primitives::B256::from(U256::from_be_bytes(Wallet::new(1).address.into_word().0))
    );
    let (token, alice) = (format!("{TOKEN:#x}"), format!("{:#x}", Wallet::new(1).address));
    let before = scene.one(2, json!({"tracer": "prestateTracer"}));
    assert_eq!(number(&before[&token]["storage"][&slot]), 100);
    // Nonce and balance as the transactions before have left them.
    assert_eq!(before[&alice]["nonce"], 1);
    let diff = scene.one(2, json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}));
    assert_eq!(number(&diff["pre"][&token]["storage"][&slot]), 100);
    assert_eq!(number(&diff["post"][&token]["storage"][&slot]), 95);
    assert_eq!(diff["post"][&alice]["nonce"], 2);
    // A firing changes nothing of who makes it.
    let firing = scene.one(0, json!({"tracer": "prestateTracer", "tracerConfig": {"diffMode": true}}));
    assert!(firing["post"][format!("{FIRING_CALLER:#x}")].is_null(), "{firing}");
    let recorder = format!("{RECORDER:#x}");
    let second = format!("{:#x}", alloy_primitives::B256::from(U256::from(2)));
    // The system call before it is part of its state.
    assert_eq!(firing["pre"][&recorder]["storage"][&second], format!("0x{}", "01".repeat(32)));
    assert_eq!(firing["post"][&recorder]["storage"][&second], format!("0x{}", "07".repeat(32)));
}

#[test]
fn single_steps_and_selectors() {
    let scene = scene();
    let steps = scene.one(2, json!({}));
    assert_eq!(steps["gas"], scene.block.receipts[2].gas_used);
    assert_eq!(steps["failed"], false);
    let logs = steps["structLogs"].as_array().unwrap();
    assert_eq!(logs[0]["op"], "PUSH1");
    assert!(logs.iter().any(|log| log["op"] == "SSTORE" && log["storage"].is_object()));
    assert!(logs.iter().all(|log| log["memory"].is_null()));
    let fewer = scene.one(2, json!({"disableStack": true, "enableMemory": true, "limit": 4}));
    assert_eq!(fewer["structLogs"].as_array().unwrap().len(), 4);
    assert!(fewer["structLogs"][0]["stack"].is_null());
    // Nested calls are steps one deeper.
    let nested = scene.one(0, json!({}));
    assert!(nested["structLogs"].as_array().unwrap().iter().any(|log| log["depth"] == 2));
    let four = scene.one(2, json!({"tracer": "4byteTracer"}));
    assert_eq!(four, json!({"0xa9059cbb-64": 1}));
}

#[test]
fn another_state_than_that_of_the_block_is_noticed() {
    let mut scene = scene();
    // Without the second system call the logs are the same and the gas is not.
    scene.block.system_calls.remove(0);
    let error = scene.trace(Some(0), json!({"tracer": "callTracer"})).unwrap_err();
    assert!(matches!(error, TraceError::Differs { index: 0, what: "gas" }), "{error}");
    let mut other = self::scene();
    other.before.storage.clear();
    let error = other.trace(None, json!({"tracer": "callTracer"})).unwrap_err();
    assert!(matches!(error, TraceError::Differs { index: 2, .. }), "{error}");
}

#[test]
fn what_is_not_here_is_refused_by_name() {
    let scene = scene();
    for tracer in ["muxTracer", "flatCallTracer", "{result: function() {}}"] {
        let error = scene.trace(None, json!({"tracer": tracer})).unwrap_err();
        assert!(matches!(&error, TraceError::Unsupported(why) if why.contains("callTracer")), "{error}");
    }
    let error = scene.trace(Some(5), json!({})).unwrap_err();
    assert!(matches!(error, TraceError::NoSuchTransaction(5)));
}

#[test]
fn traces_are_bounded_in_memory_and_time() {
    let scene = scene();
    let trial = Trial::new(&scene.before, Arc::new(EmptyApp), scene.ctx);
    let request = CallRequest { to: Some(LOOPER), gas: Some(20_000_000), ..CallRequest::default() };
    let run = |trial: &Trial<'_>, options: Value| {
        trace_call(trial, &request, &serde_json::from_value(options).unwrap())
    };
    assert!(matches!(run(&trial, json!({})), Err(TraceError::TooLarge)));
    let short = serde_json::to_value(run(&trial, json!({"limit": 10})).unwrap()).unwrap();
    assert_eq!(short["structLogs"].as_array().unwrap().len(), 10);
    assert_eq!(short["gas"], 20_000_000);
    let frames = serde_json::to_value(run(&trial, json!({"tracer": "callTracer"})).unwrap()).unwrap();
    assert_eq!(frames["error"], "out of gas");
    // The clock is the caller's: here one that is over after some looks.
    let looks = std::sync::atomic::AtomicU32::new(0);
    let over = || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 50;
    let hurried = Trial { stop: Some(&over), ..trial };
    let error = run(&hurried, json!({"tracer": "callTracer"})).unwrap_err();
    assert!(matches!(error, TraceError::Call(CallError::State(StateError::Stopped))), "{error}");
}
