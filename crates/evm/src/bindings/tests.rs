use super::*;
use crate::env::SYSTEM_CALLER;
use crate::testing::{BASE_FEE, TestChain, Wallet};
use crate::{FIRING_CALLER, Firing, GenesisAccount};
use alloy_primitives::{B256, FixedBytes, I256, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolInterface};
use serde_json::Value;
use std::collections::BTreeSet;

/// `(type,type)` of an ABI parameter list, tuples spelt out.
fn types(parameters: &Value) -> String {
    let one = |parameter: &Value| {
        let name = parameter["type"].as_str().unwrap();
        match name.strip_prefix("tuple") {
            Some(array) => format!("{}{array}", types(&parameter["components"])),
            None => name.to_owned(),
        }
    };
    let all: Vec<String> = parameters.as_array().unwrap().iter().map(one).collect();
    format!("({})", all.join(","))
}

fn artifact(address: Address) -> Value {
    let (_, text) = ARTIFACTS.iter().find(|(at, _)| *at == address).unwrap();
    serde_json::from_str(text).unwrap()
}

fn selectors(address: Address) -> BTreeSet<[u8; 4]> {
    let signature = |entry: &Value| format!("{}{}", entry["name"].as_str().unwrap(), types(&entry["inputs"]));
    let abi = artifact(address)["abi"].as_array().unwrap().clone();
    abi.iter()
        .filter(|entry| entry["type"] == "function")
        .map(|entry| keccak256(signature(entry))[..4].try_into().unwrap())
        .collect()
}

/// (signature hash, which parameters are indexed) of every event.
fn events(address: Address) -> BTreeSet<(B256, Vec<bool>)> {
    let abi = artifact(address)["abi"].as_array().unwrap().clone();
    abi.iter()
        .filter(|entry| entry["type"] == "event")
        .map(|entry| {
            let signature = format!("{}{}", entry["name"].as_str().unwrap(), types(&entry["inputs"]));
            let indexed = entry["inputs"].as_array().unwrap().iter().map(|i| i["indexed"] == true);
            (keccak256(signature), indexed.collect())
        })
        .collect()
}

#[test]
fn declared_functions_are_in_the_contracts() {
    fn all<I: SolInterface>(address: Address) {
        let known = selectors(address);
        for selector in I::selectors() {
            assert!(known.contains(&selector), "{} declares {}", I::NAME, hex::encode(selector));
        }
    }
    all::<IDeviceRegistry::IDeviceRegistryCalls>(DEVICE_REGISTRY);
    all::<IModelRegistry::IModelRegistryCalls>(MODEL_REGISTRY);
    all::<IAutomations::IAutomationsCalls>(AUTOMATIONS);
}

#[test]
fn every_event_is_declared_as_the_contracts_emit_it() {
    // From `sol!`: the topics of each event, the first being its signature.
    fn event<E: SolEvent>(indexed: &[bool]) -> (B256, Vec<bool>) {
        (E::SIGNATURE_HASH, indexed.to_vec())
    }
    use {IAutomations as A, IDeviceRegistry as D, IModelRegistry as M};
    let (y, n) = (true, false);
    assert_eq!(
        events(DEVICE_REGISTRY),
        BTreeSet::from([
            event::<D::DeviceRegistered>(&[y, y, n, n, n]),
            event::<D::KeyRotated>(&[y, n, n]),
            event::<D::EpochRaised>(&[y, n]),
            event::<D::StatusChanged>(&[y, n]),
            event::<D::SpeakerChanged>(&[y, y, n]),
            event::<D::OwnerChanged>(&[y, y]),
            event::<D::MetadataChanged>(&[y, n]),
            event::<D::UnitChanged>(&[y, y, n]),
        ])
    );
    assert_eq!(
        events(MODEL_REGISTRY),
        BTreeSet::from([
            event::<M::ModelBound>(&[y, y, y, n, n, n, n]),
            event::<M::ModelUnbound>(&[y, y]),
            event::<M::StreamFrozen>(&[y, y, n, n]),
        ])
    );
    assert_eq!(
        events(AUTOMATIONS),
        BTreeSet::from([
            event::<A::Registered>(&[y, y, y, n, n, n, n, n, n, n, n, n]),
            event::<A::ToppedUp>(&[y, n]),
            event::<A::Closing>(&[y]),
            event::<A::Swept>(&[y, n]),
            event::<A::Withdrawn>(&[y, n]),
        ])
    );
}

#[test]
fn the_target_interface_is_the_one_in_contracts() {
    let text = include_str!("../../../../contracts/artifacts/ITriadTarget.json");
    let abi: Value = serde_json::from_str(text).unwrap();
    let entry = &abi["abi"][0];
    let signature = format!("{}{}", entry["name"].as_str().unwrap(), types(&entry["inputs"]));
    assert_eq!(ITriadTarget::onTriadCall::SELECTOR, keccak256(signature)[..4]);
}

const ETHER: u64 = 1_000_000_000_000_000_000;

