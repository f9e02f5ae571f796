//! What items are on the real chain: three devices' readings, payments, and at the beginning what these need.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use commonware_utils::sync::Mutex;
use triad_chain::{
    ATTESTED_MODELS_RULE, Candidate, ChainSpec, Change, LEARNED_MODELS_RULE, Rule, TxRequest,
    VALIDATOR_SET_RULE, WINDOWED_MODELS_RULE, contracts,
    outline::{ItemName, item_name},
    testing::{approved, genesis_of, validator, wallet},
};
use triad_evm::{Address, B256, I256, U256, bindings::IAutomations};
use triad_models::{AnomalySpec, RangeSpec, SilenceSpec, Spec};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

use super::block::{changed, is_change};
use crate::public_key;

const ED: Algorithm = Algorithm::EdDsa;
const K256: Algorithm = Algorithm::Es256k;

fn name(index: usize) -> String {
    format!("validator {index}")
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Statement(Bytes),
    Transaction(Bytes),
}

impl Payload {
    pub(super) fn bytes(&self) -> &Bytes {
        let (Self::Statement(bytes) | Self::Transaction(bytes)) = self;
        bytes
    }
}

/// A chain's genesis, and all that anybody says on it.
pub(super) struct World {
    pub(super) spec: ChainSpec,
    devices: [SigningKey; 3],
    /// Of all that ever are validators.
    secrets: Vec<[u8; 32]>,
    /// Who is none at genesis.
    pub(super) newcomer: Option<usize>,
    /// Secrets of those who are.
    founders: Vec<[u8; 32]>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    payloads: BTreeMap<u64, Payload>,
    items: BTreeMap<ItemName, u64>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// With validators of these secrets, but for one who comes later, if anybody does.
    pub(super) fn new(secrets: Vec<[u8; 32]>, newcomer: Option<usize>) -> Arc<Self> {
        let names: Vec<String> = (0..secrets.len()).map(name).collect();
        let validators: Vec<_> = (0..secrets.len())
            .filter(|index| Some(*index) != newcomer)
            .map(|index| (names[index].as_str(), secrets[index]))
            .collect();
        let range = Spec::Range(RangeSpec { low: Some(1.0), high: Some(9.0), ..RangeSpec::default() });
        let silence = Spec::Silence(SilenceSpec { interval_ms: 3000, grace_ms: 500 });
        let models = [range, silence]
            .map(|spec| triad_chain::DefaultModel { kind: spec.kind().into(), params: spec.params().into() });
        let mut genesis = genesis_of(&validators, models.into());
        let rules = [VALIDATOR_SET_RULE, LEARNED_MODELS_RULE, WINDOWED_MODELS_RULE, ATTESTED_MODELS_RULE];
        genesis.rules.extend(rules.map(|name| Rule { name: name.into(), height: 0 }));
        let founders = validators.iter().map(|(_, secret)| *secret).collect();
        // Signatures with P-256 take randomness, and no seed would repeat its run.
        let key = |n: u8| SigningKey::from_secret_bytes([ED, K256, ED][usize::from(n)], &[n + 1; 32]);
        let devices = [0, 1, 2].map(|n| key(n).expect("small numbers are valid secrets"));
        let spec = ChainSpec::new(genesis).expect("a valid genesis");
        Arc::new(Self { spec, devices, secrets, newcomer, founders, made: Mutex::default() })
    }

    pub(super) fn payload(&self, item: u64) -> Payload {
        if let Some(payload) = self.made.lock().payloads.get(&item) {
            return payload.clone();
        }
        let payload = self.make(item);
        let mut made = self.made.lock();
        made.items.insert(item_name(payload.bytes()), item);
        made.payloads.insert(item, payload.clone());
        payload
    }

    /// Which item these bytes are.
    pub(super) fn item(&self, bytes: &[u8]) -> Option<u64> {
        self.made.lock().items.get(&item_name(bytes)).copied()
    }

    /// A statement that no device of this chain signed.
    pub(super) fn strange(&self) -> Bytes {
        let stranger = SigningKey::from_secret_bytes(ED, &[99; 32]).expect("a secret");
        StatementBuilder::new(&stranger, Sequence::new(0, 0)).number("s0", None, 0.0, None).sign()
    }

    fn make(&self, item: u64) -> Payload {
        let chain_id = self.spec.genesis.chain_id;
        let owner = wallet(1).address();
        let ids = self.devices.each_ref().map(|key| key.public().id());
        match item {
            _ if is_change(item) => {
                let (count, which) = changed(item);
                let (nonce, secret) = (count - 1, self.secrets[which]);
                let change = if Some(which) == self.newcomer {
                    let entry = validator(&name(which), &secret, 200);
                    let candidate = Candidate::new(entry, format!("127.0.0.1:{}", 1000 + which));
                    Change::Add { validator: candidate.expect("a sound entry") }
                } else {
                    Change::Remove { consensus_key: public_key(&secret).into() }
                };
                self.call(7, nonce, approved(&change, nonce, &self.founders), 0)
            }
            0 => {
                let batch = self.devices.iter();
                let batch = batch.map(|key| contracts::registration(chain_id, owner, key, B256::ZERO));
                self.call(1, 0, contracts::register(batch.collect()), 0)
            }
            1 => self.call(
                1,
                1,
                contracts::bind_model(ids[0], "s0", &Spec::Anomaly(AnomalySpec::default())),
                0,
            ),
            2 => {
                let condition = IAutomations::Condition {
                    device: ids[1].0.into(),
                    name: "s1".into(),
                    source: 0,
                    op: 3,
                    threshold: I256::try_from(5_000_000_000_i64).expect("it fits"),
                    kinds: U256::ZERO,
                    minScore: 0,
                };
                let call = contracts::automation(condition, Address::repeat_byte(0x77), 200_000, 0);
                // The owner's third: the devices are registered by then.
                self.call(1, 2, call, 10_000_000_000_000_000)
            }
            _ if item.is_multiple_of(4) => {
                let payment = item / 4 - 1;
                let to = (Address::repeat_byte(payment as u8), Vec::new());
                self.call(3 + (payment % 4) as u8, payment / 4, to, 1 + payment)
            }
            _ => {
                let device = &self.devices[(item % 3) as usize];
                let value = (item * 7919 % 1000) as f64 / 100.0;
                let statement = StatementBuilder::new(device, Sequence::new(0, item as u32));
                let name = if item.is_multiple_of(2) { "s0" } else { "s1" };
                Payload::Statement(statement.number(name, Some("Cel"), value, None).sign())
            }
        }
    }

    fn call(&self, from: u8, nonce: u64, (to, input): contracts::Call, value: u64) -> Payload {
        let request = TxRequest {
            to: Some(to),
            value: U256::from(value),
            input: input.into(),
            nonce,
            gas_limit: 5_000_000,
            max_fee_per_gas: 2_000_000_000,
        };
        Payload::Transaction(wallet(from).transaction(self.spec.genesis.chain_id, request).into())
    }
}
