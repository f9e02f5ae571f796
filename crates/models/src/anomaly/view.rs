//! One view of a stream: a number whose usual size is learned, and whose records are remembered.

use crate::codec::{Reader, Writer};
use crate::error::StateError;

/// How fast mean and deviation follow: they remember about 2,000 readings.
pub(super) const LONG_RATE: f64 = 0.0005;
/// A departure counts at most this many deviations when learned, so that an anomaly does not become the norm at once.
const CLIP: f64 = 3.0;
/// Clipping starts when the deviation is known a little.
const CLIP_FROM: u32 = 64;
/// A view says nothing before it has this many samples.
pub(super) const SPEAKS_FROM: u32 = 100;
/// A fading record halves in about 4,600 readings.
pub(super) const FADE: f64 = 0.99985;
/// A record starts to fade when nothing came near it for this many samples: what recurs within them stays usual.
const HELD: u16 = 500;
/// How near is near.
const NEAR: f64 = 0.95;
/// Departures are cut here, so that nothing computed from them can overflow.
pub(super) const MOST: f64 = 1.0e6;

/// Which departures are strange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Below,
}

/// Exponentially weighted mean and variance of a number (West 1979, with winsorised updates), and the largest
/// departure so far, slowly fading.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct View {
    count: u32,
    mean: f64,
    variance: f64,
    record: f64,
    /// Samples since one came near the record.
    unmatched: u16,
}

/// How strange a sample is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Departure {
    /// In deviations, zero where the side is not strange.
    pub size: f64,
    /// Larger than any before, as far as remembered.
    pub is_record: bool,
    /// The mean before this sample.
    pub usual: f64,
}

impl View {
    /// Measures a sample against what was learned before it, then learns it.
    pub(super) fn step(&mut self, sample: f64, side: Side) -> Departure {
        let off = sample - self.mean;
        let deviations =
            if self.count < 2 || self.variance <= 0.0 { 0.0 } else { off / self.variance.sqrt() };
        let size = match side {
            Side::Both => deviations.abs(),
            Side::Below => (-deviations).max(0.0),
        };
        let mut departure = Departure { size: size.min(MOST), is_record: false, usual: self.mean };
        if self.count >= SPEAKS_FROM {
            departure.is_record = departure.size > self.record;
            self.keep_record(departure.size);
        } else {
            departure.size = 0.0;
        }
        self.learn(off);
        departure
    }

    fn keep_record(&mut self, size: f64) {
        self.unmatched = if size >= NEAR * self.record { 0 } else { self.unmatched.saturating_add(1) };
        if self.unmatched > HELD {
            self.record *= FADE;
        }
        self.record = self.record.max(size);
    }

    fn learn(&mut self, off: f64) {
        self.count = self.count.saturating_add(1);
        let rate = LONG_RATE.max(1.0 / f64::from(self.count));
        let most = CLIP * self.variance.sqrt();
        let off = if self.count > CLIP_FROM && most > 0.0 { off.clamp(-most, most) } else { off };
        self.mean += rate * off;
        self.variance = (1.0 - rate) * (self.variance + rate * off * off);
    }

    pub(super) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.count);
        writer.f64s(&[self.mean, self.variance, self.record]);
        writer.u16(self.unmatched);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (count, mut fields) = (reader.u32()?, [0.0; 3]);
        reader.f64s(&mut fields)?;
        let [mean, variance, record] = fields;
        let view = Self { count, mean, variance, record, unmatched: reader.u16()? };
        let bounded = view.mean.abs() <= 1e101 && view.variance >= 0.0 && view.variance <= 1e203;
        if bounded && (0.0..=MOST).contains(&view.record) {
            Ok(view)
        } else {
            Err(StateError::Impossible("view"))
        }
    }
}
