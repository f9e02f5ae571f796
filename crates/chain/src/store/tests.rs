//! The stored formats are promises: a chain made once, kept as files, must replay to the very same roots and rows for
//! ever, and a store that holds those rows must open and answer.
//!
//! `tests/fixtures/` holds `genesis.json`, `blocks.txt` (a line a block: block, certificate) and `rows.txt` (a line a
//! row of the store after the last block: keyspace, key, value), all hexadecimal. `TRIAD_WRITE_FIXTURES=1` writes
//! `rows.txt` anew from the blocks: that says that the format has changed and must come with a new `FORMAT`. It makes
//! the blocks themselves only where there are none: a chain that exists is never made anew.

#![allow(clippy::unwrap_used)] // A test may panic.

mod damage;
mod make;
mod rows;
mod snapshots;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use triad_statement::{Algorithm, stream_id};

use super::*;
use crate::block::header_of;
use crate::{Block, ChainSpec, Judgement, Ledger, Reader};

/// (keyspace, key) → value, of a whole store.
type Rows = BTreeMap<(String, Vec<u8>), Vec<u8>>;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn write_wanted() -> bool {
    std::env::var_os("TRIAD_WRITE_FIXTURES").is_some()
}

fn spec() -> ChainSpec {
    if write_wanted() && !path("blocks.txt").exists() {
        make::chain();
    }
    ChainSpec::parse(&read("genesis.json")).unwrap()
}

fn blocks() -> Vec<(Bytes, Vec<u8>)> {
    let line = |line: &str| {
        let (block, certificate) = line.split_once(' ').unwrap();
        (Bytes::from(hex::decode(block).unwrap()), hex::decode(certificate).unwrap())
    };
    read("blocks.txt").lines().map(line).collect()
}

fn stored_rows() -> Rows {
    let line = |line: &str| {
        let mut parts = line.split(' ');
        let mut next = || parts.next().unwrap();
        let (space, key, value) = (next().to_owned(), next(), next());
        ((space, hex::decode(key).unwrap()), hex::decode(value).unwrap())
    };
    read("rows.txt").lines().map(line).collect()
}

fn dump(store: &Store) -> Rows {
    let mut rows = Rows::new();
    for name in store.db.list_keyspace_names() {
        let space = store.db.keyspace(&name, KeyspaceCreateOptions::default).unwrap();
        for guard in space.iter() {
            let (key, value) = guard.into_inner().unwrap();
            rows.insert((name.to_string(), key.to_vec()), value.to_vec());
        }
    }
    rows
}

fn replayed(dir: &Path) -> Ledger {
    let ledger = Ledger::open_with(dir, spec(), crate::HISTORY, false).unwrap();
    for (bytes, certificate) in blocks() {
        assert_eq!(ledger.check(&bytes, None).unwrap(), Judgement::Valid);
        ledger.finalize(&bytes, Some(&certificate)).unwrap();
    }
    ledger
}

#[test]
fn the_blocks_of_a_chain_decode_and_are_made_again_byte_for_byte() {
    let spec = spec();
    let mut parent = crate::start::genesis_block(&spec).unwrap().0;
    for (bytes, certificate) in blocks() {
        let block = Block::decode(bytes.clone()).unwrap();
        assert_eq!(header_of(&bytes).unwrap().digest, block.digest);
        let body = block.body.encode();
        assert_eq!(crate::Body::decode(&body).unwrap(), block.body);
        assert_eq!(Block::assemble(block.checkpoint, block.body.clone(), &body).bytes, bytes);
        assert_eq!((block.height(), block.checkpoint.parent_digest), (parent.height() + 1, parent.digest));
        let certificate = triad_log::Certificate::decode(&certificate).unwrap();
        assert_eq!(certificate.digest, block.digest);
        certificate.verify(&spec.namespace(), &spec.anchor.validators).unwrap();
        parent = block;
    }
    // Restated here, so that no change of the files goes unseen.
    assert_eq!(hex::encode(spec.hash), rows::GENESIS_HASH);
    assert_eq!(hex::encode(parent.digest), rows::LAST_DIGEST);
    assert_eq!(hex::encode(parent.checkpoint.log_root), rows::LAST_LOG_ROOT);
    assert_eq!(hex::encode(parent.checkpoint.app_digest), rows::LAST_APP_DIGEST);
    assert_eq!(hex::encode(parent.checkpoint.eth_block_hash), rows::LAST_ETH_HASH);
}

