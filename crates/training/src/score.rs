//! One score a row: the default detector over a table, for outsiders who judge it with their own scorer.

use std::path::Path;
use std::time::{Duration, Instant};

use triad_models::{AnomalySpec, Input, Judgement, Spec, State, VerdictKind};

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Line, Mark, Role};
use crate::table::Table;
use crate::time::date_and_time;
use crate::watch::Watch;

/// Which columns, and what is known of the sensor.
#[derive(Debug, Clone, Default)]
pub struct ScoreOptions {
    /// Default: a column named timestamp, time, datetime or date, else the first.
    pub time_column: Option<String>,
    /// Default: a column named value, else the first that is not the time.
    pub value_column: Option<String>,
    /// The sensor's declared range; without it nothing but the past is known.
    pub range: Option<(f64, f64)>,
}

/// The detector's view of a table.
#[derive(Debug)]
pub struct Scored {
    /// One a row, 0 to 1; 0 where a row has no value. An anomaly has at least 0.5.
    pub scores: Vec<f64>,
    /// Every anomaly: row (the first after the header is 0), score, reason.
    pub alarms: Vec<(usize, f64, String)>,
    /// Content hash of the model and its parameters, in hex.
    pub model_hash: String,
    /// Time spent judging, without reading the file.
    pub spent: Duration,
}

impl Scored {
    /// The values with every alarm and its reason.
    pub(crate) fn figure(
        &self,
        name: String,
        title: String,
        unit: &str,
        times: &[i64],
        values: &[Option<f64>],
    ) -> Figure {
        let mut figure = Figure::new(name, title, Axis::Time, unit);
        let points = times.iter().zip(values).map(|(&time, &value)| (time as f64, value)).collect();
        figure.lines.push(Line { name: "measured".into(), role: Role::Measured, points });
        let mark = |(row, score, reason): &(usize, f64, String)| {
            let at = (times[*row] as f64, values[*row].unwrap_or_default());
            let when = date_and_time(times[*row]);
            Mark { at, reason: format!("{when}  score {score:.3}  {reason}") }
        };
        figure.marks = self.alarms.iter().map(mark).collect();
        figure.mark_name = format!("anomalies ({})", self.alarms.len());
        figure
    }
}

/// Scores every row of a CSV file with a header line. Rows are taken in the order of the file; one whose time is not
/// after the one before (a local clock put back) is judged as if a microsecond later, so that every row is judged.
pub fn score_csv(
    path: &Path,
    options: &ScoreOptions,
    watch: &mut Watch<'_>,
) -> Result<Scored, TrainingError> {
    let table = Table::read(path)?;
    let time = match &options.time_column {
        Some(name) => table.expect_column(name)?,
        None => table.column(&["timestamp", "time", "datetime", "date"]).unwrap_or(0),
    };
    let value = match &options.value_column {
        Some(name) => table.expect_column(name)?,
        None => table.column(&["value"]).unwrap_or(usize::from(time == 0)),
    };
    let (times, values) = (table.times(time)?, table.numbers(value)?);
    let scored = score(&times, &values, options.range);
    watch.draw(|| {
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        let column = &table.header[value];
        scored.figure(format!("score-{file}"), format!("{file}: {column}"), column, &times, &values)
    });
    Ok(scored)
}

pub(crate) fn score(times: &[i64], values: &[Option<f64>], range: Option<(f64, f64)>) -> Scored {
    let spec = Spec::Anomaly(AnomalySpec { range });
    let mut state = State::new(&spec);
    let mut latest = i64::MIN;
    let started = Instant::now();
    let judgements: Vec<Option<Judgement>> = times
        .iter()
        .zip(values)
        .map(|(&time, &value)| {
            let value = value?;
            latest = time.max(latest.saturating_add(1));
            Some(state.step(&spec, Input { time_us: latest, value, block_time_ms: 0 }))
        })
        .collect();
    let spent = started.elapsed();
    let share = |judgement: &Judgement| f64::from(judgement.score_ppm) / 1e6;
    let alarm = |(row, judgement): (usize, &Option<Judgement>)| {
        let judgement = judgement.as_ref().filter(|judgement| judgement.kind == VerdictKind::Anomaly)?;
        Some((row, share(judgement), judgement.reason.clone()))
    };
    let alarms = judgements.iter().enumerate().filter_map(alarm).collect();
    let scores = judgements.iter().map(|judgement| judgement.as_ref().map_or(0.0, share)).collect();
    Scored { scores, alarms, model_hash: hex::encode(spec.content_hash()), spent }
}

/// The range of a column, as NAB lets a detector declare it.
pub(crate) fn range_of(values: &[Option<f64>]) -> Option<(f64, f64)> {
    let low = values.iter().flatten().copied().min_by(f64::total_cmp)?;
    let high = values.iter().flatten().copied().max_by(f64::total_cmp)?;
    (low < high).then_some((low, high))
}
