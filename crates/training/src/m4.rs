//! Suite `m4_hourly`: the 48 values after each hourly series of the M4 competition.
//!
//! `Hourly-train.csv` and `Hourly-test.csv`: an identifier, then values; series of any length. sMAPE and MASE (season
//! 24) as in the competition (Makridakis et al. 2020, doi 10.1016/j.ijforecast.2019.04.014). Four regressions on lags
//! (all series together or each alone, of values or of logarithms) and two seasonal naive forecasts; each is
//! backtested on the last 48 training values, and a series' forecast is their mean weighted by the backtest. Nothing of
//! the test file is used before the final score.

use std::path::Path;

use serde_json::{Value, json};
use triad_models::forecast::{LagRidge, WindowSums};

use crate::error::TrainingError;

const HORIZON: usize = 48;
const SEASON: usize = 24;
const WEEK: usize = 168;
const LOOKBACK: usize = 2 * WEEK;
const POOLED_PENALTY: f64 = 1e-4;
const OWN_PENALTY: f64 = 1e-2;
/// Errors of a backtest count to this power: the better a candidate, the more of it.
const SHARPNESS: i32 = 3;

pub(crate) fn evaluate(folder: &Path) -> Result<Value, TrainingError> {
    let train = series(&folder.join("Hourly-train.csv"))?;
    let test = series(&folder.join("Hourly-test.csv"))?;
    let pairs: Vec<(&[f64], &[f64])> = train
        .iter()
        .filter_map(|(name, values)| {
            let (_, actual) = test.iter().find(|(other, _)| other == name)?;
            Some((values.as_slice(), actual.as_slice()))
        })
        .filter(|(values, actual)| values.len() >= 4 * HORIZON + SEASON && actual.len() == HORIZON)
        .collect();
    if pairs.is_empty() {
        return Err(TrainingError::content(folder, "no series with 48 test values was found in both files"));
    }
    let backtest: Vec<&[f64]> = pairs.iter().map(|(values, _)| &values[..values.len() - HORIZON]).collect();
    let whole: Vec<&[f64]> = pairs.iter().map(|(values, _)| *values).collect();
    let earlier: Vec<&[f64]> =
        pairs.iter().map(|(values, _)| &values[..values.len() - 2 * HORIZON]).collect();
    let (earlier, before, now) = (candidates(&earlier), candidates(&backtest), candidates(&whole));
    let names = [
        "pooled regression",
        "pooled regression of logarithms",
        "own regression",
        "own regression of logarithms",
        "day",
        "week",
    ];
    let mut alone = vec![[0.0; 2]; names.len()];
    let (mut smape_sum, mut mase_sum) = (0.0, 0.0);
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); HORIZON];
    let mut mixed = Vec::new();
    for (at, (values, actual)) in pairs.iter().enumerate() {
        let (held_before, held) = values[values.len() - 2 * HORIZON..].split_at(HORIZON);
        let scale = season_error(&values[..values.len() - HORIZON]);
        // The interval knows how far a mix was off whose weights did not know the values either.
        let old = mean(&before[at], &weights(&earlier[at], held_before));
        for (ahead, errors) in errors.iter_mut().enumerate() {
            errors.push((old[ahead] - held[ahead]).abs() / scale);
        }
        let forecast = mean(&now[at], &weights(&before[at], held));
        let scale = season_error(values);
        smape_sum += smape(&forecast, actual);
        mase_sum += mae(&forecast, actual) / scale;
        for (sums, candidate) in alone.iter_mut().zip(&now[at]) {
            sums[0] += smape(candidate, actual);
            sums[1] += mae(candidate, actual) / scale;
        }
        mixed.push((forecast, scale));
    }
    let count = pairs.len() as f64;
    let candidates: Vec<Value> = names
        .iter()
        .zip(alone)
        .map(|(name, [smape, mase])| json!({"name": name, "smape": three(smape / count), "mase": three(mase / count)}))
        .collect();
    Ok(json!({
        "series": pairs.len(),
        "smape": three(smape_sum / count),
        "mase": three(mase_sum / count),
        "candidates_alone": candidates,
        "interval": intervals(errors, &mixed, &pairs),
    }))
}

/// Split conformal over series: at each step the error, in season errors, that nine in ten series kept in the backtest.
fn intervals(mut errors: Vec<Vec<f64>>, mixed: &[(Vec<f64>, f64)], pairs: &[(&[f64], &[f64])]) -> Value {
    let halves: Vec<f64> = errors
        .iter_mut()
        .map(|errors| {
            errors.sort_by(f64::total_cmp);
            let at = libm::ceil((errors.len() + 1) as f64 * 0.9) as usize;
            errors[at.clamp(1, errors.len()) - 1]
        })
        .collect();
    let (mut inside, mut all, mut width) = (0, 0, 0.0);
    for ((forecast, scale), (_, actual)) in mixed.iter().zip(pairs) {
        for ahead in 0..HORIZON {
            inside += usize::from((forecast[ahead] - actual[ahead]).abs() <= halves[ahead] * scale);
            all += 1;
            width += 2.0 * halves[ahead];
        }
    }
    json!({ "promised": 0.9, "inside": three(inside as f64 / all as f64), "mean_width_in_season_errors": three(width / all as f64) })
}

