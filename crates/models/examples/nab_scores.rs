//! Scores a folder of the Numenta Anomaly Benchmark's layout: `nab_scores DATA OUT [--range]`.
//!
//! Reads every `DATA/data/<category>/<file>.csv` (columns `timestamp`, `value`), runs the default detector over it row
//! by row, and writes `OUT/<category>/<file>.csv` with one score in [0, 1] a row. `--range` declares each file's own
//! range to the detector, as NAB permits. Prints the time a reading took and the largest state. `--alarms` also prints
//! every anomaly with its reason.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use triad_models::{AnomalySpec, Input, Spec, State, VerdictKind};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, paths): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let [data, out] = paths.as_slice() else { return Err("nab_scores DATA OUT [--range] [--alarms]".into()) };
    let (ranged, alarms) = (options.iter().any(|o| o == "--range"), options.iter().any(|o| o == "--alarms"));
    let (mut spent, mut rows, mut largest) = (Duration::ZERO, 0, 0);
    for path in csv_files(&Path::new(data).join("data"))? {
        let name = path.strip_prefix(Path::new(data).join("data"))?;
        let series = read(&path)?;
        let spec = Spec::Anomaly(AnomalySpec { range: range(&series).filter(|_| ranged) });
        let mut state = State::new(&spec);
        let started = Instant::now();
        let judgements: Vec<_> = series.iter().map(|&input| state.step(&spec, input)).collect();
        spent += started.elapsed();
        rows += series.len();
        largest = largest.max(state.encode().len());
        let mut text = String::from("anomaly_score\n");
        for (row, judgement) in judgements.iter().enumerate() {
            text.push_str(&format!("{}\n", f64::from(judgement.score_ppm) / 1e6));
            if alarms && judgement.kind == VerdictKind::Anomaly {
                println!("{}:{row}: {} {}", name.display(), judgement.score_ppm, judgement.reason);
            }
        }
        let target = Path::new(out).join(name);
        fs::create_dir_all(target.parent().ok_or("a file has a folder")?)?;
        fs::write(target, text)?;
    }
    println!(
        "{rows} readings, {:.0} ns each, largest state {largest} bytes",
        spent.as_nanos() as f64 / rows as f64
    );
    Ok(())
}

fn csv_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(csv_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Rows whose local time repeats or goes back (daylight saving) are put a microsecond after the one before, so that
/// every row is judged.
fn read(path: &Path) -> Result<Vec<Input>, Box<dyn Error>> {
    let mut series: Vec<Input> = Vec::new();
    for record in csv::Reader::from_path(path)?.records() {
        let record = record?;
        let (Some(time), Some(value)) = (record.get(0), record.get(1)) else {
            return Err("two columns".into());
        };
        let mut time_us = microseconds(time).ok_or_else(|| format!("no time: {time}"))?;
        if let Some(last) = series.last() {
            time_us = time_us.max(last.time_us + 1);
        }
        series.push(Input { time_us, value: value.parse()?, block_time_ms: 0 });
    }
    Ok(series)
}

/// `YYYY-MM-DD HH:MM:SS` as microseconds since the epoch (Hinnant's days-from-civil).
fn microseconds(text: &str) -> Option<i64> {
    let mut numbers = text.split(['-', ' ', ':', '.']).map(|part| part.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (year, month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000)
}

fn range(series: &[Input]) -> Option<(f64, f64)> {
    let low = series.iter().map(|input| input.value).min_by(f64::total_cmp)?;
    let high = series.iter().map(|input| input.value).max_by(f64::total_cmp)?;
    (low < high).then_some((low, high))
}
