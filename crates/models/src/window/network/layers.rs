//! Layers and their arithmetic. What flows is a table of steps (rows of the window) by channels, step by step.
//!
//! Every sum begins with the bias and adds its products in the order of the inputs; several outputs are summed side by side, which
//! leaves the order of each as it is, so that a compiler may use wide registers without changing a bit. A number that is not
//! finite ends the walk: no activation may hide it.

use super::activation::{ACTIVATION_PRODUCTS, Activation};
use super::gru::Gru;
use crate::file::{ModelFileError, wrong};

/// The most layers.
pub const MAX_LAYERS: usize = 32;
/// The most rows of a window, and the most channels anywhere.
pub const MAX_ROWS: usize = 1_024;
pub const MAX_CHANNELS: usize = 1_024;
/// The most numbers between two layers.
const MAX_VALUES: usize = 65_536;
/// The largest kernel, stride, dilation and padding.
const MAX_SIZE: usize = 255;

/// How steps become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pool {
    Max,
    Mean,
    /// The last step; over the whole course only.
    Last,
}

/// One layer. Weights are stored with 32 bits.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// All numbers of all steps to one step; weights are inputs by outputs.
    Dense {
        weights: Vec<f64>,
        biases: Vec<f64>,
        activation: Activation,
    },
    /// (number - offset) * factor, a pair a channel.
    Scale {
        offsets: Vec<f64>,
        factors: Vec<f64>,
    },
    /// A convolution along the steps; weights are kernel by channels in by channels out. Zeros are added in front and behind.
    Conv {
        kernel: usize,
        stride: usize,
        dilation: usize,
        before: usize,
        behind: usize,
        weights: Vec<f64>,
        biases: Vec<f64>,
        activation: Activation,
    },
    /// Of so many steps at a time, without padding.
    Pool {
        how: Pool,
        kernel: usize,
        stride: usize,
    },
    /// Of all steps.
    Global {
        how: Pool,
    },
    Gru(Gru),
    /// An activation alone.
    Activate {
        activation: Activation,
    },
    /// One channel of all.
    Pick {
        channel: usize,
    },
}

/// Steps and channels.
pub type Shape = (usize, usize);

/// A checked network: rows of a window, and layers that end in one number.
#[derive(Debug, Clone, PartialEq)]
pub struct Layers {
    rows: usize,
    inputs: usize,
    products: usize,
    pub(super) layers: Vec<Layer>,
}

impl Layers {
    /// Checks that every layer fits the one before, that one number comes out, and that nothing is larger than it may be.
    pub fn new(rows: usize, inputs: usize, layers: Vec<Layer>) -> Result<Self, ModelFileError> {
        if !(1..=MAX_ROWS).contains(&rows) {
            return Err(wrong(format!("a window of {rows} rows; 1 to {MAX_ROWS} are expected")));
        }
        if !(1..=MAX_CHANNELS).contains(&inputs) {
            return Err(wrong(format!("{inputs} inputs; 1 to {MAX_CHANNELS} are expected")));
        }
        if !(1..=MAX_LAYERS).contains(&layers.len()) {
            return Err(wrong(format!("{} layers; 1 to {MAX_LAYERS} are expected", layers.len())));
        }
        let (mut shape, mut products) = ((rows, inputs), 0);
        for (at, layer) in layers.iter().enumerate() {
            let (next, cost) =
                layer.after(shape).map_err(|problem| wrong(format!("layer {at}: {problem}")))?;
            check_weights(layer).map_err(|problem| wrong(format!("layer {at}: {problem}")))?;
            shape = next;
            products += cost;
        }
        if shape != (1, 1) {
            let (steps, channels) = shape;
            return Err(wrong(format!(
                "{steps} steps of {channels} numbers come out; one number is expected"
            )));
        }
        Ok(Self { rows, inputs, products, layers })
    }

    /// Rows of a window.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers of a row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Multiplications that a window takes, and what costs as much.
    pub fn products(&self) -> usize {
        self.products
    }

    /// The layers in their order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The layers in words: what each is and what comes out of it.
    pub fn names(&self) -> Vec<String> {
        let mut shape = (self.rows, self.inputs);
        let name = |layer: &Layer| {
            // Checked when it was made.
            shape = layer.after(shape).map_or(shape, |(shape, _)| shape);
            format!("{} {}x{}", layer.name(), shape.0, shape.1)
        };
        self.layers.iter().map(name).collect()
    }

    /// Numbers that were trained.
    pub fn weights(&self) -> usize {
        self.layers
            .iter()
            .map(|layer| layer.numbers().iter().map(|numbers| numbers.len()).sum::<usize>())
            .sum()
    }

