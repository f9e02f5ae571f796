//! Decoders and verifier on bytes that nobody meant: they return, and what they accept they write again unchanged.
//!
//! Deterministic: the seed is printed, `TRIAD_FUZZ_SEED` sets it. `TRIAD_FUZZ_SECONDS` (2 unless told) is the time a
//! target takes.

mod common;

use std::time::{Duration, Instant};

use common::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use triad_log::{
    Certificate, Checkpoint, Evidence, Frontier, Receipt, StatementLeaf, TrustAnchor, ValidatorSet, Verdict,
    VerdictLeaf, canonical_json,
};

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Feeds `target` with mutations of the fixtures until the time is over.
fn fuzz(name: &str, fixtures: &[&str], mut target: impl FnMut(&[u8])) {
    let seed = variable("TRIAD_FUZZ_SEED", 1);
    let until = Instant::now() + Duration::from_secs(variable("TRIAD_FUZZ_SECONDS", 2));
    let seeds: Vec<Vec<u8>> = fixtures.iter().map(|name| fixture(name)).collect();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut runs = 0u64;
    for bytes in &seeds {
        target(bytes);
    }
    while !runs.is_multiple_of(64) || Instant::now() < until {
        let bytes = mutate(&seeds, &mut rng);
        target(&bytes);
        runs += 1;
    }
    println!("{name}: {runs} inputs, seed {seed}");
}

fn mutate(seeds: &[Vec<u8>], rng: &mut SmallRng) -> Vec<u8> {
    let mut bytes = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..5) {
        let at = rng.random_range(0..=bytes.len());
        let to = rng.random_range(at..=bytes.len().min(at + 40));
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = rng.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => drop(bytes.splice(at..at, (0..rng.random_range(0..20)).map(|_| 0xff).collect::<Vec<u8>>())),
            // Heads that announce far more than there is.
            5 => {
                let head = [0x9b, 0x5b, 0x1b, 0xbb, 0x7b][rng.random_range(0..5)];
                let length = [u64::MAX, 1 << 32, 1 << 63, 24][rng.random_range(0..4)].to_be_bytes();
                drop(bytes.splice(at..to, [&[head][..], &length].concat()));
            }
            _ => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let from = rng.random_range(0..=other.len());
                drop(bytes.splice(at..to, other[from..].to_vec()));
            }
        }
    }
    bytes
}

macro_rules! decoders {
    ($($test:ident: $type:ty, $($fixture:literal),+;)*) => {$(
        #[test]
        fn $test() {
            fuzz(stringify!($type), &[$($fixture),+], |bytes| {
                if let Ok(value) = <$type>::decode(bytes) {
                    assert_eq!(value.encode(), bytes, "{}", hex::encode(bytes));
                }
            });
        }
    )*};
}

decoders! {
    statement_leaves: StatementLeaf, "statement-leaf.hex", "verdict-leaf.hex";
    verdict_leaves: VerdictLeaf, "verdict-leaf.hex", "verdict-leaf-empty.hex", "statement-leaf.hex";
    verdicts: Verdict, "verdict.hex", "verdict-plain.hex";
    checkpoints: Checkpoint, "checkpoint.hex", "checkpoint-last-of-epoch.hex";
    certificates: Certificate, "certificate-1.hex", "certificate-4.hex", "certificate-9.hex", "commonware-10.hex";
    frontiers: Frontier, "frontier-empty.hex", "frontier-11.hex";
    validator_sets: ValidatorSet, "validators-4.hex";
    evidence: Evidence, "evidence-notarizes.hex", "evidence-finalizes.hex", "evidence-nullify-finalize.hex";
}

#[test]
fn receipts() {
    let genesis = std::fs::read_to_string(fixture_path("genesis.json")).expect("a fixture");
    let anchor = TrustAnchor::from_genesis_json(&genesis).expect("a genesis");
    let names = ["receipt-judged.hex", "receipt-es256.hex", "receipt-hand-over.hex", "receipt-encrypted.hex"];
    let untouched: Vec<_> = names.iter().map(|name| fixture(name)).collect();
    fuzz("Receipt", &names, |bytes| {
        if let Ok(receipt) = Receipt::decode(bytes) {
            assert_eq!(receipt.encode(), bytes, "{}", hex::encode(bytes));
            let holds = receipt.verify(&anchor).is_ok();
            assert_eq!(holds, untouched.iter().any(|good| good == bytes), "{}", hex::encode(bytes));
        }
    });
}

#[test]
fn genesis_files() {
    // Fixtures are hex; a genesis is text, so its bytes serve as they are.
    let text = std::fs::read(fixture_path("genesis.json")).expect("a fixture");
    let mut rng = SmallRng::seed_from_u64(variable("TRIAD_FUZZ_SEED", 1));
    let until = Instant::now() + Duration::from_secs(variable("TRIAD_FUZZ_SECONDS", 2));
    let original = TrustAnchor::from_genesis_json(str::from_utf8(&text).expect("text")).expect("a genesis");
    while Instant::now() < until {
        let bytes = mutate(std::slice::from_ref(&text), &mut rng);
        let Ok(text) = str::from_utf8(&bytes) else { continue };
        if let Ok(canonical) = canonical_json(text) {
            assert_eq!(canonical_json(&canonical).as_ref(), Ok(&canonical), "{text}");
            if let Ok(anchor) = TrustAnchor::from_genesis_json(text) {
                let same = anchor.genesis_hash == original.genesis_hash;
                assert!(!same || anchor == original, "{text}");
            }
        }
    }
}
