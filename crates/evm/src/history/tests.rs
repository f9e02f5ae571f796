mod tries;

use super::*;
use crate::testing::*;
use crate::{
    CacheSizes, EvmBlock, Executor, GenesisAccount, SystemCall, genesis, proof, verify_account_proof,
};
use alloy_primitives::address;
use fjall::{Database, PersistMode};
use proptest::prelude::*;

const TOKEN: Address = address!("0x0000000000000000000000000000000000007000");

const HOLDERS: u64 = 6;

/// A chain in memory, with a full copy of the state after every block, and the same chain in a store.
struct Twin {
    directory: tempfile::TempDir,
    database: Option<Database>,
    store: Option<EvmStore>,
    chain: TestChain,
    copies: Vec<MemState>,
    nonces: Vec<u64>,
    sizes: CacheSizes,
}

/// Trie nodes are written by every block.
const AT_ONCE: CacheSizes =
    CacheSizes { accounts: 100, slots: 100, node_bytes: 1 << 20, waiting_node_bytes: 0, code_bytes: 1 << 20 };

fn accounts() -> Vec<(Address, GenesisAccount)> {
    let mut token = GenesisAccount::contract(token_code());
    let mut alloc = Vec::new();
    for holder in (0..HOLDERS).map(Wallet::new) {
        token.storage.insert(U256::from_be_bytes(holder.address.into_word().0), U256::from(100));
        alloc.push((holder.address, GenesisAccount::funded(U256::from(1u64 << 60))));
    }
    alloc.push((TOKEN, token));
    alloc
}

impl Twin {
    fn new(window: u64) -> Twin {
        Twin::with(window, CacheSizes::default())
    }

    fn with(window: u64, sizes: CacheSizes) -> Twin {
        let alloc = accounts();
        let mut twin = Twin {
            directory: tempfile::tempdir().unwrap(),
            database: None,
            store: None,
            chain: TestChain::new(&alloc),
            copies: Vec::new(),
            nonces: vec![0; HOLDERS as usize],
            sizes,
        };
        twin.open();
        twin.commit(0, &genesis(&alloc).unwrap().0, &[]);
        twin.store().keep_history(twin.database(), window, 0).unwrap();
        twin.copies.push(twin.chain.state.clone());
        twin
    }

    fn open(&mut self) {
        self.store = None;
        self.database = None;
        let database = Database::builder(self.directory.path()).open().unwrap();
        self.store = Some(EvmStore::open_with(&database, self.sizes).unwrap());
        self.database = Some(database);
    }

    fn store(&self) -> &EvmStore {
        self.store.as_ref().unwrap()
    }

    fn database(&self) -> &Database {
        self.database.as_ref().unwrap()
    }

    fn head(&self) -> u64 {
        self.copies.len() as u64 - 1
    }

    fn restart(&mut self, window: u64) {
        self.open();
        self.store().keep_history(self.database(), window, self.head()).unwrap();
    }

    fn commit(&self, height: u64, changes: &StateChanges, calls: &[SystemCall]) {
        let mut batch = self.database.as_ref().unwrap().batch().durability(Some(PersistMode::SyncAll));
        self.store().apply(&mut batch, height, changes, calls).unwrap();
        batch.commit().unwrap();
        self.store().committed(changes);
    }

