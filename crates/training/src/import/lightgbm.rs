//! LightGBM's text (`Booster.save_model("x.txt")`, versions 3 and 4).
//!
//! `key=value` lines: a header, then a block a tree. A row goes left where its value is at most the threshold, as here; a
//! child below zero is the leaf of its complement. Leaves already hold the learning rate, and the first tree the mean.

use triad_models::trees::Node;

use super::{Found, Imported, Link, ensemble, in_order, wrong};
use crate::error::TrainingError;

const CATEGORICAL: u8 = 1;
/// Two bits: which values count as missing. 1 in them is zero.
const MISSING_SHIFT: u8 = 2;
const MISSING_ZERO: u8 = 1;

/// The lines of one block.
struct Block<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Block<'a> {
    fn of(lines: &[&'a str]) -> Self {
        Self(lines.iter().filter_map(|line| line.split_once('=')).collect())
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, value)| value.trim())
    }

    /// Numbers parted by spaces; none where the line is missing.
    fn list<T: std::str::FromStr>(&self, key: &str) -> Result<Vec<T>, TrainingError> {
        let words = self.get(key).unwrap_or_default().split_ascii_whitespace();
        let number =
            |word: &str| word.parse().map_err(|_| wrong(format!("{key}: {word:?} is no number of its kind")));
        words.map(number).collect()
    }
}

pub(super) fn read(text: &str) -> Result<Imported, TrainingError> {
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).take_while(|line| *line != "end of trees").collect();
    if !text.lines().any(|line| line.trim_end() == "end of trees") {
        return Err(wrong("no line \"end of trees\": the file is cut off"));
    }
    let starts: Vec<usize> = (0..lines.len()).filter(|&at| lines[at].starts_with("Tree=")).collect();
    let header_lines = &lines[..starts.first().copied().unwrap_or(lines.len())];
    let header = Block::of(header_lines);
    if header_lines.contains(&"average_output") {
        return Err(wrong("trees that are averaged (boosting=rf); a sum is expected"));
    }
    for key in ["num_class", "num_tree_per_iteration"] {
        if header.get(key).is_some_and(|count| count != "1") {
            return Err(wrong(format!(
                "{key}={}; one output a row is expected",
                header.get(key).unwrap_or_default()
            )));
        }
    }
    let objective = header.get("objective").unwrap_or("none").to_owned();
    let mut words = objective.split_ascii_whitespace();
    let link = match (words.next().unwrap_or_default(), words.next()) {
        ("binary" | "cross_entropy", None | Some("sigmoid:1")) => Link::Logistic,
        ("poisson" | "gamma" | "tweedie", _) => Link::Exponential,
        ("regression", None)
        | ("none" | "lambdarank" | "regression_l1" | "huber" | "fair" | "quantile" | "mape", _) => {
            Link::Identity
        }
        _ => return Err(wrong(format!("objective {objective:?} is not one that is understood here"))),
    };
    let last = header.get("max_feature_idx").and_then(|text| text.parse::<u16>().ok());
    let features = last.ok_or_else(|| wrong("no max_feature_idx below 65536"))? as usize + 1;
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let trees: Vec<Vec<Node>> = starts
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(at, (&from, to))| tree(at, &Block::of(&lines[from..to]), features))
        .collect::<Result<_, _>>()?;
    let names = header.get("feature_names").unwrap_or_default().split_ascii_whitespace();
    Ok(Imported {
        from: "lightgbm",
        trees: ensemble(features, 0.0, &trees)?,
        link,
        features: names.map(str::to_owned).collect(),
        objective,
    })
}

fn tree(at: usize, block: &Block<'_>, features: usize) -> Result<Vec<Node>, TrainingError> {
    let in_tree = |error: TrainingError| wrong(format!("tree {at}: {error}"));
    if block.get("num_cat").is_some_and(|count| count != "0") {
        return Err(wrong(format!("tree {at}: categorical splits; only numeric ones are carried over")));
    }
    if block.get("is_linear").is_some_and(|linear| linear != "0") {
        return Err(wrong(format!("tree {at}: linear leaves; only constant ones are carried over")));
    }
    let split_features: Vec<usize> = block.list("split_feature").map_err(in_tree)?;
    let thresholds: Vec<f64> = block.list("threshold").map_err(in_tree)?;
    let decisions: Vec<u8> = block.list("decision_type").map_err(in_tree)?;
    let left: Vec<i32> = block.list("left_child").map_err(in_tree)?;
    let right: Vec<i32> = block.list("right_child").map_err(in_tree)?;
    let leaves: Vec<f64> = block.list("leaf_value").map_err(in_tree)?;
    let missing = |decision: &u8| decision >> MISSING_SHIFT & 3;
    if decisions.iter().any(|decision| decision & CATEGORICAL != 0 || missing(decision) == MISSING_ZERO) {
        return Err(wrong(format!("tree {at}: a split that is categorical or takes zero for missing")));
    }
    // Splits have even numbers, leaves odd ones: one numbering for both.
    let child = |child: i32| if child < 0 { 2 * (!child) as usize + 1 } else { 2 * child as usize };
    let root = if split_features.is_empty() { 1 } else { 0 };
    in_order(at, root, features, |node| {
        if node % 2 == 1 {
            return leaves.get(node / 2).map(|leaf| Found::Leaf(*leaf));
        }
        let split = node / 2;
        decisions.get(split)?;
        Some(Found::Split {
            feature: *split_features.get(split)?,
            threshold: *thresholds.get(split)?,
            low: child(*left.get(split)?),
            high: child(*right.get(split)?),
        })
    })
}
