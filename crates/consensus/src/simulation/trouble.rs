//! What happens to a network from outside: items come in, links are cut, validators crash and change.

use std::time::Duration;

use commonware_runtime::Clock as _;
use rand::RngExt as _;

use super::{Simulation, block, roles::Role};

impl Simulation {
    /// Makes all links as they should be now.
    pub(super) async fn links(&mut self) {
        for from in 0..self.keys.len() {
            for to in 0..self.keys.len() {
                if from == to {
                    continue;
                }
                let (a, b) = (self.keys[from].clone(), self.keys[to].clone());
                // Absent already is fine.
                let _ = self.oracle.remove_link(a.clone(), b.clone()).await;
                if !self.cut.contains(&(from, to)) {
                    let mut link = self.link.clone();
                    if let Some((who, latency)) = self.slow
                        && (who == from || who == to)
                    {
                        link.latency = latency;
                    }
                    self.oracle.add_link(a, b, link).await.expect("a new link");
                }
            }
        }
    }

    pub(super) fn submit(&mut self) {
        let item = self.submitted;
        let n = self.validators.len();
        let first = self.rng.random_range(0..n);
        let mut taken = false;
        for i in 0..n {
            let validator = &self.validators[(first + i) % n];
            // One takes it, the others hear of it or not.
            if validator.role == Role::Honest
                && let Some(ledger) = validator.ledgers.first()
                && (!taken || self.rng.random_ratio(2, 3))
            {
                ledger.submit(item);
                taken = true;
            }
        }
        self.submitted += u64::from(taken);
    }

    /// Asks a real chain for one validator more, and later for one fewer.
    fn change_chain(&mut self, newcomer: usize) {
        let epoch = self.sound().map(|v| v.disks[0].lock().epoch()).min().unwrap_or(0);
        if self.changes > epoch || self.changes == 2 {
            return;
        }
        let others = (newcomer + 1..newcomer + self.validators.len()).map(|i| i % self.validators.len());
        let removed = others.clone().nth(self.rng.random_range(0..self.validators.len() - 1));
        let which = if self.changes == 0 { newcomer } else { removed.expect("one of the others") };
        self.ask_for(which);
    }

    /// Asks for another set of validators, in which the traitors are still few enough.
    fn change(&mut self) {
        if let Some(newcomer) = self.world.as_ref().and_then(|world| world.newcomer) {
            return self.change_chain(newcomer);
        }
        let traitors = self.validators.iter().filter(|v| v.role != Role::Honest).count() as u32;
        let which = self.rng.random_range(0..self.validators.len());
        // As whoever is furthest has it.
        let furthest = self.sound().map(|v| {
            let disk = v.disks[0].lock();
            (disk.digests().len(), disk.changed(), disk.sets().1)
        });
        let Some((_, changed, next)) = furthest.max() else { return };
        let next = next ^ (1 << which);
        // What was asked for and is not in a block yet may come first: the smallest set that can come of it.
        let waiting = self.changes - changed;
        if next.count_ones() < (3 * traitors + 1).max(2) || waiting > 0 {
            return;
        }
        self.ask_for(which);
    }

    /// Asks all honest validators for a change.
    fn ask_for(&mut self, which: usize) {
        self.changes += 1;
        let item = block::change(self.changes, which);
        let mut taken = false;
        for validator in self.validators.iter().filter(|v| v.role == Role::Honest) {
            if let Some(ledger) = validator.ledgers.first() {
                ledger.submit(item);
                taken = true;
            }
        }
        self.changes -= u64::from(!taken);
    }

    pub(super) async fn trouble(&mut self) {
        let n = self.validators.len();
        self.find_stopped().await;
        if self.changing && self.rng.random_ratio(1, 2) {
            self.change();
        }
        for index in 0..n {
            if self.validators[index].role == Role::Mistimed && self.rng.random_ratio(1, 4) {
                self.validators[index].hardware.clock.jump(self.rng.random_range(-4_000_000..=4_000_000));
            }
        }
        let one = self.rng.random_range(0..n);
        match self.rng.random_range(0..10) {
            0 => self.crash(one).await,
            1 => self.validators[one].hardware.fuse.light(self.rng.random_range(1..2000)),
            2..=4 => self.start(one).await,
            5 => self.cut_somewhere().await,
            6 => self.flap().await,
            7 => {
                // The slowest are given up by their leader timeout, the others are just late.
                self.slow = Some((one, Duration::from_millis(self.rng.random_range(100..1500))));
                self.links().await;
            }
            _ => {
                self.cut.clear();
                self.slow = None;
                self.links().await;
            }
        }
    }

    /// A cut between two groups, one way or both.
    async fn cut_somewhere(&mut self) {
        let n = self.validators.len();
        let group = self.rng.random_range(1..(1u32 << n));
        let one_way = self.rng.random_bool(0.5);
        let inside = |i: usize| group >> i & 1 == 1;
        self.cut.clear();
        for a in 0..n {
            for b in 0..n {
                if inside(a) && !inside(b) {
                    self.cut.push((a, b));
                    if !one_way {
                        self.cut.push((b, a));
                    }
                }
            }
        }
        self.links().await;
    }

    /// Cuts that come and go, each between others.
    async fn flap(&mut self) {
        for _ in 0..self.rng.random_range(2..8) {
            self.cut_somewhere().await;
            self.context.sleep(Duration::from_millis(self.rng.random_range(20..800))).await;
            self.cut.clear();
            self.links().await;
            self.context.sleep(Duration::from_millis(self.rng.random_range(20..400))).await;
        }
    }
}
