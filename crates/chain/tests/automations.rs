//! Contracts act in the block of the reading, and nothing they do can harm the chain or each other.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{Address, B256, I256, U256};
use alloy_sol_types::{SolCall, SolValue, sol};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{DefaultModel, contracts};
use triad_evm::bindings::IAutomations;
use triad_evm::{AUTOMATIONS, FIRING_CALLER, TriadTx};
use triad_models::{RangeSpec, SilenceSpec, Spec};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder, stream_id};

const T0: i64 = 1_700_000_100_000_000;

sol! {
    interface Alarm {
        function arm(bytes20 device, string name, int256 threshold) external payable;
        function rings() external view returns (uint64);
        function onTriad(uint64 id, address owner, bytes32 stream, uint64 leaf, uint64 timeMs, int256 value, uint8 kind) external;
    }
}

fn key() -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[1; 32]).unwrap()
}

fn creation(artifact: &str) -> Vec<u8> {
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    hex::decode(artifact["bytecode"].as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn start(dir: &std::path::Path, models: Vec<Spec>) -> TestChain {
    let models =
        models.iter().map(|s| DefaultModel { kind: s.kind().into(), params: s.params().into() }).collect();
    let chain = TestChain::with_genesis(dir, genesis(models));
    let owner = wallet(1);
    let chain_id = chain.reader.spec().genesis.chain_id;
    let item = contracts::registration(chain_id, owner.address(), &key(), B256::ZERO);
    let (to, input) = contracts::register(vec![item]);
    chain.send(&owner, Some(to), input, U256::ZERO);
    chain
}

fn say(chain: &TestChain, n: u32, value: f64) -> triad_chain::Accepted {
    let time = T0 + i64::from(n) * 1_000_000;
    let key = key();
    let statement =
        StatementBuilder::new(&key, Sequence::new(0, n)).number("level", Some("m"), value, Some(time));
    chain.statement(statement.sign()).unwrap()
}

fn firings(chain: &TestChain, height: u64) -> Vec<(triad_evm::Firing, triad_evm::Receipt)> {
    let block = chain.reader.eth_block(height).unwrap().unwrap();
    let both = block.transactions.iter().cloned().zip(block.receipts.iter().cloned());
    both.filter_map(|(tx, receipt)| match tx {
        TriadTx::Firing(firing) => Some((firing, receipt)),
        TriadTx::Ethereum(_) => None,
    })
    .collect()
}

fn view<C: SolCall>(chain: &TestChain, to: Address, call: &C) -> C::Return {
    let input = call.abi_encode().into();
    let request = triad_evm::CallRequest { to: Some(to), input, ..triad_evm::CallRequest::default() };
    let outcome = chain.reader.call(&request).unwrap();
    C::abi_decode_returns(&outcome.output).unwrap()
}

fn condition(source: u8, op: u8, threshold: i64, kinds: u64) -> IAutomations::Condition {
    IAutomations::Condition {
        device: key().public().id().0.into(),
        name: "level".into(),
        source,
        op,
        threshold: I256::try_from(threshold).unwrap() * I256::try_from(1_000_000_000).unwrap(),
        kinds: U256::from(kinds),
        minScore: 0,
    }
}

fn register(
    chain: &TestChain,
    c: IAutomations::Condition,
    target: Address,
    gas: u64,
    cooldown: u64,
    wei: u64,
) -> u64 {
    let (to, input) = contracts::automation(c, target, gas, cooldown);
    let sent = chain.send(&wallet(2), Some(to), input, U256::from(wei));
    let log = &sent.block.receipts[sent.index].logs[0];
    u64::abi_decode(log.topics()[1].as_slice()).unwrap()
}

const DEPOSIT: u64 = 100_000_000_000_000_000;

#[test]
fn an_alarm_rings_in_the_block_of_the_reading_and_only_on_the_edge() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), vec![]);
    let alarm = chain.deploy(&wallet(2), creation(include_str!("../../../contracts/artifacts/Alarm.json")));
    let arm = Alarm::armCall {
        device: key().public().id().0.into(),
        name: "level".into(),
        threshold: I256::try_from(5_000_000_000i64).unwrap(),
    };
    chain.send(&wallet(2), Some(alarm), arm.abi_encode(), U256::from(DEPOSIT));
    let calm = say(&chain, 0, 4.0);
    assert!(firings(&chain, calm.height).is_empty());
    let loud = say(&chain, 1, 6.0);
    let fired = firings(&chain, loud.height);
    assert_eq!(fired.len(), 1, "in the very block");
    let (firing, receipt) = &fired[0];
    assert_eq!(firing.to, alarm);
    assert!(receipt.success);
    assert_eq!(receipt.logs.len(), 1);
    let call = Alarm::onTriadCall::abi_decode(&firing.input).unwrap();
    assert_eq!(call.stream.0, stream_id(key().public().id(), "level").0);
    assert_eq!((call.leaf, call.value), (loud.leaf, I256::try_from(6_000_000_000i64).unwrap()));
    assert!(firings(&chain, say(&chain, 2, 7.0).height).is_empty(), "still above: no edge");
    say(&chain, 3, 1.0);
    assert!(firings(&chain, say(&chain, 4, 9.0).height).is_empty(), "an edge within the cool-down waits");
    assert_eq!(view(&chain, alarm, &Alarm::ringsCall {}), 1);
    // Whoever pretends to be the chain is refused.
    let fake = Alarm::onTriadCall { owner: wallet(3).address(), ..call };
    let sent = chain.try_send(&wallet(3), Some(alarm), fake.abi_encode(), U256::ZERO);
    assert!(!sent.block.receipts[sent.index].success);
    assert_eq!(chain.reader.account(&FIRING_CALLER).unwrap().nonce, 0);
}

