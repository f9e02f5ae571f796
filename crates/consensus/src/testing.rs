//! A validator that has left the protocol: it sends everybody garbage and what it has heard, on all channels, as fast as the others
//! take it. For tests of processes; nothing else can send faster than the rates that all know.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Clock as _, Runner as _, Spawner as _, Supervisor as _};
use commonware_utils::sync::Mutex;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::Notify;

use crate::{
    Application, At, Block, Config, ConsensusError, Header, Stored,
    engine::{Channels, Runtime},
    handle::{Prepared, prepare},
    peers::{self, Opened},
};

/// How much faster than anybody may. Its own network makes room for a second at that rate.
const HASTE: u32 = 10;
/// Messages of each channel that are kept to be sent again.
const HEARD: usize = 64;
const PAUSE: Duration = Duration::from_millis(1);

/// A running flooder. Dropping it ends it.
#[derive(Debug)]
pub struct Flooder {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flooder {
    /// Takes the place of a validator, whose key and peers `config` has.
    pub fn start(config: Config) -> Result<Flooder, ConsensusError> {
        let Prepared { runner, directory, setup } = prepare(config, Nothing)?;
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (stop.clone(), sent.clone());
        let flood = move || {
            runner.start(|context| async move {
                let Opened { network, channels, gossip, limit, .. } =
                    peers::open(context.child("p2p"), &setup, HASTE);
                let _network = network.start();
                let Channels { votes, certificates, resolver, broadcast, backfill, recall, follow } =
                    channels;
                let others = [recall, follow].into_iter().flatten();
                let all =
                    [votes, certificates, resolver, broadcast, backfill, gossip].into_iter().chain(others);
                for (n, channel) in all.enumerate() {
                    let (task, sent) = (context.child("flood"), counted.clone());
                    task.spawn(move |context| flood(context, channel, limit as usize, n as u64, sent));
                }
                while !stopped.load(Relaxed) {
                    context.sleep(Duration::from_millis(20)).await;
                }
            });
            drop(directory);
        };
        Ok(Flooder { stop, sent, thread: Some(std::thread::spawn(flood)) })
    }

    /// Messages that it gave to its network so far, which drops what a connection does not take.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic was printed.
            let _ = thread.join();
        }
    }
}

async fn flood<S, R>(
    context: impl Runtime,
    (mut to, mut from): (S, R),
    limit: usize,
    n: u64,
    sent: Arc<AtomicU64>,
) where
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let heard = Arc::new(Mutex::new(Vec::<Bytes>::new()));
    let keep = heard.clone();
    context.child("hear").spawn(move |_| async move {
        while let Ok((_, message)) = from.recv().await {
            let mut heard = keep.lock();
            if heard.len() == HEARD {
                heard.remove(0);
            }
            heard.push(Bytes::copy_from_slice(message.as_ref()));
        }
    });
    let mut rng = StdRng::seed_from_u64(n);
    let mut large = vec![0; limit];
    rng.fill_bytes(&mut large);
    let large = Bytes::from(large);
    loop {
        let message = match rng.random_range(0..3) {
            0 => large.clone(),
            1 => large.slice(..rng.random_range(1..200.min(limit))),
            _ => {
                let heard = heard.lock();
                let Some(message) =
                    (!heard.is_empty()).then(|| heard[rng.random_range(0..heard.len())].clone())
                else {
                    continue;
                };
                message
            }
        };
        to.send(Recipients::All, message, false);
        sent.fetch_add(1, Relaxed);
        context.sleep(PAUSE).await;
    }
}

/// No ledger at all.
#[derive(Clone)]
struct Nothing;

impl Application for Nothing {
    fn genesis(&self) -> Block {
        unreachable!("a flooder agrees on nothing")
    }

    fn header(_: &[u8]) -> Result<Header, String> {
        Err("a flooder reads nothing".into())
    }

    async fn propose(&self, _: Block, _: u32, _: bool) -> Option<Block> {
        None
    }

    async fn verify(&self, _: Block, _: Block, _: u32) -> bool {
        false
    }

    fn knows(&self, _: &[u8; 32]) -> bool {
        false
    }

    async fn adopt(&self, _: Block) -> bool {
        false
    }

    async fn finalized(&self, _: Block, _: Option<Bytes>) -> Result<(), String> {
        Ok(())
    }

    fn work(&self) -> Arc<Notify> {
        Arc::default()
    }

    fn final_height(&self) -> u64 {
        0
    }

    async fn stored(&self, _: At) -> Option<Stored> {
        None
    }
}
