//! The streaming anomaly detector: a reading is strange when, in one of four views of its stream, it sets a record.
//!
//! A record by itself is rare in any stream whose behaviour does not change (the n-th of n exchangeable numbers is the
//! largest with probability 1/n, whatever their distribution), so it needs no model of noise and works alike on
//! temperatures, counts and prices. Each view adds a least size, so that a record by a hair is none.
//!
//! | view | the number | source of the idea |
//! | --- | --- | --- |
//! | novelty | how far a value lies beyond the range seen so far, in widths of that range | NAB's novelty rule |
//! | course | smoothed difference from the stream's own daily profile (48 half-hours) | seasonal baseline; prediction error over a short against a long window (Ahmad et al. 2017) |
//! | movement | smoothed logarithm of the step between readings; strange when it falls: a stuck sensor | variance of differences |
//! | level | slow mean of the values | drift, CUSUM-like |
//!
//! The last three are measured in deviations of themselves (see [`view`]). The surprise `r` is the largest over views
//! of (size / least size), held below 1 where a size is no record, and the score is `r / (1 + r)`: 0.5 exactly where a
//! record reaches its least size. After an alarm 100 readings pass in which only a surprise three times as large speaks
//! again. The first 100 readings are only learned. Nothing looks ahead, and a state is under a kilobyte.
//!
//! The constants are round numbers from the middle of a plateau on the 31 NAB files that the project has: chosen by the
//! mean score of detectors whose constants are all moved at random, not by the highest score (`docs/models.md` has the
//! figures, and what to expect elsewhere).

mod profile;
mod reason;
mod view;

use triad_log::VerdictKind;

use crate::codec::{Reader, Writer};
use crate::error::{SpecError, StateError};
use crate::params::{Param, Params, encode};
use crate::state::{Input, Judgement};
use profile::Profile;
use view::{Departure, FADE, LONG_RATE, MOST, SPEAKS_FROM, Side, View};

/// Values are cut here before anything is computed, so that squares and sums stay finite.
const LARGEST: f64 = 1.0e100;
/// The profile starts when the stream has shown this many readings, so that short streams stay small.
const PROFILE_FROM: u32 = 32;
/// Smoothing of the difference from the profile: about 14 readings.
const COURSE_RATE: f64 = 0.07;
/// Smoothing of the movement: about 50 readings.
const MOVEMENT_RATE: f64 = 0.02;
/// A step is never taken for less than this part of the usual step: a sensor with coarse digits often stands still.
const LEAST_STEP: f64 = 0.1;
/// Smoothing of the level: about 200 readings.
const LEVEL_RATE: f64 = 0.005;
/// Least sizes: of the range seen, then deviations of the view.
const LEAST_NOVELTY: f64 = 0.06;
/// The least novelty is twice that after this many readings, three times after half as many: the range of a young
/// stream is still growing.
const YOUNG: f64 = 200.0;
const LEAST_COURSE: f64 = 2.0;
const LEAST_MOVEMENT: f64 = 4.0;
const LEAST_LEVEL: f64 = 4.0;
/// The range seen counts as at least this part of a declared range.
const DECLARED_PART: f64 = 0.5;
/// What is no record may come near an alarm and not reach it.
const BELOW_ALARM: f64 = 0.95;
/// Readings after an alarm in which only something much stranger speaks.
const QUIET: u8 = 100;
/// How much stranger.
const LOUDER: f64 = 3.0;

/// Parameters of the anomaly model: none is needed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnomalySpec {
    /// The declared range of the sensor, low and high. It only scales: a reading beyond everything seen must lie
    /// farther out where little of a wide range was seen yet. Reaching an end of it is no evidence.
    pub range: Option<(f64, f64)>,
}

impl AnomalySpec {
    pub(crate) fn read(mut params: Params) -> Result<Self, SpecError> {
        let range = match (params.number("low")?, params.number("high")?) {
            (None, None) => None,
            (Some(low), Some(high)) if low < high => Some((low, high)),
            (Some(_), Some(_)) => {
                return Err(SpecError::Bad { key: "low", problem: "below \"high\" is expected".into() });
            }
            (Some(_), None) => return Err(SpecError::Missing("high")),
            (None, Some(_)) => return Err(SpecError::Missing("low")),
        };
        params.end()?;
        Ok(Self { range })
    }

