//! Tries of past blocks.

use super::super::tries::MAX_CHANGED_BACK;
use super::*;

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

/// Blocks that a version committed which kept trie nodes, too.
#[test]
fn old_nodes_in_the_history_are_passed_over_and_pruned() {
    let mut twin = Twin::new(4);
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
