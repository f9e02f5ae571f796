use super::update::{TrieChange, update};
use super::*;
use crate::testing::{MemState, TestChain};
use crate::{GenesisAccount, StateChanges, StateView, verify_account_proof};
use alloy_primitives::{Address, B256, U256};
use alloy_trie::nodes::TrieNode;
use alloy_trie::proof::verify_proof;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

/// xorshift64*: reproducible from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Keys that share prefixes of every length, so that extensions grow, split and join.
fn key(random: &mut Random, shape: u64) -> B256 {
    let mut bytes = [0u8; 32];
    match shape {
        // Few distinct nibbles in the first bytes.
        0 => {
            for byte in &mut bytes[..3] {
                *byte = [0x00, 0x01, 0x10, 0x11][random.below(4) as usize];
            }
        }
        // A long shared prefix, differing near the end: nodes shorter than 32 bytes.
        1 => bytes[30..].copy_from_slice(&(random.below(200) as u16).to_be_bytes()),
        // Differing at one random place.
        2 => bytes[random.below(32) as usize] = [0x01, 0x10, 0xf0, 0x0f][random.below(4) as usize],
        _ => {
            for chunk in bytes.chunks_mut(8) {
                chunk.copy_from_slice(&random.next().to_be_bytes());
            }
            bytes[0] &= 0x03;
            bytes[1] &= 0x11;
        }
    }
    B256::from(bytes)
}

fn reference_root(leaves: &BTreeMap<B256, Vec<u8>>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root()
}

