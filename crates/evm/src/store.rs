//! The final state on disk, with its hot part in memory.
//!
//! | keyspace | key | value |
//! | --- | --- | --- |
//! | `evm_accounts` | address (20) | RLP([nonce, balance, storage root or empty, code hash or empty]) |
//! | `evm_storage` | address (20) ‖ slot (32) | the value without leading zero bytes |
//! | `evm_code` | keccak256 of the code (32) | the code |
//! | `evm_nodes` | [`NodeKey::to_bytes`] | the node's RLP; not of every block's ([`nodes`]) |
//! | `evm_nodes` | 0x02 | the height whose tries these are (8, big endian) |
//! | `evm_hashes` | block number (8, big endian) | block hash (32), of the last 256 blocks |
//! | `evm_past` | see `history.rs` | what past blocks replaced |
//!
//! The owner of the database commits one batch a block: [`EvmStore::apply`] adds the changes to it, and after it is
//! committed [`EvmStore::committed`] brings the caches up to date. Between the two, readers must lay the changes over
//! the store ([`crate::Overlay`]): then every answer is the same before, during and after.

mod caches;
mod nodes;

pub use self::caches::CacheSizes;
use self::caches::{ByteCache, CountCache, byte_cache, cached, count_cache};
#[cfg(test)]
pub(crate) use self::nodes::WRITE_EVERY;
pub(crate) use self::nodes::{Frozen, NodeStore};

use crate::executor::SystemCall;
use crate::history::History;
use crate::rebuild::Flat;
use crate::state::{Account, NodeKey, StateChanges, StateError, StateView};
use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_rlp::{Decodable, Encodable, Header};
use alloy_trie::EMPTY_ROOT_HASH;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use std::fmt;

/// How many block hashes are kept: as many as the BLOCKHASH instruction reaches.
const BLOCK_HASHES: u64 = 256;

/// The EVM state of the last final block.
pub struct EvmStore {
    pub(crate) database: Database,
    accounts: Keyspace,
    storage: Keyspace,
    code: Keyspace,
    pub(crate) nodes: NodeStore,
    hashes: Keyspace,
    pub(crate) history: History,
    account_cache: CountCache<Address, Option<Account>>,
    slot_cache: CountCache<(Address, U256), U256>,
    code_cache: ByteCache<B256>,
}

impl fmt::Debug for EvmStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmStore").finish_non_exhaustive()
    }
}

pub(crate) fn store_error(action: &'static str) -> impl Fn(fjall::Error) -> StateError {
    move |error| StateError::Store { action, error: error.to_string() }
}

impl EvmStore {
    /// Opens the keyspaces, creating them where they are missing.
    pub fn open(database: &Database) -> Result<EvmStore, StateError> {
        EvmStore::open_with(database, CacheSizes::default())
    }

    pub fn open_with(database: &Database, sizes: CacheSizes) -> Result<EvmStore, StateError> {
        // What earlier versions kept of past blocks: a row for each value.
        if database.keyspace_exists("evm_history") {
            let old = database
                .keyspace("evm_history", KeyspaceCreateOptions::default)
                .map_err(store_error("opening a keyspace"))?;
            database.delete_keyspace(old).map_err(store_error("removing a keyspace"))?;
        }
        let keyspace = |name: &str| {
            database.keyspace(name, KeyspaceCreateOptions::default).map_err(store_error("opening a keyspace"))
        };
        Ok(EvmStore {
            database: database.clone(),
            accounts: keyspace("evm_accounts")?,
            storage: keyspace("evm_storage")?,
            code: keyspace("evm_code")?,
            nodes: NodeStore::new(keyspace("evm_nodes")?, &sizes),
            hashes: keyspace("evm_hashes")?,
            history: History::new(keyspace("evm_past")?),
            account_cache: count_cache(sizes.accounts),
            slot_cache: count_cache(sizes.slots),
            code_cache: byte_cache(sizes.code_bytes, 8_192),
        })
    }

    /// Adds a block's changes to the batch that commits the block, and to the history, if that is kept, what they
    /// replace. `system_calls` is what [`EvmStore::system_calls`] gives back.
    pub fn apply(
        &self,
        batch: &mut OwnedWriteBatch,
        height: u64,
        changes: &StateChanges,
        system_calls: &[SystemCall],
    ) -> Result<(), StateError> {
        self.history.record(self, batch, height, changes, system_calls)?;
        let mut accounts: Vec<_> = changes.accounts.iter().collect();
        accounts.sort_unstable_by_key(|(address, _)| **address);
        for (address, account) in accounts {
            match account {
                Some(account) => batch.insert(&self.accounts, address.as_slice(), encode_account(account)),
                None => batch.remove(&self.accounts, address.as_slice()),
            }
        }
        let mut storage: Vec<_> = changes.storage.iter().collect();
        storage.sort_unstable_by_key(|(key, _)| **key);
        for ((address, slot), value) in storage {
            let key = slot_key(address, slot);
            if value.is_zero() {
                batch.remove(&self.storage, key);
            } else {
                batch.insert(&self.storage, key, value.to_be_bytes_trimmed_vec());
            }
        }
        let mut code: Vec<_> = changes.code.iter().collect();
        code.sort_unstable_by_key(|(hash, _)| **hash);
        for (hash, code) in code {
            batch.insert(&self.code, hash.as_slice(), code.0.clone());
        }
        self.nodes.apply(batch, height, &changes.nodes, !self.history.records(height));
        for (number, hash) in &changes.block_hashes {
            batch.insert(&self.hashes, number.to_be_bytes(), hash.as_slice());
            if let Some(old) = number.checked_sub(BLOCK_HASHES) {
                batch.remove(&self.hashes, old.to_be_bytes());
            }
        }
        Ok(())
    }

