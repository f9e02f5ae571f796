//! Suite `load_vic`: half-hourly electricity demand, the next day ahead, on every CSV file of the folder.
//!
//! Columns `Time` (UTC), `Demand`, `Date` (local), `Holiday`. The last 20 % of the rows are the test part; from every
//! half-hour of it the next 48 are forecast. Features: recent demand, the same half-hour of earlier days, and the
//! calendar (local half-hour, weekday, holiday, season) of the target, which is known in advance; no temperature. One
//! ridge regression of log demand a step ahead, refitted every four weeks on all rows before. References: the same
//! half-hour of yesterday and of last week.

use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::forecast::{Conformal, Ridge, RidgeSums};

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Role};
use crate::intervals::{Coverage, Unrest, month};
use crate::table::{Table, csv_files};
use crate::watch::Watch;

const DAY: usize = 48;
const WEEK: usize = 7 * DAY;
const HORIZON: usize = DAY;
/// Rows before the first origin.
const HISTORY: usize = 2 * WEEK + 1;
const RECENT: [usize; 8] = [0, 1, 2, 3, 5, 11, 23, 47];
/// Days back whose same half-hour is a feature.
const DAYS_BACK: [usize; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 14];
const PENALTY: f64 = 1.0;
const REFIT: usize = 28 * DAY;
/// Forecasts start so many rows before the test part, so that intervals know errors when it begins.
const WARM_UP: usize = 56 * DAY;
const INTERVAL_RATE: f64 = 0.02;

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let mut out = Map::new();
    for path in csv_files(folder)? {
        let load = Load::read(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let figures = load.figures(&name, watch);
        out.insert(name, figures);
    }
    Ok(Value::Object(out))
}

struct Load {
    times: Vec<i64>,
    demand: Vec<f64>,
    /// Logarithm of demand, from its mean.
    log: Vec<f64>,
    centre: f64,
    /// Calendar features of every row.
    calendar: Vec<Vec<f64>>,
    holiday: Vec<f64>,
}

impl Load {
    fn read(path: &Path) -> Result<Self, TrainingError> {
        let table = Table::read(path)?;
        let times = table.times(table.expect_column("Time")?)?;
        let demand = table.expect_numbers(table.expect_column("Demand")?)?;
        if demand.len() < 20 * WEEK || demand.iter().any(|&value| value <= 0.0) {
            let problem = "at least 20 weeks of half-hours, all above zero, are expected";
            return Err(TrainingError::content(path, problem));
        }
        let dates = table.times(table.expect_column("Date")?)?;
        let flag = table.expect_column("Holiday")?;
        let holiday: Vec<f64> = table
            .rows
            .iter()
            .map(|row| {
                if row.get(flag).is_some_and(|cell| cell.trim().eq_ignore_ascii_case("true")) {
                    1.0
                } else {
                    0.0
                }
            })
            .collect();
        let known = demand.len() * 8 / 10;
        let centre = demand[..known].iter().map(|&value| libm::log(value)).sum::<f64>() / known as f64;
        let log = demand.iter().map(|&value| libm::log(value) - centre).collect();
        let mut slot = 0;
        let calendar = (0..demand.len())
            .map(|row| {
                slot = if row > 0 && dates[row] == dates[row - 1] { slot + 1 } else { 0 };
                calendar(dates[row], slot, holiday[row])
            })
            .collect();
        Ok(Self { times, demand, log, centre, calendar, holiday })
    }

    /// Features of the row `origin + ahead`, from rows before `origin`.
    fn features(&self, origin: usize, ahead: usize, out: &mut Vec<f64>) {
        out.clear();
        let target = origin + ahead;
        let level = self.log[origin - DAY..origin].iter().sum::<f64>() / DAY as f64;
        out.extend(RECENT.iter().map(|back| self.log[origin - 1 - back] - level));
        out.extend(DAYS_BACK.iter().map(|days| self.log[target - days * DAY] - level));
        out.push(level);
        let yesterday = self.log[target - DAY] - level;
        let week = self.log[target - WEEK] - level;
        // A weekday's yesterday says more or less by which day it is.
        let calendar = &self.calendar[target];
        out.extend(calendar[..8].iter().map(|kind| kind * yesterday));
        out.push(self.holiday[target] * week);
        out.push(self.holiday[target - DAY] * yesterday);
        out.push(self.holiday[target - WEEK] * week);
        out.push(self.holiday[target - DAY]);
        out.push(self.holiday[target - WEEK]);
        out.extend(calendar);
    }

    /// Demand of the last days, with what was said a day before: row, logarithm, half width.
    fn figure(&self, name: &str, shown: &[(usize, f64, f64)]) -> Figure {
        let back = |log: f64| libm::exp(log + self.centre);
        let time = |row: usize| self.times[row] as f64;
        let first = shown.first().map_or(0, |shown| shown.0);
        let title = format!("{name}: the last days, each forecast a day ahead, and the 90 % interval");
        let band = shown.iter().map(|&(row, log, half)| (time(row), back(log - half), back(log + half)));
        Figure::new(format!("load-{name}"), title, Axis::Time, "demand")
            .band("90 % interval", band)
            .line(
                "measured",
                Role::Measured,
                (first..self.demand.len()).map(|row| (time(row), self.demand[row])),
            )
            .line("forecast", Role::Said, shown.iter().map(|&(row, log, _)| (time(row), back(log))))
    }