    /// Executes and commits a block; each act is (who, what, where to).
    fn block(&mut self, acts: &[(u8, u8, u8)]) -> EvmBlock {
        let nonces = &mut self.nonces;
        let run = |executor: &mut Executor<'_>| {
            for (who, what, to) in acts {
                let who = usize::from(*who) % HOLDERS as usize;
                let wallet = Wallet::new(who as u64);
                let nonce = nonces[who];
                let to = match to % 3 {
                    0 => Wallet::new(u64::from(*to) % HOLDERS).address,
                    _ => Address::repeat_byte(*to),
                };
                let tx = match what % 4 {
                    0 => wallet.call(nonce, to, 3, vec![]),
                    // All, some or too much of the token: slots come, change and go.
                    1 => wallet.call(nonce, TOKEN, 0, transfer_input(to, u64::from(*what) % 101)),
                    2 => wallet.call(nonce, TOKEN, 0, transfer_input(to, 100)),
                    // SSTORE, then SELFDESTRUCT in the constructor: made and gone in one transaction.
                    _ if what % 8 == 3 => wallet.create(nonce, code("6001600055 33ff")),
                    _ => wallet.create(nonce, deploy_code(&recorder_code())),
                };
                executor.transaction(&tx).unwrap();
                nonces[who] += 1;
            }
        };
        let ((), block) = self.chain.block(run);
        self.commit(block.header.number, &block.changes, &[]);
        self.copies.push(self.chain.state.clone());
        block
    }

    /// The state after `height` as the store tells it is the full copy.
    fn compare(&self, height: u64) {
        let store = self.store();
        let kept = store.keep(height).unwrap();
        let past = store.past(&kept);
        self.compare_view(&past, height);
    }

    fn compare_view(&self, past: &PastState<'_>, height: u64) {
        let copy = &self.copies[height as usize];
        let newest = &self.copies[self.head() as usize];
        for address in copy.accounts.keys().chain(newest.accounts.keys()) {
            assert_eq!(
                past.account(address).unwrap(),
                copy.account(address).unwrap(),
                "{address} at {height}"
            );
        }
        for (address, slot) in copy.storage.keys().chain(newest.storage.keys()) {
            let expected = copy.storage(address, slot).unwrap();
            assert_eq!(past.storage(address, slot).unwrap(), expected, "{address} {slot} at {height}");
        }
        for key in copy.nodes.keys().chain(newest.nodes.keys()) {
            assert_eq!(past.node(key).unwrap(), copy.node(key).unwrap(), "{key} at {height}");
        }
        for (hash, code) in &copy.code {
            assert_eq!(past.code(hash).unwrap().as_ref(), Some(code));
        }
    }

    /// Everybody's proofs verify against the state root of the block, in somebody else's verifier.
    fn prove(&self, height: u64) {
        let kept = self.store().keep(height).unwrap();
        let past = self.store().past(&kept);
        let copy = &self.copies[height as usize];
        let root = copy.root_from_scratch();
        let absent = Address::repeat_byte(0xee);
        for address in copy.accounts.keys().chain([&absent]) {
            let slots: Vec<B256> = copy
                .storage
                .range((*address, U256::ZERO)..=(*address, U256::MAX))
                .map(|((_, slot), _)| B256::from(*slot))
                .chain([B256::repeat_byte(7)])
                .collect();
            let proof = proof(&past, root, *address, &slots).unwrap();
            assert_eq!(proof.balance, copy.account(address).unwrap().unwrap_or_default().balance);
            verify_account_proof(root, &proof).unwrap();
        }
    }
}

