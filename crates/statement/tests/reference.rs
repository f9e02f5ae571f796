//! `coset` and `ciborium` as an independent maker and reader: what they make we read, what we make they read, and both
//! say the same.
#![allow(clippy::unwrap_used)]

mod common;

use ciborium::Value as Cbor;
use coset::{
    CborSerializable, CoseSign1, CoseSign1Builder, HeaderBuilder, TaggedCborSerializable,
    cwt::{ClaimsSetBuilder, Timestamp},
    iana,
};
use proptest::prelude::*;
use triad_statement::{
    Algorithm, DeviceId, RecordTime, Sequence, SigningKey, Statement, StatementBuilder, Value, verify,
};

#[derive(Clone, Debug)]
struct Reading {
    name: String,
    unit: Option<String>,
    value: f64,
    micros: i64,
}

fn reading() -> impl Strategy<Value = Reading> {
    let value = prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        (-50.0..50.0),
        (-1_000i32..1_000).prop_map(f64::from),
        (-10_000i32..10_000).prop_map(|tenths| f64::from(tenths) / 10.0)
    ];
    let time = prop_oneof![
        -10_000_000i64..10_000_000,
        1_600_000_000_000_000i64..1_900_000_000_000_000,
        (1_600_000_000i64..1_900_000_000).prop_map(|seconds| seconds * 1_000_000)
    ];
    ("[A-Za-z0-9][-A-Za-z0-9:./_]{0,20}", proptest::option::of("[A-Za-z%/]{1,8}"), value, time)
        .prop_map(|(name, unit, value, micros)| Reading { name, unit, value, micros })
}

fn record_time(micros: i64) -> RecordTime {
    if micros < 268_435_456_000_000 { RecordTime::Relative(micros) } else { RecordTime::Absolute(micros) }
}

/// Made with nothing of ours but the key.
fn with_coset(
    key: &SigningKey,
    sequence: u64,
    issued: Option<i64>,
    origin: Option<DeviceId>,
    pack: &Cbor,
) -> Vec<u8> {
    let algorithm = match key.algorithm() {
        Algorithm::EdDsa => iana::Algorithm::EdDSA,
        Algorithm::Es256 => iana::Algorithm::ES256,
        Algorithm::Es256k => iana::Algorithm::ES256K,
    };
    let id = key.public().id();
    let mut claims = ClaimsSetBuilder::new().issuer(id.to_string());
    if let Some(origin) = origin {
        claims = claims.subject(format!("did:example:{origin}"));
    }
    if let Some(issued) = issued {
        claims = claims.issued_at(Timestamp::WholeSeconds(issued));
    }
    let claims = claims.private_claim(-65_537, Cbor::from(sequence)).build();
    let header = HeaderBuilder::new()
        .algorithm(algorithm)
        .content_format(iana::CoapContentFormat::SenmlCbor)
        .key_id(id.0.to_vec())
        .value(15, Cbor::from_slice(&claims.to_vec().unwrap()).unwrap())
        .build();
    CoseSign1Builder::new()
        .protected(header)
        .payload(common::encode(pack))
        .create_signature(&[], |signed| key.sign(signed))
        .build()
        .to_tagged_vec()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_coset_makes_we_read(
        readings in proptest::collection::vec(reading(), 1..20), sequence in any::<u64>(), algorithm in 0usize..3,
        issued in proptest::option::of(0i64..4_000_000_000), origin in proptest::option::of(any::<[u8; 20]>()),
        as_float in any::<bool>(),
    ) {
        let key = common::key(Algorithm::ALL[algorithm]);
        let origin = origin.map(DeviceId);
        let pack = Cbor::Array(readings.iter().map(|reading| {
            let whole = reading.micros % 1_000_000 == 0 && !as_float;
            let time = if whole { Cbor::from(reading.micros / 1_000_000) } else { Cbor::from(reading.micros as f64 / 1e6) };
            let mut fields = vec![(6, time), (0, Cbor::from(&*reading.name)), (2, Cbor::from(reading.value))];
            fields.extend(reading.unit.as_deref().map(|unit| (1, Cbor::from(unit))));
            common::map(fields)
        }).collect());
        let bytes = with_coset(&key, sequence, issued, origin, &pack);
        let statement = Statement::parse(bytes.clone()).unwrap();
        prop_assert_eq!(statement.bytes(), &bytes);
        prop_assert!(verify(&statement, &key.public()));
        prop_assert_eq!(statement.sequence(), Sequence(sequence));
        prop_assert_eq!(statement.issued_at(), issued.map(|seconds| seconds * 1_000_000));
        prop_assert_eq!(statement.signer(), key.public().id());
        prop_assert_eq!(statement.origin(), origin.unwrap_or(key.public().id()));
        let reference = CoseSign1::from_tagged_slice(&bytes).unwrap();
        prop_assert_eq!(statement.signed_bytes(), reference.tbs_data(&[]));
        prop_assert_eq!(Some(statement.payload().to_vec()), reference.payload);
        prop_assert_eq!(&statement.signature()[..], &reference.signature[..]);
        prop_assert_eq!(statement.records().len(), readings.len());
        for (record, reading) in statement.records().iter().zip(&readings) {
            prop_assert_eq!(&*record.name, &reading.name);
            prop_assert_eq!(record.unit.as_deref(), reading.unit.as_deref());
            prop_assert_eq!(&record.value, &Value::Number(reading.value));
            prop_assert_eq!(record.time, record_time(reading.micros));
        }
    }

    #[test]
    fn what_we_make_coset_reads(
        readings in proptest::collection::vec(reading(), 1..20), sequence in any::<u64>(), algorithm in 0usize..3,
        issued in proptest::option::of(0i64..4_000_000_000_000_000),
    ) {
        let key = common::key(Algorithm::ALL[algorithm]);
        let mut builder = StatementBuilder::new(&key, Sequence(sequence));
        if let Some(issued) = issued {
            builder = builder.iat(issued);
        }
        for reading in &readings {
            builder = builder.number(&reading.name, reading.unit.as_deref(), reading.value, Some(reading.micros));
        }
        let bytes = builder.sign();
        let reference = CoseSign1::from_tagged_slice(&bytes).unwrap();
        prop_assert_eq!(&reference.clone().to_tagged_vec().unwrap()[..], &bytes[..]);
        let statement = Statement::parse(bytes).unwrap();
        prop_assert_eq!(statement.issued_at(), issued);
        prop_assert_eq!(statement.signed_bytes(), reference.tbs_data(&[]));
        prop_assert!(verify(&statement, &key.public()));
        for (record, reading) in statement.records().iter().zip(&readings) {
            prop_assert_eq!(&*record.name, &reading.name);
            prop_assert_eq!(record.unit.as_deref(), reading.unit.as_deref());
            prop_assert_eq!(&record.value, &Value::Number(reading.value));
            prop_assert_eq!(record.time, record_time(reading.micros));
        }
        // The payload, read by ciborium, is the array of maps it should be.
        let pack = Cbor::from_slice(&statement.payload()).unwrap();
        prop_assert_eq!(pack.as_array().map(Vec::len), Some(readings.len()));
    }
}
