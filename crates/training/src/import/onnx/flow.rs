//! What flows through a graph: one table of numbers, the layers that made it, and how its axes lie.
//!
//! Ours lies step by step. A graph's may lie otherwise; its axes are followed by what they mean, and where numbers are put in one row
//! channel by channel, the next layer's weights are put in order instead.

use std::rc::Rc;

use triad_models::window::network::{Activation, Layer};

use super::constant::{Constant, single};
use crate::error::TrainingError;
use crate::import::wrong;

/// What an axis of a graph's tensor counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// Examples: one.
    Batch,
    Steps,
    Channels,
    /// Steps and channels in one row, step by step or channel by channel.
    Flat {
        by_steps: bool,
    },
    /// Nothing: its size is 1.
    One,
}

#[derive(Debug, Clone)]
pub(super) struct Flow {
    /// Rows of the window and their numbers.
    pub input: (usize, usize),
    pub axes: Vec<Axis>,
    /// Steps and channels.
    pub shape: (usize, usize),
    /// Shared by the flows along the way, since a graph may have many nodes that leave them as they are.
    layers: Vec<Rc<Layer>>,
    /// Whether the last layer's biases are none of the graph's yet.
    open_biases: bool,
}

impl Flow {
    pub fn new(axes: Vec<Axis>, shape: (usize, usize)) -> Self {
        Self { input: shape, axes, shape, layers: Vec::new(), open_biases: false }
    }

    /// The size of an axis.
    pub fn size(&self, axis: usize) -> usize {
        match self.axes[axis] {
            Axis::Batch | Axis::One => 1,
            Axis::Steps => self.shape.0,
            Axis::Channels => self.shape.1,
            Axis::Flat { .. } => self.shape.0 * self.shape.1,
        }
    }

    /// The place of an axis that a graph counts from either end.
    pub fn axis(&self, number: i64) -> Result<usize, TrainingError> {
        let count = self.axes.len() as i64;
        let place = if number < 0 { number + count } else { number };
        let problem = || wrong(format!("axis {number} of {count}"));
        usize::try_from(place).ok().filter(|place| *place < self.axes.len()).ok_or_else(problem)
    }

    /// The axes that are neither examples nor of size 1 by their meaning.
    pub fn meant(&self) -> Vec<Axis> {
        self.axes.iter().copied().filter(|axis| !matches!(axis, Axis::Batch | Axis::One)).collect()
    }

    /// The last layer, to be changed.
    pub fn last(&mut self) -> Option<&mut Layer> {
        self.layers.last_mut().map(Rc::make_mut)
    }

    /// The layers by themselves.
    pub fn into_layers(self) -> Vec<Layer> {
        self.layers.into_iter().map(Rc::unwrap_or_clone).collect()
    }

    /// With one more layer.
    pub fn push(mut self, layer: Layer) -> Result<Self, TrainingError> {
        let (shape, _) = layer.after(self.shape).map_err(wrong)?;
        self.shape = shape;
        self.layers.push(Rc::new(layer));
        self.open_biases = false;
        Ok(self)
    }

