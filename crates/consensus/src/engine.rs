//! The wiring of commonware's parts, the same for one validator and for many: only the channels differ.
//!
//! ```text
//!            work ┌────────┐ propose, verify ┌────────┐ block ┌───────────────┐
//!   ledger  ◄────►│Proposer│◄───────────────►│ Inline │◄─────►│ marshal       │◄── backfill
//!     ▲           └────────┘                 └───▲────┘       │ cache, archive│◄── broadcast (slim)
//!     │ finalized ┌────────┐   digest, verdicts  │            └──────┬────────┘
//!     └───────────│Delivery│◄──────┐         ┌───▼────┐              │ final blocks in order
//!                 └────────┘       │         │simplex │◄── votes, certificates, resolver
//!                                  └─────────│ + WAL  │
//!                                   reports  └────────┘
//! ```
//!
//! Proposer, Inline, simplex and its journal are those of one epoch (`agreement`); the rest stays.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use commonware_broadcast::buffered;
use commonware_codec::Decode as _;
use commonware_consensus::{marshal, simplex::types::Finalization, types::ViewDelta};
use commonware_cryptography::{Digested, certificate::Verifier as _, ed25519::PublicKey, sha256};
use commonware_p2p::{Blocker, Provider, Receiver, Sender, utils::StaticProvider};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle as Task, Metrics, Network, Resolver, Spawner, Storage, Supervisor,
    buffer::paged::{CacheRef, page_size},
};
use commonware_utils::{NZDuration, NZU64, NZUsize};
use rand::CryptoRng;
use tokio::sync::mpsc;

use crate::{
    Application, ConsensusError, Mailbox, Scheme, Stored,
    agreement::{Agreement, Divided, Ports},
    archive::Archives,
    block::BlockCodec,
    config::Checked,
    delivery::{Delivery, MAX_PENDING, Outbox},
    directory::Directory,
    epochs::Epochs,
    evidence::EvidenceStore,
    follow,
    gossip::GossipPort,
    inert::{Inert, NoBlocker, Replayed},
    kept::Kept,
    peers::{self, Opened},
    progress::Shared,
    proposer::Rules,
    slim::slim,
    stats::Stats,
};

/// Blocks a file in marshal's archives. Fixed for the life of the data.
pub(crate) const ITEMS_PER_SECTION: NonZeroU64 = NZU64!(32);

pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1024);
pub(crate) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
pub(crate) const SMALL_WRITES: NonZeroUsize = NZUsize!(64 << 10);
pub(crate) const BLOCK_WRITES: NonZeroUsize = NZUsize!(1 << 20);
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(1);
pub(crate) const FETCH_RETRY: Duration = Duration::from_millis(100);

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
    pub(crate) epochs: Epochs,
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

/// The certificate of the block that a ledger began with.
fn certificate_of(floor: &Stored) -> Result<Finalization<Scheme, sha256::Digest>, ConsensusError> {
    let none = || {
        let height = floor.block.height;
        ConsensusError::Contract(format!("the ledger began with block {height}, whose certificate it lacks"))
    };
    let bytes = floor.certificate.clone().ok_or_else(none)?;
    Finalization::decode_cfg(bytes, &Scheme::certificate_codec_config_unbounded()).map_err(|_| none())
}

/// The running parts. Any of them ending is fatal.
pub(crate) struct Running {
    pub(crate) tasks: Vec<(&'static str, Task<()>)>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) errors: mpsc::UnboundedReceiver<ConsensusError>,
}

/// What simplex and marshal talk through; how it is asked what this key voted, and told how far the others are (`None`: there is
/// nobody to ask).
pub(crate) struct Channels<S, R> {
    pub(crate) votes: (S, R),
    pub(crate) certificates: (S, R),
    pub(crate) resolver: (S, R),
    pub(crate) broadcast: (S, R),
    pub(crate) backfill: (S, R),
    pub(crate) recall: Option<(S, R)>,
    pub(crate) follow: Option<(S, R)>,
}

impl<A: Application> Setup<A> {
    pub(crate) fn codec(&self) -> BlockCodec {
        BlockCodec { max_bytes: self.max_block_bytes, header_of: A::header }
    }

