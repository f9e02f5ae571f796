//! A cursor over CBOR (RFC 8949) that copies nothing and calls nothing recursively without a bound.
//!
//! `Reader<true>` accepts only the deterministic form of section 4.2.1: shortest lengths, integers and floats, no
//! indefinite lengths, map keys in strictly ascending bytewise order (so no key twice). `Reader<false>` accepts every
//! well-formed encoding; callers look for double keys themselves.

mod float;
mod well_formed;
mod writer;

use crate::limits::MAX_DEPTH;
use float::{half, shortest};
pub(crate) use well_formed::is_well_formed;
pub(crate) use writer::Writer;

/// Why an item cannot be read, and where (from the start of the statement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Not CBOR.
    Malformed,
    /// CBOR, not deterministic.
    NonDeterministic,
    /// Another type than the format wants here.
    Unexpected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Major {
    Unsigned,
    Negative,
    Bytes,
    Text,
    Array,
    Map,
    Tag,
    Simple,
}

/// Initial byte and argument of an item. `info` 31 is an indefinite length (or a break).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) major: Major,
    pub(crate) info: u8,
    pub(crate) value: u64,
}

/// An integer of CBOR's range: −2^64 to 2^64 − 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Integer {
    /// The value is −1 − `argument`.
    pub(crate) negative: bool,
    pub(crate) argument: u64,
}

