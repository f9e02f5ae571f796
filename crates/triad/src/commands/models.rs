//! `triad models`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use serde_json::json;
use triad_training::{ScoreOptions, Suite, evaluate, score_csv};

use super::Done;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run the default detector over a CSV file: one score in [0, 1] a row, anomalies from 0.5.
    #[command(
        after_help = "Examples:\n  triad models score --csv temperature.csv --out scores.csv\n  triad models score --csv pump.csv --time-column at --value-column bar --range 0:16 --out scores.csv"
    )]
    Score {
        /// A table with a header line; times as `2026-01-31 12:00:00`, RFC 3339, or seconds since the epoch.
        #[arg(long, value_name = "FILE")]
        csv: PathBuf,
        /// The column of times [default: timestamp, time, datetime or date, else the first].
        #[arg(long, value_name = "NAME")]
        time_column: Option<String>,
        /// The column of values [default: value, else the first that is not the time].
        #[arg(long, value_name = "NAME")]
        value_column: Option<String>,
        /// The sensor's declared range; without it nothing but the past is known.
        #[arg(long, value_name = "LO:HI", value_parser = range, allow_hyphen_values = true)]
        range: Option<(f64, f64)>,
        /// Where the scores go: a header line, then one score a row of the table.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print a JSON object with every anomaly and its reason.
        #[arg(long)]
        json: bool,
    },
    /// Run public benchmarks over a folder of their layout.
    #[command(after_help = "Example:\n  triad models eval --suite nab --data ../shared/data --json")]
    Eval {
        /// The name of a suite, or `all`.
        #[arg(long, default_value = "all", value_name = "NAME")]
        suite: String,
        /// The suite's folder, or the folder that holds it.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: Command) -> Done {
    match command {
        Command::Score { csv, time_column, value_column, range, out, json } => {
            let scored = score_csv(&csv, &ScoreOptions { time_column, value_column, range })?;
            let mut text = String::from("anomaly_score\n");
            for score in &scored.scores {
                writeln!(text, "{score}")?;
            }
            std::fs::write(&out, text).with_context(|| format!("cannot write {}", out.display()))?;
            if json {
                let alarm = |(row, score, reason): &(usize, f64, String)| json!({"row": row, "score": score, "reason": reason});
                let alarms: Vec<_> = scored.alarms.iter().map(alarm).collect();
                println!(
                    "{}",
                    json!({"rows": scored.scores.len(), "model": "anomaly", "class": "consensus", "anomalies": alarms})
                );
            } else {
                for (row, score, reason) in &scored.alarms {
                    println!("row {row}: {score:.3} {reason}");
                }
                println!("{} anomalies in {} rows", scored.alarms.len(), scored.scores.len());
            }
        }
        Command::Eval { suite, data, json } => {
            let mut results = Vec::new();
            for suite in Suite::named(&suite)? {
                eprintln!("running {} …", suite.name());
                let result = evaluate(suite, &data)?;
                if !json {
                    println!("{result:#}");
                }
                results.push(result);
            }
            if json {
                println!("{}", json!({ "suites": results }));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn range(text: &str) -> anyhow::Result<(f64, f64)> {
    let (low, high) = text.split_once(':').context("LO:HI is expected")?;
    let (low, high): (f64, f64) = (low.trim().parse()?, high.trim().parse()?);
    ensure!(low.is_finite() && high.is_finite() && low < high, "LO below HI is expected");
    Ok((low, high))
}
