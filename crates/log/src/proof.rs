//! Proofs over an RFC 9162 tree of any size up to the current one.
//!
//! - *Inclusion* (RFC 9162 2.1.3): a leaf is at an index of the tree with this root.
//! - *Consistency* (2.1.4): the tree with this root begins with the leaves of that smaller tree.
//! - *Subset*: several leaves are at their indices. The hashes that a verifier cannot compute are listed from left to
//!   right, each subtree without a shown leaf once, as large as possible. For one leaf these are the same hashes as in
//!   its inclusion proof, in another order; for leaves that lie close together far fewer than two proofs hold.
//!
//! The tree over leaves `[start, end)` splits after the largest power of two below its length.

use crate::hash::{EMPTY_ROOT, Hash, node_hash};

/// Where the roots of perfect subtrees come from: tiles or memory.
pub(crate) trait Nodes {
    type Error;

    /// Root of the perfect subtree over the leaves `[index << level, (index + 1) << level)`.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: u64) -> u64 {
    debug_assert!(length >= 2);
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

/// Root of the subtree over `[start, end)`, a range that the splits of some tree lead to.
pub(crate) fn subtree<N: Nodes>(nodes: &N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let length = end - start;
    match length {
        0 => Ok(EMPTY_ROOT),
        _ if length.is_power_of_two() => {
            let level = length.trailing_zeros();
            nodes.node(level as u8, start >> level)
        }
        _ => {
            let middle = start + split(length);
            Ok(node_hash(&subtree(nodes, start, middle)?, &subtree(nodes, middle, end)?))
        }
    }
}

/// RFC 9162 2.1.3.1; `index < size`.
pub(crate) fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// RFC 9162 2.1.4.1; `0 < old <= new`. Empty when they are equal.
pub(crate) fn consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut path = Vec::new();
    let (mut start, mut end) = (0, new);
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(nodes, start, middle)?);
            start = middle;
        }
    }
    if start != 0 {
        path.push(subtree(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The hashes of a subset proof; `indices` strictly rising, all below `size`.
pub(crate) fn subset<N: Nodes>(nodes: &N, indices: &[u64], size: u64) -> Result<Vec<Hash>, N::Error> {
    fn walk<N: Nodes>(
        nodes: &N,
        indices: &[u64],
        start: u64,
        end: u64,
        into: &mut Vec<Hash>,
    ) -> Result<(), N::Error> {
        if indices.is_empty() {
            into.push(subtree(nodes, start, end)?);
        } else if end - start > 1 {
            let middle = start + split(end - start);
            let (left, right) = indices.split_at(indices.partition_point(|index| *index < middle));
            walk(nodes, left, start, middle, into)?;
            walk(nodes, right, middle, end, into)?;
        }
        Ok(())
    }
    let mut hashes = Vec::new();
    if size > 0 {
        walk(nodes, indices, 0, size, &mut hashes)?;
    }
    Ok(hashes)
}

/// RFC 9162 2.1.3.2: does `path` lead from the leaf with this hash at `index` to the root of a tree of `size` leaves?
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut position, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// RFC 9162 2.1.4.2: is the tree of `old_size` leaves and `old_root` the beginning of that of `new_size` and `new_root`?
///
/// A tree without leaves is the beginning of every tree, by an empty path.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    old_root: &Hash,
    new_root: &Hash,
    path: &[Hash],
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size == 0 {
        return path.is_empty() && *old_root == EMPTY_ROOT;
    }
    let mut path = path.iter();
    let mut take_first = || path.next().copied();
    let first = if old_size.is_power_of_two() { Some(*old_root) } else { take_first() };
    let Some(first) = first else { return false };
    let (mut position, mut last) = (old_size - 1, new_size - 1);
    while position & 1 == 1 {
        position >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (first, first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && old == *old_root && new == *new_root
}

/// The root of a tree of `size` leaves, computed from some of its leaf hashes (strictly rising indices) and the hashes
/// of a subset proof. None unless every index is inside the tree and exactly these hashes are needed.
pub fn root_from_subset(leaves: &[(u64, Hash)], size: u64, hashes: &[Hash]) -> Option<Hash> {
    fn walk<'a>(
        leaves: &[(u64, Hash)],
        start: u64,
        end: u64,
        hashes: &mut impl Iterator<Item = &'a Hash>,
    ) -> Option<Hash> {
        match leaves {
            [] => hashes.next().copied(),
            [(_, hash)] if end - start == 1 => Some(*hash),
            _ => {
                let middle = start + split(end - start);
                let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
                let left = walk(left, start, middle, hashes)?;
                Some(node_hash(&left, &walk(right, middle, end, hashes)?))
            }
        }
    }
    let rising = leaves.is_sorted_by(|(a, _), (b, _)| a < b);
    if !rising || leaves.last().is_some_and(|(index, _)| *index >= size) {
        return None;
    }
    if size == 0 {
        return hashes.is_empty().then_some(EMPTY_ROOT);
    }
    let mut hashes = hashes.iter();
    let root = walk(leaves, 0, size, &mut hashes)?;
    hashes.next().is_none().then_some(root)
}

/// The inclusion proof of the leaf at `index`, which is one of `leaves`, taken out of a subset proof for all of them: for
/// verifiers that take one leaf at a time. None where [`root_from_subset`] gives none, or the leaf is not there.
pub fn path_from_subset(leaves: &[(u64, Hash)], index: u64, size: u64, hashes: &[Hash]) -> Option<Vec<Hash>> {
    /// The root of [start, end); the siblings of `index` on the way are pushed from the leaf upwards.
    fn walk<'a>(
        leaves: &[(u64, Hash)],
        index: u64,
        start: u64,
        end: u64,
        hashes: &mut impl Iterator<Item = &'a Hash>,
        path: &mut Vec<Hash>,
    ) -> Option<Hash> {
        match leaves {
            [] => hashes.next().copied(),
            [(_, hash)] if end - start == 1 => Some(*hash),
            _ => {
                let middle = start + split(end - start);
                let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < middle));
                let left = walk(left, index, start, middle, hashes, path)?;
                let right = walk(right, index, middle, end, hashes, path)?;
                if (start..middle).contains(&index) {
                    path.push(right);
                } else if (middle..end).contains(&index) {
                    path.push(left);
                }
                Some(node_hash(&left, &right))
            }
        }
    }
    root_from_subset(leaves, size, hashes)?;
    leaves.iter().find(|(shown, _)| *shown == index)?;
    let mut path = Vec::new();
    walk(leaves, index, 0, size, &mut hashes.iter(), &mut path)?;
    Some(path)
}
