//! What nodes tell each other beside consensus.
//!
//! ```text
//! hello = [1, 0, program tstr, height uint, tip uint, time_ms uint, http tstr]       CBOR, each half second
//! keeps = [1, 2, oldest uint, height uint, root bstr, key bstr, signature bstr]      CBOR, each five seconds
//! work  = [1, 1, [statement bstr …], [transaction bstr …]]                           what a door has just accepted
//! ask   = [1, 3, level uint, first uint, count uint]                                 to one: for tiles of the log
//! tiles = [1, 4, level uint, first uint, hashes bstr]                                the answer; empty: not to be had here
//! ```
//!
//! The connection proves who speaks, and its namespace holds the genesis hash. `height` is the sender's last stored block,
//! `oldest` is the first block whose statements the sender keeps (0: all), `height` to `signature` its validator's word for its
//! newest snapshot (0 and empty strings: none). `tip` the highest that it knows to be final, `time_ms` its clock, `http` where its API listens (empty: nowhere). A message
//! of another version or shape is counted and ignored.

use bytes::Bytes;
use minicbor::{Decoder, Encoder};
use triad_chain::{SnapshotSignature, SnapshotWord, TileRun};

const VERSION: u32 = 1;
/// Bytes of a work message at most, heads included.
pub const MAX_WORK_BYTES: usize = triad_consensus::MAX_GOSSIP_BYTES - 64;
/// Names and addresses in a hello are no longer.
const MAX_TEXT: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hello {
    pub program: String,
    pub height: u64,
    pub tip: u64,
    pub time_ms: u64,
    pub http: String,
}

/// What a node keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keeps {
    pub oldest: u64,
    pub word: Option<SnapshotWord>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Hello(Hello),
    Keeps(Keeps),
    Work {
        statements: Vec<Bytes>,
        transactions: Vec<Bytes>,
    },
    /// For complete tiles of the log.
    Ask(TileRun),
    /// The tiles of a level from one on, or nothing.
    Tiles {
        level: u8,
        first: u64,
        bytes: Bytes,
    },
}

impl Message {
    pub fn encode(&self) -> Bytes {
        let mut e = Encoder::new(Vec::new());
        // Writing into a vector cannot fail.
        match self {
            Message::Hello(hello) => {
                let _ = e.array(7).and_then(|e| e.u32(VERSION)).and_then(|e| e.u32(0));
                let _ = e.str(&hello.program);
                let _ = e.u64(hello.height).and_then(|e| e.u64(hello.tip)).and_then(|e| e.u64(hello.time_ms));
                let _ = e.str(&hello.http);
            }
            Message::Keeps(Keeps { oldest, word }) => {
                let _ = e.array(7).and_then(|e| e.u32(VERSION)).and_then(|e| e.u32(2));
                let _ = e.u64(*oldest).and_then(|e| e.u64(word.map_or(0, |word| word.height)));
                let parts: [&[u8]; 3] = match word {
                    None => [&[]; 3],
                    Some(word) => [&word.root, &word.signed.key, &word.signed.signature],
                };
                for part in parts {
                    let _ = e.bytes(part);
                }
            }
            Message::Ask(TileRun { level, first, count }) => {
                let _ = e.array(5).and_then(|e| e.u32(VERSION)).and_then(|e| e.u32(3));
                let _ = e.u8(*level).and_then(|e| e.u64(*first)).and_then(|e| e.u64(*count));
            }
            Message::Tiles { level, first, bytes } => {
                let _ = e.array(5).and_then(|e| e.u32(VERSION)).and_then(|e| e.u32(4));
                let _ = e.u8(*level).and_then(|e| e.u64(*first)).and_then(|e| e.bytes(bytes));
            }
            Message::Work { statements, transactions } => {
                let _ = e.array(4).and_then(|e| e.u32(VERSION)).and_then(|e| e.u32(1));
                for list in [statements, transactions] {
                    let _ = e.array(list.len() as u64);
                    for item in list {
                        let _ = e.bytes(item);
                    }
                }
            }
        }
        e.into_writer().into()
    }

