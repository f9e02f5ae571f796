//! Proofs of accounts and slots (EIP-1186) of a state.

use super::{Nodes, read_node};
use crate::state::{NodeKey, StateError, StateView};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof};
use alloy_serde::storage::JsonStorageKey;
use alloy_trie::nodes::TrieNode;
use alloy_trie::proof::{ProofVerificationError, verify_proof};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

/// Proves an account and some of its slots against the view's state root, which is `root`.
pub fn proof(
    view: &dyn StateView,
    root: B256,
    address: Address,
    slots: &[B256],
) -> Result<EIP1186AccountProofResponse, StateError> {
    let account = view.account(&address)?.unwrap_or_default();
    let owner = keccak256(address);
    let nodes = |key: &NodeKey| view.node(key);
    let account_proof = walk(&nodes, None, root, owner)?;
    let mut storage_proof = Vec::with_capacity(slots.len());
    for slot in slots {
        let value = view.storage(&address, &U256::from_be_bytes(slot.0))?;
        let proof = walk(&nodes, Some(owner), account.storage_root, keccak256(slot))?;
        storage_proof.push(EIP1186StorageProof::new(JsonStorageKey::Hash(*slot), value, proof));
    }
    Ok(EIP1186AccountProofResponse {
        address,
        balance: account.balance,
        code_hash: account.code_hash,
        nonce: account.nonce,
        storage_hash: account.storage_root,
        account_proof,
        storage_proof,
    })
}

/// The nodes from the one with the hash `root` toward `key`, until its leaf or the node that shows its absence.
pub(super) fn walk(
    nodes: &Nodes<'_>,
    owner: Option<B256>,
    root: B256,
    key: B256,
) -> Result<Vec<Bytes>, StateError> {
    let key = Nibbles::unpack_array(&key.0);
    let mut path = Nibbles::new();
    let mut proof = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok(proof);
    }
    loop {
        let at = NodeKey { owner, path };
        let (bytes, node) = read_node(nodes, &at)?;
        if path.is_empty() && keccak256(&bytes) != root {
            return Err(StateError::Corrupt { what: "trie root", key: at.to_string() });
        }
        // A node shorter than a hash stands inside its parent.
        if bytes.len() >= 32 || path.is_empty() {
            proof.push(bytes);
        }
        match node {
            TrieNode::EmptyRoot | TrieNode::Leaf(_) => return Ok(proof),
            TrieNode::Extension(extension) => {
                path.extend(&extension.key);
                if !key.starts_with(&path) {
                    return Ok(proof);
                }
            }
            TrieNode::Branch(branch) => {
                let n = key.get_unchecked(path.len());
                if !branch.state_mask.is_bit_set(n) {
                    return Ok(proof);
                }
                path.push(n);
            }
        }
    }
}

/// Checks an account proof and its slots' proofs against a state root, as a light client does.
pub fn verify_account_proof(
    state_root: B256,
    proof: &EIP1186AccountProofResponse,
) -> Result<(), ProofVerificationError> {
    let account = crate::state::Account {
        nonce: proof.nonce,
        balance: proof.balance,
        code_hash: proof.code_hash,
        storage_root: proof.storage_hash,
    };
    let expected =
        (account != crate::state::Account::default()).then(|| alloy_rlp::encode(account.trie_account()));
    let key = Nibbles::unpack_array(&keccak256(proof.address).0);
    verify_proof(state_root, key, expected, &proof.account_proof)?;
    for slot in &proof.storage_proof {
        let key = Nibbles::unpack_array(&keccak256(slot.key.as_b256()).0);
        let expected = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
        verify_proof(proof.storage_hash, key, expected, &slot.proof)?;
    }
    Ok(())
}
