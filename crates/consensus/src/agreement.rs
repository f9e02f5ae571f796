//! Agreement, epoch by epoch: an engine of simplex for each set of validators, one after the other.
//!
//! An engine decides the blocks of its epoch. When the parent is the epoch's last block, leaders propose that block again
//! until it is final, so nothing is built that the next validators would have to drop. Once the ledger has the last block
//! durably, the engine is ended and that of the next epoch begins on it, with a journal of its own; blocks, certificates
//! and the network stay. Messages of other epochs go to nobody: votes, certificates and questions about them travel on a
//! subchannel with the epoch's number. Whoever is left behind in an old epoch comes after the others by `follow`.

use std::sync::Arc;

use commonware_consensus::{
    Epochable as _,
    marshal::standard::Inline,
    simplex::{self, ForwardPolicy, SkipBudget, SkipPolicy, elector::RoundRobin, types::Finalization},
    types::{Epoch, Epocher as _, Height, ViewDelta},
};
use commonware_cryptography::{Sha256, ed25519::PublicKey, sha256};
use commonware_p2p::{
    Blocker, Receiver, Sender,
    utils::mux::{Builder as _, MuxHandle, Muxer, SubReceiver, SubSender},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle as Task, buffer::paged::CacheRef};
use commonware_utils::NZDuration;
use tokio::sync::watch;

use crate::{
    Application, ConsensusError, Mailbox, Scheme,
    config::Checked,
    directory::Directory,
    engine::{MAILBOX, REPLAY_BUFFER, Runtime, SMALL_WRITES, journal_partition},
    epochs::{Epochs, Reign},
    evidence::{Accuser, EvidenceStore},
    inert::Replayed,
    progress::Shared,
    proposer::{Proposer, Rules},
    recall::{Memory, Recall, Voting},
    witness::{Own, Witness},
};

/// A channel that is divided by epoch.
pub(crate) struct Divided<S: Sender>(MuxHandle<S>);

type Sub<S> = (SubSender<S>, SubReceiver<<S as commonware_p2p::LimitedSender>::PublicKey>);

