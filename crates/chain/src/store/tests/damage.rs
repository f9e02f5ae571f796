//! Bytes that changed on disk: every answer is right, or there is none and the error says what to do.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use triad_evm::StateView;

use crate::audit;

/// Damaged copies of each kind of directory.
const ROUNDS: usize = 40;

/// Answers by question; an error stands for itself.
type Answers = BTreeMap<String, Result<String, String>>;

/// Everything that a reader can ask, as far as a small chain goes.
fn answers(reader: &Reader) -> Answers {
    let mut out = Answers::new();
    let mut say = |question: String, answer: Result<String, String>| {
        out.insert(question, answer);
    };
    fn text<T: std::fmt::Debug, E: std::fmt::Display>(answer: Result<T, E>) -> Result<String, String> {
        answer.map(|a| format!("{a:?}")).map_err(|e| e.to_string())
    }
    let (tip, _) = reader.tip();
    for height in 0..=tip.height.0 {
        say(format!("block {height}"), text(reader.block(height)));
        say(format!("checkpoint {height}"), text(reader.checkpoint(height)));
        say(format!("verdicts {height}"), text(reader.block_verdicts(height)));
        say(
            format!("eth {height}"),
            text(reader.eth_block(height).map(|b| {
                b.map(|b| {
                    let txs: Vec<_> = b.transactions.iter().map(|tx| tx.encoded_2718()).collect();
                    (b.hash, b.header.clone(), txs, b.receipts.clone())
                })
            })),
        );
    }
    for leaf in 0..tip.log_size {
        say(format!("statement {leaf}"), text(reader.statement(leaf)));
        say(format!("receipt {leaf}"), text(reader.receipt(leaf)));
    }
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es256k] {
        let id = make::key(algorithm).public().id();
        say(format!("device {id}"), text(reader.device(&id)));
        say(format!("next {id}"), text(reader.next_sequence(&id)));
        say(format!("streams {id}"), text(reader.streams(&id)));
    }
    let device = make::key(Algorithm::EdDsa).public().id();
    for n in 0..12 {
        let stream = stream_id(device, &format!("s{n}"));
        let all = (i64::MIN, i64::MAX);
        say(format!("stream {n}"), text(reader.stream(&stream)));
        say(format!("models {n}"), text(reader.models(&stream)));
        say(format!("readings {n}"), text(reader.readings(&stream, all, None, 100)));
        say(format!("verdicts of {n}"), text(reader.verdicts(&stream, (0, u64::MAX), None, 100)));
    }
    for n in 0..6 {
        say(format!("registration {n}"), text(reader.registration(n)));
    }
    let state = reader.state().map(Arc::new).map_err(|error| error.to_string());
    for address in [triad_evm::DEVICE_REGISTRY, triad_evm::AUTOMATIONS, crate::testing::wallet(1).address()] {
        say(format!("account {address}"), text(reader.account(&address)));
        say(format!("code {address}"), text(reader.code(&address)));
        for slot in 0..8u64 {
            let slot = alloy_primitives::U256::from(slot);
            say(
                format!("slot {address} {slot}"),
                text(
                    state.clone().and_then(|s| {
                        s.storage(&address, &slot).map_err(|e| ChainError::from(e).to_string())
                    }),
                ),
            );
        }
    }
    out
}

/// The answers after each block.
fn truth() -> Vec<Answers> {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open_with(dir.path(), spec(), crate::HISTORY, false).unwrap();
    let reader = Reader::new(ledger.clone());
    let mut out = vec![answers(&reader)];
    for (bytes, certificate) in blocks() {
        ledger.finalize(&bytes, Some(&certificate)).unwrap();
        out.push(answers(&reader));
    }
    out
}

/// Rows in tables and blob files, as after a long run.
fn in_tables(dir: &Path) {
    let store = Store::open(dir, &spec().hash).unwrap();
    let mut batch = store.db.batch();
    let mut spaces = BTreeMap::new();
    for ((name, key), value) in stored_rows() {
        let space = spaces
            .entry(name.clone())
            .or_insert_with(|| store.db.keyspace(&name, KeyspaceCreateOptions::default).unwrap());
        batch.insert(space, key, value);
    }
    batch.commit().unwrap();
    for space in spaces.values() {
        space.rotate_memtable_and_wait().unwrap();
    }
}

/// Rows in the journal only, a batch a block.
fn in_journal(dir: &Path) {
    let ledger = Ledger::open(dir, spec()).unwrap();
    for (bytes, certificate) in blocks() {
        ledger.finalize(&bytes, Some(&certificate)).unwrap();
    }
}

/// Files with their contents, trailing zeros (a journal's unwritten rest) apart.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>, u64)> {
    let mut out = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(next) = todo.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let mut bytes = fs::read(&path).unwrap();
                let length = bytes.len() as u64;
                let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
                bytes.truncate(used);
                out.push((path.strip_prefix(dir).unwrap().to_owned(), bytes, length));
            }
        }
    }
    out.sort();
    out
}

