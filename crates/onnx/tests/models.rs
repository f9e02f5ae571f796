//! Models that scikit-learn trained and skl2onnx exported tell what onnxruntime tells; strange files are refused with the reason;
//! requests are checked before anything runs.

#![allow(clippy::unwrap_used)] // A test may panic.

use prost::Message as _;
use serde_json::{Value, json};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use triad_onnx::protocol::{Request, metadata};
use triad_onnx::{Data, MAX_FILE_BYTES, Model, OnnxError};

fn file(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

fn model(name: &str) -> Model {
    Model::open(&file(name), None).unwrap()
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// onnxruntime and this evaluator add in other orders, in 32 bits.
fn alike(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * (1.0 + b.abs())
}

#[test]
fn real_exports_tell_what_onnxruntime_tells() {
    let told: Value = serde_json::from_str(include_str!("fixtures/numbers.json")).unwrap();
    let rows: Vec<Vec<f64>> = told["rows"].as_array().unwrap().iter().map(list).collect();
    let models = told["models"].as_object().unwrap();
    assert!(models.len() > 20);
    for (name, expected) in models {
        let model = model(name);
        assert!(model.description().left_out.is_empty(), "{name}: {:?}", model.description().left_out);
        for (at, row) in rows.iter().enumerate() {
            let outputs = model.run(row).unwrap();
            assert_eq!(outputs.len(), expected.as_array().unwrap().len(), "{name}");
            for (output, expected) in outputs.iter().zip(expected.as_array().unwrap()) {
                let expected = list(&expected[at]);
                assert_eq!(output.data.len(), expected.len(), "{name} {}", output.name);
                for (place, expected) in expected.into_iter().enumerate() {
                    let found = match &output.data {
                        Data::I64(labels) => labels[place] as f64,
                        data => data.number(place).unwrap(),
                    };
                    assert!(alike(found, expected), "{name} {} row {at}: {found} {expected}", output.name);
                }
            }
        }
    }
}

/// The reason why a file is refused after a change.
fn refused(name: &str, change: impl FnOnce(&mut ModelProto)) -> String {
    let mut proto = ModelProto::decode(&*file(name)).unwrap();
    change(&mut proto);
    Model::open(&proto.encode_to_vec(), None).unwrap_err().to_string()
}

fn graph(proto: &mut ModelProto) -> &mut GraphProto {
    proto.graph.as_mut().unwrap()
}

fn attribute<'a>(proto: &'a mut ModelProto, name: &str) -> &'a mut AttributeProto {
    let nodes = graph(proto).node.iter_mut();
    nodes.flat_map(|node| &mut node.attribute).find(|attribute| attribute.name == name).unwrap()
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    let why = |bytes: &[u8]| Model::open(bytes, None).unwrap_err();
    assert_eq!(
        why(&vec![0; MAX_FILE_BYTES + 1]),
        OnnxError::TooLarge { found: MAX_FILE_BYTES + 1, limit: MAX_FILE_BYTES }
    );
    assert!(matches!(why(b""), OnnxError::Malformed(_)));
    assert!(matches!(why(b"no model"), OnnxError::Malformed(_)));
    let whole = file("forest");
    for cut in (0..whole.len()).step_by(97) {
        assert!(Model::open(&whole[..cut], None).is_err(), "{cut}");
    }
}

#[test]
fn tensors_are_as_long_as_their_shape_says_and_lie_in_the_file() {
    let first =
        |change: fn(&mut TensorProto)| refused("network", |proto| change(&mut graph(proto).initializer[0]));
    assert!(first(|tensor| tensor.dims = vec![1 << 40, 1 << 40]).contains("has the shape"));
    assert!(first(|tensor| tensor.dims = vec![-1]).contains("has the shape"));
    assert!(first(|tensor| tensor.dims = vec![1_000_000]).contains("numbers"));
    assert!(first(|tensor| tensor.data_location = Some(1)).contains("another file"));
    assert!(first(|tensor| tensor.data_type = 99).contains("unknown type"));
}

