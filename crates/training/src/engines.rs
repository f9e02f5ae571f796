//! Runs of turbofan engines as C-MAPSS writes them, and what is told from a run so far.
//!
//! A row: engine, cycle, three settings (altitude in 1,000 ft, Mach number, throttle resolver angle in %), sensors. A run
//! is what is known of one engine, in the order of its cycles. Sensors are compared within an operating regime (rows of
//! nearly the same settings), so that a descent is not taken for wear.

use std::fs;
use std::path::Path;

use triad_models::forecast::{Ridge, RidgeSums};

use crate::error::TrainingError;

const SETTINGS: usize = 3;
/// How far settings of one regime lie apart at most, in their units.
const SAME_REGIME: [f64; SETTINGS] = [1.0, 0.02, 1.0];
const MAX_REGIMES: usize = 16;
const MAX_SENSORS: f64 = 200.0;
/// Cycles that say what the engine was like when it was new.
const FIRST_CYCLES: usize = 50;
/// Rates of exponential means of the health index, and of sensors.
const HEALTH_RATES: [f64; 3] = [0.05, 0.1, 0.2];
const RATES: [f64; 2] = [0.1, 0.03];
/// Cycles of the trends of the health index.
const TRENDS: [usize; 5] = [10, 20, 40, 80, 160];
/// Of squared weights of the health index, in rows.
const PENALTY: f64 = 10.0;

/// The rows of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its number in the file.
    pub engine: f64,
    settings: Vec<[f64; SETTINGS]>,
    sensors: Vec<Vec<f64>>,
}

impl Run {
    pub fn len(&self) -> usize {
        self.sensors.len()
    }

    pub fn sensors(&self) -> usize {
        self.sensors.first().map_or(0, Vec::len)
    }
}

