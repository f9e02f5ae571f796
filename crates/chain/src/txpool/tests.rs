use std::collections::{BTreeMap, HashSet};

use alloy_consensus::transaction::{Recovered, SignerRecoverable};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip7702, TxEnvelope};
use alloy_eips::eip7702::Authorization;
use alloy_primitives::TxKind;
use proptest::prelude::*;

use super::*;
use crate::wallet::Wallet;

const BASE_FEE: u64 = 1_000;
const RICH: U256 = U256::from_limbs([0, 0, 1, 0]);

fn wallet(n: u8) -> Wallet {
    Wallet::from_secret(&[n + 1; 32]).unwrap()
}

fn signed(wallet: &Wallet, nonce: u64, tip: u128, bytes: usize, value: u64) -> RecoveredTx {
    let tx = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 1_000_000,
        max_fee_per_gas: u128::from(BASE_FEE) + tip,
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::ZERO),
        value: U256::from(value),
        input: vec![1; bytes].into(),
        ..TxEip1559::default()
    };
    let signature = wallet.sign_hash(&tx.signature_hash());
    Recovered::new_unchecked(TxEnvelope::from(tx.into_signed(signature)), wallet.address())
}

fn tx(wallet: &Wallet, nonce: u64, tip: u128) -> RecoveredTx {
    signed(wallet, nonce, tip, 0, 0)
}

fn pool(slots: usize, sender_slots: usize) -> TxPool {
    TxPool::new(BASE_FEE, Bounds { slots, sender_slots })
}

fn at(nonce: u64) -> SenderState {
    SenderState { nonce, balance: RICH, delegated: false }
}

fn nonces(pool: &TxPool, wallet: &Wallet) -> (Vec<u64>, Vec<u64>) {
    let waiting = pool.waiting(Some(&wallet.address())).pop().map(|(_, w)| w).unwrap_or_default();
    let list = |txs: &[Arc<RecoveredTx>]| txs.iter().map(|tx| tx.nonce()).collect();
    (list(&waiting.pending), list(&waiting.queued))
}

impl TxPool {
    /// Everything that must hold at all times.
    fn assert_sound(&self) {
        let mut hashes = 0;
        let mut slots = 0;
        let mut ranks = BTreeSet::new();
        for (address, sender) in &self.senders {
            assert!(!sender.txs.is_empty(), "an empty sender is kept");
            let run = (sender.next..).find(|n| !sender.txs.contains_key(n)).unwrap();
            assert_eq!(sender.run, run);
            assert!(sender.txs.keys().all(|n| *n >= sender.next));
            assert_eq!(sender.slots, sender.txs.values().map(|e| e.slots).sum::<usize>());
            assert_eq!(sender.cost, sender.txs.values().map(|e| e.cost).sum::<U256>());
            assert!(sender.slots <= self.bounds.sender_slots);
            for (nonce, entry) in &sender.txs {
                assert_eq!(self.hashes.get(entry.tx.tx_hash()), Some(&(*address, *nonce)));
                hashes += 1;
            }
            slots += sender.slots;
            ranks.extend(sender.rank(*address));
        }
        assert_eq!((hashes, slots), (self.hashes.len(), self.slots));
        assert_eq!(ranks, self.ranks);
        assert!(self.slots <= self.bounds.slots);
        let (pending, queued) = self.counts();
        assert_eq!(pending + queued, hashes);
        assert_eq!(self.has_pending(), pending > 0);
    }
}

#[test]
fn a_gap_holds_transactions_back_until_it_is_filled() {
    let (mut pool, a, now) = (pool(100, 100), wallet(0), Instant::now());
    assert!(pool.add(tx(&a, 7, 1), at(5), now).unwrap().pending.is_empty());
    assert_eq!(nonces(&pool, &a), (vec![], vec![7]));
    assert!(pool.best(&[], 10).is_empty());
    pool.add(tx(&a, 5, 1), at(5), now).unwrap();
    assert_eq!((nonces(&pool, &a), pool.pending_nonce(&a.address(), 5)), ((vec![5], vec![7]), 6));
    let added = pool.add(tx(&a, 6, 1), at(5), now).unwrap();
    assert_eq!(added.pending.len(), 2, "itself, and the one behind it");
    assert_eq!((nonces(&pool, &a), pool.pending_nonce(&a.address(), 5)), ((vec![5, 6, 7], vec![]), 8));
    // What a block took goes, whoever proposed it.
    pool.refresh(&a.address(), 7, RICH);
    assert_eq!((nonces(&pool, &a), pool.counts()), ((vec![7], vec![]), (1, 0)));
    pool.assert_sound();
}

