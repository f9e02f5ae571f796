//! Every byte format, byte for byte: a change here is a change of what was promised for decades.
//!
//! `TRIAD_WRITE_FIXTURES=1` writes the files anew.

mod common;

use common::*;
use triad_log::{
    Assurance, Certificate, Checkpoint, DOES_NOT_FIT, Frontier, Height, LeafIndex, Receipt, Score,
    StatementLeaf, TrustAnchor, ValidatorSet, ValidatorsError, Verdict, VerdictKind, VerdictLeaf,
    canonical_json, leaf_hash, namespace, sha256,
};
use triad_statement::{Algorithm, DeviceId, Sequence, Statement, StatementBuilder, StreamId};

fn count(from: u8) -> [u8; 32] {
    std::array::from_fn(|n| from + n as u8)
}

#[test]
fn statement_leaf() {
    let leaf = StatementLeaf {
        statement_hash: count(0),
        signer: DeviceId([0xaa; 20]),
        origin: DeviceId([0xbb; 20]),
        key_fingerprint: count(32),
        height: Height(7),
        time_ms: START_MS,
    };
    assert_fixture("statement-leaf.hex", &leaf.encode());
    assert_eq!(StatementLeaf::decode(&leaf.encode()), Ok(leaf));
    assert_eq!(leaf.hash(), leaf_hash(&leaf.encode()));
}

#[test]
fn verdict_leaf() {
    let leaf = VerdictLeaf { height: Height(7), time_ms: START_MS, count: 300, root: count(64) };
    assert_fixture("verdict-leaf.hex", &leaf.encode());
    assert_eq!(VerdictLeaf::decode(&leaf.encode()), Ok(leaf));
    let empty = VerdictLeaf::empty(Height(0), 0);
    assert_fixture("verdict-leaf-empty.hex", &empty.encode());
    assert_eq!(VerdictLeaf::decode(&empty.encode()), Ok(empty));
    assert!(StatementLeaf::decode(&empty.encode()).is_err(), "one is never the other");
}

#[test]
fn verdicts() {
    let full = Verdict {
        leaf: LeafIndex(1_000_000),
        record: 31,
        stream: StreamId(count(96)),
        model: 1002,
        class: Assurance::Consensus,
        kind: VerdictKind::Anomaly,
        score: Score::from_ppm(934_210).expect("small"),
        time_ms: START_MS as i64,
        value_e9: -21_700_000_000,
        reason: "not seen in 400 readings: −21.7 Cel".into(),
    };
    assert_fixture("verdict.hex", &full.encode());
    let plain = Verdict {
        leaf: LeafIndex(0),
        record: 0,
        model: 0,
        class: Assurance::Attested,
        kind: VerdictKind::Normal,
        score: Score::default(),
        time_ms: -1,
        value_e9: DOES_NOT_FIT,
        reason: "".into(),
        ..full.clone()
    };
    assert_fixture("verdict-plain.hex", &plain.encode());
    assert_eq!(plain.value(), None);
    for verdict in [full, plain] {
        assert_eq!(Verdict::decode(&verdict.encode()), Ok(verdict));
    }
}

#[test]
fn verdict_kinds_keep_their_numbers() {
    let names: Vec<_> = VerdictKind::ALL.map(VerdictKind::name).to_vec();
    let expected = "normal low high duration mkt back-in-range silent resumed anomaly late learning forecast \
                    off-forecast expected-low expected-high remaining-life failure-risk estimate";
    assert_eq!(names.join(" "), expected);
    for (number, kind) in (0..).zip(VerdictKind::ALL) {
        assert_eq!((kind.as_u8(), VerdictKind::from_u8(number)), (number, Some(kind)));
    }
    assert_eq!(VerdictKind::from_u8(18), None);
    assert_eq!(
        [0, 1, 2].map(Assurance::from_u8),
        [Some(Assurance::Consensus), Some(Assurance::Attested), None]
    );
}

#[test]
fn checkpoints() {
    let checkpoint = Checkpoint {
        genesis_hash: count(0),
        chain_id: CHAIN_ID,
        height: Height(42),
        epoch: 0,
        parent_digest: count(1),
        time_ms: START_MS,
        body_hash: count(2),
        log_size: 1_000_000,
        log_root: count(3),
        app_digest: count(4),
        eth_block_hash: count(5),
        next_validators: None,
    };
    assert_fixture("checkpoint.hex", &checkpoint.encode());
    let last = Checkpoint { epoch: 3, next_validators: Some(count(6)), ..checkpoint };
    assert_fixture("checkpoint-last-of-epoch.hex", &last.encode());
    for checkpoint in [checkpoint, last] {
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
        assert_eq!(checkpoint.digest(), sha256(&checkpoint.encode()));
    }
}

