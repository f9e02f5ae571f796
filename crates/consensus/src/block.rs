//! The block as consensus sees it: opaque bytes, and the few facts that the ledger reads out of them.
//!
//! On the wire and on disk a block is `varint(length) ‖ bytes`. Digest, parent, height and epoch are never written beside the
//! bytes: decoding asks the ledger's [`HeaderOf`] for them, which recomputes the digest and refuses bytes that are not
//! canonical. So one digest names exactly one byte string.

use std::fmt;

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, BufsMut, EncodeSize, Error as CodecError, RangeCfg, Read, Write};
use commonware_consensus::{Block as ConsensusBlock, BoundedBlock, Heightable, types::Height};
use commonware_cryptography::{Digestible, sha256};

/// What the ledger reads out of a block's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// SHA-256 that the validators finalise.
    pub digest: [u8; 32],
    /// Digest of the block below; arbitrary for genesis.
    pub parent: [u8; 32],
    /// 0 for genesis, then one more than the parent's.
    pub height: u64,
    /// Which validators decide it: the ledger counts epochs from 0 ([`crate::EpochSpan`]).
    pub epoch: u64,
}

/// Computes the header of a block's bytes, refusing whatever is not the canonical encoding of a block. It is given bytes
/// from the network and must not panic.
pub type HeaderOf = fn(&[u8]) -> Result<Header, String>;

/// A block: bytes that only the ledger understands, with their header. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Block {
    /// SHA-256 that the validators finalise.
    pub digest: [u8; 32],
    /// Digest of the block below.
    pub parent: [u8; 32],
    /// Height; genesis is 0.
    pub height: u64,
    /// Which validators decide it.
    pub epoch: u64,
    /// The ledger's canonical encoding.
    pub bytes: Bytes,
}

impl Block {
    /// Joins bytes with the header that [`HeaderOf`] gives for exactly these bytes.
    pub fn new(header: Header, bytes: impl Into<Bytes>) -> Self {
        let Header { digest, parent, height, epoch } = header;
        Self { digest, parent, height, epoch, bytes: bytes.into() }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("height", &self.height)
            .field("digest", &hex::encode(self.digest))
            .field("parent", &hex::encode(self.parent))
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// How blocks are decoded: a bound, and the ledger's reading of the bytes.
#[derive(Clone, Copy)]
pub struct BlockCodec {
    pub(crate) max_bytes: usize,
    pub(crate) header_of: HeaderOf,
}

impl fmt::Debug for BlockCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCodec").field("max_bytes", &self.max_bytes).finish_non_exhaustive()
    }
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.bytes.write(buf);
    }

    fn write_bufs(&self, buf: &mut impl BufsMut) {
        self.bytes.write_bufs(buf);
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.bytes.encode_size()
    }

    fn encode_inline_size(&self) -> usize {
        self.bytes.encode_inline_size()
    }
}

impl Read for Block {
    type Cfg = BlockCodec;

    fn read_cfg(buf: &mut impl Buf, codec: &BlockCodec) -> Result<Self, CodecError> {
        let bytes = Bytes::read_cfg(buf, &RangeCfg::from(0..=codec.max_bytes))?;
        let header = (codec.header_of)(&bytes).map_err(|reason| {
            tracing::debug!(%reason, bytes = bytes.len(), "refused a block that does not decode");
            CodecError::Invalid("Block", "not the canonical encoding of a block")
        })?;
        Ok(Self::new(header, bytes))
    }
}

impl Digestible for Block {
    type Digest = sha256::Digest;

    fn digest(&self) -> Self::Digest {
        sha256::Digest::from(self.digest)
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.height)
    }
}

impl ConsensusBlock for Block {
    fn parent(&self) -> Self::Digest {
        sha256::Digest::from(self.parent)
    }
}

impl BoundedBlock for Block {
    fn max_encode_size(codec: &BlockCodec) -> usize {
        codec.max_bytes.encode_size() + codec.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_codec::{Decode, Encode};

    fn header_of(bytes: &[u8]) -> Result<Header, String> {
        match bytes {
            [height @ (1..), rest @ ..] if !rest.is_empty() && rest[0] == *height => {
                let (digest, parent) = ([*height; 32], [height - 1; 32]);
                Ok(Header { digest, parent, height: u64::from(*height), epoch: 0 })
            }
            _ => Err("too short".into()),
        }
    }

    const CODEC: BlockCodec = BlockCodec { max_bytes: 300, header_of };

    fn block(len: usize) -> Block {
        let bytes = vec![7u8; len];
        Block::new(header_of(&bytes).unwrap(), bytes)
    }

    #[test]
    fn a_block_decodes_to_itself_with_its_header_recomputed() {
        for len in [2, 127, 128, 300] {
            let encoded = block(len).encode();
            assert_eq!(Block::decode_cfg(encoded, &CODEC).unwrap(), block(len));
        }
    }

    #[test]
    fn what_the_ledger_refuses_or_is_too_large_does_not_decode() {
        assert!(Block::decode_cfg(Bytes::from_static(&[6, 7]).encode(), &CODEC).is_err());
        assert!(Block::decode_cfg(Bytes::from(vec![7u8; 1]).encode(), &CODEC).is_err());
        assert!(Block::decode_cfg(Bytes::from(vec![7u8; 301]).encode(), &CODEC).is_err());
        let mut cut = block(100).encode().to_vec();
        cut.pop();
        assert!(Block::decode_cfg(Bytes::from(cut), &CODEC).is_err());
    }

    #[test]
    fn the_size_bound_covers_the_largest_block() {
        assert_eq!(block(300).encode().len(), Block::max_encode_size(&CODEC));
    }
}
