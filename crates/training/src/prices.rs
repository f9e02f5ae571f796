//! Suite `epf_prices`: day-ahead electricity prices, on every CSV file of the folder.
//!
//! The first column is the hour, `Real price` the price, every other column a published forecast. All 24 hours of a day
//! are forecast the day before from prices alone: four earlier days and the weekday, by ridge regressions over windows
//! of three lengths refitted every day (the autoregression of LEAR with an L2 penalty; Lago et al. 2021, doi
//! 10.1016/j.apenergy.2021.116983), mixed by how well they did. The first 364 days are unscored. Published columns are
//! only references; apart from that they are experts of an online mix.

use std::path::Path;

use serde_json::{Map, Value, json};
use triad_models::forecast::{Conformal, Experts, RidgeSums};

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Role};
use crate::intervals::{Coverage, month};
use crate::table::{Table, csv_files};
use crate::watch::Watch;

const DAY: usize = 24;
const UNSCORED_DAYS: usize = 364;
/// Days back whose prices are features.
const LAG_DAYS: [usize; 4] = [1, 2, 3, 7];
const FEATURES: usize = LAG_DAYS.len() * DAY + 7;
const WINDOWS: [usize; 3] = [84, 182, 364];
const PENALTIES: [f64; 3] = [3.0, 10.0, 30.0];
/// Forecasts start this many days into the file, so that intervals know errors when scoring starts.
const FIRST_DAY: usize = 120;
/// Mean deviations from the level up to which the scale is about linear.
const SCALES: f64 = 5.0;
const INTERVAL_RATE: f64 = 0.05;
/// What intervals aim at, so that nine in ten hold in nearly every month: the errors of a day come together, and months scatter
/// around the aim by some points.
const AIM: f64 = 0.915;
const EXPERT_FADE: f64 = 0.97;

