// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {ValidatorKeys} from "../src/ValidatorKeys.sol";
import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Test} from "./Test.sol";

/// @dev Stands in for the Ed25519 precompile, which forge does not have: a signature that anybody can make, but which
/// is right for one key and one message only. Real signatures are in ValidatorSetVectors.t.sol.
contract ToyEd25519 {
    fallback(bytes calldata input) external returns (bytes memory) {
        bytes memory right = toySign(bytes32(input[0:32]), input[96:]);
        return abi.encode(keccak256(input[32:96]) == keccak256(right));
    }
}

function toySign(bytes32 key, bytes memory message) pure returns (bytes memory) {
    return abi.encodePacked(keccak256(abi.encode(key, message)), keccak256(abi.encode(message, key)));
}

/// @dev A chain with the contract of its validators, and any number of validators to put into it.
abstract contract Validators is Test {
    ValidatorSet internal constant set = ValidatorSet(Addresses.VALIDATOR_SET);
    bytes32 internal constant GENESIS_HASH = keccak256("genesis");
    uint64 internal constant STEP = 64;

    function _etch() internal {
        vm.etch(
            address(set), vm.parseJsonBytes(vm.readFile("artifacts/ValidatorSet.json"), ".deployedBytecode")
        );
        vm.etch(Addresses.ED25519_VERIFY, address(new ToyEd25519()).code);
    }

    /// @dev A chain of the validators 0 to n − 1, in its block 100.
    function _genesis(uint256 n) internal {
        _etch();
        ValidatorMembers.Validator[] memory list = new ValidatorMembers.Validator[](n);
        for (uint256 i; i < n; ++i) {
            list[i] = _validator(i);
        }
        vm.prank(Addresses.SYSTEM_CALLER);
        set.initialize(list, GENESIS_HASH);
        vm.roll(100);
    }

    function _key(uint256 n) internal pure returns (bytes32) {
        return keccak256(abi.encode("consensus key", n));
    }

    function _secret(uint256 n) internal pure returns (uint256) {
        return 1000 + n;
    }

    function _validator(uint256 n) internal pure returns (ValidatorMembers.Validator memory) {
        string memory name = string.concat("validator ", vm.toString(n));
        string memory network = string.concat(vm.toString(n), ".example:9000");
        return
            ValidatorMembers.Validator(
                _key(n), vm.addr(_secret(n)), address(uint160(0xFEE0 + n)), name, network
            );
    }

    function _possession(ValidatorMembers.Validator memory v) internal view returns (bytes memory) {
        return abi.encodePacked(
            "triad validator possession v1", uint64(block.chainid), v.consensusKey, v.checkpointAddress
        );
    }

    function _consensusProof(ValidatorMembers.Validator memory v) internal view returns (bytes memory) {
        return toySign(v.consensusKey, _possession(v));
    }

    function _checkpointProof(ValidatorMembers.Validator memory v, uint256 secret)
        internal
        view
        returns (bytes memory)
    {
        (uint8 v_, bytes32 r, bytes32 s) = vm.sign(secret, keccak256(_possession(v)));
        return abi.encodePacked(r, s, v_);
    }

    /// @dev As many of the active validators as must approve, the last ones.
    function _quorum(bytes32 challenge) internal view returns (ValidatorSet.Approval[] memory approvals) {
        ValidatorMembers.Validator[] memory active = set.validators();
        approvals = new ValidatorSet.Approval[](set.quorum());
        for (uint256 i; i < approvals.length; ++i) {
            approvals[i] = _approval(active[active.length - 1 - i].consensusKey, challenge);
        }
    }

    function _approval(bytes32 key, bytes32 challenge) internal pure returns (ValidatorSet.Approval memory) {
        return ValidatorSet.Approval(key, toySign(key, bytes.concat(challenge)));
    }

    function _addCall(ValidatorMembers.Validator memory v, uint256 n) internal view returns (bytes memory) {
        ValidatorSet.Approval[] memory approvals = _quorum(set.addChallenge(v));
        return abi.encodeCall(set.add, (v, _consensusProof(v), _checkpointProof(v, _secret(n)), approvals));
    }

    function _addCall(uint256 n) internal view returns (bytes memory) {
        return _addCall(_validator(n), n);
    }

    function _removeCall(uint256 n) internal view returns (bytes memory) {
        return abi.encodeCall(set.remove, (_key(n), _quorum(set.removeChallenge(_key(n)))));
    }

    function _replaceCall(uint256 n, uint256 by) internal view returns (bytes memory) {
        ValidatorMembers.Validator memory v = _validator(by);
        ValidatorSet.Approval[] memory approvals = _quorum(set.replaceChallenge(_key(n), v));
        return abi.encodeCall(
            set.replace, (_key(n), v, _consensusProof(v), _checkpointProof(v, _secret(by)), approvals)
        );
    }

    function _ruleCall(string memory rule, uint64 height) internal view returns (bytes memory) {
        return abi.encodeCall(set.scheduleRule, (rule, height, _quorum(set.ruleChallenge(rule, height))));
    }

    /// @dev Sends a call that must pass.
    function _passes(bytes memory data) internal {
        (bool success, bytes memory output) = address(set).call(data);
        if (success) return;
        assembly ("memory-safe") {
            revert(add(output, 0x20), mload(output))
        }
    }

    /// @dev Sends a call that must fail with exactly this error.
    function _fails(bytes memory data, bytes memory reason) internal {
        (bool success, bytes memory output) = address(set).call(data);
        vm.assertFalse(success, "it passed");
        vm.assertEq(output, reason, "another error");
    }

    function _isIn(ValidatorMembers.Validator[] memory list, uint256 n) internal pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i].consensusKey == _key(n)) return true;
        }
        return false;
    }

    function _assertSame(ValidatorMembers.Validator memory a, ValidatorMembers.Validator memory b)
        internal
        pure
    {
        vm.assertEq(keccak256(abi.encode(a)), keccak256(abi.encode(b)), "validator");
    }
}
