//! Hears simplex say that two votes contradict each other.

use std::{sync::Arc, time::UNIX_EPOCH};

use commonware_actor::Feedback;
use commonware_codec::{Decode as _, Encode, Read};
use commonware_consensus::{
    Reporter,
    simplex::types::{Activity, Attributable as _, Finalize, Notarize, Nullify, Proposal},
    types::Round,
};
use commonware_cryptography::{
    certificate::Attestation,
    ed25519::{PublicKey, certificate::Certificate},
    sha256,
};
use commonware_runtime::{Clock, Spawner};
use commonware_utils::{Participant, ordered::Set, sync::Mutex};
use triad_log::{BlockVote, Conflict, Evidence, Seen};

use super::{
    EvidenceStore,
    recent::{OneVote, Recent},
};
use crate::{Scheme, stats::Stats};

type Report = Activity<Scheme, sha256::Digest>;

/// A reporter in front of another.
pub(crate) struct Accuser<E, R> {
    context: Arc<E>,
    next: R,
    store: Arc<EvidenceStore>,
    /// Of the epoch that is reported on.
    validators: Set<PublicKey>,
    stats: Arc<Stats>,
    recent: Arc<Mutex<Recent>>,
}

impl<E, R: Clone> Clone for Accuser<E, R> {
    fn clone(&self) -> Self {
        Self {
            context: self.context.clone(),
            next: self.next.clone(),
            store: self.store.clone(),
            validators: self.validators.clone(),
            stats: self.stats.clone(),
            recent: self.recent.clone(),
        }
    }
}

impl<E: Spawner + Clock, R> Accuser<E, R> {
    pub(crate) fn new(
        context: E,
        next: R,
        store: Arc<EvidenceStore>,
        validators: Set<PublicKey>,
        stats: Arc<Stats>,
    ) -> Self {
        Self { context: Arc::new(context), next, store, validators, stats, recent: Arc::default() }
    }

    /// What the report says, as evidence that is not verified yet.
    fn evidence(&self, report: &Report) -> Vec<Evidence> {
        let found = conflict(report).map_or_else(|| self.compare(report), |found| vec![found]);
        found.into_iter().filter_map(|found| self.accuse(found)).collect()
    }

    /// What the votes in the report contradict.
    fn compare(&self, report: &Report) -> Vec<Found> {
        let (round, votes, verified) = match report {
            Activity::Notarize(vote) => {
                let one = block_vote(&vote.proposal, &vote.attestation).map(OneVote::Notarize);
                (vote.proposal.round, vec![(vote.signer(), one)], false)
            }
            Activity::Finalize(vote) => {
                let one = block_vote(&vote.proposal, &vote.attestation).map(OneVote::Finalize);
                (vote.proposal.round, vec![(vote.signer(), one)], false)
            }
            Activity::Nullify(vote) => {
                (vote.round, vec![(vote.signer(), signature(&vote.attestation).map(OneVote::Nullify))], false)
            }
            Activity::Notarization(made) => {
                let vote = |signature| signed_vote(&made.proposal, signature).map(OneVote::Notarize);
                (made.proposal.round, each(&made.certificate, vote), true)
            }
            Activity::Finalization(made) => {
                let vote = |signature| signed_vote(&made.proposal, signature).map(OneVote::Finalize);
                (made.proposal.round, each(&made.certificate, vote), true)
            }
            Activity::Nullification(made) => {
                (made.round, each(&made.certificate, |signature| Some(OneVote::Nullify(signature))), true)
            }
            _ => return Vec::new(),
        };
        let mut recent = self.recent.lock();
        let mut see = |(signer, vote): (Participant, Option<OneVote>)| {
            let conflict = recent.see(round.view().get(), signer.get(), vote?, verified)?;
            Some((signer, round, conflict))
        };
        votes.into_iter().filter_map(&mut see).collect()
    }

