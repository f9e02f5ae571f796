//! Prediction intervals that keep their promise while a stream changes: the half width follows its own misses (quantile
//! tracking; Angelopoulos, Candès and Tibshirani 2023, arXiv:2307.16895).
//!
//! After a value outside, the half width grows by `rate` times the mean error times the promised share; after one inside,
//! it shrinks by the rest. Whatever the errors do, the share inside tends to what was promised, since a width that does
//! not grow without bound must have been widened as often as that. The state is three numbers once it has begun.

/// The first half width is the promised quantile of so many errors; before them there is none.
const SPEAKS_FROM: usize = 40;
/// How fast the mean error follows.
const SCALE_RATE: f64 = 0.01;

/// The half width in force, and what it follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Conformal {
    inside: f64,
    rate: f64,
    half: f64,
    /// Mean size of the errors.
    scale: f64,
    /// Until the first half width is known.
    first: Vec<f64>,
}

impl Conformal {
    /// Intervals that hold `inside` (say 0.9) of the values. `rate`: how far a miss widens the interval, in mean errors;
    /// over `n` values the share inside is off by about three or four divided by `rate * n`.
    pub fn new(inside: f64, rate: f64) -> Self {
        let (inside, rate) = (inside.clamp(0.01, 0.999), rate.clamp(0.0, 1.0));
        Self { inside, rate, half: 0.0, scale: 0.0, first: Vec::new() }
    }

    /// Half the width of the interval around the next forecast.
    pub fn half_width(&self) -> Option<f64> {
        (self.first.len() >= SPEAKS_FROM).then_some(self.half)
    }

    /// Mean size of the errors; `None` before there are intervals.
    pub fn usual_error(&self) -> Option<f64> {
        self.half_width().map(|_| self.scale)
    }

    /// What [`Conformal::with_numbers`] takes: the first errors until there are intervals, then half width and mean error.
    pub(crate) fn numbers(&self) -> (u8, Vec<f64>) {
        let numbers =
            if self.half_width().is_some() { vec![self.half, self.scale] } else { self.first.clone() };
        (self.first.len() as u8, numbers)
    }

    /// How many numbers stand for so many errors taken in.
    pub(crate) fn count(taken: u8) -> Option<usize> {
        match usize::from(taken) {
            SPEAKS_FROM => Some(2),
            fewer if fewer < SPEAKS_FROM => Some(fewer),
            _ => None,
        }
    }

    /// As it was when [`Conformal::numbers`] gave these.
    pub(crate) fn with_numbers(mut self, taken: u8, numbers: &[f64]) -> Self {
        match numbers {
            &[half, scale] if usize::from(taken) == SPEAKS_FROM => {
                // What the first errors were has no further part in anything.
                (self.half, self.scale, self.first) = (half, scale, vec![0.0; SPEAKS_FROM]);
            }
            first => self.first = first.to_vec(),
        }
        self
    }

    /// Takes in how far a forecast was off.
    pub fn learn(&mut self, error: f64) {
        let error = error.abs();
        if self.first.len() < SPEAKS_FROM {
            self.first.push(error);
            if self.first.len() == SPEAKS_FROM {
                self.scale = self.first.iter().sum::<f64>() / SPEAKS_FROM as f64;
                self.first.sort_by(f64::total_cmp);
                let at = libm::ceil((SPEAKS_FROM + 1) as f64 * self.inside) as usize;
                self.half = self.first[at.clamp(1, SPEAKS_FROM) - 1];
                self.first.fill(0.0);
            }
            return;
        }
        let step = if error > self.half { self.inside } else { self.inside - 1.0 };
        self.half = (self.half + self.rate * self.scale * step).max(0.0);
        self.scale += SCALE_RATE * (error - self.scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_in_ten_stay_inside_though_the_noise_doubles() {
        let (mut conformal, mut seed, mut inside, mut asked) = (Conformal::new(0.9, 0.05), 1_u64, 0, 0);
        for at in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let noise = (seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            let error = noise * if at < 10_000 { 1.0 } else { 2.0 };
            if let Some(half) = conformal.half_width() {
                asked += 1;
                inside += usize::from(error.abs() <= half);
            }
            conformal.learn(error);
        }
        let share = inside as f64 / asked as f64;
        assert!((0.89..0.91).contains(&share), "{share}");
    }
}
