//! Who decides blocks, epoch by epoch, and the rules that are to come: what the `ValidatorSet` contract's events say.

use std::sync::Arc;

use alloy_primitives::Address;
use triad_log::{ValidatorSet, ValidatorsError};

use super::TableId;
use crate::genesis::ChainSpec;
use crate::state::codec::{Reader, Writer};
use crate::state::table::Record;

/// A validator as genesis or the contract names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Ed25519 public key that votes.
    pub consensus_key: [u8; 32],
    /// Address of the key that signs final checkpoints for public chains.
    pub checkpoint_address: Address,
    /// Receives the tips of the blocks it proposes.
    pub fee_recipient: Address,
    pub name: String,
    /// Where other nodes reach it, `host:port`; empty where that is not said on chain.
    pub network: String,
}

/// One epoch: successive blocks with one set of validators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reign {
    /// Its first height.
    pub first: u64,
    /// Its last height, once that is decided.
    pub last: Option<u64>,
    /// In ascending order of their consensus keys; a validator's index is its place here.
    pub validators: Arc<Vec<Member>>,
    /// The same for the next epoch, as far as it is decided.
    pub next: Arc<Vec<Member>>,
}

impl Reign {
    /// The epoch that genesis begins, as long as nothing changed it.
    pub fn genesis(spec: &ChainSpec) -> Reign {
        let member = |v: &crate::genesis::Validator| Member {
            consensus_key: <[u8; 32]>::try_from(v.consensus_key.as_ref()).unwrap_or_default(),
            checkpoint_address: v.checkpoint_address,
            fee_recipient: v.fee_recipient,
            name: v.name.clone(),
            network: String::new(),
        };
        let mut all: Vec<Member> = spec.genesis.validators.iter().map(member).collect();
        all.sort_by_key(|m| m.consensus_key);
        let all = Arc::new(all);
        Reign { first: 1, last: None, validators: all.clone(), next: all }
    }

    /// Checkpoint addresses by index.
    pub fn checkpoint_addresses(&self) -> Vec<Address> {
        self.validators.iter().map(|m| m.checkpoint_address).collect()
    }

    /// The set of this epoch as hand-overs name it.
    pub fn set(&self) -> Result<ValidatorSet, ValidatorsError> {
        set(&self.validators)
    }

    pub(crate) fn next_set(&self) -> Result<ValidatorSet, ValidatorsError> {
        set(&self.next)
    }

    pub(crate) fn add(&mut self, member: Member) {
        let next = Arc::make_mut(&mut self.next);
        next.push(member);
        next.sort_by_key(|m| m.consensus_key);
    }

    pub(crate) fn remove(&mut self, consensus_key: &[u8; 32]) {
        Arc::make_mut(&mut self.next).retain(|m| m.consensus_key != *consensus_key);
    }
}

fn set(members: &[Member]) -> Result<ValidatorSet, ValidatorsError> {
    ValidatorSet::new(members.iter().map(|m| (m.consensus_key, m.checkpoint_address.into_array())))
}

fn write_members(members: &[Member], out: &mut Vec<u8>) {
    Writer(out).u16(members.len() as u16);
    for m in members {
        let mut w = Writer(out);
        w.raw(&m.consensus_key).raw(m.checkpoint_address.as_slice()).raw(m.fee_recipient.as_slice());
        w.bytes(m.name.as_bytes()).bytes(m.network.as_bytes());
    }
}

fn read_members(r: &mut Reader<'_>) -> Option<Arc<Vec<Member>>> {
    let n = r.u16()?;
    let members = (0..n).map(|_| {
        Some(Member {
            consensus_key: r.array()?,
            checkpoint_address: Address::from(r.array::<20>()?),
            fee_recipient: Address::from(r.array::<20>()?),
            name: String::from_utf8(r.bytes()?.to_vec()).ok()?,
            network: String::from_utf8(r.bytes()?.to_vec()).ok()?,
        })
    });
    members.collect::<Option<Vec<_>>>().map(Arc::new)
}

impl Record for Reign {
    /// The epoch. The row of epoch 0 is there only once something changed.
    type Key = u64;
    const TABLE: TableId = TableId::Reigns;
    fn write_key(key: &u64, out: &mut Vec<u8>) {
        Writer(out).u64(*key);
    }
    fn read_key(bytes: &[u8]) -> Option<u64> {
        let mut r = Reader(bytes);
        let key = r.u64()?;
        r.end()?;
        Some(key)
    }
    fn encode(&self, out: &mut Vec<u8>) {
        Writer(out).u64(self.first).u64(self.last.unwrap_or(0));
        write_members(&self.validators, out);
        write_members(&self.next, out);
    }
    fn decode(bytes: &[u8]) -> Option<Reign> {
        let mut r = Reader(bytes);
        let (first, last) = (r.u64()?, r.u64()?);
        let (validators, next) = (read_members(&mut r)?, read_members(&mut r)?);
        r.end()?;
        Some(Reign { first, last: (last > 0).then_some(last), validators, next })
    }
}

/// Rules that the validators agreed to follow from a height on: name and height, in the order of their scheduling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Scheduled(pub Arc<Vec<(String, u64)>>);

impl Record for Scheduled {
    /// There is one row, 0.
    type Key = u8;
    const TABLE: TableId = TableId::Scheduled;
    fn write_key(key: &u8, out: &mut Vec<u8>) {
        out.push(*key);
    }
    fn read_key(bytes: &[u8]) -> Option<u8> {
        Reader(bytes).u8()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        Writer(out).u16(self.0.len() as u16);
        for (name, height) in self.0.iter() {
            Writer(out).bytes(name.as_bytes()).u64(*height);
        }
    }
    fn decode(bytes: &[u8]) -> Option<Scheduled> {
        let mut r = Reader(bytes);
        let n = r.u16()?;
        let rule = |r: &mut Reader<'_>| {
            let name = String::from_utf8(r.bytes()?.to_vec()).ok()?;
            Some((name, r.u64()?))
        };
        let rules = (0..n).map(|_| rule(&mut r)).collect::<Option<Vec<_>>>()?;
        r.end()?;
        Some(Scheduled(Arc::new(rules)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(n: u8) -> Member {
        Member {
            consensus_key: [n; 32],
            checkpoint_address: Address::repeat_byte(n),
            fee_recipient: Address::repeat_byte(n + 100),
            name: format!("validator {n}"),
            network: if n == 1 { String::new() } else { format!("10.0.0.{n}:7000") },
        }
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let all = Arc::new(vec![member(1), member(2)]);
        let mut reign = Reign { first: 129, last: None, validators: all.clone(), next: all };
        for last in [None, Some(192)] {
            reign.last = last;
            reign.add(member(3));
            reign.remove(&[1; 32]);
            let mut bytes = Vec::new();
            reign.encode(&mut bytes);
            assert_eq!(Reign::decode(&bytes).as_ref(), Some(&reign));
            for cut in 0..bytes.len() {
                assert_eq!(Reign::decode(&bytes[..cut]), None);
            }
        }
        assert_eq!(reign.validators.len(), 2, "the present set stays");
        let rules = Scheduled(Arc::new(vec![("a-rule".into(), 77), ("b".into(), u64::MAX)]));
        let mut bytes = Vec::new();
        rules.encode(&mut bytes);
        assert_eq!(Scheduled::decode(&bytes), Some(rules));
    }
}
