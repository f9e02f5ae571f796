//! The Open Inference Protocol, version 2, as JSON: what a model is, and a request checked against it before anything is run.
//!
//! A request is `{"id"?, "inputs": [{"name", "shape", "datatype", "data"}], "outputs"?: [{"name"}]}`, its numbers flat or nested, in
//! row-major order; the first dimension counts rows. The version of a model is the SHA-256 of its file, so every answer names the
//! bytes that gave it.

use serde_json::{Map, Value, json};

use crate::error::{OnnxError, shown};
use crate::model::{Data, Model, Slot};

/// Most rows of a request.
pub const MAX_ROWS: usize = 1_024;
/// Deepest nesting of `data`.
const MAX_NESTING: usize = 8;
/// Longest id of a request, in bytes.
const MAX_ID_BYTES: usize = 256;

/// `GET /v2/models/{name}`
pub fn metadata(model: &Model, name: &str) -> Value {
    let about = model.description();
    let slot = |slot: &Slot| {
        let shape: Vec<i64> =
            std::iter::once(-1).chain(slot.shape[1..].iter().map(|dim| *dim as i64)).collect();
        json!({"name": slot.name, "datatype": slot.datatype, "shape": shape})
    };
    json!({
        "name": name,
        "versions": [hex::encode(about.file)],
        "platform": "onnx_tract",
        "inputs": [slot(&about.input)],
        "outputs": about.outputs.iter().map(slot).collect::<Vec<_>>(),
    })
}

/// A request that fits its model.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    id: Option<String>,
    /// Each as long as the model's width.
    rows: Vec<Vec<f64>>,
    /// Places among the model's outputs.
    outputs: Vec<usize>,
}

impl Request {
    /// Checks a request against a model.
    pub fn read(model: &Model, request: &Value) -> Result<Request, OnnxError> {
        let about = model.description();
        let members = object(request, "the request", &["id", "parameters", "inputs", "outputs"])?;
        let id = match members.get("id") {
            None => None,
            Some(Value::String(id)) if id.len() <= MAX_ID_BYTES => Some(id.clone()),
            Some(_) => return Err(input(format!("`id` is a text of at most {MAX_ID_BYTES} bytes"))),
        };
        no_parameters(members)?;
        let inputs = members.get("inputs").and_then(Value::as_array);
        let [tensor] = inputs.map_or(&[][..], Vec::as_slice) else {
            let name = shown(&about.input.name);
            return Err(input(format!("`inputs` holds exactly one tensor, `{name}`")));
        };
        let rows = rows(model, tensor)?;
        let outputs = match members.get("outputs") {
            None => (0..about.outputs.len()).collect(),
            Some(wanted) => wanted_outputs(model, wanted)?,
        };
        Ok(Request { id, rows, outputs })
    }

    /// Runs the rows and gives the answer. An output that is not finite is an error: JSON cannot say it.
    pub fn run(&self, model: &Model, name: &str) -> Result<Value, OnnxError> {
        let about = model.description();
        let mut data: Vec<Vec<Value>> = vec![Vec::new(); self.outputs.len()];
        for row in &self.rows {
            let told = model.run(row)?;
            for (place, out) in self.outputs.iter().zip(&mut data) {
                let numbers = numbers(&told[*place].data).ok_or_else(|| {
                    OnnxError::Failed(format!("output `{}` is not finite", shown(&told[*place].name)))
                })?;
                out.extend(numbers);
            }
        }
        let outputs: Vec<Value> = self
            .outputs
            .iter()
            .zip(data)
            .map(|(place, data)| {
                let Slot { name, datatype, shape } = &about.outputs[*place];
                let shape: Vec<usize> =
                    std::iter::once(self.rows.len()).chain(shape[1..].iter().copied()).collect();
                json!({"name": name, "shape": shape, "datatype": datatype, "data": data})
            })
            .collect();
        let mut answer =
            json!({"model_name": name, "model_version": hex::encode(about.file), "outputs": outputs});
        if let Some(id) = &self.id {
            answer["id"] = json!(id);
        }
        Ok(answer)
    }
}

fn input(why: impl Into<String>) -> OnnxError {
    OnnxError::Input(why.into())
}

fn object<'a>(value: &'a Value, what: &str, known: &[&str]) -> Result<&'a Map<String, Value>, OnnxError> {
    let members = value.as_object().ok_or_else(|| input(format!("{what} is not an object")))?;
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(members),
        Some(key) => Err(input(format!("{what} has `{}`; known are {}", shown(key), known.join(", ")))),
    }
}

