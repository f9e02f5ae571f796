//! Devices of every algorithm register and rotate, with proofs that another program made.

use super::*;
use crate::Executor;
use alloy_consensus::TxEip1559;

/// The chain id, the registry's address and the owner are part of what the vectors' keys signed.
fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../../../contracts/test/vectors/registration.json")).unwrap()
}

fn bytes(value: &Value) -> Bytes {
    value.as_str().unwrap().parse().unwrap()
}

fn send(executor: &mut Executor<'_>, from: &Wallet, nonce: &mut u64, input: Vec<u8>) -> (bool, Bytes) {
    let tx = from.sign(TxEip1559 {
        chain_id: 31_337,
        nonce: *nonce,
        gas_limit: 3_000_000,
        max_fee_per_gas: 100,
        to: DEVICE_REGISTRY.into(),
        input: input.into(),
        ..Default::default()
    });
    *nonce += 1;
    let outcome = executor.transaction(&tx).unwrap();
    (outcome.success, outcome.output)
}

#[test]
fn keys_of_every_algorithm_prove_possession() {
    let vectors = vectors();
    assert_eq!(vectors["registry"].as_str().unwrap().parse::<Address>().unwrap(), DEVICE_REGISTRY);
    let owner: Address = vectors["owner"].as_str().unwrap().parse().unwrap();
    let (mut chain, registrar) = chain();
    chain.head.chain_id = vectors["chainId"].as_u64().unwrap();
    let mut nonce = 0;
    let cases = vectors["cases"].as_array().unwrap();
    let ((), block) = chain.block(|executor| {
        for case in cases {
            let register = |proof: Bytes| {
                IDeviceRegistry::registerCall {
                    alg: case["algorithm"].as_u64().unwrap() as u8,
                    coseKey: bytes(&case["coseKey"]),
                    owner,
                    metadata: B256::ZERO,
                    proof,
                }
                .abi_encode()
            };
            let proof = bytes(&case["registrationProof"]);
            let mut forged = proof.to_vec();
            forged[40] ^= 1;
            assert!(!send(executor, &registrar, &mut nonce, register(forged.into())).0);
            let (success, output) = send(executor, &registrar, &mut nonce, register(proof.clone()));
            assert!(success, "{case}: {output}");
            let id = IDeviceRegistry::registerCall::abi_decode_returns(&output).unwrap();
            assert_eq!(id.as_slice(), &bytes(&case["id"])[..]);
            assert!(!send(executor, &registrar, &mut nonce, register(proof)).0, "registered twice");
        }
    });
    let registered: Vec<_> = block
        .receipts
        .iter()
        .flat_map(|receipt| &receipt.logs)
        .filter_map(|log| IDeviceRegistry::DeviceRegistered::decode_log(log).ok())
        .collect();
    assert_eq!(registered.len(), cases.len());
    for (event, case) in registered.iter().zip(cases) {
        assert_eq!(event.coseKey, bytes(&case["coseKey"]));
        assert_eq!(event.owner, owner);
    }
    let algorithms: BTreeSet<u8> = registered.iter().map(|event| event.alg).collect();
    assert_eq!(algorithms, BTreeSet::from([1, 2, 3]));
}

#[test]
fn strangers_register_nothing() {
    let vectors = vectors();
    let (mut chain, registrar) = chain();
    let stranger = Wallet::new(2);
    chain.head.chain_id = 31_337;
    let case = &vectors["cases"][0];
    let register = IDeviceRegistry::registerCall {
        alg: 1,
        coseKey: bytes(&case["coseKey"]),
        owner: vectors["owner"].as_str().unwrap().parse().unwrap(),
        metadata: B256::ZERO,
        proof: bytes(&case["registrationProof"]),
    };
    chain.block(|executor| {
        let gift = registrar.sign(TxEip1559 {
            chain_id: 31_337,
            gas_limit: 21_000,
            max_fee_per_gas: 100,
            to: stranger.address.into(),
            value: U256::from(ETHER / 2),
            ..Default::default()
        });
        assert!(executor.transaction(&gift).unwrap().success);
        assert!(!send(executor, &stranger, &mut 0, register.abi_encode()).0);
    });
}