    /// The number that comes out; `None` where the window has another length or a number on the way is not finite.
    pub fn run(&self, window: &[f64]) -> Option<f64> {
        if window.len() != self.rows * self.inputs || window.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let (mut shape, mut values) = ((self.rows, self.inputs), window.to_vec());
        for layer in &self.layers {
            (shape, values) = layer.run(shape, values)?;
        }
        values.first().copied()
    }
}

fn check_weights(layer: &Layer) -> Result<(), String> {
    let single = |number: &f64| number.is_finite() && f64::from(*number as f32) == *number;
    let fits = layer.numbers().iter().all(|numbers| numbers.iter().all(single));
    if fits { Ok(()) } else { Err("a weight that is no finite number of 32 bits".into()) }
}

impl Layer {
    fn name(&self) -> String {
        let behind = |name: &str, activation: &Activation| match activation {
            Activation::Identity => name.to_owned(),
            other => format!("{name}+{}", other.name()),
        };
        match self {
            Self::Dense { activation, .. } => behind("dense", activation),
            Self::Scale { .. } => "scale".into(),
            Self::Conv { activation, .. } => behind("conv", activation),
            Self::Pool { .. } => "pool".into(),
            Self::Global { .. } => "over-steps".into(),
            Self::Gru(_) => "gru".into(),
            Self::Activate { activation } => activation.name().into(),
            Self::Pick { channel } => format!("number-{channel}"),
        }
    }

    /// Its weights, part by part in their stored order.
    pub(super) fn numbers(&self) -> Vec<&[f64]> {
        match self {
            Self::Dense { weights, biases, .. } | Self::Conv { weights, biases, .. } => vec![weights, biases],
            Self::Scale { offsets, factors } => vec![offsets, factors],
            Self::Gru(gru) => vec![&gru.input, &gru.recurrent, &gru.input_bias, &gru.recurrent_bias],
            Self::Pool { .. } | Self::Global { .. } | Self::Activate { .. } | Self::Pick { .. } => Vec::new(),
        }
    }

    /// The shape behind it and what it costs; a problem where it does not fit what comes in.
    pub fn after(&self, (steps, channels): Shape) -> Result<(Shape, usize), String> {
        let expect = |what: &str, found: usize, expected: usize| {
            let problem = || format!("{found} {what}; {expected} are expected");
            (found == expected).then_some(()).ok_or_else(problem)
        };
        let (shape, cost) = match self {
            Self::Dense { weights, biases, activation } => {
                expect("weights", weights.len(), steps * channels * biases.len())?;
                ((1, biases.len()), weights.len() + activation.products(biases.len()))
            }
            Self::Scale { offsets, factors } => {
                expect("offsets", offsets.len(), channels)?;
                expect("factors", factors.len(), channels)?;
                ((steps, channels), steps * channels)
            }
            Self::Conv { kernel, stride, dilation, before, behind, weights, biases, activation } => {
                expect("weights", weights.len(), kernel * channels * biases.len())?;
                let steps = slid(steps + before + behind, *kernel, *stride, *dilation)?;
                let cost = steps * weights.len() + activation.products(steps * biases.len());
                ((steps, biases.len()), cost)
            }
            Self::Pool { how: Pool::Last, .. } => return Err("a pool takes the greatest or the mean".into()),
            Self::Pool { kernel, stride, .. } => {
                let steps = slid(steps, *kernel, *stride, 1)?;
                ((steps, channels), steps * kernel * channels)
            }
            Self::Global { .. } => ((1, channels), steps * channels),
            Self::Gru(gru) => {
                let units = gru.units;
                expect("weights of inputs", gru.input.len(), channels * 3 * units)?;
                expect("recurrent weights", gru.recurrent.len(), units * 3 * units)?;
                expect("biases", gru.input_bias.len(), 3 * units)?;
                expect("recurrent biases", gru.recurrent_bias.len(), 3 * units)?;
                let each = gru.input.len() + gru.recurrent.len() + 3 * units * ACTIVATION_PRODUCTS;
                ((if gru.all_steps { steps } else { 1 }, units), steps * each)
            }
            Self::Activate { activation } => ((steps, channels), activation.products(steps * channels)),
            Self::Pick { channel } if *channel >= channels => {
                return Err(format!("number {channel} of {channels}"));
            }
            Self::Pick { .. } => ((steps, 1), steps),
        };
        if let Self::Conv { kernel, stride, dilation, before, behind, .. } = self {
            small(&[*kernel, *stride, *dilation, *before, *behind])?;
        }
        if let Self::Pool { kernel, stride, .. } = self {
            small(&[*kernel, *stride])?;
        }
        if !(1..=MAX_CHANNELS).contains(&shape.1) {
            return Err(format!("{} numbers a step; 1 to {MAX_CHANNELS} are expected", shape.1));
        }
        if shape.0 * shape.1 > MAX_VALUES {
            return Err(format!("{} numbers; at most {MAX_VALUES} are taken", shape.0 * shape.1));
        }
        Ok((shape, cost))
    }

