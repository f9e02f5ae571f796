//! A block: a checkpoint and the body it commits to.
//!
//! ```text
//! block = [checkpoint bstr, body bstr]                        CBOR, deterministic
//! body  = [proposer uint, [statement bstr …], [transaction bstr …]]
//! ```
//!
//! The digest that validators finalise is SHA-256 of the checkpoint's bytes; the checkpoint holds SHA-256 of the
//! body's. Decoding recomputes the latter and re-encodes, so that no two byte strings are the same block.

use bytes::Bytes;
use minicbor::{Decoder, Encoder};
use sha2::{Digest, Sha256};
use triad_log::Checkpoint;

use crate::error::BlockError;

/// Hard bound on a block's bytes, whatever genesis says.
pub const MAX_BLOCK_BYTES: usize = 20 << 20;

/// What a block holds, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Body {
    /// The proposer's index among the validators of the block's epoch; tips go to its fee recipient.
    pub proposer: u32,
    /// Stored statements (COSE_Sign1).
    pub statements: Vec<Bytes>,
    /// EIP-2718 encoded transactions.
    pub transactions: Vec<Bytes>,
}

impl Body {
    pub fn encode(&self) -> Bytes {
        let size = self.statements.iter().chain(&self.transactions).map(|b| b.len() + 5).sum::<usize>();
        let mut e = Encoder::new(Vec::with_capacity(size + 32));
        // Writing into a vector cannot fail.
        let _ = e.array(3).and_then(|e| e.u32(self.proposer));
        for list in [&self.statements, &self.transactions] {
            let _ = e.array(list.len() as u64);
            for item in list {
                let _ = e.bytes(item);
            }
        }
        e.into_writer().into()
    }

    pub fn decode(bytes: &Bytes) -> Result<Body, BlockError> {
        let body = Body::read(bytes).map_err(|e| BlockError::Encoding(e.to_string()))?;
        if body.encode() != *bytes {
            return Err(BlockError::Encoding("the body is not deterministic CBOR".into()));
        }
        Ok(body)
    }

    /// Takes it apart; whether it is canonical is not asked.
    pub(crate) fn read(bytes: &Bytes) -> Result<Body, minicbor::decode::Error> {
        let wrong = || minicbor::decode::Error::message("wrong shape");
        let mut d = Decoder::new(bytes);
        if d.array()? != Some(3) {
            return Err(wrong());
        }
        let mut body = Body { proposer: d.u32()?, ..Body::default() };
        for list in [&mut body.statements, &mut body.transactions] {
            let n = d.array()?.ok_or_else(wrong)?;
            for _ in 0..n {
                list.push(bytes.slice_ref(d.bytes()?));
            }
        }
        if d.position() != bytes.len() { Err(wrong()) } else { Ok(body) }
    }
}

/// A block whose bytes were checked against each other; nothing is said yet about its validity on a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub digest: [u8; 32],
    pub checkpoint: Checkpoint,
    pub body: Body,
    /// The whole, as sent and stored.
    pub bytes: Bytes,
}

/// What consensus needs to know of a block's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHeader {
    pub digest: [u8; 32],
    pub parent: [u8; 32],
    pub height: u64,
    /// Which validators decide it.
    pub epoch: u64,
}

/// Splits a block and checks that its parts belong together, without decoding the body's items.
pub fn header_of(bytes: &[u8]) -> Result<BlockHeader, BlockError> {
    let (checkpoint, _) = split(bytes)?;
    Ok(BlockHeader {
        digest: checkpoint.digest(),
        parent: checkpoint.parent_digest,
        height: checkpoint.height.0,
        epoch: checkpoint.epoch,
    })
}

pub(crate) fn split(bytes: &[u8]) -> Result<(Checkpoint, &[u8]), BlockError> {
    let shape = |e: minicbor::decode::Error| BlockError::Encoding(e.to_string());
    if bytes.len() > MAX_BLOCK_BYTES {
        return Err(BlockError::Limit("the block's size"));
    }
    let mut d = Decoder::new(bytes);
    if d.array().map_err(shape)? != Some(2) {
        return Err(BlockError::Encoding("not an array of two".into()));
    }
    let checkpoint_bytes = d.bytes().map_err(shape)?;
    let body = d.bytes().map_err(shape)?;
    if d.position() != bytes.len() || !is_join(checkpoint_bytes, body, bytes) {
        return Err(BlockError::Encoding("the block is not deterministic CBOR".into()));
    }
    let checkpoint = Checkpoint::decode(checkpoint_bytes).map_err(|e| BlockError::Encoding(e.to_string()))?;
    if checkpoint.body_hash != body_hash(body) {
        return Err(BlockError::BodyHash);
    }
    Ok((checkpoint, body))
}

/// Whether `bytes` is [`join`] of its parts: their heads must be the shortest ones.
fn is_join(checkpoint: &[u8], body: &[u8], bytes: &[u8]) -> bool {
    let head = |len: usize| match len {
        0..24 => 1,
        24..0x100 => 2,
        0x100..0x1_0000 => 3,
        _ => 5,
    };
    bytes.len() == 1 + head(checkpoint.len()) + checkpoint.len() + head(body.len()) + body.len()
}

pub(crate) fn join(checkpoint: &[u8], body: &[u8]) -> Bytes {
    let mut e = Encoder::new(Vec::with_capacity(checkpoint.len() + body.len() + 16));
    let _ = e.array(2).and_then(|e| e.bytes(checkpoint)).and_then(|e| e.bytes(body));
    e.into_writer().into()
}

pub(crate) fn body_hash(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

impl Block {
    /// Puts together what execution has made; `body_bytes` is `body` encoded.
    pub(crate) fn assemble(checkpoint: Checkpoint, body: Body, body_bytes: &[u8]) -> Block {
        let bytes = join(&checkpoint.encode(), body_bytes);
        Block { digest: checkpoint.digest(), checkpoint, body, bytes }
    }

    pub fn decode(bytes: Bytes) -> Result<Block, BlockError> {
        let (checkpoint, body_bytes) = split(&bytes)?;
        let body = Body::decode(&bytes.slice_ref(body_bytes))?;
        Ok(Block { digest: checkpoint.digest(), checkpoint, body, bytes })
    }

    pub fn height(&self) -> u64 {
        self.checkpoint.height.0
    }
}
