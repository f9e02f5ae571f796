//! Whole networks in one thread, on a simulated clock, disk and network, with everything that goes wrong drawn from a seed.
//!
//! Each run: four or seven validators under load, over links that are slow, lossy, cut both ways or one way, once or over and
//! over, and that deliver twice and in any order; validators crash between any two steps of their tasks, and what they had not
//! synced is there, gone, or there in part. In some runs the set of validators changes, over and over, and who
//! is out of it follows. At most f of them are traitors:
//!
//! - the *equivocator* is two engines with one key, each talking to its own part of the others: it votes and proposes twice;
//! - the *liar* proposes blocks that nobody may accept: invalid items, an item twice, a wrong state root, no later time;
//! - the *withholder* sends each kind of message to some at once, to some late, to some never;
//! - the *body server* gives another block than was asked for or certified;
//! - the *flooder* sends everybody garbage, damaged messages or its old ones, all the time, on every channel;
//! - the *sleeper* is off all the time;
//! - the *amnesiac* is honest, but at times its disk is empty when it comes back;
//! - the *mistimed* is honest, but its clock is seconds off, too fast or too slow, and jumps while it runs.
//!
//! Everybody's clock is a little off. Checked at every commit: no two final blocks at a height, nothing twice, nothing invalid,
//! heights in order, time rising and never further ahead of a clock that is kept than such a clock allows. With the real ledger also
//! (`chain`): whoever is told that a statement is final finds it in the chain, and the whole state is everybody's. At the end
//! everything heals but the wrong clocks, and within a minute of simulated time (and the turns that it takes) every honest validator has every item that was
//! submitted to an honest one, and the same chain. Evidence of double votes is held against equivocators only. A run that
//! fails prints its seed; `TRIAD_SEED=… TRIAD_SIM_RUNS=1` repeats it, and `TRIAD_SIM_RUNS` sets how many are run.

mod bent;
mod block;
mod chain;
mod checks;
mod clock;
mod counts;
mod disk;
mod evidence;
mod flood;
mod fuse;
mod growth;
mod ledger;
mod machine;
mod model;
mod node;
mod reign;
mod roles;
mod rough;
mod runs;
mod torn;
mod tricks;
mod trouble;
mod world;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::simulated::{self, Link, Oracle};
use commonware_runtime::{Clock as _, Quota, Supervisor as _, deterministic::Context};
use commonware_utils::{NZU32, NZUsize, Probability, sync::Mutex};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{evidence::EvidenceStore, public_key};
use clock::SkewedClock;
use counts::Counts;
use disk::Disk;
use growth::Meter;
use ledger::{Agreement, Flaw, Size};
use machine::Hardware;
use node::Validator;
use reign::Reign;
use roles::Role;
use rough::Roughness;
use world::World;

const NAMESPACE: &[u8] = b"triad-simulation";
/// Simulated time in which everything heals at the end.
const HEALS_WITHIN: Duration = Duration::from_secs(60);
/// Messages a second and channel. commonware makes room for a second's worth beforehand, in each start of each validator.
const QUOTA: Quota = Quota::per_second(NZU32!(1_000));

/// What stands behind consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ledgers {
    /// A model of the real one, in memory.
    Model,
    /// The real one.
    Chain,
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
    /// Whose links are slow, and by how much.
    slow: Option<(usize, Duration)>,
    roughness: Arc<Roughness>,
    size: Size,
    /// The real chain, in place of ledgers in memory.
    world: Option<Arc<World>>,
    /// Counts what is sent.
    meter: Option<Meter>,
    /// All ledgers are broken on purpose.
    flaw: Flaw,
    /// Empty disks.
    fresh: Box<dyn Fn() -> [Arc<Mutex<Disk>>; 2] + Send>,
    /// Whether the set of validators changes, and how often that was asked for.
    changing: bool,
    changes: u64,
    /// Nothing bad happens any more.
    healing: bool,
    /// Files that a crash left with a part of what was not synced.
    torn: u64,
    /// How often somebody began with a snapshot.
    synced: u64,
    /// Machines that stopped between two steps of their own.
    stopped: u64,
}

fn key_of(bytes: [u8; 32]) -> PublicKey {
    use commonware_codec::{Copying, DecodeExt as _};
    PublicKey::decode(Copying(bytes.as_slice())).expect("a key")
}