#[test]
fn a_condition_on_verdicts_fires_per_excursion_and_silence_whatever_other_models_say() {
    let dir = tempfile::tempdir().unwrap();
    let range = Spec::Range(RangeSpec { low: Some(2.0), high: Some(8.0), ..RangeSpec::default() });
    let wide = Spec::Range(RangeSpec { low: Some(-100.0), high: Some(100.0), ..RangeSpec::default() });
    let silence = Spec::Silence(SilenceSpec { interval_ms: 300, grace_ms: 0 });
    let chain = start(dir.path(), vec![range, wide, silence]);
    // A target without code: the call succeeds and does nothing.
    let target = Address::repeat_byte(0x77);
    let high = register(&chain, condition(1, 0, 0, 1 << 2), target, 50_000, 0, DEPOSIT);
    let silent = register(&chain, condition(1, 0, 0, 1 << 6), target, 50_000, 0, DEPOSIT);
    let fired = |height| firings(&chain, height).iter().map(|(f, _)| f.registration).collect::<Vec<_>>();
    assert_eq!(fired(say(&chain, 0, 5.0).height), Vec::<u64>::new());
    assert_eq!(fired(say(&chain, 1, 9.0).height), [high]);
    assert_eq!(
        fired(say(&chain, 2, 9.5).height),
        Vec::<u64>::new(),
        "the wide model's `normal` ends nothing"
    );
    assert_eq!(fired(say(&chain, 3, 5.0).height), Vec::<u64>::new());
    assert_eq!(fired(say(&chain, 4, 9.5).height), [high]);
    let before = chain.reader.height();
    std::thread::sleep(std::time::Duration::from_millis(400));
    chain.heartbeat();
    let spoken: Vec<u64> = (before + 1..=chain.reader.height()).flat_map(fired).collect();
    assert_eq!(spoken, [silent], "unplugged: the silence speaks at a heartbeat, once");
}

