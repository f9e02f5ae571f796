//! What may come next in an hourly series: regressions on lags, profiles of the week, and the naive ones.
//!
//! Regressions: over all series together, each series' own, and between the two (its own, with a penalty on how far it is
//! from the common one), of values or of logarithms. Profiles: the median of the last weeks at each hour of the week, each
//! week measured from its median, at the level of the last day or between that and the level of the last week.

use triad_models::forecast::{LagRidge, WindowSums};

pub(crate) const HORIZON: usize = 48;
pub(crate) const SEASON: usize = 24;
const WEEK: usize = 168;
const LOOKBACK: usize = 2 * WEEK;
const COMMON_PENALTY: f64 = 1e-4;
const OWN_PENALTY: f64 = 1e-2;
const BETWEEN_PENALTY: f64 = 3.0;
const PROFILE_WEEKS: usize = 3;

/// The candidates, in the order of [`candidates`].
pub(crate) const NAMES: [&str; 9] = [
    "common regression",
    "common regression of logarithms",
    "regression between own and common",
    "regression between own and common, of logarithms",
    "own regression of logarithms",
    "profile of the week at the last day's level",
    "profile of the week between the last day's and the last week's level",
    "day",
    "week",
];

/// Forecasts of each series by each candidate.
pub(crate) fn candidates(series: &[&[f64]]) -> Vec<Vec<Vec<f64>>> {
    let logarithms: Vec<Option<Vec<f64>>> = series.iter().map(|values| logarithms(values)).collect();
    let common = common(series.iter().copied());
    let common_logs = common_of_logs(&logarithms);
    (0..series.len())
        .map(|at| {
            let values = series[at];
            let logs = logarithms[at].as_deref();
            let own_logs = logs.map(sums);
            let day = naive(values, SEASON);
            let week = naive(values, if values.len() >= WEEK { WEEK } else { SEASON });
            let together = common.as_ref().and_then(|model| model.forecast(values));
            let between = common
                .as_ref()
                .and_then(|common| sums(values).fit_toward(WEEK, BETWEEN_PENALTY, common)?.forecast(values));
            let of_logs = |model: Option<LagRidge>| model?.forecast(logs?).map(back);
            let together_logs =
                common_logs.as_ref().zip(logs).and_then(|(model, logs)| model.forecast(logs)).map(back);
            let between_logs = of_logs(
                common_logs
                    .as_ref()
                    .and_then(|common| own_logs.as_ref()?.fit_toward(WEEK, BETWEEN_PENALTY, common)),
            );
            let alone_logs = of_logs(own_logs.as_ref().and_then(|sums| sums.fit(WEEK, OWN_PENALTY)));
            let profile = |share: f64| match logs {
                Some(logs) => profile(logs, share).map(back),
                None => profile(values, share),
            };
            let together = together.unwrap_or_else(|| day.clone());
            let together_logs = together_logs.unwrap_or_else(|| together.clone());
            let between = between.unwrap_or_else(|| together.clone());
            let between_logs = between_logs.unwrap_or_else(|| between.clone());
            let alone_logs = alone_logs.unwrap_or_else(|| between.clone());
            let at_day = profile(1.0).unwrap_or_else(|| day.clone());
            let at_both = profile(0.5).unwrap_or_else(|| week.clone());
            let all =
                [together, together_logs, between, between_logs, alone_logs, at_day, at_both, day, week];
            all.map(|forecast| sane(forecast, values)).to_vec()
        })
        .collect()
}

fn back(forecast: Vec<f64>) -> Vec<f64> {
    forecast.into_iter().map(|value| libm::exp(value.min(700.0))).collect()
}

fn logarithms(values: &[f64]) -> Option<Vec<f64>> {
    values.iter().map(|&value| (value > 0.0).then(|| libm::log(value))).collect()
}

fn sums(values: &[f64]) -> WindowSums {
    let mut sums = WindowSums::new(LOOKBACK, HORIZON);
    sums.add(values, 1.0);
    sums
}

/// One regression of all series, each in its season errors.
fn common<'a>(series: impl Iterator<Item = &'a [f64]>) -> Option<LagRidge> {
    let mut sums = WindowSums::new(LOOKBACK, HORIZON);
    for values in series {
        let scale = season_error(values);
        sums.add(values, 1.0 / (scale * scale));
    }
    sums.fit(WEEK, COMMON_PENALTY)
}

fn common_of_logs(logarithms: &[Option<Vec<f64>>]) -> Option<LagRidge> {
    common(logarithms.iter().flatten().map(Vec::as_slice))
}

/// The hours of the week that come next, at a level: `share` of that of the last day, the rest of that of the last week.
/// `None` for less than a week.
fn profile(values: &[f64], share: f64) -> Option<Vec<f64>> {
    let weeks: Vec<&[f64]> = values.rchunks_exact(WEEK).take(PROFILE_WEEKS).collect();
    let last = *weeks.first()?;
    let levels: Vec<f64> = weeks.iter().map(|week| median(week.to_vec())).collect();
    let hour =
        |hour: usize| median(weeks.iter().zip(&levels).map(|(week, level)| week[hour] - level).collect());
    let hours: Vec<f64> = (0..WEEK).map(hour).collect();
    let off: Vec<f64> = last.iter().zip(&hours).map(|(value, usual)| value - usual).collect();
    let level = share * median(off[WEEK - SEASON..].to_vec()) + (1.0 - share) * median(off.clone());
    Some(hours[..HORIZON].iter().map(|usual| usual + level).collect())
}

/// The mean of the two in the middle where there are two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

/// Nothing far beyond what was seen.
fn sane(forecast: Vec<f64>, values: &[f64]) -> Vec<f64> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let span = high - low;
    let least = if low >= 0.0 { low / 2.0 } else { low - span };
    forecast.into_iter().map(|value| value.clamp(least, high + span)).collect()
}

fn naive(values: &[f64], season: usize) -> Vec<f64> {
    let last = &values[values.len() - season..];
    (0..HORIZON).map(|ahead| last[ahead % season]).collect()
}

/// Mean step over a season: what MASE divides by.
pub(crate) fn season_error(values: &[f64]) -> f64 {
    let steps = values.len() - SEASON;
    let sum: f64 = (SEASON..values.len()).map(|at| (values[at] - values[at - SEASON]).abs()).sum();
    (sum / steps as f64).max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::{HORIZON, WEEK, profile};

    #[test]
    fn a_profile_goes_on_with_the_week_and_follows_the_level() {
        let hour = |at: usize| (at % WEEK) as f64;
        let values: Vec<f64> =
            (0..4 * WEEK).map(|at| hour(at) + if at < 3 * WEEK { 100.0 } else { 130.0 }).collect();
        let said = profile(&values, 0.5).unwrap();
        assert_eq!(said.len(), HORIZON);
        assert!((0..HORIZON).all(|ahead| (said[ahead] - hour(ahead) - 130.0).abs() < 1e-9), "{said:?}");
        assert!(profile(&values[..WEEK - 1], 0.5).is_none());
    }
}
