//! A chain with one validator and no consensus engine, for tests of whatever stands on the ledger: blocks are built,
//! certified with the validator's real key and committed as soon as there is work.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use tokio::sync::oneshot;
use triad_log::{Certificate, Checkpoint};

use crate::state::Record as _;
use crate::submit::{Arrived, hand_over, queue_transaction, verified};
use crate::*;

/// Secret of the validator's consensus key.
const VALIDATOR: [u8; 32] = [7; 32];

const CHAIN_ID: u64 = 7423;

/// The account at an index; each holds a million coins in [`genesis`]. Account 0 is the registrar.
pub fn wallet(index: u8) -> Wallet {
    Wallet::from_secret(&[index + 1; 32]).expect("small numbers are valid secrets")
}

fn consensus_key() -> ed25519_zebra::SigningKey {
    ed25519_zebra::SigningKey::from(VALIDATOR)
}

/// A genesis with one validator, open registration, eight funded accounts and the given default models.
pub fn genesis(default_models: Vec<DefaultModel>) -> Genesis {
    genesis_of(&[("solo", VALIDATOR)], default_models)
}

/// What a validator says of itself. It has two accounts, from this index on.
pub fn validator(name: &str, secret: &[u8; 32], wallets: u8) -> Validator {
    let (key, checkpoint) = (ed25519_zebra::SigningKey::from(*secret), wallet(wallets));
    let public: [u8; 32] = ed25519_zebra::VerificationKey::from(&key).into();
    let message = Validator::possession_message(CHAIN_ID, &public, &checkpoint.address());
    let proof: [u8; 64] = key.sign(&message).into();
    Validator {
        name: name.to_owned(),
        consensus_key: Bytes::copy_from_slice(&public),
        checkpoint_address: checkpoint.address(),
        fee_recipient: wallet(wallets + 1).address(),
        consensus_proof: Bytes::copy_from_slice(&proof),
        checkpoint_proof: Bytes::copy_from_slice(&checkpoint.sign_hash(&keccak256(&message)).as_bytes()),
    }
}

/// The call of the change of this number, approved with these consensus keys' secrets.
pub fn approved(change: &Change, nonce: u64, secrets: &[[u8; 32]]) -> contracts::Call {
    let challenge = change.challenge(CHAIN_ID, nonce);
    let approve = |secret: &[u8; 32]| {
        let key = ed25519_zebra::SigningKey::from(*secret);
        let public: [u8; 32] = ed25519_zebra::VerificationKey::from(&key).into();
        let signature: [u8; 64] = key.sign(challenge.as_slice()).into();
        Approval { consensus_key: public.into(), signature: Bytes::copy_from_slice(&signature) }
    };
    change.call(&secrets.iter().map(approve).collect::<Vec<_>>())
}

/// The same with these validators, by name and the secret of the consensus key.
pub fn genesis_of(validators: &[(&str, [u8; 32])], default_models: Vec<DefaultModel>) -> Genesis {
    Genesis {
        version: GENESIS_VERSION,
        name: "test".into(),
        chain_id: CHAIN_ID,
        time_ms: 1_700_000_000_000,
        validators: (100..)
            .step_by(2)
            .zip(validators)
            .map(|(wallets, (name, secret))| validator(name, secret, wallets))
            .collect(),
        registrars: vec![wallet(0).address()],
        open_registration: 1,
        fees: Fees { base_fee: 1_000_000_000, evaluation_gas: 2_000, base_fee_to: None },
        limits: Limits::default(),
        default_models,
        accounts: (0..8)
            .map(|i| FundedAccount {
                address: wallet(i).address(),
                balance: "1000000000000000000000000".into(),
            })
            .collect(),
        rules: vec![Rule { name: "v1".into(), height: 0 }],
    }
}

