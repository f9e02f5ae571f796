//! Measurements of execution, in memory.

use super::*;
use crate::testing::*;
use crate::{EmptyApp, GenesisAccount};
use alloy_consensus::TxEip1559;
use std::time::{Duration, Instant};

const ETHER: u64 = 1_000_000_000_000_000_000;
const TRANSFERS: u64 = 4_000;
const HOLDERS: u64 = 1_000;

/// `TriadToken`, with everything minted to `owner`.
fn token(chain: &mut TestChain, owner: &Wallet) -> Address {
    let text = include_str!("../../../../contracts/artifacts/TriadToken.json");
    let artifact: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut init = alloy_primitives::hex::decode(artifact["bytecode"].as_str().unwrap()).unwrap();
    let arguments =
        alloy_sol_types::SolValue::abi_encode_params(&("T".to_owned(), "T".to_owned(), U256::ZERO));
    init.extend(arguments);
    let deploy = owner.sign(TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: 5_000_000,
        max_fee_per_gas: 100,
        to: TxKind::Create,
        input: init.into(),
        ..TxEip1559::default()
    });
    let address = owner.address.create(0);
    let mut mint = alloy_primitives::keccak256("mint(address,uint256)")[..4].to_vec();
    mint.extend_from_slice(&transfer_input(owner.address, ETHER)[4..]);
    chain.block(|executor| {
        assert!(executor.transaction(&deploy).unwrap().success);
        assert!(executor.transaction(&owner.call(1, address, 0, mint)).unwrap().success);
    });
    address
}

/// Prints transfers a second: `cargo test --release -p triad-evm -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn transfers_a_second() {
    let holders: Vec<Wallet> = (0..HOLDERS).map(Wallet::new).collect();
    let alloc: Vec<_> =
        holders.iter().map(|wallet| (wallet.address, GenesisAccount::funded(U256::from(ETHER)))).collect();
    let mut chain = TestChain::new(&alloc);
    chain.head.gas_limit = u64::MAX;
    let token = token(&mut chain, &holders[0]);
    let mut nonces: Vec<u64> = holders.iter().map(|_| 0).collect();
    nonces[0] = 2;
    chain.block(|executor| {
        for holder in &holders[1..] {
            let tx = holders[0].call(nonces[0], token, 0, transfer_input(holder.address, 1_000_000));
            assert!(executor.transaction(&tx).unwrap().success);
            nonces[0] += 1;
        }
    });
    for (name, to_token) in [("ERC-20 transfers", true), ("plain transfers", false)] {
        let mut txs = Vec::new();
        for i in 0..TRANSFERS {
            let from = (i % HOLDERS) as usize;
            let to = holders[(i * 7 % HOLDERS) as usize].address;
            let nonce = nonces[from];
            nonces[from] += 1;
            txs.push(match to_token {
                true => holders[from].call(nonce, token, 0, transfer_input(to, 1)),
                false => holders[from].call(nonce, to, 1, vec![]),
            });
        }
        let start = Instant::now();
        let mut executor = Executor::new(&chain.state, Arc::new(EmptyApp), chain.head);
        for tx in &txs {
            assert!(executor.transaction(tx).unwrap().success);
        }
        let executed = start.elapsed();
        let (state_root, _) =
            finish::state_changes(&executor.evm.ctx.journaled_state.database, &chain.head).unwrap();
        let rooted = start.elapsed();
        let block = executor.finish().unwrap();
        let finished = start.elapsed() - (rooted - executed);
        assert_eq!(block.header.state_root, state_root);
        let rate = |time: Duration| TRANSFERS as f64 / time.as_secs_f64();
        println!(
            "{name}: {:.0}/s executed; with state root, receipts, bloom and transaction roots {:.0}/s \
             (state root {:?}, all roots {:?} for {TRANSFERS})",
            rate(executed),
            rate(finished),
            rooted - executed,
            finished - executed,
        );
        chain.state.apply(&block.changes);
        chain.head.number += 1;
        chain.head.parent_state_root = block.header.state_root;
    }
}
