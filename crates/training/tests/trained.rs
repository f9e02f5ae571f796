//! Trained models: what is trained is what its file says, and what it says of rows that it never saw.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::fs;

use common::{engines, folder, heart, machines, only};
use triad_models::trees::{Node, Trees};
use triad_training::{Link, PredictOptions, Predicted, Trained, Watch, sha256, train_suite};

fn predict(model: &Trained, path: &std::path::Path) -> Predicted {
    model.predict(path, &PredictOptions::default(), &mut Watch::nobody()).unwrap()
}

/// What came back from the file says the same of the same rows, and the file is the same again.
fn round_trip(model: &Trained, asked: &std::path::Path) -> Predicted {
    let path = asked.with_extension("tmdl");
    fs::write(&path, model.bytes()).unwrap();
    let back = Trained::read(&path).unwrap();
    assert_eq!(back.describe(), model.describe());
    assert_eq!(back.describe()["sha256"], sha256(&fs::read(&path).unwrap()));
    let said = predict(model, asked);
    assert_eq!(predict(&back, asked), said);
    // Cut anywhere, it is refused.
    for length in (0..model.bytes().len()).step_by(model.bytes().len() / 50 + 1) {
        assert!(Trained::decode(&model.bytes()[..length]).is_err(), "{length}");
    }
    said
}

#[test]
fn machines_fail_by_the_rules_that_were_learnt() {
    let root = folder("trained_machines");
    fs::write(root.join("mill.csv"), machines(1_500)).unwrap();
    let mut watch = Watch::nobody();
    let (model, how) = train_suite(only("ai4i2020"), &root, &mut watch).unwrap();
    assert_eq!((model.kind(), how["rows"].as_u64()), ("failures", Some(1_500)));
    assert!(how["cross_validation_f1"].as_f64().unwrap() > 0.85, "{how}");
    let (again, _) = train_suite(only("ai4i2020"), &root.join("mill.csv"), &mut watch).unwrap();
    assert_eq!(again.bytes(), model.bytes(), "the same rows give the same file");

    let said = round_trip(&model, &root.join("mill.csv"));
    assert_eq!(said.header, ["TWF", "HDF", "PWF", "OSF", "failure", "told"]);
    // Torque times wear far above what any type bears, and a machine at ease.
    let one = "no,Type,Air temperature,Process temperature,Rotational speed,Torque,Tool wear\n\
               1,L,295,305,1500,62,229\n2,H,295,305,1500,40,10\n";
    fs::write(root.join("new.csv"), one).unwrap();
    let said = predict(&model, &root.join("new.csv"));
    assert!(said.rows[0][3].unwrap() > 0.8 && said.rows[0][5] == Some(1.0), "{said:?}");
    assert!(said.rows[1][4].unwrap() < 0.2 && said.rows[1][5] == Some(0.0), "{said:?}");

    fs::write(root.join("second.csv"), machines(300)).unwrap();
    let error = train_suite(only("ai4i2020"), &root, &mut watch).unwrap_err().to_string();
    assert!(error.contains("files ….csv; give the path of the one to train on"), "{error}");
}

#[test]
fn engines_wear_out_as_others_did() {
    let root = folder("trained_engines");
    fs::write(root.join("train_shop.txt"), engines(24, 5, |_| 0)).unwrap();
    fs::write(root.join("asked.txt"), engines(6, 77, |_| 30)).unwrap();
    let (model, how) = train_suite(only("cmapss"), &root, &mut Watch::nobody()).unwrap();
    assert_eq!((model.kind(), how["engines"].as_u64()), ("life", Some(24)));
    let said = round_trip(&model, &root.join("asked.txt"));
    assert_eq!(said.header, ["engine", "cycle", "cycles_left"]);
    let last = |engine: f64| said.rows.iter().rfind(|row| row[0] == Some(engine)).unwrap()[2].unwrap();
    let mean = (1..=6).map(|engine| last(f64::from(engine))).sum::<f64>() / 6.0;
    assert!((mean - 30.0).abs() < 12.0, "thirty cycles were left to each: {mean}");
    fs::write(root.join("narrow.txt"), "1 1 0 0 100 600\n").unwrap();
    let error = model.predict(&root.join("narrow.txt"), &PredictOptions::default(), &mut Watch::nobody());
    assert!(error.unwrap_err().to_string().ends_with("1 sensors a row; the model was trained on 3"));
}

