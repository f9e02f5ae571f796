//! Where beats are.

use std::collections::VecDeque;

/// Samples of the moving averages: each twice, the slow one taken from the fast one.
const FAST: usize = 7;
const SLOW: usize = 36;
/// Samples of the slope, and of its sum.
const SLOPE: usize = 4;
const SUM: usize = 44;
/// From a peak of the sum back to the beat: the filters' delays.
const DELAY: u64 = 59;
/// Samples on either side that a peak exceeds.
pub(super) const PEAK: usize = 36;
/// Samples before thresholds are set: 4 s.
pub(super) const WARM_UP: u64 = 1440;
/// No two beats are nearer.
const REFRACTORY: u64 = 72;
/// A peak so soon after another, and so much stronger, means that the other was the P wave.
const P_WAVE: u64 = 95;
const STRONGER: f64 = 1.2;
/// A peak so soon after another, and so much weaker, is the T wave.
const T_WAVE: u64 = 130;
const WEAKER: f64 = 0.65;
/// Share of the way from noise to signal that a peak must reach; half of it in a search back.
const THRESHOLD: f64 = 0.5;
/// Usual intervals after which a search back begins.
const PAUSE: f64 = 1.66;
const RATE: f64 = 0.125;
const INTERVALS: usize = 8;
/// Samples without a beat after which the thresholds are set anew, 4 s, but no lower than for this share of the strongest
/// signal so far: an electrode may slip, yet the noise of a heart that stands still is not a beat.
const LOST: u64 = 1440;
const LEAST_SIGNAL: f64 = 0.05;
/// Peaks kept for a search back.
pub(super) const MAX_KEPT: usize = 64;
/// Lengths of the queues of integers, and what no value in them exceeds where no sample exceeds 2^24.
pub(super) const LISTS: [(usize, u64); 8] = [
    (FAST, 1 << 24),
    (FAST, 1 << 27),
    (SLOW, 1 << 24),
    (SLOW, 1 << 30),
    (SLOW - FAST, 1 << 30),
    (SLOPE, 1 << 42),
    (SUM, 1 << 43),
    (2 * PEAK + 1, 1 << 49),
];

/// A sum over the last samples.
#[derive(Debug, Clone)]
struct Sum {
    last: VecDeque<i64>,
    sum: i64,
}

impl Sum {
    fn new(samples: usize) -> Self {
        Self { last: VecDeque::from(vec![0; samples]), sum: 0 }
    }

    fn add(&mut self, value: i64) -> i64 {
        self.sum += value - self.last.pop_front().unwrap_or(0);
        self.last.push_back(value);
        self.sum
    }
}

/// Something that may be a beat: when, and how strong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peak {
    pub at: u64,
    pub strength: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Detector {
    count: u64,
    fast: [Sum; 2],
    slow: [Sum; 2],
    /// The fast average waits for the slow one.
    waiting: VecDeque<i64>,
    band: VecDeque<i64>,
    sum: Sum,
    sums: VecDeque<i64>,
    pub warm_up: Vec<Peak>,
    pub signal: f64,
    pub noise: f64,
    pub strongest: f64,
    pub intervals: VecDeque<f64>,
    pub kept: VecDeque<Peak>,
    /// The latest beat, which a stronger peak may still replace.
    pub latest: Option<Peak>,
    pub open: bool,
    pub settled: VecDeque<u64>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            count: 0,
            fast: [Sum::new(FAST), Sum::new(FAST)],
            slow: [Sum::new(SLOW), Sum::new(SLOW)],
            waiting: VecDeque::from(vec![0; SLOW - FAST]),
            band: VecDeque::from(vec![0; SLOPE]),
            sum: Sum::new(SUM),
            sums: VecDeque::from(vec![0; 2 * PEAK + 1]),
            warm_up: Vec::new(),
            signal: 0.0,
            noise: 0.0,
            strongest: 0.0,
            intervals: VecDeque::from(vec![300.0; INTERVALS]),
            kept: VecDeque::new(),
            latest: None,
            open: false,
            settled: VecDeque::new(),
        }
    }
}

impl Detector {
    /// The queues of integers, in the order of [`LISTS`].
    pub fn lists(&self) -> [&VecDeque<i64>; LISTS.len()] {
        let ([a, b], [c, d]) = (&self.fast, &self.slow);
        [&a.last, &b.last, &c.last, &d.last, &self.waiting, &self.band, &self.sum.last, &self.sums]
    }

    /// A detector with these queues, whose lengths are those of [`LISTS`].
    pub fn of(count: u64, lists: Vec<VecDeque<i64>>) -> Option<Self> {
        let [a, b, c, d, waiting, band, sum, sums]: [VecDeque<i64>; LISTS.len()] = lists.try_into().ok()?;
        let of = |last: VecDeque<i64>| Sum { sum: last.iter().sum(), last };
        let (fast, slow, sum) = ([of(a), of(b)], [of(c), of(d)], of(sum));
        Some(Self { count, fast, slow, waiting, band, sum, sums, ..Self::default() })
    }