fn write(dir: &Path, files: &[(PathBuf, Vec<u8>, u64)]) {
    for (path, bytes, length) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(&path).unwrap();
        std::io::Write::write_all(&mut &file, bytes).unwrap();
        file.set_len(*length).unwrap();
    }
}

/// What an operator must be able to do with an error.
fn assert_told(error: &str, place: &str) {
    assert!(error.contains("damaged") && error.contains("backup"), "{place}: not told what to do: {error}");
}

fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[derive(Debug, Default)]
struct Count {
    refused: usize,
    panicked: usize,
    right: usize,
    shorter: usize,
    errors: usize,
}

/// One damaged directory: opened, asked everything, audited.
fn try_one(dir: &Path, place: &str, truth: &[Answers], count: &mut Count) {
    let audited = catch_unwind(|| {
        let scratch = tempfile::tempdir().unwrap();
        audit::run(dir, &dir.join("snapshots"), spec(), scratch.path(), |_| {}).map_err(|e| e.to_string())
    });
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Ledger::open(dir, spec()).map(|ledger| {
            let reader = Reader::new(ledger);
            (reader.height() as usize, answers(&reader))
        })
    }));
    let (height, found) = match opened {
        // A library's own words; the binary turns them into ours.
        Err(_) => return count.panicked += 1,
        Ok(Err(error)) => {
            assert_told(&error.to_string(), place);
            return count.refused += 1;
        }
        Ok(Ok(opened)) => opened,
    };
    assert!(height < truth.len(), "{place}: a height that never was");
    let mut errors = 0;
    for (question, answer) in &found {
        match answer {
            Ok(answer) => assert_eq!(
                Some(&Ok(answer.clone())),
                truth[height].get(question),
                "{place}: a wrong answer at height {height} to: {question}"
            ),
            Err(error) if truth[height].get(question) == Some(&Err(error.clone())) => {}
            Err(error) => {
                assert_told(error, place);
                errors += 1;
            }
        }
    }
    assert_eq!(found.len(), truth[height].len(), "{place}");
    match height + 1 < truth.len() {
        // The end of the journal was taken for a torn write; consensus delivers those blocks again.
        true => count.shorter += 1,
        false if errors == 0 => count.right += 1,
        false => count.errors += 1,
    }
    if let Ok(Ok(audit)) = audited {
        assert!(audit.tip as usize <= height, "{place}: {audit:?}");
    }
}

fn damage(kind: &str, make: impl Fn(&Path)) {
    let truth = truth();
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let all = files(dir.path());
    let first = std::env::var("TRIAD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0xDA_3A6E);
    println!("{kind}: seed {first} (TRIAD_SEED repeats it)");
    let mut seed = first;
    let mut count = Count::default();
    let copy = tempfile::tempdir().unwrap();
    write(copy.path(), &all);
    try_one(copy.path(), "an undamaged copy", &truth, &mut count);
    assert_eq!(count.right, 1, "an undamaged copy works: {count:?}");
    let used: Vec<usize> = (0..all.len()).filter(|i| !all[*i].1.is_empty()).collect();
    let sizes: Vec<usize> = used.iter().map(|i| all[*i].1.len()).collect();
    for round in 0..ROUNDS {
        // Any file, and any byte of all files, in turn: the many small ones, and the few that hold the data.
        let mut pick = next(&mut seed) as usize;
        let which = if round % 2 == 0 {
            pick % used.len()
        } else {
            pick %= sizes.iter().sum::<usize>();
            (0..sizes.len()).find(|i| sizes[..=*i].iter().sum::<usize>() > pick).unwrap()
        };
        let mut copy = all.clone();
        let (path, bytes, _) = &mut copy[used[which]];
        let at = next(&mut seed) as usize % bytes.len();
        let flip = 1 + (next(&mut seed) % 255) as u8;
        bytes[at] ^= flip;
        let place =
            format!("{kind}, seed {first}: {} byte {at} of {} ^ {flip:#04x}", path.display(), bytes.len());
        println!("{place}");
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &copy);
        try_one(dir.path(), &place, &truth, &mut count);
    }
    println!("{kind}: {count:?}");
    assert!(count.refused + count.errors > 0, "checksums are checked: {count:?}");
}

#[test]
fn damaged_tables_and_blobs_give_no_wrong_answer() {
    damage("tables", in_tables);
}

#[test]
fn a_damaged_journal_gives_no_wrong_answer() {
    damage("journal", in_journal);
}

/// Deleted files are damage too.
#[test]
fn a_missing_file_gives_no_wrong_answer() {
    let truth = truth();
    let dir = tempfile::tempdir().unwrap();
    in_tables(dir.path());
    let all = files(dir.path());
    let mut count = Count::default();
    for gone in 0..all.len() {
        let mut copy = all.clone();
        let (path, ..) = copy.remove(gone);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &copy);
        println!("without {}", path.display());
        let place = format!("without {}", path.display());
        if path == Path::new("lock") {
            continue;
        }
        try_one(dir.path(), &place, &truth, &mut count);
    }
    println!("missing: {count:?}");
    assert!(count.refused > 0, "{count:?}");
}
