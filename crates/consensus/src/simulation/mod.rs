//! Whole networks in one thread, on a simulated clock, disk and network, with everything that goes wrong drawn from a seed.
//!
//! Each run: four or seven validators under load, over links that are slow, lossy, cut both ways or one way; validators
//! crash at any moment, some with what they had not synced. In some runs the set of validators changes, over and over, and who
//! is out of it follows. At most f of them are traitors:
//!
//! - the *equivocator* is two engines with one key, each talking to its own part of the others: it votes and proposes twice;
//! - the *liar* proposes blocks that nobody may accept;
//! - the *sleeper* is off all the time;
//! - the *amnesiac* is honest, but at times its disk is empty when it comes back.
//!
//! Checked at every commit: no two final blocks at a height, nothing twice, nothing invalid, heights in order. At the end
//! everything heals, and within a minute of simulated time every honest validator has every item that was submitted to an
//! honest one, and the same chain. Evidence of double votes is held against equivocators only. A run that fails prints its seed; `TRIAD_SEED=… TRIAD_SIM_RUNS=1` repeats it, and
//! `TRIAD_SIM_RUNS` sets how many are run.

mod evidence;
mod ledger;
mod runs;
mod trouble;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    Recipients,
    simulated::{self, Link, Oracle, SplitOrigin, SplitTarget},
};
use commonware_runtime::{
    Clock as _, Handle as Task, IoBuf, Quota, Spawner as _, Supervisor as _, deterministic::Context,
};
use commonware_utils::{NZU32, NZUsize, Probability, sync::Mutex};
use futures::future::select_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    Application as _, Config, ConsensusError, Network,
    directory::{self, Directory},
    engine::{Channels, Running, Setup, journal_partition},
    epochs::Epochs,
    evidence::EvidenceStore,
    public_key,
    recall::Voting,
    stats::Stats,
};
use ledger::{Agreement, Digest, Disk, Kind, Ledger, Reign};

const NAMESPACE: &[u8] = b"triad-simulation";
/// Simulated time in which everything heals at the end.
const HEALS_WITHIN: Duration = Duration::from_secs(60);
const QUOTA: Quota = Quota::per_second(NZU32!(10_000));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Honest,
    Equivocator,
    Liar,
    Sleeper,
    Amnesiac,
}

impl Role {
    /// What it commits is the chain.
    fn is_sound(self) -> bool {
        matches!(self, Role::Honest | Role::Amnesiac)
    }
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    blocks: u64,
    items: u64,
    /// Validators that were told that they lost their memory, and follow.
    denied: u64,
    /// Sets of validators after the first.
    changes: u64,
    /// Equivocators.
    equivocators: u64,
    /// Those of them against whom an honest validator holds evidence.
    convicted: u64,
    /// Records of evidence that honest validators hold.
    evidence: u64,
}

struct Validator {
    role: Role,
    secret: [u8; 32],
    disks: [Arc<Mutex<Disk>>; 2],
    dirs: [tempfile::TempDir; 2],
    ledger: Option<Ledger>,
    tasks: Vec<Task<()>>,
    starts: u64,
    /// It was told that its key is in use elsewhere, and stopped.
    ended: Arc<AtomicBool>,
    /// Survives crashes, as its files would.
    evidence: Arc<EvidenceStore>,
    /// How often its disk was emptied.
    wiped: u64,
    stats: Arc<Stats>,
}

struct Simulation {
    context: Context,
    oracle: Oracle<PublicKey, Context>,
    rng: StdRng,
    validators: Vec<Validator>,
    keys: Vec<PublicKey>,
    agreement: Arc<Agreement>,
    submitted: u64,
    /// Which links are cut, from and to.
    cut: Vec<(usize, usize)>,
    link: Link,
    /// Ledgers are broken on purpose.
    forgetful: bool,
    /// Empty disks.
    fresh: Box<dyn Fn() -> [Arc<Mutex<Disk>>; 2] + Send>,
    /// Whether the set of validators changes, and how often that was asked for.
    changing: bool,
    changes: u64,
}

fn key_of(bytes: [u8; 32]) -> PublicKey {
    use commonware_codec::{Copying, DecodeExt as _};
    PublicKey::decode(Copying(bytes.as_slice())).expect("a key")
}

