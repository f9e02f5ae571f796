use super::*;
use crate::testing::{CHAIN_ID, TestChain, Wallet, code, recorder_code, token_code, transfer_input};
use crate::{EmptyApp, GenesisAccount};
use alloy_primitives::address;
use serde_json::{Value, json};

const TOKEN: Address = address!("0x0000000000000000000000000000000000007000");
const RECORDER: Address = address!("0x0000000000000000000000000000000000007001");
/// Stores and returns block hashes: `BLOCKHASH(first word of the input)`.
const HASHER: Address = address!("0x0000000000000000000000000000000000007002");
const LOOPER: Address = address!("0x0000000000000000000000000000000000007003");

fn alice() -> Wallet {
    Wallet::new(1)
}

fn slot(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

/// A chain of one empty block, and that block's header.
fn chain() -> (TestChain, Header) {
    let mut token = GenesisAccount::contract(token_code());
    token.storage.insert(slot(alice().address), U256::from(100));
    let mut chain = TestChain::new(&[
        (alice().address, GenesisAccount::funded(U256::from(1_000_000u64))),
        (TOKEN, token),
        (RECORDER, GenesisAccount::contract(recorder_code())),
        (HASHER, GenesisAccount::contract(code("6000354060005260206000f3"))),
        (LOOPER, GenesisAccount::contract(code("5b600056"))),
    ]);
    let ((), block) = chain.block(|_| ());
    (chain, block.header)
}

fn run(payload: Value) -> Result<Vec<SimulatedBlock>, SimulateError> {
    let (chain, header) = chain();
    let payload: SimulatePayload = serde_json::from_value(payload).unwrap();
    let app: Arc<dyn AppView> = Arc::new(EmptyApp);
    simulate(&chain.state, &app, &header, CHAIN_ID, &payload, None)
}

fn code_of(payload: Value) -> i32 {
    match run(payload).unwrap_err() {
        SimulateError::Refused { code, .. } => code,
        SimulateError::State(error) => panic!("{error}"),
    }
}

fn transfer(from: Address, to: Address, amount: u64) -> Value {
    json!({"from": from, "to": TOKEN, "data": Bytes::from(transfer_input(to, amount))})
}

#[test]
fn blocks_build_on_each_other() {
    let bob = Address::repeat_byte(0xb0);
    let blocks = run(json!({"blockStateCalls": [
        {"calls": [transfer(alice().address, bob, 60)]},
        {"calls": [transfer(bob, alice().address, 60), transfer(bob, alice().address, 1)]},
    ]}))
    .unwrap();
    let statuses: Vec<_> = blocks.iter().flat_map(|b| &b.calls).map(|call| call.status.clone()).collect();
    assert_eq!(statuses, [CallStatus::Success, CallStatus::Success, CallStatus::Revert]);
    assert_eq!(blocks[0].calls[0].logs.len(), 1);
    let (first, second) = (&blocks[0].block.header, &blocks[1].block.header);
    assert_eq!((first.number, second.number), (2, 3));
    assert_eq!(second.parent_hash, first.hash_slow());
    assert_eq!(second.timestamp, first.timestamp + 1);
    assert_ne!(second.state_root, first.state_root);
    // Nonces and creations are counted as if each call had been sent.
    assert_eq!(blocks[1].block.transactions.len(), 2);
}

/// A block simulated from a signed transaction's fields has the state root that the block with the transaction has.
#[test]
fn roots_are_those_of_a_real_block() {
    let (mut chain, header) = chain();
    let payload: SimulatePayload = serde_json::from_value(json!({
        "validation": true,
        "blockStateCalls": [{
            "blockOverrides": {"time": format!("{:#x}", chain.head.timestamp), "feeRecipient": chain.head.beneficiary},
            "calls": [{
                "from": alice().address, "to": TOKEN, "gas": "0x30d40", "maxFeePerGas": "0x3e8",
                "maxPriorityFeePerGas": "0x2", "nonce": "0x0", "input": Bytes::from(transfer_input(RECORDER, 5)),
            }],
        }],
    }))
    .unwrap();
    let mut rich = chain.state.clone();
    let account = rich.accounts.get_mut(&alice().address).unwrap();
    assert_eq!(account.balance, U256::from(1_000_000u64));
    // Enough for the fee: set in both, by an override on one side and by genesis on the other.
    let mut payload = payload;
    let balance = U256::from(1u64 << 40);
    let mut wanted = alloy_rpc_types_eth::state::StateOverride::default();
    wanted.insert(
        alice().address,
        alloy_rpc_types_eth::state::AccountOverride { balance: Some(balance), ..Default::default() },
    );
    payload.block_state_calls[0].state_overrides = Some(wanted);
    let app: Arc<dyn AppView> = Arc::new(EmptyApp);
    let simulated = simulate(&chain.state, &app, &header, CHAIN_ID, &payload, None).unwrap().remove(0);

    let mut token = GenesisAccount::contract(token_code());
    token.storage.insert(slot(alice().address), U256::from(100));
    let mut twin = TestChain::new(&[
        (alice().address, GenesisAccount::funded(balance)),
        (TOKEN, token),
        (RECORDER, GenesisAccount::contract(recorder_code())),
        (HASHER, GenesisAccount::contract(code("6000354060005260206000f3"))),
        (LOOPER, GenesisAccount::contract(code("5b600056"))),
    ]);
    twin.block(|_| ());
    let tx = alice().call(0, TOKEN, 0, transfer_input(RECORDER, 5));
    let (outcome, real) = twin.block(|executor| executor.transaction(&tx).unwrap());
    assert!(outcome.success);
    assert_eq!(simulated.block.header.state_root, real.header.state_root);
    assert_eq!(simulated.block.header.receipts_root, real.header.receipts_root);
    assert_eq!(simulated.block.header.gas_used, real.header.gas_used);
    chain.block(|_| ());
}

#[test]
fn accounts_and_blocks_are_pretended() {
    let poor = Address::repeat_byte(0xaa);
    let blocks = run(json!({"blockStateCalls": [
        {
            "stateOverrides": {
                format!("{poor}"): {"balance": "0x64"},
                format!("{TOKEN}"): {"state": {format!("{:#066x}", slot(poor)): format!("{:#066x}", 7)}},
            },
            "calls": [
                {"from": poor, "to": RECORDER, "value": "0x64"},
                transfer(poor, RECORDER, 7),
                // All of the token's storage was replaced: she holds none any more.
                transfer(alice().address, RECORDER, 1),
            ],
        },
        {
            "blockOverrides": {"number": "0xa", "blockHash": {"3": B256::repeat_byte(9)}},
            "calls": [
                transfer(alice().address, RECORDER, 1),
                transfer(RECORDER, poor, 7),
                {"to": HASHER, "input": format!("{:#066x}", 3)},
                {"to": HASHER, "input": format!("{:#066x}", 9)},
            ],
        },
    ]}))
    .unwrap();
    // Block 2, the seven left out, block 10.
    assert_eq!(blocks.len(), 9);
    assert!(blocks[1..8].iter().all(|block| block.calls.is_empty()));
    let good = |block: usize| -> Vec<bool> {
        blocks[block].calls.iter().map(|call| call.status == CallStatus::Success).collect()
    };
    assert_eq!(good(0), [true, true, false]);
    assert_eq!(good(8), [false, true, true, true], "the replaced storage stays so in later blocks");
    assert_eq!(blocks[8].calls[2].output, Bytes::from(B256::repeat_byte(9)));
    assert_eq!(blocks[8].calls[3].output, Bytes::from(blocks[7].block.hash));
    assert_eq!(blocks[8].block.header.number, 10);
}

#[test]
fn transfers_of_ether_can_be_shown_as_logs() {
    let call = json!({"from": alice().address, "to": RECORDER, "value": "0x5"});
    let logs = |trace: bool| {
        let payload = json!({"traceTransfers": trace, "blockStateCalls": [{"calls": [call]}]});
        run(payload).unwrap().remove(0).calls.remove(0).logs
    };
    assert_eq!(logs(false).len(), 1);
    let logs = logs(true);
    assert_eq!(logs.len(), 2);
    assert_eq!(logs[0].address, Address::repeat_byte(0xee));
    assert_eq!(logs[0].data.data, Bytes::from(U256::from(5).to_be_bytes::<32>()));
}

#[test]
fn refusals_have_the_codes_of_the_specification() {
    let from = alice().address;
    let one = |call: Value| json!({"blockStateCalls": [{"calls": [call]}], "validation": true});
    assert_eq!(code_of(json!({"blockStateCalls": []})), INVALID);
    assert_eq!(
        code_of(one(json!({"from": from, "to": TOKEN, "nonce": "0x9", "maxFeePerGas": "0x7"}))),
        NONCE_TOO_HIGH
    );
    assert_eq!(code_of(one(json!({"from": from, "to": TOKEN, "maxFeePerGas": "0x1"}))), BASE_FEE);
    assert_eq!(
        code_of(one(json!({"from": from, "to": TOKEN, "gas": "0x10", "maxFeePerGas": "0x7"}))),
        INTRINSIC_GAS
    );
    assert_eq!(
        code_of(one(
            json!({"from": from, "to": TOKEN, "value": "0xf4241", "gas": "0x5208", "maxFeePerGas": "0x7"})
        )),
        FUNDS
    );
    assert_eq!(code_of(one(json!({"from": from, "to": TOKEN, "gas": "0x77359400"}))), BLOCK_GAS);
    assert_eq!(
        code_of(one(
            json!({"from": TOKEN, "to": TOKEN, "nonce": "0x1", "gas": "0x5208", "maxFeePerGas": "0x7"})
        )),
        NOT_EOA
    );
    let numbers = |a: &str, b: &str| json!({"blockStateCalls": [{"blockOverrides": {"number": a}}, {"blockOverrides": {"number": b}}]});
    assert_eq!(code_of(numbers("0x5", "0x5")), NUMBER);
    assert_eq!(code_of(numbers("0x5", "0x105")), LIMIT);
    let early = json!({"blockStateCalls": [{"blockOverrides": {"time": "0x1"}}]});
    assert_eq!(code_of(early), TIME);
    let moved = |to: &str| {
        json!({"blockStateCalls": [{"stateOverrides": {
            "0x0000000000000000000000000000000000000001": {"movePrecompileToAddress": to},
            "0x0000000000000000000000000000000000000002": {"movePrecompileToAddress": "0x0000000000000000000000000000000000000abc"},
        }}]})
    };
    assert_eq!(code_of(moved("0x0000000000000000000000000000000000000001")), MOVED_TO_ITSELF);
    assert_eq!(code_of(moved("0x0000000000000000000000000000000000000abc")), MOVED_TWICE);
    // Without validation the same calls go through, but for what the sender does not hold.
    let lax = |call: Value| run(json!({"blockStateCalls": [{"calls": [call]}]}));
    assert!(lax(json!({"from": from, "to": TOKEN, "nonce": "0x9"})).is_ok());
    assert!(lax(json!({"from": TOKEN, "to": RECORDER})).is_ok());
    let error = lax(json!({"from": Address::repeat_byte(3), "to": TOKEN, "value": "0x1"})).unwrap_err();
    assert!(matches!(error, SimulateError::Refused { code: FUNDS, .. }));
}

#[test]
fn simulations_are_bounded_in_gas_and_time() {
    let loops = json!({"to": LOOPER, "gas": "0x2faf080"});
    let blocks = run(json!({"blockStateCalls": [
        {"calls": [loops]}, {"calls": [loops]},
    ]}))
    .unwrap();
    assert!(blocks.iter().all(|block| matches!(block.calls[0].status, CallStatus::Halt(_))));
    let all = json!({"blockStateCalls": [{"calls": [loops]}, {"calls": [loops]}, {"calls": [loops]}]});
    assert_eq!(code_of(all), LIMIT);
    let (chain, header) = chain();
    let payload: SimulatePayload =
        serde_json::from_value(json!({"blockStateCalls": [{"calls": [{"to": TOKEN}]}]})).unwrap();
    let app: Arc<dyn AppView> = Arc::new(EmptyApp);
    let error = simulate(&chain.state, &app, &header, CHAIN_ID, &payload, Some(&|| true)).unwrap_err();
    assert!(matches!(error, SimulateError::State(StateError::Stopped)));
}
