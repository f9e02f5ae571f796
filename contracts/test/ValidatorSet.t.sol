// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Validators} from "./Validators.sol";

/// @dev Who may change the set, and what a change must hold.
contract ValidatorSetTest is Validators {
    function setUp() public {
        _genesis(4);
    }

    // ------------------------------------------------------------------ genesis

    function test_genesisMakesEpochZero() public view {
        ValidatorMembers.Validator[] memory active = set.validators();
        vm.assertEq(active.length, 4, "active");
        vm.assertEq(keccak256(abi.encode(active)), keccak256(abi.encode(set.nextValidators())), "next");
        for (uint256 i; i < 4; ++i) {
            if (i > 0) {
                vm.assertTrue(active[i - 1].consensusKey < active[i].consensusKey, "in order of the keys");
            }
            vm.assertTrue(_isIn(active, i), "each is there");
        }
        vm.assertEq(set.epoch(), 0, "epoch");
        vm.assertEq(set.lastBlock(), 0, "last block");
        vm.assertEq(set.nonce(), 0, "nonce");
        vm.assertEq(set.quorum(), 3, "quorum");
        vm.assertEq(set.rules().length, 0, "rules");
        vm.assertEq(set.genesisHash(), GENESIS_HASH, "genesis hash");
    }

    function test_onlyTheChainInitializesAndOnce() public {
        ValidatorMembers.Validator[] memory list = new ValidatorMembers.Validator[](1);
        list[0] = _validator(9);
        bytes memory data = abi.encodeCall(set.initialize, (list, GENESIS_HASH));
        _fails(data, abi.encodeWithSelector(ValidatorSet.OnlySystem.selector));
        vm.prank(Addresses.SYSTEM_CALLER);
        _fails(data, abi.encodeWithSelector(ValidatorSet.AlreadyInitialized.selector));
    }

    function test_withoutInitializeNothingAnswers() public {
        vm.etch(address(0xC0DE), address(set).code);
        ValidatorSet empty = ValidatorSet(address(0xC0DE));
        vm.expectRevert(ValidatorSet.NotInitialized.selector);
        empty.quorum();
        vm.expectRevert(ValidatorSet.NotInitialized.selector);
        empty.remove(_key(0), new ValidatorSet.Approval[](0));
        ValidatorMembers.Validator[] memory list = new ValidatorMembers.Validator[](0);
        vm.expectRevert(abi.encodeWithSelector(ValidatorMembers.BadSize.selector, 0));
        vm.prank(Addresses.SYSTEM_CALLER);
        empty.initialize(list, GENESIS_HASH);
        list = new ValidatorMembers.Validator[](101);
        for (uint256 i; i < 101; ++i) {
            list[i] = _validator(i);
        }
        vm.expectRevert(abi.encodeWithSelector(ValidatorMembers.BadSize.selector, 101));
        vm.prank(Addresses.SYSTEM_CALLER);
        empty.initialize(list, GENESIS_HASH);
    }

    function test_genesisRefusesValidatorsThatShareKeys() public {
        vm.etch(address(0xC0DE), address(set).code);
        ValidatorSet empty = ValidatorSet(address(0xC0DE));
        ValidatorMembers.Validator[] memory list = new ValidatorMembers.Validator[](2);
        (list[0], list[1]) = (_validator(0), _validator(0));
        vm.expectRevert(abi.encodeWithSelector(ValidatorMembers.AlreadyValidator.selector, _key(0)));
        vm.prank(Addresses.SYSTEM_CALLER);
        empty.initialize(list, GENESIS_HASH);
        list[1].consensusKey = _key(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                ValidatorMembers.CheckpointAddressInUse.selector, list[0].checkpointAddress, _key(0)
            )
        );
        vm.prank(Addresses.SYSTEM_CALLER);
        empty.initialize(list, GENESIS_HASH);
    }

    // ------------------------------------------------------------------ changes

    function test_addingTellsTheNodeEverything() public {
        ValidatorMembers.Validator memory v = _validator(4);
        bytes memory data = _addCall(4);
        vm.expectEmit(true, true, false, true, address(set));
        emit ValidatorSet.ValidatorAdded(
            0, v.consensusKey, v.checkpointAddress, v.feeRecipient, v.name, v.network
        );
        vm.expectEmit(true, false, false, true, address(set));
        emit ValidatorSet.EpochEnds(0, 192);
        vm.prank(address(0xABCD)); // anybody
        _passes(data);
        vm.assertEq(set.nonce(), 1, "nonce");
        vm.assertEq(set.validators().length, 4, "the active set waits");
        vm.assertFalse(_isIn(set.validators(), 4), "it is not active yet");
        ValidatorMembers.Validator[] memory next = set.nextValidators();
        vm.assertEq(next.length, 5, "next");
        for (uint256 i; i < 5; ++i) {
            if (next[i].consensusKey == v.consensusKey) _assertSame(next[i], v);
        }
        vm.assertTrue(_isIn(next, 4), "it is next");
    }

    function test_removing() public {
        bytes memory data = _removeCall(2);
        vm.expectEmit(true, true, false, true, address(set));
        emit ValidatorSet.ValidatorRemoved(0, _key(2));
        vm.expectEmit(true, false, false, true, address(set));
        emit ValidatorSet.EpochEnds(0, 192);
        _passes(data);
        vm.assertTrue(_isIn(set.validators(), 2), "it stays active for now");
        vm.assertFalse(_isIn(set.nextValidators(), 2), "it leaves");
        vm.assertEq(set.nextValidators().length, 3, "next");
        _fails(_removeCall(2), abi.encodeWithSelector(ValidatorMembers.NotValidator.selector, _key(2)));
        _fails(_removeCall(7), abi.encodeWithSelector(ValidatorMembers.NotValidator.selector, _key(7)));
    }

    function test_replacingIsOneChange() public {
        bytes memory data = _replaceCall(1, 4);
        ValidatorMembers.Validator memory v = _validator(4);
        vm.expectEmit(true, true, false, true, address(set));
        emit ValidatorSet.ValidatorRemoved(0, _key(1));
        vm.expectEmit(true, true, false, true, address(set));
        emit ValidatorSet.ValidatorAdded(
            0, v.consensusKey, v.checkpointAddress, v.feeRecipient, v.name, v.network
        );
        _passes(data);
        vm.assertEq(set.nonce(), 1, "one nonce");
        ValidatorMembers.Validator[] memory next = set.nextValidators();
        vm.assertTrue(next.length == 4 && _isIn(next, 4) && !_isIn(next, 1), "next");
    }

    // ------------------------------------------------------------------ approvals

    function test_fewerThanAQuorumIsNotEnough() public {
        ValidatorSet.Approval[] memory approvals = new ValidatorSet.Approval[](2);
        bytes32 challenge = set.removeChallenge(_key(3));
        (approvals[0], approvals[1]) = (_approval(_key(0), challenge), _approval(_key(1), challenge));
        _fails(
            abi.encodeCall(set.remove, (_key(3), approvals)),
            abi.encodeWithSelector(ValidatorSet.TooFewApprovals.selector, 2, 3)
        );
    }

    function test_everyApprovalCounts() public {
        bytes32 challenge = set.removeChallenge(_key(3));
        ValidatorSet.Approval[] memory approvals = new ValidatorSet.Approval[](4);
        for (uint256 i; i < 4; ++i) {
            approvals[i] = _approval(_key(i), challenge);
        }
        approvals[3] = _approval(_key(8), challenge);
        _fails(
            abi.encodeCall(set.remove, (_key(3), approvals)),
            abi.encodeWithSelector(ValidatorSet.UnknownSigner.selector, _key(8))
        );
        approvals[3] = approvals[1];
        _fails(
            abi.encodeCall(set.remove, (_key(3), approvals)),
            abi.encodeWithSelector(ValidatorSet.DuplicateSigner.selector, _key(1))
        );
        approvals[3] = _approval(_key(3), keccak256("another challenge"));
        _fails(
            abi.encodeCall(set.remove, (_key(3), approvals)),
            abi.encodeWithSelector(ValidatorSet.WrongApproval.selector, _key(3), challenge)
        );
        approvals[3] = _approval(_key(3), challenge); // it may agree to its own removal
        bytes memory signature = approvals[0].signature;
        approvals[0].signature = bytes.concat(signature, hex"00");
        _fails(
            abi.encodeCall(set.remove, (_key(3), approvals)),
            abi.encodeWithSelector(ValidatorSet.WrongApproval.selector, _key(0), challenge)
        );
        approvals[0].signature = signature;
        _passes(abi.encodeCall(set.remove, (_key(3), approvals)));
    }

    function test_withoutThePrecompileNoApprovalCounts() public {
        bytes memory data = _removeCall(0);
        bytes32 challenge = set.removeChallenge(_key(0));
        bytes32 first = set.validators()[3].consensusKey;
        bytes memory wrong = abi.encodeWithSelector(ValidatorSet.WrongApproval.selector, first, challenge);
        vm.etch(Addresses.ED25519_VERIFY, "");
        _fails(data, wrong);
        vm.etch(Addresses.ED25519_VERIFY, hex"5f5ffd"); // reverts
        _fails(data, wrong);
    }

    function test_anApprovedChangePassesOnlyAsItWasApproved() public {
        ValidatorMembers.Validator memory v = _validator(4);
        ValidatorSet.Approval[] memory approvals = _quorum(set.addChallenge(v));
        bytes memory proof = _consensusProof(v);
        bytes memory checkpointProof = _checkpointProof(v, _secret(4));
        v.feeRecipient = address(0xBAD);
        (bool success,) = address(set).call(abi.encodeCall(set.add, (v, proof, checkpointProof, approvals)));
        vm.assertFalse(success, "another fee recipient");
        (success,) = address(set)
            .call(abi.encodeCall(set.replace, (_key(0), _validator(4), proof, checkpointProof, approvals)));
        vm.assertFalse(success, "another action");
        vm.chainId(1);
        v = _validator(4);
        (success,) = address(set)
            .call(
                abi.encodeCall(set.add, (v, _consensusProof(v), _checkpointProof(v, _secret(4)), approvals))
            );
        vm.assertFalse(success, "another chain");
        vm.chainId(31337);
        _passes(abi.encodeCall(set.add, (v, proof, checkpointProof, approvals)));
    }

    function test_aChangeUsesUpAllApprovals() public {
        bytes memory add = _addCall(4);
        bytes memory remove = _removeCall(3);
        bytes memory rule = _ruleCall("a", 1000);
        _passes(rule);
        for (uint256 i; i < 3; ++i) {
            (bool success, bytes memory output) = address(set).call(i == 0 ? add : i == 1 ? remove : rule);
            vm.assertFalse(success, "used up");
            vm.assertEq(bytes4(output), ValidatorSet.WrongApproval.selector, "by the nonce");
        }
        _passes(_addCall(4));
        _passes(_removeCall(3));
    }

    function test_approvalsAreByTheActiveSetNotByTheNext() public {
        _passes(_replaceCall(0, 4));
        bytes32 challenge = set.removeChallenge(_key(2));
        ValidatorSet.Approval[] memory approvals = new ValidatorSet.Approval[](3);
        for (uint256 i; i < 3; ++i) {
            approvals[i] = _approval(_key(i + 2), challenge); // 2, 3 and the new one
        }
        bytes memory data = abi.encodeCall(set.remove, (_key(2), approvals));
        _fails(data, abi.encodeWithSelector(ValidatorSet.UnknownSigner.selector, _key(4)));
        approvals[2] = _approval(_key(0), challenge);
        bytes memory leaving = abi.encodeCall(set.remove, (_key(2), approvals));
        // The same approvals in the next epoch: who left counts no longer, who came does.
        vm.roll(193);
        _fails(leaving, abi.encodeWithSelector(ValidatorSet.UnknownSigner.selector, _key(0)));
        _passes(data);
    }
}
