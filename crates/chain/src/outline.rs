//! A block without what its readers hold already, and back.
//!
//! ```text
//! outline = [checkpoint bstr, proposer uint, [item bstr …], [item bstr …]]        statements, transactions
//! item    = the first 8 bytes of the SHA-256 of its bytes, or those bytes (which are never so few)
//! ```
//!
//! Two items with one name cost a question more and nothing else: what is put together must have the hash that the checkpoint
//! says.

use std::collections::BTreeMap;

use bytes::Bytes;
use minicbor::{Decoder, Encoder};
use sha2::{Digest as _, Sha256};

use crate::block::{Body, MAX_BLOCK_BYTES, body_hash, join, split};

/// Names an item of a block.
pub type ItemName = [u8; 8];

/// Items of an outline at most, whatever genesis says: no statement or transaction has fewer than 64 bytes.
const MAX_ITEMS: usize = MAX_BLOCK_BYTES / 64;

/// An item's name.
pub fn item_name(item: &[u8]) -> ItemName {
    let hash: [u8; 32] = Sha256::digest(item).into();
    let mut name = ItemName::default();
    name.copy_from_slice(&hash[..8]);
    name
}

/// The outline of a block in which the items that `held` says yes to are only named. `None`: this is no block, or none is.
pub fn outline(block: &Bytes, held: impl Fn(&ItemName) -> bool) -> Option<Bytes> {
    let (checkpoint, body) = split(block).ok()?;
    let body = Body::read(&block.slice_ref(body)).ok()?;
    let mut e = Encoder::new(Vec::new());
    let mut named = 0;
    // Writing into a vector cannot fail.
    let _ = e.array(4).and_then(|e| e.bytes(&checkpoint.encode())).and_then(|e| e.u32(body.proposer));
    for list in [&body.statements, &body.transactions] {
        let _ = e.array(list.len() as u64);
        for item in list {
            let name = item_name(item);
            if held(&name) && item.len() > name.len() {
                let _ = e.bytes(&name);
                named += 1;
            } else {
                let _ = e.bytes(item);
            }
        }
    }
    (named > 0).then(|| e.into_writer().into())
}

/// What came of putting a block together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filled {
    /// The block.
    Whole(Bytes),
    /// Items at these places are missing: statements first, then transactions, counted through from 0.
    Lacks(Vec<u32>),
    /// It is no outline, or what it names is something else here.
    Wrong,
}

/// Puts a block together from its outline, `parts` by their places, and what `find` gives for a name.
pub fn fill(
    outline: &Bytes,
    parts: &BTreeMap<u32, Bytes>,
    find: impl Fn(&ItemName) -> Option<Bytes>,
) -> Filled {
    read(outline, parts, find).unwrap_or(Filled::Wrong)
}

fn read(
    outline: &Bytes,
    parts: &BTreeMap<u32, Bytes>,
    find: impl Fn(&ItemName) -> Option<Bytes>,
) -> Result<Filled, minicbor::decode::Error> {
    let wrong = || minicbor::decode::Error::message("wrong shape");
    let mut d = Decoder::new(outline);
    if d.array()? != Some(4) {
        return Err(wrong());
    }
    let checkpoint = outline.slice_ref(d.bytes()?);
    let mut body = Body { proposer: d.u32()?, ..Body::default() };
    let (mut lacks, mut place, mut size) = (Vec::new(), 0_u32, checkpoint.len());
    for list in [&mut body.statements, &mut body.transactions] {
        for _ in 0..d.array()?.ok_or_else(wrong)? {
            let item = outline.slice_ref(d.bytes()?);
            let item = match ItemName::try_from(item.as_ref()) {
                Err(_) => Some(item),
                Ok(name) => parts.get(&place).cloned().or_else(|| find(&name)),
            };
            match item {
                Some(item) => {
                    size += item.len();
                    list.push(item);
                }
                None => lacks.push(place),
            }
            place += 1;
            if place as usize > MAX_ITEMS || size > MAX_BLOCK_BYTES {
                return Err(wrong());
            }
        }
    }
    if d.position() != outline.len() {
        return Err(wrong());
    }
    if !lacks.is_empty() {
        return Ok(Filled::Lacks(lacks));
    }
    let body = body.encode();
    let claimed = triad_log::Checkpoint::decode(&checkpoint).map_err(|_| wrong())?.body_hash;
    if claimed != body_hash(&body) {
        return Ok(Filled::Wrong);
    }
    Ok(Filled::Whole(join(&checkpoint, &body)))
}

