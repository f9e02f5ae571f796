//! A ledger in miniature: real keys, real signatures, real log; no consensus and no state.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;

pub use ed25519_zebra::SigningKey as ValidatorKey;
use triad_log::{
    Certificate, Checkpoint, HandOver, Hash, Height, LeafIndex, Receipt, ReceiptParts, StatementLeaf, Tile,
    TileSource, TileWriter, TrustAnchor, ValidatorSet, Validators, Verdict, VerdictLeaf, finalize_message,
    namespace, sha256, verdict_tree,
};
use triad_statement::{Algorithm, DeviceKey, Sequence, SigningKey, Statement, StatementBuilder};

pub const CHAIN_ID: u64 = 7357;
pub const START_MS: u64 = 1_767_225_600_000; // 2026-01-01

/// Tiles as a store keeps them: as bytes.
#[derive(Default, Clone)]
pub struct Store(pub BTreeMap<(u8, u64), Vec<u8>>);

impl Store {
    pub fn put(&mut self, tiles: Vec<Tile>) {
        for tile in tiles {
            self.0.insert((tile.level, tile.index), tile.bytes().to_vec());
        }
    }
}

impl TileSource for Store {
    type Error = Infallible;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Infallible> {
        Ok(self
            .0
            .get(&(level, index))
            .map_or(Vec::new(), |bytes| Tile::hashes_from_bytes(bytes).expect("whole")))
    }
}

pub struct Logged {
    pub statement: Vec<u8>,
    pub key: DeviceKey,
    pub index: LeafIndex,
    pub height: u64,
}

pub struct Block {
    pub checkpoint: Checkpoint,
    pub verdict_leaf: VerdictLeaf,
    pub verdict_leaf_index: LeafIndex,
    pub verdicts: Vec<Verdict>,
}

pub struct Ledger {
    pub genesis: String,
    pub anchor: TrustAnchor,
    /// The keys of each epoch's validators, in the order of the public keys.
    pub epochs: Vec<Vec<ValidatorKey>>,
    pub hand_overs: Vec<HandOver>,
    pub store: Store,
    pub writer: TileWriter,
    pub blocks: Vec<Block>,
    pub logged: Vec<Logged>,
    /// How many validators the next hand-over brings, and by which addresses they sign checkpoints.
    pub next_count: usize,
    pub address_of: fn(&ValidatorKey) -> [u8; 20],
}

pub fn validator_keys(seed: u8, count: usize) -> Vec<ValidatorKey> {
    let mut keys: Vec<_> = (0..count)
        .map(|n| ValidatorKey::from(sha256(&[b"validator", &[seed, n as u8][..]].concat())))
        .collect();
    keys.sort_by_key(public);
    keys
}

pub fn public(key: &ValidatorKey) -> [u8; 32] {
    key.verification_key().into()
}

pub fn validators(keys: &[ValidatorKey]) -> Validators {
    Validators::new(keys.iter().map(public)).expect("a set")
}

/// The address that a test validator signs checkpoints by.
pub fn checkpoint_address(key: &ValidatorKey) -> [u8; 20] {
    let mut address = [0; 20];
    address.copy_from_slice(&sha256(&[b"checkpoint address".as_slice(), &public(key)].concat())[..20]);
    address
}

pub fn validator_set(keys: &[ValidatorKey]) -> ValidatorSet {
    ValidatorSet::new(keys.iter().map(|key| (public(key), checkpoint_address(key)))).expect("a set")
}

pub fn genesis_json(name: &str, keys: &[ValidatorKey]) -> String {
    let validators: Vec<_> = keys
        .iter()
        .map(|key| format!("    {{\"consensus_key\": \"0x{}\"}}", hex::encode(public(key))))
        .collect();
    format!(
        "{{\n  \"chain_id\": {CHAIN_ID},\n  \"name\": \"{name}\",\n  \"validators\": [\n{}\n  ]\n}}\n",
        validators.join(",\n")
    )
}

