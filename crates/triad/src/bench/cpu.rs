//! CPU time by thread group, from `/proc/self/task`.

use std::collections::BTreeMap;
use std::fs;

/// Linux tells CPU time in hundredths of a second on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;
/// The name of threads that are the load's, not the node's.
pub const CLIENT: &str = "client";

/// Seconds by group of threads; a group's name is the threads' without what numbers them.
pub type Seconds = BTreeMap<String, f64>;

/// What the living threads have used since they began, and the process as a whole (`total`).
pub fn now() -> Seconds {
    let mut out = Seconds::new();
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        if let Some((name, seconds)) = read(&entry.path().join("stat")) {
            *out.entry(group(&name)).or_default() += seconds;
        }
    }
    if let Some((_, seconds)) = read("/proc/self/stat".as_ref()) {
        out.insert("total".into(), seconds);
    }
    out
}

/// What one process has used since it began, in seconds.
pub fn of_process(id: u32) -> f64 {
    read(format!("/proc/{id}/stat").as_ref()).map_or(0.0, |(_, seconds)| seconds)
}

/// What was used between two looks, rows under 10 ms left out.
pub fn between(before: &Seconds, after: &Seconds) -> Seconds {
    let used = |(name, s): (&String, &f64)| (name.clone(), s - before.get(name).copied().unwrap_or(0.0));
    after.iter().map(used).filter(|(_, s)| *s >= 0.01).collect()
}

fn read(path: &std::path::Path) -> Option<(String, f64)> {
    let text = fs::read_to_string(path).ok()?;
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    // utime and stime are fields 14 and 15; `tail` begins with field 3.
    let mut fields = tail.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((name, (user + system) / TICKS_PER_SECOND))
}

fn group(name: &str) -> String {
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '#' || c == ' ');
    if plain.is_empty() { name.to_owned() } else { plain.to_owned() }
}
