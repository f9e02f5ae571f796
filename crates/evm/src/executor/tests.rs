use super::*;
use crate::state::{EmptyState, Overlay};
use crate::testing::*;
use crate::{EmptyApp, GenesisAccount};
use alloy_consensus::{TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{address, keccak256};

const TOKEN: Address = address!("0x0000000000000000000000000000000000007000");
const RECORDER: Address = address!("0x0000000000000000000000000000000000007001");
const REVERTER: Address = address!("0x0000000000000000000000000000000000007002");
const LOOPER: Address = address!("0x0000000000000000000000000000000000007003");
const PAYER: Address = address!("0x0000000000000000000000000000000000007004");
const ETHER: u64 = 1_000_000_000_000_000_000;

fn chain() -> (TestChain, Wallet, Wallet) {
    let (alice, bob) = (Wallet::new(1), Wallet::new(2));
    let mut token = GenesisAccount::contract(token_code());
    let holder = |wallet: &Wallet| U256::from_be_bytes(wallet.address.into_word().0);
    token.storage.insert(holder(&alice), U256::from(1_000));
    let mut payer = GenesisAccount::contract(code("6000600060006000 47 33 5af1 00"));
    payer.balance = U256::from(50);
    let chain = TestChain::new(&[
        (alice.address, GenesisAccount::funded(U256::from(ETHER))),
        (bob.address, GenesisAccount::funded(U256::from(ETHER))),
        (TOKEN, token),
        (RECORDER, GenesisAccount::contract(recorder_code())),
        (REVERTER, GenesisAccount::contract(code("6001600055 600060005260206000fd"))),
        (LOOPER, GenesisAccount::contract(code("60016000555b600556"))),
        (PAYER, payer),
    ]);
    (chain, alice, bob)
}

fn firing(to: Address, gas: u64) -> Firing {
    Firing { height: 1, ordinal: 0, registration: 9, gas, to, input: Bytes::from(vec![0x11; 32]) }
}

fn balance_slot(address: Address) -> U256 {
    U256::from_be_bytes(address.into_word().0)
}

#[test]
fn token_transfers_move_balances_and_log() {
    let (mut chain, alice, bob) = chain();
    let ((), block) = chain.block(|executor| {
        for nonce in 0..3 {
            let tx = alice.call(nonce, TOKEN, 0, transfer_input(bob.address, 100));
            assert!(executor.transaction(&tx).unwrap().success);
        }
        let tx = bob.call(0, TOKEN, 0, transfer_input(alice.address, 301));
        let outcome = executor.transaction(&tx).unwrap();
        assert!(!outcome.success, "bob holds 300");
    });
    assert_eq!(chain.state.storage(&TOKEN, &balance_slot(alice.address)).unwrap(), U256::from(700));
    assert_eq!(chain.state.storage(&TOKEN, &balance_slot(bob.address)).unwrap(), U256::from(300));
    assert_eq!(block.receipts.len(), 4);
    assert_eq!(block.receipts[0].logs.len(), 1);
    assert_eq!(block.receipts[0].logs[0].topics()[2], bob.address.into_word());
    assert!(block.receipts[3].logs.is_empty());
    assert_eq!(block.receipts[3].cumulative_gas_used, block.header.gas_used);
    assert_eq!(block.receipts.iter().map(|r| r.gas_used).sum::<u64>(), block.header.gas_used);
    assert_eq!(block.header.logs_bloom, block.receipts[0].bloom);
    // Tips go to the beneficiary, the base fee is burnt.
    assert_eq!(chain.balance(chain.head.beneficiary), U256::from(2 * block.header.gas_used));
    let paid: u64 = block.receipts[..3].iter().map(|r| r.gas_used).sum::<u64>() * (BASE_FEE + 2);
    assert_eq!(chain.balance(alice.address), U256::from(ETHER - paid));
    assert_eq!(block.receipts[0].effective_gas_price, u128::from(BASE_FEE + 2));
}

#[test]
fn the_header_is_an_osaka_header() {
    let (mut chain, alice, bob) = chain();
    let context = chain.head;
    let ((), block) = chain.block(|executor| {
        executor.transaction(&alice.call(0, bob.address, 5, vec![])).unwrap();
        executor.firing(&firing(RECORDER, 200_000)).unwrap();
    });
    let header = &block.header;
    assert_eq!(header.number, context.number);
    assert_eq!(header.parent_hash, context.parent_hash);
    assert_eq!(header.mix_hash, context.prev_randao);
    assert_eq!(header.base_fee_per_gas, Some(BASE_FEE));
    assert_eq!(block.hash, header.hash_slow());
    assert_eq!(block.changes.block_hashes[&1], block.hash);
    // The encoding has exactly the fields of a Prague and Osaka header, and survives a round trip.
    let raw = alloy_rlp::encode(header);
    assert_eq!(<Header as alloy_rlp::Decodable>::decode(&mut raw.as_slice()).unwrap(), *header);
    let count = {
        let mut body = alloy_rlp::Header::decode_bytes(&mut raw.as_slice(), true).unwrap();
        let mut count = 0;
        while !body.is_empty() {
            let item = alloy_rlp::Header::decode(&mut body).unwrap();
            body = &body[item.payload_length..];
            count += 1;
        }
        count
    };
    assert_eq!(count, 21);
    let encoded: Vec<Vec<u8>> = block.transactions.iter().map(TriadTx::encoded_2718).collect();
    assert_eq!(encoded[1][0], FIRING_TX_TYPE);
    assert_eq!(header.transactions_root, alloy_trie::root::ordered_trie_root_encoded(&encoded));
    let receipts: Vec<Vec<u8>> = block
        .receipts
        .iter()
        .map(|receipt| {
            let mut out = Vec::new();
            receipt.encode_2718(&mut out);
            out
        })
        .collect();
    assert_eq!(receipts[1][0], FIRING_TX_TYPE);
    assert_eq!(header.receipts_root, alloy_trie::root::ordered_trie_root_encoded(&receipts));
}

#[test]
fn an_empty_block_keeps_the_state_root() {
    let (mut chain, ..) = chain();
    let root = chain.head.parent_state_root;
    let ((), block) = chain.block(|_| ());
    assert_eq!(block.header.state_root, root);
    assert!(block.changes.accounts.is_empty() && block.changes.nodes.is_empty());
}

#[test]
fn a_firing_calls_from_nobody_for_nothing() {
    let (mut chain, ..) = chain();
    let (outcome, block) = chain.block(|executor| executor.firing(&firing(RECORDER, 200_000)).unwrap());
    assert!(outcome.success);
    assert_eq!(outcome.gas_used, block.header.gas_used);
    assert_eq!(chain.slot(RECORDER, 0), U256::from_be_bytes(FIRING_CALLER.into_word().0));
    assert_eq!(chain.slot(RECORDER, 1), U256::ZERO);
    assert_eq!(chain.slot(RECORDER, 2), U256::from_be_bytes([0x11; 32]));
    assert_eq!(chain.slot(RECORDER, 3), U256::ZERO);
    assert_eq!(chain.slot(RECORDER, 4), U256::from_be_bytes(FIRING_CALLER.into_word().0));
    assert_eq!(chain.state.account(&FIRING_CALLER).unwrap(), None);
    let receipt = &block.receipts[0];
    assert_eq!(receipt.tx_type, FIRING_TX_TYPE);
    assert_eq!(receipt.logs.len(), 1);
    assert_eq!(receipt.effective_gas_price, u128::from(BASE_FEE));
    assert_eq!(block.transactions[0].hash(), firing(RECORDER, 200_000).hash());
    assert_eq!(chain.balance(chain.head.beneficiary), U256::ZERO);
}

#[test]
fn a_firing_that_fails_harms_nobody() {
    let (mut chain, alice, bob) = chain();
    let (outcomes, block) = chain.block(|executor| {
        let failed = [
            executor.firing(&firing(REVERTER, 100_000)).unwrap(),
            executor.firing(&firing(LOOPER, 60_000)).unwrap(),
            executor.firing(&firing(RECORDER, 20_000)).unwrap(),
            executor.firing(&firing(RECORDER, 16_777_217)).unwrap(),
        ];
        assert!(executor.firing(&firing(RECORDER, 200_000)).unwrap().success);
        assert!(executor.transaction(&alice.call(0, bob.address, 1, vec![])).unwrap().success);
        failed
    });
    assert!(outcomes.iter().all(|outcome| !outcome.success));
    assert!(outcomes[0].gas_used < 100_000, "a revert gives the rest back");
    assert_eq!(outcomes[0].output.len(), 32);
    assert_eq!(outcomes[1].gas_used, 60_000);
    assert_eq!(outcomes[2].gas_used, 20_000, "under the intrinsic cost");
    assert_eq!(outcomes[3].gas_used, 16_777_217, "over the cap of a transaction");
    assert_eq!(block.receipts.len(), 6);
    assert!(block.receipts[..4].iter().all(|r| !r.success && r.logs.is_empty()));
    assert_eq!(chain.slot(REVERTER, 0), U256::ZERO);
    assert_eq!(chain.slot(LOOPER, 0), U256::ZERO);
    assert_eq!(chain.state.account(&FIRING_CALLER).unwrap(), None);
}

#[test]
fn what_is_paid_to_the_firing_caller_is_out_of_reach() {
    let (mut chain, alice, _) = chain();
    chain.block(|executor| executor.firing(&firing(PAYER, 100_000)).unwrap());
    let caller = chain.state.account(&FIRING_CALLER).unwrap().unwrap();
    assert_eq!((caller.nonce, caller.balance), (0, U256::from(50)));
    // Neither later firings nor an ordinary transaction spends it, and its nonce never moves.
    chain.block(|executor| {
        assert!(executor.firing(&firing(RECORDER, 200_000)).unwrap().success);
        assert!(executor.transaction(&alice.call(0, RECORDER, 0, vec![])).unwrap().success);
    });
    let caller = chain.state.account(&FIRING_CALLER).unwrap().unwrap();
    assert_eq!((caller.nonce, caller.balance), (0, U256::from(50)));
}

#[test]
fn a_spoofed_firing_shows_its_real_sender() {
    let (mut chain, alice, _) = chain();
    chain.block(|executor| {
        let tx = alice.call(0, RECORDER, 0, vec![0x11; 32]);
        assert!(executor.transaction(&tx).unwrap().success);
    });
    assert_eq!(chain.slot(RECORDER, 0), balance_slot(alice.address));
}

#[test]
fn a_firing_must_fit_into_the_block() {
    let (mut chain, ..) = chain();
    chain.head.gas_limit = 100_000;
    chain.block(|executor| {
        assert!(matches!(executor.firing(&firing(RECORDER, 100_001)), Err(StateError::Rule(_))));
        executor.firing(&firing(LOOPER, 90_000)).unwrap();
        assert!(matches!(executor.firing(&firing(RECORDER, 10_001)), Err(StateError::Rule(_))));
        assert_eq!(executor.gas_used(), 90_000);
    });
}

#[test]
fn a_system_call_counts_wholly_or_not_at_all() {
    let (mut chain, ..) = chain();
    let (outcomes, block) = chain.block(|executor| {
        let call = |executor: &mut Executor<'_>, to| executor.system_call(to, Bytes::new()).unwrap();
        [
            call(executor, RECORDER),
            call(executor, REVERTER),
            call(executor, LOOPER),
            call(executor, Address::repeat_byte(0x77)),
            call(executor, RECORDER),
        ]
    });
    let [recorded, reverted, looped, nothing, again] = outcomes;
    assert!(recorded.success && again.success);
    assert_eq!(recorded.logs.len(), 1);
    assert!(!reverted.success && reverted.logs.is_empty());
    assert_eq!(reverted.output.len(), 32);
    assert!(!looped.success);
    assert_eq!(looped.gas_used, SYSTEM_CALL_GAS);
    assert_eq!(nothing, SystemOutcome::default());
    assert_eq!(chain.slot(RECORDER, 0), U256::from_be_bytes(SYSTEM_CALLER.into_word().0));
    assert_eq!(chain.slot(REVERTER, 0), U256::ZERO);
    assert_eq!(chain.slot(LOOPER, 0), U256::ZERO);
    assert_eq!(chain.state.account(&SYSTEM_CALLER).unwrap(), None);
    assert_eq!(chain.state.account(&Address::repeat_byte(0x77)).unwrap(), None);
    assert_eq!(block.header.gas_used, 0);
    assert!(block.transactions.is_empty());
}

#[test]
fn an_invalid_transaction_leaves_no_trace() {
    let (mut chain, alice, bob) = chain();
    let poor = Wallet::new(77);
    let base = TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: 100_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(bob.address),
        ..TxEip1559::default()
    };
    let with = |change: &dyn Fn(&mut TxEip1559)| {
        let mut tx = base.clone();
        change(&mut tx);
        alice.sign(tx)
    };
    let huge = U256::from(ETHER) * U256::from(2);
    let invalid: Vec<(&str, RecoveredTx)> = vec![
        ("nonce too high", with(&|tx| tx.nonce = 1)),
        ("insufficient funds", with(&|tx| tx.value = huge)),
        ("insufficient funds", poor.call(0, bob.address, 0, vec![])),
        ("greater than max fee", with(&|tx| tx.max_priority_fee_per_gas = 101)),
        (
            "less than basefee",
            with(&|tx| {
                tx.max_fee_per_gas = u128::from(BASE_FEE - 1);
                tx.max_priority_fee_per_gas = 0;
            }),
        ),
        ("exceeds the gas limit", with(&|tx| tx.gas_limit = 20_999)),
        ("greater than the cap", with(&|tx| tx.gas_limit = 16_777_217)),
        (
            "gas floor",
            with(&|tx| {
                tx.gas_limit = 60_000;
                tx.input = vec![1; 1_000].into();
            }),
        ),
        ("chain ID", with(&|tx| tx.chain_id = CHAIN_ID + 1)),
        (
            "chain ID",
            alice.sign(TxEip2930 { chain_id: 1, gas_limit: 30_000, gas_price: 9, ..Default::default() }),
        ),
        (
            "initcode",
            with(&|tx| {
                tx.to = TxKind::Create;
                tx.gas_limit = 10_000_000;
                tx.input = vec![0; 49_153].into();
            }),
        ),
        (
            "uthorization",
            alice.sign(TxEip7702 {
                chain_id: CHAIN_ID,
                gas_limit: 100_000,
                max_fee_per_gas: 100,
                ..Default::default()
            }),
        ),
        (
            "less than basefee",
            alice.sign(TxLegacy {
                chain_id: Some(CHAIN_ID),
                gas_limit: 30_000,
                gas_price: 1,
                ..Default::default()
            }),
        ),
        ("blob", {
            let tx = alloy_consensus::TxEip4844 { chain_id: CHAIN_ID, ..Default::default() };
            alice.sign::<alloy_consensus::TxEip4844Variant>(tx.into())
        }),
    ];
    let (mut clean, ..) = self::chain();
    let good =
        [alice.call(0, TOKEN, 0, transfer_input(bob.address, 1)), bob.call(0, alice.address, 7, vec![])];
    let ((), block) = chain.block(|executor| {
        for (reason, tx) in &invalid {
            let error = executor.transaction(tx).unwrap_err();
            assert!(error.to_string().contains(reason), "{error} does not speak of {reason}");
        }
        assert!(executor.transaction(&good[0]).unwrap().success);
        assert!(matches!(executor.transaction(&good[0]), Err(TxError::NonceTooLow { tx: 0, account: 1 })));
        for (reason, tx) in &invalid {
            assert!(executor.transaction(tx).is_err() || *reason == "nonce too high");
        }
        assert!(executor.transaction(&good[1]).unwrap().success);
    });
    assert_eq!(block.transactions.len(), 3, "the transaction of nonce 1 became valid");
    let ((), expected) = clean.block(|executor| {
        executor.transaction(&good[0]).unwrap();
        executor.transaction(&invalid[0].1).unwrap();
        executor.transaction(&good[1]).unwrap();
    });
    assert_eq!(block.header, expected.header);
    assert_eq!(block.changes, expected.changes);
}

