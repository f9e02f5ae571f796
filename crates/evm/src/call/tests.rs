use super::*;
use crate::testing::*;
use crate::{EmptyApp, GenesisAccount};
use alloy_primitives::address;

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

fn app() -> Arc<dyn AppView> {
    Arc::new(EmptyApp)
}

#[test]
fn calls_succeed_revert_and_halt() {
    let (chain, alice) = chain();
    let run = |request: &CallRequest| call(&chain.state, app(), &chain.head, request);
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
    assert_eq!(estimate_gas(&chain.state, app(), &chain.head, &plain).unwrap(), 21_000);
    for (nonce, to) in [TOKEN, FORWARDER].into_iter().enumerate() {
        // The forwarder holds no tokens; a transfer of nothing succeeds.
        let input = transfer_input(LOOPER, 0);
        let request = request(alice.address, to, input.clone());
        let estimate = estimate_gas(&chain.state, app(), &chain.head, &request).unwrap();
        let with = |gas| CallRequest { gas: Some(gas), ..request.clone() };
        let status = |gas| call(&chain.state, app(), &chain.head, &with(gas)).unwrap().status;
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
    let estimate = |request: &CallRequest| estimate_gas(&chain.state, app(), &chain.head, request);
    let revert = request(alice.address, TOKEN, transfer_input(LOOPER, 101));
    assert!(matches!(estimate(&revert), Err(CallError::Reverted(_))));
    let looping = request(alice.address, LOOPER, vec![]);
    assert!(matches!(estimate(&looping), Err(CallError::Halted { cap: 16_777_216, .. })));
    let mut poor = request(Address::repeat_byte(7), TOKEN, vec![]);
    poor.value = U256::from(1);
    assert!(matches!(estimate(&poor), Err(CallError::Invalid(_))));
}
