//! A mix of forecasts by how well each did: exponentially weighted averages whose rate follows the losses (AdaHedge; de
//! Rooij, van Erven, Grünwald and Koolen 2014), with fading memory.

/// Losses of experts, and the mix that follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Experts {
    /// Faded sums of losses.
    losses: Vec<f64>,
    /// Faded sum of the best expert's advantage over the mix: the tuning of AdaHedge.
    gap: f64,
    fade: f64,
}

impl Experts {
    /// `fade`: how much of a loss is kept to the next step, say 0.98; 1 forgets nothing.
    pub fn new(experts: usize, fade: f64) -> Self {
        Self { losses: vec![0.0; experts], gap: 0.0, fade: fade.clamp(0.0, 1.0) }
    }

    /// The losses, then the gap: what [`Experts::with_numbers`] takes.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        self.losses.iter().copied().chain([self.gap])
    }

    /// As it was when [`Experts::numbers`] gave these.
    pub(crate) fn with_numbers(mut self, losses: &[f64], gap: f64) -> Self {
        self.losses.copy_from_slice(losses);
        self.gap = gap;
        self
    }

    /// One share an expert; they sum to 1.
    pub fn shares(&self) -> Vec<f64> {
        let least = self.losses.iter().copied().fold(f64::INFINITY, f64::min);
        let rate = self.rate();
        let raw: Vec<f64> = self.losses.iter().map(|loss| libm::exp(-rate * (loss - least))).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|share| share / sum).collect()
    }

    fn rate(&self) -> f64 {
        let log = libm::log(self.losses.len().max(2) as f64);
        if self.gap > 0.0 { (log / self.gap).min(1e6) } else { 1e6 }
    }

    /// The mix of forecasts.
    pub fn mix(&self, forecasts: &[f64]) -> f64 {
        self.shares().iter().zip(forecasts).map(|(share, forecast)| share * forecast).sum()
    }

    /// Takes in what each expert lost at this step.
    pub fn learn(&mut self, losses: &[f64]) {
        let (shares, rate) = (self.shares(), self.rate());
        let mean: f64 = shares.iter().zip(losses).map(|(share, loss)| share * loss).sum();
        let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
        let mixed: f64 =
            shares.iter().zip(losses).map(|(share, loss)| share * libm::exp(-rate * (loss - least))).sum();
        let mix_loss = least - libm::log(mixed.max(f64::MIN_POSITIVE)) / rate;
        self.gap = self.fade * self.gap + (mean - mix_loss).max(0.0);
        for (sum, loss) in self.losses.iter_mut().zip(losses) {
            *sum = self.fade * *sum + loss;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_expert_takes_over_and_gives_way() {
        let mut experts = Experts::new(2, 0.95);
        for _ in 0..200 {
            experts.learn(&[1.0, 2.0]);
        }
        assert!(experts.shares()[0] > 0.9, "{:?}", experts.shares());
        for _ in 0..200 {
            experts.learn(&[2.0, 1.0]);
        }
        assert!(experts.shares()[1] > 0.9, "{:?}", experts.shares());
    }
}
