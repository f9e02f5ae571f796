use super::*;
use crate::{cbor::Integer, stream_id};
use ciborium::{Value as Cbor, cbor};
use proptest::prelude::*;

const ORIGIN: DeviceId = DeviceId([7; 20]);

fn read_bytes(bytes: Vec<u8>) -> Result<Vec<Record>, StatementError> {
    let length = bytes.len();
    parse(&Bytes::from(bytes), 0..length, ORIGIN)
}

fn read(pack: Result<Cbor, ciborium::value::Error>) -> Result<Vec<Record>, StatementError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(&pack.unwrap(), &mut bytes).unwrap();
    read_bytes(bytes)
}

fn code(pack: Result<Cbor, ciborium::value::Error>) -> &'static str {
    read(pack).expect_err("the pack breaks a rule").code()
}

/// Name, unit, value, time in seconds.
fn brief(records: &[Record]) -> Vec<(String, Option<String>, Value, f64)> {
    let seconds = |time| match time {
        RecordTime::Absolute(time) | RecordTime::Relative(time) => time as f64 / 1e6,
    };
    let brief = |record: &Record| {
        let unit = record.unit.as_deref().map(str::to_owned);
        (record.name.to_string(), unit, record.value.clone(), seconds(record.time))
    };
    records.iter().map(brief).collect()
}

#[test]
fn the_cbor_example_of_rfc_8428_section_6() {
    let pack = "87a721781b75726e3a6465763a6f773a31306532303733613031303830303\
        63a22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666a3006763757272656e74062402fb3ff333\
        3333333333a3006763757272656e74062302fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666a300676375727\
        2656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333";
    let records = read_bytes(hex::decode(pack).unwrap()).unwrap();
    let urn = "urn:dev:ow:10e2073a0108006:";
    let current = |value, time| {
        (format!("{urn}current"), Some("A".to_owned()), Value::Number(value), 1_276_020_076.001 + time)
    };
    let voltage = (format!("{urn}voltage"), Some("V".to_owned()), Value::Number(120.1), 1_276_020_076.001);
    let expected = vec![
        voltage,
        current(1.2, -5.0),
        current(1.3, -4.0),
        current(1.4, -3.0),
        current(1.5, -2.0),
        current(1.6, -1.0),
        current(1.7, 0.0),
    ];
    assert_eq!(brief(&records), expected);
    assert!(Arc::ptr_eq(&records[1].name, &records[6].name));
    assert_eq!(records[0].stream, stream_id(ORIGIN, &format!("{urn}voltage")));
    assert_eq!(records[6].stream, stream_id(ORIGIN, &format!("{urn}current")));
}

#[test]
fn every_field_resolves() {
    let records = read(cbor!([
        { -1 => 10, -2 => "site1/", -3 => 1_700_000_000, -4 => "Cel", -5 => 20, -6 => 100,
          0 => "a", 2 => 1.5, 5 => 0.5, 6 => 0.25, 7 => 60 },
        { 0 => "b", 1 => "%RH", 3 => "dry" },
        { 0 => "c", 4 => false, -4 => "W", -2 => "" },
        { 0 => "d", 5 => -1, -3 => 0, "x" => [1, {"deep" => null}] },
        { 0 => "e", 8 => (Cbor::Bytes(vec![1, 2])), 6 => (-3), -6 => 0 },
        { -2 => "f", 2 => (-20.0) },
    ]))
    .unwrap();
    let absolute = 1_700_000_000_000_000;
    let text = |text: &str| Some(Arc::<str>::from(text));
    let expect = |index: usize, name: &str, unit, value, sum, time, update| {
        let record =
            Record { stream: stream_id(ORIGIN, name), name: name.into(), unit, value, sum, time, update };
        assert_eq!(records[index], record, "record {index}");
    };
    let zero = RecordTime::Relative(0);
    expect(
        0,
        "site1/a",
        text("Cel"),
        Value::Number(21.5),
        Some(100.5),
        RecordTime::Absolute(absolute + 250_000),
        Some(60.0),
    );
    let time = RecordTime::Absolute(absolute);
    expect(1, "site1/b", text("%RH"), Value::Text("dry".into()), Some(100.0), time, None);
    expect(2, "c", text("W"), Value::Bool(false), Some(100.0), time, None);
    expect(3, "d", text("W"), Value::None, Some(99.0), zero, None);
    let data = Value::Data(Bytes::from_static(&[1, 2]));
    expect(4, "e", text("W"), data, Some(0.0), RecordTime::Relative(-3_000_000), None);
    expect(5, "f", text("W"), Value::Number(0.0), Some(0.0), zero, None);
    assert!(matches!(records[5].value, Value::Number(value) if value.is_sign_positive()));
}

