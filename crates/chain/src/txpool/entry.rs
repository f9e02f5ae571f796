//! A waiting transaction, and one sender's.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::Transaction;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, U256};
use triad_evm::RecoveredTx;

use super::SLOT_BYTES;

pub(super) struct Entry {
    pub tx: Arc<RecoveredTx>,
    /// The most that it may take from the sender, in wei.
    pub cost: U256,
    /// Wei per gas for the proposer. The base fee is fixed, so it never changes.
    pub tip: u128,
    pub slots: usize,
    /// Accounts that it delegates.
    pub authorities: Vec<Address>,
    pub arrival: u64,
    pub since: Instant,
    /// Digest of the block that it was last put into.
    pub proposed: Option<[u8; 32]>,
}

impl Entry {
    pub fn new(tx: RecoveredTx, base_fee: u64, arrival: u64, since: Instant) -> Entry {
        let gas = U256::from(tx.gas_limit());
        let list = tx.authorization_list().unwrap_or_default();
        Entry {
            cost: (gas * U256::from(tx.max_fee_per_gas())).saturating_add(tx.value()),
            tip: tx.effective_tip_per_gas(base_fee).unwrap_or(0),
            slots: tx.encode_2718_len().div_ceil(SLOT_BYTES).max(1),
            authorities: list.iter().filter_map(|a| a.recover_authority().ok()).collect(),
            tx: Arc::new(tx),
            arrival,
            since,
            proposed: None,
        }
    }
}

/// Who goes first: the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The sender's last transaction waits behind a gap.
    queued: bool,
    slots: usize,
    tip: Reverse<u128>,
    arrival: u64,
    pub sender: Address,
}

pub(super) struct Sender {
    /// Its nonce in the final state; nothing below it is here.
    pub next: u64,
    /// The first nonce at or above `next` that is missing.
    pub run: u64,
    pub txs: BTreeMap<u64, Entry>,
    pub slots: usize,
    /// Of all its transactions.
    pub cost: U256,
}

impl Sender {
    pub fn new(next: u64) -> Sender {
        Sender { next, run: next, txs: BTreeMap::new(), slots: 0, cost: U256::ZERO }
    }

    pub fn rank(&self, sender: Address) -> Option<Rank> {
        let (nonce, last) = self.txs.last_key_value()?;
        Some(Rank {
            queued: *nonce >= self.run,
            slots: self.slots,
            tip: Reverse(last.tip),
            arrival: last.arrival,
            sender,
        })
    }

    /// The most that one of its transactions may cost.
    pub fn dearest(&self) -> U256 {
        self.txs.values().map(|e| e.cost).max().unwrap_or_default()
    }

    pub fn put(&mut self, nonce: u64, entry: Entry) {
        self.slots += entry.slots;
        // Everything here is covered by one balance, so the sum cannot overflow.
        self.cost += entry.cost;
        self.txs.insert(nonce, entry);
        self.extend();
    }

    pub fn take(&mut self, nonce: u64) -> Option<Entry> {
        let entry = self.txs.remove(&nonce)?;
        self.slots -= entry.slots;
        self.cost -= entry.cost;
        if nonce < self.run {
            self.run = nonce.max(self.next);
            self.extend();
        }
        Some(entry)
    }

    /// Moves to a later final nonce. What lies below it is the caller's to take out.
    pub fn advance(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.run = self.run.max(self.next);
        self.extend();
    }

    fn extend(&mut self) {
        while self.txs.contains_key(&self.run) {
            self.run += 1;
        }
    }
}
