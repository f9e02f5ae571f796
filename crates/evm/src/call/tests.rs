use super::*;
use crate::testing::*;
use crate::{EmptyApp, GenesisAccount};
use alloy_primitives::{Address, B256, TxKind, address};

const TOKEN: Address = address!("0x0000000000000000000000000000000000007000");
const LOOPER: Address = address!("0x0000000000000000000000000000000000007003");
/// Needs more gas than it uses: an inner call gets 63/64 of what is left.
const FORWARDER: Address = address!("0x0000000000000000000000000000000000007004");

fn chain() -> (TestChain, Wallet) {
    let alice = Wallet::new(1);
    let mut token = GenesisAccount::contract(token_code());
    token.storage.insert(U256::from_be_bytes(alice.address.into_word().0), U256::from(100));
    // Reverts unless an inner call with all gas but 1/64 to the token's transfer succeeds.
    let forwarder = code("366000600037 60006000 36 6000 6000 617000 5af1 601c576000 6000fd 5b00");
    let chain = TestChain::new(&[
        (alice.address, GenesisAccount::funded(U256::from(1_000_000_000u64))),
        (TOKEN, token),
        (LOOPER, GenesisAccount::contract(code("5b600056"))),
        (FORWARDER, GenesisAccount::contract(forwarder)),
    ]);
    (chain, alice)
}

fn request(from: Address, to: Address, input: Vec<u8>) -> CallRequest {
    CallRequest { from, to: Some(to), input: input.into(), ..CallRequest::default() }
}

fn trial(chain: &TestChain) -> Trial<'_> {
    Trial::new(&chain.state, Arc::new(EmptyApp), chain.head)
}

#[test]
fn calls_succeed_revert_and_halt() {
    let (chain, alice) = chain();
    let run = |request: &CallRequest| call(&trial(&chain), request);
    let good = run(&request(alice.address, TOKEN, transfer_input(LOOPER, 1))).unwrap();
    assert_eq!(good.status, CallStatus::Success);
    assert_eq!(good.output, Bytes::from(B256_ONE));
    assert_eq!(good.logs.len(), 1);
    let bad = run(&request(LOOPER, TOKEN, transfer_input(alice.address, 1))).unwrap();
    assert_eq!(bad.status, CallStatus::Revert, "a contract may be the caller, and holds no tokens");
    let mut looping = request(alice.address, LOOPER, vec![]);
    looping.gas = Some(100_000);
    let outcome = run(&looping).unwrap();
    assert!(matches!(outcome.status, CallStatus::Halt(_)));
    assert_eq!(outcome.gas_used, 100_000);
    let mut rich = request(alice.address, TOKEN, vec![]);
    rich.value = U256::from(1_000_000_001u64);
    assert!(matches!(run(&rich), Err(CallError::Invalid(_))));
    let create = CallRequest { input: deploy_code(&token_code()).into(), ..CallRequest::default() };
    assert_eq!(run(&create).unwrap().output, token_code());
}

const B256_ONE: [u8; 32] = {
    let mut one = [0; 32];
    one[31] = 1;
    one
};

#[test]
fn an_estimate_suffices_and_is_close() {
    let (mut chain, alice) = chain();
    let plain = request(alice.address, Address::repeat_byte(9), vec![]);
    assert_eq!(estimate_gas(&trial(&chain), &plain).unwrap(), 21_000);
    for (nonce, to) in [TOKEN, FORWARDER].into_iter().enumerate() {
        // The forwarder holds no tokens; a transfer of nothing succeeds.
        let input = transfer_input(LOOPER, 0);
        let request = request(alice.address, to, input.clone());
        let estimate = estimate_gas(&trial(&chain), &request).unwrap();
        let with = |gas| CallRequest { gas: Some(gas), ..request.clone() };
        let status = |gas| call(&trial(&chain), &with(gas)).unwrap().status;
        assert_eq!(status(estimate), CallStatus::Success);
        assert_ne!(status(estimate * 98 / 100), CallStatus::Success, "{to}: {estimate} is too much");
        let tx = alice.sign(alloy_consensus::TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: nonce as u64,
            gas_limit: estimate,
            max_fee_per_gas: 100,
            to: TxKind::Call(to),
            input: input.into(),
            ..Default::default()
        });
        chain.block(|executor| assert!(executor.transaction(&tx).unwrap().success));
    }
}

