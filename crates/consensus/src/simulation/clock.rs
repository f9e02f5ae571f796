//! A clock that is wrong: off by something, fast or slow, and moved while it runs.

use std::{
    sync::atomic::{AtomicI64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use rand::RngExt as _;

const MILLION: i128 = 1_000_000;

/// How far the clock of a validator that keeps time is off, at most, whatever its drift does to it in a run.
pub(super) const MAX_HONEST_SKEW: Duration = Duration::from_millis(200);

/// One machine's clock, as a function of the time that it really is.
#[derive(Debug)]
pub(super) struct SkewedClock {
    start: SystemTime,
    /// Parts in a million that it is too fast.
    drift: i64,
    /// Microseconds that it is ahead.
    offset: AtomicI64,
}

impl SkewedClock {
    pub(super) fn new(start: SystemTime, drift: i64, offset: i64) -> Self {
        Self { start, drift, offset: AtomicI64::new(offset) }
    }

    /// One that is kept, as by NTP: two of them are less apart than a block may be ahead.
    pub(super) fn kept(start: SystemTime, rng: &mut impl rand::Rng) -> Self {
        Self::new(start, rng.random_range(-200..=200), rng.random_range(-150_000..=150_000))
    }

    /// One that nobody set: seconds off, and up to a twentieth too fast or too slow.
    pub(super) fn wrong(start: SystemTime, rng: &mut impl rand::Rng) -> Self {
        Self::new(start, rng.random_range(-50_000..=50_000), rng.random_range(-8_000_000..=8_000_000))
    }

    /// What it shows.
    pub(super) fn at(&self, now: SystemTime) -> SystemTime {
        let elapsed = now.duration_since(self.start).unwrap_or_default().as_nanos() as i128;
        let ahead = elapsed * i128::from(self.drift) / MILLION + i128::from(self.offset.load(Relaxed)) * 1000;
        let by = Duration::from_nanos(ahead.unsigned_abs() as u64);
        if ahead < 0 { now - by } else { now + by }
    }

    /// How long it really takes until it has gone on by this much.
    pub(super) fn really(&self, shown: Duration) -> Duration {
        let nanos = shown.as_nanos() as i128 * MILLION / (MILLION + i128::from(self.drift));
        // A little more rather than a little less: who sleeps must not wake before the time has come.
        Duration::from_nanos(nanos as u64 + 1)
    }

    /// Somebody, or a service, sets it anew.
    pub(super) fn jump(&self, microseconds: i64) {
        self.offset.fetch_add(microseconds, Relaxed);
    }
}

#[test]
fn a_clock_drifts_jumps_and_is_slept_by() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
    let clock = SkewedClock::new(start, 50_000, -2_000_000);
    let shown = |after: u64| clock.at(start + Duration::from_secs(after)).duration_since(start).ok();
    assert_eq!(shown(100), Some(Duration::from_secs(103)));
    assert_eq!(shown(1), None);
    clock.jump(3_000_000);
    assert_eq!(shown(100), Some(Duration::from_secs(106)));
    let real = clock.really(Duration::from_secs(105));
    assert_eq!(real, Duration::from_nanos(100_000_000_001));
}
