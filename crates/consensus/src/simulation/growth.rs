//! What it costs to tell everybody, from four validators on: bytes that each sends, and how long it takes until a statement
//! is final, over links of 20 ms, nothing going wrong.
//!
//! Statements are items of 256 bytes. Whoever takes one relays it to all others at once, as a node's gossip does, and blocks name
//! those that everybody has (here by eight bytes). Counted are the bytes that are handed to the network, without what
//! encryption and TCP add.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use commonware_p2p::{Receiver as _, Recipients, Sender as _, simulated::Link};
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::Probability;
use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    Ledgers, QUOTA, Simulation,
    bent::{Fate, Trick},
    ledger::{Flaw, Size},
    roles::Role,
    rough::Roughness,
};

const STATEMENT: u64 = 256;
/// The channel of a node's gossip.
const GOSSIP: u64 = 5;
const CHANNELS: usize = 8;

/// Bytes sent, by validator and channel.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Vec<[AtomicU64; CHANNELS]>>);

impl Meter {
    fn new(validators: usize) -> Self {
        Self(Arc::new((0..validators).map(|_| std::array::from_fn(|_| AtomicU64::new(0))).collect()))
    }

    fn count(&self, validator: usize, channel: u64, bytes: usize) {
        self.0[validator][channel as usize].fetch_add(bytes as u64, Relaxed);
    }

    /// Sends everything, and counts it.
    pub(super) fn trick(&self, validator: usize) -> Trick {
        let this = self.clone();
        Arc::new(move |channel, _, message| {
            this.count(validator, channel, message.len());
            Fate::Sent
        })
    }

    /// By channel, over all.
    fn sums(&self) -> [u64; CHANNELS] {
        std::array::from_fn(|channel| self.0.iter().map(|v| v[channel].load(Relaxed)).sum())
    }

    /// What whoever sent the most has sent.
    fn most(&self) -> u64 {
        self.0.iter().map(|v| v.iter().map(|bytes| bytes.load(Relaxed)).sum()).max().unwrap_or(0)
    }
}

/// How much comes in.
#[derive(Clone, Copy, Debug)]
struct Load {
    name: &'static str,
    /// Statements that arrive together at one validator, the next time at the next.
    batch: u64,
    every: Duration,
    times: u64,
}

const LOADS: [Load; 2] = [
    Load { name: "light", batch: 1, every: Duration::from_millis(100), times: 100 },
    Load { name: "full", batch: 500, every: Duration::from_millis(100), times: 60 },
];

/// What came of it.
struct Measured {
    blocks: u64,
    statements: u64,
    sums: [u64; CHANNELS],
    most: u64,
    /// Milliseconds from a statement's arrival until it is final where it arrived, in ascending order.
    latencies: Vec<u64>,
}

