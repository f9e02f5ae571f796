//! Operators of classical models in terms of plainer ones:
//!
//! - `ZipMap`, which repeats probabilities as a map from labels, is taken out: its input is the output;
//! - `Scaler` becomes a subtraction and a multiplication;
//! - `LabelEncoder` from whole numbers to numbers becomes our own [`lookup`](crate::lookup);
//! - `TreeEnsembleClassifier` and `TreeEnsembleRegressor` become our own [`trees`](crate::trees), a classifier's labels the greatest
//!   of its scores.

use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType,
};

use crate::error::{OnnxError, malformed, unsupported};
use crate::operators::{LOOKUP, ML, OWN, TREES};

pub(crate) fn rewrite(graph: &mut GraphProto) -> Result<(), OnnxError> {
    let nodes = std::mem::take(&mut graph.node);
    let mut out = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.domain != ML {
            out.push(node);
            continue;
        }
        match node.op_type.as_str() {
            "ZipMap" => zip_map(graph, &node)?,
            "Scaler" => scaler(graph, &node, &mut out)?,
            "TreeEnsembleClassifier" => classifier(graph, node, &mut out)?,
            "TreeEnsembleRegressor" => out.push(trees(node.clone(), node.output)),
            "LabelEncoder"
                if attribute(&node, "keys_int64s").is_some()
                    && attribute(&node, "values_floats").is_some() =>
            {
                out.push(NodeProto { op_type: LOOKUP.into(), domain: OWN.into(), ..node });
            }
            _ => out.push(node),
        }
    }
    graph.node = out;
    // What the file says of types in between is no longer all true, and nothing needs it.
    graph.value_info.clear();
    Ok(())
}

/// The output of that name gets what the map was made of; its type follows from the graph.
fn zip_map(graph: &mut GraphProto, node: &NodeProto) -> Result<(), OnnxError> {
    let (Some(from), Some(to)) = (node.input.first(), node.output.first()) else {
        return Err(malformed("a ZipMap without input or output"));
    };
    for output in graph.output.iter_mut().filter(|output| output.name == *to) {
        *output = ValueInfoProto { name: from.clone(), ..ValueInfoProto::default() };
    }
    Ok(())
}

fn scaler(graph: &mut GraphProto, node: &NodeProto, out: &mut Vec<NodeProto>) -> Result<(), OnnxError> {
    let [input] = node.input.as_slice() else { return Err(malformed("a Scaler takes one input")) };
    let output = node.output[0].clone();
    let floats = |name| attribute(node, name).map(|found| found.floats.clone()).unwrap_or_default();
    let mut last = input.clone();
    for (operator, values, neutral) in [("Sub", floats("offset"), 0.0), ("Mul", floats("scale"), 1.0)] {
        let values = if values.is_empty() { vec![neutral] } else { values };
        let constant = format!("{output}.{operator}");
        let is_last = operator == "Mul";
        let result = if is_last { output.clone() } else { format!("{output}.shifted") };
        graph.initializer.push(TensorProto {
            name: constant.clone(),
            dims: vec![values.len() as i64],
            data_type: DataType::Float as i32,
            float_data: values,
            ..TensorProto::default()
        });
        out.push(plain(operator, vec![last, constant], result.clone()));
        last = result;
    }
    Ok(())
}

fn classifier(graph: &mut GraphProto, node: NodeProto, out: &mut Vec<NodeProto>) -> Result<(), OnnxError> {
    let [label, scores] = node.output.as_slice() else {
        return Err(malformed("a TreeEnsembleClassifier gives labels and scores"));
    };
    let (label, mut scores) = (label.clone(), scores.clone());
    if scores.is_empty() {
        scores = format!("{label}.scores");
    }
    let labels = attribute(&node, "classlabels_int64s").map(|found| found.ints.clone()).unwrap_or_default();
    out.push(trees(node, vec![scores.clone()]));
    if label.is_empty() {
        return Ok(());
    }
    if labels.is_empty() {
        // Labels that are texts: what needs them is left out, with this name.
        let texts = NodeProto { domain: ML.into(), ..plain("labels that are texts", vec![scores], label) };
        out.push(texts);
        return Ok(());
    }
    let (table, best) = (format!("{label}.table"), format!("{label}.best"));
    graph.initializer.push(TensorProto {
        name: table.clone(),
        dims: vec![labels.len() as i64],
        data_type: DataType::Int64 as i32,
        int64_data: labels,
        ..TensorProto::default()
    });
    let mut greatest = plain("ArgMax", vec![scores], best.clone());
    greatest.attribute = vec![integer("axis", 1), integer("keepdims", 0)];
    out.push(greatest);
    out.push(plain("Gather", vec![table, best], label));
    Ok(())
}

fn trees(node: NodeProto, output: Vec<String>) -> NodeProto {
    let mut attributes = node.attribute;
    let mut classifies = integer("classifies", i64::from(node.op_type == "TreeEnsembleClassifier"));
    classifies.doc_string.clear();
    attributes.push(classifies);
    NodeProto {
        name: output[0].clone(),
        op_type: TREES.into(),
        domain: OWN.into(),
        attribute: attributes,
        output,
        ..node
    }
}

fn plain(operator: &str, input: Vec<String>, output: String) -> NodeProto {
    NodeProto {
        name: output.clone(),
        op_type: operator.into(),
        input,
        output: vec![output],
        ..NodeProto::default()
    }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    const INT: i32 = 2;
    AttributeProto { name: name.into(), i: value, r#type: INT, ..AttributeProto::default() }
}

pub(crate) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Names that we make must not be the file's.
pub(crate) fn check_own_names(graph: &GraphProto) -> Result<(), OnnxError> {
    let mut names = std::collections::BTreeSet::new();
    let given = graph.initializer.iter().map(|tensor| &tensor.name);
    let given = given.chain(graph.node.iter().flat_map(|node| &node.output).filter(|name| !name.is_empty()));
    for name in given {
        if !names.insert(name) {
            return Err(unsupported("its names collide with those that rewriting makes"));
        }
    }
    Ok(())
}
