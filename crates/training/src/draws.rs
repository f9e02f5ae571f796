//! Draws from a fixed generator, so that a training or a suite gives the same figures on every machine.

/// Marsaglia's xorshift with 64 bits.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// In [0, 1).
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// `wanted` (at least one, at most all) of the numbers below `count`, ascending.
    pub fn some_of(&mut self, count: usize, wanted: usize) -> Vec<usize> {
        if wanted >= count {
            return (0..count).collect();
        }
        let mut drawn: Vec<(u64, usize)> = (0..count).map(|at| (self.next(), at)).collect();
        drawn.sort_unstable();
        let mut some: Vec<usize> = drawn.into_iter().take(wanted.max(1)).map(|(_, at)| at).collect();
        some.sort_unstable();
        some
    }
}

/// Fold of each row: rows of each label are dealt out in a drawn order.
pub(crate) fn stratified_folds(labels: &[bool], count: usize, seed: u64) -> Vec<usize> {
    let mut draws = Draws::new(seed);
    let mut order: Vec<(bool, u64, usize)> =
        labels.iter().enumerate().map(|(row, &label)| (label, draws.next(), row)).collect();
    order.sort_unstable();
    let mut out = vec![0; labels.len()];
    for (place, (_, _, row)) in order.into_iter().enumerate() {
        out[row] = place % count;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Draws, stratified_folds};

    #[test]
    fn folds_share_out_rare_labels() {
        let labels: Vec<bool> = (0..1_000).map(|row| row % 50 == 0).collect();
        let folds = stratified_folds(&labels, 5, 3);
        for fold in 0..5 {
            let rows = || (0..1_000).filter(|&row| folds[row] == fold);
            assert_eq!((rows().count(), rows().filter(|&row| labels[row]).count()), (200, 4));
        }
    }

    #[test]
    fn draws_are_spread_and_bounded() {
        let mut draws = Draws::new(7);
        let mean = (0..10_000).map(|_| draws.share()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(draws.some_of(3, 9), [0, 1, 2]);
        assert_eq!(draws.some_of(9, 4).len(), 4);
    }
}