/// Items of a block by their places. `None`: it is no block, or has not so many.
pub fn items(block: &Bytes, places: &[u32]) -> Option<Vec<Bytes>> {
    let (_, body) = split(block).ok()?;
    let body = Body::read(&block.slice_ref(body)).ok()?;
    let all: Vec<&Bytes> = body.statements.iter().chain(&body.transactions).collect();
    places.iter().map(|place| all.get(*place as usize).map(|item| (*item).clone())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::block::Block;
    use crate::genesis::ChainSpec;
    use crate::start::genesis_block;

    fn item(n: u8, length: usize) -> Bytes {
        vec![n; length].into()
    }

    fn block() -> Block {
        let spec = ChainSpec::new(crate::testing::genesis(Vec::new())).unwrap();
        let body = Body {
            proposer: 3,
            statements: (0..5).map(|n| item(n, 100 + usize::from(n))).collect(),
            transactions: vec![item(9, 200), item(10, 9)],
        };
        let bytes = body.encode();
        let mut checkpoint = genesis_block(&spec).unwrap().0.checkpoint;
        checkpoint.body_hash = body_hash(&bytes);
        Block::assemble(checkpoint, body, &bytes)
    }

    #[test]
    fn a_block_comes_back_from_its_outline_and_what_others_hold() {
        let block = block();
        let all: Vec<Bytes> = block.body.statements.iter().chain(&block.body.transactions).cloned().collect();
        let find = |name: &ItemName| all.iter().find(|item| item_name(item) == *name).cloned();
        let short = outline(&block.bytes, |_| true).unwrap();
        assert!(short.len() < block.bytes.len() / 2, "{} of {}", short.len(), block.bytes.len());
        let none = BTreeMap::new();
        assert_eq!(fill(&short, &none, find), Filled::Whole(block.bytes.clone()));
        // What is missing is named by its place, statements first.
        let lacks = [1u32, 5];
        let some =
            |name: &ItemName| find(name).filter(|item| !lacks.iter().any(|i| all[*i as usize] == *item));
        assert_eq!(fill(&short, &none, some), Filled::Lacks(lacks.to_vec()));
        let parts: BTreeMap<u32, Bytes> =
            lacks.into_iter().zip(items(&block.bytes, &lacks).unwrap()).collect();
        assert_eq!(fill(&short, &parts, some), Filled::Whole(block.bytes.clone()));
        // Only what is held is named; the rest is in the outline.
        let own = item_name(&all[2]);
        let partly = outline(&block.bytes, |name| *name != own).unwrap();
        assert_eq!(
            fill(&partly, &none, |name| find(name).filter(|i| *i != all[2])),
            Filled::Whole(block.bytes.clone())
        );
        assert_eq!(outline(&block.bytes, |_| false), None, "then it is sent whole");
        assert_eq!(items(&block.bytes, &[7]), None);
    }

    #[test]
    fn what_is_not_the_block_that_was_named_is_never_taken_for_it() {
        let block = block();
        let short = outline(&block.bytes, |_| true).unwrap();
        let none = BTreeMap::new();
        let other = |_: &ItemName| Some(item(77, 50));
        assert_eq!(fill(&short, &none, other), Filled::Wrong, "another item under that name");
        for cut in 0..short.len() {
            assert_eq!(fill(&short.slice(..cut), &none, other), Filled::Wrong);
        }
        let mut longer = short.to_vec();
        longer.push(0);
        assert_eq!(fill(&longer.into(), &none, other), Filled::Wrong);
        assert_eq!(outline(&Bytes::from_static(b"no block"), |_| true), None);
    }
}
