//! Who belongs to the network: the validators of this epoch and the next, as the chain names them, and whoever follows, as
//! the configuration does.

use triad_chain::Reign;

use super::Member;
use crate::NetworkOptions;

/// What this node knows by its configuration.
#[derive(Debug, Clone)]
pub struct Roster {
    own: [u8; 32],
    network: Option<NetworkOptions>,
}

impl Roster {
    pub fn new(own: [u8; 32], network: Option<NetworkOptions>) -> Roster {
        Roster { own, network }
    }

    /// Validators by index, then those of the next epoch, then nodes that follow.
    pub fn members(&self, reign: &Reign) -> Vec<Member> {
        let network = self.network.as_ref();
        let known = network.map(|n| n.peers.clone()).unwrap_or_default();
        let address = |key: &[u8; 32], told: &str| match *key == self.own {
            true => network.map(|n| n.listen),
            false => {
                let known = known.iter().find(|(peer, _)| peer == key).map(|(_, address)| *address);
                known.or_else(|| told.parse().ok())
            }
        };
        let mut members: Vec<Member> = (0u32..)
            .zip(reign.validators.iter())
            .map(|(index, m)| Member {
                name: m.name.clone(),
                key: m.consensus_key,
                address: address(&m.consensus_key, &m.network),
                index: Some(index),
                joining: false,
            })
            .collect();
        for m in
            reign.next.iter().filter(|m| reign.validators.iter().all(|v| v.consensus_key != m.consensus_key))
        {
            members.push(Member {
                name: m.name.clone(),
                key: m.consensus_key,
                address: address(&m.consensus_key, &m.network),
                index: None,
                joining: true,
            });
        }
        let mut others = network.map(|n| n.observers.clone()).unwrap_or_default();
        others.extend(known.iter().copied());
        if let Some(network) = network {
            others.push((self.own, network.listen));
        }
        for (key, address) in others {
            if members.iter().all(|m| m.key != key) {
                let name = format!("observer {}", hex::encode(&key[..4]));
                members.push(Member { name, key, address: Some(address), index: None, joining: false });
            }
        }
        members
    }
}
