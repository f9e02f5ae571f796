//! Mean kinetic temperature as USP <1079.2> defines it.
//!
//! `T_K = (ΔH/R) / −ln( Σ exp(−ΔH/(R·T_i)) / n )`, T in kelvin, ΔH = 83.144 kJ/mol, R = 8.3144 J/(mol·K), so that
//! ΔH/R = 10,000 K. Every reading of the window weighs alike, as in the formula: a sensor reports at a steady pace.
//!
//! The rolling window is kept as sums over buckets of whole hours, at most [`MAX_BUCKETS`]: a window of up to seven days
//! has hourly buckets, one of thirty days has five-hour buckets. The oldest bucket leaves as a whole, so the window
//! reaches back between the declared length and one bucket more. Nothing is judged before the readings span a day, or
//! the window if that is shorter: the mean of one warm hour says nothing about a month.

use crate::codec::{Reader, Writer};
use crate::error::{SpecError, StateError};
use crate::params::{Param, Params};

/// A week of hours; 14 bytes each.
pub(crate) const MAX_BUCKETS: u64 = 168;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// ΔH/R in kelvin.
const ACTIVATION: f64 = 10_000.0;
/// Thirty days, the period over which USP <659> controlled room temperature is assessed.
const DEFAULT_WINDOW_MS: u64 = 30 * DAY_MS;
const LONGEST_WINDOW_MS: u64 = 1_000 * DAY_MS;

/// What a temperature is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemperatureUnit {
    /// Degrees Celsius, `Cel`.
    Celsius,
    /// Degrees Fahrenheit, `Far`.
    Fahrenheit,
    /// Kelvin, `K`.
    Kelvin,
}

impl TemperatureUnit {
    pub(crate) fn read(params: &mut Params) -> Result<Option<Self>, SpecError> {
        params
            .text("unit")?
            .map(|name| match name.as_str() {
                "Cel" => Ok(Self::Celsius),
                "Far" => Ok(Self::Fahrenheit),
                "K" => Ok(Self::Kelvin),
                _ => Err(SpecError::Bad {
                    key: "unit",
                    problem: "\"Cel\", \"Far\" or \"K\" is expected".into(),
                }),
            })
            .transpose()
    }

    pub(crate) fn param(self) -> Param {
        Param::Text(
            match self {
                Self::Celsius => "Cel",
                Self::Fahrenheit => "Far",
                Self::Kelvin => "K",
            }
            .into(),
        )
    }

    /// As written behind a value.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Celsius => " °C",
            Self::Fahrenheit => " °F",
            Self::Kelvin => " K",
        }
    }

    fn to_kelvin(self, value: f64) -> f64 {
        match self {
            Self::Celsius => value + 273.15,
            Self::Fahrenheit => (value + 459.67) * 5.0 / 9.0,
            Self::Kelvin => value,
        }
    }

    fn of_kelvin(self, kelvin: f64) -> f64 {
        match self {
            Self::Celsius => kelvin - 273.15,
            Self::Fahrenheit => kelvin * 9.0 / 5.0 - 459.67,
            Self::Kelvin => kelvin,
        }
    }
}

/// A limit on the mean kinetic temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct MktSpec {
    /// The highest mean kinetic temperature that is no breach, in `unit`.
    pub limit: f64,
    /// The length of the rolling window in milliseconds.
    pub window_ms: u64,
    /// The unit of the limit and of the stream.
    pub unit: TemperatureUnit,
}

