//! What receipts prove, and every way we know to make one prove what is not so.

mod common;

use common::*;
use triad_log::{
    Certificate, CertificateError, LeafIndex, Receipt, Signed, TrustAnchor, Verdict, VerdictKind,
    VerdictLeaf, VerifyError, finalize_message, namespace, verdict_tree,
};
use triad_statement::{Algorithm, DeviceKey, Sequence, StatementBuilder};

/// Four validators, three blocks: 5 statements with verdicts on the second (two) and the fourth; 2 statements without
/// any; 3 statements, each judged.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new("receipts", 4);
    let sensor = device(Algorithm::EdDsa, 1);
    let statements: Vec<_> = (0..10).map(|n| reading(&sensor, n, 20.0 + f64::from(n))).collect();
    ledger.pad(100);
    let first = ledger.next_leaf().0;
    let on = |n: usize, leaf: u64, model| verdict(LeafIndex(leaf), &statements[n].0, 0, model);
    let mut high = on(1, first + 1, 7);
    high.kind = VerdictKind::High;
    high.reason = "21 Cel is over 20.5 Cel".into();
    let verdicts = vec![on(1, first + 1, 3), high, on(3, first + 3, 3)];
    ledger.block(&statements[..5], verdicts, false);
    ledger.block(&statements[5..7], vec![], false);
    let third = ledger.next_leaf().0;
    let verdicts = (0..3).map(|n| on(7 + n, third + n as u64, 3)).collect();
    ledger.block(&statements[7..], verdicts, false);
    ledger
}