#[test]
fn a_graph_that_does_not_hold_together_is_refused() {
    let why = |change: fn(&mut GraphProto)| refused("network", |proto| change(graph(proto)));
    assert!(why(|graph| graph.node[0].input[0] = "nobody".into()).contains("which nothing before it gives"));
    assert!(why(|graph| graph.output[0].name = "nobody".into()).contains("nothing gives the output"));
    assert!(why(|graph| graph.node.reverse()).contains("which nothing before it gives"));
    assert!(why(|graph| graph.node[1].output = graph.node[0].output.clone()).contains("given twice"));
    assert!(why(|graph| graph.node.clear()).contains("0 operators"));
    assert!(why(|graph| graph.input.push(graph.output[0].clone())).contains("given twice"));
    assert!(why(|graph| graph.input[0].r#type = None).contains("no tensor"));
}

#[test]
fn operators_that_are_not_run_are_named() {
    let random =
        NodeProto { op_type: "RandomNormal".into(), output: vec!["noise".into()], ..NodeProto::default() };
    let why = refused("line", |proto| {
        graph(proto).node.insert(0, random);
        graph(proto).output[0].name = "noise".into();
    });
    assert!(why.contains("ai.onnx.RandomNormal"), "{why}");
    let why = refused("line", |proto| graph(proto).node[0].domain = "com.example".into());
    assert!(why.contains("com.example.LinearRegressor"), "{why}");
    let inner =
        AttributeProto { name: "body".into(), g: Some(GraphProto::default()), ..AttributeProto::default() };
    assert!(refused("line", |proto| graph(proto).node[0].attribute.push(inner)).contains("graph of its own"));
    // What is not run is left out where something else is left.
    let mut proto = ModelProto::decode(&*file("forest")).unwrap();
    let labels = attribute(&mut proto, "classlabels_int64s");
    labels.ints.clear();
    labels.name = "classlabels_strings".into();
    labels.strings = vec![b"good".to_vec(), b"bad".to_vec()];
    let model = Model::open(&proto.encode_to_vec(), None).unwrap();
    assert_eq!(model.description().outputs[0].name, "probabilities");
    assert!(model.description().left_out[0].1.contains("labels that are texts"));
}

#[test]
fn trees_that_are_none_are_refused() {
    let why = |name: &'static str, change: fn(&mut AttributeProto)| {
        refused("forest", |proto| change(attribute(proto, name)))
    };
    assert!(why("nodes_truenodeids", |a| a.ints[0] = 1_000).contains("has no child"));
    assert!(why("nodes_truenodeids", |a| a.ints[0] = 0).contains("no root leads to"));
    assert!(why("nodes_truenodeids", |a| a.ints[0] = 2).contains("two parents"));
    assert!(why("nodes_featureids", |a| a.ints[0] = -1).contains("no row has"));
    assert!(why("nodes_featureids", |a| a.ints[0] = 3).contains("the trees ask for 4"));
    assert!(why("nodes_nodeids", |a| a.ints[1] = 0).contains("there twice"));
    assert!(why("class_ids", |a| a.ints[0] = 2).contains("not there"));
    assert!(why("class_nodeids", |a| a.ints[0] = 0).contains("no leaf"));
    assert!(why("class_weights", |a| a.floats.truncate(1)).contains("differ in length"));
    assert!(why("nodes_modes", |a| a.strings[0] = b"BRANCH_MEMBER".to_vec()).contains("is unknown"));
}

#[test]
fn a_row_that_is_none_is_refused() {
    let model = model("forest");
    assert!(matches!(model.run(&[1.0, 2.0]), Err(OnnxError::Input(_))));
    for bad in [f64::NAN, f64::INFINITY, 1e300] {
        assert!(matches!(model.run(&[1.0, 2.0, bad]), Err(OnnxError::Input(_))), "{bad}");
    }
}

fn request(change: impl FnOnce(&mut Value)) -> Result<Value, String> {
    let mut request = json!({
        "id": "7",
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [2, 3], "data": [[0.1, 1.3, -0.5], [1, 2, 3]]}],
    });
    change(&mut request);
    let model = model("forest");
    let request = Request::read(&model, &request).map_err(|error| error.to_string())?;
    request.run(&model, "pump").map_err(|error| error.to_string())
}

#[test]
fn requests_of_the_open_inference_protocol_are_answered() {
    let about = metadata(&model("forest"), "pump");
    assert_eq!(about["inputs"], json!([{"name": "X", "datatype": "FP32", "shape": [-1, 3]}]));
    assert_eq!(about["outputs"][1], json!({"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}));
    let answer = request(|_| {}).unwrap();
    assert_eq!((&answer["id"], &answer["model_name"]), (&json!("7"), &json!("pump")));
    assert_eq!(answer["model_version"], about["versions"][0]);
    assert_eq!(answer["outputs"][1]["shape"], json!([2, 2]));
    let flat = request(|r| r["inputs"][0]["data"] = json!([0.1, 1.3, -0.5, 1, 2, 3])).unwrap();
    assert_eq!(flat, answer);
    let one = request(|r| r["outputs"] = json!([{"name": "probabilities"}])).unwrap();
    assert_eq!((one["outputs"].as_array().unwrap().len(), &one["outputs"][0]), (1, &answer["outputs"][1]));
}

#[test]
fn requests_that_do_not_fit_are_refused_with_what_was_expected() {
    let why = |change: fn(&mut Value)| request(change).unwrap_err();
    assert!(why(|r| *r = json!([])).contains("not an object"));
    assert!(why(|r| r["input"] = json!([])).contains("`input`"));
    assert!(why(|r| r["inputs"] = json!([])).contains("exactly one tensor, `X`"));
    assert!(why(|r| r["parameters"] = json!({"a": 1})).contains("`parameters`"));
    assert!(why(|r| r["id"] = json!(7)).contains("`id`"));
    assert!(why(|r| r["outputs"] = json!([{"name": "other"}])).contains("label, probabilities"));
    let tensor = |key: &'static str, value: Value| request(move |r| r["inputs"][0][key] = value).unwrap_err();
    assert!(tensor("name", json!("Y")).contains("`X`"));
    assert!(tensor("datatype", json!("FP64")).contains("FP32"));
    for shape in [json!([2, 4]), json!([3]), json!([2, 3, 1]), json!([-2, 3]), json!("2"), json!([2.0, 3])] {
        assert!(tensor("shape", shape.clone()).contains("[rows, 3]"), "{shape}");
    }
    assert!(tensor("shape", json!([0, 3])).contains("0 rows"));
    assert!(tensor("shape", json!([1025, 3])).contains("1025 rows"));
    assert!(tensor("shape", json!([3, 3])).contains("6 numbers"));
    assert!(tensor("data", json!([1, 2, 3, 4, 5, 6, 7])).contains("6 numbers"));
    assert!(tensor("data", json!([1, 2, 3, 4, 5, null])).contains("numbers"));
    assert!(tensor("data", json!([1, 2, 3, 4, 5, "6"])).contains("numbers"));
    assert!(tensor("data", json!(6)).contains("list"));
    assert!(tensor("data", json!([[[[[[[[[[1]]]]]]]]]])).contains("numbers"));
    assert!(tensor("data", json!([1, 2, 3, 4, 5, 1e300])).contains("number 2 is"));
}
