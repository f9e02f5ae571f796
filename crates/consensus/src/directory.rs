//! The data directory: one process at a time, one key, one chain, and never a vote without the journal.
//!
//! Four things lie in the node's data directory:
//! - `LOCK` is locked (flock) by the running process and says which one that is;
//! - `validator` binds the directory to a key, a chain and a journal, and says whether this key has voted;
//! - `consensus/` holds the journal (write-ahead log), and marshal's caches and archives. `.triad-journal` in it carries
//!   the same random identifier as `validator`, so a journal that was removed, made anew, or brought from elsewhere is told
//!   from the one that this key voted with.
//!
//! `validator` is written before the first vote can be cast. A directory that was restored as a whole from an older copy
//! holds nothing that contradicts itself; the other validators are asked (`crate::recall`). Alone there is nobody to ask, but a
//! copy has files of its own: `validator` says when the file system made `.triad-journal`, where it tells, and a copy of that
//! file was made at another time. An operator who accepts what a lost journal means has it [set aside](set_aside).

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use commonware_utils::sync::Mutex;

use crate::ConsensusError;

const LOCK: &str = "LOCK";
const VALIDATOR: &str = "validator";
const STORAGE: &str = "consensus";
const JOURNAL_ID: &str = ".triad-journal";
const VERSION: &str = "triad validator directory 1";

/// Exclusive use of a data directory, until dropped or the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    dir: PathBuf,
    _file: File,
}

/// Takes the data directory for this process, creating it if need be. Fails at once, naming the holder, if another
/// process has it.
pub fn lock(data_dir: &Path) -> Result<DirectoryLock, ConsensusError> {
    fs::create_dir_all(data_dir)
        .map_err(|e| ConsensusError::io("cannot create the data directory", data_dir, e))?;
    let path = data_dir.join(LOCK);
    let io = |e| ConsensusError::io("cannot lock the data directory", &path, e);
    let mut file =
        OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "holder unknown".to_owned(),
                text => text.replace('\n', ", "),
            };
            return Err(ConsensusError::Locked { dir: data_dir.to_owned(), holder });
        }
        Err(TryLockError::Error(e)) => return Err(io(e)),
    }
    let program = std::env::args().next().unwrap_or_else(|| "unknown program".into());
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    write!(file, "process {} ({program})", std::process::id()).map_err(io)?;
    Ok(DirectoryLock { dir: data_dir.to_owned(), _file: file })
}

impl DirectoryLock {
    /// The locked directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// What `validator` says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Validator {
    key: String,
    namespace: String,
    journal: String,
    /// The newest epoch in which this key voted from here.
    voted: Option<u64>,
    /// The view of a vote that this journal does not know: this key only follows from here.
    denied: Option<u64>,
    /// When the file system made the journal's identifier, in nanoseconds since 1970. Older files do not say.
    made: Option<u64>,
}

impl Validator {
    fn encode(&self) -> String {
        let denied = self.denied.map_or(String::new(), |view| format!("denied {view}\n"));
        let made = self.made.map_or(String::new(), |made| format!("made {made}\n"));
        format!(
            "{VERSION}\nkey {}\nnamespace {}\njournal {}\nvoted {}\n{denied}{made}",
            self.key,
            self.namespace,
            self.journal,
            match self.voted {
                None => "no".to_owned(),
                Some(0) => "yes".to_owned(),
                Some(epoch) => format!("in epoch {epoch}"),
            }
        )
    }

    fn decode(text: &str) -> Option<Self> {
        // Every line ends: a number that was cut is none.
        let mut lines = text.strip_suffix('\n')?.lines();
        if lines.next()? != VERSION {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned);
        let mut found = Self {
            key: field("key")?,
            namespace: field("namespace")?,
            journal: field("journal")?,
            voted: match field("voted")?.as_str() {
                "yes" => Some(0),
                "no" => None,
                later => Some(later.strip_prefix("in epoch ")?.parse().ok()?),
            },
            denied: None,
            made: None,
        };
        for line in lines {
            match line.split_once(' ')? {
                ("denied", view) if found.denied.is_none() => found.denied = Some(view.parse().ok()?),
                ("made", made) if found.made.is_none() => found.made = Some(made.parse().ok()?),
                _ => return None,
            }
        }
        Some(found)
    }
}

