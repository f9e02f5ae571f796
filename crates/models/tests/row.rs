//! Models of rows: their file, the parameters that name it, and what they say.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

use triad_models::trees::{Node, Trees};
use triad_models::{ModelFile, Predicts, RowModel, Spec, TreesSpec, VerdictKind};

fn split(feature: u16, threshold: f64, low: f64, high: f64) -> Vec<Node> {
    vec![Node::Split { feature, threshold, low: 1, high: 2 }, Node::Leaf(low), Node::Leaf(high)]
}

fn life() -> RowModel {
    let trees = Trees::new(2, 60.0, &[split(0, 4.5, 30.0, -50.0), split(1, 80.0, 0.0, -20.0)]).unwrap();
    let predicts = Predicts::RemainingLife { most: 80.0, unit: "h".into() };
    RowModel::new(vec!["vibration".into(), "temperature".into()], predicts, trees).unwrap()
}

fn failure(leaf: f64) -> RowModel {
    let trees = Trees::new(1, 0.0, &[split(0, 10.0, -2.0, leaf)]).unwrap();
    RowModel::new(vec!["torque".into()], Predicts::FailureRisk { from: 0.4 }, trees).unwrap()
}

#[test]
fn a_life_is_cut_to_what_can_be_told_and_its_score_is_what_is_gone() {
    let said = life().judge(&[1.0, 20.0]).unwrap();
    assert_eq!((said.kind, said.value, said.score_ppm), (VerdictKind::RemainingLife, Some(80.0), 0));
    let said = life().judge(&[5.0, 20.0]).unwrap();
    assert_eq!((said.value, said.score_ppm), (Some(10.0), 875_000));
    assert_eq!(said.reason, "10 h left, of at most 80 that are told");
    assert_eq!(life().judge(&[5.0, 99.0]).unwrap().value, Some(0.0));
    assert!(life().judge(&[5.0]).is_none() && life().judge(&[5.0, f64::NAN]).is_none());
}

#[test]
fn the_risk_of_a_failure_is_a_probability_with_the_limit_beside_it() {
    let said = failure(0.0).judge(&[11.0]).unwrap();
    assert_eq!((said.kind, said.value, said.score_ppm), (VerdictKind::FailureRisk, Some(0.5), 500_000));
    assert_eq!(said.reason, "a failure is expected: probability 0.5, from 0.4 on it is");
    let said = failure(0.0).judge(&[9.0]).unwrap();
    assert!(said.value.unwrap() < 0.12 && said.reason.starts_with("no failure is expected"), "{said:?}");
    for (leaf, value) in [(1e308, 1.0), (-1e308, 0.0)] {
        assert_eq!(failure(leaf).judge(&[11.0]).unwrap().value, Some(value));
    }
}

#[test]
fn a_file_comes_back_and_its_fixture_is_read_for_ever() {
    let bytes = failure(0.0).file().encode();
    let fixture = "544d444c 01 05 7472656573 04 \
         06 696e70757473 00000006 746f72717565 05 74656c6c73 0000000c 6661696c7572652d7269736b \
         06 6c696d697473 00000008 3fd999999999999a 05 7472656573 00000035 \
         54474254 01 0001 0001 0000000000000000 0003 0000 4024000000000000 0001 0002 \
         ffff c000000000000000 ffff 0000000000000000";
    assert_eq!(hex::encode(&bytes), fixture.replace([' ', '\n'], ""));
    for model in [life(), failure(0.0)] {
        assert_eq!(RowModel::decode(&model.file().encode()).unwrap(), model);
    }
}

#[test]
fn hostile_files_are_refused_with_the_reason() {
    let refused = |file: ModelFile| RowModel::decode(&file.encode()).unwrap_err().to_string();
    let with = |name: &str, bytes: &[u8]| {
        let mut file = life().file();
        file.sections.iter_mut().find(|(section, _)| section == name).unwrap().1 = bytes.to_vec();
        file
    };
    assert!(refused(with("inputs", b"vibration")).contains("1 inputs for trees over 2 features"));
    assert!(refused(with("inputs", b"a,a")).contains("comes twice"));
    assert!(refused(with("inputs", b"a,b c")).contains("is no name of a stream"));
    assert!(refused(with("tells", b"fortune")).contains("tells \"fortune\""));
    assert!(refused(with("limits", &(-1.0_f64).to_be_bytes())).contains("a number above zero"));
    assert!(refused(with("limits", &f64::NAN.to_be_bytes())).contains("finite"));
    assert!(refused(with("limits", &[])).contains("one number is expected"));
    assert!(refused(with("unit", b"")).contains("1 to 16 bytes"));
    assert!(refused(with("trees", b"TGBT")).contains("wrong length"));
    assert!(refused(life().file().with("more", vec![])).contains("6 sections; 5 are expected"));
    let other = ModelFile { kind: "life".into(), ..life().file() };
    assert!(refused(other).contains("kind \"life\""));
    let bytes = life().file().encode();
    assert!((0..bytes.len()).all(|end| RowModel::decode(&bytes[..end]).is_err()));
    // A cycle cannot be written: the first tree's low child set to its root.
    let root = [0_u8, 0, 0x40, 0x12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2];
    let at = bytes.windows(14).position(|window| window == root).unwrap();
    let mut cyclic = bytes;
    cyclic[at + 11] = 0;
    assert!(RowModel::decode(&cyclic).unwrap_err().to_string().contains("does not lie behind its parent"));
}

#[test]
fn parameters_open_the_file_that_they_name_and_no_other() {
    let file = life().file().encode();
    let spec = TreesSpec::of(&file, &life(), [7; 20]);
    let params = Spec::Trees(spec.clone()).params();
    assert_eq!(Spec::decode("trees", &params).unwrap(), Spec::Trees(spec.clone()));
    assert_eq!(spec.open(&file).unwrap(), life());
    assert_eq!((spec.inputs, spec.splits), (2, 2));
    let mut other = file.clone();
    *other.last_mut().unwrap() ^= 1;
    assert!(spec.open(&other).unwrap_err().to_string().contains("another SHA-256"));
    assert!(spec.open(&file[1..]).unwrap_err().to_string().contains("the parameters say"));
    let cheap = TreesSpec { splits: 1, ..spec.clone() };
    assert!(
        cheap.open(&file).unwrap_err().to_string().contains("2 splits a row; the parameters say 2 and 1")
    );
    assert!(Spec::decode("trees", &[]).unwrap_err().to_string().contains("\"file\" is missing"));
    // No state, whatever it is asked.
    let spec = Spec::Trees(spec);
    let state = triad_models::State::new(&spec);
    assert_eq!(hex::encode(state.encode()), "010500");
    assert_eq!(triad_models::State::decode(&spec, &state.encode()).unwrap(), state);
}
