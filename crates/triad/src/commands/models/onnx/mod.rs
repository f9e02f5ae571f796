//! Models in the ONNX format: what a file is, running one for a stream and signing what it says, serving one over HTTP.

mod probe;
pub mod rows;
pub mod run;
pub mod serve;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use triad_models::OnnxSpec;
use triad_onnx::{Description, MAX_FILE_BYTES, Model, protocol};

pub use probe::{CheckArgs, check};

/// An opened file and the number of its output that a binding's parameters name.
#[derive(Debug, Clone)]
pub struct Opened {
    pub model: Model,
    output: usize,
    column: usize,
}

impl Opened {
    /// Whether a model is what the parameters ask for.
    pub fn fit(model: Model, spec: &OnnxSpec) -> anyhow::Result<Opened> {
        let about = model.description();
        ensure!(
            about.file == spec.file,
            "the file has the SHA-256 {}, the binding names {}",
            hex::encode(about.file),
            hex::encode(spec.file)
        );
        let (has, sees) = (model.width(), spec.width());
        ensure!(
            has == sees,
            "the model takes {has} numbers, the binding gives it {sees}: see --inputs and --window"
        );
        let numbers: Vec<(usize, usize)> = (0..)
            .zip(&about.outputs)
            .filter(|(_, slot)| slot.datatype.starts_with("FP"))
            .map(|(at, slot)| (at, slot.shape.iter().product()))
            .collect();
        let found = match &spec.output {
            None => numbers.last(),
            Some(name) => numbers.iter().find(|(at, _)| about.outputs[*at].name == *name),
        };
        let Some((output, columns)) = found.copied() else {
            let names: Vec<&str> = about.outputs.iter().map(|slot| slot.name.as_str()).collect();
            bail!("the model has no such output of numbers: it has {}", names.join(", "));
        };
        let column = spec.column.map_or(columns.saturating_sub(1), usize::from);
        ensure!(
            column < columns,
            "output `{}` has {columns} columns, counted from 0",
            about.outputs[output].name
        );
        Ok(Opened { model, output, column })
    }

    /// The number that the model tells of a row.
    pub fn tell(&self, row: &[f64]) -> anyhow::Result<f64> {
        let told = self.model.run(row)?;
        let number = told.get(self.output).and_then(|output| output.data.number(self.column));
        number.context("the model's output is not what the file says")
    }
}

/// Opens a file that may be hostile: first in a process of its own, with limits.
pub fn open(path: &Path, width: Option<usize>) -> anyhow::Result<Model> {
    let bytes = read(path)?;
    probe::run(path, width)?;
    Model::open(&bytes, width).with_context(|| path.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let about = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (found, most) = (about.len(), MAX_FILE_BYTES as u64);
    ensure!(found <= most, "{} has {found} bytes; at most {most} are accepted", path.display());
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Whether a file's name says that it is such a model.
pub fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

/// What a file is.
pub fn describe(model: &Model) -> Value {
    let Description { file, bytes, producer, left_out, .. } = model.description();
    let tensors = protocol::metadata(model, "");
    let left_out: Vec<Value> =
        left_out.iter().map(|(name, why)| json!({"name": name, "reason": why})).collect();
    json!({
        "kind": "onnx", "format": "ONNX", "class": "attested", "deterministic": false, "bytes": bytes, "sha256": hex::encode(file),
        "producer": producer, "inputs": tensors["inputs"], "outputs": tensors["outputs"], "left_out": left_out,
    })
}

/// The same for people.
pub fn print(model: &Model) {
    let about = describe(model);
    let text = |key: &str| about[key].as_str().unwrap_or_default().to_owned();
    println!("kind          onnx, made by {}", text("producer"));
    println!("format        ONNX, {} bytes", about["bytes"]);
    println!("sha256        {}", text("sha256"));
    println!("class         attested: whoever runs it signs for it");
    for key in ["inputs", "outputs"] {
        for tensor in about[key].as_array().into_iter().flatten() {
            let name = tensor["name"].as_str().unwrap_or_default();
            println!(
                "{key:13} {name} {} {}",
                tensor["datatype"].as_str().unwrap_or_default(),
                tensor["shape"]
            );
        }
    }
    for (name, why) in &model.description().left_out {
        println!("left out      {name}: {why}");
    }
}
