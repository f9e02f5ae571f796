//! Room on the disk: watched, so that a node stops taking things in while it can still store what it took.
//!
//! | free | the node |
//! | --- | --- |
//! | at least the reserve | works |
//! | less | is read-only: doors refuse with `read-only`, `/readyz` says 503, heartbeats go on; it works again by itself once there is room |
//! | less than a quarter of it | ends with exit code 70 and says what to do: databases that run out of room in the middle of a write are no place to be |
//!
//! If the disk fills up faster than the watch looks, a commit fails, nothing of it is acknowledged, and the node ends
//! likewise.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use triad_chain::Gate;

/// Between two looks. At 100 MB/s the default reserve lasts for ten of them.
const INTERVAL: Duration = Duration::from_millis(250);
/// The node ends below this part of the reserve.
const LAST_PART: u64 = 4;
/// Once read-only, so much more than the reserve must be free, in eighths of it: no flapping.
const AGAIN_EIGHTHS: u64 = 9;

/// What a node with this little room may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Enough,
    Low,
    None,
}

fn room(free: u64, reserve: u64, is_low: bool) -> Room {
    let enough = if is_low { reserve / 8 * AGAIN_EIGHTHS } else { reserve };
    if free < reserve / LAST_PART {
        Room::None
    } else if free < enough {
        Room::Low
    } else {
        Room::Enough
    }
}

/// Bytes that this process may still write under `path`.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// `12 MiB`, rounded down.
fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

pub(crate) struct Watch {
    dir: PathBuf,
    reserve: u64,
    gate: Arc<Gate>,
    free: Gauge<u64, AtomicU64>,
    low: bool,
}

impl Watch {
    pub fn new(dir: PathBuf, reserve: u64, gate: Arc<Gate>, registry: &mut Registry) -> Watch {
        let free = Gauge::default();
        let registry = registry.sub_registry_with_prefix("triad");
        registry.register("disk_free_bytes", "Room on the data directory's file system", free.clone());
        Watch { dir, reserve, gate, free, low: false }
    }

    /// An error ends the node.
    pub fn look(&mut self) -> Result<(), String> {
        let Ok(free) = free_bytes(&self.dir) else {
            // A vanished directory shows in the store's own errors.
            return Ok(());
        };
        self.free.set(free);
        let (dir, reserve) = (self.dir.display(), self.reserve);
        match room(free, reserve, self.low) {
            Room::Enough if self.low => {
                self.low = false;
                self.gate.open();
                tracing::warn!(free, "there is room on the disk again: the node takes statements");
                eprintln!(
                    "triad: there is room on the disk again ({}): the node takes statements",
                    mib(free)
                );
            }
            Room::Low if !self.low => {
                self.low = true;
                let why = format!(
                    "the disk of {dir} is nearly full: {} are free, {} are kept in reserve. The node only reads until \
                     there is room: free some, or enlarge the file system; it goes on by itself",
                    mib(free),
                    mib(reserve)
                );
                self.gate.shut(why.clone());
                tracing::error!(free, "{why}");
                eprintln!("triad: {why}");
            }
            Room::None => return Err(full(&self.dir, free)),
            Room::Enough | Room::Low => {}
        }
        Ok(())
    }

    /// Looks until something ends the node; the reason.
    pub async fn run(mut self) -> String {
        loop {
            if let Err(why) = self.look() {
                return why;
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

/// What an operator is told when there is no room at all.
pub fn full(dir: &Path, free: u64) -> String {
    format!(
        "the disk of {} is full ({} are free): the node stops, and what it acknowledged is stored. Free some room or \
         enlarge the file system, then start it again: it goes on where it was",
        dir.display(),
        mib(free)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_begins_at_the_reserve_and_ends_above_it() {
        let reserve = 800;
        assert_eq!(room(800, reserve, false), Room::Enough);
        assert_eq!(room(799, reserve, false), Room::Low);
        assert_eq!(room(850, reserve, true), Room::Low);
        assert_eq!(room(900, reserve, true), Room::Enough);
        assert_eq!(room(200, reserve, true), Room::Low);
        assert_eq!(room(199, reserve, false), Room::None);
        assert_eq!(room(0, 0, false), Room::Enough, "no reserve, no watch");
    }
}
