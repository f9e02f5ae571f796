//! The state that a chain begins with.

use crate::precompiles;
use crate::state::{Account, StateChanges, StateError};
use crate::trie::{self, TrieChange};
use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use std::collections::{BTreeMap, BTreeSet};

/// An account of the genesis file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    pub balance: U256,
    pub nonce: u64,
    pub code: Bytes,
    pub storage: BTreeMap<U256, U256>,
}

impl GenesisAccount {
    /// An account that holds wei and nothing else.
    pub fn funded(balance: U256) -> Self {
        GenesisAccount { balance, ..GenesisAccount::default() }
    }

    /// A contract as if it had been deployed: nonce 1.
    pub fn contract(code: Bytes) -> Self {
        GenesisAccount { nonce: 1, code, ..GenesisAccount::default() }
    }
}

/// Why accounts cannot begin a chain.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GenesisError {
    #[error("genesis lists the account {0} twice")]
    Twice(Address),
    #[error("genesis gives {0} to a precompiled contract")]
    Precompile(Address),
    #[error("genesis account {0} has storage but neither code nor a nonce")]
    StorageWithoutContract(Address),
    #[error(transparent)]
    State(#[from] StateError),
}

/// The state that holds `alloc` and the precompiles' accounts (nonce 1), and its root.
///
/// The system contracts ([`crate::system_contracts`]) are the caller's to list in `alloc`; their initialisation calls
/// run in the first block's [`crate::Executor`], whose view is an [`crate::Overlay`] of these changes over
/// [`crate::EmptyState`].
pub fn genesis(alloc: &[(Address, GenesisAccount)]) -> Result<(StateChanges, B256), GenesisError> {
    let mut all = Vec::with_capacity(alloc.len() + precompiles::ADDRESSES.len());
    let mut seen = BTreeSet::new();
    for (address, account) in alloc {
        if !seen.insert(*address) {
            return Err(GenesisError::Twice(*address));
        }
        if precompiles::ADDRESSES.contains(address) {
            return Err(GenesisError::Precompile(*address));
        }
        if !account.storage.is_empty() && account.code.is_empty() && account.nonce == 0 {
            return Err(GenesisError::StorageWithoutContract(*address));
        }
        all.push((*address, account.clone()));
    }
    let precompile = GenesisAccount { nonce: 1, ..GenesisAccount::default() };
    all.extend(precompiles::ADDRESSES.map(|address| (address, precompile.clone())));
    Ok(state_of(&all)?)
}

/// The state that holds exactly these accounts, each named once, and its root. Empty ones are left out (EIP-161).
pub(crate) fn state_of(accounts: &[(Address, GenesisAccount)]) -> Result<(StateChanges, B256), StateError> {
    let mut changes = StateChanges::default();
    let mut trie_changes = Vec::with_capacity(accounts.len());
    for (address, account) in accounts {
        add(&mut changes, &mut trie_changes, *address, account)?;
    }
    let root = trie::update(&|_| Ok(None), None, EMPTY_ROOT_HASH, &mut trie_changes, &mut changes)?;
    Ok((changes, root))
}

fn add(
    changes: &mut StateChanges,
    trie_changes: &mut Vec<TrieChange>,
    address: Address,
    account: &GenesisAccount,
) -> Result<(), StateError> {
    let key = keccak256(address);
    let mut slots = Vec::with_capacity(account.storage.len());
    for (slot, value) in account.storage.iter().filter(|(_, value)| !value.is_zero()) {
        slots.push(TrieChange::storage(slot, None, value));
        changes.storage.insert((address, *slot), *value);
    }
    let storage_root = trie::update(&|_| Ok(None), Some(key), EMPTY_ROOT_HASH, &mut slots, changes)?;
    let code_hash = if account.code.is_empty() {
        KECCAK_EMPTY
    } else {
        let hash = keccak256(&account.code);
        changes.code.insert(hash, account.code.clone());
        hash
    };
    let state = Account { nonce: account.nonce, balance: account.balance, code_hash, storage_root };
    if !state.is_empty() {
        trie_changes.push(TrieChange::account(key, None, Some(&state)));
        changes.accounts.insert(address, Some(state));
    }
    Ok(())
}