fn chain() -> (TestChain, Wallet) {
    let owner = Wallet::new(1);
    let mut alloc: Vec<(Address, GenesisAccount)> = system_contracts()
        .into_iter()
        .map(|(address, code)| (address, GenesisAccount::contract(code)))
        .collect();
    alloc.push((owner.address, GenesisAccount::funded(U256::from(ETHER))));
    let mut chain = TestChain::new(&alloc);
    let ((), block) = chain.block(|executor| {
        let registry = IDeviceRegistry::initializeCall { registrars: vec![owner.address], open_: false };
        let automations =
            IAutomations::initializeCall { feeRecipient_: owner.address, minDeposit_: U256::from(1) };
        assert!(executor.system_call(DEVICE_REGISTRY, registry.abi_encode().into()).unwrap().success);
        assert!(executor.system_call(AUTOMATIONS, automations.abi_encode().into()).unwrap().success);
        // Only once.
        assert!(!executor.system_call(AUTOMATIONS, automations.abi_encode().into()).unwrap().success);
    });
    assert!(block.transactions.is_empty());
    (chain, owner)
}

#[test]
fn an_automation_is_debited_refunded_and_closed_by_the_node_alone() {
    let (mut chain, owner) = chain();
    let salt = B256::repeat_byte(1);
    let deposit = ETHER / 10;
    let register_device =
        IDeviceRegistry::registerUnsignedCall { owner: owner.address, salt, metadata: B256::ZERO };
    let (outcome, block) = chain.block(|executor| {
        executor.transaction(&owner.call(0, DEVICE_REGISTRY, 0, register_device.abi_encode())).unwrap()
    });
    assert!(outcome.success, "{}", outcome.output);
    let registered = IDeviceRegistry::DeviceRegistered::decode_log(&block.receipts[0].logs[0]).unwrap();
    assert_eq!(registered.alg, 0);
    let device: FixedBytes<20> = registered.id;

    let condition = IAutomations::Condition {
        device,
        name: "temp".to_owned(),
        source: 0,
        op: 3,
        threshold: I256::ONE,
        kinds: U256::ZERO,
        minScore: 0,
    };
    let target = Address::repeat_byte(0x99);
    let register =
        IAutomations::registerCall { c: condition, target, gasLimit: 100_000, cooldownMs: 0 }.abi_encode();
    let (tx, block) = {
        let tx = owner.sign(alloy_consensus::TxEip1559 {
            chain_id: crate::testing::CHAIN_ID,
            nonce: 1,
            gas_limit: 1_000_000,
            max_fee_per_gas: 100,
            to: AUTOMATIONS.into(),
            value: U256::from(deposit),
            input: register.into(),
            ..Default::default()
        });
        chain.block(|executor| executor.transaction(&tx).unwrap())
    };
    assert!(tx.success, "{}", tx.output);
    let logs = &block.receipts[0].logs;
    let registered = IAutomations::Registered::decode_log(&logs[0]).unwrap();
    assert_eq!(registered.balance, U256::from(deposit));
    let id = registered.id;

    chain.block(|executor| {
        let amount = U256::from(100_000 * BASE_FEE);
        let debit = IAutomations::debitCall { id, amount }.abi_encode();
        let outcome = executor.system_call(AUTOMATIONS, debit.clone().into()).unwrap();
        let answer = IAutomations::debitCall::abi_decode_returns(&outcome.output).unwrap();
        assert!(answer.ok);
        assert_eq!(answer.balance, U256::from(deposit) - amount);
        let input = ITriadTarget::onTriadCall {
            registrationId: id,
            owner: owner.address,
            stream: B256::ZERO,
            leafIndex: 0,
            timeMs: 0,
            value: I256::ONE,
            kind: 0,
        };
        let firing = Firing {
            height: 3,
            ordinal: 0,
            registration: id,
            gas: 100_000,
            to: target,
            input: input.abi_encode().into(),
        };
        let fired = executor.firing(&firing).unwrap();
        let unused = U256::from((100_000 - fired.gas_used) * BASE_FEE);
        let refund = IAutomations::refundCall { id, amount: unused }.abi_encode();
        let outcome = executor.system_call(AUTOMATIONS, refund.into()).unwrap();
        let balance = IAutomations::refundCall::abi_decode_returns(&outcome.output).unwrap();
        assert_eq!(balance, U256::from(deposit - fired.gas_used * BASE_FEE));
        // Nobody else may: neither its owner, nor a contract that a firing calls.
        assert!(!executor.transaction(&owner.call(2, AUTOMATIONS, 0, debit.clone())).unwrap().success);
        let sneaky = Firing { to: AUTOMATIONS, input: debit.into(), ordinal: 1, ..firing };
        assert!(!executor.firing(&sneaky).unwrap().success);
        let close = IAutomations::closeCall { id, owed: U256::ZERO }.abi_encode();
        let cancel = IAutomations::cancelCall { id }.abi_encode();
        assert!(executor.transaction(&owner.call(3, AUTOMATIONS, 0, cancel)).unwrap().success);
        assert!(executor.system_call(AUTOMATIONS, close.into()).unwrap().success);
    });
    for nobody in [SYSTEM_CALLER, FIRING_CALLER] {
        assert!(!chain.state.accounts.contains_key(&nobody));
    }
}
