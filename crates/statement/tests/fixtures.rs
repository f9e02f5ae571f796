//! The format is a promise: statements of fixed keys, kept as files, must be read for ever as they are read today, and
//! (where the algorithm is deterministic) be made again byte for byte.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::PathBuf};
use triad_statement::{
    Algorithm, Clock, Content, ContentType, DeviceId, DeviceKey, HashAlgorithm, RecordTime, Sequence,
    SigningKey, Statement, Value, stream_id, verify,
};

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn parsed(name: &str) -> Statement {
    let bytes = fixture(name);
    let statement = Statement::parse(bytes.clone()).unwrap();
    assert_eq!(statement.bytes(), &bytes, "{name} is in its stored form");
    statement
}

/// Run with `TRIAD_WRITE_FIXTURES=1` to write the files of examples that have none yet. Existing files never change.
#[test]
fn what_we_make_is_what_the_files_hold() {
    for (name, key, bytes) in common::examples() {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.hex"));
        if !path.exists() && std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
            let text: Vec<String> = bytes.chunks(40).map(hex::encode).collect();
            fs::write(&path, text.join("\n") + "\n").unwrap();
        }
        let expected = fixture(name);
        if key.algorithm() == Algorithm::Es256 {
            // ECDSA on P-256 draws a new nonce each time: all but the signature is fixed.
            assert_eq!(bytes[..bytes.len() - 64], expected[..expected.len() - 64], "{name}");
        } else {
            assert_eq!(hex::encode(&bytes), hex::encode(&expected), "{name}");
        }
        assert!(verify(&parsed(name), &key.public()), "{name}");
    }
}

#[test]
fn a_statement_of_one_reading_byte_by_byte() {
    let statement = parsed("eddsa-one-reading");
    let expected = [
        "d284",   // tag 18, array of 4
        "582c",   // protected header: byte string of 44
        "a4",     // map of 4
        "0127",   // alg: -8
        "031870", // content type: 112
        "0454",   // kid: byte string of 20
        "0ee7332509abc9f3a0e5f5c8ed240f275ec95065",
        "0fa1",                       // CWT claims: map of 1
        "3a00010000",                 // -65537:
        "1b0000000200000001",         // epoch 2, counter 1
        "a0",                         // unprotected header: empty
        "581e",                       // payload: byte string of 30
        "81a4",                       // array of 1, map of 4
        "006b74656d7065726174757265", // n: "temperature"
        "016343656c",                 // u: "Cel"
        "02f94d60",                   // v: 21.5
        "061a6553f100",               // t: 1700000000
        "5840",                       // signature: byte string of 64
    ]
    .concat();
    let hex = hex::encode(statement.bytes());
    assert_eq!(hex[..hex.len() - 128], expected);
    assert_eq!(hex[hex.len() - 128..], hex::encode(statement.signature()));
    let record = &statement.records()[0];
    assert_eq!(
        (&*record.name, record.unit.as_deref(), record.number()),
        ("temperature", Some("Cel"), Some(21.5))
    );
    assert_eq!(record.time, RecordTime::Absolute(1_700_000_000_000_000));
    assert_eq!(record.time.resolve(None, 5), (1_700_000_000_000_000, Clock::Device));
    assert_eq!(record.stream, stream_id(statement.origin(), "temperature"));
    assert_eq!(statement.sequence(), Sequence::new(2, 1));
    assert!(!statement.on_behalf());
}

#[test]
fn identities_that_must_never_change() {
    let ids: Vec<String> = common::examples()
        .iter()
        .map(|(name, ..)| {
            let statement = parsed(name);
            let stream =
                statement.records().first().map_or_else(String::new, |record| record.stream.to_string());
            format!("{name} {} {} {stream}", statement.signer(), statement.id())
        })
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/identities.txt");
    if !path.exists() && std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
        fs::write(&path, ids.join("\n") + "\n").unwrap();
    }
    let expected = fs::read_to_string(path).unwrap();
    assert_eq!(ids, expected.lines().collect::<Vec<_>>());
}

#[test]
fn keys_that_must_never_change() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys.txt");
    let lines: Vec<String> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| {
            let key = common::key(algorithm).public();
            let (cose, fingerprint) = (hex::encode(key.cose_key()), hex::encode(key.fingerprint()));
            format!("{algorithm} {} {cose} {fingerprint} {}", key.id(), key.did_key())
        })
        .collect();
    if !path.exists() && std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    }
    let expected = fs::read_to_string(path).unwrap();
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
    for line in expected.lines() {
        let cose = hex::decode(line.split(' ').nth(2).unwrap()).unwrap();
        assert_eq!(
            DeviceKey::from_cose_key(&cose).unwrap().id().to_string(),
            line.split(' ').nth(1).unwrap()
        );
    }
}

