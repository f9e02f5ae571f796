use super::*;
use crate::app::{LatestReading, LatestVerdict, LogAt};
use crate::call::{CallRequest, CallStatus, Trial, call};
use crate::testing::{TestChain, code};
use crate::{CallOutcome, EmptyApp, GenesisAccount, to_e9};
use ed25519_zebra::SigningKey;

const STREAM: [u8; 32] = [0xab; 32];

struct App;

impl AppView for App {
    fn latest_reading(&self, stream: &[u8; 32]) -> Option<LatestReading> {
        (*stream == STREAM).then(|| LatestReading {
            leaf: 11,
            record: 3,
            time_ms: 1_700_000_000_123,
            value_e9: to_e9(-2.5).unwrap(),
            block_height: 9,
        })
    }

    fn latest_verdict(&self, stream: &[u8; 32]) -> Option<LatestVerdict> {
        (*stream == STREAM).then_some(LatestVerdict {
            leaf: 10,
            record: 2,
            model: 1_000,
            class: 1,
            kind: 8,
            score: 999_999,
            time_ms: 1_700_000_000_000,
            block_height: 8,
        })
    }

    fn log_at(&self, height: Option<u64>) -> Option<LogAt> {
        match height {
            None => Some(LogAt { height: 9, size: 100, root: [9; 32] }),
            Some(height) if height < 9 => Some(LogAt { height, size: height * 10, root: [1; 32] }),
            Some(_) => None,
        }
    }
}

fn run(app: impl AppView + 'static, to: Address, input: Vec<u8>, gas: u64, value: u64) -> CallOutcome {
    let from = Address::repeat_byte(1);
    let chain = TestChain::new(&[(from, GenesisAccount::funded(U256::from(1_000)))]);
    let request = CallRequest {
        from,
        to: Some(to),
        input: input.into(),
        gas: Some(gas),
        value: U256::from(value),
        ..CallRequest::default()
    };
    call(&Trial::new(&chain.state, Arc::new(app), chain.head), &request).unwrap()
}

fn read(to: Address, input: &[u8]) -> CallOutcome {
    run(App, to, input.to_vec(), 100_000, 0)
}

fn words(outcome: &CallOutcome) -> Vec<U256> {
    assert_eq!(outcome.status, CallStatus::Success);
    outcome.output.chunks_exact(32).map(U256::from_be_slice).collect()
}

#[test]
fn latest_reading_is_abi_encoded() {
    let answer = words(&read(LATEST_READING, &STREAM));
    let minus = U256::ZERO - U256::from(2_500_000_000u64);
    let expected = [1u64, 11, 3, 1_700_000_000_123, 0, 9].map(U256::from);
    assert_eq!(answer[..4], expected[..4]);
    assert_eq!(answer[4], minus);
    assert_eq!(answer[5], expected[5]);
    assert_eq!(answer.len(), 6);
    assert_eq!(words(&read(LATEST_READING, &[0; 32])), vec![U256::ZERO; 6]);
}

#[test]
fn latest_verdict_is_abi_encoded() {
    let answer = words(&read(LATEST_VERDICT, &STREAM));
    let expected = [1u64, 10, 2, 1_000, 1, 8, 999_999, 1_700_000_000_000, 8].map(U256::from);
    assert_eq!(answer, expected);
    assert_eq!(words(&read(LATEST_VERDICT, &[0; 32])), vec![U256::ZERO; 9]);
}

#[test]
fn log_answers_for_now_and_for_a_height() {
    let root = |byte| U256::from_be_bytes([byte; 32]);
    assert_eq!(words(&read(LOG, &[])), [U256::from(9), U256::from(100), root(9)]);
    let height = B256::from(U256::from(4));
    assert_eq!(words(&read(LOG, height.as_slice())), [U256::from(4), U256::from(40), root(1)]);
    for unknown in [U256::from(10), U256::MAX] {
        assert_eq!(read(LOG, B256::from(unknown).as_slice()).status, CallStatus::Revert);
    }
    assert_eq!(run(EmptyApp, LOG, vec![], 100_000, 0).status, CallStatus::Revert);
}

