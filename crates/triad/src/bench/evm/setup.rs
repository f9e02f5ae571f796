//! What must stand before a case begins: the token, funded senders, recipients that exist and hold the token.

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::time::{Duration, Instant};
use triad_chain::Wallet;

use super::work::{BATCH, Token, recipient, senders, sign, token_of};
use crate::client::Rpc;
use crate::node::layout::dev_wallets;

const TOKEN: &str = include_str!("../../../../../contracts/artifacts/TriadToken.json");
const ETHER: u64 = 1_000_000_000_000_000_000;
/// Recipients that one transaction of the sprinkler pays, and its gas: two fill a block.
const SPRINKLED: u64 = 480;
const SPRINKLE_GAS: u64 = 14_900_000;
/// Transactions of the deployer that wait at once: they are one sender's.
const AT_ONCE: u64 = 800;
const PATIENCE: Duration = Duration::from_secs(600);

/// Deploys, funds and pays, all from the first development account, which anvil has too. With `pay_coins` the recipients
/// are sent a wei each, so that their accounts exist. Returns the token.
pub async fn prepare(rpc: &Rpc, recipients: u64, pay_coins: bool) -> anyhow::Result<Address> {
    let deployer = dev_wallets().swap_remove(0);
    let token = token_of(&deployer);
    let sprinkler = deployer.address().create(1);
    let mut raw = vec![
        sign(&deployer, 0, None, token_code()?, U256::ZERO, 5_000_000),
        sign(&deployer, 1, None, sprinkler_code(token), U256::ZERO, 1_000_000),
    ];
    let mut add = |to: Address, input: Vec<u8>, value: U256, gas: u64| {
        let nonce = raw.len() as u64;
        raw.push(sign(&deployer, nonce, Some(to), input, value, gas));
    };
    let plenty = U256::from(ETHER) * U256::from(1_000_000_000u64);
    add(token, Token::mintCall { to: sprinkler, amount: plenty }.abi_encode(), U256::ZERO, 200_000);
    for sender in senders() {
        add(sender.address(), Vec::new(), U256::from(ETHER) * U256::from(100), 21_000);
        add(
            token,
            Token::mintCall { to: sender.address(), amount: plenty }.abi_encode(),
            U256::ZERO,
            200_000,
        );
    }
    if pay_coins {
        for index in 0..recipients {
            add(recipient(index), Vec::new(), U256::from(1), 21_000);
        }
    }
    for first in (0..recipients).step_by(SPRINKLED as usize) {
        let count = SPRINKLED.min(recipients - first);
        let mut input = U256::from(first).to_be_bytes::<32>().to_vec();
        input.extend(U256::from(count).to_be_bytes::<32>());
        add(sprinkler, input, U256::ZERO, SPRINKLE_GAS);
    }
    send_all(rpc, &deployer, &raw).await?;
    let last = recipient(recipients - 1);
    for holder in [last, recipient(0), senders()[0].address()] {
        let answer = rpc.view(token, &Token::balanceOfCall { account: holder }.abi_encode()).await?;
        let held = Token::balanceOfCall::abi_decode_returns(&answer).context("the token does not answer")?;
        ensure!(held > U256::ZERO, "{holder} holds no tokens: the set-up failed");
    }
    ensure!(rpc.balance(last).await? > U256::ZERO, "the last recipient has no coins: the set-up failed");
    Ok(token)
}

async fn send_all(rpc: &Rpc, deployer: &Wallet, raw: &[Vec<u8>]) -> anyhow::Result<()> {
    let started = Instant::now();
    for (n, part) in raw.chunks(BATCH).enumerate() {
        let from = (n * BATCH) as u64;
        while nonce(rpc, deployer).await? + AT_ONCE < from + part.len() as u64 {
            ensure!(started.elapsed() < PATIENCE, "the set-up takes too long");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for tx in part {
            rpc.call("eth_sendRawTransaction", json!([format!("0x{}", hex::encode(tx))])).await?;
        }
    }
    while nonce(rpc, deployer).await? < raw.len() as u64 {
        ensure!(started.elapsed() < PATIENCE, "the set-up takes too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn nonce(rpc: &Rpc, of: &Wallet) -> anyhow::Result<u64> {
    rpc.nonce(of.address(), "latest").await
}

/// `TriadToken` with its constructor's arguments.
fn token_code() -> anyhow::Result<Vec<u8>> {
    let artifact: serde_json::Value = serde_json::from_str(TOKEN)?;
    let text = artifact["bytecode"].as_str().context("the artifact has no bytecode")?;
    let mut code = hex::decode(text.trim_start_matches("0x"))?;
    let arguments = ("Bench".to_owned(), "BENCH".to_owned(), U256::from(6));
    code.extend(alloy_sol_types::SolValue::abi_encode_params(&arguments));
    Ok(code)
}

/// A contract that sends 1,000,000 units to each of the recipients first, first + 1, …; its input is (first, count).
fn sprinkler_code(token: Address) -> Vec<u8> {
    let mut code = vec![0x63]; // PUSH4: the selector of transfer, to the top of memory's first word
    code.extend(Token::transferCall::SELECTOR);
    code.extend([0x60, 224, 0x1b, 0x5f, 0x52]); // SHL, MSTORE at 0
    code.extend([0x62, 0x0f, 0x42, 0x40, 0x60, 0x24, 0x52]); // 1,000,000, MSTORE at 36
    code.extend([0x5f, 0x35, 0x60, 0x20, 0x35, 0x81, 0x01, 0x90]); // end, i
    let top = code.len() as u8;
    code.extend([0x5b, 0x80, 0x60, 0x80, 0x52]); // MSTORE i at 128
    code.extend([0x60, 0x20, 0x60, 0x80, 0x20]); // KECCAK256 of it
    code.extend([0x60, 96, 0x1b, 0x60, 96, 0x1c, 0x60, 0x04, 0x52]); // its last 20 bytes, MSTORE at 4
    code.extend([0x5f, 0x5f, 0x60, 0x44, 0x5f, 0x5f, 0x73]); // CALL token with memory 0..68
    code.extend(token);
    code.extend([0x5a, 0xf1, 0x50]);
    code.extend([0x60, 0x01, 0x01, 0x81, 0x81, 0x10, 0x60, top, 0x57, 0x00]); // until i = end
    let length = (code.len() as u16).to_be_bytes();
    let mut init = vec![0x61, length[0], length[1], 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3];
    init.extend(code);
    init
}
