//! Dropping what is old: statements and transactions of blocks before a snapshot that the validators vouch for.
//!
//! Kept for ever: the hashes of the log, so that a copy of a statement still proves; checkpoints and certificates; verdicts;
//! contracts' state, Ethereum blocks and logs; which sequence numbers were used. Gone: the blocks' bodies, and the readings that
//! queries find. The snapshot stays as long as it is where an audit begins.

use std::sync::atomic::Ordering;
use std::time::Duration;

use fjall::{Keyspace, PersistMode};

use crate::error::ChainError;
use crate::ledger::Ledger;
use crate::read::Reader;
use crate::state::BUCKETS;
use crate::store::{Store, index};

/// Rows removed in one batch.
const AT_ONCE: usize = 4096;

impl Ledger {
    /// Drops what is older than `retention` by block time, as far as a snapshot allows. Returns the oldest block that is whole
    /// now, if that changed. Takes long, and delays commits little.
    pub fn prune(&self, retention: Duration) -> Result<Option<u64>, ChainError> {
        let store = &self.0.store;
        let (tip, _) = Reader::new(self.clone()).tip();
        let late = tip.time_ms.saturating_sub(retention.as_millis().try_into().unwrap_or(u64::MAX));
        // A restart goes through the last blocks again.
        let whole = tip.height.0.saturating_sub(BUCKETS);
        let snapshots = Reader::new(self.clone()).snapshots();
        let old = snapshots.iter().rev().find(|snapshot| {
            let checkpoint = &snapshot.checkpoint;
            snapshot.is_vouched_for() && checkpoint.time_ms <= late && checkpoint.height.0 <= whole
        });
        let Some(height) = old.map(|snapshot| snapshot.checkpoint.height.0) else { return Ok(None) };
        if height <= store.oldest()? {
            return Ok(None);
        }
        // Said first: what is cut short is gone on with the next time.
        let mut batch = store.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&store.meta, "oldest", height.to_be_bytes());
        batch.commit()?;
        self.0.oldest.store(height, Ordering::Relaxed);
        store.drop_before(height)?;
        Ok(Some(height))
    }
}

impl Store {
    fn drop_before(&self, height: u64) -> Result<(), ChainError> {
        let bodies = self.blocks.range(1u64.to_be_bytes()..height.to_be_bytes());
        remove_all(self, &self.blocks, bodies.map(|guard| guard.key()))?;
        let readings = self.index().prefix([index::READINGS]).map(|guard| guard.key());
        let old = readings.filter(|key| match key {
            Ok(key) => index::written_at(key).is_some_and(|at| at < height),
            Err(_) => true,
        });
        remove_all(self, self.index(), old)?;
        // Only this gives the room back: what is in memory and in the journal goes to tables, and tables without what was removed.
        for keyspace in [&self.blocks, self.index()] {
            keyspace.rotate_memtable_and_wait()?;
            keyspace.major_compact()?;
        }
        Ok(())
    }
}

fn remove_all(
    store: &Store,
    from: &Keyspace,
    keys: impl Iterator<Item = fjall::Result<fjall::UserKey>>,
) -> Result<(), ChainError> {
    let mut keys = keys.peekable();
    while keys.peek().is_some() {
        let mut batch = store.batch();
        for key in keys.by_ref().take(AT_ONCE) {
            batch.remove(from, key?);
        }
        batch.commit()?;
    }
    Ok(())
}
