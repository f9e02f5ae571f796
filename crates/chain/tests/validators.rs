//! What the chain makes of a change of its validators, and of a rule to come.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{
    Approval, Candidate, ChainError, ChainSpec, Change, Genesis, Ledger, Rule, VALIDATOR_SET_RULE, Validator,
};
use triad_statement::{Algorithm, SigningKey};

/// The lone validator of `testing::genesis`.
const VALIDATOR: [u8; 32] = [7; 32];

fn changing() -> Genesis {
    let mut genesis = genesis(Vec::new());
    genesis.rules.push(Rule { name: VALIDATOR_SET_RULE.into(), height: 0 });
    genesis
}

fn ed25519(secret: [u8; 32]) -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &secret).unwrap()
}

fn candidate(chain_id: u64, n: u8) -> Candidate {
    let (secret, checkpoint) = ([n; 32], wallet(n + 100));
    let key = public_key(&secret);
    let message = Validator::possession_message(chain_id, &key, &checkpoint.address());
    Candidate {
        name: format!("validator {n}"),
        consensus_key: key.into(),
        checkpoint_address: checkpoint.address(),
        fee_recipient: wallet(n).address(),
        network: format!("10.0.0.{n}:7424"),
        consensus_proof: ed25519(secret).sign(&message).into(),
        checkpoint_proof: Bytes::copy_from_slice(&checkpoint.sign_hash(&keccak256(&message)).as_bytes()),
    }
}

fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    let key = ed25519_zebra::SigningKey::from(*secret);
    ed25519_zebra::VerificationKey::from(&key).into()
}

fn approve(change: &Change, chain_id: u64, nonce: u64, secret: [u8; 32]) -> Approval {
    let challenge = change.challenge(chain_id, nonce);
    Approval {
        consensus_key: B256::from(public_key(&secret)),
        signature: ed25519(secret).sign(challenge.as_slice()).into(),
    }
}

/// Sends a change; whether it passed.
fn send(chain: &TestChain, change: &Change, approvals: &[Approval]) -> bool {
    let (to, input) = change.call(approvals);
    let sent = chain.try_send(&wallet(1), Some(to), input, U256::ZERO);
    sent.block.receipts[sent.index].success
}

#[test]
fn a_change_ends_the_epoch_and_the_next_validators_are_handed_over() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::with_genesis(dir.path(), changing());
    let chain_id = chain.reader.spec().genesis.chain_id;
    let add = Change::Add { validator: candidate(chain_id, 9) };
    let stranger = approve(&add, chain_id, 0, [8; 32]);
    assert!(!send(&chain, &add, &[]), "nobody approved");
    assert!(!send(&chain, &add, &[stranger]), "who is no validator approved");
    assert!(!send(&chain, &add, &[approve(&add, chain_id, 1, VALIDATOR)]), "approved another nonce");
    assert_eq!(chain.reader.reigns().len(), 1);
    assert_eq!(chain.reader.reigns()[0].last, None);

    assert!(send(&chain, &add, &[approve(&add, chain_id, 0, VALIDATOR)]));
    let passed = chain.reader.height();
    let reigns = chain.reader.reigns();
    let last = reigns[0].last.unwrap();
    assert_eq!(last, passed.next_multiple_of(64) + 64);
    assert_eq!((reigns[0].validators.len(), reigns[0].next.len()), (1, 2));
    assert!(!send(&chain, &add, &[approve(&add, chain_id, 0, VALIDATOR)]), "the nonce is used up");

    while chain.reader.height() < last {
        chain.heartbeat();
    }
    let (checkpoint, _) = chain.reader.checkpoint(last).unwrap().unwrap();
    let reigns = chain.reader.reigns();
    assert_eq!((checkpoint.epoch, reigns.len(), reigns[1].first), (0, 2, last + 1));
    assert_eq!(checkpoint.next_validators, Some(reigns[1].set().unwrap().hash()));
    assert_eq!(reigns[1].validators.iter().filter(|m| m.network == "10.0.0.9:7424").count(), 1);
    let (before, _) = chain.reader.checkpoint(last - 1).unwrap().unwrap();
    assert_eq!(before.next_validators, None);

    // The next block is the new validators', whoever of the two makes it, and nobody else's.
    let (_, digest) = chain.reader.tip();
    let block = chain.ledger.propose(&digest, 1, true).unwrap().unwrap();
    assert_eq!(block.checkpoint.epoch, 1);
    assert!(chain.ledger.propose(&digest, 2, true).is_err(), "there are two");
    chain.heartbeat();

    // All of it is there after a restart.
    drop(chain);
    let ledger = loop {
        match Ledger::open(dir.path(), ChainSpec::new(changing()).unwrap()) {
            Ok(ledger) => break ledger,
            Err(ChainError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(*ledger.reigns(), *reigns);
}

#[test]
fn a_rule_that_the_program_does_not_know_stops_it_before_the_first_block_under_it() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::with_genesis(dir.path(), changing());
    let chain_id = chain.reader.spec().genesis.chain_id;
    chain.heartbeat();
    let soon = Change::Rule { rule: "salt".into(), height: chain.reader.height() + 10 };
    assert!(!send(&chain, &soon, &[approve(&soon, chain_id, 0, VALIDATOR)]), "others need time to upgrade");
    let height = chain.reader.height() + 80;
    let rule = Change::Rule { rule: "salt".into(), height };
    assert!(send(&chain, &rule, &[approve(&rule, chain_id, 0, VALIDATOR)]));
    assert_eq!(*chain.reader.scheduled_rules().unwrap(), vec![("salt".to_owned(), height)]);
    assert_eq!(chain.reader.reigns()[0].last, None, "a rule ends no epoch");
    while chain.reader.height() + 1 < height {
        chain.heartbeat();
    }
    let (_, digest) = chain.reader.tip();
    let error = chain.ledger.propose(&digest, 0, true).unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, ChainError::UnknownRule { .. }), "{said}");
    assert!(said.contains("`salt`") && said.contains("install a release"), "{said}");
}

#[test]
fn a_chain_without_the_contract_goes_on_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    assert!(!chain.reader.spec().has_validator_set());
    let change = Change::Remove { consensus_key: B256::ZERO };
    // There is no code: a call does nothing.
    assert!(send(&chain, &change, &[]));
    assert_eq!(chain.reader.reigns().len(), 1);
    assert_eq!(*chain.reader.reigns()[0].next, *chain.reader.reigns()[0].validators);
}
