//! Gradient-boosted trees, off the chain: Newton leaves, features in bins (Friedman 2001; Chen and Guestrin 2016,
//! arXiv:1603.02754). What comes out is a [`Trees`] that validators evaluate.
//!
//! A feature with at most [`Growth::bins`] values has a bin for each, so that every split is tried; one with more has
//! bins of equal numbers of rows, and single values in both tails, where rare events live. A threshold lies halfway
//! between the two values that it parts. Draws of rows and features come from a fixed generator: the same rows give the
//! same ensemble.

use triad_models::trees::{Node, Trees, TreesError};

use crate::draws::Draws;

/// What an ensemble is to come close to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Targets 0 and 1; what is predicted is the logarithm of the odds.
    Logistic,
    /// Any targets; what is predicted is their mean.
    Squared,
}

/// How an ensemble is grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Growth {
    pub loss: Loss,
    pub trees: usize,
    pub depth: usize,
    pub rate: f64,
    /// Of squared leaves.
    pub penalty: f64,
    /// The least sum of second derivatives in a leaf: rows, with squared loss.
    pub least_weight: f64,
    /// At most 65,535.
    pub bins: usize,
    /// Share of the rows that a tree sees.
    pub rows: f64,
    /// Share of the features that a tree sees.
    pub features: f64,
}

/// Upper edges of the bins of a feature, ascending, each halfway between two of its values.
fn edges(mut column: Vec<f64>, bins: usize) -> Vec<f64> {
    column.sort_by(f64::total_cmp);
    let between = |place: usize| {
        let (below, above) = (column[place], column[place + 1]);
        (below < above).then(|| {
            let middle = below + (above - below) / 2.0;
            // Neighbouring numbers have nothing between them.
            if middle < above { middle } else { below }
        })
    };
    let last = column.len().saturating_sub(1);
    let all: Vec<f64> = (0..last).filter_map(between).collect();
    if all.len() < bins {
        return all;
    }
    let tail = bins / 8;
    let even = bins - 2 * tail;
    let mut some: Vec<f64> = all[..tail].to_vec();
    some.extend((1..even).filter_map(|bin| between(bin * last / even)));
    some.extend(&all[all.len() - tail..]);
    some.sort_by(f64::total_cmp);
    some.dedup();
    some
}

struct Grower<'a> {
    growth: Growth,
    /// Bin of each feature of each row.
    binned: &'a [Vec<u16>],
    edges: &'a [Vec<f64>],
    /// The features that this tree sees.
    seen: &'a [usize],
    /// First and second derivative of each row.
    slopes: &'a [(f64, f64)],
    nodes: Vec<Node>,
}

impl Grower<'_> {
    /// Grows the node for these rows, and returns its place.
    fn node(&mut self, rows: &mut [u32], depth: usize) -> u16 {
        let (g, h) = rows.iter().fold((0.0, 0.0), |(g, h), &row| {
            let slope = self.slopes[row as usize];
            (g + slope.0, h + slope.1)
        });
        let at = self.nodes.len();
        self.nodes.push(Node::Leaf(-self.growth.rate * g / (h + self.growth.penalty)));
        if depth < self.growth.depth
            && let Some((feature, bin)) = self.best_split(rows, g, h)
        {
            let binned = &self.binned[feature];
            // Keeps the order of the rows, and with it that of every sum.
            rows.sort_by_key(|&row| binned[row as usize] > bin);
            let (low, high) = rows.split_at_mut(rows.partition_point(|&row| binned[row as usize] <= bin));
            let threshold = self.edges[feature][usize::from(bin)];
            let low = self.node(low, depth + 1);
            let high = self.node(high, depth + 1);
            self.nodes[at] = Node::Split { feature: feature as u16, threshold, low, high };
        }
        at as u16
    }

    fn best_split(&self, rows: &[u32], g: f64, h: f64) -> Option<(usize, u16)> {
        let Growth { penalty, least_weight, .. } = self.growth;
        let worth = |g: f64, h: f64| g * g / (h + penalty);
        let mut best = (worth(g, h) + 1e-6, None);
        let mut sums: Vec<(f64, f64)> = Vec::new();
        // Side by side, since every feature asks for them.
        let slopes: Vec<(f64, f64)> = rows.iter().map(|&row| self.slopes[row as usize]).collect();
        for &feature in self.seen {
            let binned = &self.binned[feature];
            let cuts = self.edges[feature].len();
            sums.clear();
            sums.resize(cuts + 1, (0.0, 0.0));
            for (&row, slope) in rows.iter().zip(&slopes) {
                let sum = &mut sums[usize::from(binned[row as usize])];
                sum.0 += slope.0;
                sum.1 += slope.1;
            }
            let (mut low_g, mut low_h) = (0.0, 0.0);
            for (bin, sum) in sums.iter().enumerate().take(cuts) {
                if sum.1 == 0.0 {
                    continue;
                }
                low_g += sum.0;
                low_h += sum.1;
                if low_h < least_weight {
                    continue;
                }
                if h - low_h < least_weight {
                    break;
                }
                let both = worth(low_g, low_h) + worth(g - low_g, h - low_h);
                if both > best.0 {
                    best = (both, Some((feature, bin as u16)));
                }
            }
        }
        best.1
    }
}

