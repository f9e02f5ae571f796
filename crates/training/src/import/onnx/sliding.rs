//! Operators along the steps: convolutions, pools, and what is taken over all of them.

use triad_models::window::network::{Activation, Layer, Pool};

use super::constant::single;
use super::flow::{Axis, Flow};
use super::message::Node;
use super::operators::{Operands, Outputs, one, without};
use crate::error::TrainingError;
use crate::import::wrong;

/// One number of a list with one axis; a default where there is no list.
fn along(node: &Node, name: &str, default: i64) -> Result<usize, TrainingError> {
    let number = match node.ints(name).as_deref() {
        None | Some([]) => default,
        Some([number]) => *number,
        Some(numbers) => return Err(wrong(format!("{name} {numbers:?}; one axis of steps is expected"))),
    };
    usize::try_from(number).ok().filter(|size| *size <= 255).ok_or_else(|| wrong(format!("{name} {number}")))
}

/// Zeros in front and behind.
fn padding(node: &Node, reach: usize, stride: usize) -> Result<(usize, usize), TrainingError> {
    match node.text("auto_pad").as_str() {
        "" | "NOTSET" => {}
        "VALID" => return Ok((0, 0)),
        "SAME_UPPER" if stride == 1 => return Ok(((reach - 1) / 2, reach / 2)),
        "SAME_LOWER" if stride == 1 => return Ok((reach / 2, (reach - 1) / 2)),
        other => return Err(wrong(format!("padding {other} with stride {stride}"))),
    }
    let size = |pad: i64| usize::try_from(pad).ok().filter(|pad| *pad <= 255);
    match node.ints("pads").as_deref() {
        None | Some([]) => Ok((0, 0)),
        Some(&[before, behind]) => {
            size(before).zip(size(behind)).ok_or_else(|| wrong(format!("pads {before} and {behind}")))
        }
        Some(pads) => Err(wrong(format!("pads {pads:?}; one axis of steps is expected"))),
    }
}

/// What slides over steps takes examples by channels by steps.
fn channel_by_channel(flow: &Flow) -> Result<(), TrainingError> {
    if flow.axes == [Axis::Batch, Axis::Channels, Axis::Steps] {
        Ok(())
    } else {
        Err(wrong(format!("axes {:?}; examples, channels, steps are expected", flow.axes)))
    }
}

pub(super) fn convolve(operands: &Operands<'_>) -> Result<Outputs, TrainingError> {
    let (node, flow, weights) = (operands.node, operands.flow(0)?, operands.known(1)?);
    channel_by_channel(&flow)?;
    let &[outputs, inputs, kernel] = &weights.dims[..] else {
        return Err(wrong(format!("weights of sizes {:?}; one axis of steps is expected", weights.dims)));
    };
    if node.int("group", 1) != 1 {
        return Err(wrong("in groups of channels"));
    }
    if inputs != flow.shape.1 || along(node, "kernel_shape", kernel as i64)? != kernel || kernel == 0 {
        return Err(wrong(format!("weights of sizes {:?} for {} channels", weights.dims, flow.shape.1)));
    }
    let (stride, dilation) = (along(node, "strides", 1)?, along(node, "dilations", 1)?);
    let (before, behind) = padding(node, (kernel - 1) * dilation + 1, stride)?;
    let number = |at: usize| {
        let (step, input, output) = (at / (inputs * outputs), at / outputs % inputs, at % outputs);
        single(weights.numbers[(output * inputs + input) * kernel + step])
    };
    let numbers: Vec<f64> = (0..kernel * inputs * outputs).map(number).collect();
    let biases = match operands.maybe_known(2)? {
        None => vec![0.0; outputs],
        Some(biases) if biases.numbers.len() == outputs => {
            biases.numbers.iter().copied().map(single).collect()
        }
        Some(biases) => {
            return Err(wrong(format!("biases of sizes {:?} for {outputs} channels", biases.dims)));
        }
    };
    let activation = Activation::Identity;
    let weights = numbers;
    one(flow.push(Layer::Conv { kernel, stride, dilation, before, behind, weights, biases, activation }))
}

pub(super) fn slide(operands: &Operands<'_>, how: Pool) -> Result<Outputs, TrainingError> {
    let (node, flow) = (operands.node, operands.flow(0)?);
    channel_by_channel(&flow)?;
    let (kernel, stride) = (along(node, "kernel_shape", 0)?, along(node, "strides", 1)?);
    let padded = padding(node, kernel.max(1), stride)? != (0, 0);
    if padded || node.int("ceil_mode", 0) != 0 || along(node, "dilations", 1)? != 1 {
        return Err(wrong("with padding, rounded up, or dilated"));
    }
    one(flow.push(Layer::Pool { how, kernel, stride }))
}

pub(super) fn all_steps(operands: &Operands<'_>, how: Pool) -> Result<Outputs, TrainingError> {
    let flow = operands.flow(0)?;
    channel_by_channel(&flow)?;
    one(flow.push(Layer::Global { how }))
}

pub(super) fn reduce(operands: &Operands<'_>, how: Pool) -> Result<Outputs, TrainingError> {
    let flow = operands.flow(0)?;
    let axes = operands.axes(1)?.ok_or_else(|| wrong("without axes"))?;
    let &[axis] = &axes[..] else { return Err(wrong(format!("over axes {axes:?}; the steps are expected"))) };
    let axis = flow.axis(axis)?;
    if flow.axes[axis] != Axis::Steps {
        return Err(wrong("over something else than the steps"));
    }
    let flow = flow.push(Layer::Global { how })?;
    if operands.node.int("keepdims", 1) != 0 { one(Ok(flow)) } else { without(flow, &[axis]) }
}
