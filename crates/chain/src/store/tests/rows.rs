//! Every row of the fixture decodes and is written again byte for byte.

use alloy_rlp::Encodable;
use triad_statement::{DeviceId, DeviceKey, StreamId};

use super::super::blocks::{encode_eth_block, eth_block, put_checkpoint, stored_checkpoint};
use super::super::index::{Pending, Rows as IndexRows, decode_verdicts, encode_verdicts, streams_of};
use super::*;
use crate::state::model::ModelState;
use crate::state::records::*;
use crate::state::{Reader as Cursor, Record, Writer};

pub(super) const GENESIS_HASH: &str = "4332150f324ec62528efc743bf2dc1b17d2760f079cd75b46fe3c5ba09cd15c3";
pub(super) const LAST_DIGEST: &str = "bceeda3294195bb21f9cd2cef82aa1b3c6ef6a6a692afc502737491713e05117";
pub(super) const LAST_LOG_ROOT: &str = "414ba3a877b5ecb279849cea6d31bf2077250223f22f7077d14bdd575e0066c8";
pub(super) const LAST_APP_DIGEST: &str = "1c82b20faef8702373dd7e8b9556b8795cfe24ad0a0c7f3bde6b1afb10230b23";
pub(super) const LAST_ETH_HASH: &str = "4d19c554b21525f906b3066a17c0ca499383155de84d0bf0f0deb4f2d2cf1a73";

/// Every keyspace of format 2; one that comes to them needs rows in the fixture.
const SPACES: [&str; 19] = [
    "blocks",
    "checkpoints",
    "eth_blocks",
    "eth_hashes",
    "eth_txs",
    "evm_accounts",
    "evm_code",
    "evm_hashes",
    "evm_nodes",
    "evm_past",
    "evm_storage",
    "index",
    "kept",
    "keys",
    "leaves",
    "meta",
    "state",
    "tiles",
    "verdicts",
];

fn space(name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    spec();
    let rows: Vec<_> = stored_rows()
        .into_iter()
        .filter(|((space, _), _)| space == name)
        .map(|((_, key), value)| (key, value))
        .collect();
    assert!(!rows.is_empty(), "no rows of {name}");
    rows
}

fn height(key: &[u8]) -> u64 {
    u64::from_be_bytes(key.try_into().unwrap())
}

#[test]
fn the_fixture_has_rows_of_every_keyspace() {
    spec();
    let mut names: Vec<String> = stored_rows().into_keys().map(|(space, _)| space).collect();
    names.dedup();
    assert_eq!(names, SPACES);
}

#[test]
fn checkpoints_and_what_is_kept_of_a_block() {
    for (key, value) in space("checkpoints") {
        let stored = stored_checkpoint(&value).unwrap();
        assert_eq!(stored.checkpoint.height.0, height(&key));
        assert_eq!(stored.certificate.is_some(), height(&key) > 0);
        assert_eq!(put_checkpoint(&stored.checkpoint, stored.certificate.as_deref()), value);
    }
    for (key, value) in space("blocks") {
        let block = Block::decode(value.into()).unwrap();
        assert_eq!(block.height(), height(&key));
    }
    for (key, value) in space("verdicts") {
        let verdicts = decode_verdicts(&value).unwrap();
        assert!(!verdicts.is_empty(), "block {}", height(&key));
        assert_eq!(encode_verdicts(&verdicts), value);
    }
    for (key, value) in space("tiles") {
        assert_eq!(key.len(), 9);
        assert_eq!(Tile::hashes_from_bytes(&value).unwrap().concat(), value);
    }
    for (_, value) in space("keys") {
        assert_eq!(DeviceKey::from_cose_key(&value).unwrap().cose_key(), value);
    }
}

#[test]
fn ethereum_blocks() {
    let (mut types, mut logs) = (std::collections::BTreeSet::new(), 0);
    for (key, value) in space("eth_blocks") {
        let block = eth_block(&value).unwrap();
        assert_eq!(block.header.number, height(&key));
        let mut header = Vec::new();
        block.header.encode(&mut header);
        assert_eq!(block.hash, alloy_primitives::keccak256(header));
        types.extend(block.receipts.iter().map(|r| r.tx_type));
        logs += block.receipts.iter().map(|r| r.logs.len()).sum::<usize>();
        assert_eq!(encode_eth_block(&block.header, &block.transactions, &block.receipts), value);
    }
    assert!(types.len() > 1 && logs > 5, "firings and transactions, with logs: {types:?}, {logs}");
}

/// Decodes a row's key and value and writes them again.
fn again<R: Record>(key: &[u8], value: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut name = Vec::new();
    R::write_key(&R::read_key(key).unwrap(), &mut name);
    let value = value.map(|value| {
        let mut out = Vec::new();
        R::decode(value).unwrap().encode(&mut out);
        out
    });
    (name, value)
}

