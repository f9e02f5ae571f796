//! The wiring of commonware's parts, the same for one validator and for many: only the five channels differ.
//!
//! ```text
//!            work ┌────────┐ propose, verify ┌────────┐ block ┌───────────────┐
//!   ledger  ◄────►│Proposer│◄───────────────►│ Inline │◄─────►│ marshal       │◄── backfill
//!     ▲           └────────┘                 └───▲────┘       │ cache, archive│◄── broadcast
//!     │ finalized ┌────────┐   digest, verdicts  │            └──────┬────────┘
//!     └───────────│Delivery│◄──────┐         ┌───▼────┐              │ final blocks in order
//!                 └────────┘       │         │simplex │◄── votes, certificates, resolver
//!                                  └─────────│ + WAL  │
//!                                   reports  └────────┘
//! ```

use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use commonware_broadcast::buffered;
use commonware_consensus::{
    marshal::{self, standard::Inline},
    simplex::{self, ForwardPolicy, SkipBudget, SkipPolicy, elector::RoundRobin},
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{Digested, Sha256, certificate::ConstantProvider, ed25519::PublicKey, sha256};
use commonware_p2p::{Blocker, Provider, Receiver, Sender, utils::StaticProvider};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle as Task, Metrics, Network, Resolver, Spawner, Storage, Supervisor,
    buffer::paged::{CacheRef, page_size},
};
use commonware_utils::{NZDuration, NZU64, NZUsize};
use rand::CryptoRng;
use tokio::sync::{mpsc, watch};

use crate::{
    Application, ConsensusError, Mailbox, Scheme,
    archive::Archives,
    block::BlockCodec,
    config::Checked,
    delivery::{Delivery, MAX_PENDING, Outbox},
    directory::Directory,
    evidence::{Accuser, EvidenceStore},
    gossip::GossipPort,
    inert::{Inert, NoBlocker, Replayed},
    kept::Kept,
    peers::{self, Opened},
    progress::Shared,
    proposer::{Proposer, Rules},
    recall::{Memory, Recall, Voting},
    stats::Stats,
    witness::Witness,
};

/// Blocks a file in marshal's archives. Fixed for the life of the data.
pub(crate) const ITEMS_PER_SECTION: NonZeroU64 = NZU64!(32);

/// Length of the one epoch there is: longer than any chain.
const EPOCH_LENGTH: NonZeroU64 = NZU64!(u64::MAX / 4);

pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1024);
pub(crate) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
pub(crate) const SMALL_WRITES: NonZeroUsize = NZUsize!(64 << 10);
pub(crate) const BLOCK_WRITES: NonZeroUsize = NZUsize!(1 << 20);

/// What every part of the runtime must offer.
pub(crate) trait Runtime:
    Spawner + Metrics + Clock + Storage + Network + Resolver + CryptoRng + Supervisor
{
}
impl<T: Spawner + Metrics + Clock + Storage + Network + Resolver + CryptoRng + Supervisor> Runtime for T {}

/// Everything decided before the runtime starts.
pub(crate) struct Setup<A> {
    pub(crate) app: A,
    pub(crate) checked: Checked,
    pub(crate) namespace: Vec<u8>,
    pub(crate) epoch: u64,
    pub(crate) max_block_bytes: usize,
    pub(crate) heartbeat: Duration,
    pub(crate) prune_depth: u64,
    pub(crate) directory: Arc<Directory>,
    /// In front of the names of all stored parts: empty, except where many validators share one store in a simulation.
    pub(crate) partition: String,
    pub(crate) stats: Arc<Stats>,
    pub(crate) evidence: Arc<EvidenceStore>,
    pub(crate) gossip: Option<GossipPort>,
}

/// Name of the journal's folder. Each epoch has its own.
pub(crate) fn journal_partition(epoch: u64) -> String {
    format!("simplex-{epoch}")
}

/// What is known of votes, and whether this node casts any.
pub(crate) struct Votes {
    pub(crate) memory: Arc<Memory>,
    pub(crate) allowed: watch::Receiver<Voting>,
}

impl Votes {
    /// For whoever has nobody to ask.
    pub(crate) fn allowed(validators: usize) -> Self {
        Self { memory: Arc::new(Memory::new(validators, 0)), allowed: watch::channel(Voting::Allowed).1 }
    }
}

/// The running parts. Any of them ending is fatal.
pub(crate) struct Running {
    pub(crate) tasks: Vec<(&'static str, Task<()>)>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) errors: mpsc::UnboundedReceiver<ConsensusError>,
}

/// What simplex and marshal talk through.
pub(crate) struct Channels<S, R> {
    pub(crate) votes: (S, R),
    pub(crate) certificates: (S, R),
    pub(crate) resolver: (S, R),
    pub(crate) broadcast: (S, R),
    pub(crate) backfill: (S, R),
}

impl<A: Application> Setup<A> {
    pub(crate) fn codec(&self) -> BlockCodec {
        BlockCodec { max_bytes: self.max_block_bytes, header_of: A::header }
    }