fn proves(ledger: &Ledger, receipt: &Receipt) -> triad_log::Report {
    let bytes = receipt.encode();
    assert_eq!(Receipt::decode(&bytes).as_ref(), Ok(receipt));
    Receipt::verify_bytes(&bytes, &ledger.anchor).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(ledger: &Ledger, receipt: &Receipt) -> VerifyError {
    match Receipt::verify_bytes(&receipt.encode(), &ledger.anchor) {
        Err(error) => error,
        Ok(report) => panic!("it passed:\n{report}"),
    }
}

#[test]
fn every_statement_is_proved_under_every_later_checkpoint() {
    let ledger = ledger();
    for (n, logged) in ledger.logged.iter().enumerate() {
        for height in logged.height..=3 {
            let report = proves(&ledger, &ledger.receipt(n, height));
            assert_eq!(report.logged.leaf, logged.index);
            assert_eq!(report.logged.height.0, logged.height);
            assert_eq!(report.finality.height.0, height);
            assert_eq!((report.finality.signed_by.len(), report.finality.validators), (3, 4));
            assert_eq!(report.statement.readings[0].value, triad_log::ValueReport::Number(20.0 + n as f64));
            let expected = [0, 2, 0, 1, 0, 0, 0, 1, 1, 1][n];
            assert_eq!((report.verdicts.len(), report.judged), (expected, expected > 0), "{n}");
        }
    }
}

#[test]
fn a_report_says_it_in_plain_words() {
    let ledger = ledger();
    let judged = proves(&ledger, &ledger.receipt(1, 2)).to_string();
    let key = ledger.logged[1].key;
    for words in [
        format!("device {} (EdDSA), device-signed", key.id()),
        "temperature = 21 Cel at 2026-01-01T00:01:00Z (device-clock)".into(),
        "leaf 101 in block 1, 2026-01-01T00:00:01Z".into(),
        "reading 0 (temperature, 21 at 2026-01-01T00:01:00Z): above its upper limit".into(),
        "score 0.000000, by model 7 (consensus)".into(),
        "21 Cel is over 20.5 Cel".into(),
        "by block 2 of 2026-01-01T00:00:02Z: 3 of 4 validators signed (3 must), epoch 0".into(),
        format!("validator 0x{}", hex::encode(public(&ledger.epochs[0][3]))),
        format!("7357, genesis 0x{}", hex::encode(ledger.anchor.genesis_hash)),
    ] {
        assert!(judged.contains(&words), "{words:?} is missing in:\n{judged}");
    }
    let not_judged = proves(&ledger, &ledger.receipt(2, 1)).to_string();
    assert!(not_judged.contains("not judged: of the 3 verdicts of block 1 none is on it"), "{not_judged}");
    let json = serde_json::to_value(proves(&ledger, &ledger.receipt(1, 2))).expect("json");
    assert_eq!(json["verdicts"][1]["kind"], "high");
    assert_eq!(json["statement"]["readings"][0]["value"], 21.0);
    assert_eq!(json["statement"]["signed"], "device-signed");
}

#[test]
fn a_gateway_signs_for_a_sensor_and_it_shows() {
    let mut ledger = Ledger::new("gateway", 1);
    let gateway = device(Algorithm::Es256k, 2);
    let sensor = device(Algorithm::EdDsa, 3).public().id();
    let bytes = StatementBuilder::new(&gateway, Sequence::new(1, 2))
        .iat(START_MS as i64 * 1000)
        .on_behalf_of(sensor)
        .number("humidity", Some("%RH"), 45.5, None)
        .text("state", "fine\u{1b}[2J", None)
        .sign()
        .to_vec();
    ledger.block(&[(bytes, gateway.public())], vec![], false);
    let report = proves(&ledger, &ledger.receipt(0, 1));
    assert_eq!(report.statement.signed, Signed::GatewaySigned);
    assert_eq!(report.statement.origin, sensor);
    assert_eq!(report.statement.signer, gateway.public().id());
    assert_eq!((report.statement.sequence_epoch, report.statement.sequence_counter), (1, 2));
    let text = report.to_string();
    assert!(
        text.contains("gateway-signed") && text.contains(&format!("For          device {sensor}")),
        "{text}"
    );
    assert!(text.contains("issued 2026-01-01T00:00:00Z") && text.contains("(issued-at)"), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains("fine\\u{1b}[2J"), "terminals stay unharmed: {text}");
}

#[test]
fn a_rotated_key_is_told_apart() {
    let mut ledger = Ledger::new("rotated", 1);
    let (old, new) = (device(Algorithm::EdDsa, 4).public(), device(Algorithm::EdDsa, 5));
    let bytes = StatementBuilder::new(&new, Sequence::new(0, 1))
        .kid(old.id())
        .number("temperature", Some("Cel"), 4.0, None)
        .sign();
    ledger.block(&[(bytes.to_vec(), new.public())], vec![], false);
    let receipt = ledger.receipt(0, 1);
    let report = proves(&ledger, &receipt);
    assert_eq!(report.statement.signer, old.id());
    assert!(!report.statement.key_made_the_id);
    // The old key did not sign it, and the log says which one did.
    let mut forged = receipt;
    forged.cose_key = old.cose_key();
    assert!(matches!(refusal(&ledger, &forged), VerifyError::NotInLog { .. }));
}

#[test]
fn hidden_content_is_proved_without_being_seen() {
    let mut ledger = Ledger::new("hidden", 1);
    let key = device(Algorithm::EdDsa, 6);
    // COSE_Encrypt0 of nothing in particular.
    let cipher = StatementBuilder::new(&key, Sequence::new(0, 1))
        .payload(16, hex::decode("d08343a10101a1054c000102030405060708090a0b4401020304").expect("hex"))
        .sign();
    ledger.block(&[(cipher.to_vec(), key.public())], vec![], false);
    let report = proves(&ledger, &ledger.receipt(0, 1));
    assert_eq!((report.statement.content, report.statement.readings.len()), ("encrypted", 0));
    assert!(report.to_string().contains("encrypted"));
}

#[test]
fn validators_come_down_from_genesis_by_hand_overs() {
    let mut ledger = Ledger::new("hand-overs", 4);
    let sensor = device(Algorithm::EdDsa, 1);
    for n in 0..3 {
        ledger.block(&[reading(&sensor, n, 1.0)], vec![], n < 2);
    }
    for n in 0..3u64 {
        for height in n + 1..=3 {
            let report = proves(&ledger, &ledger.receipt(n as usize, height));
            assert_eq!(report.finality.epoch, height - 1);
        }
    }
    let good = ledger.receipt(0, 3);
    // Whoever wrote the end of an epoch down believes receipts that go through it, and no older ones.
    let trusted = good.hand_overs[1].checkpoint.digest();
    assert!(good.verify_trusting(&ledger.anchor, &trusted).is_ok());
    assert!(good.verify_trusting(&ledger.anchor, &good.checkpoint.digest()).is_ok());
    let older = ledger.receipt(0, 1).verify_trusting(&ledger.anchor, &trusted);
    assert_eq!(older.unwrap_err(), VerifyError::NotUnderTrusted { trusted, epoch: 0 });
    let mut missing = good.clone();
    missing.hand_overs.pop();
    assert!(matches!(refusal(&ledger, &missing), VerifyError::Epoch { epoch: 2, reached: 1, .. }));
    let mut twice = good.clone();
    twice.hand_overs.insert(1, good.hand_overs[0].clone());
    assert!(matches!(refusal(&ledger, &twice), VerifyError::Epoch { .. }));
    let mut spare = ledger.receipt(0, 1);
    spare.hand_overs = good.hand_overs[..1].to_vec();
    assert!(matches!(refusal(&ledger, &spare), VerifyError::Epoch { .. }));
    let mut usurped = good.clone();
    usurped.hand_overs[1].validators = validator_set(&validator_keys(9, 4)).encode();
    assert_eq!(refusal(&ledger, &usurped), VerifyError::HandOver { epoch: 1 });
    let mut unordered = good.clone();
    unordered.hand_overs[1].validators[1..].rotate_left(52);
    assert!(matches!(refusal(&ledger, &unordered), VerifyError::NextValidators { epoch: 1, .. }));
    let mut uncertified = good;
    uncertified.hand_overs[0].certificate.signatures[0].1[5] ^= 1;
    assert!(matches!(refusal(&ledger, &uncertified), VerifyError::NotFinal { .. }));
}

#[test]
fn no_verdict_can_be_left_out() {
    let ledger = ledger();
    let block = &ledger.blocks[0];
    let tree = verdict_tree(&block.verdicts);
    // All stretches of the block's three verdicts, each with its true proof.
    for n in 0..5 {
        let honest = ledger.receipt(n, 1);
        for begin in 0..=3usize {
            for end in begin..=3 {
                let mut receipt = honest.clone();
                receipt.first_verdict = begin as u64;
                receipt.verdicts = block.verdicts[begin..end].to_vec();
                receipt.verdict_proof =
                    tree.subset_proof(&(begin as u64..end as u64).collect::<Vec<_>>()).expect("inside");
                if receipt == honest {
                    proves(&ledger, &receipt);
                } else {
                    assert!(
                        matches!(refusal(&ledger, &receipt), VerifyError::Incomplete(_)),
                        "{n} {begin}..{end}"
                    );
                }
            }
        }
    }
}

#[test]
fn neighbours_and_proofs_cannot_be_replaced() {
    let ledger = ledger();
    let honest = ledger.receipt(2, 1); // not judged: neighbours on both sides
    assert_eq!(honest.verdicts.len(), 2);
    let wrong = |change: &dyn Fn(&mut Receipt)| {
        let mut receipt = honest.clone();
        change(&mut receipt);
        assert!(matches!(refusal(&ledger, &receipt), VerifyError::Verdicts { .. }));
    };
    wrong(&|r| r.verdicts[0].leaf = LeafIndex(100));
    wrong(&|r| r.verdicts.swap(0, 1));
    wrong(&|r| r.first_verdict = 0);
    wrong(&|r| r.first_verdict = 2);
    wrong(&|r| r.first_verdict = u64::MAX);
    wrong(&|r| r.verdicts.truncate(1));
    wrong(&|r| r.verdict_proof.truncate(0));
    wrong(&|r| r.verdict_proof.push([0; 32]));
    wrong(&|r| r.verdicts[1].reason = "another".into());
    wrong(&|r| {
        // A neighbour of another block, where it is a true one.
        r.verdicts = ledger.receipt(8, 3).verdicts;
    });
}

#[test]
fn the_verdict_leaf_is_that_of_the_statements_block() {
    let ledger = ledger();
    let judged = ledger.receipt(1, 3);
    // Block 2 gave no verdicts: with its leaf the statement would look not judged.
    let other = ledger.receipt(5, 3);
    let mut receipt = judged.clone();
    receipt.verdict_leaf = other.verdict_leaf;
    receipt.verdict_leaf_index = other.verdict_leaf_index;
    let log = triad_log::TileLog::new(&ledger.store, receipt.checkpoint.log_size);
    receipt.log_proof =
        log.subset_proof(&[receipt.leaf_index.0, receipt.verdict_leaf_index.0]).expect("inside the log");
    (receipt.first_verdict, receipt.verdicts, receipt.verdict_proof) = (0, vec![], vec![]);
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::NotInLog { .. }));
    // An invented one is not in the log.
    let mut receipt = judged.clone();
    receipt.verdict_leaf = VerdictLeaf::empty(judged.verdict_leaf.height, judged.verdict_leaf.time_ms);
    (receipt.first_verdict, receipt.verdicts, receipt.verdict_proof) = (0, vec![], vec![]);
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::NotInLog { .. }));
    // Indices that cannot be.
    for (leaf, verdict_leaf) in [(105, 101), (101, 101), (101, 1000), (u64::MAX, u64::MAX)] {
        let mut receipt = judged.clone();
        (receipt.leaf_index, receipt.verdict_leaf_index) = (LeafIndex(leaf), LeafIndex(verdict_leaf));
        assert!(matches!(refusal(&ledger, &receipt), VerifyError::Indices { .. }));
    }
    // Another leaf of the same block.
    let mut receipt = judged.clone();
    receipt.leaf_index.0 += 1;
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::NotInLog { .. }));
    // A checkpoint below the statement's block.
    let mut receipt = ledger.receipt(7, 3);
    receipt.checkpoint = ledger.blocks[1].checkpoint;
    receipt.certificate = ledger.certificate(&receipt.checkpoint);
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::Contradiction { .. }));
    // A block whose time is that of another.
    let mut receipt = judged;
    receipt.verdict_leaf.time_ms += 10_000;
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::Contradiction { .. }));
}

