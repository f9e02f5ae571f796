//! Range and duration: how far and how long a stream was outside its limits.
//!
//! Limits come in two widths, as storage rules have them (USP <659>: 20 to 25 °C, excursions to 15 to 30 °C allowed).
//! Between the inner and the allowed limits a reading is *tolerated* for a time; beyond the allowed limits, or longer
//! than that time, or outside at all where nothing is tolerated, it is a *breach*. A breach has score 1,000,000, a
//! tolerated reading 500,000 up to 999,999 by its depth: who asks for `low|high|duration` with that least score asks
//! for breaches.
//!
//! Time outside runs between consecutive outside readings, by their own clock: what lies before the first or after the
//! last outside reading was seen by nobody and is not counted.
//!
//! One judgement a reading, the first that applies: `duration`, `low`/`high`, `back-in-range`, `mkt`, normal. While a
//! stream is outside every reading says so; noticing the first one is the automations' work.

use triad_log::VerdictKind;

use crate::codec::{Reader, Writer};
use crate::error::{SpecError, StateError};
use crate::mkt::{MktSpec, MktState, TemperatureUnit};
use crate::params::{Param, Params, encode};
use crate::state::{FULL, Input, Judgement};
use crate::words;

const TOLERATED: u32 = 500_000;
/// A hundred years.
const LONGEST_MS: u64 = 3_155_760_000_000;

/// Parameters of the range model, in the stream's unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RangeSpec {
    /// Below this is outside.
    pub low: Option<f64>,
    /// Above this is outside.
    pub high: Option<f64>,
    /// Below this is a breach at once; not above `low`.
    pub allowed_low: Option<f64>,
    /// Above this is a breach at once; not below `high`.
    pub allowed_high: Option<f64>,
    /// The longest tolerated excursion, milliseconds.
    pub max_outside_ms: Option<u64>,
    /// The longest tolerated time outside in all excursions together, milliseconds.
    pub max_outside_total_ms: Option<u64>,
    /// What temperatures are measured in.
    pub unit: Option<TemperatureUnit>,
    /// A limit on the mean kinetic temperature.
    pub mkt: Option<MktSpec>,
}

impl RangeSpec {
    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let unit = TemperatureUnit::read(&mut params)?;
        let spec = Self {
            low: params.number("low")?,
            high: params.number("high")?,
            allowed_low: params.number("allowed_low")?,
            allowed_high: params.number("allowed_high")?,
            max_outside_ms: params.milliseconds("max_outside_ms", 0, LONGEST_MS)?,
            max_outside_total_ms: params.milliseconds("max_outside_total_ms", 0, LONGEST_MS)?,
            unit,
            mkt: MktSpec::read(&mut params, unit)?,
        };
        params.end()?;
        spec.check()?;
        Ok(spec)
    }

    fn check(&self) -> Result<(), SpecError> {
        let bad = |key, problem: &str| Err(SpecError::Bad { key, problem: problem.into() });
        match (self.low, self.high) {
            (None, None) if self.mkt.is_none() => return Err(SpecError::Missing("low, high or mkt_limit")),
            (None, None) if self.max_outside_ms.or(self.max_outside_total_ms).is_some() => {
                return Err(SpecError::Missing("low or high"));
            }
            (Some(low), Some(high)) if low > high => return bad("low", "not above \"high\" is expected"),
            _ => {}
        }
        match (self.low, self.allowed_low) {
            (None, Some(_)) => return Err(SpecError::Missing("low")),
            (Some(low), Some(allowed)) if allowed > low => {
                return bad("allowed_low", "not above \"low\" is expected");
            }
            _ => {}
        }
        match (self.high, self.allowed_high) {
            (None, Some(_)) => Err(SpecError::Missing("high")),
            (Some(high), Some(allowed)) if allowed < high => {
                bad("allowed_high", "not below \"high\" is expected")
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        encode(&[
            ("low", self.low.map(Param::Number)),
            ("high", self.high.map(Param::Number)),
            ("allowed_low", self.allowed_low.map(Param::Number)),
            ("allowed_high", self.allowed_high.map(Param::Number)),
            ("max_outside_ms", self.max_outside_ms.map(Param::Integer)),
            ("max_outside_total_ms", self.max_outside_total_ms.map(Param::Integer)),
            ("unit", self.unit.map(TemperatureUnit::param)),
            ("mkt_limit", self.mkt.as_ref().map(|mkt| Param::Number(mkt.limit))),
            ("mkt_window_ms", self.mkt.as_ref().and_then(MktSpec::window_param)),
        ])
    }

    fn with_unit(&self, value: f64) -> String {
        format!("{}{}", words::value(value), self.unit.map_or("", TemperatureUnit::symbol))
    }
}

/// The excursion that a stream is in.
#[derive(Debug, Clone, PartialEq)]
struct Excursion {
    /// Time of its first outside reading.
    since_us: i64,
    /// Its reading farthest from the limits.
    worst: f64,
}

/// What is remembered of one stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct RangeState {
    excursion: Option<Excursion>,
    /// Time outside in all excursions so far, microseconds.
    outside_us: u64,
    /// Only where the spec has a limit for it.
    mkt: Option<MktState>,
}

/// A limit that a reading is beyond.
struct Outside {
    kind: VerdictKind,
    side: &'static str,
    limit: f64,
    allowed: Option<f64>,
    depth: f64,
}

