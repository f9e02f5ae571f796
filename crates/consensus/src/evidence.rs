//! Proofs that a validator voted twice where it may vote once: found by simplex, verified, kept, and there after a restart.
//!
//! Simplex compares the votes that a validator sent with the one it sent before, and reports two that contradict each other
//! ([`reporter`]); beside it, each vote is held against those in the certificates of the latest views ([`recent`]). At that moment neither signature was verified. A pair whose signatures both hold is *evidence*: anybody
//! can check it offline with the genesis file ([`triad_log::Evidence`], `docs/formats.md`), and only the validator's own key
//! can have made it. A pair that does not verify proves nothing to others and is only counted.
//!
//! One record a validator, epoch, view and kind of conflict is kept, as a file of its own in `consensus-evidence/` in the data
//! directory, which commonware knows nothing of. A file is whole or not there: it is written beside, synced, and renamed. A
//! traitor can make as many as there are views, so at most [`MAX_EVIDENCE_EACH`] a validator and [`MAX_EVIDENCE`] in all are kept, the first
//! ones; what is not kept is counted. A disk that fails costs the record its place after the next restart, nothing else.
//!
//! Evidence names its validator by key: indices change from epoch to epoch.
//!
//! What this does not see: votes that contradict each other and reach different nodes only, as long as no certificate takes one
//! of them to the others.

mod recent;
mod reporter;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use commonware_utils::sync::Mutex;
use triad_log::{Evidence, EvidenceId, MAX_EVIDENCE_BYTES};

use crate::directory::write_durably;

pub(crate) use reporter::Accuser;

/// Records of one validator that are kept. A single one is enough to act on.
pub const MAX_EVIDENCE_EACH: usize = 16;
/// Records that are kept in all.
pub const MAX_EVIDENCE: usize = 1024;
/// Names of damaged files that are remembered; more are only counted.
const MAX_DAMAGED: usize = 64;

const FOLDER: &str = "consensus-evidence";
const EXTENSION: &str = "evidence";

/// What a node holds of evidence, at one moment.
#[derive(Clone, Debug, Default)]
pub struct EvidenceHeld {
    /// By validator, epoch, view and kind.
    pub records: Vec<Arc<Evidence>>,
    /// Not kept since the start, because there were enough.
    pub dropped: u64,
    /// Conflicts seen since the start whose signatures do not hold: they prove nothing.
    pub unproven: u64,
    /// Files that are not evidence of this chain, left as they are.
    pub damaged: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<EvidenceId, Arc<Evidence>>,
    /// Being verified and written.
    under_way: BTreeSet<EvidenceId>,
    dropped: u64,
    unproven: u64,
    damaged: Vec<String>,
}

impl State {
    fn is_known(&self, id: &EvidenceId) -> bool {
        self.kept.contains_key(id) || self.under_way.contains(id)
    }

    fn has_room(&self, validator: &[u8; 32]) -> bool {
        let all = || self.kept.keys().chain(&self.under_way);
        all().count() < MAX_EVIDENCE
            && all().filter(|id| id.validator == *validator).count() < MAX_EVIDENCE_EACH
    }
}

/// The evidence that a node holds. Shared by all parts.
#[derive(Debug)]
pub struct EvidenceStore {
    namespace: Vec<u8>,
    /// None in a simulation, where nothing is written.
    folder: Option<PathBuf>,
    state: Mutex<State>,
}

impl EvidenceStore {
    /// Reads what earlier starts kept in the data directory. What cannot be read is reported and left alone.
    pub(crate) fn open(data_dir: &Path, namespace: &[u8]) -> EvidenceStore {
        let folder = data_dir.join(FOLDER);
        let mut state = State::default();
        match list(&folder) {
            Ok(paths) => {
                for path in paths {
                    match load(&path, namespace) {
                        Ok(evidence) if state.has_room(&evidence.validator) => {
                            state.kept.insert(evidence.id(), Arc::new(evidence));
                        }
                        Ok(_) => state.dropped += 1,
                        Err(why) => {
                            tell(&format!(
                                "{} is not used as evidence of a double vote: {why}. It is left as it is",
                                path.display()
                            ));
                            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                            if state.damaged.len() < MAX_DAMAGED {
                                state.damaged.push(name);
                            }
                        }
                    }
                }
            }
            Err(error) => tell(&format!("the evidence in {} cannot be read: {error}", folder.display())),
        }
        if !state.kept.is_empty() {
            let who: BTreeSet<_> = state.kept.keys().map(|id| hex::encode(id.validator)).collect();
            tracing::warn!(records = state.kept.len(), validators = ?who, "evidence of double votes is held");
        }
        EvidenceStore { namespace: namespace.to_vec(), folder: Some(folder), state: Mutex::new(state) }
    }

