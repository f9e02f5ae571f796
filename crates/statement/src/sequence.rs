//! Which numbers a signer has used.
//!
//! A sequence number is a u64: an epoch (high 32 bits) that only the device's owner raises, on chain, and a counter
//! (low 32 bits) that only the device raises. Of the current epoch the ledger keeps the highest counter accepted and
//! which of the 1,024 below it were. Each number is accepted once, in any order within that window. Replay of old
//! statements is thus impossible for ever, in 24 bytes of memory for a signer that sends in order.

use crate::limits::SEQUENCE_WINDOW;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A statement's number among its signer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Sequence(pub u64);

impl Sequence {
    /// Joins epoch and counter.
    pub fn new(epoch: u32, counter: u32) -> Self {
        Self(u64::from(epoch) << 32 | u64::from(counter))
    }

    /// The high half: raised by the owner.
    pub fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The low half: raised by the device.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a window says about a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freshness {
    /// Not used yet: may be accepted.
    Fresh,
    /// Accepted before: a duplicate, or equivocation if the identity differs.
    Seen,
    /// Below the window: nobody can say any more.
    TooOld,
    /// Not the signer's current epoch.
    WrongEpoch,
}

/// The numbers that one signer has used.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct SequenceWindow {
    epoch: u32,
    highest: u32,
    seen: Seen,
}

/// Which numbers were accepted. Each state has exactly one representation, so equal windows encode equally.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
enum Seen {
    /// None in this epoch.
    #[default]
    Nothing,
    /// The highest, and exactly this many directly below it (at most [`SEQUENCE_WINDOW`]).
    Run(u16),
    /// The highest, and bit `i % 64` of word `i / 64` for the number `highest − 1 − i`; never a run.
    Sparse(Box<Bits>),
}

const WORDS: usize = SEQUENCE_WINDOW as usize / 64;
type Bits = [u64; WORDS];

impl SequenceWindow {
    /// A window for a signer in this epoch that has used no number yet.
    pub fn new(epoch: u32) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// The only epoch in which numbers are accepted.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The highest number accepted in this epoch.
    pub fn highest(&self) -> Option<Sequence> {
        (self.seen != Seen::Nothing).then(|| Sequence::new(self.epoch, self.highest))
    }

    /// The lowest number that a device may safely use next: one above the highest. `None` when the epoch is used up.
    pub fn next(&self) -> Option<Sequence> {
        match self.seen {
            Seen::Nothing => Some(Sequence::new(self.epoch, 0)),
            _ => self.highest.checked_add(1).map(|counter| Sequence::new(self.epoch, counter)),
        }
    }

    /// Says what would become of a number, changing nothing.
    pub fn check(&self, sequence: Sequence) -> Freshness {
        if sequence.epoch() != self.epoch {
            return Freshness::WrongEpoch;
        }
        let counter = sequence.counter();
        if self.seen == Seen::Nothing || counter > self.highest {
            return Freshness::Fresh;
        }
        let below = self.highest - counter;
        let seen = match &self.seen {
            _ if below == 0 => true,
            _ if below > SEQUENCE_WINDOW => return Freshness::TooOld,
            Seen::Nothing => false,
            Seen::Run(length) => below <= u32::from(*length),
            Seen::Sparse(bits) => get(bits, below - 1),
        };
        if seen { Freshness::Seen } else { Freshness::Fresh }
    }

    /// Accepts a number if it is fresh; otherwise changes nothing and says why.
    pub fn accept(&mut self, sequence: Sequence) -> Freshness {
        let freshness = self.check(sequence);
        if freshness == Freshness::Fresh {
            self.insert(sequence.counter());
        }
        freshness
    }

    /// Moves to a higher epoch, where no number is used yet; a lower or equal one changes nothing. Says if it moved.
    pub fn raise_epoch(&mut self, epoch: u32) -> bool {
        let higher = epoch > self.epoch;
        if higher {
            *self = Self::new(epoch);
        }
        higher
    }