/// A number of any encoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Integer(Integer),
    Float(f64),
    /// `mantissa × 10^exponent` (tag 4).
    Decimal {
        exponent: i64,
        mantissa: Integer,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Reader<'a, const STRICT: bool> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

type Read<T> = Result<T, Fault>;

impl<'a, const STRICT: bool> Reader<'a, STRICT> {
    /// Reads `bytes`, which start at `base` in the statement.
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Position in the statement.
    pub(crate) fn offset(&self) -> usize {
        self.base + self.at
    }

    fn fault(&self, kind: FaultKind, at: usize, what: &'static str) -> Fault {
        Fault { kind, offset: self.base + at, what }
    }

    fn malformed<T>(&self, at: usize, what: &'static str) -> Read<T> {
        Err(self.fault(FaultKind::Malformed, at, what))
    }

    fn unexpected<T>(&self, at: usize, what: &'static str) -> Read<T> {
        Err(self.fault(FaultKind::Unexpected, at, what))
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Read<()> {
        if self.at == self.bytes.len() { Ok(()) } else { self.malformed(self.at, "bytes follow the item") }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..count)) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => self.malformed(self.bytes.len(), "the bytes end in the middle of an item"),
        }
    }

    #[inline]
    pub(crate) fn head(&mut self) -> Read<Head> {
        let start = self.at;
        let Some(&initial) = self.bytes.get(start) else {
            return self.malformed(start, "the bytes end where an item is expected");
        };
        self.at += 1;
        let info = initial & 0x1f;
        let major = match initial >> 5 {
            0 => Major::Unsigned,
            1 => Major::Negative,
            2 => Major::Bytes,
            3 => Major::Text,
            4 => Major::Array,
            5 => Major::Map,
            6 => Major::Tag,
            _ => Major::Simple,
        };
        if info < 24 {
            return Ok(Head { major, info, value: u64::from(info) });
        }
        let value = self.argument(major, info, start)?;
        Ok(Head { major, info, value })
    }

    fn argument(&mut self, major: Major, info: u8, start: usize) -> Read<u64> {
        let (value, smallest) = match info {
            24 => (u64::from(self.take(1)?[0]), 24),
            25 => (self.take(2)?.iter().fold(0, join), 1 << 8),
            26 => (self.take(4)?.iter().fold(0, join), 1 << 16),
            27 => (self.take(8)?.iter().fold(0, join), 1 << 32),
            31 if !matches!(major, Major::Unsigned | Major::Negative | Major::Tag) => {
                if STRICT && major != Major::Simple {
                    return Err(self.fault(FaultKind::NonDeterministic, start, "an indefinite length"));
                }
                return Ok(0);
            }
            _ => return self.malformed(start, "a reserved initial byte"),
        };
        if major == Major::Simple {
            if info == 24 && value < 32 {
                return self.malformed(start, "a simple value in a reserved form");
            }
        } else if STRICT && value < smallest {
            return Err(self.fault(
                FaultKind::NonDeterministic,
                start,
                "a length or integer longer than needed",
            ));
        }
        Ok(value)
    }

    /// The major type of the next item, without reading it.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// A definite length that this many items (or bytes) could follow.
    fn definite(&self, head: Head, start: usize) -> Read<usize> {
        if head.info == 31 {
            return self.unexpected(start, "an indefinite length");
        }
        match usize::try_from(head.value) {
            Ok(length) if length <= self.bytes.len() - self.at => Ok(length),
            _ => self.malformed(self.bytes.len(), "the bytes end in the middle of an item"),
        }
    }

    #[inline]
    fn expect(&mut self, major: Major, what: &'static str) -> Read<(Head, usize)> {
        let start = self.at;
        let head = self.head()?;
        if head.major == major { Ok((head, start)) } else { self.unexpected(start, what) }
    }

    /// A byte string of definite length.
    #[inline]
    pub(crate) fn bytes(&mut self, what: &'static str) -> Read<&'a [u8]> {
        let (head, start) = self.expect(Major::Bytes, what)?;
        let length = self.definite(head, start)?;
        self.take(length)
    }

    /// A text string of definite length.
    #[inline]
    pub(crate) fn text(&mut self, what: &'static str) -> Read<&'a str> {
        let (head, start) = self.expect(Major::Text, what)?;
        let length = self.definite(head, start)?;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => Ok(text),
            Err(_) => self.malformed(start, "a text string that is not UTF-8"),
        }
    }

    /// The length of a definite array.
    #[inline]
    pub(crate) fn array(&mut self, what: &'static str) -> Read<usize> {
        let (head, start) = self.expect(Major::Array, what)?;
        self.definite(head, start)
    }

    /// The number of pairs of a map, `None` for a map that a break ends.
    #[inline]
    pub(crate) fn map(&mut self, what: &'static str) -> Read<Option<usize>> {
        let (head, start) = self.expect(Major::Map, what)?;
        if head.info == 31 {
            return Ok(None);
        }
        self.definite(head, start).map(Some)
    }

    /// Whether another pair follows in a map whose count [`map`](Self::map) gave; reads the break.
    #[inline]
    pub(crate) fn more(&mut self, left: &mut Option<usize>) -> bool {
        match left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None if self.peek() == Some(0xff) => {
                self.at += 1;
                false
            }
            None => true,
        }
    }

    /// An integer that fits 64 bits with its sign.
    #[inline]
    pub(crate) fn integer(&mut self, what: &'static str) -> Read<i64> {
        let start = self.at;
        let head = self.head()?;
        let value = i64::try_from(head.value);
        match (head.major, value) {
            (Major::Unsigned, Ok(value)) => Ok(value),
            (Major::Negative, Ok(value)) => Ok(-1 - value),
            _ => self.unexpected(start, what),
        }
    }

    /// An unsigned integer.
    pub(crate) fn unsigned(&mut self, what: &'static str) -> Read<u64> {
        self.expect(Major::Unsigned, what).map(|(head, _)| head.value)
    }

    /// `true` or `false`.
    pub(crate) fn bool(&mut self, what: &'static str) -> Read<bool> {
        let (head, start) = self.expect(Major::Simple, what)?;
        match head.info {
            20 => Ok(false),
            21 => Ok(true),
            _ => self.unexpected(start, what),
        }
    }

    /// An integer, a float or a decimal fraction whose mantissa and exponent fit 64 bits.
    #[inline]
    pub(crate) fn number(&mut self, what: &'static str) -> Read<Number> {
        let start = self.at;
        let head = self.head()?;
        match head.major {
            Major::Unsigned | Major::Negative => Ok(Number::Integer(Integer::from(head))),
            Major::Simple => self.float(head, start, what).map(Number::Float),
            Major::Tag if head.value == 4 => {
                if self.array(what)? != 2 {
                    return self.unexpected(start, what);
                }
                let exponent = self.integer(what)?;
                let at = self.at;
                let mantissa = self.head()?;
                match mantissa.major {
                    Major::Unsigned | Major::Negative => {
                        Ok(Number::Decimal { exponent, mantissa: Integer::from(mantissa) })
                    }
                    _ => self.unexpected(at, what),
                }
            }
            _ => self.unexpected(start, what),
        }
    }

    fn float(&self, head: Head, start: usize, what: &'static str) -> Read<f64> {
        let value = match head.info {
            25 => half(head.value as u16),
            26 => f64::from(f32::from_bits(head.value as u32)),
            27 => f64::from_bits(head.value),
            _ => return self.unexpected(start, what),
        };
        if STRICT && !shortest(head.info, value) {
            return Err(self.fault(FaultKind::NonDeterministic, start, "a float longer than needed"));
        }
        Ok(value)
    }

    /// Reads over one item of any kind. In strict mode it must be deterministic all through.
    pub(crate) fn skip(&mut self) -> Read<()> {
        self.skip_within(MAX_DEPTH)
    }

    fn skip_within(&mut self, depth: usize) -> Read<()> {
        let start = self.at;
        let head = self.head()?;
        let Some(below) = depth.checked_sub(1) else {
            return self.unexpected(start, "items nested too deep");
        };
        match head.major {
            Major::Unsigned | Major::Negative => Ok(()),
            Major::Bytes | Major::Text if head.info == 31 => self.skip_chunks(head.major),
            Major::Bytes => {
                let length = self.definite(head, start)?;
                self.take(length).map(drop)
            }
            Major::Text => {
                let length = self.definite(head, start)?;
                match std::str::from_utf8(self.take(length)?) {
                    Ok(_) => Ok(()),
                    Err(_) => self.malformed(start, "a text string that is not UTF-8"),
                }
            }
            Major::Tag => self.skip_within(below),
            Major::Array => {
                let mut left = if head.info == 31 { None } else { Some(self.definite(head, start)?) };
                while self.more(&mut left) {
                    self.skip_within(below)?;
                }
                Ok(())
            }
            Major::Map => {
                let mut left = if head.info == 31 { None } else { Some(self.definite(head, start)?) };
                let mut previous = None;
                while self.more(&mut left) {
                    let key = self.at;
                    self.skip_within(below)?;
                    self.ascending(&mut previous, key)?;
                    self.skip_within(below)?;
                }
                Ok(())
            }
            Major::Simple => match head.info {
                31 => self.malformed(start, "a break outside an indefinite length"),
                25..=27 => self.float(head, start, "").map(drop),
                _ => Ok(()),
            },
        }
    }

    fn skip_chunks(&mut self, major: Major) -> Read<()> {
        let mut left = None;
        while self.more(&mut left) {
            let start = self.at;
            let chunk = self.head()?;
            if chunk.major != major || chunk.info == 31 {
                return self.malformed(start, "a chunk of another type in a string");
            }
            let length = self.definite(chunk, start)?;
            let content = self.take(length)?;
            if major == Major::Text && std::str::from_utf8(content).is_err() {
                return self.malformed(start, "a text string that is not UTF-8");
            }
        }
        Ok(())
    }

    /// Checks, in strict mode, that the key just read, which began at `key`, sorts after the one before.
    pub(crate) fn ascending(&self, previous: &mut Option<(usize, usize)>, key: usize) -> Read<()> {
        if STRICT {
            if let Some((start, end)) = *previous
                && self.bytes[start..end] >= self.bytes[key..self.at]
            {
                return Err(self.fault(FaultKind::NonDeterministic, key, "a map key twice or out of order"));
            }
            *previous = Some((key, self.at));
        }
        Ok(())
    }

    /// Position in the bytes of this reader, for [`ascending`](Self::ascending) and [`slice`](Self::slice).
    pub(crate) fn position(&self) -> usize {
        self.at
    }
}

impl From<Head> for Integer {
    fn from(head: Head) -> Self {
        Self { negative: head.major == Major::Negative, argument: head.value }
    }
}

fn join(value: u64, byte: &u8) -> u64 {
    value << 8 | u64::from(*byte)
}

#[cfg(test)]
mod tests;