    fn figures(&self, name: &str, watch: &mut Watch<'_>) -> Value {
        let rows = self.demand.len();
        let test = rows - rows / 5;
        let mut row = Vec::new();
        self.features(HISTORY, 0, &mut row);
        let width = row.len();
        let mut sums: Vec<RidgeSums> = (0..HORIZON).map(|_| RidgeSums::new(width, 1)).collect();
        let mut models: Vec<Option<Ridge>> = vec![None; HORIZON];
        let mut errors: Vec<Conformal> = (0..HORIZON).map(|_| Conformal::new(0.9, INTERVAL_RATE)).collect();
        let start = test - WARM_UP;
        let mut unrest = Unrest::new(DAY, HORIZON);
        let mut issued: Vec<Vec<(f64, Option<f64>)>> = vec![Vec::new(); rows];
        let mut learned = HISTORY;
        let mut score = [0.0; 3];
        let mut shown = Vec::new();
        let (mut count, mut coverage) = (0.0, Coverage::default());
        for origin in start..rows {
            if (origin - start).is_multiple_of(REFIT) {
                watch.tell("weeks", (origin - start) / WEEK, (rows - start) / WEEK);
                // Every sample whose last target is known.
                while learned + HORIZON <= origin {
                    for (ahead, sums) in sums.iter_mut().enumerate() {
                        self.features(learned, ahead, &mut row);
                        let level = self.log[learned - DAY..learned].iter().sum::<f64>() / DAY as f64;
                        sums.add(&row, &[self.log[learned + ahead] - level], 1.0);
                    }
                    learned += 1;
                }
                models = sums.iter().map(|sums| sums.fit(PENALTY)).collect();
            }
            // What came true a moment ago, by every forecast of it.
            let mut off = vec![None; HORIZON];
            for (ahead, errors) in errors.iter_mut().enumerate() {
                let forecast = (origin - 1).checked_sub(ahead).and_then(|from| issued[from].get(ahead));
                if let Some((forecast, size)) = forecast {
                    let error = self.log[origin - 1] - forecast;
                    off[ahead] = Some(error);
                    if let Some(size) = size {
                        errors.learn(error / size);
                    }
                }
            }
            unrest.learn((origin - 1) % DAY, &off);
            let level = self.log[origin - DAY..origin].iter().sum::<f64>() / DAY as f64;
            let last = HORIZON.min(rows - origin);
            let forecast: Vec<(f64, Option<f64>)> = (0..last)
                .map(|ahead| {
                    self.features(origin, ahead, &mut row);
                    let model = models[ahead].as_ref();
                    let said = level + model.map_or(0.0, |model| model.predict(&row)[0]);
                    (said, unrest.size((origin + ahead) % DAY, ahead))
                })
                .collect();
            if origin >= test && origin + HORIZON <= rows {
                for (ahead, &(log, size)) in forecast.iter().enumerate() {
                    let target = origin + ahead;
                    let actual = self.demand[target];
                    let candidates =
                        [libm::exp(log + self.centre), self.demand[target - DAY], self.demand[target - WEEK]];
                    for (sum, candidate) in score.iter_mut().zip(candidates) {
                        *sum += (candidate - actual).abs() / actual;
                    }
                    count += 1.0;
                    if let Some(half) = errors[ahead].half_width().zip(size).map(|(half, size)| half * size) {
                        // The forecasts of every midnight of the last week or so.
                        if origin + WEEK + HORIZON >= rows && (rows - origin).is_multiple_of(DAY) {
                            shown.push((target, log, half));
                        }
                        let inside = (self.log[target] - log).abs() <= half;
                        let wide = libm::exp(log + half + self.centre) - libm::exp(log - half + self.centre);
                        coverage.add(month(self.times[target]), inside, wide);
                    }
                }
            }
            issued[origin] = forecast;
        }
        watch.draw(|| self.figure(name, &shown));
        let [ours, yesterday, week] = score.map(|sum| (1e4 * sum / count).round() / 100.0);
        json!({
            "forecasts": count,
            "mape": ours,
            "mape_of_yesterday": yesterday,
            "mape_of_last_week": week,
            "better_by": (1e3 * (1.0 - ours / yesterday.min(week))).round() / 1e3,
            "interval": coverage.figures(),
        })
    }
}

/// Weekday (7) and holiday, each alone and with the shape of the day; the season.
fn calendar(date_us: i64, slot: usize, holiday: f64) -> Vec<f64> {
    let days = date_us.div_euclid(86_400_000_000);
    let weekday = days.rem_euclid(7) as usize;
    let turn = 2.0 * std::f64::consts::PI;
    let day = turn * slot as f64 / DAY as f64;
    let year = turn * (days as f64 / 365.25);
    let mut kinds = [0.0; 8];
    kinds[weekday] = 1.0 - holiday;
    kinds[7] = holiday;
    let shape: Vec<f64> =
        (1..=3).flat_map(|n| [libm::sin(f64::from(n) * day), libm::cos(f64::from(n) * day)]).collect();
    let season = [libm::sin(year), libm::cos(year), libm::sin(2.0 * year), libm::cos(2.0 * year)];
    let mut out = kinds.to_vec();
    out.extend(kinds.iter().flat_map(|kind| shape.iter().map(move |wave| kind * wave)));
    out.extend(season);
    out.extend(season.iter().flat_map(|season| shape[..4].iter().map(move |wave| season * wave)));
    out
}