#[test]
fn times_below_two_to_the_28_are_relative() {
    let time = |seconds: Cbor| read(cbor!([{ 0 => "a", 2 => 1, 6 => seconds }])).unwrap()[0].time;
    let edge = 1i64 << 28;
    assert_eq!(time(Cbor::from(edge)), RecordTime::Absolute(edge * 1_000_000));
    assert_eq!(time(Cbor::from(edge - 1)), RecordTime::Relative((edge - 1) * 1_000_000));
    assert_eq!(time(Cbor::from(edge as f64 - 0.5)), RecordTime::Relative(edge * 1_000_000 - 500_000));
    assert_eq!(time(Cbor::from(-1_700_000_000i64)), RecordTime::Relative(-1_700_000_000_000_000));
    // Base time and time are added before the question is asked.
    let both = read(cbor!([{ 0 => "a", 2 => 1, -3 => edge, 6 => (-1) }])).unwrap()[0].time;
    assert_eq!(both, RecordTime::Relative((edge - 1) * 1_000_000));
}

#[test]
fn resolving_names_the_clock() {
    use crate::Clock;
    let issued = Some(1_700_000_000_000_000);
    assert_eq!(RecordTime::Absolute(5).resolve(issued, 9), (5, Clock::Device));
    assert_eq!(RecordTime::Relative(-5).resolve(issued, 9), (1_699_999_999_999_995, Clock::IssuedAt));
    assert_eq!(RecordTime::Relative(-5).resolve(None, 9), (8_995, Clock::Block));
    assert_eq!(RecordTime::Relative(5).resolve(None, u64::MAX), (MAX_TIME_US, Clock::Block));
    assert_eq!(RecordTime::Relative(-MAX_TIME_US).resolve(Some(-1), 0), (-MAX_TIME_US, Clock::IssuedAt));
    assert_eq!(Clock::Block.name(), "block-clock");
    for clock in [Clock::Device, Clock::IssuedAt, Clock::Block] {
        assert_eq!(serde_json::to_value(clock).unwrap(), clock.name());
    }
}

#[test]
fn a_pack_is_a_definite_array_of_one_to_1024_records() {
    assert_eq!(code(cbor!([])), "bad-senml");
    assert_eq!(code(cbor!({ 0 => "a", 2 => 1 })), "bad-senml");
    assert_eq!(code(cbor!([1])), "bad-senml");
    let many = |count| Cbor::Array(vec![cbor!({ -2 => "a", 2 => 1 }).unwrap(); count]);
    assert_eq!(read(Ok(many(MAX_RECORDS))).unwrap().len(), MAX_RECORDS);
    assert_eq!(code(Ok(many(MAX_RECORDS + 1))), "too-many-records");
    let broken = |text: &str| read_bytes(hex::decode(text).unwrap()).unwrap_err().code();
    for text in
        ["", "81", "82a200616102", "9fa20061610201ff", "81a20061610201ff", "9a00ffffff", "81a2007f6161ff0201"]
    {
        assert_eq!(broken(text), "bad-senml", "{text}");
    }
}

