//! What the node gives to the verifier contract: the signed message, the proofs, and the vectors that the contract's own
//! tests run (`contracts/test/vectors/verifier.json`; `TRIAD_WRITE_FIXTURES=1` writes it anew).

#[path = "../../log/tests/common/mod.rs"]
mod common;

use std::path::PathBuf;

use alloy_primitives::{Address, B256, U256, hex, keccak256};
use alloy_sol_types::SolValue;
use common::{Ledger, ValidatorKey, device, reading, verdict};
use serde_json::{Value, json};
use triad_chain::verifier::{PublicProof, PublicProofError, compact};
use triad_chain::{CheckpointSignature, Wallet, checkpoint_message};
use triad_log::{Checkpoint, LeafIndex, Receipt, sha256, verify_inclusion};
use triad_statement::Algorithm;

fn wallet(key: &ValidatorKey) -> Wallet {
    let secret = sha256(&[b"checkpoint secret".as_slice(), &common::public(key)].concat());
    Wallet::from_secret(&secret).expect("a secret")
}

fn address_of(key: &ValidatorKey) -> [u8; 20] {
    wallet(key).address().into()
}

fn addresses(keys: &[ValidatorKey]) -> Vec<Address> {
    keys.iter().map(|key| wallet(key).address()).collect()
}

/// By every validator of the checkpoint's epoch.
fn signatures(ledger: &Ledger, checkpoint: &Checkpoint) -> Vec<CheckpointSignature> {
    let message = checkpoint_message(&checkpoint.genesis_hash, checkpoint.chain_id, &checkpoint.digest());
    let keys = &ledger.epochs[checkpoint.epoch as usize];
    (0..)
        .zip(keys)
        .map(|(validator, key)| CheckpointSignature {
            validator,
            address: wallet(key).address(),
            signature: wallet(key).sign_hash(&message),
        })
        .collect()
}

/// Epoch 0 of four validators, epoch 1 of seven, epoch 2 of one. Blocks 2 and 3 end an epoch. Statements 0 to 4 are in
/// block 1, with two verdicts on the second and one on the fourth; 5 in block 2, 6 in block 3, 7 in block 4, judged. No
/// P-256 device: its signatures are random, and the vectors must come out the same each time.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new("verifier", 4);
    ledger.address_of = address_of;
    let sensor = device(Algorithm::EdDsa, 1);
    let first: Vec<_> = (0..5).map(|n| reading(&sensor, n, 20.5 + f64::from(n))).collect();
    let verdicts = vec![
        verdict(LeafIndex(1), &first[1].0, 0, 0),
        verdict(LeafIndex(1), &first[1].0, 0, 1000),
        verdict(LeafIndex(3), &first[3].0, 0, 0),
    ];
    ledger.block(&first, verdicts, false);
    ledger.next_count = 7;
    ledger.block(&[reading(&sensor, 5, -1.0)], vec![], true);
    ledger.next_count = 1;
    ledger.block(&[reading(&device(Algorithm::EdDsa, 2), 0, 1.0)], vec![], true);
    let last = reading(&device(Algorithm::Es256k, 3), 0, 7.25);
    let mut judged = verdict(ledger.next_leaf(), &last.0, 0, 1001);
    judged.kind = triad_log::VerdictKind::High;
    judged.reason = "above 7 Cel".into();
    ledger.block(&[last], vec![judged], false);
    ledger
}

/// Eight statements, each judged, then a million leaves, then the end of an epoch of four validators: for gas.
fn long_ledger() -> Ledger {
    let mut ledger = Ledger::new("a million leaves", 4);
    ledger.address_of = address_of;
    let sensor = device(Algorithm::EdDsa, 1);
    let statements: Vec<_> = (0..8).map(|n| reading(&sensor, n, 20.5)).collect();
    let verdicts = (0..).zip(&statements).map(|(n, (bytes, _))| verdict(LeafIndex(n), bytes, 0, 0)).collect();
    ledger.block(&statements, verdicts, false);
    ledger.pad(1_000_000);
    ledger.block(&[], vec![], true);
    ledger
}

