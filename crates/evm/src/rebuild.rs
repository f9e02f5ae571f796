//! The tries from the flat state, for a store that was filled with rows from elsewhere.

use std::mem;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use fjall::Keyspace;

use crate::state::{StateChanges, StateError};
use crate::store::{EvmStore, corrupt, decode_account, decode_slot, store_error};
use crate::trie::{self, TrieChange};

/// Trie nodes that are written at once.
const AT_ONCE: usize = 65_536;

/// Where the flat state lies. Its rows are what a snapshot holds; the tries follow from them.
#[derive(Clone, Copy)]
pub struct Flat<'a> {
    pub accounts: &'a Keyspace,
    pub storage: &'a Keyspace,
    pub code: &'a Keyspace,
    pub hashes: &'a Keyspace,
}

impl std::fmt::Debug for Flat<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flat").finish_non_exhaustive()
    }
}

impl EvmStore {
    /// Builds the tries of all accounts and their storage, which must not exist yet, and returns the state root. An account
    /// whose storage has another root than it says is an error.
    pub fn rebuild_tries(&self) -> Result<B256, StateError> {
        let mut out = StateChanges::default();
        let mut accounts = Vec::new();
        let mut storage = Slots { rows: self.flat().storage.iter(), next: None };
        storage.advance()?;
        for guard in self.flat().accounts.iter() {
            let (key, value) = guard.into_inner().map_err(store_error("reading an account"))?;
            let address = Address::try_from(key.as_ref()).map_err(|_| corrupt("account", "a key"))?;
            let account = decode_account(&value).ok_or_else(|| corrupt("account", address))?;
            let owner = keccak256(address);
            let mut slots = storage.of(&address)?;
            let root = trie::update(&|_| Ok(None), Some(owner), EMPTY_ROOT_HASH, &mut slots, &mut out)?;
            if root != account.storage_root {
                return Err(corrupt("storage root", address));
            }
            accounts.push(TrieChange::account(owner, None, Some(&account)));
            if out.nodes.len() >= AT_ONCE {
                self.write_nodes(mem::take(&mut out))?;
            }
        }
        if let Some((address, ..)) = storage.next {
            return Err(corrupt("storage without an account", address));
        }
        let root = trie::update(&|_| Ok(None), None, EMPTY_ROOT_HASH, &mut accounts, &mut out)?;
        self.write_nodes(out)?;
        Ok(root)
    }

    fn write_nodes(&self, changes: StateChanges) -> Result<(), StateError> {
        let mut batch = self.database.batch();
        self.nodes.put(&mut batch, changes.nodes.iter());
        batch.commit().map_err(store_error("writing trie nodes"))
    }
}

/// Slots in the order of their addresses.
struct Slots {
    rows: fjall::Iter,
    next: Option<(Address, U256, U256)>,
}

impl Slots {
    fn advance(&mut self) -> Result<(), StateError> {
        self.next = match self.rows.next() {
            None => None,
            Some(guard) => {
                let (key, value) = guard.into_inner().map_err(store_error("reading a slot"))?;
                let (address, slot) = key.split_at_checked(20).ok_or_else(|| corrupt("slot", "a key"))?;
                let slot = U256::try_from_be_slice(slot).ok_or_else(|| corrupt("slot", "a key"))?;
                let value = decode_slot(&value).ok_or_else(|| corrupt("slot", slot))?;
                Some((Address::from_slice(address), slot, value))
            }
        };
        Ok(())
    }

    fn of(&mut self, address: &Address) -> Result<Vec<TrieChange>, StateError> {
        let mut slots = Vec::new();
        while let Some((owner, slot, value)) = self.next {
            if owner != *address {
                break;
            }
            slots.push(TrieChange::storage(&slot, None, &value));
            self.advance()?;
        }
        Ok(slots)
    }
}
