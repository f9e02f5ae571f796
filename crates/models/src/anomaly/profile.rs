//! What each half-hour of the day usually shows.

use crate::codec::{Reader, Writer};
use crate::error::StateError;

/// Half-hours of a day.
const SLOTS: usize = 48;
const DAY_US: i64 = 86_400_000_000;
/// A slot says what is usual after this many readings.
const SPEAKS_FROM: u8 = 3;
/// How fast a slot follows.
const RATE: f64 = 0.08;

/// A mean and a number of readings a slot, side by side so that they are copied and stored in one piece.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Profile {
    means: [f64; SLOTS],
    /// Readings so far, up to 255.
    counts: [u8; SLOTS],
}

impl Profile {
    pub(super) fn empty() -> Box<Self> {
        Box::new(Self { means: [0.0; SLOTS], counts: [0; SLOTS] })
    }

    /// What this time of day usually shows, as far as known; then learns the value.
    pub(super) fn step(&mut self, time_us: i64, value: f64) -> Option<f64> {
        let at = (time_us.rem_euclid(DAY_US) / (DAY_US / SLOTS as i64)) as usize;
        let (mean, count) = (&mut self.means[at], &mut self.counts[at]);
        let usual = (*count >= SPEAKS_FROM).then_some(*mean);
        *count = count.saturating_add(1);
        *mean += RATE.max(1.0 / f64::from(*count)) * (value - *mean);
        usual
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.bytes(&self.counts);
        writer.f64s(&self.means);
    }

    pub(super) fn decode(reader: &mut Reader<'_>, largest: f64) -> Result<Box<Self>, StateError> {
        let mut profile = Self::empty();
        profile.counts = reader.bytes()?;
        reader.f64s(&mut profile.means)?;
        let sound = profile.means.iter().all(|mean| mean.abs() <= largest);
        if sound { Ok(profile) } else { Err(StateError::Impossible("number")) }
    }
}