    pub fn decode(bytes: &Bytes) -> Result<Message, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("wrong shape");
        let mut d = Decoder::new(bytes);
        let parts = d.array()?;
        if d.u32()? != VERSION {
            return Err(minicbor::decode::Error::message("unknown version"));
        }
        let message = match (d.u32()?, parts) {
            (0, Some(7)) => {
                let text = |d: &mut Decoder<'_>| {
                    let text = d.str()?;
                    if text.len() > MAX_TEXT { Err(wrong()) } else { Ok(text.to_owned()) }
                };
                Message::Hello(Hello {
                    program: text(&mut d)?,
                    height: d.u64()?,
                    tip: d.u64()?,
                    time_ms: d.u64()?,
                    http: text(&mut d)?,
                })
            }
            (2, Some(7)) => {
                let (oldest, height) = (d.u64()?, d.u64()?);
                let (root, key, signature) = (d.bytes()?, d.bytes()?, d.bytes()?);
                let word = if height == 0 && root.is_empty() && key.is_empty() && signature.is_empty() {
                    None
                } else {
                    let fixed = |_| wrong();
                    let signed = SnapshotSignature {
                        key: key.try_into().map_err(fixed)?,
                        signature: signature.try_into().map_err(fixed)?,
                    };
                    Some(SnapshotWord { height, root: root.try_into().map_err(fixed)?, signed })
                };
                Message::Keeps(Keeps { oldest, word })
            }
            (3, Some(5)) => Message::Ask(TileRun { level: d.u8()?, first: d.u64()?, count: d.u64()? }),
            (4, Some(5)) => {
                let (level, first, bytes) = (d.u8()?, d.u64()?, Bytes::copy_from_slice(d.bytes()?));
                Message::Tiles { level, first, bytes }
            }
            (1, Some(4)) => {
                let mut lists = [Vec::new(), Vec::new()];
                for list in &mut lists {
                    for _ in 0..d.array()?.ok_or_else(wrong)? {
                        // Copied, so that one waiting statement does not keep the whole message in memory.
                        list.push(Bytes::copy_from_slice(d.bytes()?));
                    }
                }
                let [statements, transactions] = lists;
                Message::Work { statements, transactions }
            }
            _ => return Err(wrong()),
        };
        if d.position() != bytes.len() { Err(wrong()) } else { Ok(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_and_nothing_else_is_taken() {
        let hello = Hello {
            program: "0.1.0".into(),
            height: 7,
            tip: 300,
            time_ms: 1_700_000_000_000,
            http: "127.0.0.1:8080".into(),
        };
        let work = Message::Work {
            statements: vec![Bytes::from_static(b"one"), Bytes::from_static(&[7; 300])],
            transactions: vec![Bytes::from_static(b"tx")],
        };
        let signed = SnapshotSignature { key: [7; 32], signature: [8; 64] };
        let word = Some(SnapshotWord { height: 4096, root: [9; 32], signed });
        let keeps = [Keeps { oldest: 0, word: None }, Keeps { oldest: 8192, word }].map(Message::Keeps);
        let ask = Message::Ask(TileRun { level: 1, first: 512, count: 16 });
        let tiles = Message::Tiles { level: 0, first: 3, bytes: Bytes::from_static(&[5; 64]) };
        for message in [Message::Hello(hello), work, ask, tiles].into_iter().chain(keeps) {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes).unwrap(), message);
            for cut in 0..bytes.len() {
                assert!(Message::decode(&bytes.slice(..cut)).is_err());
            }
            let mut longer = bytes.to_vec();
            longer.push(0);
            assert!(Message::decode(&longer.into()).is_err());
        }
        assert!(Message::decode(&Bytes::from_static(&[0x84, 2, 1, 0x80, 0x80])).is_err(), "another version");
    }

    #[test]
    fn the_bytes_of_a_hello_are_these() {
        let hello = Hello { program: "x".into(), height: 1, tip: 2, time_ms: 3, http: String::new() };
        assert_eq!(hex::encode(Message::Hello(hello).encode()), "870100617801020360");
    }
}