#[test]
fn what_was_signed_cannot_be_exchanged() {
    let ledger = ledger();
    let honest = ledger.receipt(1, 3);
    // Another statement of the same device, truly signed, truly in the log, elsewhere.
    let mut receipt = honest.clone();
    receipt.statement = ledger.logged[2].statement.clone();
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::NotInLog { .. }));
    // A key that did not sign.
    let mut receipt = honest.clone();
    receipt.cose_key = device(Algorithm::EdDsa, 99).public().cose_key();
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::NotInLog { .. }));
    let mut receipt = honest;
    receipt.cose_key.pop();
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::Key(_)));
}

/// Validators that log what was never signed are a quorum gone bad: the receipt still shows no device signature.
#[test]
fn a_bad_device_signature_is_no_proof_even_if_it_was_made_final() {
    let mut ledger = Ledger::new("bad quorum", 4);
    let key = device(Algorithm::EdDsa, 1);
    let (mut bytes, public): (Vec<u8>, DeviceKey) = reading(&key, 1, 2.0);
    let last = bytes.len() - 1;
    bytes[last - 40] ^= 1;
    ledger.block(&[(bytes, public)], vec![], false);
    assert_eq!(refusal(&ledger, &ledger.receipt(0, 1)), VerifyError::Signature);
}

