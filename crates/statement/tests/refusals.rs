//! Every refusal: each broken rule has its own code, and a text that says what to do.
#![allow(clippy::unwrap_used)]

mod common;

use ciborium::{Value as Cbor, cbor};
use common::{SEQUENCE, code, encode, header, map, pack, refusal, sign1, with_claims, with_header};
use std::collections::BTreeSet;
use triad_statement::{
    ATTESTED_VERDICTS, Algorithm, DeviceId, Sequence, Statement, StatementBuilder, StatementError, limits,
};

fn replaced(label: i64, value: impl Into<Cbor>) -> Vec<u8> {
    let mut entries = header();
    let value = value.into();
    match entries.iter_mut().find(|(key, _)| *key == label) {
        Some(entry) => entry.1 = value,
        None => {
            entries.push((label, value));
            // Deterministic order of labels: by their encoding.
            entries.sort_by_key(|(key, _)| encode(&Cbor::from(*key)));
        }
    }
    with_header(entries)
}

fn without(label: i64) -> Vec<u8> {
    with_header(header().into_iter().filter(|(key, _)| *key != label).collect())
}

fn senml(pack: Cbor) -> Vec<u8> {
    sign1(&encode(&map(header())), &encode(&pack))
}

fn outer(parts: Vec<Cbor>) -> Vec<u8> {
    encode(&Cbor::Tag(18, Box::new(Cbor::Array(parts))))
}

fn good_parts() -> Vec<Cbor> {
    let Cbor::Tag(_, inner) = ciborium::from_reader(&with_header(header())[..]).unwrap() else {
        panic!("a tag")
    };
    inner.into_array().unwrap()
}

fn with_part(index: usize, part: Cbor) -> Vec<u8> {
    let mut parts = good_parts();
    parts[index] = part;
    outer(parts)
}

fn hash_header(alg: impl Into<Cbor>, extra: Vec<(i64, Cbor)>) -> Vec<u8> {
    let mut entries: Vec<_> = header().into_iter().filter(|(key, _)| *key != 3).collect();
    entries.push((258, alg.into()));
    entries.extend(extra);
    encode(&map(entries))
}

