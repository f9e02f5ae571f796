//! What each operator does to a flow.

use std::collections::BTreeMap;

use triad_models::window::network::{Activation, Gru, Layer, Pool};

use super::Value;
use super::constant::{Constant, single};
use super::flow::{Axis, Flow};
use super::message::Node;
use super::sliding::{all_steps, convolve, reduce, slide};
use crate::error::TrainingError;
use crate::import::wrong;

/// The operators that are understood, as errors name them.
const KNOWN: &str = "Gemm, MatMul, Add, Sub, Mul, Div, Scaler, BatchNormalization, Relu, Tanh, Sigmoid, Softmax, Conv, MaxPool, \
                     AveragePool, GlobalMaxPool, GlobalAveragePool, ReduceMax, ReduceMean, GRU, Gather, Flatten, Reshape, Squeeze, \
                     Unsqueeze, Transpose, Cast, Identity, Dropout, Constant, Concat and ZipMap of a probability";

pub(super) type Outputs = Vec<Value>;

pub(super) struct Operands<'a> {
    pub node: &'a Node,
    values: &'a BTreeMap<String, Value>,
}

impl Operands<'_> {
    fn name(&self, at: usize) -> Option<&str> {
        self.node.inputs.get(at).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn value(&self, at: usize) -> Result<&Value, TrainingError> {
        let name = self.name(at).ok_or_else(|| wrong(format!("no input {at}")))?;
        self.values.get(name).ok_or_else(|| wrong(format!("{name:?} is not known before it")))
    }

    pub fn flow(&self, at: usize) -> Result<Flow, TrainingError> {
        match self.value(at)? {
            Value::Flow(flow) => Ok(flow.clone()),
            _ => Err(wrong(format!("input {at} does not come straight from the graph's input"))),
        }
    }

    pub fn known(&self, at: usize) -> Result<&Constant, TrainingError> {
        match self.value(at)? {
            Value::Known(constant) => Ok(constant),
            _ => Err(wrong(format!("input {at} is computed; weights, shapes and axes have to be fixed"))),
        }
    }

    pub fn maybe_known(&self, at: usize) -> Result<Option<&Constant>, TrainingError> {
        if self.name(at).is_some() { self.known(at).map(Some) } else { Ok(None) }
    }

    /// A flow and a constant, in either order; whether the constant comes first.
    fn pair(&self) -> Result<(Flow, &Constant, bool), TrainingError> {
        match (self.value(0)?, self.value(1)?) {
            (Value::Flow(flow), Value::Known(constant)) => Ok((flow.clone(), constant, false)),
            (Value::Known(constant), Value::Flow(flow)) => Ok((flow.clone(), constant, true)),
            _ => Err(wrong("two computed tensors meet; only one path from input to output is taken over")),
        }
    }

    /// Axes from an attribute, as in older versions of an operator, or from an input.
    pub fn axes(&self, at: usize) -> Result<Option<Vec<i64>>, TrainingError> {
        match self.node.ints("axes") {
            Some(axes) => Ok(Some(axes)),
            None => Ok(self.maybe_known(at)?.map(Constant::ints)),
        }
    }
}

pub(super) fn one(flow: Result<Flow, TrainingError>) -> Result<Outputs, TrainingError> {
    Ok(vec![Value::Flow(flow?)])
}

fn spread(flow: &Flow, constant: &Constant) -> Result<Vec<f64>, TrainingError> {
    let problem =
        || wrong(format!("a constant of sizes {:?} that is not one number a channel", constant.dims));
    flow.for_channels(constant).ok_or_else(problem)
}

fn channels(flow: &Flow, constant: &Constant) -> Result<Vec<f64>, TrainingError> {
    let (found, expected) = (constant.numbers.len(), flow.shape.1);
    let problem = || wrong(format!("{found} numbers for {expected} channels"));
    constant.vector().filter(|_| found == expected).map(<[f64]>::to_vec).ok_or_else(problem)
}

pub(super) fn apply(
    node: &Node,
    values: &BTreeMap<String, Value>,
    opset: i64,
) -> Result<Outputs, TrainingError> {
    let operands = Operands { node, values };
    match (node.domain.as_str(), node.operator.as_str()) {
        ("" | "ai.onnx", operator) => main(operator, &operands, opset),
        ("ai.onnx.ml", "Scaler") => {
            let flow = operands.flow(0)?;
            let width = flow.shape.1;
            let fill = |name: &str, default: f64| match &node.floats(name)[..] {
                [] => Ok(vec![default; width]),
                [number] => Ok(vec![*number; width]),
                numbers if numbers.len() == width => Ok(numbers.to_vec()),
                numbers => Err(wrong(format!("{} numbers {name} for {width} channels", numbers.len()))),
            };
            if flow.meant() != [Axis::Channels] {
                return Err(wrong("scaling of something else than one row"));
            }
            let (offsets, factors) = (fill("offset", 0.0)?, fill("scale", 1.0)?);
            one(flow.scale(offsets, factors))
        }
        // Class by name; in order it is what it was.
        ("ai.onnx.ml", "ZipMap") => Ok(vec![operands.value(0)?.clone()]),
        (_, operator) => Err(wrong(format!("{operator} is not understood; there are: {KNOWN}"))),
    }
}

