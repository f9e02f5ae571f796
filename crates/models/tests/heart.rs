//! Heart beats from samples: found where they are, compared with the patient's own, whatever else comes.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use triad_models::heart::{Beat, HeartMonitor, MAX_HEART_STATE_BYTES};

/// A beat as a sum of triangles: (samples after the R peak, half width, height).
type Waves = &'static [(i64, i64, i64)];
const NORMAL: Waves = &[(-65, 14, 25), (0, 9, 200), (14, 8, -40), (95, 30, 45)];
const WIDE: Waves = &[(0, 28, 260), (40, 26, -110), (110, 35, -70)];

/// Beats at places, in noise of at most two units.
fn samples(length: i64, beats: &[(i64, Waves)], scale: impl Fn(i64) -> i64) -> Vec<i32> {
    let mut values = vec![0_i64; length as usize];
    for (at, waves) in beats {
        for (after, half, height) in *waves {
            let top = at + after;
            for place in (top - half).max(0)..(top + half).min(length) {
                values[place as usize] += height * (half - (place - top).abs()) / half * scale(*at);
            }
        }
    }
    let mut state = 1_u64;
    let noisy = values.into_iter().map(|value| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (value + (state >> 62) as i64) as i32
    });
    noisy.collect()
}

fn monitor(samples: &[i32]) -> Vec<Beat> {
    let mut monitor = HeartMonitor::default();
    let mut beats: Vec<Beat> = samples.iter().filter_map(|&sample| monitor.step(sample)).collect();
    beats.extend(monitor.finish());
    assert!(beats.windows(2).all(|pair| pair[0].at < pair[1].at), "beats come in order");
    beats
}

/// Every place has a beat within 150 ms, and no other is said.
fn assert_found(beats: &[Beat], places: &[i64]) {
    assert_eq!(beats.len(), places.len(), "{beats:?}");
    for (beat, place) in beats.iter().zip(places) {
        assert!((beat.at as i64 - place).abs() <= 54, "{} for {place}", beat.at);
    }
}

fn regular(from: i64, to: i64) -> Vec<i64> {
    // Intervals of 0.7 to 0.9 s.
    let mut places = vec![from];
    while let Some(&last) = places.last().filter(|&&last| last + 325 < to) {
        places.push(last + 250 + last * 7_919 % 75);
    }
    places
}

#[test]
fn regular_beats_are_found_and_t_waves_are_not() {
    for sign in [1, -1] {
        let places = regular(200, 40_000);
        let beats: Vec<(i64, Waves)> = places.iter().map(|&place| (place, NORMAL)).collect();
        let said = monitor(&samples(40_300, &beats, |_| sign));
        assert_found(&said, &places);
        let features: Vec<[f64; 5]> = said.iter().filter_map(|beat| beat.features).collect();
        assert!(features.len() > places.len() - 20);
        assert!(features.iter().all(|features| features[2] > 0.9 && features[4].abs() < 0.7), "{features:?}");
    }
}

#[test]
fn an_early_wide_beat_is_found_and_unlike_the_patients_own() {
    let mut places = regular(200, 40_000);
    let early = places.len() / 2;
    places[early] -= 90;
    let waves = |at: usize| if at == early { WIDE } else { NORMAL };
    let beats: Vec<(i64, Waves)> = places.iter().enumerate().map(|(at, &place)| (place, waves(at))).collect();
    let said = monitor(&samples(40_300, &beats, |_| 1));
    assert_found(&said, &places);
    let features = said[early].features.unwrap();
    assert!(features[0] < -0.2 && features[1] < -0.4, "early: {features:?}");
    assert!(features[2] < 0.9 && features[3] > 0.5 && features[4] > 0.5, "of another shape: {features:?}");
}

