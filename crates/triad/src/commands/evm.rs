//! `triad evm`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use triad_evm::statetest::{self, Case, Verdict};

use super::Done;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run Ethereum's GeneralStateTests through this program's executor, state and trie.
    Statetest(Args),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 0: nothing failed. 1: something did, and what differs is printed.\nSkipped is what no block here can hold; each reason is printed."
)]
pub struct Args {
    /// A test file, or a folder of them.
    path: PathBuf,
    /// Print a JSON object with every variant of every test.
    #[arg(long)]
    json: bool,
}

/// A file and what came of its tests.
struct Tested {
    file: String,
    cases: Vec<Case>,
}

pub fn run(command: Command) -> Done {
    let Command::Statetest(args) = command;
    let mut files = Vec::new();
    collect(&args.path, &mut files)?;
    files.sort();
    if files.is_empty() {
        bail!("{} holds no .json file", args.path.display());
    }
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(files.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} file {pos}/{len} · {eta} left") {
        bar.set_style(style);
    }
    let started = Instant::now();
    let tested = all(&args.path, &files, &bar)?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let count = |wanted: fn(&Verdict) -> bool| -> usize {
        tested.iter().flat_map(|file| &file.cases).filter(|case| wanted(&case.verdict)).count()
    };
    let pass = count(|v| *v == Verdict::Pass);
    let fail = count(|v| matches!(v, Verdict::Fail(_)));
    let skip = count(|v| matches!(v, Verdict::Skip(_)));
    if args.json {
        let cases: Vec<_> =
            tested.iter().flat_map(|file| file.cases.iter().map(|c| shape(&file.file, c))).collect();
        let out = json!({
            "files": files.len(), "pass": pass, "fail": fail, "skip": skip, "seconds": seconds, "cases": cases,
        });
        println!("{out}");
    } else {
        tested.iter().for_each(print);
        println!("{} files: {pass} passed, {fail} failed, {skip} skipped; {seconds:.1} s", files.len());
    }
    Ok(if fail == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    if !path.is_dir() {
        std::fs::metadata(path).with_context(cannot)?;
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(cannot)? {
        let entry = entry.with_context(cannot)?.path();
        if entry.is_dir() || entry.extension().is_some_and(|end| end == "json") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}

/// Runs the files on all cores; what comes back is in their order.
fn all(root: &Path, files: &[PathBuf], bar: &ProgressBar) -> anyhow::Result<Vec<Tested>> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, anyhow::Result<Tested>)>> = Mutex::default();
    let work = || {
        while let Some((index, file)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            files.get(index).map(|file| (index, file))
        } {
            let tested = one(root, file);
            bar.inc(1);
            // A poisoned lock means that another thread has panicked, and the scope panics with it.
            done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, tested));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, tested)| tested).collect()
}

fn one(root: &Path, file: &Path) -> anyhow::Result<Tested> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let cases = statetest::run(&text).with_context(|| file.display().to_string())?;
    let short = file.strip_prefix(root).ok().filter(|short| !short.as_os_str().is_empty()).unwrap_or(file);
    Ok(Tested { file: short.display().to_string(), cases })
}

fn shape(file: &str, case: &Case) -> serde_json::Value {
    let (verdict, reason) = match &case.verdict {
        Verdict::Pass => ("pass", None),
        Verdict::Fail(why) => ("fail", Some(why)),
        Verdict::Skip(why) => ("skip", Some(why)),
    };
    json!({
        "file": file, "test": case.test, "fork": case.fork, "index": case.index, "verdict": verdict, "reason": reason,
    })
}

/// A line for each test and fork, and one for each variant that did not pass.
fn print(tested: &Tested) {
    let same = |a: &Case, b: &Case| a.test == b.test && a.fork == b.fork;
    for variants in tested.cases.chunk_by(same) {
        let of = |wanted: fn(&Verdict) -> bool| variants.iter().filter(|case| wanted(&case.verdict)).count();
        let (pass, fail) = (of(|v| *v == Verdict::Pass), of(|v| matches!(v, Verdict::Fail(_))));
        let word = match (pass, fail) {
            (_, 1..) => "FAIL",
            (0, 0) => "skip",
            _ => "pass",
        };
        let fork = variants.first().map_or("", |case| case.fork.as_str());
        println!("{word}  {} {fork}: {pass} of {}", tested.file, variants.len());
        for case in variants {
            match &case.verdict {
                Verdict::Pass => {}
                Verdict::Fail(why) => println!("      {} {}: {why}", case.test, case.index),
                Verdict::Skip(why) => println!("      {} {} skipped: {why}", case.test, case.index),
            }
        }
    }
}
