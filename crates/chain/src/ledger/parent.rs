//! What a block is executed on: the committed state under the layers of its unfinalised ancestors.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use triad_evm::{Account, LogAt, NodeKey, Overlay, StateError, StateView};

use crate::error::ChainError;
use crate::execute::{Executed, History, Parent};
use crate::store::Store;

/// Heights of unfinalised ancestors first, then the store.
pub(super) struct Past {
    pub ancestors: Vec<Arc<Executed>>,
    pub store: Arc<Store>,
}

impl History for Past {
    fn log_at(&self, height: u64) -> Result<Option<LogAt>, ChainError> {
        if let Some(found) = self.ancestors.iter().find(|e| e.block.height() == height) {
            return Ok(Some(found.log_at()));
        }
        self.store.log_at(height)
    }
}

/// The EVM state that a block is executed on.
pub(crate) struct ParentState<'a> {
    overlay: Overlay<'a>,
    store: &'a Store,
}

impl StateView for ParentState<'_> {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.overlay.account(address)
    }
    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.overlay.storage(address, slot)
    }
    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.overlay.code(hash)
    }
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        self.overlay.node(key)
    }
    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let known = self.overlay.block_hash(number)?;
        if !known.is_zero() {
            return Ok(known);
        }
        let stored = self.store.checkpoint(number).map_err(|e| StateError::Rule(e.to_string()))?;
        Ok(stored.map_or(B256::ZERO, |s| s.checkpoint.eth_block_hash.into()))
    }
}

/// A parent with what keeps its layers alive.
pub(crate) struct OpenParent {
    pub parent: Parent,
    /// Newest first.
    pub ancestors: Vec<Arc<Executed>>,
    /// The final block under them, whose state the store held.
    pub base: [u8; 32],
}

impl OpenParent {
    pub fn state<'a>(&self, store: &'a Store) -> ParentState<'a> {
        let layers = self.ancestors.iter().map(|e| e.evm_changes.clone()).collect();
        ParentState { overlay: Overlay::new(layers, &store.evm), store }
    }

    /// Whether the state is what it was while the store holds that of this final block: it is when the parent descends from it.
    pub fn stands_on(&self, stored: &[u8; 32]) -> bool {
        *stored == self.base || self.ancestors.iter().any(|e| e.block.digest == *stored)
    }
}