    pub(crate) fn alone(&self) -> bool {
        self.checked.validators.len() == 1
    }

    /// Views behind the last final one whose votes and blocks are kept. Peers may ask for them; alone, nobody does.
    fn view_retention(&self) -> ViewDelta {
        ViewDelta::new(if self.alone() { 16 } else { 64 })
    }

    /// Starts all parts.
    pub(crate) async fn start<E: Runtime>(mut self, context: &E) -> Result<Running, ConsensusError> {
        let me = self.checked.public.clone();
        if self.alone() {
            let replayed = Arc::new(Replayed::default());
            let silent = || (Inert::silent(me.clone()), Inert::silent(me.clone()));
            let channels = Channels {
                votes: (Inert::silent(me.clone()), Inert::votes(me.clone(), replayed.clone())),
                certificates: silent(),
                resolver: silent(),
                broadcast: silent(),
                backfill: silent(),
            };
            let provider = StaticProvider::new(self.epoch, self.checked.validators.clone());
            let votes = Votes::allowed(1);
            return self.wire(context, provider, NoBlocker::new(), channels, votes, Some(replayed)).await;
        }
        let Opened { network, oracle, channels, gossip, recall } = peers::open(context.child("p2p"), &self);
        let port = self.gossip.take();
        let known = self.directory.highest_view(&journal_partition(self.epoch))?.unwrap_or(0);
        let (votes, asking) = self.recall(known);
        self.stats.votes_as(votes.allowed.clone());
        let mut running = self.wire(context, oracle.clone(), oracle, channels, votes, None).await?;
        let shared = running.shared.clone();
        let asking = context.child("recall").spawn(|context| asking.run(context, recall, shared));
        running.tasks.push(("recall", asking));
        running.tasks.push(("network", network.start()));
        if let Some(port) = port {
            running.tasks.push(("gossip", context.child("gossip").spawn(|_| port.run(gossip))));
        }
        Ok(running)
    }

    /// Who asks the others what this key voted, and what becomes known by that. `known` is the highest view of the journal.
    pub(crate) fn recall(&self, known: u64) -> (Votes, Recall) {
        let validators = self.checked.validators.clone();
        let memory = Arc::new(Memory::new(validators.len(), known));
        let (voting, allowed) = watch::channel(Voting::Waiting);
        let recall = Recall {
            memory: memory.clone(),
            scheme: Scheme::verifier(&self.namespace, validators.clone()),
            validators,
            index: self.checked.index,
            epoch: self.epoch,
            directory: self.directory.clone(),
            voting,
        };
        (Votes { memory, allowed }, recall)
    }

    pub(crate) async fn wire<E, P, B, S, R>(
        self,
        context: &E,
        provider: P,
        blocker: B,
        channels: Channels<S, R>,
        votes: Votes,
        replayed: Option<Arc<Replayed>>,
    ) -> Result<Running, ConsensusError>
    where
        E: Runtime,
        P: Provider<PublicKey = PublicKey>,
        B: Blocker<PublicKey = PublicKey> + Sync,
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let alone = self.alone();
        let retention = self.view_retention();
        let timeouts = self.checked.timeouts;
        let me = self.checked.public.clone();
        let epoch = Epoch::new(self.epoch);
        let epocher = FixedEpocher::new(EPOCH_LENGTH);
        let genesis = self.app.genesis();
        let genesis_digest = sha256::Digest::from(genesis.digest);
        let cache = CacheRef::new(page_size(4096), NZUsize!(2048));
        let validators = self.checked.validators.clone();
        let scheme = Scheme::verifier(&self.namespace, validators.clone());
        let signer = match self.checked.index {
            Some(_) => Some(
                Scheme::signer(&self.namespace, validators, self.checked.key.clone())
                    .ok_or_else(|| ConsensusError::Config("the key is not a validator's".into()))?,
            ),
            None => None,
        };
        let mut tasks = Vec::new();

        let Archives { certificates, blocks } = Archives::open(context, &self, &cache).await?;

        // Blocks on their way between validators.
        let (broadcast, buffer) = buffered::Engine::new(
            context.child("broadcast"),
            buffered::Config {
                public_key: me.clone(),
                mailbox_size: MAILBOX,
                deque_size: 16,
                priority: true,
                codec_config: self.codec(),
                peer_provider: provider.clone(),
                strategy: Sequential,
            },
        );
        tasks.push(("broadcast", broadcast.start(channels.broadcast)));
        let fetch_timeout = NZDuration!(Duration::from_secs(1));
        let fetch_retry_delay = Duration::from_millis(100);
        let resolver = marshal::resolver::p2p::init(
            context.child("backfill"),
            marshal::resolver::p2p::Config {
                public_key: me,
                peer_provider: provider,
                blocker: blocker.clone(),
                mailbox_size: MAILBOX,
                fetch_timeout,
                fetch_retry_delay,
                priority_requests: false,
                priority_responses: false,
            },
            channels.backfill,
        );

