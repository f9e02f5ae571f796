//! Makes the chain of the fixtures: at least one of everything that a row is written for.

use alloy_primitives::{Address, B256, I256, U256};
use bytes::Bytes;
use triad_evm::bindings::IAutomations;
use triad_models::{AnomalySpec, RangeSpec, SilenceSpec, Spec};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

use super::path;
use crate::testing::{certificate, genesis, wallet};
use crate::{ChainSpec, DefaultModel, Ledger, Submitter, TxRequest, clock_ms, contracts};

const T0: i64 = 1_700_000_100_000_000;
/// Blocks of the chain; each flushes one of the 64 buckets.
const HEIGHT: u64 = 12;

/// A key whose index rows are flushed within the chain.
pub(super) fn key(algorithm: Algorithm) -> SigningKey {
    let mut keys = (1..=255).map(|seed| SigningKey::from_secret_bytes(algorithm, &[seed; 32]).unwrap());
    let early = |key: &SigningKey| (8..=HEIGHT).contains(&super::index::signer_bucket(&key.public().id()));
    keys.find(early).unwrap()
}

struct Maker {
    ledger: Ledger,
    submitter: Submitter,
    nonces: [u64; 8],
    lines: String,
}

impl Maker {
    fn send(&mut self, from: u8, (to, input): contracts::Call, value: u64) {
        let nonce = &mut self.nonces[usize::from(from)];
        let request = TxRequest {
            to: Some(to),
            value: U256::from(value),
            input: input.into(),
            nonce: *nonce,
            gas_limit: 5_000_000,
            max_fee_per_gas: 2_000_000_000,
        };
        *nonce += 1;
        let raw = wallet(from).transaction(self.ledger.spec().genesis.chain_id, request);
        self.submitter.transaction(&raw).unwrap();
    }

