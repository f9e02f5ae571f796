//! Votes made by commonware itself, on their way to a file and back.

use std::time::Duration;

use commonware_actor::Feedback;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    Reporter,
    simplex::types::{
        Activity, ConflictingFinalize, ConflictingNotarize, Finalize, Notarize, Nullify, NullifyFinalize,
        Proposal,
    },
    types::{Epoch, Round, View},
};
use commonware_cryptography::{
    Signer as _,
    ed25519::{PrivateKey, PublicKey},
    sha256,
};
use commonware_runtime::{Clock as _, Runner as _, Supervisor as _, deterministic};
use commonware_utils::ordered::Set;
use triad_log::{EvidenceKind, namespace};

use super::*;
use crate::{Scheme, stats::Stats};

type Report = Activity<Scheme, sha256::Digest>;

/// Four validators of a chain.
struct Chain {
    namespace: Vec<u8>,
    keys: Vec<PrivateKey>,
    set: Set<PublicKey>,
}

impl Chain {
    fn new(genesis: u8) -> Chain {
        let mut keys: Vec<PrivateKey> =
            (1..=4u8).map(|n| PrivateKey::decode(Copying([n; 32].as_slice())).unwrap()).collect();
        keys.sort_by_key(|key| key.public_key());
        let set = Set::from_iter_dedup(keys.iter().map(|key| key.public_key()));
        Chain { namespace: namespace(&[genesis; 32]), keys, set }
    }

    fn key(&self, who: usize) -> [u8; 32] {
        self.keys[who].public_key().as_ref().try_into().unwrap()
    }

    /// What simplex reports when that validator does that in that view of epoch 2.
    fn report(&self, who: usize, view: u64, kind: EvidenceKind) -> Report {
        let scheme = Scheme::signer(&self.namespace, self.set.clone(), self.keys[who].clone()).unwrap();
        let round = Round::new(Epoch::new(2), View::new(view));
        // The larger digest first: evidence has an order of its own.
        let [a, b] = [9u8, 3].map(|byte| Proposal::new(round, View::new(view - 1), [byte; 32].into()));
        match kind {
            EvidenceKind::Notarizes => {
                let [a, b] = [a, b].map(|proposal| Notarize::sign(&scheme, proposal).unwrap());
                Activity::ConflictingNotarize(ConflictingNotarize::new(a, b))
            }
            EvidenceKind::Finalizes => {
                let [a, b] = [a, b].map(|proposal| Finalize::sign(&scheme, proposal).unwrap());
                Activity::ConflictingFinalize(ConflictingFinalize::new(a, b))
            }
            EvidenceKind::NullifyFinalize => {
                let nullify = Nullify::sign::<sha256::Digest>(&scheme, round).unwrap();
                let finalize = Finalize::sign(&scheme, a).unwrap();
                Activity::NullifyFinalize(NullifyFinalize::new(nullify, finalize))
            }
        }
    }

    /// A store that hears these reports as simplex makes them, after it has come to rest.
    fn hear(&self, store: EvidenceStore, reports: Vec<Report>) -> Arc<EvidenceStore> {
        let store = Arc::new(store);
        let (keeping, set) = (store.clone(), self.set.clone());
        let runner = deterministic::Runner::timed(Duration::from_secs(60));
        runner.start(|context| async move {
            let passed_on = Arc::new(Mutex::new(0));
            let stats = Arc::<Stats>::default();
            stats.tip(77);
            let mut accuser =
                Accuser::new(context.child("evidence"), Counter(passed_on.clone()), keeping, set, stats);
            let heard = reports.len();
            for report in reports {
                assert!(matches!(accuser.report(report), Feedback::Ok));
            }
            context.sleep(Duration::from_secs(1)).await;
            assert_eq!(*passed_on.lock(), heard, "what comes next hears everything");
        });
        store
    }
}

#[derive(Clone)]
struct Counter(Arc<Mutex<usize>>);

impl Reporter for Counter {
    type Activity = Report;

    fn report(&mut self, _: Report) -> Feedback {
        *self.0.lock() += 1;
        Feedback::Ok
    }
}

const KINDS: [EvidenceKind; 3] =
    [EvidenceKind::Notarizes, EvidenceKind::Finalizes, EvidenceKind::NullifyFinalize];

fn files(dir: &Path) -> Vec<PathBuf> {
    list(&dir.join(FOLDER)).unwrap()
}

#[test]
fn double_votes_become_evidence_that_verifies_and_survives_a_restart() {
    let (chain, dir) = (Chain::new(7), tempfile::tempdir().unwrap());
    let reports: Vec<Report> = KINDS.into_iter().map(|kind| chain.report(2, 300, kind)).collect();
    // Reported again, it is the same record.
    let twice = [reports.clone(), reports].concat();
    let store = chain.hear(EvidenceStore::open(dir.path(), &chain.namespace), twice);
    let held = store.held();
    assert_eq!((held.records.len(), held.dropped, held.unproven), (3, 0, 0));
    for (evidence, kind) in held.records.iter().zip(KINDS) {
        assert_eq!(evidence.verify(&chain.namespace, &chain.key(2)), Ok(()));
        assert_eq!((evidence.epoch, evidence.view, evidence.conflict.kind()), (2, 300, kind));
        // (2 + 300) mod 4.
        assert_eq!((evidence.seen.height, evidence.seen.led), (77, true));
        let digests = evidence.votes().map(|vote| vote.block.map(|(_, digest)| digest));
        let expected = match kind {
            EvidenceKind::NullifyFinalize => [None, Some([9; 32])],
            _ => [Some([3; 32]), Some([9; 32])],
        };
        assert_eq!(digests, expected);
    }
    assert_eq!(store.counts(), BTreeMap::from([(chain.key(2), 3)]));
    assert_eq!(files(dir.path()).len(), 3);
    let again = EvidenceStore::open(dir.path(), &chain.namespace);
    assert_eq!(again.held().records, held.records);
    assert_eq!(again.held().damaged, Vec::<String>::new());
    assert_eq!(again.get(&held.records[1].id()), Some(held.records[1].clone()));
    // What is held already is not wanted.
    assert!(!again.wants(held.records[0].id()));
    assert_eq!(again.held().dropped, 0);
}

