//! Bounded caches over the store.

use crate::state::StateError;
use alloy_primitives::Bytes;
use alloy_primitives::map::DefaultHashBuilder;
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult};
use quick_cache::{UnitWeighter, Weighter};

/// How much of the state stays in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSizes {
    /// Number of accounts, about 200 bytes each.
    pub accounts: usize,
    /// Number of storage slots, about 130 bytes each.
    pub slots: usize,
    /// Bytes of trie nodes other than leaves.
    pub node_bytes: u64,
    /// Bytes of trie nodes that wait to be written.
    pub waiting_node_bytes: u64,
    /// Bytes of contract code.
    pub code_bytes: u64,
}

impl Default for CacheSizes {
    fn default() -> Self {
        CacheSizes {
            accounts: 400_000,
            slots: 800_000,
            node_bytes: 192 << 20,
            waiting_node_bytes: 32 << 20,
            code_bytes: 16 << 20,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct BytesWeighter;

/// What a cache entry weighs besides its value.
pub(super) const ENTRY_OVERHEAD: u64 = 128;

impl<K> Weighter<K, Bytes> for BytesWeighter {
    fn weight(&self, _: &K, value: &Bytes) -> u64 {
        ENTRY_OVERHEAD + value.len() as u64
    }
}

pub(super) type CountCache<K, V> = Cache<K, V, UnitWeighter, DefaultHashBuilder>;
pub(super) type ByteCache<K> = Cache<K, Bytes, BytesWeighter, DefaultHashBuilder>;

pub(super) fn count_cache<K: Eq + std::hash::Hash, V: Clone>(items: usize) -> CountCache<K, V> {
    Cache::with(items, items as u64, UnitWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

pub(super) fn byte_cache<K: Eq + std::hash::Hash>(bytes: u64, typical: u64) -> ByteCache<K> {
    let items = (bytes / (typical + ENTRY_OVERHEAD)).max(16) as usize;
    Cache::with(items, bytes, BytesWeighter, DefaultHashBuilder::default(), DefaultLifecycle::default())
}

/// What the cache has, or what `load` finds; that is added if it is there and `fit` for it. If a value is committed
/// meanwhile, the older one that was loaded is not: whoever inserts or removes takes its place in the cache away.
pub(super) fn cached<K: Clone + Eq + std::hash::Hash>(
    cache: &ByteCache<K>,
    key: &K,
    fit: impl FnOnce(&Bytes) -> bool,
    load: impl FnOnce() -> Result<Option<Bytes>, StateError>,
) -> Result<Option<Bytes>, StateError> {
    let place = match cache.get_value_or_guard(key, None) {
        GuardResult::Value(value) => return Ok(Some(value)),
        GuardResult::Guard(place) => Some(place),
        GuardResult::Timeout => None,
    };
    let loaded = load()?;
    if let (Some(place), Some(value)) = (place, loaded.as_ref().filter(|value| fit(value))) {
        // Refused where the place was taken away.
        let _ = place.insert(value.clone());
    }
    Ok(loaded)
}
