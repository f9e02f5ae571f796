//! A file's bytes as a graph whose every part is bounded and in its place.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, TensorProto, tensor_proto};
use tract_onnx::prelude::Framework;

use crate::error::{OnnxError, malformed, shown, unsupported};
use crate::operators::is_run;

/// Largest file: a network of eight million weights.
pub const MAX_FILE_BYTES: usize = 32 << 20;
/// Most operators in a graph.
pub const MAX_NODES: usize = 20_000;
/// Most tensors that a graph holds.
const MAX_TENSORS: usize = 20_000;
/// Most numbers in a tensor that a graph holds.
pub const MAX_ELEMENTS: usize = 16 << 20;
/// Most inputs and outputs of an operator.
const MAX_EDGES: usize = 4_096;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;

/// Reads a file and checks all that does not depend on what operators mean.
pub(crate) fn decode(bytes: &[u8]) -> Result<ModelProto, OnnxError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(OnnxError::TooLarge { found: bytes.len(), limit: MAX_FILE_BYTES });
    }
    let mut source = bytes;
    let model = tract_onnx::onnx()
        .proto_model_for_read(&mut source)
        .map_err(|error| malformed(format!("its protocol buffer cannot be read ({error})")))?;
    if !model.functions.is_empty() {
        return Err(unsupported("it defines functions of its own"));
    }
    let graph = model.graph.as_ref().ok_or_else(|| malformed("it holds no graph"))?;
    if graph.node.is_empty() || graph.node.len() > MAX_NODES {
        return Err(unsupported(format!("{} operators; 1 to {MAX_NODES} are accepted", graph.node.len())));
    }
    if graph.initializer.len() > MAX_TENSORS || !graph.sparse_initializer.is_empty() {
        return Err(unsupported(format!("more than {MAX_TENSORS} tensors, or sparse ones")));
    }
    for tensor in &graph.initializer {
        check_tensor(tensor)?;
    }
    for node in &graph.node {
        if node.input.len() > MAX_EDGES || node.output.is_empty() || node.output.len() > MAX_EDGES {
            return Err(malformed(format!("{} has too many inputs, or no output", shown(&node.op_type))));
        }
        node.attribute.iter().try_for_each(|attribute| check_attribute(&node.op_type, attribute))?;
    }
    check_names(graph)?;
    Ok(model)
}

fn check_attribute(operator: &str, attribute: &AttributeProto) -> Result<(), OnnxError> {
    if attribute.g.is_some() || !attribute.graphs.is_empty() {
        return Err(unsupported(format!("{} holds a graph of its own", shown(operator))));
    }
    if attribute.sparse_tensor.is_some() || !attribute.sparse_tensors.is_empty() {
        return Err(unsupported(format!("{} holds a sparse tensor", shown(operator))));
    }
    attribute.t.iter().chain(&attribute.tensors).try_for_each(check_tensor)
}

/// A tensor is as long as its shape says, and lies in this file.
fn check_tensor(tensor: &TensorProto) -> Result<(), OnnxError> {
    use tensor_proto::DataType;
    let name = shown(&tensor.name);
    if tensor.data_location.unwrap_or(0) != 0 || !tensor.external_data.is_empty() {
        return Err(unsupported(format!("tensor `{name}` lies in another file: export it into one")));
    }
    if tensor.segment.is_some() || tensor.dims.len() > MAX_RANK {
        return Err(unsupported(format!(
            "tensor `{name}` is in segments or has more than {MAX_RANK} dimensions"
        )));
    }
    let elements = tensor.dims.iter().try_fold(1usize, |product, dim| {
        product.checked_mul(usize::try_from(*dim).ok()?).filter(|product| *product <= MAX_ELEMENTS)
    });
    let Some(elements) = elements else {
        let why = format!("tensor `{name}` has the shape {:?}; at most {MAX_ELEMENTS} numbers", tensor.dims);
        return Err(unsupported(why));
    };
    let kind = DataType::try_from(tensor.data_type)
        .map_err(|_| malformed(format!("tensor `{name}` is of the unknown type {}", tensor.data_type)))?;
    let (width, listed) = match kind {
        DataType::Float => (4, tensor.float_data.len()),
        DataType::Double => (8, tensor.double_data.len()),
        DataType::Int64 => (8, tensor.int64_data.len()),
        DataType::Uint64 | DataType::Uint32 => {
            (if kind == DataType::Uint64 { 8 } else { 4 }, tensor.uint64_data.len())
        }
        DataType::Int32 => (4, tensor.int32_data.len()),
        DataType::Float16 | DataType::Int16 | DataType::Uint16 => (2, tensor.int32_data.len()),
        DataType::Int8 | DataType::Uint8 | DataType::Bool => (1, tensor.int32_data.len()),
        DataType::String if tensor.raw_data.is_empty() => (1, tensor.string_data.len()),
        other => return Err(unsupported(format!("tensor `{name}` is of the type {other:?}"))),
    };
    let found = if tensor.raw_data.is_empty() { listed } else { tensor.raw_data.len() / width };
    let whole = tensor.raw_data.len().is_multiple_of(width);
    if found == elements && whole {
        return Ok(());
    }
    Err(malformed(format!("tensor `{name}` of the shape {:?} has {found} numbers", tensor.dims)))
}

