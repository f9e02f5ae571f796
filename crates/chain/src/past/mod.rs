//! The state after a past block: the EVM's and what its precompiles show, as far back as both are kept.

mod app;
mod trace;

pub use trace::TraceFailure;
pub(crate) use trace::trace;

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use triad_evm::{
    Account, AppView, BlockContext, EIP1186AccountProofResponse, Fork, Header, Kept, NodeKey, NotKept,
    StateError, StateView,
};

use crate::error::ChainError;
use crate::ledger::{Inner, Ledger};
use app::PastApp;

/// There is no state to answer from.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    #[error(transparent)]
    NotKept(#[from] NotKept),
    #[error("block {height} does not exist yet, the newest is {newest}")]
    Future { height: u64, newest: u64 },
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl From<StateError> for PastError {
    fn from(error: StateError) -> Self {
        PastError::Chain(error.into())
    }
}

/// The state after one block. It stays the same and is not pruned while this lives: do not keep it for long.
pub struct StateAt {
    inner: Arc<Inner>,
    kept: Kept,
    header: Header,
    app: Arc<PastApp>,
}

impl std::fmt::Debug for StateAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateAt").field("height", &self.kept.height()).finish_non_exhaustive()
    }
}

impl StateAt {
    pub(crate) fn open(ledger: &Ledger, height: u64) -> Result<StateAt, PastError> {
        let newest = ledger.height();
        if height > newest {
            return Err(PastError::Future { height, newest });
        }
        let store = &ledger.0.store;
        let kept = store.evm.keep(height)?;
        let missing = |what: &str| ChainError::corrupt(format!("the {what} of block {height} is missing"));
        let header = store.eth_header(height)?.ok_or_else(|| missing("Ethereum header"))?;
        let checkpoint = store.checkpoint(height)?.ok_or_else(|| missing("checkpoint"))?.checkpoint;
        let app = Arc::new(PastApp::new(ledger.0.clone(), &checkpoint));
        Ok(StateAt { inner: ledger.0.clone(), kept, header, app })
    }

    pub fn height(&self) -> u64 {
        self.kept.height()
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What a call in this block sees of the block.
    pub fn context(&self) -> BlockContext {
        context(&self.header, self.inner.rules.spec.genesis.chain_id, self.header.state_root)
    }

    /// What the precompiles show in this block.
    pub fn app(&self) -> Arc<dyn AppView> {
        self.app.clone()
    }

    /// The failure of the store that a precompile met, if one did: its answer was none then. Ask after each use of
    /// [`StateAt::app`].
    pub fn failure(&self) -> Option<ChainError> {
        self.app.take_error()
    }

    /// The code at an address.
    pub fn code_at(&self, address: &Address) -> Result<Bytes, StateError> {
        match self.account(address)? {
            None => Ok(Bytes::new()),
            Some(account) => Ok(self.code(&account.code_hash)?.unwrap_or_default()),
        }
    }

    /// Proves an account and some of its slots against the block's state root.
    pub fn proof(&self, address: Address, slots: &[B256]) -> Result<EIP1186AccountProofResponse, StateError> {
        triad_evm::proof(self, self.header.state_root, address, slots)
    }
}

/// The surroundings of whatever is executed in a block, on a parent state with this root.
pub(crate) fn context(header: &Header, chain_id: u64, parent_state_root: B256) -> BlockContext {
    BlockContext {
        number: header.number,
        timestamp: header.timestamp,
        beneficiary: header.beneficiary,
        prev_randao: header.mix_hash,
        gas_limit: header.gas_limit,
        base_fee: header.base_fee_per_gas.unwrap_or_default(),
        // Handed over at the end of a block, which nothing that is tried on one reaches.
        base_fee_to: None,
        parent_hash: header.parent_hash,
        chain_id,
        parent_state_root,
        fork: Fork::default(),
    }
}

impl StateView for StateAt {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.inner.store.evm.past(&self.kept).account(address)
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.inner.store.evm.past(&self.kept).storage(address, slot)
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        self.inner.store.evm.past(&self.kept).code(hash)
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        self.inner.store.evm.past(&self.kept).node(key)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number > self.height() {
            return Ok(B256::ZERO);
        }
        let stored = self.inner.store.checkpoint(number).map_err(|e| StateError::Rule(e.to_string()))?;
        Ok(stored.map_or(B256::ZERO, |s| s.checkpoint.eth_block_hash.into()))
    }
}
