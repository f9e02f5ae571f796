//! Heart beats in one lead of an electrocardiogram, beat by beat as the samples come, and how each differs from what is
//! usual for this patient.
//!
//! Samples are integers (any unit) at [`SAMPLES_PER_SECOND`]. Beats: the slope of the band between about 5 and 25 Hz, its
//! magnitude summed over 122 ms, adaptive thresholds for signal and noise, a search back after a pause, P and T waves told
//! by their strength and place (Pan and Tompkins 1985, doi 10.1109/TBME.1985.325532, with integer moving averages). Shape:
//! against a template of the patient's own beats. A beat is given once the next one is known: one beat late.
//!
//! Everything up to the thresholds is integer arithmetic. It looks back almost six seconds, which
//! takes more than the other models: 11 KiB of state, 18 before the twelfth beat.

mod detect;
mod shape;
mod state_bytes;

pub use state_bytes::MAX_HEART_STATE_BYTES;

use detect::Detector;
use shape::Shapes;

/// The rate that every constant here is in samples of.
pub const SAMPLES_PER_SECOND: usize = 360;
/// Numbers that say how a beat differs.
pub const BEAT_FEATURES: usize = 5;
/// Samples that are remembered.
const RING: usize = 2048;
/// Greater magnitudes count as this.
const GREATEST: i32 = 1 << 24;

/// A beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beat {
    /// Sample near the R peak, from 0.
    pub at: u64,
    /// How it differs, or `None` for the first beats, from which the patient's template is made: logarithms of the interval before
    /// over the usual one and over the interval after; correlation with the template; logarithms of area and width
    /// over the template's.
    pub features: Option<[f64; BEAT_FEATURES]>,
}

/// Finds beats in samples.
#[derive(Debug, Clone)]
pub struct HeartMonitor {
    samples: Vec<i32>,
    count: u64,
    detector: Detector,
    shapes: Shapes,
    /// Settled beats that were not given yet, with their shapes; at most one between steps.
    settled: Vec<(u64, Option<shape::Outline>)>,
    before: Option<u64>,
}

impl Default for HeartMonitor {
    fn default() -> Self {
        Self {
            samples: vec![0; RING],
            count: 0,
            detector: Detector::default(),
            shapes: Shapes::default(),
            settled: Vec::new(),
            before: None,
        }
    }
}

impl HeartMonitor {
    /// Takes in a sample; the beat before the latest one, when that is sure.
    pub fn step(&mut self, sample: i32) -> Option<Beat> {
        let sample = sample.clamp(-GREATEST, GREATEST);
        self.samples[self.count as usize % RING] = sample;
        self.count += 1;
        let settled = self.detector.step(sample)?;
        self.settle(settled)
    }

    /// The last beats, which no other follows.
    pub fn finish(mut self) -> Vec<Beat> {
        let mut out = Vec::new();
        for beat in std::mem::take(&mut self.detector).finish() {
            out.extend(self.settle(beat));
        }
        if let Some(&(at, _)) = self.settled.first() {
            // As if the next came when it was due.
            let next = at + (at - self.before.unwrap_or(at)).max(1);
            out.extend(self.give(next));
        }
        out
    }

    fn settle(&mut self, at: u64) -> Option<Beat> {
        let outline = shape::outline(&self.samples, self.count, at);
        self.settled.push((at, outline));
        if self.settled.len() < 2 { None } else { self.give(at) }
    }

    fn give(&mut self, next: u64) -> Option<Beat> {
        let (at, outline) = self.settled.remove(0);
        let before = self.before.replace(at);
        let intervals = before.map(|before| ((at - before) as f64, (next - at) as f64));
        Some(Beat { at, features: self.shapes.features(outline, intervals) })
    }
}
