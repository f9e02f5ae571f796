//! One validator.

use std::{
    fs,
    time::{Duration, Instant},
};

use triad_consensus::{ConsensusError, Timeouts, public_key, start};

use crate::{
    check_certificates,
    ledger::{Ledger, Options, file_of, read},
    log, runtime, solo, soon,
};

#[test]
fn work_becomes_final_in_order_and_survives_a_restart() {
    log();
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for round in 0..3u8 {
            let ledger = Ledger::open(dir.path(), Options { items_a_block: 2, ..Options::default() });
            let validator = start(solo(dir.path()), ledger.clone()).unwrap();
            for item in 0..20u8 {
                ledger.submit(vec![round, item]);
            }
            soon("finality", ledger.drained()).await;
            assert!(validator.metrics().await.contains("finalized_height"));
            soon("the stop", validator.shutdown()).await.unwrap();
            assert_eq!(
                ledger.certificates().len() as u64,
                *ledger.heights().borrow() - ledger.certificates()[0].0 + 1,
                "alone, each height has its own certificate"
            );
            check_certificates(&ledger, b"triad-test", &[public_key(&[7; 32])]);
        }
    });
    let lines = read(&file_of(dir.path()));
    let items: Vec<_> = lines.iter().flat_map(|(_, _, items)| items).collect();
    assert_eq!(items.len(), 60, "each item once");
    assert!(items.is_sorted());
}

#[test]
fn blocks_are_pipelined_on_parents_that_are_not_committed_yet() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let options =
            Options { items_a_block: 1, commit_delay: Duration::from_millis(50), ..Options::default() };
        let ledger = Ledger::open(dir.path(), options);
        let validator = start(solo(dir.path()), ledger.clone()).unwrap();
        for item in 0..20u8 {
            ledger.submit(vec![item]);
        }
        soon("finality", ledger.drained()).await;
        validator.shutdown().await.unwrap();
        // One that is being committed, and one on top of it.
        assert!(ledger.largest_pending() >= 2, "{} blocks at once", ledger.largest_pending());
    });
}

#[test]
fn an_idle_validator_writes_nothing_but_heartbeats() {
    log();
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = Ledger::open(dir.path(), Options::default());
        let mut config = solo(dir.path());
        config.heartbeat = Duration::from_secs(2);
        let validator = start(config, ledger.clone()).unwrap();
        soon("the first heartbeat", ledger.reach(1)).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = newest_change(dir.path());
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(newest_change(dir.path()), before, "something was written between two heartbeats");
        let begun = Instant::now();
        soon("the second heartbeat", ledger.reach(2)).await;
        assert!(begun.elapsed() < Duration::from_millis(1500));
        // Work does not wait for the heartbeat.
        let begun = Instant::now();
        ledger.submit(vec![1]);
        soon("the item", ledger.reach(3)).await;
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        validator.shutdown().await.unwrap();
    });
}

/// The newest modification below a directory, and how many files there are.
fn newest_change(dir: &std::path::Path) -> (Option<std::time::SystemTime>, usize) {
    let mut newest = (None, 0);
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            let below = newest_change(&entry.path());
            newest = (newest.0.max(below.0), newest.1 + below.1);
        }
        newest = (newest.0.max(metadata.modified().ok()), newest.1 + 1);
    }
    newest
}

#[test]
fn an_error_of_the_ledger_is_fatal_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = Ledger::open(dir.path(), Options { fail_at: Some(2), ..Options::default() });
        let mut validator = start(solo(dir.path()), ledger.clone()).unwrap();
        ledger.submit(vec![1]);
        let error = soon("the failure", validator.finished()).await.unwrap_err();
        assert!(matches!(error, ConsensusError::Application { height: 2, .. }), "{error}");
        assert!(error.to_string().contains("disk is full"), "{error}");
        // The directory is free again, and with a sound ledger it goes on.
        let ledger = Ledger::open(dir.path(), Options::default());
        let validator = start(solo(dir.path()), ledger.clone()).unwrap();
        soon("going on", ledger.reach(3)).await;
        validator.shutdown().await.unwrap();
    });
}

#[test]
fn a_panic_is_fatal_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = Ledger::open(dir.path(), Options { panic_at: Some(2), ..Options::default() });
        let mut validator = start(solo(dir.path()), ledger.clone()).unwrap();
        let error = soon("the failure", validator.finished()).await.unwrap_err();
        assert!(matches!(error, ConsensusError::Stopped(_)), "{error}");
        assert!(error.to_string().contains("the ledger panics"), "{error}");
    });
}

#[test]
fn a_directory_in_use_or_of_another_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = Ledger::open(dir.path(), Options::default());
        let validator = start(solo(dir.path()), ledger.clone()).unwrap();
        let error = start(solo(dir.path()), ledger.clone()).unwrap_err();
        assert!(matches!(error, ConsensusError::Locked { .. }), "{error}");
        soon("a block", ledger.reach(1)).await;
        validator.shutdown().await.unwrap();
        let mut config = solo(dir.path());
        config.secret_key = [8; 32];
        config.validators = vec![public_key(&[8; 32])];
        let error = start(config, ledger.clone()).unwrap_err();
        assert!(matches!(error, ConsensusError::WrongKey { .. }), "{error}");
    });
}

