//! Ensembles of trees of ONNX (`TreeEnsembleClassifier` and `TreeEnsembleRegressor`, ai.onnx.ml 1 and 3), checked when the file is
//! opened and walked without a way out of bounds: children exist and have one parent each, so there are no cycles; leaves' targets
//! exist; a row is as wide as the features that are asked for.
//!
//! Scores are as onnxruntime gives them, which in the case of two classes with one score goes beyond the standard's text: where
//! all weights are positive the score is the probability of the second class; else it is its score, and the first class has the
//! negative.

use std::collections::BTreeMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::{args_1, as_op, op_as_typed_op, op_out_of_plan};
use tract_onnx::tract_hir::internal::*;

use crate::rewrite::attribute;

/// Longest way from a root to a leaf: a loop's bound, far beyond any honest tree's.
const MAX_DEPTH: usize = 4_096;
/// Most classes or targets.
const MAX_TARGETS: usize = 1_024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Rule {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Node {
    /// `limit` holds the bits of an f32.
    Split { feature: u32, rule: Rule, limit: u32, yes: u32, no: u32, missing_is_yes: bool },
    /// Its contributions, from and to.
    Leaf { from: u32, to: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Transform {
    None,
    Logistic,
    Softmax,
}

/// How scores become columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Columns {
    /// One a target.
    Plain,
    /// Two classes of one score, which is a probability.
    Probability,
    /// Two classes of one score.
    Signed,
}

/// What a leaf gives: target, and the bits of the weight.
type Contribution = (u32, u32);

/// An ensemble. Numbers are kept as bits, so that it can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ensemble {
    roots: Vec<u32>,
    nodes: Vec<Node>,
    leaves: Vec<Contribution>,
    targets: usize,
    base: Vec<u32>,
    aggregate: Aggregate,
    transform: Transform,
    columns: Columns,
    /// One more than the greatest feature that is asked for.
    width: usize,
}

impl Ensemble {
    fn columns(&self) -> usize {
        if self.columns == Columns::Plain { self.targets } else { 2 }
    }

    /// The columns for a row, which is wide enough.
    fn scores(&self, row: &[f32]) -> TractResult<Vec<f32>> {
        let mut totals: Vec<Option<f32>> = vec![None; self.targets];
        for root in &self.roots {
            for (target, weight) in self.leaf(*root, row)? {
                let (weight, total) = (f32::from_bits(*weight), &mut totals[*target as usize]);
                *total = Some(match (*total, self.aggregate) {
                    (None, _) => weight,
                    (Some(total), Aggregate::Sum | Aggregate::Average) => total + weight,
                    (Some(total), Aggregate::Min) => total.min(weight),
                    (Some(total), Aggregate::Max) => total.max(weight),
                });
            }
        }
        let share = if self.aggregate == Aggregate::Average { self.roots.len() as f32 } else { 1.0 };
        let base = |target: usize| self.base.get(target).map_or(0.0, |bits| f32::from_bits(*bits));
        let mut scores: Vec<f32> =
            totals.iter().enumerate().map(|(at, total)| total.unwrap_or(0.0) / share + base(at)).collect();
        let logistic = |score: f32| 1.0 / (1.0 + libm::expf(-score));
        match (self.columns, self.transform) {
            (Columns::Probability, _) => Ok(vec![1.0 - scores[0], scores[0]]),
            (Columns::Signed, Transform::Logistic) => Ok(vec![logistic(-scores[0]), logistic(scores[0])]),
            (Columns::Signed, _) => Ok(vec![-scores[0], scores[0]]),
            (Columns::Plain, Transform::None) => Ok(scores),
            (Columns::Plain, Transform::Logistic) => Ok(scores.into_iter().map(logistic).collect()),
            (Columns::Plain, Transform::Softmax) => {
                let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                scores.iter_mut().for_each(|score| *score = libm::expf(*score - greatest));
                let sum: f32 = scores.iter().sum();
                Ok(scores.into_iter().map(|score| score / sum).collect())
            }
        }
    }

    fn leaf(&self, root: u32, row: &[f32]) -> TractResult<&[Contribution]> {
        let mut at = root;
        for _ in 0..MAX_DEPTH {
            match self.nodes[at as usize] {
                Node::Leaf { from, to } => return Ok(&self.leaves[from as usize..to as usize]),
                Node::Split { feature, rule, limit, yes, no, missing_is_yes } => {
                    let (value, limit) = (row[feature as usize], f32::from_bits(limit));
                    let holds = match rule {
                        _ if value.is_nan() => missing_is_yes,
                        Rule::Leq => value <= limit,
                        Rule::Lt => value < limit,
                        Rule::Gte => value >= limit,
                        Rule::Gt => value > limit,
                        Rule::Eq => value == limit,
                        Rule::Neq => value != limit,
                    };
                    at = if holds { yes } else { no };
                }
            }
        }
        bail!("a tree is deeper than {MAX_DEPTH}")
    }
}

/// Builds the operator from what `rewrite` left.
pub(crate) fn build(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let op = TreesOp { ensemble: Arc::new(read(node)?) };
    Ok((tract_onnx::tract_hir::ops::expandable::expand(op), vec![]))
}

fn ints<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    attribute(node, name).map_or(&[], |found| &found.ints)
}