#[test]
fn certificates() {
    let checkpoint = Checkpoint::decode(&fixture("checkpoint.hex")).expect("a checkpoint");
    let names = namespace(&checkpoint.genesis_hash);
    for (name, count, signers) in [
        ("certificate-1.hex", 1, &[0][..]),
        ("certificate-4.hex", 4, &[0, 2, 3]),
        ("certificate-9.hex", 9, &[0, 1, 3, 4, 5, 7, 8]),
    ] {
        let keys = validator_keys(0, count);
        let certificate = certify(&checkpoint, &names, &keys, signers);
        assert_fixture(name, &certificate.encode());
        assert_eq!(Certificate::decode(&certificate.encode()).as_ref(), Ok(&certificate));
        let found = certificate.verify(&names, &validators(&keys)).expect("a quorum");
        assert_eq!(found, signers.iter().map(|index| *index as usize).collect::<Vec<_>>());
    }
}

/// Made by commonware-consensus 2026.10.0 itself (`Finalization::from_finalizes` under the ed25519 scheme, namespace
/// "triad" ‖ 32 × 0x07, digest 00 01 … 1f, keys as `validator_keys` makes them).
#[test]
fn certificates_of_the_consensus_engine_are_read_and_hold() {
    let names = namespace(&[7; 32]);
    for (name, count, epoch, view, parent_view, signers) in [
        ("commonware-1.hex", 1, 0, 1, 0, &[0][..]),
        ("commonware-4.hex", 4, 3, 300, 298, &[0, 1, 3]),
        ("commonware-10.hex", 10, 0, u64::MAX, u64::MAX - 1, &[0, 1, 2, 4, 5, 7, 9]),
    ] {
        let bytes = fixture(name);
        let certificate = Certificate::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(certificate.encode(), bytes);
        assert_eq!(
            (certificate.epoch, certificate.view, certificate.parent_view),
            (epoch, view, parent_view)
        );
        assert_eq!(certificate.digest, self::count(0));
        let set = validators(&validator_keys(0, count));
        let found = certificate.verify(&names, &set).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found, signers);
        assert!(certificate.verify(&namespace(&[8; 32]), &set).is_err());
    }
}

#[test]
fn frontiers_and_validators() {
    let mut frontier = Frontier::new();
    assert_fixture("frontier-empty.hex", &frontier.encode());
    frontier.extend((0..11).map(|n| leaf_hash(&[n])));
    assert_fixture("frontier-11.hex", &frontier.encode());
    assert_eq!(Frontier::decode(&fixture("frontier-11.hex")), Ok(frontier));
    let keys = validator_keys(0, 4);
    let set = validator_set(&keys);
    assert_fixture("validators-4.hex", &set.encode());
    assert_eq!(ValidatorSet::decode(&set.encode()), Ok(set.clone()));
    assert_eq!(set.hash(), sha256(&fixture("validators-4.hex")));
    assert_eq!((set.consensus(), set.addresses().len()), (&validators(&keys), 4));
    for (key, address) in set.consensus().keys().iter().zip(set.addresses()) {
        let owner = keys.iter().find(|k| public(k) == *key).expect("one of them");
        assert_eq!(*address, checkpoint_address(owner));
    }
    assert_eq!(
        (1..=10).map(|n| validators(&validator_keys(0, n)).quorum()).collect::<Vec<_>>(),
        [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]
    );
}

#[test]
fn validator_sets_that_could_give_a_key_two_votes_are_refused() {
    let keys = validator_keys(0, 2);
    let row = |n: usize, address: u8| (public(&keys[n]), [address; 20]);
    assert_eq!(ValidatorSet::new([row(0, 1), row(1, 1)]), Err(ValidatorsError::DuplicateAddress([1; 20])));
    assert_eq!(ValidatorSet::new([row(0, 0), row(1, 1)]), Err(ValidatorsError::ZeroAddress));
    assert_eq!(ValidatorSet::new([row(0, 1), row(0, 2)]), Err(ValidatorsError::Duplicate(public(&keys[0]))));
    assert_eq!(ValidatorSet::new([]), Err(ValidatorsError::Count(0)));
    let good = validator_set(&keys).encode();
    let mut version = good.clone();
    version[0] = 1;
    let bare: Vec<u8> = keys.iter().flat_map(public).collect();
    for bad in [&version[..], &good[1..], &good[..good.len() - 1], &bare, &[]] {
        assert!(ValidatorSet::decode(bad).is_err(), "{}", hex::encode(bad));
    }
}