    /// A matrix of inputs by outputs over the last axis.
    pub fn dense(self, weights: &Constant, biases: Option<Vec<f64>>) -> Result<Self, TrainingError> {
        let &[inputs, outputs] = &weights.dims[..] else {
            return Err(wrong(format!("weights of sizes {:?}; two axes are expected", weights.dims)));
        };
        let last = self.axes.len().checked_sub(1).ok_or_else(|| wrong("a number without axes"))?;
        if self.size(last) != inputs {
            let found = self.size(last);
            return Err(wrong(format!("weights for {inputs} inputs where {found} come in")));
        }
        let open = biases.is_none();
        let biases = biases.unwrap_or_else(|| vec![0.0; outputs]);
        let (steps, channels) = self.shape;
        let activation = Activation::Identity;
        let numbers: Vec<f64> = weights.numbers.iter().copied().map(single).collect();
        let mut out = match self.axes[last] {
            Axis::Channels if steps > 1 => {
                let (kernel, stride, dilation, before, behind) = (1, 1, 1, 0, 0);
                let weights = numbers;
                self.push(Layer::Conv {
                    kernel,
                    stride,
                    dilation,
                    before,
                    behind,
                    weights,
                    biases,
                    activation,
                })?
            }
            Axis::Flat { by_steps: false } if steps > 1 && channels > 1 => {
                let row = |at: usize| {
                    let (step, channel) = (at / channels, at % channels);
                    let from = (channel * steps + step) * outputs;
                    numbers[from..from + outputs].to_vec()
                };
                let weights = (0..inputs).flat_map(row).collect();
                self.push(Layer::Dense { weights, biases, activation })?
            }
            Axis::Channels | Axis::Flat { .. } => {
                self.push(Layer::Dense { weights: numbers, biases, activation })?
            }
            Axis::Steps if channels == 1 => {
                self.push(Layer::Dense { weights: numbers, biases, activation })?
            }
            Axis::Steps | Axis::Batch | Axis::One => {
                return Err(wrong("a matrix product over steps while there are channels"));
            }
        };
        out.axes[last] = Axis::Channels;
        out.open_biases = open;
        Ok(out)
    }

    /// Numbers that stand for the channels, or one for all of them; `None` where a graph's tensor would be spread otherwise.
    pub fn for_channels(&self, constant: &Constant) -> Option<Vec<f64>> {
        let channels = self.shape.1;
        if let Some(number) = constant.scalar() {
            return Some(vec![number; channels]);
        }
        // Aligned from the last axis, as the graph does; only the channels may have another size than 1.
        let from_end = self.axes.iter().rev().zip(constant.dims.iter().rev());
        let spread = from_end.map(|(axis, dim)| match axis {
            Axis::Channels => *dim == channels,
            Axis::Flat { .. } => self.shape.0 == 1 && *dim == channels,
            _ => *dim == 1,
        });
        let too_long = constant.dims.iter().rev().skip(self.axes.len()).any(|dim| *dim != 1);
        (!too_long && spread.into_iter().all(|fits| fits) && constant.numbers.len() == channels)
            .then(|| constant.numbers.clone())
    }

    /// Adds a number a channel.
    pub fn add(mut self, numbers: Vec<f64>) -> Result<Self, TrainingError> {
        let numbers: Vec<f64> = numbers.into_iter().map(single).collect();
        let open = self.open_biases;
        match self.last() {
            Some(Layer::Dense { biases, .. } | Layer::Conv { biases, .. }) if open => {
                *biases = numbers;
                self.open_biases = false;
                Ok(self)
            }
            _ => {
                let factors = vec![1.0; numbers.len()];
                self.scale(numbers.into_iter().map(|number| -number).collect(), factors)
            }
        }
    }

    /// (number - offset) * factor, a pair a channel.
    pub fn scale(self, offsets: Vec<f64>, factors: Vec<f64>) -> Result<Self, TrainingError> {
        let [offsets, factors] =
            [offsets, factors].map(|numbers| numbers.into_iter().map(single).collect::<Vec<f64>>());
        self.push(Layer::Scale { offsets, factors })
    }

    /// An activation behind the last layer.
    pub fn activate(mut self, wanted: Activation) -> Result<Self, TrainingError> {
        self.open_biases = false;
        match self.last() {
            Some(Layer::Dense { activation, .. } | Layer::Conv { activation, .. })
                if *activation == Activation::Identity =>
            {
                *activation = wanted;
                Ok(self)
            }
            _ => self.push(Layer::Activate { activation: wanted }),
        }
    }

    /// Examples, and all else in one row.
    pub fn flatten(mut self) -> Result<Self, TrainingError> {
        if self.axes.first() != Some(&Axis::Batch) {
            return Err(wrong("what is put in one row does not lie example by example"));
        }
        let row = match self.meant()[..] {
            [] => Axis::Channels,
            [axis] => axis,
            [Axis::Steps, Axis::Channels] => Axis::Flat { by_steps: true },
            [Axis::Channels, Axis::Steps] => Axis::Flat { by_steps: false },
            _ => return Err(wrong("axes that cannot be put in one row")),
        };
        self.axes = vec![Axis::Batch, row];
        Ok(self)
    }
}