#[test]
fn the_block_gas_limit_holds() {
    let (mut chain, alice, bob) = chain();
    chain.head.gas_limit = 230_000;
    chain.block(|executor| {
        executor.transaction(&alice.call(0, bob.address, 1, vec![])).unwrap();
        executor.transaction(&alice.call(1, bob.address, 1, vec![])).unwrap();
        let tx = alice.call(2, bob.address, 1, vec![]);
        let error = executor.transaction(&tx).unwrap_err();
        assert!(matches!(error, TxError::BlockGas { limit: 200_000, left: 188_000 }));
    });
    chain.head.gas_limit = 100_000;
    chain.block(|executor| {
        let tx = alice.call(2, bob.address, 1, vec![]);
        assert!(matches!(executor.transaction(&tx), Err(TxError::Invalid(_))), "no block can take it");
    });
}

#[test]
fn contracts_are_created_and_destroyed() {
    let (mut chain, alice, _) = chain();
    let made = alice.address.create(0);
    let runtime = [&recorder_code()[..], &[0]].concat();
    let (outcome, block) =
        chain.block(|executor| executor.transaction(&alice.create(0, deploy_code(&runtime))).unwrap());
    assert!(outcome.success);
    assert_eq!(block.receipts[0].contract_address, Some(made));
    let account = chain.state.account(&made).unwrap().unwrap();
    assert_eq!(account.nonce, 1);
    assert_eq!(account.code_hash, keccak256(&runtime));
    assert_eq!(chain.state.code(&account.code_hash).unwrap().unwrap(), runtime);
    assert_eq!(block.changes.code.len(), 1);
    // Writes a slot, then destroys itself within its own creation: nothing remains (EIP-6780).
    let gone = alice.address.create(1);
    let (outcome, block) = chain.block(|executor| {
        let outcome = executor.transaction(&alice.create(1, code("6001600055 33ff"))).unwrap();
        assert!(executor.transaction(&alice.call(2, made, 0, vec![])).unwrap().success);
        outcome
    });
    assert!(outcome.success);
    assert_eq!(chain.state.account(&gone).unwrap(), None);
    assert_eq!(chain.slot(gone, 0), U256::ZERO);
    assert!(!block.changes.accounts.contains_key(&gone));
    assert_eq!(chain.slot(made, 0), balance_slot(alice.address));
}

