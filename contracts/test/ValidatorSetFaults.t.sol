// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {ValidatorKeys} from "../src/ValidatorKeys.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Validators, toySign} from "./Validators.sol";

/// @dev What is a fault, and that two votes which do not contradict each other are none.
contract ValidatorSetFaultsTest is Validators {
    uint8 private constant TWO_NOTARIZES = 1;
    uint8 private constant TWO_FINALIZES = 2;
    uint8 private constant NULLIFY_AND_FINALIZE = 3;
    bytes32 private constant A = keccak256("block a");
    bytes32 private constant B = keccak256("block b");

    function setUp() public {
        _genesis(4);
    }

    function test_twoNotarizes() public {
        _isFault(TWO_NOTARIZES, _notarize(0, 7, 6, A), _notarize(0, 7, 6, B));
    }

    function test_twoNotarizesWithOtherParents() public {
        _isFault(TWO_NOTARIZES, _notarize(0, 7, 6, A), _notarize(0, 7, 5, A));
    }

    function test_twoFinalizes() public {
        _isFault(TWO_FINALIZES, _finalize(0, 7, 6, A), _finalize(0, 7, 6, B));
    }

    function test_nullifyAndFinalize() public {
        _isFault(NULLIFY_AND_FINALIZE, _nullify(0, 7), _finalize(0, 7, 6, A));
    }

    function test_oneVoteTwiceIsNoFault() public {
        bytes memory none = abi.encodeWithSelector(ValidatorSet.NoConflict.selector);
        _fails(_faultCall(TWO_NOTARIZES, 0, 7, _notarize(0, 7, 6, A), _notarize(0, 7, 6, A)), none);
        _fails(_faultCall(TWO_FINALIZES, 0, 7, _finalize(0, 7, 6, A), _finalize(0, 7, 6, A)), none);
    }

    /// @dev What an honest validator signs in a view and after it.
    function test_votesOfOtherKindsOrRoundsAreNoFault() public {
        ValidatorSet.Vote memory right = _notarize(0, 7, 6, A);
        _isWrong(1, TWO_NOTARIZES, right, _notarize(0, 8, 7, B)); // the next view
        _isWrong(1, TWO_NOTARIZES, right, _finalize(0, 7, 6, B)); // finalizes what it notarized
        _isWrong(1, TWO_NOTARIZES, right, _nullify(0, 7)); // gives up what it notarized
        _isWrong(0, TWO_FINALIZES, _notarize(0, 7, 6, A), _finalize(0, 7, 6, B));
        _isWrong(1, TWO_FINALIZES, _finalize(0, 7, 6, A), _finalize(1, 7, 6, B)); // another epoch
        _isWrong(0, NULLIFY_AND_FINALIZE, _nullify(0, 8), _finalize(0, 7, 6, A));
        _isWrong(1, NULLIFY_AND_FINALIZE, _nullify(0, 7), _finalize(0, 8, 7, A));
        _isWrong(1, NULLIFY_AND_FINALIZE, _nullify(0, 7), _notarize(0, 7, 6, A));
        _isWrong(0, NULLIFY_AND_FINALIZE, _finalize(0, 7, 6, A), _nullify(0, 7)); // the wrong way round
    }

    function test_votesMustBeTheValidatorsForThisChain() public {
        ValidatorSet.Vote memory mine = _notarize(0, 7, 6, A);
        ValidatorSet.Vote memory other =
            ValidatorSet.Vote(6, B, toySign(_key(1), ValidatorKeys.notarizeVote(GENESIS_HASH, 0, 7, 6, B)));
        _isWrong(1, TWO_NOTARIZES, mine, other);
        other.signature = toySign(_key(2), ValidatorKeys.notarizeVote(keccak256("other"), 0, 7, 6, B));
        _isWrong(1, TWO_NOTARIZES, mine, other);
        _isWrong(0, TWO_NOTARIZES, other, mine);
        other = _notarize(0, 7, 6, B);
        other.signature = bytes.concat(other.signature, hex"00");
        _isWrong(1, TWO_NOTARIZES, mine, other);
        other.signature = "";
        _isWrong(1, TWO_NOTARIZES, mine, other);
    }

    function test_aFaultIsRecordedOnce() public {
        _passes(_faultCall(TWO_NOTARIZES, 0, 7, _notarize(0, 7, 6, A), _notarize(0, 7, 6, B)));
        bytes memory recorded = abi.encodeWithSelector(
            ValidatorSet.FaultAlreadyRecorded.selector, _key(2), uint64(0), uint64(7), TWO_NOTARIZES
        );
        _fails(_faultCall(TWO_NOTARIZES, 0, 7, _notarize(0, 7, 6, B), _notarize(0, 7, 6, A)), recorded);
        _fails(_faultCall(TWO_NOTARIZES, 0, 7, _notarize(0, 7, 5, A), _notarize(0, 7, 6, B)), recorded);
        // Others are others.
        _passes(_faultCall(TWO_NOTARIZES, 0, 8, _notarize(0, 8, 6, A), _notarize(0, 8, 6, B)));
        _passes(_faultCall(TWO_FINALIZES, 0, 7, _finalize(0, 7, 6, A), _finalize(0, 7, 6, B)));
        vm.assertEq(set.faults(_key(2)), 3, "faults");
        vm.assertEq(set.faults(_key(1)), 0, "of the others");
    }

    function test_onlyKnownKindsAreFaults() public {
        for (uint8 kind; kind < 6; kind += kind == 0 ? 4 : 1) {
            _fails(
                _faultCall(kind, 0, 7, _notarize(0, 7, 6, A), _notarize(0, 7, 6, B)),
                abi.encodeWithSelector(ValidatorSet.UnknownFault.selector, kind)
            );
        }
    }

    function test_faultsAreOfActiveValidatorsInEpochsThatBegan() public {
        bytes memory future = abi.encodeWithSelector(ValidatorSet.FutureEpoch.selector, 1, 0);
        bytes memory first = _faultCall(TWO_FINALIZES, 1, 7, _finalize(1, 7, 6, A), _finalize(1, 7, 6, B));
        bytes memory earlier = _faultCall(TWO_FINALIZES, 0, 7, _finalize(0, 7, 6, A), _finalize(0, 7, 6, B));
        _fails(first, future);
        _passes(_removeCall(0));
        vm.roll(192);
        _fails(first, future);
        vm.roll(193);
        _passes(first); // rolls
        _passes(earlier);
        vm.assertEq(set.faults(_key(2)), 2, "faults");
        vm.assertEq(set.epoch(), 1, "epoch");
        vm.assertEq(set.validators().length, 3, "a fault removes nobody");
        // Its last epoch is over: a record would serve nothing.
        _passes(_removeCall(2));
        vm.roll(320);
        _passes(_faultCall(TWO_FINALIZES, 1, 8, _finalize(1, 8, 6, A), _finalize(1, 8, 6, B)));
        vm.roll(321);
        _fails(
            _faultCall(TWO_FINALIZES, 1, 9, _finalize(1, 9, 6, A), _finalize(1, 9, 6, B)),
            abi.encodeWithSelector(ValidatorSet.NotActive.selector, _key(2))
        );
    }

    // ------------------------------------------------------------------ votes of validator 2

    function _isFault(uint8 kind, ValidatorSet.Vote memory first, ValidatorSet.Vote memory second) private {
        bytes memory before = abi.encode(set.validators(), set.nextValidators(), set.nonce(), set.lastBlock());
        vm.expectEmit(true, false, false, true, address(set));
        emit ValidatorSet.ValidatorFault(_key(2), 0, 7, kind);
        vm.prank(address(0xABCD)); // anybody
        _passes(_faultCall(kind, 0, 7, first, second));
        vm.assertEq(set.faults(_key(2)), 1, "faults");
        vm.assertEq(
            abi.encode(set.validators(), set.nextValidators(), set.nonce(), set.lastBlock()),
            before,
            "nothing else changes"
        );
    }

    function _isWrong(uint8 vote, uint8 kind, ValidatorSet.Vote memory first, ValidatorSet.Vote memory second)
        private
    {
        bytes memory reason = abi.encodeWithSelector(ValidatorSet.WrongVote.selector, _key(2), vote);
        _fails(_faultCall(kind, 0, 7, first, second), reason);
    }

    function _faultCall(
        uint8 kind,
        uint64 epoch,
        uint64 view_,
        ValidatorSet.Vote memory first,
        ValidatorSet.Vote memory second
    ) private pure returns (bytes memory) {
        return abi.encodeCall(set.submitFault, (_key(2), kind, epoch, view_, first, second));
    }

    function _notarize(uint64 epoch, uint64 view_, uint64 parent, bytes32 digest)
        private
        pure
        returns (ValidatorSet.Vote memory)
    {
        bytes memory message = ValidatorKeys.notarizeVote(GENESIS_HASH, epoch, view_, parent, digest);
        return ValidatorSet.Vote(parent, digest, toySign(_key(2), message));
    }

    function _finalize(uint64 epoch, uint64 view_, uint64 parent, bytes32 digest)
        private
        pure
        returns (ValidatorSet.Vote memory)
    {
        bytes memory message = ValidatorKeys.finalizeVote(GENESIS_HASH, epoch, view_, parent, digest);
        return ValidatorSet.Vote(parent, digest, toySign(_key(2), message));
    }

    function _nullify(uint64 epoch, uint64 view_) private pure returns (ValidatorSet.Vote memory) {
        bytes memory message = ValidatorKeys.nullifyVote(GENESIS_HASH, epoch, view_);
        return ValidatorSet.Vote(0, 0, toySign(_key(2), message));
    }
}
