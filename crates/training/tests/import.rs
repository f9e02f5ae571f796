//! Ensembles of XGBoost and LightGBM (`fixtures/make.py`) say here what they said there; hostile files are refused.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use triad_training::{Imported, Link, import};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> Imported {
    import(&fs::read(fixture(name)).unwrap()).unwrap()
}

/// Rows and the sums that the library itself gave for them.
fn asked(name: &str) -> Vec<([f64; 4], f64)> {
    let text = fs::read_to_string(fixture(name)).unwrap();
    let numbers = |line: &str| line.split(',').map(|word| word.parse().unwrap()).collect::<Vec<f64>>();
    text.lines().skip(1).map(numbers).map(|row| ([row[0], row[1], row[2], row[3]], row[4])).collect()
}

/// The greatest difference of sums.
fn difference(imported: &Imported, rows: &str) -> f64 {
    let rows = asked(rows);
    assert_eq!(rows.len(), 200, "40 random rows, 160 at thresholds and beside them");
    rows.iter().map(|(row, said)| (imported.trees.predict(row).unwrap() - said).abs()).fold(0.0, f64::max)
}

#[test]
fn xgboost_says_the_same_at_every_threshold() {
    for (name, link) in
        [("squared", Link::Identity), ("logistic", Link::Logistic), ("poisson", Link::Exponential)]
    {
        let imported = read(&format!("xgboost_{name}.json"));
        assert_eq!(
            (imported.from, imported.link, imported.features.join("")),
            ("xgboost", link, "abcd".into())
        );
        assert_eq!(imported.trees.trees().count(), 6);
        // Its sums are of 32 bits; a wrong leaf would be off by a hundredth.
        let off = difference(&imported, &format!("xgboost_{name}.csv"));
        assert!(off < 1e-6, "{name}: {off}");
    }
}

#[test]
fn lightgbm_says_the_same_to_the_last_bits() {
    for (name, link) in [("regression", Link::Identity), ("binary", Link::Logistic)] {
        let imported = read(&format!("lightgbm_{name}.txt"));
        assert_eq!(
            (imported.from, imported.link, imported.features.join("")),
            ("lightgbm", link, "abcd".into())
        );
        let off = difference(&imported, &format!("lightgbm_{name}.csv"));
        assert!(off < 1e-14, "{name}: {off}");
    }
}

fn refused(bytes: &[u8]) -> String {
    import(bytes).unwrap_err().to_string()
}

#[test]
fn what_is_no_plain_sum_of_trees_is_refused_with_the_reason() {
    let file = |name: &str| fs::read(fixture(name)).unwrap();
    assert!(refused(&file("lightgbm_categorical.txt")).contains("categorical"));
    assert!(refused(&file("xgboost_classes.json")).contains("several outputs"));
    assert!(refused(b"\x89PNG\xff").contains("neither"));
    assert!(refused(b"{}").contains("not XGBoost's JSON"));
    assert!(refused(b"tree\nmax_feature_idx=3\n").contains("cut off"));
    assert!(refused(b"tree\nmax_feature_idx=3\nend of trees\n").contains("no tree"));

    let text = String::from_utf8(file("xgboost_squared.json")).unwrap();
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refused(text.replacen(from, to, 1).as_bytes())
    };
    let features = "\"num_class\":\"0\",\"num_feature\":\"4\"";
    assert!(change("\"gbtree\"", "\"dart\"").contains("gbtree"));
    assert!(change("reg:squarederror", "rank:secret").contains("not one that is understood"));
    assert!(change(features, &features.replace('4', "2")).contains("of 2"));
    assert!(change(features, &features.replace('4', "70000")).contains("70000 features"));
    assert!(change("\"base_score\":\"[", "\"base_score\":\"[x").contains("base_score"));
    // A node that is its own child, one that is nowhere, one whose other child is missing.
    assert!(change("\"left_children\":[1", "\"left_children\":[0").contains("more than 1023 nodes"));
    assert!(change("\"left_children\":[1", "\"left_children\":[99999").contains("no node 99999"));
    assert!(change("\"left_children\":[1", "\"left_children\":[-1").contains("no node 0"));

    let text = String::from_utf8(file("lightgbm_binary.txt")).unwrap();
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refused(text.replacen(from, to, 1).as_bytes())
    };
    assert!(change("\nleft_child=1", "\nleft_child=0").contains("more than 1023 nodes"));
    assert!(change("\nleaf_value=", "\nleaf_value=nan ").contains("not finite"));
    assert!(change("\nthreshold=", "\nthreshold=high ").contains("\"high\""));
    assert!(change("\nsplit_feature=", "\nsplit_feature=9 ").contains("feature 9 of 4"));
    assert!(change("num_class=1", "num_class=3").contains("one output"));
    assert!(change("binary sigmoid:1", "binary sigmoid:2").contains("not one that is understood"));
    assert!(change("feature_names", "average_output\nfeature_names").contains("averaged"));
}

#[test]
fn deep_nesting_is_no_way_in() {
    let nested = format!("{{\"learner\":{}", "[".repeat(200_000));
    assert!(refused(nested.as_bytes()).contains("not XGBoost's JSON"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_damage_panics(lightgbm: bool, at: prop::sample::Index, byte: u8, cut: prop::sample::Index, short: bool) {
        let name = if lightgbm { "lightgbm_binary.txt" } else { "xgboost_logistic.json" };
        let mut bytes = fs::read(fixture(name)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if short {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(imported) = import(&bytes) {
            prop_assert!(imported.trees.predict(&vec![0.0; imported.trees.features()]).is_some());
        }
    }
}
