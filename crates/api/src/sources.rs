//! Who hands statements in. Connections of this door come and go, so a source is an address: what it did with its last
//! connection counts for the next. Behind a reverse proxy all clients are one source.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use parking_lot::Mutex;
use triad_chain::Submitter;

/// Addresses remembered at a time.
const MOST: usize = 4096;

/// The other end of a request's connection, in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<HashMap<IpAddr, Submitter>>);

impl Sources {
    /// The handle of an address, made from `submitter` where there is none.
    pub fn of(&self, peer: IpAddr, submitter: &Submitter) -> Submitter {
        let name = network(peer);
        let mut known = self.0.lock();
        if known.len() >= MOST && !known.contains_key(&name) {
            known.retain(|_, source| source.is_suspect());
            if known.len() >= MOST {
                // Whoever has so many addresses begins again with all of them untried, which costs others nothing.
                known.clear();
            }
        }
        known.entry(name).or_insert_with(|| submitter.source()).clone()
    }
}

/// One host has a whole /64 of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}
