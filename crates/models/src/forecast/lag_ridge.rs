//! Ridge regression of the next `horizon` values on the last `lookback` ones, in closed form.
//!
//! All windows of a series share their products: the matrix of sums `S[i][j] = sum over t of x[t + i] x[t + j]` follows
//! from its first row by `S[i+1][j+1] = S[i][j] - x[i] x[j] + x[n + i] x[n + j]`, so that fitting costs the square of
//! the window, not of it times the length of the series. Each window is measured from a level of its own (the mean of
//! its last readings), which is linear and therefore applied to the sums (as instance normalisation without the
//! division; Toner and Darlow 2024, arXiv:2403.14587, show that the well-known linear forecasters are this one).

use super::cholesky::{dot, solve};

/// Sums of products over all windows of one or more series.
#[derive(Debug, Clone)]
pub struct WindowSums {
    lookback: usize,
    horizon: usize,
    windows: usize,
    products: Vec<f64>,
}

impl WindowSums {
    /// No windows yet. Both lengths are at least 1.
    pub fn new(lookback: usize, horizon: usize) -> Self {
        let (lookback, horizon) = (lookback.max(1), horizon.max(1));
        let width = lookback + horizon;
        Self { lookback, horizon, windows: 0, products: vec![0.0; width * width] }
    }

    /// Adds every window of a series, each product times `weight`. A series shorter than a window adds nothing.
    pub fn add(&mut self, series: &[f64], weight: f64) {
        let width = self.lookback + self.horizon;
        let Some(windows) = (series.len() + 1).checked_sub(width).filter(|&windows| windows > 0) else {
            return;
        };
        self.windows += windows;
        let mut own = vec![0.0; width * width];
        for (column, sum) in own[..width].iter_mut().enumerate() {
            *sum = dot(&series[..windows], &series[column..column + windows]);
        }
        for row in 1..width {
            for column in row..width {
                let before = own[(row - 1) * width + column - 1];
                let gone = series[row - 1] * series[column - 1];
                let come = series[windows + row - 1] * series[windows + column - 1];
                own[row * width + column] = before - gone + come;
            }
        }
        for row in 0..width {
            for column in row..width {
                let product = weight * own[row * width + column];
                self.products[row * width + column] += product;
                if row != column {
                    self.products[column * width + row] += product;
                }
            }
        }
    }

    /// Sums over windows measured from the mean of the last `level` readings of their lookback.
    fn levelled(&self, level: usize) -> Vec<f64> {
        let width = self.lookback + self.horizon;
        let share = 1.0 / level as f64;
        let from = self.lookback - level;
        let means: Vec<f64> = (0..width)
            .map(|row| {
                self.products[row * width + from..row * width + self.lookback].iter().sum::<f64>() * share
            })
            .collect();
        let square = means[from..self.lookback].iter().sum::<f64>() * share;
        let mut out = self.products.clone();
        for row in 0..width {
            for column in 0..width {
                out[row * width + column] += square - means[row] - means[column];
            }
        }
        out
    }

    /// The regression over the windows so far. `level`: how many of the last readings make a window's level; `penalty`:
    /// of squared weights, as a part of the mean squared lag. `None` where nothing can be fitted.
    pub fn fit(&self, level: usize, penalty: f64) -> Option<LagRidge> {
        self.fit_from(level, penalty, None)
    }

    /// The same with the penalty on how far the weights are from those of `prior`, which has the same shape: one series'
    /// own regression that keeps to what many series have in common where it knows too little.
    pub fn fit_toward(&self, level: usize, penalty: f64, prior: &LagRidge) -> Option<LagRidge> {
        self.fit_from(level, penalty, Some(prior))
    }

