//! What happened in runs.

use std::fmt;

use super::roles::{Role, TRAITORS};

/// In one run, or in many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) runs: u64,
    pub(super) blocks: u64,
    pub(super) items: u64,
    /// Who was not just honest, by place in [`TRAITORS`].
    pub(super) traitors: [u64; TRAITORS.len()],
    /// Runs with traitors of several kinds.
    pub(super) mixed: u64,
    /// Validators that were told that they lost their memory, and follow.
    pub(super) denied: u64,
    /// Sets of validators after the first.
    pub(super) changes: u64,
    /// Equivocators against whom an honest validator holds evidence.
    pub(super) convicted: u64,
    /// Records of evidence that honest validators hold.
    pub(super) evidence: u64,
    /// Validators that began with another's snapshot of a real chain.
    pub(super) synced: u64,
    /// On real chains.
    pub(super) verdicts: u64,
    /// Automations that real chains ran.
    pub(super) fired: u64,
    /// Crashes between two steps of a validator's own tasks.
    pub(super) stopped: u64,
    /// Files that a crash left with a part of what was not synced.
    pub(super) torn: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.blocks += other.blocks;
        self.items += other.items;
        self.traitors.iter_mut().zip(other.traitors).for_each(|(sum, one)| *sum += one);
        self.mixed += other.mixed;
        self.denied += other.denied;
        self.changes += other.changes;
        self.convicted += other.convicted;
        self.evidence += other.evidence;
        self.synced += other.synced;
        self.verdicts += other.verdicts;
        self.fired += other.fired;
        self.stopped += other.stopped;
        self.torn += other.torn;
    }

    /// Notes who is who.
    pub(super) fn roles(&mut self, roles: impl Iterator<Item = Role>) {
        for role in roles {
            if let Some(place) = TRAITORS.iter().position(|traitor| *traitor == role) {
                self.traitors[place] += 1;
            }
        }
        self.mixed += u64::from(self.traitors.iter().filter(|count| **count > 0).count() > 1);
    }

    fn of(&self, role: Role) -> u64 {
        TRAITORS.iter().zip(self.traitors).filter(|(traitor, _)| **traitor == role).map(|(_, n)| n).sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            blocks,
            items,
            changes,
            synced,
            verdicts,
            fired,
            stopped,
            torn,
            convicted,
            evidence,
            denied,
            mixed,
            ..
        } = self;
        write!(
            f,
            "{blocks} blocks, {items} items, {changes} new sets, {synced} snapshots taken, {verdicts} verdicts, {fired} firings, {stopped} stops, {torn} torn files; "
        )?;
        for (role, count) in TRAITORS.iter().zip(self.traitors) {
            write!(f, "{count} {role:?}, ")?;
        }
        let (equivocators, amnesiacs) = (self.of(Role::Equivocator), self.of(Role::Amnesiac));
        write!(
            f,
            "{mixed} mixes; {convicted} of {equivocators} equivocators convicted by {evidence} records, "
        )?;
        write!(f, "{denied} of {amnesiacs} amnesiacs found out")
    }
}