#[test]
fn relative_times_and_issue_time() {
    let statement = parsed("eddsa-fully-specified-relative");
    assert_eq!(statement.algorithm(), Algorithm::EdDsa);
    let issued = Some(1_700_000_000_250_000);
    assert_eq!(statement.issued_at(), issued);
    let times: Vec<_> =
        statement.records().iter().map(|record| record.time.resolve(statement.issued_at(), 1)).collect();
    assert_eq!(times, [(1_700_000_000_250_000, Clock::IssuedAt), (1_700_000_000_249_999, Clock::IssuedAt)]);
}

#[test]
fn a_gateway_speaks_for_a_sensor() {
    let statement = parsed("es256k-on-behalf");
    let origin = DeviceId([0xab; 20]);
    assert_eq!((statement.origin(), statement.on_behalf()), (origin, true));
    assert_eq!(statement.signer(), common::key(Algorithm::Es256k).public().id());
    assert_eq!(statement.records()[0].stream, stream_id(origin, "t"));
}

#[test]
fn a_pack_shares_its_name_and_costs_few_bytes() {
    let statement = parsed("eddsa-pack-of-32");
    let records = statement.records();
    assert_eq!(records.len(), 32);
    for (index, record) in records.iter().enumerate() {
        assert_eq!(record.number(), Some(20.0 + index as f64 / 10.0));
        assert_eq!(record.time, RecordTime::Absolute(1_700_000_000_000_000 + index as i64 * 1_000_000));
        assert_eq!((&*record.name, record.unit.as_deref()), ("temperature", Some("Cel")));
        assert_eq!(record.stream, records[0].stream);
    }
    assert!(statement.bytes().len() <= 32 * 13, "{}", statement.bytes().len());
}

#[test]
fn every_kind_of_value() {
    let statement = parsed("eddsa-every-kind");
    let [number, text, boolean, data, sum] = statement.records() else { panic!("five records") };
    assert_eq!((&number.value, number.sum), (&Value::Number(5.0), Some(12.5)));
    assert_eq!(text.value, Value::Text("on".into()));
    assert_eq!((&boolean.value, boolean.time), (&Value::Bool(true), RecordTime::Relative(-1_500_000)));
    assert!(matches!(&data.value, Value::Data(bytes) if bytes[..] == [0, 1, 2]));
    assert_eq!((&sum.value, sum.sum, sum.number()), (&Value::None, Some(7.0), None));
}

#[test]
fn payloads_that_only_some_can_read() {
    let statement = parsed("eddsa-encrypted");
    assert_eq!(statement.content(), &Content::Encrypted);
    assert!(statement.records().is_empty());
    assert_eq!(statement.payload()[0], 0xd0);

    let statement = parsed("es256k-hash-envelope");
    let Content::HashEnvelope(envelope) = statement.content() else { panic!("a hash envelope") };
    assert_eq!((envelope.algorithm, &envelope.digest[..]), (HashAlgorithm::Sha256, &[0x5a; 32][..]));
    assert_eq!(envelope.content_type, Some(ContentType::Text("application/pdf".into())));
    assert_eq!(envelope.location.as_deref(), Some("https://example.org/report/17"));
}

#[test]
fn verdicts_of_a_runner() {
    let statement = parsed("eddsa-verdicts");
    let attestation = statement.attestation().unwrap();
    assert_eq!((attestation.file, attestation.verdicts.len()), ([0x5a; 32], 2));
    let first = &attestation.verdicts[0];
    assert_eq!((first.model, first.leaf, first.record, first.kind), (1000, 70_000, 2, 16));
    assert_eq!((first.score_ppm, first.value, &*first.reason), (925_000, Some(0.925), "probability 0.925"));
    assert_eq!(attestation.verdicts[1].value, None);
    assert!(statement.records().is_empty());
}

#[test]
fn a_secret_key_file() {
    for algorithm in Algorithm::ALL {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(format!("{}.pem", algorithm.name().to_lowercase()));
        let key = common::key(algorithm);
        if !path.exists() && std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
            fs::write(&path, key.to_secret_text()).unwrap();
        }
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(key.to_secret_text(), text);
        assert_eq!(SigningKey::from_secret_text(&text).unwrap().public(), key.public());
    }
}

#[test]
fn statements_and_keys_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Statement>();
    crosses::<DeviceKey>();
    crosses::<SigningKey>();
}