/// Numbers of every line, parted by spaces.
pub(crate) fn numbers(path: &Path) -> Result<Vec<Vec<f64>>, TrainingError> {
    let text = fs::read_to_string(path).map_err(TrainingError::io(path))?;
    let mut rows = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let number = |word: &str| word.parse::<f64>().ok().filter(|value| value.is_finite());
        let row: Option<Vec<f64>> = content.split_ascii_whitespace().map(number).collect();
        let wrong = || TrainingError::content(path, format!("line {}: not only numbers", line + 1));
        let row = row.ok_or_else(wrong)?;
        if !row.is_empty() {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The runs of a file, in its order.
pub(crate) fn runs(path: &Path) -> Result<Vec<Run>, TrainingError> {
    let rows = numbers(path)?;
    let width = rows.first().map_or(0, Vec::len);
    let mut runs: Vec<Run> = Vec::new();
    let mut engine = None;
    for (at, row) in rows.into_iter().enumerate() {
        if row.len() != width || width < 2 + SETTINGS + 1 {
            let problem = format!(
                "line {}: {} numbers; engine, cycle, settings, sensors are expected",
                at + 1,
                row.len()
            );
            return Err(TrainingError::content(path, problem));
        }
        if engine != Some(row[0]) {
            engine = Some(row[0]);
            runs.push(Run { engine: row[0], settings: Vec::new(), sensors: Vec::new() });
        }
        if let Some(run) = runs.last_mut() {
            run.settings.push([row[2], row[3], row[4]]);
            run.sensors.push(row[2 + SETTINGS..].to_vec());
        }
    }
    if runs.is_empty() { Err(TrainingError::content(path, "no rows")) } else { Ok(runs) }
}

/// What sensors show in each regime: what a run is compared with.
#[derive(Debug, Clone)]
pub(crate) struct Usual {
    regimes: Vec<Regime>,
    /// Those that vary in some regime.
    sensors: Vec<usize>,
}

#[derive(Debug, Clone)]
struct Regime {
    settings: [f64; SETTINGS],
    rows: f64,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl Usual {
    pub fn of(runs: &[Run]) -> Self {
        let sensors = runs.first().and_then(|run| run.sensors.first()).map_or(0, Vec::len);
        let mut usual = Self { regimes: Vec::new(), sensors: (0..sensors).collect() };
        for run in runs {
            for (settings, row) in run.settings.iter().zip(&run.sensors) {
                let near = usual.nearest(settings);
                let same = near.filter(|&at| {
                    let apart = settings.iter().zip(&usual.regimes[at].settings).zip(SAME_REGIME);
                    usual.regimes.len() == MAX_REGIMES
                        || apart.into_iter().all(|((a, b), most)| (a - b).abs() <= most)
                });
                let at = same.unwrap_or_else(|| {
                    let (mean, deviation) = (vec![0.0; sensors], vec![0.0; sensors]);
                    usual.regimes.push(Regime { settings: *settings, rows: 0.0, mean, deviation });
                    usual.regimes.len() - 1
                });
                // Welford; `deviation` holds the sum of squares until the end.
                let regime = &mut usual.regimes[at];
                regime.rows += 1.0;
                for ((mean, squares), value) in regime.mean.iter_mut().zip(&mut regime.deviation).zip(row) {
                    let apart = value - *mean;
                    *mean += apart / regime.rows;
                    *squares += apart * (value - *mean);
                }
            }
        }
        for regime in &mut usual.regimes {
            for (squares, mean) in regime.deviation.iter_mut().zip(&regime.mean) {
                let deviation = (*squares / regime.rows).sqrt();
                *squares = if deviation > 1e-9 * mean.abs() { deviation } else { 0.0 };
            }
        }
        usual.sensors.retain(|&sensor| usual.regimes.iter().any(|regime| regime.deviation[sensor] > 0.0));
        usual
    }

    fn nearest(&self, settings: &[f64; SETTINGS]) -> Option<usize> {
        let apart = |regime: &Regime| {
            let each = settings.iter().zip(&regime.settings).zip(SAME_REGIME);
            each.map(|((a, b), unit)| ((a - b) / unit) * ((a - b) / unit)).sum::<f64>()
        };
        (0..self.regimes.len()).min_by(|&a, &b| apart(&self.regimes[a]).total_cmp(&apart(&self.regimes[b])))
    }

    /// Sensors of a row.
    pub fn width(&self) -> usize {
        self.regimes.first().map_or(0, |regime| regime.mean.len())
    }

    /// Sensors that move somewhere: those that are compared.
    pub fn moving(&self) -> usize {
        self.sensors.len()
    }

    pub fn regimes(&self) -> usize {
        self.regimes.len()
    }

    /// All that comparing needs: sensors of a row; then settings, means and deviations of each regime.
    pub fn numbers(&self) -> Vec<f64> {
        let each = self.regimes.iter().flat_map(|regime| {
            regime.settings.iter().chain(&regime.mean).chain(&regime.deviation).copied().collect::<Vec<f64>>()
        });
        std::iter::once(self.width() as f64).chain(each).collect()
    }

    /// The other way; `None` for numbers that no training wrote.
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let (&sensors, rest) = numbers.split_first()?;
        if sensors.fract() != 0.0 || !(1.0..=MAX_SENSORS).contains(&sensors) {
            return None;
        }
        let sensors = sensors as usize;
        let size = SETTINGS + 2 * sensors;
        if rest.is_empty() || !rest.len().is_multiple_of(size) || rest.len() / size > MAX_REGIMES {
            return None;
        }
        let regime = |numbers: &[f64]| {
            let (mean, deviation) = numbers[SETTINGS..].split_at(sensors);
            let settings = [numbers[0], numbers[1], numbers[2]];
            Regime { settings, rows: 0.0, mean: mean.into(), deviation: deviation.into() }
        };
        let regimes: Vec<Regime> = rest.chunks_exact(size).map(regime).collect();
        let moves = |&sensor: &usize| regimes.iter().any(|regime| regime.deviation[sensor] > 0.0);
        let moving = (0..sensors).filter(moves).collect();
        let sane = regimes.iter().all(|regime| regime.deviation.iter().all(|deviation| *deviation >= 0.0));
        sane.then_some(Self { regimes, sensors: moving })
    }

    /// The sensors of each cycle, in deviations from what is usual in its regime.
    pub fn compared(&self, run: &Run) -> Vec<Vec<f64>> {
        let compare = |(settings, row): (&[f64; SETTINGS], &Vec<f64>)| {
            let Some(regime) = self.nearest(settings).map(|at| &self.regimes[at]) else { return Vec::new() };
            let one = |&sensor: &usize| match regime.deviation[sensor] {
                0.0 => 0.0,
                // A sensor that fails must not outweigh all others.
                deviation => ((row[sensor] - regime.mean[sensor]) / deviation).clamp(-10.0, 10.0),
            };
            self.sensors.iter().map(one).collect()
        };
        run.settings.iter().zip(&run.sensors).map(compare).collect()
    }
}

/// One number a cycle for how much life is left: a regression of the remaining cycles on that cycle's sensors alone.
/// Noisy, but its course shows wear better than that of any sensor.
pub(crate) fn health_index<'a>(rows: impl Iterator<Item = (&'a Vec<f64>, f64)>) -> Option<Ridge> {
    let mut sums: Option<RidgeSums> = None;
    for (row, left) in rows {
        sums.get_or_insert_with(|| RidgeSums::new(row.len() + 1, 1)).add(&with_constant(row), &[left], 1.0);
    }
    sums?.fit(PENALTY)
}

fn with_constant(row: &[f64]) -> Vec<f64> {
    row.iter().copied().chain([1.0]).collect()
}