#[test]
fn wrong_lengths_and_value_revert() {
    for to in [LATEST_READING, LATEST_VERDICT] {
        for length in [0, 1, 31, 33, 64] {
            assert_eq!(read(to, &vec![0; length]).status, CallStatus::Revert, "{length}");
        }
    }
    for length in [1, 31, 33, 64] {
        assert_eq!(read(LOG, &vec![0; length]).status, CallStatus::Revert, "{length}");
    }
    assert_eq!(run(App, LATEST_READING, STREAM.to_vec(), 100_000, 5).status, CallStatus::Revert);
}

#[test]
fn gas_is_what_the_table_says() {
    // Intrinsic: 21,000 and 16 a byte that is not zero.
    let intrinsic = 21_000 + 32 * 16;
    assert_eq!(read(LATEST_READING, &STREAM).gas_used, intrinsic + READ_GAS);
    let enough = run(App, LATEST_READING, STREAM.to_vec(), intrinsic + READ_GAS, 0);
    assert_eq!(enough.status, CallStatus::Success);
    let short = run(App, LATEST_READING, STREAM.to_vec(), intrinsic + READ_GAS - 1, 0);
    assert!(matches!(short.status, CallStatus::Halt(_)));
    assert_eq!(ed25519_cost(&[0; 95]), 3_000);
    assert_eq!(ed25519_cost(&[0; 96]), 3_000);
    assert_eq!(ed25519_cost(&[0; 97]), 3_012);
    assert_eq!(ed25519_cost(&[0; 128]), 3_012);
    assert_eq!(ed25519_cost(&[0; 129]), 3_024);
}

#[test]
fn ed25519_verifies_and_refuses() {
    let key = SigningKey::from([7; 32]);
    let public: [u8; 32] = VerificationKey::from(&key).into();
    for message in [&b""[..], b"a", &[5; 100]] {
        let signature = key.sign(message).to_bytes();
        let input = [&public[..], &signature, message].concat();
        assert_eq!(words(&read(ED25519_VERIFY, &input)), [U256::from(1)]);
        for at in [0, 31, 32, 63, 64, 95] {
            let mut bad = input.clone();
            bad[at] ^= 1;
            assert_eq!(words(&read(ED25519_VERIFY, &bad)), [U256::ZERO], "byte {at}");
        }
        let mut longer = input.clone();
        longer.push(0);
        assert_eq!(words(&read(ED25519_VERIFY, &longer)), [U256::ZERO]);
    }
    for length in [0, 32, 95] {
        assert_eq!(words(&read(ED25519_VERIFY, &vec![0; length])), [U256::ZERO]);
    }
    // ZIP-215: the all-zero signature under the identity point is valid, as batch verification has it.
    let mut identity = vec![0; 96];
    identity[0] = 1;
    identity[32] = 1;
    assert_eq!(words(&read(ED25519_VERIFY, &identity)), [U256::from(1)]);
}

#[test]
fn p256_is_ethereums_own() {
    let p256 = address!("0x0000000000000000000000000000000000000100");
    // From EIP-7951's test vectors (Wycheproof ecdsa_secp256r1_sha256 #1).
    let input = alloy_primitives::hex!(
        "bb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023"
        "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
        "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"
        "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838"
        "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e"
    );
    let outcome = read(p256, &input);
    assert_eq!(words(&outcome), [U256::from(1)]);
    assert!(read(p256, &[0; 160]).output.is_empty());
}

#[test]
fn contracts_read_in_static_and_delegate_calls() {
    let contract = Address::repeat_byte(0xc0);
    // Copies the input to memory, (static|delegate)calls the precompile, returns what it returned.
    for (name, body) in [
        ("staticcall", "366000600037 60006000 36 6000 62010002 5afa 503d600060003e3d6000f3"),
        ("delegatecall", "366000600037 60006000 36 6000 62010002 5af4 503d600060003e3d6000f3"),
    ] {
        let chain = TestChain::new(&[(contract, GenesisAccount::contract(code(body)))]);
        let request =
            CallRequest { to: Some(contract), input: STREAM.to_vec().into(), ..CallRequest::default() };
        let outcome = call(&Trial::new(&chain.state, Arc::new(App), chain.head), &request).unwrap();
        assert_eq!(words(&outcome)[1], U256::from(11), "{name}");
    }
}
