// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Validators} from "./Validators.sol";

/// @dev What a change costs with four validators and three approvals, from cold. Here the Ed25519 precompile answers "yes"
/// for almost nothing; the real one takes 3,000 gas and 12 a word of the message, four times for `add`. What whole
/// transactions cost with it, crates/evm measures. The limits are the measured figures rounded up.
contract ValidatorSetGasTest is Validators {
    function setUp() public {
        _genesis(4);
        vm.etch(Addresses.ED25519_VERIFY, hex"600160005260206000f3"); // returns 1
    }

    function test_add() public {
        _measure("add", _addCall(4), 180_000);
    }

    function test_remove() public {
        _measure("remove", _removeCall(1), 99_000);
    }

    function test_replace() public {
        _measure("replace", _replaceCall(1, 4), 226_000);
    }

    function test_scheduleRule() public {
        _measure("scheduleRule", _ruleCall("wide-sums-2", 1000), 119_000);
    }

    function _measure(string memory name, bytes memory data, uint256 most) private {
        vm.cool(address(set));
        uint256 used = gasleft();
        (bool success,) = address(set).call(data);
        used -= gasleft();
        vm.assertTrue(success, name);
        emit log_named_uint(string.concat(name, ", gas of the call without Ed25519"), used);
        vm.assertLe(used, most, name);
    }
}