#[test]
fn a_record_may_have_any_well_formed_encoding() {
    // Indefinite map, long integers, long label, unsorted keys: all signed, so none is a second form of anything.
    let records = read_bytes(hex::decode("81bf1802190001180061616674fb3ff0000000000000ff").unwrap());
    assert_eq!(records.unwrap_err().code(), "bad-senml"); // its time is a text
    let records = read_bytes(hex::decode("81bf18021900011800616106fb3ff0000000000000ff").unwrap()).unwrap();
    assert_eq!((records[0].number(), records[0].time), (Some(1.0), RecordTime::Relative(1_000_000)));
}

#[test]
fn exactly_one_value_or_a_sum() {
    assert_eq!(code(cbor!([{ 0 => "a" }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", -5 => 1 }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", -6 => 1 }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, 3 => "b" }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 4 => true, 8 => (Cbor::Bytes(vec![])) }])), "bad-senml");
    assert_eq!(read(cbor!([{ 0 => "a", 5 => 1, -5 => 3 }])).unwrap()[0].value, Value::None);
}

#[test]
fn fields_have_their_types_and_appear_once() {
    let twice = hex::decode("81a300616102010201").unwrap();
    assert_eq!(read_bytes(twice).unwrap_err().code(), "bad-senml");
    let twice = hex::decode("81a4006161020161780161780 1".replace(' ', "")).unwrap();
    assert_eq!(read_bytes(twice).unwrap_err().code(), "bad-senml");
    for label in [-6, -5, -3, 2, 5, 6, 7] {
        for wrong in
            [Cbor::from("1"), Cbor::Null, Cbor::from(true), Cbor::Array(vec![]), Cbor::Bytes(vec![1])]
        {
            assert_eq!(code(cbor!([{ 0 => "a", 4 => true, label => wrong }])), "bad-senml", "{label}");
        }
    }
    for label in [-4, -2, 0, 1, 3] {
        for wrong in [Cbor::from(1), Cbor::Null, Cbor::Bytes(vec![97])] {
            assert_eq!(code(cbor!([{ label => wrong, -2 => "a" }])), "bad-senml", "{label}");
        }
    }
    assert_eq!(code(cbor!([{ 0 => "a", 4 => 1 }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 8 => "YQ" }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, 7 => (-1) }])), "bad-senml");
}

#[test]
fn labels_that_nobody_knows() {
    assert_eq!(read(cbor!([{ 0 => "a", 2 => 1, "other" => "x", "_x" => 1 }])).unwrap().len(), 1);
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, "other_" => "x" }])), "unsupported-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, 9 => 1 }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, (-7) => 1 }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, true => 1 }])), "bad-senml");
    assert_eq!(code(cbor!([{ 0 => "a", "v" => 1 }])), "bad-senml");
    let many: Vec<_> = (0..=MAX_EXTENSIONS)
        .map(|index| (Cbor::from(format!("x{index}")), Cbor::Null))
        .chain([(Cbor::from(0), Cbor::from("a")), (Cbor::from(2), Cbor::from(1))])
        .collect();
    assert_eq!(code(Ok(Cbor::Array(vec![Cbor::Map(many)]))), "bad-senml");
}

#[test]
fn versions() {
    for version in [1, 5, 10, 26] {
        assert!(
            read(cbor!([{ -1 => version, 0 => "a", 2 => 1 }, { -1 => version, 0 => "a", 2 => 1 }])).is_ok()
        );
    }
    for version in [0, 11, 25, 27, u64::MAX] {
        assert_eq!(code(cbor!([{ -1 => version, 0 => "a", 2 => 1 }])), "unsupported-senml", "{version}");
    }
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1 }, { -1 => 5, 0 => "a", 2 => 1 }])), "bad-senml");
    assert!(read(cbor!([{ 0 => "a", 2 => 1 }, { -1 => 10, 0 => "a", 2 => 1 }])).is_ok());
    assert_eq!(code(cbor!([{ -1 => 10.0, 0 => "a", 2 => 1 }])), "bad-senml");
}

