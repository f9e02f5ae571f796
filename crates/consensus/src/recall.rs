//! What others remember of this key's votes: nobody votes without the memory of its own votes.
//!
//! Vote safety lives in the journal. A directory that was wiped, restored from an older copy, or left behind while the key
//! voted elsewhere cannot tell so by itself; the others can. Every node keeps the newest vote that it saw of each
//! validator, signature and all. A validator that starts asks all others, naming the highest view that its journal knows,
//! and takes no part until a quorum (with itself) has answered; without a quorum in reach nothing could be agreed on
//! anyway. Whoever saw a newer vote answers with it, and that proof is enough, whoever brings it: the validator then only
//! follows, for good, until its key is replaced. Nobody can be silenced by a lie, since only its own key makes the proof.
//!
//! Each epoch has a memory of its own, and is asked about by itself. Asking goes on while it runs. A newer vote that turns up then is another process' with the same key: the node stops.
//!
//! What this cannot see: votes that nobody in reach saw, and a copy from within the very view of the newest vote.
//!
//! ```text
//! ask     = 0x00 ‖ u64 the highest view that the sender voted in, as far as it knows
//! nothing = 0x01                                                no newer vote was seen here
//! vote    = 0x02 ‖ the newest vote of the asker, as consensus encodes it
//! ```

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    Epochable as _, Viewable as _,
    simplex::types::{Attributable as _, Vote},
    types::Epoch,
};
use commonware_cryptography::{ed25519::PublicKey, sha256};
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_parallel::Sequential;
use commonware_utils::{ordered::Set, sync::Mutex};
use tokio::sync::watch;

use crate::{ConsensusError, Scheme, directory::Directory, engine::Runtime, progress::Shared};

/// Largest message: a vote has less than 200 bytes.
pub(crate) const MAX_BYTES: usize = 1024;
const ASK: Duration = Duration::from_millis(250);
/// How long this node's own account of a vote may come after the others', in times of [`ASK`]: a clock that jumps must not count.
const DOUBTS: u32 = 8;

/// File of the newest votes seen, in the data directory.
pub(crate) const SEEN: &str = "seen-votes";

const ASKS: u8 = 0;
const NOTHING: u8 = 1;
const VOTE: u8 = 2;

/// Whether this node votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Voting {
    /// It does not know yet: too few validators have answered.
    #[default]
    Waiting,
    /// It votes (or is an observer, and never asks).
    Allowed,
    /// Its key voted in this view, and its journal does not know.
    Denied {
        /// The view.
        view: u64,
    },
}

/// A vote's view, and the vote as consensus encodes it.
type Newest = (u64, Vec<u8>);

/// The newest vote seen of each validator in one epoch, and how far this node's own go.
#[derive(Debug)]
pub(crate) struct Memory {
    own: AtomicU64,
    newest: Mutex<Vec<Option<Newest>>>,
    changed: AtomicBool,
}

impl Memory {
    /// `own` is the highest view that the journal knows.
    pub(crate) fn new(validators: usize, own: u64) -> Self {
        let newest = Mutex::new((0..validators).map(|_| None).collect());
        Self { own: AtomicU64::new(own), newest, changed: AtomicBool::new(false) }
    }

    /// The highest view that this node voted in, as far as it knows.
    pub(crate) fn own(&self) -> u64 {
        self.own.load(Ordering::SeqCst)
    }

    pub(crate) fn voted(&self, view: u64) {
        self.own.fetch_max(view, Ordering::SeqCst);
    }

    pub(crate) fn saw(&self, signer: u32, view: u64, encode: impl FnOnce() -> Vec<u8>) {
        let mut newest = self.newest.lock();
        let Some(newest) = newest.get_mut(signer as usize) else { return };
        if newest.as_ref().is_none_or(|(known, _)| *known < view) {
            *newest = Some((view, encode()));
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    /// The newest vote of a validator, if it is newer than `view`.
    fn newer(&self, signer: usize, view: u64) -> Option<Vec<u8>> {
        let newest = self.newest.lock();
        newest.get(signer)?.as_ref().filter(|(seen, _)| *seen > view).map(|(_, vote)| vote.clone())
    }

    /// All votes, each after its length.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (_, vote) in self.newest.lock().iter().flatten() {
            out.extend_from_slice(&(vote.len() as u16).to_be_bytes());
            out.extend_from_slice(vote);
        }
        out
    }
}