#[test]
fn hopeless_estimates_say_why() {
    let (chain, alice) = chain();
    let estimate = |request: &CallRequest| estimate_gas(&trial(&chain), request);
    let revert = request(alice.address, TOKEN, transfer_input(LOOPER, 101));
    assert!(matches!(estimate(&revert), Err(CallError::Reverted(_))));
    let looping = request(alice.address, LOOPER, vec![]);
    assert!(matches!(estimate(&looping), Err(CallError::Halted { cap: 16_777_216, .. })));
    let mut poor = request(Address::repeat_byte(7), TOKEN, vec![]);
    poor.value = U256::from(1);
    assert!(matches!(estimate(&poor), Err(CallError::Invalid(_))));
}

fn over(address: Address, account: alloy_rpc_types_eth::state::AccountOverride) -> StateOverride {
    StateOverride::from_iter([(address, account)])
}

fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

#[test]
fn a_call_sees_pretended_accounts() {
    use alloy_rpc_types_eth::state::AccountOverride;
    let (chain, alice) = chain();
    let mut trial = trial(&chain);
    // Code where there was none, a balance to send, and a nonce.
    let lucky = Address::repeat_byte(0x77);
    let echo = AccountOverride { code: Some(code("3360005260206000f3")), ..AccountOverride::default() };
    trial.state = over(lucky, echo);
    let sender =
        AccountOverride { balance: Some(U256::from(9)), nonce: Some(5), ..AccountOverride::default() };
    trial.state.extend(over(Address::repeat_byte(7), sender));
    let mut sends = request(Address::repeat_byte(7), lucky, vec![]);
    sends.value = U256::from(9);
    assert_eq!(call(&trial, &sends).unwrap().output, Bytes::from(Address::repeat_byte(7).into_word()));
    // Some slots, or all.
    let holder = B256::from(U256::from_be_bytes(LOOPER.into_word().0));
    let mine = transfer_input(FORWARDER, 1);
    for all in [false, true] {
        let slots: alloy_primitives::map::B256HashMap<B256> = [(holder, word(50))].into_iter().collect();
        let token = match all {
            false => AccountOverride { state_diff: Some(slots), ..AccountOverride::default() },
            true => AccountOverride { state: Some(slots), ..AccountOverride::default() },
        };
        trial.state = over(TOKEN, token);
        let of = |from| call(&trial, &request(from, TOKEN, mine.clone())).unwrap().status;
        assert_eq!(of(LOOPER), CallStatus::Success);
        let expected = if all { CallStatus::Revert } else { CallStatus::Success };
        assert_eq!(of(alice.address), expected);
    }
    // A precompile elsewhere.
    let identity = Address::with_last_byte(4);
    let moved = AccountOverride { move_precompile_to: Some(lucky), ..AccountOverride::default() };
    trial.state = over(identity, moved);
    assert_eq!(
        call(&trial, &request(alice.address, lucky, vec![1, 2])).unwrap().output,
        Bytes::from(vec![1, 2])
    );
    assert!(call(&trial, &request(alice.address, identity, vec![1])).unwrap().output.is_empty());
    let both = AccountOverride {
        state: Some(Default::default()),
        state_diff: Some(Default::default()),
        ..AccountOverride::default()
    };
    trial.state = over(TOKEN, both);
    assert!(matches!(call(&trial, &sends), Err(CallError::Invalid(_))));
}