#[test]
fn genesis_hash() {
    let text = genesis_json("fixture", &validator_keys(0, 4));
    let path = fixture_path("genesis.json");
    if std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, &text).expect("a writable folder");
    }
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some(text.as_str()));
    let anchor = TrustAnchor::from_genesis_json(&text).expect("a genesis");
    assert_fixture("genesis-hash.hex", &anchor.genesis_hash);
    let canonical = canonical_json(&text).expect("canonical");
    assert_eq!(TrustAnchor::from_genesis_json(&canonical), Ok(anchor));
    for broken in [
        "{}".to_owned(),
        text.replace("7357", "\"7357\""),
        text.replace("7357", "-1"),
        text.replace("0x", ""),
        text.replacen("0x", "0xzz", 1),
        genesis_json("none", &[]),
        text.replace("\"name\"", "\"chain_id\""),
    ] {
        assert!(TrustAnchor::from_genesis_json(&broken).is_err(), "{broken}");
    }
}

/// The ledger of the receipt fixtures, whose genesis is `genesis.json`.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new("fixture", 4);
    let sensor = device(Algorithm::EdDsa, 1);
    let meter = device(Algorithm::Es256k, 2);
    let lock = device(Algorithm::Es256, 3);
    let spoken_for = DeviceId([0x5e; 20]);
    ledger.pad(1000);
    let first = ledger.next_leaf().0;
    let plain: Vec<_> = (0..4).map(|n| reading(&sensor, n, 20.5 + f64::from(n))).collect();
    let mut verdicts: Vec<_> =
        (0..4).map(|n| verdict(LeafIndex(first + n), &plain[n as usize].0, 0, 0)).collect();
    verdicts[2].kind = VerdictKind::High;
    verdicts[2].score = Score::from_ppm(250_000).expect("small");
    verdicts[2].reason = "22.5 Cel is above 22 Cel".into();
    let mut second = verdicts[2].clone();
    second.model = 1001;
    second.kind = VerdictKind::Learning;
    verdicts.insert(3, second);
    ledger.block(&plain, verdicts, false);
    // P-256 signatures differ each time, so this statement is a fixture itself.
    if std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() && !fixture_path("statement-es256.hex").exists() {
        let bytes = StatementBuilder::new(&lock, Sequence::new(2, 5))
            .iat(START_MS as i64 * 1000 + 500_000)
            .bool("open", true, None)
            .data("tag", b"\x01\x02", None)
            .sign();
        assert_fixture("statement-es256.hex", &bytes);
    }
    let gateway = StatementBuilder::new(&meter, Sequence::new(0, 9))
        .on_behalf_of(spoken_for)
        .number("energy", Some("J"), 3.6e6, None)
        .text("state", "ok", None)
        .sign();
    let encrypted = StatementBuilder::new(&sensor, Sequence::new(0, 10))
        .payload(16, hex::decode("d08343a10101a1054c000102030405060708090a0b4401020304").expect("hex"))
        .sign();
    let block = [
        (fixture("statement-es256.hex"), lock.public()),
        (gateway.to_vec(), meter.public()),
        (encrypted.to_vec(), sensor.public()),
    ];
    ledger.block(&block, vec![], false);
    ledger.block(&[reading(&sensor, 11, 19.0)], vec![], true);
    ledger.block(&[reading(&sensor, 12, 19.5)], vec![], false);
    ledger
}

#[test]
fn receipts() {
    let ledger = ledger();
    for (name, statement, height) in [
        ("receipt-judged.hex", 2, 1),
        ("receipt-first-of-block.hex", 0, 2),
        ("receipt-es256.hex", 4, 3),
        ("receipt-gateway-es256k.hex", 5, 2),
        ("receipt-encrypted.hex", 6, 2),
        ("receipt-hand-over.hex", 8, 4),
    ] {
        let receipt = ledger.receipt(statement, height);
        assert_fixture(name, &receipt.encode());
        let report = Receipt::verify_bytes(&fixture(name), &ledger.anchor).expect("it holds");
        println!("{name}: {} bytes\n{report}", fixture(name).len());
    }
    let lock = Statement::parse_stored(fixture("statement-es256.hex")).expect("stored form");
    assert_eq!(lock.algorithm(), Algorithm::Es256);
}
