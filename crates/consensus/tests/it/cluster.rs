//! Four validators on loopback: the same code path with a real network.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use triad_consensus::{Config, Handle, Network, Snapshot, public_key, start};

use crate::{
    check_certificates,
    ledger::{Ledger, Options},
    log, runtime, soon,
};

pub struct Cluster {
    keys: Vec<([u8; 32], [u8; 32], SocketAddr)>,
}

impl Cluster {
    pub fn new(n: u8) -> Self {
        // Free ports, all held until all are known.
        let ports: Vec<_> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let mut keys: Vec<_> = (0..n)
            .map(|i| ([i + 1; 32], public_key(&[i + 1; 32]), ports[usize::from(i)].local_addr().unwrap()))
            .collect();
        keys.sort_by_key(|(_, public, _)| *public);
        Self { keys }
    }

    pub fn start(&self, index: usize, dir: &Path) -> (Handle, Ledger) {
        self.start_keeping(index, dir, 2048)
    }

    fn start_keeping(&self, index: usize, dir: &Path, prune_depth: u64) -> (Handle, Ledger) {
        let (secret, _, listen) = self.keys[index];
        let validators = self.keys.iter().map(|(_, public, _)| *public).collect();
        let mut config = Config::new(dir, secret, b"triad-cluster".to_vec(), validators);
        config.heartbeat = Duration::from_millis(500);
        config.prune_depth = prune_depth;
        config.network = Some(Network {
            listen,
            peers: self.keys.iter().map(|(_, public, address)| (*public, *address)).collect(),
            observers: Vec::new(),
        });
        let ledger = Ledger::open(dir, Options { items_a_block: 5, outlines: true, ..Options::default() });
        (start(config, ledger.clone()).unwrap(), ledger)
    }
}

#[test]
fn four_validators_agree_and_survive_one_down() {
    log();
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let cluster = Cluster::new(4);
    runtime().block_on(async {
        let mut validators: Vec<_> =
            dirs.iter().enumerate().map(|(i, dir)| Some(cluster.start(i, dir.path()))).collect();
        let ledger =
            |validators: &Vec<Option<(Handle, Ledger)>>, i: usize| validators[i].as_ref().unwrap().1.clone();
        for i in 0..4 {
            for item in 0..10u8 {
                ledger(&validators, i).submit(vec![i as u8, item]);
            }
        }
        for i in 0..4 {
            soon("finality with four", ledger(&validators, i).drained()).await;
        }
        // One goes down; three are a quorum.
        let (handle, gone) = validators[3].take().unwrap();
        handle.shutdown().await.unwrap();
        let missed = *gone.heights().borrow();
        for i in 0..3 {
            ledger(&validators, i).submit(vec![100 + i as u8]);
        }
        for i in 0..3 {
            soon("finality with three", ledger(&validators, i).drained()).await;
        }
        let there = *ledger(&validators, 0).heights().borrow();
        assert!(there > missed);
        // It comes back and catches up.
        validators[3] = Some(cluster.start(3, dirs[3].path()));
        soon("catching up", ledger(&validators, 3).reach(there + 3)).await;
        for i in 0..4 {
            let ledger = ledger(&validators, i);
            soon("the height", ledger.reach(there)).await;
            for height in 0..=there {
                assert_eq!(ledger.digest(height), self::digest(&validators, height), "height {height}");
            }
        }
        // Blocks came as outlines; what was not there, or was something else, was asked for.
        let stats: Vec<_> =
            validators.iter().flatten().map(|(handle, _)| handle.stats().snapshot()).collect();
        let sum = |of: fn(&Snapshot) -> u64| stats.iter().map(of).sum::<u64>();
        let (outlines, asked, whole) = (sum(|s| s.outlines), sum(|s| s.items_asked), sum(|s| s.whole_blocks));
        assert!(outlines > 0 && asked > 0 && whole > 0, "{outlines} outlines, {asked} items, {whole} whole");
        let keys: Vec<_> = cluster.keys.iter().map(|(_, public, _)| *public).collect();
        check_certificates(&ledger(&validators, 0), b"triad-cluster", &keys);
        for validator in validators.into_iter().flatten() {
            soon("the stop", validator.0.shutdown()).await.unwrap();
        }
    });
}

fn digest(validators: &[Option<(Handle, Ledger)>], height: u64) -> [u8; 32] {
    validators[0].as_ref().unwrap().1.digest(height)
}

#[test]
fn a_node_that_was_off_for_longer_than_the_archives_keep_gets_blocks_from_the_ledgers() {
    const DEPTH: u64 = 32;
    log();
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let cluster = Cluster::new(4);
    runtime().block_on(async {
        let mut validators: Vec<_> =
            (0..3).map(|i| cluster.start_keeping(i, dirs[i].path(), DEPTH)).collect();
        // Three are a quorum. Whatever the fourth will need first is pruned by then.
        let mut item = 0u32;
        while *validators[0].1.heights().borrow() < 5 * DEPTH {
            for (_, ledger) in &validators {
                ledger.submit(item.to_be_bytes().to_vec());
                item += 1;
            }
            for (_, ledger) in &validators {
                soon("finality with three", ledger.drained()).await;
            }
        }
        let there = *validators[0].1.heights().borrow();
        validators.push(cluster.start_keeping(3, dirs[3].path(), DEPTH));
        let late = validators[3].1.clone();
        soon("catching up", late.reach(there)).await;
        for height in 0..=there {
            assert_eq!(late.digest(height), validators[0].1.digest(height), "height {height}");
        }
        let served: u64 = validators[..3].iter().map(|(_, ledger)| ledger.served()).sum();
        assert!(served >= DEPTH, "the first blocks came from the ledgers: {served}");
        for (handle, _) in validators {
            soon("the stop", handle.shutdown()).await.unwrap();
        }
    });
}