fn proof(ledger: &Ledger, n: usize, height: u64) -> PublicProof {
    let receipt = ledger.receipt(n, height);
    let keys = &ledger.epochs[receipt.checkpoint.epoch as usize];
    let signed = signatures(ledger, &receipt.checkpoint);
    PublicProof::new(&receipt, &signed, &addresses(keys)).expect("a quorum signed")
}

fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    hex::encode_prefixed(bytes)
}

fn vector(ledger: &Ledger, proofs: &[(usize, u64)]) -> Value {
    let checkpoints = ledger.blocks.iter().map(|block| {
        let c = &block.checkpoint;
        let signed: Vec<_> = signatures(ledger, c).iter().map(compact).collect();
        json!({
            "height": c.height,
            "epoch": c.epoch,
            "cbor": hex0x(c.encode()),
            "digest": hex0x(c.digest()),
            "message": checkpoint_message(&c.genesis_hash, c.chain_id, &c.digest()),
            "signatures": hex0x(signed.abi_encode()),
        })
    });
    let epochs = ledger.epochs.iter().map(|keys| {
        let secrets: Vec<B256> = keys.iter().map(|key| wallet(key).secret().into()).collect();
        json!({
            "validators": hex0x(addresses(keys).abi_encode()),
            "secrets": secrets,
            "set": hex0x(ledger.set_of(keys).encode()),
        })
    });
    let proofs = proofs.iter().map(|(n, height)| {
        let proof = proof(ledger, *n, *height);
        json!({
            "height": height,
            "statement": hex0x(proof.statement.abi_encode()),
            "statementHash": proof.statement.leaf.statementHash,
            "verdicts": proof.verdicts.iter().map(|v| hex0x(v.abi_encode())).collect::<Vec<_>>(),
        })
    });
    json!({
        "genesisHash": hex0x(ledger.anchor.genesis_hash),
        "chainId": ledger.anchor.chain_id,
        "epochs": epochs.collect::<Vec<_>>(),
        "checkpoints": checkpoints.collect::<Vec<_>>(),
        "proofs": proofs.collect::<Vec<_>>(),
    })
}

#[test]
fn the_vectors_of_the_contract_are_what_this_program_makes() {
    let all = json!({
        "chain": vector(&ledger(), &[(0, 1), (1, 1), (1, 2), (3, 4), (5, 2), (6, 4), (7, 4)]),
        "long": vector(&long_ledger(), &[(3, 2)]),
    });
    let text = serde_json::to_string_pretty(&all).unwrap() + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../contracts/test/vectors/verifier.json");
    if std::env::var_os("TRIAD_WRITE_FIXTURES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == text,
        "run with TRIAD_WRITE_FIXTURES=1, then contracts/check"
    );
}

/// The message by its definition in docs/formats.md, without the library.
#[test]
fn the_signed_message_is_as_documented() {
    let (genesis, chain_id, digest) = ([7; 32], 7423u64, [9; 32]);
    let domain_type = keccak256("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)");
    let domain = keccak256(
        (domain_type, keccak256("Triad"), keccak256("1"), U256::from(chain_id), B256::from(genesis))
            .abi_encode(),
    );
    let content = keccak256((keccak256("Checkpoint(bytes32 digest)"), B256::from(digest)).abi_encode());
    let message = keccak256([&[0x19, 0x01], domain.as_slice(), content.as_slice()].concat());
    assert_eq!(checkpoint_message(&genesis, chain_id, &digest), message);
    let signature = Wallet::from_secret(&[3; 32]).unwrap().sign_hash(&message);
    let fixture = [message.as_slice(), &signature.as_bytes()].concat();
    common::assert_fixture("checkpoint-signature.hex", &fixture);
    // Another chain, another genesis, another block: another message.
    for other in [
        checkpoint_message(&genesis, chain_id + 1, &digest),
        checkpoint_message(&[8; 32], chain_id, &digest),
        checkpoint_message(&genesis, chain_id, &[8; 32]),
    ] {
        assert_ne!(other, message);
    }
}

