//! Blocks on their way between validators, without what their receivers hold already.
//!
//! What a door accepted is relayed to all nodes at once, so most of a block's items are there before the block is. A leader
//! therefore sends an *outline*, in which the ledger names such items instead of repeating them; the receiver puts the block
//! together from what it heard, and asks for what it lacks. Between the engine and its channel, so neither it nor marshal
//! knows; what comes out is the very message that went in, or nothing: the ledger checks the block's own hash.
//!
//! ```text
//! whole = 0x00 ‖ message
//! slim  = 0x01 ‖ number u64 ‖ outline           number: counts the sender's slim messages
//! want  = 0x02 ‖ number u64 ‖ place u32 …       to the sender: items by their places; none: the whole
//! items = 0x03 ‖ number u64 ‖ (length u32 ‖ item) …
//! ```
//!
//! A sender answers each peer once with items of a block and once with the whole.
//!
//! Nothing depends on an answer: a block that cannot be put together is as one that was lost on the way, and marshal fetches it
//! once others certify it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    num::NonZeroUsize,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::SystemTime,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_actor::{Feedback, Unreliable};
use commonware_codec::{Decode as _, Encode as _, RangeCfg};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{CheckedSender, LimitedSender, Message, Receiver, Recipients, Sender};
use commonware_runtime::IoBufs;
use commonware_utils::sync::Mutex;

use crate::{Application, Filled, Stats};

const WHOLE: u8 = 0;
const SLIM: u8 = 1;
const WANT: u8 = 2;
const ITEMS: u8 = 3;
/// Bytes that these messages have more than the engine's own.
pub(crate) const HEAD: usize = 9;
/// Newest blocks sent that somebody may ask about.
const SENT: usize = 8;
/// Blocks of which items are missing, of all peers together and of one.
const OPEN: usize = 32;
const OPEN_EACH: usize = 4;

/// The newest blocks sent as outlines, and how many there were.
#[derive(Debug, Default)]
struct Sent(Mutex<(u64, VecDeque<SentBlock>)>);

#[derive(Debug)]
struct SentBlock {
    number: u64,
    block: Bytes,
    /// Who got items of it, and who the whole of it (true): each once.
    served: BTreeSet<(Vec<u8>, bool)>,
}

impl Sent {
    /// The number that a block is sent under.
    fn number(&self, block: Bytes) -> u64 {
        let mut sent = self.0.lock();
        let (last, newest) = &mut *sent;
        // Sent again, to others.
        if let Some(known) = newest.iter().find(|known| known.block == block) {
            return known.number;
        }
        *last += 1;
        if newest.len() == SENT {
            newest.pop_front();
        }
        newest.push_back(SentBlock { number: *last, block, served: BTreeSet::new() });
        *last
    }

    /// A block for a peer that asks for items of it, or for the whole; `None` when it had that before.
    fn get(&self, number: u64, peer: &[u8], whole: bool) -> Option<Bytes> {
        let mut sent = self.0.lock();
        let found = sent.1.iter_mut().find(|sent| sent.number == number)?;
        found.served.insert((peer.to_vec(), whole)).then(|| found.block.clone())
    }
}

fn numbered(kind: u8, number: u64, rest: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(kind);
    out.put_u64(number);
    for part in rest {
        out.put_slice(part.as_ref());
    }
    out.freeze()
}

fn whole(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + message.len());
    out.put_u8(WHOLE);
    out.put_slice(message);
    out.freeze()
}

/// Wraps both ends of the channel that blocks travel on. `max_bytes` bounds a block.
pub(crate) fn slim<A: Application, S: Sender, R: Receiver>(
    app: A,
    max_bytes: usize,
    stats: Arc<Stats>,
    (sender, receiver): (S, R),
) -> (SlimSender<A, S>, SlimReceiver<A, S, R>) {
    let out = SlimSender { inner: sender, app, max_bytes, sent: Arc::default() };
    (out.clone(), SlimReceiver { inner: receiver, out, open: VecDeque::new(), stats })
}

/// Sends blocks as outlines where the ledger makes one.
#[derive(Clone)]
pub(crate) struct SlimSender<A, S> {
    inner: S,
    app: A,
    max_bytes: usize,
    sent: Arc<Sent>,
}

impl<A: Application, S: Sender> LimitedSender for SlimSender<A, S> {
    type PublicKey = S::PublicKey;
    type Checked<'a> = SlimChecked<'a, A, S>;

    fn check(&mut self, recipients: Recipients<S::PublicKey>) -> Result<Self::Checked<'_>, SystemTime> {
        let Self { inner, app, max_bytes, sent } = self;
        Ok(SlimChecked { inner: inner.check(recipients)?, app, max_bytes: *max_bytes, sent })
    }
}

/// A [`SlimSender`] that knows its recipients.
pub(crate) struct SlimChecked<'a, A, S: Sender> {
    inner: S::Checked<'a>,
    app: &'a A,
    max_bytes: usize,
    sent: &'a Sent,
}

impl<A: Application, S: Sender> CheckedSender for SlimChecked<'_, A, S> {
    type PublicKey = S::PublicKey;

    fn recipients(&self) -> Vec<S::PublicKey> {
        self.inner.recipients()
    }

    fn send(self, message: impl Into<IoBufs> + Send, priority: bool) -> Unreliable<Feedback> {
        let message: Bytes = message.into().coalesce().into();
        // A lone validator's blocks go to nobody: no work for them.
        if self.inner.recipients().is_empty() {
            return self.inner.send(message, priority);
        }
        let block = Bytes::decode_cfg(message.clone(), &RangeCfg::from(0..=self.max_bytes)).ok();
        let outline = block.and_then(|block| Some((self.app.outline(&block)?, block)));
        let framed = match outline {
            Some((outline, block)) => numbered(SLIM, self.sent.number(block), [outline]),
            None => whole(&message),
        };
        self.inner.send(framed, priority)
    }
}

