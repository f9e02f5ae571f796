//! A trained model: its file, what is in it, and what it says of a user's rows.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use triad_models::trees::{Node, Trees};
use triad_models::window::failures::MODES;
use triad_models::window::network::Output;
use triad_models::window::{FailureModel, LifeModel, NetworkModel};
use triad_models::{
    FileModel, MAX_MODEL_BYTES, Memory, ModelFile, ModelFileError, Predicts, RowModel, WindowModel,
};

use crate::ecg::{find, samples};
use crate::engines::runs;
use crate::error::TrainingError;
use crate::failures::inputs;
use crate::figure::{Axis, Figure, Line, Role};
use crate::import::Link;
use crate::life;
use crate::logistic::Logistic;
use crate::table::Table;
use crate::watch::Watch;

/// Engines, or rows, that a picture of predictions shows.
const SHOWN_ENGINES: usize = 8;

/// A model from a file, checked.
#[derive(Debug, Clone)]
pub struct Trained {
    kind: Inner,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Inner {
    Trees(Trees),
    Row(RowModel),
    Life(Box<LifeModel>),
    Failures(FailureModel),
    Network(NetworkModel),
    Ventricular(Logistic),
}

/// How to read rows for an ensemble of trees.
#[derive(Debug, Clone, Default)]
pub struct PredictOptions {
    /// Columns of the features in their order; default: every column, where their number fits.
    pub columns: Vec<String>,
    /// What the sum goes through.
    pub link: Option<Link>,
}

/// What a model says of a table, a file of engines, or a lead.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Names of the columns.
    pub header: Vec<&'static str>,
    /// One a row, engine's cycle or beat; empty where nothing can be said, since a value is missing.
    pub rows: Vec<Vec<Option<f64>>>,
}

