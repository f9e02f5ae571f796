//! Sending transactions, and what waits.

use alloy_primitives::{B256, U256};
use serde_json::{Value, json};
use triad_chain::testing::wallet;

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_words_that_tools_look_for() {
    let s = Still::start().await;
    let million = U256::from(1_000_000) * U256::from(10).pow(U256::from(18));
    let other_chain = {
        let mut other = tx(0);
        other.tx.chain_id = 1;
        other.value(1)
    };
    let upside_down = {
        let mut t = tx(0);
        t.tx.max_priority_fee_per_gas = 3_000_000_000;
        t.value(1)
    };
    let cheap = {
        let mut t = tx(0);
        t.tx.max_fee_per_gas = 999_999_999;
        t.value(1)
    };
    for (raw, words) in [
        (other_chain, "invalid chain id for signer: have 1 want 7423"),
        (upside_down, "max priority fee per gas higher than max fee per gas"),
        (cheap, "max fee per gas less than block base fee"),
        (tx(0).wei(million), "insufficient funds for gas * price + value"),
        (tx(0).gas(20_999).value(1), "intrinsic gas too low: gas 20999, minimum needed 21000"),
        (tx(0).gas(31_000_000).value(1), "exceeds block gas limit"),
        (tx(0).gas(16_777_217).value(1), "transaction gas limit too high"),
        (tx(0).gas(16_777_216).create(&[0; 49_153]), "max initcode size exceeded"),
        (tx(0).gas(80_000).call(wallet(1).address(), vec![1; 2000]), "floor data gas"),
        (tx(0).call(wallet(1).address(), vec![0; 131_072]), "oversized data"),
    ] {
        let (code, why, _) = s.door.error("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(code, -32000, "{why}");
        assert!(why.contains(words), "{why}: {words}");
    }
    assert_eq!(s.door.call("txpool_status", json!([])).await, json!({"pending": "0x0", "queued": "0x0"}));
    // Two that each could be paid for, but not both.
    let half = million / U256::from(2);
    s.door.send(&tx(0).wei(half)).await;
    let both = json!([tx(0).nonce(1).wei(half)]);
    assert!(s.door.error("eth_sendRawTransaction", both).await.1.contains("insufficient funds"));
    assert_eq!(s.door.error("eth_sendRawTransaction", json!([tx(0).wei(half)])).await.1, "already known");
    let same = json!([tx(0).value(1)]);
    let why = s.door.error("eth_sendRawTransaction", same).await.1;
    assert!(why.contains("replacement transaction underpriced"), "{why}");
    assert!(s.advance().await);
    let again = s.door.error("eth_sendRawTransaction", json!([tx(0).value(2)])).await.1;
    assert_eq!(again, "nonce too low: next nonce 1, tx nonce 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_held_and_shown() {
    let s = Still::start().await;
    let sender = wallet(0).address();
    let first = s.door.send(&tx(0).nonce(0).value(1)).await;
    s.door.send(&tx(0).nonce(2).value(1)).await;
    s.door.send(&tx(1).nonce(0).value(1)).await;
    assert_eq!(s.door.call("txpool_status", json!([])).await, json!({"pending": "0x2", "queued": "0x1"}));
    let count = |tag: &'static str| s.door.call("eth_getTransactionCount", json!([sender, tag]));
    assert_eq!((count("latest").await, count("pending").await), (json!("0x0"), json!("0x1")));
    let content = s.door.call("txpool_content", json!([])).await;
    let mine = &content["pending"][sender.to_checksum(None)]["0"];
    assert_eq!((&mine["hash"], &mine["blockHash"]), (&json!(first), &Value::Null));
    assert_eq!(content["queued"][sender.to_checksum(None)]["2"]["nonce"], "0x2");
    let from = s.door.call("txpool_contentFrom", json!([sender])).await;
    assert_eq!(from["pending"]["0"], *mine);
    let text = s.door.call("txpool_inspect", json!([])).await;
    assert!(text["pending"][sender.to_checksum(None)]["0"].as_str().unwrap().contains("1 wei + 3000000 gas"));
    let pending = s.door.call("eth_getTransactionByHash", json!([first])).await;
    assert_eq!((&pending["blockNumber"], &pending["from"]), (&Value::Null, &json!(sender)));
    assert!(s.advance().await);
    // The gap alone is no reason for a block.
    assert!(!s.advance().await);
    assert_eq!(s.door.call("txpool_status", json!([])).await, json!({"pending": "0x0", "queued": "0x1"}));
    s.door.send(&tx(0).nonce(1).value(1)).await;
    assert!(s.advance().await);
    assert_eq!(count("latest").await, "0x3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_takes_the_best_paying_first() {
    let s = Still::start().await;
    let mut expected: Vec<(u128, B256)> = Vec::new();
    for (from, tip) in [(0, 3), (1, 9), (2, 1), (3, 7)] {
        expected.push((tip, s.door.send(&tx(from).tip(tip).value(1)).await));
    }
    assert!(s.advance().await);
    expected.sort_by_key(|(tip, _)| std::cmp::Reverse(*tip));
    let block = s.door.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let hashes: Vec<B256> = serde_json::from_value(block["transactions"].clone()).unwrap();
    assert_eq!(hashes, expected.into_iter().map(|(_, hash)| hash).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_synchronously_answers_with_the_receipt_or_why_not() {
    let s = Still::start().await;
    let (code, why, data) =
        s.door.error("eth_sendRawTransactionSync", json!([tx(0).nonce(3).value(1)])).await;
    assert_eq!((code, data), (6, json!("0x0")), "{why}");
    assert_eq!(s.door.call("txpool_status", json!([])).await["queued"], "0x0");
    let raw = tx(0).value(1);
    let (code, why, hash) = s.door.error("eth_sendRawTransactionSync", json!([raw, 50])).await;
    assert_eq!((code, hash), (4, json!(alloy_primitives::keccak256(&raw))));
    assert!(why.contains("not final after 50 ms"), "{why}");
    // It is known now; asking again waits for the same one.
    let (receipt, ()) =
        tokio::join!(s.door.call("eth_sendRawTransactionSync", json!([raw, "0x4e20"])), async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            assert!(s.advance().await);
        });
    assert_eq!((&receipt["status"], &receipt["blockNumber"]), (&json!("0x1"), &json!("0x1")));
    // And once it is final, again.
    assert_eq!(receipt, s.door.call("eth_sendRawTransactionSync", json!([raw])).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_replaced_is_answered_at_once() {
    let s = Still::start().await;
    let raw = tx(0).value(1);
    let started = std::time::Instant::now();
    let ((code, why, hash), ()) =
        tokio::join!(s.door.error("eth_sendRawTransactionSync", json!([raw])), async {
            while s.door.call("txpool_status", json!([])).await["pending"] != "0x1" {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            let mut better = tx(0);
            better.tx.max_fee_per_gas = 4_000_000_000;
            s.door.send(&better.tip(2_000_000_000).value(2)).await;
        });
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!((code, hash), (4, json!(alloy_primitives::keccak256(&raw))));
    assert!(why.contains("replaced or dropped"), "{why}");
}
