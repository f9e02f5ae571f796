//! Where the fees go that transactions pay.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{Address, Bytes, U256};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{BaseFeeTo, ChainSpec, Genesis, GenesisError};

fn with(to: Option<BaseFeeTo>) -> Genesis {
    let mut genesis = genesis(Vec::new());
    genesis.fees.base_fee_to = to;
    genesis
}

fn balance(chain: &TestChain, address: Address) -> U256 {
    chain.reader.account(&address).unwrap().balance
}

/// The validator of test chains.
fn proposer() -> Address {
    wallet(101).address()
}

#[test]
fn the_base_fee_goes_where_genesis_says() {
    let treasury = Address::repeat_byte(0x42);
    let cases = [
        (None, None),
        (Some(BaseFeeTo::Burn), None),
        (Some(BaseFeeTo::Proposer), Some(proposer())),
        (Some(BaseFeeTo::Account(treasury)), Some(treasury)),
        // Who pays may be who is paid.
        (Some(BaseFeeTo::Account(wallet(1).address())), Some(wallet(1).address())),
    ];
    for (to, paid) in cases {
        let dir = tempfile::tempdir().unwrap();
        let chain = TestChain::with_genesis(dir.path(), with(to));
        let all = [wallet(1).address(), wallet(2).address(), proposer(), treasury];
        let sum = |chain: &TestChain| all.iter().map(|a| balance(chain, *a)).sum::<U256>();
        let (payer, receiver) = (balance(&chain, wallet(1).address()), paid.map(|a| balance(&chain, a)));
        let total = sum(&chain);
        let sent = chain.send(&wallet(1), Some(wallet(2).address()), vec![], U256::from(7));
        let receipt = &sent.block.receipts[sent.index];
        let base = U256::from(receipt.gas_used) * U256::from(1_000_000_000);
        let tips = U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price) - base;
        let burnt = if paid.is_some() { U256::ZERO } else { base };
        assert_eq!(total - sum(&chain), burnt, "{to:?}: nothing else vanishes or appears");
        if let (Some(address), Some(before)) = (paid.filter(|a| *a != wallet(1).address()), receiver) {
            let tips = if address == proposer() { tips } else { U256::ZERO };
            assert_eq!(balance(&chain, address) - before, base + tips, "{to:?}");
            assert_eq!(payer - balance(&chain, wallet(1).address()), base + U256::from(7));
        }
        // What is not a trial's business: a block without transactions moves nothing.
        assert_eq!(chain.reader.height(), 1);
    }
}

#[test]
fn it_is_part_of_the_block_and_reproduced() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = with(Some(BaseFeeTo::Account(Address::repeat_byte(0x42))));
    let spec = ChainSpec::new(genesis.clone()).unwrap();
    let chain = TestChain::with_genesis(dir.path(), genesis);
    for _ in 0..3 {
        chain.send(&wallet(1), Some(wallet(2).address()), vec![], U256::from(7));
    }
    let expected = U256::from(3 * 21_000) * U256::from(1_000_000_000);
    assert_eq!(balance(&chain, Address::repeat_byte(0x42)), expected);
    // Another node checks the blocks instead of building them.
    let other = tempfile::tempdir().unwrap();
    let ledger = triad_chain::Ledger::open(other.path(), spec).unwrap();
    for height in 1..=chain.reader.height() {
        let bytes: Bytes = chain.reader.block(height).unwrap().unwrap().bytes.to_vec().into();
        ledger.finalize(&bytes.0, None).unwrap();
    }
    assert_eq!(
        triad_chain::Reader::new(ledger).account(&Address::repeat_byte(0x42)).unwrap().balance,
        expected
    );
}

#[test]
fn other_values_are_refused_and_old_genesis_files_mean_what_they_meant() {
    let old = ChainSpec::new(with(None)).unwrap();
    assert!(!old.to_json().contains("base_fee_to"));
    assert_eq!(ChainSpec::parse(&old.to_json()).unwrap().hash, old.hash);
    for to in [BaseFeeTo::Burn, BaseFeeTo::Proposer, BaseFeeTo::Account(Address::repeat_byte(0xab))] {
        let spec = ChainSpec::new(with(Some(to))).unwrap();
        let read = ChainSpec::parse(&spec.to_json()).unwrap();
        assert_eq!((read.hash, read.genesis.fees.base_fee_to), (spec.hash, Some(to)));
        assert_ne!(read.hash, old.hash);
    }
    let text = ChainSpec::new(with(Some(BaseFeeTo::Burn))).unwrap().to_json();
    let zero = format!("0x{}", "00".repeat(20));
    let bare = "ab".repeat(20);
    for value in ["", "Burn", "validators", "0x12", &zero, &bare] {
        let refused = ChainSpec::parse(&text.replace("\"burn\"", &format!("{value:?}")));
        assert!(matches!(refused, Err(GenesisError::Malformed(_))), "{value}: {refused:?}");
    }
    let upper = format!("\"0x{}\"", "AB".repeat(20));
    assert!(matches!(ChainSpec::parse(&text.replace("\"burn\"", &upper)), Err(GenesisError::Spelling)));
    assert!(ChainSpec::parse(&text.replace("\"burn\"", "1")).is_err());
}
