//! Logistic regression with a penalty, by iteratively reweighted least squares (Newton's method).

use triad_models::forecast::{Ridge, RidgeSums};

const ROUNDS: usize = 25;
/// The constant feature is this large, so that the penalty hardly touches it.
const CONSTANT: f64 = 30.0;

/// A fitted regression, on features that it standardises.
#[derive(Debug, Clone)]
pub(crate) struct Logistic {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    weights: Ridge,
}

/// A sample: features, whether it is one, and its weight.
pub(crate) type Sample<'a> = (&'a [f64], bool, f64);

impl Logistic {
    /// `penalty` is of half the squared weights of standardised features; `None` without samples or where nothing fits.
    pub fn fit(samples: &[Sample<'_>], penalty: f64) -> Option<Self> {
        let width = samples.first()?.0.len();
        let count = samples.len() as f64;
        let mean: Vec<f64> =
            (0..width).map(|at| samples.iter().map(|sample| sample.0[at]).sum::<f64>() / count).collect();
        let square = |value: f64| value * value;
        let deviation = |at: usize| {
            let squares = samples.iter().map(|sample| square(sample.0[at] - mean[at])).sum::<f64>();
            (squares / count).sqrt().max(1e-9)
        };
        let deviation: Vec<f64> = (0..width).map(deviation).collect();
        // All weights zero: what is fitted to zeros.
        let mut zeros = RidgeSums::new(width + 1, 1);
        zeros.add(&vec![0.0; width + 1], &[0.0], 1.0);
        let mut model = Self { mean, deviation, weights: zeros.fit(1.0)? };
        for _ in 0..ROUNDS {
            let mut sums = RidgeSums::new(width + 1, 1);
            for &(features, is, weight) in samples {
                let row = model.standardised(features);
                let linear = model.weights.predict(&row)[0].clamp(-30.0, 30.0);
                let odds = 1.0 / (1.0 + libm::exp(-linear));
                let curvature = (odds * (1.0 - odds)).max(1e-9);
                let aim = linear + (f64::from(u8::from(is)) - odds) / curvature;
                sums.add(&row, &[aim], weight * curvature);
            }
            model.weights = sums.fit(penalty)?;
        }
        Some(model)
    }

    fn standardised(&self, features: &[f64]) -> Vec<f64> {
        let each = features.iter().zip(&self.mean).zip(&self.deviation);
        each.map(|((value, mean), deviation)| (value - mean) / deviation).chain([CONSTANT]).collect()
    }

    /// Features a sample has.
    pub fn features(&self) -> usize {
        self.mean.len()
    }

    /// Means, deviations, then weights of the standardised features and of the constant 30.
    pub fn numbers(&self) -> Vec<f64> {
        [self.mean.as_slice(), &self.deviation, self.weights.weights()].concat()
    }

    /// The other way; `None` for numbers that no training wrote.
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let width = numbers.len().checked_sub(1)? / 3;
        if width == 0 || numbers.len() != 3 * width + 1 {
            return None;
        }
        let (mean, rest) = numbers.split_at(width);
        let (deviation, weights) = rest.split_at(width);
        let weights = Ridge::of(width + 1, weights.to_vec())?;
        let sane = deviation.iter().all(|deviation| *deviation > 0.0);
        sane.then(|| Self { mean: mean.into(), deviation: deviation.into(), weights })
    }

    /// In (0, 1).
    pub fn probability(&self, features: &[f64]) -> f64 {
        let linear = self.weights.predict(&self.standardised(features))[0];
        1.0 / (1.0 + libm::exp(-linear))
    }
}

#[cfg(test)]
mod tests {
    use super::Logistic;

    #[test]
    fn odds_follow_the_rows() {
        let rows: Vec<([f64; 2], bool)> = (0..1_000)
            .map(|at| {
                let x = f64::from(at % 100) / 10.0;
                // One in four is otherwise than its feature says.
                ([x, f64::from(at % 7)], (x > 5.0) != (at / 100 % 4 == 0))
            })
            .collect();
        let samples: Vec<super::Sample<'_>> =
            rows.iter().map(|(row, is)| (row.as_slice(), *is, 1.0)).collect();
        let model = Logistic::fit(&samples, 1.0).unwrap();
        assert!(model.probability(&[9.0, 3.0]) > 0.6 && model.probability(&[1.0, 3.0]) < 0.4);
        let mean = rows.iter().map(|(row, _)| model.probability(row)).sum::<f64>() / 1_000.0;
        let share = rows.iter().filter(|(_, is)| *is).count() as f64 / 1_000.0;
        assert!((mean - share).abs() < 0.01, "a regression with a constant is right on average");
        let back = Logistic::from_numbers(&model.numbers()).unwrap();
        assert_eq!(back.probability(&[4.0, 2.0]).to_bits(), model.probability(&[4.0, 2.0]).to_bits());
        assert!(Logistic::from_numbers(&[0.0, 0.0, 1.0, 1.0]).is_none());
        assert!(Logistic::fit(&[], 1.0).is_none());
    }
}
