//! `triad models eval`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use triad_training::{Suite, evaluate};

use super::super::Done;
use super::watch::{draw_all, watch};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Suites: nab, ett, epf_prices, m4_hourly, load_vic, ai4i2020, cmapss, skab, ecg_mitbih. All of them take two minutes.\n\n\
        Examples:\n  triad models eval --suite nab --data ../shared/data --json\n  triad models eval --suite cmapss --data ../shared/data --plot plots"
)]
pub struct Args {
    /// The name of a suite, or `all`.
    #[arg(long, default_value = "all", value_name = "NAME")]
    suite: String,
    /// The suite's folder, or the folder that holds it.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Draw pictures (SVG) into this folder.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Done {
    let mut results = Vec::new();
    for suite in Suite::named(&args.suite)? {
        let mut watch = watch(suite.name().into(), args.plot.is_some());
        let mut result = evaluate(suite, &args.data, &mut watch)?;
        let plots = draw_all(&mut watch, args.plot.as_deref())?;
        drop(watch);
        if args.plot.is_some() {
            result["plots"] = json!(plots);
        }
        if !args.json {
            println!("{result:#}");
        }
        results.push(result);
    }
    if args.json {
        println!("{}", json!({ "suites": results }));
    }
    Ok(ExitCode::SUCCESS)
}