fn row(table: u8, key: &[u8], value: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    match table {
        1 => again::<Device>(key, value),
        2 => again::<Window>(key, value),
        3 => again::<Opened>(key, value),
        4 => again::<Stream>(key, value),
        5 => again::<Latest>(key, value),
        6 => again::<Bindings>(key, value),
        7 => again::<Registration>(key, value),
        8 => again::<Watchers>(key, value),
        9 => again::<Deadline>(key, value),
        10 => again::<Queued>(key, value),
        11 => again::<Counter>(key, value),
        12 => again::<ModelState>(key, value),
        other => panic!("table {other} has no fixture"),
    }
}

/// Decodes changed rows and writes them again; the tables they are of.
fn changed_rows(value: &[u8]) -> (Vec<u8>, std::collections::BTreeSet<u8>) {
    let (mut out, mut tables) = (Vec::new(), std::collections::BTreeSet::new());
    let mut r = Cursor(value);
    while !r.0.is_empty() {
        let (table, n) = (r.u8().unwrap(), r.u16().unwrap());
        let key = r.raw(n.into()).unwrap();
        let present = r.u8().unwrap() == 1;
        let (key, value) = row(table, key, present.then(|| r.bytes().unwrap()));
        let mut w = Writer(&mut out);
        w.u8(table).u16(n).raw(&key).u8(value.is_some().into());
        if let Some(value) = &value {
            w.bytes(value);
        }
        tables.insert(table);
    }
    (out, tables)
}

#[test]
fn what_blocks_kept_row_by_row() {
    for (_, value) in space("kept") {
        assert_eq!(changed_rows(&value).0, value);
    }
}

/// Deltas are not stored, but the application digest chains them.
#[test]
fn deltas_row_by_row() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open_with(dir.path(), spec(), crate::HISTORY, false).unwrap();
    let mut tables = std::collections::BTreeSet::new();
    let mut digest = [0; 32];
    for (bytes, certificate) in blocks() {
        let block = Block::decode(bytes.clone()).unwrap();
        let open = ledger.parent(&block.checkpoint.parent_digest).unwrap();
        let Ok(executed) = ledger.execute_block(&open, &block) else { panic!("block {}", block.height()) };
        let delta = executed.tables.delta();
        let (again, some) = changed_rows(&delta);
        assert_eq!(again, delta);
        tables.extend(some);
        digest = crate::state::app_digest(&digest, &delta);
        assert_eq!(digest, block.checkpoint.app_digest);
        ledger.finalize(&bytes, Some(&certificate)).unwrap();
    }
    let all: Vec<u8> = tables.into_iter().collect();
    assert_eq!(all, (1..=11).collect::<Vec<u8>>(), "every table but the models', which deltas leave out");
}

#[test]
fn rows_of_the_application_state() {
    let mut tables = std::collections::BTreeSet::new();
    for (key, value) in space("state") {
        let (name, again) = row(key[0], &key[1..], Some(&value));
        assert_eq!((name.as_slice(), again.unwrap()), (&key[1..], value));
        tables.insert(key[0]);
    }
    assert!(tables.contains(&(TableId::Models as u8)) && tables.len() > 4, "{tables:?}");
}

/// Index chunks: what they say is read, gathered as after a restart, and flushed again at the height that is in their
/// key.
#[test]
fn chunks_of_the_index() {
    let rows = space("index");
    let dir = tempfile::tempdir().unwrap();
    let db = Database::builder(dir.path()).open().unwrap();
    let keyspace = |name| db.keyspace(name, KeyspaceCreateOptions::default).unwrap();
    let (old, new) = (keyspace("old"), keyspace("new"));
    let mut tags = Vec::new();
    for (key, value) in &rows {
        old.insert(key, value).unwrap();
        tags.push(key[0]);
        if key[0] == b'o' {
            // Written by the block that opened the stream, not in turn.
            new.insert(key, value).unwrap();
        }
    }
    tags.dedup();
    assert_eq!(tags, *b"orsv", "streams, readings, statements, verdicts");
    let disk = Pending::default();
    let mut found = IndexRows::default();
    for stream in 0..64 {
        let all = (i64::MIN, i64::MAX);
        found.readings.extend(disk.readings(&old, stream, all, None, usize::MAX).unwrap());
        found.verdicts.extend(disk.verdicts(&old, stream, (0, u64::MAX), None, usize::MAX).unwrap());
    }
    for (key, value) in &rows {
        let origin = || DeviceId(key[1..21].try_into().unwrap());
        match key[0] {
            b'o' => {
                let id = StreamId(value.as_slice().try_into().unwrap());
                assert!(streams_of(&old, &origin()).unwrap().contains(&id));
            }
            b's' => {
                let slot = height(&key[21..29]);
                for number in slot << 6..(slot + 1) << 6 {
                    found.statements.extend(disk.statement(&old, &origin(), number).unwrap());
                }
            }
            _ => {}
        }
    }
    // In order of arrival, as blocks bring them.
    found.statements.sort_by_key(|s| s.leaf);
    let pending = Pending::default();
    pending.add(&found, |_| true);
    let mut batch = db.batch();
    for height in 1..=blocks().len() as u64 {
        pending.flush(height, &new, &mut batch);
    }
    batch.commit().unwrap();
    let all = |space: &Keyspace| {
        let row = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().unwrap();
            (key.to_vec(), value.to_vec())
        };
        space.iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(all(&new), rows);
}
