//! Who somebody is in a run.

use rand::RngExt as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Honest,
    /// Two engines with one key, each talking to its own part of the others: votes and proposes twice.
    Equivocator,
    /// Proposes blocks that nobody may accept: with items that are invalid or there twice, of another time, with another state.
    Liar,
    /// Sends some of its messages late, or never, to some.
    Withholder,
    /// Serves and announces another block than the certified one.
    BodyServer,
    /// Sends everybody garbage, or what it sent before, as fast as it can.
    Flooder,
    /// Is off all the time.
    Sleeper,
    /// Honest, but at times its disk is empty when it comes back.
    Amnesiac,
    /// Honest, but its clock is wrong and jumps.
    Mistimed,
}

/// All who are not just honest.
pub(super) const TRAITORS: [Role; 8] = [
    Role::Equivocator,
    Role::Liar,
    Role::Withholder,
    Role::BodyServer,
    Role::Flooder,
    Role::Sleeper,
    Role::Amnesiac,
    Role::Mistimed,
];

impl Role {
    /// What it commits is the chain.
    pub(super) fn is_sound(self) -> bool {
        matches!(self, Role::Honest | Role::Amnesiac | Role::Mistimed)
    }

    /// One role for each of `n`, of whom at most f are not just honest.
    pub(super) fn draw(n: usize, rng: &mut impl rand::Rng) -> Vec<Self> {
        let mut roles = vec![Role::Honest; n];
        for _ in 0..rng.random_range(0..=(n - 1) / 3) {
            roles[rng.random_range(0..n)] = TRAITORS[rng.random_range(0..TRAITORS.len())];
        }
        roles
    }
}