#[test]
fn finality_needs_a_quorum_of_the_right_validators_on_the_right_chain() {
    let ledger = ledger();
    let honest = ledger.receipt(1, 3);
    let keys = &ledger.epochs[0];
    let here = namespace(&ledger.anchor.genesis_hash);
    let with = |certificate: Certificate| {
        let mut receipt = honest.clone();
        receipt.certificate = certificate;
        receipt
    };
    let why = |certificate: Certificate| match refusal(&ledger, &with(certificate)) {
        VerifyError::NotFinal { error, .. } => error,
        other => panic!("{other}"),
    };
    // Any three of four will do, and all four.
    for signers in [&[0, 1, 2][..], &[0, 1, 3], &[0, 2, 3], &[1, 2, 3], &[0, 1, 2, 3]] {
        let report = proves(&ledger, &with(certify(&honest.checkpoint, &here, keys, signers)));
        assert_eq!(report.finality.signed_by.len(), signers.len());
    }
    for signers in [&[0][..], &[0, 3], &[1, 2]] {
        let error = why(certify(&honest.checkpoint, &here, keys, signers));
        assert_eq!(error, CertificateError::NoQuorum { quorum: 3, found: signers.len(), of: 4 });
    }
    // Another set of the same size; a set of another size.
    let others = validator_keys(9, 4);
    assert!(matches!(
        why(certify(&honest.checkpoint, &here, &others, &[0, 1, 2])),
        CertificateError::Signature { index: 0, .. }
    ));
    assert_eq!(
        why(certify(&honest.checkpoint, &here, &keys[..1], &[0])),
        CertificateError::WrongSet { expected: 4, found: 1 }
    );
    // One signature three times over: written as it must be, each stands for a validator who did not make it.
    let mut repeated = certify(&honest.checkpoint, &here, keys, &[0, 1, 2]);
    (repeated.signatures[1].1, repeated.signatures[2].1) =
        (repeated.signatures[0].1, repeated.signatures[0].1);
    assert!(matches!(why(repeated.clone()), CertificateError::Signature { index: 1, .. }));
    // The same signer three times cannot even be written, and is refused when it never was bytes.
    repeated.signatures = vec![repeated.signatures[0]; 3];
    assert!(repeated.verify(&here, &ledger.anchor.validators).is_err());
    assert!(Certificate::decode(&repeated.encode()).is_err());
    // Of another chain with the same validators; of another step of consensus.
    let elsewhere = certify(&honest.checkpoint, &namespace(&[7; 32]), keys, &[0, 1, 2]);
    assert!(matches!(why(elsewhere), CertificateError::Signature { .. }));
    let mut notarized = honest.certificate.clone();
    let message = finalize_message(&here, &notarized.proposal());
    let message = [&[message[0] + 1], &message[1..message.len() - notarized.proposal().len() - 9]].concat();
    let message = [&message, b"_NOTARIZE".as_slice(), &notarized.proposal()].concat();
    for (index, signature) in &mut notarized.signatures {
        *signature = keys[*index as usize].sign(&message).to_bytes();
    }
    assert!(matches!(why(notarized), CertificateError::Signature { .. }));
    // Of another block, another epoch.
    let other = ledger.certificate(&ledger.blocks[1].checkpoint);
    assert!(matches!(refusal(&ledger, &with(other)), VerifyError::OtherDigest { .. }));
    let mut checkpoint = honest.checkpoint;
    checkpoint.epoch = 1;
    let mut receipt = with(certify(&checkpoint, &here, keys, &[0, 1, 2]));
    receipt.checkpoint = checkpoint;
    assert!(matches!(refusal(&ledger, &receipt), VerifyError::Epoch { epoch: 1, reached: 0, .. }));
    // A view that was not signed for.
    let mut moved = honest.certificate.clone();
    moved.view += 1;
    assert!(matches!(why(moved), CertificateError::Signature { .. }));
}

