//! Data that nobody published, for tests of suites and of trained models.

#![allow(dead_code, reason = "each test program takes what it needs")]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use triad_training::Suite;

/// A folder of its own for one test.
pub fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

pub fn only(suite: &str) -> Suite {
    Suite::named(suite).unwrap()[0]
}

/// Machines of a workshop of its own: three rules of physics, and wear that strikes at random.
pub fn machines(rows: u32) -> String {
    let mut text = String::from(
        "no,Type,Air temperature,Process temperature,Rotational speed,Torque,Tool wear,Machine failure,TWF,HDF,PWF,OSF,RNF\n",
    );
    let mut state = 1_u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for row in 0..rows {
        let kind = ["L", "M", "H"][draw(3) as usize];
        let (air, warmer) = (290 + draw(10), 7 + draw(6));
        let (speed, torque, wear) = (1_200 + draw(1_200), 15 + draw(50), draw(230));
        let power = f64::from(torque * speed) * std::f64::consts::PI / 30.0;
        let borne = match kind {
            "L" => 11_000,
            "M" => 12_000,
            _ => 13_000,
        };
        let modes = [
            draw(500) == 0,
            warmer < 9 && speed < 1_300,
            !(2_500.0..=13_500.0).contains(&power),
            torque * wear > borne,
        ];
        let any = modes.iter().any(|&mode| mode);
        write!(text, "{row},{kind},{air},{},{speed},{torque},{wear},{}", air + warmer, u8::from(any))
            .unwrap();
        for mode in modes {
            write!(text, ",{}", u8::from(mode)).unwrap();
        }
        text.push_str(",0\n");
    }
    text
}

/// Engines that wear out at a pace of their own, from a hidden wear that two sensors show through noise; the runs, each
/// cut some cycles before its end.
pub fn engines(count: usize, seed: u64, left: impl Fn(usize) -> usize) -> String {
    let mut text = String::new();
    let mut state = seed;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    for engine in 0..count {
        let life = 90 + engine * 37 % 60;
        for cycle in 1..=life - left(engine) {
            let share = cycle as f64 / life as f64;
            let wear = share * share * share;
            let (hot, slow) = (600.0 + 20.0 * wear + 2.0 * noise(), 9_000.0 - 50.0 * wear + 6.0 * noise());
            writeln!(text, "{} {cycle} 0.0{} 0.0 100.0 {hot} 14.7 {slow}", engine + 1, engine % 9).unwrap();
        }
    }
    text
}

/// Heart beats of a patient: each is a triangle of this height; every ninth comes early and is wide. The samples as they
/// are stored, places of all beats, and of the wide ones.
pub fn heart(height: i64, seed: i64) -> (Vec<u8>, String, String) {
    let (length, mut at, mut number) = (60_000_i64, 150, 0);
    let mut values = vec![0_i64; length as usize];
    let (mut beats, mut wide) = (String::from("sample\n"), String::from("sample\n"));
    while at + 300 < length {
        let is_wide = number % 9 == 8;
        let half = if is_wide { 26 } else { 9 };
        for place in at - half..at + half {
            values[place as usize] += height * (half - (place - at).abs()) / half;
        }
        writeln!(beats, "{at}").unwrap();
        if is_wide {
            writeln!(wide, "{at}").unwrap();
        }
        number += 1;
        let pause = if is_wide { 120 } else { 0 };
        let early = if number % 9 == 8 { 100 } else { 0 };
        at += 280 + (number * 37 + seed) % 30 + pause - early;
    }
    let noisy = values.iter().enumerate().map(|(at, value)| (value + at as i64 * 7_919 % 5) as i16);
    (noisy.flat_map(i16::to_le_bytes).collect(), beats, wide)
}
