// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Validators} from "./Validators.sol";

/// @dev When epochs end, what is accepted until then, and the heights of rules.
contract ValidatorSetEpochsTest is Validators {
    function setUp() public {
        _genesis(4);
    }

    // ------------------------------------------------------------------ epochs

    function test_theFirstChangeSetsTheEnd(uint64 number) public {
        number = uint64(bound(number, 1, 1 << 40));
        vm.roll(number);
        vm.assertEq(set.lastBlock(), 0, "no end");
        _passes(_addCall(4));
        uint64 last = set.lastBlock();
        vm.assertEq(last % STEP, 0, "a multiple of 64");
        vm.assertTrue(last >= number + STEP && last < number + 2 * STEP, "64 to 127 blocks away");
    }

    function test_endsAtTheEdges() public {
        uint64[2][5] memory cases =
            [[uint64(1), 128], [uint64(63), 128], [uint64(64), 128], [uint64(65), 192], [uint64(128), 192]];
        uint256 before = vm.snapshotState();
        for (uint256 i; i < cases.length; ++i) {
            vm.roll(cases[i][0]);
            _passes(_addCall(4));
            vm.assertEq(set.lastBlock(), cases[i][1], vm.toString(cases[i][0]));
            vm.revertToState(before);
        }
    }

    function test_furtherChangesDoNotMoveTheEnd() public {
        _passes(_addCall(4)); // in block 100: ends with 192
        vm.roll(120);
        _passes(_removeCall(0));
        vm.roll(128);
        _passes(_replaceCall(1, 5));
        vm.assertEq(set.lastBlock(), 192, "last block");
        vm.assertEq(set.nonce(), 3, "nonce");
        ValidatorMembers.Validator[] memory next = set.nextValidators();
        vm.assertTrue(next.length == 4 && _isIn(next, 4) && _isIn(next, 5), "next");
        vm.assertFalse(_isIn(next, 0) || _isIn(next, 1), "next");
        vm.assertTrue(_isIn(set.validators(), 0) && _isIn(set.validators(), 1), "active");
        vm.assertEq(set.validators().length, 4, "active");
    }

    function test_theLastBlocksTakeNoChange() public {
        _passes(_replaceCall(0, 4));
        bytes memory ending = abi.encodeWithSelector(ValidatorSet.EpochEnding.selector, 192);
        for (uint256 number = 129; number <= 192; number += 21) {
            vm.roll(number);
            _fails(_addCall(5), ending);
            _fails(_removeCall(1), ending);
            _fails(_replaceCall(1, 5), ending);
        }
        vm.assertEq(block.number, 192, "up to the last one");
        bytes32 challenge = set.removeChallenge(_key(1));
        ValidatorSet.Approval[] memory approvals = new ValidatorSet.Approval[](3);
        for (uint256 i; i < 3; ++i) {
            approvals[i] = _approval(_key(1 + i), challenge);
        }
        bytes memory data = abi.encodeCall(set.remove, (_key(1), approvals));
        _fails(data, ending);
        vm.roll(193);
        // Approvals by those who are still active waited.
        _passes(data);
        vm.assertEq(set.lastBlock(), 320, "193 is rounded up to 256");
        vm.assertEq(set.epoch(), 1, "epoch");
    }

    function test_epochsRoll() public {
        _passes(_addCall(4));
        _passes(_removeCall(0));
        vm.roll(192);
        vm.assertEq(set.epoch(), 0, "the last block is of the old epoch");
        vm.assertEq(set.lastBlock(), 192, "last block");
        vm.assertTrue(_isIn(set.validators(), 0) && !_isIn(set.validators(), 4), "the old set");
        // Views show the next epoch before anything was written.
        vm.roll(193);
        vm.assertEq(set.epoch(), 1, "the next block is of the new one");
        vm.assertEq(set.lastBlock(), 0, "no end");
        vm.assertTrue(!_isIn(set.validators(), 0) && _isIn(set.validators(), 4), "the new set");
        vm.assertEq(set.validators().length, 4, "size");
        vm.assertEq(
            keccak256(abi.encode(set.validators())), keccak256(abi.encode(set.nextValidators())), "next"
        );
        // However long nothing happens, it is one epoch.
        vm.roll(100_000);
        vm.assertEq(set.epoch(), 1, "still");
        _passes(_addCall(5));
        vm.assertEq(set.lastBlock(), 100_096, "its end");
        vm.assertEq(set.validators().length, 4, "active");
        vm.assertEq(set.nextValidators().length, 5, "next");
        vm.assertFalse(_isIn(set.validators(), 0), "who left does not return");
        vm.roll(200_000);
        vm.assertEq(set.epoch(), 2, "epoch");
        vm.assertEq(set.quorum(), 4, "of five");
    }

    function test_theQuorumIsOfTheActiveSet() public {
        _passes(_addCall(4));
        _passes(_addCall(5));
        vm.assertEq(set.quorum(), 3, "of four, until the epoch ends");
        vm.roll(193);
        vm.assertEq(set.quorum(), 5, "of six");
        for (uint256 n; n < 3; ++n) {
            _passes(_removeCall(n));
        }
        vm.assertEq(set.quorum(), 5, "of six");
        vm.roll(1000);
        vm.assertEq(set.quorum(), 3, "of three");
    }

    function test_aWholeSetIsReplaced() public {
        for (uint256 n; n < 4; ++n) {
            _passes(_replaceCall(n, 4 + n));
        }
        vm.assertEq(set.validators().length, 4, "active");
        for (uint256 n; n < 4; ++n) {
            vm.assertTrue(_isIn(set.validators(), n) && _isIn(set.nextValidators(), 4 + n), "both sets");
        }
        vm.roll(193);
        for (uint256 n; n < 4; ++n) {
            vm.assertTrue(!_isIn(set.validators(), n) && _isIn(set.validators(), 4 + n), "the new set");
            _passes(_replaceCall(4 + n, 8 + n));
        }
    }

    /// @dev Nothing that reading or changing the set goes through grows with the chain.
    function test_whoLeftIsForgotten() public {
        uint256[2] memory used;
        for (uint256 epoch; epoch < 12; ++epoch) {
            for (uint256 n; n < 4; ++n) {
                _passes(_replaceCall(4 * epoch + n, 4 * epoch + 4 + n));
            }
            vm.cool(address(set));
            uint256 left = gasleft();
            set.validators();
            used[epoch == 0 ? 0 : 1] = left - gasleft();
            vm.roll(block.number + 200);
        }
        vm.assertEq(set.epoch(), 12, "epochs");
        vm.assertLe(used[1], used[0] + 10_000, "gas of the last epoch as of the first");
    }

    // ------------------------------------------------------------------ rules

    function test_aRuleGetsAHeight() public {
        bytes memory data = _ruleCall("wide-sums-2", 165);
        vm.expectEmit(true, false, false, true, address(set));
        emit ValidatorSet.RuleScheduled(0, "wide-sums-2", 165);
        _passes(data);
        _passes(_ruleCall("0", type(uint64).max));
        ValidatorSet.Rule[] memory rules = set.rules();
        vm.assertEq(rules.length, 2, "rules");
        vm.assertTrue(rules[0].height == 165 && rules[1].height == type(uint64).max, "heights");
        vm.assertEq(bytes(rules[0].name), "wide-sums-2", "name");
        vm.assertEq(set.nonce(), 2, "each uses a nonce");
        vm.assertEq(set.lastBlock(), 0, "no epoch ends for it");
    }

    function test_aRuleIsScheduledOnceAndInTime() public {
        bytes memory tooSoon = abi.encodeWithSelector(ValidatorSet.RuleTooSoon.selector, 164, 165);
        _fails(_ruleCall("a", 164), tooSoon);
        _passes(_ruleCall("a", 165));
        _fails(
            _ruleCall("a", 500), abi.encodeWithSelector(ValidatorSet.RuleAlreadyScheduled.selector, "a", 165)
        );
        vm.roll(1000);
        _fails(
            _ruleCall("a", 5000), abi.encodeWithSelector(ValidatorSet.RuleAlreadyScheduled.selector, "a", 165)
        );
    }

    function test_rulesAreNamedPlainly() public {
        string[7] memory bad = ["", "A", "a b", "a_b", "\xc3\xa4", "a.", string(new bytes(64))];
        for (uint256 i; i < bad.length; ++i) {
            _fails(_ruleCall(bad[i], 1000), abi.encodeWithSelector(ValidatorSet.BadRule.selector, bad[i]));
        }
        bytes memory name = "abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnopqrstuvwxyz";
        vm.assertEq(name.length, 64, "the longest");
        string memory longer = string(bytes.concat(name, "a"));
        _fails(_ruleCall(longer, 1000), abi.encodeWithSelector(ValidatorSet.BadRule.selector, longer));
        _passes(_ruleCall(string(name), 1000));
    }

    function test_rulesAreTakenWhileAnEpochEnds() public {
        _passes(_addCall(4));
        vm.roll(192);
        _passes(_ruleCall("a", 1000));
        vm.roll(193);
        _passes(_ruleCall("b", 1000)); // rolls
        vm.assertEq(set.epoch(), 1, "epoch");
        vm.assertEq(set.lastBlock(), 0, "no end");
        ValidatorSet.Rule[] memory rules = set.rules();
        vm.assertEq(rules.length, 2, "rules outlast epochs");
        vm.assertTrue(rules[0].height == 1000 && rules[1].height == 1000, "heights");
        ValidatorSet.Approval[] memory approvals = new ValidatorSet.Approval[](0);
        _fails(
            abi.encodeCall(set.scheduleRule, ("c", 1000, approvals)),
            abi.encodeWithSelector(ValidatorSet.TooFewApprovals.selector, 0, 4)
        );
    }
}
