//! Small neural networks from ONNX files, taken over into the format of `triad_models::window::network`.
//!
//! What is read: a graph in which one tensor flows from the input to the output through layers that there are here, as
//! scikit-learn's MLPs (skl2onnx) and sequential networks of PyTorch export them. Everything else is refused with the operator's
//! name and the reason: branches, recurrence other than a forward GRU, shapes computed at run time, weights in other files.
//! ONNX's runtimes compute with 32 bits in an order of their own; here the same weights run with 64 bits in one order, so results
//! agree to about the sixth digit (tests compare with ONNX Runtime's), and are the same on every validator.

mod constant;
mod flow;
mod message;
mod operators;
mod sliding;

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use triad_models::window::NetworkModel;
use triad_models::window::network::{Activation, Layer, Layers, Output};

use self::constant::Constant;
use self::flow::{Axis, Flow};
use self::message::{Described, Graph, Model};
use crate::error::TrainingError;
use crate::import::wrong;

/// A larger file is refused unread: what a chain takes has at most a mebibyte of weights.
pub const MAX_ONNX_BYTES: usize = 4 << 20;
const MAX_NODES: usize = 1_024;
/// Of ONNX's own operators, the versions whose meaning is known here.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=26;

/// What the graph does not say.
#[derive(Debug, Clone, Default)]
pub struct OnnxOptions {
    /// Names of the streams in the order of the inputs; none: `x1`, `x2` and so on.
    pub inputs: Vec<String>,
    /// Rows of a window; none: one row, or what the graph's input says.
    pub window: Option<usize>,
    /// Which of several classes is the failure, from 0; none: the second of two.
    pub class: Option<usize>,
    /// The tensor to tell; none: the only output, or a classifier's probabilities.
    pub output: Option<String>,
    /// What it stands for; none: the risk of a failure where a probability comes out, else an estimate.
    pub tells: Option<Output>,
}

/// A value of the graph.
#[derive(Debug, Clone)]
enum Value {
    Known(Constant),
    Flow(Flow),
    /// 1 - the probability.
    Complement(Flow),
    /// 1 - the probability, and the probability.
    Both(Flow),
}

/// Whether bytes begin as an ONNX file does: its first field is the version of the format.
pub fn is_onnx(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x08)
}

/// Reads a file that may be hostile.
pub fn import_onnx(bytes: &[u8], options: &OnnxOptions) -> Result<NetworkModel, TrainingError> {
    if bytes.len() > MAX_ONNX_BYTES {
        return Err(wrong(format!(
            "{} bytes; at most {MAX_ONNX_BYTES} are read of an ONNX file",
            bytes.len()
        )));
    }
    let model = Model::decode(bytes).map_err(|error| wrong(format!("no ONNX file: {error}")))?;
    let graph = model.graph.ok_or_else(|| wrong("an ONNX file without a graph"))?;
    if graph.nodes.len() > MAX_NODES {
        return Err(wrong(format!("{} nodes; at most {MAX_NODES} are read", graph.nodes.len())));
    }
    let main = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opset = model.opsets.iter().find(|opset| main(&opset.domain)).map_or(0, |opset| opset.version);
    if !OPSETS.contains(&opset) {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        return Err(wrong(format!("operators of version {opset}; {first} to {last} are known")));
    }
    let input = input(&graph)?;
    let output = output(&graph, options)?;
    let needed = needed(&graph, &output);
    let asked: BTreeSet<&str> =
        needed.iter().flat_map(|at| &graph.nodes[*at].inputs).map(String::as_str).collect();
    let mut values = BTreeMap::new();
    for tensor in graph.initializers.iter().filter(|tensor| asked.contains(tensor.name.as_str())) {
        values.insert(tensor.name.clone(), Value::Known(Constant::of(tensor)?));
    }
    values.insert(input.name.clone(), Value::Flow(begin(&graph, input, options)?));
    for (at, node) in graph.nodes.iter().enumerate().filter(|(at, _)| needed.contains(at)) {
        let named = if node.name.is_empty() { format!("{at}") } else { format!("{at} ({:?})", node.name) };
        let within = |error: TrainingError| {
            let TrainingError::Model(problem) = error else { return error };
            wrong(format!("node {named}, {}: {problem}", node.operator))
        };
        let outputs = operators::apply(node, &values, opset).map_err(within)?;
        for (name, value) in node.outputs.iter().zip(outputs) {
            if !name.is_empty() && values.insert(name.clone(), value).is_some() {
                return Err(within(wrong(format!("{name:?} is there already"))));
            }
        }
    }
    finish(values.remove(&output), &output, options)
}

/// The one input that is no weight.
fn input(graph: &Graph) -> Result<&Described, TrainingError> {
    let weights: BTreeSet<&str> = graph.initializers.iter().map(|tensor| tensor.name.as_str()).collect();
    let inputs: Vec<&Described> =
        graph.inputs.iter().filter(|input| !weights.contains(input.name.as_str())).collect();
    let names = || inputs.iter().map(|input| input.name.as_str()).collect::<Vec<_>>().join(", ");
    match inputs[..] {
        [input] => Ok(input),
        _ => Err(wrong(format!("{} inputs ({}); one table of numbers is expected", inputs.len(), names()))),
    }
}

