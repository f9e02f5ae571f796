//! What changing a large state costs, with nothing else around it.

use super::*;
use crate::trie::{self, TrieChange};
use crate::{GenesisAccount, genesis};
use alloy_primitives::keccak256;
use std::time::{Duration, Instant};

const ACCOUNTS: u64 = 1_000_000;
const TRANSFERS: u64 = 1_300;
const BLOCKS: u64 = 150;
/// Blocks that are not measured: the window of the history fills.
const WARM: u64 = 130;
const TOKEN: Address = Address::repeat_byte(0x70);

fn address(n: u64) -> Address {
    Address::from_word(keccak256(n.to_be_bytes()))
}

/// CPU time of the process, its background threads included, as Linux counts it.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 =
        stat.rsplit(')').next().unwrap().split(' ').skip(12).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

struct Chain {
    database: Database,
    store: EvmStore,
    root: B256,
    height: u64,
    /// Steps of a block: trie update, filling the batch, committing it, caches.
    spent: [Duration; 4],
}

impl Chain {
    fn new(directory: &std::path::Path) -> Chain {
        let mut token = GenesisAccount::contract(Bytes::from_static(&[0]));
        let mut alloc = Vec::new();
        for n in 0..ACCOUNTS {
            token.storage.insert(U256::from_be_bytes(address(n).into_word().0), U256::from(1_000_000_000));
            alloc.push((address(n), GenesisAccount::funded(U256::from(1u64 << 60))));
        }
        alloc.push((TOKEN, token));
        let (changes, root) = genesis(&alloc).unwrap();
        let database =
            Database::builder(directory).cache_size(256 << 20).max_journaling_size(512 << 20).open().unwrap();
        let store = EvmStore::open(&database).unwrap();
        let mut chain = Chain { database, store, root, height: 0, spent: [Duration::ZERO; 4] };
        chain.commit(&changes);
        chain.store.keep_history(&chain.database, 128, 0).unwrap();
        chain
    }

    fn commit(&mut self, changes: &StateChanges) {
        let start = Instant::now();
        let mut batch = self.database.batch();
        self.store.apply(&mut batch, self.height, changes, &[]).unwrap();
        let applied = start.elapsed();
        batch.commit().unwrap();
        let committed = start.elapsed();
        self.store.committed(changes);
        self.spent[1] += applied;
        self.spent[2] += committed - applied;
        self.spent[3] += start.elapsed() - committed;
        self.height += 1;
    }

    /// One sender of fifty pays each recipient, in coins or in the token.
    fn block(&mut self, random: &mut u64, to_token: bool) {
        let mut changes = StateChanges::default();
        let (mut accounts, mut slots) = (Vec::new(), Vec::new());
        let mut recipients = std::collections::BTreeSet::new();
        while (recipients.len() as u64) < TRANSFERS {
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            recipients.insert((*random >> 33) % ACCOUNTS);
        }
        let mut paid = Vec::new();
        for recipient in recipients {
            let to = address(recipient);
            if to_token {
                let slot = U256::from_be_bytes(to.into_word().0);
                let old = self.store.storage(&TOKEN, &slot).unwrap();
                slots.push(TrieChange::storage(&slot, Some(&old), &(old + U256::from(1))));
                changes.storage.insert((TOKEN, slot), old + U256::from(1));
            } else {
                paid.push(to);
            }
        }
        let nodes = |key: &NodeKey| self.store.node(key);
        let start = Instant::now();
        for to in paid.into_iter().chain((0..50).map(|n| address(n + ACCOUNTS))) {
            let old = self.store.account(&to).unwrap();
            let mut account = old.unwrap_or_default();
            account.balance += U256::from(1);
            accounts.push(TrieChange::account(keccak256(to), old.as_ref(), Some(&account)));
            changes.accounts.insert(to, Some(account));
        }
        if to_token {
            let old = self.store.account(&TOKEN).unwrap().unwrap();
            let key = keccak256(TOKEN);
            let storage_root =
                trie::update(&nodes, Some(key), old.storage_root, &mut slots, &mut changes).unwrap();
            let account = Account { storage_root, ..old };
            accounts.push(TrieChange::account(key, Some(&old), Some(&account)));
            changes.accounts.insert(TOKEN, Some(account));
        }
        self.root = trie::update(&nodes, None, self.root, &mut accounts, &mut changes).unwrap();
        self.spent[0] += start.elapsed();
        self.commit(&changes);
    }
}

/// Prints CPU time a transfer: `cargo test --release -p triad-evm a_large_state -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn a_large_state() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new(directory.path());
    let mut random = 1;
    for (name, to_token) in [("plain", false), ("token", true)] {
        for _ in 0..WARM {
            chain.block(&mut random, to_token);
        }
        chain.spent = [Duration::ZERO; 4];
        let (before, start) = (cpu(), Instant::now());
        for _ in 0..BLOCKS {
            chain.block(&mut random, to_token);
        }
        let (wall, all) = (start.elapsed(), cpu() - before);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / (BLOCKS * TRANSFERS) as f64;
        let [update, apply, commit, caches] = chain.spent.map(each);
        println!(
            "{name}: {:.1} us of CPU a transfer, {:.1} of the time; trie {update:.1}, batch {apply:.1}, commit {commit:.1}, \
             caches {caches:.1}",
            each(all),
            each(wall),
        );
    }
}