    fn say(&self, statements: Vec<Bytes>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let want = self.ledger.0.pool.len().0 + statements.len();
        let mut answers: Vec<_> =
            statements.into_iter().map(|s| runtime.block_on(self.submitter.submit(s))).collect();
        while self.ledger.0.pool.len().0 < want {
            for answer in &mut answers {
                // Only a refusal comes before a block.
                assert!(answer.try_recv().is_err());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn block(&mut self) {
        let tip = self.ledger.0.tip.read().digest;
        let block = self.ledger.propose(&tip, 0, false).unwrap();
        let block = block.or_else(|| self.ledger.propose(&tip, 0, true).unwrap()).unwrap();
        let certificate = certificate(self.ledger.spec(), &block);
        self.ledger.finalize(&block.bytes, Some(&certificate)).unwrap();
        assert_eq!(self.ledger.0.pool.len(), (0, 0), "block {} took everything", block.height());
        self.lines += &format!("{} {}\n", hex::encode(&block.bytes), hex::encode(certificate));
    }
}

fn number(key: &SigningKey, n: u32, name: &str, value: f64) -> Bytes {
    let time = T0 + i64::from(n) * 1_000_000;
    StatementBuilder::new(key, Sequence::new(0, n)).number(name, Some("Cel"), value, Some(time)).sign()
}

fn key_after_rotation() -> SigningKey {
    SigningKey::from_secret_bytes(Algorithm::Es256, &[0x55; 32]).unwrap()
}

pub(super) fn chain() {
    let dir = tempfile::tempdir().unwrap();
    let range = Spec::Range(RangeSpec { low: Some(2.0), high: Some(8.0), ..RangeSpec::default() });
    let silence = Spec::Silence(SilenceSpec { interval_ms: 300, grace_ms: 0 });
    let defaults = [range, silence];
    let models =
        defaults.iter().map(|s| DefaultModel { kind: s.kind().into(), params: s.params().into() }).collect();
    let spec = ChainSpec::new(genesis(models)).unwrap();
    std::fs::write(path("genesis.json"), spec.to_json()).unwrap();
    let chain_id = spec.genesis.chain_id;
    let ledger = Ledger::open(dir.path(), spec).unwrap();
    let submitter = Submitter::start(ledger.clone(), 1).unwrap();
    let mut maker = Maker { ledger, submitter, nonces: [0; 8], lines: String::new() };

    let keys = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es256k].map(key);
    let [ed, p256, k256] = &keys;
    let ids = [ed, p256, k256].map(|key| key.public().id());
    let owner = wallet(1).address();
    let batch = keys.iter().map(|k| contracts::registration(chain_id, owner, k, B256::repeat_byte(7)));
    maker.send(1, contracts::register(batch.collect()), 0);
    let (sensor, unsigned) = contracts::register_unsigned(owner, B256::repeat_byte(1), B256::ZERO);
    maker.send(1, unsigned, 0);
    maker.block();

    maker.send(1, contracts::set_speaker(sensor, ids[2], true), 0);
    maker.send(1, contracts::bind_model(ids[0], "s3", &Spec::Anomaly(AnomalySpec::default())), 0);
    let condition = IAutomations::Condition {
        device: ids[0].0.into(),
        name: "s3".into(),
        source: 0,
        op: 3,
        threshold: I256::try_from(5_000_000_000i64).unwrap(),
        kinds: U256::ZERO,
        minScore: 0,
    };
    let deposit = 100_000_000_000_000_000;
    let target = Address::repeat_byte(0x77);
    // Six of 2,000,000 gas are more than a block's share: some wait in the queue.
    for _ in 0..6 {
        maker.send(2, contracts::automation(condition.clone(), target, 2_000_000, 0), deposit);
    }
    maker.block();

    // Streams 0 to 11, so that the chunks of some are written by this chain's blocks.
    let mut pack = StatementBuilder::new(ed, Sequence::new(0, 0));
    for stream in 0..12 {
        pack = pack.number(&format!("s{stream}"), Some("Cel"), 4.5 + f64::from(stream) / 4.0, Some(T0));
    }
    maker.say(vec![pack.sign(), number(p256, 0, "temperature", 21.5), number(k256, 0, "temperature", -40.0)]);
    maker.block();

    let behalf = StatementBuilder::new(k256, Sequence::new(0, 1)).on_behalf_of(sensor);
    let behalf = behalf.number("humidity", Some("%RH"), 40.25, Some(T0)).sign();
    maker.say(vec![number(ed, 1, "s3", 1.5), number(ed, 2, "s4", 9.75), behalf]);
    maker.block();

    // The edge: firings, more than fit.
    maker.say(vec![number(ed, 3, "s3", 7.5), number(ed, 5, "s3", 3.25)]);
    maker.block();

    let other = StatementBuilder::new(p256, Sequence::new(0, 9));
    let other = other.text("door", "open", Some(T0)).bool("light", true, None).data("raw", &[1, 2, 3], None);
    maker.say(vec![other.sign(), number(ed, 4, "s3", 6.0)]);
    maker.block();

    maker.send(1, contracts::rotate(chain_id, ids[1], &key_after_rotation()), 0);
    maker.send(1, contracts::suspend(ids[2]), 0);
    maker.send(1, contracts::set_unit(ids[0], "s4", "K"), 0);
    maker.block();

    let rotated = key_after_rotation();
    let by_new = StatementBuilder::new(&rotated, Sequence::new(0, 10)).kid(ids[1]).fully_specified();
    maker.say(vec![by_new.number("temperature", Some("Cel"), 22.0, Some(T0 + 5_000_000)).sign()]);
    maker.block();

    // Unplugged for longer than the interval: the deadlines speak.
    std::thread::sleep(std::time::Duration::from_millis(700));
    maker.block();
    maker.say(vec![number(ed, 70, "s3", 2.25), number(ed, 71, "s5", 5.0)]);
    maker.block();
    maker.send(1, contracts::raise_epoch(ids[0], 2), 0);
    maker.block();
    let now = clock_ms() as i64 * 1000;
    let relative = StatementBuilder::new(ed, Sequence::new(2, 0)).iat(now);
    maker.say(vec![relative.number("s3", Some("Cel"), 5.5, Some(-1_000_000)).sign()]);
    maker.block();
    assert_eq!(maker.ledger.height(), HEIGHT);
    std::fs::write(path("blocks.txt"), maker.lines).unwrap();
}
