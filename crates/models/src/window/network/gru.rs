//! The gated recurrent unit.

use super::activation::sigmoid;
use super::layers::{Shape, add_products};

/// A gated recurrent unit over the steps (Cho et al. 2014, arXiv:1406.1078), gates in the order update, reset, hidden. Its state
/// begins at zero in each window.
#[derive(Debug, Clone, PartialEq)]
pub struct Gru {
    pub units: usize,
    /// Whether the reset gate acts behind the recurrent product (with its bias), as in PyTorch and Keras, or before it.
    pub reset_after: bool,
    /// Whether every step is handed on, or the last one only.
    pub all_steps: bool,
    /// Inputs by 3 x units.
    pub input: Vec<f64>,
    /// Units by 3 x units.
    pub recurrent: Vec<f64>,
    /// 3 x units each.
    pub input_bias: Vec<f64>,
    pub recurrent_bias: Vec<f64>,
}

impl Gru {
    /// Steps and what comes out of each; `None` where a number is not finite.
    pub(super) fn run(&self, channels: usize, values: &[f64]) -> Option<(Shape, Vec<f64>)> {
        let units = self.units;
        let (mut state, mut out) = (vec![0.0; units], Vec::new());
        for step in values.chunks_exact(channels) {
            let (mut from_input, mut from_state) = (self.input_bias.clone(), self.recurrent_bias.clone());
            add_products(&mut from_input, step, &self.input);
            if self.reset_after {
                add_products(&mut from_state, &state, &self.recurrent);
            } else {
                self.add_recurrent(&mut from_state, &state, 0..2 * units);
            }
            if from_input.iter().chain(&from_state).any(|value| !value.is_finite()) {
                return None;
            }
            let gate = |at: usize| sigmoid(from_input[at] + from_state[at]);
            let resets: Vec<f64> = (units..2 * units).map(gate).collect();
            let hidden: Vec<f64> = if self.reset_after {
                (0..units).map(|at| resets[at] * from_state[2 * units + at]).collect()
            } else {
                let reset: Vec<f64> = state.iter().zip(&resets).map(|(state, reset)| state * reset).collect();
                let mut sums = self.recurrent_bias.clone();
                self.add_recurrent(&mut sums, &reset, 2 * units..3 * units);
                sums[2 * units..].to_vec()
            };
            for at in 0..units {
                let update = gate(at);
                let new = from_input[2 * units + at] + hidden[at];
                if !new.is_finite() {
                    return None;
                }
                state[at] = (1.0 - update) * libm::tanh(new) + update * state[at];
            }
            if self.all_steps {
                out.extend_from_slice(&state);
            }
        }
        if !self.all_steps {
            out = state;
        }
        Some(((out.len() / units, units), out))
    }

    /// Adds the recurrent products of some of the 3 x units columns.
    fn add_recurrent(&self, sums: &mut [f64], state: &[f64], columns: std::ops::Range<usize>) {
        for (state, weights) in state.iter().zip(self.recurrent.chunks_exact(3 * self.units)) {
            for (sum, weight) in sums[columns.clone()].iter_mut().zip(&weights[columns.clone()]) {
                *sum += state * weight;
            }
        }
    }
}
