//! Traitors that are honest but for what they send: the withholder and the body server.

use std::{sync::Arc, time::Duration};

use commonware_cryptography::ed25519::PublicKey;
use commonware_utils::sync::Mutex;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::bent::{Fate, Trick};

/// Numbers of the channels, as a node has them.
pub(super) const BROADCAST: u64 = 3;
pub(super) const BACKFILL: u64 = 4;

/// Sends each kind of message to some at once, to some long after, and to some never. Who is who is drawn at each start.
pub(super) fn withhold(keys: &[PublicKey], seed: u64) -> Trick {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut draw = || match rng.random_range(0..4) {
        0 => Fate::Withheld,
        1 => Fate::Late(Duration::from_millis(rng.random_range(200..4000))),
        _ => Fate::Sent,
    };
    let fates: Vec<Vec<Fate>> = keys.iter().map(|_| (0..=BACKFILL).map(|_| draw()).collect()).collect();
    let keys = keys.to_vec();
    Arc::new(move |channel, to, _| {
        let who = keys.iter().position(|key| key == to);
        // Questions about votes and heights it asks and answers as everybody.
        let fate = who.and_then(|who| fates[who].get(channel as usize));
        fate.cloned().unwrap_or(Fate::Sent)
    })
}

/// Gives another block than the one that was asked for or announced, with the certificate of the right one: blocks stand at the
/// end of a message, and end with an item or the salt.
pub(super) fn serve_other_bodies(seed: u64) -> Trick {
    let rng = Mutex::new(StdRng::seed_from_u64(seed));
    Arc::new(move |channel, _, bytes| {
        let holds_block = bytes.len() > 64 && (channel == BROADCAST || channel == BACKFILL);
        if !holds_block || rng.lock().random() {
            return Fate::Sent;
        }
        let mut other = bytes.to_vec();
        *other.last_mut().expect("it is long") ^= 1;
        Fate::Replaced(other)
    })
}
