//! A node that began with a snapshot gets the log's older hashes from others, and believes none that is not the log's.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use triad_chain::testing::{TestChain, genesis};
use triad_chain::{ChainError, Ledger, Reader, SnapshotOptions, TileRun, import, read_head};
use triad_statement::{Algorithm, SigningKey};

/// Each block has a leaf at least: two complete tiles of 256, and some.
const BLOCKS: u64 = 600;

#[test]
fn older_hashes_are_checked_one_by_one_and_prove_what_they_proved_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::with_genesis(&dir.path().join("first"), genesis(Vec::new()));
    let first = &chain.ledger;
    let validator = SigningKey::from_secret_bytes(Algorithm::EdDsa, &[7; 32]).unwrap();
    let snapshots = dir.path().join("snapshots");
    first
        .keep_snapshots(SnapshotOptions {
            dir: snapshots.clone(),
            every: BLOCKS,
            retention: None,
            key: Some((first.spec().anchor.validators.keys()[0], Arc::new(validator))),
        })
        .unwrap();
    assert!(first.backfill().unwrap().is_none(), "it has all from genesis on");
    while first.height() < BLOCKS {
        chain.heartbeat();
    }
    let before = Reader::new(first.clone());
    let since = Instant::now();
    while !before.snapshots().iter().any(|made| made.is_vouched_for()) {
        assert!(since.elapsed() < Duration::from_secs(60), "no snapshot");
        std::thread::sleep(Duration::from_millis(2));
    }

    let from = snapshots.join(BLOCKS.to_string());
    let joined = dir.path().join("joined");
    import(&joined, first.spec(), &from, &read_head(&from).unwrap(), |_| ()).unwrap();
    let second = Ledger::open(&joined, first.spec().clone()).unwrap();
    let after = Reader::new(second.clone());
    let lacks = |answer: Result<_, ChainError>| matches!(answer, Err(ChainError::NotKept { .. }));
    assert!(lacks(after.inclusion(3, None).map(|_| ())));
    let newest = before.tip().0.log_size - 1;
    assert_eq!(after.inclusion(newest, None).unwrap(), before.inclusion(newest, None).unwrap());

    let mut work = second.backfill().unwrap().unwrap();
    let run = work.wanted().unwrap();
    assert_eq!((run, work.remaining()), (TileRun { level: 0, first: 0, count: 2 }, 2));
    assert!(second.tiles(run).unwrap().is_none(), "it has nothing to give yet");
    let good = first.tiles(run).unwrap().unwrap();
    let mut changed = good.clone();
    changed[9_000] ^= 1;
    for bad in [&changed[..], &good[..good.len() - 32], &good[..8192], &[]] {
        assert!(!work.put(bad).unwrap());
    }
    assert!(second.backfill().unwrap().is_some(), "nothing of it is kept");
    assert!(work.put(&good).unwrap());
    assert_eq!((work.wanted(), work.remaining()), (None, 0));
    assert!(second.backfill().unwrap().is_none());
    for leaf in [0, 3, 255, 256, 511] {
        assert_eq!(
            after.inclusion(leaf, None).unwrap(),
            before.inclusion(leaf, None).unwrap(),
            "leaf {leaf}"
        );
        assert!(before.inclusion(leaf, Some(leaf + 1)).unwrap().is_some());
    }
    assert_eq!(after.consistency(100, Some(400)).unwrap(), before.consistency(100, Some(400)).unwrap());
    assert_eq!(second.tiles(run).unwrap().unwrap(), good, "now others can ask it");

    // What is not there, or more than anybody may ask for.
    for (level, first_tile, count) in [(0, 2, 1), (1, 0, 1), (200, 0, 1), (0, u64::MAX, 1), (0, 0, 17)] {
        assert_eq!(first.tiles(TileRun { level, first: first_tile, count }).unwrap(), None);
    }
}
