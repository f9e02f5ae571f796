//! One recursive update of a path-keyed trie.
//!
//! A subtree's new form is handed upward as a [`Sub`] before it is written, because only the parent knows its place:
//! when a branch loses all children but one, a leaf or an extension moves up and takes the branch's nibble with it.
//! Branches never move, so they are written at once.
//!
//! Whoever takes a leaf or an extension from its path marks the key as gone, and a branch that dissolves is marked;
//! writing a node there again takes the mark back. So after the pass the marks are exactly the nodes that ceased to exist.

use super::{Nodes, read_node};
use crate::state::{Account, NodeKey, StateChanges, StateError};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::nodes::{BranchNode, BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode, TrieNode};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use std::borrow::Cow;

/// The new value under a key, `None` to remove it.
#[derive(Clone, Debug)]
pub(crate) struct TrieChange {
    key: Nibbles,
    value: Option<Vec<u8>>,
    /// What the caller believes to be there now. It only saves reading the leaf, and is checked against its parent.
    old: Option<Vec<u8>>,
}

impl TrieChange {
    pub(crate) fn new(key: B256, old: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Self {
        TrieChange { key: Nibbles::unpack_array(&key.0), value, old }
    }

    /// A slot; zero is none. `old` is `None` where it is not known.
    pub(crate) fn storage(slot: &U256, old: Option<&U256>, value: &U256) -> Self {
        let encoded = |value: &U256| {
            (!value.is_zero()).then(|| {
                let mut out = Vec::with_capacity(33);
                value.encode(&mut out);
                out
            })
        };
        TrieChange::new(keccak256(B256::from(*slot)), old.and_then(encoded), encoded(value))
    }

    /// An account under the hash of its address.
    pub(crate) fn account(key: B256, old: Option<&Account>, account: Option<&Account>) -> Self {
        let encoded = |account: &Account| {
            let mut out = Vec::with_capacity(112);
            account.trie_account().encode(&mut out);
            out
        };
        TrieChange::new(key, old.map(encoded), account.map(encoded))
    }
}

/// Applies the changes to a trie whose root is `root`, adds the nodes that change to `out`, returns the new root.
/// The keys must be distinct; `changes` is sorted in place.
pub(crate) fn update(
    nodes: &Nodes<'_>,
    owner: Option<B256>,
    root: B256,
    changes: &mut [TrieChange],
    out: &mut StateChanges,
) -> Result<B256, StateError> {
    if changes.is_empty() {
        return Ok(root);
    }
    changes.sort_unstable_by_key(|change| change.key);
    // Each change writes its leaf and, in a large trie, about one branch that no other change writes.
    out.nodes.reserve(2 * changes.len());
    let mut updater = Updater { nodes, owner, out, buffer: Vec::with_capacity(600) };
    let path = Nibbles::new();
    let sub = if root == EMPTY_ROOT_HASH {
        updater.build(path, &inserts(changes))
    } else {
        updater.change(path, changes, Some(root))?
    };
    if matches!(sub, Sub::Empty) {
        return Ok(EMPTY_ROOT_HASH);
    }
    updater.write(path, &sub);
    match out.nodes.get(&NodeKey { owner, path }) {
        Some(Some(node)) => Ok(keccak256(node)),
        _ => Err(StateError::Rule("a trie that is not empty has no root node".to_owned())),
    }
}

/// The new form of a subtree, relative to its path.
enum Sub<'c> {
    Empty,
    /// The rest of the key, and the value.
    Leaf(Nibbles, Cow<'c, [u8]>),
    /// The shared part of the keys, and the branch below it, which is written already.
    Extension(Nibbles, RlpNode),
    /// A branch at this very path, which is written already.
    Branch(RlpNode),
}

impl<'c> Sub<'c> {
    /// The same subtree as seen from `prefix` further up.
    fn below(self, prefix: &Nibbles) -> Sub<'c> {
        if prefix.is_empty() {
            return self;
        }
        match self {
            Sub::Empty => Sub::Empty,
            Sub::Leaf(key, value) => Sub::Leaf(prefix.join(&key), value),
            Sub::Extension(key, child) => Sub::Extension(prefix.join(&key), child),
            Sub::Branch(child) => Sub::Extension(*prefix, child),
        }
    }
}

