use super::{float::to_half, *};
use ciborium::Value;
use proptest::prelude::*;

fn strict(hex_text: &str) -> Result<(), FaultKind> {
    let bytes = hex::decode(hex_text).unwrap();
    let mut reader = Reader::<true>::new(&bytes, 0);
    reader.skip().and_then(|()| reader.end()).map_err(|fault| fault.kind)
}

fn lenient(hex_text: &str) -> Result<(), FaultKind> {
    let bytes = hex::decode(hex_text).unwrap();
    let mut reader = Reader::<false>::new(&bytes, 0);
    reader.skip().and_then(|()| reader.end()).map_err(|fault| fault.kind)
}

#[test]
fn rfc_8949_appendix_a() {
    let deterministic = [
        "00",
        "17",
        "1818",
        "1903e8",
        "1a000f4240",
        "1b000000e8d4a51000",
        "1bffffffffffffffff",
        "20",
        "3863",
        "3bffffffffffffffff",
        "c249010000000000000000",
        "f90000",
        "f98000",
        "f93c00",
        "fb3ff199999999999a",
        "f93e00",
        "f97bff",
        "fa47c35000",
        "fa7f7fffff",
        "fb7e37e43c8800759c",
        "f90001",
        "f90400",
        "f9c400",
        "fbc010666666666666",
        "f97c00",
        "f97e00",
        "f9fc00",
        "f4",
        "f5",
        "f6",
        "f7",
        "f0",
        "f8ff",
        "c11a514b67b0",
        "d74401020304",
        "40",
        "4401020304",
        "60",
        "6161",
        "62c3bc",
        "64f0908591",
        "80",
        "83010203",
        "8301820203820405",
        "a0",
        "a201020304",
        "a26161016162820203",
    ];
    for item in deterministic {
        assert_eq!((strict(item), lenient(item)), (Ok(()), Ok(())), "{item}");
        assert!(is_well_formed(&hex::decode(item).unwrap()), "{item}");
    }
    let other = [
        "fa7f800000",
        "fa7fc00000",
        "faff800000",
        "fb7ff0000000000000",
        "fb7ff8000000000000",
        "5f42010243030405ff",
        "7f657374726561646d696e67ff",
        "9fff",
        "9f018202039f0405ffff",
        "bf61610161629f0203ffff",
        "1800",
        "1817",
        "190010",
        "1a00000100",
        "1b00000000ffffffff",
        "5801aa",
        "7800",
        "9800",
        "b800",
        "fa3fc00000",
        "fb3ff8000000000000",
        "fb3ff0000000000000",
        "a202010102",
        "a2010101ff",
        "a2616201616101",
        "a20001190000",
    ];
    for item in &other[..other.len() - 3] {
        assert_eq!((strict(item), lenient(item)), (Err(FaultKind::NonDeterministic), Ok(())), "{item}");
        assert!(is_well_formed(&hex::decode(item).unwrap()), "{item}");
    }
}

