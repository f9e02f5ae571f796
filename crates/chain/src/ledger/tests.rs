//! What nobody sees from outside: the moment of a commit.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use tokio::sync::oneshot;
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

use super::*;
use crate::mempool::Answer;
use crate::testing::{TestChain, certificate, genesis, wallet};
use crate::{ChainSpec, Verified, contracts};

/// Far more than a commit takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

fn key() -> SigningKey {
    key_of(1)
}

fn key_of(n: u8) -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &[n; 32]).unwrap()
}

/// A ledger that nobody drives, with the key registered.
fn quiet(dir: &Path) -> Ledger {
    let chain = TestChain::with_genesis(dir, genesis(Vec::new()));
    let owner = wallet(1);
    let chain_id = chain.reader.spec().genesis.chain_id;
    let registration = contracts::registration(chain_id, owner.address(), &key(), B256::ZERO);
    let (to, input) = contracts::register(vec![registration]);
    chain.send(&owner, Some(to), input, U256::ZERO);
    drop(chain);
    // The verifying thread lets go of the store in its own time.
    let since = Instant::now();
    loop {
        match Ledger::open(dir, ChainSpec::new(genesis(Vec::new())).unwrap()) {
            Ok(ledger) => return ledger,
            Err(ChainError::InUse(_)) if since.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn verified(number: u32, value: f64) -> Arc<Verified> {
    verified_by(&key(), number, value)
}

fn verified_by(key: &SigningKey, number: u32, value: f64) -> Arc<Verified> {
    let time = 1_700_000_100_000_000 + i64::from(number);
    let statement = StatementBuilder::new(key, Sequence::new(0, number));
    let bytes = statement.number("level", Some("m"), value, Some(time)).sign();
    let statement = triad_statement::Statement::parse(bytes).unwrap();
    Arc::new(Verified { key: key.public().fingerprint(), statement, checked_at: 0 })
}

/// As a door's verified statement reaches the pool.
fn offer(ledger: &Ledger, verified: &Arc<Verified>) -> oneshot::Receiver<Answer> {
    let (waiter, answer) = oneshot::channel();
    ledger.0.pool.add(vec![(verified.clone(), waiter)]);
    answer
}

fn propose(ledger: &Ledger) -> Option<Block> {
    let tip = ledger.0.tip.read().digest;
    ledger.propose(&tip, 0, false).unwrap()
}

fn commit(ledger: &Ledger, block: &Block) {
    ledger.finalize(&block.bytes, Some(&certificate(ledger.spec(), block))).unwrap();
}

/// If the tip moved first, a proposer in between would offer final statements again, find their numbers used, and call
/// an honest device an equivocator. Whoever reads the tip holds the commit exactly between the two.
#[test]
fn a_commit_empties_the_pool_before_it_moves_the_tip() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let statement = verified(0, 1.0);
    let answer = offer(&ledger, &statement);
    let block = propose(&ledger).unwrap();
    let height = block.height();
    let tip = ledger.0.tip.read();
    assert_eq!(tip.checkpoint.height.0, height - 1);
    let committing = {
        let (ledger, block) = (ledger.clone(), block.clone());
        std::thread::spawn(move || commit(&ledger, &block))
    };
    let since = Instant::now();
    while ledger.0.pool.len().0 > 0 {
        assert!(since.elapsed() < PATIENCE, "the commit waits for the tip with its statements still offered");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(ledger.0.store.tip().unwrap(), Some(height), "on disk before anybody is told");
    assert!(ledger.0.pool.statements(&[], &ledger.spec().genesis.limits).is_empty());
    drop(tip);
    committing.join().unwrap();
    assert_eq!(answer.blocking_recv().unwrap().unwrap().height, height);
    assert!(propose(&ledger).is_none());
}

/// A statement that reaches the pool after it became final (sent twice, the first one final in between) is the very
/// statement held. Only another one on its number is an equivocation.
#[test]
fn a_statement_offered_again_after_its_finality_is_acknowledged_and_not_accused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let statement = verified(7, 1.0);
    let first = offer(&ledger, &statement);
    commit(&ledger, &propose(&ledger).unwrap());
    let first = first.blocking_recv().unwrap().unwrap();
    assert!(!first.duplicate);

    let again = offer(&ledger, &statement);
    assert!(propose(&ledger).is_none(), "there is nothing new to say");
    let again = again.blocking_recv().unwrap().unwrap();
    assert_eq!((again.leaf, again.height, again.duplicate), (first.leaf, first.height, true));

    let other = offer(&ledger, &verified(7, 2.0));
    assert!(propose(&ledger).is_none());
    assert_eq!(other.blocking_recv().unwrap().unwrap_err().code, "equivocation");

    // The window moves on: the number is too old to be looked up in it, the index still knows.
    let far = offer(&ledger, &verified(7 + 2000, 1.0));
    commit(&ledger, &propose(&ledger).unwrap());
    far.blocking_recv().unwrap().unwrap();
    let late = offer(&ledger, &statement);
    assert!(propose(&ledger).is_none());
    assert_eq!(late.blocking_recv().unwrap().unwrap().leaf, first.leaf);
    let stale = offer(&ledger, &verified(8, 1.0));
    assert!(propose(&ledger).is_none());
    assert_eq!(stale.blocking_recv().unwrap().unwrap_err().code, "too-old");
    assert_eq!(ledger.0.pool.len().0, 0);
}

/// A commit is between the store and the tip: whoever asks waits, and then finds the parent unknown, so that consensus does
/// not take "no block" for a broken ledger.
#[test]
fn nobody_is_refused_on_a_parent_that_a_commit_is_about_to_leave() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let parent = ledger.0.tip.read().digest;
    let answer = offer(&ledger, &verified(0, 1.0));
    let block = propose(&ledger).unwrap();
    // As a node that did not build it.
    ledger.0.layers.lock().clear();
    *ledger.0.committing.write() = block.digest;
    let proposing = {
        let ledger = ledger.clone();
        std::thread::spawn(move || {
            let made = ledger.propose(&parent, 0, true).unwrap();
            (made.is_some(), ledger.knows(&parent))
        })
    };
    let checking = {
        let (ledger, bytes) = (ledger.clone(), block.bytes.clone());
        std::thread::spawn(move || ledger.check(&bytes, None).unwrap())
    };
    std::thread::sleep(Duration::from_millis(200));
    assert!(!proposing.is_finished() && !checking.is_finished(), "the commit is not done");
    commit(&ledger, &block);
    assert_eq!(proposing.join().unwrap(), (false, false));
    assert_eq!(checking.join().unwrap(), Judgement::Valid);
    answer.blocking_recv().unwrap().unwrap();
}

#[test]
fn a_lost_fork_is_forgotten_with_all_that_was_built_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let base = ledger.0.tip.read().digest;
    let lost = ledger.propose(&base, 0, true).unwrap().unwrap();
    let above = ledger.propose(&lost.digest, 0, true).unwrap().unwrap();
    let old = ledger.parent(&above.digest).unwrap();
    // Later, so another block.
    std::thread::sleep(Duration::from_millis(5));
    let won = ledger.propose(&base, 0, true).unwrap().unwrap();
    let next = ledger.propose(&won.digest, 0, true).unwrap().unwrap();
    assert_ne!(lost.digest, won.digest);
    commit(&ledger, &won);
    assert!(ledger.knows(&won.digest) && ledger.knows(&next.digest));
    assert!(!ledger.knows(&lost.digest) && !ledger.knows(&above.digest));
    assert!(ledger.is_past(&old), "the store is no longer under it, whatever its height");
    assert!(!ledger.is_past(&ledger.parent(&next.digest).unwrap()));
    assert!(ledger.propose(&above.digest, 0, true).unwrap().is_none());
}