        // Final blocks in order.
        let (actor, mailbox, floor): (_, Mailbox, _) = marshal::core::Actor::init(
            context.child("marshal"),
            Kept { newest: certificates, app: self.app.clone() },
            Kept { newest: blocks, app: self.app.clone() },
            marshal::Config {
                provider: ConstantProvider::new(scheme.clone()),
                epocher: epocher.clone(),
                start: marshal::Start::Genesis(Digested::precomputed(genesis, genesis_digest)),
                partition_prefix: format!("{}marshal", self.partition),
                mailbox_size: MAILBOX,
                view_retention: retention,
                prunable_items_per_section: ITEMS_PER_SECTION,
                page_cache: cache.clone(),
                replay_buffer: REPLAY_BUFFER,
                key_write_buffer: SMALL_WRITES,
                value_write_buffer: BLOCK_WRITES,
                block_codec_config: self.codec(),
                max_repair: NZUsize!(32),
                max_pending_acks: NZUsize!(MAX_PENDING),
                strategy: Sequential,
            },
        )
        .await;
        let processed = floor.processed().map_or(0, |processed| processed.height().get());
        let (shared, errors) =
            Shared::new(self.app.final_height(), context.current(), self.stats.clone(), votes.memory);
        let shared = Arc::new(shared);
        let (outbox, finals) = Outbox::new(shared.clone());
        tasks.push(("marshal", actor.start(outbox, buffer, resolver)));
        let delivery = Delivery {
            app: self.app.clone(),
            marshal: mailbox.clone(),
            blocks: finals,
            shared: shared.clone(),
            prune_depth: self.prune_depth,
            processed,
        };
        tasks.push(("delivery", context.child("delivery").spawn(|_| delivery.run())));

        // Agreement.
        let proposer = Proposer {
            app: self.app.clone(),
            validators: self.checked.validators.clone(),
            // Whoever has no index is never asked to propose.
            index: self.checked.index.unwrap_or(u32::MAX),
            rules: Rules {
                heartbeat: self.heartbeat,
                // Within the view: its leader is given up after the leader timeout.
                push_after: if alone { Duration::from_millis(300) } else { timeouts.leader / 2 },
                max_block_bytes: self.max_block_bytes,
                durable_before_vote: alone,
            },
            marshal: mailbox.clone(),
            shared: shared.clone(),
            adopting: Arc::default(),
        };
        let inline = Inline::new(context.child("application"), proposer, mailbox, epocher);
        let witness = Witness::new(
            context.child("witness"),
            inline.clone(),
            self.checked.index,
            self.epoch,
            self.directory.clone(),
            shared.clone(),
            replayed.clone(),
        );
        let set = self.checked.validators.clone();
        let reporter =
            Accuser::new(context.child("evidence"), witness, self.evidence.clone(), set, self.stats.clone());
        let journal = format!("{}{}", self.partition, journal_partition(self.epoch));
        // A journal with own votes can only be replayed by their signer; who may not vote leaves it as it is.
        let following = format!("{}following-{}", self.partition, self.epoch);
        let mut allowed = votes.allowed;
        let agreement = context.child("simplex").spawn(move |context| async move {
            // Until it is known whether this key voted what the journal does not know, it takes no part.
            let Ok(voting) = allowed.wait_for(|voting| *voting != Voting::Waiting).await.map(|v| *v) else {
                return;
            };
            let (scheme, partition) = match (voting, signer) {
                (Voting::Allowed, Some(signer)) => (signer, journal),
                (Voting::Denied { .. }, _) => (scheme, following),
                _ => (scheme, journal),
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
                    epoch,
                    floor: simplex::Floor::Genesis(genesis_digest),
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
                    fetch_timeout,
                    fetch_retry_delay,
                    forward: if alone { ForwardPolicy::Disabled } else { ForwardPolicy::SilentVoters },
                    // Alone, a replayed finalize vote may be for the view before the current one.
                    track_historical_votes: alone,
                },
            );
            if let Err(error) = engine.start(channels.votes, channels.certificates, channels.resolver).await {
                tracing::error!(%error, "agreement ended");
            }
        });
        tasks.push(("simplex", agreement));
        if let Some(replayed) = replayed {
            let _task =
                context.child("replayed").spawn(|clock| async move { replayed.hand_back(clock).await });
        }
        Ok(Running { tasks, shared, errors })
    }
}
