//! The flooder: everything that it can send, all the time, to everybody, on every channel.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Recipients, Sender};
use commonware_runtime::{Clock as _, Handle as Task, Spawner as _, deterministic::Context};
use commonware_utils::sync::Mutex;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

/// Between two bursts.
const PAUSE: Duration = Duration::from_millis(20);
/// Old messages that are kept for sending again, a channel.
const KEPT: usize = 64;

/// What a flooder remembers of what it sent and heard, by channel.
#[derive(Clone, Debug, Default)]
pub(super) struct Heap(Arc<Mutex<Vec<VecDeque<Vec<u8>>>>>);

impl Heap {
    /// Keeps a message, in the place of an old one.
    pub(super) fn keep(&self, channel: u64, message: &[u8]) {
        let mut all = self.0.lock();
        let place = channel as usize;
        if all.len() <= place {
            all.resize_with(place + 1, VecDeque::new);
        }
        if all[place].len() == KEPT {
            all[place].pop_front();
        }
        all[place].push_back(message.to_vec());
    }

    fn draw(&self, channel: u64, rng: &mut StdRng) -> Option<Vec<u8>> {
        let all = self.0.lock();
        let old = all.get(channel as usize).filter(|old| !old.is_empty())?;
        Some(old[rng.random_range(0..old.len())].clone())
    }
}

/// Garbage is found out at once, and who sends it is not listened to any more; what it sent or heard before is not garbage.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stuff {
    Garbage,
    Damaged,
    OwnOld,
}

impl Stuff {
    pub(super) fn draw(rng: &mut StdRng) -> Self {
        [Self::Garbage, Self::Damaged, Self::OwnOld, Self::OwnOld][rng.random_range(0..4)]
    }

    fn message(self, channel: u64, heap: &Heap, rng: &mut StdRng) -> Option<Vec<u8>> {
        match self {
            Self::Garbage => {
                let longest = if rng.random_ratio(1, 50) { 1 << 18 } else { 300 };
                let mut garbage = vec![0; rng.random_range(0..longest)];
                rng.fill_bytes(&mut garbage);
                Some(garbage)
            }
            Self::Damaged => {
                let mut old = heap.draw(channel, rng).filter(|old| !old.is_empty())?;
                let place = rng.random_range(0..old.len());
                old[place] ^= 1 << rng.random_range(0..8);
                Some(old)
            }
            Self::OwnOld => heap.draw(channel, rng),
        }
    }
}

/// Floods until it is ended.
pub(super) fn flood<S: Sender<PublicKey = PublicKey>>(
    context: Context,
    mut channels: Vec<(u64, S)>,
    heap: Heap,
    seed: u64,
) -> Task<()> {
    context.spawn(move |context| async move {
        let mut rng = StdRng::seed_from_u64(seed);
        let stuff = Stuff::draw(&mut rng);
        loop {
            for (channel, sender) in &mut channels {
                for _ in 0..rng.random_range(1..8) {
                    if let Some(message) = stuff.message(*channel, &heap, &mut rng) {
                        sender.send(Recipients::All, message, false);
                    }
                }
            }
            context.sleep(PAUSE).await;
        }
    })
}