fn floats<'a>(node: &'a NodeProto, name: &str) -> &'a [f32] {
    attribute(node, name).map_or(&[], |found| &found.floats)
}

fn word(node: &NodeProto, name: &str) -> String {
    attribute(node, name).map_or(String::new(), |found| String::from_utf8_lossy(&found.s).into_owned())
}

fn read(node: &NodeProto) -> TractResult<Ensemble> {
    for name in ["nodes_values", "class_weights", "target_weights", "base_values"] {
        let doubles = attribute(node, &format!("{name}_as_tensor"));
        ensure!(doubles.is_none(), "its numbers are of 64 bits: export it with inputs of type float");
    }
    let classifies = attribute(node, "classifies").is_some_and(|found| found.i == 1);
    let (prefix, targets) = if classifies {
        let texts = attribute(node, "classlabels_strings").map_or(0, |found| found.strings.len());
        ("class", ints(node, "classlabels_int64s").len().max(texts))
    } else {
        ("target", attribute(node, "n_targets").map_or(0, |found| found.i.max(0) as usize))
    };
    ensure!(
        (1..=MAX_TARGETS).contains(&targets),
        "{targets} classes or targets; 1 to {MAX_TARGETS} are accepted"
    );
    let (nodes, roots, of_name, width) = splits(node)?;
    let (nodes, leaves) = weights(node, prefix, nodes, &of_name, targets)?;
    let base = floats(node, "base_values");
    let one = classifies && targets == 2 && leaves.windows(2).all(|pair| pair[0].0 == pair[1].0);
    let (columns, targets, leaves, base) = if one {
        let positive = leaves.iter().all(|(_, weight)| f32::from_bits(*weight) >= 0.0);
        let columns = if positive { Columns::Probability } else { Columns::Signed };
        let leaves = leaves.into_iter().map(|(_, weight)| (0, weight)).collect();
        (columns, 1, leaves, base.last().copied().into_iter().collect())
    } else {
        (Columns::Plain, targets, leaves, base.to_vec())
    };
    ensure!(base.is_empty() || base.len() == targets, "{} base values for {targets} targets", base.len());
    let aggregate = match word(node, "aggregate_function").as_str() {
        "" | "SUM" => Aggregate::Sum,
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        other => bail!("the aggregate function {other:?} is unknown"),
    };
    let transform = match word(node, "post_transform").as_str() {
        "" | "NONE" => Transform::None,
        "LOGISTIC" => Transform::Logistic,
        "SOFTMAX" => Transform::Softmax,
        other => bail!("the post transform {other:?} is not run"),
    };
    let base = base.into_iter().map(f32::to_bits).collect();
    Ok(Ensemble { roots, nodes, leaves, targets, base, aggregate, transform, columns, width })
}