impl Simulation {
    async fn new(context: Context, seed: u64, flaw: Flaw, ledgers: Ledgers) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let n = if rng.random_ratio(1, 4) { 7 } else { 4 };
        let mut roles = Role::draw(n, &mut rng);
        if flaw == Flaw::BelievesAnyClock {
            // It matters only where there is a wrong one.
            roles = vec![Role::Honest; n];
            roles[rng.random_range(0..n)] = Role::Mistimed;
        }
        Self::of(context, rng, roles, flaw, ledgers).await
    }

    /// What signatures are for.
    fn namespace(&self) -> Vec<u8> {
        self.world.as_ref().map_or(NAMESPACE.to_vec(), |world| world.spec.namespace())
    }

    /// A network of validators of these roles.
    async fn of(context: Context, mut rng: StdRng, roles: Vec<Role>, flaw: Flaw, ledgers: Ledgers) -> Self {
        let n = roles.len();
        let mut secrets: Vec<[u8; 32]> = (1..=n as u8).map(|i| [i; 32]).collect();
        secrets.sort_by_key(public_key);
        let keys: Vec<PublicKey> = secrets.iter().map(|secret| key_of(public_key(secret))).collect();
        let config = simulated::Config {
            max_size: 1 << 20,
            max_peers_per_set: NZUsize!(64),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            simulated::Network::new_with_peers(context.child("network"), config, keys.clone()).await;
        let _task = network.start();
        let all: Vec<[u8; 32]> = secrets.iter().map(public_key).collect();
        let first = Reign::first((1 << n) - 1);
        // With one fewer the traitors must be few enough still.
        let traitors = roles.iter().filter(|role| **role != Role::Honest).count();
        let may_change = n > 3 * traitors + 1;
        let newcomer = (0..n).filter(|index| roles[*index] == Role::Honest).max();
        let newcomer = newcomer.filter(|_| may_change);
        let world = (ledgers == Ledgers::Chain).then(|| World::new(secrets.clone(), newcomer));
        let namespace = world.as_ref().map_or(NAMESPACE.to_vec(), |world| world.spec.namespace());
        let disk = if world.is_some() { Disk::with_chain } else { Disk::new };
        let fresh = move || [(); 2].map(|()| Arc::new(Mutex::new(disk(all.clone(), first))));
        let start = context.current();
        let mut clock = |role| match role {
            Role::Mistimed => SkewedClock::wrong(start, &mut rng),
            _ => SkewedClock::kept(start, &mut rng),
        };
        let validators = roles
            .into_iter()
            .zip(secrets)
            .map(|(role, secret)| Validator {
                role,
                secret,
                hardware: Hardware::new(clock(role), flaw != Flaw::NeverSyncs),
                disks: fresh(),
                dirs: [tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory")],
                ledgers: Vec::new(),
                tasks: Vec::new(),
                starts: 0,
                ended: Arc::default(),
                evidence: Arc::new(EvidenceStore::in_memory(&namespace)),
                wiped: 0,
                stats: Arc::default(),
            })
            .collect();
        let changing = rng.random_ratio(1, 3);
        let changing = world.as_ref().map_or(changing, |world| world.newcomer.is_some());
        let far = if rng.random_ratio(1, 8) { 400 } else { 40 };
        let roughness = Arc::new(Roughness::draw(&mut rng));
        let link = Link {
            latency: Duration::from_millis(rng.random_range(1..far)),
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
            slow: None,
            roughness,
            size: if world.is_some() { Size::REAL } else { Size::SMALL },
            world,
            meter: None,
            flaw,
            fresh: Box::new(fresh),
            changing,
            changes: 0,
            healing: false,
            torn: 0,
            stopped: 0,
            synced: 0,
        };
        this.links().await;
        this
    }

    /// Short for real chains, so that there are more blocks.
    fn heartbeat(&self) -> Duration {
        Duration::from_millis(if self.world.is_some() { 300 } else { 2000 })
    }

    /// What only one validator has waits for its turns, one in a round of heartbeats if nobody else has anything, and each takes a
    /// block's worth.
    fn turns(&self) -> Duration {
        let most = self.sound().map(|v| v.disks[0].lock().queue.len()).max().unwrap_or(0);
        self.heartbeat() * (self.validators.len() * (most / self.size.items)) as u32
    }

    /// How long real chains take to get from a change to the epoch after it.
    fn epochs(&self) -> Duration {
        if self.world.is_some() { self.heartbeat() * 128 * self.changes as u32 } else { Duration::ZERO }
    }

    async fn run_all(mut self) -> Counts {
        let newcomer = self.world.as_ref().and_then(|world| world.newcomer);
        for index in (0..self.validators.len()).filter(|index| newcomer != Some(*index)) {
            self.start(index).await;
        }
        // An epoch of the real chain has 64 blocks at least.
        let steps = match &self.world {
            None => 10..40,
            Some(world) if world.newcomer.is_some() => 60..200,
            Some(_) => 10..120,
        };
        let steps = self.rng.random_range(steps);
        for _ in 0..steps {
            for _ in 0..self.rng.random_range(0..6) {
                self.submit();
            }
            let pause = self.rng.random_range(20..1500);
            self.context.sleep(Duration::from_millis(pause)).await;
            self.trouble().await;
        }
        // Everything heals.
        self.healing = true;
        self.roughness.over.store(true, Relaxed);
        self.slow = None;
        for validator in &self.validators {
            // Who is about to stop does not.
            validator.hardware.fuse.light(0);
        }
        self.find_stopped().await;
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
            for ledger in self.sound().filter_map(|v| v.ledgers.first()) {
                (0..self.submitted).for_each(|item| ledger.submit(item));
            }
        }
        let deadline = self.context.current() + HEALS_WITHIN + self.turns() + self.epochs();
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
        let verdicts = self.audit().await;
        let mut counts = Counts {
            runs: 1,
            blocks: self.agreement.height(),
            items: self.submitted,
            denied: self.denied(),
            changes: self.sound().map(|v| v.disks[0].lock().epoch()).max().unwrap_or(0),
            stopped: self.stopped,
            synced: self.synced,
            verdicts,
            fired: self.sound().map(|v| v.disks[0].lock().fired).max().unwrap_or(0),
            torn: self.torn,
            ..Counts::default()
        };
        (counts.convicted, counts.evidence) = self.judge();
        counts.roles(self.validators.iter().map(|v| v.role));
        counts
    }
}