    pub(crate) fn params(&self) -> Vec<u8> {
        encode(&[
            ("low", self.range.map(|(low, _)| Param::Number(low))),
            ("high", self.range.map(|(_, high)| Param::Number(high))),
        ])
    }

    /// The least width that the range seen counts as.
    fn least_width(&self) -> f64 {
        self.range.map_or(0.0, |(low, high)| {
            DECLARED_PART * (high.clamp(-LARGEST, LARGEST) - low.clamp(-LARGEST, LARGEST))
        })
    }
}

/// What is remembered of one stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct AnomalyState {
    readings: u32,
    first_us: i64,
    last: f64,
    /// The range seen, slowly closing in.
    low: f64,
    high: f64,
    level: f64,
    level_view: View,
    /// Mean step between readings.
    step: f64,
    /// Smoothed logarithm of (step / mean step).
    movement: f64,
    movement_view: View,
    /// Smoothed difference from the profile.
    course: f64,
    course_view: View,
    /// From the 33rd reading on.
    profile: Option<Box<Profile>>,
    /// Readings left until an ordinary alarm may speak again.
    quiet: u8,
    /// The surprise of the latest alarm.
    loudest: f64,
}

/// The strangest thing about a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Finding {
    /// Beyond the range seen by this part of it.
    Above(f64),
    Below(f64),
    /// Away from what this time of day usually shows.
    Course(f64),
    /// Moving less than ever.
    Still,
    /// Its slow mean is away from the usual one.
    Level {
        now: f64,
        usual: f64,
    },
}

/// The largest surprise so far, and what it is about.
#[derive(Debug)]
struct Strangest {
    surprise: f64,
    finding: Option<Finding>,
}

impl Strangest {
    /// Of two reasons to alarm, novelty is told: it is the easier to see.
    fn consider(&mut self, surprise: f64, finding: Finding) {
        if surprise > self.surprise {
            let novel = matches!(self.finding, Some(Finding::Above(_) | Finding::Below(_)));
            let told = self.finding.filter(|_| novel && self.surprise >= 1.0);
            *self = Self { surprise: surprise.min(MOST), finding: told.or(Some(finding)) };
        }
    }

    fn consider_view(&mut self, departure: Departure, least: f64, finding: Finding) {
        let surprise = departure.size / least;
        self.consider(if departure.is_record { surprise } else { surprise.min(BELOW_ALARM) }, finding);
    }
}

impl AnomalyState {
    pub(crate) fn step(&mut self, spec: &AnomalySpec, input: Input) -> Judgement {
        let value = input.value.clamp(-LARGEST, LARGEST);
        if self.readings == 0 {
            self.first_us = input.time_us;
            (self.last, self.low, self.high) = (value, value, value);
        }
        self.readings = self.readings.saturating_add(1);
        let mut strangest = Strangest { surprise: 0.0, finding: None };
        self.novelty(spec, value, &mut strangest);
        self.course(input.time_us, value, &mut strangest);
        self.movement(value, &mut strangest);
        self.level(value, &mut strangest);
        self.last = value;
        if self.readings <= SPEAKS_FROM {
            return Judgement::new(VerdictKind::Learning, 0, "");
        }
        self.judge(input, &strangest)
    }

    fn judge(&mut self, input: Input, strangest: &Strangest) -> Judgement {
        let heard = self.quiet == 0 || strangest.surprise >= LOUDER * self.loudest;
        self.quiet = self.quiet.saturating_sub(1);
        let Some(finding) = strangest.finding.filter(|_| heard && strangest.surprise >= 1.0) else {
            let score = ppm(strangest.surprise.min(BELOW_ALARM));
            return Judgement { score_ppm: score, ..Judgement::normal() };
        };
        self.quiet = QUIET - 1;
        self.loudest = strangest.surprise;
        let reason = reason::sentence(finding, input, self.first_us);
        Judgement::new(VerdictKind::Anomaly, ppm(strangest.surprise), reason)
    }

