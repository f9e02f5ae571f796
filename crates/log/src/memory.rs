//! A small tree wholly in memory: the verdicts of one block.

use std::convert::Infallible;

use crate::hash::{Hash, leaf_hash, node_hash};
use crate::proof::{self, Nodes};

/// An RFC 9162 tree with all its nodes in memory (64 bytes a leaf).
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    /// `levels[k]` holds the roots of the perfect subtrees of 2^k leaves.
    levels: Vec<Vec<Hash>>,
}

impl MemoryTree {
    /// An empty tree.
    pub fn new() -> MemoryTree {
        MemoryTree::default()
    }

    /// A tree of these leaves, hashing each.
    pub fn of_leaves<L: AsRef<[u8]>>(leaves: impl IntoIterator<Item = L>) -> MemoryTree {
        leaves.into_iter().map(|leaf| leaf_hash(leaf.as_ref())).collect()
    }

    /// Appends the hash of one leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let row = &mut self.levels[level];
            row.push(hash);
            let [.., left, right] = row.as_slice() else { break };
            if row.len() % 2 == 1 {
                break;
            }
            hash = node_hash(left, right);
        }
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The tree's root.
    pub fn root(&self) -> Hash {
        self.root_at(self.size()).expect("its own size")
    }

    /// The root when it had `size` leaves; None if it never had so many.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.size()).then(|| infallible(proof::subtree(self, 0, size)))
    }

    /// RFC 9162 inclusion proof, bottom up; None outside the tree.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        (index < size && size <= self.size()).then(|| infallible(proof::inclusion(self, index, size)))
    }

    /// RFC 9162 consistency proof, empty if `old` is 0 or `new`; None unless `old <= new <= size`.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        (old <= new && new <= self.size())
            .then(|| if old == 0 { Vec::new() } else { infallible(proof::consistency(self, old, new)) })
    }

    /// The hashes that prove several leaves at once (strictly rising indices) in the tree as it is now; None outside it.
    pub fn subset_proof(&self, indices: &[u64]) -> Option<Vec<Hash>> {
        let inside =
            indices.is_sorted_by(|a, b| a < b) && indices.last().is_none_or(|index| *index < self.size());
        inside.then(|| infallible(proof::subset(self, indices, self.size())))
    }
}

impl FromIterator<Hash> for MemoryTree {
    fn from_iter<T: IntoIterator<Item = Hash>>(leaves: T) -> MemoryTree {
        let mut tree = MemoryTree::new();
        for leaf in leaves {
            tree.append(leaf);
        }
        tree
    }
}

impl Nodes for MemoryTree {
    type Error = Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        Ok(self.levels[usize::from(level)][index as usize])
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