#[test]
fn a_delegated_account_runs_its_delegate() {
    let (mut chain, alice, bob) = chain();
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: RECORDER, nonce: 0 };
    let signature = bob.sign_hash(authorization.signature_hash());
    let tx = alice.sign(TxEip7702 {
        chain_id: CHAIN_ID,
        gas_limit: 300_000,
        max_fee_per_gas: 100,
        to: bob.address,
        authorization_list: vec![authorization.into_signed(signature)],
        ..Default::default()
    });
    chain.block(|executor| assert!(executor.transaction(&tx).unwrap().success));
    assert_eq!(chain.slot(bob.address, 0), balance_slot(alice.address));
    // The delegation lasts, also when read back from the state.
    chain.block(|executor| {
        let tx = alice.call(1, bob.address, 3, vec![9; 32]);
        assert!(executor.transaction(&tx).unwrap().success);
        assert!(executor.transaction(&bob.call(1, alice.address, 1, vec![])).unwrap().success);
    });
    assert_eq!(chain.slot(bob.address, 1), U256::from(3));
}

#[test]
fn block_data_reaches_contracts() {
    // Stores number, timestamp, prevrandao, base fee, chain id, coinbase, the parent's hash and its parent's.
    let probe = address!("0x0000000000000000000000000000000000007777");
    let body =
        code("43600055 42600155 44600255 48600355 46600455 41600555 6001430340600655 6002430340600755 00");
    let alice = Wallet::new(1);
    let mut chain = TestChain::new(&[
        (alice.address, GenesisAccount::funded(U256::from(ETHER))),
        (probe, GenesisAccount::contract(body)),
    ]);
    let grandparent = {
        let ((), block) = chain.block(|_| ());
        block.hash
    };
    chain.block(|_| ());
    let context = chain.head;
    chain.block(|executor| assert!(executor.transaction(&alice.call(0, probe, 0, vec![])).unwrap().success));
    let word = |b: B256| U256::from_be_bytes(b.0);
    assert_eq!(chain.slot(probe, 0), U256::from(context.number));
    assert_eq!(chain.slot(probe, 1), U256::from(context.timestamp));
    assert_eq!(chain.slot(probe, 2), word(context.prev_randao));
    assert_eq!(chain.slot(probe, 3), U256::from(BASE_FEE));
    assert_eq!(chain.slot(probe, 4), U256::from(CHAIN_ID));
    assert_eq!(chain.slot(probe, 5), word(context.beneficiary.into_word()));
    assert_eq!(chain.slot(probe, 6), word(context.parent_hash));
    assert_eq!(chain.slot(probe, 7), word(grandparent));
}

