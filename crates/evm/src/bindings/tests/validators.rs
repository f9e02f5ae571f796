//! The validators of a chain change themselves, with keys and signatures that another program made and the real Ed25519
//! precompile.

use super::*;
use IValidatorSet as V;
use alloy_consensus::TxEip1559;
use alloy_sol_types::SolEventInterface as _;

struct Network {
    vectors: Value,
    chain: TestChain,
    sender: Wallet,
    nonce: u64,
}

fn bytes(value: &Value) -> Bytes {
    value.as_str().unwrap().parse().unwrap()
}

fn word(value: &Value) -> B256 {
    value.as_str().unwrap().parse().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

impl Network {
    /// A chain of the first four validators, at block 100.
    fn new() -> Network {
        let text = include_str!("../../../../../contracts/test/vectors/validators.json");
        let vectors: Value = serde_json::from_str(text).unwrap();
        assert_eq!(vectors["contract"].as_str().unwrap().parse::<Address>().unwrap(), VALIDATOR_SET);
        let sender = Wallet::new(1);
        let mut chain = TestChain::new(&[
            (VALIDATOR_SET, GenesisAccount::contract(validator_set_code())),
            (sender.address, GenesisAccount::funded(U256::from(ETHER))),
        ]);
        chain.head.chain_id = vectors["chainId"].as_u64().unwrap();
        let mut network = Network { vectors, chain, sender, nonce: 0 };
        let validators_ = (0..4).map(|n| network.validator(n)).collect();
        let input = V::initializeCall { validators_, genesisHash_: word(&network.vectors["genesisHash"]) };
        network.chain.block(|executor| {
            assert!(executor.system_call(VALIDATOR_SET, input.abi_encode().into()).unwrap().success);
        });
        network.chain.head.number = 100;
        network
    }

    fn validator(&self, n: usize) -> V::Validator {
        let v = &self.vectors["validators"][n];
        V::Validator {
            consensusKey: word(&v["consensusKey"]),
            checkpointAddress: v["checkpointAddress"].as_str().unwrap().parse().unwrap(),
            feeRecipient: v["feeRecipient"].as_str().unwrap().parse().unwrap(),
            name: v["name"].as_str().unwrap().into(),
            network: v["network"].as_str().unwrap().into(),
        }
    }

    fn proof(&self, n: usize, which: &str) -> Bytes {
        bytes(&self.vectors["validators"][n][which])
    }

    fn approvals(&self, change: usize) -> Vec<V::Approval> {
        let change = &self.vectors["changes"][change];
        let signers = change["signers"].as_array().unwrap().iter();
        let approvals = signers.zip(change["approvals"].as_array().unwrap()).map(|(signer, signature)| {
            let key = self.validator(signer.as_u64().unwrap() as usize).consensusKey;
            V::Approval { consensusKey: key, signature: bytes(signature) }
        });
        approvals.collect()
    }

    /// Sends a transaction in a block of its own; what its gas and its events were, or why it reverted.
    fn send(&mut self, call: &impl SolCall) -> Result<(u64, Vec<alloy_primitives::Log>), Bytes> {
        let tx = self.sender.sign(TxEip1559 {
            chain_id: self.chain.head.chain_id,
            nonce: self.nonce,
            gas_limit: 3_000_000,
            max_fee_per_gas: 100,
            to: VALIDATOR_SET.into(),
            input: call.abi_encode().into(),
            ..Default::default()
        });
        self.nonce += 1;
        let (outcome, block) = self.chain.block(|executor| executor.transaction(&tx).unwrap());
        if !outcome.success {
            return Err(outcome.output);
        }
        Ok((outcome.gas_used, block.receipts[0].logs.clone()))
    }

    fn ask<C: SolCall>(&mut self, call: &C) -> C::Return {
        let (outcome, _) = self
            .chain
            .block(|executor| executor.system_call(VALIDATOR_SET, call.abi_encode().into()).unwrap());
        assert!(outcome.success);
        self.chain.head.number -= 1;
        C::abi_decode_returns(&outcome.output).unwrap()
    }

    fn add(&self) -> V::addCall {
        V::addCall {
            v: self.validator(4),
            consensusProof: self.proof(4, "consensusProof"),
            checkpointProof: self.proof(4, "checkpointProof"),
            approvals: self.approvals(0),
        }
    }
}

fn flipped(signature: &Bytes) -> Bytes {
    let mut forged = signature.to_vec();
    forged[40] ^= 1;
    forged.into()
}

/// The names of the events, in order.
fn names(logs: &[alloy_primitives::Log]) -> Vec<&'static str> {
    let name = |log: &alloy_primitives::Log| match V::IValidatorSetEvents::decode_log(log).unwrap().data {
        V::IValidatorSetEvents::ValidatorAdded(_) => "added",
        V::IValidatorSetEvents::ValidatorRemoved(_) => "removed",
        V::IValidatorSetEvents::EpochEnds(_) => "ends",
        V::IValidatorSetEvents::RuleScheduled(_) => "rule",
        V::IValidatorSetEvents::ValidatorFault(_) => "fault",
    };
    logs.iter().map(name).collect()
}