#[test]
fn a_replacement_raises_both_fees_by_a_tenth() {
    let (mut pool, a, now) = (pool(100, 100), wallet(0), Instant::now());
    pool.add(tx(&a, 0, 1_000), at(0), now).unwrap();
    assert_eq!(pool.add(tx(&a, 0, 1_000), at(0), now), Err(TxRefusal::Known));
    assert_eq!(pool.add(tx(&a, 0, 1_099), at(0), now), Err(TxRefusal::ReplacementUnderpriced));
    // The tip is a tenth higher, but the fee in all is not.
    assert_eq!(pool.add(tx(&a, 0, 1_100), at(0), now), Err(TxRefusal::ReplacementUnderpriced));
    let better = tx(&a, 0, 1_200);
    assert_eq!(pool.add(better.clone(), at(0), now).unwrap().pending, [*better.tx_hash()]);
    assert_eq!(pool.counts(), (1, 0));
    pool.assert_sound();
}

#[test]
fn a_sender_must_afford_all_that_it_sends() {
    let (mut pool, a, now) = (pool(100, 100), wallet(0), Instant::now());
    let cost = U256::from(1_000_000 * BASE_FEE);
    let state = SenderState { balance: cost * U256::from(2), ..at(0) };
    pool.add(tx(&a, 0, 0), state, now).unwrap();
    pool.add(tx(&a, 1, 0), state, now).unwrap();
    let refused = pool.add(tx(&a, 2, 0), state, now).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "insufficient funds for gas * price + value: balance 2000000000, queued cost 2000000000, tx cost 1000000000, overshot 1000000000"
    );
    // Its money goes elsewhere: what it cannot pay at all is dropped.
    pool.refresh(&a.address(), 0, cost - U256::from(1));
    assert_eq!(pool.counts(), (0, 0));
    pool.assert_sound();
}

#[test]
fn who_floods_the_pool_loses_his_own() {
    let (mut pool, now) = (pool(10, 10), Instant::now());
    let (flood, small) = (wallet(0), wallet(1));
    for nonce in 0..10 {
        pool.add(tx(&flood, nonce, 1_000_000), at(0), now).unwrap();
    }
    let added = pool.add(tx(&small, 0, 0), at(0), now).unwrap();
    assert_eq!((added.pending.len(), added.evicted.len()), (1, 1));
    assert_eq!((nonces(&pool, &flood).0.len(), nonces(&pool, &small).0), (9, vec![0]));
    // However much he offers, he cannot push the other one out.
    assert_eq!(pool.add(tx(&flood, 9, u128::from(u64::MAX)), at(0), now), Err(TxRefusal::Full));
    assert_eq!(nonces(&pool, &flood).0.len(), 9, "nothing changed");
    pool.assert_sound();
}

#[test]
fn between_equals_the_lowest_tip_goes_and_gaps_go_first() {
    let (mut pool, now) = (pool(3, 10), Instant::now());
    for n in 0..3 {
        pool.add(tx(&wallet(n), 0, u128::from(n) + 10), at(0), now).unwrap();
    }
    assert_eq!(pool.add(tx(&wallet(3), 0, 9), at(0), now), Err(TxRefusal::Full));
    pool.add(tx(&wallet(4), 0, 11), at(0), now).unwrap();
    assert_eq!(nonces(&pool, &wallet(0)), (vec![], vec![]));
    // One that waits behind a gap is refused however much it offers.
    assert_eq!(pool.add(tx(&wallet(5), 1, 1_000), at(0), now), Err(TxRefusal::Full));
    pool.assert_sound();
}