/// A directory that this key may vote from.
#[derive(Debug)]
pub(crate) struct Directory {
    lock: DirectoryLock,
    key: String,
    copied: bool,
    validator: Mutex<Validator>,
}

impl Directory {
    /// Checks that `key` may vote from here on the chain `namespace`, preparing a fresh directory if nothing is there.
    /// `journal` names the folder of an epoch's journal under `consensus/`.
    pub(crate) fn open(
        lock: DirectoryLock,
        key: &[u8],
        namespace: &[u8],
        journal: impl Fn(u64) -> String,
    ) -> Result<Self, ConsensusError> {
        let dir = lock.dir.clone();
        let (key, namespace) = (hex::encode(key), hex::encode(namespace));
        let path = dir.join(VALIDATOR);
        let storage = dir.join(STORAGE);
        let found = match fs::read(&path) {
            Ok(bytes) => {
                Some(std::str::from_utf8(&bytes).ok().and_then(Validator::decode).ok_or_else(|| {
                    ConsensusError::io(
                        "this file is damaged or from another release; restore it from a copy",
                        &path,
                        "not a validator file of version 1",
                    )
                })?)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(ConsensusError::io("cannot read", &path, e)),
        };
        let missing = |what: &str| ConsensusError::JournalMissing {
            dir: storage.clone(),
            what: what.to_owned(),
            key: key.clone(),
        };
        let mut copied = false;
        let validator = match found {
            Some(mut validator) => {
                if validator.key != key {
                    return Err(ConsensusError::WrongKey { dir, found: validator.key, configured: key });
                }
                if validator.namespace != namespace {
                    return Err(ConsensusError::WrongChain {
                        dir,
                        found: validator.namespace,
                        configured: namespace,
                    });
                }
                match fs::read_to_string(storage.join(JOURNAL_ID)) {
                    Ok(id) if id.trim() == validator.journal => {}
                    Ok(_) => return Err(missing("it is another directory's journal")),
                    Err(_) => return Err(missing("nothing is there")),
                }
                if let Some(epoch) = validator.voted
                    && highest(&storage.join(journal(epoch)))?.is_none()
                {
                    return Err(missing("its write-ahead log is gone"));
                }
                let made = made(&storage.join(JOURNAL_ID));
                match validator.made {
                    Some(before) => copied = made.is_some_and(|made| made != before),
                    None if made.is_some() => {
                        validator.made = made;
                        write_durably(&path, validator.encode())?;
                    }
                    None => {}
                }
                validator
            }
            None => {
                // Only what a first start that was cut short leaves behind may be there.
                let stray = fs::read_dir(&storage)
                    .ok()
                    .into_iter()
                    .flatten()
                    .flatten()
                    .find(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
                if let Some(stray) = stray {
                    return Err(missing(&format!(
                        "{} is there, but the file {} that says whose it is is not",
                        stray.path().display(),
                        path.display()
                    )));
                }
                let mut validator = Validator {
                    key,
                    namespace,
                    journal: hex::encode(rand::random::<[u8; 16]>()),
                    voted: None,
                    denied: None,
                    made: None,
                };
                fs::create_dir_all(&storage).map_err(|e| ConsensusError::io("cannot create", &storage, e))?;
                write_durably(&storage.join(JOURNAL_ID), format!("{}\n", validator.journal))?;
                validator.made = made(&storage.join(JOURNAL_ID));
                sync_dir(&dir)?;
                write_durably(&path, validator.encode())?;
                validator
            }
        };
        Ok(Self { lock, key: validator.key.clone(), copied, validator: Mutex::new(validator) })
    }

    /// Whether the files here are a copy of those that this key voted with.
    pub(crate) fn copied(&self) -> bool {
        self.copied
    }

    /// Where commonware keeps its files.
    pub(crate) fn storage(&self) -> PathBuf {
        self.lock.dir.join(STORAGE)
    }

    /// The data directory.
    pub(crate) fn path(&self) -> &Path {
        &self.lock.dir
    }

    /// The view of a vote that an earlier start learnt of and that the journal does not know.
    pub(crate) fn denied(&self) -> Option<u64> {
        self.validator.lock().denied
    }

    /// Records that this key must not vote from here.
    pub(crate) fn deny(&self, view: u64) -> Result<(), ConsensusError> {
        self.change(|validator| validator.denied = Some(view))
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The newest epoch of which it is recorded that this key has voted in it.
    pub(crate) fn voted(&self) -> Option<u64> {
        self.validator.lock().voted
    }

    /// Records that this key has voted in an epoch: from now on that epoch's write-ahead log must be there.
    pub(crate) fn mark_voted(&self, epoch: u64) -> Result<(), ConsensusError> {
        self.change(|validator| validator.voted = validator.voted.max(Some(epoch)))
    }

    fn change(&self, change: impl FnOnce(&mut Validator)) -> Result<(), ConsensusError> {
        let mut validator = self.validator.lock();
        change(&mut validator);
        write_durably(&self.lock.dir.join(VALIDATOR), validator.encode())
    }

    /// The highest view that the write-ahead log has a file for.
    pub(crate) fn highest_view(&self, journal: &str) -> Result<Option<u64>, ConsensusError> {
        highest(&self.storage().join(journal))
    }
}

/// Moves the journal of a locked directory, and what goes with it, out of the way, and returns where it is now: the key will
/// vote from here without it. That is for a chain's only validator, whose operator accepts that it may contradict votes that were
/// lost. `None`: there is nothing.
pub fn set_aside(lock: &DirectoryLock) -> Result<Option<PathBuf>, ConsensusError> {
    let parts = [STORAGE, VALIDATOR, crate::recall::SEEN];
    let found: Vec<&str> = parts.into_iter().filter(|part| lock.dir.join(part).exists()).collect();
    if found.is_empty() {
        return Ok(None);
    }
    let aside = (1_u64..).map(|n| lock.dir.join(format!("journal-lost-{n}"))).find(|path| !path.exists());
    let aside = aside.expect("some number is free");
    fs::create_dir(&aside).map_err(|e| ConsensusError::io("cannot create", &aside, e))?;
    for part in found {
        let from = lock.dir.join(part);
        fs::rename(&from, aside.join(part)).map_err(|e| ConsensusError::io("cannot move", &from, e))?;
    }
    sync_dir(&aside)?;
    sync_dir(&lock.dir)?;
    Ok(Some(aside))
}

/// When the file system made a file; not all tell.
fn made(path: &Path) -> Option<u64> {
    let made = fs::metadata(path).and_then(|found| found.created()).ok()?;
    u64::try_from(made.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// The highest section of a journal folder: file names are the big-endian section number in hex.
fn highest(journal: &Path) -> Result<Option<u64>, ConsensusError> {
    let entries = match fs::read_dir(journal) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ConsensusError::io("cannot list the journal", journal, e)),
    };
    let mut highest = None;
    for entry in entries {
        let entry = entry.map_err(|e| ConsensusError::io("cannot list the journal", journal, e))?;
        if let Ok(section) = u64::from_str_radix(&entry.file_name().to_string_lossy(), 16) {
            highest = highest.max(Some(section));
        }
    }
    Ok(highest)
}

/// Replaces a small file such that after a crash either the old or the new content is there.
pub(crate) fn write_durably(path: &Path, content: impl AsRef<[u8]>) -> Result<(), ConsensusError> {
    let io = |e| ConsensusError::io("cannot write", path, e);
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary).map_err(io)?;
    file.write_all(content.as_ref()).map_err(io)?;
    file.sync_all().map_err(io)?;
    fs::rename(&temporary, path).map_err(io)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn sync_dir(dir: &Path) -> Result<(), ConsensusError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| ConsensusError::io("cannot make the directory durable", dir, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = &[1; 32];
    const CHAIN: &[u8] = b"triad-test";

    fn open(dir: &Path, key: &[u8], chain: &[u8]) -> Result<Directory, ConsensusError> {
        Directory::open(lock(dir)?, key, chain, |_| "wal".to_owned())
    }

    fn vote(directory: &Directory) {
        let wal = directory.storage().join("wal");
        fs::create_dir_all(&wal).unwrap();
        fs::write(wal.join("000000000000001f"), b"x").unwrap();
        directory.mark_voted(0).unwrap();
    }

    #[test]
    fn a_second_process_is_refused_and_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let error = lock(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        lock(dir.path()).unwrap();
    }

    #[test]
    fn a_directory_stays_with_its_key_and_chain() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), KEY, CHAIN).unwrap());
        drop(open(dir.path(), KEY, CHAIN).unwrap());
        assert!(matches!(open(dir.path(), &[2; 32], CHAIN), Err(ConsensusError::WrongKey { .. })));
        assert!(matches!(open(dir.path(), KEY, b"other"), Err(ConsensusError::WrongChain { .. })));
    }

    #[test]
    fn a_start_cut_short_before_the_first_vote_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), KEY, CHAIN).unwrap());
        fs::remove_file(dir.path().join(VALIDATOR)).unwrap();
        drop(open(dir.path(), KEY, CHAIN).unwrap());
    }

    #[test]
    fn a_key_that_voted_is_refused_without_its_journal() {
        for damage in ["consensus", "consensus/wal", "consensus/.triad-journal"] {
            let dir = tempfile::tempdir().unwrap();
            let directory = open(dir.path(), KEY, CHAIN).unwrap();
            assert_eq!(directory.highest_view("wal").unwrap(), None);
            vote(&directory);
            assert_eq!(directory.highest_view("wal").unwrap(), Some(31));
            drop(directory);
            drop(open(dir.path(), KEY, CHAIN).unwrap());
            let path = dir.path().join(damage);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap()
            } else {
                fs::remove_file(path).unwrap()
            }
            let error = open(dir.path(), KEY, CHAIN).unwrap_err();
            assert!(matches!(error, ConsensusError::JournalMissing { .. }), "{damage}: {error}");
            assert!(error.to_string().contains("--accept-journal-loss"), "{error}");
        }
    }

    #[test]
    fn a_journal_from_elsewhere_or_without_its_owner_is_refused() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        vote(&open(a.path(), KEY, CHAIN).unwrap());
        vote(&open(b.path(), KEY, CHAIN).unwrap());
        fs::remove_dir_all(a.path().join(STORAGE)).unwrap();
        fs::rename(b.path().join(STORAGE), a.path().join(STORAGE)).unwrap();
        assert!(matches!(open(a.path(), KEY, CHAIN), Err(ConsensusError::JournalMissing { .. })));
        fs::remove_file(a.path().join(VALIDATOR)).unwrap();
        assert!(matches!(open(a.path(), KEY, CHAIN), Err(ConsensusError::JournalMissing { .. })));
    }

    #[test]
    fn a_key_that_may_not_vote_from_here_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let directory = open(dir.path(), KEY, CHAIN).unwrap();
        assert_eq!(directory.denied(), None);
        directory.deny(77).unwrap();
        drop(directory);
        assert_eq!(open(dir.path(), KEY, CHAIN).unwrap().denied(), Some(77));
    }

    #[test]
    fn a_damaged_validator_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path(), KEY, CHAIN).unwrap());
        let path = dir.path().join(VALIDATOR);
        let text = fs::read_to_string(&path).unwrap();
        for cut in [0, 5, text.len() / 2, text.len() - 5] {
            fs::write(&path, &text[..cut]).unwrap();
            assert!(open(dir.path(), KEY, CHAIN).is_err(), "cut at {cut}");
        }
    }
}