fn entries(store: &EvmStore) -> usize {
    store.history.space.len().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Block(Vec<(u8, u8, u8)>),
    Restart(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(any::<(u8, u8, u8)>(), 0..6).prop_map(Step::Block),
        1 => prop_oneof![1u64..9, Just(IN_MEMORY + 1)].prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_kept_state_equals_a_full_copy(window in 1u64..9, steps in prop::collection::vec(step(), 1..40)) {
        let mut twin = Twin::new(window);
        let (mut window, mut oldest) = (window, 0);
        for step in steps {
            match step {
                Step::Block(acts) => { twin.block(&acts); }
                Step::Restart(new) => { window = new; twin.restart(window); }
            }
            oldest = twin.head().saturating_sub(window).max(oldest);
            prop_assert_eq!(twin.store().oldest(), oldest);
            for height in oldest..=twin.head() {
                twin.compare(height);
            }
            if let Some(older) = oldest.checked_sub(1) {
                prop_assert_eq!(twin.store().keep(older).unwrap_err(), NotKept { height: older, oldest });
            }
        }
        twin.prove(oldest);
        twin.prove(twin.head());
    }
}

#[test]
fn an_archive_tells_every_state_and_proves_it() {
    let mut twin = Twin::new(ARCHIVE);
    for height in 0..30u8 {
        twin.block(&[(height, height, height.wrapping_mul(37)), (height / 2, 2, 5), (1, 3, height)]);
    }
    twin.restart(ARCHIVE);
    assert_eq!(twin.store().oldest(), 0);
    for height in 0..=30 {
        twin.compare(height);
        twin.prove(height);
    }
}

#[test]
fn a_block_that_changes_nothing_writes_nothing_and_old_diffs_go() {
    let mut twin = Twin::with(4, AT_ONCE);
    // The window itself.
    assert_eq!(entries(twin.store()), 1);
    for _ in 0..10 {
        twin.block(&[]);
    }
    assert_eq!(entries(twin.store()), 1);
    twin.block(&[(0, 0, 1)]);
    let one = entries(twin.store());
    assert_eq!(one, 2);
    for _ in 0..3 {
        twin.block(&[]);
        assert_eq!(entries(twin.store()), one, "the state before that block is still kept");
    }
    twin.block(&[]);
    assert_eq!(entries(twin.store()), 1);
    // A window made smaller is caught up with.
    for i in 0..6 {
        twin.block(&[(i, 0, 1)]);
    }
    twin.restart(1);
    assert_eq!(twin.store().oldest(), twin.head() - 1);
    twin.block(&[]);
    twin.block(&[]);
    assert_eq!(entries(twin.store()), 1);
}

#[test]
fn a_directory_without_history_begins_at_its_head() {
    let mut twin = Twin::new(1);
    twin.block(&[(0, 0, 1)]);
    twin.store().history.space.remove(META).unwrap();
    twin.restart(ARCHIVE);
    assert_eq!(twin.store().oldest(), 1);
    twin.block(&[(0, 0, 1)]);
    twin.compare(1);
    let error = twin.store().keep(0).unwrap_err().to_string();
    assert!(
        error.contains("block 0 is not kept") && error.contains("block 1") && error.contains("--archive")
    );
}

#[test]
fn pruning_waits_for_whoever_reads() {
    let mut twin = Twin::new(2);
    twin.block(&[(0, 1, 1)]);
    twin.block(&[(1, 2, 2)]);
    let kept = twin.store().keep(1).unwrap();
    let again = twin.store().keep(1).unwrap();
    for i in 0..20 {
        twin.block(&[(i, i, i)]);
    }
    assert_eq!(twin.store().oldest(), 1);
    twin.compare_view(&twin.store().past(&kept), 1);
    drop(kept);
    twin.block(&[]);
    assert_eq!(twin.store().oldest(), 1, "one reader is left");
    drop(again);
    twin.block(&[]);
    assert_eq!(twin.store().oldest(), twin.head() - 2);
    assert!(twin.store().keep(1).is_err());
    twin.compare(twin.head() - 2);
}

#[test]
fn a_state_stays_as_it_is_while_blocks_are_committed() {
    use std::sync::atomic::AtomicBool;
    let mut twin = Twin::new(3);
    twin.block(&[(0, 2, 1), (1, 0, 2), (2, 3, 3)]);
    let copy = twin.copies[1].clone();
    let Twin { store, database, chain, nonces, .. } = &mut twin;
    let (store, database) = (store.as_ref().unwrap(), database.as_ref().unwrap());
    let kept = store.keep(1).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0u32;
            while !stop.load(Ordering::SeqCst) || rounds == 0 {
                let past = store.past(&kept);
                for (address, account) in &copy.accounts {
                    assert_eq!(past.account(address).unwrap(), Some(*account));
                }
                for ((address, slot), value) in &copy.storage {
                    assert_eq!(past.storage(address, slot).unwrap(), *value);
                }
                rounds += 1;
            }
            rounds
        });
        // Everybody asks for himself: the head moves on while the tries are made and read.
        let prover = scope.spawn(|| {
            let root = copy.root_from_scratch();
            let mut rounds = 0u32;
            while !stop.load(Ordering::SeqCst) || rounds == 0 {
                let kept = store.keep(1).unwrap();
                for address in copy.accounts.keys() {
                    let proof = proof(&store.past(&kept), root, *address, &[]).unwrap();
                    verify_account_proof(root, &proof).unwrap();
                }
                rounds += 1;
            }
            rounds
        });
        for round in 0..60 {
            let ((), block) = chain.block(|executor: &mut Executor<'_>| {
                for (who, nonce) in nonces.iter_mut().enumerate() {
                    let to = Wallet::new((who as u64 + round) % HOLDERS).address;
                    let tx = Wallet::new(who as u64).call(*nonce, TOKEN, 1, transfer_input(to, 1));
                    executor.transaction(&tx).unwrap();
                    *nonce += 1;
                }
            });
            let mut batch = database.batch();
            store.apply(&mut batch, block.header.number, &block.changes, &[]).unwrap();
            batch.commit().unwrap();
            store.committed(&block.changes);
        }
        stop.store(true, Ordering::SeqCst);
        assert!(reader.join().unwrap() > 0);
        assert!(prover.join().unwrap() > 0);
    });
}

