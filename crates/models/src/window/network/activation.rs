//! What a number goes through behind a layer.

/// What an `exp` or `tanh` counts as.
pub(super) const ACTIVATION_PRODUCTS: usize = 32;

/// An activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Identity,
    Relu,
    Tanh,
    Sigmoid,
    /// Over the channels of each step.
    Softmax,
}

pub(super) fn sigmoid(value: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-value))
}

impl Activation {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softmax => "softmax",
        }
    }

    pub(super) fn products(self, values: usize) -> usize {
        match self {
            Self::Identity | Self::Relu => 0,
            Self::Tanh | Self::Sigmoid | Self::Softmax => ACTIVATION_PRODUCTS * values,
        }
    }

    /// On finite numbers; what comes out is finite.
    pub(super) fn apply(self, values: &mut [f64], channels: usize) {
        match self {
            Self::Identity => {}
            Self::Relu => {
                values.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { 0.0 })
            }
            Self::Tanh => values.iter_mut().for_each(|value| *value = libm::tanh(*value)),
            Self::Sigmoid => values.iter_mut().for_each(|value| *value = sigmoid(*value)),
            Self::Softmax => values.chunks_exact_mut(channels).for_each(|step| {
                let greatest =
                    step.iter().fold(step[0], |most, value| if *value > most { *value } else { most });
                let mut sum = 0.0;
                for value in step.iter_mut() {
                    *value = libm::exp(*value - greatest);
                    sum += *value;
                }
                step.iter_mut().for_each(|value| *value /= sum);
            }),
        }
    }
}