/// One node's part in asking and answering.
pub(crate) struct Recall {
    pub(crate) memory: Arc<Memory>,
    /// Verifies.
    pub(crate) scheme: Scheme,
    pub(crate) validators: Set<PublicKey>,
    /// `None` for an observer: it answers and does not ask.
    pub(crate) index: Option<u32>,
    pub(crate) epoch: u64,
    pub(crate) directory: Arc<Directory>,
    pub(crate) voting: watch::Sender<Voting>,
}

impl Recall {
    /// A genuine vote of a validator in this epoch: its signer and view.
    fn genuine(&self, context: &mut impl Runtime, bytes: &[u8]) -> Option<(u32, u64)> {
        let vote = Vote::<Scheme, sha256::Digest>::decode(Copying(bytes)).ok()?;
        let (signer, holds) = match &vote {
            Vote::Notarize(vote) => (vote.signer(), vote.verify(context, &self.scheme, &Sequential)),
            Vote::Nullify(vote) => {
                (vote.signer(), vote.verify::<_, sha256::Digest>(context, &self.scheme, &Sequential))
            }
            Vote::Finalize(vote) => (vote.signer(), vote.verify(context, &self.scheme, &Sequential)),
        };
        (holds && vote.epoch() == Epoch::new(self.epoch)).then(|| (signer.get(), vote.view().get()))
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join(SEEN)
    }

    /// What was seen before this start. A damaged file is as good as none: it is a help, not a promise.
    fn remember(&self, context: &mut impl Runtime) {
        let Ok(bytes) = std::fs::read(self.file()) else { return };
        let mut rest = bytes.as_slice();
        while let Some((length, after)) = rest.split_first_chunk() {
            let Some((vote, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
                return;
            };
            if let Some((signer, view)) = self.genuine(context, vote) {
                self.memory.saw(signer, view, || vote.to_vec());
            }
            rest = after;
        }
    }

    fn save(&self) {
        if self.memory.changed.swap(false, Ordering::Relaxed) {
            let (path, bytes) = (self.file(), self.memory.encode());
            let new = path.with_extension("new");
            if let Err(error) = std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, &path)) {
                tracing::warn!(%error, "the newest votes of others could not be noted");
            }
        }
    }

    fn deny(&self, view: u64, shared: &Shared) {
        tracing::error!(view, "this key voted before and its journal does not know: following only");
        eprintln!(
            "triad: this validator's key voted in view {view}, and the journal in this data directory does not know of it (it was \
             wiped, restored from a copy, or the key voted elsewhere). The node follows and does not vote: a vote could \
             contradict an earlier one. To vote again, put the newest journal back, or give the validator a new key"
        );
        if let Err(error) = self.directory.deny(view) {
            shared.fail(error);
        }
        self.voting.send_replace(Voting::Denied { view });
    }

    /// Ends the waiting once enough others have answered.
    fn vote_if(&self, enough: bool) {
        if enough && *self.voting.borrow() == Voting::Waiting {
            self.voting.send_replace(Voting::Allowed);
        }
    }

    /// Asks and answers until the network ends.
    pub(crate) async fn run<E, S, R>(
        self,
        mut context: E,
        (mut sender, mut receiver): (S, R),
        shared: Arc<Shared>,
    ) where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        self.remember(&mut context);
        let others = quorum(self.validators.len()) - 1;
        let (mut answered, mut doubt) = (BTreeSet::new(), None::<(u64, u32)>);
        if let Some(view) = self.directory.denied() {
            self.deny(view, &shared);
        } else if self.index.is_none() {
            self.voting.send_replace(Voting::Allowed);
        }
        loop {
            let voting = *self.voting.borrow();
            let own = self.memory.own();
            doubt = doubt.filter(|(view, _)| *view > own).map(|(view, times)| (view, times + 1));
            if let Some((view, times)) = doubt
                && times > DOUBTS
            {
                let key = self.directory.key().to_owned();
                shared.fail(ConsensusError::KeyInUse { key, view });
                return std::future::pending().await;
            }
            if self.index.is_some() && !matches!(voting, Voting::Denied { .. }) {
                let mut ask = vec![ASKS];
                ask.extend_from_slice(&own.to_be_bytes());
                let _ = sender.send(Recipients::All, ask, false);
            }
            self.save();
            let mut pause = std::pin::pin!(context.sleep(ASK));
            loop {
                let (from, message) = tokio::select! {
                    biased;
                    received = receiver.recv() => match received {
                        Ok(received) => received,
                        Err(_) => return,
                    },
                    () = &mut pause => break,
                };
                let bytes: bytes::Bytes = message.into();
                let place = self.validators.position(&from);
                match bytes.split_first() {
                    Some((&ASKS, view)) => {
                        let (Some(place), Ok(view)) = (place, view.try_into().map(u64::from_be_bytes)) else {
                            continue;
                        };
                        let answer = match self.memory.newer(place, view) {
                            None => vec![NOTHING],
                            Some(vote) => [&[VOTE], vote.as_slice()].concat(),
                        };
                        let _ = sender.send(Recipients::One(from), answer, false);
                    }
                    Some((&NOTHING, [])) if place.is_some() => {
                        answered.insert(from);
                    }
                    Some((&VOTE, vote)) => {
                        let Some((signer, view)) = self.genuine(&mut context, vote) else { continue };
                        if Some(signer) != self.index || view <= self.memory.own() {
                            continue;
                        }
                        let voting = *self.voting.borrow();
                        match voting {
                            Voting::Waiting => self.deny(view, &shared),
                            Voting::Allowed => doubt = doubt.or(Some((view, 0))),
                            Voting::Denied { .. } => {}
                        }
                    }
                    _ => {}
                }
                self.vote_if(answered.len() >= others);
            }
            // A lone validator needs nobody's answer; whoever follows it had time to give one.
            self.vote_if(answered.len() >= others);
        }
    }
}

