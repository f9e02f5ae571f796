//! Progress on standard error, and figures to files.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use triad_training::{Progress, Watch, draw};

/// Without a terminal a line is written at most so often.
const QUIET: Duration = Duration::from_secs(5);

/// A watch that tells how far `what` is: a bar on a terminal, else a line at the begin and now and then.
pub fn watch(what: String, figures: bool) -> Watch<'static> {
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(0));
    if let (Some(bar), Ok(style)) =
        (&bar, ProgressStyle::with_template("{prefix} {bar:30} {msg} {pos}/{len} · {elapsed}"))
    {
        bar.set_style(style);
        bar.set_prefix(what.clone());
    }
    let bar = bar.map(Finished);
    let mut last: Option<Instant> = None;
    let tell = move |progress: Progress<'_>| {
        if let Some(Finished(bar)) = &bar {
            bar.set_length(progress.of as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(progress.what.to_owned());
        } else if last.is_none_or(|last| last.elapsed() >= QUIET) {
            last = Some(Instant::now());
            eprintln!("{what}: {} {} of {}", progress.what, progress.done, progress.of);
        }
    };
    Watch::new(tell, figures)
}

/// A bar that goes away with its watch.
struct Finished(ProgressBar);

impl Drop for Finished {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Draws what the watch kept; the paths of the pictures.
pub fn draw_all(watch: &mut Watch<'_>, folder: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let mut paths = Vec::new();
    for figure in watch.take_figures() {
        paths.push(draw(&figure, folder)?.display().to_string());
    }
    Ok(paths)
}

/// What is said of pictures where no JSON is wanted.
pub fn tell_plots(paths: &[String]) {
    for path in paths {
        println!("plot {path}");
    }
}
