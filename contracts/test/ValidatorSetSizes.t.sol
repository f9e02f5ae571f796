// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {Validators} from "./Validators.sol";

/// @dev Sets of every size.
contract ValidatorSetSizesTest is Validators {
    /// @dev What a system call may use, see crates/evm/src/env.rs.
    uint256 private constant SYSTEM_CALL_GAS = 30_000_000;

    function test_oneAloneCanOnlyGetCompany() public {
        _genesis(1);
        _fails(_removeCall(0), abi.encodeWithSelector(ValidatorMembers.BadSize.selector, 0));
        _fails(_replaceCall(0, 1), abi.encodeWithSelector(ValidatorMembers.BadSize.selector, 1));
        _passes(_addCall(1));
        vm.assertEq(set.nextValidators().length, 2, "next");
    }

    function test_twoStayTwo() public {
        _genesis(2);
        _fails(_removeCall(0), abi.encodeWithSelector(ValidatorMembers.BadSize.selector, 1));
        _passes(_replaceCall(0, 2));
        _passes(_addCall(3));
        _passes(_removeCall(1));
        vm.assertEq(set.nextValidators().length, 2, "next");
        vm.assertTrue(_isIn(set.nextValidators(), 2) && _isIn(set.nextValidators(), 3), "the new ones");
    }

    function test_aHundredAreTheMost() public {
        _genesis(100);
        vm.assertEq(set.quorum(), 67, "quorum");
        _fails(_addCall(100), abi.encodeWithSelector(ValidatorMembers.BadSize.selector, 101));
        _passes(_replaceCall(3, 100));
        _passes(_removeCall(50));
        _passes(_addCall(101));
        vm.assertEq(set.nextValidators().length, 100, "next");
        vm.roll(193);
        vm.assertEq(set.validators().length, 100, "active");
        vm.assertFalse(_isIn(set.validators(), 3) || _isIn(set.validators(), 50), "gone");
        vm.assertTrue(_isIn(set.validators(), 100) && _isIn(set.validators(), 101), "come");
    }

    /// @dev Texts of up to 31 bytes take one slot each.
    function test_genesisMakesAHundredInOneSystemCall() public {
        uint256 used =
            _initializeHundred("a validator's name of 31 bytes.", "a-host-of-31-bytes.example:9000");
        vm.assertLe(used, SYSTEM_CALL_GAS / 2, "half of what a system call may use");
        vm.assertEq(set.validators().length, 100, "all are there");
    }

    /// @dev What genesis must look at: so many with such texts do not fit.
    function test_aHundredWithTheLongestTextsAreTooManyForGenesis() public {
        uint256 used = _initializeHundred(_text(64), _text(255));
        vm.assertGe(used, SYSTEM_CALL_GAS, "if this fits, the README is wrong");
    }

    function _initializeHundred(string memory name, string memory network) private returns (uint256 used) {
        _etch();
        ValidatorMembers.Validator[] memory list = new ValidatorMembers.Validator[](100);
        for (uint256 i; i < 100; ++i) {
            list[i] = _validator(i);
            (list[i].name, list[i].network) = (name, network);
        }
        bytes memory data = abi.encodeCall(set.initialize, (list, GENESIS_HASH));
        vm.prank(Addresses.SYSTEM_CALLER);
        used = gasleft();
        _passes(data);
        used -= gasleft();
        emit log_named_uint("initialize 100 validators, gas of the call", used);
    }

    function test_anyTwoQuorumsShareAnHonestValidator(uint256 n) public {
        n = bound(n, 1, 100);
        _genesis(n);
        uint256 q = set.quorum();
        uint256 faulty = (n - 1) / 3;
        vm.assertTrue(2 * q - n > faulty, "more are in both than are faulty");
        vm.assertEq(q + faulty, n, "the honest ones are a quorum");
    }

    function _text(uint256 length) private pure returns (string memory) {
        bytes memory text = new bytes(length);
        for (uint256 i; i < length; ++i) {
            text[i] = "x";
        }
        return string(text);
    }
}
