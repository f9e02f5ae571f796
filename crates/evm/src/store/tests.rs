use super::*;
use crate::testing::*;
use crate::{
    BlockContext, EmptyApp, EvmBlock, Executor, GenesisAccount, genesis, proof, verify_account_proof,
};
use alloy_primitives::address;
use fjall::PersistMode;
use std::sync::Arc;

const TOKEN: Address = address!("0x0000000000000000000000000000000000007000");

fn commit(database: &Database, store: &EvmStore, changes: &StateChanges) {
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    store.apply(&mut batch, 0, changes, &[]).unwrap();
    batch.commit().unwrap();
    store.committed(changes);
}

fn execute(view: &dyn StateView, context: BlockContext, holders: &[Wallet], height: u64) -> EvmBlock {
    let mut executor = Executor::new(view, Arc::new(EmptyApp), context);
    for (i, wallet) in holders.iter().enumerate() {
        let to = Address::repeat_byte((height as usize * 3 + i) as u8);
        let all = if height.is_multiple_of(3) { 50 } else { 1 };
        let tx = wallet.call(2 * height, TOKEN, 0, transfer_input(to, all));
        executor.transaction(&tx).unwrap();
        executor.transaction(&wallet.call(2 * height + 1, to, 3, vec![])).unwrap();
    }
    if height == 4 {
        let creator = &holders[0];
        executor.transaction(&creator.create(2 * height + 2, deploy_code(&recorder_code()))).unwrap();
    }
    executor.finish().unwrap()
}

#[test]
fn survives_reopening_with_the_same_answers() {
    let directory = tempfile::tempdir().unwrap();
    let holders: Vec<Wallet> = (0..20).map(Wallet::new).collect();
    let mut token = GenesisAccount::contract(token_code());
    let mut alloc = Vec::new();
    for wallet in &holders {
        token.storage.insert(U256::from_be_bytes(wallet.address.into_word().0), U256::from(100));
        alloc.push((wallet.address, GenesisAccount::funded(U256::from(1u64 << 60))));
    }
    alloc.push((TOKEN, token));
    let (changes, root) = genesis(&alloc).unwrap();
    let mut reference = MemState::default();
    reference.apply(&changes);
    let mut context = TestChain::new(&alloc).head;
    assert_eq!(context.parent_state_root, root);

    // Caches so small that they evict all the time.
    let tiny =
        CacheSizes { accounts: 8, slots: 8, node_bytes: 4_096, code_bytes: 1_024, ..CacheSizes::default() };
    let mut database = Database::builder(directory.path()).open().unwrap();
    let mut store = EvmStore::open_with(&database, tiny).unwrap();
    commit(&database, &store, &changes);
    for height in 0..5 {
        let block = execute(&store, context, &holders, height);
        let expected = execute(&reference, context, &holders, height);
        assert_eq!(block.header, expected.header);
        commit(&database, &store, &block.changes);
        reference.apply(&expected.changes);
        assert_eq!(reference.root_from_scratch(), block.header.state_root);
        context.number += 1;
        context.parent_hash = block.hash;
        context.parent_state_root = block.header.state_root;
        if height % 2 == 0 {
            drop(store);
            drop(database);
            database = Database::builder(directory.path()).open().unwrap();
            store = EvmStore::open(&database).unwrap();
        }
    }
    for (address, account) in &reference.accounts {
        assert_eq!(store.account(address).unwrap(), Some(*account));
        let proof = proof(&store, context.parent_state_root, *address, &[]).unwrap();
        verify_account_proof(context.parent_state_root, &proof).unwrap();
    }
    for ((address, slot), value) in &reference.storage {
        assert_eq!(store.storage(address, slot).unwrap(), *value);
    }
    for (hash, code) in &reference.code {
        assert_eq!(store.code(hash).unwrap().as_ref(), Some(code));
    }
    for (number, hash) in &reference.hashes {
        assert_eq!(store.block_hash(*number).unwrap(), *hash);
    }
    assert_eq!(store.nodes.rows(), reference.nodes.len() + 1, "and their height");
    assert_eq!(store.accounts.len().unwrap(), reference.accounts.len());
    assert_eq!(store.storage.len().unwrap(), reference.storage.len());
    assert_eq!(store.account(&Address::repeat_byte(0xee)).unwrap(), None);
    assert_eq!(store.storage(&TOKEN, &U256::MAX).unwrap(), U256::ZERO);
    assert_eq!(store.block_hash(999).unwrap(), B256::ZERO);
}

