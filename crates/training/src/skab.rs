//! Suite `skab`: anomalies and change points in several streams of one machine, for every CSV file (semicolons) of the
//! folder with the columns `anomaly` and `changepoint`.
//!
//! The first 400 rows of a file teach; nothing of the others, of their number or place is known. The threshold is that of
//! `triad_models::group`, in deviations that those rows show. F1 of all later rows of all files together, as published;
//! also where each test part begins at a drawn place, which nothing before it leads up to. A change point is found if
//! one is said within 60 s of it; each is matched once.

use std::path::Path;

use serde_json::{Value, json};
use triad_models::group::{GroupJudgement, GroupSpec, GroupState};

use crate::draws::Draws;
use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Mark, Role};
use crate::table::{Table, csv_files};
use crate::watch::Watch;

const LEARNING: usize = 400;
const DRAWN_STARTS: u64 = 10;
const NEAR_US: i64 = 60_000_000;

struct Record {
    name: String,
    spec: GroupSpec,
    times: Vec<i64>,
    rows: Vec<Vec<Option<f64>>>,
    anomaly: Vec<bool>,
    change: Vec<bool>,
}

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let mut records = Vec::new();
    for path in csv_files(folder)? {
        records.extend(read(&path)?);
    }
    if records.is_empty() {
        return Err(TrainingError::content(folder, "no file with columns \"anomaly\" and \"changepoint\""));
    }
    let (mut whole, mut all) = (Counts::default(), Counts::default());
    let (mut found, mut said, mut changes) = (0, 0, 0);
    for (at, record) in records.iter().enumerate() {
        watch.tell("file", at, records.len());
        let judged = judge(record, LEARNING);
        watch.draw(|| figure(record, &judged));
        whole.add(&judged, record);
        for (at, _) in &judged {
            all.count(true, record.anomaly[*at]);
        }
        let told: Vec<i64> =
            judged.iter().filter(|(_, said)| said.change).map(|&(at, _)| record.times[at]).collect();
        let true_changes: Vec<i64> = (LEARNING..record.rows.len())
            .filter(|&at| record.change[at])
            .map(|at| record.times[at])
            .collect();
        (said, changes) = (said + told.len(), changes + true_changes.len());
        found += matches(&true_changes, &told);
    }
    let mut drawn = Vec::new();
    for seed in 1..=DRAWN_STARTS {
        let (mut draws, mut counts) = (Draws::new(seed), Counts::default());
        for record in &records {
            let tested = record.rows.len().saturating_sub(LEARNING);
            let start = LEARNING + (draws.share() * tested as f64 / 2.0) as usize;
            counts.add(&judge(record, start), record);
        }
        drawn.push(counts.f1());
    }
    let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
    let least = drawn.iter().copied().fold(1.0, f64::min);
    let share = |part: usize, whole: usize| three(part as f64 / whole.max(1) as f64);
    Ok(json!({
        "files": records.len(),
        "rows_judged": whole.rows(),
        "f1": three(whole.f1()),
        "false_alarm_rate": share(whole.false_alarms, whole.false_alarms + whole.quiet),
        "missed_rate": share(whole.missed, whole.missed + whole.hits),
        "f1_if_every_row_were_flagged": three(all.f1()),
        "drawn_starts": { "draws": DRAWN_STARTS, "f1_mean": three(mean), "f1_least": three(least) },
        "change_points": {
            "precision": share(found, said), "recall": share(found, changes), "said": said, "true": changes,
        },
    }))
}

/// `None` for a table without labels.
fn read(path: &Path) -> Result<Option<Record>, TrainingError> {
    let table = Table::read_separated(path, b';')?;
    let (Some(anomaly), Some(change)) = (table.column(&["anomaly"]), table.column(&["changepoint"])) else {
        return Ok(None);
    };
    let time = table.expect_column("datetime")?;
    let columns: Vec<usize> =
        (0..table.header.len()).filter(|column| ![anomaly, change, time].contains(column)).collect();
    let spec = u8::try_from(columns.len()).ok().and_then(|count| GroupSpec::new(count, LEARNING as u16));
    let problem = || TrainingError::content(path, format!("{} streams, 1 to 12 are expected", columns.len()));
    let spec = spec.ok_or_else(problem)?;
    let streams: Vec<Vec<Option<f64>>> =
        columns.iter().map(|&column| table.numbers(column)).collect::<Result<_, _>>()?;
    let rows = (0..table.rows.len()).map(|row| streams.iter().map(|stream| stream[row]).collect()).collect();
    let flags = |column| -> Result<Vec<bool>, TrainingError> {
        Ok(table.expect_numbers(column)?.into_iter().map(|flag| flag > 0.5).collect())
    };
    let (anomaly, change) = (flags(anomaly)?, flags(change)?);
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let name = format!("{folder}-{}", path.file_stem().unwrap_or_default().to_string_lossy());
    Ok(Some(Record { name, spec, times: table.times(time)?, rows, anomaly, change }))
}