#[test]
fn another_genesis_proves_nothing() {
    let ledger = ledger();
    let receipt = ledger.receipt(1, 3);
    let renamed =
        TrustAnchor::from_genesis_json(&genesis_json("renamed", &ledger.epochs[0])).expect("a genesis");
    assert!(matches!(receipt.verify(&renamed), Err(VerifyError::OtherChain { .. })));
    // Neither does this genesis with other validators under its name.
    let mut usurped = ledger.anchor.clone();
    usurped.validators = validators(&validator_keys(9, 4));
    assert!(matches!(receipt.verify(&usurped), Err(VerifyError::NotFinal { .. })));
    let mut other_chain = ledger.anchor.clone();
    other_chain.chain_id += 1;
    assert!(matches!(receipt.verify(&other_chain), Err(VerifyError::OtherChain { .. })));
}

#[test]
fn verdicts_on_older_statements_come_first_and_change_nothing() {
    let mut ledger = Ledger::new("silences", 1);
    let sensor = device(Algorithm::EdDsa, 1);
    let first = reading(&sensor, 0, 1.0);
    let old = verdict(ledger.next_leaf(), &first.0, 0, 1);
    ledger.block(&[first], vec![], false);
    // A silence noticed in block 2, on the statement of block 1.
    let silent = Verdict { kind: VerdictKind::Silent, ..old };
    let second = reading(&sensor, 1, 1.0);
    let on_second = verdict(ledger.next_leaf(), &second.0, 0, 1);
    ledger.block(&[second], vec![silent, on_second], false);
    assert!(!proves(&ledger, &ledger.receipt(0, 2)).judged, "in its own block");
    assert_eq!(proves(&ledger, &ledger.receipt(1, 2)).verdicts.len(), 1);
}
