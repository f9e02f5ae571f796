// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {TriadCheckpoint} from "../src/TriadCheckpoint.sol";
import {TriadVerifier} from "../src/TriadVerifier.sol";
import {VerifierChain} from "./VerifierChain.sol";

/// @dev Validator sets: the first, and those that follow it.
contract TriadVerifierEpochsTest is VerifierChain {
    TriadVerifier private verifier;

    function setUp() public {
        _load();
        verifier = _deployed("chain");
    }

    function test_validatorsFollowEachOther() public {
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.UnknownEpoch.selector, 1, 0));
        verifier.verifyCheckpoint(_checkpoint("chain", 3), _signatures("chain", 3));
        vm.prank(address(0xBEEF)); // anybody
        verifier.handOver(_checkpoint("chain", 2), _signatures("chain", 2), _set("chain", 1));
        vm.assertEq(abi.encode(verifier.validatorsOf(1)), abi.encode(_validators("chain", 1)), "seven");
        vm.assertEq(verifier.epoch(), 1, "epoch");
        verifier.verifyCheckpoint(_checkpoint("chain", 3), _signatures("chain", 3));
        address[] memory next = _validators("chain", 2);
        vm.expectEmit(true, true, true, true, address(verifier));
        emit TriadVerifier.HandedOver(2, 3, next);
        verifier.handOver(_checkpoint("chain", 3), _signatures("chain", 3), _set("chain", 2));
        // The checkpoints of all three epochs, by their own sets.
        for (uint256 height = 1; height <= 4; ++height) {
            verifier.verifyCheckpoint(_checkpoint("chain", height), _signatures("chain", height));
        }
        (bytes32 digest, uint64 height_) = verifier.ends(1);
        (bytes32 expected,) = _digest("chain", 3);
        vm.assertEq(digest, expected, "the end of epoch 1");
        vm.assertEq(height_, 3, "its height");
    }

    function test_oneLessThanAQuorumOfTheNewSetIsNotEnough() public {
        _follow(verifier, 1);
        TriadVerifier.Signature[] memory all = _signatures("chain", 3);
        vm.assertEq(all.length, 7, "seven validators");
        verifier.verifyCheckpoint(_checkpoint("chain", 3), _firstOf(all, 5));
        TriadVerifier.Signature[] memory few = _firstOf(all, 4);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NoQuorum.selector, 4, 5));
        verifier.handOver(_checkpoint("chain", 3), few, _set("chain", 2));
    }

    function test_aHandOverIsDoneOnce() public {
        _follow(verifier, 1);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.OtherEpoch.selector, 0, 1));
        verifier.handOver(_checkpoint("chain", 2), _signatures("chain", 2), _set("chain", 1));
    }

    function test_onlyTheLastCheckpointOfAnEpochHandsOver() public {
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NotLastOfEpoch.selector, 1));
        verifier.handOver(_checkpoint("chain", 1), _signatures("chain", 1), _set("chain", 1));
    }

    function test_everyByteOfTheSetCounts() public {
        bytes memory set = _set("chain", 1);
        bytes memory checkpoint = _checkpoint("chain", 2);
        TriadVerifier.Signature[] memory signatures = _signatures("chain", 2);
        for (uint256 i; i < set.length; ++i) {
            set[i] ^= bytes1(uint8(1 << (i % 8)));
            vm.expectPartialRevert(TriadVerifier.OtherSet.selector);
            verifier.handOver(checkpoint, signatures, set);
            set[i] ^= bytes1(uint8(1 << (i % 8)));
        }
        verifier.handOver(checkpoint, signatures, set);
    }

    /// @dev Sets that a quorum committed to and that would still break the count of signers.
    function test_aCommittedSetMustBeOneToo() public {
        bytes32 low = bytes32(uint256(1));
        bytes32 high = bytes32(uint256(2));
        address a = address(0xA);
        address b = address(0xB);
        _handOverRefused(abi.encodePacked(hex"02", high, a, low, b), TriadVerifier.MalformedSet.selector);
        _handOverRefused(abi.encodePacked(hex"02", low, a, low, b), TriadVerifier.MalformedSet.selector);
        _handOverRefused(abi.encodePacked(hex"01", low, a, high, b), TriadVerifier.MalformedSet.selector);
        _handOverRefused(
            abi.encodePacked(hex"02", low, a, high, b, hex"00"), TriadVerifier.MalformedSet.selector
        );
        _handOverRefused(abi.encodePacked(low, a), TriadVerifier.MalformedSet.selector);
        _handOverRefused("", TriadVerifier.MalformedSet.selector);
        _handOverRefused(hex"02", TriadVerifier.ValidatorCount.selector);
        _handOverRefused(abi.encodePacked(hex"02", low, a, high, a), TriadVerifier.BadValidator.selector);
        _handOverRefused(
            abi.encodePacked(hex"02", low, a, high, address(0)), TriadVerifier.BadValidator.selector
        );
        _handOver(abi.encodePacked(hex"02", low, a, high, b));
        vm.assertEq(verifier.epoch(), 1, "a good one is taken");
    }

    /// @dev Whoever gets hold of the keys of a past epoch cannot go on with them.
    function test_keysOfAPastEpochSignNothingBeyondIt() public {
        _follow(verifier, 2);
        TriadCheckpoint.Checkpoint memory c = _fields(2);
        c.nextValidators = 0;
        _outside(c, 0); // another end
        c.height = 3;
        _outside(c, 0);
        c = _fields(3);
        c.height = 2; // epoch 1 began at 3
        _outside(c, 1);
        c.height = 4;
        _outside(c, 1);
        c = _fields(4);
        c.height = 3; // the newest epoch began at 4
        _outside(c, 2);
    }

    function test_aFirstSetMustBeOneToo() public {
        address[] memory validators = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.ValidatorCount.selector, 0));
        this.deploy(validators);
        validators = new address[](256);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.ValidatorCount.selector, 256));
        this.deploy(validators);
        validators = new address[](2);
        (validators[0], validators[1]) = (address(1), address(1));
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.BadValidator.selector, address(1)));
        this.deploy(validators);
        validators[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.BadValidator.selector, address(0)));
        this.deploy(validators);
    }

    function test_theLargestSetFitsInATransaction() public {
        bytes memory set = hex"02";
        for (uint256 i = 1; i <= 255; ++i) {
            set = abi.encodePacked(set, bytes32(i), address(uint160(i)));
        }
        uint256 before = gasleft();
        _handOver(set);
        vm.assertLe(before - gasleft(), 16_000_000, "gas");
        vm.assertEq(verifier.validatorsOf(1).length, 255, "validators");
    }

    function deploy(address[] calldata validators) external {
        _deploy(0, 1, validators);
    }

    /// @dev What the vectors' checkpoint of a height says.
    function _fields(uint256 height) private view returns (TriadCheckpoint.Checkpoint memory c) {
        (c,) = verifier.verifyCheckpoint(_checkpoint("chain", height), _signatures("chain", height));
    }

    function _outside(TriadCheckpoint.Checkpoint memory c, uint64 ofEpoch) private {
        bytes memory checkpoint = _encode(c);
        uint256[] memory secrets = _secrets("chain", ofEpoch);
        TriadVerifier.Signature[] memory signatures = _sign(verifier, checkpoint, secrets, secrets.length);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.OutsideEpoch.selector, c.height, ofEpoch));
        verifier.verifyCheckpoint(checkpoint, signatures);
    }

    function _committing(bytes memory set)
        private
        view
        returns (bytes memory checkpoint, TriadVerifier.Signature[] memory signatures)
    {
        TriadCheckpoint.Checkpoint memory c = _fields(2);
        c.nextValidators = sha256(set);
        checkpoint = _encode(c);
        signatures = _sign(verifier, checkpoint, _secrets("chain", 0), 3);
    }

    function _handOver(bytes memory set) private {
        (bytes memory checkpoint, TriadVerifier.Signature[] memory signatures) = _committing(set);
        verifier.handOver(checkpoint, signatures, set);
    }

    function _handOverRefused(bytes memory set, bytes4 why) private {
        (bytes memory checkpoint, TriadVerifier.Signature[] memory signatures) = _committing(set);
        vm.expectPartialRevert(why);
        verifier.handOver(checkpoint, signatures, set);
    }
}