#[test]
fn approved_changes_pass_and_become_the_next_set() {
    let mut network = Network::new();
    let add = network.add();
    let (gas, logs) = network.send(&add).unwrap();
    println!("a transaction that adds a validator, four validators, three approvals: {gas} gas");
    assert!(gas <= 221_000, "{gas}");
    assert_eq!(names(&logs), ["added", "ends"]);
    let added = V::ValidatorAdded::decode_log(&logs[0]).unwrap();
    assert_eq!((added.nonce, added.consensusKey), (0, network.validator(4).consensusKey));
    assert_eq!((&added.name, &added.network), (&network.validator(4).name, &network.validator(4).network));
    let ends = V::EpochEnds::decode_log(&logs[1]).unwrap();
    assert_eq!((ends.epoch, ends.lastBlock), (0, 192));

    let remove =
        V::removeCall { consensusKey: network.validator(0).consensusKey, approvals: network.approvals(1) };
    let (gas, logs) = network.send(&remove).unwrap();
    println!("… that removes one: {gas} gas");
    assert_eq!(names(&logs), ["removed"]);
    let rule =
        V::scheduleRuleCall { rule: "wide-sums-2".into(), height: 100_000, approvals: network.approvals(2) };
    let (gas, logs) = network.send(&rule).unwrap();
    println!("… that schedules a rule: {gas} gas");
    assert_eq!(names(&logs), ["rule"]);
    let replace = V::replaceCall {
        consensusKey: network.validator(1).consensusKey,
        v: network.validator(5),
        consensusProof: network.proof(5, "consensusProof"),
        checkpointProof: network.proof(5, "checkpointProof"),
        approvals: network.approvals(3),
    };
    let (gas, logs) = network.send(&replace).unwrap();
    println!("… that replaces one: {gas} gas");
    assert_eq!(names(&logs), ["removed", "added"]);

    let sorted = |network: &Network, members: [usize; 4]| {
        let mut set = members.map(|n| network.validator(n));
        set.sort_by_key(|v| v.consensusKey);
        set.to_vec()
    };
    let (old, new) = (sorted(&network, [0, 1, 2, 3]), sorted(&network, [2, 3, 4, 5]));
    network.chain.head.number = 192;
    assert_eq!(network.ask(&V::validatorsCall {}), old);
    assert_eq!(network.ask(&V::nextValidatorsCall {}), new);
    network.chain.head.number = 193;
    assert_eq!(network.ask(&V::validatorsCall {}), new);
    assert_eq!((network.ask(&V::epochCall {}), network.ask(&V::nonceCall {})), (1, 4));
}

#[test]
fn forged_signatures_change_nothing() {
    let mut network = Network::new();
    let right = network.add();
    for n in 0..3 {
        let mut add = right.clone();
        add.approvals[n].signature = flipped(&add.approvals[n].signature);
        network.send(&add).unwrap_err();
    }
    let forged = flipped(&right.consensusProof);
    network.send(&V::addCall { consensusProof: forged, ..right.clone() }).unwrap_err();
    let forged = flipped(&right.checkpointProof);
    network.send(&V::addCall { checkpointProof: forged, ..right.clone() }).unwrap_err();
    assert_eq!(network.ask(&V::nonceCall {}), 0);
    network.send(&right).unwrap();
    network.send(&right).unwrap_err();
}

#[test]
fn votes_that_contradict_each_other_are_recorded() {
    let mut network = Network::new();
    let faults = network.vectors["faults"].as_array().unwrap().clone();
    let key = network.validator(3).consensusKey;
    let mut recorded = 0;
    for fault in faults.iter().filter(|fault| fault["epoch"] == "0") {
        let vote = |n: usize| V::Vote {
            parentView: number(&fault["votes"][n]["parentView"]),
            digest: word(&fault["votes"][n]["digest"]),
            signature: bytes(&fault["votes"][n]["signature"]),
        };
        let right = V::submitFaultCall {
            consensusKey: key,
            kind: fault["kind"].as_u64().unwrap() as u8,
            epoch_: 0,
            view_: number(&fault["view"]),
            first: vote(0),
            second: vote(1),
        };
        for forge_first in [true, false] {
            let mut forged = right.clone();
            let vote = if forge_first { &mut forged.first } else { &mut forged.second };
            vote.signature = flipped(&vote.signature);
            network.send(&forged).unwrap_err();
        }
        let (gas, logs) = network.send(&right).unwrap();
        println!("a fault of kind {}: {gas} gas", right.kind);
        assert_eq!(names(&logs), ["fault"]);
        let event = V::ValidatorFault::decode_log(&logs[0]).unwrap();
        assert_eq!((event.consensusKey, event.view_, event.kind), (key, right.view_, right.kind));
        recorded += 1;
    }
    assert_eq!(recorded, 5);
    assert_eq!(network.ask(&V::faultsCall { consensusKey: key }), 5);
}

/// Genesis of a chain without the contract keeps its state root.
#[test]
fn it_is_no_part_of_every_genesis() {
    assert!(system_contracts().iter().all(|(address, _)| *address != VALIDATOR_SET));
    assert!(!validator_set_code().is_empty());
}