/// What one tree adds: the walk of [`Trees::predict`] without its checks.
fn leaf(nodes: &[Node], row: &[f64]) -> f64 {
    let mut at = 0;
    loop {
        match nodes[at] {
            Node::Leaf(value) => return value,
            Node::Split { feature, threshold, low, high } => {
                at = usize::from(if row[usize::from(feature)] <= threshold { low } else { high });
            }
        }
    }
}

/// Trains on rows of equal length, at least one, each with its target.
pub(crate) fn train(rows: &[&[f64]], targets: &[f64], growth: Growth) -> Result<Trees, TreesError> {
    let features = rows.first().map_or(0, |row| row.len());
    let column = |feature: usize| rows.iter().map(|row| row[feature]).collect::<Vec<f64>>();
    let edges: Vec<Vec<f64>> = (0..features).map(|feature| edges(column(feature), growth.bins)).collect();
    let binned: Vec<Vec<u16>> = (0..features)
        .map(|feature| {
            let bin = |value: f64| edges[feature].partition_point(|&edge| edge < value) as u16;
            column(feature).into_iter().map(bin).collect()
        })
        .collect();
    let (count, sum) = (targets.len() as f64, targets.iter().sum::<f64>());
    let base = match growth.loss {
        Loss::Logistic => libm::log((sum + 0.5) / (count - sum + 0.5)),
        Loss::Squared => sum / count.max(1.0),
    };
    let mut said = vec![base; rows.len()];
    let mut draws = Draws::new(1);
    let mut trees: Vec<Vec<Node>> = Vec::new();
    for _ in 0..growth.trees {
        let slope = |(&said, &target): (&f64, &f64)| match growth.loss {
            Loss::Logistic => {
                let odds = 1.0 / (1.0 + libm::exp(-said));
                (odds - target, odds * (1.0 - odds))
            }
            Loss::Squared => (said - target, 1.0),
        };
        let slopes: Vec<(f64, f64)> = said.iter().zip(targets).map(slope).collect();
        let mut seen_rows: Vec<u32> =
            (0..rows.len() as u32).filter(|_| growth.rows >= 1.0 || draws.share() < growth.rows).collect();
        let seen = draws.some_of(features, (growth.features * features as f64).ceil() as usize);
        let (binned, edges) = (&binned, &edges);
        let mut grower = Grower { growth, binned, edges, seen: &seen, slopes: &slopes, nodes: Vec::new() };
        grower.node(&mut seen_rows, 0);
        for (sum, row) in said.iter_mut().zip(rows) {
            *sum += leaf(&grower.nodes, row);
        }
        trees.push(grower.nodes);
    }
    Trees::new(features as u16, base, &trees)
}

#[cfg(test)]
mod tests {
    use super::{Growth, Loss, edges, train};

    const GROWTH: Growth = Growth {
        loss: Loss::Squared,
        trees: 60,
        depth: 3,
        rate: 0.3,
        penalty: 1.0,
        least_weight: 1.0,
        bins: 64,
        rows: 1.0,
        features: 1.0,
    };

    #[test]
    fn every_value_has_a_bin_while_there_are_enough_and_tails_keep_theirs() {
        assert_eq!(edges(vec![3.0, 1.0, 1.0, 2.0], 8), [1.5, 2.5]);
        assert_eq!(edges(vec![5.0; 9], 8), [0.0; 0]);
        let column: Vec<f64> = (0..10_000).map(f64::from).collect();
        let cut = edges(column, 64);
        assert!(cut.len() < 64);
        assert_eq!(cut[..3], [0.5, 1.5, 2.5]);
        assert_eq!(cut[cut.len() - 2..], [9_997.5, 9_998.5]);
        // Two neighbouring numbers: the lower one is the only threshold that parts them.
        let next = f64::from_bits(1.0_f64.to_bits() + 1);
        assert_eq!(edges(vec![1.0, next], 8), [1.0]);
    }

    #[test]
    fn a_rare_tail_is_found_exactly() {
        let rows: Vec<[f64; 1]> = (0..5_000).map(|at| [f64::from(at * 7_919 % 5_000)]).collect();
        let targets: Vec<f64> = rows.iter().map(|row| f64::from(u8::from(row[0] >= 4_995.0))).collect();
        let views: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
        let trees = train(&views, &targets, Growth { least_weight: 1.0, ..GROWTH }).unwrap();
        assert!(trees.predict(&[4_994.0]).unwrap() < 0.1);
        assert!(trees.predict(&[4_995.0]).unwrap() > 0.9);
    }

    #[test]
    fn squared_loss_follows_a_product_and_the_same_rows_give_the_same_ensemble() {
        let rows: Vec<[f64; 2]> = (0..2_000).map(|at| [f64::from(at % 40), f64::from(at / 40)]).collect();
        let targets: Vec<f64> = rows.iter().map(|row| row[0] * row[1] / 100.0).collect();
        let views: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
        let drawn = Growth { trees: 200, rows: 0.7, features: 1.0, ..GROWTH };
        let trees = train(&views, &targets, drawn).unwrap();
        let error =
            rows.iter().zip(&targets).map(|(row, target)| (trees.predict(row).unwrap() - target).abs());
        assert!(error.fold(0.0, f64::max) < 1.0);
        assert_eq!(trees, train(&views, &targets, drawn).unwrap());
    }
}
