//! The end of a block: its roots, its header, and what it changed.

use super::{EvmBlock, Executor};
use crate::db::BlockDb;
use crate::env::BlockContext;
use crate::state::{Account, NodeKey, StateChanges, StateError};
use crate::trie::{self, TrieChange};
use crate::tx::FIRING_TX_TYPE;
use alloy_consensus::Header;
use alloy_consensus::constants::{EMPTY_OMMER_ROOT_HASH, EMPTY_WITHDRAWALS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{B256, Bloom, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use alloy_trie::root::ordered_trie_root_with_encoder;
use std::time::Instant;

/// From this many transactions on, their roots are computed beside the state root, on a thread of their own.
const PARALLEL_ROOTS: usize = 64;

impl<I> Executor<'_, I> {
    /// Ends the block: computes its roots, its header and what it changed.
    pub fn finish(mut self) -> Result<EvmBlock, StateError> {
        self.hand_over_base_fees()?;
        let Executor { evm, ctx, gas_used, transactions, receipts, system_calls } = self;
        let db = &evm.ctx.journaled_state.database;
        let receipts_root = || ordered_trie_root_with_encoder(&receipts, |r, out| r.encode_2718(out));
        let transactions_root =
            || ordered_trie_root_with_encoder(&transactions, |tx, out| tx.encode_2718(out));
        // The clock measures; nothing that a block commits to depends on it.
        let timed_changes = || {
            let started = Instant::now();
            state_changes(db, &ctx).map(|done| (done, started.elapsed()))
        };
        let (transactions_root, receipts_root, state) = if transactions.len() < PARALLEL_ROOTS {
            (transactions_root(), receipts_root(), timed_changes())
        } else {
            std::thread::scope(|scope| {
                let lists = scope.spawn(|| (transactions_root(), receipts_root()));
                let state = timed_changes();
                let (transactions, receipts) = lists
                    .join()
                    .map_err(|_| StateError::Rule("computing the transaction roots panicked".to_owned()))?;
                Ok::<_, StateError>((transactions, receipts, state))
            })?
        };
        let ((state_root, mut changes), state_root_time) = state?;
        let mut logs_bloom = Bloom::ZERO;
        for receipt in &receipts {
            logs_bloom.accrue_bloom(&receipt.bloom);
        }
        let header = Header {
            parent_hash: ctx.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: ctx.beneficiary,
            state_root,
            transactions_root,
            receipts_root,
            logs_bloom,
            number: ctx.number,
            gas_limit: ctx.gas_limit,
            gas_used,
            timestamp: ctx.timestamp,
            mix_hash: ctx.prev_randao,
            base_fee_per_gas: Some(ctx.base_fee),
            withdrawals_root: Some(EMPTY_WITHDRAWALS),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        };
        let hash = header.hash_slow();
        changes.block_hashes.insert(ctx.number, hash);
        Ok(EvmBlock { header, hash, transactions, receipts, system_calls, changes, state_root_time })
    }
}

impl<I> Executor<'_, I> {
    /// Gives the base fees that the transactions paid to whom genesis names. Firings pay elsewhere: an automation's deposit
    /// is debited by its contract.
    fn hand_over_base_fees(&mut self) -> Result<(), StateError> {
        let Some(to) = self.ctx.base_fee_to else { return Ok(()) };
        let paying = self.receipts.iter().filter(|receipt| receipt.tx_type != FIRING_TX_TYPE);
        let gas: u64 = paying.map(|receipt| receipt.gas_used).sum();
        if gas == 0 {
            return Ok(());
        }
        let account = self.evm.ctx.journaled_state.database.load(to)?;
        account.touched = true;
        let info = account.info.get_or_insert_default();
        info.balance = info.balance.saturating_add(U256::from(gas) * U256::from(self.ctx.base_fee));
        Ok(())
    }
}

/// The block's changes and the state root after them.
pub(super) fn state_changes(
    db: &BlockDb<'_>,
    ctx: &BlockContext,
) -> Result<(B256, StateChanges), StateError> {
    let view = db.view();
    let nodes = |key: &NodeKey| view.node(key);
    let mut changes = StateChanges::default();
    let mut account_changes = Vec::new();
    let mut slots = Vec::new();
    for (address, cached) in &db.accounts {
        if !cached.touched {
            continue;
        }
        let key = keccak256(address);
        let mut storage_root = match cached.wiped {
            true => EMPTY_ROOT_HASH,
            false => cached.original.unwrap_or_default().storage_root,
        };
        slots.clear();
        for (slot, values) in &cached.slots {
            if values.value != values.original {
                changes.storage.insert((*address, *slot), values.value);
                slots.push(TrieChange::storage(slot, Some(&values.original), &values.value));
            }
        }
        if !slots.is_empty() {
            storage_root = trie::update(&nodes, Some(key), storage_root, &mut slots, &mut changes)?;
        }
        let account = cached.info.as_ref().map(|info| Account {
            nonce: info.nonce,
            balance: info.balance,
            code_hash: info.code_hash,
            storage_root,
        });
        if account.is_none() && storage_root != EMPTY_ROOT_HASH {
            return Err(StateError::Rule(format!("account {address} vanished but left storage behind")));
        }
        if account != cached.original {
            account_changes.push(TrieChange::account(key, cached.original.as_ref(), account.as_ref()));
            changes.accounts.insert(*address, account);
        }
    }
    changes.code.clone_from(&db.new_code);
    let root = trie::update(&nodes, None, ctx.parent_state_root, &mut account_changes, &mut changes)?;
    Ok((root, changes))
}
