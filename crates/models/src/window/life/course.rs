//! What the course of an engine so far shows, cycle by cycle, from a bounded memory.
//!
//! Of each moving sensor smoothed values, the mean of the first cycles, and their differences; of the health index the same
//! with several rates, trends over up to 160 cycles, mean, and sums. The health index is one number a cycle, a regression of
//! the remaining cycles on that cycle's sensors: noisy, but its course shows wear better than that of any sensor.
//!
//! Memory, with m moving sensors:
//!
//! ```text
//! 2 weights | m x (2 smoothed values, mean of the first cycles) | 3 x (smoothed health, weight)
//! | mean health of the first cycles, sum, sum below it when smoothed, sum below it | up to 160 values of the health index, oldest first
//! ```

use super::regimes::Regimes;
use crate::error::StateError;
use crate::forecast::Ridge;
use crate::window::Memory;

/// Cycles that say what the engine was like when it was new.
const FIRST_CYCLES: u32 = 50;
/// Rates of exponential means of the health index, and of sensors.
const HEALTH_RATES: [f64; 3] = [0.05, 0.1, 0.2];
const RATES: [f64; 2] = [0.1, 0.03];
/// Cycles of the trends of the health index.
const TRENDS: [usize; 5] = [10, 20, 40, 80, 160];
/// The longest of them.
const KEPT: usize = 160;
/// Of a sensor.
const EACH: usize = RATES.len() + 1;
const HEALTH: usize = 2 * HEALTH_RATES.len();
const SUMS: usize = 4;
/// No trained health index comes near it; a hostile one must not make sums overflow.
const MOST_HEALTH: f64 = 1.0e9;

/// What a cycle is compared with, and how healthy it then looks.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    regimes: Regimes,
    health: Ridge,
}

impl Course {
    /// `None` where the health index (a weight a moving sensor, then the constant) does not fit the regimes.
    pub fn new(regimes: Regimes, health: Vec<f64>) -> Option<Self> {
        let expected = regimes.moving() + 1;
        let fits = health.len() == expected;
        let health = Ridge::of(expected, health).filter(|_| fits)?;
        Some(Self { regimes, health })
    }

    /// What it compares with.
    pub fn regimes(&self) -> &Regimes {
        &self.regimes
    }

    /// Weights of the health index.
    pub fn health(&self) -> &[f64] {
        self.health.weights()
    }

    /// How many features a cycle has.
    pub fn features(&self) -> usize {
        1 + self.regimes.moving() * (2 * RATES.len() + 1) + HEALTH_RATES.len() + TRENDS.len() + 5
    }

    fn fixed(&self) -> usize {
        RATES.len() + self.regimes.moving() * EACH + HEALTH + SUMS
    }

    /// The most numbers that its memory holds.
    pub fn memory(&self) -> usize {
        self.fixed() + KEPT
    }

    /// About how many multiplications a cycle takes.
    pub fn products(&self) -> usize {
        let (regimes, moving) = (self.regimes.len(), self.regimes.moving());
        6 * regimes + 16 * moving + 2 * TRENDS.iter().sum::<usize>() + 64
    }

    /// The features after one more cycle (settings, then sensors); `None` where the row has another width.
    pub fn step(&self, memory: &mut Memory, row: &[f64]) -> Result<Option<Vec<f64>>, StateError> {
        let Some(sensors) = self.regimes.compare(row) else { return Ok(None) };
        let at = memory.rows;
        if at == 0 {
            memory.numbers = vec![0.0; self.fixed()];
        }
        let numbers = memory.expect(self.fixed() + KEPT.min(at as usize))?;
        let cycles = f64::from(at) + 1.0;
        let with_constant: Vec<f64> = sensors.iter().copied().chain([1.0]).collect();
        let now = self.health.predict(&with_constant).first().copied().unwrap_or_default();
        let now = if now.is_nan() { 0.0 } else { now.clamp(-MOST_HEALTH, MOST_HEALTH) };
        if numbers.len() == self.fixed() + KEPT {
            numbers.remove(self.fixed());
        }
        numbers.push(now);

        let (weights, rest) = numbers.split_at_mut(RATES.len());
        let (means, rest) = rest.split_at_mut(sensors.len() * EACH);
        let (healths, rest) = rest.split_at_mut(HEALTH);
        let (sums, index) = rest.split_at_mut(SUMS);
        let mut features = vec![cycles];
        for (weight, rate) in weights.iter_mut().zip(RATES) {
            *weight += rate * (1.0 - *weight);
        }
        for (kept, value) in means.chunks_exact_mut(EACH).zip(&sensors) {
            let (means, first) = kept.split_at_mut(RATES.len());
            for (mean, rate) in means.iter_mut().zip(RATES) {
                *mean += rate * (value - *mean);
            }
            if at < FIRST_CYCLES {
                first[0] += (value - first[0]) / cycles;
            }
            let smoothed: [f64; RATES.len()] = std::array::from_fn(|rate| means[rate] / weights[rate]);
            features.extend(smoothed);
            features.extend(smoothed.map(|mean| mean - first[0]));
            features.push(first[0]);
        }
        for (kept, rate) in healths.chunks_exact_mut(2).zip(HEALTH_RATES) {
            kept[0] = kept[0] * (1.0 - rate) + rate * now;
            kept[1] = kept[1] * (1.0 - rate) + rate;
            features.push(kept[0] / kept[1]);
        }
        features.extend(TRENDS.map(|cycles| trend(&index[index.len().saturating_sub(cycles)..])));
        let smoothed = healths[2] / healths[3];
        if at < FIRST_CYCLES {
            sums[0] += (now - sums[0]) / cycles;
        }
        let first = sums[0];
        sums[1] += now;
        sums[2] += (first - smoothed).max(0.0);
        sums[3] += first - now;
        features.extend([first, smoothed - first, sums[1] / cycles, sums[2], sums[3]]);
        memory.count();
        Ok(Some(features))
    }
}

/// Slope of the least-squares line a cycle; 0 where it would be mere noise.
fn trend(values: &[f64]) -> f64 {
    if values.len() < 4 {
        return 0.0;
    }
    let middle = (values.len() - 1) as f64 / 2.0;
    let (mut products, mut squares) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let offset = at as f64 - middle;
        products += offset * value;
        squares += offset * offset;
    }
    products / squares
}

#[cfg(test)]
mod tests {
    use super::trend;

    #[test]
    fn trends_are_slopes() {
        assert!((trend(&[1.0, 3.0, 5.0, 7.0, 9.0]) - 2.0).abs() < 1e-12);
        assert_eq!(trend(&[1.0, 9.0]), 0.0);
    }
}