/// Validators that must agree.
fn quorum(validators: usize) -> usize {
    validators - (validators.saturating_sub(1)) / 3
}

#[cfg(test)]
mod tests {
    use commonware_codec::Encode as _;
    use commonware_consensus::{
        simplex::types::Nullify,
        types::{Round, View},
    };
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};
    use commonware_p2p::simulated::{self, Link};
    use commonware_runtime::{Clock as _, Quota, Runner as _, Spawner as _, Supervisor as _, deterministic};
    use commonware_utils::{NZU32, NZUsize, Probability};

    use super::*;
    use crate::{directory, stats::Stats};

    const NAMESPACE: &[u8] = b"triad-recall";

    fn secret(n: u8) -> PrivateKey {
        PrivateKey::decode(Copying([n; 32].as_slice())).unwrap()
    }

    /// A vote of one validator, as a whole, signed with its key.
    fn vote(validators: &Set<PublicKey>, key: PrivateKey, epoch: u64, view: u64) -> Vec<u8> {
        let scheme = Scheme::signer(NAMESPACE, validators.clone(), key).unwrap();
        let round = Round::new(Epoch::new(epoch), View::new(view));
        let nullify = Nullify::sign::<sha256::Digest>(&scheme, round).unwrap();
        Vote::<Scheme, sha256::Digest>::Nullify(nullify).encode().to_vec()
    }

    #[derive(Debug, PartialEq)]
    struct Seen {
        voting: Voting,
        failed: bool,
        kept: Option<u64>,
    }

    /// Validator 0 of four asks; its journal knows votes up to view 5. `present` others answer, and the first of them
    /// says that it saw `seen` of validator 0. Looked at after ten seconds.
    fn ask(
        voting: Voting,
        present: usize,
        seen: impl Fn(&Set<PublicKey>, &[PrivateKey]) -> Option<Vec<u8>>,
    ) -> Seen {
        let mut secrets: Vec<PrivateKey> = (1..=4).map(secret).collect();
        secrets.sort_by_key(|secret| secret.public_key());
        let keys: Vec<PublicKey> = secrets.iter().map(|secret| secret.public_key()).collect();
        let validators = Set::from_iter_dedup(keys.clone());
        let told = seen(&validators, &secrets);
        deterministic::Runner::timed(Duration::from_secs(60)).start(|context| async move {
            let config = simulated::Config {
                max_size: 1 << 16,
                max_peers_per_set: NZUsize!(4),
                disconnect_on_block: true,
                tracked_peer_sets: NZUsize!(1),
            };
            let (network, oracle) =
                simulated::Network::new_with_peers(context.child("network"), config, keys.clone()).await;
            let _network = network.start();
            let link = Link {
                latency: Duration::from_millis(5),
                jitter: Duration::ZERO,
                success_rate: Probability::new(1, 1).unwrap(),
            };
            for a in &keys {
                for b in keys.iter().filter(|b| *b != a) {
                    oracle.add_link(a.clone(), b.clone(), link.clone()).await.unwrap();
                }
            }
            let dir = tempfile::tempdir().unwrap();
            let mut asker = None;
            for (index, key) in keys.iter().enumerate().take(present + 1) {
                let own = dir.path().join(index.to_string());
                let lock = directory::lock(&own).unwrap();
                let directory =
                    Arc::new(Directory::open(lock, key.as_ref(), NAMESPACE, |_| "wal".to_owned()).unwrap());
                let memory = Arc::new(Memory::new(4, if index == 0 { 5 } else { 0 }));
                if index == 1
                    && let Some(vote) = &told
                {
                    // Whatever it is: a liar says what it likes.
                    memory.saw(0, 9, || vote.clone());
                }
                let (shared, errors) = Shared::new(0, context.current(), Arc::<Stats>::default());
                let (sender, watched) = watch::channel(if index == 0 { voting } else { Voting::Allowed });
                let recall = Recall {
                    memory,
                    scheme: Scheme::verifier(NAMESPACE, validators.clone()),
                    validators: validators.clone(),
                    index: Some(index as u32),
                    epoch: 0,
                    directory,
                    voting: sender,
                };
                let quota = Quota::per_second(NZU32!(100));
                let channel = oracle.control(key.clone()).register(6, quota).await.unwrap();
                let _task = context
                    .child("recall")
                    .with_attribute("index", index)
                    .spawn(|c| recall.run(c, channel, Arc::new(shared)));
                if index == 0 {
                    asker = Some((watched, errors, own));
                }
            }
            context.sleep(Duration::from_secs(10)).await;
            let (voting, mut errors, own) = asker.unwrap();
            let failed = matches!(errors.try_recv(), Ok(ConsensusError::KeyInUse { view: 9, .. }));
            let voting = *voting.borrow();
            let text = std::fs::read_to_string(own.join("validator")).unwrap();
            let kept = text.lines().find_map(|line| line.strip_prefix("denied ")).map(|v| v.parse().unwrap());
            Seen { voting, failed, kept }
        })
    }

    const WAITS: Seen = Seen { voting: Voting::Waiting, failed: false, kept: None };
    const VOTES: Seen = Seen { voting: Voting::Allowed, failed: false, kept: None };

    #[test]
    fn a_quorum_must_answer_before_a_validator_votes() {
        assert_eq!(ask(Voting::Waiting, 1, |_, _| None), WAITS);
        assert_eq!(ask(Voting::Waiting, 2, |_, _| None), VOTES);
    }

    #[test]
    fn one_proof_of_a_newer_vote_is_enough_and_is_kept() {
        let proof =
            |validators: &Set<PublicKey>, keys: &[PrivateKey]| Some(vote(validators, keys[0].clone(), 0, 9));
        let denied = Seen { voting: Voting::Denied { view: 9 }, failed: false, kept: Some(9) };
        assert_eq!(ask(Voting::Waiting, 3, proof), denied);
        assert_eq!(ask(Voting::Waiting, 1, proof), denied);
        // While it votes, such a vote is another process'.
        assert_eq!(ask(Voting::Allowed, 3, proof), Seen { failed: true, ..VOTES });
    }

    #[test]
    fn nobody_is_silenced_by_a_lie_or_by_what_its_journal_knows() {
        // Another's vote, one of another epoch, an old one, a signature with a bit changed, rubbish.
        assert_eq!(ask(Voting::Waiting, 3, |v, k| Some(vote(v, k[1].clone(), 0, 9))), VOTES);
        assert_eq!(ask(Voting::Waiting, 3, |v, k| Some(vote(v, k[0].clone(), 1, 9))), VOTES);
        assert_eq!(ask(Voting::Waiting, 3, |v, k| Some(vote(v, k[0].clone(), 0, 5))), VOTES);
        let forged = |v: &Set<PublicKey>, k: &[PrivateKey]| {
            let mut forged = vote(v, k[0].clone(), 0, 9);
            *forged.last_mut().unwrap() ^= 1;
            Some(forged)
        };
        assert_eq!(ask(Voting::Waiting, 3, forged), VOTES);
        assert_eq!(ask(Voting::Allowed, 3, forged), VOTES);
        assert_eq!(ask(Voting::Waiting, 3, |_, _| Some(vec![7; 40])), VOTES);
    }
}
