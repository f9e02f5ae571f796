//! What the model `forecast` is worth on a regular series: `forecast_scores CSV COLUMN SEASON HORIZON`.
//!
//! Reads one column of a table (rows in order, one a period) and prints, over all rows from the 1,000th on: the share of
//! readings in the interval that was forecast for them, the mean error of the forecast, and beside it the errors of the value of now and
//! of the value a season before.

use std::error::Error;

use triad_models::{ForecastSpec, Input, Spec, State, Tells, VerdictKind};

const FROM: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, column, season, horizon] = arguments.as_slice() else {
        return Err("forecast_scores CSV COLUMN SEASON HORIZON".into());
    };
    let (season, horizon): (usize, usize) = (season.parse()?, horizon.parse()?);
    let mut reader = csv::Reader::from_path(path)?;
    let at = reader.headers()?.iter().position(|name| name == column).ok_or("no such column")?;
    let values: Vec<f64> = reader
        .records()
        .map(|row| Ok::<f64, Box<dyn Error>>(row?.get(at).unwrap_or_default().parse()?))
        .collect::<Result<_, _>>()?;
    let spec = Spec::Forecast(ForecastSpec {
        interval_ms: 1_800_000,
        season: season as u16,
        horizon: horizon as u16,
        low: None,
        high: None,
        tells: Tells::Value,
    });
    let mut state = State::new(&spec);
    let (mut told, mut inside, mut errors) = (Vec::new(), 0, [0.0; 3]);
    for (row, &value) in values.iter().enumerate() {
        let said = state.step(&spec, Input { time_us: row as i64 * 1_800_000_000, value, block_time_ms: 0 });
        if row >= FROM {
            let seasons = horizon.div_ceil(season) * season;
            let forecasts = [told[row - horizon], Some(values[row - horizon]), Some(values[row - seasons])];
            for (sum, forecast) in errors.iter_mut().zip(forecasts) {
                *sum += (value - forecast.ok_or("still learning")?).abs();
            }
            inside += usize::from(said.kind == VerdictKind::Forecast);
        }
        told.push(said.value);
    }
    let rows = values.len().saturating_sub(FROM) as f64;
    let [forecast, now, before] = errors.map(|sum| sum / rows);
    println!("{rows} rows, season {season}, horizon {horizon}: {:.1} % inside", 100.0 * inside as f64 / rows);
    println!("mean error {forecast:.4}; the value of now {now:.4}, of a season before {before:.4}");
    Ok(())
}
