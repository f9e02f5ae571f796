//! Suite `nab`: the default detector on a folder of the Numenta Anomaly Benchmark's layout.
//!
//! `data/<category>/<file>.csv` (columns `timestamp`, `value`) and `labels/combined_windows.json` (file -> windows). One
//! configuration for all files, no look-ahead. A file without a label entry is judged as one without windows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::TrainingError;
use crate::nab_scorer::{Judged, PROFILES, score};
use crate::score::{range_of, score as judge};
use crate::table::{Table, csv_files};
use crate::watch::Watch;

/// The threshold that the detector's own alarms use.
const FIXED: f64 = 0.5;
const WEEK_US: f64 = 604_800e6;

type Windows = BTreeMap<String, Vec<[String; 2]>>;

struct File {
    category: String,
    judged: Judged,
    weeks: f64,
    alarms: usize,
}

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let labels = folder.join("labels/combined_windows.json");
    let text = fs::read_to_string(&labels).map_err(TrainingError::io(&labels))?;
    let windows: Windows =
        serde_json::from_str(&text).map_err(|error| TrainingError::content(&labels, error.to_string()))?;
    let data = folder.join("data");
    let (mut causal, mut ranged) = (Vec::new(), Vec::new());
    let (mut readings, mut ns) = (0, 0.0);
    let paths = csv_files(&data)?;
    for (at, path) in paths.iter().enumerate() {
        let name = path.strip_prefix(&data).unwrap_or(path).to_string_lossy().replace('\\', "/");
        watch.tell("file", at, paths.len());
        let table = Table::read(path)?;
        let times = table.times(table.expect_column("timestamp")?)?;
        let values = table.numbers(table.expect_column("value")?)?;
        let spans = spans(&times, windows.get(&name).map_or(&[], Vec::as_slice), path)?;
        let category = name.split('/').next().unwrap_or_default().to_owned();
        let weeks =
            times.last().zip(times.first()).map_or(0.0, |(b, a)| b.saturating_sub(*a) as f64 / WEEK_US);
        for (range, files) in [(None, &mut causal), (range_of(&values), &mut ranged)] {
            let scored = judge(&times, &values, range);
            if range.is_none() {
                readings += times.len();
                ns += scored.spent.as_nanos() as f64;
                watch.draw(|| {
                    let title = format!("{name}: value, alarms of the default detector, labelled windows");
                    let mut figure = scored.figure(format!("nab-{name}"), title, "value", &times, &values);
                    figure.spans = spans.iter().map(|&(a, b)| (times[a] as f64, times[b] as f64)).collect();
                    figure.span_name = "labelled".into();
                    figure
                });
            }
            let alarms = scored.alarms.len();
            let judged = Judged::new(scored.scores, &spans);
            files.push(File { category: category.clone(), judged, weeks, alarms });
        }
    }
    Ok(json!({
        "files": causal.len(),
        "readings": readings,
        "ns_a_reading": if readings > 0 { (ns / readings as f64).round() } else { 0.0 },
        "causal": figures(&causal),
        "range_declared": figures(&ranged),
        "left_out_category": left_out(&causal),
        "files_without_anomaly": quiet_files(&causal),
    }))
}

fn spans(times: &[i64], windows: &[[String; 2]], path: &Path) -> Result<Vec<(usize, usize)>, TrainingError> {
    let row = |text: &String| {
        let time = crate::time::microseconds(text).map(|time| time - time.rem_euclid(1_000_000));
        let found = times.iter().position(|&at| Some(at - at.rem_euclid(1_000_000)) == time);
        found
            .ok_or_else(|| TrainingError::content(path, format!("no row has the time {text:?} of its label")))
    };
    windows.iter().map(|[from, to]| Ok((row(from)?, row(to)?))).collect()
}

fn figures(files: &[File]) -> Value {
    let all: Vec<&Judged> = files.iter().map(|file| &file.judged).collect();
    let mut figures = Map::new();
    for profile in PROFILES {
        let fixed = score(&all, profile, Some(FIXED)).map(|(score, _)| two(score));
        let best = score(&all, profile, None);
        figures.insert(
            profile.name.into(),
            json!({
                "at_0.5": fixed,
                "at_best_threshold": best.map(|(score, _)| two(score)),
                "best_threshold": best.map(|(_, at)| at),
            }),
        );
    }
    Value::Object(figures)
}

/// Every category apart: at 0.5, and at the threshold that is best for the other categories.
fn left_out(files: &[File]) -> Value {
    let categories: BTreeMap<&str, ()> = files.iter().map(|file| (file.category.as_str(), ())).collect();
    let mut out = Map::new();
    for &category in categories.keys() {
        let split = |inside: bool| -> Vec<&Judged> {
            let wanted = files.iter().filter(|file| (file.category == category) == inside);
            wanted.map(|file| &file.judged).collect()
        };
        let Some((fixed, _)) = score(&split(true), PROFILES[0], Some(FIXED)) else { continue };
        let threshold = score(&split(false), PROFILES[0], None).map(|(_, at)| at);
        let chosen = score(&split(true), PROFILES[0], threshold).map(|(score, _)| two(score));
        out.insert(category.into(), json!({ "at_0.5": two(fixed), "threshold_of_the_others": chosen }));
    }
    Value::Object(out)
}

fn quiet_files(files: &[File]) -> Value {
    let quiet: Vec<&File> = files.iter().filter(|file| file.judged.windows == 0).collect();
    let weeks: f64 = quiet.iter().map(|file| file.weeks).sum();
    let alarms: usize = quiet.iter().map(|file| file.alarms).sum();
    let scored: usize = quiet.iter().map(|file| file.judged.false_alarms(FIXED)).sum();
    json!({
        "files": quiet.len(),
        "stream_weeks": two(weeks),
        "alarms": alarms,
        "alarms_after_the_unscored_rows": scored,
        "alarms_a_stream_and_week": (weeks > 0.0).then(|| two(alarms as f64 / weeks)),
    })
}

pub(crate) fn two(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
