//! The votes of the latest views, each held against those that come later, alone or in a certificate.
//!
//! Simplex compares the votes that reach a node one by one, and forgets them when their quorum is complete. A traitor that tells some
//! nodes this and others that is found out when the certificate of the ones comes to the others.

use std::collections::BTreeMap;

use triad_log::{BlockVote, Conflict};

/// Views whose votes are remembered: some hundred bytes a validator each.
const VIEWS: usize = 64;

pub(super) enum OneVote {
    Notarize(BlockVote),
    Nullify([u8; 64]),
    Finalize(BlockVote),
}

/// What one validator said in one view.
#[derive(Debug, Default)]
struct Votes {
    notarize: Option<BlockVote>,
    nullify: Option<[u8; 64]>,
    finalize: Option<BlockVote>,
}

/// By view and validator.
#[derive(Debug, Default)]
pub(crate) struct Recent(BTreeMap<u64, BTreeMap<u32, Votes>>);

impl Recent {
    /// Remembers a vote; what it contradicts. `verified`: it stands in a certificate, and its signature in the place of one that nobody
    /// verified.
    pub(super) fn see(&mut self, view: u64, signer: u32, vote: OneVote, verified: bool) -> Option<Conflict> {
        let votes = self.0.entry(view).or_default().entry(signer).or_default();
        let conflict = match vote {
            OneVote::Notarize(vote) => twice(&mut votes.notarize, vote, verified).map(Conflict::notarizes),
            OneVote::Finalize(finalize) => {
                let twice = twice(&mut votes.finalize, finalize, verified).map(Conflict::finalizes);
                let both = votes.nullify.map(|nullify| Conflict::NullifyFinalize { nullify, finalize });
                twice.or(both)
            }
            OneVote::Nullify(nullify) => {
                if verified || votes.nullify.is_none() {
                    votes.nullify = Some(nullify);
                }
                votes.finalize.map(|finalize| Conflict::NullifyFinalize { nullify, finalize })
            }
        };
        while self.0.len() > VIEWS {
            self.0.pop_first();
        }
        conflict
    }
}

fn twice(known: &mut Option<BlockVote>, vote: BlockVote, verified: bool) -> Option<[BlockVote; 2]> {
    match known {
        Some(first) if first.proposal() != vote.proposal() => Some([*first, vote]),
        Some(_) if !verified => None,
        _ => {
            *known = Some(vote);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OneVote::{Finalize, Notarize, Nullify};

    fn vote(block: u8, signature: u8) -> BlockVote {
        BlockVote { parent_view: 6, digest: [block; 32], signature: [signature; 64] }
    }

    #[test]
    fn a_vote_is_held_against_a_later_one_of_the_same_validator_and_view() {
        let mut recent = Recent::default();
        assert_eq!(recent.see(7, 1, Notarize(vote(1, 1)), false), None);
        // The same again, another validator's, and another view's.
        assert_eq!(recent.see(7, 1, Notarize(vote(1, 1)), false), None);
        assert_eq!(recent.see(7, 2, Notarize(vote(2, 2)), false), None);
        assert_eq!(recent.see(8, 1, Notarize(vote(2, 3)), false), None);
        let found = recent.see(7, 1, Notarize(vote(2, 4)), true);
        assert_eq!(found, Some(Conflict::notarizes([vote(1, 1), vote(2, 4)])));
        // A vote for a block and one to give the view up are no conflict, whatever became of the block.
        assert_eq!(recent.see(7, 1, Nullify([5; 64]), false), None);
        let finalize = vote(1, 6);
        let both = Conflict::NullifyFinalize { nullify: [5; 64], finalize };
        assert_eq!(recent.see(7, 1, Finalize(finalize), true), Some(both));
        assert_eq!(recent.see(7, 1, Nullify([5; 64]), true), Some(both));
    }

    /// Else a traitor would send a vote with a bad signature first, and nothing could be proven with it.
    #[test]
    fn a_verified_signature_takes_the_place_of_another() {
        let mut recent = Recent::default();
        recent.see(7, 1, Notarize(vote(1, 0)), false);
        recent.see(7, 1, Notarize(vote(1, 1)), true);
        recent.see(7, 1, Notarize(vote(1, 0)), false);
        let found = recent.see(7, 1, Notarize(vote(2, 4)), false);
        assert_eq!(found, Some(Conflict::notarizes([vote(1, 1), vote(2, 4)])));
    }

    #[test]
    fn only_the_latest_views_are_remembered() {
        let mut recent = Recent::default();
        for view in 0..VIEWS as u64 + 1 {
            recent.see(view, 0, Finalize(vote(1, 1)), true);
        }
        assert_eq!(recent.0.len(), VIEWS);
        assert_eq!(recent.see(0, 0, Finalize(vote(2, 2)), true), None);
        assert!(recent.see(VIEWS as u64, 0, Finalize(vote(2, 2)), true).is_some());
    }
}