/// A ledger whose machine is simulated: it has this clock, in milliseconds since 1970, and nothing is synced.
pub fn simulated(
    dir: &Path,
    spec: ChainSpec,
    clock: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<Ledger, ChainError> {
    Ledger::open_timed(dir, spec, HISTORY, false, Box::new(clock))
}

/// Hands a statement in as a door does, and verifies it at once instead of in a thread of its own.
pub fn submit_now(ledger: &Ledger, statement: bytes::Bytes) -> oneshot::Receiver<Answer> {
    let (waiter, answer) = oneshot::channel();
    let arrived = Arrived { bytes: statement, waiter, source: Arc::default(), relayed: false };
    hand_over(ledger, verified(ledger, vec![arrived]));
    answer
}

/// Hands a transaction in as a door does.
pub fn send_now(ledger: &Ledger, raw: &[u8]) -> Result<B256, TxRefusal> {
    queue_transaction(ledger, raw, false)
}

/// Waits for the snapshot that is being made, if any. There must be the certificate that it waits for.
pub fn snapshot_made(ledger: &Ledger) {
    ledger.0.snapshots.made();
}

/// Forgets the latest reading of a stream, as a ledger might whose start derives its state wrongly.
pub fn forget_a_reading(ledger: &Ledger) {
    let latest = &ledger.0.store.state.latest;
    for (key, _) in latest.page(None, 1).expect("rows are read") {
        let mut bytes = Vec::new();
        Latest::write_key(&key, &mut bytes);
        latest.overlay(&bytes, None).expect("the key is one");
    }
}

/// A block of these parts, valid or not; the checkpoint's hash of the body is made to fit.
pub fn forged(mut checkpoint: Checkpoint, body: Body) -> Block {
    let bytes = body.encode();
    checkpoint.body_hash = crate::block::body_hash(&bytes);
    Block::assemble(checkpoint, body, &bytes)
}

/// The certificate that a lone validator's finalisation of a block has.
pub fn certificate(spec: &ChainSpec, block: &Block) -> Vec<u8> {
    let view = block.height();
    let mut certificate = Certificate {
        epoch: 0,
        view,
        parent_view: view.saturating_sub(1),
        digest: block.digest,
        validators: 1,
        signatures: Vec::new(),
    };
    let message = triad_log::finalize_message(&spec.namespace(), &certificate.proposal());
    certificate.signatures = vec![(0, consensus_key().sign(&message).into())];
    certificate.encode()
}

/// A reader that signs checkpoints, as that of the lone validator's node does.
pub fn reader(ledger: &Ledger) -> Reader {
    Reader::new(ledger.clone()).with_signer(Some(CheckpointSigner::new(ledger.spec(), wallet(100))))
}

/// A running chain. Dropping it stops the driver.
#[derive(Debug)]
pub struct TestChain {
    pub ledger: Ledger,
    pub submitter: Submitter,
    pub reader: Reader,
    stop: Arc<AtomicBool>,
    driver: Option<std::thread::JoinHandle<()>>,
}

impl TestChain {
    pub fn start(dir: &Path) -> TestChain {
        TestChain::with_genesis(dir, genesis(Vec::new()))
    }

    pub fn with_genesis(dir: &Path, genesis: Genesis) -> TestChain {
        TestChain::keeping(dir, genesis, HISTORY)
    }

    /// A chain that keeps the state of so many blocks before the head.
    pub fn keeping(dir: &Path, genesis: Genesis, history: u64) -> TestChain {
        let spec = ChainSpec::new(genesis).expect("a valid genesis");
        let ledger = Ledger::open_keeping(dir, spec, history).expect("the ledger opens");
        let submitter = Submitter::start(ledger.clone(), 1).expect("threads start");
        let stop = Arc::new(AtomicBool::new(false));
        let driver = {
            let (ledger, stop) = (ledger.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if !advance(&ledger, false) {
                        std::thread::sleep(std::time::Duration::from_millis(1));
                    }
                }
            })
        };
        let reader = reader(&ledger);
        TestChain { ledger, submitter, reader, stop, driver: Some(driver) }
    }

    /// Commits an empty block.
    pub fn heartbeat(&self) {
        while !advance(&self.ledger, true) {}
    }

    /// Deploys a contract by its creation code.
    pub fn deploy(&self, from: &Wallet, creation: Vec<u8>) -> Address {
        let sent = self.send(from, None, creation, U256::ZERO);
        sent.block.receipts[sent.index].contract_address.expect("a creation has an address")
    }

    /// Puts a model's file on the chain, as `triad models register` does.
    pub fn model_file(&self, from: &Wallet, file: &[u8]) -> Address {
        let chunks: Vec<Address> = model_files::chunk_creations(file)
            .into_iter()
            .map(|creation| self.deploy(from, creation))
            .collect();
        self.deploy(from, model_files::file_creation(&chunks))
    }

    /// Sends a transaction and waits until it is final. Panics when it reverts.
    pub fn send(&self, from: &Wallet, to: Option<Address>, input: Vec<u8>, value: U256) -> EthBlockAndIndex {
        let sent = self.try_send(from, to, input, value);
        assert!(sent.block.receipts[sent.index].success, "the transaction reverted");
        sent
    }

    /// Sends a transaction and waits until it is final, whatever became of it.
    pub fn try_send(
        &self,
        from: &Wallet,
        to: Option<Address>,
        input: Vec<u8>,
        value: U256,
    ) -> EthBlockAndIndex {
        let hash = self.post(from, to, input, value);
        for _ in 0..20_000 {
            if let Some((height, index)) = self.reader.eth_transaction(&hash).expect("readable") {
                let block = self.reader.eth_block(height).expect("readable").expect("stored");
                return EthBlockAndIndex { block, index: index as usize };
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("the transaction is not final after 20 s");
    }

    /// Sends a transaction without waiting.
    pub fn post(&self, from: &Wallet, to: Option<Address>, input: Vec<u8>, value: U256) -> B256 {
        let nonce = self.reader.pending_nonce(&from.address()).expect("readable");
        let request = TxRequest {
            to,
            value,
            input: input.into(),
            nonce,
            gas_limit: 10_000_000,
            max_fee_per_gas: 2_000_000_000,
        };
        let raw = from.transaction(self.reader.spec().genesis.chain_id, request);
        self.submitter.transaction(&raw).expect("the pool takes it")
    }

    /// Submits a statement and waits for the answer.
    pub fn statement(&self, bytes: impl Into<bytes::Bytes>) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.submitter.statement(bytes.into()))
    }
}

impl Drop for TestChain {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(driver) = self.driver.take() {
            // A panic of the driver has been printed; a second one here would hide it.
            let _ = driver.join();
        }
    }
}

/// A transaction's block and its place in it.
#[derive(Debug)]
pub struct EthBlockAndIndex {
    pub block: Arc<EthBlock>,
    pub index: usize,
}

/// Builds and commits one block, if there is work or if it must.
pub fn advance(ledger: &Ledger, must: bool) -> bool {
    let (_, digest) = Reader::new(ledger.clone()).tip();
    match ledger.propose(&digest, 0, must).expect("the ledger proposes") {
        None => false,
        Some(block) => {
            let certificate = certificate(ledger.spec(), &block);
            // Two drivers may race; the second block of a height is refused and built again.
            ledger.finalize(&block.bytes, Some(&certificate)).is_ok()
        }
    }
}