/// Every node reachable from the root.
fn reachable(state: &MemState, owner: Option<B256>) -> BTreeSet<NodeKey> {
    let mut found = BTreeSet::new();
    let mut open = vec![Nibbles::new()];
    while let Some(path) = open.pop() {
        let key = NodeKey { owner, path };
        if path.is_empty() && !state.nodes.contains_key(&key) {
            continue;
        }
        let (bytes, node) = read_node(&|key| state.node(key), &key).unwrap();
        assert_eq!(is_leaf(&bytes), matches!(node, TrieNode::Leaf(_)), "{bytes}");
        found.insert(key);
        match node {
            TrieNode::Extension(extension) => open.push(path.join(&extension.key)),
            TrieNode::Branch(branch) => {
                assert!(branch.state_mask.count_ones() > 1);
                for n in 0..16 {
                    if branch.state_mask.is_bit_set(n) {
                        let mut path = path;
                        path.push(n);
                        open.push(path);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// How many leaves were replaced without being read.
fn fuzz(seed: u64, steps: usize, owner: Option<B256>) -> usize {
    let mut random = Random(seed);
    let mut state = MemState::default();
    let mut leaves: BTreeMap<B256, Vec<u8>> = BTreeMap::new();
    let (mut root, mut unread) = (EMPTY_ROOT_HASH, 0);
    for step in 0..steps {
        // Waves of growth and shrinkage; now and then everything goes.
        let removals = [1, 3, 7, 9][(step / 40) % 4];
        let mut changes: BTreeMap<B256, Option<Vec<u8>>> = BTreeMap::new();
        if random.below(150) == 0 {
            changes.extend(leaves.keys().map(|key| (*key, None)));
        }
        for _ in 0..=random.below(12) {
            let existing = random.below(10) < removals && !leaves.is_empty();
            if existing {
                let at = random.below(leaves.len() as u64) as usize;
                changes.insert(*leaves.keys().nth(at).unwrap(), None);
            } else {
                let shape = random.below(4);
                let length = [1, 1, 4, 33, 110][random.below(5) as usize];
                let value = (random.below(12) > 0).then(|| vec![random.below(127) as u8 + 1; length]);
                changes.insert(key(&mut random, shape), value);
            }
        }
        // The old value is known, unknown, or believed wrongly.
        let old = |random: &mut Random, key: &B256| match random.below(4) {
            0 => None,
            1 => Some(vec![5; 33]),
            _ => leaves.get(key).cloned(),
        };
        let change = |(key, value): (&B256, &Option<Vec<u8>>)| {
            let old = old(&mut random, key);
            TrieChange::new(*key, old, value.clone())
        };
        let mut list: Vec<TrieChange> = changes.iter().map(change).collect();
        let mut out = StateChanges::default();
        let read = Mutex::new(BTreeSet::new());
        let nodes = |key: &NodeKey| {
            read.lock().insert(*key);
            state.node(key)
        };
        root = update(&nodes, owner, root, &mut list, &mut out).unwrap();
        let read = read.into_inner();
        unread += out.nodes.keys().filter(|key| state.nodes.contains_key(key) && !read.contains(key)).count();
        for (key, node) in &out.nodes {
            match node {
                Some(node) => drop(state.nodes.insert(*key, node.clone())),
                None => {
                    assert!(state.nodes.remove(key).is_some(), "seed {seed} step {step}: {key} never was");
                }
            }
        }
        for (key, value) in changes {
            match value {
                Some(value) => drop(leaves.insert(key, value)),
                None => drop(leaves.remove(&key)),
            }
        }
        assert_eq!(root, reference_root(&leaves), "seed {seed} step {step}");
        let live = reachable(&state, owner);
        let stored: BTreeSet<NodeKey> = state.nodes.keys().copied().collect();
        assert_eq!(live, stored, "seed {seed} step {step}: nodes left behind");
    }
    unread
}

#[test]
fn agrees_with_the_hash_builder_and_leaves_no_orphan() {
    let unread = fuzz(1, 1_500, None);
    assert!(unread > 500, "known leaves are not read: {unread}");
    fuzz(2, 1_500, Some(B256::repeat_byte(7)));
    for seed in 3..40 {
        fuzz(seed, 80, None);
    }
}

#[test]
fn order_of_changes_does_not_matter() {
    let mut random = Random(99);
    let keys: BTreeSet<B256> = (0..200).map(|i| key(&mut random, i % 4)).collect();
    let changes: Vec<TrieChange> =
        keys.iter().map(|key| TrieChange::new(*key, None, Some(vec![1, 2, 3]))).collect();
    let mut forward = changes.clone();
    let mut backward: Vec<_> = changes.into_iter().rev().collect();
    let (mut a, mut b) = (StateChanges::default(), StateChanges::default());
    let first = update(&|_| Ok(None), None, EMPTY_ROOT_HASH, &mut forward, &mut a).unwrap();
    let second = update(&|_| Ok(None), None, EMPTY_ROOT_HASH, &mut backward, &mut b).unwrap();
    assert_eq!(first, second);
    assert_eq!(a, b);
}

#[test]
fn a_removal_of_nothing_changes_nothing() {
    let mut state = MemState::default();
    let mut out = StateChanges::default();
    let mut changes: Vec<_> = (0..50u64)
        .map(|i| TrieChange::new(alloy_primitives::keccak256(i.to_be_bytes()), None, Some(vec![9; 40])))
        .collect();
    let root = update(&|key| state.node(key), None, EMPTY_ROOT_HASH, &mut changes, &mut out).unwrap();
    state.nodes.extend(out.nodes.into_iter().filter_map(|(key, node)| Some((key, node?))));
    let before = state.nodes.clone();
    let mut out = StateChanges::default();
    let mut absent: Vec<_> = (1_000..1_050u64)
        .map(|i| TrieChange::new(alloy_primitives::keccak256(i.to_be_bytes()), None, None))
        .collect();
    assert_eq!(update(&|key| state.node(key), None, root, &mut absent, &mut out).unwrap(), root);
    for (key, node) in out.nodes {
        assert_eq!(node.as_ref(), before.get(&key));
    }
}

#[test]
fn a_damaged_store_is_noticed() {
    let mut state = MemState::default();
    let mut out = StateChanges::default();
    let mut changes: Vec<_> = (0..50u64)
        .map(|i| TrieChange::new(alloy_primitives::keccak256(i.to_be_bytes()), None, Some(vec![9; 40])))
        .collect();
    let root = update(&|key| state.node(key), None, EMPTY_ROOT_HASH, &mut changes, &mut out).unwrap();
    state.nodes.extend(out.nodes.into_iter().filter_map(|(key, node)| Some((key, node?))));
    let again = |state: &MemState| {
        update(&|key| state.node(key), None, root, &mut changes.clone(), &mut StateChanges::default())
    };
    assert!(again(&state).is_ok());
    assert!(matches!(
        update(&|key| state.node(key), None, B256::ZERO, &mut changes.clone(), &mut StateChanges::default()),
        Err(StateError::Corrupt { .. })
    ));
    let deep = *state.nodes.keys().max_by_key(|key| key.path.len()).unwrap();
    let mut missing = state.clone();
    missing.nodes.remove(&deep);
    assert!(matches!(again(&missing), Err(StateError::Missing { .. })));
    state.nodes.insert(deep, Bytes::from_static(&[0xc3, 1]));
    assert!(matches!(again(&state), Err(StateError::Corrupt { .. })));
}

#[test]
fn proofs_verify_and_lies_do_not() {
    let contract = Address::repeat_byte(0xcc);
    let one_slot = Address::repeat_byte(0xcd);
    let mut alloc: Vec<(Address, GenesisAccount)> = (0..300u64)
        .map(|i| {
            let address = Address::from_word(alloy_primitives::keccak256(i.to_be_bytes()));
            (address, GenesisAccount::funded(U256::from(i + 1)))
        })
        .collect();
    let mut account = GenesisAccount::contract(Bytes::from_static(&[0x00]));
    account.storage = (0..100u64).map(|i| (U256::from(i), U256::from(i * i))).collect();
    alloc.push((contract, account));
    let mut account = GenesisAccount::contract(Bytes::from_static(&[0x00]));
    account.storage.insert(U256::from(5), U256::MAX);
    alloc.push((one_slot, account));
    let chain = TestChain::new(&alloc);
    let root = chain.head.parent_state_root;

    let slots: Vec<B256> = (0..120u64).map(|i| B256::from(U256::from(i))).collect();
    for address in [contract, one_slot, alloc[17].0, Address::repeat_byte(0x99), crate::LOG] {
        let good = proof(&chain.state, root, address, &slots).unwrap();
        verify_account_proof(root, &good).unwrap();
        let mut lie = good.clone();
        lie.balance += U256::from(1);
        assert!(verify_account_proof(root, &lie).is_err());
        let mut lie = good.clone();
        lie.storage_proof[7].value += U256::from(1);
        assert!(verify_account_proof(root, &lie).is_err());
        let mut lie = good.clone();
        lie.account_proof.pop();
        assert!(verify_account_proof(root, &lie).is_err());
        assert!(verify_account_proof(B256::repeat_byte(1), &good).is_err());
    }
}

#[test]
fn proofs_hold_with_nodes_inside_their_parents() {
    // Keys that differ in their last bytes and one-byte values make nodes shorter than 32 bytes.
    let mut state = MemState::default();
    let keys: Vec<B256> = (0..40u64).map(|i| B256::from(U256::from(i * 3))).collect();
    let mut changes: Vec<_> = keys.iter().map(|key| TrieChange::new(*key, None, Some(vec![0x05]))).collect();
    let mut out = StateChanges::default();
    let root = update(&|key| state.node(key), None, EMPTY_ROOT_HASH, &mut changes, &mut out).unwrap();
    state.nodes.extend(out.nodes.into_iter().filter_map(|(key, node)| Some((key, node?))));
    assert!(state.nodes.values().any(|node| node.len() < 32));
    for i in 0..130u64 {
        let key = B256::from(U256::from(i));
        let expected = keys.contains(&key).then(|| vec![0x05]);
        let nodes = super::proof::walk(&|key| state.node(key), None, root, key).unwrap();
        verify_proof(root, Nibbles::unpack(key), expected, &nodes).unwrap();
    }
}

#[test]
fn node_keys_are_distinct_and_ordered_by_trie() {
    let owner = Some(B256::repeat_byte(3));
    let paths: Vec<Nibbles> = [&[][..], &[0], &[0, 0], &[0, 0, 0], &[1], &[1, 0], &[15; 64]]
        .iter()
        .map(Nibbles::from_nibbles)
        .collect();
    let mut seen = BTreeSet::new();
    for owner in [None, owner] {
        for path in &paths {
            let bytes = NodeKey { owner, path: *path }.to_bytes();
            assert_eq!(bytes[0], u8::from(owner.is_some()));
            assert!(seen.insert(bytes));
        }
    }
}