#[test]
fn keeps_the_last_256_block_hashes() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::builder(directory.path()).open().unwrap();
    let store = EvmStore::open(&database).unwrap();
    for number in 0..300u64 {
        let mut changes = StateChanges::default();
        changes.block_hashes.insert(number, B256::from(U256::from(number + 1)));
        let mut batch = database.batch();
        store.apply(&mut batch, 0, &changes, &[]).unwrap();
        batch.commit().unwrap();
    }
    assert_eq!(store.hashes.len().unwrap(), 256);
    assert_eq!(store.block_hash(43).unwrap(), B256::ZERO);
    assert_eq!(store.block_hash(44).unwrap(), B256::from(U256::from(45)));
}

#[test]
fn damaged_values_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::builder(directory.path()).open().unwrap();
    let store = EvmStore::open(&database).unwrap();
    let address = Address::repeat_byte(5);
    store.accounts.insert(address.as_slice(), [0xc1, 0x01]).unwrap();
    let error = store.account(&address).unwrap_err();
    assert!(error.to_string().contains("damaged account"), "{error}");
    store.storage.insert(slot_key(&address, &U256::ZERO), [1u8; 33]).unwrap();
    assert!(matches!(store.storage(&address, &U256::ZERO), Err(StateError::Corrupt { .. })));
}

#[test]
fn accounts_are_stored_in_a_fixed_form() {
    let plain = Account { nonce: 5, balance: U256::from(1_000), ..Account::default() };
    assert_eq!(encode_account(&plain), [0xc6, 0x05, 0x82, 0x03, 0xe8, 0x80, 0x80]);
    let contract = Account {
        nonce: 1,
        balance: U256::MAX,
        code_hash: B256::repeat_byte(1),
        storage_root: B256::repeat_byte(2),
    };
    for account in [plain, contract, Account::default()] {
        let bytes = encode_account(&account);
        assert_eq!(decode_account(&bytes), Some(account));
        assert_eq!(decode_account(&bytes[..bytes.len() - 1]), None);
    }
}

#[test]
fn readers_never_bring_an_old_value_back() {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let directory = tempfile::tempdir().unwrap();
    let database = Database::builder(directory.path()).open().unwrap();
    // One entry's room: loading and evicting all the time.
    let sizes =
        CacheSizes { accounts: 1, slots: 1, node_bytes: 300, code_bytes: 300, ..CacheSizes::default() };
    let store = EvmStore::open_with(&database, sizes).unwrap();
    let addresses: Vec<Address> = (0..4).map(Address::repeat_byte).collect();
    let key = NodeKey { owner: None, path: alloy_trie::Nibbles::new() };
    let (committed, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let start = std::time::Instant::now();
                while !stop.load(Ordering::Acquire) && start.elapsed().as_secs() < 60 {
                    for address in &addresses {
                        let at_least = committed.load(Ordering::Acquire);
                        let seen = store.account(address).unwrap().unwrap_or_default().nonce;
                        assert!(seen >= at_least, "{address}: {seen} after {at_least} was committed");
                    }
                    let at_least = committed.load(Ordering::Acquire);
                    let seen = store.node(&key).unwrap().unwrap_or_default();
                    let seen = seen.last_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                    assert!(seen >= at_least, "{key}: {seen} after {at_least} was committed");
                }
            });
        }
        for nonce in 1..=400 {
            let mut changes = StateChanges::default();
            for address in &addresses {
                changes.accounts.insert(*address, Some(Account { nonce, ..Account::default() }));
            }
            // A leaf and an extension in turn: cached or not.
            let mut node = vec![0xca, 0x20 * (nonce % 2) as u8, 0x88];
            node.extend_from_slice(&nonce.to_be_bytes());
            changes.nodes.insert(key, Some(node.into()));
            let mut batch = database.batch();
            store.apply(&mut batch, 0, &changes, &[]).unwrap();
            batch.commit().unwrap();
            store.committed(&changes);
            committed.store(nonce, Ordering::Release);
        }
        stop.store(true, Ordering::Release);
    });
}