impl MktSpec {
    pub(crate) fn read(
        params: &mut Params,
        unit: Option<TemperatureUnit>,
    ) -> Result<Option<Self>, SpecError> {
        let limit = params.number("mkt_limit")?;
        let window_ms = params.milliseconds("mkt_window_ms", HOUR_MS, LONGEST_WINDOW_MS)?;
        let Some(limit) = limit else {
            return match window_ms {
                None => Ok(None),
                Some(_) => Err(SpecError::Missing("mkt_limit")),
            };
        };
        let unit = unit.ok_or(SpecError::Missing("unit"))?;
        let kelvin = unit.to_kelvin(limit);
        if !(kelvin > 0.0 && kelvin <= 10_000.0) {
            let problem = "a temperature above absolute zero and below 10,000 K is expected".into();
            return Err(SpecError::Bad { key: "mkt_limit", problem });
        }
        Ok(Some(Self { limit, window_ms: window_ms.unwrap_or(DEFAULT_WINDOW_MS), unit }))
    }

    pub(crate) fn window_param(&self) -> Option<Param> {
        (self.window_ms != DEFAULT_WINDOW_MS).then_some(Param::Integer(self.window_ms))
    }

    fn bucket_ms(&self) -> u64 {
        self.window_ms.div_ceil(MAX_BUCKETS * HOUR_MS) * HOUR_MS
    }

    fn bucket_count(&self) -> i64 {
        // At most MAX_BUCKETS, and one more for the bucket that is being filled.
        self.window_ms.div_ceil(self.bucket_ms()) as i64 + 1
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Bucket {
    /// Reading time divided by the bucket length, rounded down.
    index: i64,
    /// Sum of exp(−10000/T) of its readings, in order.
    sum: f64,
    count: u32,
}

/// The rolling window of one stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MktState {
    /// Time of the first reading since the window was last empty.
    since_us: i64,
    /// Oldest first.
    buckets: Vec<Bucket>,
}

impl MktState {
    /// Takes a reading in; the mean kinetic temperature in the spec's unit if it can be told and is above the limit.
    pub(crate) fn step(&mut self, spec: &MktSpec, time_us: i64, value: f64) -> Option<f64> {
        let kelvin = spec.unit.to_kelvin(value);
        let index = time_us.div_euclid(spec.bucket_ms() as i64 * 1_000);
        let oldest = index.saturating_sub(spec.bucket_count());
        self.buckets.retain(|bucket| bucket.index > oldest && bucket.index <= index);
        // Nothing is colder than absolute zero: such a reading is a fault of the sensor and no temperature.
        if kelvin > 0.0 && kelvin.is_finite() {
            if self.buckets.is_empty() {
                self.since_us = time_us;
            }
            if self.buckets.last().is_none_or(|last| last.index != index) {
                self.buckets.push(Bucket { index, sum: 0.0, count: 0 });
            }
            if let Some(last) = self.buckets.last_mut() {
                last.sum += libm::exp(-ACTIVATION / kelvin);
                last.count = last.count.saturating_add(1);
            }
        }
        let span_us = time_us.saturating_sub(self.since_us);
        if self.buckets.is_empty() || span_us < spec.window_ms.min(DAY_MS) as i64 * 1_000 {
            return None;
        }
        let (sum, count) = self
            .buckets
            .iter()
            .fold((0.0, 0.0), |(sum, count), bucket| (sum + bucket.sum, count + f64::from(bucket.count)));
        let mean = sum / count;
        // Compared before the logarithm, where both ends of the scale are harmless.
        if mean <= libm::exp(-ACTIVATION / spec.unit.to_kelvin(spec.limit)) {
            return None;
        }
        let kinetic = ACTIVATION / -libm::log(mean);
        Some(spec.unit.of_kelvin(if kinetic.is_finite() && kinetic > 0.0 { kinetic } else { f64::MAX / 4.0 }))
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.i64(self.since_us);
        writer.u8(self.buckets.len() as u8);
        let newest = self.buckets.last().map_or(0, |bucket| bucket.index);
        writer.i64(newest);
        for bucket in &self.buckets {
            writer.u8((newest - bucket.index) as u8);
            writer.f64(bucket.sum);
            writer.u32(bucket.count);
        }
    }

