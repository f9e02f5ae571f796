//! `triad audit`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{Done, stopped};
use crate::node::layout::Layout;

#[derive(Debug, clap::Args)]
#[command(after_help = "Stop the node first, or audit a copy of its data directory.")]
pub struct Args {
    /// The data directory.
    #[arg(long, env = "TRIAD_DATA_DIR", default_value = "triad-data")]
    data_dir: PathBuf,
    /// Where the replay may write; it needs as much room as the chain takes [default: the data directory].
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Done {
    let layout = Layout::new(&args.data_dir);
    stopped::instead_of_panics("the audit", &layout.dir);
    let spec = layout.spec()?;
    let _lock = triad_consensus::lock(&layout.dir)?;
    let scratch =
        tempfile::Builder::new().prefix("audit-").tempdir_in(args.scratch.as_ref().unwrap_or(&layout.dir))?;
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(0) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} block {pos}/{len} · {eta} left") {
        bar.set_style(style);
    }
    let started = Instant::now();
    let outcome =
        triad_chain::audit::run(&layout.chain(), &layout.snapshots(), spec, scratch.path(), |audit| {
            bar.set_length(audit.tip);
            bar.set_position(audit.height);
        });
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    match outcome {
        Ok(a) if args.json => println!(
            "{}",
            json!({"ok": true, "from": a.from, "blocks": a.height - a.from, "statements": a.statements, "readings": a.readings,
                "verdicts": a.verdicts, "transactions": a.transactions, "certificates": a.certificates, "seconds": seconds})
        ),
        Ok(a) => println!(
            "Reproduced from {}: {} blocks, {} statements, {} readings, {} verdicts, {} transactions; \
             {} certificates checked; {seconds:.1} s",
            match a.from {
                0 => "genesis".to_owned(),
                from => format!("the snapshot after block {from}, the oldest that is kept"),
            },
            a.height - a.from,
            a.statements,
            a.readings,
            a.verdicts,
            a.transactions,
            a.certificates
        ),
        Err(error) => {
            if args.json {
                println!("{}", json!({"ok": false, "reason": error.to_string()}));
            } else {
                println!("NOT REPRODUCED: {error}");
            }
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