/// Forecasts of each series by each candidate, in the order of `names`.
fn candidates(series: &[&[f64]]) -> Vec<Vec<Vec<f64>>> {
    let lookback = |values: &[f64]| LOOKBACK.min((values.len() - HORIZON) / 2 / SEASON * SEASON);
    let mut pooled = WindowSums::new(LOOKBACK, HORIZON);
    for values in series {
        let scale = season_error(values);
        pooled.add(values, 1.0 / (scale * scale));
    }
    let pooled = pooled.fit(WEEK, POOLED_PENALTY);
    let logarithms = |values: &[f64]| -> Option<Vec<f64>> {
        values.iter().map(|&value| (value > 0.0).then(|| libm::log(value))).collect()
    };
    let mut pooled_logs = WindowSums::new(LOOKBACK, HORIZON);
    for logs in series.iter().filter_map(|values| logarithms(values)) {
        let scale = season_error(&logs);
        pooled_logs.add(&logs, 1.0 / (scale * scale));
    }
    let pooled_logs = pooled_logs.fit(WEEK, POOLED_PENALTY);
    let back = |forecast: Vec<f64>| {
        forecast.into_iter().map(|value| libm::exp(value.min(700.0))).collect::<Vec<f64>>()
    };
    let own = |values: &[f64]| -> Option<Vec<f64>> {
        let length = lookback(values);
        let mut sums = WindowSums::new(length, HORIZON);
        sums.add(values, 1.0);
        sums.fit(WEEK.min(length), OWN_PENALTY).and_then(|model: LagRidge| model.forecast(values))
    };
    series
        .iter()
        .map(|values| {
            let day = naive(values, SEASON);
            let week = naive(values, if values.len() >= WEEK { WEEK } else { SEASON });
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let logs = logarithms(values);
            let own_logs = logs.as_deref().and_then(own).map(back);
            let together_logs =
                logs.as_deref().and_then(|logs| pooled_logs.as_ref()?.forecast(logs)).map(back);
            let alone = own(values).unwrap_or_else(|| day.clone());
            let together = pooled.as_ref().and_then(|model| model.forecast(values));
            let sane = |forecast: Vec<f64>| -> Vec<f64> {
                // Nothing far beyond what was seen.
                let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let span = high - low;
                let least = if low >= 0.0 { low / 2.0 } else { low - span };
                forecast.into_iter().map(|value| value.clamp(least, high + span)).collect()
            };
            let together = together.unwrap_or_else(|| alone.clone());
            let together_logs = together_logs.unwrap_or_else(|| together.clone());
            let own_logs = own_logs.unwrap_or_else(|| alone.clone());
            [together, together_logs, alone, own_logs, day, week].map(sane).to_vec()
        })
        .collect()
}

/// The share of each candidate, by how far it was off in a backtest.
fn weights(forecasts: &[Vec<f64>], actual: &[f64]) -> Vec<f64> {
    let weight = |forecast: &Vec<f64>| {
        let error = smape(forecast, actual).max(1e-3);
        (0..SHARPNESS).fold(1.0, |weight, _| weight / error)
    };
    forecasts.iter().map(weight).collect()
}

fn naive(values: &[f64], season: usize) -> Vec<f64> {
    let last = &values[values.len() - season..];
    (0..HORIZON).map(|ahead| last[ahead % season]).collect()
}

fn mean(forecasts: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    let at =
        |ahead: usize| forecasts.iter().zip(weights).map(|(f, weight)| weight * f[ahead]).sum::<f64>() / sum;
    (0..HORIZON).map(at).collect()
}

fn smape(forecast: &[f64], actual: &[f64]) -> f64 {
    let one = |(f, a): (&f64, &f64)| {
        let size = f.abs() + a.abs();
        if size > 0.0 { 200.0 * (f - a).abs() / size } else { 0.0 }
    };
    forecast.iter().zip(actual).map(one).sum::<f64>() / actual.len() as f64
}

fn mae(forecast: &[f64], actual: &[f64]) -> f64 {
    forecast.iter().zip(actual).map(|(f, a)| (f - a).abs()).sum::<f64>() / actual.len() as f64
}

/// Mean step over a season: what MASE divides by.
fn season_error(values: &[f64]) -> f64 {
    let steps = values.len() - SEASON;
    let sum: f64 = (SEASON..values.len()).map(|at| (values[at] - values[at - SEASON]).abs()).sum();
    (sum / steps as f64).max(1e-9)
}

fn series(path: &Path) -> Result<Vec<(String, Vec<f64>)>, TrainingError> {
    let wrong = |error: csv::Error| TrainingError::content(path, error.to_string());
    let bytes = std::fs::read(path).map_err(TrainingError::io(path))?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let mut out = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let mut cells = record.iter();
        let name = cells.next().unwrap_or_default().to_owned();
        let values = cells
            .map(str::trim)
            .take_while(|cell| !cell.is_empty() && *cell != "NA")
            .map(|cell| {
                let value = cell.parse::<f64>().ok().filter(|value| value.is_finite());
                value.ok_or_else(|| {
                    TrainingError::content(path, format!("series {name}: {cell:?} is no number"))
                })
            })
            .collect::<Result<_, _>>()?;
        out.push((name, values));
    }
    Ok(out)
}

fn three(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
