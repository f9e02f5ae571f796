//! Filters that are asked for news.

use serde_json::json;

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn filters_tell_everything_once() {
    let s = Still::start().await;
    s.door.send(&tx(0).create(NOISY)).await;
    assert!(s.advance().await);
    let noisy = triad_chain::testing::wallet(0).address().create(0);
    let logs = s.door.call("eth_newFilter", json!([{"address": noisy}])).await;
    let blocks = s.door.call("eth_newBlockFilter", json!([])).await;
    let pending = s.door.call("eth_newPendingTransactionFilter", json!([])).await;
    let changes = |id| s.door.call("eth_getFilterChanges", json!([id]));
    for round in 1..=3u64 {
        let hash = s.door.send(&tx(0).nonce(round).call(noisy, times(round))).await;
        s.door.send(&tx(0).nonce(round + 10).value(1)).await;
        assert_eq!(changes(&pending).await, json!([hash]), "only what a block may take");
        assert!(s.advance().await);
        let block = s.door.call("eth_getBlockByNumber", json!(["latest", false])).await;
        assert_eq!(changes(&blocks).await, json!([block["hash"]]));
        let found = changes(&logs).await;
        assert_eq!(found.as_array().unwrap().len() as u64, round);
        assert_eq!(found[0]["blockHash"], block["hash"]);
        for id in [&logs, &blocks, &pending] {
            assert_eq!(changes(id).await, json!([]), "nothing twice");
        }
    }
    let all = s.door.call("eth_getFilterLogs", json!([logs])).await;
    assert_eq!(all.as_array().unwrap().len(), 3, "without a range it is the newest block");
    assert_eq!(s.door.error("eth_getFilterLogs", json!([blocks])).await.1, "filter not found");
    assert_eq!(s.door.call("eth_uninstallFilter", json!([blocks])).await, true);
    assert_eq!(s.door.call("eth_uninstallFilter", json!([blocks])).await, false);
    assert_eq!(s.door.error("eth_getFilterChanges", json!([blocks])).await.1, "filter not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_bounded() {
    let w = World::start().await;
    let mut last = String::new();
    for _ in 0..5 {
        let calls: Vec<_> = (0..1000)
            .map(|id| json!({"jsonrpc": "2.0", "id": id, "method": "eth_newBlockFilter", "params": []}))
            .collect();
        last = w.door.post(json!(calls).to_string()).await.1;
    }
    assert!(last.contains("4096 filters are installed, which is the limit"));
    assert_eq!(w.door.call("eth_blockNumber", json!([])).await, "0x0");
}
