//! The life of an automation, on the compiled contracts.

use super::*;

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