pub fn certify(
    checkpoint: &Checkpoint,
    namespace: &[u8],
    keys: &[ValidatorKey],
    signers: &[u32],
) -> Certificate {
    let mut certificate = Certificate {
        epoch: checkpoint.epoch,
        view: checkpoint.height.0 + 200,
        parent_view: checkpoint.height.0 + 199,
        digest: checkpoint.digest(),
        validators: keys.len() as u64,
        signatures: Vec::new(),
    };
    let message = finalize_message(namespace, &certificate.proposal());
    certificate.signatures =
        signers.iter().map(|index| (*index, keys[*index as usize].sign(&message).to_bytes())).collect();
    certificate
}

impl Ledger {
    pub fn new(name: &str, validators: usize) -> Ledger {
        let keys = validator_keys(0, validators);
        let genesis = genesis_json(name, &keys);
        let anchor = TrustAnchor::from_genesis_json(&genesis).expect("a genesis");
        Ledger {
            genesis,
            anchor,
            epochs: vec![keys],
            hand_overs: vec![],
            store: Store::default(),
            writer: TileWriter::new(),
            blocks: vec![],
            logged: vec![],
            next_count: 4,
            address_of: checkpoint_address,
        }
    }

    pub fn next_leaf(&self) -> LeafIndex {
        LeafIndex(self.writer.size())
    }

    /// Appends leaves of nothing in particular, to make the log long.
    pub fn pad(&mut self, leaves: u64) {
        let leaves: Vec<Hash> = (0..leaves).map(|n| sha256(&n.to_be_bytes())).collect();
        let tiles = self.writer.append(&leaves);
        self.store.put(tiles);
    }

    /// Makes a block of statements and verdicts; `last` ends the epoch and hands over to a new set.
    pub fn block(&mut self, statements: &[(Vec<u8>, DeviceKey)], verdicts: Vec<Verdict>, last: bool) {
        let height = self.blocks.len() as u64 + 1;
        let time_ms = START_MS + height * 1000;
        let mut leaves = Vec::new();
        for (bytes, key) in statements {
            let statement = Statement::parse_stored(bytes.clone()).expect("a statement");
            let leaf = StatementLeaf {
                statement_hash: sha256(bytes),
                signer: statement.signer(),
                origin: statement.origin(),
                key_fingerprint: key.fingerprint(),
                height: Height(height),
                time_ms,
            };
            let index = LeafIndex(self.writer.size() + leaves.len() as u64);
            self.logged.push(Logged { statement: bytes.clone(), key: *key, index, height });
            leaves.push(leaf.hash());
        }
        let tree = verdict_tree(&verdicts);
        let verdict_leaf =
            VerdictLeaf { height: Height(height), time_ms, count: verdicts.len() as u64, root: tree.root() };
        let verdict_leaf_index = LeafIndex(self.writer.size() + leaves.len() as u64);
        leaves.push(verdict_leaf.hash());
        let tiles = self.writer.append(&leaves);
        self.store.put(tiles);
        let epoch = self.epochs.len() as u64 - 1;
        let next = last.then(|| validator_keys(epoch as u8 + 1, self.next_count));
        let set = next.as_deref().map(|keys| self.set_of(keys));
        let checkpoint = Checkpoint {
            genesis_hash: self.anchor.genesis_hash,
            chain_id: CHAIN_ID,
            height: Height(height),
            epoch,
            parent_digest: self.blocks.last().map_or([0; 32], |block| block.checkpoint.digest()),
            time_ms,
            body_hash: sha256(b"body"),
            log_size: self.writer.size(),
            log_root: self.writer.root(),
            app_digest: sha256(b"application"),
            eth_block_hash: sha256(b"ethereum"),
            next_validators: set.as_ref().map(ValidatorSet::hash),
        };
        if let (Some(keys), Some(set)) = (next, set) {
            let certificate = self.certificate(&checkpoint);
            self.hand_overs.push(HandOver { checkpoint, certificate, validators: set.encode() });
            self.epochs.push(keys);
        }
        self.blocks.push(Block { checkpoint, verdict_leaf, verdict_leaf_index, verdicts });
    }

