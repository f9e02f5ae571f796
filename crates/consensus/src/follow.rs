//! Coming after the others when agreement brings nothing.
//!
//! A validator that is behind usually learns of newer blocks from certificates that the others send. Across the end of an
//! epoch nobody sends any: the others agree on the next epoch's blocks, with validators that this node does not know yet. So
//! every node says at times how far it is, and whoever is behind and stands still asks those who are further for the
//! finality of the greatest height that surely belongs to its own epoch; the blocks below follow from it. A liar can make
//! it ask for nothing more than that.
//!
//! ```text
//! far = u64 height of the sender's last durable block
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use commonware_consensus::types::Height;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_utils::vec::NonEmptyVec;

use crate::{Mailbox, engine::Runtime, epochs::Epochs, progress::Shared};

const TELL: Duration = Duration::from_millis(500);
/// How often a node that asked looks whether it has what it asked for.
const LOOK: Duration = Duration::from_millis(20);
/// Times of [`TELL`] that a node which is behind stands still before it asks.
const STILL: u32 = 2;
/// Not every final block has a certificate of its own: one of this many does.
const TRIED: u64 = 8;
/// Peers that are asked at a time.
const ASKED: usize = 4;

/// Tells and asks until the network ends.
pub(crate) async fn run<E, S, R>(
    context: E,
    (mut sender, mut receiver): (S, R),
    marshal: Mailbox,
    epochs: Epochs,
    shared: Arc<Shared>,
) where
    E: Runtime,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
{
    let progress = shared.subscribe();
    let mut far: BTreeMap<PublicKey, u64> = BTreeMap::new();
    // Where it stood at the last look, for how many looks, and what was asked for last.
    let (mut before, mut still, mut asked) = (u64::MAX, 0u32, None::<u64>);
    let mut waited = Duration::ZERO;
    loop {
        let acked = progress.borrow().acked;
        if waited >= TELL {
            waited = Duration::ZERO;
            let _ = sender.send(Recipients::All, acked.to_be_bytes().to_vec(), false);
            still = if acked == before { still.saturating_add(1) } else { 0 };
            before = acked;
        }
        let mut ahead: Vec<(&PublicKey, u64)> =
            far.iter().filter(|(_, height)| **height > acked).map(|(peer, height)| (peer, *height)).collect();
        let arrived = asked.is_some_and(|asked| acked >= asked);
        if arrived || ahead.is_empty() {
            asked = None;
        }
        if !ahead.is_empty() && (arrived || (still >= STILL && waited.is_zero())) {
            ahead.sort_by_key(|(_, height)| std::cmp::Reverse(*height));
            let reach = ahead[0].1.min(epochs.horizon(acked));
            let height = reach - u64::from(still.saturating_sub(STILL)) % TRIED.min(reach - acked);
            let peers: Vec<PublicKey> = ahead
                .iter()
                .filter(|(_, theirs)| *theirs >= height)
                .take(ASKED)
                .map(|(peer, _)| (*peer).clone())
                .collect();
            tracing::debug!(height, acked, peers = peers.len(), "asking for a final block");
            if let Ok(peers) = NonEmptyVec::try_from(peers) {
                asked = Some(height);
                marshal.hint_finalized(Height::new(height), peers);
            }
        }
        // Looked at rather than waited for: one watcher more would wake in no order.
        let wait = if asked.is_some() { LOOK } else { TELL };
        waited += wait;
        let mut pause = std::pin::pin!(context.sleep(wait));
        loop {
            tokio::select! {
                biased;
                received = receiver.recv() => {
                    let Ok((from, message)) = received else { return };
                    let bytes: bytes::Bytes = message.into();
                    if let Ok(height) = bytes.as_ref().try_into() {
                        far.insert(from, u64::from_be_bytes(height));
                    }
                }
                () = &mut pause => break,
            }
        }
    }
}