#[test]
fn names() {
    let name = |name: &str| read(cbor!([{ 0 => name, 2 => 1 }])).map(|records| records[0].name.to_string());
    for good in ["a", "0", "A-:./_z9", "urn:dev:mac:0024befffe804ff1"] {
        assert_eq!(name(good).as_deref(), Ok(good));
    }
    for bad in ["", "-a", "_a", "/a", "a b", "a\0", "ä", "a%", "a\u{212a}"] {
        assert_eq!(name(bad).unwrap_err().code(), "bad-name", "{bad:?}");
    }
    assert_eq!(code(cbor!([{ 2 => 1 }])), "bad-name");
    assert!(name(&"n".repeat(MAX_NAME_BYTES)).is_ok());
    assert_eq!(name(&"n".repeat(MAX_NAME_BYTES + 1)).unwrap_err().code(), "name-too-long");
    let split = cbor!([{ -2 => ("b".repeat(MAX_NAME_BYTES)), 2 => 1 }, { 0 => "n", 2 => 1 }]);
    let error = StatementError::NameTooLong { record: 1, found: MAX_NAME_BYTES + 1 };
    assert_eq!(read(split).unwrap_err(), error);
}

#[test]
fn the_same_name_split_differently_is_the_same_stream() {
    let records = read(cbor!([
        { -2 => "ab", 0 => "c", 2 => 1 }, { 0 => "c", 2 => 1 }, { -2 => "a", 0 => "bc", 2 => 1 },
        { -2 => "abc", 2 => 1 }, { 2 => 1 }, { -2 => "", 0 => "abc", 2 => 1 }, { 0 => "abd", 2 => 1 },
        { -2 => "abd", 2 => 1 }, { -2 => "abe", 2 => 1 },
    ]))
    .unwrap();
    for record in &records[..6] {
        assert_eq!((&*record.name, record.stream), ("abc", stream_id(ORIGIN, "abc")));
        assert!(Arc::ptr_eq(&record.name, &records[0].name));
    }
    for (index, name) in [(6, "abd"), (7, "abd"), (8, "abe")] {
        assert_eq!((&*records[index].name, records[index].stream), (name, stream_id(ORIGIN, name)));
    }
}

#[test]
fn units() {
    let unit =
        |unit: &str| read(cbor!([{ 0 => "a", 1 => unit, 2 => 1 }])).map(|records| records[0].unit.clone());
    for good in ["Cel", "%RH", "m/s2", "°F", "degF"] {
        assert_eq!(unit(good).unwrap().as_deref(), Some(good));
    }
    for bad in ["", "a\n", "\u{85}", &"u".repeat(MAX_UNIT_BYTES + 1)] {
        assert_eq!(unit(bad).unwrap_err().code(), "bad-unit", "{bad:?}");
    }
    assert_eq!(code(cbor!([{ 0 => "a", -4 => "", 2 => 1 }])), "bad-unit");
}

#[test]
fn what_is_not_finite_is_refused() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for label in [-6, -5, -3, 5, 6, 7] {
            assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, label => bad }])), "not-finite", "{label}");
        }
        assert_eq!(code(cbor!([{ 0 => "a", 2 => bad }])), "not-finite");
    }
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1.7e308, -5 => 1.7e308 }])), "not-finite");
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, 5 => 1.7e308, -6 => 1.7e308 }])), "not-finite");
    let huge = Cbor::Tag(4, Box::new(cbor!([400, 1]).unwrap()));
    assert_eq!(code(cbor!([{ 0 => "a", 2 => huge }])), "not-finite");
}