/// The channels of an engine, in the order of their numbers; whoever asks nobody has no sixth and seventh.
fn named<S, R>(channels: Vec<(S, R)>) -> Channels<S, R> {
    let mut channels = channels.into_iter();
    let mut next = || channels.next().expect("five");
    let (votes, certificates, resolver, broadcast, backfill) = (next(), next(), next(), next(), next());
    let (recall, follow) = (channels.next(), channels.next());
    Channels { votes, certificates, resolver, broadcast, backfill, recall, follow }
}

impl Simulation {
    async fn new(context: Context, seed: u64, forgetful: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let n = if rng.random_ratio(1, 4) { 7 } else { 4 };
        let mut secrets: Vec<[u8; 32]> = (1..=n as u8).map(|i| [i; 32]).collect();
        secrets.sort_by_key(public_key);
        let keys: Vec<PublicKey> = secrets.iter().map(|secret| key_of(public_key(secret))).collect();
        let f = (n - 1) / 3;
        let traitors = rng.random_range(0..=f);
        let mut roles = vec![Role::Honest; n];
        for _ in 0..traitors {
            let kind = [Role::Equivocator, Role::Liar, Role::Sleeper, Role::Amnesiac][rng.random_range(0..4)];
            roles[rng.random_range(0..n)] = kind;
        }
        let config = simulated::Config {
            max_size: 1 << 20,
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, keys.clone()).await;
        let _task = network.start();
        let all: Vec<[u8; 32]> = secrets.iter().map(public_key).collect();
        let first = Reign::first(((1u16 << n) - 1) as u8);
        let fresh = move || [(); 2].map(|()| Arc::new(Mutex::new(Disk::new(all.clone(), first))));
        let validators = roles
            .into_iter()
            .zip(secrets)
            .map(|(role, secret)| Validator {
                role,
                secret,
                disks: fresh(),
                dirs: [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")],
                ledger: None,
                tasks: Vec::new(),
                starts: 0,
                ended: Arc::default(),
                evidence: Arc::new(EvidenceStore::in_memory(NAMESPACE)),
                wiped: 0,
                stats: Arc::default(),
            })
            .collect();
        let changing = rng.random_ratio(1, 3);
        let link = Link {
            latency: Duration::from_millis(rng.random_range(1..40)),
            jitter: Duration::from_millis(rng.random_range(0..20)),
            success_rate: Probability::new(rng.random_range(80..=100), 100).expect("at most one"),
        };
        let agreement = Arc::default();
        let mut this = Self {
            context,
            oracle,
            rng,
            validators,
            keys,
            agreement,
            submitted: 0,
            cut: Vec::new(),
            link,
            forgetful,
            fresh: Box::new(fresh),
            changing,
            changes: 0,
        };
        this.links().await;
        this
    }

    fn setup(&self, index: usize, twin: usize, app: Ledger) -> Setup<Ledger> {
        let validator = &self.validators[index];
        let address = |i: usize| SocketAddr::from(([127, 0, 0, 1], 1000 + i as u16));
        let keys: Vec<[u8; 32]> = self.validators.iter().map(|v| public_key(&v.secret)).collect();
        let dir = validator.dirs[twin].path();
        let mut config = Config::new(dir, validator.secret, NAMESPACE, keys.clone());
        config.heartbeat = Duration::from_secs(2);
        config.network = Some(Network {
            listen: address(index),
            peers: keys.iter().enumerate().map(|(i, key)| (*key, address(i))).collect(),
            observers: Vec::new(),
        });
        let spans = app.epochs();
        let checked = config.check(&spans, &[]).expect("a sound configuration");
        let lock = directory::lock(dir).expect("nobody else has it");
        let own = public_key(&validator.secret);
        // The simulated disk is elsewhere: this one only says whose directory it is.
        let directory = Directory::open(lock, &own, NAMESPACE, journal_partition);
        let directory = directory.unwrap_or_else(|_| {
            let fresh = dir.join(format!("run-{}", validator.starts));
            std::fs::create_dir_all(&fresh).expect("a directory");
            let lock = directory::lock(&fresh).expect("nobody else has it");
            Directory::open(lock, &own, NAMESPACE, journal_partition).expect("a fresh directory")
        });
        Setup {
            checked,
            namespace: NAMESPACE.to_vec(),
            epochs: Epochs::new(NAMESPACE, Ledger::EPOCH_NOTICE, &spans).expect("sound epochs"),
            app,
            max_block_bytes: 4096,
            heartbeat: config.heartbeat,
            // Short, so that catching up needs the ledgers.
            prune_depth: 64,
            directory: Arc::new(directory),
            partition: format!("v{index}-{twin}-{}-", validator.wiped),
            stats: validator.stats.clone(),
            evidence: validator.evidence.clone(),
            gossip: None,
        }
    }

    async fn start(&mut self, index: usize) {
        let role = self.validators[index].role;
        if self.validators[index].ended.swap(false, Relaxed) {
            self.end(index).await;
        }
        if role == Role::Sleeper || !self.validators[index].tasks.is_empty() {
            return;
        }
        self.validators[index].starts += 1;
        let control = self.oracle.control(self.keys[index].clone());
        let mut channels = Vec::new();
        for channel in 0..5 {
            channels.push(control.register(channel, QUOTA).await.expect("a channel"));
        }
        // A traitor has no doubts about its own votes.
        if role != Role::Equivocator {
            channels.push(control.register(6, QUOTA).await.expect("a channel"));
            channels.push(control.register(7, QUOTA).await.expect("a channel"));
        }
        let ledger = |this: &Self, twin: usize| {
            let validator = &this.validators[index];
            let agreement = role.is_sound().then(|| this.agreement.clone());
            let kind = Kind { salt: twin as u64, lies: role == Role::Liar, forgets: this.forgetful };
            Ledger::open(validator.disks[twin].clone(), kind, agreement)
        };
        let first = ledger(self, 0);
        self.validators[index].ledger = Some(first.clone());
        if role != Role::Equivocator {
            self.validators[index].stats = Arc::default();
            let setup = self.setup(index, 0, first);
            self.run(index, 0, setup, named(channels));
            return;
        }
        // Each of the others belongs to the first twin, to the second, or to both.
        let sides: Vec<u8> = self.keys.iter().map(|_| self.rng.random_range(1..=3)).collect();
        let keys = self.keys.clone();
        let side_of = {
            let (keys, sides) = (keys.clone(), sides.clone());
            move |key: &PublicKey| keys.iter().position(|k| k == key).map_or(3, |i| sides[i])
        };
        let me = self.keys[index].clone();
        let forward = {
            let side_of = side_of.clone();
            move |origin: SplitOrigin, recipients: &Recipients<PublicKey>, _: &IoBuf| {
                let mine = if matches!(origin, SplitOrigin::Primary) { 1 } else { 2 };
                let wanted: Vec<PublicKey> = match recipients {
                    Recipients::All => keys.iter().filter(|k| **k != me).cloned().collect(),
                    Recipients::Some(some) => some.clone(),
                    Recipients::One(one) => vec![one.clone()],
                };
                Some(Recipients::Some(wanted.into_iter().filter(|k| side_of(k) & mine != 0).collect()))
            }
        };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (sender, receiver) in channels {
            let (a, b) = sender.split_with(forward.clone());
            let side_of = side_of.clone();
            let (c, d) =
                receiver.split_with(self.context.child("split"), move |message: &(PublicKey, IoBuf)| {
                    match side_of(&message.0) {
                        1 => SplitTarget::Primary,
                        2 => SplitTarget::Secondary,
                        _ => SplitTarget::Both,
                    }
                });
            left.push((a, c));
            right.push((b, d));
        }
        for (twin, channels) in [left, right].into_iter().enumerate() {
            let setup = self.setup(index, twin, ledger(self, twin));
            self.run(index, twin, setup, named(channels));
        }
    }

    fn run<S, R>(&mut self, index: usize, twin: usize, setup: Setup<Ledger>, channels: Channels<S, R>)
    where
        S: commonware_p2p::Sender<PublicKey = PublicKey>,
        R: commonware_p2p::Receiver<PublicKey = PublicKey>,
    {
        let validator = &self.validators[index];
        let sound = validator.role.is_sound();
        let (forgot, ended) = (validator.wiped > 0, validator.ended.clone());
        let manager = self.oracle.manager();
        let blocker = self.oracle.control(self.keys[index].clone());
        let run = self.validators[index].starts;
        let context = self
            .context
            .child("validator")
            .with_attribute("index", index)
            .with_attribute("twin", twin)
            .with_attribute("run", run);
        let task = context.spawn(move |context| async move {
            let started = setup.wire(&context, manager, blocker, channels, None).await;
            let Running { tasks, shared: _shared, mut errors } = started.expect("it starts");
            let (names, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
            let end = tokio::select! {
                biased;
                Some(error) = errors.recv() => {
                    // Whoever saw its votes was out of reach when it asked, and is not any more: it stops, to follow when it is
                    // started again. What it voted in between may have been a second vote.
                    if forgot && matches!(error, ConsensusError::KeyInUse { .. }) {
                        ended.store(true, Relaxed);
                        return;
                    }
                    error.to_string()
                }
                (result, which, _) = select_all(tasks) => format!("{} ended: {result:?}", names[which]),
            };
            // A twin may find that the chain is not what it voted for.
            assert!(!sound, "validator {index} stopped: {end}");
        });
        self.validators[index].tasks.push(task);
    }

    async fn end(&mut self, index: usize) {
        for task in std::mem::take(&mut self.validators[index].tasks) {
            task.abort();
            let _ = task.await;
        }
        self.validators[index].ledger = None;
    }

    async fn crash(&mut self, index: usize) {
        self.end(index).await;
        if self.validators[index].role == Role::Amnesiac && self.rng.random_bool(0.5) {
            let validator = &mut self.validators[index];
            validator.wiped += 1;
            validator.disks = (self.fresh)();
            validator.dirs[0] = tempfile::tempdir().expect("a directory");
        }
    }

    async fn run_all(mut self) -> Counts {
        for index in 0..self.validators.len() {
            self.start(index).await;
        }
        let steps = self.rng.random_range(10..40);
        for _ in 0..steps {
            for _ in 0..self.rng.random_range(0..6) {
                self.submit();
            }
            let pause = self.rng.random_range(20..1500);
            self.context.sleep(Duration::from_millis(pause)).await;
            self.trouble().await;
        }
        // Everything heals.
        self.cut.clear();
        self.link = Link {
            latency: Duration::from_millis(5),
            jitter: Duration::ZERO,
            success_rate: Probability::new(1, 1).expect("one"),
        };
        self.links().await;
        for index in 0..self.validators.len() {
            self.start(index).await;
        }
        self.submit();
        // Who held an item and never got a place in the set could not propose it; its sender was told nothing and tries again.
        if self.changing {
            for ledger in self.sound().filter_map(|v| v.ledger.as_ref()) {
                (0..self.submitted).for_each(|item| ledger.submit(item));
            }
        }
        let deadline = self.context.current() + HEALS_WITHIN;
        while !self.complete() {
            assert!(self.context.current() < deadline, "not healed: {}", self.describe());
            self.context.sleep(Duration::from_millis(100)).await;
            for index in 0..self.validators.len() {
                if self.validators[index].ended.load(Relaxed) {
                    self.start(index).await;
                }
            }
        }
        self.check();
        let denied = |v: &&Validator| matches!(v.stats.snapshot().voting, Voting::Denied { .. });
        let denied = self.validators.iter().filter(denied).count() as u64;
        let changes = self.sound().map(|v| v.disks[0].lock().epoch()).max().unwrap_or(0);
        let (convicted, evidence) = self.judge();
        let equivocators = self.validators.iter().filter(|v| v.role == Role::Equivocator).count() as u64;
        Counts {
            blocks: self.agreement.height(),
            items: self.submitted,
            denied,
            changes,
            equivocators,
            convicted,
            evidence,
        }
    }

    fn sound(&self) -> impl Iterator<Item = &Validator> {
        self.validators.iter().filter(|v| v.role.is_sound())
    }

    fn complete(&self) -> bool {
        self.sound().all(|v| {
            let items = v.disks[0].lock().items();
            (0..self.submitted).all(|item| items.contains(&item))
        })
    }

    fn describe(&self) -> String {
        let of = |v: &Validator| {
            let disk = v.disks[0].lock();
            let (items, blocks) = (disk.items(), disk.digests().len());
            let missing: Vec<u64> = (0..self.submitted).filter(|i| !items.contains(i)).collect();
            let voting = v.stats.snapshot().voting;
            let (epoch, sets) = (disk.epoch(), disk.sets());
            format!("{:?} ({voting:?}) at {blocks}, epoch {epoch} of {sets:?}, misses {missing:?}", v.role)
        };
        self.validators.iter().map(of).collect::<Vec<_>>().join("; ")
    }

    fn check(&self) {
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
}