type Names = BTreeMap<(i64, i64), u32>;

/// Nodes, roots, where a node of a tree lies, and how wide a row has to be.
fn splits(node: &NodeProto) -> TractResult<(Vec<Node>, Vec<u32>, Names, usize)> {
    let (tree, id) = (ints(node, "nodes_treeids"), ints(node, "nodes_nodeids"));
    let (yes, no) = (ints(node, "nodes_truenodeids"), ints(node, "nodes_falsenodeids"));
    let (feature, limit) = (ints(node, "nodes_featureids"), floats(node, "nodes_values"));
    let missing = ints(node, "nodes_missing_value_tracks_true");
    let modes = attribute(node, "nodes_modes").map_or(&[][..], |found| &found.strings);
    let count = id.len();
    let lengths = [tree.len(), yes.len(), no.len(), feature.len(), limit.len(), modes.len()];
    ensure!(
        count > 0 && lengths.iter().all(|length| *length == count),
        "its lists of nodes differ in length"
    );
    ensure!(missing.is_empty() || missing.len() == count, "its lists of nodes differ in length");
    let mut names = Names::new();
    for at in 0..count {
        let twice = names.insert((tree[at], id[at]), at as u32);
        ensure!(twice.is_none(), "node {} of tree {} is there twice", id[at], tree[at]);
    }
    let mut parents = vec![false; count];
    let mut nodes = Vec::with_capacity(count);
    let mut width = 0;
    for at in 0..count {
        let rule = match modes[at].as_slice() {
            b"LEAF" => {
                nodes.push(Node::Leaf { from: 0, to: 0 });
                continue;
            }
            b"BRANCH_LEQ" => Rule::Leq,
            b"BRANCH_LT" => Rule::Lt,
            b"BRANCH_GTE" => Rule::Gte,
            b"BRANCH_GT" => Rule::Gt,
            b"BRANCH_EQ" => Rule::Eq,
            b"BRANCH_NEQ" => Rule::Neq,
            other => bail!("the mode {:?} of a node is unknown", String::from_utf8_lossy(other)),
        };
        let feature = usize::try_from(feature[at]).ok().filter(|feature| *feature < crate::MAX_INPUT_NUMBERS);
        let feature = feature.context("a node asks for a feature that no row has")?;
        width = width.max(feature + 1);
        let mut child = |name: i64| {
            let (tree, id) = (tree[at], id[at]);
            let child = *names
                .get(&(tree, name))
                .with_context(|| format!("node {id} of tree {tree} has no child {name}"))?;
            ensure!(
                !std::mem::replace(&mut parents[child as usize], true),
                "node {name} of tree {tree} has two parents"
            );
            TractResult::Ok(child)
        };
        let (yes, no) = (child(yes[at])?, child(no[at])?);
        let missing_is_yes = missing.get(at).is_some_and(|missing| *missing != 0);
        let (feature, limit) = (feature as u32, limit[at].to_bits());
        nodes.push(Node::Split { feature, rule, limit, yes, no, missing_is_yes });
    }
    let mut roots = BTreeMap::new();
    for at in (0..count).filter(|at| !parents[*at]) {
        let twice = roots.insert(tree[at], at as u32);
        ensure!(twice.is_none(), "tree {} has two roots", tree[at]);
    }
    let trees: std::collections::BTreeSet<i64> = tree.iter().copied().collect();
    ensure!(roots.len() == trees.len(), "a tree has no root: its nodes go in circles");
    check_reach(&nodes, roots.values())?;
    Ok((nodes, roots.into_values().collect(), names, width))
}

