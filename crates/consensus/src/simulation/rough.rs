//! A network that delivers some messages twice, late, and after later ones.
//!
//! commonware's simulated links lose and delay, but keep the order. This stands between a link and the engine that listens.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Message, Receiver};
use commonware_runtime::{Clock as _, Handle as Task, Spawner as _, deterministic::Context};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::mpsc;

/// Messages that may be on their way at a time; more arrive at once.
const UNDERWAY: usize = 512;

/// How rough a network is, for all its links.
#[derive(Debug)]
pub(super) struct Roughness {
    /// Of a hundred messages, so many come twice, and so many late.
    pub(super) twice: u32,
    pub(super) late: u32,
    /// The most that a message comes late, in milliseconds.
    pub(super) by: u64,
    /// Everything is well now.
    pub(super) over: AtomicBool,
}

impl Roughness {
    pub(super) fn none() -> Self {
        Self { twice: 0, late: 0, by: 1, over: AtomicBool::new(true) }
    }

    /// Most networks are smooth, a few are very rough.
    pub(super) fn draw(rng: &mut impl rand::Rng) -> Self {
        let rough = rng.random_ratio(1, 3);
        let mut up_to = |most: u32| if rough { rng.random_range(0..=most) } else { 0 };
        let (twice, late) = (up_to(30), up_to(30));
        Self { twice, late, by: rng.random_range(5..3000), over: AtomicBool::new(false) }
    }

    fn is_smooth(&self) -> bool {
        self.twice == 0 && self.late == 0
    }
}

/// The end of a channel behind a rough network.
#[derive(Debug)]
pub(super) struct Rough {
    messages: mpsc::UnboundedReceiver<Message<PublicKey>>,
    capacity: NonZeroUsize,
}

/// The network is gone.
#[derive(Debug, thiserror::Error)]
#[error("the channel is closed")]
pub(super) struct Closed;

impl Receiver for Rough {
    type Error = Closed;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, Closed> {
        self.messages.recv().await.ok_or(Closed)
    }

    fn capacity(&self) -> NonZeroUsize {
        self.capacity
    }
}

/// Puts the network in front of a channel.
pub(super) fn rough<R: Receiver<PublicKey = PublicKey>>(
    context: Context,
    mut receiver: R,
    roughness: Arc<Roughness>,
    seed: u64,
) -> (Rough, Task<()>) {
    let (sender, messages) = mpsc::unbounded_channel();
    let capacity = receiver.capacity();
    let task = context.spawn(move |context| async move {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut underway: BTreeMap<(SystemTime, u64), Message<PublicKey>> = BTreeMap::new();
        let mut count = 0;
        loop {
            let now = context.current();
            while let Some(entry) = underway.first_entry().filter(|entry| entry.key().0 <= now) {
                if sender.send(entry.remove()).is_err() {
                    return;
                }
            }
            let wait = underway
                .first_key_value()
                .map_or(Duration::MAX, |((due, _), _)| due.duration_since(now).unwrap_or_default());
            let next = async {
                match wait {
                    Duration::MAX => std::future::pending().await,
                    wait => context.sleep(wait).await,
                }
            };
            let message = tokio::select! {
                biased;
                received = receiver.recv() => match received {
                    Ok(message) => message,
                    Err(_) => return,
                },
                () = next => continue,
            };
            if roughness.is_smooth() || roughness.over.load(Relaxed) || underway.len() >= UNDERWAY {
                if sender.send(message).is_err() {
                    return;
                }
                continue;
            }
            let copies = if rng.random_ratio(roughness.twice, 100) { 2 } else { 1 };
            for _ in 0..copies {
                let late = rng.random_ratio(roughness.late, 100);
                let by = if late { rng.random_range(0..roughness.by) } else { 0 };
                count += 1;
                underway.insert((now + Duration::from_millis(by), count), message.clone());
            }
        }
    });
    (Rough { messages, capacity }, task)
}
