//! Who else is there, how far they are, and what follows for this node: whether it may take work, and whether it is behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};

use super::message::Hello;

/// A peer that was not heard for this long counts as cut off. Four hellos.
pub const SILENT_AFTER: Duration = Duration::from_secs(2);
/// Final blocks that a node may lack before it says that it is behind.
pub const MAX_LAG: u64 = 32;
/// A clock that differs more from the others' is called wrong: blocks that far ahead are waited for.
pub const MAX_CLOCK_OFFSET_MS: i64 = 500;

/// A node of the network, as configured.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    pub key: [u8; 32],
    pub address: Option<std::net::SocketAddr>,
    /// Among the validators of this epoch; `None` for an observer.
    pub index: Option<u32>,
    /// Whether it is a validator of the next epoch and not of this one.
    pub joining: bool,
}

#[derive(Debug, Clone)]
pub struct Heard {
    pub at: Instant,
    pub hello: Hello,
    /// Its clock minus ours when the hello came, in milliseconds, the way included.
    pub clock_offset_ms: i64,
}

/// What is to be told of the network at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Validators in reach, this one included.
    pub connected: usize,
    pub quorum: usize,
    /// Final blocks that enough others have and this node does not.
    pub lag: u64,
    /// Median of the others' clocks minus ours, in milliseconds.
    pub clock_offset_ms: i64,
}

impl Standing {
    pub fn has_quorum(&self) -> bool {
        self.connected >= self.quorum
    }
    pub fn is_behind(&self) -> bool {
        self.lag > MAX_LAG
    }
    pub fn has_wrong_clock(&self) -> bool {
        self.clock_offset_ms.abs() > MAX_CLOCK_OFFSET_MS
    }
}

#[derive(Debug)]
pub struct Peers {
    own: [u8; 32],
    members: RwLock<Arc<Vec<Member>>>,
    heard: Mutex<BTreeMap<[u8; 32], Heard>>,
}

impl Peers {
    pub fn new(own: [u8; 32], members: Vec<Member>) -> Peers {
        Peers { own, members: RwLock::new(Arc::new(members)), heard: Mutex::default() }
    }

    /// Another epoch began, or another one is decided.
    pub fn are(&self, members: Vec<Member>) {
        *self.members.write() = Arc::new(members);
    }

    pub fn own(&self) -> &[u8; 32] {
        &self.own
    }

    pub fn members(&self) -> Arc<Vec<Member>> {
        self.members.read().clone()
    }

    fn validators(&self) -> usize {
        self.members.read().iter().filter(|m| m.index.is_some()).count()
    }

    pub fn quorum(&self) -> usize {
        let validators = self.validators();
        validators - validators.saturating_sub(1) / 3
    }

    pub fn hear(&self, from: [u8; 32], hello: Hello, now: Instant, now_ms: u64) {
        let clock_offset_ms = hello.time_ms as i64 - now_ms as i64;
        self.heard.lock().insert(from, Heard { at: now, hello, clock_offset_ms });
    }

    pub fn heard(&self, key: &[u8; 32]) -> Option<Heard> {
        self.heard.lock().get(key).cloned()
    }

    /// `height` is this node's last stored block.
    pub fn standing(&self, height: u64, now: Instant) -> Standing {
        let (members, heard) = (self.members(), self.heard.lock());
        let present: Vec<&Heard> = members
            .iter()
            .filter(|m| m.index.is_some() && m.key != self.own)
            .filter_map(|m| heard.get(&m.key))
            .filter(|h| now.saturating_duration_since(h.at) < SILENT_AFTER)
            .collect();
        let votes = members.iter().any(|m| m.index.is_some() && m.key == self.own);
        let mut tips: Vec<u64> = present.iter().map(|h| h.hello.height).collect();
        tips.sort_unstable_by(|a, b| b.cmp(a));
        // Up to f may lie about how far they are: the one after them cannot.
        let liars = self.validators() - self.quorum();
        let lag = tips.get(liars.min(tips.len().saturating_sub(1))).map_or(0, |t| t.saturating_sub(height));
        let mut offsets: Vec<i64> = present.iter().map(|h| h.clock_offset_ms).collect();
        offsets.sort_unstable();
        Standing {
            connected: present.len() + usize::from(votes),
            quorum: self.quorum(),
            lag,
            clock_offset_ms: offsets.get(offsets.len() / 2).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(n: u8) -> Peers {
        let member = |i: u8| Member {
            name: format!("v{i}"),
            key: [i; 32],
            address: None,
            index: Some(u32::from(i)),
            joining: false,
        };
        Peers::new([0; 32], (0..n).map(member).collect())
    }

    fn say(peers: &Peers, from: u8, height: u64, time_ms: u64, at: Instant) {
        let hello = Hello { height, time_ms, ..Hello::default() };
        peers.hear([from; 32], hello, at, 10_000);
    }

    #[test]
    fn two_of_four_are_no_quorum_and_silence_counts_after_a_while() {
        let (peers, now) = (peers(4), Instant::now());
        assert_eq!(peers.quorum(), 3);
        say(&peers, 1, 5, 10_000, now);
        assert!(!peers.standing(5, now).has_quorum());
        say(&peers, 2, 5, 10_000, now);
        assert!(peers.standing(5, now).has_quorum());
        assert!(!peers.standing(5, now + SILENT_AFTER).has_quorum());
        say(&peers, 9, 5, 10_000, now);
        assert_eq!(peers.standing(5, now).connected, 3, "a stranger is nobody");
    }

    #[test]
    fn one_liar_of_four_cannot_make_a_node_believe_that_it_is_behind_or_late() {
        let (peers, now) = (peers(4), Instant::now());
        say(&peers, 1, 1_000_000, 99_000_000, now);
        say(&peers, 2, 100, 10_010, now);
        say(&peers, 3, 90, 9_990, now);
        let standing = peers.standing(100, now);
        assert_eq!((standing.lag, standing.clock_offset_ms), (0, 10));
        let standing = peers.standing(10, now);
        assert_eq!(standing.lag, 90);
        assert!(standing.is_behind() && !standing.has_wrong_clock());
    }
}