/// SHA-256 of a model's bytes, in hex: the name of its content.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Trained {
    /// Reads a file of a trained model (`TMDL`) or of one ensemble (`TGBT`).
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        let size = std::fs::metadata(path).map_err(TrainingError::io(path))?.len();
        if size > MAX_MODEL_BYTES as u64 {
            return Err(TrainingError::content(
                path,
                format!("{size} bytes; at most {MAX_MODEL_BYTES} are read"),
            ));
        }
        let bytes = std::fs::read(path).map_err(TrainingError::io(path))?;
        Self::decode(&bytes).map_err(|error| TrainingError::content(path, error.to_string()))
    }

    /// The same from bytes that may be hostile.
    pub fn decode(bytes: &[u8]) -> Result<Self, TrainingError> {
        let kind = if ModelFile::is_one(bytes) {
            let file = ModelFile::decode(bytes)?;
            match file.kind.as_str() {
                "trees" => Inner::Row(RowModel::from_file(&file)?),
                "life" => Inner::Life(Box::new(LifeModel::from_file(&file)?)),
                "failures" => Inner::Failures(FailureModel::from_file(&file)?),
                "network" => Inner::Network(NetworkModel::from_file(&file)?),
                "ventricular" => {
                    let numbers = file.numbers("weights")?;
                    let model = Logistic::from_numbers(&numbers)
                        .filter(|model| model.features() == triad_models::heart::BEAT_FEATURES);
                    Inner::Ventricular(
                        model.ok_or_else(|| TrainingError::Model("impossible weights".into()))?,
                    )
                }
                other => {
                    let known =
                        "\"trees\", \"life\", \"failures\", \"network\" or \"ventricular\" is expected";
                    return Err(TrainingError::Model(format!("kind {other:?}; {known}")));
                }
            }
        } else {
            Inner::Trees(Trees::decode(bytes).map_err(|error| TrainingError::Model(error.to_string()))?)
        };
        Ok(Self { kind, bytes: bytes.into() })
    }

    fn new(kind: Inner, bytes: Vec<u8>) -> Self {
        Self { kind, bytes }
    }

    pub(crate) fn life(model: LifeModel) -> Self {
        let bytes = model.file().encode();
        Self::new(Inner::Life(Box::new(model)), bytes)
    }

    pub(crate) fn failures(model: FailureModel) -> Self {
        let bytes = model.file().encode();
        Self::new(Inner::Failures(model), bytes)
    }

    /// What a chain can judge rows by.
    pub fn row(model: RowModel) -> Self {
        let bytes = model.file().encode();
        Self::new(Inner::Row(model), bytes)
    }

    /// What a chain would judge rows by, if it takes such a model.
    pub fn on_chain(&self) -> Option<Result<FileModel, ModelFileError>> {
        match &self.kind {
            Inner::Row(model) => Some(Ok(FileModel::Trees(model.clone()))),
            Inner::Life(_) | Inner::Failures(_) | Inner::Network(_) => {
                Some(WindowModel::decode(&self.bytes).map(FileModel::Window))
            }
            Inner::Trees(_) | Inner::Ventricular(_) => None,
        }
    }

    /// The model of rows, if it is one.
    pub fn as_row(&self) -> Option<&RowModel> {
        match &self.kind {
            Inner::Row(model) => Some(model),
            _ => None,
        }
    }

    /// A small neural network; refused is one that no chain would take.
    pub fn network(model: NetworkModel) -> Result<Self, TrainingError> {
        let bytes = model.file().encode();
        WindowModel::decode(&bytes)?;
        Ok(Self::new(Inner::Network(model), bytes))
    }

    pub(crate) fn ventricular(model: Logistic) -> Self {
        let bytes = ModelFile::new("ventricular").with_numbers("weights", model.numbers()).encode();
        Self::new(Inner::Ventricular(model), bytes)
    }

    /// A bare ensemble.
    pub fn trees(trees: Trees) -> Self {
        let bytes = trees.encode();
        Self::new(Inner::Trees(trees), bytes)
    }

    /// The bytes of its file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Name of its kind in [`crate::KINDS`].
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Inner::Trees(_) => "ensemble",
            Inner::Row(_) => "trees",
            Inner::Life(_) => "life",
            Inner::Failures(_) => "failures",
            Inner::Network(_) => "network",
            Inner::Ventricular(_) => "heart",
        }
    }

    /// Its ensembles by name.
    pub fn ensembles(&self) -> Vec<(&'static str, &Trees)> {
        match &self.kind {
            Inner::Trees(trees) => vec![("trees", trees)],
            Inner::Row(model) => vec![("trees", model.trees())],
            Inner::Life(model) => vec![("trees", model.trees())],
            Inner::Failures(model) => MODES.into_iter().zip(model.modes()).collect(),
            Inner::Network(_) | Inner::Ventricular(_) => Vec::new(),
        }
    }

    /// Format, size, hash, class, and what is in it.
    pub fn describe(&self) -> Value {
        let kind = crate::kind(self.kind());
        let format = match self.kind {
            Inner::Trees(_) => "TGBT version 1",
            _ => "TMDL version 1",
        };
        let ensembles: Vec<Value> =
            self.ensembles().into_iter().map(|(name, trees)| shape(name, trees)).collect();
        let mut out = json!({
            "kind": self.kind(),
            "format": format,
            "bytes": self.bytes.len(),
            "sha256": sha256(&self.bytes),
            "class": kind.map(|kind| kind.class.to_string()),
            "deterministic": true,
            "ensembles": ensembles,
        });
        match &self.kind {
            Inner::Life(model) => {
                out["sensors"] = json!(life::sensors(model));
                out["regimes"] = json!(model.course().regimes().len());
            }
            Inner::Failures(model) => out["thresholds"] = json!(model.thresholds()),
            Inner::Ventricular(model) => out["weights"] = json!(model.numbers()),
            Inner::Network(model) => {
                let layers = model.layers();
                out["inputs"] = json!(model.inputs());
                out["rows"] = json!(layers.rows());
                out["layers"] = json!(layers.names());
                out["trained_numbers"] = json!(layers.weights());
                out["products"] = json!(layers.products());
                out["tells"] = match model.output() {
                    Output::RemainingLife { most, unit } => {
                        json!({ "remaining-life": unit, "at_most": most })
                    }
                    Output::FailureRisk { from } => json!({ "failure-risk": 1, "from": from }),
                    Output::Estimate { usual, unit } => json!({ "estimate": unit, "usual": usual }),
                };
            }
            Inner::Trees(_) => {}
            Inner::Row(model) => {
                out["inputs"] = json!(model.inputs());
                out["splits"] = json!(model.splits());
                match model.predicts() {
                    Predicts::RemainingLife { most, unit } => {
                        out["tells"] = json!({ "remaining-life": unit, "at_most": most });
                    }
                    Predicts::FailureRisk { from } => {
                        out["tells"] = json!({ "failure-risk": 1, "from": from })
                    }
                }
            }
        }
        out
    }

    /// What it says of a file of its kind: a table for trees and failures, rows of engines as C-MAPSS writes them for
    /// lives, 16 bit samples for ventricular beats.
    pub fn predict(
        &self,
        path: &Path,
        options: &PredictOptions,
        watch: &mut Watch<'_>,
    ) -> Result<Predicted, TrainingError> {
        watch.tell("scoring", 0, 1);
        match &self.kind {
            Inner::Trees(trees) => {
                let link = options.link.unwrap_or(Link::Identity);
                let mut tell = |row: &[f64]| trees.predict(row).map(|sum| link.of(sum));
                of_table(&mut tell, trees.features(), path, &options.columns, watch)
            }
            Inner::Row(model) => {
                let columns = if options.columns.is_empty() { model.inputs() } else { &options.columns };
                of_table(&mut |row: &[f64]| model.predict(row), model.inputs().len(), path, columns, watch)
            }
            Inner::Network(model) => {
                let columns = if options.columns.is_empty() { model.inputs() } else { &options.columns };
                let mut memory = Memory::default();
                let mut tell = |row: &[f64]| {
                    model.take(&mut memory, row).ok().flatten().and_then(|window| model.tell(&window))
                };
                of_table(&mut tell, model.inputs().len(), path, columns, watch)
            }
            Inner::Life(model) => lives(model, path, watch),
            Inner::Failures(model) => {
                let table = Table::read(path)?;
                let width = MODES.len() + 2;
                let said = inputs(&table)?.into_iter().map(|row| match model.tell(row) {
                    Some((odds, told)) => {
                        odds.into_iter().chain([f64::from(u8::from(told))]).map(Some).collect()
                    }
                    None => vec![None; width],
                });
                Ok(Predicted {
                    header: vec!["TWF", "HDF", "PWF", "OSF", "failure", "told"],
                    rows: said.collect(),
                })
            }
            Inner::Ventricular(model) => {
                let said = find(&samples(path)?).into_iter().map(|beat| {
                    vec![Some(beat.at as f64), beat.features.map(|features| model.probability(&features))]
                });
                Ok(Predicted { header: vec!["sample", "ventricular"], rows: said.collect() })
            }
        }
    }
}

