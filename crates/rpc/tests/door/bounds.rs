//! Bad input: a standard error, and the door stays open.

use serde_json::{Value, json};
use triad_chain::testing::genesis;
use triad_rpc::RpcConfig;

use crate::common::*;

async fn code(door: &Door, body: impl Into<reqwest::Body>) -> i64 {
    let (_, text) = door.post(body).await;
    let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    // A list is a batch, and its answer one too.
    let answer = answer.get(0).unwrap_or(&answer);
    answer["error"]["code"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_gets_a_standard_error() {
    let w = World::start().await;
    assert_eq!(code(&w.door, "{").await, -32700);
    assert_eq!(code(&w.door, r#"{"jsonrpc":"2.0","id":1}"#).await, -32600);
    assert_eq!(
        code(&w.door, json!({"jsonrpc": "2.0", "id": 1, "method": "eth_nothing"}).to_string()).await,
        -32601
    );
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let nested = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_getLogs","params":[{deep}]}}"#);
    for body in [deep, nested] {
        let code = code(&w.door, body).await;
        assert!(matches!(code, -32700 | -32600 | -32602), "{code}");
    }
    for (method, params) in [
        ("eth_getBalance", json!(["0x12", "latest"])),
        ("eth_getBalance", json!([1, "latest"])),
        ("eth_getBlockByNumber", json!(["newest", false])),
        ("eth_getBlockByNumber", json!(["0xzz", false])),
        ("eth_getBlockByNumber", json!(["0x1", "yes"])),
        ("eth_getTransactionByHash", json!(["0x00"])),
        ("eth_getTransactionByHash", json!({"hash": "0x00"})),
        ("eth_getLogs", json!([{"address": "everywhere"}])),
        ("eth_getLogs", json!([{"topics": [[], [], [], [], []]}])),
        ("eth_feeHistory", json!([-1, "latest", []])),
        ("eth_sendRawTransaction", json!(["no hex"])),
        ("eth_getFilterChanges", json!(["0x"])),
    ] {
        assert_eq!(w.door.error(method, params.clone()).await.0, -32602, "{method} {params}");
    }
    let (code, why, _) = w.door.error("eth_sendRawTransaction", json!(["0x02ff"])).await;
    assert_eq!(code, -32000, "{why}");
    assert_eq!(w.door.call("eth_chainId", json!([])).await, hex(7423));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_answered_up_to_their_bound() {
    let w = World::with(RpcConfig { max_batch: 10, ..config() }, genesis(Vec::new())).await;
    let calls = |n: u64| {
        let call = |id| json!({"jsonrpc": "2.0", "id": id, "method": "eth_blockNumber", "params": []});
        Value::from((0..n).map(call).collect::<Vec<_>>()).to_string()
    };
    let (_, text) = w.door.post(calls(10)).await;
    let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(answers.len() == 10 && answers.iter().all(|a| a["result"] == "0x0"));
    assert_eq!(code(&w.door, calls(11)).await, -32010);
    // One bad call of a batch harms no other.
    let mixed = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "eth_nothing"},
        {"jsonrpc": "2.0", "id": 2, "method": "eth_blockNumber"},
        7,
    ]);
    let answers: Vec<Value> = serde_json::from_str(&w.door.post(mixed.to_string()).await.1).unwrap();
    assert_eq!(answers[0]["error"]["code"], -32601);
    assert_eq!(answers[1]["result"], "0x0");
    assert_eq!(answers[2]["error"]["code"], -32600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_past_the_limit_is_refused() {
    let w = World::with(RpcConfig { max_request: 10_000, ..config() }, genesis(Vec::new())).await;
    let (status, _) = w.door.post("x".repeat(20_000)).await;
    assert_eq!(status, 413);
    assert_eq!(w.door.call("eth_blockNumber", json!([])).await, "0x0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_may_call() {
    let w = World::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let preflight = client
        .request(reqwest::Method::OPTIONS, &w.door.url)
        .header("origin", "https://wallet.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap();
    assert!(preflight.status().is_success());
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    assert!(preflight.headers().contains_key("access-control-allow-headers"));
}
