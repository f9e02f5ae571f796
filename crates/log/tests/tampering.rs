//! No receipt with one byte changed, added or taken away proves anything.
//!
//! The formats leave no byte without a meaning and no meaning with two byte strings, so not one such change is harmless:
//! each must be refused.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};

use common::*;
use triad_log::{Receipt, TrustAnchor, Verdict};
use triad_statement::Algorithm;

/// Applies `change` to every index of `bytes`, on all cores, and asserts that no outcome verifies.
fn all_refused(
    bytes: &[u8],
    anchor: &TrustAnchor,
    changes: impl Fn(&[u8], usize) -> Vec<Vec<u8>> + Sync,
) -> u64 {
    Receipt::verify_bytes(bytes, anchor).expect("the untouched receipt holds");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tried = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (changes, tried) = (&changes, &tried);
            scope.spawn(move || {
                for index in (thread..=bytes.len()).step_by(threads) {
                    for changed in changes(bytes, index) {
                        tried.fetch_add(1, Ordering::Relaxed);
                        if let Ok(report) = Receipt::verify_bytes(&changed, anchor) {
                            panic!("a change at byte {index} passed:\n{report}\n{}", hex::encode(&changed));
                        }
                    }
                }
            });
        }
    });
    tried.into_inner()
}

fn replaced(bytes: &[u8], index: usize, values: impl Iterator<Item = u8>) -> Vec<Vec<u8>> {
    let Some(old) = bytes.get(index) else { return vec![] };
    values
        .filter(|value| value != old)
        .map(|value| {
            let mut changed = bytes.to_vec();
            changed[index] = value;
            changed
        })
        .collect()
}

/// One validator, one statement judged between two neighbours.
fn small() -> (Vec<u8>, TrustAnchor) {
    let mut ledger = Ledger::new("tampering", 1);
    let sensor = device(Algorithm::EdDsa, 1);
    let statements: Vec<_> = (0..3).map(|n| reading(&sensor, n, 20.0)).collect();
    let verdicts =
        (0..).zip(&statements).map(|(n, (bytes, _))| verdict(triad_log::LeafIndex(n), bytes, 0, 300));
    let mut verdicts: Vec<Verdict> = verdicts.collect();
    verdicts[1].reason = "why".into();
    ledger.block(&statements, verdicts, false);
    (ledger.receipt(1, 1).encode(), ledger.anchor)
}

#[test]
fn every_other_value_of_every_byte_is_refused() {
    let (bytes, anchor) = small();
    let tried = all_refused(&bytes, &anchor, |bytes, index| replaced(bytes, index, 0..=255));
    assert_eq!(tried, bytes.len() as u64 * 255);
    println!("{tried} changes of a receipt of {} bytes, all refused", bytes.len());
}

#[test]
fn every_flipped_bit_of_every_kind_of_receipt_is_refused() {
    let genesis = std::fs::read_to_string(fixture_path("genesis.json")).expect("a fixture");
    let anchor = TrustAnchor::from_genesis_json(&genesis).expect("a genesis");
    for name in [
        "receipt-judged.hex",
        "receipt-first-of-block.hex",
        "receipt-es256.hex",
        "receipt-gateway-es256k.hex",
        "receipt-encrypted.hex",
        "receipt-hand-over.hex",
    ] {
        let tried = all_refused(&fixture(name), &anchor, |bytes, index| {
            let old = bytes.get(index).copied().unwrap_or_default();
            replaced(bytes, index, (0..8).map(|bit| old ^ 1 << bit))
        });
        println!("{name}: {tried} flipped bits, all refused");
    }
}

#[test]
fn every_cut_and_every_byte_more_or_less_is_refused() {
    let (bytes, anchor) = small();
    all_refused(&bytes, &anchor, |bytes, index| {
        let mut changed = Vec::new();
        if index < bytes.len() {
            changed.push(bytes[..index].to_vec());
            changed.push([&bytes[..index], &bytes[index + 1..]].concat());
            changed.push([&bytes[..index], &bytes[index..=index], &bytes[index..]].concat());
        }
        changed.extend([0, 0x41, 0xff].map(|byte| [&bytes[..index], &[byte], &bytes[index..]].concat()));
        changed
    });
}