#[test]
fn room_is_counted_by_size_too() {
    let (mut pool, now) = (pool(20, 12), Instant::now());
    let (big, small) = (wallet(0), wallet(1));
    // Twelve slots.
    pool.add(signed(&big, 0, 1, 12 * SLOT_BYTES - 500, 0), at(0), now).unwrap();
    let full = pool.add(signed(&big, 1, 1, 3 * SLOT_BYTES, 0), at(0), now);
    assert_eq!(full, Err(TxRefusal::SenderFull(12)));
    for nonce in 0..7 {
        pool.add(tx(&small, nonce, 0), at(0), now).unwrap();
    }
    let evicted = pool.add(signed(&small, 7, 1, 2 * SLOT_BYTES, 0), at(0), now).unwrap().evicted;
    assert_eq!(evicted.len(), 1);
    assert_eq!(nonces(&pool, &big), (vec![], vec![]));
    pool.assert_sound();
}

#[test]
fn a_gap_can_be_filled_when_the_share_is_used_up() {
    let (mut pool, a, now) = (pool(100, 3), wallet(0), Instant::now());
    for nonce in [1, 2, 3] {
        pool.add(tx(&a, nonce, 0), at(0), now).unwrap();
    }
    assert_eq!(pool.add(tx(&a, 4, 0), at(0), now), Err(TxRefusal::SenderFull(3)));
    let added = pool.add(tx(&a, 0, 0), at(0), now).unwrap();
    assert_eq!((added.pending.len(), added.evicted.len()), (3, 1));
    assert_eq!(nonces(&pool, &a), (vec![0, 1, 2], vec![]));
    pool.assert_sound();
}

#[test]
fn what_waits_too_long_behind_a_gap_goes() {
    let (mut pool, a, now) = (pool(100, 100), wallet(0), Instant::now());
    pool.add(tx(&a, 0, 0), at(0), now).unwrap();
    pool.add(tx(&a, 2, 0), at(0), now).unwrap();
    pool.expire(now + QUEUED_LIFETIME - Duration::from_secs(1));
    assert_eq!(pool.counts(), (1, 1));
    pool.expire(now + QUEUED_LIFETIME + EXPIRY_PERIOD);
    assert_eq!(pool.counts(), (1, 0));
    pool.assert_sound();
}

#[test]
fn a_delegated_account_has_one_transaction_here() {
    let (mut pool, a, now) = (pool(100, 100), wallet(0), Instant::now());
    let delegated = SenderState { delegated: true, ..at(3) };
    assert_eq!(pool.add(tx(&a, 4, 0), delegated, now), Err(TxRefusal::DelegatedGap { next: 3, found: 4 }));
    pool.add(tx(&a, 3, 1_000), delegated, now).unwrap();
    pool.add(tx(&a, 3, 2_000), delegated, now).expect("it may be replaced");
    pool.refresh(&a.address(), 4, RICH);
    // The same goes for one that a waiting transaction is about to delegate.
    let (sponsor, b) = (wallet(1), wallet(2));
    let authorization = Authorization { chain_id: U256::from(1), address: Address::ZERO, nonce: 0 };
    let signature = b.sign_hash(&authorization.signature_hash());
    let set_code = TxEip7702 {
        chain_id: 1,
        gas_limit: 1_000_000,
        max_fee_per_gas: u128::from(BASE_FEE),
        authorization_list: vec![authorization.into_signed(signature)],
        ..TxEip7702::default()
    };
    let signature = sponsor.sign_hash(&set_code.signature_hash());
    let set_code = TxEnvelope::from(set_code.into_signed(signature));
    assert_eq!(set_code.recover_signer().unwrap(), sponsor.address());
    let set_code = Recovered::new_unchecked(set_code, sponsor.address());
    pool.add(set_code.clone(), at(0), now).unwrap();
    pool.add(tx(&b, 0, 0), at(0), now).unwrap();
    assert!(matches!(pool.add(tx(&b, 1, 0), at(0), now), Err(TxRefusal::DelegatedGap { .. })));
    // And who has several waiting cannot be delegated meanwhile.
    pool.remove(set_code.tx_hash());
    pool.add(tx(&b, 1, 0), at(0), now).unwrap();
    assert_eq!(pool.add(set_code, at(0), now), Err(TxRefusal::AuthorityReserved(b.address())));
    pool.assert_sound();
}