fn main(operator: &str, operands: &Operands<'_>, opset: i64) -> Result<Outputs, TrainingError> {
    let node = operands.node;
    match operator {
        "Identity" | "Dropout" => Ok(vec![operands.value(0)?.clone()]),
        "Cast" => match node.int("to", 0) {
            1 | 11 => Ok(vec![operands.value(0)?.clone()]),
            other => Err(wrong(format!("to numbers of type {other}"))),
        },
        "Constant" => constant(node),
        "MatMul" => one(operands.flow(0)?.dense(operands.known(1)?, None)),
        "Gemm" => gemm(operands),
        "Add" => {
            let (flow, constant, _) = operands.pair()?;
            let numbers = spread(&flow, constant)?;
            one(flow.add(numbers))
        }
        "Sub" => match operands.pair()? {
            (flow, constant, true) if constant.scalar() == Some(1.0) && flow.shape == (1, 1) => {
                Ok(vec![Value::Complement(flow)])
            }
            (flow, constant, true) => {
                let (numbers, minus) = (spread(&flow, constant)?, vec![-1.0; flow.shape.1]);
                one(flow.scale(numbers, minus))
            }
            (flow, constant, false) => {
                let numbers = spread(&flow, constant)?;
                one(flow.add(numbers.into_iter().map(|number| -number).collect()))
            }
        },
        "Mul" | "Div" => {
            let (flow, constant, first) = operands.pair()?;
            let numbers = spread(&flow, constant)?;
            let factors = match (operator, first) {
                ("Mul", _) => numbers,
                (_, true) => return Err(wrong("a constant divided by what is computed")),
                _ => numbers.into_iter().map(|number| 1.0 / number).collect(),
            };
            if factors.iter().any(|factor| !factor.is_finite()) {
                return Err(wrong("a division by zero"));
            }
            let none = vec![0.0; factors.len()];
            one(flow.scale(none, factors))
        }
        "BatchNormalization" => normalise(operands),
        "Relu" => one(operands.flow(0)?.activate(Activation::Relu)),
        "Tanh" => one(operands.flow(0)?.activate(Activation::Tanh)),
        "Sigmoid" => one(operands.flow(0)?.activate(Activation::Sigmoid)),
        "Softmax" => {
            let flow = operands.flow(0)?;
            let axis = flow.axis(node.int("axis", if opset < 13 { 1 } else { -1 }))?;
            if flow.axes[axis] != Axis::Channels || opset < 13 && flow.meant() != [Axis::Channels] {
                return Err(wrong("over another axis than the channels"));
            }
            one(flow.activate(Activation::Softmax))
        }
        "Conv" => convolve(operands),
        "MaxPool" => slide(operands, Pool::Max),
        "AveragePool" => slide(operands, Pool::Mean),
        "GlobalMaxPool" => all_steps(operands, Pool::Max),
        "GlobalAveragePool" => all_steps(operands, Pool::Mean),
        "ReduceMax" => reduce(operands, Pool::Max),
        "ReduceMean" => reduce(operands, Pool::Mean),
        "GRU" => recur(operands),
        "Gather" => gather(operands),
        "Flatten" => {
            let flow = operands.flow(0)?;
            match node.int("axis", 1) {
                1 => one(flow.flatten()),
                other => Err(wrong(format!("axis {other}; 1 is expected"))),
            }
        }
        "Reshape" => reshape(operands),
        "Squeeze" => {
            let flow = operands.flow(0)?;
            let axes = match operands.axes(1)? {
                Some(axes) => axes.iter().map(|axis| flow.axis(*axis)).collect::<Result<Vec<_>, _>>()?,
                None => return Err(wrong("without axes")),
            };
            without(flow, &axes)
        }
        "Unsqueeze" => {
            let mut flow = operands.flow(0)?;
            let mut axes = operands.axes(1)?.ok_or_else(|| wrong("without axes"))?;
            let rank = (flow.axes.len() + axes.len()) as i64;
            axes.iter_mut().filter(|axis| **axis < 0).for_each(|axis| *axis += rank);
            axes.sort_unstable();
            for axis in axes {
                let at = usize::try_from(axis).ok().filter(|at| *at <= flow.axes.len());
                flow.axes.insert(at.ok_or_else(|| wrong(format!("axis {axis} of {rank}")))?, Axis::One);
            }
            one(Ok(flow))
        }
        "Transpose" => {
            let mut flow = operands.flow(0)?;
            let order = node.ints("perm").unwrap_or_else(|| (0..flow.axes.len() as i64).rev().collect());
            let places = order.iter().map(|axis| flow.axis(*axis)).collect::<Result<Vec<_>, _>>()?;
            let mut sorted = places.clone();
            sorted.sort_unstable();
            if sorted != (0..flow.axes.len()).collect::<Vec<_>>() {
                return Err(wrong(format!("order {order:?} of {} axes", flow.axes.len())));
            }
            flow.axes = places.iter().map(|place| flow.axes[*place]).collect();
            one(Ok(flow))
        }
        "Concat" => match (operands.value(0)?, operands.value(1)?) {
            (Value::Complement(_), Value::Flow(flow))
                if node.inputs.len() == 2 && matches!(node.int("axis", 1), 1 | -1) =>
            {
                Ok(vec![Value::Both(flow.clone())])
            }
            _ => Err(wrong("of something else than a probability and its complement")),
        },
        _ => Err(wrong(format!("not understood; there are: {KNOWN}"))),
    }
}

