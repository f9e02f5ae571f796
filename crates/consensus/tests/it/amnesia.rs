//! A validator that lost its memory follows and does not vote.

use std::{fs, path::Path, time::Duration};

use triad_consensus::{Handle, Voting};

use crate::{cluster::Cluster, ledger::Ledger, log, runtime, soon};

type Running = (Handle, Ledger);

async fn voting(handle: &Handle) -> Voting {
    let stats = handle.stats();
    let known = async {
        loop {
            match stats.snapshot().voting {
                Voting::Waiting => tokio::time::sleep(Duration::from_millis(20)).await,
                known => return known,
            }
        }
    };
    soon("the others' answers", known).await
}

/// Puts more into the chain, by those that run.
async fn go_on(validators: &[Running], item: &mut u32) -> u64 {
    for _ in 0..3 {
        for (_, ledger) in validators {
            ledger.submit(item.to_be_bytes().to_vec());
            *item += 1;
        }
        for (_, ledger) in validators {
            soon("finality", ledger.drained()).await;
        }
    }
    *validators[0].1.heights().borrow()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn own_votes(validator: &Running, index: usize) -> u64 {
    let votes = validator.0.stats().snapshot().validators[index];
    votes.notarize + votes.nullify + votes.finalize
}

#[test]
fn a_wiped_and_a_restored_validator_follow_and_a_whole_one_votes() {
    log();
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let (older, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cluster = Cluster::new(4);
    let mut item = 0;
    runtime().block_on(async {
        let mut validators: Vec<Running> = (0..4).map(|i| cluster.start(i, dirs[i].path())).collect();
        for (handle, _) in &validators {
            assert_eq!(voting(handle).await, Voting::Allowed);
        }
        go_on(&validators, &mut item).await;
        validators.pop().unwrap().0.shutdown().await.unwrap();
        copy(dirs[3].path(), older.path());

        // Whole, it votes again.
        validators.push(cluster.start(3, dirs[3].path()));
        assert_eq!(voting(&validators[3].0).await, Voting::Allowed);
        let there = go_on(&validators, &mut item).await;
        assert!(own_votes(&validators[0], 3) > 0);
        validators.pop().unwrap().0.shutdown().await.unwrap();

        // An older copy, and an empty disk: the others prove that it voted since. Once told, it stays so.
        for (dir, starts) in [(older.path(), 2), (elsewhere.path(), 2)] {
            for _ in 0..starts {
                let (handle, ledger) = cluster.start(3, dir);
                let Voting::Denied { view } = voting(&handle).await else { panic!("it votes from {dir:?}") };
                assert!(view > 0);
                soon("following", ledger.reach(there)).await;
                let votes = own_votes(&validators[0], 3);
                let now = go_on(&validators, &mut item).await;
                soon("following on", ledger.reach(now)).await;
                assert_eq!(own_votes(&validators[0], 3), votes, "it has no vote");
                handle.shutdown().await.unwrap();
            }
        }

        // The others all restart, and still know.
        for (handle, _) in std::mem::take(&mut validators) {
            handle.shutdown().await.unwrap();
        }
        let wiped = tempfile::tempdir().unwrap();
        validators = (0..3).map(|i| cluster.start(i, dirs[i].path())).collect();
        let (handle, _) = cluster.start(3, wiped.path());
        assert!(matches!(voting(&handle).await, Voting::Denied { .. }));
        handle.shutdown().await.unwrap();

        // The journal that knows its votes is still good.
        validators.push(cluster.start(3, dirs[3].path()));
        assert_eq!(voting(&validators[3].0).await, Voting::Allowed);
        go_on(&validators, &mut item).await;
        for (handle, _) in validators {
            soon("the stop", handle.shutdown()).await.unwrap();
        }
    });
}