type Item<'c> = (Nibbles, Cow<'c, [u8]>);

fn inserts(changes: &[TrieChange]) -> Vec<Item<'_>> {
    changes.iter().filter_map(|c| Some((c.key, Cow::Borrowed(c.value.as_deref()?)))).collect()
}

/// Where the child `n` of a branch is, or would be, among those that it has.
fn place(branch: &BranchNode, n: u8) -> usize {
    (branch.state_mask.get() & ((1 << n) - 1)).count_ones() as usize
}

fn nibble(n: u8) -> Nibbles {
    Nibbles::from_nibbles_unchecked([n])
}

fn child_path(path: &Nibbles, n: u8) -> Nibbles {
    let mut path = *path;
    path.push_unchecked(n);
    path
}

/// Splits what is sorted into the groups that share the nibble at `depth`.
fn groups<T>(items: &[T], depth: usize, key: impl Fn(&T) -> &Nibbles) -> impl Iterator<Item = (u8, &[T])> {
    let mut rest = items;
    std::iter::from_fn(move || {
        let n = key(rest.first()?).get_unchecked(depth);
        let end = rest.iter().position(|item| key(item).get_unchecked(depth) != n).unwrap_or(rest.len());
        let (group, tail) = rest.split_at(end);
        rest = tail;
        Some((n, group))
    })
}

struct Updater<'a> {
    nodes: &'a Nodes<'a>,
    owner: Option<B256>,
    out: &'a mut StateChanges,
    buffer: Vec<u8>,
}