    /// Keeps nothing on disk.
    #[cfg(test)]
    pub(crate) fn in_memory(namespace: &[u8]) -> EvidenceStore {
        EvidenceStore { namespace: namespace.to_vec(), folder: None, state: Mutex::default() }
    }

    /// As it is now.
    pub fn held(&self) -> EvidenceHeld {
        let state = self.state.lock();
        EvidenceHeld {
            records: state.kept.values().cloned().collect(),
            dropped: state.dropped,
            unproven: state.unproven,
            damaged: state.damaged.clone(),
        }
    }

    /// Records held of each validator.
    pub fn counts(&self) -> BTreeMap<[u8; 32], u64> {
        let mut counts = BTreeMap::new();
        for id in self.state.lock().kept.keys() {
            *counts.entry(id.validator).or_default() += 1;
        }
        counts
    }

    /// One record.
    pub fn get(&self, id: &EvidenceId) -> Option<Arc<Evidence>> {
        self.state.lock().kept.get(id).cloned()
    }

    /// Whether a conflict is to be looked into; then [`keep`](Self::keep) must follow. Quick: it is asked where votes are counted.
    fn wants(&self, id: EvidenceId) -> bool {
        let mut state = self.state.lock();
        if state.is_known(&id) {
            return false;
        }
        if !state.has_room(&id.validator) {
            state.dropped += 1;
            return false;
        }
        state.under_way.insert(id)
    }

    /// Verifies and keeps what was [wanted](Self::wants). Waits for the disk.
    fn keep(&self, evidence: Evidence) {
        let id = evidence.id();
        if let Err(why) = evidence.verify(&self.namespace, &evidence.validator) {
            tracing::warn!(%id, %why, "two votes contradict each other and prove nothing");
            let mut state = self.state.lock();
            state.under_way.remove(&id);
            state.unproven += 1;
            return;
        }
        let written = self.folder.as_ref().map(|folder| write(folder, &evidence));
        let meaning = evidence.meaning();
        {
            let mut state = self.state.lock();
            state.under_way.remove(&id);
            state.kept.insert(id, Arc::new(evidence));
        }
        let key = hex::encode(id.validator);
        tracing::error!(validator = key, epoch = id.epoch, view = id.view, "a validator {meaning}");
        match written {
            None => {}
            Some(Ok(path)) => eprintln!(
                "triad: validator {key} {meaning} (epoch {}, view {}); the proof is in {}",
                id.epoch,
                id.view,
                path.display()
            ),
            Some(Err(why)) => tell(&format!(
                "validator {key} {meaning} (epoch {}, view {}), and the proof could not be written: {why}. It is held until \
                 the node stops: fetch it through GET /v1/network/evidence/{id}",
                id.epoch, id.view
            )),
        }
    }
}

fn tell(what: &str) {
    tracing::error!("{what}");
    eprintln!("triad: {what}");
}

/// The files of evidence, by name. A missing folder holds none.
fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // A start that was cut short in the middle of writing leaves a name that ends otherwise.
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn file_of(folder: &Path, id: &EvidenceId) -> PathBuf {
    folder.join(format!("{id}.{EXTENSION}"))
}

/// Evidence of this chain that holds, from the file that is named after it.
fn load(path: &Path, namespace: &[u8]) -> Result<Evidence, String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_EVIDENCE_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let evidence = Evidence::decode(&bytes).map_err(|error| error.to_string())?;
    evidence.verify(namespace, &evidence.validator).map_err(|error| error.to_string())?;
    let named = path.file_stem().is_some_and(|stem| *stem == *evidence.id().to_string());
    if named { Ok(evidence) } else { Err(format!("it should be named {}.{EXTENSION}", evidence.id())) }
}

fn write(folder: &Path, evidence: &Evidence) -> Result<PathBuf, String> {
    let path = file_of(folder, &evidence.id());
    fs::create_dir_all(folder).map_err(|error| format!("{} cannot be created: {error}", folder.display()))?;
    if path.exists() {
        return Err(format!("{} is there and is not it; move that file away", path.display()));
    }
    write_durably(&path, evidence.encode()).map_err(|error| error.to_string())?;
    Ok(path)
}
