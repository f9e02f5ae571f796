//! A chain that began with a snapshot is the chain that the snapshot was taken from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use triad_log::SnapshotHead;
use triad_statement::SigningKey;

use super::*;
use crate::snapshot::{chunk_path, read_chunk, read_head};
use crate::{ChainError, SnapshotOptions, SnapshotWord, Taken, import, write_chunk, write_head};

const EVERY: u64 = 5;
/// Secret of the fixture's validator.
const VALIDATOR: [u8; 32] = [7; 32];

fn keep(ledger: &Ledger, dir: &Path) {
    let key = SigningKey::from_secret_bytes(Algorithm::EdDsa, &VALIDATOR).unwrap();
    let public = ledger.spec().anchor.validators.keys()[0];
    let key = Some((public, Arc::new(key)));
    let options = SnapshotOptions { dir: dir.to_owned(), every: EVERY, retention: None, key };
    ledger.keep_snapshots(options).unwrap();
}

fn held(ledger: &Ledger, height: u64) -> SnapshotHead {
    let reader = Reader::new(ledger.clone());
    let started = Instant::now();
    loop {
        let made = reader.snapshots().into_iter().find(|s| s.checkpoint.height.0 == height);
        if made.is_some_and(|s| s.is_vouched_for()) {
            return SnapshotHead::decode(&reader.snapshot_head(height).unwrap()).unwrap();
        }
        assert!(started.elapsed() < Duration::from_secs(60), "no snapshot after block {height}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Finalises the fixture's blocks of these heights, waiting for each snapshot that is due.
fn extend(ledger: &Ledger, heights: std::ops::RangeInclusive<u64>) {
    for (bytes, certificate) in blocks() {
        let height = header_of(&bytes).unwrap().height;
        if heights.contains(&height) {
            ledger.finalize(&bytes, Some(&certificate)).unwrap();
            if height.is_multiple_of(EVERY) {
                held(ledger, height);
            }
        }
    }
}

fn made(dir: &Path) -> Ledger {
    let ledger = Ledger::open_with(&dir.join("chain"), spec(), crate::HISTORY, false).unwrap();
    keep(&ledger, &dir.join("snapshots"));
    extend(&ledger, 1..=12);
    ledger
}

#[test]
fn a_chain_begun_with_a_snapshot_goes_on_like_the_one_it_was_taken_from() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = made(first.path());
    let head = held(&old, 5);
    head.verify(&old.spec().anchor).unwrap();
    assert_eq!(read_head(&first.path().join("snapshots/5")).unwrap(), head);

    let (chain, snapshots) = (second.path().join("chain"), second.path().join("snapshots"));
    let into = snapshots.join("5");
    fs::create_dir_all(&into).unwrap();
    for index in 0..head.chunks.len() {
        let chunk = Reader::new(old.clone()).snapshot_chunk(5, index).unwrap().unwrap();
        write_chunk(&into, &head, index, &chunk).unwrap();
    }
    write_head(&into, &head).unwrap();
    let mut done = 0;
    import(&chain, &spec(), &into, &head, |progress| done = progress.chunks).unwrap();
    assert_eq!(done, head.chunks.len());

    let new = Ledger::open(&chain, spec()).unwrap();
    assert_eq!(new.height(), 5);
    keep(&new, &snapshots);
    extend(&new, 6..=8);
    // As if it were killed: nothing is closed in order but the store itself.
    new.stop_snapshots();
    drop(new);
    let new = Ledger::open(&chain, spec()).unwrap();
    assert_eq!(new.height(), 8);
    keep(&new, &snapshots);
    extend(&new, 9..=12);
    let (old_reader, new_reader) = (Reader::new(old.clone()), Reader::new(new.clone()));
    assert_eq!(old_reader.tip(), new_reader.tip());
    // Every row of the state, the states of models among them.
    assert_eq!(held(&new, 10).root(), held(&old, 10).root());
    let size = old_reader.tip().0.log_size;
    let mut receipts = 0;
    for leaf in head.checkpoint.log_size..size {
        if old_reader.statement(leaf).unwrap().is_some() {
            assert_eq!(new_reader.receipt(leaf).unwrap(), old_reader.receipt(leaf).unwrap());
            receipts += 1;
        }
    }
    assert!(receipts > 2, "{receipts}");
    for address in [triad_evm::DEVICE_REGISTRY, crate::testing::wallet(1).address()] {
        assert_eq!(old_reader.account(&address).unwrap(), new_reader.account(&address).unwrap());
    }
}

#[test]
fn a_snapshot_that_was_tampered_with_is_refused() {
    let first = tempfile::tempdir().unwrap();
    let old = made(first.path());
    let dir = first.path().join("snapshots/10");
    let head = held(&old, 10);
    let anchor = &old.spec().anchor;

    let mut unsigned = head.clone();
    unsigned.signatures.clear();
    assert!(unsigned.verify(anchor).is_err(), "nobody vouches for it");
    let mut other = head.clone();
    other.chunks[0][0] ^= 1;
    assert!(other.verify(anchor).is_err(), "another root than the one that was signed");
    let mut other = head.clone();
    other.checkpoint.app_digest[0] ^= 1;
    assert!(other.verify(anchor).is_err(), "another checkpoint than the one that is final");

    let mut chunk = read_chunk(&dir, 0).unwrap();
    let place = chunk.len() / 2;
    chunk[place] ^= 1;
    let scratch = tempfile::tempdir().unwrap();
    assert!(matches!(write_chunk(scratch.path(), &head, 0, &chunk), Err(ChainError::Snapshot(_))));
    fs::write(chunk_path(&dir, 0), &chunk).unwrap();
    let refused = import(&scratch.path().join("chain"), &spec(), &dir, &head, |_| ()).unwrap_err();
    assert!(refused.to_string().contains("chunk 0 is damaged"), "{refused}");
}

#[test]
fn a_word_for_another_state_is_told_from_one_that_nobody_gave() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = made(dir.path());
    let word = ledger.snapshot_word().unwrap();
    assert_eq!((word.height, word.root), (10, held(&ledger, 10).root()));
    assert_eq!(ledger.take_snapshot_word(&word).unwrap(), Taken::Idle);
    let mut forged = SnapshotWord { root: [9; 32], ..word };
    assert_eq!(ledger.take_snapshot_word(&forged).unwrap(), Taken::Bad);
    let key = SigningKey::from_secret_bytes(Algorithm::EdDsa, &VALIDATOR).unwrap();
    let message = triad_log::snapshot_message(&held(&ledger, 10).checkpoint, &[9; 32]);
    forged.signed.signature = key.sign(&message).as_slice().try_into().unwrap();
    assert_eq!(ledger.take_snapshot_word(&forged).unwrap(), Taken::Differs);
    let elsewhere = SnapshotWord { height: 77, ..word };
    assert_eq!(ledger.take_snapshot_word(&elsewhere).unwrap(), Taken::Idle);
}
