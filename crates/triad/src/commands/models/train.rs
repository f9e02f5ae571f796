//! `triad models train`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use triad_training::{PredictOptions, RowOptions, RowTarget, Suite, Trained, Watch, train_rows, train_suite};

use super::super::Done;
use super::watch::{draw_all, tell_plots, watch};

#[derive(Debug, clap::Args)]
#[command(after_help = "What is trained:\n  \
        cmapss      trees for the cycles an engine has left (train_….txt)\n  \
        ai4i2020    trees for each mode of failure of a machine (a CSV file)\n  \
        ecg_mitbih  a regression that tells ventricular beats (all records but paced ones)\n\
        The other suites have nothing to train: their models learn from each stream as it arrives, or are fitted in seconds.\n\
        With --csv: trees on the columns of your own table, which a chain can judge a device's streams by. Each input\n\
        column is the name of a stream; figures of a cross-validation in five parts are told.\n\
        A model is trained on everything that is labelled; `triad models eval` says what to expect of it on other data.\n\n\
        Example:\n  triad models train --suite cmapss --data ../shared/data --out engines.tmdl\n  \
        triad models train --csv pumps.csv --target hours_left --most 500 --unit h --group pump --out pumps.tmdl\n  \
        triad models train --csv mills.csv --target failed --inputs torque,speed,wear --out mills.tmdl")]
pub struct Args {
    /// The name of a suite.
    #[arg(long, value_name = "NAME", required_unless_present = "csv", requires = "data")]
    suite: Option<String>,
    /// The suite's folder, the folder that holds it, or the file to train on.
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// A table of your own instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["suite", "data", "plot"], requires = "target")]
    csv: Option<PathBuf>,
    /// Its column of the truth: what is left of a life (with --most), else 1 for a failure and 0 for none.
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    target: Option<String>,
    /// More of a life than this is told as this.
    #[arg(long, value_name = "NUMBER", requires = "csv")]
    most: Option<f64>,
    /// What a life is counted in.
    #[arg(long, value_name = "UNIT", requires = "most", default_value = "cycles")]
    unit: String,
    /// Columns that a row is judged by [default: all but target and group].
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "csv")]
    inputs: Vec<String>,
    /// Rows with the same text in this column are of one machine, and stay together in the cross-validation.
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    group: Option<String>,
    /// Where the model goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Draw what the model says of the file it was trained on (SVG) into this folder.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

impl Args {
    fn name(&self) -> &str {
        self.suite.as_deref().unwrap_or("rows")
    }

    fn train(&self, watch: &mut Watch<'_>) -> anyhow::Result<(Trained, Value)> {
        if let (Some(csv), Some(target)) = (&self.csv, &self.target) {
            let tells = match self.most {
                Some(most) => RowTarget::RemainingLife { most, unit: self.unit.clone() },
                None => RowTarget::FailureRisk,
            };
            let (target, inputs, group) = (target.clone(), self.inputs.clone(), self.group.clone());
            return Ok(train_rows(csv, &RowOptions { target, tells, inputs, group }, watch)?);
        }
        let suites = Suite::named(self.suite.as_deref().unwrap_or_default())?;
        let [suite] = suites[..] else { anyhow::bail!("one suite a model: name it") };
        let data = self.data.as_deref().context("--data says where the suite is")?;
        Ok(train_suite(suite, data, watch)?)
    }
}

pub fn run(args: &Args) -> Done {
    if let Some(folder) = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "{} is no folder that the model could go to", folder.display());
    }
    let started = Instant::now();
    let mut watch = watch(format!("train {}", args.name()), args.plot.is_some());
    let (model, trained_on) = args.train(&mut watch)?;
    std::fs::write(&args.out, model.bytes())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    if let (Some(_), Some(file)) = (&args.plot, trained_on["file"].as_str()) {
        model.predict(file.as_ref(), &PredictOptions::default(), &mut watch)?;
    }
    let plots = draw_all(&mut watch, args.plot.as_deref())?;
    drop(watch);
    let seconds = (started.elapsed().as_secs_f64() * 10.0).round() / 10.0;
    let mut out = model.describe();
    if args.json {
        out["suite"] = json!(args.suite);
        out["out"] = json!(args.out.display().to_string());
        out["trained_on"] = trained_on;
        out["seconds"] = json!(seconds);
        out["plots"] = json!(plots);
        println!("{out}");
    } else {
        super::catalogue::print_file(&out);
        println!("trained on    {trained_on}");
        tell_plots(&plots);
        println!("{} written in {seconds} s", args.out.display());
    }
    Ok(ExitCode::SUCCESS)
}
