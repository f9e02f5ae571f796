//! What calls, simulations and traces may take of the node: how long one lasts, and how many run at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonrpsee::types::ErrorObjectOwned;

use crate::errors::{Answer, going_down, timed_out};

/// How long one call may take, waiting for its turn included.
pub const CALL_TIME: Duration = Duration::from_secs(5);
/// The same for a trace or a simulation.
pub const TRACE_TIME: Duration = Duration::from_secs(10);

/// Lets so many calls run at once as there are cores; the others wait for their turn. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Places>);

#[derive(Debug)]
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
    /// The node goes down: whatever runs ends.
    stopping: AtomicBool,
}

/// A place behind the gate, and when it must be given back.
#[derive(Debug)]
pub struct Turn {
    places: Arc<Places>,
    end: Instant,
    time: Duration,
}

impl Default for Gate {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Gate(Arc::new(Places {
            free: Mutex::new(cores.max(2)),
            freed: Condvar::new(),
            stopping: AtomicBool::new(false),
        }))
    }
}

impl Gate {
    pub fn enter(&self, time: Duration) -> Answer<Turn> {
        let end = Instant::now() + time;
        // A thread that panicked inside cannot have left the number wrong: it is one addition.
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            if self.0.stopping.load(Ordering::Relaxed) {
                return Err(going_down());
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else { return Err(timed_out(time)) };
            free = self.0.freed.wait_timeout(free, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(going_down());
        }
        *free -= 1;
        Ok(Turn { places: self.0.clone(), end, time })
    }

    /// Ends what runs, at its next look at the clock, and lets nothing in any more.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.freed.notify_all();
    }
}

impl Turn {
    /// Whether its time is up, or the node goes down.
    pub fn over(&self) -> bool {
        self.places.stopping.load(Ordering::Relaxed) || Instant::now() > self.end
    }

    /// What is said to whoever was stopped.
    pub fn stopped(&self) -> ErrorObjectOwned {
        if self.places.stopping.load(Ordering::Relaxed) { going_down() } else { timed_out(self.time) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *self.places.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.places.freed.notify_one();
    }
}
