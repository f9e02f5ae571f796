//! Suite `ecg_mitbih`: heart beats and the ventricular ones among them, for every `X.i16` with an `X_beats.csv` and an
//! `X_pvc.csv` (sample numbers, 360 a second).
//!
//! `triad_models::heart` runs over the samples as they come, with one configuration. A beat is found if one is said within
//! 150 ms, each matched once. Whether a beat is ventricular is told by a logistic regression on five numbers that compare it
//! with the patient's own beats, trained on all other records; found within 75 ms. Records that the folder's README names in
//! a sentence with "paced" are neither trained on nor pooled for that, and stand apart.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use triad_models::heart::{Beat, HeartMonitor, SAMPLES_PER_SECOND};

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Mark, Role};
use crate::logistic::{Logistic, Sample};
use crate::watch::Watch;

const BEAT_NEAR: u64 = 54;
const VENTRICULAR_NEAR: u64 = 27;
/// Of half the squared weights.
const PENALTY: f64 = 100.0;
/// Ventricular beats of a record that has few of them weigh more, at most so many times.
const USUAL_COUNT: f64 = 400.0;
const MOST_WEIGHT: f64 = 10.0;

struct Record {
    name: String,
    paced: bool,
    beats: Vec<u64>,
    ventricular: Vec<u64>,
    said: Vec<Beat>,
}

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let records = read(folder, watch)?;
    let (mut beats, mut ventricular, mut paced) = (Counts::default(), Counts::default(), Counts::default());
    let mut each = Map::new();
    for record in &records {
        let said: Vec<u64> = record.said.iter().map(|beat| beat.at).collect();
        let of_beats = Counts::of(&record.beats, &said, BEAT_NEAR);
        let others = records.iter().filter(|other| !other.paced && other.name != record.name);
        let model = learn(others);
        let told: Vec<u64> = record
            .said
            .iter()
            .filter(|beat| {
                let odds =
                    beat.features.zip(model.as_ref()).map(|(features, model)| model.probability(&features));
                odds.is_some_and(|odds| odds > 0.5)
            })
            .map(|beat| beat.at)
            .collect();
        let of_ventricular = Counts::of(&record.ventricular, &told, VENTRICULAR_NEAR);
        beats.add(of_beats);
        if record.paced { &mut paced } else { &mut ventricular }.add(of_ventricular);
        let figures = json!({ "paced": record.paced, "beats": of_beats.figures(), "ventricular": of_ventricular.figures() });
        each.insert(record.name.clone(), figures);
    }
    Ok(json!({
        "beats": beats.figures(),
        "ventricular": ventricular.figures(),
        "ventricular_of_paced": paced.figures(),
        "records": each,
    }))
}

fn read(folder: &Path, watch: &mut Watch<'_>) -> Result<Vec<Record>, TrainingError> {
    let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let about_pacing: String =
        readme.split(['.', '\n']).filter(|sentence| sentence.contains("paced")).collect::<Vec<_>>().join(" ");
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainingError::io(folder))? {
        let path = entry.map_err(TrainingError::io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "i16") {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(TrainingError::content(folder, "no file ….i16"));
    }
    let mut records = Vec::new();
    for (at, path) in files.iter().enumerate() {
        watch.tell("record", at, files.len());
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let list = |kind: &str| places(&folder.join(format!("{name}_{kind}.csv")));
        let (beats, ventricular) = (list("beats")?, list("pvc")?);
        let samples = samples(path)?;
        let said = find(&samples);
        watch.draw(|| strip(&name, &samples, &said, &ventricular));
        let words = || about_pacing.split(|c: char| !c.is_alphanumeric() && c != '_');
        records.push(Record { paced: words().any(|word| word == name), name, beats, ventricular, said });
    }
    Ok(records)
}

/// Little-endian 16 bit samples.
pub(crate) fn samples(path: &Path) -> Result<Vec<i16>, TrainingError> {
    let bytes = fs::read(path).map_err(TrainingError::io(path))?;
    let (samples, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(TrainingError::content(path, "half a sample at the end"));
    }
    Ok(samples.iter().map(|&bytes| i16::from_le_bytes(bytes)).collect())
}

/// The beats in samples.
pub(crate) fn find(samples: &[i16]) -> Vec<Beat> {
    let mut monitor = HeartMonitor::default();
    let mut said: Vec<Beat> = samples.iter().filter_map(|&sample| monitor.step(sample.into())).collect();
    said.extend(monitor.finish());
    said
}