    pub fn set_of(&self, keys: &[ValidatorKey]) -> ValidatorSet {
        ValidatorSet::new(keys.iter().map(|key| (public(key), (self.address_of)(key)))).expect("a set")
    }

    /// By as few validators as may be: the last ones.
    pub fn certificate(&self, checkpoint: &Checkpoint) -> Certificate {
        let keys = &self.epochs[checkpoint.epoch as usize];
        let spare = keys.len() - validators(keys).quorum();
        let signers: Vec<u32> = (spare as u32..keys.len() as u32).collect();
        certify(checkpoint, &namespace(&self.anchor.genesis_hash), keys, &signers)
    }

    /// The receipt of the n-th statement under the checkpoint of `height`.
    pub fn receipt(&self, n: usize, height: u64) -> Receipt {
        let logged = &self.logged[n];
        let block = &self.blocks[logged.height as usize - 1];
        let checkpoint = self.blocks[height as usize - 1].checkpoint;
        let parts = ReceiptParts {
            statement: &logged.statement,
            cose_key: &logged.key.cose_key(),
            leaf_index: logged.index,
            verdict_leaf_index: block.verdict_leaf_index,
            verdict_leaf: block.verdict_leaf,
            block_verdicts: &block.verdicts,
            certificate: self.certificate(&checkpoint),
            hand_overs: self.hand_overs[..checkpoint.epoch as usize].to_vec(),
            checkpoint,
        };
        Receipt::build(parts, &self.store).expect("the store cannot fail")
    }
}

pub fn device(algorithm: Algorithm, seed: u8) -> SigningKey {
    SigningKey::from_secret_bytes(algorithm, &sha256(&[b"device".as_slice(), &[seed]].concat()))
        .expect("a key")
}

/// One temperature, as a small sensor would sign it.
pub fn reading(key: &SigningKey, counter: u32, celsius: f64) -> (Vec<u8>, DeviceKey) {
    let time = START_MS as i64 * 1000 + i64::from(counter) * 60_000_000;
    let bytes = StatementBuilder::new(key, Sequence::new(0, counter))
        .number("temperature", Some("Cel"), celsius, Some(time))
        .sign();
    (bytes.to_vec(), key.public())
}

/// What a model says of the given reading of a statement.
pub fn verdict(leaf: LeafIndex, statement: &[u8], record: u16, model: u64) -> Verdict {
    let statement = Statement::parse_stored(statement.to_vec()).expect("a statement");
    let reading = &statement.records()[usize::from(record)];
    let (time_us, _) = reading.time.resolve(statement.issued_at(), START_MS);
    Verdict {
        leaf,
        record,
        stream: reading.stream,
        model,
        class: triad_log::Assurance::Consensus,
        kind: triad_log::VerdictKind::Normal,
        score: triad_log::Score::from_ppm(0).expect("small"),
        time_ms: time_us.div_euclid(1000),
        value_e9: reading.number().and_then(triad_log::value_e9).unwrap_or(triad_log::DOES_NOT_FIT),
        reason: "".into(),
    }
}

/// Compares with a hex file in `tests/fixtures`; writes it where `TRIAD_WRITE_FIXTURES` is set.
pub fn assert_fixture(name: &str, bytes: &[u8]) {
    let path = fixture_path(name);
    if std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
        let lines: Vec<_> = bytes.chunks(48).map(hex::encode).collect();
        std::fs::write(&path, lines.join("\n") + "\n").expect("a writable folder");
    }
    assert_eq!(
        hex::encode(fixture(name)),
        hex::encode(bytes),
        "{name} is no longer what it was: a format changed"
    );
}

pub fn fixture(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(fixture_path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    hex::decode(text.split_whitespace().collect::<String>()).expect("hex")
}

pub fn fixture_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}
