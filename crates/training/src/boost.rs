//! Gradient-boosted trees for a yes or no, off the chain: logistic loss, Newton leaves, features in quantile bins
//! (Friedman 2001; Chen and Guestrin 2016, arXiv:1603.02754). What comes out is a [`Trees`] that validators evaluate.

use triad_models::trees::{Node, Trees, TreesError};

const BINS: usize = 64;

/// How an ensemble is grown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    pub trees: usize,
    pub depth: usize,
    pub rate: f64,
    /// Of squared leaves.
    pub penalty: f64,
    /// The least sum of second derivatives in a leaf.
    pub least_weight: f64,
}

/// Upper edges of the bins of a feature, ascending.
fn edges(column: &mut [f64]) -> Vec<f64> {
    column.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..BINS).map(|bin| column[(bin * column.len() / BINS).min(column.len() - 1)]).collect();
    edges.dedup();
    edges
}

struct Grower<'a> {
    growth: Growth,
    /// Bin of each feature of each row.
    binned: &'a [Vec<u8>],
    edges: &'a [Vec<f64>],
    gradient: &'a [f64],
    curvature: &'a [f64],
    nodes: Vec<Node>,
}

impl Grower<'_> {
    /// Grows the node for these rows, and returns its place.
    fn node(&mut self, rows: &[u32], depth: usize) -> u16 {
        let (g, h) = rows.iter().fold((0.0, 0.0), |(g, h), &row| {
            (g + self.gradient[row as usize], h + self.curvature[row as usize])
        });
        let at = self.nodes.len();
        self.nodes.push(Node::Leaf(-self.growth.rate * g / (h + self.growth.penalty)));
        if depth < self.growth.depth
            && let Some((feature, bin)) = self.best_split(rows, g, h)
        {
            let (low, high): (Vec<u32>, Vec<u32>) =
                rows.iter().partition(|&&row| self.binned[feature][row as usize] <= bin);
            let threshold = self.edges[feature][usize::from(bin)];
            let low = self.node(&low, depth + 1);
            let high = self.node(&high, depth + 1);
            self.nodes[at] = Node::Split { feature: feature as u16, threshold, low, high };
        }
        at as u16
    }

    fn best_split(&self, rows: &[u32], g: f64, h: f64) -> Option<(usize, u8)> {
        let Growth { penalty, least_weight, .. } = self.growth;
        let worth = |g: f64, h: f64| g * g / (h + penalty);
        let mut best = (1e-6, None);
        for (feature, binned) in self.binned.iter().enumerate() {
            let mut sums = [(0.0, 0.0); BINS];
            for &row in rows {
                let sum = &mut sums[usize::from(binned[row as usize])];
                sum.0 += self.gradient[row as usize];
                sum.1 += self.curvature[row as usize];
            }
            let (mut low_g, mut low_h) = (0.0, 0.0);
            for (bin, sum) in sums.iter().enumerate().take(self.edges[feature].len()) {
                low_g += sum.0;
                low_h += sum.1;
                if low_h < least_weight || h - low_h < least_weight {
                    continue;
                }
                let gain = worth(low_g, low_h) + worth(g - low_g, h - low_h) - worth(g, h);
                if gain > best.0 {
                    best = (gain, Some((feature, bin as u8)));
                }
            }
        }
        best.1
    }
}

/// Trains on rows of equal length; `predict` of the result is the logarithm of the odds.
pub(crate) fn train(rows: &[&[f64]], labels: &[bool], growth: Growth) -> Result<Trees, TreesError> {
    let features = rows.first().map_or(0, |row| row.len());
    let column = |feature: usize| rows.iter().map(|row| row[feature]).collect::<Vec<f64>>();
    let edges: Vec<Vec<f64>> = (0..features).map(|feature| edges(&mut column(feature))).collect();
    let binned: Vec<Vec<u8>> = (0..features)
        .map(|feature| {
            let bin = |value: f64| edges[feature].partition_point(|&edge| edge < value) as u8;
            column(feature).into_iter().map(bin).collect()
        })
        .collect();
    let yes = labels.iter().filter(|&&label| label).count() as f64;
    let base = libm::log((yes + 0.5) / (labels.len() as f64 - yes + 0.5));
    let mut sums = vec![base; rows.len()];
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    let mut trees: Vec<Vec<Node>> = Vec::new();
    for _ in 0..growth.trees {
        let odds: Vec<f64> = sums.iter().map(|sum| 1.0 / (1.0 + libm::exp(-sum))).collect();
        let gradient: Vec<f64> =
            odds.iter().zip(labels).map(|(p, &label)| if label { p - 1.0 } else { *p }).collect();
        let curvature: Vec<f64> = odds.iter().map(|p| p * (1.0 - p)).collect();
        let mut grower = Grower {
            growth,
            binned: &binned,
            edges: &edges,
            gradient: &gradient,
            curvature: &curvature,
            nodes: Vec::new(),
        };
        grower.node(&all, 0);
        let one = Trees::new(features as u16, 0.0, std::slice::from_ref(&grower.nodes))?;
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum += one.predict(row).unwrap_or_default();
        }
        trees.push(grower.nodes);
    }
    Trees::new(features as u16, base, &trees)
}