/// A block of which something is missing.
struct Open<P> {
    from: P,
    number: u64,
    outline: Bytes,
    /// What was asked for, in this order; none: all of it.
    places: Vec<u32>,
}

/// Puts blocks together, and answers others who do.
pub(crate) struct SlimReceiver<A, S, R: Receiver> {
    inner: R,
    out: SlimSender<A, S>,
    open: VecDeque<Open<R::PublicKey>>,
    stats: Arc<Stats>,
}

impl<A, S, R: Receiver> fmt::Debug for SlimReceiver<A, S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlimReceiver").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<A, S, R> SlimReceiver<A, S, R>
where
    A: Application,
    R: Receiver,
    S: Sender<PublicKey = R::PublicKey>,
{
    /// The engine's message, once there is one.
    fn take(&mut self, from: &R::PublicKey, bytes: &Bytes) -> Option<Bytes> {
        let (&kind, rest) = bytes.split_first()?;
        if kind == WHOLE {
            self.stats.whole_blocks.fetch_add(1, Relaxed);
            return Some(bytes.slice(1..));
        }
        let (number, rest) = rest.split_first_chunk().map(|(n, rest)| (u64::from_be_bytes(*n), rest))?;
        match kind {
            SLIM => {
                self.stats.outlines.fetch_add(1, Relaxed);
                let outline = bytes.slice_ref(rest);
                match self.out.app.fill(&outline, &BTreeMap::new()) {
                    Filled::Whole(block) => return Some(block.encode()),
                    Filled::Lacks(places) => self.want(from, number, outline, places),
                    Filled::Wrong => self.want(from, number, Bytes::new(), Vec::new()),
                }
            }
            WANT => {
                let (places, odd) = rest.as_chunks();
                let places: Vec<u32> = places.iter().map(|place| u32::from_be_bytes(*place)).collect();
                let block = self.out.sent.get(number, from.as_ref(), places.is_empty());
                let answer = block.filter(|_| odd.is_empty()).and_then(|block| {
                    if places.is_empty() {
                        return Some(whole(&block.encode()));
                    }
                    let items = self.out.app.items(&block, &places)?;
                    // No answer is longer than the block, and so than what the network admits.
                    if items.iter().map(|item| item.len() + 4).sum::<usize>() > block.len() {
                        return Some(whole(&block.encode()));
                    }
                    let parts = items.iter().flat_map(|item| {
                        [Bytes::copy_from_slice(&(item.len() as u32).to_be_bytes()), item.clone()]
                    });
                    Some(numbered(ITEMS, number, parts))
                });
                if let Some(answer) = answer {
                    let _ = self.out.inner.send(Recipients::One(from.clone()), answer, true);
                }
            }
            ITEMS => {
                let at = self.open.iter().position(|open| open.from == *from && open.number == number)?;
                let open = self.open.remove(at)?;
                let items = split(bytes.slice_ref(rest))?;
                if items.len() == open.places.len()
                    && let Filled::Whole(block) =
                        self.out.app.fill(&open.outline, &open.places.into_iter().zip(items).collect())
                {
                    return Some(block.encode());
                }
                // Two items with one name, or a peer that answers something else.
                self.want(from, number, Bytes::new(), Vec::new());
            }
            _ => tracing::debug!(kind, "a message about a block is not understood"),
        }
        None
    }

    /// Asks the sender of a block for items of it, or for all.
    fn want(&mut self, from: &R::PublicKey, number: u64, outline: Bytes, places: Vec<u32>) {
        self.stats.items_asked.fetch_add(places.len() as u64, Relaxed);
        let question = numbered(WANT, number, places.iter().map(|place| place.to_be_bytes()));
        if !places.is_empty() {
            let of_peer = self.open.iter().filter(|open| open.from == *from).count();
            let oldest = match of_peer >= OPEN_EACH {
                true => self.open.iter().position(|open| open.from == *from),
                false => (self.open.len() >= OPEN).then_some(0),
            };
            if let Some(oldest) = oldest {
                self.open.remove(oldest);
            }
            self.open.push_back(Open { from: from.clone(), number, outline, places });
        }
        let _ = self.out.inner.send(Recipients::One(from.clone()), question, true);
    }
}

/// The items of an answer; `None` if it is none.
fn split(bytes: Bytes) -> Option<Vec<Bytes>> {
    let mut rest: &[u8] = &bytes;
    let mut items = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (item, behind) = behind.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        items.push(bytes.slice_ref(item));
        rest = behind;
    }
    rest.is_empty().then_some(items)
}

impl<A, S, R> Receiver for SlimReceiver<A, S, R>
where
    A: Application,
    R: Receiver<PublicKey = PublicKey>,
    S: Sender<PublicKey = PublicKey>,
{
    type Error = R::Error;
    type PublicKey = PublicKey;

    async fn recv(&mut self) -> Result<Message<PublicKey>, R::Error> {
        loop {
            let (from, message) = self.inner.recv().await?;
            let bytes: Bytes = message.into();
            self.stats.block_bytes.fetch_add(bytes.len() as u64, Relaxed);
            if let Some(message) = self.take(&from, &bytes) {
                return Ok((from, message.into()));
            }
        }
    }

    fn capacity(&self) -> NonZeroUsize {
        self.inner.capacity()
    }
}