/// The judgement of each row from `start` on; what lies between the rows that teach and these is not shown.
fn judge(record: &Record, start: usize) -> Vec<(usize, GroupJudgement)> {
    let mut state = GroupState::new(record.spec);
    let mut out = Vec::new();
    for (at, row) in record.rows.iter().enumerate() {
        if at < LEARNING || at >= start {
            // Tables hold finite numbers of the width that the spec was made for.
            let Ok(said) = state.step(row) else { continue };
            if at >= start {
                out.push((at, said));
            }
        }
    }
    out
}

/// The distance of each row, against the threshold and the labels.
fn figure(record: &Record, judged: &[(usize, GroupJudgement)]) -> Figure {
    let name = &record.name;
    let title = format!("{name}: score of all streams together, change points told, labelled anomalies");
    let time = |at: usize| record.times[at] as f64;
    let ends = [judged.first(), judged.last()].into_iter().flatten().map(|&(at, _)| (time(at), 0.5));
    let mut figure = Figure::new(format!("skab-{name}"), title, Axis::Time, "score")
        .line("score", Role::Said, judged.iter().map(|(at, said)| (time(*at), said.score)))
        .line("anomaly from here on", Role::Reference, ends);
    figure.spans = labelled(&record.anomaly, LEARNING).map(|(a, b)| (time(a), time(b))).collect();
    figure.span_name = "labelled anomaly".into();
    let changes = judged.iter().filter(|(_, said)| said.change);
    figure.marks =
        changes.map(|(at, said)| Mark { at: (time(*at), said.score), reason: String::new() }).collect();
    figure.mark_name = "change point".into();
    figure
}

/// First and last row of every run of labelled rows from `from` on.
fn labelled(flags: &[bool], from: usize) -> impl Iterator<Item = (usize, usize)> {
    let starts = move |at: &usize| flags[*at] && (*at == from || !flags[*at - 1]);
    (from..flags.len()).filter(starts).map(move |start| {
        let length = flags[start..].iter().take_while(|flag| **flag).count();
        (start, start + length - 1)
    })
}

/// How many true changes have a said one near them, each said one used once, in the order of time.
fn matches(changes: &[i64], said: &[i64]) -> usize {
    let mut free: Vec<i64> = said.to_vec();
    let mut found = 0;
    for change in changes {
        let apart = |at: &usize| (free[*at] - change).abs();
        if let Some(at) = (0..free.len()).min_by_key(apart).filter(|at| apart(at) <= NEAR_US) {
            free.remove(at);
            found += 1;
        }
    }
    found
}

#[derive(Debug, Default)]
struct Counts {
    hits: usize,
    false_alarms: usize,
    missed: usize,
    quiet: usize,
}

impl Counts {
    fn add(&mut self, judged: &[(usize, GroupJudgement)], record: &Record) {
        for (at, said) in judged {
            self.count(said.anomaly(), record.anomaly[*at]);
        }
    }

    fn count(&mut self, said: bool, is: bool) {
        *match (said, is) {
            (true, true) => &mut self.hits,
            (true, false) => &mut self.false_alarms,
            (false, true) => &mut self.missed,
            (false, false) => &mut self.quiet,
        } += 1;
    }

    fn rows(&self) -> usize {
        self.hits + self.false_alarms + self.missed + self.quiet
    }

    fn f1(&self) -> f64 {
        2.0 * self.hits as f64 / (2 * self.hits + self.false_alarms + self.missed).max(1) as f64
    }
}

fn three(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_change_point_is_matched_once_and_only_within_a_minute() {
        let seconds = |all: &[i64]| all.iter().map(|second| second * 1_000_000).collect::<Vec<_>>();
        let count = |changes: &[i64], said: &[i64]| matches(&seconds(changes), &seconds(said));
        assert_eq!(count(&[100, 150], &[120]), 1);
        assert_eq!(count(&[100, 150], &[90, 160]), 2);
        assert_eq!(count(&[100], &[161]), 0);
        assert_eq!(count(&[100], &[40, 160]), 1);
        assert_eq!(count(&[], &[40]), 0);
    }
}