/// Every node is under a root, and none too deep. Since each has at most one parent, nothing is met twice.
fn check_reach<'a>(nodes: &[Node], roots: impl Iterator<Item = &'a u32>) -> TractResult<()> {
    let mut waiting: Vec<(u32, usize)> = roots.map(|root| (*root, 0)).collect();
    let mut met = 0;
    while let Some((at, depth)) = waiting.pop() {
        met += 1;
        ensure!(depth < MAX_DEPTH, "a tree is deeper than {MAX_DEPTH}");
        if let Node::Split { yes, no, .. } = nodes[at as usize] {
            waiting.extend([(yes, depth + 1), (no, depth + 1)]);
        }
    }
    ensure!(met == nodes.len(), "there are nodes that no root leads to");
    Ok(())
}

/// Gives leaves their contributions.
fn weights(
    node: &NodeProto,
    prefix: &str,
    mut nodes: Vec<Node>,
    names: &Names,
    targets: usize,
) -> TractResult<(Vec<Node>, Vec<Contribution>)> {
    let list = |name: &str| ints(node, &format!("{prefix}_{name}"));
    let (tree, id, target) = (list("treeids"), list("nodeids"), list("ids"));
    let weight = floats(node, &format!("{prefix}_weights"));
    let lengths = [id.len(), target.len(), weight.len()];
    ensure!(
        !tree.is_empty() && lengths.iter().all(|l| *l == tree.len()),
        "its lists of leaves differ in length"
    );
    let mut of_leaf: BTreeMap<u32, Vec<Contribution>> = BTreeMap::new();
    for at in 0..tree.len() {
        let place = names.get(&(tree[at], id[at])).context("a weight is of a node that is not there")?;
        ensure!(matches!(nodes[*place as usize], Node::Leaf { .. }), "a weight is of a node that is no leaf");
        let target = usize::try_from(target[at]).ok().filter(|target| *target < targets);
        let target = target.context("a weight is for a class or target that is not there")?;
        of_leaf.entry(*place).or_default().push((target as u32, weight[at].to_bits()));
    }
    let mut leaves = Vec::with_capacity(tree.len());
    for (place, own) in of_leaf {
        let from = leaves.len() as u32;
        leaves.extend(own);
        nodes[place as usize] = Node::Leaf { from, to: leaves.len() as u32 };
    }
    Ok((nodes, leaves))
}

/// The ensemble as an operator: rows in, columns out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct TreesOp {
    ensemble: Arc<Ensemble>,
}

impl Op for TreesOp {
    fn name(&self) -> StaticName {
        "TriadTrees".into()
    }

    op_as_typed_op!();
}

impl EvalOp for TreesOp {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let input = input.cast_to::<f32>()?;
        let rows = input.to_plain_array_view::<f32>()?;
        let rows = rows.into_dimensionality::<tract_ndarray::Ix2>()?;
        let width = rows.ncols();
        ensure!(
            width >= self.ensemble.width,
            "a row of {width} numbers; the trees ask for {}",
            self.ensemble.width
        );
        let mut out = Vec::with_capacity(rows.nrows() * self.ensemble.columns());
        for row in rows.rows() {
            out.extend(self.ensemble.scores(&row.to_vec())?);
        }
        let shape = (rows.nrows(), self.ensemble.columns());
        Ok(tvec!(tract_ndarray::Array2::from_shape_vec(shape, out)?.into_tensor().into_tvalue()))
    }
}

impl TypedOp for TreesOp {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = &inputs[0].shape;
        ensure!(shape.rank() == 2, "trees take rows");
        let width = shape[1].as_i64().unwrap_or(i64::MAX);
        ensure!(
            width >= self.ensemble.width as i64,
            "a row of {width} numbers; the trees ask for {}",
            self.ensemble.width
        );
        Ok(tvec!(f32::fact([shape[0].clone(), self.ensemble.columns().into()])))
    }

    as_op!();
}

impl Expansion for TreesOp {
    fn name(&self) -> StaticName {
        "TriadTrees".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].rank, 2)?;
        s.equals(&outputs[0].rank, 2)?;
        s.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        s.equals(&outputs[0].shape[1], self.ensemble.columns().to_dim())?;
        Ok(())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}