    fn run(&self, (steps, channels): Shape, values: Vec<f64>) -> Option<(Shape, Vec<f64>)> {
        let (shape, mut out, activation) = match self {
            Self::Dense { weights, biases, activation } => {
                let mut sums = biases.clone();
                add_products(&mut sums, &values, weights);
                ((1, biases.len()), sums, *activation)
            }
            Self::Scale { offsets, factors } => {
                let scale = |step: &[f64]| -> Vec<f64> {
                    let pairs = offsets.iter().zip(factors);
                    step.iter()
                        .zip(pairs)
                        .map(|(value, (offset, factor))| (value - offset) * factor)
                        .collect()
                };
                let out = values.chunks_exact(channels).flat_map(scale).collect();
                ((steps, channels), out, Activation::Identity)
            }
            Self::Conv { kernel, stride, dilation, before, behind, weights, biases, activation } => {
                let count = slid(steps + before + behind, *kernel, *stride, *dilation).ok()?;
                let mut out = Vec::with_capacity(count * biases.len());
                for step in 0..count {
                    let mut sums = biases.clone();
                    for (at, weights) in weights.chunks_exact(channels * biases.len()).enumerate() {
                        // Zeros outside add nothing.
                        let Some(from) = (step * stride + at * dilation).checked_sub(*before) else {
                            continue;
                        };
                        if let Some(values) = values.get(from * channels..(from + 1) * channels) {
                            add_products(&mut sums, values, weights);
                        }
                    }
                    out.extend(sums);
                }
                ((count, biases.len()), out, *activation)
            }
            Self::Pool { how, kernel, stride } => {
                let count = slid(steps, *kernel, *stride, 1).ok()?;
                let pooled = |step: usize| {
                    let from = step * stride;
                    pool(*how, &values[from * channels..(from + kernel) * channels], channels)
                };
                ((count, channels), (0..count).flat_map(pooled).collect(), Activation::Identity)
            }
            Self::Global { how } => ((1, channels), pool(*how, &values, channels), Activation::Identity),
            Self::Gru(gru) => return gru.run(channels, &values),
            Self::Activate { activation } => ((steps, channels), values, *activation),
            Self::Pick { channel } => {
                let out = values.chunks_exact(channels).map(|step| step[*channel]).collect();
                ((steps, 1), out, Activation::Identity)
            }
        };
        if out.iter().any(|value| !value.is_finite()) {
            return None;
        }
        activation.apply(&mut out, shape.1);
        Some((shape, out))
    }
}

/// Whether sizes of something that slides are as its stored form holds them.
fn small(sizes: &[usize]) -> Result<(), String> {
    let large = sizes.iter().find(|size| **size > MAX_SIZE);
    large.map_or(Ok(()), |size| {
        Err(format!("a kernel, stride, dilation or padding of {size}; at most {MAX_SIZE}"))
    })
}

/// Steps of something that slides over steps; a problem where it is wider than they are.
fn slid(steps: usize, kernel: usize, stride: usize, dilation: usize) -> Result<usize, String> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return Err("a kernel, stride or dilation of zero".into());
    }
    let reach = (kernel - 1) * dilation + 1;
    let rest = steps.checked_sub(reach);
    rest.map(|rest| rest / stride + 1)
        .ok_or_else(|| format!("a kernel over {reach} steps; there are {steps}"))
}

/// Adds inputs times weights (inputs by outputs) to the outputs, input by input.
pub(super) fn add_products(sums: &mut [f64], inputs: &[f64], weights: &[f64]) {
    for (input, weights) in inputs.iter().zip(weights.chunks_exact(sums.len())) {
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += input * weight;
        }
    }
}

fn pool(how: Pool, steps: &[f64], channels: usize) -> Vec<f64> {
    let mut steps = steps.chunks_exact(channels);
    let count = steps.len() as f64;
    let mut out = steps.next().map_or_else(Vec::new, <[f64]>::to_vec);
    for step in steps {
        for (out, value) in out.iter_mut().zip(step) {
            *out = match how {
                Pool::Max => {
                    if *value > *out {
                        *value
                    } else {
                        *out
                    }
                }
                Pool::Mean => *out + value,
                Pool::Last => *value,
            };
        }
    }
    if how == Pool::Mean {
        out.iter_mut().for_each(|out| *out /= count);
    }
    out
}
