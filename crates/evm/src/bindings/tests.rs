mod automations;
mod devices;
mod validators;

use super::*;
use crate::env::{SYSTEM_CALLER, VALIDATOR_SET};
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
    let mut all = ARTIFACTS.to_vec();
    all.push((VALIDATOR_SET, VALIDATOR_SET_ARTIFACT));
    let (_, text) = all.into_iter().find(|(at, _)| *at == address).unwrap();
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
    all::<IValidatorSet::IValidatorSetCalls>(VALIDATOR_SET);
}

#[test]
fn every_event_is_declared_as_the_contracts_emit_it() {
    // From `sol!`: the topics of each event, the first being its signature.
    fn event<E: SolEvent>(indexed: &[bool]) -> (B256, Vec<bool>) {
        (E::SIGNATURE_HASH, indexed.to_vec())
    }
    use {IAutomations as A, IDeviceRegistry as D, IModelRegistry as M, IValidatorSet as V};
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
    assert_eq!(
        events(VALIDATOR_SET),
        BTreeSet::from([
            event::<V::ValidatorAdded>(&[y, y, n, n, n, n]),
            event::<V::ValidatorRemoved>(&[y, y]),
            event::<V::EpochEnds>(&[y, n]),
            event::<V::RuleScheduled>(&[y, n, n]),
            event::<V::ValidatorFault>(&[y, n, n, n]),
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