impl Updater<'_> {
    fn key(&self, path: Nibbles) -> NodeKey {
        NodeKey { owner: self.owner, path }
    }

    /// Changes the subtree whose node is stored at `path`. `root` is the hash that a root node must have.
    fn change<'c>(
        &mut self,
        path: Nibbles,
        changes: &'c [TrieChange],
        root: Option<B256>,
    ) -> Result<Sub<'c>, StateError> {
        let key = self.key(path);
        let (bytes, node) = read_node(self.nodes, &key)?;
        if root.is_some_and(|root| keccak256(&bytes) != root) {
            return Err(StateError::Corrupt { what: "trie root", key: key.to_string() });
        }
        if !matches!(node, TrieNode::Branch(_)) {
            self.gone(path);
        }
        match node {
            TrieNode::EmptyRoot => Err(StateError::Corrupt { what: "trie node", key: key.to_string() }),
            TrieNode::Leaf(leaf) => Ok(self.change_leaf(path, path.join(&leaf.key), leaf.value, changes)),
            TrieNode::Extension(extension) => {
                self.change_extension(path, extension.key, extension.child, changes)
            }
            TrieNode::Branch(branch) => self.change_branch(path, branch, changes),
        }
    }

    fn change_leaf<'c>(
        &mut self,
        path: Nibbles,
        key: Nibbles,
        value: Vec<u8>,
        changes: &'c [TrieChange],
    ) -> Sub<'c> {
        let mut items = inserts(changes);
        if let Err(at) = changes.binary_search_by(|change| change.key.cmp(&key)) {
            // `at` counts removals too, which are not among the items.
            let at = changes[..at].iter().filter(|change| change.value.is_some()).count();
            items.insert(at, (key, Cow::Owned(value)));
        }
        self.build(path, &items)
    }

    /// Changes an extension that is not stored, or no longer: `key` leads from `path` to the branch `child`, which is
    /// stored. An empty `key` means the branch itself.
    fn change_extension<'c>(
        &mut self,
        path: Nibbles,
        key: Nibbles,
        child: RlpNode,
        changes: &'c [TrieChange],
    ) -> Result<Sub<'c>, StateError> {
        let full = path.join(&key);
        let below = changes.partition_point(|change| change.key < full);
        let inside = changes[below..].iter().take_while(|change| change.key.starts_with(&full)).count();
        let (before, rest) = changes.split_at(below);
        let (inside, after) = rest.split_at(inside);
        // Removals outside hit nothing. The keys next to the extension's are those that share most with it.
        let shared = |change: &TrieChange| change.key.common_prefix_length(&full);
        let outside = before.iter().chain(after).filter(|change| change.value.is_some()).map(shared).min();
        let Some(fork) = outside else {
            let sub = if inside.is_empty() { Sub::Branch(child) } else { self.change(full, inside, None)? };
            return Ok(sub.below(&key));
        };
        // A key leaves the extension at `fork`: a branch grows there.
        let branch_path = full.slice(..fork);
        let extension_nibble = full.get_unchecked(fork);
        let mut subs = Subs::default();
        let mut met = false;
        for (n, group) in groups(changes_below(changes, &branch_path), fork, |change| &change.key) {
            let at = child_path(&branch_path, n);
            let sub = if n == extension_nibble {
                met = true;
                self.change_extension(at, full.slice(fork + 1..), child.clone(), group)?
            } else {
                self.build(at, &inserts(group))
            };
            subs.push((n, sub));
        }
        if !met {
            let sub = Sub::Branch(child).below(&full.slice(fork + 1..));
            let at = subs.partition_point(|(n, _)| *n < extension_nibble);
            subs.insert(at, (extension_nibble, sub));
        }
        let branch = self.join_children(branch_path, BranchNode::default(), subs)?;
        Ok(branch.below(&full.slice(path.len()..fork)))
    }

    fn change_branch<'c>(
        &mut self,
        path: Nibbles,
        branch: BranchNode,
        changes: &'c [TrieChange],
    ) -> Result<Sub<'c>, StateError> {
        let mut subs = Subs::default();
        for (n, group) in groups(changes, path.len(), |change| &change.key) {
            let at = child_path(&path, n);
            let sub = if branch.state_mask.is_bit_set(n) {
                match self.known_leaf(at, &branch, n, group) {
                    Some(sub) => sub,
                    None => self.change(at, group, None)?,
                }
            } else {
                self.build(at, &inserts(group))
            };
            subs.push((n, sub));
        }
        self.join_children(path, branch, subs)
    }

    /// Replaces the branch's child `n` without reading it, if it is the leaf that the only change below it replaces. The
    /// leaves of a large trie are cold; their values are known.
    fn known_leaf<'c>(
        &mut self,
        path: Nibbles,
        branch: &BranchNode,
        n: u8,
        changes: &'c [TrieChange],
    ) -> Option<Sub<'c>> {
        let [change] = changes else { return None };
        let rest = change.key.slice(path.len()..);
        self.buffer.clear();
        let leaf = LeafNodeRef::new(&rest, change.old.as_deref()?).rlp(&mut self.buffer);
        if leaf != branch.stack[place(branch, n)] {
            return None;
        }
        Some(match &change.value {
            None => {
                self.gone(path);
                Sub::Empty
            }
            // Written again at this path, unless its branch dissolves.
            Some(value) => Sub::Leaf(rest, Cow::Borrowed(value)),
        })
    }

    /// A branch at `path` from its old children and the new ones that replace some of them.
    fn join_children<'c>(
        &mut self,
        path: Nibbles,
        mut branch: BranchNode,
        mut subs: Subs<'c>,
    ) -> Result<Sub<'c>, StateError> {
        let mut mask = branch.state_mask.get();
        for (n, sub) in &subs {
            match sub {
                Sub::Empty => mask &= !(1 << n),
                _ => mask |= 1 << n,
            }
        }
        if mask.count_ones() < 2 && !branch.state_mask.is_empty() {
            self.gone(path);
        }
        match mask.count_ones() {
            0 => return Ok(Sub::Empty),
            1 => {
                let n = mask.trailing_zeros() as u8;
                let at = child_path(&path, n);
                let sub = match subs.iter().position(|(m, _)| *m == n) {
                    Some(place) => subs.swap_remove(place).1,
                    None => self.adopt(at, &branch, n)?,
                };
                if branch.state_mask.is_bit_set(n) && !matches!(sub, Sub::Branch(_)) {
                    self.gone(at);
                }
                return Ok(sub.below(&nibble(n)));
            }
            _ => {}
        }
        for (n, sub) in &subs {
            let at = place(&branch, *n);
            let present = branch.state_mask.is_bit_set(*n);
            if matches!(sub, Sub::Empty) {
                if present {
                    branch.stack.remove(at);
                    branch.state_mask.unset_bit(*n);
                }
                continue;
            }
            let child = self.write(child_path(&path, *n), sub);
            if present {
                branch.stack[at] = child;
            } else {
                branch.stack.insert(at, child);
                branch.state_mask.set_bit(*n);
            }
        }
        Ok(Sub::Branch(self.write_branch(path, branch.as_ref())))
    }

    /// The untouched last child of a branch that dissolves: a leaf or an extension leaves its path.
    fn adopt<'c>(&mut self, path: Nibbles, branch: &BranchNode, n: u8) -> Result<Sub<'c>, StateError> {
        let key = self.key(path);
        match read_node(self.nodes, &key)?.1 {
            TrieNode::EmptyRoot => Err(StateError::Corrupt { what: "trie node", key: key.to_string() }),
            TrieNode::Leaf(leaf) => Ok(Sub::Leaf(leaf.key, Cow::Owned(leaf.value))),
            TrieNode::Extension(extension) => Ok(Sub::Extension(extension.key, extension.child)),
            TrieNode::Branch(_) => Ok(Sub::Branch(branch.stack[place(branch, n)].clone())),
        }
    }

    /// A subtree of its own from sorted items.
    fn build<'c>(&mut self, path: Nibbles, items: &[Item<'c>]) -> Sub<'c> {
        let (first, last) = match items {
            [] => return Sub::Empty,
            [(key, value)] => return Sub::Leaf(key.slice(path.len()..), value.clone()),
            [first, .., last] => (&first.0, &last.0),
        };
        let fork = first.common_prefix_length(last);
        let branch_path = first.slice(..fork);
        let mut branch = BranchNode::default();
        for (n, group) in groups(items, fork, |item| &item.0) {
            let at = child_path(&branch_path, n);
            let sub = self.build(at, group);
            branch.stack.push(self.write(at, &sub));
            branch.state_mask.set_bit(n);
        }
        let child = self.write_branch(branch_path, branch.as_ref());
        Sub::Branch(child).below(&first.slice(path.len()..fork))
    }

    /// Writes a subtree's top node, unless it is a branch and so written already; returns the reference to it.
    fn write(&mut self, path: Nibbles, sub: &Sub<'_>) -> RlpNode {
        self.buffer.clear();
        let node = match sub {
            Sub::Empty => return RlpNode::default(),
            Sub::Branch(child) => return child.clone(),
            Sub::Leaf(key, value) => LeafNodeRef::new(key, value).rlp(&mut self.buffer),
            Sub::Extension(key, child) => ExtensionNodeRef::new(key, child).rlp(&mut self.buffer),
        };
        self.put(path);
        node
    }

    fn write_branch(&mut self, path: Nibbles, branch: BranchNodeRef<'_>) -> RlpNode {
        self.buffer.clear();
        let node = branch.rlp(&mut self.buffer);
        self.put(path);
        node
    }

    fn gone(&mut self, path: Nibbles) {
        self.out.nodes.insert(self.key(path), None);
    }

    fn put(&mut self, path: Nibbles) {
        let bytes = Bytes::copy_from_slice(&self.buffer);
        self.out.nodes.insert(self.key(path), Some(bytes));
    }
}

type Subs<'c> = Vec<(u8, Sub<'c>)>;

/// Those of the sorted changes that lie below `path`.
fn changes_below<'c>(changes: &'c [TrieChange], path: &Nibbles) -> &'c [TrieChange] {
    let start = changes.partition_point(|change| change.key < *path);
    let end = start + changes[start..].iter().take_while(|change| change.key.starts_with(path)).count();
    &changes[start..end]
}
