//! Random and mutated input, with a seed: never a panic, and what is accepted is stable.
//!
//! Runs for about two seconds; `TRIAD_FUZZ_SECONDS` makes it longer and `TRIAD_FUZZ_SEED` another run. A failure prints
//! its seed and the input.
#![allow(clippy::unwrap_used)]

mod common;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};
use triad_statement::{
    Algorithm, DeviceKey, Record, RecordTime, SequenceWindow, SigningKey, Statement, Value, limits, verify,
};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn until() -> Instant {
    Instant::now() + Duration::from_secs(setting("TRIAD_FUZZ_SECONDS", 2))
}

/// Bytes that mean much to a CBOR reader.
const TELLING: [u8; 24] = [
    0x00, 0x17, 0x18, 0x19, 0x1b, 0x1f, 0x20, 0x3a, 0x40, 0x5f, 0x60, 0x7f, 0x80, 0x9b, 0x9f, 0xa0, 0xbf,
    0xc4, 0xd2, 0xf6, 0xf9, 0xfb, 0xfe, 0xff,
];

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut StdRng) {
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = TELLING[rng.random_range(0..TELLING.len())],
            2 => bytes.insert(at, TELLING[rng.random_range(0..TELLING.len())]),
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            5 => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let start = rng.random_range(0..other.len());
                let length = rng.random_range(0..=(other.len() - start).min(40));
                let end = (at + rng.random_range(0..=length)).min(bytes.len());
                bytes.splice(at..end, other[start..start + length].iter().copied());
            }
            6 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
            _ => bytes.extend((0..rng.random_range(0..4)).map(|_| rng.random::<u8>())),
        }
    }
}

/// What must hold of everything that parses.
fn holds(statement: &Statement, input: &[u8]) {
    let again =
        Statement::parse_stored(statement.bytes().clone()).expect("the stored form is stored as it is");
    assert_eq!(&again, statement);
    let length = input.len();
    assert_eq!(statement.bytes().len(), length);
    assert_eq!(statement.bytes()[..length - 32], input[..length - 32]);
    for Record { name, value, sum, time, update, .. } in statement.records() {
        assert!((1..=limits::MAX_NAME_BYTES).contains(&name.len()));
        if let Value::Number(number) = value {
            assert!(number.is_finite() && number.to_bits() != (-0.0f64).to_bits());
        }
        assert!(sum.is_none_or(f64::is_finite) && update.is_none_or(|update| update >= 0.0));
        let (RecordTime::Absolute(micros) | RecordTime::Relative(micros)) = *time;
        assert!(micros.abs() <= limits::MAX_TIME_US);
        let (resolved, _) = time.resolve(statement.issued_at(), u64::MAX);
        assert!(resolved.abs() <= limits::MAX_TIME_US);
    }
    assert!(statement.records().len() <= limits::MAX_RECORDS);
    let key = common::key(statement.algorithm()).public();
    verify(statement, &key);
}

#[test]
fn statements() {
    let seed = setting("TRIAD_FUZZ_SEED", 1);
    let mut rng = StdRng::seed_from_u64(seed);
    let seeds: Vec<Vec<u8>> = common::examples().into_iter().map(|(_, _, bytes)| bytes.to_vec()).collect();
    let until = until();
    let (mut runs, mut accepted) = (0u64, 0u64);
    let mut codes = std::collections::BTreeMap::<&str, u64>::new();
    while Instant::now() < until {
        for _ in 0..200 {
            let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
            mutate(&mut bytes, &seeds, &mut rng);
            runs += 1;
            let outcome = std::panic::catch_unwind(|| match Statement::parse(bytes.clone()) {
                Ok(statement) => {
                    holds(&statement, &bytes);
                    None
                }
                Err(error) => Some(error.code()),
            });
            match outcome {
                Ok(None) => accepted += 1,
                Ok(Some(code)) => *codes.entry(code).or_default() += 1,
                Err(_) => panic!("seed {seed}, run {runs}: {}", hex::encode(bytes)),
            }
        }
    }
    println!("{runs} statements, {accepted} accepted, refused: {codes:?}");
    assert!(runs > 1_000 && accepted > 0 && codes.len() > 8);
}

/// Payloads and headers mutated *before* they are signed, so that the inner parsers see more than the outer one lets
/// through.
#[test]
fn signed_by_a_device_that_errs() {
    let seed = setting("TRIAD_FUZZ_SEED", 1);
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    let parts: Vec<[Vec<u8>; 2]> = common::examples()
        .iter()
        .map(|(_, _, bytes)| {
            let Ok(ciborium::Value::Tag(_, inner)) = ciborium::from_reader(&bytes[..]) else {
                panic!("a tag")
            };
            let array = inner.into_array().unwrap();
            [array[0].clone().into_bytes().unwrap(), array[2].clone().into_bytes().unwrap()]
        })
        .collect();
    let pieces: Vec<Vec<u8>> = parts.iter().flatten().cloned().collect();
    let until = until();
    let mut accepted = 0u64;
    while Instant::now() < until {
        let [mut protected, mut payload] = parts[rng.random_range(0..parts.len())].clone();
        if rng.random_bool(0.3) {
            mutate(&mut protected, &pieces, &mut rng);
        } else {
            mutate(&mut payload, &pieces, &mut rng);
        }
        let bytes = common::sign1(&protected, &payload);
        match std::panic::catch_unwind(|| {
            Statement::parse(bytes.clone()).map(|statement| holds(&statement, &bytes))
        }) {
            Ok(outcome) => accepted += u64::from(outcome.is_ok()),
            Err(_) => panic!("seed {seed}: {}", hex::encode(bytes)),
        }
    }
    assert!(accepted > 0);
}

#[test]
fn everything_else_that_is_parsed() {
    let mut rng = StdRng::seed_from_u64(setting("TRIAD_FUZZ_SEED", 1));
    let mut keys: Vec<Vec<u8>> =
        Algorithm::ALL.iter().map(|algorithm| common::key(*algorithm).public().cose_key()).collect();
    keys.push(SequenceWindow::new(1).encode());
    let secret = common::key(Algorithm::Es256).to_secret_text();
    let until = Instant::now() + Duration::from_secs(setting("TRIAD_FUZZ_SECONDS", 2)) / 2;
    while Instant::now() < until {
        let mut bytes = keys[rng.random_range(0..keys.len())].clone();
        mutate(&mut bytes, &keys, &mut rng);
        if let Ok(key) = DeviceKey::from_cose_key(&bytes) {
            assert_eq!(key.cose_key(), bytes);
        }
        if let Some(window) = SequenceWindow::decode(&bytes) {
            assert_eq!(window.encode(), bytes);
        }
        for algorithm in Algorithm::ALL {
            if let Ok(key) = DeviceKey::from_raw(algorithm, &bytes) {
                assert_eq!(DeviceKey::from_cose_key(&key.cose_key()), Ok(key));
            }
        }
        let mut random = vec![0; rng.random_range(0..100)];
        rng.fill_bytes(&mut random);
        assert!(Statement::parse(random).is_err());
        if rng.random_bool(0.02) {
            let mut text = secret.clone().into_bytes();
            mutate(&mut text, &keys, &mut rng);
            if let Ok(text) = String::from_utf8(text) {
                // A key file may change in its white space and stay the same key; it never becomes a half-read one.
                if let Ok(key) = SigningKey::from_secret_text(&text) {
                    assert!(key.public().verify(b"x", &key.sign(b"x")));
                }
            }
        }
    }
}