    pub(crate) fn decode(spec: &MktSpec, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let since_us = reader.i64()?;
        let count = reader.u8()?;
        let newest = reader.i64()?;
        let mut buckets: Vec<Bucket> = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let index =
                newest.checked_sub(i64::from(reader.u8()?)).ok_or(StateError::Impossible("bucket"))?;
            let bucket = Bucket { index, sum: reader.f64()?, count: reader.u32()? };
            let in_order = buckets.last().is_none_or(|last| last.index < index);
            if !in_order || bucket.count == 0 || !(0.0..=f64::from(bucket.count)).contains(&bucket.sum) {
                return Err(StateError::Impossible("bucket"));
            }
            buckets.push(bucket);
        }
        let fits =
            i64::from(count) <= spec.bucket_count() && buckets.last().is_none_or(|last| last.index == newest);
        if fits { Ok(Self { since_us, buckets }) } else { Err(StateError::Impossible("bucket")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(limit: f64, unit: TemperatureUnit, window_ms: u64) -> MktSpec {
        MktSpec { limit, window_ms, unit }
    }

    /// The mean kinetic temperature of readings `step_ms` apart, seen through a limit that everything exceeds.
    fn mkt(unit: TemperatureUnit, step_ms: i64, values: &[f64]) -> Option<f64> {
        let spec = spec(if unit == TemperatureUnit::Kelvin { 1.0 } else { -270.0 }, unit, DEFAULT_WINDOW_MS);
        let mut state = MktState::default();
        let mut last = None;
        for (at, &value) in values.iter().enumerate() {
            last = state.step(&spec, at as i64 * step_ms * 1_000, value);
        }
        last
    }

    #[test]
    fn warm_readings_weigh_more_and_a_constant_is_its_own_mean() {
        // The warm reading weighs more than in the arithmetic mean (25 °C).
        let got = mkt(TemperatureUnit::Celsius, 86_400_000, &[20.0, 30.0]).unwrap();
        assert!((got - 26.259_886_916).abs() < 1e-8, "{got}");
        // A constant temperature is its own mean, in every unit.
        for (unit, value) in [
            (TemperatureUnit::Celsius, 25.0),
            (TemperatureUnit::Fahrenheit, 77.0),
            (TemperatureUnit::Kelvin, 298.15),
        ] {
            let got = mkt(unit, 3_600_000, &[value; 48]).unwrap();
            assert!((got - value).abs() < 1e-9, "{got}");
        }
    }

    #[test]
    fn nothing_is_judged_before_a_day_of_readings() {
        assert_eq!(mkt(TemperatureUnit::Celsius, 3_600_000, &[40.0; 24]), None);
        assert!(mkt(TemperatureUnit::Celsius, 3_600_000, &[40.0; 25]).is_some());
    }

    #[test]
    fn a_warm_day_leaves_the_window() {
        let spec = spec(25.0, TemperatureUnit::Celsius, 2 * DAY_MS);
        let mut state = MktState::default();
        let over: Vec<bool> = (0..24 * 8)
            .map(|hour| {
                let value = if (24..48).contains(&hour) { 40.0 } else { 20.0 };
                state.step(&spec, hour * 3_600_000_000, value).is_some()
            })
            .collect();
        assert!(over[47] && over[80]);
        assert!(!over[24 * 5]);
        assert!(state.buckets.len() <= 49);
    }

    #[test]
    fn impossible_and_extreme_temperatures_do_no_harm() {
        let spec = spec(25.0, TemperatureUnit::Celsius, 2 * DAY_MS);
        let mut state = MktState::default();
        for (at, value) in [-300.0, 1e300, -273.149, 5e-324, f64::MAX, f64::MIN, 20.0].into_iter().enumerate()
        {
            if let Some(kinetic) = state.step(&spec, at as i64 * 86_400_000_000, value) {
                assert!(kinetic.is_finite());
            }
        }
        assert!(state.buckets.iter().all(|bucket| bucket.sum.is_finite()));
    }
}
