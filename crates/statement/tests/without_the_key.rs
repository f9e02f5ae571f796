//! The promise behind every accusation: whatever somebody without the key does to a device's statements, no second
//! identity comes out that verifies under the device's key. So equivocation (two identities on one number, both
//! verified) and replay under another number can only ever come from the key's holder.
#![allow(clippy::unwrap_used)]

mod common;

use ciborium::Value as Cbor;
use std::collections::BTreeMap;
use triad_statement::{Algorithm, DeviceKey, Statement, StatementId, verify, verify_batch};

/// The identities that verify under the key, each with the bytes that stand for it.
#[derive(Default)]
struct Accepted(BTreeMap<StatementId, Vec<u8>>);

impl Accepted {
    /// Feeds bytes as a door would; says whether they were accepted.
    fn offer(&mut self, bytes: &[u8], key: &DeviceKey) -> bool {
        let Ok(statement) = Statement::parse(bytes.to_vec()) else { return false };
        let good = verify(&statement, key);
        assert_eq!(verify_batch(&[(&statement, key); 5]), [good; 5]);
        if good {
            let stored = self.0.entry(statement.id()).or_insert_with(|| statement.bytes().to_vec());
            // Ed25519: a changed R or s never verifies; ECDSA: both forms of s are stored as one.
            assert_eq!(stored, statement.bytes(), "one identity, two stored forms");
        }
        good
    }
}

fn parts(bytes: &[u8]) -> [Vec<u8>; 3] {
    let Cbor::Tag(18, inner) = ciborium::from_reader(bytes).unwrap() else { panic!("tag 18") };
    let array = inner.into_array().unwrap();
    let part = |index: usize| array[index].clone().into_bytes().unwrap();
    [part(0), part(2), part(3)]
}

fn assemble(tag: u64, protected: &[u8], unprotected: Cbor, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let array = vec![
        Cbor::Bytes(protected.to_vec()),
        unprotected,
        Cbor::Bytes(payload.to_vec()),
        Cbor::Bytes(signature.to_vec()),
    ];
    common::encode(&Cbor::Tag(tag, Box::new(Cbor::Array(array))))
}

/// r and the order minus s, by schoolbook subtraction.
fn negate_s(algorithm: Algorithm, signature: &[u8]) -> Vec<u8> {
    let order = hex::decode(match algorithm {
        Algorithm::EdDsa => "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed",
        Algorithm::Es256 => "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
        Algorithm::Es256k => "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
    })
    .unwrap();
    let mut s = signature[32..].to_vec();
    if algorithm == Algorithm::EdDsa {
        s.reverse();
    }
    let mut borrow = 0i32;
    for index in (0..32).rev() {
        let digit = i32::from(order[index]) - i32::from(s[index]) - borrow;
        borrow = i32::from(digit < 0);
        s[index] = digit as u8;
    }
    if algorithm == Algorithm::EdDsa {
        s.reverse();
    }
    [&signature[..32], &s].concat()
}

#[test]
fn nothing_done_without_the_key_gives_a_second_identity() {
    let examples = common::examples();
    for (name, key, bytes) in &examples {
        let public = key.public();
        let mut accepted = Accepted::default();
        assert!(accepted.offer(bytes, &public), "{name}");

        // Every change of one bit or one byte, every cut, every byte taken out or put in.
        let step = if bytes.len() > 300 { 3 } else { 1 };
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.to_vec();
                other[at] ^= 1 << bit;
                assert!(!accepted.offer(&other, &public), "{name}: bit {bit} of byte {at}");
            }
            if at % step == 0 {
                for value in [0, 0x40, 0xa0, 0xf6, 0xff] {
                    let mut other = bytes.to_vec();
                    other[at] = value;
                    assert_eq!(
                        accepted.offer(&other, &public),
                        other == *bytes,
                        "{name}: byte {at} = {value}"
                    );
                    let mut longer = bytes.to_vec();
                    longer.insert(at, value);
                    assert!(!accepted.offer(&longer, &public), "{name}: {value} put in at {at}");
                }
                let mut shorter = bytes.to_vec();
                shorter.remove(at);
                assert!(!accepted.offer(&shorter, &public), "{name}: byte {at} taken out");
                assert!(!accepted.offer(&bytes[..at], &public), "{name}: cut at {at}");
            }
        }
        for more in 0..=255 {
            assert!(!accepted.offer(&[&bytes[..], &[more]].concat(), &public), "{name}: {more} behind it");
        }

        // Other encodings of the same parts.
        let [protected, payload, signature] = parts(bytes);
        let empty = || Cbor::Map(vec![]);
        assert!(accepted.offer(&assemble(18, &protected, empty(), &payload, &signature), &public));
        for tag in [0, 16, 17, 61, 96, 97, 98, 55799] {
            assert!(!accepted.offer(&assemble(tag, &protected, empty(), &payload, &signature), &public));
        }
        let header = Cbor::Map(vec![(4.into(), Cbor::Bytes(vec![1; 20]))]);
        assert!(!accepted.offer(&assemble(18, &protected, header, &payload, &signature), &public));
        assert!(!accepted.offer(&bytes[1..], &public), "the tag taken away");
        assert!(!accepted.offer(&[&[0xd8, 18], &bytes[1..]].concat(), &public), "a longer tag");
        assert!(
            !accepted.offer(&[&bytes[..1], &[0x98, 4], &bytes[2..]].concat(), &public),
            "a longer array head"
        );
        assert!(
            !accepted.offer(&[&bytes[..1], &[0x9f], &bytes[2..], &[0xff]].concat(), &public),
            "no length"
        );
        let outer: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
        let wrapped = common::encode(&Cbor::Tag(55799, Box::new(outer)));
        assert!(!accepted.offer(&wrapped, &public), "wrapped as self-described CBOR");

        // The other s: the same statement for ECDSA, no statement at all for Ed25519.
        let negated = negate_s(key.algorithm(), &signature);
        assert_ne!(negated, signature);
        let other = assemble(18, &protected, empty(), &payload, &negated);
        assert_eq!(accepted.offer(&other, &public), key.algorithm() != Algorithm::EdDsa, "{name}: s negated");
        assert!(Statement::parse_stored(bytes.clone()).is_ok());
        if key.algorithm() != Algorithm::EdDsa {
            assert_eq!(Statement::parse_stored(other).unwrap_err().code(), "high-s");
        }

        // The signature on another payload or header of the same device.
        for (_, _, other) in &examples {
            let [other_protected, other_payload, other_signature] = parts(other);
            for mixed in [
                assemble(18, &protected, empty(), &other_payload, &signature),
                assemble(18, &other_protected, empty(), &payload, &signature),
                assemble(18, &protected, empty(), &payload, &other_signature),
            ] {
                assert_eq!(accepted.offer(&mixed, &public), mixed == *bytes, "{name}: mixed");
            }
        }
        assert_eq!(accepted.0.len(), 1, "{name}");
    }
}

#[test]
fn a_signature_counts_for_its_own_key_and_algorithm_only() {
    let examples = common::examples();
    for (name, key, bytes) in &examples {
        let statement = Statement::parse(bytes.clone()).unwrap();
        for algorithm in Algorithm::ALL {
            let other = common::key(algorithm).public();
            assert_eq!(verify(&statement, &other), other == key.public(), "{name} under {algorithm}");
        }
    }
}