#[test]
fn overlays_are_the_state_that_they_will_become() {
    let (mut applied, alice, bob) = chain();
    let base = applied.state.clone();
    let mut context = applied.head;
    let mut layers: Vec<Arc<StateChanges>> = Vec::new();
    for height in 0..6u64 {
        let txs = [
            alice.call(height, TOKEN, 0, transfer_input(bob.address, height)),
            bob.call(2 * height, TOKEN, 0, transfer_input(Address::repeat_byte(height as u8), 1)),
            bob.call(2 * height + 1, RECORDER, height % 2, vec![height as u8; 32]),
        ];
        let run = |executor: &mut Executor<'_>| {
            for tx in &txs {
                executor.transaction(tx).unwrap();
            }
        };
        let overlay = Overlay::new(layers.clone(), &base);
        let mut executor = Executor::new(&overlay, Arc::new(EmptyApp), context);
        run(&mut executor);
        let over = executor.finish().unwrap();
        let ((), block) = applied.block(run);
        assert_eq!(over.header, block.header);
        assert_eq!(over.changes, block.changes);
        context = applied.head;
        layers.insert(0, Arc::new(over.changes));
    }
    let mut merged = StateChanges::default();
    for layer in layers.iter().rev() {
        merged.merge(StateChanges::clone(layer));
    }
    let mut state = base;
    state.apply(&merged);
    assert_eq!(state.nodes, applied.state.nodes);
    assert_eq!(state.accounts, applied.state.accounts);
    assert_eq!(state.storage, applied.state.storage);
}

#[test]
fn genesis_refuses_what_cannot_be() {
    use crate::{GenesisError, genesis};
    let address = Address::repeat_byte(1);
    let funded = GenesisAccount::funded(U256::from(1));
    assert!(matches!(
        genesis(&[(address, funded.clone()), (address, funded.clone())]),
        Err(GenesisError::Twice(_))
    ));
    assert!(matches!(genesis(&[(crate::LOG, funded)]), Err(GenesisError::Precompile(_))));
    let mut storage = GenesisAccount::default();
    storage.storage.insert(U256::from(1), U256::from(1));
    assert!(matches!(genesis(&[(address, storage)]), Err(GenesisError::StorageWithoutContract(_))));
    let (changes, root) = genesis(&[]).unwrap();
    assert_eq!(changes.accounts.len(), 4, "the precompiles");
    assert_ne!(root, alloy_trie::EMPTY_ROOT_HASH);
    let overlay = Overlay::new(vec![Arc::new(changes)], &EmptyState);
    assert_eq!(overlay.account(&crate::LOG).unwrap().unwrap().nonce, 1);
}