fn constant(node: &Node) -> Result<Outputs, TrainingError> {
    if let Some(tensor) = node.attribute("value").and_then(|attribute| attribute.tensor.as_ref()) {
        return Ok(vec![Value::Known(Constant::of(tensor)?)]);
    }
    let (dims, numbers) = if node.attribute("value_float").is_some() {
        (vec![], vec![node.float("value_float", 0.0)])
    } else if node.attribute("value_int").is_some() {
        (vec![], vec![node.int("value_int", 0) as f64])
    } else if let Some(ints) = node.ints("value_ints") {
        (vec![ints.len()], ints.iter().map(|int| *int as f64).collect())
    } else {
        let floats = node.floats("value_floats");
        (vec![floats.len()], floats)
    };
    Ok(vec![Value::Known(Constant { dims, numbers })])
}

fn gemm(operands: &Operands<'_>) -> Result<Outputs, TrainingError> {
    let (node, flow) = (operands.node, operands.flow(0)?);
    let (alpha, beta) = (node.float("alpha", 1.0), node.float("beta", 1.0));
    if node.int("transA", 0) != 0 || flow.axes.first() != Some(&Axis::Batch) {
        return Err(wrong("what comes in lies on its side"));
    }
    let weights = operands.known(1)?;
    let &[rows, columns] = &weights.dims[..] else {
        return Err(wrong(format!("weights of sizes {:?}; two axes are expected", weights.dims)));
    };
    let transposed = node.int("transB", 0) != 0;
    let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
    let number = |at: usize| {
        let (input, output) = (at / outputs.max(1), at % outputs.max(1));
        let at = if transposed { output * columns + input } else { input * columns + output };
        alpha * weights.numbers[at]
    };
    let weights =
        Constant { dims: vec![inputs, outputs], numbers: (0..inputs * outputs).map(number).collect() };
    let biases = match operands.maybe_known(2)? {
        None => vec![0.0; outputs],
        Some(biases) => match (biases.scalar(), biases.vector()) {
            (Some(bias), _) => vec![bias; outputs],
            (_, Some(all)) if all.len() == outputs => all.to_vec(),
            _ => return Err(wrong(format!("biases of sizes {:?} for {outputs} outputs", biases.dims))),
        },
    };
    one(flow.dense(&weights, Some(biases.into_iter().map(|bias| single(beta * bias)).collect())))
}

fn normalise(operands: &Operands<'_>) -> Result<Outputs, TrainingError> {
    let (node, flow) = (operands.node, operands.flow(0)?);
    if node.int("training_mode", 0) != 0 {
        return Err(wrong("in training"));
    }
    if flow.axes.get(1) != Some(&Axis::Channels) {
        return Err(wrong(format!("axes {:?}; the second is expected to be the channels", flow.axes)));
    }
    let part = |at: usize| channels(&flow, operands.known(at)?);
    let (scale, bias, mean, variance) = (part(1)?, part(2)?, part(3)?, part(4)?);
    let epsilon = node.float("epsilon", 1e-5);
    let factors: Vec<f64> =
        scale.iter().zip(&variance).map(|(scale, variance)| scale / (variance + epsilon).sqrt()).collect();
    if factors.iter().any(|factor| !factor.is_finite()) {
        return Err(wrong("a variance below zero"));
    }
    one(flow.scale(mean, factors)?.add(bias))
}

/// Without axes of size 1.
pub(super) fn without(mut flow: Flow, axes: &[usize]) -> Result<Outputs, TrainingError> {
    if let Some(axis) = axes.iter().find(|axis| flow.size(**axis) != 1 || flow.axes[**axis] == Axis::Batch) {
        return Err(wrong(format!("axis {axis} is not one number of an example")));
    }
    let kept = flow.axes.iter().enumerate().filter(|(at, _)| !axes.contains(at));
    flow.axes = kept.map(|(_, axis)| *axis).collect();
    one(Ok(flow))
}

