//! What execution reads and what it changes.
//!
//! State is flat: accounts by address, storage by (address, slot), code by hash, and beside it the nodes of the
//! Merkle Patricia tries, keyed by their path. A block's [`StateChanges`] hold the new value of everything that it
//! changed, so that changes laid over their parent's view ([`Overlay`]) are the child's view.

use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::map::{AddressMap, B256Map, HashMap};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The state could not be read, or is not what this crate wrote. Execution stops: the block is neither valid nor
/// invalid, the node is broken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// The key-value store failed.
    #[error("the EVM store failed while {action}: {error}")]
    Store { action: &'static str, error: String },
    /// A stored value does not decode.
    #[error("the EVM store holds a damaged {what} under {key}")]
    Corrupt { what: &'static str, key: String },
    /// A value that must exist is absent.
    #[error("the EVM store lacks the {what} under {key}")]
    Missing { what: &'static str, key: String },
    /// The tries of a past block would take changing back more than may be.
    #[error(
        "proofs and state roots on block {height} are not to be had: too much changed since; the oldest block to \
         have them on is {oldest}"
    )]
    TooFarBack { height: u64, oldest: u64 },
    /// A trial took longer than it may.
    #[error("execution timed out")]
    Stopped,
    /// The caller broke a rule of this crate's interface.
    #[error("broken rule: {0}")]
    Rule(String),
}

impl revm::database_interface::DBErrorMarker for StateError {}

/// An account. `code_hash` and `storage_root` are those of the empty code and the empty trie when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub nonce: u64,
    pub balance: U256,
    pub code_hash: B256,
    pub storage_root: B256,
}

impl Default for Account {
    fn default() -> Self {
        Account { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY, storage_root: EMPTY_ROOT_HASH }
    }
}

impl Account {
    /// Empty in the sense of EIP-161: such an account does not exist.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK_EMPTY
    }

    /// The form that the account trie commits to.
    pub fn trie_account(&self) -> TrieAccount {
        TrieAccount {
            nonce: self.nonce,
            balance: self.balance,
            storage_root: self.storage_root,
            code_hash: self.code_hash,
        }
    }
}

/// Names one trie node: which trie, and the nibbles from its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeKey {
    /// `None` for the account trie, keccak256(address) for that account's storage trie.
    pub owner: Option<B256>,
    pub path: Nibbles,
}

impl NodeKey {
    /// The key under which the node is stored: 0x00, or 0x01 and the 32-byte owner; then the path's nibbles, two a
    /// byte, the last one padded with zero; then one byte, the number of nibbles. No two keys share an encoding, and
    /// the nodes of one trie lie beside each other.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(34 + self.path.byte_len());
        match &self.owner {
            None => out.push(0),
            Some(owner) => {
                out.push(1);
                out.extend_from_slice(owner.as_slice());
            }
        }
        out.extend_from_slice(&self.path.pack());
        // A path has at most 64 nibbles.
        out.push(self.path.len() as u8);
        out
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            None => write!(f, "account trie path {:?}", self.path),
            Some(owner) => write!(f, "storage trie {owner} path {:?}", self.path),
        }
    }
}

/// A state that a block can be executed on.
pub trait StateView: Send + Sync {
    /// The account, `None` where there is none.
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError>;
    /// The slot's value, zero where it was never written.
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError>;
    /// The code with this keccak256.
    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError>;
    /// The RLP of a trie node.
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError>;
    /// The Ethereum block hash of a height, zero where it is unknown (the last 256 are known).
    fn block_hash(&self, number: u64) -> Result<B256, StateError>;
}

/// The new value of everything that a block changed.
///
/// The maps are for lookup; whoever writes them down or hashes them sorts first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// `None`: the account is gone.
    pub accounts: AddressMap<Option<Account>>,
    /// Zero: the slot is gone.
    pub storage: HashMap<(Address, U256), U256>,
    pub code: B256Map<Bytes>,
    /// `None`: the node is gone.
    pub nodes: HashMap<NodeKey, Option<Bytes>>,
    /// The hash of the block itself, by its number.
    pub block_hashes: BTreeMap<u64, B256>,
}

impl StateChanges {
    /// Lays `newer` changes over these.
    pub fn merge(&mut self, newer: StateChanges) {
        self.accounts.extend(newer.accounts);
        self.storage.extend(newer.storage);
        self.code.extend(newer.code);
        self.nodes.extend(newer.nodes);
        self.block_hashes.extend(newer.block_hashes);
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.storage.is_empty()
            && self.code.is_empty()
            && self.nodes.is_empty()
            && self.block_hashes.is_empty()
    }
}

/// The changes of not yet stored blocks, newest first, over the view below them.
pub struct Overlay<'a> {
    layers: Vec<Arc<StateChanges>>,
    base: &'a dyn StateView,
}

impl<'a> Overlay<'a> {
    /// `layers` is ordered from the newest block to the oldest.
    pub fn new(layers: Vec<Arc<StateChanges>>, base: &'a dyn StateView) -> Self {
        Overlay { layers, base }
    }
}

impl fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("layers", &self.layers.len()).finish_non_exhaustive()
    }
}

impl StateView for Overlay<'_> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        match self.layers.iter().find_map(|layer| layer.accounts.get(address)) {
            Some(account) => Ok(*account),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        let key = (*address, *slot);
        match self.layers.iter().find_map(|layer| layer.storage.get(&key)) {
            Some(value) => Ok(*value),
            None => self.base.storage(address, slot),
        }
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        match self.layers.iter().find_map(|layer| layer.code.get(hash)) {
            Some(code) => Ok(Some(code.clone())),
            None => self.base.code(hash),
        }
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        match self.layers.iter().find_map(|layer| layer.nodes.get(key)) {
            Some(node) => Ok(node.clone()),
            None => self.base.node(key),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        match self.layers.iter().find_map(|layer| layer.block_hashes.get(&number)) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash(number),
        }
    }
}

/// The state before genesis: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyState;

impl StateView for EmptyState {
    fn account(&self, _: &Address) -> Result<Option<Account>, StateError> {
        Ok(None)
    }

    fn storage(&self, _: &Address, _: &U256) -> Result<U256, StateError> {
        Ok(U256::ZERO)
    }

    fn code(&self, _: &B256) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }

    fn node(&self, _: &NodeKey) -> Result<Option<Bytes>, StateError> {
        Ok(None)
    }

    fn block_hash(&self, _: u64) -> Result<B256, StateError> {
        Ok(B256::ZERO)
    }
}
