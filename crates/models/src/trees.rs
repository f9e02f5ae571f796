//! Ensembles of decision trees, trained elsewhere and evaluated here: the same sum of leaves on every machine.
//!
//! ```text
//! "TGBT" | u8 version = 1 | u16 features | u16 trees | f64 base | trees
//! tree = u16 nodes | nodes
//! node = u16 feature | f64 threshold | u16 low | u16 high      (low: value <= threshold)
//!      | u16 0xFFFF  | f64 leaf
//! ```
//! Big-endian, `f64` as IEEE 754 bits, all finite. Node 0 is the root; a child lies behind its parent and is the child of
//! one node only, so that every walk ends: no cycle can be written. Output = base + the leaves reached, in the order
//! of the trees. Limits are checked before anything is allocated for what a file claims.

use crate::codec::{Reader, Writer};
use crate::error::StateError;

const MAGIC: [u8; 4] = *b"TGBT";
const VERSION: u8 = 1;
const LEAF: u16 = u16::MAX;
/// A larger file is refused unread.
pub const MAX_TREES_BYTES: usize = 4 << 20;
const MAX_FEATURES: u16 = 1024;
const MAX_TREES: u16 = 2_000;
const MAX_NODES: u16 = 1_023;
/// A walk is never longer, so that a reading's cost is bounded by trees times this.
const MAX_DEPTH: u8 = 16;
/// Trees that are walked in step.
const TOGETHER: usize = 8;

/// One node; a leaf has no children and its value in `number`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Node {
    /// Goes to `low` where the feature is at most the threshold, else to `high`.
    Split { feature: u16, threshold: f64, low: u16, high: u16 },
    /// What the tree adds to the sum.
    Leaf(f64),
}

/// A checked ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct Trees {
    features: u16,
    base: f64,
    /// First node of each tree.
    roots: Vec<u32>,
    nodes: Vec<Node>,
}

/// Why bytes or nodes are not an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreesError {
    /// More than anything honest needs.
    #[error("{what}: {found}, at most {limit} are accepted")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much is accepted.
        limit: usize,
    },
    /// Not this format, or not this version of it.
    #[error("not a version 1 ensemble of trees: \"TGBT\" and 1 are expected")]
    Format,
    /// The bytes end early or go on after the last tree.
    #[error("ensemble of trees has the wrong length")]
    Length,
    /// A tree that no training could have made.
    #[error("tree {tree}, node {node}: {problem}")]
    Shape {
        /// Which tree, from 0.
        tree: usize,
        /// Which of its nodes, from 0.
        node: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// NaN or infinite.
    #[error("ensemble of trees holds a number that is not finite")]
    NotFinite,
}

impl From<StateError> for TreesError {
    fn from(error: StateError) -> Self {
        if error == StateError::Length { Self::Length } else { Self::NotFinite }
    }
}

impl Trees {
    /// Builds an ensemble from the nodes of each tree, with the checks of [`Trees::decode`].
    pub fn new(features: u16, base: f64, trees: &[Vec<Node>]) -> Result<Self, TreesError> {
        let within = |what, found: usize, limit: u16| {
            let limit = usize::from(limit);
            if (1..=limit).contains(&found) {
                Ok(())
            } else {
                Err(TreesError::TooLarge { what, found, limit })
            }
        };
        within("features", features.into(), MAX_FEATURES)?;
        if !trees.is_empty() {
            within("trees", trees.len(), MAX_TREES)?;
        }
        if !base.is_finite() {
            return Err(TreesError::NotFinite);
        }
        let mut out = Self { features, base, roots: Vec::new(), nodes: Vec::new() };
        for (tree, nodes) in trees.iter().enumerate() {
            within("nodes of a tree", nodes.len(), MAX_NODES)?;
            check(tree, nodes, features)?;
            out.roots.push(out.nodes.len() as u32);
            out.nodes.extend(nodes);
        }
        Ok(out)
    }

    /// Reads a file that may be hostile.
    pub fn decode(bytes: &[u8]) -> Result<Self, TreesError> {
        if bytes.len() > MAX_TREES_BYTES {
            return Err(TreesError::TooLarge { what: "bytes", found: bytes.len(), limit: MAX_TREES_BYTES });
        }
        let mut reader = Reader(bytes);
        if reader.bytes()? != MAGIC || reader.u8()? != VERSION {
            return Err(TreesError::Format);
        }
        let (features, count, base) = (reader.u16()?, reader.u16()?, reader.f64()?);
        if count > MAX_TREES {
            return Err(TreesError::TooLarge { what: "trees", found: count.into(), limit: MAX_TREES.into() });
        }
        let mut trees = Vec::new();
        for _ in 0..count {
            let length = reader.u16()?;
            if length > MAX_NODES {
                let (found, limit) = (length.into(), MAX_NODES.into());
                return Err(TreesError::TooLarge { what: "nodes of a tree", found, limit });
            }
            // Nodes are pushed as they are read: memory follows the bytes that are there, not what they claim.
            let mut nodes = Vec::new();
            for _ in 0..length {
                let feature = reader.u16()?;
                let number = reader.f64()?;
                nodes.push(match feature {
                    LEAF => Node::Leaf(number),
                    feature => {
                        Node::Split { feature, threshold: number, low: reader.u16()?, high: reader.u16()? }
                    }
                });
            }
            trees.push(nodes);
        }
        reader.end()?;
        Self::new(features, base, &trees)
    }

