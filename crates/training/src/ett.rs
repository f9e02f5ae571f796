//! Suite `ett`: long forecasts of hourly transformer loads, on every CSV file of the layout of ETTh1.
//!
//! The protocol that papers use: 12, 4 and 4 months of 30 days; all columns but `date`, standardised with mean and
//! deviation of the training rows; every window of the test part; mean squared and absolute error over all columns on
//! the standardised values. Lookback and level are chosen by the validation error; nothing is refitted on test data.

use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::forecast::{LagRidge, WindowSums};

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Role};
use crate::table::{Table, csv_files};
use crate::watch::Watch;

const MONTH: usize = 30 * 24;
const HORIZONS: [usize; 4] = [96, 192, 336, 720];
/// The longest lookback of the protocol is 512.
const LOOKBACKS: [usize; 2] = [336, 512];
const LEVELS: [usize; 4] = [1, 24, 168, 512];
const PENALTIES: [f64; 3] = [1e-3, 1e-2, 1e-1];

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let mut out = Map::new();
    for path in csv_files(folder)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        out.insert(name, file(&path, watch)?);
    }
    Ok(Value::Object(out))
}

fn file(path: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let table = Table::read(path)?;
    let date = table.expect_column("date")?;
    let (train, valid, test) = (12 * MONTH, 16 * MONTH, 20 * MONTH);
    if table.rows.len() < test {
        let problem = format!("{} rows; {test} (20 months of hours) are expected", table.rows.len());
        return Err(TrainingError::content(path, problem));
    }
    let names: Vec<&String> = (0..table.header.len())
        .filter(|&column| column != date)
        .map(|column| &table.header[column])
        .collect();
    let columns: Vec<Vec<f64>> = (0..table.header.len())
        .filter(|&column| column != date)
        .map(|column| Ok(standardised(&table.expect_numbers(column)?, train)))
        .collect::<Result<_, TrainingError>>()?;
    let mut figures = Map::new();
    for (turn, horizon) in HORIZONS.into_iter().enumerate() {
        let mut tried: Vec<(f64, String, LagRidge)> = Vec::new();
        for (at, lookback) in LOOKBACKS.into_iter().enumerate() {
            watch.tell("regression", turn * LOOKBACKS.len() + at, HORIZONS.len() * LOOKBACKS.len());
            let mut sums = WindowSums::new(lookback, horizon);
            for column in &columns {
                sums.add(&column[..train], 1.0);
            }
            for level in LEVELS.into_iter().filter(|&level| level <= lookback) {
                for penalty in PENALTIES {
                    let Some(model) = sums.fit(level, penalty) else { continue };
                    let (mse, _) = errors(&columns, &model, train, valid, 7);
                    tried.push((
                        mse,
                        format!("lookback {lookback}, level {level}, penalty {penalty}"),
                        model,
                    ));
                }
            }
        }
        tried.sort_by(|a, b| a.0.total_cmp(&b.0));
        let Some(best) = tried.first() else { continue };
        let (mse, mae) = errors(&columns, &best.2, valid, test, 1);
        if let (Some(column), Some(&name), 96) = (columns.last(), names.last(), horizon) {
            watch.draw(|| figure(column, name, &best.2, test - horizon, path));
        }
        figures.insert(
            format!("horizon_{horizon}"),
            json!({
                "mse": round(mse), "mae": round(mae), "choice": best.1, "validation_mse": round(best.0),
            }),
        );
    }
    Ok(Value::Object(figures))
}

/// The last window of the test part, one column of it.
fn figure(values: &[f64], name: &str, model: &LagRidge, origin: usize, path: &Path) -> Figure {
    let file = path.file_stem().unwrap_or_default().to_string_lossy();
    let horizon = model.horizon();
    let title = format!("{file}: {name}, the last {horizon} hours of the test part");
    let hours = |from: usize, to: usize| (from..to).map(|at| (at as f64 - origin as f64, values[at]));
    let said = model.forecast(&values[..origin]).unwrap_or_default();
    let axis = Axis::Number("hours from the forecast on".into());
    Figure::new(format!("ett-{file}-{name}"), title, axis, "standardised")
        .line("measured", Role::Measured, hours(origin - 2 * horizon, origin + horizon))
        .line("forecast", Role::Said, said.into_iter().enumerate().map(|(at, value)| (at as f64, value)))
}

fn standardised(values: &[f64], train: usize) -> Vec<f64> {
    let mean = values[..train].iter().sum::<f64>() / train as f64;
    let variance =
        values[..train].iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / train as f64;
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    values.iter().map(|value| (value - mean) / deviation).collect()
}

/// Mean squared and absolute error over all windows whose first predicted row is at or after `from`, and whose last is
/// before `to`; only every `stride`-th window.
fn errors(columns: &[Vec<f64>], model: &LagRidge, from: usize, to: usize, stride: usize) -> (f64, f64) {
    let horizon = model.horizon();
    let (mut squared, mut absolute, mut count) = (0.0, 0.0, 0.0);
    for column in columns {
        for origin in (from..=to - horizon).step_by(stride) {
            let Some(forecast) = model.forecast(&column[..origin]) else { continue };
            for (forecast, actual) in forecast.iter().zip(&column[origin..origin + horizon]) {
                squared += (forecast - actual) * (forecast - actual);
                absolute += (forecast - actual).abs();
                count += 1.0;
            }
        }
    }
    (squared / count, absolute / count)
}

fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