/// The features of each cycle, from that cycle and those before: its number; of each sensor smoothed values, the mean
/// of the first cycles, and their differences; of the health index the same with several rates, trends, mean, and sums.
pub(crate) fn features(rows: &[Vec<f64>], health: &Ridge) -> Vec<Vec<f64>> {
    let mut smooth = Smooth::new(rows.first().map_or(0, Vec::len));
    let mut index: Vec<f64> = Vec::new();
    let mut healths = HEALTH_RATES.map(|_| (0.0, 0.0));
    let (mut first, mut total, mut worn, mut fallen) = (0.0, 0.0, 0.0, 0.0);
    let mut out = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let now = health.predict(&with_constant(row)).first().copied().unwrap_or_default();
        index.push(now);
        let mut features = vec![(at + 1) as f64];
        smooth.add(row, at);
        for sensor in 0..row.len() {
            let new = smooth.first[sensor];
            let means = smooth.means[sensor];
            let means: [f64; RATES.len()] = std::array::from_fn(|rate| means[rate] / smooth.weights[rate]);
            features.extend(means);
            features.extend(means.map(|mean| mean - new));
            features.push(new);
        }
        for (mean, rate) in healths.iter_mut().zip(HEALTH_RATES) {
            *mean = (mean.0 * (1.0 - rate) + rate * now, mean.1 * (1.0 - rate) + rate);
            features.push(mean.0 / mean.1);
        }
        features.extend(TRENDS.map(|cycles| trend(&index[index.len().saturating_sub(cycles)..])));
        if at < FIRST_CYCLES {
            first += (now - first) / (at + 1) as f64;
        }
        total += now;
        let smoothed = healths[1].0 / healths[1].1;
        worn += (first - smoothed).max(0.0);
        fallen += first - now;
        features.extend([first, smoothed - first, total / (at + 1) as f64, worn, fallen]);
        out.push(features);
    }
    out
}

/// How many features [`features`] makes of so many sensors.
pub(crate) fn width(sensors: usize) -> usize {
    1 + sensors * (2 * RATES.len() + 1) + HEALTH_RATES.len() + TRENDS.len() + 5
}

/// Exponential means of sensors, and their plain means over the first cycles.
struct Smooth {
    means: Vec<[f64; RATES.len()]>,
    weights: [f64; RATES.len()],
    first: Vec<f64>,
}

impl Smooth {
    fn new(sensors: usize) -> Self {
        Self {
            means: vec![[0.0; RATES.len()]; sensors],
            weights: [0.0; RATES.len()],
            first: vec![0.0; sensors],
        }
    }

    fn add(&mut self, row: &[f64], at: usize) {
        for (weight, rate) in self.weights.iter_mut().zip(RATES) {
            *weight += rate * (1.0 - *weight);
        }
        for ((means, first), value) in self.means.iter_mut().zip(&mut self.first).zip(row) {
            for (mean, rate) in means.iter_mut().zip(RATES) {
                *mean += rate * (value - *mean);
            }
            if at < FIRST_CYCLES {
                *first += (value - *first) / (at + 1) as f64;
            }
        }
    }
}

/// Slope of the least-squares line a cycle; 0 where it would be mere noise.
fn trend(values: &[f64]) -> f64 {
    if values.len() < 4 {
        return 0.0;
    }
    let middle = (values.len() - 1) as f64 / 2.0;
    let (mut products, mut squares) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let offset = at as f64 - middle;
        products += offset * value;
        squares += offset * offset;
    }
    products / squares
}

#[cfg(test)]
mod tests {
    use super::{Run, Usual, features, health_index, trend};

    fn run(rows: impl Iterator<Item = ([f64; 3], Vec<f64>)>) -> Run {
        let (settings, sensors) = rows.unzip();
        Run { engine: 1.0, settings, sensors }
    }

    #[test]
    fn regimes_are_compared_apart_and_constant_sensors_left_out() {
        let altitude = |at: usize| if at.is_multiple_of(2) { 0.0 } else { 35.0 };
        let one = run((0..100).map(|at| {
            let swing = f64::from(u8::from(at % 4 < 2));
            ([altitude(at), 0.0, 100.0], vec![altitude(at) * 100.0 + swing, 7.0])
        }));
        let usual = Usual::of(std::slice::from_ref(&one));
        let compared = usual.compared(&one);
        assert!(
            compared.iter().all(|row| row.len() == 1 && (row[0].abs() - 1.0).abs() < 1e-9),
            "{compared:?}"
        );
    }

    #[test]
    fn features_know_nothing_of_what_comes_later() {
        let rows: Vec<Vec<f64>> =
            (0..80).map(|at| vec![f64::from(at * 37 % 11), f64::from(at) / 9.0]).collect();
        let lives = rows.iter().enumerate().map(|(at, row)| (row, 80.0 - at as f64));
        let health = health_index(lives).unwrap();
        let whole = features(&rows, &health);
        assert_eq!(whole.len(), 80);
        assert_eq!(whole[0].len(), super::width(2));
        for length in [1, 4, 33, 79] {
            assert_eq!(features(&rows[..length], &health), whole[..length]);
        }
    }

    #[test]
    fn trends_are_slopes() {
        assert!((trend(&[1.0, 3.0, 5.0, 7.0, 9.0]) - 2.0).abs() < 1e-12);
        assert_eq!(trend(&[1.0, 9.0]), 0.0);
    }
}