fn reshape(operands: &Operands<'_>) -> Result<Outputs, TrainingError> {
    let (flow, shape) = (operands.flow(0)?, operands.known(1)?.ints());
    let all = (flow.shape.0 * flow.shape.1) as i64;
    match shape[..] {
        // Examples, and all else in one row; -1 and 0 stand for what is there.
        [batch, row] if matches!(batch, -1..=1) && (row == all || row == -1 && batch != -1) => {
            one(flow.flatten())
        }
        [-1] | [1] if all == 1 => one(Ok(flow)),
        _ => Err(wrong(format!("to sizes {shape:?}; one row of {all} numbers an example is expected"))),
    }
}

fn gather(operands: &Operands<'_>) -> Result<Outputs, TrainingError> {
    let (mut flow, index) = (operands.flow(0)?, operands.known(1)?);
    let axis = flow.axis(operands.node.int("axis", 0))?;
    let last = flow.size(axis) as f64 - 1.0;
    let number = index.scalar().filter(|_| index.dims.is_empty());
    if flow.axes[axis] != Axis::Steps || !number.is_some_and(|number| number == -1.0 || number == last) {
        return Err(wrong("of something else than the last step"));
    }
    match flow.last() {
        Some(Layer::Gru(gru)) => {
            gru.all_steps = false;
            flow.shape.0 = 1;
        }
        _ => flow = flow.push(Layer::Global { how: Pool::Last })?,
    }
    without(flow, &[axis])
}

fn recur(operands: &Operands<'_>) -> Result<Outputs, TrainingError> {
    let (node, flow) = (operands.node, operands.flow(0)?);
    if flow.axes != [Axis::Steps, Axis::Batch, Axis::Channels] || node.int("layout", 0) != 0 {
        return Err(wrong(format!("axes {:?}; steps, examples, channels are expected", flow.axes)));
    }
    let plain = ["activations", "activation_alpha", "activation_beta", "clip"];
    if let Some(other) = plain.iter().find(|name| node.attribute(name).is_some()) {
        let usual = node.attribute(other).is_some_and(|attribute| {
            attribute.texts.is_empty() || attribute.texts == [b"Sigmoid".to_vec(), b"Tanh".to_vec()]
        });
        if *other != "activations" || !usual {
            return Err(wrong(format!("with {other}")));
        }
    }
    if !matches!(node.text("direction").as_str(), "" | "forward") {
        return Err(wrong("in another direction than forward"));
    }
    if operands.name(4).is_some() {
        return Err(wrong("with lengths of sequences"));
    }
    if let Some(begin) = operands.maybe_known(5)?
        && begin.numbers.iter().any(|number| *number != 0.0)
    {
        return Err(wrong("with a state that does not begin at zero"));
    }
    let (input, recurrent) = (operands.known(1)?, operands.known(2)?);
    let (units, channels) = (recurrent.dims.last().copied().unwrap_or(0), flow.shape.1);
    if input.dims != [1, 3 * units, channels] || recurrent.dims != [1, 3 * units, units] {
        let (input, recurrent) = (&input.dims, &recurrent.dims);
        return Err(wrong(format!("weights of sizes {input:?} and {recurrent:?} for {channels} channels")));
    }
    let sideways = |constant: &Constant, width: usize| -> Vec<f64> {
        let number = |at: usize| single(constant.numbers[at % (3 * units) * width + at / (3 * units)]);
        (0..3 * units * width).map(number).collect()
    };
    let biases = match operands.maybe_known(3)? {
        None => vec![0.0; 6 * units],
        Some(biases) if biases.numbers.len() == 6 * units => {
            biases.numbers.iter().copied().map(single).collect()
        }
        Some(biases) => return Err(wrong(format!("biases of sizes {:?} for {units} units", biases.dims))),
    };
    let gru = |all_steps| Gru {
        units,
        reset_after: node.int("linear_before_reset", 0) != 0,
        all_steps,
        input: sideways(input, channels),
        recurrent: sideways(recurrent, units),
        input_bias: biases[..3 * units].to_vec(),
        recurrent_bias: biases[3 * units..].to_vec(),
    };
    // Every step, and the last one.
    let mut all = flow.clone().push(Layer::Gru(gru(true)))?;
    all.axes = vec![Axis::Steps, Axis::One, Axis::Batch, Axis::Channels];
    let mut last = flow.push(Layer::Gru(gru(false)))?;
    last.axes = vec![Axis::One, Axis::Batch, Axis::Channels];
    Ok(vec![Value::Flow(all), Value::Flow(last)])
}