#[test]
fn rfc_8949_appendix_f() {
    let ill_formed = [
        "18",
        "19",
        "1a",
        "1b",
        "1901",
        "1a0102",
        "1b01020304050607",
        "38",
        "58",
        "78",
        "98",
        "9a01ff00",
        "b8",
        "d8",
        "f8",
        "f900",
        "fa0000",
        "fb000000",
        "41",
        "61",
        "5affffffff00",
        "5bffffffffffffffff010203",
        "7affffffff00",
        "7b7fffffffffffffff010203",
        "81",
        "818181818181818181",
        "8200",
        "a1",
        "a20102",
        "a100",
        "a2000000",
        "c0",
        "5f4100",
        "7f6100",
        "9f",
        "9f0102",
        "bf",
        "bf01020102",
        "819f",
        "9f8000",
        "9f9f9f9f9fffffffff",
        "9f819f819f9fffffff",
        "1c",
        "1d",
        "1e",
        "3c",
        "3d",
        "3e",
        "5c",
        "5d",
        "5e",
        "7c",
        "7d",
        "7e",
        "9c",
        "9d",
        "9e",
        "bc",
        "bd",
        "be",
        "dc",
        "dd",
        "de",
        "fc",
        "fd",
        "fe",
        "f800",
        "f801",
        "f818",
        "f81f",
        "5f00ff",
        "5f21ff",
        "5f6100ff",
        "5f80ff",
        "5fa0ff",
        "5fc000ff",
        "5fe0ff",
        "7f4100ff",
        "5f5f4100ffff",
        "7f7f6100ffff",
        "ff",
        "81ff",
        "8200ff",
        "a1ff",
        "a1ff00",
        "a100ff",
        "a20000ff",
        "9f81ff",
        "9f829f819f9fffffffff",
        "bf00ff",
        "bf000000ff",
        "1f",
        "3f",
        "df",
        "61ff",
        "7f61ffff",
        "0000",
    ];
    for item in ill_formed {
        assert!(strict(item).is_err() && lenient(item).is_err(), "{item}");
        assert!(!is_well_formed(&hex::decode(item).unwrap()), "{item}");
    }
}

#[test]
fn depth_is_bounded_for_what_is_carried_and_unbounded_for_the_diagnosis() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0]].concat();
    assert!(Reader::<true>::new(&nested(MAX_DEPTH - 1), 0).skip().is_ok());
    assert!(Reader::<true>::new(&nested(MAX_DEPTH), 0).skip().is_err());
    assert!(Reader::<false>::new(&nested(60_000), 0).skip().is_err());
    assert!(is_well_formed(&nested(60_000)));
}

#[test]
fn every_half_is_read_and_written() {
    for bits in 0..=u16::MAX {
        let value = half(bits);
        if value.is_nan() {
            assert_eq!(to_half(value), Some(0x7e00));
            continue;
        }
        assert_eq!(to_half(value), Some(bits));
        let mut reference = vec![0xf9];
        reference.extend(bits.to_be_bytes());
        let read: Value = ciborium::from_reader(&reference[..]).unwrap();
        assert_eq!(read.as_float().map(f64::to_bits), Some(value.to_bits()));
        // Its neighbours among the doubles are no halves.
        if value != 0.0 && value.is_finite() {
            assert_eq!(to_half(f64::from_bits(value.to_bits() + 1)), None);
            assert_eq!(to_half(f64::from_bits(value.to_bits() - 1)), None);
        }
    }
    assert_eq!(
        (to_half(65_520.0), to_half(65_536.0), to_half(1e300), to_half(1e-300)),
        (None, None, None, None)
    );
}

proptest! {
    #[test]
    fn the_two_checks_of_form_agree(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut reader = Reader::<false>::new(&bytes, 0);
        let skipped = reader.skip().and_then(|()| reader.end());
        match skipped {
            Ok(()) => prop_assert!(is_well_formed(&bytes)),
            Err(fault) if fault.kind == FaultKind::Malformed => prop_assert!(!is_well_formed(&bytes)),
            Err(_) => {}
        }
    }

    #[test]
    fn what_we_write_ciborium_reads_and_we_find_deterministic(float in any::<f64>(), integer in any::<i64>()) {
        let mut writer = Writer::default();
        writer.head(4, 2).float(float).integer(integer);
        let value: Value = ciborium::from_reader(&writer.0[..]).unwrap();
        let array = value.as_array().unwrap();
        let read = array[0].as_float().unwrap();
        prop_assert!(read.to_bits() == float.to_bits() || read.is_nan() && float.is_nan());
        prop_assert_eq!(i128::from(array[1].as_integer().unwrap()), i128::from(integer));
        let mut reader = Reader::<true>::new(&writer.0, 0);
        prop_assert!(reader.skip().and_then(|()| reader.end()).is_ok());
    }
}
