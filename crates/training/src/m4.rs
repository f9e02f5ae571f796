//! Suite `m4_hourly`: the 48 values after each hourly series of the M4 competition.
//!
//! `Hourly-train.csv` and `Hourly-test.csv`: an identifier, then values; series of any length. sMAPE and MASE (season
//! 24) as in the competition (Makridakis et al. 2020, doi 10.1016/j.ijforecast.2019.04.014). Nine candidates
//! (`m4_candidates.rs`) are backtested on the last 48 training values and on the 48 before; a series' forecast is their mean
//! weighted by the backtests. Nothing of the test file is used before the final score.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Role};
use crate::m4_candidates::{HORIZON, NAMES, SEASON, candidates, season_error};
use crate::watch::Watch;

/// Errors of a backtest count to this power: the better a candidate, the more of it.
const SHARPNESS: i32 = 3;

/// Training values, and what came after.
type Pair<'a> = (&'a [f64], &'a [f64]);

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let train = series(&folder.join("Hourly-train.csv"))?;
    let test = series(&folder.join("Hourly-test.csv"))?;
    let (names, pairs): (Vec<&str>, Vec<Pair<'_>>) = train
        .iter()
        .filter_map(|(name, values)| {
            let (_, actual) = test.iter().find(|(other, _)| other == name)?;
            Some((name.as_str(), (values.as_slice(), actual.as_slice())))
        })
        .filter(|(_, (values, actual))| values.len() >= 5 * HORIZON + SEASON && actual.len() == HORIZON)
        .unzip();
    if pairs.is_empty() {
        return Err(TrainingError::content(folder, "no series with 48 test values was found in both files"));
    }
    // What each candidate says of the 48 values after the whole series, and after it without its last 48, 96, 144.
    let mut said = Vec::new();
    for back in 0..=3 {
        watch.tell("regressions", back, 4);
        let cut: Vec<&[f64]> =
            pairs.iter().map(|(values, _)| &values[..values.len() - back * HORIZON]).collect();
        said.push(candidates(&cut));
    }
    let mut alone = vec![[0.0; 2]; NAMES.len()];
    let (mut smape_sum, mut mase_sum) = (0.0, 0.0);
    let mut errors: Vec<Vec<f64>> = vec![Vec::new(); HORIZON];
    let mut mixed = Vec::new();
    for (at, (values, actual)) in pairs.iter().enumerate() {
        let held = |back: usize| {
            let from = values.len() - back * HORIZON;
            &values[from..from + HORIZON]
        };
        let backtest = |back: usize| (said[back][at].as_slice(), held(back));
        let scale = season_error(&values[..values.len() - HORIZON]);
        // The interval knows how far a mix was off whose weights did not know the values either.
        let old = mean(&said[1][at], &weights(&[backtest(2), backtest(3)]));
        for (ahead, errors) in errors.iter_mut().enumerate() {
            errors.push((old[ahead] - held(1)[ahead]).abs() / scale);
        }
        let forecast = mean(&said[0][at], &weights(&[backtest(1), backtest(2)]));
        let scale = season_error(values);
        smape_sum += smape(&forecast, actual);
        mase_sum += mae(&forecast, actual) / scale;
        for (sums, candidate) in alone.iter_mut().zip(&said[0][at]) {
            sums[0] += smape(candidate, actual);
            sums[1] += mae(candidate, actual) / scale;
        }
        mixed.push((forecast, scale));
    }
    let halves = half_widths(errors);
    draw(watch, &names, &mixed, &halves, &pairs);
    let count = pairs.len() as f64;
    let candidates: Vec<Value> = NAMES
        .iter()
        .zip(alone)
        .map(|(name, [smape, mase])| json!({"name": name, "smape": three(smape / count), "mase": three(mase / count)}))
        .collect();
    Ok(json!({
        "series": pairs.len(),
        "smape": three(smape_sum / count),
        "mase": three(mase_sum / count),
        "candidates_alone": candidates,
        "interval": intervals(&halves, &mixed, &pairs),
    }))
}

