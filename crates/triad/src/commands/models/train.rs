//! `triad models train`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;
use triad_training::{PredictOptions, Suite, train_suite};

use super::super::Done;
use super::watch::{draw_all, tell_plots, watch};

#[derive(Debug, clap::Args)]
#[command(after_help = "What is trained:\n  \
        cmapss      trees for the cycles an engine has left (train_….txt)\n  \
        ai4i2020    trees for each mode of failure of a machine (a CSV file)\n  \
        ecg_mitbih  a regression that tells ventricular beats (all records but paced ones)\n\
        The other suites have nothing to train: their models learn from each stream as it arrives, or are fitted in seconds.\n\
        A model is trained on everything that is labelled; `triad models eval` says what to expect of it on other data.\n\n\
        Example:\n  triad models train --suite cmapss --data ../shared/data --out engines.tmdl")]
pub struct Args {
    /// The name of a suite.
    #[arg(long, value_name = "NAME")]
    suite: String,
    /// The suite's folder, the folder that holds it, or the file to train on.
    #[arg(long, value_name = "PATH")]
    data: PathBuf,
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

pub fn run(args: &Args) -> Done {
    let suites = Suite::named(&args.suite)?;
    let [suite] = suites[..] else { anyhow::bail!("one suite a model: name it") };
    if let Some(folder) = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        ensure!(folder.is_dir(), "{} is no folder that the model could go to", folder.display());
    }
    let started = Instant::now();
    let mut watch = watch(format!("train {}", suite.name()), args.plot.is_some());
    let (model, trained_on) = train_suite(suite, &args.data, &mut watch)?;
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
        out["suite"] = json!(suite.name());
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