    fn novelty(&mut self, spec: &AnomalySpec, value: f64, strangest: &mut Strangest) {
        let span = self.high - self.low;
        // A stream that stood still so far has no width: then a billionth of its size has to do.
        let floor = (1e-9 * self.low.abs().max(self.high.abs())).max(f64::MIN_POSITIVE);
        let width = span.max(spec.least_width()).max(floor);
        let least = LEAST_NOVELTY * (1.0 + YOUNG / f64::from(self.readings));
        if value > self.high {
            let part = (value - self.high) / width;
            strangest.consider(part / least, Finding::Above(part));
        } else if value < self.low {
            let part = (self.low - value) / width;
            strangest.consider(part / least, Finding::Below(part));
        }
        let centre = 0.5 * (self.high + self.low);
        self.high = (centre + (self.high - centre) * FADE).max(value);
        self.low = (centre + (self.low - centre) * FADE).min(value);
    }

    fn course(&mut self, time_us: i64, value: f64, strangest: &mut Strangest) {
        if self.readings <= PROFILE_FROM {
            return;
        }
        let usual = self.profile.get_or_insert_with(Profile::empty).step(time_us, value);
        if let Some(usual) = usual {
            self.course += COURSE_RATE * (value - usual - self.course);
            let departure = self.course_view.step(self.course, Side::Both);
            strangest.consider_view(departure, LEAST_COURSE, Finding::Course(usual));
        }
    }

    fn movement(&mut self, value: f64, strangest: &mut Strangest) {
        if self.readings < 2 {
            return;
        }
        let count = f64::from(self.readings);
        let step = (value - self.last).abs();
        self.step += LONG_RATE.max(1.0 / (count - 1.0)) * (step - self.step);
        if self.step > 0.0 {
            let sample = libm::log(step / self.step + LEAST_STEP);
            self.movement += MOVEMENT_RATE.max(1.0 / count) * (sample - self.movement);
            let departure = self.movement_view.step(self.movement, Side::Below);
            strangest.consider_view(departure, LEAST_MOVEMENT, Finding::Still);
        }
    }

    fn level(&mut self, value: f64, strangest: &mut Strangest) {
        self.level += LEVEL_RATE.max(1.0 / f64::from(self.readings)) * (value - self.level);
        let departure = self.level_view.step(self.level, Side::Both);
        let finding = Finding::Level { now: self.level, usual: departure.usual };
        strangest.consider_view(departure, LEAST_LEVEL, finding);
    }

    /// About how many bytes it encodes to: a hint, never a bound.
    pub(crate) fn size(&self) -> usize {
        if self.profile.is_some() { 640 } else { 192 }
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u32(self.readings);
        writer.i64(self.first_us);
        writer.f64s(&[
            self.last,
            self.low,
            self.high,
            self.level,
            self.step,
            self.movement,
            self.course,
            self.loudest,
        ]);
        writer.u8(self.quiet);
        for view in [&self.level_view, &self.movement_view, &self.course_view] {
            view.encode(writer);
        }
        writer.u8(u8::from(self.profile.is_some()));
        if let Some(profile) = &self.profile {
            profile.encode(writer);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (readings, first_us) = (reader.u32()?, reader.i64()?);
        let mut fields = [0.0; 8];
        reader.f64s(&mut fields)?;
        if fields.iter().any(|field| field.abs() > 4.0 * LARGEST) {
            return Err(StateError::Impossible("number"));
        }
        let [last, low, high, level, step, movement, course, loudest] = fields;
        let quiet = reader.u8()?;
        let (level_view, movement_view, course_view) =
            (View::decode(reader)?, View::decode(reader)?, View::decode(reader)?);
        let profile = match reader.flag()? {
            true => Some(Profile::decode(reader, 2.0 * LARGEST)?),
            false => None,
        };
        let sound = readings > 0 && low <= high && step >= 0.0 && loudest >= 0.0 && quiet < QUIET;
        if !sound {
            return Err(StateError::Impossible("anomaly state"));
        }
        Ok(Self {
            readings,
            first_us,
            last,
            low,
            high,
            level,
            level_view,
            step,
            movement,
            movement_view,
            course,
            course_view,
            profile,
            quiet,
            loudest,
        })
    }
}

/// `r / (1 + r)` in parts per million.
fn ppm(surprise: f64) -> u32 {
    (surprise / (1.0 + surprise) * 1_000_000.0) as u32
}
