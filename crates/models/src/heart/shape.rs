//! What a beat looks like beside the patient's own.

use super::{BEAT_FEATURES, RING};

/// Samples on either side of a beat that are its shape.
const HALF: usize = 50;
pub(super) const WIDTH: usize = 2 * HALF + 1;
/// Samples on either side whose median is the baseline.
const BASELINE: usize = 108;
/// Samples of the average that takes the mains' hum away.
const SMOOTH: usize = 7;
/// How far the template is shifted to fit, and by which steps.
const SHIFT: usize = 8;
/// Beats that the first template is chosen from: the one most like the others.
pub(super) const FIRST_BEATS: usize = 12;
/// Correlation from which on a beat adds to the template, and its share.
const ALIKE: f64 = 0.9;
const SHARE: f64 = 0.06;
/// Intervals whose median is the usual one.
pub(super) const INTERVALS: usize = 9;
/// Share of the largest magnitude that counts as the beat's width.
const WIDE: f64 = 0.4;

/// A beat less its baseline.
pub(super) type Outline = Box<[f64; WIDTH]>;

/// The outline around `at`, from the last samples; `None` where they do not reach.
pub(super) fn outline(samples: &[i32], count: u64, at: u64) -> Option<Outline> {
    let margin = (BASELINE + SMOOTH) as u64;
    if at < margin || at + margin >= count || count - (at - margin) > RING as u64 {
        return None;
    }
    let smooth = |place: u64| -> i64 {
        let from = place - (SMOOTH / 2) as u64;
        (from..from + SMOOTH as u64).map(|place| i64::from(samples[place as usize % RING])).sum()
    };
    let around: Vec<i64> = (at - BASELINE as u64..at + BASELINE as u64).map(smooth).collect();
    let mut sorted = around.clone();
    sorted.sort_unstable();
    let baseline = sorted[BASELINE];
    let shape = |offset: usize| (around[BASELINE - HALF + offset] - baseline) as f64;
    Some(Box::new(std::array::from_fn(shape)))
}

#[derive(Debug, Clone, Default)]
pub(super) struct Shapes {
    pub first: Vec<Outline>,
    pub template: Option<Outline>,
    pub intervals: Vec<f64>,
}

impl Shapes {
    /// What is said of a beat with the intervals before and after it; and learns from it.
    pub fn features(
        &mut self,
        outline: Option<Outline>,
        intervals: Option<(f64, f64)>,
    ) -> Option<[f64; BEAT_FEATURES]> {
        let mut sorted = self.intervals.clone();
        sorted.sort_by(f64::total_cmp);
        let usual = sorted.get(sorted.len() / 2).copied();
        if let Some((before, _)) = intervals {
            if self.intervals.len() == INTERVALS {
                self.intervals.remove(0);
            }
            self.intervals.push(before);
        }
        let outline = outline?;
        let Some(template) = &mut self.template else {
            self.first.push(outline);
            if self.first.len() == FIRST_BEATS {
                self.template = most_alike(std::mem::take(&mut self.first));
            }
            return None;
        };
        let alike = correlation(template, &outline);
        let (area, width) =
            (size(&outline) / size(template).max(1.0), width(&outline) / width(template).max(1.0));
        if alike > ALIKE {
            for (mean, value) in template.iter_mut().zip(outline.iter()) {
                *mean += SHARE * (value - *mean);
            }
        }
        let (before, after) = intervals?;
        let log = |ratio: f64| libm::log(ratio.max(0.05));
        Some([
            log(before / usual?).clamp(-1.0, 0.5),
            log(before / after.max(1.0)).clamp(-1.2, 1.0),
            alike,
            log(area).min(3.0),
            log(width),
        ])
    }
}

fn size(outline: &[f64; WIDTH]) -> f64 {
    outline.iter().map(|value| value.abs()).sum()
}

fn width(outline: &[f64; WIDTH]) -> f64 {
    let largest = outline.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    outline.iter().filter(|value| value.abs() > WIDE * largest).count() as f64
}

/// The best correlation over shifts, in [-1, 1].
fn correlation(template: &[f64; WIDTH], outline: &[f64; WIDTH]) -> f64 {
    let length = WIDTH - 2 * SHIFT;
    let fixed = &template[SHIFT..SHIFT + length];
    let mean = |part: &[f64]| part.iter().sum::<f64>() / length as f64;
    let fixed_mean = mean(fixed);
    let mut best = -1.0_f64;
    for shift in (0..=2 * SHIFT).step_by(2) {
        let moved = &outline[shift..shift + length];
        let moved_mean = mean(moved);
        let (mut products, mut a, mut b) = (0.0, 0.0, 0.0);
        for (x, y) in fixed.iter().zip(moved) {
            let (x, y) = (x - fixed_mean, y - moved_mean);
            products += x * y;
            a += x * x;
            b += y * y;
        }
        let scale = (a * b).sqrt();
        if scale > 0.0 {
            best = best.max(products / scale);
        }
    }
    best
}

fn most_alike(mut outlines: Vec<Outline>) -> Option<Outline> {
    let alike = |one: &Outline| outlines.iter().map(|other| correlation(one, other)).sum::<f64>();
    let best = (0..outlines.len()).max_by(|&a, &b| alike(&outlines[a]).total_cmp(&alike(&outlines[b])))?;
    Some(outlines.swap_remove(best))
}
