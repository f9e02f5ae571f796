//! The model `forecast`: what a regular stream will show some periods ahead, with an interval that holds nine in ten.
//!
//! Three experts say at each reading what comes `horizon` periods later: the value of now; the value of the same place in
//! the last season that is known (the *base*; without a season the value of now again); and the base with what a regression adds that is
//! fitted anew at each reading, with fading sums ([`RidgeSums`]), on four differences (`features`). They are mixed by how
//! well each did of late ([`Experts`]), and the mix gets an interval that follows its own misses ([`Conformal`]).
//!
//! When the reading comes that was forecast, it is judged by the forecast given for it then, and all learn from it.
//! Everything is measured in `scale`, the base's usual error, so that no unit matters; a sample counts less
//! the more it exceeds it, so that one outlier spoils nothing for long.
//!
//! Time counts in periods of `interval_ms` since the reading before, rounded. A missing one is filled with the value of a season
//! before and teaches nothing; after a gap longer than a season the values are gathered anew. A second reading within a period is
//! passed over. The work is the same at every reading (there is no refit now and then), but for a gap, whose
//! filling is bounded by a season.

mod bytes;
mod spec;

use triad_log::VerdictKind;

use super::{Conformal, Experts, RidgeSums};
use crate::state::{FULL, Input, Judgement};
use crate::words;
pub use spec::{ForecastSpec, Tells};

/// Values are cut here before anything is computed, so that squares and sums stay finite.
const LARGEST: f64 = 1.0e100;
/// The share of readings that an interval is to hold, and how far a miss widens it (see [`Conformal`]).
const INSIDE: f64 = 0.9;
const WIDEN: f64 = 0.05;
/// An error counts as at most so many usual ones where intervals learn from it.
const MOST_ERROR: f64 = 10.0;
/// Features and targets are cut here, in scales, and a sample with one above `FULL_WEIGHT` counts less.
const MOST_SCALES: f64 = 1.0e6;
const FULL_WEIGHT: f64 = 8.0;
/// How fast the scale follows, and how much of a sum or loss is kept at each reading.
const SCALE_RATE: f64 = 0.02;
const LEVEL_RATE: f64 = 0.1;
const KEEP_SUMS: f64 = 0.998;
const KEEP_LOSSES: f64 = 0.98;
/// Of squared weights, in samples.
const PENALTY: f64 = 3.0;
const FEATURES: usize = 4;
const EXPERTS: usize = 3;

/// What was said of a period that has not come yet.
#[derive(Debug, Clone, PartialEq)]
struct Pending {
    /// What each expert said.
    experts: [f64; EXPERTS],
    /// Their mix: the forecast.
    value: f64,
    /// Half the width of its interval; `None` while there is none yet.
    half: Option<f64>,
    /// What the regression went by.
    features: [f64; FEATURES],
}

/// What is remembered of one stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ForecastState {
    /// Time of the latest reading that was taken in.
    taken_us: i64,
    /// The latest values, one a period, newest last; at most a season and two.
    values: Vec<f64>,
    /// Said of the periods that come, the next one first; as many as the horizon.
    pending: Vec<Option<Pending>>,
    /// The usual error of the base; 0 before it was ever wrong.
    scale: f64,
    /// Smoothed values.
    level: f64,
    sums: RidgeSums,
    experts: Experts,
    conformal: Conformal,
}

impl ForecastState {
    pub(crate) fn new(spec: &ForecastSpec) -> Self {
        Self {
            taken_us: 0,
            values: Vec::new(),
            pending: vec![None; spec.horizon.into()],
            scale: 0.0,
            level: 0.0,
            sums: RidgeSums::new(FEATURES, 1),
            experts: Experts::new(EXPERTS, KEEP_LOSSES),
            conformal: Conformal::new(INSIDE, WIDEN),
        }
    }

    pub(crate) fn step(&mut self, spec: &ForecastSpec, input: Input) -> Judgement {
        let value = input.value.clamp(-LARGEST, LARGEST);
        if !self.values.is_empty() {
            match periods(spec, self.taken_us, input.time_us) {
                0 => return Judgement::normal(),
                gone => self.skip(spec, gone - 1),
            }
        }
        self.taken_us = input.time_us;
        self.level =
            if self.values.is_empty() { value } else { self.level + LEVEL_RATE * (value - self.level) };
        let said = self.pending.remove(0);
        self.push(spec, value);
        if let Some(said) = &said {
            self.learn(said, value);
        }
        let next = self.forecast(spec);
        self.pending.push(next.clone());
        judgement(spec, value, said.as_ref(), next.as_ref())
    }

    /// Lets periods without a reading pass.
    fn skip(&mut self, spec: &ForecastSpec, missing: u64) {
        if missing > u64::from(spec.season) {
            self.values.clear();
            self.pending.fill(None);
            return;
        }
        let season = usize::from(spec.season);
        for _ in 0..missing {
            let before = self.values.len().checked_sub(season).map_or(self.level, |at| self.values[at]);
            self.values.push(before);
        }
        let too_many = self.values.len().saturating_sub(spec.values());
        self.values.drain(..too_many);
        let passed = self.pending.len().min(missing as usize);
        self.pending.drain(..passed);
        self.pending.resize(spec.horizon.into(), None);
    }

    fn push(&mut self, spec: &ForecastSpec, value: f64) {
        if self.values.len() == spec.values() {
            self.values.remove(0);
        }
        self.values.push(value);
    }