/// Two threads verify batches in turn; whichever is done first, the pool gets them as they came.
#[test]
fn batches_reach_the_pool_in_the_order_in_which_they_were_taken() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let batch = |numbers: [u32; 2]| {
        numbers.map(|n| (verified(n, 1.0), oneshot::channel().0)).into_iter().collect::<Vec<_>>()
    };
    let mut turns = crate::submit::Turns::default();
    turns.done(&ledger, 1, batch([2, 3]));
    turns.done(&ledger, 2, batch([4, 5]));
    assert_eq!(ledger.0.pool.len().0, 0, "the first batch is not verified yet");
    turns.done(&ledger, 0, batch([0, 1]));
    assert_eq!(waiting(&ledger, &ledger.spec().genesis.limits), [0, 1, 2, 3, 4, 5]);
}

/// Numbers of the statements that a block would take.
fn waiting(ledger: &Ledger, limits: &crate::genesis::Limits) -> Vec<u64> {
    let offered = ledger.0.pool.statements(&[], limits);
    offered.iter().map(|verified| verified.statement.sequence().0).collect()
}

#[test]
fn a_device_with_more_than_its_share_of_a_block_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let other = key_of(2);
    let _answers: Vec<_> = (0..5).map(|n| offer(&ledger, &verified(n, 1.0))).collect();
    let _late = offer(&ledger, &verified_by(&other, 100, 1.0));
    let mut limits = ledger.spec().genesis.limits.clone();
    (limits.device_statements, limits.block_statements) = (2, 4);
    assert_eq!(waiting(&ledger, &limits), [0, 1, 100]);
    limits.device_statements = 5;
    assert_eq!(waiting(&ledger, &limits), [0, 1, 2, 3], "nobody has more than its share: as they came");
}

/// What may have been lost on its way to the others is relayed again, as long as somebody here waits for it.
#[test]
fn what_a_door_waits_with_is_there_to_be_relayed_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = quiet(dir.path());
    let submitter = crate::Submitter::start(ledger.clone(), 1).unwrap();
    let nonce = crate::Reader::new(ledger.clone()).account(&wallet(1).address()).unwrap().nonce;
    let raw = |nonce| {
        let (to, value, gas_limit) = (Some(wallet(2).address()), U256::from(1), 21_000);
        let request = crate::TxRequest {
            to,
            value,
            input: Default::default(),
            nonce,
            gas_limit,
            max_fee_per_gas: 2_000_000_000,
        };
        wallet(1).transaction(ledger.spec().genesis.chain_id, request)
    };
    for nonce in nonce..nonce + 3 {
        submitter.transaction(&raw(nonce)).unwrap();
    }
    let statements = [verified(0, 1.0), verified(1, 2.0), verified(2, 3.0)];
    let mut answers: Vec<_> = statements.iter().map(|statement| offer(&ledger, statement)).collect();
    // Nobody waits for the second one: another node's door does.
    answers.remove(1);
    let expected: Vec<crate::Work> = [0, 2]
        .map(|i: usize| crate::Work::Statement(statements[i].statement.bytes().clone()))
        .into_iter()
        .chain([crate::Work::Transaction(raw(nonce).into())])
        .collect();
    assert_eq!(
        ledger.waiting_work(Duration::ZERO, 64),
        expected,
        "of a sender, the one that all others follow"
    );
    assert_eq!(ledger.waiting_work(Duration::ZERO, 1), [expected[0].clone(), expected[2].clone()]);
    assert_eq!(ledger.waiting_work(Duration::from_secs(3600), 64), expected[..2]);
}