impl RangeSpec {
    fn outside(&self, value: f64) -> Option<Outside> {
        if let Some(limit) = self.low.filter(|&low| value < low) {
            let (allowed, depth) = (self.allowed_low, limit - value);
            return Some(Outside { kind: VerdictKind::Low, side: "below", limit, allowed, depth });
        }
        let limit = self.high.filter(|&high| value > high)?;
        let (allowed, depth) = (self.allowed_high, value - limit);
        Some(Outside { kind: VerdictKind::High, side: "above", limit, allowed, depth })
    }
}

impl RangeState {
    pub(crate) fn step(&mut self, spec: &RangeSpec, previous_us: Option<i64>, input: Input) -> Judgement {
        let kinetic = spec
            .mkt
            .as_ref()
            .and_then(|mkt| self.mkt.get_or_insert_default().step(mkt, input.time_us, input.value));
        if let Some(outside) = spec.outside(input.value) {
            return self.outside(spec, previous_us, input, &outside);
        }
        if let Some(excursion) = self.excursion.take() {
            let last_us = previous_us.unwrap_or(excursion.since_us);
            let lasted = span_us(excursion.since_us, last_us) / 1_000;
            let reason = format!(
                "{} is within the limits again after {} outside, at worst {}",
                spec.with_unit(input.value),
                words::duration(lasted),
                spec.with_unit(excursion.worst)
            );
            return Judgement::new(VerdictKind::BackInRange, 0, reason);
        }
        match (kinetic, &spec.mkt) {
            (Some(kinetic), Some(mkt)) => {
                let reason = format!(
                    "mean kinetic temperature {} is above the limit {} (window {})",
                    spec.with_unit(kinetic),
                    spec.with_unit(mkt.limit),
                    words::duration(mkt.window_ms)
                );
                Judgement::new(VerdictKind::Mkt, FULL, reason)
            }
            _ => Judgement::normal(),
        }
    }

    fn outside(
        &mut self,
        spec: &RangeSpec,
        previous_us: Option<i64>,
        input: Input,
        outside: &Outside,
    ) -> Judgement {
        let excursion = match &mut self.excursion {
            Some(excursion) => {
                let seen = span_us(previous_us.unwrap_or(input.time_us), input.time_us);
                self.outside_us = self.outside_us.saturating_add(seen);
                let farther = spec.outside(excursion.worst).is_none_or(|worst| outside.depth > worst.depth);
                if farther {
                    excursion.worst = input.value;
                }
                excursion
            }
            empty => empty.insert(Excursion { since_us: input.time_us, worst: input.value }),
        };
        let lasted_us = span_us(excursion.since_us, input.time_us);
        let over = |limit: Option<u64>, us: u64| limit.filter(|&limit| us > limit.saturating_mul(1_000));
        let reading = format!(
            "{} is {} {} the limit {}",
            spec.with_unit(input.value),
            words::value(outside.depth),
            outside.side,
            spec.with_unit(outside.limit)
        );
        if let Some(limit) = over(spec.max_outside_ms, lasted_us) {
            let (lasted, limit) = (words::duration(lasted_us / 1_000), words::duration(limit));
            let reason = format!("outside for {lasted}, {limit} is tolerated; {reading}");
            return Judgement::new(VerdictKind::Duration, FULL, reason);
        }
        if let Some(limit) = over(spec.max_outside_total_ms, self.outside_us) {
            let (lasted, limit) = (words::duration(self.outside_us / 1_000), words::duration(limit));
            let reason = format!("outside for {lasted} in total, {limit} is tolerated; {reading}");
            return Judgement::new(VerdictKind::Duration, FULL, reason);
        }
        let timed = spec.max_outside_ms.or(spec.max_outside_total_ms).is_some();
        let depth = match outside.allowed {
            Some(allowed) => outside.depth / (allowed - outside.limit).abs(),
            None if timed => 0.0,
            None => return Judgement::new(outside.kind, FULL, reading),
        };
        // Compared as values, not as depths: their rounding must not move the limit.
        let beyond = outside.allowed.filter(|&allowed| match outside.kind {
            VerdictKind::Low => input.value < allowed,
            _ => input.value > allowed,
        });
        if let Some(allowed) = beyond {
            let reason = format!("{reading}, excursions are allowed to {}", spec.with_unit(allowed));
            return Judgement::new(outside.kind, FULL, reason);
        }
        let score = TOLERATED + (depth * f64::from(FULL - TOLERATED)) as u32;
        let reason = format!("{reading}, tolerated so far ({} outside)", words::duration(lasted_us / 1_000));
        Judgement::new(outside.kind, score.min(FULL - 1), reason)
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(u8::from(self.excursion.is_some()));
        if let Some(excursion) = &self.excursion {
            writer.i64(excursion.since_us);
            writer.f64(excursion.worst);
        }
        writer.u64(self.outside_us);
        if let Some(mkt) = &self.mkt {
            mkt.encode(writer);
        }
    }

    pub(crate) fn decode(spec: &RangeSpec, reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let excursion = match reader.flag()? {
            true => Some(Excursion { since_us: reader.i64()?, worst: reader.f64()? }),
            false => None,
        };
        let outside_us = reader.u64()?;
        let mkt = match &spec.mkt {
            Some(mkt) => Some(MktState::decode(mkt, reader)?),
            None => None,
        };
        Ok(Self { excursion, outside_us, mkt })
    }
}

/// Microseconds from one reading time to a later one.
fn span_us(from: i64, to: i64) -> u64 {
    to.saturating_sub(from).max(0) as u64
}