    /// What is said of the period `horizon` after the latest one; `None` while a season is not known yet.
    fn forecast(&self, spec: &ForecastSpec) -> Option<Pending> {
        if self.values.len() < spec.values() {
            return None;
        }
        let (season, horizon) = (usize::from(spec.season), usize::from(spec.horizon));
        let back = |periods: usize| self.values[self.values.len() - 1 - periods];
        // The same place in the season, as few seasons before the target as are known.
        let base = back(horizon.div_ceil(season) * season - horizon);
        let now = back(0);
        let features = [now - base, now - back(season), back(1) - back(season + 1), self.level - base];
        let scaled = features.map(|feature| self.in_scales(feature));
        // Before the base was ever wrong there is nothing to add.
        let fitted = self.sums.fit(PENALTY).filter(|_| self.scale > 0.0);
        let added =
            fitted.map(|ridge| ridge.predict(&scaled)[0]).filter(|added| added.is_finite()).unwrap_or(0.0);
        let fitted = (base + self.scale * added.clamp(-MOST_SCALES, MOST_SCALES)).clamp(-LARGEST, LARGEST);
        let experts = [now, base, fitted];
        // Measured from the base, so that experts that agree are mixed to what they say, to the last bit.
        let apart = self.experts.mix(&experts.map(|expert| expert - base));
        let value = (base + apart).clamp(-LARGEST, LARGEST);
        Some(Pending { experts, value, half: self.conformal.half_width(), features })
    }

    fn in_scales(&self, difference: f64) -> f64 {
        if self.scale > 0.0 { (difference / self.scale).clamp(-MOST_SCALES, MOST_SCALES) } else { 0.0 }
    }

    /// Takes in the value that something was said of.
    fn learn(&mut self, said: &Pending, value: f64) {
        let [_, base, _] = said.experts;
        let off = (value - base).abs();
        if self.scale == 0.0 {
            self.scale = SCALE_RATE * off;
        } else if off > 0.0 {
            // A stream that stands still keeps the scale that it had.
            self.scale += SCALE_RATE * (off.min(FULL_WEIGHT * self.scale) - self.scale);
        }
        let sample = said.features.map(|feature| self.in_scales(feature));
        let target = self.in_scales(value - base);
        let most = sample.iter().fold(target.abs(), |most, feature| most.max(feature.abs()));
        let weight = if most > FULL_WEIGHT { (FULL_WEIGHT / most) * (FULL_WEIGHT / most) } else { 1.0 };
        self.sums.fade(KEEP_SUMS);
        self.sums.add(&sample, &[target], weight);
        let losses = said.experts.map(|expert| match (value - expert).abs() {
            0.0 => 0.0,
            _ if self.scale == 0.0 => FULL_WEIGHT,
            error => (error / self.scale).min(FULL_WEIGHT),
        });
        self.experts.learn(&losses);
        let error = (value - said.value).abs();
        let usual = self.conformal.usual_error().map_or(LARGEST, |usual| usual.max(self.scale));
        self.conformal.learn(error.min(MOST_ERROR * usual));
    }
}

/// Periods between two readings, rounded.
fn periods(spec: &ForecastSpec, from_us: i64, to_us: i64) -> u64 {
    // Times are in order: `State::step` passes late readings over.
    let gone = to_us.abs_diff(from_us);
    let period = spec.interval_ms * 1_000;
    (gone + period / 2) / period
}

fn judgement(spec: &ForecastSpec, value: f64, said: Option<&Pending>, next: Option<&Pending>) -> Judgement {
    let interval = |p: &Pending| p.half.map(|half| (p.value, half));
    let (Some((was, half)), Some((next, next_half))) = (said.and_then(interval), next.and_then(interval))
    else {
        return Judgement::new(VerdictKind::Learning, 0, "");
    };
    let told = match spec.tells {
        Tells::Value => next,
        Tells::Low => next - next_half,
        Tells::High => next + next_half,
    };
    let below = spec.low.map(|limit| (VerdictKind::ExpectedLow, limit, limit - next));
    let above = spec.high.map(|limit| (VerdictKind::ExpectedHigh, limit, next - limit));
    let crossed = below.into_iter().chain(above).find(|(_, _, by)| *by > 0.0);
    let ahead = words::duration(spec.interval_ms.saturating_mul(spec.horizon.into()));
    let error = (value - was).abs();
    let (kind, score, reason) = if let Some((kind, limit, by)) = crossed {
        let between = between(next, next_half);
        let (next, limit) = (words::value(next), words::value(limit));
        let reason = format!("{next} expected in {ahead}, {between}; the limit is {limit}");
        (kind, FULL / 2 + part(by, next_half, FULL / 2), reason)
    } else if error > half {
        let (value, said, between) = (words::value(value), words::value(was), between(was, half));
        let reason = format!("{value} where {said} was forecast {ahead} before, {between}");
        // Half where the interval ends, as an anomaly's score is where an alarm begins.
        (VerdictKind::OffForecast, part(error, half, FULL).max(FULL / 2), reason)
    } else {
        let reason = format!("{} expected in {ahead}, {}", words::value(next), between(next, next_half));
        (VerdictKind::Forecast, part(error, half, FULL).min(FULL / 2 - 1), reason)
    };
    Judgement::new(kind, score, reason).telling(told)
}

fn between(value: f64, half: f64) -> String {
    format!("{} to {} in 9 of 10 cases", words::value(value - half), words::value(value + half))
}

/// `size / (size + unit)` of `whole`: a half where they are equal.
fn part(size: f64, unit: f64, whole: u32) -> u32 {
    if size == 0.0 { 0 } else { (f64::from(whole) * (size / (size + unit))) as u32 }
}
