//! `triad models score`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde_json::json;
use triad_training::{Link, PredictOptions, ScoreOptions, Trained, score_csv};

use super::super::Done;
use super::watch::{draw_all, tell_plots, watch};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --model the default detector judges one column: one score in [0, 1] a row, anomalies from 0.5.\n\
        With a model's file: a table of its features for trees, networks and failures, engines' cycles as C-MAPSS writes them for lives, \
        16 bit samples for ventricular beats.\n\n\
        Examples:\n  triad models score --csv temperature.csv --out scores.csv --plot plots\n  \
        triad models score --csv pump.csv --time-column at --value-column bar --range 0:16 --out scores.csv\n  \
        triad models score --model fraud.tgbt --columns amount,age --link logistic --csv payments.csv --out odds.csv\n  \
        triad models score --model engines.tmdl --csv test_FD001.txt --out lives.csv"
)]
pub struct Args {
    /// What to score: a table with a header line (times as `2026-01-31 12:00:00`, RFC 3339, or seconds since the epoch), or
    /// what the model takes.
    #[arg(long, value_name = "FILE", visible_alias = "input")]
    csv: PathBuf,
    /// A trained model (`triad models train`, `import`).
    #[arg(long, value_name = "FILE", conflicts_with_all = ["time_column", "value_column", "range"])]
    model: Option<PathBuf>,
    /// Columns of the features in the order that an ensemble of trees takes them in [default: all].
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "model")]
    columns: Vec<String>,
    /// What a sum of trees goes through: identity, logistic or exponential.
    #[arg(long, value_name = "NAME", requires = "model", value_parser = link)]
    link: Option<Link>,
    /// The column of times [default: timestamp, time, datetime or date, else the first].
    #[arg(long, value_name = "NAME")]
    time_column: Option<String>,
    /// The column of values [default: value, else the first that is not the time].
    #[arg(long, value_name = "NAME")]
    value_column: Option<String>,
    /// The sensor's declared range; without it nothing but the past is known.
    #[arg(long, value_name = "LO:HI", value_parser = range, allow_hyphen_values = true)]
    range: Option<(f64, f64)>,
    /// Where the scores go: a header line, then a line a row of the table (an engine's cycle, a beat).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Draw a picture (SVG) into this folder.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Print a JSON object: hash and class of the model, and of the default detector every anomaly with its reason.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Done {
    match &args.model {
        Some(model) => by_model(args, model),
        None => by_detector(args),
    }
}

fn by_detector(args: &Args) -> Done {
    let options = ScoreOptions {
        time_column: args.time_column.clone(),
        value_column: args.value_column.clone(),
        range: args.range,
    };
    let mut watch = watch("score".into(), args.plot.is_some());
    let scored = score_csv(&args.csv, &options, &mut watch)?;
    let plots = draw_all(&mut watch, args.plot.as_deref())?;
    drop(watch);
    let mut text = String::from("anomaly_score\n");
    for score in &scored.scores {
        writeln!(text, "{score}")?;
    }
    write(&args.out, &text)?;
    if args.json {
        let alarm = |(row, score, reason): &(usize, f64, String)| json!({"row": row, "score": score, "reason": reason});
        let alarms: Vec<_> = scored.alarms.iter().map(alarm).collect();
        let ns = scored.spent.as_nanos() as f64 / scored.scores.len().max(1) as f64;
        println!(
            "{}",
            json!({
                "rows": scored.scores.len(), "model": "anomaly", "class": "consensus", "sha256": scored.model_hash,
                "ns_a_reading": ns.round(), "anomalies": alarms, "plots": plots,
            })
        );
    } else {
        for (row, score, reason) in &scored.alarms {
            println!("row {row}: {score:.3} {reason}");
        }
        tell_plots(&plots);
        println!(
            "{} anomalies in {} rows; model anomaly {} (consensus)",
            scored.alarms.len(),
            scored.scores.len(),
            scored.model_hash
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn by_model(args: &Args, path: &Path) -> Done {
    let model = Trained::read(path)?;
    let is_bare = model.kind() == "ensemble";
    ensure!(
        is_bare || (args.columns.is_empty() && args.link.is_none()),
        "--columns and --link are for bare trees; {} holds a model of the kind {}",
        path.display(),
        model.kind()
    );
    let options = PredictOptions { columns: args.columns.clone(), link: args.link };
    let mut watch = watch("score".into(), args.plot.is_some());
    let said = model.predict(&args.csv, &options, &mut watch)?;
    let plots = draw_all(&mut watch, args.plot.as_deref())?;
    drop(watch);
    let mut text = said.header.join(",") + "\n";
    for row in &said.rows {
        let cells: Vec<String> =
            row.iter().map(|cell| cell.map_or_else(String::new, |value| value.to_string())).collect();
        writeln!(text, "{}", cells.join(","))?;
    }
    write(&args.out, &text)?;
    let empty = said.rows.iter().filter(|row| row.iter().any(Option::is_none)).count();
    let about = model.describe();
    if args.json {
        println!(
            "{}",
            json!({
                "rows": said.rows.len(), "without_prediction": empty, "columns": said.header, "model": about["kind"],
                "class": about["class"], "deterministic": true, "sha256": about["sha256"], "plots": plots,
            })
        );
    } else {
        tell_plots(&plots);
        println!(
            "{} rows ({empty} without a prediction); model {} {} ({})",
            said.rows.len(),
            model.kind(),
            about["sha256"].as_str().unwrap_or_default(),
            about["class"].as_str().unwrap_or_default()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn link(text: &str) -> anyhow::Result<Link> {
    Link::named(text).context("identity, logistic or exponential is expected")
}

pub fn range(text: &str) -> anyhow::Result<(f64, f64)> {
    let (low, high) = text.split_once(':').context("LO:HI is expected")?;
    let (low, high): (f64, f64) = (low.trim().parse()?, high.trim().parse()?);
    ensure!(low.is_finite() && high.is_finite() && low < high, "LO below HI is expected");
    Ok((low, high))
}