/// Bytes and the code they are refused with, for every rule.
fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let good = with_header(header());
    let kid = common::key(Algorithm::EdDsa).public().id();
    let other = DeviceId([9; 20]);
    let text = |text: &str| Cbor::from(text);
    let claim = |claim: i64, value: Cbor| {
        let claims = vec![(claim, value), (SEQUENCE, 1.into())];
        with_claims(claims)
    };
    let record = |label: i64, value: Cbor| {
        senml(Cbor::Array(vec![map(vec![(0, "t".into()), (4, true.into()), (label, value)])]))
    };
    let encrypted = |payload: &[u8]| {
        let mut entries = header();
        entries[1].1 = 16.into();
        sign1(&encode(&map(entries)), payload)
    };
    let wrong_depth = (0..20).fold(Cbor::Null, |inner, _| Cbor::Array(vec![inner]));
    vec![
        ("too-large", vec![0; limits::MAX_STATEMENT_BYTES + 1]),
        // Not CBOR at all, in every way that a sender gets it wrong.
        ("not-cbor", vec![]),
        ("not-cbor", b"{\"temperature\": 21.5}".to_vec()),
        ("not-cbor", b"hello".to_vec()),
        ("not-cbor", vec![0xff; 40]),
        ("not-cbor", good[..good.len() - 1].to_vec()),
        ("not-cbor", good[..3].to_vec()),
        ("not-cbor", [&good[..], &[0]].concat()),
        ("not-cbor", [&good[..], &good[..]].concat()),
        ("not-cbor", with_part(2, Cbor::Null)[..60].to_vec()),
        ("not-cbor", sign1(&[0xa1], &pack())),
        ("not-cbor", sign1(&[&encode(&map(header()))[..], &[0]].concat(), &pack())),
        ("not-cbor", sign1(&[], &pack())),
        // CBOR, but another spelling of it.
        ("non-deterministic-cbor", [&good[..1], &[0x98, 4], &good[2..]].concat()),
        ("non-deterministic-cbor", [&good[..1], &[0x9f], &good[2..], &[0xff]].concat()),
        ("non-deterministic-cbor", {
            let mut entries = header();
            entries.swap(0, 1);
            with_header(entries)
        }),
        ("non-deterministic-cbor", {
            let mut entries = header();
            entries.insert(0, entries[0].clone());
            with_header(entries)
        }),
        ("non-deterministic-cbor", {
            let header = encode(&map(header()));
            sign1(&[&[0xb8, 4], &header[1..]].concat(), &pack())
        }),
        ("non-deterministic-cbor", {
            // iat 1.5 as a double.
            let header = hex::encode(encode(&map(header())));
            let claims = "0fa206fb3ff80000000000003a0001000001";
            sign1(&hex::decode(header.replace("0fa13a0001000001", claims)).unwrap(), &pack())
        }),
        ("non-deterministic-cbor", with_claims(vec![(SEQUENCE, 1.into()), (6, 5.into())])),
        // CBOR, but no COSE_Sign1.
        ("not-cose", vec![0]),
        ("not-cose", encode(&text("eyJhbGciOiJFZERTQSJ9"))),
        ("not-cose", encode(&map(vec![(1, 2.into())]))),
        ("not-cose", encode(&Cbor::Tag(18, Box::new(Cbor::Null)))),
        ("not-cose", outer(good_parts()[..3].to_vec())),
        ("not-cose", outer([good_parts(), vec![Cbor::Null]].concat())),
        ("not-cose", with_part(0, map(header()))),
        ("not-cose", with_part(1, Cbor::Null)),
        ("not-cose", with_part(2, text("payload"))),
        ("not-cose", with_part(3, Cbor::Null)),
        ("wrong-tag", good[1..].to_vec()),
        ("wrong-tag", encode(&Cbor::Tag(98, Box::new(Cbor::Array(good_parts()))))),
        ("wrong-tag", encode(&Cbor::Tag(55799, Box::new(Cbor::Null)))),
        ("unprotected-header", with_part(1, map(vec![(4, Cbor::Bytes(vec![1]))]))),
        ("missing-payload", with_part(2, Cbor::Null)),
        ("bad-signature-length", with_part(3, Cbor::Bytes(vec![1; 63]))),
        ("bad-signature-length", with_part(3, Cbor::Bytes(vec![1; 72]))),
        // The protected header.
        ("bad-header", sign1(&[0x80], &pack())),
        ("bad-header", without(1)),
        ("bad-header", without(15)),
        ("bad-header", replaced(1, "EdDSA")),
        ("bad-header", replaced(3, -1)),
        ("bad-header", replaced(2, 15)),
        ("bad-header", replaced(2, Cbor::Array(vec![]))),
        ("bad-header", replaced(2, Cbor::Array(vec![258.into()]))),
        ("bad-header", replaced(33, Cbor::Bytes(vec![0; limits::MAX_PROTECTED_BYTES]))),
        ("bad-header", replaced(33, wrong_depth)),
        ("bad-header", {
            let many = (100..=100 + limits::MAX_EXTENSIONS as i64).map(|label| (label, Cbor::Null));
            with_header(header().into_iter().chain(many).collect())
        }),
        ("critical-header", replaced(2, Cbor::Array(vec![15.into(), 35.into()]))),
        ("critical-header", replaced(2, Cbor::Array(vec!["b64".into()]))),
        ("unknown-algorithm", replaced(1, -35)),
        ("unknown-algorithm", replaced(1, -50)),
        ("unknown-algorithm", replaced(1, 5)),
        ("bad-kid", without(4)),
        ("bad-kid", replaced(4, Cbor::Bytes(vec![1; 19]))),
        ("bad-kid", replaced(4, kid.to_string())),
        // Claims.
        ("bad-claims", with_claims(vec![])),
        ("bad-claims", replaced(15, Cbor::Null)),
        ("bad-claims", with_claims(vec![(SEQUENCE, (-1).into())])),
        ("bad-claims", with_claims(vec![(SEQUENCE, 1.5.into())])),
        ("bad-claims", with_claims(vec![(SEQUENCE, "1".into())])),
        ("bad-claims", claim(6, text("now"))),
        ("bad-claims", claim(6, (-1).into())),
        ("bad-claims", claim(6, f64::NAN.into())),
        ("bad-claims", claim(6, f64::INFINITY.into())),
        ("bad-claims", claim(6, 1e300.into())),
        ("bad-claims", claim(6, u64::MAX.into())),
        ("bad-claims", claim(6, Cbor::Tag(1, Box::new(5.into())))),
        ("bad-claims", claim(6, Cbor::Tag(4, Box::new(Cbor::Array(vec![0.into(), 5.into()]))))),
        ("bad-claims", claim(1, 5.into())),
        ("bad-claims", claim(2, Cbor::Bytes(kid.0.to_vec()))),
        ("bad-claims", {
            let many = (100..=100 + limits::MAX_EXTENSIONS as i64).map(|label| (label, Cbor::Null));
            with_claims(many.chain([(SEQUENCE, 1.into())]).collect())
        }),
        ("issuer-mismatch", claim(1, other.to_string().into())),
        ("issuer-mismatch", claim(1, text("me"))),
        ("issuer-mismatch", claim(1, kid.to_string().to_uppercase().into())),
        ("issuer-mismatch", claim(1, text("did:key:z6MktULudTtAsAhRegYPiZ6631RV3viv12qd4GQF8z1xB22S"))),
        ("bad-subject", claim(2, text("sensor 7"))),
        ("bad-subject", claim(2, format!("did:example:{other}#key").into())),
        // The payload's kind.
        ("unknown-content-type", without(3)),
        ("unknown-content-type", replaced(3, 60)),
        ("unknown-content-type", replaced(3, 110)),
        ("unknown-content-type", replaced(3, "application/senml+cbor")),
        ("bad-hash-envelope", sign1(&hash_header(-16, vec![]), &[1; 31])),
        ("bad-hash-envelope", sign1(&hash_header(-14, vec![]), &[1; 20])),
        ("bad-hash-envelope", sign1(&hash_header("SHA-256", vec![]), &[1; 32])),
        ("bad-hash-envelope", replaced(258, -16)),
        ("bad-hash-envelope", replaced(260, "https://example.org")),
        ("bad-header", sign1(&hash_header(-16, vec![(259, (-1).into())]), &[1; 32])),
        ("bad-header", sign1(&hash_header(-16, vec![(260, 1.into())]), &[1; 32])),
        ("bad-ciphertext", encrypted(b"")),
        ("bad-ciphertext", encrypted(&pack())),
        ("bad-ciphertext", encrypted(&encode(&cbor!([(Cbor::Bytes(vec![])), {}, null]).unwrap()))),
        ("bad-ciphertext", encrypted(&encode(&Cbor::Tag(96, Box::new(Cbor::Array(vec![])))))),
        // SenML; its rules are tried one by one beside the parser.
        ("bad-senml", sign1(&encode(&map(header())), b"")),
        ("bad-senml", sign1(&encode(&map(header())), b"[{\"n\":\"t\",\"v\":1}]")),
        ("bad-senml", senml(Cbor::Array(vec![]))),
        ("bad-senml", senml(Cbor::Array(vec![map(vec![(0, "t".into())])]))),
        ("bad-senml", sign1(&encode(&map(header())), &[&pack()[..], &[0]].concat())),
        // Verdicts; their rules are tried one by one beside the parser.
        ("bad-verdicts", replaced(3, ATTESTED_VERDICTS)),
        ("not-finite", record(5, f64::NAN.into())),
        ("not-finite", record(-3, f64::NEG_INFINITY.into())),
        ("bad-name", record(-2, text("Ä"))),
        ("name-too-long", record(-2, "n".repeat(255).into())),
        ("bad-unit", record(1, text(""))),
        ("time-out-of-range", record(6, 1e15.into())),
        ("unsupported-senml", record(-1, 11.into())),
        ("too-many-records", senml(Cbor::Array(vec![Cbor::Null; limits::MAX_RECORDS + 1]))),
    ]
}

