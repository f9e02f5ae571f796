//! XGBoost's JSON (`Booster.save_model("x.json")`, versions 1 to 3).
//!
//! A row goes left where its value, rounded to 32 bits, is less than the split's condition; ours goes low where the value
//! is at most the threshold. So the threshold is the greatest `f64` that rounds to a number below the condition. The base
//! score is written in the unit of the target and added in the unit of the sum.

use serde::Deserialize;
use triad_models::trees::Node;

use super::{Found, Imported, Link, ensemble, in_order, wrong};
use crate::error::TrainingError;

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    learner_model_param: Parameters,
    objective: Objective,
}

#[derive(Deserialize)]
struct Parameters {
    base_score: String,
    #[serde(default)]
    num_class: String,
    #[serde(default)]
    num_target: String,
    num_feature: String,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i32>,
    right_children: Vec<i32>,
    split_indices: Vec<u32>,
    /// Conditions of splits, values of leaves.
    split_conditions: Vec<f32>,
    #[serde(default)]
    split_type: Vec<u8>,
    #[serde(default)]
    tree_param: TreeParameters,
}

#[derive(Deserialize, Default)]
struct TreeParameters {
    #[serde(default)]
    size_leaf_vector: String,
}

pub(super) fn read(text: &str) -> Result<Imported, TrainingError> {
    let file: File = serde_json::from_str(text)
        .map_err(|error| wrong(format!("not XGBoost's JSON as save_model writes it: {error}")))?;
    let Learner { feature_names, gradient_booster, learner_model_param: parameters, objective } =
        file.learner;
    let booster = gradient_booster.name.as_str();
    if booster != "gbtree" {
        return Err(wrong(format!("booster {booster:?}; only \"gbtree\" is a plain sum of trees")));
    }
    let model = gradient_booster.model.ok_or_else(|| wrong("booster without a model"))?;
    let many = |text: &str| text.parse::<u32>().is_ok_and(|count| count > 1);
    if many(&parameters.num_class) || many(&parameters.num_target) {
        return Err(wrong("several outputs a row; one is expected"));
    }
    let link = match objective.name.as_str() {
        "binary:logistic" | "reg:logistic" => Link::Logistic,
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" => Link::Exponential,
        "reg:squarederror"
        | "reg:linear"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:quantileerror"
        | "reg:squaredlogerror"
        | "binary:logitraw"
        | "rank:pairwise"
        | "rank:ndcg"
        | "rank:map" => Link::Identity,
        other => return Err(wrong(format!("objective {other:?} is not one that is understood here"))),
    };
    let features = parameters.num_feature.parse::<usize>();
    let features = features.map_err(|_| wrong(format!("num_feature {:?}", parameters.num_feature)))?;
    let base = base(&parameters.base_score, link)?;
    let trees: Vec<Vec<Node>> = model
        .trees
        .iter()
        .enumerate()
        .map(|(at, tree)| nodes(at, tree, features))
        .collect::<Result<_, _>>()?;
    Ok(Imported {
        from: "xgboost",
        trees: ensemble(features, base, &trees)?,
        objective: objective.name,
        link,
        features: feature_names,
    })
}

/// `5E-1`, or `[5E-1]` since version 3.1.
fn base(text: &str, link: Link) -> Result<f64, TrainingError> {
    let number = text.trim().trim_start_matches('[').trim_end_matches(']').trim();
    let value = number.parse::<f32>().ok().filter(|value| value.is_finite()).map(f64::from);
    let base = value.map(|value| match link {
        Link::Identity => value,
        Link::Logistic => -libm::log(1.0 / value - 1.0),
        Link::Exponential => libm::log(value),
    });
    base.filter(|base| base.is_finite())
        .ok_or_else(|| wrong(format!("base_score {text:?} is no number that fits")))
}

fn nodes(at: usize, tree: &Tree, features: usize) -> Result<Vec<Node>, TrainingError> {
    if tree.split_type.iter().any(|kind| *kind != 0) {
        return Err(wrong(format!("tree {at}: a categorical split; only numeric ones are carried over")));
    }
    if tree.tree_param.size_leaf_vector.parse::<u32>().is_ok_and(|size| size > 1) {
        return Err(wrong(format!("tree {at}: leaves with several values")));
    }
    in_order(at, 0, features, |node| {
        let (left, right) = (*tree.left_children.get(node)?, *tree.right_children.get(node)?);
        let number = *tree.split_conditions.get(node)?;
        if left == -1 && right == -1 {
            return Some(Found::Leaf(number.into()));
        }
        let (low, high) = (usize::try_from(left).ok()?, usize::try_from(right).ok()?);
        let feature = *tree.split_indices.get(node)? as usize;
        Some(Found::Split { feature, threshold: greatest_below(number), low, high })
    })
}

/// The greatest `f64` that, rounded to 32 bits, is below `condition`; not finite where there is none.
fn greatest_below(condition: f32) -> f64 {
    let below = condition.next_down();
    // Exact: both have 24 bits, and one exponent or neighbouring ones.
    let middle = (f64::from(below) + f64::from(condition)) / 2.0;
    // Halfway, rounding goes to the number that is even in its last bit.
    if below.to_bits().is_multiple_of(2) { middle } else { middle.next_down() }
}

#[cfg(test)]
mod tests {
    use super::greatest_below;

    #[test]
    fn rounding_has_its_edge_at_the_threshold() {
        let mut bits = 1_u32;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let condition = f32::from_bits(bits);
            if !condition.is_finite() || condition == f32::MIN {
                continue;
            }
            let threshold = greatest_below(condition);
            assert!((threshold as f32) < condition, "{condition:e}");
            assert!(threshold.next_up() as f32 >= condition, "{condition:e}");
        }
        assert!((greatest_below(0.0) as f32) < 0.0 || greatest_below(0.0) < 0.0);
        assert!(!greatest_below(f32::MIN).is_finite());
    }
}
