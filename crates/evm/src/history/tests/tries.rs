//! Tries of past blocks.

use super::super::tries::MAX_CHANGED_BACK;
use super::*;
use crate::store::WRITE_EVERY;

#[test]
fn tries_are_not_made_of_blocks_after_which_too_much_changed() {
    let twin = Twin::new(ARCHIVE);
    let half = MAX_CHANGED_BACK as u64 / 2 + 1;
    for height in 1..=3 {
        let mut changes = StateChanges::default();
        for n in 0..half {
            let address = Address::from_word(B256::from(U256::from(height * half + n)));
            changes.accounts.insert(address, Some(Account { nonce: height, ..Account::default() }));
        }
        twin.commit(height, &changes, &[]);
    }
    let root = NodeKey { owner: None, path: alloy_trie::Nibbles::new() };
    let node = |height| {
        let kept = twin.store().keep(height).unwrap();
        twin.store().past(&kept).node(&root)
    };
    assert!(node(2).is_ok());
    for height in [0, 1] {
        let error = node(height).unwrap_err();
        assert!(matches!(error, StateError::TooFarBack { height: h, oldest: 2 } if h == height), "{error}");
        let kept = twin.store().keep(height).unwrap();
        assert!(
            twin.store().past(&kept).account(&TOKEN).unwrap().is_some(),
            "the state is told all the same"
        );
    }
}

/// Blocks that a version committed which kept trie nodes, too, and did not write whose tries it had stored.
#[test]
fn old_nodes_in_the_history_are_passed_over_and_pruned() {
    let mut twin = Twin::with(4, AT_ONCE);
    twin.block(&[(0, 0, 1), (1, 2, 2)]);
    twin.block(&[(1, 0, 2)]);
    let space = &twin.store().history.space;
    let bytes = space.get(at(&DIFF, 1)).unwrap().unwrap();
    let diff = Diff::decode(&bytes, 1).unwrap();
    let named = |name: Result<&[u8], StateError>| {
        let name = name.unwrap();
        (name.to_vec(), diff.get(name).unwrap().unwrap().to_vec())
    };
    let mut entries: Vec<_> = diff.names().map(named).collect();
    entries.push((vec![3, 0, 1, 0x50], vec![0xc0]));
    space.insert(at(&DIFF, 1), diff::encode(&entries, false)).unwrap();
    let nodes = twin.database().keyspace("evm_nodes", Default::default).unwrap();
    assert!(nodes.get([2]).unwrap().is_some());
    nodes.remove([2]).unwrap();
    drop(nodes);
    twin.restart(4);
    for height in 0..=2 {
        twin.compare(height);
        twin.prove(height);
    }
    for _ in 0..4 {
        twin.block(&[]);
    }
    assert!(twin.store().history.diff(1).unwrap().is_none());
    assert!(twin.store().history.index.next_in_memory(&[3, 0, 1, 0x50], 0).is_none());
}

impl Twin {
    /// What a process finds that starts after this one was killed now.
    fn killed(&self, window: u64) -> Twin {
        let directory = tempfile::tempdir().unwrap();
        copy(self.directory.path(), directory.path());
        let mut twin = Twin {
            directory,
            database: None,
            store: None,
            chain: TestChain { state: self.chain.state.clone(), head: self.chain.head },
            copies: self.copies.clone(),
            nonces: self.nonces.clone(),
            sizes: self.sizes,
        };
        twin.restart(window);
        twin
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The full copies are what a store that writes every node at once holds.
#[test]
fn nodes_that_wait_survive_a_kill_after_any_block() {
    for (window, room) in [(2, 32 << 20), (128, 8_000)] {
        let sizes = CacheSizes { waiting_node_bytes: room, ..CacheSizes::default() };
        let mut twin = Twin::with(window, sizes);
        let mut heights = std::collections::BTreeSet::new();
        for n in 0..WRITE_EVERY as u8 + 8 {
            twin.block(&[(n, n, n.wrapping_mul(41)), (n / 3, 2, n % 9), (n, 3, 1)]);
            heights.insert(twin.store().nodes.written());
            let mut again = twin.killed(window);
            assert_eq!(again.store().nodes.written(), twin.store().nodes.written());
            for height in [twin.store().oldest(), twin.head()] {
                again.compare(height);
                again.prove(height);
            }
            // It goes on from there, and is killed again before the nodes are written.
            if n % 8 == 0 {
                again.block(&[(n, 1, 3), (n + 1, 0, 2)]);
                let last = again.killed(window);
                last.compare(last.head());
                last.prove(last.head());
            }
        }
        let expected = if window == 2 { 2 } else { 4 };
        assert!(heights.len() >= expected, "written at {heights:?}");
        // What waited is on disk now, and nothing else.
        for _ in 0..WRITE_EVERY {
            twin.block(&[]);
        }
        twin.restart(window);
        let stored = &twin.copies[twin.head() as usize].nodes;
        assert!(twin.store().nodes.written() > twin.head() - WRITE_EVERY);
        for (key, node) in stored {
            assert_eq!(twin.store().node(key).unwrap().as_ref(), Some(node));
        }
        assert_eq!(twin.store().nodes.rows(), stored.len() + 1, "the height beside the nodes");
    }
}
