//! A validator's life: how it is put together, started, and ended at any moment.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::SplitTarget;
use commonware_runtime::{Handle as Task, IoBuf, Spawner as _, Supervisor as _};
use commonware_utils::sync::Mutex;
use futures::future::select_all;
use rand::RngExt as _;

use super::{
    QUOTA, Simulation,
    bent::{Bent, Fate, Trick},
    chain::{self, Chain},
    disk::Disk,
    flood::{self, Heap},
    ledger::{Kind, Ledger, Lie},
    machine::{Hardware, Machine},
    model::Model,
    roles::Role,
    rough::{self, Rough},
    tricks,
};
use crate::{
    Application as _, Config, ConsensusError, Network,
    directory::{self, Directory},
    engine::{Channels, Running, Setup, journal_partition},
    epochs::Epochs,
    evidence::EvidenceStore,
    public_key,
    stats::Stats,
};

/// Blocks after which a newcomer is started.
const COMES_AFTER: u64 = 24;

pub(super) struct Validator {
    pub(super) role: Role,
    pub(super) secret: [u8; 32],
    pub(super) hardware: Arc<Hardware>,
    pub(super) disks: [Arc<Mutex<Disk>>; 2],
    pub(super) dirs: [tempfile::TempDir; 2],
    /// Of an equivocator two; empty while it is off.
    pub(super) ledgers: Vec<Ledger>,
    pub(super) tasks: Vec<Task<()>>,
    pub(super) starts: u64,
    /// It was told that its key is in use elsewhere, and stopped.
    pub(super) ended: Arc<AtomicBool>,
    /// Survives crashes, as its files would.
    pub(super) evidence: Arc<EvidenceStore>,
    /// How often its disk was emptied.
    pub(super) wiped: u64,
    pub(super) stats: Arc<Stats>,
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
    fn setup(&self, index: usize, twin: usize, app: Ledger) -> Setup<Ledger> {
        let validator = &self.validators[index];
        let namespace = self.namespace();
        let address = |i: usize| SocketAddr::from(([127, 0, 0, 1], 1000 + i as u16));
        let keys: Vec<[u8; 32]> = self.validators.iter().map(|v| public_key(&v.secret)).collect();
        let dir = validator.dirs[twin].path();
        let mut config = Config::new(dir, validator.secret, namespace.clone(), keys.clone());
        config.heartbeat = self.heartbeat();
        // As whoever is to become a validator starts a node.
        config.observer = self.world.as_ref().and_then(|world| world.newcomer) == Some(index);
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
        let directory = Directory::open(lock, &own, &namespace, journal_partition);
        let directory = directory.unwrap_or_else(|_| {
            let fresh = dir.join(format!("run-{}", validator.starts));
            std::fs::create_dir_all(&fresh).expect("a directory");
            let lock = directory::lock(&fresh).expect("nobody else has it");
            Directory::open(lock, &own, &namespace, journal_partition).expect("a fresh directory")
        });
        Setup {
            checked,
            epochs: Epochs::new(&namespace, Ledger::EPOCH_NOTICE, &spans).expect("sound epochs"),
            namespace,
            app,
            max_block_bytes: self.size.max_bytes,
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

    /// The computer of a validator.
    fn machine(&self, index: usize) -> Machine {
        let context = self.context.child("validator").with_attribute("index", index);
        Machine::new(context, self.validators[index].hardware.clone())
    }

    pub(super) async fn start(&mut self, index: usize) {
        let role = self.validators[index].role;
        if self.validators[index].ended.swap(false, Relaxed) {
            self.end(index).await;
        }
        if role == Role::Sleeper || !self.validators[index].tasks.is_empty() {
            return;
        }
        // Who is to become a validator comes when there is something to begin with.
        let newcomer = self.world.as_ref().and_then(|world| world.newcomer) == Some(index);
        if newcomer && !self.healing && self.agreement.height() < COMES_AFTER {
            return;
        }
        self.validators[index].starts += 1;
        // Some do not come far.
        if !self.healing && self.rng.random_ratio(1, 6) {
            self.validators[index].hardware.fuse.light(self.rng.random_range(1..400));
        }
        let control = self.oracle.control(self.keys[index].clone());
        // Numbers as `named` has them. A traitor has no doubts about its own votes.
        let asked: &[u64] = if role == Role::Equivocator { &[] } else { &[6, 7] };
        let mut channels = Vec::new();
        for channel in (0..5).chain(asked.iter().copied()) {
            let (sender, receiver) = control.register(channel, QUOTA).await.expect("a channel");
            channels.push((channel, sender, receiver));
        }
        self.sync(index);
        let lie = [Lie::Item, Lie::Twice, Lie::Root, Lie::Time][self.rng.random_range(0..4)];
        let ledger = |this: &Self, twin: usize| {
            let validator = &this.validators[index];
            let agreement = role.is_sound().then(|| this.agreement.clone());
            let kind = Kind {
                salt: twin as u64,
                lie: (role == Role::Liar).then_some(lie),
                flaw: this.flaw,
                size: this.size,
                keeps_time: role.is_sound() && role != Role::Mistimed,
            };
            let machine = this.machine(index).child("ledger");
            let disk = validator.disks[twin].clone();
            match &this.world {
                None => Ledger::Model(Model::open(disk, machine, kind, agreement)),
                Some(world) => Ledger::Chain(Chain::open(
                    disk,
                    world.clone(),
                    machine,
                    kind,
                    agreement,
                    validator.secret,
                )),
            }
        };
        let first = ledger(self, 0);
        self.validators[index].ledgers.push(first.clone());
        if role != Role::Equivocator {
            self.validators[index].stats = Arc::default();
            let setup = self.setup(index, 0, first);
            let trick = self.trick(index, &channels);
            let mut ends = Vec::new();
            for (number, sender, receiver) in channels {
                ends.push((self.bent(number, sender, trick.clone()), self.rough(index, receiver)));
            }
            self.run(index, 0, setup, named(ends));
            return;
        }
        // Each of the others belongs to the first twin, to the second, or to both.
        let sides: Vec<u8> = self.keys.iter().map(|_| self.rng.random_range(1..=3)).collect();
        let side_of = {
            let (keys, sides) = (self.keys.clone(), sides);
            move |key: &PublicKey| keys.iter().position(|k| k == key).map_or(3, |i| sides[i])
        };
        let twins = [1, 2].map(|mine| -> Trick {
            let side_of = side_of.clone();
            Arc::new(move |_, to, _| if side_of(to) & mine == 0 { Fate::Withheld } else { Fate::Sent })
        });
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (number, sender, receiver) in channels {
            let side_of = side_of.clone();
            let (a, b) =
                receiver.split_with(self.context.child("split"), move |message: &(PublicKey, IoBuf)| {
                    match side_of(&message.0) {
                        1 => SplitTarget::Primary,
                        2 => SplitTarget::Secondary,
                        _ => SplitTarget::Both,
                    }
                });
            left.push((self.bent(number, sender.clone(), Some(twins[0].clone())), self.rough(index, a)));
            right.push((self.bent(number, sender, Some(twins[1].clone())), self.rough(index, b)));
        }
        let second = ledger(self, 1);
        self.validators[index].ledgers.push(second.clone());
        for (twin, (ledger, channels)) in [(first, left), (second, right)].into_iter().enumerate() {
            let setup = self.setup(index, twin, ledger);
            self.run(index, twin, setup, named(channels));
        }
    }

    /// Some who have nothing begin with somebody's snapshot of a real chain.
    fn sync(&mut self, index: usize) {
        let Some(world) = self.world.clone() else { return };
        let by_blocks = self.rng.random_ratio(1, 4);
        let mut fresh = self.validators[index].disks[0].lock();
        if by_blocks || !fresh.blocks.is_empty() {
            return;
        }
        let (n, first) = (self.validators.len(), self.rng.random_range(0..self.validators.len()));
        let others = (first..first + n).map(|i| i % n).filter(|other| *other != index);
        let mut sound = others.map(|other| &self.validators[other]).filter(|other| other.role.is_sound());
        if sound.any(|donor| chain::sync(&mut fresh, &donor.disks[0].lock(), &world)) {
            self.synced += 1;
        }
    }

    fn bent<S>(&self, number: u64, sender: S, trick: Option<Trick>) -> Bent<S> {
        Bent::new(sender, number, trick, self.context.child("bent"))
    }

    /// The receiving end of a channel of a validator, as long as that is on.
    fn rough<R>(&mut self, index: usize, receiver: R) -> Rough
    where
        R: commonware_p2p::Receiver<PublicKey = PublicKey>,
    {
        let (context, seed) = (self.context.child("rough"), self.rng.random());
        let (rough, task) = rough::rough(context, receiver, self.roughness.clone(), seed);
        self.validators[index].tasks.push(task);
        rough
    }

    /// What a validator does with what it has to send; a flooder begins its flood.
    fn trick<S, R>(&mut self, index: usize, channels: &[(u64, S, R)]) -> Option<Trick>
    where
        S: commonware_p2p::Sender<PublicKey = PublicKey>,
    {
        let seed = self.rng.random();
        if let Some(meter) = &self.meter {
            return Some(meter.trick(index));
        }
        match self.validators[index].role {
            Role::Withholder => Some(tricks::withhold(&self.keys, seed)),
            Role::BodyServer => Some(tricks::serve_other_bodies(seed)),
            Role::Flooder => {
                let heap = Heap::default();
                let senders = channels.iter().map(|(number, sender, _)| (*number, sender.clone())).collect();
                let task = flood::flood(self.context.child("flood"), senders, heap.clone(), seed);
                self.validators[index].tasks.push(task);
                Some(Arc::new(move |channel, _, message| {
                    heap.keep(channel, message);
                    Fate::Sent
                }))
            }
            _ => None,
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
        let run = validator.starts;
        let context = self.machine(index).with_attribute("twin", twin).with_attribute("run", run);
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

    pub(super) async fn end(&mut self, index: usize) {
        // The engine first: it would notice that its channels end.
        for task in std::mem::take(&mut self.validators[index].tasks).into_iter().rev() {
            task.abort();
            let _ = task.await;
        }
        for ledger in std::mem::take(&mut self.validators[index].ledgers) {
            if let Ledger::Chain(ledger) = ledger {
                ledger.closed(&self.context).await;
            }
        }
    }

    /// The power fails: what was not synced may be gone, or there in part.
    pub(super) async fn crash(&mut self, index: usize) {
        self.end(index).await;
        let wiped = self.validators[index].role == Role::Amnesiac && self.rng.random_bool(0.5);
        let hardware = self.validators[index].hardware.clone();
        self.torn += hardware.disk.tear(&self.context, &mut self.rng).await;
        hardware.fuse.renew();
        if wiped {
            let validator = &mut self.validators[index];
            validator.wiped += 1;
            validator.disks = (self.fresh)();
            validator.dirs[0] = tempfile::tempdir().expect("a directory");
        }
    }

    /// Machines that stopped by themselves are found to be off.
    pub(super) async fn find_stopped(&mut self) {
        for index in 0..self.validators.len() {
            if self.validators[index].hardware.fuse.is_blown() {
                self.stopped += 1;
                self.crash(index).await;
            }
        }
    }
}
