//! State, calls, simulations and traces through the door.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_rpc::{Rpc, RpcConfig, ServerHandle};

struct Door {
    url: String,
    client: reqwest::Client,
    _server: ServerHandle,
}

impl Door {
    async fn open(chain: &TestChain) -> Door {
        let config = RpcConfig { addr: "127.0.0.1:0".parse().unwrap(), ..RpcConfig::default() };
        let door = Rpc::new(config, chain.reader.clone(), chain.submitter.clone(), Vec::new()).unwrap();
        let (address, server) = door.listen().await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Door { url: format!("http://{address}"), client, _server: server }
    }

    async fn answer(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.client.post(&self.url).json(&body).send().await.unwrap();
        response.json().await.unwrap()
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    async fn error(&self, method: &str, params: Value) -> (i64, String, Value) {
        let answer = self.answer(method, params).await;
        let error = &answer["error"];
        let code = error["code"].as_i64().unwrap_or_else(|| panic!("{method}: {answer}"));
        (code, error["message"].as_str().unwrap().to_owned(), error["data"].clone())
    }
}

/// Returns what it is sent; reverts with it when it begins with a zero byte; stores the caller in slot 0 before.
const ECHO: &str = "3360005536600060003760005160f81c601757366000fd5b366000f3";
const LOOPER: &str = "5b600056";

fn creation(runtime: &str) -> Vec<u8> {
    let runtime = hex(runtime);
    let mut init = vec![0x60, runtime.len() as u8, 0x80, 0x60, 0x0b, 0x60, 0, 0x39, 0x60, 0, 0xf3];
    init.extend(runtime);
    init
}

fn hex(text: &str) -> Vec<u8> {
    alloy_primitives::hex::decode(text).unwrap()
}

fn deploy(chain: &TestChain, runtime: &str) -> Address {
    let sent = chain.send(&wallet(2), None, creation(runtime), U256::ZERO);
    sent.block.receipts[sent.index].contract_address.unwrap()
}

fn hex_number(n: u64) -> String {
    format!("{n:#x}")
}

#[tokio::test(flavor = "multi_thread")]
async fn past_states_are_told_until_they_are_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::keeping(dir.path(), genesis(Vec::new()), 6);
    let door = Door::open(&chain).await;
    let to = Address::repeat_byte(0x77);
    let mut heights = Vec::new();
    for _ in 0..10 {
        heights.push(chain.send(&wallet(3), Some(to), vec![], U256::from(5)).block.header.number);
    }
    let newest = chain.reader.height();
    let oldest = newest - 6;
    for (i, height) in heights.iter().enumerate().filter(|(_, height)| **height >= oldest) {
        let block = door.call("eth_getBlockByNumber", json!([hex_number(*height), false])).await;
        for at in [json!(hex_number(*height)), json!({"blockHash": block["hash"]})] {
            let balance = door.call("eth_getBalance", json!([to, at])).await;
            assert_eq!(balance, hex_number(5 * (i as u64 + 1)));
            let nonce = door.call("eth_getTransactionCount", json!([wallet(3).address(), at])).await;
            assert_eq!(nonce, hex_number(i as u64 + 1));
        }
        let proof = door.call("eth_getProof", json!([to, ["0x0"], hex_number(*height)])).await;
        assert_eq!(proof["balance"], hex_number(5 * (i as u64 + 1)));
    }
    let (code, message, _) = door.error("eth_getBalance", json!([to, hex_number(oldest - 1)])).await;
    assert_eq!(code, 4444);
    assert!(message.contains(&format!("block {oldest}")) && message.contains("--archive"), "{message}");
    assert_eq!(door.error("eth_getBalance", json!([to, hex_number(newest + 1)])).await.0, -32000);
    let slots = vec!["0x1"; 1_025];
    assert_eq!(door.error("eth_getProof", json!([to, slots, "latest"])).await.0, -32602);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_overrides_and_their_ends() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let door = Door::open(&chain).await;
    let before = chain.reader.height();
    let (echo, looper) = (deploy(&chain, ECHO), deploy(&chain, LOOPER));
    let call = json!({"to": echo, "input": "0x0102"});
    assert_eq!(door.call("eth_call", json!([call, "latest"])).await, "0x0102");
    assert_eq!(door.call("eth_call", json!([call, hex_number(before)])).await, "0x", "it was not there yet");
    let reverts = json!({"to": echo, "input": "0x00aa"});
    let (code, message, data) = door.error("eth_call", json!([reverts])).await;
    assert_eq!((code, data), (3, json!("0x00aa")));
    assert!(message.starts_with("execution reverted"));
    assert_eq!(door.error("eth_estimateGas", json!([reverts])).await.0, 3);
    let (code, message, _) = door.error("eth_call", json!([{"to": looper}])).await;
    assert_eq!(code, -32000);
    assert!(message.contains("OutOfGas"), "{message}");
    let over = json!({looper.to_string(): {"code": format!("0x{ECHO}")}});
    let other = json!({"to": looper, "input": "0x0708"});
    assert_eq!(door.call("eth_call", json!([other, "latest", over])).await, "0x0708");
    // BLOCK number as the block override has it.
    let shows = json!({looper.to_string(): {"code": "0x4360005260206000f3"}});
    let block = json!({"number": "0x1234"});
    let number = door.call("eth_call", json!([other, "latest", shows, block])).await;
    assert_eq!(number, json!(B256::from(U256::from(0x1234))));
    let list = door.call("eth_createAccessList", json!([call])).await;
    assert_eq!(list["accessList"][0]["storageKeys"], json!([B256::ZERO]));
    let estimate = door.call("eth_estimateGas", json!([call])).await;
    let estimate: U256 = serde_json::from_value(estimate).unwrap();
    assert!(estimate > U256::from(21_000) && estimate < U256::from(60_000), "{estimate}");
    assert_eq!(
        door.error("eth_call", json!([{"to": echo, "data": "0x01", "input": "0x02"}])).await.0,
        -32602
    );
    assert_eq!(
        door.error("eth_call", json!([call, "latest", {echo.to_string(): {"colour": 1}}])).await.0,
        -32602
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_blocks_and_traces() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let door = Door::open(&chain).await;
    let echo = deploy(&chain, ECHO);
    let sent = chain.send(&wallet(3), Some(echo), vec![1, 2, 3], U256::ZERO);
    let (height, hash) = (sent.block.header.number, sent.block.transactions[sent.index].hash());

    let payload = json!({"blockStateCalls": [
        {"calls": [{"to": echo, "input": "0x05"}, {"to": echo, "input": "0x00bb"}]},
        {"blockOverrides": {"number": hex_number(height + 3)}, "calls": [{"to": echo}]},
    ], "returnFullTransactions": true});
    let blocks = door.call("eth_simulateV1", json!([payload, hex_number(height)])).await;
    let blocks = blocks.as_array().unwrap();
    assert_eq!(blocks.len(), 3);
    assert_eq!(blocks[0]["number"], hex_number(height + 1));
    assert_eq!(blocks[1]["parentHash"], blocks[0]["hash"]);
    let calls = &blocks[0]["calls"];
    assert_eq!((&calls[0]["status"], &calls[0]["returnData"]), (&json!("0x1"), &json!("0x05")));
    assert_eq!((&calls[1]["status"], &calls[1]["returnData"]), (&json!("0x0"), &json!("0x")));
    assert_eq!((&calls[1]["error"]["code"], &calls[1]["error"]["data"]), (&json!(3), &json!("0x00bb")));
    assert_eq!(blocks[0]["transactions"][0]["to"], json!(echo));
    let backwards = json!({"blockStateCalls": [{"blockOverrides": {"number": "0x1"}}]});
    assert_eq!(door.error("eth_simulateV1", json!([backwards, "latest"])).await.0, -38020);

    let tracer = json!({"tracer": "callTracer"});
    let frame = door.call("debug_traceTransaction", json!([hash, tracer])).await;
    assert_eq!((&frame["output"], &frame["to"]), (&json!("0x010203"), &json!(echo)));
    assert_eq!(frame["gasUsed"], hex_number(sent.block.receipts[sent.index].gas_used));
    let by_number = door.call("debug_traceBlockByNumber", json!([hex_number(height), tracer])).await;
    assert_eq!(by_number[sent.index], json!({"txHash": hash, "result": frame}));
    let by_hash = door.call("debug_traceBlockByHash", json!([sent.block.hash, tracer])).await;
    assert_eq!(by_hash, by_number);
    let steps = door.call("debug_traceTransaction", json!([hash])).await;
    assert_eq!(steps["structLogs"][0]["op"], "CALLER");
    let call = json!({"to": echo, "input": "0x00cc"});
    let traced = door.call("debug_traceCall", json!([call, "latest", tracer])).await;
    assert_eq!(traced["error"], "execution reverted");
    assert_eq!(door.error("debug_traceBlockByNumber", json!(["0x0"])).await.0, -32000);
    assert_eq!(door.error("debug_traceTransaction", json!([B256::ZERO])).await.0, -32000);
    let (code, message, _) =
        door.error("debug_traceTransaction", json!([hash, {"tracer": "muxTracer"}])).await;
    assert_eq!(code, -32602);
    assert!(message.contains("callTracer"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_takes_no_longer_than_it_asks_for() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::with_genesis(dir.path(), genesis(Vec::new()));
    let door = Door::open(&chain).await;
    let looper = deploy(&chain, LOOPER);
    let call = json!({"to": looper, "gas": hex_number(50_000_000)});
    let started = std::time::Instant::now();
    let (code, why, _) = door
        .error("debug_traceCall", json!([call, "latest", {"tracer": "callTracer", "timeout": "5ms"}]))
        .await;
    assert_eq!((code, why.as_str()), (-32016, "execution timed out: it was given 0.005 s"));
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    for timeout in ["soon", "-1s", "5"] {
        let params = json!([call, "latest", {"tracer": "callTracer", "timeout": timeout}]);
        assert_eq!(door.error("debug_traceCall", params).await.0, -32602, "{timeout}");
    }
    let block = json!([hex_number(chain.reader.height()), {"tracer": "callTracer", "timeout": "1h"}]);
    assert_eq!(door.call("debug_traceBlockByNumber", block).await.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_ends_when_the_node_stops() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::with_genesis(dir.path(), genesis(Vec::new()));
    let config = RpcConfig { addr: "127.0.0.1:0".parse().unwrap(), ..RpcConfig::default() };
    let rpc = Rpc::new(config, chain.reader.clone(), chain.submitter.clone(), Vec::new()).unwrap();
    let (address, server) = rpc.listen().await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let door = Door { url: format!("http://{address}"), client, _server: server };
    let looper = deploy(&chain, LOOPER);
    // Thousands of calls of a loop: more than any machine does in the time that a simulation is given.
    let calls: Vec<Value> = (0..500).map(|_| json!({"to": looper, "gas": hex_number(16_000_000)})).collect();
    let block = json!({"blockStateCalls": [{"calls": calls}]});
    let started = std::time::Instant::now();
    let ((_, why, _), ()) = tokio::join!(door.error("eth_simulateV1", json!([block, "latest"])), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        rpc.end_calls();
    });
    println!("{why} after {:?}", started.elapsed());
    assert!(started.elapsed() < std::time::Duration::from_secs(4), "{:?}", started.elapsed());
    let call = json!([{"to": looper}, "latest"]);
    assert_eq!(door.error("eth_call", call).await.1, "the node is going down");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_estimate_counts_authorisations() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::with_genesis(dir.path(), genesis(Vec::new()));
    let door = Door::open(&chain).await;
    let echo = deploy(&chain, ECHO);
    let authority = wallet(4);
    let authorization =
        alloy_eips::eip7702::Authorization { chain_id: U256::from(7423), address: echo, nonce: 0 };
    let signature = authority.sign_hash(&authorization.signature_hash());
    let signed = authorization.into_signed(signature);
    let plain = json!({"from": wallet(3).address(), "to": authority.address(), "data": "0x01"});
    let mut delegating = plain.clone();
    delegating["authorizationList"] = json!([signed]);
    let estimate = async |call: &Value| {
        let text = door.call("eth_estimateGas", json!([call])).await;
        u64::from_str_radix(&text.as_str().unwrap()[2..], 16).unwrap()
    };
    let (without, with) = (estimate(&plain).await, estimate(&delegating).await);
    // 25,000 an authorisation, and the delegate's code, which stores a slot, runs.
    assert!(without < 22_000 && with > without + 25_000 + 20_000, "{without} {with}");
    // And the transaction goes through with exactly that.
    let tx = alloy_consensus::TxEip7702 {
        chain_id: 7423,
        nonce: 0,
        gas_limit: with,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 0,
        to: authority.address(),
        value: U256::ZERO,
        access_list: Default::default(),
        authorization_list: vec![signed_of(&delegating)],
        input: vec![1].into(),
    };
    let hash = alloy_consensus::SignableTransaction::signature_hash(&tx);
    let signed = alloy_consensus::SignableTransaction::into_signed(tx, wallet(3).sign_hash(&hash));
    let raw = alloy_eips::eip2718::Encodable2718::encoded_2718(&alloy_consensus::TxEnvelope::from(signed));
    let raw = alloy_primitives::hex::encode_prefixed(raw);
    let receipt = door.call("eth_sendRawTransactionSync", json!([raw])).await;
    assert_eq!(receipt["status"], "0x1");
}

fn signed_of(call: &Value) -> alloy_eips::eip7702::SignedAuthorization {
    serde_json::from_value(call["authorizationList"][0].clone()).unwrap()
}
