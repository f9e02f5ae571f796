//! Transactions that wait for a block.
//!
//! Each sender's transactions stand in order of nonce. Those that follow its next nonce without a gap are *pending*:
//! a block may take them. The rest is *queued* until the gap is filled, or for [`QUEUED_LIFETIME`] at most.
//!
//! Room is counted in slots of [`SLOT_BYTES`], for all and for each sender. When there is none left, the last
//! transaction of one sender goes: of one with a gap before it first, else of the sender that takes the most room, and
//! between equals of the one that tips least, then of the one that came last. So whoever floods the pool loses his own,
//! many small senders outbid each other, and nobody can push out one that takes less room than he does. A newcomer
//! that would be the one to go is refused, and nothing changes.
//!
//! An account that has delegated itself (EIP-7702), or is about to, may have one transaction here: anybody could empty
//! it, which would make all others worthless at no cost. The rules and the words of refusals are geth's where it has
//! them, since tools look for them.

mod check;
mod entry;
mod refusal;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256, U256};
use triad_evm::RecoveredTx;

pub(crate) use check::check;
pub use refusal::{Shortfall, TxRefusal};

use entry::{Entry, Rank, Sender};

/// Bytes of a slot; a transaction takes one or more.
pub const SLOT_BYTES: usize = 4096;
/// How long a transaction waits behind a gap.
pub const QUEUED_LIFETIME: Duration = Duration::from_secs(3 * 3600);
/// Percent by which a replacement must raise both fees.
pub(crate) const REPLACEMENT_PERCENT: u128 = 10;
/// How often one looks for those that waited too long.
const EXPIRY_PERIOD: Duration = Duration::from_secs(60);

/// What the pool holds at most, in slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub slots: usize,
    pub sender_slots: usize,
}

impl Default for Bounds {
    /// 64 MiB in all, of which a sender may take a sixteenth.
    fn default() -> Self {
        Bounds { slots: 16_384, sender_slots: 1024 }
    }
}

/// A sender as the last final state has it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SenderState {
    pub nonce: u64,
    pub balance: U256,
    /// It runs somebody else's code (EIP-7702).
    pub delegated: bool,
}

/// What an addition did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Transactions that a block may take now and could not before.
    pub pending: Vec<B256>,
    /// Transactions that had to go.
    pub evicted: Vec<B256>,
}

/// One sender's transactions, each list by nonce.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    pub pending: Vec<Arc<RecoveredTx>>,
    pub queued: Vec<Arc<RecoveredTx>>,
}

pub(crate) struct TxPool {
    base_fee: u64,
    bounds: Bounds,
    senders: HashMap<Address, Sender>,
    hashes: HashMap<B256, (Address, u64)>,
    /// Accounts that a waiting transaction would delegate, and how many do.
    authorities: HashMap<Address, usize>,
    /// A sender's last transaction each; the first to go is last.
    ranks: BTreeSet<Rank>,
    slots: usize,
    arrivals: u64,
    expired: Instant,
    /// What left since somebody asked, for whatever reason.
    gone: Vec<B256>,
}

impl TxPool {
    pub fn new(base_fee: u64, bounds: Bounds) -> TxPool {
        TxPool {
            base_fee,
            bounds,
            senders: HashMap::new(),
            hashes: HashMap::new(),
            authorities: HashMap::new(),
            ranks: BTreeSet::new(),
            slots: 0,
            arrivals: 0,
            expired: Instant::now(),
            gone: Vec::new(),
        }
    }

    /// (pending, queued)
    pub fn counts(&self) -> (usize, usize) {
        let pending = self.senders.values().map(|s| (s.run - s.next) as usize).sum();
        (pending, self.hashes.len() - pending)
    }