    /// One validator, without a network.
    pub(crate) fn alone(&self) -> bool {
        self.checked.listen.is_none()
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
                recall: None,
                follow: None,
            };
            let current = self.epochs.current();
            let provider = StaticProvider::new(current.epoch, current.validators);
            return self.wire(context, provider, NoBlocker::new(), channels, Some(replayed)).await;
        }
        let Opened { network, oracle, channels, gossip, membership, .. } =
            peers::open(context.child("p2p"), &self, 1);
        let port = self.gossip.take();
        let (epochs, app) = (self.epochs.clone(), self.app.clone());
        let mut running = self.wire(context, oracle.clone(), oracle, channels, None).await?;
        let progress = running.shared.subscribe();
        let keeping = context.child("membership");
        let keeping = keeping.spawn(move |_| membership.keep(epochs, app, progress));
        running.tasks.push(("membership", keeping));
        running.tasks.push(("network", network.start()));
        if let Some(port) = port {
            running.tasks.push(("gossip", context.child("gossip").spawn(|_| port.run(gossip))));
        }
        Ok(running)
    }

    pub(crate) async fn wire<E, P, B, S, R>(
        self,
        context: &E,
        provider: P,
        blocker: B,
        channels: Channels<S, R>,
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
        let me = self.checked.public.clone();
        let genesis = self.app.genesis();
        let genesis_digest = sha256::Digest::from(genesis.digest);
        let cache = CacheRef::new(page_size(4096), NZUsize!(2048));
        let mut tasks = Vec::new();

        let floor = self.app.floor().await;
        let root = floor.as_ref().map(certificate_of).transpose()?;
        let start = match &root {
            None => marshal::Start::Genesis(Digested::precomputed(genesis, genesis_digest)),
            Some(root) => marshal::Start::Floor(root.clone()),
        };
        let floor_height = floor.map(|floor| floor.block.height);
        let Archives { certificates, blocks } = Archives::open(context, &self, floor_height, &cache).await?;

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
        let channel = slim(self.app.clone(), self.max_block_bytes, self.stats.clone(), channels.broadcast);
        tasks.push(("broadcast", broadcast.start(channel)));
        let resolver = marshal::resolver::p2p::init(
            context.child("backfill"),
            marshal::resolver::p2p::Config {
                public_key: me,
                peer_provider: provider,
                blocker: blocker.clone(),
                mailbox_size: MAILBOX,
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
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
                provider: self.epochs.clone(),
                epocher: self.epochs.clone(),
                start,
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
        let (shared, errors) = Shared::new(self.app.final_height(), context.current(), self.stats.clone());
        let shared = Arc::new(shared);
        let (outbox, finals) = Outbox::new(shared.clone());
        tasks.push(("marshal", actor.start(outbox, buffer, resolver)));
        let delivery = Delivery {
            app: self.app.clone(),
            marshal: mailbox.clone(),
            blocks: finals,
            shared: shared.clone(),
            epochs: self.epochs.clone(),
            prune_depth: self.prune_depth,
            processed,
        };
        tasks.push(("delivery", context.child("delivery").spawn(|_| delivery.run())));

        if let Some(channel) = channels.follow {
            let (marshal, epochs, shared) = (mailbox.clone(), self.epochs.clone(), shared.clone());
            let following = context.child("follow");
            let following = following.spawn(move |c| follow::run(c, channel, marshal, epochs, shared));
            tasks.push(("follow", following));
        }

        // Agreement.
        let mut divide = |name, channel| {
            Divided::new(context.child("channel").with_attribute("of", name), name, channel, &mut tasks)
        };
        let ports = Ports {
            votes: divide("votes", channels.votes),
            certificates: divide("certificates", channels.certificates),
            resolver: divide("resolver", channels.resolver),
            recall: channels.recall.map(|channel| divide("recall", channel)),
        };
        let agreement = Agreement {
            rules: Rules {
                heartbeat: self.heartbeat,
                // Within the view: its leader is given up after the leader timeout.
                push_after: if alone { Duration::from_millis(300) } else { self.checked.timeouts.leader / 2 },
                max_block_bytes: self.max_block_bytes,
                durable_before_vote: alone,
            },
            app: self.app,
            checked: self.checked,
            namespace: self.namespace,
            epochs: self.epochs,
            blocker,
            marshal: mailbox,
            directory: self.directory,
            root,
            evidence: self.evidence,
            partition: self.partition,
            cache,
            shared: shared.clone(),
            replayed: replayed.clone(),
            retention,
        };
        tasks.push((
            "agreement",
            context.child("agreement").spawn(move |context| agreement.run(context, ports)),
        ));
        if let Some(replayed) = replayed {
            let _task =
                context.child("replayed").spawn(|clock| async move { replayed.hand_back(clock).await });
        }
        Ok(Running { tasks, shared, errors })
    }
}
