//! The end of a node (or an audit) that cannot go on: one message that says what happened and what to do, and exit code 70.

use std::panic::PanicHookInfo;
use std::path::Path;
use std::process::exit;

use crate::node::disk;

/// Internal software error, as `sysexits.h` numbers it.
const EXIT_CODE: i32 = 70;
/// A disk with less room than this is the likely cause of whatever failed.
const NO_ROOM: u64 = 8 << 20;

/// Says why the node stops and ends the process. Nothing was acknowledged that is not stored.
pub fn end(dir: &Path, why: &str) -> ! {
    eprintln!("triad: {}", explained(dir, why));
    exit(EXIT_CODE)
}

/// An error of what could not begin, with what to do if it is the disk that is full.
pub fn before_it_began(dir: &Path, error: anyhow::Error) -> anyhow::Error {
    let why = format!("{error:#}");
    let explained = explained(dir, &why);
    if explained == why { error } else { anyhow::Error::msg(explained) }
}

fn explained(dir: &Path, why: &str) -> String {
    let no_space = why.contains("No space left") || why.contains("StorageFull");
    match disk::free_bytes(dir) {
        Ok(free) if (no_space || free < NO_ROOM) && !why.contains("is full") => {
            format!("{} ({why})", disk::full(dir, free))
        }
        _ => why.to_owned(),
    }
}

/// Libraries say by panicking that a file is damaged or cannot be written. The process ends in any case; this gives the
/// operator words. With RUST_BACKTRACE the panic itself is shown too.
pub fn instead_of_panics(who: &'static str, dir: &Path) {
    let dir = dir.to_owned();
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            default(info);
        }
        end(&dir, &told(who, &dir, info))
    }));
}

fn told(who: &str, dir: &Path, info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("no words");
    let place = info.location().map_or_else(String::new, |at| format!(", at {}:{}", at.file(), at.line()));
    format!(
        "{who} stops, a part of it failed: {what}{place}. What was acknowledged is stored. Start it again; if it \
         fails in the same way, a file under {} is damaged: move the directory away and restore it whole from a backup, \
         or copy it from another node that is stopped (each validator keeps its own validator.json)",
        dir.display()
    )
}