/// There is none that means anything here: one that is given would be passed over in silence.
fn no_parameters(members: &Map<String, Value>) -> Result<(), OnnxError> {
    match members.get("parameters") {
        None => Ok(()),
        Some(Value::Object(parameters)) if parameters.is_empty() => Ok(()),
        Some(_) => Err(input("`parameters` are not known here: leave them out")),
    }
}

fn rows(model: &Model, tensor: &Value) -> Result<Vec<Vec<f64>>, OnnxError> {
    let slot = &model.description().input;
    let members = object(tensor, "an input", &["name", "shape", "datatype", "parameters", "data"])?;
    no_parameters(members)?;
    let name = shown(&slot.name);
    if members.get("name").and_then(Value::as_str) != Some(&slot.name) {
        return Err(input(format!("the input's `name` is `{name}`")));
    }
    if members.get("datatype").and_then(Value::as_str) != Some(slot.datatype) {
        return Err(input(format!("the `datatype` of `{name}` is {}", slot.datatype)));
    }
    let shape = members.get("shape").and_then(Value::as_array).and_then(|shape| {
        shape.iter().map(|dim| usize::try_from(dim.as_u64()?).ok()).collect::<Option<Vec<usize>>>()
    });
    let Some(shape) = shape.filter(|shape| shape.len() == slot.shape.len() && shape[1..] == slot.shape[1..])
    else {
        let rest: Vec<String> = slot.shape[1..].iter().map(usize::to_string).collect();
        return Err(input(format!("the `shape` of `{name}` is [rows, {}]", rest.join(", "))));
    };
    if !(1..=MAX_ROWS).contains(&shape[0]) {
        return Err(input(format!("{} rows; 1 to {MAX_ROWS} are accepted", shape[0])));
    }
    let data = members.get("data").ok_or_else(|| input("`data` is missing"))?;
    let expected = shape[0] * model.width();
    let mut flat = Vec::new();
    flatten(data, MAX_NESTING, expected, &mut flat)?;
    if flat.len() != expected {
        return Err(input(format!("`data` has {} numbers; the shape {shape:?} has {expected}", flat.len())));
    }
    Ok(flat.chunks(model.width()).map(<[f64]>::to_vec).collect())
}

fn flatten(value: &Value, depth: usize, most: usize, out: &mut Vec<f64>) -> Result<(), OnnxError> {
    match value {
        Value::Array(items) if depth > 0 => {
            items.iter().try_for_each(|item| flatten(item, depth - 1, most, out))
        }
        Value::Number(number) if out.len() < most && depth < MAX_NESTING => {
            out.push(
                number.as_f64().filter(|n| n.is_finite()).ok_or_else(|| input("a number is too large"))?,
            );
            Ok(())
        }
        Value::Number(_) => {
            Err(input(format!("`data` is a list of {most} numbers, flat or nested as the shape")))
        }
        _ => Err(input("`data` holds numbers, flat or nested, and nothing else")),
    }
}

fn wanted_outputs(model: &Model, wanted: &Value) -> Result<Vec<usize>, OnnxError> {
    let known = &model.description().outputs;
    let list = wanted.as_array().filter(|list| (1..=known.len()).contains(&list.len()));
    let list = list.ok_or_else(|| input(format!("`outputs` names 1 to {} outputs", known.len())))?;
    list.iter()
        .map(|wanted| {
            let members = object(wanted, "an output", &["name", "parameters"])?;
            no_parameters(members)?;
            let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
            known.iter().position(|slot| slot.name == name).ok_or_else(|| {
                let names: Vec<String> = known.iter().map(|slot| shown(&slot.name)).collect();
                input(format!("there is no output `{}`; there are {}", shown(name), names.join(", ")))
            })
        })
        .collect()
}

/// `None` where one is not finite.
fn numbers(data: &Data) -> Option<Vec<Value>> {
    match data {
        Data::F32(list) => {
            let text = |number: &f32| {
                // The shortest decimal that reads back as this f32, not that of the f64 beside it.
                let number: f64 = number.is_finite().then(|| number.to_string())?.parse().ok()?;
                Some(json!(number))
            };
            list.iter().map(text).collect()
        }
        Data::F64(list) => list.iter().map(|number| number.is_finite().then(|| json!(number))).collect(),
        Data::I64(list) => Some(list.iter().map(|number| json!(number)).collect()),
        Data::Bool(list) => Some(list.iter().map(|holds| json!(holds)).collect()),
    }
}