#[test]
fn signatures_are_deterministic_and_have_a_low_s() {
    let half =
        U256::from_str_radix("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16).unwrap();
    for n in 1..=200u8 {
        let wallet = Wallet::from_secret(&[n; 32]).unwrap();
        let message = checkpoint_message(&[n; 32], 1, &[2; 32]);
        let signature = wallet.sign_hash(&message);
        assert_eq!(signature, wallet.sign_hash(&message));
        assert!(signature.s() <= half);
        assert_eq!(signature.recover_address_from_prehash(&message).unwrap(), wallet.address());
    }
}

#[test]
fn every_statement_and_verdict_comes_with_a_path_to_the_root() {
    let ledger = ledger();
    for n in 0..ledger.logged.len() {
        for height in ledger.logged[n].height..=4 {
            let receipt = ledger.receipt(n, height);
            let made = proof(&ledger, n, height);
            assert_eq!(made.checkpoint, receipt.checkpoint.encode());
            let (size, root) = (receipt.checkpoint.log_size, receipt.checkpoint.log_root);
            let path: Vec<[u8; 32]> = made.statement.logPath.iter().map(|word| word.0).collect();
            let leaf = triad_log::StatementLeaf {
                statement_hash: sha256(&receipt.statement),
                signer: triad_statement::DeviceId(made.statement.leaf.signer.0),
                origin: triad_statement::DeviceId(made.statement.leaf.origin.0),
                key_fingerprint: sha256(&receipt.cose_key),
                height: receipt.verdict_leaf.height,
                time_ms: receipt.verdict_leaf.time_ms,
            };
            assert!(verify_inclusion(&leaf.hash(), made.statement.leafIndex, size, &path, &root));
            let expected = receipt.verdicts.iter().filter(|v| v.leaf == receipt.leaf_index).count();
            assert_eq!(made.verdicts.len(), expected);
            for verdict in &made.verdicts {
                let path: Vec<[u8; 32]> = verdict.path.iter().map(|word| word.0).collect();
                let hash = triad_log::leaf_hash(&verdict.verdict);
                let block = &receipt.verdict_leaf;
                assert!(verify_inclusion(&hash, verdict.index, verdict.count, &path, &block.root));
                let path: Vec<[u8; 32]> = verdict.logPath.iter().map(|word| word.0).collect();
                assert!(verify_inclusion(&block.hash(), verdict.leafIndex, size, &path, &root));
            }
        }
    }
}

fn refused(receipt: &Receipt, signed: &[CheckpointSignature], validators: &[Address]) -> PublicProofError {
    PublicProof::new(receipt, signed, validators).expect_err("refused")
}

#[test]
fn only_a_quorum_of_good_signatures_is_handed_on() {
    let ledger = ledger();
    let receipt = ledger.receipt(0, 1);
    let validators = addresses(&ledger.epochs[0]);
    let all = signatures(&ledger, &receipt.checkpoint);
    // In any order, some of them twice; as many are kept as needed, by index.
    let shuffled = [all[3], all[1], all[3], all[0], all[1]];
    let kept = PublicProof::new(&receipt, &shuffled, &validators).unwrap().signatures;
    assert_eq!(kept, [compact(&all[0]), compact(&all[1]), compact(&all[3])]);
    let few = refused(&receipt, &[all[0], all[2], all[2]], &validators);
    assert!(matches!(few, PublicProofError::NoQuorum { height: 1, found: 2, of: 4, needed: 3 }), "{few}");
    let other = signatures(&ledger, &ledger.receipt(5, 2).checkpoint)[0];
    let wrong = refused(&receipt, &[other, all[1], all[2], all[3]], &validators);
    assert!(matches!(wrong, PublicProofError::Signature { validator: 0, height: 1, .. }), "{wrong}");
    let stranger = CheckpointSignature { validator: 9, ..all[0] };
    assert!(matches!(refused(&receipt, &[stranger], &validators), PublicProofError::Signature { .. }));
}