    fn insert(&mut self, counter: u32) {
        if self.seen == Seen::Nothing {
            (self.highest, self.seen) = (counter, Seen::Run(0));
            return;
        }
        if let Seen::Run(length) = &mut self.seen
            && counter == self.highest.wrapping_add(1)
        {
            *length = (*length + 1).min(SEQUENCE_WINDOW as u16);
            self.highest = counter;
            return;
        }
        let mut bits = self.bits();
        if counter > self.highest {
            let up = counter - self.highest;
            shift_up(&mut bits, up);
            if up <= SEQUENCE_WINDOW {
                set(&mut bits, up - 1);
            }
            self.highest = counter;
        } else {
            set(&mut bits, self.highest - counter - 1);
        }
        self.seen = Seen::from_bits(bits);
    }

    fn bits(&self) -> Bits {
        match &self.seen {
            Seen::Sparse(bits) => **bits,
            Seen::Nothing => [0; WORDS],
            Seen::Run(length) => ones(u32::from(*length)),
        }
    }

    /// One byte that says what follows (0 nothing, 1 run, 2 sparse), the epoch, and unless nothing: the highest counter,
    /// then a run's length in two bytes, or the bitmap without its trailing zero bytes. The bit `i % 8` of bitmap byte
    /// `i / 8` stands for the number `highest − 1 − i`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(11);
        out.push(match self.seen {
            Seen::Nothing => 0,
            Seen::Run(_) => 1,
            Seen::Sparse(_) => 2,
        });
        out.extend(self.epoch.to_be_bytes());
        match &self.seen {
            Seen::Nothing => {}
            Seen::Run(length) => {
                out.extend(self.highest.to_be_bytes());
                out.extend(length.to_be_bytes());
            }
            Seen::Sparse(bits) => {
                out.extend(self.highest.to_be_bytes());
                out.extend(bits.iter().flat_map(|word| word.to_le_bytes()));
                while out.last() == Some(&0) {
                    out.pop();
                }
            }
        }
        out
    }

    /// Reads what [`encode`](Self::encode) writes; `None` for anything that it never writes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (epoch, rest) =
            rest.split_first_chunk().map(|(epoch, rest)| (u32::from_be_bytes(*epoch), rest))?;
        if kind == 0 {
            return rest.is_empty().then(|| Self::new(epoch));
        }
        let (highest, rest) =
            rest.split_first_chunk().map(|(highest, rest)| (u32::from_be_bytes(*highest), rest))?;
        let exists = highest.min(SEQUENCE_WINDOW);
        let seen = match kind {
            1 => Seen::Run(u16::from_be_bytes(rest.try_into().ok()?)),
            2 if rest.len() <= WORDS * 8 && rest.last() != Some(&0) => {
                let mut bits = [0; WORDS];
                for (index, byte) in rest.iter().enumerate() {
                    bits[index / 8] |= u64::from(*byte) << (index % 8 * 8);
                }
                Seen::Sparse(Box::new(bits))
            }
            _ => return None,
        };
        let valid = match &seen {
            Seen::Run(length) => u32::from(*length) <= exists,
            Seen::Sparse(bits) => {
                let all = ones(exists);
                bits.iter().zip(all).all(|(word, all)| word & !all == 0) && Seen::from_bits(**bits) == seen
            }
            Seen::Nothing => false,
        };
        valid.then_some(Self { epoch, highest, seen })
    }
}

impl Seen {
    fn from_bits(bits: Bits) -> Self {
        let length: u32 = bits.iter().map(|word| word.count_ones()).sum();
        if bits == ones(length) { Self::Run(length as u16) } else { Self::Sparse(Box::new(bits)) }
    }
}

fn get(bits: &Bits, index: u32) -> bool {
    bits[index as usize / 64] >> (index % 64) & 1 == 1
}

fn set(bits: &mut Bits, index: u32) {
    bits[index as usize / 64] |= 1 << (index % 64);
}

/// The first `count` bits set.
fn ones(count: u32) -> Bits {
    std::array::from_fn(|word| match count.saturating_sub(word as u32 * 64) {
        left if left >= 64 => u64::MAX,
        left => (1 << left) - 1,
    })
}

/// Moves every bit `by` places up; what leaves the window is forgotten.
fn shift_up(bits: &mut Bits, by: u32) {
    let (words, rest) = (by as usize / 64, by % 64);
    for index in (0..WORDS).rev() {
        let source = |back: usize| index.checked_sub(words + back).map_or(0, |at| bits[at]);
        bits[index] = if rest == 0 { source(0) } else { source(0) << rest | source(1) >> (64 - rest) };
    }
}

#[cfg(test)]
mod tests;
