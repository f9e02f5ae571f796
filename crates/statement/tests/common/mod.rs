//! What several tests need: fixed keys, statements of every kind, statements made by hand, shared vectors.
#![allow(dead_code)]

use bytes::Bytes;
use ciborium::Value as Cbor;
use std::path::PathBuf;
use triad_statement::{
    Algorithm, Attestation, AttestedVerdict, ContentType, DeviceId, HashAlgorithm, HashEnvelope, Sequence,
    SigningKey, Statement, StatementBuilder, StatementError, StreamId, Value,
};

pub const SEQUENCE: i64 = -65537;

/// The fixed key of an algorithm, the same in every run.
pub fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::from_secret_bytes(algorithm, &[0x10 + algorithm.as_u8(); 32]).unwrap()
}

/// A map from integers.
pub fn map(entries: Vec<(i64, Cbor)>) -> Cbor {
    Cbor::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

pub fn encode(value: &Cbor) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

/// The entries of a good header for the Ed25519 key.
pub fn header() -> Vec<(i64, Cbor)> {
    let kid = key(Algorithm::EdDsa).public().id();
    vec![
        (1, (-8).into()),
        (3, 112.into()),
        (4, Cbor::Bytes(kid.0.to_vec())),
        (15, map(vec![(SEQUENCE, 1.into())])),
    ]
}

/// A pack of one reading.
pub fn pack() -> Vec<u8> {
    encode(&Cbor::Array(vec![map(vec![(0, "t".into()), (2, 21.into())])]))
}

/// A statement of these parts, signed with the Ed25519 key whatever the parts say.
pub fn sign1(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    let signed = encode(&Cbor::Array(vec![
        "Signature1".into(),
        Cbor::Bytes(protected.to_vec()),
        Cbor::Bytes(vec![]),
        Cbor::Bytes(payload.to_vec()),
    ]));
    let signature = key(Algorithm::EdDsa).sign(&signed);
    let parts = vec![
        Cbor::Bytes(protected.to_vec()),
        Cbor::Map(vec![]),
        Cbor::Bytes(payload.to_vec()),
        Cbor::Bytes(signature),
    ];
    encode(&Cbor::Tag(18, Box::new(Cbor::Array(parts))))
}

pub fn with_header(entries: Vec<(i64, Cbor)>) -> Vec<u8> {
    sign1(&encode(&map(entries)), &pack())
}

pub fn with_claims(claims: Vec<(i64, Cbor)>) -> Vec<u8> {
    let mut entries = header();
    entries[3].1 = map(claims);
    with_header(entries)
}

pub fn code(bytes: &[u8]) -> &'static str {
    refusal(bytes).code()
}

pub fn refusal(bytes: &[u8]) -> StatementError {
    Statement::parse(bytes.to_vec()).expect_err("the statement breaks a rule")
}

/// One good statement of every kind, named.
pub fn examples() -> Vec<(&'static str, SigningKey, Bytes)> {
    let of = |algorithm, counter| (key(algorithm), Sequence::new(2, counter));
    let time = 1_700_000_000_000_000;
    let mut examples = Vec::new();
    let mut add =
        |name, (key, sequence): (SigningKey, Sequence), finish: &dyn Fn(StatementBuilder<'_>) -> Bytes| {
            let bytes = finish(StatementBuilder::new(&key, sequence));
            examples.push((name, key, bytes));
        };
    add("eddsa-one-reading", of(Algorithm::EdDsa, 1), &|builder| {
        builder.number("temperature", Some("Cel"), 21.5, Some(time)).sign()
    });
    add("es256-one-reading", of(Algorithm::Es256, 2), &|builder| {
        builder.number("temperature", Some("Cel"), -4.0, Some(time)).sign()
    });
    add("es256k-one-reading", of(Algorithm::Es256k, 3), &|builder| {
        builder.number("temperature", Some("Cel"), 1e-9, Some(time)).sign()
    });
    add("eddsa-fully-specified-relative", of(Algorithm::EdDsa, 4), &|builder| {
        builder
            .fully_specified()
            .iat(time + 250_000)
            .number("t", None, 0.1, None)
            .number("t", None, 0.2, Some(-1))
            .sign()
    });
    add("es256k-on-behalf", of(Algorithm::Es256k, 5), &|builder| {
        let signer = key(Algorithm::Es256k).public().id();
        builder
            .issuer(format!("did:triad:{signer}"))
            .on_behalf_of(DeviceId([0xab; 20]))
            .iat(time)
            .number("t", None, 3.0, None)
            .sign()
    });
    add("eddsa-pack-of-32", of(Algorithm::EdDsa, 6), &|mut builder| {
        for index in 0..32 {
            let value = 20.0 + f64::from(index) / 10.0;
            builder =
                builder.number("temperature", Some("Cel"), value, Some(time + i64::from(index) * 1_000_000));
        }
        builder.sign()
    });
    add("eddsa-every-kind", of(Algorithm::EdDsa, 7), &|builder| {
        builder
            .number("v", Some("W"), 5.0, Some(time))
            .sum(12.5)
            .text("vs", "on", None)
            .bool("vb", true, Some(-1_500_000))
            .data("vd", &[0, 1, 2], None)
            .reading("s", Some("J"), Value::None, None)
            .sum(7.0)
            .sign()
    });
    add("eddsa-encrypted", of(Algorithm::EdDsa, 8), &|builder| {
        // COSE_Encrypt0: {1: A128GCM}, {5: IV}, ciphertext.
        let encrypt0 = hex::decode("d08343a10101a1054c02d1f7e6f26c43d4868d87ce4660973a948905").unwrap();
        builder.payload(16, encrypt0).sign()
    });
    add("es256k-hash-envelope", of(Algorithm::Es256k, 9), &|builder| {
        builder
            .hash_envelope(HashEnvelope {
                algorithm: HashAlgorithm::Sha256,
                digest: Bytes::from_static(&[0x5a; 32]),
                content_type: Some(ContentType::Text("application/pdf".into())),
                location: Some("https://example.org/report/17".into()),
            })
            .sign()
    });
    add("eddsa-verdicts", of(Algorithm::EdDsa, 10), &|builder| {
        let verdict = |kind, value, reason: &str| AttestedVerdict {
            stream: StreamId([0x77; 32]),
            model: 1000,
            leaf: 70_000,
            record: 2,
            kind,
            score_ppm: 925_000,
            value,
            reason: reason.into(),
        };
        let verdicts = vec![verdict(16, Some(0.925), "probability 0.925"), verdict(8, None, "")];
        builder.verdicts(&Attestation { file: [0x5a; 32], verdicts }).sign()
    });
    examples
}

/// A file of the shared data, or `None` (said aloud) where there is none and none is required.
pub fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("TRIAD_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    match std::fs::read_to_string(root.join(path)) {
        Ok(text) => Some(text),
        Err(error) => {
            let required = std::env::var_os("CI_REQUIRE_DATA").is_some_and(|value| value == "1");
            assert!(!required, "{path}: {error}");
            println!("SKIPPED: {path} (shared data not found)");
            None
        }
    }
}