/// Which tensor is told.
fn output(graph: &Graph, options: &OnnxOptions) -> Result<String, TrainingError> {
    let names: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
    let made = |name: &str| graph.nodes.iter().any(|node| node.outputs.iter().any(|output| output == name));
    match (&options.output, &names[..]) {
        (Some(name), _) if made(name) => Ok(name.clone()),
        (Some(name), _) => Err(wrong(format!("no tensor {name:?} in the graph"))),
        (None, [name]) => Ok((*name).to_owned()),
        // A classifier of scikit-learn tells the class, and its probabilities.
        (None, [_, probabilities]) if probabilities.contains("probabilit") => Ok((*probabilities).to_owned()),
        (None, names) => Err(wrong(format!("outputs {}: say which one is told", names.join(", ")))),
    }
}

/// The nodes that the output comes from.
fn needed(graph: &Graph, output: &str) -> BTreeSet<usize> {
    let mut makers: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        makers.extend(node.outputs.iter().map(|name| (name.as_str(), at)));
    }
    let (mut needed, mut asked) = (BTreeSet::new(), vec![output]);
    while let Some(name) = asked.pop() {
        if let Some(&at) = makers.get(name)
            && needed.insert(at)
        {
            asked.extend(graph.nodes[at].inputs.iter().map(String::as_str));
        }
    }
    needed
}

/// The window as the graph's input takes it.
fn begin(graph: &Graph, input: &Described, options: &OnnxOptions) -> Result<Flow, TrainingError> {
    let shape = input.kind.as_ref().and_then(|kind| kind.tensor.as_ref()).and_then(|t| t.shape.as_ref());
    let dims: Vec<i64> =
        shape.map(|shape| shape.dims.iter().map(|dim| dim.size).collect()).unwrap_or_default();
    let asked = options.window;
    let known = |dim: i64, what: &str| {
        usize::try_from(dim).ok().filter(|dim| *dim > 0).ok_or_else(|| {
            wrong(format!("the graph's input {:?} of sizes {dims:?} leaves open {what}", input.name))
        })
    };
    let (axes, rows, inputs) = match dims[..] {
        [_, width] => {
            let (width, rows) = (known(width, "how many numbers it takes")?, asked.unwrap_or(1));
            if rows == 0 || width % rows != 0 {
                return Err(wrong(format!("{width} inputs are no {rows} rows of one width")));
            }
            let row = if rows == 1 { Axis::Channels } else { Axis::Flat { by_steps: true } };
            (vec![Axis::Batch, row], rows, width / rows)
        }
        [_, first, second] => {
            // A convolution takes channel by channel; everything else here takes row by row.
            let convolved =
                |node: &message::Node| node.operator == "Conv" && node.inputs.first() == Some(&input.name);
            if graph.nodes.iter().any(convolved) {
                let rows = asked.map_or_else(|| known(second, "how many rows it takes"), Ok)?;
                (vec![Axis::Batch, Axis::Channels, Axis::Steps], rows, known(first, "its channels")?)
            } else {
                let rows = asked.map_or_else(|| known(first, "how many rows it takes"), Ok)?;
                (vec![Axis::Batch, Axis::Steps, Axis::Channels], rows, known(second, "its channels")?)
            }
        }
        _ => {
            let problem = "a table of examples by numbers, or examples by rows by numbers, is expected";
            return Err(wrong(format!("input {:?} of sizes {dims:?}; {problem}", input.name)));
        }
    };
    Ok(Flow::new(axes, (rows, inputs)))
}

/// Takes the wanted number of what came out, and makes it a model.
fn finish(value: Option<Value>, output: &str, options: &OnnxOptions) -> Result<NetworkModel, TrainingError> {
    let flow = match value {
        Some(Value::Flow(flow)) if flow.shape == (1, 1) && options.class.unwrap_or(1) == 1 => flow,
        Some(Value::Flow(flow)) if flow.shape.0 == 1 && flow.shape.1 > 1 => {
            let count = flow.shape.1;
            let channel = options.class.or((count == 2).then_some(1)).filter(|class| *class < count);
            let many = || wrong(format!("{count} numbers come out: say which class, 0 to {}", count - 1));
            flow.push(Layer::Pick { channel: channel.ok_or_else(many)? })?
        }
        Some(Value::Both(flow)) if options.class.unwrap_or(1) == 1 => flow,
        Some(Value::Both(flow) | Value::Complement(flow)) if options.class.unwrap_or(0) == 0 => {
            flow.scale(vec![1.0], vec![-1.0])?
        }
        Some(Value::Flow(flow)) if flow.shape == (1, 1) && options.class == Some(0) => {
            flow.scale(vec![1.0], vec![-1.0])?
        }
        Some(Value::Flow(flow)) => {
            let (steps, channels) = flow.shape;
            return Err(wrong(format!(
                "{steps} rows of {channels} numbers come out; one number is expected"
            )));
        }
        _ => return Err(wrong(format!("{output:?} does not come from the input, or has no such class"))),
    };
    let (rows, count) = flow.input;
    let layers = flow.into_layers();
    let probability = layers.iter().rev().find_map(|layer| match layer {
        Layer::Dense { activation, .. } | Layer::Conv { activation, .. } | Layer::Activate { activation } => {
            Some(matches!(activation, Activation::Sigmoid | Activation::Softmax))
        }
        Layer::Gru(_) => Some(false),
        _ => None,
    });
    let tells = options.tells.clone().unwrap_or(if probability == Some(true) {
        Output::FailureRisk { from: 0.5 }
    } else {
        Output::Estimate { usual: None, unit: String::new() }
    });
    let inputs = if options.inputs.is_empty() {
        (1..=count).map(|number| format!("x{number}")).collect()
    } else {
        options.inputs.clone()
    };
    Ok(NetworkModel::new(inputs, tells, Layers::new(rows, count, layers)?)?)
}