/// Determinism over time: every root of every block is in its checkpoint, and a replay must come to the same.
#[test]
fn the_chain_replays_to_its_roots_and_to_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = replayed(dir.path());
    let found = dump(&ledger.0.store);
    if write_wanted() {
        let line = |((space, key), value): (&(String, Vec<u8>), &Vec<u8>)| {
            format!("{space} {} {}\n", hex::encode(key), hex::encode(value))
        };
        fs::write(path("rows.txt"), found.iter().map(line).collect::<String>()).unwrap();
    }
    let expected = stored_rows();
    let spaces = |rows: &Rows| rows.keys().map(|(space, _)| space.clone()).collect::<Vec<_>>();
    for ((space, key), value) in &expected {
        let found = found.get(&(space.clone(), key.clone())).map(hex::encode);
        assert_eq!(found, Some(hex::encode(value)), "{space} {}", hex::encode(key));
    }
    assert_eq!(spaces(&found), spaces(&expected), "rows that the fixture does not have");
}

#[test]
fn a_store_written_long_ago_opens_answers_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec();
    {
        let store = Store::open(dir.path(), &spec.hash).unwrap();
        let mut batch = store.db.batch();
        for ((space, key), value) in stored_rows() {
            let space = store.db.keyspace(&space, KeyspaceCreateOptions::default).unwrap();
            batch.insert(&space, key, value);
        }
        batch.commit().unwrap();
    }
    let twin = tempfile::tempdir().unwrap();
    let (old, new) = (Ledger::open(dir.path(), spec).unwrap(), replayed(twin.path()));
    let (old, new) = (Reader::new(old), Reader::new(new));
    assert_eq!(old.tip(), new.tip());
    let device = make::key(Algorithm::EdDsa).public().id();
    let stream = stream_id(device, "s3");
    let readings = |r: &Reader| r.readings(&stream, (i64::MIN, i64::MAX), None, 100).unwrap().unwrap().items;
    let verdicts = |r: &Reader| r.verdicts(&stream, (0, u64::MAX), None, 100).unwrap().unwrap().items;
    assert!(readings(&old).len() > 2 && verdicts(&old).len() > 2);
    assert_eq!(readings(&old), readings(&new));
    assert_eq!(verdicts(&old), verdicts(&new));
    let size = old.tip().0.log_size;
    let mut statements = 0;
    for leaf in 0..size {
        let statement = old.statement(leaf).unwrap().map(|s| s.statement.bytes().clone());
        assert_eq!(statement, new.statement(leaf).unwrap().map(|s| s.statement.bytes().clone()));
        if statement.is_some() {
            let receipt = old.receipt(leaf).unwrap().encode();
            assert_eq!(receipt, new.receipt(leaf).unwrap().encode());
            triad_log::Receipt::decode(&receipt).unwrap().verify(&old.spec().anchor).unwrap();
            statements += 1;
        }
    }
    assert!(statements > 10, "{statements}");
    let addresses = [triad_evm::DEVICE_REGISTRY, crate::testing::wallet(1).address()];
    for address in addresses {
        assert_eq!(old.account(&address).unwrap(), new.account(&address).unwrap());
    }
}

#[test]
fn a_genesis_of_another_spelling_version_or_with_unknown_members_is_refused() {
    spec();
    let text = read("genesis.json");
    assert_eq!(ChainSpec::parse(&text).unwrap().to_json(), text);
    let refused = |text: String| ChainSpec::parse(&text).unwrap_err();
    assert_eq!(
        refused(text.replacen("\"version\": 1", "\"version\": 2", 1)),
        crate::GenesisError::Version(2)
    );
    let member = text.replacen("\"version\"", "\"shard\": 1,\n  \"version\"", 1);
    assert!(matches!(refused(member), crate::GenesisError::Malformed(_)));
    let rule = text.replacen("\"v1\"", "\"v9\"", 1);
    assert_eq!(refused(rule), crate::GenesisError::UnknownRule("v9".into()));
}
