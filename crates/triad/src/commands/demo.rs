//! `triad demo`

use std::path::PathBuf;
use std::process::ExitCode;

use super::Done;
use crate::demo;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Takes under a minute, listens on free loopback ports only, and leaves what it made for you to look at."
)]
pub struct Args {
    /// The last line of stdout is one JSON object; nothing else is printed there.
    #[arg(long)]
    json: bool,
    /// Leave what the demo makes in this directory.
    #[arg(long, visible_alias = "data-dir", value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub fn run(args: &Args) -> Done {
    let met = demo::run(&demo::Options { json: args.json, keep: args.keep.clone() })?;
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
