//! What a source of bad signatures costs the others: good statements a second from door to final and stored, alone, beside
//! one source that floods, and beside a flood in which every statement comes as a new source.
//!
//! ```text
//! cargo run --release -p triad-chain --example flood -- [seconds a case]
//! ```
//!
//! Everything shares the machine: the flood's own work at the door (parsing, looking the key up) is in the figures.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use triad_chain::testing::{TestChain, wallet};
use triad_chain::{Submitter, contracts};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

const KEYS: u16 = 64;
const SOURCES: usize = 4;
/// Statements of one source that wait for their answer.
const WINDOW: usize = 1024;
const BAD: u32 = 20_000;

fn key(n: u16) -> SigningKey {
    let mut secret = [3; 32];
    secret[..2].copy_from_slice(&n.to_be_bytes());
    SigningKey::from_secret_bytes(Algorithm::EdDsa, &secret).expect("any 32 bytes are a secret")
}

fn reading(by: &SigningKey, of: &SigningKey, n: u32) -> Bytes {
    let time = 1_700_000_100_000_000 + i64::from(n);
    let builder = StatementBuilder::new(by, Sequence::new(0, n)).kid(of.public().id());
    builder.number("level", Some("m"), 1.5, Some(time)).sign()
}

/// Keeps a window full until told to stop, counting the answers.
async fn pump(
    source: Submitter,
    fresh: bool,
    statements: impl Iterator<Item = Bytes> + Send,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
) {
    let mut waiting = std::collections::VecDeque::new();
    for statement in statements {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let source = if fresh { source.source() } else { source.clone() };
        waiting.push_back(source.submit(statement).await);
        while waiting.len() >= WINDOW {
            let Some(answer) = waiting.pop_front() else { break };
            match answer.await {
                Ok(Ok(_)) => accepted.fetch_add(1, Ordering::Relaxed),
                _ => refused.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}

fn main() {
    let seconds = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(10);
    let dir = tempfile::tempdir().expect("a directory");
    let chain = TestChain::start(dir.path());
    let keys: Vec<SigningKey> = (0..KEYS).map(key).collect();
    let (owner, chain_id) = (wallet(1), chain.reader.spec().genesis.chain_id);
    for some in keys.chunks(16) {
        let batch = some.iter().map(|k| contracts::registration(chain_id, owner.address(), k, B256::ZERO));
        let (to, input) = contracts::register(batch.collect());
        chain.send(&owner, Some(to), input, U256::ZERO);
    }
    let stranger = key(60_000);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let bad: Vec<Bytes> = (0..BAD).map(|n| reading(&stranger, &keys[0], n)).collect();
    println!("{:34} {:>12} {:>12}", "", "good/s", "refused/s");
    let mut first = 0u32;
    for case in ["alone", "beside one flooding source", "beside a flood of new sources"] {
        // More than can be taken in the time, of every key in turn.
        let each = 60_000 * seconds as u32 / u32::from(KEYS);
        let per_source = usize::from(KEYS) / SOURCES;
        let signed: Vec<Vec<Bytes>> = keys
            .chunks(per_source)
            .map(|keys| {
                (first..first + each).flat_map(|n| keys.iter().map(move |key| reading(key, key, n))).collect()
            })
            .collect();
        first += each;
        let stop = Arc::new(AtomicBool::new(false));
        let [good, lost, none, refused] = std::array::from_fn(|_| Arc::new(AtomicU64::new(0)));
        for statements in signed {
            let source = chain.submitter.source();
            let statements = statements.into_iter();
            runtime.spawn(pump(source, false, statements, stop.clone(), good.clone(), lost.clone()));
        }
        if case != "alone" {
            let bad = bad.clone().into_iter().cycle();
            let (source, fresh) = (chain.submitter.source(), case.ends_with("new sources"));
            let (stop, none, refused) = (stop.clone(), none.clone(), refused.clone());
            runtime.spawn(pump(source, fresh, bad, stop, none, refused));
        }
        let started = Instant::now();
        std::thread::sleep(Duration::from_secs(seconds));
        let took = started.elapsed().as_secs_f64();
        let rate = |n: &AtomicU64| n.load(Ordering::Relaxed) as f64 / took;
        println!("{case:34} {:12.0} {:12.0}", rate(&good), rate(&refused));
        stop.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(lost.load(Ordering::Relaxed), 0, "no good statement is refused");
    }
}
