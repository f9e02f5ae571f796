//! Ensembles of trees: honest ones are walked, hostile ones refused with the reason.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use proptest::prelude::*;
use triad_models::trees::{MAX_TREES_BYTES, Node, Trees, TreesError};

fn split(feature: u16, threshold: f64, low: u16, high: u16) -> Node {
    Node::Split { feature, threshold, low, high }
}

fn stump() -> Vec<Node> {
    vec![split(0, 1.5, 1, 2), Node::Leaf(-1.0), Node::Leaf(2.0)]
}

fn problem(nodes: Vec<Node>) -> &'static str {
    match Trees::new(2, 0.0, &[stump(), nodes]) {
        Err(TreesError::Shape { tree: 1, problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leaves_are_summed_and_the_threshold_goes_low() {
    let trees = Trees::new(2, 10.0, &[stump(), vec![split(1, 0.0, 2, 1), Node::Leaf(0.5), Node::Leaf(0.25)]])
        .unwrap();
    assert_eq!(trees.predict(&[1.5, 1.0]), Some(9.5));
    assert_eq!(trees.predict(&[1.6, -1.0]), Some(12.25));
    assert_eq!(trees.predict(&[1.0]), None);
    assert_eq!(trees.predict(&[1.0, f64::NAN]), None);
    assert_eq!(Trees::decode(&trees.encode()).unwrap(), trees);
    assert_eq!((trees.base(), trees.depth(), trees.trees().count()), (10.0, 1, 2));
    assert_eq!(trees.trees().next(), Some(stump().as_slice()));
    // A fixture of the format: "TGBT", 1, two features, one tree of three nodes.
    let fixture = concat!(
        "54474254 01 0002 0001 4024000000000000 0003 ",
        "0000 3ff8000000000000 0001 0002 ffff bff0000000000000 ffff 4000000000000000"
    );
    let bytes = hex::decode(fixture.replace(' ', "")).unwrap();
    assert_eq!(Trees::new(2, 10.0, &[stump()]).unwrap().encode(), bytes);
}

#[test]
fn hostile_shapes_are_refused() {
    assert_eq!(problem(vec![split(0, 0.0, 0, 1), Node::Leaf(0.0)]), "a child does not lie behind its parent");
    assert_eq!(problem(vec![split(0, 0.0, 1, 1), Node::Leaf(0.0)]), "a child has two parents");
    assert_eq!(problem(vec![split(0, 0.0, 1, 9), Node::Leaf(0.0)]), "no such child");
    assert_eq!(problem(vec![Node::Leaf(0.0), Node::Leaf(0.0)]), "no node leads to it");
    assert_eq!(problem(vec![split(2, 0.0, 1, 2), Node::Leaf(0.0), Node::Leaf(0.0)]), "no such feature");
    let chain: Vec<Node> = (0..17_u16)
        .flat_map(|depth| [split(0, 0.0, 2 * depth + 1, 2 * depth + 2), Node::Leaf(0.0)])
        .chain([Node::Leaf(0.0)])
        .collect();
    // Each split's low child is the leaf right behind it, the high one the next split.
    assert_eq!(problem(chain), "deeper than 16 splits");
    assert_eq!(Trees::new(1, 0.0, &[vec![Node::Leaf(f64::NAN)]]), Err(TreesError::NotFinite));
    assert!(matches!(Trees::new(0, 0.0, &[]), Err(TreesError::TooLarge { .. })));
}

#[test]
fn sizes_are_refused_before_they_cost_anything() {
    assert!(matches!(
        Trees::decode(&vec![0; MAX_TREES_BYTES + 1]),
        Err(TreesError::TooLarge { what: "bytes", .. })
    ));
    // 65,535 trees claimed in 17 bytes.
    let claim = hex::decode("54474254010002ffff0000000000000000").unwrap();
    assert!(matches!(Trees::decode(&claim), Err(TreesError::TooLarge { what: "trees", .. })));
    assert_eq!(Trees::decode(b"PK\x03\x04 something else"), Err(TreesError::Format));
    let mut cut = Trees::new(2, 10.0, &[stump()]).unwrap().encode();
    cut.pop();
    assert_eq!(Trees::decode(&cut), Err(TreesError::Length));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_decodes_can_be_walked(at in 5_usize..60, byte: u8, rest in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = Trees::new(2, 10.0, &[stump(), stump()]).unwrap().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(trees) = Trees::decode(&bytes) {
            prop_assert!(trees.predict(&vec![0.0; trees.features()]).is_some());
        }
        let _ = Trees::decode(&[b"TGBT\x01".as_slice(), &rest].concat());
    }
}

/// A tree as deep as the bits say, to one side or the other, with leaves that no sum holds exactly.
fn grown(shape: u32) -> Vec<Node> {
    let mut nodes = Vec::new();
    for depth in 0..shape % 12 {
        let next = 2 * depth as u16 + 1;
        let (low, high) = if shape >> depth & 1 == 0 { (next, next + 1) } else { (next + 1, next) };
        nodes.push(split((shape >> 3 & 1) as u16, f64::from(shape % 97) - 50.0, low, high));
        nodes.push(Node::Leaf(0.1 * f64::from(shape % 1_000 + depth)));
    }
    nodes.push(Node::Leaf(-0.3));
    nodes
}

proptest! {
    #[test]
    fn many_trees_add_up_as_one_by_one(shapes in prop::collection::vec(any::<u32>(), 0..40), row in prop::array::uniform2(-60.0..60.0_f64)) {
        let forest: Vec<Vec<Node>> = shapes.iter().map(|&shape| grown(shape)).collect();
        let alone = |tree: &Vec<Node>| {
            let mut at = 0;
            loop {
                match tree[at] {
                    Node::Leaf(value) => break value,
                    Node::Split { feature, threshold, low, high } => {
                        at = usize::from(if row[usize::from(feature)] <= threshold { low } else { high });
                    }
                }
            }
        };
        let sum = forest.iter().fold(1.0, |sum, tree| sum + alone(tree));
        let trees = Trees::new(2, 1.0, &forest).unwrap();
        prop_assert_eq!(trees.predict(&row).map(f64::to_bits), Some(sum.to_bits()));
    }
}