    fn accuse(&self, (signer, round, conflict): Found) -> Option<Evidence> {
        let validator = self.validators.iter().nth(signer.get() as usize)?;
        let now = self.context.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (epoch, view) = (round.epoch().get(), round.view().get());
        Some(Evidence {
            namespace: self.store.namespace.clone(),
            validator: validator.as_ref().try_into().ok()?,
            epoch,
            view,
            conflict,
            seen: Seen {
                height: self.stats.snapshot().tip,
                time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
                led: leader(epoch, view, self.validators.len()) == u64::from(signer.get()),
            },
        })
    }

    fn look_into(&self, evidence: Evidence) {
        if !self.store.wants(evidence.id()) {
            return;
        }
        let store = self.store.clone();
        if store.folder.is_none() {
            // In a simulation, where a further task would make another run of each seed.
            store.keep(evidence);
            return;
        }
        let keeping = self.context.child("keep").shared(true);
        let _task = keeping.spawn(move |_| async move { store.keep(evidence) });
    }
}

/// Leaders take turns by index.
fn leader(epoch: u64, view: u64, validators: usize) -> u64 {
    epoch.wrapping_add(view) % validators.max(1) as u64
}

/// The votes in a certificate, made of their signatures.
fn each(
    certificate: &Certificate,
    vote: impl Fn([u8; 64]) -> Option<OneVote>,
) -> Vec<(Participant, Option<OneVote>)> {
    let signatures =
        certificate.signatures.iter().map(|signature| signature.encode().as_ref().try_into().ok());
    certificate
        .signers
        .iter()
        .zip(signatures)
        .map(|(signer, signed)| (signer, signed.and_then(&vote)))
        .collect()
}

/// Who contradicts itself, where, and how.
type Found = (Participant, Round, Conflict);

fn conflict(report: &Report) -> Option<Found> {
    match report {
        Activity::ConflictingNotarize(found) => {
            let (a, b) = both::<Notarize<_, _>, Notarize<_, _>>(found)?;
            let votes = [block_vote(&a.proposal, &a.attestation)?, block_vote(&b.proposal, &b.attestation)?];
            Some((found.signer(), a.proposal.round, Conflict::notarizes(votes)))
        }
        Activity::ConflictingFinalize(found) => {
            let (a, b) = both::<Finalize<_, _>, Finalize<_, _>>(found)?;
            let votes = [block_vote(&a.proposal, &a.attestation)?, block_vote(&b.proposal, &b.attestation)?];
            Some((found.signer(), a.proposal.round, Conflict::finalizes(votes)))
        }
        Activity::NullifyFinalize(found) => {
            let (nullify, finalize) = both::<Nullify<_>, Finalize<_, _>>(found)?;
            let conflict = Conflict::NullifyFinalize {
                nullify: signature(&nullify.attestation)?,
                finalize: block_vote(&finalize.proposal, &finalize.attestation)?,
            };
            Some((found.signer(), nullify.round, conflict))
        }
        _ => None,
    }
}

/// The two votes of a conflict: it does not give them out, and its bytes are theirs, one after the other.
fn both<A: Read<Cfg = ()>, B: Read<Cfg = ()>>(conflict: &impl Encode) -> Option<(A, B)> {
    <(A, B)>::decode_cfg(conflict.encode(), &((), ())).ok()
}

fn block_vote(proposal: &Proposal<sha256::Digest>, attestation: &Attestation<Scheme>) -> Option<BlockVote> {
    signed_vote(proposal, signature(attestation)?)
}

fn signed_vote(proposal: &Proposal<sha256::Digest>, signature: [u8; 64]) -> Option<BlockVote> {
    let digest = proposal.payload.as_ref().try_into().ok()?;
    Some(BlockVote { parent_view: proposal.parent.get(), digest, signature })
}

fn signature(attestation: &Attestation<Scheme>) -> Option<[u8; 64]> {
    attestation.signature.encode().as_ref().try_into().ok()
}

impl<E, R> Reporter for Accuser<E, R>
where
    E: Spawner + Clock + Sync,
    R: Reporter<Activity = Report>,
{
    type Activity = Report;

    fn report(&mut self, report: Report) -> Feedback {
        for evidence in self.evidence(&report) {
            self.look_into(evidence);
        }
        self.next.report(report)
    }
}