/// Ten seconds: around the first ventricular beat after the first half minute, or the begin of the second half minute.
fn strip(name: &str, samples: &[i16], said: &[Beat], ventricular: &[u64]) -> Figure {
    let second = SAMPLES_PER_SECOND as u64;
    let wanted = ventricular.iter().copied().find(|&at| at >= 30 * second).unwrap_or(35 * second);
    let last = samples.len() as u64;
    let from = wanted.saturating_sub(5 * second).min(last.saturating_sub(10 * second));
    let to = (from + 10 * second).min(last);
    let seconds = |at: u64| at as f64 / second as f64;
    let title = format!("record {name}: beats told, and ventricular ones as labelled");
    let points = (from..to).map(|at| (seconds(at), f64::from(samples[at as usize])));
    let mut figure = Figure::new(format!("ecg-{name}"), title, Axis::Number("seconds".into()), "sample")
        .line("lead", Role::Measured, points);
    let inside = |at: &u64| (from..to).contains(at);
    let near = VENTRICULAR_NEAR;
    figure.spans = ventricular
        .iter()
        .filter(|at| inside(at))
        .map(|&at| (seconds(at.saturating_sub(near).max(from)), seconds((at + near).min(to))))
        .collect();
    figure.span_name = "labelled ventricular".into();
    let told = said.iter().map(|beat| beat.at).filter(inside);
    figure.marks = told
        .map(|at| Mark { at: (seconds(at), f64::from(samples[at as usize])), reason: String::new() })
        .collect();
    figure.mark_name = "beat".into();
    figure
}

/// What tells ventricular beats, from all records but the paced ones.
pub(crate) fn train(folder: &Path, watch: &mut Watch<'_>) -> Result<(Logistic, Value), TrainingError> {
    let records = read(folder, watch)?;
    let used = || records.iter().filter(|record| !record.paced);
    let problem = || TrainingError::content(folder, "no beats that a regression can be fitted to");
    let model = learn(used()).ok_or_else(problem)?;
    let count: usize = used().map(|record| record.ventricular.len()).sum();
    Ok((model, json!({ "records": used().count(), "ventricular_beats": count, "penalty": PENALTY })))
}

/// Sample numbers, ascending, one a line; a line that is no number is the header.
fn places(path: &Path) -> Result<Vec<u64>, TrainingError> {
    let text = fs::read_to_string(path).map_err(TrainingError::io(path))?;
    let mut places = Vec::new();
    for (line, word) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match word.trim().parse() {
            Ok(place) => places.push(place),
            Err(_) if line == 0 => {}
            Err(_) => {
                return Err(TrainingError::content(path, format!("line {}: no sample number", line + 1)));
            }
        }
    }
    places.sort_unstable();
    Ok(places)
}

fn learn<'a>(records: impl Iterator<Item = &'a Record>) -> Option<Logistic> {
    let mut samples: Vec<Sample<'_>> = Vec::new();
    for record in records {
        let weight = (USUAL_COUNT / record.ventricular.len().max(1) as f64).sqrt().min(MOST_WEIGHT);
        for beat in &record.said {
            if let Some(features) = &beat.features {
                let is = record.ventricular.iter().any(|place| place.abs_diff(beat.at) <= VENTRICULAR_NEAR);
                samples.push((features.as_slice(), is, if is { weight } else { 1.0 }));
            }
        }
    }
    Logistic::fit(&samples, PENALTY)
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    found: usize,
    missed: usize,
    wrong: usize,
}

impl Counts {
    /// Both ascending; each place matched once.
    fn of(places: &[u64], said: &[u64], near: u64) -> Self {
        let mut counts = Self::default();
        let (mut at, mut next) = (0, 0);
        while at < places.len() && next < said.len() {
            let (place, one) = (places[at], said[next]);
            if place.abs_diff(one) <= near {
                counts.found += 1;
                (at, next) = (at + 1, next + 1);
            } else if place < one {
                counts.missed += 1;
                at += 1;
            } else {
                counts.wrong += 1;
                next += 1;
            }
        }
        counts.missed += places.len() - at;
        counts.wrong += said.len() - next;
        counts
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.missed += other.missed;
        self.wrong += other.wrong;
    }

    fn figures(self) -> Value {
        let share = |of: usize| (self.found as f64 / of.max(1) as f64 * 1e4).round() / 1e4;
        let f1 = 2.0 * self.found as f64 / (2 * self.found + self.missed + self.wrong).max(1) as f64;
        json!({
            "sensitivity": share(self.found + self.missed),
            "precision": share(self.found + self.wrong),
            "f1": (f1 * 1e4).round() / 1e4,
            "found": self.found, "missed": self.missed, "wrong": self.wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn each_beat_is_matched_once() {
        let counts = |places: &[u64], said: &[u64]| {
            let Counts { found, missed, wrong } = Counts::of(places, said, 10);
            (found, missed, wrong)
        };
        assert_eq!(counts(&[100, 200], &[95, 105, 200]), (2, 0, 1));
        assert_eq!(counts(&[100, 200], &[150]), (0, 2, 1));
        assert_eq!(counts(&[], &[1]), (0, 0, 1));
    }
}