#[test]
fn a_slipped_electrode_is_followed_and_a_standstill_is_not_filled_with_noise() {
    let places = regular(200, 40_000);
    let beats: Vec<(i64, Waves)> = places.iter().map(|&place| (place, NORMAL)).collect();
    let said = monitor(&samples(40_300, &beats, |at| if at < 20_000 { 8 } else { 1 }));
    let late = said.iter().filter(|beat| beat.at > 24_000).count();
    let expected = places.iter().filter(|&&place| place > 24_000).count();
    assert!(late.abs_diff(expected) <= 1, "{late} of {expected}");

    let places = regular(200, 20_000);
    let beats: Vec<(i64, Waves)> = places.iter().map(|&place| (place, NORMAL)).collect();
    let said = monitor(&samples(60_000, &beats, |_| 1));
    assert_found(&said, &places);
}

#[test]
fn artefacts_constant_lines_and_short_records_break_nothing() {
    assert!(monitor(&[]).is_empty());
    assert!(monitor(&[7; 20_000]).is_empty());
    assert!(monitor(&[i32::MAX; 5_000]).is_empty());
    let places = regular(200, 40_000);
    let beats: Vec<(i64, Waves)> = places.iter().map(|&place| (place, NORMAL)).collect();
    let mut values = samples(40_300, &beats, |_| 1);
    values[15_000] = i32::MAX;
    values[15_001] = i32::MIN;
    let said = monitor(&values);
    let late = said.iter().filter(|beat| beat.at > 20_000).count();
    let expected = places.iter().filter(|&&place| place > 20_000).count();
    assert!(late.abs_diff(expected) <= 1, "{late} of {expected}");
    // A record of two beats.
    let said = monitor(&samples(700, &[(200, NORMAL), (480, NORMAL)], |_| 1));
    assert_found(&said, &[200, 480]);
}

#[test]
fn beats_that_fade_to_nothing_are_followed_as_far_as_they_show() {
    let places = regular(200, 100_000);
    let beats: Vec<(i64, Waves)> = places.iter().map(|&place| (place, NORMAL)).collect();
    // From 1,000 times to once the height, then a pause of 20 s and beats again.
    let mut values = samples(100_300, &beats, |at| (1_000 - at / 80).max(1));
    values.extend([0; 7_200]);
    values.extend(samples(40_300, &beats, |_| 1));
    let said = monitor(&values);
    let early = said.iter().filter(|beat| beat.at < 70_000).count();
    let expected = places.iter().filter(|&&place| place < 70_000).count();
    assert!(early.abs_diff(expected) <= 2, "{early} of {expected}");
}

#[test]
fn a_state_restores_to_the_same_future_and_damage_is_refused() {
    let places = regular(200, 12_000);
    let beats: Vec<(i64, Waves)> = places
        .iter()
        .enumerate()
        .map(|(at, &place)| (place, if at % 5 == 4 { WIDE } else { NORMAL }))
        .collect();
    let values = samples(12_300, &beats, |_| 1);
    let whole = monitor(&values);
    for cut in [0, 1, 100, 1_000, 1_439, 1_440, 1_441, 2_500, 4_321, 9_876] {
        let mut before = HeartMonitor::default();
        let mut said: Vec<Beat> = values[..cut].iter().filter_map(|&sample| before.step(sample)).collect();
        let bytes = before.encode();
        assert!(bytes.len() <= MAX_HEART_STATE_BYTES, "{}", bytes.len());
        let mut after = HeartMonitor::decode(&bytes).unwrap();
        assert_eq!(after.encode(), bytes, "sample {cut}");
        said.extend(values[cut..].iter().filter_map(|&sample| after.step(sample)));
        said.extend(after.finish());
        assert_eq!(said, whole, "sample {cut}");
        for length in (0..bytes.len()).step_by(97) {
            assert!(HeartMonitor::decode(&bytes[..length]).is_err());
        }
        // Whatever a damaged byte makes of it: refused, or a state that goes on without a panic.
        for place in (0..bytes.len()).step_by(41) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x81;
            if let Ok(mut monitor) = HeartMonitor::decode(&damaged) {
                values[..2_000].iter().for_each(|&sample| _ = monitor.step(sample));
                monitor.finish();
            }
        }
    }
}