#[test]
fn ventricular_beats_are_told_from_a_file() {
    let root = folder("trained_hearts");
    for (name, height, seed) in [("ann", 300, 1), ("ben", -500, 8), ("cleo", 900, 20)] {
        let (samples, beats, wide) = heart(height, seed);
        fs::write(root.join(format!("{name}.i16")), samples).unwrap();
        fs::write(root.join(format!("{name}_beats.csv")), beats).unwrap();
        fs::write(root.join(format!("{name}_pvc.csv")), wide).unwrap();
    }
    let (model, _) = train_suite(only("ecg_mitbih"), &root, &mut Watch::nobody()).unwrap();
    let (samples, _, wide) = heart(700, 33);
    fs::write(root.join("dora.i16"), samples).unwrap();
    let said = round_trip(&model, &root.join("dora.i16"));
    let told = said.rows.iter().filter(|row| row[1].is_some_and(|odds| odds > 0.5)).count();
    let true_count = wide.lines().count() - 1;
    assert!(told.abs_diff(true_count) <= 3, "{told} {true_count}");
}

#[test]
fn trees_take_the_columns_that_are_named_and_say_nothing_of_missing_values() {
    let root = folder("trained_trees");
    let split = Node::Split { feature: 1, threshold: 1.5, low: 1, high: 2 };
    let trees = Trees::new(2, 0.0, &[vec![split, Node::Leaf(-1.0), Node::Leaf(2.0)]]).unwrap();
    let model = Trained::trees(trees);
    fs::write(root.join("rows.csv"), "name,b,a\nx,1,9\ny,2,9\nz,,9\n").unwrap();
    let columns = ["a", "b"].map(str::to_owned).to_vec();
    let options = PredictOptions { columns, link: Some(Link::Logistic) };
    let said = model.predict(&root.join("rows.csv"), &options, &mut Watch::nobody()).unwrap();
    let odds = |margin: f64| Some(1.0 / (1.0 + libm::exp(-margin)));
    assert_eq!(said.rows, [vec![odds(-1.0)], vec![odds(2.0)], vec![None]]);
    let all = model.predict(&root.join("rows.csv"), &PredictOptions::default(), &mut Watch::nobody());
    let error = all.unwrap_err().to_string();
    assert!(error.contains("3 columns for a model of 2 features"), "{error}");
    assert_eq!(model.describe()["class"], "attested");
    assert_eq!(model.describe()["ensembles"][0]["features_used"], 1);
}

#[test]
fn suites_without_training_say_why() {
    for (suite, why) in [("nab", "as readings arrive"), ("skab", "first rows"), ("load_vic", "at every run")]
    {
        let error = train_suite(only(suite), std::path::Path::new("."), &mut Watch::nobody()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn hostile_files_of_models_are_refused() {
    let refused = |bytes: &[u8]| Trained::decode(bytes).unwrap_err().to_string();
    assert!(refused(b"PK\x03\x04").contains("TGBT"));
    let file = |text: &str| hex::decode(text.replace(' ', "")).unwrap();
    // Kind "x", one section "a" of no bytes.
    assert!(refused(&file("544d444c 01 01 78 01 01 61 00000000")).contains("kind \"x\""));
    // Kind "life" with a section "regimes" of one number: two sensors, and nothing of them.
    let short = "544d444c 01 04 6c696665 01 07 726567696d6573 00000008 4000000000000000";
    assert!(refused(&file(short)).contains("impossible regimes"));
}