pub(crate) fn evaluate(folder: &Path, watch: &mut Watch<'_>) -> Result<Value, TrainingError> {
    let mut out = Map::new();
    let paths = csv_files(folder)?;
    for (at, path) in paths.iter().enumerate() {
        watch.tell("file", at, paths.len());
        let table = Table::read(path)?;
        let times = table.times(0)?;
        let price_column = table.expect_column("Real price")?;
        let prices = table.expect_numbers(price_column)?;
        let days = prices.len() / DAY;
        if days <= UNSCORED_DAYS {
            let problem = format!("{days} days; more than {UNSCORED_DAYS} are expected");
            return Err(TrainingError::content(path, problem));
        }
        let own = forecast(&prices, days);
        let scored = UNSCORED_DAYS * DAY..days * DAY;
        let error_of = |forecast: &dyn Fn(usize) -> f64| {
            let sum: f64 = scored.clone().map(|at| (forecast(at) - prices[at]).abs()).sum();
            sum / scored.len() as f64
        };
        let week = error_of(&|at| prices[at - 7 * DAY]);
        let mae = error_of(&|at| own.forecast[at]);
        let mut published = Map::new();
        let mut columns = Vec::new();
        for column in (1..table.header.len()).filter(|&column| column != price_column) {
            let values = table.expect_numbers(column)?;
            published.insert(table.header[column].clone(), json!(three(error_of(&|at| values[at]))));
            columns.push(values);
        }
        let mixed = mix(&columns, &prices, days);
        let mut coverage = Coverage::default();
        for at in scored.clone() {
            if let Some(half) = own.half[at] {
                let inside = (prices[at] - own.forecast[at]).abs() <= half;
                coverage.add(month(times[at]), inside, 2.0 * half);
            }
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        watch.draw(|| {
            let title = format!("{name}: the last two weeks, told the day before, and the 90 % interval");
            let last = || (days - 14) * DAY..days * DAY;
            let band = last().filter_map(|at| {
                let (time, said) = (times[at] as f64, own.forecast[at]);
                own.half[at].map(|half| (time, said - half, said + half))
            });
            Figure::new(format!("epf_prices-{name}"), title, Axis::Time, "price")
                .band("90 % interval", band)
                .line("measured", Role::Measured, last().map(|at| (times[at] as f64, prices[at])))
                .line("forecast", Role::Said, last().map(|at| (times[at] as f64, own.forecast[at])))
        });
        let best = published.values().filter_map(Value::as_f64).min_by(f64::total_cmp);
        out.insert(
            name,
            json!({
                "scored_hours": scored.len(),
                "mae": three(mae),
                "mae_of_a_week_before": three(week),
                "better_by": three(1.0 - mae / week),
                "published_mae": published,
                "mix_of_published_mae": (!columns.is_empty()).then(|| three(error_of(&|at| mixed[at]))),
                "best_published_mae": best,
                "interval": coverage.figures(),
            }),
        );
    }
    Ok(Value::Object(out))
}

struct Own {
    forecast: Vec<f64>,
    half: Vec<Option<f64>>,
}

/// Prices have spikes and are sometimes negative: asinh((price - level) / scale), the level being the mean of the
/// seven days before, the scale the mean absolute deviation from it in the first days.
struct Scale(f64);

impl Scale {
    fn of(prices: &[f64]) -> Self {
        let days = 7..prices.len() / DAY;
        let off = |day: usize| {
            let level = level(prices, day);
            prices[day * DAY..(day + 1) * DAY].iter().map(|price| (price - level).abs()).sum::<f64>()
        };
        let mean = days.clone().map(off).sum::<f64>() / (days.len().max(1) * DAY) as f64;
        Self((SCALES * mean).max(1e-6))
    }
    fn there(&self, price: f64, level: f64) -> f64 {
        libm::asinh((price - level) / self.0)
    }
    fn back(&self, value: f64, level: f64) -> f64 {
        level + self.0 * libm::sinh(value.clamp(-20.0, 20.0))
    }
}

fn level(prices: &[f64], day: usize) -> f64 {
    prices[(day - 7) * DAY..day * DAY].iter().sum::<f64>() / (7 * DAY) as f64
}

fn forecast(prices: &[f64], days: usize) -> Own {
    let scale = Scale::of(&prices[..FIRST_DAY * DAY]);
    let features = |day: usize| -> Vec<f64> {
        let level = level(prices, day);
        let lags = LAG_DAYS.iter().flat_map(|lag| &prices[(day - lag) * DAY..(day - lag + 1) * DAY]);
        let lags = lags.map(|&price| scale.there(price, level));
        let weekday = (0..7).map(|weekday| if day % 7 == weekday { 1.0 } else { 0.0 });
        lags.chain(weekday).collect()
    };
    let target = |day: usize| -> Vec<f64> {
        let level = level(prices, day);
        prices[day * DAY..(day + 1) * DAY].iter().map(|&price| scale.there(price, level)).collect()
    };
    let oldest = LAG_DAYS.iter().copied().max().unwrap_or(1);
    let mut sums: Vec<RidgeSums> = WINDOWS.iter().map(|_| RidgeSums::new(FEATURES, DAY)).collect();
    let mut experts = Experts::new(WINDOWS.len() * PENALTIES.len(), EXPERT_FADE);
    let mut errors = Conformal::new(AIM, INTERVAL_RATE);
    // How much of the unrest an hour of the day usually sees.
    let mut share = [1.0; DAY];
    // A slow and a quick mean of daily errors: intervals widen as soon as a market turns wild.
    let mut unrest: Option<f64> = None;
    let mut own = Own { forecast: vec![0.0; prices.len()], half: vec![None; prices.len()] };
    for day in oldest..days {
        let known = features(day);
        if day >= FIRST_DAY {
            let level = level(prices, day);
            let members: Vec<Vec<f64>> = sums
                .iter()
                .flat_map(|sums| PENALTIES.map(|penalty| sums.fit(penalty)))
                .map(|model| model.map_or_else(|| vec![0.0; DAY], |model| model.predict(&known)))
                .map(|forecast| forecast.into_iter().map(|value| scale.back(value, level)).collect())
                .collect();
            let actual = &prices[day * DAY..(day + 1) * DAY];
            let (mut daily, half) = (0.0, errors.half_width());
            let spread = unrest.unwrap_or(scale.0);
            for hour in 0..DAY {
                let at = day * DAY + hour;
                let column: Vec<f64> = members.iter().map(|member| member[hour]).collect();
                own.forecast[at] = experts.mix(&column);
                let size = spread * share[hour];
                own.half[at] = half.map(|half| half * size);
                let error = (own.forecast[at] - actual[hour]).abs();
                errors.learn(error / size);
                share[hour] += 0.03 * ((error / spread).max(1e-3) - share[hour]);
                daily += error / DAY as f64;
            }
            unrest = Some(spread + 0.3 * (daily.max(1e-6) - spread));
            let losses =
                |member: &Vec<f64>| member.iter().zip(actual).map(|(a, b)| (a - b).abs()).sum::<f64>();
            experts.learn(&members.iter().map(losses).collect::<Vec<f64>>());
        }
        for (sums, &window) in sums.iter_mut().zip(&WINDOWS) {
            sums.add(&known, &target(day), 1.0);
            if let Some(old) = day.checked_sub(window).filter(|&old| old >= oldest) {
                sums.add(&features(old), &target(old), -1.0);
            }
        }
    }
    own
}

/// Published forecasts as experts, each hour of the day a mix of its own, by the gradient of the mix's absolute error
/// (so that the best fixed mix is followed, not only the best expert).
fn mix(columns: &[Vec<f64>], prices: &[f64], days: usize) -> Vec<f64> {
    let mut mixed = vec![0.0; prices.len()];
    if columns.is_empty() {
        return mixed;
    }
    let mut experts = Experts::new(columns.len(), 1.0);
    for day in 0..days {
        let mut losses = vec![0.0; columns.len()];
        for at in day * DAY..(day + 1) * DAY {
            let row: Vec<f64> = columns.iter().map(|column| column[at]).collect();
            mixed[at] = experts.mix(&row);
            let slope = if mixed[at] > prices[at] { 1.0 } else { -1.0 };
            for (loss, value) in losses.iter_mut().zip(&row) {
                *loss += slope * (value - mixed[at]);
            }
        }
        experts.learn(&losses);
    }
    mixed
}

fn three(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