#[test]
fn a_missing_or_stale_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let saved = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let run = async |to: u64| {
            let ledger = Ledger::open(dir.path(), Options::default());
            let validator = start(solo(dir.path()), ledger.clone()).unwrap();
            soon("blocks", ledger.reach(to)).await;
            validator.shutdown().await.unwrap();
        };
        run(1).await;
        copy(dir.path(), saved.path());
        run(3).await;
        let open = || start(solo(dir.path()), Ledger::open(dir.path(), Options::default())).unwrap_err();
        // The whole of consensus from an older copy: the ledger is ahead of it.
        let consensus = dir.path().join("consensus");
        let newer = tempfile::tempdir().unwrap();
        fs::rename(&consensus, newer.path().join("consensus")).unwrap();
        copy(&saved.path().join("consensus"), &consensus);
        let error = open();
        assert!(matches!(error, ConsensusError::JournalStale { .. }), "{error}");
        // Only the write-ahead log from an older copy: the archive is ahead of it.
        fs::remove_dir_all(&consensus).unwrap();
        fs::rename(newer.path().join("consensus"), &consensus).unwrap();
        let wal = consensus.join("simplex-0");
        fs::remove_dir_all(&wal).unwrap();
        copy(&saved.path().join("consensus/simplex-0"), &wal);
        let error = open();
        assert!(matches!(error, ConsensusError::JournalStale { .. }), "{error}");
        // None at all.
        fs::remove_dir_all(&wal).unwrap();
        let error = open();
        assert!(matches!(error, ConsensusError::JournalMissing { .. }), "{error}");
        assert!(error.to_string().contains("--accept-journal-loss"), "{error}");
    });
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_ledger_that_lost_its_last_blocks_gets_them_again() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = Ledger::open(dir.path(), Options::default());
        let validator = start(solo(dir.path()), ledger.clone()).unwrap();
        soon("blocks", ledger.reach(4)).await;
        validator.shutdown().await.unwrap();
        let (reached, last) = (*ledger.heights().borrow(), ledger.digest(4));
        let text = fs::read_to_string(file_of(dir.path())).unwrap();
        let kept: String = text.lines().take(2).map(|line| format!("{line}\n")).collect();
        fs::write(file_of(dir.path()), kept).unwrap();
        let ledger = Ledger::open(dir.path(), Options::default());
        assert!(reached > 2 && *ledger.heights().borrow() == 2);
        let validator = start(solo(dir.path()), ledger.clone()).unwrap();
        soon("going on", ledger.reach(reached + 1)).await;
        assert_eq!(ledger.digest(4), last);
        validator.shutdown().await.unwrap();
    });
}

#[test]
fn a_slow_ledger_holds_proposing_back_and_nothing_piles_up() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let options =
            Options { items_a_block: 1, commit_delay: Duration::from_millis(40), ..Options::default() };
        let ledger = Ledger::open(dir.path(), options);
        let validator = start(solo(dir.path()), ledger.clone()).unwrap();
        for item in 0..100u8 {
            ledger.submit(vec![item]);
        }
        soon("finality", ledger.drained()).await;
        validator.shutdown().await.unwrap();
        // The one being committed, the one being voted on, and now and then an empty one that pushed.
        assert!(ledger.largest_pending() <= 5, "{} blocks waited", ledger.largest_pending());
        let empty = read(&file_of(dir.path())).iter().filter(|(_, _, items)| items.is_empty()).count();
        assert!(empty < 10, "{empty} empty blocks");
    });
}

#[test]
fn final_blocks_and_the_journal_are_pruned() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger =
            Ledger::open(dir.path(), Options { items_a_block: 1, sync: false, ..Options::default() });
        let mut config = solo(dir.path());
        config.prune_depth = 40;
        let validator = start(config, ledger.clone()).unwrap();
        for item in 0..250u8 {
            ledger.submit(vec![item]);
        }
        soon("finality", ledger.drained()).await;
        validator.shutdown().await.unwrap();
        let files = |folder: &str| fs::read_dir(dir.path().join("consensus").join(folder)).unwrap().count();
        assert!(files("simplex-0") < 40, "{} journal files", files("simplex-0"));
        assert!(files("archive-blocks-values") <= 4, "{} archive files", files("archive-blocks-values"));
    });
}

#[test]
fn many_views_without_a_block_end_in_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let ledger = Ledger::open(dir.path(), Options::default());
        let mut config = solo(dir.path());
        config.heartbeat = Duration::from_secs(600);
        config.timeouts = Some(Timeouts {
            leader: Duration::from_millis(10),
            certification: Duration::from_millis(15),
            retry: Duration::from_secs(1),
            skip: None,
        });
        let wal = dir.path().join("consensus/simplex-0");
        let validator = start(config, ledger.clone()).unwrap();
        let mut heights = ledger.heights();
        let mut most = 0;
        let reached = async {
            while *heights.borrow_and_update() < 3 {
                let _ = tokio::time::timeout(Duration::from_millis(50), heights.changed()).await;
                most = most.max(fs::read_dir(&wal).map_or(0, Iterator::count));
            }
        };
        soon("three empty blocks", reached).await;
        validator.shutdown().await.unwrap();
        assert!((60..120).contains(&most), "{most} journal files at once");
    });
}

#[test]
fn a_graceful_stop_under_load_loses_nothing_and_the_next_start_goes_on_at_once() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let mut slowest = Duration::ZERO;
        for _ in 0..8 {
            let ledger = Ledger::open(dir.path(), Options { items_a_block: 1, ..Options::default() });
            for _ in 0..200 {
                ledger.submit(rand::random::<[u8; 16]>().to_vec());
            }
            let before = *ledger.heights().borrow();
            let begun = Instant::now();
            let validator = start(solo(dir.path()), ledger.clone()).unwrap();
            soon("blocks", ledger.reach(before + 3)).await;
            slowest = slowest.max(begun.elapsed());
            let begun = Instant::now();
            validator.shutdown().await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(2), "the stop took {:?}", begun.elapsed());
        }
        assert!(slowest < Duration::from_secs(1), "going on took {slowest:?}");
    });
}
