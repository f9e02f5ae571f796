//! Ridge regression on any features, several targets at once.

use super::cholesky::{dot, solve};

/// Sums of products over samples. Samples can be taken out again, so that a window of the last ones can move.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeSums {
    features: usize,
    targets: usize,
    samples: f64,
    squares: Vec<f64>,
    products: Vec<f64>,
}

impl RidgeSums {
    /// No samples yet.
    pub fn new(features: usize, targets: usize) -> Self {
        let (squares, products) = (vec![0.0; features * features], vec![0.0; features * targets]);
        Self { features, targets, samples: 0.0, squares, products }
    }

    /// Adds a sample `weight` times; a negative weight takes it out.
    ///
    /// # Panics
    /// If the sample has another shape than the sums.
    pub fn add(&mut self, features: &[f64], targets: &[f64], weight: f64) {
        assert_eq!((features.len(), targets.len()), (self.features, self.targets), "shape of a sample");
        self.samples += weight;
        for (row, &feature) in features.iter().enumerate() {
            let scaled = weight * feature;
            let squares = &mut self.squares[row * self.features..(row + 1) * self.features];
            for (sum, other) in squares.iter_mut().zip(features) {
                *sum += scaled * other;
            }
            let products = &mut self.products[row * self.targets..(row + 1) * self.targets];
            for (sum, target) in products.iter_mut().zip(targets) {
                *sum += scaled * target;
            }
        }
    }

    /// Makes all samples so far count for `keep` of what they did.
    pub fn fade(&mut self, keep: f64) {
        self.samples *= keep;
        for sum in self.squares.iter_mut().chain(&mut self.products) {
            *sum *= keep;
        }
    }

    /// Every sum: what [`RidgeSums::with_numbers`] takes.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        [self.samples].into_iter().chain(self.squares.iter().copied()).chain(self.products.iter().copied())
    }

    /// As they were when [`RidgeSums::numbers`] gave these, for the same shape.
    pub(crate) fn with_numbers(mut self, numbers: &[f64]) -> Self {
        let sums = [&mut self.samples].into_iter().chain(&mut self.squares).chain(&mut self.products);
        for (sum, &number) in sums.zip(numbers) {
            *sum = number;
        }
        self
    }

    /// The regression so far; `penalty` is of squared weights, in samples of features with a square of 1. `None` where
    /// nothing can be fitted.
    pub fn fit(&self, penalty: f64) -> Option<Ridge> {
        let n = self.features;
        let (mut a, mut b) = (self.squares.clone(), self.products.clone());
        for row in 0..n {
            a[row * n + row] += penalty.max(1e-9);
        }
        solve(a, n, &mut b, self.targets)?;
        let m = self.targets;
        let weights: Vec<f64> = (0..n * m).map(|at| b[at % n * m + at / n]).collect();
        (self.samples > 0.0 && weights.iter().all(|weight| weight.is_finite()))
            .then_some(Ridge { features: n, weights })
    }
}

/// A fitted regression.
#[derive(Debug, Clone, PartialEq)]
pub struct Ridge {
    features: usize,
    weights: Vec<f64>,
}

impl Ridge {
    /// From weights that were kept: those of the first target, then those of the next. `None` where they are not
    /// finite or no whole number of targets.
    pub fn of(features: usize, weights: Vec<f64>) -> Option<Self> {
        let whole = features > 0 && !weights.is_empty() && weights.len().is_multiple_of(features);
        (whole && weights.iter().all(|weight| weight.is_finite())).then_some(Self { features, weights })
    }

    /// What [`Ridge::of`] takes.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// One value a target.
    pub fn predict(&self, features: &[f64]) -> Vec<f64> {
        self.weights.chunks_exact(self.features).map(|weights| dot(weights, features)).collect()
    }
}
