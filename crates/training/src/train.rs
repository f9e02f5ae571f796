//! Training: a suite's model from a folder of the suite's layout, or from one of its files.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::TrainingError;
use crate::failures::{self, ANY, flags};
use crate::suite::{Suite, folder};
use crate::table::{Table, csv_files};
use crate::trained::Trained;
use crate::watch::Watch;

/// Trains what the suite has a trained form of, on everything that is labelled there (nothing is held out; what to expect,
/// `evaluate` says). Returns the model and what it was made of.
pub fn train_suite(
    suite: Suite,
    data: &Path,
    watch: &mut Watch<'_>,
) -> Result<(Trained, Value), TrainingError> {
    let nothing = |why| Err(TrainingError::NothingToTrain { suite: suite.name(), why });
    match suite {
        Suite::Cmapss => {
            let path = one(data, suite, "train_….txt", |folder| {
                let all = std::fs::read_dir(folder).map_err(TrainingError::io(folder))?;
                let paths = all.filter_map(|entry| Some(entry.ok()?.path()));
                Ok(paths.filter(|path| is_training_file(path)).collect())
            })?;
            let (model, mut how) = crate::cmapss::learn(&crate::engines::runs(&path)?, &path, watch)?;
            how["file"] = json!(path.display().to_string());
            Ok((Trained::life(model), how))
        }
        Suite::Ai4i => {
            let path = one(data, suite, "….csv", csv_files)?;
            watch.tell("training", 0, 1);
            let table = Table::read(&path)?;
            let (model, f1) = failures::learn(&table)?;
            let failures = flags(&table)?[ANY].iter().filter(|&&flag| flag).count();
            let f1 = (f1 * 1e3).round() / 1e3;
            let how = json!({
                "file": path.display().to_string(), "rows": table.rows.len(), "failures": failures,
                "cross_validation_f1": f1, "thresholds": model.thresholds(),
            });
            Ok((Trained::failures(model), how))
        }
        Suite::Ecg => {
            let (model, how) = crate::ecg::train(&folder(suite, data), watch)?;
            Ok((Trained::ventricular(model), how))
        }
        Suite::Nab => {
            nothing("its detector learns from each stream as readings arrive (`triad model bind … anomaly`)")
        }
        Suite::Skab => nothing("its detector learns from the first rows of each group of streams"),
        Suite::Ett | Suite::M4 | Suite::Load | Suite::Prices => {
            nothing("its regressions are fitted anew to the data at every run, in seconds, and not kept")
        }
    }
}

fn is_training_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("train_") && name.ends_with(".txt")
}

/// The one file to train on: `data` itself, or the only one in its folder.
fn one(
    data: &Path,
    suite: Suite,
    layout: &str,
    list: impl Fn(&Path) -> Result<Vec<PathBuf>, TrainingError>,
) -> Result<PathBuf, TrainingError> {
    if data.is_file() {
        return Ok(data.into());
    }
    let folder = folder(suite, data);
    let mut found = list(&folder)?;
    found.sort();
    match found.as_slice() {
        [path] => Ok(path.clone()),
        [] => Err(TrainingError::content(&folder, format!("no file {layout}"))),
        several => {
            let problem = format!("{} files {layout}; give the path of the one to train on", several.len());
            Err(TrainingError::content(&folder, problem))
        }
    }
}