#[test]
fn votes_whose_signatures_do_not_hold_accuse_nobody() {
    let (chain, other, dir) = (Chain::new(7), Chain::new(8), tempfile::tempdir().unwrap());
    // Simplex compares before it verifies: these are of another chain.
    let reports = KINDS.into_iter().map(|kind| other.report(1, 5, kind)).collect();
    let store = chain.hear(EvidenceStore::open(dir.path(), &chain.namespace), reports);
    let held = store.held();
    assert_eq!((held.records.len(), held.dropped, held.unproven), (0, 0, 3));
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    // The real one is still taken afterwards.
    let store = Arc::into_inner(store).unwrap();
    let store = chain.hear(store, vec![chain.report(1, 5, EvidenceKind::Notarizes)]);
    assert_eq!(store.held().records.len(), 1);
}

#[test]
fn what_a_traitor_can_fill_is_bounded_and_counted() {
    let (chain, dir) = (Chain::new(7), tempfile::tempdir().unwrap());
    let many = (1..=20).map(|view| chain.report(0, view, EvidenceKind::Notarizes));
    let reports = many.chain([chain.report(3, 9, EvidenceKind::Finalizes)]).collect();
    let store = chain.hear(EvidenceStore::open(dir.path(), &chain.namespace), reports);
    let counts = BTreeMap::from([(chain.key(0), MAX_EVIDENCE_EACH as u64), (chain.key(3), 1)]);
    assert_eq!((store.counts(), store.held().dropped), (counts.clone(), 4));
    assert_eq!(files(dir.path()).len(), MAX_EVIDENCE_EACH + 1);
    assert_eq!(EvidenceStore::open(dir.path(), &chain.namespace).counts(), counts);

    // In all: by validators of many epochs.
    let store = EvidenceStore::in_memory(&chain.namespace);
    let id = |n: usize, view| {
        let mut validator = [0; 32];
        validator[..8].copy_from_slice(&(n as u64).to_be_bytes());
        EvidenceId { validator, epoch: 0, view, kind: EvidenceKind::Notarizes }
    };
    let wanted = (0..100)
        .flat_map(|n| (0..MAX_EVIDENCE_EACH as u64).map(move |view| id(n, view)))
        .filter(|id| store.wants(*id))
        .count();
    assert_eq!(wanted, MAX_EVIDENCE);
    assert_eq!(store.held().dropped as usize, 100 * MAX_EVIDENCE_EACH - MAX_EVIDENCE);
}

#[test]
fn damaged_files_are_named_and_left_alone() {
    let (chain, dir) = (Chain::new(7), tempfile::tempdir().unwrap());
    let reports = (1..=3).map(|view| chain.report(0, view, EvidenceKind::Notarizes)).collect();
    drop(chain.hear(EvidenceStore::open(dir.path(), &chain.namespace), reports));
    let paths = files(dir.path());
    let folder = dir.path().join(FOLDER);
    // A bit of a signature, and a file under another name.
    let mut bytes = fs::read(&paths[0]).unwrap();
    bytes[200] ^= 1;
    fs::write(&paths[0], &bytes).unwrap();
    fs::copy(&paths[2], folder.join("1-2-3.evidence")).unwrap();
    fs::write(folder.join("empty.evidence"), []).unwrap();
    fs::write(folder.join("huge.evidence"), vec![0; 1 << 20]).unwrap();
    // What a start that was cut short leaves behind, and what somebody else put there.
    fs::write(paths[1].with_extension("new"), b"half").unwrap();
    fs::write(folder.join("README"), b"mine").unwrap();
    let before: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();

    let store = EvidenceStore::open(dir.path(), &chain.namespace);
    let held = store.held();
    assert_eq!(held.records.iter().map(|e| e.view).collect::<Vec<_>>(), [2, 3]);
    let name = paths[0].file_name().unwrap().to_str().unwrap();
    let mut expected = ["1-2-3.evidence", "empty.evidence", "huge.evidence", name];
    expected.sort_unstable();
    assert_eq!(held.damaged, expected);
    // The same conflict again is held, and the damaged file in its place stays.
    let store = chain.hear(store, vec![chain.report(0, 1, EvidenceKind::Notarizes)]);
    assert_eq!(store.held().records.len(), 3);
    assert_eq!(fs::read(&paths[0]).unwrap(), bytes);
    let mut after: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    after.retain(|path| !before.contains(path));
    assert_eq!(after, Vec::<PathBuf>::new());

    // Another chain's node uses none of them.
    assert!(EvidenceStore::open(dir.path(), &Chain::new(8).namespace).held().records.is_empty());
}

#[test]
fn a_disk_that_fails_is_not_fatal() {
    let (chain, dir) = (Chain::new(7), tempfile::tempdir().unwrap());
    fs::write(dir.path().join(FOLDER), b"a file where the folder should be").unwrap();
    let store = EvidenceStore::open(dir.path(), &chain.namespace);
    let store = chain.hear(store, vec![chain.report(2, 8, EvidenceKind::NullifyFinalize)]);
    assert_eq!(store.held().records.len(), 1, "it is held until the node stops");
}
