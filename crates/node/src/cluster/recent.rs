//! What was relayed lately, to and by this node: items that a block need only name.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use triad_chain::outline::{ItemName, item_name};

/// Bytes of memory for the items that are remembered; the oldest go.
const MAX_BYTES: usize = 64 << 20;
/// What an item takes besides its own bytes: its name twice, places in the map and the queue, the handle of its bytes.
const OVERHEAD: usize = 128;

#[derive(Debug, Default)]
pub struct Recent(Mutex<Items>);

#[derive(Debug, Default)]
struct Items {
    by_name: HashMap<ItemName, Bytes>,
    order: VecDeque<ItemName>,
    bytes: usize,
}

impl Recent {
    pub fn add(&self, items: &[Bytes]) {
        // Hashed before anybody waits.
        let named: Vec<(ItemName, &Bytes)> = items.iter().map(|item| (item_name(item), item)).collect();
        let mut all = self.0.lock();
        for (name, item) in named {
            if all.by_name.contains_key(&name) {
                continue;
            }
            all.bytes += item.len() + OVERHEAD;
            all.by_name.insert(name, item.clone());
            all.order.push_back(name);
            while all.bytes > MAX_BYTES {
                let Some(oldest) = all.order.pop_front() else { break };
                all.bytes -= all.by_name.remove(&oldest).map_or(0, |item| item.len() + OVERHEAD);
            }
        }
    }

    pub fn holds(&self, name: &ItemName) -> bool {
        self.0.lock().by_name.contains_key(name)
    }

    pub fn get(&self, name: &ItemName) -> Option<Bytes> {
        self.0.lock().by_name.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_items_are_there_and_memory_is_bounded() {
        let recent = Recent::default();
        let item = |n: u8| Bytes::from(vec![n; MAX_BYTES / 4 - OVERHEAD]);
        for n in 0..9 {
            recent.add(&[item(n), item(n)]);
        }
        for n in 0..9 {
            assert_eq!(recent.holds(&item_name(&item(n))), n > 4, "{n}");
        }
        assert_eq!(recent.get(&item_name(&item(8))), Some(item(8)));
        assert_eq!(recent.0.lock().bytes, MAX_BYTES);
    }
}
