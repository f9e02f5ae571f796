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
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use commonware_broadcast::buffered;
use commonware_consensus::{
    Viewable as _,
    marshal::{self, standard::Inline, standard::Standard},
    simplex::{self, ForwardPolicy, SkipBudget, SkipPolicy, elector::RoundRobin},
    types::{Epoch, FixedEpocher, ViewDelta},
};
use commonware_cryptography::{
    ChaCha20Poly1305, Digested, Sha256,
    certificate::{ConstantProvider, Verifier as _},
    ed25519::{PrivateKey, PublicKey},
    sha256,
};
use commonware_p2p::{
    Address, AddressableManager as _, Blocker, Provider, Receiver, Sender, authenticated::lookup,
    utils::StaticProvider,
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    Clock, Handle as Task, Metrics, Network, Quota, Resolver, Spawner, Storage, Supervisor,
    buffer::paged::{CacheRef, page_size},
};
use commonware_storage::{
    archive::{Archive as _, Identifier, prunable},
    translator::EightCap,
};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZDuration, NZU32, NZU64, NZUsize, ordered::Map};
use rand::CryptoRng;
use tokio::sync::mpsc;

use crate::{
    Application, Block, ConsensusError, Mailbox, Scheme,
    block::BlockCodec,
    config::Checked,
    delivery::{Delivery, MAX_PENDING, Outbox},
    directory::Directory,
    inert::{Inert, NoBlocker, Replayed},
    progress::Shared,
    proposer::{Proposer, Rules},
    witness::Witness,
};

/// Blocks a file in marshal's archives. Fixed for the life of the data.
pub(crate) const ITEMS_PER_SECTION: NonZeroU64 = NZU64!(32);

/// Length of the one epoch there is: longer than any chain.
const EPOCH_LENGTH: NonZeroU64 = NZU64!(u64::MAX / 4);

/// Messages a peer may send a second on each channel (bursts size the inbound queues).
const VOTES_PER_SECOND: NonZeroU32 = NZU32!(512);
const BLOCKS_PER_SECOND: NonZeroU32 = NZU32!(64);

const MAILBOX: NonZeroUsize = NZUsize!(1024);
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
const SMALL_WRITES: NonZeroUsize = NZUsize!(64 << 10);
const BLOCK_WRITES: NonZeroUsize = NZUsize!(1 << 20);

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
}

/// Name of the journal's folder. Each epoch has its own.
pub(crate) fn journal_partition(epoch: u64) -> String {
    format!("simplex-{epoch}")
}

/// The running parts. Any of them ending is fatal.
pub(crate) struct Running {
    pub(crate) tasks: Vec<(&'static str, Task<()>)>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) errors: mpsc::UnboundedReceiver<ConsensusError>,
}

struct Channels<S, R> {
    votes: (S, R),
    certificates: (S, R),
    resolver: (S, R),
    broadcast: (S, R),
    backfill: (S, R),
}

type Finalization = simplex::types::Finalization<Scheme, sha256::Digest>;
type Certificates<E> = prunable::Archive<EightCap, E, sha256::Digest, Finalization>;
type Blocks<E> = prunable::Archive<EightCap, E, sha256::Digest, Arc<Block>>;

impl<A: Application> Setup<A> {
    fn codec(&self) -> BlockCodec {
        BlockCodec { max_bytes: self.max_block_bytes, header_of: A::header }
    }

    fn alone(&self) -> bool {
        self.checked.validators.len() == 1
    }

    /// Views behind the last final one whose votes and blocks are kept. Peers may ask for them; alone, nobody does.
    fn view_retention(&self) -> ViewDelta {
        ViewDelta::new(if self.alone() { 16 } else { 64 })
    }