    fn fit_from(&self, level: usize, penalty: f64, prior: Option<&LagRidge>) -> Option<LagRidge> {
        let same = |prior: &LagRidge| (prior.lookback, prior.horizon) == (self.lookback, self.horizon);
        if self.windows == 0 || !prior.is_none_or(same) {
            return None;
        }
        let (n, m, width) = (self.lookback, self.horizon, self.lookback + self.horizon);
        let level = level.clamp(1, n);
        let sums = self.levelled(level);
        let mut a: Vec<f64> =
            (0..n).flat_map(|row| sums[row * width..row * width + n].iter().copied()).collect();
        let mut b: Vec<f64> =
            (0..n).flat_map(|row| sums[row * width + n..(row + 1) * width].iter().copied()).collect();
        let mean = (0..n).map(|row| a[row * n + row]).sum::<f64>() / n as f64;
        let added = mean * penalty.max(1e-9);
        for row in 0..n {
            a[row * n + row] += added.max(f64::MIN_POSITIVE);
        }
        if let Some(prior) = prior {
            for (ahead, weights) in prior.weights.chunks_exact(n).enumerate() {
                for (lag, weight) in weights.iter().enumerate() {
                    b[lag * m + ahead] += added * weight;
                }
            }
        }
        solve(a, n, &mut b, m)?;
        // Weights of one step ahead side by side, so that a forecast reads memory in order.
        let weights = (0..m)
            .flat_map(|ahead| (0..n).map(move |lag| (lag, ahead)))
            .map(|(lag, ahead)| b[lag * m + ahead]);
        let weights: Vec<f64> = weights.collect();
        weights.iter().all(|weight| weight.is_finite()).then_some(LagRidge {
            lookback: n,
            horizon: m,
            level,
            weights,
        })
    }
}

/// A fitted regression on lags.
#[derive(Debug, Clone, PartialEq)]
pub struct LagRidge {
    lookback: usize,
    horizon: usize,
    level: usize,
    weights: Vec<f64>,
}

impl LagRidge {
    /// The next values after `history`; `None` where it is shorter than the lookback.
    pub fn forecast(&self, history: &[f64]) -> Option<Vec<f64>> {
        let lags = history.get(history.len().checked_sub(self.lookback)?..)?;
        let level = lags[self.lookback - self.level..].iter().sum::<f64>() / self.level as f64;
        let lags: Vec<f64> = lags.iter().map(|value| value - level).collect();
        let ahead = |weights: &[f64]| level + dot(weights, &lags);
        Some(self.weights.chunks_exact(self.lookback).map(ahead).collect())
    }

    /// How many values it predicts.
    pub fn horizon(&self) -> usize {
        self.horizon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_recursion_are_the_sums_over_windows() {
        let series: Vec<f64> = (0..60).map(|at| f64::from((at * 37) % 23) / 7.0).collect();
        let mut sums = WindowSums::new(5, 3);
        sums.add(&series, 1.0);
        for row in 0..8 {
            for column in 0..8 {
                let direct: f64 = series.windows(8).map(|window| window[row] * window[column]).sum();
                assert!((sums.products[row * 8 + column] - direct).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_periodic_series_with_a_level_is_continued() {
        let series: Vec<f64> = (0..300).map(|at| 100.0 + f64::from(at % 12)).collect();
        let mut sums = WindowSums::new(24, 12);
        sums.add(&series[..250], 1.0);
        let forecast = sums.fit(24, 1e-6).unwrap().forecast(&series[..262]).unwrap();
        for (found, expected) in forecast.iter().zip(&series[262..274]) {
            assert!((found - expected).abs() < 0.01, "{found} {expected}");
        }
        assert!(WindowSums::new(4, 4).fit(1, 0.1).is_none());
    }

    #[test]
    fn a_strong_penalty_keeps_to_the_prior_and_a_weak_one_leaves_it() {
        let of = |period: i32| {
            let series: Vec<f64> = (0..300).map(|at| f64::from(at % period)).collect();
            let mut sums = WindowSums::new(24, 12);
            sums.add(&series, 1.0);
            sums
        };
        let (own, prior) = (of(8), of(12).fit(24, 1e-6).unwrap());
        let apart = |a: &LagRidge, b: &LagRidge| {
            a.weights.iter().zip(&b.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        assert!(apart(&own.fit_toward(24, 1e9, &prior).unwrap(), &prior) < 1e-6);
        let history: Vec<f64> = (0..24).map(|at| f64::from(at % 8)).collect();
        let said = own.fit_toward(24, 1e-6, &prior).unwrap().forecast(&history).unwrap();
        assert!((said[3] - 3.0).abs() < 0.01, "{said:?}");
        let other = WindowSums::new(23, 12).fit_toward(1, 1.0, &prior);
        assert!(other.is_none(), "another shape");
    }
}