#[test]
fn the_best_paying_come_first_each_senders_in_order() {
    let (mut pool, now) = (pool(100, 100), Instant::now());
    let (a, b) = (wallet(0), wallet(1));
    for (who, nonce, tip) in [(&a, 0, 5), (&a, 1, 100), (&b, 0, 50), (&b, 1, 1)] {
        pool.add(tx(who, nonce, tip), at(0), now).unwrap();
    }
    let order = |ancestors: &[[u8; 32]], limit| {
        let txs = pool.best(ancestors, limit);
        txs.iter().map(|tx| (tx.signer(), tx.nonce())).collect::<Vec<_>>()
    };
    let (a, b) = (a.address(), b.address());
    assert_eq!(order(&[], 10), [(b, 0), (a, 0), (a, 1), (b, 1)]);
    assert_eq!(order(&[], 2), [(b, 0), (a, 0)]);
}

#[test]
fn what_an_ancestor_holds_is_not_offered_again() {
    let (mut pool, now, a) = (pool(100, 100), Instant::now(), wallet(0));
    for nonce in 0..3 {
        pool.add(tx(&a, nonce, 0), at(0), now).unwrap();
    }
    let first = pool.best(&[], 2);
    for tx in &first {
        pool.proposed(tx.tx_hash(), [7; 32]);
    }
    assert_eq!(pool.best(&[[7; 32]], 10).iter().map(|tx| tx.nonce()).collect::<Vec<_>>(), [2]);
    // On another branch they are still to be had.
    assert_eq!(pool.best(&[[8; 32]], 10).len(), 3);
}

#[derive(Debug, Clone)]
enum Step {
    Add { who: u8, nonce: u64, tip: u16, slots: usize },
    Final { who: u8, nonce: u64, rich: bool },
    Remove { who: u8, nonce: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let add = (0..4u8, 0..12u64, any::<u16>(), 1..4usize);
    let end = (0..4u8, 0..3u64, prop::bool::weighted(0.9));
    prop_oneof![
        8 => add.prop_map(|(who, nonce, tip, slots)| Step::Add { who, nonce, tip, slots }),
        1 => end.prop_map(|(who, nonce, rich)| Step::Final { who, nonce, rich }),
        1 => (0..4u8, 0..12u64).prop_map(|(who, nonce)| Step::Remove { who, nonce }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever comes: the books balance, the bounds hold, a refusal changes nothing, and what is offered to a block is a
    /// gapless run of each sender.
    #[test]
    fn the_pool_stays_sound(steps in prop::collection::vec(step(), 1..120)) {
        let mut pool = pool(16, 9);
        let now = Instant::now();
        let mut next: BTreeMap<u8, u64> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add { who, nonce, tip, slots } => {
                    let w = wallet(who);
                    let before: HashSet<B256> = pool.hashes.keys().copied().collect();
                    let new = signed(&w, nonce, u128::from(tip), (slots - 1) * SLOT_BYTES, 0);
                    let hash = *new.tx_hash();
                    match pool.add(new, at(*next.get(&who).unwrap_or(&0)), now) {
                        Err(_) => prop_assert_eq!(before, pool.hashes.keys().copied().collect()),
                        Ok(added) => {
                            prop_assert!(pool.hashes.contains_key(&hash));
                            prop_assert!(!added.evicted.contains(&hash));
                            for gone in &added.evicted {
                                prop_assert!(before.contains(gone) && !pool.hashes.contains_key(gone));
                            }
                        }
                    }
                }
                Step::Final { who, nonce, rich } => {
                    let n = next.entry(who).or_default();
                    *n += nonce;
                    pool.refresh(&wallet(who).address(), *n, if rich { RICH } else { U256::ZERO });
                }
                Step::Remove { who, nonce } => {
                    let hash = pool.senders.get(&wallet(who).address()).and_then(|s| s.txs.get(&nonce)).map(|e| *e.tx.tx_hash());
                    if let Some(hash) = hash {
                        pool.remove(&hash);
                    }
                }
            }
            pool.assert_sound();
            let mut expected = next.clone();
            for tx in pool.best(&[], 100) {
                let who = (0..4).find(|n| wallet(*n).address() == tx.signer()).unwrap();
                let n = expected.entry(who).or_default();
                prop_assert_eq!(tx.nonce(), *n);
                *n += 1;
            }
        }
    }
}
