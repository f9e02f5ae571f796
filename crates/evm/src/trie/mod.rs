//! The Merkle Patricia tries of accounts and of their storage, kept as nodes under their path.
//!
//! Every node's RLP is stored under (trie, nibbles from the root), also those shorter than 32 bytes that their parent
//! embeds. An update is one recursive pass over the sorted changes ([`update`]): it reads the nodes on the changed
//! paths, and names each node that it writes or that no longer exists, so that no node is left behind. Proofs are
//! read by walking down one path ([`proof`]).
//!
//! Source: Ethereum yellow paper, appendix D ("Modified Merkle Patricia Tree").

mod proof;
#[cfg(test)]
mod tests;
mod update;

pub use proof::{proof, verify_account_proof};
pub(crate) use update::{TrieChange, update};

use crate::state::{NodeKey, StateError};
use alloy_primitives::Bytes;
use alloy_rlp::{Decodable, Header};
use alloy_trie::nodes::TrieNode;

/// Where the nodes of the tries are read: the RLP under a key.
pub(crate) type Nodes<'a> = dyn Fn(&NodeKey) -> Result<Option<Bytes>, StateError> + Sync + 'a;

/// Whether a node's RLP is that of a leaf: a pair whose first item is a path with the leaf's flag.
pub(crate) fn is_leaf(mut node: &[u8]) -> bool {
    let Ok(mut items) = Header::decode_bytes(&mut node, true) else { return false };
    // The first item of a branch may be a list.
    let Ok(path) = Header::decode_bytes(&mut items, false) else { return false };
    let flagged = path.first().is_some_and(|first| first & 0x20 != 0);
    flagged && Header::decode(&mut items).is_ok_and(|second| second.payload_length == items.len())
}

/// Reads a node that must exist.
fn read_node(nodes: &Nodes<'_>, key: &NodeKey) -> Result<(Bytes, TrieNode), StateError> {
    let bytes = nodes(key)?.ok_or_else(|| StateError::Missing { what: "trie node", key: key.to_string() })?;
    let node = TrieNode::decode(&mut bytes.as_ref())
        .map_err(|_| StateError::Corrupt { what: "trie node", key: key.to_string() })?;
    Ok((bytes, node))
}
