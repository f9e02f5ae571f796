//! The scoring rule of the Numenta Anomaly Benchmark (Lavin and Ahmad 2015, arXiv:1510.03336).
//!
//! The first min(15 % of the rows, 750) are not scored. In a window of width w the row with k rows to its end earns
//! s(-(k + 1) / w) / s(-1), s(y) = 2 / (1 + e^(5 y)) - 1; a window earns its best detected row or costs the weight of a
//! miss. A detected row outside costs the weight of a false alarm times s(distance after the last window / (width - 1)),
//! -1 beyond three widths or before any window. Score = 100 (raw - nothing detected) / (perfect - nothing detected).

/// What misses and false alarms cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    pub name: &'static str,
    pub miss: f64,
    pub false_alarm: f64,
}

pub(crate) const PROFILES: [Profile; 3] = [
    Profile { name: "standard", miss: 1.0, false_alarm: 0.11 },
    Profile { name: "low_fp", miss: 1.0, false_alarm: 0.22 },
    Profile { name: "low_fn", miss: 2.0, false_alarm: 0.11 },
];

/// A file with its windows and what the detector said of it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub scores: Vec<f64>,
    /// The window that a row lies in.
    window: Vec<Option<usize>>,
    /// What a detection at this row is worth before weights.
    worth: Vec<f64>,
    pub unscored: usize,
    pub windows: usize,
}

fn sigmoid(y: f64) -> f64 {
    if y > 3.0 { -1.0 } else { 2.0 / (1.0 + libm::exp(5.0 * y)) - 1.0 }
}

impl Judged {
    /// `spans`: first and last row of each window, in order, apart from each other.
    pub fn new(scores: Vec<f64>, spans: &[(usize, usize)]) -> Self {
        let rows = scores.len();
        let (mut window, mut worth) = (vec![None; rows], vec![-1.0; rows]);
        for (number, &(from, to)) in spans.iter().enumerate() {
            let width = (to - from + 1) as f64;
            for row in from..=to {
                window[row] = Some(number);
                worth[row] = sigmoid(-((to - row + 1) as f64) / width) / sigmoid(-1.0);
            }
            let next = spans.get(number + 1).map_or(rows, |span| span.0);
            for (row, worth) in worth.iter_mut().enumerate().take(next).skip(to + 1) {
                *worth = if width > 1.0 { sigmoid((row - to) as f64 / (width - 1.0)) } else { -1.0 };
            }
        }
        let unscored = (rows * 15 / 100).min(750);
        Self { scores, window, worth, unscored, windows: spans.len() }
    }

    /// Rows outside every window, and not unscored, at or above the threshold.
    pub fn false_alarms(&self, threshold: f64) -> usize {
        let scored = self.unscored..self.scores.len();
        scored.filter(|&row| self.window[row].is_none() && self.scores[row] >= threshold).count()
    }
}

/// The score over files at a threshold, or at the one that is best for them; and that threshold. `None` where the files
/// hold no window.
pub(crate) fn score(files: &[&Judged], profile: Profile, threshold: Option<f64>) -> Option<(f64, f64)> {
    let windows: usize = files.iter().map(|file| file.windows).sum();
    let mut items = Vec::new();
    let mut first = 0;
    for file in files {
        for row in file.unscored..file.scores.len() {
            let window = file.window[row].map(|window| window + first);
            let weight = if window.is_some() { 1.0 } else { profile.false_alarm };
            items.push((file.scores[row], file.worth[row] * weight, window));
        }
        first += file.windows;
    }
    let mut earned = vec![None; windows];
    for window in items.iter().filter_map(|item| item.2) {
        earned[window] = Some(-profile.miss);
    }
    let nothing = -profile.miss * earned.iter().flatten().count() as f64;
    items.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut total, mut best) = (nothing, (nothing, 1.1));
    for (at, &(score, worth, window)) in items.iter().enumerate() {
        if threshold.is_some_and(|threshold| score < threshold) {
            break;
        }
        match window.map(|window| &mut earned[window]) {
            None => total += worth,
            Some(Some(had)) if worth > *had => {
                total += worth - *had;
                *had = worth;
            }
            Some(_) => {}
        }
        let ends = items.get(at + 1).is_none_or(|next| next.0 != score);
        if ends && total > best.0 {
            best = (total, score);
        }
    }
    let (raw, at) = threshold.map_or(best, |threshold| (total, threshold));
    let span = windows as f64 - nothing;
    (windows > 0).then(|| (100.0 * (raw - nothing) / span, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(detected: &[usize]) -> Judged {
        let mut scores = vec![0.0; 1_000];
        for &row in detected {
            scores[row] = 0.9;
        }
        Judged::new(scores, &[(500, 599)])
    }

    fn standard(detected: &[usize]) -> f64 {
        score(&[&judged(detected)], PROFILES[0], Some(0.5)).unwrap().0
    }

    #[test]
    fn early_late_and_wrong_detections_earn_what_the_paper_says() {
        assert_eq!(standard(&[]), 0.0);
        assert!((standard(&[500]) - 100.0).abs() < 1e-9);
        assert!((50.0..75.0).contains(&standard(&[598])));
        assert!((standard(&[300]) + 5.5).abs() < 1e-9, "a false alarm costs 0.11 of a range of 2");
        assert_eq!(standard(&[10]), 0.0, "probation is not scored");
        assert!(standard(&[601]) > standard(&[900]), "a little late costs less");
    }

    #[test]
    fn the_best_threshold_is_found() {
        let mut file = judged(&[500, 300]);
        file.scores[300] = 0.6;
        let (score, at) = score(&[&file], PROFILES[0], None).unwrap();
        assert!((score - 100.0).abs() < 1e-9 && at == 0.9);
    }
}