/// Every name is given once, before it is used.
fn check_names(graph: &GraphProto) -> Result<(), OnnxError> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let tensors: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    if tensors.len() != graph.initializer.len() || tensors.contains("") {
        return Err(malformed("two tensors have one name, or one has none"));
    }
    let inputs = graph.input.iter().map(|input| input.name.as_str()).filter(|name| !tensors.contains(name));
    for name in inputs {
        if name.is_empty() || !known.insert(name) {
            return Err(malformed(format!("two inputs are called `{}`", shown(name))));
        }
    }
    known.extend(&tensors);
    for node in &graph.node {
        if let Some(missing) =
            node.input.iter().find(|name| !name.is_empty() && !known.contains(name.as_str()))
        {
            let (operator, missing) = (shown(&node.op_type), shown(missing));
            return Err(malformed(format!("{operator} uses `{missing}`, which nothing before it gives")));
        }
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if !known.insert(name) {
                return Err(malformed(format!("`{}` is given twice", shown(name))));
            }
        }
    }
    let mut names = BTreeSet::new();
    for output in &graph.output {
        if !known.contains(output.name.as_str()) || !names.insert(&output.name) {
            return Err(malformed(format!(
                "nothing gives the output `{}`, or it is named twice",
                shown(&output.name)
            )));
        }
    }
    Ok(())
}

/// Leaves only outputs that can be run, and the operators that they need. Returns what was left out, with the reason.
pub(crate) fn prune(graph: &mut GraphProto) -> Result<Vec<(String, String)>, OnnxError> {
    let makers: BTreeMap<&str, usize> = (0..)
        .zip(&graph.node)
        .flat_map(|(at, node)| node.output.iter().map(move |name| (name.as_str(), at)))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    let (mut needed, mut kept, mut left_out) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for output in &graph.output {
        let mut own = BTreeSet::new();
        let mut wanted: Vec<&str> = vec![&output.name];
        let mut missing = None;
        while let Some(name) = wanted.pop() {
            let Some(&at) = makers.get(name) else { continue };
            if !own.insert(at) {
                continue;
            }
            let node = &graph.node[at];
            if !is_run(&node.domain, &node.op_type) {
                let domain = if node.domain.is_empty() { "ai.onnx" } else { node.domain.as_str() };
                missing = Some(format!("it needs the operator {}.{}", shown(domain), shown(&node.op_type)));
                break;
            }
            wanted.extend(node.input.iter().map(String::as_str));
        }
        match missing {
            Some(why) => left_out.push((shown(&output.name), why)),
            None => {
                needed.extend(own);
                kept.insert(output.name.clone());
            }
        }
    }
    if kept.is_empty() {
        let why = left_out.iter().map(|(name, why)| format!("output `{name}`: {why}"));
        return Err(unsupported(why.collect::<Vec<_>>().join("; ")));
    }
    let mut at = 0;
    graph.node.retain(|_| {
        at += 1;
        needed.contains(&(at - 1))
    });
    graph.output.retain(|output| kept.contains(&output.name));
    let used: BTreeSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let outputs: BTreeSet<&str> = kept.iter().map(String::as_str).collect();
    graph
        .initializer
        .retain(|tensor| used.contains(tensor.name.as_str()) || outputs.contains(tensor.name.as_str()));
    Ok(left_out)
}
