// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Validators, toySign} from "./Validators.sol";

/// @dev What a new validator must prove and say, and that no key comes back.
contract ValidatorSetKeysTest is Validators {
    /// @dev The order of secp256k1.
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    function setUp() public {
        _genesis(4);
    }

    // ------------------------------------------------------------------ possession

    function test_theConsensusKeyProvesItself() public {
        ValidatorMembers.Validator memory v = _validator(4);
        bytes memory right = _consensusProof(v);
        bytes memory checkpointProof = _checkpointProof(v, _secret(4));
        bytes[4] memory wrong = [
            toySign(_key(5), _possession(v)),
            toySign(v.consensusKey, bytes.concat(_possession(v), hex"00")),
            bytes.concat(right, hex"00"),
            bytes("")
        ];
        bytes memory reason =
            abi.encodeWithSelector(ValidatorSet.WrongConsensusProof.selector, v.consensusKey);
        for (uint256 i; i < wrong.length; ++i) {
            _fails(_addWith(v, wrong[i], checkpointProof), reason);
            _fails(_replaceWith(v, wrong[i], checkpointProof), reason);
        }
        _passes(_addWith(v, right, checkpointProof));
    }

    function test_theCheckpointKeyProvesItself() public {
        ValidatorMembers.Validator memory v = _validator(4);
        bytes memory proof = _consensusProof(v);
        bytes memory right = _checkpointProof(v, _secret(4));
        _failsCheckpoint(v, proof, _checkpointProof(v, _secret(5)), vm.addr(_secret(5)));
        _failsCheckpoint(v, proof, bytes.concat(right, hex"00"), address(0));
        _failsCheckpoint(v, proof, "", address(0));
        (uint8 parity, bytes32 r, bytes32 s) = vm.sign(_secret(4), keccak256(_possession(v)));
        // The same signature with the other s, which every key has, is not taken, as in genesis.
        bytes memory highS = abi.encodePacked(r, ORDER - uint256(s), parity == 27 ? uint8(28) : uint8(27));
        _failsCheckpoint(v, proof, highS, address(0));
        _failsCheckpoint(v, proof, abi.encodePacked(r, s, uint8(29)), address(0));
        _failsCheckpoint(v, proof, abi.encodePacked(bytes32(0), s, parity), address(0));
        _passes(_addWith(v, proof, right));
    }

    function test_theRecoveryBitMayBeBare() public {
        ValidatorMembers.Validator memory v = _validator(4);
        (uint8 parity, bytes32 r, bytes32 s) = vm.sign(_secret(4), keccak256(_possession(v)));
        _passes(_addWith(v, _consensusProof(v), abi.encodePacked(r, s, parity - 27)));
    }

    function test_possessionIsOnThisChainOnly() public {
        ValidatorMembers.Validator memory v = _validator(4);
        vm.chainId(1);
        bytes memory proof = _consensusProof(v);
        bytes memory checkpointProof = _checkpointProof(v, _secret(4));
        vm.chainId(31337);
        _fails(
            _addWith(v, proof, checkpointProof),
            abi.encodeWithSelector(ValidatorSet.WrongConsensusProof.selector, v.consensusKey)
        );
    }

    function _failsCheckpoint(
        ValidatorMembers.Validator memory v,
        bytes memory proof,
        bytes memory checkpointProof,
        address recovered
    ) private {
        bytes memory reason = abi.encodeWithSelector(
            ValidatorSet.WrongCheckpointProof.selector, v.checkpointAddress, recovered
        );
        _fails(_addWith(v, proof, checkpointProof), reason);
        _fails(_replaceWith(v, proof, checkpointProof), reason);
    }

    // ------------------------------------------------------------------ keys

    function test_noTwoShareAKey() public {
        bytes memory reason = abi.encodeWithSelector(ValidatorMembers.AlreadyValidator.selector, _key(2));
        _fails(_addCall(2), reason);
        _fails(_replaceCall(1, 2), reason);
        ValidatorMembers.Validator memory v = _validator(4);
        v.checkpointAddress = vm.addr(_secret(3));
        reason = abi.encodeWithSelector(
            ValidatorMembers.CheckpointAddressInUse.selector, v.checkpointAddress, _key(3)
        );
        _fails(_addCall(v, 3), reason);
        _passes(_addCall(4));
        _fails(_addCall(4), abi.encodeWithSelector(ValidatorMembers.AlreadyValidator.selector, _key(4)));
    }

    function test_aRemovedKeyNeverReturns() public {
        _passes(_removeCall(3));
        for (uint256 epoch; epoch < 3; ++epoch) {
            bytes memory reason = abi.encodeWithSelector(ValidatorMembers.KeyRetired.selector, _key(3));
            _fails(_addCall(3), reason);
            _fails(_replaceCall(0, 3), reason);
            ValidatorMembers.Validator memory v = _validator(4);
            v.checkpointAddress = vm.addr(_secret(3));
            _fails(
                _addCall(v, 3),
                abi.encodeWithSelector(
                    ValidatorMembers.CheckpointAddressRetired.selector, v.checkpointAddress, _key(3)
                )
            );
            vm.roll(block.number + 200);
        }
        // With both keys new its owner is back.
        _passes(_addCall(4));
    }

    function test_nobodyReplacesItselfWithAKeyItHas() public {
        _fails(_replaceCall(1, 1), abi.encodeWithSelector(ValidatorMembers.KeyRetired.selector, _key(1)));
        ValidatorMembers.Validator memory v = _validator(4);
        v.checkpointAddress = vm.addr(_secret(1));
        _fails(
            _replaceWith(1, v, _consensusProof(v), _checkpointProof(v, _secret(1))),
            abi.encodeWithSelector(
                ValidatorMembers.CheckpointAddressRetired.selector, v.checkpointAddress, _key(1)
            )
        );
    }

    function test_aKeyThatNeverBecameActiveIsRetiredToo() public {
        _passes(_addCall(4));
        _passes(_removeCall(4));
        vm.assertEq(
            keccak256(abi.encode(set.validators())),
            keccak256(abi.encode(set.nextValidators())),
            "the next set is the active one again"
        );
        _fails(_addCall(4), abi.encodeWithSelector(ValidatorMembers.KeyRetired.selector, _key(4)));
        vm.roll(193);
        vm.assertEq(set.epoch(), 1, "the epoch ends all the same");
        vm.assertEq(set.validators().length, 4, "as before");
        vm.assertFalse(_isIn(set.validators(), 4), "it never was");
        _fails(_addCall(4), abi.encodeWithSelector(ValidatorMembers.KeyRetired.selector, _key(4)));
    }

    // ------------------------------------------------------------------ what it says of itself

    function test_keysAreNotZero() public {
        ValidatorMembers.Validator memory v = _validator(4);
        v.consensusKey = 0;
        _fails(_addCall(v, 4), abi.encodeWithSelector(ValidatorMembers.ZeroKey.selector));
        // A signature that is none recovers to address zero, which must prove nothing.
        v = _validator(4);
        v.checkpointAddress = address(0);
        _fails(
            _addWith(v, _consensusProof(v), abi.encodePacked(bytes32(0), bytes32(0), uint8(27))),
            abi.encodeWithSelector(ValidatorSet.WrongCheckpointProof.selector, address(0), address(0))
        );
    }

    function test_textsHaveTheirLengths() public {
        ValidatorMembers.Validator memory v = _validator(4);
        v.name = "";
        _fails(_addCall(v, 4), abi.encodeWithSelector(ValidatorMembers.BadName.selector, 0));
        v.name = string(new bytes(65));
        _fails(_addCall(v, 4), abi.encodeWithSelector(ValidatorMembers.BadName.selector, 65));
        v.name = string(new bytes(64));
        v.network = string(new bytes(256));
        _fails(_addCall(v, 4), abi.encodeWithSelector(ValidatorMembers.BadNetwork.selector, 256));
        v.network = string(new bytes(255));
        _passes(_addCall(v, 4));
        v = _validator(5);
        v.network = "";
        _passes(_addCall(v, 5));
    }

    function _addWith(ValidatorMembers.Validator memory v, bytes memory proof, bytes memory checkpointProof)
        private
        view
        returns (bytes memory)
    {
        return abi.encodeCall(set.add, (v, proof, checkpointProof, _quorum(set.addChallenge(v))));
    }

    function _replaceWith(
        ValidatorMembers.Validator memory v,
        bytes memory proof,
        bytes memory checkpointProof
    ) private view returns (bytes memory) {
        return _replaceWith(0, v, proof, checkpointProof);
    }

    function _replaceWith(
        uint256 n,
        ValidatorMembers.Validator memory v,
        bytes memory proof,
        bytes memory checkpointProof
    ) private view returns (bytes memory) {
        ValidatorSet.Approval[] memory approvals = _quorum(set.replaceChallenge(_key(n), v));
        return abi.encodeCall(set.replace, (_key(n), v, proof, checkpointProof, approvals));
    }
}
