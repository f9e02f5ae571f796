//! Runs of turbofan engines as C-MAPSS writes them, and what training takes from them.
//!
//! A row: engine, cycle, three settings (altitude in 1,000 ft, Mach number, throttle resolver angle in %), sensors. A run
//! is what is known of one engine, in the order of its cycles. What is told from a run so far is `triad_models`' business
//! (`window::life`): here are only the parts of it that are learnt.

use std::fs;
use std::path::Path;

use triad_models::Memory;
use triad_models::forecast::{Ridge, RidgeSums};
use triad_models::window::life::{Course, MAX_REGIMES, Regime, Regimes, SAME_REGIME, SETTINGS, nearest};

use crate::error::TrainingError;

/// Of squared weights of the health index, in rows.
const PENALTY: f64 = 10.0;

/// The rows of one engine.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Its number in the file.
    pub engine: f64,
    /// Settings, then sensors, of each cycle.
    pub rows: Vec<Vec<f64>>,
}

impl Run {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn sensors(&self) -> usize {
        self.rows.first().map_or(0, |row| row.len() - SETTINGS)
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
            runs.push(Run { engine: row[0], rows: Vec::new() });
        }
        if let Some(run) = runs.last_mut() {
            run.rows.push(row[2..].to_vec());
        }
    }
    if runs.is_empty() { Err(TrainingError::content(path, "no rows")) } else { Ok(runs) }
}

/// What sensors show in each regime; `None` where there is nothing to learn it from.
pub(crate) fn regimes(runs: &[Run]) -> Option<Regimes> {
    let sensors = runs.first().map_or(0, Run::sensors);
    let (mut regimes, mut counts): (Vec<Regime>, Vec<f64>) = (Vec::new(), Vec::new());
    for row in runs.iter().flat_map(|run| &run.rows) {
        let (settings, row) = row.split_first_chunk::<SETTINGS>()?;
        let same = nearest(&regimes, settings).filter(|&at| {
            let apart = settings.iter().zip(&regimes[at].settings).zip(SAME_REGIME);
            regimes.len() == MAX_REGIMES || apart.into_iter().all(|((a, b), most)| (a - b).abs() <= most)
        });
        let at = same.unwrap_or_else(|| {
            let (mean, deviation) = (vec![0.0; sensors], vec![0.0; sensors]);
            regimes.push(Regime { settings: *settings, mean, deviation });
            counts.push(0.0);
            regimes.len() - 1
        });
        // Welford; `deviation` holds the sum of squares until the end.
        let (regime, count) = (&mut regimes[at], &mut counts[at]);
        *count += 1.0;
        for ((mean, squares), value) in regime.mean.iter_mut().zip(&mut regime.deviation).zip(row) {
            let apart = value - *mean;
            *mean += apart / *count;
            *squares += apart * (value - *mean);
        }
    }
    for (regime, count) in regimes.iter_mut().zip(counts) {
        for (squares, mean) in regime.deviation.iter_mut().zip(&regime.mean) {
            let deviation = (*squares / count).sqrt();
            *squares = if deviation > 1e-9 * mean.abs() { deviation } else { 0.0 };
        }
    }
    Regimes::new(regimes)
}

/// One number a cycle for how much life is left: a regression of the remaining cycles on that cycle's sensors alone.
/// Noisy, but its course shows wear better than that of any sensor.
pub(crate) fn health_index(rows: impl Iterator<Item = (Vec<f64>, f64)>) -> Option<Ridge> {
    let mut sums: Option<RidgeSums> = None;
    for (mut row, left) in rows {
        row.push(1.0);
        sums.get_or_insert_with(|| RidgeSums::new(row.len(), 1)).add(&row, &[left], 1.0);
    }
    sums?.fit(PENALTY)
}

/// The features after each cycle of a run; fewer where a row has another width.
pub(crate) fn features(course: &Course, run: &Run) -> Vec<Vec<f64>> {
    let mut memory = Memory::default();
    run.rows.iter().map_while(|row| course.step(&mut memory, row).ok().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use triad_models::window::life::Course;

    use super::{Run, features, health_index, regimes};

    fn run(rows: impl Iterator<Item = Vec<f64>>) -> Run {
        Run { engine: 1.0, rows: rows.collect() }
    }

    #[test]
    fn regimes_are_compared_apart_and_constant_sensors_left_out() {
        let altitude = |at: usize| if at.is_multiple_of(2) { 0.0 } else { 35.0 };
        let one = run((0..100).map(|at| {
            let swing = f64::from(u8::from(at % 4 < 2));
            vec![altitude(at), 0.0, 100.0, altitude(at) * 100.0 + swing, 7.0]
        }));
        let regimes = regimes(std::slice::from_ref(&one)).unwrap();
        assert_eq!((regimes.len(), regimes.sensors(), regimes.moving()), (2, 2, 1));
        for row in &one.rows {
            let compared = regimes.compare(row).unwrap();
            assert!(compared.len() == 1 && (compared[0].abs() - 1.0).abs() < 1e-9, "{compared:?}");
        }
    }

    #[test]
    fn features_know_nothing_of_what_comes_later() {
        let whole =
            run((0..300).map(|at| vec![0.0, 0.0, 100.0, f64::from(at * 37 % 11), f64::from(at) / 9.0]));
        let regimes = regimes(std::slice::from_ref(&whole)).unwrap();
        let lives = whole.rows.iter().enumerate();
        let lives = lives.map(|(at, row)| (regimes.compare(row).unwrap(), 300.0 - at as f64));
        let health = health_index(lives).unwrap();
        let course = Course::new(regimes.clone(), health.weights().to_vec()).unwrap();
        let all = features(&course, &whole);
        assert_eq!((all.len(), all[0].len()), (300, course.features()));
        for length in [1, 4, 33, 79, 161, 299] {
            let part = Run { engine: 1.0, rows: whole.rows[..length].to_vec() };
            assert_eq!(features(&course, &part), all[..length]);
        }
    }
}