async fn measure(context: deterministic::Context, n: usize, load: Load) -> Measured {
    let mut simulation =
        Simulation::of(context, StdRng::seed_from_u64(1), vec![Role::Honest; n], Flaw::None, Ledgers::Model)
            .await;
    let meter = Meter::new(n);
    simulation.size = Size { items: 1000, weight: STATEMENT - 8, max_bytes: 1 << 20 };
    simulation.meter = Some(meter.clone());
    simulation.healing = true;
    simulation.roughness = Arc::new(Roughness::none());
    simulation.link = Link {
        latency: Duration::from_millis(20),
        jitter: Duration::ZERO,
        success_rate: Probability::new(1, 1).expect("one"),
    };
    simulation.links().await;
    let mut doors = Vec::new();
    for index in 0..n {
        simulation.start(index).await;
        let control = simulation.oracle.control(simulation.keys[index].clone());
        let (sender, mut receiver) = control.register(GOSSIP, QUOTA).await.expect("a channel");
        let ledger = simulation.validators[index].ledgers.first().cloned().expect("it was started");
        simulation.context.child("gossip").spawn(move |_| async move {
            while let Ok((_, message)) = receiver.recv().await {
                let statements = message.as_ref().chunks_exact(STATEMENT as usize);
                for id in statements.filter_map(|statement| statement.first_chunk()) {
                    ledger.submit(u64::from_be_bytes(*id));
                }
            }
        });
        doors.push(sender);
    }
    // Everybody has asked everybody what it voted.
    simulation.context.sleep(Duration::from_secs(3)).await;
    let before = (meter.sums(), meter.most(), simulation.agreement.height());
    let mut waiting: BTreeMap<u64, (usize, SystemTime)> = BTreeMap::new();
    let mut heights = vec![0; n];
    let (mut latencies, mut count) = (Vec::new(), 0);
    let mut next = simulation.context.current();
    let deadline = next + load.every * load.times as u32 + Duration::from_secs(30);
    while count < load.batch * load.times || !waiting.is_empty() {
        let now = simulation.context.current();
        assert!(now < deadline, "{n} validators under {} load: {} statements wait", load.name, waiting.len());
        if now >= next && count < load.batch * load.times {
            next += load.every;
            let at = (count / load.batch) as usize % n;
            let mut message = Vec::new();
            for id in count..count + load.batch {
                simulation.validators[at].ledgers.first().expect("it was started").submit(id);
                waiting.insert(id, (at, now));
                message.extend_from_slice(&id.to_be_bytes());
                message.resize(message.len() + STATEMENT as usize - 8, 0);
            }
            count += load.batch;
            meter.count(at, GOSSIP, message.len() * (n - 1));
            doors[at].send(Recipients::All, message, false);
        }
        for (index, height) in heights.iter_mut().enumerate() {
            let disk = simulation.validators[index].disks[0].lock();
            for id in disk.items_after(*height) {
                if waiting.get(&id).is_some_and(|(at, _)| *at == index) {
                    let (_, since) = waiting.remove(&id).expect("it was there");
                    latencies.push(now.duration_since(since).unwrap_or_default().as_millis() as u64);
                }
            }
            *height = disk.digests().len() as u64;
        }
        simulation.context.sleep(Duration::from_millis(1)).await;
    }
    latencies.sort_unstable();
    let sums = meter.sums();
    Measured {
        blocks: simulation.agreement.height() - before.2,
        statements: count,
        sums: std::array::from_fn(|channel| sums[channel] - before.0[channel]),
        most: meter.most() - before.1,
        latencies,
    }
}

/// Prints a line of the table in docs/performance.md for each number of validators and each load. Memory grows with the square of
/// the number: fifty take more than 8 GB, so bound it (`ulimit -v`) before trying more than twenty.
#[test]
#[ignore = "a measurement, of minutes"]
fn dissemination_from_four_validators_on() {
    let text = std::env::var("TRIAD_SIM_VALIDATORS").unwrap_or_else(|_| "4,7,10,20".into());
    println!(
        "validators, load, blocks, statements, bytes each sends a block: votes, certificates, blocks, relay, rest; bytes each sends a statement; most by one; p50, p99 ms"
    );
    for n in text.split(',').filter_map(|n| n.parse::<usize>().ok()) {
        for load in LOADS {
            let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
            let config = deterministic::Config::new().with_seed(1).with_start_time(start);
            let m = deterministic::Runner::new(config).start(|context| measure(context, n, load));
            let each = |bytes: u64| bytes / m.blocks.max(1) / n as u64;
            let [votes, certificates, _, blocks, _, relay, ..] = m.sums.map(each);
            let all: u64 = m.sums.iter().sum();
            let rest = each(all) - votes - certificates - blocks - relay;
            let at = |percent: usize| m.latencies[(m.latencies.len() - 1) * percent / 100];
            println!(
                "{n} {} {} {} | {votes} {certificates} {blocks} {relay} {rest} | {} | {} | {} {}",
                load.name,
                m.blocks,
                m.statements,
                all / m.statements / n as u64,
                m.most / m.statements,
                at(50),
                at(99)
            );
        }
    }
}
