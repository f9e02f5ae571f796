//! The design's budgets: bytes of a receipt, time to verify one, appends a second.
//!
//! Times are asserted in release builds only (`cargo test --release -p triad-log --test budgets -- --nocapture`).

mod common;

use std::time::Instant;

use common::*;
use triad_log::{LeafIndex, Receipt, TileWriter, Verdict, sha256};
use triad_statement::Algorithm;

/// A log of a million leaves, and on top a block of `statements` of which each has `models` verdicts.
fn at_a_million(statements: u32, models: u64, size: u64) -> (Ledger, usize) {
    let mut ledger = Ledger::new("budget", 4);
    let sensor = device(Algorithm::EdDsa, 1);
    ledger.pad(size - u64::from(statements));
    let first = ledger.next_leaf().0;
    let statements: Vec<_> = (0..statements).map(|n| reading(&sensor, n, 20.5)).collect();
    let verdicts: Vec<Verdict> = (first..)
        .zip(&statements)
        .flat_map(|(leaf, (bytes, _))| {
            (0..models).map(move |model| verdict(LeafIndex(leaf), bytes, 0, model))
        })
        .collect();
    ledger.block(&statements, verdicts, false);
    let middle = statements.len() / 2;
    (ledger, middle)
}

#[test]
fn a_receipt_at_a_million_leaves_is_under_two_kilobytes() {
    for (what, statements, models, size, limit) in [
        ("alone in its block, not judged", 1, 0, 1_000_000, 2048),
        ("alone in its block, two verdicts", 1, 2, 1_000_000, 2048),
        ("one of 100, not judged", 100, 0, 1_000_000, 2048),
        ("one of 100, each judged once", 100, 1, 1_000_000, 2048),
        ("one of 4,000, not judged", 4000, 0, 1_000_000, 2048),
        // Half a million leaves on either side: the two leaves share nothing but the root. One place in a million.
        ("astride the middle of the log, not judged", 1, 0, 1 << 19, 2200),
        // A full block in which everything is judged pays for its neighbours: over the budget, and bounded.
        ("one of 4,000, each judged once", 4000, 1, 1_000_000, 2500),
    ] {
        let (mut ledger, middle) = at_a_million(statements, models, size);
        let own = ledger.receipt(middle, 1).encode();
        ledger.pad(1_048_575 - ledger.writer.size());
        ledger.block(&[], vec![], false);
        let later = ledger.receipt(middle, 2).encode();
        println!(
            "{what}: {} bytes under its own checkpoint, {} under one at 2^20 leaves",
            own.len(),
            later.len()
        );
        for receipt in [own, later] {
            Receipt::verify_bytes(&receipt, &ledger.anchor).expect("it holds");
            assert!(receipt.len() < limit, "{what}: {} bytes", receipt.len());
        }
    }
}

#[test]
fn a_receipt_is_verified_in_under_a_millisecond() {
    let (ledger, middle) = at_a_million(100, 1, 1_000_000);
    let bytes = ledger.receipt(middle, 1).encode();
    let mut times: Vec<_> = (0..200)
        .map(|_| {
            let start = Instant::now();
            Receipt::verify_bytes(&bytes, &ledger.anchor).expect("it holds");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("verifying {} bytes: median {:?}", bytes.len(), times[times.len() / 2]);
    if !cfg!(debug_assertions) {
        assert!(times[times.len() / 2].as_micros() < 1000);
    }
}

#[test]
fn appending_keeps_up_with_any_door() {
    let rounds = if cfg!(debug_assertions) { 25 } else { 500 };
    let leaves: Vec<_> = (0..4096u64).map(|n| sha256(&n.to_be_bytes())).collect();
    let mut writer = TileWriter::new();
    let start = Instant::now();
    let tiles: usize = (0..rounds).map(|_| writer.append(&leaves).len()).sum();
    let rate = writer.size() as f64 / start.elapsed().as_secs_f64();
    println!("{:.1} million appends/s in blocks of 4,096 ({tiles} tiles)", rate / 1e6);
    let mut store = Store::default();
    let mut small = TileWriter::new();
    store.put(small.append(&leaves[..3000]));
    let start = Instant::now();
    for leaf in 0..1000 {
        store.put(small.append(&leaves[leaf..=leaf]));
    }
    println!("a block of one leaf: {:?}", start.elapsed() / 1000);
    if !cfg!(debug_assertions) {
        assert!(rate > 2e6);
    }
}
