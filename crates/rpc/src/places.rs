//! How many subscriptions there may be: on this node, and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::errors::{Answer, limit};

/// Subscriptions of all connections.
pub const MAX_SUBSCRIPTIONS: usize = 10_000;
/// Of those, the subscriptions of one address, however many connections it has.
pub const MAX_OF_ADDRESS: usize = MAX_SUBSCRIPTIONS / 4;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub IpAddr);

/// Cheap to clone; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One subscription's place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    taken: Places,
    address: Option<IpAddr>,
}

/// One host has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

impl Places {
    /// A place for an address, where it is known.
    pub fn take(&self, address: Option<IpAddr>) -> Answer<Place> {
        let address = address.map(network);
        let mut taken = self.0.lock();
        if taken.all >= MAX_SUBSCRIPTIONS {
            let why = format!("{MAX_SUBSCRIPTIONS} subscriptions are open here, which is the limit");
            return Err(limit(why, Value::Null));
        }
        if let Some(address) = address {
            let own = taken.by_address.entry(address).or_default();
            if *own >= MAX_OF_ADDRESS {
                let why = format!(
                    "{address} has {MAX_OF_ADDRESS} subscriptions here, which is the limit of an address"
                );
                return Err(limit(why, Value::Null));
            }
            *own += 1;
        }
        taken.all += 1;
        Ok(Place { taken: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.0.lock();
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(own) = taken.by_address.get_mut(&address)
        {
            *own -= 1;
            if *own == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_takes_its_share_and_no_more() {
        let places = Places::default();
        let host: IpAddr = "192.0.2.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let mut held: Vec<Place> = (0..MAX_OF_ADDRESS).map(|_| places.take(Some(host)).unwrap()).collect();
        let refused = places.take(Some(mapped)).unwrap_err();
        assert!(refused.message().contains("limit of an address"), "{refused:?}");
        // Others have theirs, until all are taken.
        held.extend((0..MAX_SUBSCRIPTIONS - MAX_OF_ADDRESS).map(|_| places.take(None).unwrap()));
        assert!(places.take(None).unwrap_err().message().contains("open here"));
        held.remove(0);
        places.take(Some(mapped)).unwrap();
        drop(held);
        assert!(places.0.lock().by_address.is_empty() && places.0.lock().all == 0);
        let (one, other) = ("2001:db8::1".parse().unwrap(), "2001:db8::2:3".parse().unwrap());
        let _first = places.take(Some(one)).unwrap();
        let _second = places.take(Some(other)).unwrap();
        assert_eq!(places.0.lock().by_address.len(), 1, "one network");
    }
}
