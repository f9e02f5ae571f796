// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Validators} from "./Validators.sol";

/// @dev Random changes in random blocks, and beside the contract a model that keeps two plain lists and copies one into
/// the other when an epoch ends. Every change must pass or fail as the model says.
contract ValidatorSetHandler is Validators {
    uint256 private constant PEOPLE = 12;

    uint256[] public active;
    uint256[] public next;
    mapping(uint256 n => bool) public wasThere;
    uint64 public epoch;
    uint64 public lastBlock;
    uint64 public changes;
    string public wrong;

    constructor() {
        _genesis(3);
        for (uint256 n; n < 3; ++n) {
            active.push(n);
            next.push(n);
            wasThere[n] = true;
        }
    }

    function wait_(uint256 blocks) external {
        vm.roll(block.number + bound(blocks, 1, 100));
        _endEpoch();
    }

    /// @dev To just before, at or after the blocks at which something changes.
    function waitUntil(uint256 edge) external {
        if (lastBlock == 0) return;
        uint256 target = (edge & 1 == 0 ? lastBlock : lastBlock - STEP) + (edge >> 1) % 3 - 1;
        if (target <= block.number) return;
        vm.roll(target);
        _endEpoch();
    }

    function add(uint256 n) external {
        n = n % PEOPLE;
        _change(_addCall(n), !wasThere[n], n, type(uint256).max);
    }

    function remove(uint256 n) external {
        n = n % PEOPLE;
        _change(_removeCall(n), _indexIn(next, n) < next.length && next.length > 2, type(uint256).max, n);
    }

    function replace(uint256 n, uint256 by) external {
        (n, by) = (n % PEOPLE, by % PEOPLE);
        _change(_replaceCall(n, by), _indexIn(next, n) < next.length && !wasThere[by], by, n);
    }

    /// @dev One approval fewer than it takes: always of the active set, as the model has it.
    function removeWithoutQuorum(uint256 n) external {
        n = n % PEOPLE;
        bytes32 challenge = set.removeChallenge(_key(n));
        uint256 needed = active.length - (active.length - 1) / 3;
        ValidatorSet.Approval[] memory approvals = new ValidatorSet.Approval[](needed - 1);
        for (uint256 i; i + 1 < needed; ++i) {
            approvals[i] = _approval(_key(active[i]), challenge);
        }
        (bool success,) = address(set).call(abi.encodeCall(set.remove, (_key(n), approvals)));
        if (success) wrong = "a change without a quorum";
    }

    function _change(bytes memory data, bool allowed, uint256 comes, uint256 goes) private {
        allowed = allowed && (lastBlock == 0 || block.number <= lastBlock - STEP);
        (bool success,) = address(set).call(data);
        if (success != allowed) {
            wrong = success ? "a change passed that must not" : "a change failed that must pass";
        }
        if (!allowed) return;
        if (goes != type(uint256).max) {
            next[_indexIn(next, goes)] = next[next.length - 1];
            next.pop();
        }
        if (comes != type(uint256).max) {
            next.push(comes);
            wasThere[comes] = true;
        }
        changes += 1;
        if (lastBlock != 0) return;
        lastBlock = uint64(block.number);
        while (lastBlock % STEP != 0) {
            lastBlock += 1;
        }
        lastBlock += STEP;
    }

    function _endEpoch() private {
        if (lastBlock == 0 || block.number <= lastBlock) return;
        epoch += 1;
        lastBlock = 0;
        active = next;
    }

    function _indexIn(uint256[] storage list, uint256 n) private view returns (uint256 i) {
        while (i < list.length && list[i] != n) {
            ++i;
        }
    }

    function agrees() external view returns (bool) {
        return _agree(set.validators(), active) && _agree(set.nextValidators(), next);
    }

    function _agree(ValidatorMembers.Validator[] memory found, uint256[] storage expected)
        private
        view
        returns (bool)
    {
        if (found.length != expected.length) return false;
        for (uint256 i; i < found.length; ++i) {
            if (i > 0 && found[i - 1].consensusKey >= found[i].consensusKey) return false;
            if (!_isIn(found, expected[i])) return false;
        }
        return true;
    }

    function quorumOfModel() external view returns (uint256) {
        return active.length - (active.length - 1) / 3;
    }
}

contract ValidatorSetInvariants is Validators {
    ValidatorSetHandler private handler;

    function setUp() public {
        handler = new ValidatorSetHandler();
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    function invariant_theContractIsAsTheModel() external view {
        vm.assertEq(bytes(handler.wrong()), "", "changes");
        vm.assertTrue(handler.agrees(), "sets");
        vm.assertEq(set.epoch(), handler.epoch(), "epoch");
        vm.assertEq(set.lastBlock(), handler.lastBlock(), "last block");
        vm.assertEq(set.nonce(), handler.changes(), "nonce");
        vm.assertEq(set.quorum(), handler.quorumOfModel(), "quorum");
    }

    /// @dev The random walk reaches what it is for: a long one of its own, so that the invariant cannot pass idly.
    function test_walksGoThroughManyEpochs() public {
        for (uint256 i; i < 60; ++i) {
            uint256 random = uint256(keccak256(abi.encode("walk", i)));
            if (random % 3 == 0) handler.add(random >> 8);
            else if (random % 3 == 1) handler.remove(random >> 8);
            else handler.replace(random >> 8, random >> 16);
            handler.wait_(1 + (random >> 24) % 100);
            this.invariant_theContractIsAsTheModel();
        }
        vm.assertGe(handler.epoch(), 3, "epochs");
        vm.assertGe(handler.changes(), 10, "changes");
    }
}