impl<S: Sender<PublicKey = PublicKey>> Divided<S> {
    pub(crate) fn new<E, R>(
        context: E,
        name: &'static str,
        (sender, receiver): (S, R),
        tasks: &mut Vec<(&'static str, Task<()>)>,
    ) -> Self
    where
        E: Runtime,
        R: Receiver<PublicKey = PublicKey>,
    {
        let (muxer, handle) = Muxer::builder(context.child("mux"), sender, receiver).build();
        let task = context.spawn(move |_| async move {
            if let Err(error) = muxer.run().await {
                tracing::error!(%error, name, "a channel ended");
            }
        });
        tasks.push((name, task));
        Self(handle)
    }

    async fn of(&mut self, subchannel: u64) -> Sub<S> {
        // The engine before has let go of another; each is taken once, and the channel lives as long as the network.
        match self.0.register(subchannel).await {
            Ok(channel) => channel,
            Err(_) => std::future::pending().await,
        }
    }
}

/// The channels that an engine talks through.
pub(crate) struct Ports<S: Sender> {
    pub(crate) votes: Divided<S>,
    pub(crate) certificates: Divided<S>,
    pub(crate) resolver: Divided<S>,
    /// Questions about votes; `None` for whoever has nobody to ask.
    pub(crate) recall: Option<Divided<S>>,
}

/// What all engines have in common.
pub(crate) struct Agreement<A, B> {
    pub(crate) app: A,
    pub(crate) checked: Checked,
    pub(crate) namespace: Vec<u8>,
    pub(crate) epochs: Epochs,
    pub(crate) blocker: B,
    pub(crate) marshal: Mailbox,
    pub(crate) rules: Rules,
    pub(crate) directory: Arc<Directory>,
    /// The finality of the block on which this ledger began, if not genesis.
    pub(crate) root: Option<Finalization<Scheme, sha256::Digest>>,
    pub(crate) evidence: Arc<EvidenceStore>,
    pub(crate) partition: String,
    pub(crate) cache: CacheRef,
    pub(crate) shared: Arc<Shared>,
    pub(crate) replayed: Option<Arc<Replayed>>,
    pub(crate) retention: ViewDelta,
}

impl<A, B> Agreement<A, B>
where
    A: Application,
    B: Blocker<PublicKey = PublicKey> + Sync,
{
    fn alone(&self) -> bool {
        self.replayed.is_some()
    }

    /// Runs one engine after the other until one ends by itself.
    pub(crate) async fn run<E, S>(self, context: E, mut ports: Ports<S>)
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
    {
        loop {
            let reign = self.epochs.current();
            let epoch = reign.epoch;
            if self.alone()
                && reign.validators.position(&self.checked.public).is_none_or(|_| reign.validators.len() != 1)
            {
                self.shared.fail(ConsensusError::Config(format!(
                    "from epoch {epoch} on this chain has {} validators: give the node a network (a listen address and the \
                     others' addresses) and start it again",
                    reign.validators.len()
                )));
                return std::future::pending().await;
            }
            let task =
                self.engine(&context.child("epoch").with_attribute("epoch", epoch), reign, &mut ports).await;
            let mut task = match task {
                Ok(task) => task,
                Err(error) => {
                    self.shared.fail(error);
                    return std::future::pending().await;
                }
            };
            tokio::select! {
                biased;
                () = self.epochs.over(epoch) => {}
                ended = &mut task => {
                    // In good order when the node goes down.
                    if let Err(error) = ended {
                        tracing::error!(%error, epoch, "agreement ended");
                    }
                    return;
                }
            }
            // Everything of it goes with it: its tasks descend from this one.
            task.abort();
            let _ = task.await;
            tracing::info!(epoch = epoch + 1, "the next validators take over");
        }
    }

    /// Starts the engine of an epoch.
    async fn engine<E, S>(
        &self,
        context: &E,
        reign: Reign,
        ports: &mut Ports<S>,
    ) -> Result<Task<()>, ConsensusError>
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
    {
        let Reign { epoch, validators, .. } = reign;
        let index = validators.position(&self.checked.public).and_then(|index| u32::try_from(index).ok());
        let journal = format!("{}{}", self.partition, journal_partition(epoch));
        let memory = Arc::new(Memory::new(validators.len(), highest_view(context, &journal).await?));
        let (voting, mut allowed) = watch::channel(Voting::Waiting);
        self.shared.stats.begin(epoch, validators.len(), allowed.clone());
        let verifier = Scheme::verifier(&self.namespace, validators.clone());
        let recall = match &mut ports.recall {
            None => {
                voting.send_replace(Voting::Allowed);
                None
            }
            Some(channel) => {
                let recall = Recall {
                    memory: memory.clone(),
                    scheme: verifier.clone(),
                    validators: validators.clone(),
                    index,
                    epoch,
                    directory: self.directory.clone(),
                    voting,
                };
                Some((recall, channel.of(epoch).await))
            }
        };
        let signer =
            index.and_then(|_| Scheme::signer(&self.namespace, validators.clone(), self.checked.key.clone()));
        let parent = self.parent_of(epoch).await?;
        let votes = ports.votes.of(epoch).await;
        let certificates = ports.certificates.of(epoch).await;
        let resolver = ports.resolver.of(epoch).await;

        let alone = self.alone();
        // Others bring whoever began later to where they are; a lone validator has nobody who could.
        let lone = validators.len() == 1;
        let floor = match &self.root {
            Some(root) if lone && root.epoch().get() == epoch => simplex::Floor::Finalized(root.clone()),
            _ => simplex::Floor::Genesis(parent),
        };
        let timeouts = self.checked.timeouts;
        let proposer = Proposer {
            app: self.app.clone(),
            epoch,
            validators: validators.clone(),
            // Whoever has no index is never asked to propose.
            index: index.unwrap_or(u32::MAX),
            rules: self.rules,
            marshal: self.marshal.clone(),
            shared: self.shared.clone(),
            adopting: Arc::default(),
        };
        let (marshal, epochs, blocker) = (self.marshal.clone(), self.epochs.clone(), self.blocker.clone());
        let (directory, shared, replayed) =
            (self.directory.clone(), self.shared.clone(), self.replayed.clone());
        let (cache, evidence) = (self.cache.clone(), self.evidence.clone());
        let retention = self.retention;
        // A journal with own votes can only be replayed by their signer; who may not vote leaves it as it is.
        let following = format!("{}following-{epoch}", self.partition);
        Ok(context.child("engine").spawn(move |context| async move {
            if let Some((recall, channel)) = recall {
                let shared = shared.clone();
                let _task = context.child("recall").spawn(move |c| recall.run(c, channel, shared));
            }
            let inline = Inline::new(context.child("application"), proposer, marshal, epochs);
            let own = Own { index, epoch, memory };
            let witness = Witness::new(
                context.child("witness"),
                inline.clone(),
                own,
                directory,
                shared.clone(),
                replayed,
            );
            let stats = shared.stats.clone();
            let reporter = Accuser::new(context.child("evidence"), witness, evidence, validators, stats);
            // Until it is known whether this key voted what the journal does not know, it takes no part.
            let Ok(voting) = allowed.wait_for(|voting| *voting != Voting::Waiting).await.map(|v| *v) else {
                return;
            };
            let (scheme, partition) = match (voting, signer) {
                (Voting::Allowed, Some(signer)) => (signer, journal),
                (Voting::Denied { .. }, _) => (verifier, following),
                _ => (verifier, journal),
            };
            let engine = simplex::Engine::new(
                context,
                simplex::Config {
                    scheme,
                    elector: RoundRobin::<Sha256>::default(),
                    blocker,
                    automaton: inline.clone(),
                    relay: inline,
                    reporter,
                    strategy: Sequential,
                    partition,
                    mailbox_size: MAILBOX,
                    epoch: Epoch::new(epoch),
                    floor,
                    replay_buffer: REPLAY_BUFFER,
                    write_buffer: SMALL_WRITES,
                    page_cache: cache,
                    leader_timeout: timeouts.leader,
                    certification_timeout: timeouts.certification,
                    timeout_retry: timeouts.retry,
                    view_retention: retention,
                    skip: timeouts.skip.map_or(SkipPolicy::Disabled, |timeout| SkipPolicy::Enabled {
                        timeout,
                        budget: SkipBudget::Participants,
                    }),
                    fetch_timeout: NZDuration!(crate::engine::FETCH_TIMEOUT),
                    fetch_retry_delay: crate::engine::FETCH_RETRY,
                    forward: if alone { ForwardPolicy::Disabled } else { ForwardPolicy::SilentVoters },
                    // Alone, a replayed finalize vote may be for the view before the current one.
                    track_historical_votes: alone,
                },
            );
            if let Err(error) = engine.start(votes, certificates, resolver).await {
                tracing::error!(%error, "agreement ended");
            }
        }))
    }

    /// What an epoch is built on: genesis, or the last block of the epoch before.
    async fn parent_of(&self, epoch: u64) -> Result<sha256::Digest, ConsensusError> {
        let Some(first) = self.epochs.first(Epoch::new(epoch)).filter(|_| epoch > 0) else {
            return Ok(sha256::Digest::from(self.app.genesis().digest));
        };
        let height = Height::new(first.get() - 1);
        if let Some(digest) = self.app.end_of_epoch(height.get()) {
            return Ok(sha256::Digest::from(digest));
        }
        match self.marshal.get_block(height).await {
            Some(block) => Ok(sha256::Digest::from(block.inner().digest)),
            None => Err(ConsensusError::Contract(format!(
                "block {height}, the last of epoch {}, is final and not to be had",
                epoch - 1
            ))),
        }
    }
}

/// The highest view that a journal has a file for; it is named after the view, big-endian. One that cannot be listed is an error:
/// taken for an empty one, it would make this key an amnesiac for ever.
async fn highest_view(context: &impl Runtime, journal: &str) -> Result<u64, ConsensusError> {
    let names = match context.scan(journal).await {
        Ok(names) => names,
        // This key has not voted in the epoch.
        Err(commonware_runtime::Error::PartitionMissing(_)) => return Ok(0),
        Err(error) => return Err(ConsensusError::io("cannot list the journal", journal, error)),
    };
    let views = names.into_iter().filter_map(|name| Some(u64::from_be_bytes(name.try_into().ok()?)));
    Ok(views.max().unwrap_or(0))
}