    /// Starts all parts.
    pub(crate) async fn start<E: Runtime>(self, context: &E) -> Result<Running, ConsensusError> {
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
            return self.wire(context, provider, NoBlocker::new(), channels, Some(replayed)).await;
        }
        let (mut network, oracle) = self.network(context);
        let mut register = |channel, rate| network.register(channel, Quota::per_second(rate));
        let channels = Channels {
            votes: register(0, VOTES_PER_SECOND),
            certificates: register(1, VOTES_PER_SECOND),
            resolver: register(2, VOTES_PER_SECOND),
            broadcast: register(3, BLOCKS_PER_SECOND),
            backfill: register(4, BLOCKS_PER_SECOND),
        };
        let mut running = self.wire(context, oracle.clone(), oracle, channels, None).await?;
        running.tasks.push(("network", network.start()));
        Ok(running)
    }

    fn network<E: Runtime>(
        &self,
        context: &E,
    ) -> (lookup::Network<E, Cups<Sake<PrivateKey>, ChaCha20Poly1305>>, lookup::Oracle<PublicKey>) {
        let n = u32::try_from(self.checked.validators.len()).expect("the validator count was checked");
        let listen = self.checked.listen.expect("a cluster's network was checked");
        let limit = commonware_p2p::max_message_size(&[
            simplex::max_payload_size::<Scheme, sha256::Digest>(n),
            marshal::max_payload_size::<Standard<Block>, Scheme>(n, &self.codec()),
        ]);
        let handshake = Cups::new(
            Sake {
                signer: self.checked.key.clone(),
                synchrony_bound: Duration::from_secs(5),
                max_handshake_age: Duration::from_secs(10),
                version: sake::Version::V1,
            },
            cups::Version::V1,
        );
        let validators = NonZeroUsize::new(self.checked.validators.len()).unwrap_or(NonZeroUsize::MIN);
        // `recommended` would refuse private addresses, which clusters in one rack or on one machine have.
        let config = lookup::Config::local(handshake, &self.namespace, listen, validators, limit, MAILBOX);
        let (network, mut oracle) = lookup::Network::new(context.child("p2p"), config);
        let peers: Vec<(PublicKey, SocketAddr)> =
            self.checked.peers.iter().cloned().chain([(self.checked.public.clone(), listen)]).collect();
        let peers: Vec<(PublicKey, Address)> =
            peers.into_iter().map(|(key, address)| (key, Address::Symmetric(address))).collect();
        let peers: Map<PublicKey, Address> = Map::try_from(peers).expect("peers were checked to be distinct");
        oracle.track(self.epoch, peers);
        (network, oracle)
    }

