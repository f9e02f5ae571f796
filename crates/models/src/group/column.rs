//! One stream of a group: what it was like while learning, and where it is now.

use super::BLOCK;

/// Strides whose means are kept: the last three, and the three before.
pub(super) const STRIDES: usize = 6;
/// Rate of the smoothed value: about a block is remembered.
const RATE: f64 = 2.0 / (BLOCK as f64 + 1.0);
/// Blocks that a level may have drifted unnoticed.
const HORIZON: f64 = 2.0;
/// Share of the local level model's gain with which the level follows.
const GAIN: f64 = 0.3;
/// Fewer blocks with values say nothing of a column.
const LEAST_BLOCKS: usize = 4;
/// Deviations from its level that a value counts as at most, so that one reading beyond all measure is soon forgotten.
const MOST: f64 = 1_000.0;
/// Distances count as at most so many deviations.
const FURTHEST: f64 = 1e12;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Column {
    pub known: bool,
    pub smoothed: f64,
    /// The stride under way, and the means of those before, latest last.
    pub stride: (u8, f64),
    pub strides: Vec<f64>,
    /// The block under way: rows, mean, sum of squares. Only while learning.
    pub block: (u8, f64, f64),
    /// Means of blocks, and the sum of their variances within. Only while learning.
    pub blocks: Vec<f64>,
    pub within: f64,
    /// After learning; deviations of 0 mean that nothing is known, and nothing is said.
    pub level: f64,
    pub gain: f64,
    pub deviation: f64,
    pub step_deviation: f64,
}

impl Column {
    pub fn take_in(&mut self, value: f64, learning: bool) {
        if self.known {
            self.smoothed += RATE * (self.bounded(value) - self.smoothed);
        } else {
            (self.known, self.smoothed) = (true, value);
        }
        self.stride.0 += 1;
        self.stride.1 += (value - self.stride.1) / f64::from(self.stride.0);
        if learning {
            // Welford.
            let (count, mean, squares) = &mut self.block;
            *count += 1;
            let apart = value - *mean;
            *mean += apart / f64::from(*count);
            *squares += apart * (value - *mean);
        }
    }

    fn bounded(&self, value: f64) -> f64 {
        if self.deviation > 0.0 {
            let most = MOST * self.deviation;
            value.clamp(self.level - most, self.level + most)
        } else {
            value
        }
    }

    pub fn end_block(&mut self) {
        let (count, mean, squares) = std::mem::take(&mut self.block);
        if count > 0 {
            self.blocks.push(mean);
            let count = f64::from(count);
            self.within += squares / (count - 1.0).max(1.0) / count;
        }
    }

    /// Noise and drift from the means of the blocks: their mean squared differences at one block and at half of all.
    pub fn end_learning(&mut self) {
        let blocks = std::mem::take(&mut self.blocks);
        let within = std::mem::take(&mut self.within) / blocks.len().max(1) as f64;
        if blocks.len() < LEAST_BLOCKS {
            return;
        }
        let apart = |lag: usize| {
            let squares = blocks.iter().zip(&blocks[lag..]).map(|(a, b)| (b - a) * (b - a));
            squares.sum::<f64>() / (blocks.len() - lag) as f64
        };
        let half = blocks.len() / 2;
        let (near, far) = (apart(1), apart(half));
        let middle = median(&blocks);
        // What a constant column may differ by is what its numbers can hold.
        let least = (1e-9 * middle.abs()).max(1e-150);
        let drift = ((far - near) / (half as f64 - 1.0)).max(0.0);
        let noise = ((near - drift) / 2.0).max(within).max(least * least);
        self.deviation = (noise + HORIZON * drift).sqrt();
        self.step_deviation = near.max(2.0 * within).max(least * least).sqrt();
        // The steady gain of the local level model's Kalman filter.
        let ratio = (drift / noise).min(1e6);
        if ratio > 0.0 {
            self.gain = GAIN * 2.0 * ratio / (ratio + (ratio * ratio + 4.0 * ratio).sqrt());
        }
        self.level = middle;
        for mean in blocks {
            self.level += self.gain * (mean - self.level);
        }
    }

    pub fn difference(&self) -> f64 {
        self.smoothed - self.level
    }

    pub fn usual(&self) -> f64 {
        self.deviation
    }

    pub fn distance(&self) -> f64 {
        if self.deviation > 0.0 { (self.difference().abs() / self.deviation).min(FURTHEST) } else { 0.0 }
    }

    pub fn follow(&mut self, value: f64) {
        self.level += self.gain / f64::from(BLOCK) * (self.bounded(value) - self.level);
    }

    /// Takes the latest stride for the new level.
    pub fn accept(&mut self) {
        if let Some(&latest) = self.strides.last() {
            (self.level, self.smoothed) = (latest, latest);
        }
    }

    /// Ends a stride; by how much the last three differ from the three before, in deviations.
    pub fn end_stride(&mut self) -> f64 {
        let (count, mean) = std::mem::take(&mut self.stride);
        if count > 0 {
            if self.strides.len() == STRIDES {
                self.strides.remove(0);
            }
            self.strides.push(mean);
        }
        if self.strides.len() < STRIDES || self.step_deviation == 0.0 || count == 0 {
            return 0.0;
        }
        let (before, now) = self.strides.split_at(STRIDES / 2);
        let mean = |strides: &[f64]| strides.iter().sum::<f64>() / strides.len() as f64;
        ((mean(now) - mean(before)).abs() / self.step_deviation).min(FURTHEST)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { sorted[half - 1] / 2.0 + sorted[half] / 2.0 } else { sorted[half] }
}