#[test]
fn system_calls_are_kept_as_long_as_the_state_before_them() {
    let mut twin = Twin::with(2, AT_ONCE);
    let calls = vec![
        SystemCall { before: 0, to: TOKEN, input: Bytes::from_static(&[1, 2]) },
        SystemCall { before: 3, to: Address::ZERO, input: Bytes::new() },
    ];
    let (_, block) = twin.chain.block(|_| ());
    twin.commit(1, &block.changes, &calls);
    twin.copies.push(twin.chain.state.clone());
    twin.restart(2);
    for _ in 0..2 {
        assert_eq!(twin.store().system_calls(1).unwrap(), calls);
        twin.block(&[]);
    }
    assert!(twin.store().system_calls(1).unwrap().is_empty());
    assert_eq!(entries(twin.store()), 1);
}

/// The form on disk: a change here needs a new version of the store.
#[test]
fn the_history_is_stored_in_a_fixed_form() {
    let twin = Twin::new(2);
    let (address, slot) = (Address::repeat_byte(0xaa), U256::from(0x1234));
    let mut first = StateChanges::default();
    first.accounts.insert(address, Some(Account { nonce: 5, ..Account::default() }));
    first.storage.insert((address, slot), U256::from(0x0a0b));
    twin.commit(1, &first, &[]);
    let mut second = StateChanges::default();
    second.accounts.insert(address, None);
    second.storage.insert((address, slot), U256::ZERO);
    let call = SystemCall { before: 1, to: address, input: Bytes::from_static(&[7]) };
    twin.commit(2, &second, &[call]);

    let aa = "aa".repeat(20);
    let word = format!("{:064x}", 0x1234);
    let (one, two) = ("0000000000000001", "0000000000000002");
    let names = [format!("01{aa}"), format!("02{aa}{word}"), "05".to_owned()];
    let diff = |olds: &[&str], indexed: &str| -> String {
        let entries: Vec<String> =
            names.iter().zip(olds).map(|(name, old)| format!("{:02x}{name}{old}", name.len() / 2)).collect();
        let mut end = 0;
        let ends: String = entries
            .iter()
            .map(|entry| {
                end += entry.len() / 2;
                format!("{end:08x}")
            })
            .collect();
        format!("{indexed}{:08x}{ends}{}", entries.len(), entries.concat())
    };
    let calls = format!("d8d70194{aa}07");
    let olds: [&[&str]; 2] = [&["", ""], &["c405808080", "0a0b", &calls]];
    let mut expected = vec![
        ("00".to_owned(), format!("{:016x}{two}", 0)),
        (format!("01{one}"), diff(olds[0], "00")),
        (format!("01{two}"), diff(olds[1], "00")),
    ];
    let hex = |bytes: &[u8]| alloy_primitives::hex::encode(bytes);
    let stored = |twin: &Twin| -> Vec<(String, String)> {
        let rows = twin.store().history.space.iter().map(|guard| guard.into_inner().unwrap());
        rows.map(|(key, value)| (hex(&key), hex(&value))).collect()
    };
    assert_eq!(stored(&twin), expected);
    // A long window has rows by name beside them.
    let window = IN_MEMORY + 1;
    twin.store().keep_history(twin.database(), window, 2).unwrap();
    expected[0].1 = format!("{:016x}{window:016x}", 0);
    for (height, olds) in [one, two].into_iter().zip(olds) {
        expected[if height == one { 1 } else { 2 }].1 = diff(olds, "01");
        expected.extend(names[..olds.len()].iter().map(|name| (format!("02{name}{height}"), String::new())));
    }
    expected.sort();
    assert_eq!(stored(&twin), expected);
    let kept = twin.store().keep(1).unwrap();
    assert_eq!(twin.store().past(&kept).storage(&address, &slot).unwrap(), U256::from(0x0a0b));
}
