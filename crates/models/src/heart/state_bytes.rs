//! A heart monitor's state as bytes:
//! `u8 version = 1 | u8 model = 5 | u64 samples | i32 x min(samples, 2048), oldest first | detector | shapes | u8 before? [u64] |
//! u8 n, n x (u64 at, outline?)`.
//! Detector = the queues of its sums in their fixed lengths as i64 (7, 7, 36, 36, 29, 4, 44, 73) | u8 n, n x peak of the
//! first four seconds | f64 signal, noise, strongest | 8 x f64 intervals | u8 n, n x kept peak | u8 latest? [peak] | u8 open | u8 n,
//! n x u64 settled. Peak = `u64 at | f64 strength`. Shapes = `u8 n, n x outline | u8 template? | u8 n, n x f64 intervals`.
//! Outline = `101 x f64`, behind a `u8` where it may be missing.

use std::collections::VecDeque;

use super::detect::{Detector, LISTS, MAX_KEPT, PEAK, Peak, WARM_UP};
use super::shape::{FIRST_BEATS, INTERVALS, Outline, Shapes, WIDTH};
use super::{GREATEST, HeartMonitor, RING};
use crate::codec::{Reader, Writer};
use crate::error::StateError;

/// No state is larger.
pub const MAX_HEART_STATE_BYTES: usize = 24 << 10;
const VERSION: u8 = 1;
const MODEL: u8 = 5;
/// More than any sum of slopes.
const STRONGEST: f64 = (1_u64 << 60) as f64;

fn impossible<T>(what: &'static str) -> Result<T, StateError> {
    Err(StateError::Impossible(what))
}

fn put_optional<T>(writer: &mut Writer, value: Option<&T>, put: impl FnOnce(&mut Writer, &T)) {
    writer.u8(value.is_some().into());
    if let Some(value) = value {
        put(writer, value);
    }
}

fn count(reader: &mut Reader<'_>, most: usize) -> Result<usize, StateError> {
    let count = usize::from(reader.u8()?);
    if count <= most { Ok(count) } else { impossible("count") }
}

fn put_peak(writer: &mut Writer, peak: &Peak) {
    writer.u64(peak.at);
    writer.f64(peak.strength);
}

/// A peak that was seen by now.
fn peak(reader: &mut Reader<'_>, samples: u64) -> Result<Peak, StateError> {
    let peak = Peak { at: reader.u64()?, strength: reader.f64()? };
    let seen = peak.at < samples.saturating_sub(PEAK as u64);
    if seen && (0.0..=STRONGEST).contains(&peak.strength) { Ok(peak) } else { impossible("peak") }
}

fn peaks(reader: &mut Reader<'_>, most: usize, samples: u64) -> Result<Vec<Peak>, StateError> {
    let found: Vec<Peak> =
        (0..count(reader, most)?).map(|_| peak(reader, samples)).collect::<Result<_, _>>()?;
    if found.windows(2).all(|pair| pair[0].at < pair[1].at) {
        Ok(found)
    } else {
        impossible("order of peaks")
    }
}

fn outline(reader: &mut Reader<'_>) -> Result<Outline, StateError> {
    let mut outline: Outline = Box::new([0.0; WIDTH]);
    reader.f64s(&mut outline)?;
    let most = 16.0 * f64::from(GREATEST);
    if outline.iter().all(|value| value.abs() <= most) { Ok(outline) } else { impossible("outline") }
}

