//! What a block is, in two hundred and some bytes: the thing whose hash the validators sign.
//!
//! ```text
//! checkpoint = [1, genesis hash b32, chain id, height, epoch, parent digest b32, time_ms, body hash b32, log size,
//!               log root b32, application digest b32, Ethereum block hash b32, next validators b32 | null]
//! digest     = SHA-256(checkpoint)
//! ```
//!
//! Canonical CBOR. The log's size and root are those after this block's leaves. `next validators` stands in an epoch's
//! last block and is [`ValidatorSet::hash`](crate::ValidatorSet::hash) of the set that signs from the next block on.

use crate::format::{self, FormatError, VERSION};
use crate::hash::{Hash, sha256};
use crate::ids::Height;

/// A block's commitment to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which chain: the hash of its genesis.
    pub genesis_hash: Hash,
    /// Its Ethereum chain id.
    pub chain_id: u64,
    /// The block's number.
    pub height: Height,
    /// Which validator set signs it, counted from 0.
    pub epoch: u64,
    /// Digest of the block before; zero in genesis.
    pub parent_digest: Hash,
    /// Block time, milliseconds since 1970.
    pub time_ms: u64,
    /// SHA-256 of the block's body.
    pub body_hash: Hash,
    /// Leaves in the log after this block.
    pub log_size: u64,
    /// The log's root after this block.
    pub log_root: Hash,
    /// Commits to the state outside the EVM.
    pub app_digest: Hash,
    /// Hash of the Ethereum block header, and so of the EVM state.
    pub eth_block_hash: Hash,
    /// Hash of the next validator set, in an epoch's last block.
    pub next_validators: Option<Hash>,
}

impl Checkpoint {
    /// The byte format above.
    pub fn encode(&self) -> Vec<u8> {
        format::write(320, |e| {
            e.array(13)?.u64(VERSION)?.bytes(&self.genesis_hash)?.u64(self.chain_id)?;
            e.u64(self.height.0)?.u64(self.epoch)?.bytes(&self.parent_digest)?.u64(self.time_ms)?;
            e.bytes(&self.body_hash)?.u64(self.log_size)?.bytes(&self.log_root)?;
            e.bytes(&self.app_digest)?.bytes(&self.eth_block_hash)?;
            match &self.next_validators {
                Some(hash) => e.bytes(hash)?,
                None => e.null()?,
            };
            Ok(())
        })
    }

    /// Strict: only what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, FormatError> {
        let parse = |r: &mut format::Reader<'_>| {
            r.array_of(13)?;
            r.version()?;
            Ok(Checkpoint {
                genesis_hash: r.fixed()?,
                chain_id: r.u64()?,
                height: Height(r.u64()?),
                epoch: r.u64()?,
                parent_digest: r.fixed()?,
                time_ms: r.u64()?,
                body_hash: r.fixed()?,
                log_size: r.u64()?,
                log_root: r.fixed()?,
                app_digest: r.fixed()?,
                eth_block_hash: r.fixed()?,
                next_validators: r.fixed_or_null()?,
            })
        };
        format::read("checkpoint", bytes, parse, Checkpoint::encode)
    }

    /// What the validators sign for.
    pub fn digest(&self) -> Hash {
        sha256(&self.encode())
    }
}
