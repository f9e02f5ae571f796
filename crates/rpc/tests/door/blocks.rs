//! Blocks, transactions, receipts, logs and fees.

use alloy_consensus::{TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, TxKind, U256};
use serde_json::{Value, json};
use triad_chain::testing::{genesis, wallet};

use crate::common::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_block_is_the_same_by_every_name() {
    let w = World::start().await;
    let receipt = w.door.receipt(&tx(0).value(1)).await;
    let (height, hash) = (receipt["blockNumber"].clone(), receipt["blockHash"].clone());
    let block = w.door.call("eth_getBlockByNumber", json!([height, true])).await;
    assert_eq!(block["hash"], hash);
    assert_eq!(block, w.door.call("eth_getBlockByHash", json!([hash, true])).await);
    for tag in ["latest", "safe", "finalized", "pending"] {
        assert_eq!(block, w.door.call("eth_getBlockByNumber", json!([tag, true])).await, "{tag}");
    }
    let tx = &block["transactions"][0];
    for (field, of) in [("blockHash", "hash"), ("blockNumber", "number"), ("blockTimestamp", "timestamp")] {
        assert_eq!(tx[field], block[of]);
    }
    let sent = receipt["transactionHash"].clone();
    for (method, params) in [
        ("eth_getTransactionByHash", json!([sent])),
        ("eth_getTransactionByBlockHashAndIndex", json!([hash, "0x0"])),
        ("eth_getTransactionByBlockNumberAndIndex", json!([height, "0x0"])),
    ] {
        assert_eq!(*tx, w.door.call(method, params).await, "{method}");
    }
    for block in [height.clone(), hash.clone(), json!({"blockHash": hash})] {
        assert_eq!(json!([receipt]), w.door.call("eth_getBlockReceipts", json!([block])).await);
    }
    assert_eq!(w.door.call("eth_getBlockTransactionCountByHash", json!([hash])).await, "0x1");
    assert_eq!(w.door.call("eth_getBlockTransactionCountByNumber", json!([height])).await, "0x1");
    assert_eq!(w.door.call("eth_getUncleCountByBlockHash", json!([hash])).await, "0x0");
    assert_eq!(w.door.call("eth_getUncleByBlockNumberAndIndex", json!([height, "0x0"])).await, Value::Null);
    let genesis = w.door.call("eth_getBlockByNumber", json!(["earliest", false])).await;
    assert_eq!((&genesis["number"], &genesis["transactions"]), (&json!("0x0"), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_null() {
    let w = World::start().await;
    let nowhere = json!(format!("0x{}", "11".repeat(32)));
    for (method, params) in [
        ("eth_getBlockByNumber", json!(["0xfffffff", false])),
        ("eth_getBlockByHash", json!([nowhere, false])),
        ("eth_getBlockReceipts", json!(["0xfffffff"])),
        ("eth_getTransactionByHash", json!([nowhere])),
        ("eth_getTransactionReceipt", json!([nowhere])),
        ("eth_getTransactionByBlockNumberAndIndex", json!(["0x0", "0x0"])),
        ("eth_getUncleCountByBlockNumber", json!(["0xfffffff"])),
        ("eth_getBlockTransactionCountByHash", json!([nowhere])),
    ] {
        assert_eq!(w.door.call(method, params).await, Value::Null, "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_transaction_but_blobs_is_taken() {
    let w = World::start().await;
    let (chain_id, gas_limit, gas_price) = (7423, 200_000, 2_000_000_000);
    let to = TxKind::Call(wallet(5).address());
    let legacy = TxLegacy { chain_id: Some(chain_id), gas_limit, gas_price, to, ..TxLegacy::default() };
    let listed = TxEip2930 { chain_id, nonce: 1, gas_limit, gas_price, to, ..TxEip2930::default() };
    let noisy: Address = {
        let receipt = w.door.receipt(&tx(1).nonce(0).create(NOISY)).await;
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    };
    let authorization = Authorization { chain_id: U256::from(chain_id), address: noisy, nonce: 0 };
    let signature = wallet(6).sign_hash(&authorization.signature_hash());
    let delegation = TxEip7702 {
        chain_id,
        nonce: 3,
        gas_limit,
        max_fee_per_gas: gas_price,
        to: wallet(6).address(),
        input: times(2).into(),
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let from = wallet(0);
    let all =
        [sign(&from, legacy), sign(&from, listed), tx(0).nonce(2).tip(5).value(1), sign(&from, delegation)];
    for (kind, raw) in [0u64, 1, 2, 4].into_iter().zip(all) {
        let receipt = w.door.receipt(&raw).await;
        assert_eq!((&receipt["status"], &receipt["type"]), (&json!("0x1"), &json!(hex(kind))));
        let sent = w.door.call("eth_getTransactionByHash", json!([receipt["transactionHash"]])).await;
        assert_eq!(sent["type"], hex(kind));
        let price = if kind == 2 {
            1_000_000_005
        } else if kind == 4 {
            1_000_000_000
        } else {
            2_000_000_000
        };
        assert_eq!(number(&sent["gasPrice"]), price, "type {kind}");
        assert_eq!(number(&receipt["effectiveGasPrice"]), price, "type {kind}");
        if kind == 4 {
            let logs = receipt["logs"].as_array().unwrap();
            assert_eq!(logs.len(), 2);
            assert_eq!(logs[1]["address"], json!(wallet(6).address()));
            assert_eq!(logs[1]["logIndex"], "0x1");
        }
    }
    let (code, why, _) = w.door.error("eth_sendRawTransaction", json!(["0x03f8b1"])).await;
    assert_eq!(code, -32000);
    assert!(why.contains("type not supported") && why.contains("EIP-4844"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unprotected_transactions_only_deploy() {
    let w = World::start().await;
    let legacy = TxLegacy { gas_limit: 200_000, gas_price: 2_000_000_000, ..TxLegacy::default() };
    let transfer = TxLegacy { to: TxKind::Call(wallet(1).address()), ..legacy.clone() };
    let (_, why, _) = w.door.error("eth_sendRawTransaction", json!([sign(&wallet(0), transfer)])).await;
    assert!(why.contains("only replay-protected (EIP-155)"), "{why}");
    let deployer = TxLegacy { to: TxKind::Create, input: NOISY.into(), ..legacy };
    let receipt = w.door.receipt(&sign(&wallet(0), deployer)).await;
    assert_eq!(receipt["status"], "0x1");
    let code = w.door.call("eth_getCode", json!([receipt["contractAddress"], "latest"])).await;
    assert_eq!(code.as_str().unwrap().len(), 2 + 2 * 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn fee_history_has_the_real_tips() {
    let s = Still::start().await;
    // Two of 21,000 gas with tips 10 and 30, one of more gas with 20.
    s.door.send(&tx(0).tip(10).value(1)).await;
    s.door.send(&tx(1).tip(30).value(1)).await;
    s.door.send(&tx(2).tip(20).create(NOISY)).await;
    assert!(s.advance().await);
    let history = s.door.call("eth_feeHistory", json!([2, "latest", [0, 25, 50, 99, 100]])).await;
    let middle = json!(["0xa", "0x14", "0x14", "0x1e", "0x1e"]);
    assert_eq!(history["reward"], json!([["0x0", "0x0", "0x0", "0x0", "0x0"], middle]));
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"], json!(["0x3b9aca00", "0x3b9aca00", "0x3b9aca00"]));
    let block = s.door.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let ratio = number(&block["gasUsed"]) as f64 / number(&block["gasLimit"]) as f64;
    assert_eq!(history["gasUsedRatio"], json!([0.0, ratio]));
    // A count in hex, no percentiles, more blocks than there are.
    let short = s.door.call("eth_feeHistory", json!(["0x400", "latest"])).await;
    assert_eq!((short["gasUsedRatio"].as_array().unwrap().len(), &short["reward"]), (2, &Value::Null));
    for (params, why) in [
        (json!(["0x1", "latest", [50, 10]]), "invalid reward percentile"),
        (json!(["0x1", "latest", [101]]), "invalid reward percentile"),
        (json!(["0x1", "0xffff", []]), "request beyond head block"),
    ] {
        assert!(s.door.error("eth_feeHistory", params).await.1.contains(why), "{why}");
    }
    // A half-empty chain suggests no tip.
    assert_eq!(s.door.call("eth_maxPriorityFeePerGas", json!([])).await, "0x0");
    assert_eq!(s.door.call("eth_gasPrice", json!([])).await, "0x3b9aca00");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tip_is_suggested_while_blocks_are_full() {
    let mut genesis = genesis(Vec::new());
    genesis.limits.block_gas = 20_000_000;
    let dir = tempfile::tempdir().unwrap();
    let spec = triad_chain::ChainSpec::new(genesis).unwrap();
    let ledger = triad_chain::Ledger::open(dir.path(), spec).unwrap();
    let submitter = triad_chain::Submitter::start(ledger.clone(), 1).unwrap();
    let door = Door::open(config(), triad_chain::Reader::new(ledger.clone()), submitter).await;
    let receipt = tx(0).create(NOISY);
    door.send(&receipt).await;
    assert!(triad_chain::testing::advance(&ledger, false));
    let noisy = wallet(0).address().create(0);
    // Ten million gas of logs.
    for (from, tip) in [(1, 7), (2, 5)] {
        door.send(&tx(from).tip(tip).gas(8_000_000).call(noisy, times(4400))).await;
    }
    assert!(triad_chain::testing::advance(&ledger, false));
    assert_eq!(door.call("eth_maxPriorityFeePerGas", json!([])).await, "0x7");
    assert_eq!(door.call("eth_gasPrice", json!([])).await, hex(1_000_000_007));
}

#[tokio::test(flavor = "multi_thread")]
async fn tips_go_to_the_proposer() {
    let w = World::start().await;
    let beneficiary = wallet(101).address();
    let before = w.door.call("eth_getBalance", json!([beneficiary, "latest"])).await;
    let receipt = w.door.receipt(&tx(0).tip(3).value(1)).await;
    let after = w.door.call("eth_getBalance", json!([beneficiary, "latest"])).await;
    assert_eq!(number(&after) - number(&before), 3 * number(&receipt["gasUsed"]));
    assert_eq!(w.door.call("eth_coinbase", json!([])).await, json!(beneficiary));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_found_and_a_query_that_is_too_wide_says_how_to_narrow() {
    let s = Still::start().await;
    s.door.send(&tx(0).create(NOISY)).await;
    assert!(s.advance().await);
    let noisy = wallet(0).address().create(0);
    for nonce in 1..=4 {
        s.door.send(&tx(0).nonce(nonce).gas(16_000_000).call(noisy, times(5000))).await;
        assert!(s.advance().await);
    }
    let wide = json!([{"fromBlock": "0x0", "toBlock": "latest", "address": noisy}]);
    let (code, why, data) = s.door.error("eth_getLogs", wide).await;
    assert_eq!(code, -32005);
    assert!(
        why.contains("query returned more than 10000 results. Try with this block range [0x0, 0x3]"),
        "{why}"
    );
    assert_eq!(data, json!({"from": "0x0", "to": "0x3"}));
    let narrow =
        s.door.call("eth_getLogs", json!([{"fromBlock": data["from"], "toBlock": data["to"]}])).await;
    assert_eq!(narrow.as_array().unwrap().len(), 10_000);
    // By topic, in one block, by hash; and of another contract.
    let third = json!(alloy_primitives::B256::with_last_byte(3));
    let found = s.door.call("eth_getLogs", json!([{"fromBlock": "0x0", "topics": [TOPIC, [third]]}])).await;
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 4);
    let by_hash = json!([{"blockHash": found[0]["blockHash"], "topics": [null, third]}]);
    assert_eq!(s.door.call("eth_getLogs", by_hash).await, json!([found[0]]));
    let other = json!([{"fromBlock": "0x0", "address": wallet(1).address()}]);
    assert_eq!(s.door.call("eth_getLogs", other).await, json!([]));
    let backwards = json!([{"fromBlock": "0x3", "toBlock": "0x1"}]);
    assert_eq!(s.door.error("eth_getLogs", backwards).await.0, -32602);
    let unknown = json!([{"blockHash": format!("0x{}", "11".repeat(32))}]);
    assert_eq!(s.door.error("eth_getLogs", unknown).await.1, "unknown block");
}
