//! Blocks of the simulated ledger.
//!
//! Bytes: parent 32 ‖ root 32 ‖ height u64 ‖ epoch u64 ‖ time u64 ‖ salt u64 ‖ weight u64 ‖ items, each a u64 and `weight` zeros.
//! Digest: SHA-256 of them. Times are in milliseconds; the root stands for the state after the block.

use sha2::{Digest as _, Sha256};

use crate::{Block, Header};

/// An item that no honest validator accepts.
pub(super) const INVALID: u64 = u64::MAX;
const CHANGE: u64 = 1 << 62;

pub(super) type Digest = [u8; 32];

/// An item that makes the validator of this number (of all that ever are) one of the next epoch's, or none. `count` tells
/// changes apart.
pub(super) fn change(count: u64, validator: usize) -> u64 {
    CHANGE | count << 8 | validator as u64
}

pub(super) fn is_change(item: u64) -> bool {
    item & CHANGE != 0 && item != INVALID
}

/// The count and the validator of such an item.
pub(super) fn changed(item: u64) -> (u64, usize) {
    ((item & !CHANGE) >> 8, (item & 0xff) as usize)
}

/// What a block says, beside its place in the chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) time: u64,
    pub(super) root: Digest,
    /// Two validators with different ones make different blocks of the same items.
    pub(super) salt: u64,
    /// Bytes that an item takes beside its number, so that blocks can be as large as real ones.
    pub(super) weight: u64,
    pub(super) items: Vec<u64>,
}

const MAX_WEIGHT: u64 = 4096;
/// What has a larger one is no block of this ledger; a block of the real one, for example.
const MAX_SALT: u64 = 1;

pub(super) fn parse(bytes: &[u8]) -> Result<(Header, Content), String> {
    let (parent, rest) = bytes.split_first_chunk::<32>().ok_or("no parent")?;
    let (root, mut rest) = rest.split_first_chunk::<32>().ok_or("no root")?;
    let mut number = |what: &str| {
        let (number, after) = rest.split_first_chunk::<8>().ok_or(format!("no {what}"))?;
        rest = after;
        Ok::<u64, String>(u64::from_be_bytes(*number))
    };
    let (height, epoch, time, salt) = (number("height")?, number("epoch")?, number("time")?, number("salt")?);
    let weight = number("weight")?;
    if weight > MAX_WEIGHT {
        return Err("items are too heavy".into());
    }
    if salt > MAX_SALT {
        return Err("nobody has so many twins".into());
    }
    let items = rest.chunks_exact(8 + weight as usize);
    if !items.remainder().is_empty() {
        return Err("an item is cut".into());
    }
    let header = Header { digest: Sha256::digest(bytes).into(), parent: *parent, height, epoch };
    let items = items.filter_map(|item| item.first_chunk()).map(|item| u64::from_be_bytes(*item)).collect();
    Ok((header, Content { time, root: *root, salt, weight, items }))
}

pub(super) fn build(parent: Digest, height: u64, epoch: u64, content: &Content) -> Block {
    let mut bytes = [parent, content.root].concat();
    for number in [height, epoch, content.time, content.salt, content.weight] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    for item in &content.items {
        bytes.extend_from_slice(&item.to_be_bytes());
        bytes.resize(bytes.len() + content.weight as usize, 0);
    }
    let header = parse(&bytes).expect("just built").0;
    Block::new(header, bytes)
}

pub(super) fn genesis() -> Block {
    build([0; 32], 0, 0, &Content::default())
}

/// The state after items, given the one before.
pub(super) fn root(before: &Digest, items: &[u64]) -> Digest {
    let mut hasher = Sha256::new_with_prefix(before);
    items.iter().for_each(|item| hasher.update(item.to_be_bytes()));
    hasher.finalize().into()
}

/// Bytes before the items.
const HEAD: usize = 32 + 32 + 5 * 8;

/// A block with its items named only: digest 32 ‖ what stands before the items ‖ their numbers.
pub(super) fn outline(block: &[u8]) -> Option<Vec<u8>> {
    let (header, content) = parse(block).ok()?;
    let mut out = [&header.digest, block.get(..HEAD)?].concat();
    content.items.iter().for_each(|item| out.extend_from_slice(&item.to_be_bytes()));
    Some(out)
}

/// The digest, the block without items, and their numbers.
pub(super) fn outlined(outline: &[u8]) -> Option<(Digest, Header, Content, Vec<u64>)> {
    let (digest, rest) = outline.split_first_chunk::<32>()?;
    let (head, names) = rest.split_at_checked(HEAD)?;
    let (header, content) = parse(head).ok()?;
    let (names, odd) = names.as_chunks::<8>();
    let names = names.iter().map(|name| u64::from_be_bytes(*name)).collect();
    odd.is_empty().then_some((*digest, header, content, names))
}
