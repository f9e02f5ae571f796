use super::*;
use crate::{Sequence, SigningKey, StatementBuilder};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

/// Encodings of the points of small order: the eight reduced ones, then those that are not reduced or have the sign bit
/// set although x is zero.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// The group order, little-endian: an s that ZIP-215 refuses.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

type Case = ([u8; 32], [u8; 64], Vec<u8>, &'static str);

/// Signatures of every odd kind, and plain good ones.
fn cases(rng: &mut StdRng) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    // ZIP-215's own table: key and R of small order in any encoding, s = 0, any message. All are good.
    for key in SMALL_ORDER {
        for r in SMALL_ORDER {
            let signature = [array::<32>(r), [0; 32]].concat().try_into().unwrap();
            cases.push((array(key), signature, b"Zcash".to_vec(), "small order"));
        }
    }
    for index in 0..64u8 {
        let key = ed25519_zebra::SigningKey::new(&mut *rng);
        let public: [u8; 32] = key.verification_key().into();
        let message = vec![index; usize::from(index)];
        let good = key.sign(&message).to_bytes();
        let mut case = |signature, message, kind| cases.push((public, signature, message, kind));
        case(good, message.clone(), "good");
        let mut other = good;
        other[usize::from(index)] ^= 1;
        case(other, message.clone(), "one bit");
        let mut high = good;
        add_order(&mut high[32..]);
        case(high, message.clone(), "s above the order");
        let mut order = good;
        order[32..].copy_from_slice(&array::<32>(ORDER));
        case(order, message.clone(), "s is the order");
        let mut zero = good;
        zero[32..].fill(0);
        case(zero, message.clone(), "s is zero");
        let mut small = good;
        small[..32].copy_from_slice(&array::<32>(SMALL_ORDER[usize::from(index) % SMALL_ORDER.len()]));
        case(small, message.clone(), "R of small order");
        let mut no_point = good;
        no_point[..32].copy_from_slice(&array::<32>(
            "0200000000000000000000000000000000000000000000000000000000000000",
        ));
        case(no_point, message, "R is no point");
        case(good, b"another message".to_vec(), "another message");
    }
    cases
}

fn add_order(s: &mut [u8]) {
    let mut carry = 0u16;
    for (digit, order) in s.iter_mut().zip(array::<32>(ORDER)) {
        carry += u16::from(*digit) + u16::from(order);
        *digit = carry as u8;
        carry >>= 8;
    }
}

fn key((key, ..): &Case) -> ed25519::PublicKey {
    ed25519::PublicKey::new(*key).expect("all keys here are points")
}

/// What `ed25519-zebra` says, alone and in a batch of its own.
fn reference((key, signature, message, _): &Case) -> bool {
    let key = ed25519_zebra::VerificationKeyBytes::from(*key);
    let item = ed25519_zebra::batch::Item::from((key, (*signature).into(), message));
    let mut batch = ed25519_zebra::batch::Verifier::new();
    batch.queue(item.clone());
    let single = item.verify_single().is_ok();
    assert_eq!(batch.verify(rand::rng()).is_ok(), single);
    single
}

fn single(case: &Case) -> bool {
    Item::new(&key(case), &case.1, &case.2).is_good()
}

fn batched(cases: &[Case]) -> Vec<bool> {
    let keys: Vec<_> = cases.iter().map(key).collect();
    let items: Vec<_> = cases
        .iter()
        .zip(&keys)
        .enumerate()
        .map(|(index, ((_, signature, message, _), key))| (index, Item::new(key, signature, message)))
        .collect();
    let mut good = vec![false; cases.len()];
    verify_ed25519(&items, &mut good);
    good
}

#[test]
fn zip_215_accepts_what_rfc_8032_may_refuse() {
    let cases = cases(&mut StdRng::seed_from_u64(1));
    for case in &cases {
        assert_eq!(single(case), matches!(case.3, "small order" | "good"), "{}", case.3);
        assert_eq!(single(case), reference(case), "{}", case.3);
    }
    // Under strict RFC 8032 readings none of the first 196 would count; that is why keys of small order are refused.
    for key in SMALL_ORDER {
        assert!(DeviceKey::from_raw(Algorithm::EdDsa, &array::<32>(key)).is_err());
    }
}

#[test]
fn a_batch_says_what_single_verification_says() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut cases = cases(&mut rng);
    for size in [0, 1, 2, 3, 4, 5, 7, 8, 64, 300, cases.len()] {
        for _ in 0..6 {
            cases.shuffle(&mut rng);
            let part = &cases[..size];
            let expected: Vec<bool> = part.iter().map(reference).collect();
            assert_eq!(batched(part), expected, "{size} signatures");
        }
    }
    // One odd signature among many good ones, at every kind of place.
    let good: Vec<Case> = cases.iter().filter(|case| case.3 == "good").cloned().collect();
    for odd in cases.iter().filter(|case| case.3 != "good").take(150) {
        let mut part = good.clone();
        let place = rng.random_range(0..=part.len());
        part.insert(place, odd.clone());
        let expected: Vec<bool> = part.iter().map(reference).collect();
        assert_eq!(batched(&part), expected, "{} at {place}", odd.3);
    }
}

#[test]
fn many_bad_ones_hidden_among_good_ones_are_all_found() {
    let mut rng = StdRng::seed_from_u64(3);
    let keys: Vec<SigningKey> =
        (0..30).map(|index| SigningKey::generate(Algorithm::ALL[index % 3], &mut rng)).collect();
    let statements: Vec<(Statement, DeviceKey, bool)> = (0..600)
        .map(|index| {
            let key = &keys[index % keys.len()];
            let bytes = StatementBuilder::new(key, Sequence(index as u64))
                .number("t", None, index as f64, None)
                .sign();
            let mut bytes = bytes.to_vec();
            let fate = rng.random_range(0..4);
            let last = bytes.len() - 1;
            if fate == 0 {
                bytes[last - 40] ^= 0x10;
            }
            let claimed = if fate == 1 { &keys[(index + 1) % keys.len()] } else { key };
            (Statement::parse(bytes).unwrap(), claimed.public(), fate > 1)
        })
        .collect();
    let items: Vec<_> = statements.iter().map(|(statement, key, _)| (statement, key)).collect();
    let batch = verify_batch(&items);
    for (index, (statement, key, good)) in statements.iter().enumerate() {
        assert_eq!((batch[index], verify(statement, key)), (*good, *good), "{index}");
    }
    assert!(verify_batch(&[]).is_empty());
}

#[test]
fn a_key_verifies_any_message_with_high_or_low_s() {
    let mut rng = StdRng::seed_from_u64(4);
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm, &mut rng);
        let signature = key.sign(b"challenge");
        assert!(key.public().verify(b"challenge", &signature));
        assert!(!key.public().verify(b"challengf", &signature));
        assert!(!key.public().verify(b"challenge", &signature[1..]));
        let negated = ecdsa::negate_s(algorithm, &signature);
        assert_eq!(key.public().verify(b"challenge", &negated), algorithm != Algorithm::EdDsa);
    }
}