#[test]
fn a_call_sees_a_pretended_block() {
    let (chain, alice) = chain();
    let mut trial = trial(&chain);
    // NUMBER, TIMESTAMP, COINBASE, PREVRANDAO, GASLIMIT, BASEFEE, BLOCKHASH(1000), one word each.
    let all = code("43600052 42602052 41604052 44606052 45608052 4860a052 6103e84060c052 60e06000f3");
    let shows = Address::repeat_byte(0x78);
    let show = alloy_rpc_types_eth::state::AccountOverride { code: Some(all), ..Default::default() };
    trial.state = over(shows, show);
    trial.block = serde_json::from_value(serde_json::json!({
        "number": "0x3ea", "time": "0x5", "feeRecipient": Address::repeat_byte(1), "prevRandao": B256::repeat_byte(2),
        "gasLimit": "0x1000000", "baseFeePerGas": "0x3", "blockHash": {"1000": B256::repeat_byte(4)},
    }))
    .unwrap();
    let output = call(&trial, &request(alice.address, shows, vec![])).unwrap().output;
    let words: Vec<B256> = output.chunks(32).map(B256::from_slice).collect();
    let expected = [
        word(0x3ea),
        word(5),
        Address::repeat_byte(1).into_word(),
        B256::repeat_byte(2),
        word(0x1000000),
        word(3),
        B256::repeat_byte(4),
    ];
    assert_eq!(words, expected);
    trial.block.number = Some(U256::MAX);
    assert!(matches!(call(&trial, &request(alice.address, shows, vec![])), Err(CallError::Invalid(_))));
}

#[test]
fn an_access_list_names_what_a_call_touches_and_makes_it_no_dearer() {
    let (chain, alice) = chain();
    let trial = trial(&chain);
    let request = request(alice.address, FORWARDER, transfer_input(LOOPER, 0));
    let found = create_access_list(&trial, &request).unwrap();
    assert_eq!(found.status, CallStatus::Success);
    let token = found.access_list.0.iter().find(|item| item.address == TOKEN).unwrap();
    let holder = |address: Address| B256::from(U256::from_be_bytes(address.into_word().0));
    assert!(token.storage_keys.contains(&holder(FORWARDER)) && token.storage_keys.contains(&holder(LOOPER)));
    let with = CallRequest { access_list: found.access_list, ..request };
    assert_eq!(call(&trial, &with).unwrap().gas_used, found.gas_used);
}

#[test]
fn call_objects_are_read_strictly() {
    let read = |json: serde_json::Value| {
        CallRequest::try_from(
            serde_json::from_value::<alloy_rpc_types_eth::TransactionRequest>(json).unwrap(),
        )
    };
    let plain = read(serde_json::json!({"to": TOKEN, "data": "0x01", "gasPrice": "0x0"})).unwrap();
    assert_eq!((plain.to, plain.input.as_ref(), plain.gas_price), (Some(TOKEN), &[1][..], None));
    assert!(plain.pays_nothing());
    assert!(read(serde_json::json!({"data": "0x01", "input": "0x02"})).is_err());
    assert!(read(serde_json::json!({"data": "0x01", "input": "0x01"})).is_ok());
    assert!(read(serde_json::json!({"gasPrice": "0x1", "maxFeePerGas": "0x1"})).is_err());
    assert!(read(serde_json::json!({"maxFeePerBlobGas": "0x1"})).is_err());
    let (chain, _) = chain();
    let other = CallRequest { chain_id: Some(5), ..plain };
    assert!(matches!(call(&trial(&chain), &other), Err(CallError::Invalid(why)) if why.contains("chain 5")));
}

#[test]
fn a_call_ends_when_its_time_is_over() {
    let (chain, alice) = chain();
    let trial = Trial { stop: Some(&|| true), ..trial(&chain) };
    let request = request(alice.address, TOKEN, vec![]);
    for error in [call(&trial, &request).unwrap_err(), estimate_gas(&trial, &request).unwrap_err()] {
        assert!(matches!(error, CallError::State(StateError::Stopped)), "{error}");
    }
}

#[test]
fn an_estimate_asks_for_no_more_than_the_sender_can_pay() {
    let (chain, alice) = chain();
    // 10⁹ wei at a price of 20,000: 50,000 gas.
    let mut costly = request(alice.address, TOKEN, transfer_input(FORWARDER, 1));
    costly.gas_price = Some(20_000);
    let estimate = estimate_gas(&trial(&chain), &costly);
    assert!(matches!(estimate, Err(CallError::Halted { cap: 50_000, .. })), "{estimate:?}");
    costly.gas_price = Some(10_000);
    assert!(estimate_gas(&trial(&chain), &costly).unwrap() <= 100_000);
}