fn intervals(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, StateError> {
    let found: Vec<f64> = (0..count).map(|_| reader.f64()).collect::<Result<_, _>>()?;
    if found.iter().all(|value| (0.0..=STRONGEST).contains(value)) {
        Ok(found)
    } else {
        impossible("interval")
    }
}

impl HeartMonitor {
    /// The bytes that [`HeartMonitor::decode`] reads.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(12 << 10);
        writer.u8(VERSION);
        writer.u8(MODEL);
        writer.u64(self.count);
        for place in self.count.saturating_sub(RING as u64)..self.count {
            writer.u32(self.samples[place as usize % RING] as u32);
        }
        let detector = &self.detector;
        for value in detector.lists().into_iter().flatten() {
            writer.i64(*value);
        }
        writer.u8(detector.warm_up.len() as u8);
        detector.warm_up.iter().for_each(|peak| put_peak(&mut writer, peak));
        for value in [detector.signal, detector.noise, detector.strongest].iter().chain(&detector.intervals) {
            writer.f64(*value);
        }
        writer.u8(detector.kept.len() as u8);
        detector.kept.iter().for_each(|peak| put_peak(&mut writer, peak));
        put_optional(&mut writer, detector.latest.as_ref(), put_peak);
        writer.u8(detector.open.into());
        writer.u8(detector.settled.len() as u8);
        detector.settled.iter().for_each(|&at| writer.u64(at));
        writer.u8(self.shapes.first.len() as u8);
        self.shapes.first.iter().for_each(|outline| writer.f64s(outline));
        put_optional(&mut writer, self.shapes.template.as_ref(), |writer, outline| writer.f64s(outline));
        writer.u8(self.shapes.intervals.len() as u8);
        self.shapes.intervals.iter().for_each(|&interval| writer.f64(interval));
        put_optional(&mut writer, self.before.as_ref(), |writer, &at| writer.u64(at));
        writer.u8(self.settled.len() as u8);
        for (at, outline) in &self.settled {
            writer.u64(*at);
            put_optional(&mut writer, outline.as_ref(), |writer, outline| writer.f64s(outline));
        }
        writer.0
    }

    /// Reads a state.
    ///
    /// # Errors
    /// [`StateError`] for bytes of another version or model, and for what no step could have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader(bytes);
        let (version, kind) = (reader.u8()?, reader.u8()?);
        if (version, kind) != (VERSION, MODEL) {
            return Err(StateError::Mismatch { version, kind });
        }
        let mut monitor = Self { count: reader.u64()?, ..Self::default() };
        let samples = monitor.count;
        if samples > 1 << 60 {
            return impossible("number of samples");
        }
        for place in samples.saturating_sub(RING as u64)..samples {
            let sample = reader.u32()? as i32;
            if !(-GREATEST..=GREATEST).contains(&sample) {
                return impossible("sample");
            }
            monitor.samples[place as usize % RING] = sample;
        }
        monitor.detector = detector(&mut reader, samples)?;
        monitor.shapes = shapes(&mut reader)?;
        monitor.before = if reader.flag()? { Some(reader.u64()?) } else { None };
        for _ in 0..count(&mut reader, 1)? {
            let at = reader.u64()?;
            let shape = if reader.flag()? { Some(outline(&mut reader)?) } else { None };
            monitor.settled.push((at, shape));
        }
        reader.end()?;
        // From the beat before those that wait to be given to the latest one: no interval is negative.
        let latest = monitor.detector.latest.map(|peak| peak.at);
        let waiting =
            monitor.settled.iter().map(|&(at, _)| at).chain(monitor.detector.settled.iter().copied());
        let beats: Vec<u64> = monitor.before.into_iter().chain(waiting).collect();
        let ends = beats.last().is_none_or(|&last| latest.is_some_and(|latest| last <= latest));
        if ends && beats.is_sorted() { Ok(monitor) } else { impossible("order of beats") }
    }
}

fn detector(reader: &mut Reader<'_>, samples: u64) -> Result<Detector, StateError> {
    let mut lists: Vec<VecDeque<i64>> = Vec::new();
    for (length, greatest) in LISTS {
        let list: VecDeque<i64> = (0..length).map(|_| reader.i64()).collect::<Result<_, _>>()?;
        if list.iter().any(|value| value.unsigned_abs() > greatest) {
            return impossible("sum");
        }
        lists.push(list);
    }
    let mut detector = Detector::of(samples, lists).ok_or(StateError::Length)?;
    detector.warm_up = peaks(reader, WARM_UP as usize / PEAK, samples)?;
    [detector.signal, detector.noise, detector.strongest] = [reader.f64()?, reader.f64()?, reader.f64()?];
    let sound = |value: f64| (0.0..=STRONGEST).contains(&value);
    if ![detector.signal, detector.noise, detector.strongest].into_iter().all(sound) {
        return impossible("threshold");
    }
    detector.intervals = intervals(reader, detector.intervals.len())?.into();
    detector.kept = peaks(reader, MAX_KEPT, samples)?.into();
    detector.latest = if reader.flag()? { Some(peak(reader, samples)?) } else { None };
    detector.open = reader.flag()?;
    detector.settled = (0..count(reader, MAX_KEPT)?).map(|_| reader.u64()).collect::<Result<_, _>>()?;
    // Before the thresholds are set nothing was judged, and afterwards nothing waits for them.
    let begun = detector.signal > 0.0;
    let judged = detector.latest.is_some() || !detector.kept.is_empty();
    if (begun && (samples <= WARM_UP || !detector.warm_up.is_empty())) || (!begun && judged) {
        return impossible("beginning");
    }
    Ok(detector)
}

fn shapes(reader: &mut Reader<'_>) -> Result<Shapes, StateError> {
    let first = (0..count(reader, FIRST_BEATS - 1)?).map(|_| outline(reader)).collect::<Result<_, _>>()?;
    let template = if reader.flag()? { Some(outline(reader)?) } else { None };
    let count = count(reader, INTERVALS)?;
    Ok(Shapes { first, template, intervals: intervals(reader, count)? })
}