#[test]
fn a_target_that_burns_all_its_gas_pays_for_it_until_it_sleeps() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), vec![]);
    // JUMPDEST PUSH0 JUMP: loops until the gas is gone.
    let looping = chain.deploy(&wallet(2), hex::decode("6003600c60003960036000f35b5f56").unwrap());
    let gas = 1_000_000u64;
    let price = chain.reader.spec().genesis.fees.base_fee;
    // The least deposit pays for four firings.
    let id = register(&chain, condition(0, 3, 5, 0), looping, gas, 0, 4 * gas * price);
    let innocent = register(&chain, condition(0, 3, 5, 0), Address::repeat_byte(0x77), 50_000, 0, DEPOSIT);
    let mut burnt = 0;
    for n in 0..6 {
        say(&chain, 2 * n, 1.0);
        let fired = firings(&chain, say(&chain, 2 * n + 1, 9.0).height);
        assert!(fired.iter().any(|(f, r)| f.registration == innocent && r.success), "others are unharmed");
        for (_, receipt) in fired.iter().filter(|(f, _)| f.registration == id) {
            assert!(!receipt.success);
            assert_eq!(receipt.gas_used, gas);
            burnt += 1;
        }
    }
    // Evaluations are charged too, so the fourth firing is not paid for in full.
    assert_eq!(burnt, 3);
    assert!(chain.reader.registration(id).unwrap().unwrap().paused);
    let (to, input) = (AUTOMATIONS, IAutomations::topUpCall { id }.abi_encode());
    chain.send(&wallet(2), Some(to), input, U256::from(DEPOSIT));
    say(&chain, 100, 1.0);
    let fired = firings(&chain, say(&chain, 101, 9.0).height);
    assert!(fired.iter().any(|(f, _)| f.registration == id), "topped up, it wakes");
}

#[test]
fn closing_gives_the_rest_back_and_nothing_fires_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), vec![]);
    let id = register(&chain, condition(0, 3, 5, 0), Address::repeat_byte(0x77), 50_000, 0, DEPOSIT);
    say(&chain, 0, 1.0);
    say(&chain, 1, 9.0);
    chain.send(&wallet(2), Some(AUTOMATIONS), IAutomations::cancelCall { id }.abi_encode(), U256::ZERO);
    chain.heartbeat();
    assert!(chain.reader.registration(id).unwrap().is_none());
    say(&chain, 2, 1.0);
    assert!(firings(&chain, say(&chain, 3, 9.0).height).is_empty());
    let credit = view(&chain, AUTOMATIONS, &IAutomations::creditsCall { account: wallet(2).address() });
    let spent = U256::from(DEPOSIT) - credit;
    let price = U256::from(chain.reader.spec().genesis.fees.base_fee);
    assert!(
        spent > U256::ZERO && spent < U256::from(60_000) * price,
        "one firing and two evaluations: {spent}"
    );
    let before = chain.reader.account(&wallet(2).address()).unwrap().balance;
    chain.send(&wallet(2), Some(AUTOMATIONS), IAutomations::withdrawCall {}.abi_encode(), U256::ZERO);
    let after = chain.reader.account(&wallet(2).address()).unwrap().balance;
    assert!(after > before, "the credit is worth more than the gas to fetch it");
}

#[test]
fn what_does_not_fit_the_automation_share_waits_its_turn_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), vec![]);
    // 8 registrations of 2,000,000 gas are more than the share of 10,000,000 takes in one block.
    let ids: Vec<u64> = (0..8)
        .map(|_| register(&chain, condition(0, 3, 5, 0), Address::repeat_byte(0x77), 2_000_000, 0, DEPOSIT))
        .collect();
    say(&chain, 0, 1.0);
    let first = say(&chain, 1, 9.0).height;
    let mut fired: Vec<u64> = firings(&chain, first).iter().map(|(f, _)| f.registration).collect();
    assert_eq!(fired.len(), 4);
    chain.heartbeat();
    chain.heartbeat();
    for height in first + 1..=chain.reader.height() {
        fired.extend(firings(&chain, height).iter().map(|(f, _)| f.registration));
    }
    assert_eq!(fired, ids);
}
