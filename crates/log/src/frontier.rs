//! The right edge of a Merkle tree: enough to append and to know the root, and nothing else.
//!
//! A tree of n leaves is a row of perfect subtrees, one for each 1 bit of n, largest first. The frontier keeps their
//! roots: at most 64 hashes, whatever the size of the log.
//!
//! Byte format: size u64 big-endian ‖ the roots, largest subtree first, 32 bytes each (as many as n has 1 bits).

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// The right edge of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the perfect subtrees, largest first.
    roots: Vec<Hash>,
}

/// Bytes that are no frontier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frontier is 8 bytes of size and 32 bytes for each of its 1 bits; found {found} bytes")]
pub struct FrontierError {
    found: usize,
}

impl Frontier {
    /// An empty tree.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of one leaf.
    pub fn append(&mut self, leaf: Hash) {
        self.append_seen(leaf, |_, _| ());
    }

    /// Appends the hash of one leaf and shows each inner node that it completes, with its level (1 = two leaves).
    pub(crate) fn append_seen(&mut self, leaf: Hash, mut seen: impl FnMut(u8, Hash)) {
        let mut hash = leaf;
        let mut level = 0;
        let mut rest = self.size;
        while rest & 1 == 1 {
            let left = self.roots.pop().expect("one root for each 1 bit of the size");
            hash = node_hash(&left, &hash);
            level += 1;
            rest >>= 1;
            seen(level, hash);
        }
        self.roots.push(hash);
        self.size = self.size.checked_add(1).expect("a log never has 2^64 leaves");
    }

    /// The RFC 9162 Merkle tree hash of all leaves so far.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            None => EMPTY_ROOT,
            Some(last) => roots.fold(*last, |right, left| node_hash(left, &right)),
        }
    }

    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 32 * self.roots.len());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(self.roots.as_flattened());
        bytes
    }

    /// Refuses a wrong number of roots.
    pub fn decode(bytes: &[u8]) -> Result<Frontier, FrontierError> {
        let error = FrontierError { found: bytes.len() };
        let (size, rest) = bytes.split_first_chunk::<8>().ok_or(error)?;
        let size = u64::from_be_bytes(*size);
        let (roots, tail) = rest.as_chunks::<32>();
        if !tail.is_empty() || roots.len() != size.count_ones() as usize {
            return Err(error);
        }
        Ok(Frontier { size, roots: roots.to_vec() })
    }

    pub(crate) fn from_roots(size: u64, roots: Vec<Hash>) -> Frontier {
        assert_eq!(roots.len(), size.count_ones() as usize, "one root for each 1 bit of the size");
        Frontier { size, roots }
    }
}

impl Extend<Hash> for Frontier {
    fn extend<T: IntoIterator<Item = Hash>>(&mut self, leaves: T) {
        for leaf in leaves {
            self.append(leaf);
        }
    }
}