    /// Transactions that left since this was last asked: mined, replaced, pushed out, or no longer payable.
    pub fn take_gone(&mut self) -> Vec<B256> {
        // Those that were only set aside are back.
        let hashes = &self.hashes;
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|hash| !hashes.contains_key(hash));
        gone
    }

    pub fn has_pending(&self) -> bool {
        self.senders.values().any(|s| s.run > s.next)
    }

    pub fn get(&self, hash: &B256) -> Option<Arc<RecoveredTx>> {
        let (sender, nonce) = self.hashes.get(hash)?;
        Some(self.senders.get(sender)?.txs.get(nonce)?.tx.clone())
    }

    /// The nonce after the gapless run of waiting transactions that begins at `next`.
    pub fn pending_nonce(&self, sender: &Address, next: u64) -> u64 {
        let Some(sender) = self.senders.get(sender) else { return next };
        if sender.next <= next && next <= sender.run {
            return sender.run;
        }
        (next..).find(|nonce| !sender.txs.contains_key(nonce)).unwrap_or(next)
    }

    /// What waits, by sender; of one sender only, if one is named.
    pub fn waiting(&self, of: Option<&Address>) -> Vec<(Address, Waiting)> {
        let waiting = |sender: &Sender| {
            let part = |list: std::collections::btree_map::Range<'_, u64, Entry>| {
                list.map(|(_, e)| e.tx.clone()).collect()
            };
            Waiting {
                pending: part(sender.txs.range(..sender.run)),
                queued: part(sender.txs.range(sender.run..)),
            }
        };
        let all = |(address, sender): (&Address, &Sender)| (*address, waiting(sender));
        match of {
            Some(address) => self.senders.get_key_value(address).map(all).into_iter().collect(),
            None => self.senders.iter().map(all).collect(),
        }
    }

    /// Adds a transaction that [`crate::submit`] found acceptable by itself.
    pub fn add(&mut self, tx: RecoveredTx, mut state: SenderState, now: Instant) -> Result<Added, TxRefusal> {
        let (hash, address, nonce) = (*tx.tx_hash(), tx.signer(), tx.nonce());
        if self.hashes.contains_key(&hash) {
            return Err(TxRefusal::Known);
        }
        self.refresh(&address, state.nonce, state.balance);
        // A block may have become final after `state` was read.
        state.nonce = self.senders.get(&address).map_or(state.nonce, |s| s.next);
        if nonce < state.nonce {
            return Err(TxRefusal::NonceTooLow { next: state.nonce, found: nonce });
        }
        let entry = Entry::new(tx, self.base_fee, self.arrivals + 1, now);
        self.check_delegation(&entry, state)?;
        self.check_sender(&entry, state)?;
        self.arrivals += 1;
        let replaced = self.take(&address, nonce);
        // With their senders' next nonces, to put them back.
        let mut evicted: Vec<(Entry, u64)> = Vec::new();
        let before = self.senders.get(&address).map_or(state.nonce, |s| s.run);
        // Only a transaction that fills a gap can find the sender's share used up by later ones.
        while self.senders.get(&address).is_some_and(|s| s.slots + entry.slots > self.bounds.sender_slots) {
            evicted.extend(self.take_last(&address));
        }
        self.put(entry, state.nonce);
        while self.slots > self.bounds.slots {
            let Some(victim) = self.ranks.last().map(|rank| rank.sender) else { break };
            let Some(gone) = self.take_last(&victim) else { break };
            if *gone.0.tx.tx_hash() == hash {
                for (entry, next) in evicted.into_iter().chain(replaced.map(|e| (e, state.nonce))) {
                    self.put(entry, next);
                }
                return Err(TxRefusal::Full);
            }
            evicted.push(gone);
        }
        let Some(sender) = self.senders.get(&address) else { return Ok(Added::default()) };
        let first = if replaced.is_some() { nonce } else { before };
        let last = if replaced.is_some() { sender.run.min(nonce + 1) } else { sender.run };
        let pending = match first < last {
            true => sender.txs.range(first..last).map(|(_, e)| *e.tx.tx_hash()).collect(),
            false => Vec::new(),
        };
        Ok(Added { pending, evicted: evicted.iter().map(|(e, _)| *e.tx.tx_hash()).collect() })
    }

    fn check_delegation(&self, entry: &Entry, state: SenderState) -> Result<(), TxRefusal> {
        let (address, nonce) = (entry.tx.signer(), entry.tx.nonce());
        if state.delegated || self.authorities.contains_key(&address) {
            if nonce != state.nonce {
                return Err(TxRefusal::DelegatedGap { next: state.nonce, found: nonce });
            }
            if self.senders.get(&address).is_some_and(|s| s.txs.keys().any(|n| *n != nonce)) {
                return Err(TxRefusal::DelegatedLimit);
            }
        }
        let busy = |a: &&Address| self.senders.get(*a).is_some_and(|s| s.txs.len() > 1);
        match entry.authorities.iter().find(busy) {
            Some(authority) => Err(TxRefusal::AuthorityReserved(*authority)),
            None => Ok(()),
        }
    }

    /// Whether the sender can pay for all of its transactions, replaces rightly, and has room.
    fn check_sender(&self, entry: &Entry, state: SenderState) -> Result<(), TxRefusal> {
        let sender = self.senders.get(&entry.tx.signer());
        let old = sender.and_then(|s| s.txs.get(&entry.tx.nonce()));
        if let Some(old) = old {
            let raised =
                |old: u128, new: u128| new >= old.saturating_add(old.div_ceil(100 / REPLACEMENT_PERCENT));
            let tips = |tx: &RecoveredTx| tx.max_priority_fee_per_gas().unwrap_or(tx.max_fee_per_gas());
            let enough = raised(old.tx.max_fee_per_gas(), entry.tx.max_fee_per_gas())
                && raised(tips(&old.tx), tips(&entry.tx));
            if !enough {
                return Err(TxRefusal::ReplacementUnderpriced);
            }
        }
        let others = sender.map_or(U256::ZERO, |s| s.cost) - old.map_or(U256::ZERO, |e| e.cost);
        let total = others.saturating_add(entry.cost);
        if total > state.balance {
            let (queued, cost, overshot) = (others, entry.cost, total - state.balance);
            let shortfall = Shortfall { balance: state.balance, queued, cost, overshot };
            return Err(TxRefusal::Funds(Box::new(shortfall)));
        }
        let taken = sender.map_or(0, |s| s.slots) - old.map_or(0, |e| e.slots);
        let last = sender.and_then(|s| s.txs.last_key_value()).map_or(0, |(nonce, _)| *nonce);
        if taken + entry.slots > self.bounds.sender_slots && entry.tx.nonce() >= last {
            return Err(TxRefusal::SenderFull(self.bounds.sender_slots));
        }
        Ok(())
    }

    /// Brings a sender to a final state: used nonces go, and what it cannot pay for any more.
    pub fn refresh(&mut self, address: &Address, nonce: u64, balance: U256) {
        let Some(sender) = self.senders.get(address) else { return };
        if sender.next >= nonce && (sender.cost <= balance || sender.dearest() <= balance) {
            return;
        }
        let gone: Vec<u64> =
            sender.txs.iter().filter(|(n, e)| **n < nonce || e.cost > balance).map(|(n, _)| *n).collect();
        self.update(address, |sender| sender.advance(nonce));
        for nonce in gone {
            self.take(address, nonce);
        }
    }

    /// Of these accounts, those with transactions here.
    pub fn senders_among<'a, T>(&self, changed: impl Iterator<Item = (&'a Address, T)>) -> Vec<(Address, T)> {
        changed.filter(|(a, _)| self.senders.contains_key(*a)).map(|(a, t)| (*a, t)).collect()
    }

    /// Takes out one that no block can hold.
    pub fn remove(&mut self, hash: &B256) {
        if let Some((address, nonce)) = self.hashes.get(hash).copied() {
            self.take(&address, nonce);
        }
    }

    /// Takes out what waited too long behind a gap. Looks at most once in a minute.
    pub fn expire(&mut self, now: Instant) {
        if now.saturating_duration_since(self.expired) < EXPIRY_PERIOD {
            return;
        }
        self.expired = now;
        let old = |e: &Entry| now.saturating_duration_since(e.since) >= QUEUED_LIFETIME;
        let gone: Vec<(Address, u64)> = self
            .senders
            .iter()
            .flat_map(|(a, s)| s.txs.range(s.run..).filter(|(_, e)| old(e)).map(|(n, _)| (*a, *n)))
            .collect();
        for (address, nonce) in gone {
            self.take(&address, nonce);
        }
    }

    /// Remembers which block a transaction was put into.
    pub fn proposed(&mut self, hash: &B256, digest: [u8; 32]) {
        let Some((address, nonce)) = self.hashes.get(hash) else { return };
        if let Some(entry) = self.senders.get_mut(address).and_then(|s| s.txs.get_mut(nonce)) {
            entry.proposed = Some(digest);
        }
    }

    /// Pending transactions that no ancestor holds, at most `limit`: always the one that tips most among the senders'
    /// next ones, the older of equals.
    pub fn best(&self, ancestors: &[[u8; 32]], limit: usize) -> Vec<Arc<RecoveredTx>> {
        let held = |e: &Entry| e.proposed.is_some_and(|digest| ancestors.contains(&digest));
        let head = |sender: &Sender, from: u64, address: Address| {
            let mut run = sender.txs.range(from..sender.run.max(from));
            let (nonce, entry) = run.find(|(_, e)| !held(e))?;
            Some((entry.tip, Reverse(entry.arrival), address, *nonce))
        };
        let mut heads: BinaryHeap<_> =
            self.senders.iter().filter_map(|(address, s)| head(s, s.next, *address)).collect();
        let mut out = Vec::with_capacity(limit.min(self.hashes.len()));
        while let Some((.., address, nonce)) = heads.pop() {
            if out.len() == limit {
                break;
            }
            let Some(sender) = self.senders.get(&address) else { continue };
            out.extend(sender.txs.get(&nonce).map(|e| e.tx.clone()));
            heads.extend(head(sender, nonce + 1, address));
        }
        out
    }

    /// Transactions that came before `since` and are their senders' next, or behind a gap.
    pub fn overdue(&self, since: Instant, limit: usize) -> Vec<Arc<RecoveredTx>> {
        let old = |e: &&Entry| e.since < since;
        let first = |sender: &Sender| sender.txs.values().next().filter(old).map(|e| e.tx.clone());
        self.senders.values().filter_map(first).take(limit).collect()
    }

    /// Changes a sender and its place among those to go; forgets it when it has nothing left.
    fn update<T>(&mut self, address: &Address, change: impl FnOnce(&mut Sender) -> T) -> Option<T> {
        let sender = self.senders.get_mut(address)?;
        if let Some(rank) = sender.rank(*address) {
            self.ranks.remove(&rank);
        }
        let done = change(sender);
        match sender.rank(*address) {
            Some(rank) => {
                self.ranks.insert(rank);
            }
            None => {
                self.senders.remove(address);
            }
        }
        Some(done)
    }

    fn put(&mut self, entry: Entry, next: u64) {
        let (address, nonce) = (entry.tx.signer(), entry.tx.nonce());
        self.hashes.insert(*entry.tx.tx_hash(), (address, nonce));
        self.slots += entry.slots;
        for authority in &entry.authorities {
            *self.authorities.entry(*authority).or_default() += 1;
        }
        self.senders.entry(address).or_insert_with(|| Sender::new(next));
        self.update(&address, |sender| sender.put(nonce, entry));
    }

    fn take(&mut self, address: &Address, nonce: u64) -> Option<Entry> {
        let entry = self.update(address, |sender| sender.take(nonce))??;
        self.hashes.remove(entry.tx.tx_hash());
        self.gone.push(*entry.tx.tx_hash());
        self.slots -= entry.slots;
        for authority in &entry.authorities {
            if let Some(n) = self.authorities.get_mut(authority) {
                *n -= 1;
                if *n == 0 {
                    self.authorities.remove(authority);
                }
            }
        }
        Some(entry)
    }

    /// A sender's last transaction, and its next nonce.
    fn take_last(&mut self, address: &Address) -> Option<(Entry, u64)> {
        let sender = self.senders.get(address)?;
        let (nonce, next) = (*sender.txs.last_key_value()?.0, sender.next);
        Some((self.take(address, nonce)?, next))
    }
}