/// Split conformal over series: at each step the error, in season errors, that nine in ten series kept in the backtest.
fn half_widths(mut errors: Vec<Vec<f64>>) -> Vec<f64> {
    let quantile = |errors: &mut Vec<f64>| {
        errors.sort_by(f64::total_cmp);
        let at = libm::ceil((errors.len() + 1) as f64 * 0.9) as usize;
        errors[at.clamp(1, errors.len()) - 1]
    };
    errors.iter_mut().map(quantile).collect()
}

fn intervals(halves: &[f64], mixed: &[(Vec<f64>, f64)], pairs: &[Pair<'_>]) -> Value {
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

/// The share of each candidate, by how far it was off on average in backtests: the forecasts and what came true.
fn weights(backtests: &[(&[Vec<f64>], &[f64])]) -> Vec<f64> {
    let weight = |candidate: usize| {
        let errors = backtests.iter().map(|(forecasts, actual)| smape(&forecasts[candidate], actual));
        let error = (errors.sum::<f64>() / backtests.len() as f64).max(1e-3);
        (0..SHARPNESS).fold(1.0, |weight, _| weight / error)
    };
    (0..NAMES.len()).map(weight).collect()
}

/// The mean of forecasts; of their logarithms where all are above zero, since sMAPE counts ratios.
fn mean(forecasts: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let sum: f64 = weights.iter().sum();
    let weighted = |value: &dyn Fn(&Vec<f64>) -> f64| {
        forecasts.iter().zip(weights).map(|(forecast, weight)| weight * value(forecast)).sum::<f64>() / sum
    };
    let positive = forecasts.iter().flatten().all(|value| *value > 0.0);
    (0..HORIZON)
        .map(|ahead| {
            if positive {
                libm::exp(weighted(&|forecast| libm::log(forecast[ahead])))
            } else {
                weighted(&|forecast| forecast[ahead])
            }
        })
        .collect()
}

fn smape(forecast: &[f64], actual: &[f64]) -> f64 {
    let one = |(f, a): (&f64, &f64)| {
        let size = f.abs() + a.abs();
        if size > 0.0 { 200.0 * (f - a).abs() / size } else { 0.0 }
    };
    forecast.iter().zip(actual).map(one).sum::<f64>() / actual.len() as f64
}

/// The series with the least, the middle and the greatest sMAPE.
fn draw(
    watch: &mut Watch<'_>,
    names: &[&str],
    mixed: &[(Vec<f64>, f64)],
    halves: &[f64],
    pairs: &[Pair<'_>],
) {
    let mut order: Vec<(f64, usize)> =
        (0..pairs.len()).map(|at| (smape(&mixed[at].0, pairs[at].1), at)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (which, place) in [("best", 0), ("middle", order.len() / 2), ("worst", order.len() - 1)] {
        let (error, at) = order[place];
        let (values, actual) = pairs[at];
        let (forecast, scale) = &mixed[at];
        watch.draw(|| {
            let title =
                format!("{}: the series told {which}, sMAPE {error:.1}, and the 90 % interval", names[at]);
            let axis = Axis::Number("hours from the forecast on".into());
            let before = values.len().min(4 * HORIZON);
            let past = values[values.len() - before..].iter().chain(actual).enumerate();
            let hours = |ahead: usize| ahead as f64;
            let band = forecast.iter().zip(halves).enumerate();
            Figure::new(format!("m4_hourly-{which}"), title, axis, "value")
                .band(
                    "90 % interval",
                    band.map(|(ahead, (said, half))| {
                        (hours(ahead), said - half * scale, said + half * scale)
                    }),
                )
                .line("measured", Role::Measured, past.map(|(at, &value)| (at as f64 - before as f64, value)))
                .line(
                    "forecast",
                    Role::Said,
                    forecast.iter().enumerate().map(|(ahead, &said)| (hours(ahead), said)),
                )
        });
    }
}

fn mae(forecast: &[f64], actual: &[f64]) -> f64 {
    forecast.iter().zip(actual).map(|(f, a)| (f - a).abs()).sum::<f64>() / actual.len() as f64
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
