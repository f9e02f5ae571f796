//! `eth_subscribe`.

use std::time::Duration;

use serde_json::json;
use triad_chain::testing::genesis;
use triad_rpc::RpcConfig;

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_log_is_heard_once_in_order_and_can_be_queried_by_then() {
    let w = World::start().await;
    let noisy = w.noisy().await;
    let mut socket = w.door.socket().await;
    socket.subscribe("eth_subscribe", json!(["logs", {"address": noisy, "topics": [TOPIC]}])).await;
    let mut sent = 0;
    for nonce in 1..=40 {
        w.door.send(&tx(0).nonce(nonce).call(noisy, times(nonce % 4))).await;
        sent += (nonce % 4) as usize;
    }
    let mut heard = Vec::new();
    while heard.len() < sent {
        let log = socket.next().await["result"].take();
        let found = w.door.call("eth_getLogs", json!([{"blockHash": log["blockHash"]}])).await;
        assert!(found.as_array().unwrap().contains(&log), "heard of before it can be queried");
        heard.push(log);
    }
    let all = w.door.call("eth_getLogs", json!([{"fromBlock": "0x0", "address": noisy}])).await;
    assert_eq!(json!(heard), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_pending_transactions_are_heard_of() {
    let s = Still::start().await;
    let mut socket = s.door.socket().await;
    let heads = socket.subscribe("eth_subscribe", json!(["newHeads"])).await;
    assert!(heads.starts_with("0x"));
    let hashes = socket.subscribe("eth_subscribe", json!(["newPendingTransactions"])).await;
    let full = socket.subscribe("eth_subscribe", json!(["newPendingTransactions", true])).await;
    // Behind a gap it is not heard of; when the gap is filled, both are.
    let second = s.door.send(&tx(0).nonce(1).value(1)).await;
    let first = s.door.send(&tx(0).nonce(0).value(1)).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        told.push(socket.next().await);
    }
    let of = |id: &str| {
        let mine = told.iter().filter(|p| p["subscription"] == id);
        mine.map(|p| p["result"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(of(&hashes), [json!(first), json!(second)]);
    let objects = of(&full);
    assert_eq!((&objects[0]["hash"], &objects[0]["blockNumber"]), (&json!(first), &json!(null)));
    assert!(s.advance().await);
    let head = socket.next().await;
    assert_eq!(head["subscription"], heads);
    let block = s.door.call("eth_getBlockByNumber", json!(["latest", false])).await;
    for field in ["hash", "number", "parentHash", "logsBloom", "timestamp", "baseFeePerGas"] {
        assert_eq!(head["result"][field], block[field], "{field}");
    }
    assert_eq!(socket.answer("eth_unsubscribe", json!([heads])).await["result"], true);
    assert_eq!(socket.answer("eth_unsubscribe", json!([heads])).await["result"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_a_connection_are_bounded() {
    let w = World::with(RpcConfig { max_subscriptions: 4, ..config() }, genesis(Vec::new())).await;
    let mut socket = w.door.socket().await;
    for _ in 0..4 {
        socket.subscribe("eth_subscribe", json!(["newHeads"])).await;
    }
    let refused = socket.answer("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(refused["error"]["code"], -32006, "{refused}");
    // Another connection has its own.
    w.door.socket().await.subscribe("eth_subscribe", json!(["newHeads"])).await;
    let wrong = socket.answer("eth_subscribe", json!(["everything"])).await;
    assert!(wrong["error"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_harms_nobody() {
    let w = World::start().await;
    let noisy = w.noisy().await;
    let mut slow = w.door.socket().await;
    let mut good = w.door.socket().await;
    for socket in [&mut slow, &mut good] {
        socket.subscribe("eth_subscribe", json!(["logs", {"address": noisy}])).await;
    }
    // About 12 MB of notifications, far more than sockets hold.
    for nonce in 1..=10 {
        w.door.receipt(&tx(0).nonce(nonce).gas(8_000_000).call(noisy, times(2500))).await;
    }
    assert_eq!(good.results(25_000).await.len(), 25_000);
    // It did not lose any: they wait in the store.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = slow.results(25_000).await;
    assert_eq!(late.last().unwrap()["logIndex"], hex(2499));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_subscribes_by_the_thousand_harms_nobody() {
    let w = World::start().await;
    let mut greedy = w.door.socket().await;
    let mut granted = 0;
    for n in 0..2_000 {
        let answer = greedy.answer("eth_subscribe", json!(["newHeads"])).await;
        match answer["error"]["code"].as_i64() {
            None => granted += 1,
            Some(code) => assert_eq!(code, -32006, "{n}: {answer}"),
        }
    }
    assert_eq!(granted, 256);
    let mut good = w.door.socket().await;
    good.subscribe("eth_subscribe", json!(["newHeads"])).await;
    w.door.receipt(&tx(0).value(1)).await;
    assert_eq!(good.next().await["result"]["number"], "0x1");
    // All of the greedy one's are told of the block, too.
    assert_eq!(greedy.results(256).await.len(), 256);
}
