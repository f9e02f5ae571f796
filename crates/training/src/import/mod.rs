//! Ensembles that others trained, taken over into the compact format of `triad_models::trees`.
//!
//! What is read: XGBoost's JSON and LightGBM's text, as their own `save_model` writes them, with one number a row and
//! numeric splits. Every split is carried over exactly: a row takes the same leaves as there (for XGBoost, which rounds
//! inputs to 32 bits, thresholds are moved to where that rounding has its edge). Leaves are added as `f64`; XGBoost adds
//! them as `f32`, so its sums differ in the seventh digit. Refused with a reason: categorical splits, several outputs,
//! linear leaves, weighted or averaged trees, zero taken for missing, and whatever does not hold together. A missing
//! value has no default direction here: rows with one get no prediction.

mod lightgbm;
mod onnx;
mod xgboost;

pub use onnx::{MAX_ONNX_BYTES, OnnxOptions, import_onnx, is_onnx};
use triad_models::trees::{Node, Trees};

use crate::error::TrainingError;

/// A larger file is refused unread.
const MAX_BYTES: usize = 64 << 20;
/// As many nodes as the compact format takes.
const MAX_NODES: usize = 1_023;

/// What has to be done to a prediction so that it is in the unit of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Nothing.
    Identity,
    /// 1 / (1 + exp(-x)): a probability.
    Logistic,
    /// exp(x).
    Exponential,
}

impl Link {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Logistic => "logistic",
            Self::Exponential => "exponential",
        }
    }

    /// The link of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Identity, Self::Logistic, Self::Exponential].into_iter().find(|link| link.name() == name)
    }

    /// Applies it.
    pub fn of(self, margin: f64) -> f64 {
        match self {
            Self::Identity => margin,
            Self::Logistic => 1.0 / (1.0 + libm::exp(-margin)),
            Self::Exponential => libm::exp(margin),
        }
    }
}

/// An ensemble of somebody else's.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// `xgboost` or `lightgbm`.
    pub from: &'static str,
    /// The same trees here.
    pub trees: Trees,
    /// What it was trained for, in its own words.
    pub objective: String,
    /// From the sum of trees to the target.
    pub link: Link,
    /// Names of the features in their order; empty where the file has none.
    pub features: Vec<String>,
}

/// Reads a file that may be hostile; which of the two it is, its first bytes say.
pub fn import(bytes: &[u8]) -> Result<Imported, TrainingError> {
    if bytes.len() > MAX_BYTES {
        return Err(wrong(format!("{} bytes; at most {MAX_BYTES} are read", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| {
        wrong("neither XGBoost's JSON nor LightGBM's text; of XGBoost, save as .json (not .ubj or .bin)")
    })?;
    if text.trim_start().starts_with('{') {
        xgboost::read(text)
    } else if text.trim_start().starts_with("tree") {
        lightgbm::read(text)
    } else {
        Err(wrong("neither XGBoost's JSON (begins with \"{\") nor LightGBM's text (begins with \"tree\")"))
    }
}

fn wrong(problem: impl Into<String>) -> TrainingError {
    TrainingError::Model(problem.into())
}

/// A node by the numbers of its file.
enum Found {
    Split { feature: usize, threshold: f64, low: usize, high: usize },
    Leaf(f64),
}

/// The nodes of a tree in our order, parents before children, from `root` on. Ends for every input: a tree in which
/// some node is reached twice has more nodes than are accepted.
fn in_order(
    tree: usize,
    root: usize,
    features: usize,
    node: impl Fn(usize) -> Option<Found>,
) -> Result<Vec<Node>, TrainingError> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut asked = vec![root];
    let mut next = 0;
    while let Some(&at) = asked.get(next) {
        next += 1;
        match node(at)
            .ok_or_else(|| wrong(format!("tree {tree}: no node {at}, or one whose lists are too short")))?
        {
            Found::Leaf(value) => nodes.push(Node::Leaf(value)),
            Found::Split { feature, threshold, low, high } => {
                if asked.len() + 2 > MAX_NODES {
                    return Err(wrong(format!("tree {tree}: more than {MAX_NODES} nodes")));
                }
                if feature >= features {
                    return Err(wrong(format!("tree {tree}, node {at}: feature {feature} of {features}")));
                }
                let first = asked.len() as u16;
                asked.extend([low, high]);
                let feature = feature as u16;
                nodes.push(Node::Split { feature, threshold, low: first, high: first + 1 });
            }
        }
    }
    Ok(nodes)
}

fn ensemble(features: usize, base: f64, trees: &[Vec<Node>]) -> Result<Trees, TrainingError> {
    let count = u16::try_from(features)
        .map_err(|_| wrong(format!("{features} features; at most 1024 are accepted")))?;
    if trees.is_empty() {
        return Err(wrong("no tree in it"));
    }
    Trees::new(count, base, trees).map_err(|error| {
        let hint =
            if error.to_string().contains("deeper") { "; train with max_depth 16 or less" } else { "" };
        wrong(format!("{error}{hint}"))
    })
}