    /// Takes in a sample; a beat that nothing will replace any more.
    pub fn step(&mut self, sample: i32) -> Option<u64> {
        if let Some(peak) = self.peak(sample.into()) {
            if self.count > WARM_UP && self.signal > 0.0 {
                self.judge(peak);
            } else {
                self.warm_up.push(peak);
            }
        }
        if self.count > WARM_UP && self.signal == 0.0 && !self.warm_up.is_empty() {
            self.begin();
        }
        if let Some(latest) = self.latest
            && self.open
            && self.count > latest.at + P_WAVE + PEAK as u64
        {
            self.open = false;
            self.settle(latest);
        }
        self.settled.pop_front()
    }

    /// What is not settled when the samples end.
    pub fn finish(mut self) -> Vec<u64> {
        if self.signal == 0.0 && !self.warm_up.is_empty() {
            self.begin();
        }
        if let Some(latest) = self.latest.filter(|_| self.open) {
            self.settle(latest);
        }
        self.settled.into()
    }

    /// The sum of slopes PEAK samples ago, if it exceeds all others as near.
    fn peak(&mut self, sample: i64) -> Option<Peak> {
        self.count += 1;
        let [first, second] = &mut self.fast;
        let fast = second.add(first.add(sample));
        let [first, second] = &mut self.slow;
        let slow = second.add(first.add(sample));
        self.waiting.push_back(fast);
        let fast = self.waiting.pop_front().unwrap_or(0);
        // Both averages over one denominator.
        let band = fast * (SLOW * SLOW) as i64 - slow * (FAST * FAST) as i64;
        self.band.push_back(band);
        let slope = band - self.band.pop_front().unwrap_or(0);
        // What begins with the first sample is a step that is none.
        let slope = if self.count > (2 * SLOW + SLOPE) as u64 { slope.abs() } else { 0 };
        let sum = self.sum.add(slope);
        self.sums.push_back(sum);
        self.sums.pop_front();
        let middle = self.sums[PEAK];
        let exceeds = middle > 0
            && self.sums.iter().take(PEAK).all(|&other| other < middle)
            && self.sums.iter().skip(PEAK + 1).all(|&other| other <= middle);
        exceeds.then(|| Peak { at: self.count.saturating_sub(1 + PEAK as u64), strength: middle as f64 })
    }

    /// Sets the thresholds by the first peaks, and judges them.
    fn begin(&mut self) {
        let peaks = std::mem::take(&mut self.warm_up);
        self.signal = third_strongest(&peaks);
        self.noise = 0.2 * self.signal;
        peaks.into_iter().for_each(|peak| self.judge(peak));
    }

    fn judge(&mut self, peak: Peak) {
        let threshold = |share: f64| self.noise + share * (self.signal - self.noise);
        let strong = peak.strength > threshold(THRESHOLD);
        let weak_limit = threshold(THRESHOLD / 2.0);
        let Some(latest) = self.latest else {
            if strong {
                self.accept(peak, RATE);
            } else {
                self.reject(peak);
            }
            return;
        };
        let usual = self.intervals.iter().sum::<f64>() / INTERVALS as f64;
        if (peak.at - latest.at) as f64 > PAUSE * usual {
            let between = |kept: &&Peak| {
                let soon = kept.at <= latest.at + T_WAVE && kept.strength < WEAKER * latest.strength;
                !soon && kept.at > latest.at + REFRACTORY && kept.at + REFRACTORY < peak.at
            };
            let best = self.kept.iter().filter(between).copied();
            let best = best.max_by(|a, b| a.strength.total_cmp(&b.strength));
            if let Some(best) = best.filter(|best| best.strength > weak_limit) {
                self.accept(best, 2.0 * RATE);
            }
        }
        let latest = self.latest.unwrap_or(latest);
        let since = peak.at - latest.at;
        if since > LOST {
            let kept = third_strongest(self.kept.make_contiguous());
            self.signal = kept.max(LEAST_SIGNAL * self.strongest).min(self.signal);
            self.noise = self.noise.min(0.2 * self.signal);
        }
        if !strong {
            self.reject(peak);
        } else if (REFRACTORY + 1..=T_WAVE).contains(&since) && peak.strength < WEAKER * latest.strength {
            self.noise += RATE * (peak.strength - self.noise);
        } else if since <= P_WAVE && peak.strength > STRONGER * latest.strength && self.open {
            self.latest = Some(peak);
        } else if since > REFRACTORY {
            self.accept(peak, RATE);
        }
    }

    fn reject(&mut self, peak: Peak) {
        self.noise += RATE * (peak.strength - self.noise);
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(peak);
    }

    fn accept(&mut self, peak: Peak, rate: f64) {
        self.signal += rate * (peak.strength.min(2.0 * self.signal) - self.signal);
        self.strongest = self.strongest.max(self.signal);
        if let Some(latest) = self.latest {
            self.intervals.pop_front();
            self.intervals.push_back(((peak.at - latest.at) as f64).clamp(100.0, 600.0));
            if self.open {
                self.settle(latest);
            }
        }
        (self.latest, self.open) = (Some(peak), true);
        self.kept.clear();
    }

    fn settle(&mut self, peak: Peak) {
        self.settled.push_back(peak.at.saturating_sub(DELAY));
    }
}

/// A strength that beats reach, whatever one or two artefacts do; 0 without peaks.
fn third_strongest(peaks: &[Peak]) -> f64 {
    let mut strengths: Vec<f64> = peaks.iter().map(|peak| peak.strength).collect();
    strengths.sort_by(|a, b| b.total_cmp(a));
    strengths.get(2).or(strengths.last()).copied().unwrap_or(0.0)
}
