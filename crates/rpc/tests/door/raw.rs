//! Encodings of blocks, transactions and receipts.

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Decodable;
use serde_json::json;
use triad_chain::testing::wallet;

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn raw_encodings_hash_to_what_the_chain_says() {
    let w = World::start().await;
    let noisy = w.noisy().await;
    let raw = tx(0).nonce(1).call(noisy, times(2));
    let receipt = w.door.receipt(&raw).await;
    let number = receipt["blockNumber"].clone();
    let block = w.door.call("eth_getBlockByNumber", json!([number, true])).await;
    let bytes = async |method: &str, of: &serde_json::Value| -> Bytes {
        serde_json::from_value(w.door.call(method, json!([of])).await).unwrap()
    };
    for of in [&number, &block["hash"]] {
        let header = bytes("debug_getRawHeader", of).await;
        assert_eq!(json!(keccak256(&header)), block["hash"]);
        let body = bytes("debug_getRawBlock", of).await;
        assert_eq!(hex(body.len() as u64), block["size"]);
        let decoded = alloy_consensus::Block::<alloy_consensus::TxEnvelope>::decode(&mut &body[..]).unwrap();
        assert_eq!(json!(decoded.header.hash_slow()), block["hash"]);
        assert_eq!(json!(decoded.body.transactions[0].tx_hash()), block["transactions"][0]["hash"]);
        let receipts: Vec<Bytes> =
            serde_json::from_value(w.door.call("debug_getRawReceipts", json!([of])).await).unwrap();
        let root = alloy_consensus::proofs::ordered_trie_root_with_encoder(&receipts, |raw, out| {
            out.extend_from_slice(raw);
        });
        assert_eq!(json!(root), block["receiptsRoot"]);
    }
    let hash = json!(keccak256(&raw));
    assert_eq!(bytes("debug_getRawTransaction", &hash).await, raw);
    assert_eq!(bytes("debug_getRawTransaction", &json!(B256::ZERO)).await, Bytes::new());
    // One that waits, too.
    let waiting = tx(1).nonce(3).call(wallet(2).address(), vec![]);
    let hash = json!(w.door.send(&waiting).await);
    assert_eq!(bytes("debug_getRawTransaction", &hash).await, waiting);
    let why = w.door.error("debug_getRawBlock", json!(["0xffff"])).await.1;
    assert_eq!(why, "block not found");
    assert_eq!(w.door.error("debug_getRawHeader", json!([true])).await.0, -32602);
}