fn shape(name: &str, trees: &Trees) -> Value {
    let nodes: usize = trees.trees().map(<[Node]>::len).sum();
    let mut used: Vec<u16> = trees
        .trees()
        .flatten()
        .filter_map(|node| match node {
            Node::Split { feature, .. } => Some(*feature),
            Node::Leaf(_) => None,
        })
        .collect();
    used.sort_unstable();
    used.dedup();
    json!({
        "name": name, "features": trees.features(), "features_used": used.len(), "trees": trees.trees().count(),
        "nodes": nodes, "depth": trees.depth(), "base": trees.base(), "bytes": trees.encode().len(),
    })
}

fn of_table(
    tell: &mut dyn FnMut(&[f64]) -> Option<f64>,
    expected: usize,
    path: &Path,
    names: &[String],
    watch: &mut Watch<'_>,
) -> Result<Predicted, TrainingError> {
    let table = Table::read(path)?;
    let columns: Vec<usize> = if names.is_empty() {
        (0..table.header.len()).collect()
    } else {
        names.iter().map(|name| table.expect_column(name)).collect::<Result<_, _>>()?
    };
    if columns.len() != expected {
        let found = columns.len();
        let problem =
            format!("{found} columns for a model of {expected} features; name those in their order");
        return Err(TrainingError::content(path, problem));
    }
    let columns: Vec<Vec<Option<f64>>> =
        columns.iter().map(|&column| table.numbers(column)).collect::<Result<_, _>>()?;
    let said: Vec<Option<f64>> = (0..table.rows.len())
        .map(|row| {
            let row: Option<Vec<f64>> = columns.iter().map(|column| column[row]).collect();
            tell(&row?)
        })
        .collect();
    watch.draw(|| {
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        let points = said.iter().enumerate().map(|(row, said)| (row as f64, *said)).collect();
        let mut figure =
            Figure::new(format!("score-{file}"), file.clone(), Axis::Number("row".into()), "prediction");
        figure.lines.push(Line { name: "told".into(), role: Role::Said, points });
        figure
    });
    Ok(Predicted { header: vec!["prediction"], rows: said.into_iter().map(|said| vec![said]).collect() })
}

fn lives(model: &LifeModel, path: &Path, watch: &mut Watch<'_>) -> Result<Predicted, TrainingError> {
    let runs = runs(path)?;
    if let Some(width) =
        runs.iter().map(crate::engines::Run::sensors).find(|width| *width != life::sensors(model))
    {
        let problem = format!("{width} sensors a row; the model was trained on {}", life::sensors(model));
        return Err(TrainingError::content(path, problem));
    }
    let mut rows = Vec::new();
    let mut courses = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        watch.tell("engine", at, runs.len());
        let said = life::say(model, run);
        let engine = run.engine;
        rows.extend(
            said.iter()
                .enumerate()
                .map(|(cycle, &left)| vec![Some(engine), Some((cycle + 1) as f64), Some(left)]),
        );
        courses.push(said);
    }
    watch.draw(|| {
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        let shown = SHOWN_ENGINES.min(courses.len());
        let title = format!("{file}: cycles left as told after each cycle, the first {shown} engines");
        let mut figure =
            Figure::new(format!("score-{file}"), title, Axis::Number("cycles".into()), "cycles left");
        let mut from = 0.0;
        for course in courses.iter().take(shown) {
            let points = course.iter().enumerate().map(|(at, &said)| (from + at as f64, said));
            figure = figure.line("told", Role::Said, points);
            from += course.len() as f64 + 20.0;
        }
        figure
    });
    Ok(Predicted { header: vec!["engine", "cycle", "cycles_left"], rows })
}