#[test]
fn times_have_a_range() {
    for bad in [1e18, -1e18, 253_402_300_800.0] {
        assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, 6 => bad }])), "time-out-of-range", "{bad}");
        assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, -3 => bad }])), "time-out-of-range", "{bad}");
    }
    assert_eq!(code(cbor!([{ 0 => "a", 2 => 1, 6 => (u64::MAX) }])), "time-out-of-range");
    let both = cbor!([{ 0 => "a", 2 => 1, 6 => 253_402_300_799i64, -3 => 253_402_300_799i64 }]);
    assert_eq!(code(both), "time-out-of-range");
    assert!(read(cbor!([{ 0 => "a", 2 => 1, 6 => 253_402_300_799i64 }])).is_ok());
}

fn integer(value: i128) -> Integer {
    let negative = value < 0;
    Integer { negative, argument: u64::try_from(if negative { -1 - value } else { value }).unwrap() }
}

fn decimal(mantissa: i128, exponent: i64) -> Number {
    Number::Decimal { mantissa: integer(mantissa), exponent }
}

#[test]
fn decimal_fractions() {
    let value = |mantissa, exponent| decimal(mantissa, exponent).to_f64();
    assert_eq!(value(27315, -2), 273.15);
    assert_eq!(value(-1, -1), -0.1);
    assert_eq!(value(1, i64::MIN), 0.0);
    assert_eq!(value(1, i64::MAX), f64::INFINITY);
    assert_eq!(value(0, i64::MAX), 0.0);
    assert_eq!(value(u64::MAX.into(), 0), 18_446_744_073_709_551_615.0);
    assert_eq!(value(-(1 << 64), 0), -18_446_744_073_709_551_616.0);
    let micros = |mantissa, exponent| microseconds(decimal(mantissa, exponent));
    assert_eq!(micros(17_000_000_005, -1), Some(1_700_000_000_500_000));
    assert_eq!(micros(15, -7), Some(2)); // 1.5 µs, half to even
    assert_eq!(micros(25, -7), Some(2));
    assert_eq!(micros(-25, -7), Some(-2));
    assert_eq!(micros(-15, -7), Some(-2));
    assert_eq!(micros(26, -7), Some(3));
    assert_eq!(micros(1, -60), Some(0));
    assert_eq!(micros(1, i64::MIN), Some(0));
    assert_eq!(micros(0, i64::MAX), Some(0));
    assert_eq!(micros(1, 12), None);
    assert_eq!(micros(1, i64::MAX), None);
    assert_eq!(micros(u64::MAX.into(), 40), None);
    assert_eq!(microseconds(Number::Float(0.000_000_5)), Some(0));
    assert_eq!(microseconds(Number::Float(f64::NAN)), None);
}

proptest! {
    #[test]
    fn a_decimal_fraction_is_rounded_once(mantissa in any::<i64>(), exponent in -340i64..320) {
        let expected: f64 = format!("{mantissa}e{exponent}").parse().unwrap();
        prop_assert_eq!(decimal(mantissa.into(), exponent).to_f64().to_bits(), (expected + 0.0).to_bits());
    }

    #[test]
    fn integers_are_rounded_once(mantissa in -(1i128 << 64)..(1i128 << 64)) {
        let expected: f64 = mantissa.to_string().parse().unwrap();
        prop_assert_eq!(Number::Integer(integer(mantissa)).to_f64(), expected);
    }

    #[test]
    fn the_digits_of_a_number_give_it_back(number in any::<f64>()) {
        prop_assume!(number.is_finite());
        if let Some((mantissa, exponent)) = decimal_digits(number) {
            prop_assert_eq!(decimal(mantissa.into(), exponent).to_f64(), number);
        }
    }

    #[test]
    fn seconds_of_any_kind_agree(micros in -MAX_TIME_US / 100..MAX_TIME_US / 100) {
        prop_assert_eq!(microseconds(decimal(micros.into(), -6)), Some(micros));
        if micros.abs() < 1 << 52 {
            prop_assert_eq!(microseconds(Number::Float(micros as f64 / 1e6)), Some(micros));
        }
    }
}