    /// The bytes that [`Trees::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(32 + 14 * self.nodes.len());
        writer.bytes(&MAGIC);
        writer.u8(VERSION);
        writer.u16(self.features);
        writer.u16(self.roots.len() as u16);
        writer.f64(self.base);
        for nodes in self.trees() {
            writer.u16(nodes.len() as u16);
            for node in nodes {
                match *node {
                    Node::Leaf(value) => {
                        writer.u16(LEAF);
                        writer.f64(value);
                    }
                    Node::Split { feature, threshold, low, high } => {
                        writer.u16(feature);
                        writer.f64(threshold);
                        writer.u16(low);
                        writer.u16(high);
                    }
                }
            }
        }
        writer.0
    }

    /// How many features an input has.
    pub fn features(&self) -> usize {
        self.features.into()
    }

    /// What every prediction begins with.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The nodes of each tree, children by their place in it.
    pub fn trees(&self) -> impl Iterator<Item = &[Node]> {
        (0..self.roots.len()).map(|tree| {
            let end = self.roots.get(tree + 1).map_or(self.nodes.len(), |&next| next as usize);
            &self.nodes[self.roots[tree] as usize..end]
        })
    }

    /// Splits on the longest way from a root to a leaf: with the number of trees, what a prediction costs at most.
    pub fn depth(&self) -> usize {
        let deepest = |nodes: &[Node]| {
            let mut depths = vec![0; nodes.len()];
            for (at, node) in nodes.iter().enumerate() {
                if let Node::Split { low, high, .. } = *node {
                    // Children lie behind their parents.
                    depths[usize::from(low)] = depths[at] + 1;
                    depths[usize::from(high)] = depths[at] + 1;
                }
            }
            depths.into_iter().max().unwrap_or(0)
        };
        self.trees().map(deepest).max().unwrap_or(0)
    }

    /// Base plus the leaves reached; `None` where the input has another length or a number that is not finite.
    pub fn predict(&self, input: &[f64]) -> Option<f64> {
        if input.len() != self.features() || input.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sum = self.base;
        // Several trees are walked in step, so that the processor waits for their nodes at the same time; the leaves are
        // still added in the order of the trees.
        let (together, rest) = self.roots.as_chunks::<TOGETHER>();
        for roots in together {
            let mut at = *roots;
            let mut walking = true;
            while walking {
                walking = false;
                for (at, &root) in at.iter_mut().zip(roots) {
                    if let Some(child) = self.child(*at, root, input) {
                        (*at, walking) = (child, true);
                    }
                }
            }
            sum = at.iter().fold(sum, |sum, &at| sum + self.leaf(at));
        }
        for &root in rest {
            let mut at = root;
            while let Some(child) = self.child(at, root, input) {
                at = child;
            }
            sum += self.leaf(at);
        }
        Some(sum)
    }

    /// The node that an input goes to from a split; `None` from a leaf.
    #[inline]
    fn child(&self, at: u32, root: u32, input: &[f64]) -> Option<u32> {
        match self.nodes[at as usize] {
            Node::Leaf(_) => None,
            Node::Split { feature, threshold, low, high } => {
                Some(root + u32::from(if input[usize::from(feature)] <= threshold { low } else { high }))
            }
        }
    }

    fn leaf(&self, at: u32) -> f64 {
        match self.nodes[at as usize] {
            Node::Leaf(value) => value,
            Node::Split { .. } => unreachable!("a walk ends at a leaf"),
        }
    }
}

/// Children behind their parents, each of one parent, none missing, nowhere too deep.
fn check(tree: usize, nodes: &[Node], features: u16) -> Result<(), TreesError> {
    let wrong = |node, problem| Err(TreesError::Shape { tree, node, problem });
    let mut depths: Vec<Option<u8>> = vec![None; nodes.len()];
    depths[0] = Some(0);
    for (at, node) in nodes.iter().enumerate() {
        let Some(depth) = depths[at] else { return wrong(at, "no node leads to it") };
        match *node {
            Node::Leaf(value) if value.is_finite() => {}
            Node::Split { threshold, .. } if !threshold.is_finite() => return Err(TreesError::NotFinite),
            Node::Leaf(_) => return Err(TreesError::NotFinite),
            Node::Split { feature, .. } if feature >= features => return wrong(at, "no such feature"),
            Node::Split { .. } if depth >= MAX_DEPTH => return wrong(at, "deeper than 16 splits"),
            Node::Split { low, high, .. } => {
                for child in [usize::from(low), usize::from(high)] {
                    if child <= at {
                        return wrong(at, "a child does not lie behind its parent");
                    }
                    match depths.get_mut(child) {
                        None => return wrong(at, "no such child"),
                        Some(Some(_)) => return wrong(at, "a child has two parents"),
                        Some(free) => *free = Some(depth + 1),
                    }
                }
            }
        }
    }
    Ok(())
}