    async fn wire<E, P, B, S, R>(
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
        let timeouts = self.checked.timeouts;
        let me = self.checked.public.clone();
        let epoch = Epoch::new(self.epoch);
        let epocher = FixedEpocher::new(EPOCH_LENGTH);
        let genesis = self.app.genesis();
        let genesis_digest = sha256::Digest::from(genesis.digest);
        let cache = CacheRef::new(page_size(4096), NZUsize!(2048));
        let scheme =
            Scheme::signer(&self.namespace, self.checked.validators.clone(), self.checked.key.clone())
                .ok_or_else(|| ConsensusError::Config("the key is not a validator's".into()))?;
        let mut tasks = Vec::new();

        // Storage of final blocks, and whether the journal is as new as they are.
        let certificates: Certificates<E> =
            self.certificate_archive(context.child("certificates"), &cache).await?;
        let blocks: Blocks<E> = self.block_archive(context.child("blocks"), &cache).await?;
        self.refuse_stale_journal(&certificates, blocks.last_index()).await?;

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
            certificates,
            blocks,
            marshal::Config {
                provider: ConstantProvider::new(scheme.clone()),
                epocher: epocher.clone(),
                start: marshal::Start::Genesis(Digested::precomputed(genesis, genesis_digest)),
                partition_prefix: "marshal".into(),
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
        let (shared, errors) = Shared::new(self.app.final_height(), context.current());
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
            index: self.checked.index,
            rules: Rules {
                heartbeat: self.heartbeat,
                push_after: if alone { Duration::from_millis(300) } else { timeouts.certification },
                max_block_bytes: self.max_block_bytes,
                durable_before_vote: alone,
            },
            marshal: mailbox.clone(),
            shared: shared.clone(),
            adopting: Arc::default(),
        };
        let inline = Inline::new(context.child("application"), proposer, mailbox, epocher);
        let reporter = Witness::new(
            context.child("witness"),
            inline.clone(),
            self.checked.index,
            self.directory.clone(),
            shared.clone(),
            replayed.clone(),
        );
        let engine = simplex::Engine::new(
            context.child("simplex"),
            simplex::Config {
                scheme,
                elector: RoundRobin::<Sha256>::default(),
                blocker,
                automaton: inline.clone(),
                relay: inline,
                reporter,
                strategy: Sequential,
                partition: journal_partition(self.epoch),
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
        tasks.push(("simplex", engine.start(channels.votes, channels.certificates, channels.resolver)));
        if let Some(replayed) = replayed {
            let _ = context.child("replayed").spawn(|clock| async move { replayed.hand_back(clock).await });
        }
        Ok(Running { tasks, shared, errors })
    }

    async fn certificate_archive<E: Runtime>(
        &self,
        context: E,
        cache: &CacheRef,
    ) -> Result<Certificates<E>, ConsensusError> {
        let codec = Scheme::certificate_codec_config_unbounded();
        prunable::Archive::init(context, archive_config("certificates", cache, codec))
            .await
            .map_err(|e| self.unreadable("certificates", e))
    }

    async fn block_archive<E: Runtime>(
        &self,
        context: E,
        cache: &CacheRef,
    ) -> Result<Blocks<E>, ConsensusError> {
        prunable::Archive::init(context, archive_config("blocks", cache, self.codec()))
            .await
            .map_err(|e| self.unreadable("blocks", e))
    }

    fn unreadable(&self, name: &str, cause: impl std::fmt::Display) -> ConsensusError {
        ConsensusError::io(
            "consensus' store of final blocks cannot be read; if the disk is sound, restore the whole data directory from a copy",
            self.directory.storage().join(format!("archive-{name}")),
            cause,
        )
    }

    /// The journal is written before the archive, and the archive before the ledger. If one of them is ahead of what it
    /// follows, the latter was restored from an older copy.
    async fn refuse_stale_journal<E: Runtime>(
        &self,
        certificates: &Certificates<E>,
        archived: Option<u64>,
    ) -> Result<(), ConsensusError> {
        let stale = |what| {
            Err(ConsensusError::JournalStale {
                dir: self.directory.storage(),
                what,
                key: self.directory.key().to_owned(),
            })
        };
        let (ledger, archived) = (self.app.final_height(), archived.unwrap_or(0));
        if ledger > archived {
            return stale(format!("the ledger is at height {ledger}, consensus only at {archived}"));
        }
        if !self.alone() {
            // With peers the archive may have been filled by them, ahead of the own journal.
            return Ok(());
        }
        let Some(height) = certificates.last_index() else { return Ok(()) };
        let certificate = certificates
            .get(Identifier::Index(height))
            .await
            .map_err(|e| self.unreadable("certificates", e))?;
        let Some(certificate) = certificate else { return Ok(()) };
        let journal = self.directory.highest_view(&journal_partition(self.epoch))?.unwrap_or(0);
        let view = certificate.proposal.view().get();
        if view > journal {
            return stale(format!(
                "block {height} became final in view {view}, the journal ends in view {journal}"
            ));
        }
        Ok(())
    }
}

fn archive_config<C>(name: &str, cache: &CacheRef, codec_config: C) -> prunable::Config<EightCap, C> {
    prunable::Config {
        translator: EightCap,
        metadata_partition: format!("archive-{name}-metadata"),
        key_partition: format!("archive-{name}-keys"),
        key_page_cache: cache.clone(),
        value_partition: format!("archive-{name}-values"),
        compression: None,
        codec_config,
        items_per_section: ITEMS_PER_SECTION,
        key_write_buffer: SMALL_WRITES,
        value_write_buffer: BLOCK_WRITES,
        replay_buffer: REPLAY_BUFFER,
    }
}
