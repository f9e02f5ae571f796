//! Opens a strange file in a process that has limits of its own.
//!
//! A few bytes can ask for terabytes: constants are computed when a file is opened. Whatever happens to the process that tries
//! it first, this one tells the reason. What it did with a row of zeros it will do with any row, since every size is known by then.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Resource, Rlimit, setrlimit};
use triad_onnx::Model;

use super::super::super::Done;

/// Address space of the process that tries a file.
const MEMORY_BYTES: u64 = 4 << 30;
/// Its time on a processor.
const CPU_SECONDS: u64 = 60;
/// How long it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// It says so where the file is refused, and why on its standard output.
const REFUSED: u8 = 3;
/// Longest reason that is read.
const MAX_REASON_BYTES: u64 = 4_096;

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    file: PathBuf,
    #[arg(long)]
    width: Option<usize>,
}

/// The process that tries a file.
pub fn check(args: &CheckArgs) -> Done {
    let limit = |resource, most| {
        let wanted = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, wanted).context("this process cannot limit itself")
    };
    limit(Resource::As, MEMORY_BYTES)?;
    limit(Resource::Cpu, CPU_SECONDS)?;
    limit(Resource::Core, 0)?;
    let tried = std::fs::read(&args.file).map_err(|error| error.to_string()).and_then(|bytes| {
        let model = Model::open(&bytes, args.width).map_err(|error| error.to_string())?;
        model.run(&vec![0.0; model.width()]).map_err(|error| error.to_string())
    });
    match tried {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(why) => {
            println!("{why}");
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// Tries a file; an error says why it is refused.
pub fn run(file: &Path, width: Option<usize>) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the path of this program is unknown")?;
    let mut command = Command::new(program);
    command.args(["models", "check-onnx"]).arg(file);
    if let Some(width) = width {
        command.args(["--width", &width.to_string()]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("the process that tries the file does not start")?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("{}: opening it takes longer than {} s", file.display(), PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if status.success() {
        return Ok(());
    }
    let mut why = String::new();
    if status.code() == Some(REFUSED.into())
        && let Some(said) = child.stdout.take()
    {
        said.take(MAX_REASON_BYTES).read_to_string(&mut why)?;
        bail!("{}: {}", file.display(), why.trim_end());
    }
    bail!(
        "{}: opening it takes more than {} MiB of memory or {CPU_SECONDS} s of a processor, or breaks what evaluates it",
        file.display(),
        MEMORY_BYTES >> 20
    )
}
