//! What must hold at the end of a run.

use super::{Simulation, block::Digest, chain, node::Validator, roles::Role};
use crate::recall::Voting;

impl Simulation {
    pub(super) fn sound(&self) -> impl Iterator<Item = &Validator> {
        self.validators.iter().filter(|v| v.role.is_sound())
    }

    pub(super) fn complete(&self) -> bool {
        self.sound().all(|v| {
            let disk = v.disks[0].lock();
            let items = disk.items();
            // On a real chain everybody sees each change through.
            let changed = self.world.is_none() || disk.epoch() >= self.changes;
            changed && (0..self.submitted).all(|item| items.contains(&item))
        })
    }

    pub(super) fn describe(&self) -> String {
        let of = |v: &Validator| {
            let disk = v.disks[0].lock();
            let (items, blocks) = (disk.items(), disk.digests().len());
            let missing: Vec<u64> = (0..self.submitted).filter(|i| !items.contains(i)).collect();
            let stats = v.stats.snapshot();
            let (voting, view, leader, tip) = (stats.voting, stats.view, stats.leader, stats.tip);
            let (epoch, sets) = (disk.epoch(), disk.sets());
            format!(
                "{:?} ({voting:?}) at {blocks} of {tip}, view {view} of {leader}, epoch {epoch} of {sets:?}, misses {missing:?}",
                v.role
            )
        };
        self.validators.iter().map(of).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn check(&self) {
        let chains: Vec<Vec<Digest>> = self.sound().map(|v| v.disks[0].lock().digests()).collect();
        let longest = chains.iter().max_by_key(|c| c.len()).expect("some are honest");
        for chain in &chains {
            assert_eq!(chain.as_slice(), &longest[..chain.len()], "chains are prefixes of each other");
        }
        for validator in self.sound() {
            let mut items = validator.disks[0].lock().items();
            items.sort_unstable();
            let before = items.len();
            items.dedup();
            assert_eq!(items.len(), before, "an item is there twice");
        }
    }

    /// The files of real chains execute again to the same roots, and certificates are good. How many verdicts there are.
    pub(super) async fn audit(&mut self) -> u64 {
        let Some(world) = self.world.clone() else { return 0 };
        let mut verdicts = 0;
        for index in 0..self.validators.len() {
            self.end(index).await;
            let disk = self.validators[index].disks[0].lock();
            if !self.validators[index].role.is_sound() {
                continue;
            }
            let audit = chain::audit(&disk, &world);
            let height = disk.digests().len() as u64;
            assert_eq!(audit.height, height, "{:?}", self.validators[index].role);
            assert!(audit.certificates > 0 || height == audit.from, "no block has a certificate");
            verdicts = verdicts.max(audit.verdicts);
        }
        verdicts
    }

    /// How many were told that they lost their memory. Nobody is who did not.
    pub(super) fn denied(&self) -> u64 {
        let denied = |v: &&Validator| matches!(v.stats.snapshot().voting, Voting::Denied { .. });
        let denied: Vec<&Validator> = self.validators.iter().filter(denied).collect();
        let wrongly = denied.iter().find(|v| v.role != Role::Amnesiac);
        assert!(wrongly.is_none(), "taken for an amnesiac: {}", self.describe());
        denied.len() as u64
    }
}
