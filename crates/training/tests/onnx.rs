//! Networks from ONNX files: they tell what ONNX Runtime told of the same windows, and what is not understood is refused with the
//! reason. The files are made by `fixtures/onnx/make.py`.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::path::PathBuf;

use triad_models::window::network::Output;
use triad_training::{OnnxOptions, Trained, import_onnx};

/// Of the largest number told: ONNX Runtime adds up to 24 products of 32 bits here, each with a relative error of up to 2^-24, and
/// approximates `exp` and `tanh`.
const TOLERANCE: f64 = 2e-6;

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(name);
    std::fs::read(path).unwrap()
}

struct Told {
    rows: usize,
    windows: Vec<Vec<f64>>,
    told: Vec<f64>,
}

fn told(name: &str) -> Told {
    let json: serde_json::Value = serde_json::from_slice(&fixture(&format!("{name}.json"))).unwrap();
    Told {
        rows: json["rows"].as_u64().unwrap() as usize,
        windows: serde_json::from_value(json["windows"].clone()).unwrap(),
        told: serde_json::from_value(json["told"].clone()).unwrap(),
    }
}

#[test]
fn every_network_tells_what_the_other_runtime_told() {
    let three = OnnxOptions { class: Some(2), ..OnnxOptions::default() };
    let ten = OnnxOptions { window: Some(10), ..OnnxOptions::default() };
    let plain = OnnxOptions::default();
    for (name, options, probability) in [
        ("mlp_regressor", &plain, false),
        ("mlp_binary", &plain, true),
        ("mlp_three", &three, true),
        ("conv_flat", &plain, false),
        ("conv_mean", &plain, true),
        ("gru_torch", &plain, false),
        ("gru_two", &plain, false),
        ("steps_softmax", &plain, true),
        ("flat_window", &ten, false),
    ] {
        let model = import_onnx(&fixture(&format!("{name}.onnx")), options).unwrap();
        let told = told(name);
        assert_eq!(model.layers().rows(), told.rows, "{name}");
        assert_eq!(matches!(model.output(), Output::FailureRisk { .. }), probability, "{name}");
        assert!(told.windows.len() >= 10);
        let largest = told.told.iter().fold(1.0_f64, |largest, told| largest.max(told.abs()));
        let apart = |(window, told): (&Vec<f64>, &f64)| (model.tell(window).unwrap() - told).abs() / largest;
        let furthest = told.windows.iter().zip(&told.told).map(apart).fold(0.0, f64::max);
        println!("{name}: {} windows, furthest apart {furthest:e} of {largest}", told.windows.len());
        assert!(furthest <= TOLERANCE, "{name}: {furthest}");
        // What is written is what a validator reads.
        let trained = Trained::network(model.clone()).unwrap();
        let back = Trained::decode(trained.bytes()).unwrap();
        assert_eq!((back.describe(), back.kind()), (trained.describe(), "network"));
        assert_eq!(back.describe()["class"], "consensus");
    }
}

#[test]
fn the_other_class_and_names_and_what_is_told_can_be_asked_for() {
    let bytes = fixture("mlp_binary.onnx");
    let with = |options: OnnxOptions| import_onnx(&bytes, &options).unwrap();
    let (plain, told) = (with(OnnxOptions::default()), told("mlp_binary"));
    let none = with(OnnxOptions { class: Some(0), ..OnnxOptions::default() });
    for window in &told.windows {
        assert!((plain.tell(window).unwrap() + none.tell(window).unwrap() - 1.0).abs() < 1e-12);
    }
    assert_eq!(plain.inputs(), ["x1", "x2", "x3"]);
    let inputs = ["torque", "speed", "wear"].map(str::to_owned).to_vec();
    let tells = Some(Output::RemainingLife { most: 10.0, unit: "h".into() });
    let named = with(OnnxOptions { inputs: inputs.clone(), tells: tells.clone(), ..OnnxOptions::default() });
    assert_eq!((named.inputs(), Some(named.output().clone())), (&inputs[..], tells));
    let margin = OnnxOptions { output: Some("add_result1".into()), ..OnnxOptions::default() };
    let margin = with(margin);
    let odds = 1.0 / (1.0 + libm::exp(-margin.tell(&told.windows[0]).unwrap()));
    assert!((odds - plain.tell(&told.windows[0]).unwrap()).abs() < 1e-12);
}

#[test]
fn what_cannot_be_taken_over_is_refused_with_the_reason() {
    let refused = |bytes: &[u8], options: &OnnxOptions| import_onnx(bytes, options).unwrap_err().to_string();
    let plain = OnnxOptions::default();
    assert!(refused(b"\x08\x0a\xff\xff", &plain).contains("no ONNX file"));
    assert!(refused(&[], &plain).contains("without a graph"));
    assert!(refused(&vec![8; (4 << 20) + 1], &plain).contains("at most 4194304"));
    let three = fixture("mlp_three.onnx");
    assert!(refused(&three, &plain).contains("3 numbers come out: say which class, 0 to 2"));
    let class = |class| OnnxOptions { class: Some(class), ..OnnxOptions::default() };
    assert!(refused(&three, &class(3)).contains("say which class"));
    let output = |name: &str| OnnxOptions { output: Some(name.into()), ..OnnxOptions::default() };
    assert!(refused(&three, &output("nothing")).contains("no tensor \"nothing\""));
    let label = refused(&three, &output("output_label"));
    assert!(label.contains("ArgMax") && label.contains("not understood; there are: Gemm"), "{label}");
    let flat = fixture("flat_window.onnx");
    let window = |window| OnnxOptions { window: Some(window), ..OnnxOptions::default() };
    assert!(refused(&flat, &window(3)).contains("20 inputs are no 3 rows"));
    assert!(refused(&flat, &window(0)).contains("20 inputs are no 0 rows"));
    let names = OnnxOptions { inputs: vec!["a".into()], ..window(10) };
    assert!(refused(&flat, &names).contains("1 inputs for a network over 2"));
    // Operators by other names, where one was.
    let swapped = |bytes: &[u8], from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = bytes.to_vec();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let conv = fixture("conv_flat.onnx");
    assert!(refused(&swapped(&conv, "Relu", "Selu"), &plain).contains("Selu: not understood"));
    assert!(refused(&swapped(&conv, "MaxPool", "LSTMabc"), &plain).contains("LSTMabc"));
    assert!(
        refused(&swapped(&conv, "Flatten", "Softmax"), &plain)
            .contains("weights for 24 inputs where 6 come in")
    );
    let gru = fixture("gru_torch.onnx");
    assert!(refused(&swapped(&gru, "Transpose", "Identitya"), &plain).contains("Identitya"));
    // Cut anywhere, it is refused or another network; it never panics.
    for bytes in [conv, gru, three] {
        for length in 0..bytes.len() {
            let _ = import_onnx(&bytes[..length], &plain);
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x11;
            let _ = import_onnx(&bytes, &plain);
        }
    }
}