    /// The keyspaces of the flat state.
    pub fn flat(&self) -> Flat<'_> {
        Flat { accounts: &self.accounts, storage: &self.storage, code: &self.code, hashes: &self.hashes }
    }

    /// Brings the caches up to date, once the batch that [`EvmStore::apply`] filled is committed.
    ///
    /// A reader that was loading an older value meanwhile cannot put it back: inserting takes its place in the cache
    /// away from it.
    pub fn committed(&self, changes: &StateChanges) {
        for (address, account) in &changes.accounts {
            self.account_cache.insert(*address, *account);
        }
        for (key, value) in &changes.storage {
            self.slot_cache.insert(*key, *value);
        }
        for (hash, code) in &changes.code {
            self.code_cache.insert(*hash, code.clone());
        }
        self.nodes.committed(&changes.nodes);
    }
}

impl EvmStore {
    /// The tries after the last block.
    pub(crate) fn freeze(&self) -> Result<Frozen, StateError> {
        self.nodes.freeze(&self.database)
    }
}

impl StateView for EvmStore {
    fn account(&self, address: &Address) -> Result<Option<Account>, StateError> {
        self.account_cache.get_or_insert_with(address, || {
            let stored = self.accounts.get(address).map_err(store_error("reading an account"))?;
            stored.map(|bytes| decode_account(&bytes).ok_or_else(|| corrupt("account", address))).transpose()
        })
    }

    fn storage(&self, address: &Address, slot: &U256) -> Result<U256, StateError> {
        self.slot_cache.get_or_insert_with(&(*address, *slot), || {
            let stored = self.storage.get(slot_key(address, slot)).map_err(store_error("reading a slot"))?;
            match stored {
                None => Ok(U256::ZERO),
                Some(bytes) => {
                    decode_slot(&bytes).ok_or_else(|| corrupt("storage slot", format!("{address} {slot:#x}")))
                }
            }
        })
    }

    fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        cached(
            &self.code_cache,
            hash,
            |_| true,
            || {
                let stored = self.code.get(hash).map_err(store_error("reading code"))?;
                Ok(stored.map(|bytes| Bytes(bytes.into())))
            },
        )
    }

    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        self.nodes.get(key)
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let stored = self.hashes.get(number.to_be_bytes()).map_err(store_error("reading a block hash"))?;
        match stored {
            None => Ok(B256::ZERO),
            Some(bytes) => B256::try_from(bytes.as_ref()).map_err(|_| corrupt("block hash", number)),
        }
    }
}

pub(crate) fn corrupt(what: &'static str, key: impl fmt::Display) -> StateError {
    StateError::Corrupt { what, key: key.to_string() }
}

fn slot_key(address: &Address, slot: &U256) -> [u8; 52] {
    let mut key = [0; 52];
    key[..20].copy_from_slice(address.as_slice());
    key[20..].copy_from_slice(&slot.to_be_bytes::<32>());
    key
}

pub(crate) fn decode_slot(bytes: &[u8]) -> Option<U256> {
    U256::try_from_be_slice(bytes)
}

pub(crate) fn encode_account(account: &Account) -> Vec<u8> {
    let root = (account.storage_root != EMPTY_ROOT_HASH).then_some(account.storage_root);
    let code = (account.code_hash != KECCAK_EMPTY).then_some(account.code_hash);
    let hash = |hash: &Option<B256>| hash.map_or(Vec::new(), |hash| hash.to_vec());
    let (root, code) = (hash(&root), hash(&code));
    let payload_length = account.nonce.length()
        + account.balance.length()
        + root.as_slice().length()
        + code.as_slice().length();
    let mut out = Vec::with_capacity(payload_length + 2);
    Header { list: true, payload_length }.encode(&mut out);
    account.nonce.encode(&mut out);
    account.balance.encode(&mut out);
    root.as_slice().encode(&mut out);
    code.as_slice().encode(&mut out);
    out
}

pub(crate) fn decode_account(mut raw: &[u8]) -> Option<Account> {
    let mut body = Header::decode_bytes(&mut raw, true).ok()?;
    let nonce = u64::decode(&mut body).ok()?;
    let balance = U256::decode(&mut body).ok()?;
    let mut hash = |empty: B256| match Header::decode_bytes(&mut body, false).ok()? {
        [] => Some(empty),
        bytes => B256::try_from(bytes).ok(),
    };
    let storage_root = hash(EMPTY_ROOT_HASH)?;
    let code_hash = hash(KECCAK_EMPTY)?;
    (body.is_empty() && raw.is_empty()).then_some(Account { nonce, balance, code_hash, storage_root })
}

#[cfg(test)]
mod speed;
#[cfg(test)]
mod tests;
