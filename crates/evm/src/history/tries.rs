//! The tries of a past block, made when somebody asks for them: no block writes what its trie nodes were before.
//!
//! They come from the stored ones by changing back every account and slot that a later block changed, in memory. The
//! nodes are read from a snapshot of the store, so that blocks may be committed meanwhile. How far back that reaches
//! depends on how much was changed since, and is bounded ([`MAX_CHANGED_BACK`]).

use super::diff::Diff;
use super::{ACCOUNT, DIFF, Kept, SLOT, at, height_of};
use crate::state::{NodeKey, StateChanges, StateError, StateView};
use crate::store::{EvmStore, Frozen, corrupt, store_error};
use crate::trie::{self, TrieChange};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};
use fjall::Readable;
use std::collections::BTreeSet;

/// How many accounts and slots are changed back at most: some 300 bytes and 20 µs each.
pub(crate) const MAX_CHANGED_BACK: usize = 65_536;

/// The tries after a block: stored ones, and the nodes that differ.
pub(crate) struct Tries {
    height: u64,
    base: Frozen,
    changed: StateChanges,
}

impl Tries {
    /// Those of the state that is held.
    pub(super) fn new(store: &EvmStore, kept: &Kept) -> Result<Tries, StateError> {
        let mut tries =
            Tries { height: kept.height, base: store.freeze()?, changed: StateChanges::default() };
        let names = tries.names(store, kept.height, tries.base.height, MAX_CHANGED_BACK)?;
        tries.set(store, &store.past(kept), &names)?;
        Ok(tries)
    }

    pub(super) fn height(&self) -> u64 {
        self.height
    }

    pub(super) fn node(&self, store: &EvmStore, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        match self.changed.nodes.get(key) {
            Some(node) => Ok(node.clone()),
            None => store.nodes.get_frozen(&self.base, key),
        }
    }

    /// The names of what the blocks above one height, up to another, replaced.
    fn names(
        &self,
        store: &EvmStore,
        above: u64,
        up_to: u64,
        most: usize,
    ) -> Result<BTreeSet<Vec<u8>>, StateError> {
        let mut names = BTreeSet::new();
        let blocks = at(&DIFF, above.saturating_add(1))..at(&DIFF, up_to.saturating_add(1));
        for guard in self.base.snapshot.range(&store.history.space, blocks).rev() {
            let (key, bytes) = guard.into_inner().map_err(store_error("reading the history"))?;
            let block = height_of(&key)?;
            for name in Diff::decode(&bytes, block)?.names() {
                let name = name?;
                if parse(name).is_some() {
                    names.insert(name.to_vec());
                }
            }
            if names.len() > most {
                return Err(StateError::TooFarBack { height: above, oldest: block });
            }
        }
        Ok(names)
    }

    /// Gives everything under these names, accounts before slots, the value that it has in `state`.
    fn set(
        &mut self,
        store: &EvmStore,
        state: &dyn StateView,
        names: &BTreeSet<Vec<u8>>,
    ) -> Result<(), StateError> {
        let (mut accounts, mut slots) = (Vec::new(), Vec::new());
        let mut names = names.iter().peekable();
        while let Some(name) = names.next() {
            match parse(name) {
                Some((address, None)) => {
                    let account = state.account(&address)?;
                    accounts.push(TrieChange::account(keccak256(address), None, account.as_ref()));
                }
                Some((address, Some(slot))) => {
                    slots.push(TrieChange::storage(&slot, None, &state.storage(&address, &slot)?));
                    if names.peek().is_some_and(|next| next.starts_with(&name[..=Address::len_bytes()])) {
                        continue;
                    }
                    let root = self.update(store, Some(keccak256(address)), &mut slots)?;
                    slots.clear();
                    if root != state.account(&address)?.unwrap_or_default().storage_root {
                        return Err(corrupt("history of the storage", address));
                    }
                }
                None => {}
            }
        }
        self.update(store, None, &mut accounts).map(drop)
    }

    fn update(
        &mut self,
        store: &EvmStore,
        owner: Option<B256>,
        changes: &mut [TrieChange],
    ) -> Result<B256, StateError> {
        let read = |key: &NodeKey| store.nodes.get_frozen(&self.base, key);
        let root = read(&NodeKey { owner, path: Nibbles::new() })?.map_or(EMPTY_ROOT_HASH, keccak256);
        trie::update(&read, owner, root, changes, &mut self.changed)
    }
}

/// Makes the nodes again that were not written when the process ended: the stored tries are brought to the head.
pub(super) fn bring_up(store: &EvmStore, head: u64) -> Result<(), StateError> {
    let from = store.nodes.open(head)?;
    if from < head {
        let mut tries = Tries { height: head, base: store.freeze()?, changed: StateChanges::default() };
        let names = tries.names(store, from, head, usize::MAX)?;
        tries.set(store, store, &names)?;
        store.nodes.wait(head, &tries.changed.nodes);
    }
    Ok(())
}

/// An account's address, or a slot's.
fn parse(name: &[u8]) -> Option<(Address, Option<U256>)> {
    let (kind, name) = name.split_first()?;
    let (address, rest) = name.split_first_chunk::<20>()?;
    match *kind {
        ACCOUNT if rest.is_empty() => Some((address.into(), None)),
        SLOT => Some((address.into(), Some(U256::try_from_be_slice(rest)?))),
        _ => None,
    }
}
