//! The state of a block while it executes: the parent's view, and everything read or written since.

use crate::state::{Account, StateError, StateView};
use alloy_consensus::constants::KECCAK_EMPTY;
use alloy_primitives::map::{AddressMap, B256Map, Entry, U256Map};
use alloy_primitives::{Address, B256, Bytes, U256};
use revm::database_interface::Database;
use revm::state::{AccountInfo, Bytecode, EvmState};
use std::collections::BTreeMap;
use std::fmt;

/// Whether a trial must end now.
pub type Stop<'a> = dyn Fn() -> bool + Sync + 'a;

/// A slot as the parent left it and as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) original: U256,
    pub(crate) value: U256,
}

/// An account as the parent left it and as it is now.
#[derive(Clone, Debug, Default)]
pub(crate) struct CachedAccount {
    pub(crate) original: Option<Account>,
    pub(crate) info: Option<AccountInfo>,
    pub(crate) slots: U256Map<Slot>,
    /// Whether the parent's storage counts for nothing: only a trial replaces all of it ([`crate::call`]).
    pub(crate) wiped: bool,
    /// Whether any transaction of this block touched it.
    pub(crate) touched: bool,
}

pub(crate) struct BlockDb<'a> {
    view: &'a dyn StateView,
    number: u64,
    parent_hash: B256,
    /// Block hashes that a trial pretends.
    pub(crate) hashes: BTreeMap<u64, B256>,
    /// Asked before the parent's state is read; `true` ends the execution. Only trials set it, never blocks.
    pub(crate) stop: Option<&'a Stop<'a>>,
    pub(crate) accounts: AddressMap<CachedAccount>,
    /// Code made in this block.
    pub(crate) new_code: B256Map<Bytes>,
    code: B256Map<Bytecode>,
}

impl fmt::Debug for BlockDb<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockDb").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<'a> BlockDb<'a> {
    pub(crate) fn new(view: &'a dyn StateView, number: u64, parent_hash: B256) -> Self {
        BlockDb {
            view,
            number,
            parent_hash,
            hashes: BTreeMap::new(),
            stop: None,
            accounts: AddressMap::default(),
            new_code: B256Map::default(),
            code: B256Map::default(),
        }
    }

    pub(crate) fn view(&self) -> &'a dyn StateView {
        self.view
    }

    fn check_stop(&self) -> Result<(), StateError> {
        if self.stop.is_some_and(|stop| stop()) { Err(StateError::Stopped) } else { Ok(()) }
    }

    /// Code that stands nowhere in the parent's state.
    pub(crate) fn put_code(&mut self, hash: B256, code: Bytecode) {
        self.new_code.insert(hash, code.original_bytes());
        self.code.insert(hash, code);
    }

    pub(crate) fn load(&mut self, address: Address) -> Result<&mut CachedAccount, StateError> {
        if !self.accounts.contains_key(&address) {
            self.check_stop()?;
        }
        match self.accounts.entry(address) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let original = self.view.account(&address)?;
                let info = original.map(|account| AccountInfo {
                    balance: account.balance,
                    nonce: account.nonce,
                    code_hash: account.code_hash,
                    code: (account.code_hash == KECCAK_EMPTY).then(Bytecode::default),
                    account_id: None,
                });
                Ok(entry.insert(CachedAccount { original, info, ..CachedAccount::default() }))
            }
        }
    }

    /// Takes over what a transaction did.
    ///
    /// Since EIP-6780 an account is destroyed only in the transaction that created it, and EIP-7610 keeps contracts
    /// from being created over storage, so no slot of an earlier transaction ever needs wiping.
    pub(crate) fn commit(&mut self, state: EvmState) -> Result<(), StateError> {
        for (address, mut account) in state {
            if !account.is_touched() {
                continue;
            }
            let gone = account.is_selfdestructed() || account.info.is_empty();
            if !gone
                && account.info.code_hash != KECCAK_EMPTY
                && let Some(code) = &account.info.code
                && !self.code.contains_key(&account.info.code_hash)
            {
                self.code.insert(account.info.code_hash, code.clone());
                if self.view.code(&account.info.code_hash)?.is_none() {
                    self.new_code.insert(account.info.code_hash, code.original_bytes());
                }
            }
            let cached = self.load(address)?;
            cached.touched = true;
            if gone {
                cached.info = None;
                for slot in cached.slots.values_mut() {
                    slot.value = U256::ZERO;
                }
                continue;
            }
            if account.info.code.is_none() {
                // Not loaded by this transaction: what is known of it stays known.
                account.info.code = cached
                    .info
                    .as_mut()
                    .filter(|info| info.code_hash == account.info.code_hash)
                    .and_then(|info| info.code.take());
            }
            cached.info = Some(account.info);
            for (key, slot) in account.storage {
                if slot.is_changed() {
                    cached
                        .slots
                        .entry(key)
                        .or_insert(Slot { original: slot.original_value, value: slot.original_value })
                        .value = slot.present_value;
                }
            }
        }
        Ok(())
    }
}

impl Database for BlockDb<'_> {
    type Error = StateError;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        Ok(self.load(address)?.info.clone())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, StateError> {
        if hash == KECCAK_EMPTY {
            return Ok(Bytecode::default());
        }
        match self.code.entry(hash) {
            Entry::Occupied(entry) => Ok(entry.get().clone()),
            Entry::Vacant(entry) => {
                let missing = || StateError::Missing { what: "contract code", key: hash.to_string() };
                let bytes = self.view.code(&hash)?.ok_or_else(missing)?;
                let code = Bytecode::new_raw_checked(bytes)
                    .map_err(|_| StateError::Corrupt { what: "contract code", key: hash.to_string() })?;
                Ok(entry.insert(code).clone())
            }
        }
    }

    fn storage(&mut self, address: Address, slot: U256) -> Result<U256, StateError> {
        let (view, stop) = (self.view, self.stop);
        let cached = self.load(address)?;
        match cached.slots.entry(slot) {
            Entry::Occupied(entry) => Ok(entry.get().value),
            Entry::Vacant(entry) => {
                let value = match &cached.original {
                    Some(_) if stop.is_some_and(|stop| stop()) => return Err(StateError::Stopped),
                    Some(_) if !cached.wiped => view.storage(&address, &slot)?,
                    _ => U256::ZERO,
                };
                Ok(entry.insert(Slot { original: value, value }).value)
            }
        }
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, StateError> {
        if let Some(hash) = self.hashes.get(&number) {
            return Ok(*hash);
        }
        if number.checked_add(1) == Some(self.number) {
            return Ok(self.parent_hash);
        }
        self.view.block_hash(number)
    }
}