#[test]
fn every_broken_rule_has_its_own_code() {
    let mut seen = BTreeSet::new();
    for (index, (expected, bytes)) in cases().into_iter().enumerate() {
        let error = refusal(&bytes);
        assert_eq!(error.code(), expected, "case {index}: {error}");
        seen.insert(error.code());
        // One sentence that a person can act on, without the insides of the parser.
        let text = error.to_string();
        assert!(text.len() > 20 && text.len() < 240 && !text.contains("Err("), "{text}");
    }
    // A high s is refused only where the stored form is asked for.
    let mut bytes = StatementBuilder::new(&common::key(Algorithm::Es256k), Sequence(1))
        .number("t", None, 1.0, None)
        .sign()
        .to_vec();
    let at = bytes.len() - 32;
    let order = hex::decode("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let mut borrow = 0;
    for index in (0..32).rev() {
        let digit = i32::from(order[index]) - i32::from(bytes[at + index]) - borrow;
        borrow = i32::from(digit < 0);
        bytes[at + index] = digit as u8;
    }
    assert!(Statement::parse(bytes.clone()).is_ok());
    seen.insert(Statement::parse_stored(bytes).unwrap_err().code());
    assert_eq!(seen, BTreeSet::from(StatementError::CODES));
}

#[test]
fn what_a_header_may_carry_besides() {
    assert_eq!(code(&with_part(3, Cbor::Bytes(vec![]))), "bad-signature-length");
    let kid = common::key(Algorithm::EdDsa).public().id();
    for good in [
        replaced(2, Cbor::Array(vec![15.into(), 4.into()])),
        replaced(33, Cbor::Bytes(vec![0; 1000])),
        replaced(-70_000, map(vec![(1, Cbor::Array(vec![Cbor::Null, 1.5.into()]))])),
        with_claims(vec![
            (1, format!("did:triad:{kid}").into()),
            (4, 2_000_000_000.into()),
            (SEQUENCE, 1.into()),
        ]),
        with_claims(vec![(6, 1.5.into()), (SEQUENCE, u64::MAX.into())]),
        with_claims(vec![(2, kid.to_string().into()), (SEQUENCE, 0.into())]),
        {
            let mut entries = map(header()).into_map().unwrap();
            entries.push(("vendor".into(), 1.into()));
            sign1(&encode(&Cbor::Map(entries)), &pack())
        },
    ] {
        let statement = Statement::parse(good).unwrap();
        assert!(triad_statement::verify(&statement, &common::key(Algorithm::EdDsa).public()));
        assert_eq!((statement.signer(), statement.on_behalf()), (kid, false));
    }
    let fractional =
        Statement::parse(with_claims(vec![(6, 1_700_000_000.25.into()), (SEQUENCE, 1.into())])).unwrap();
    assert_eq!(fractional.issued_at(), Some(1_700_000_000_250_000));
    for alg in [-8, -19, -7, -9, -47] {
        assert!(Statement::parse(replaced(1, alg)).is_ok(), "{alg}");
    }
}
