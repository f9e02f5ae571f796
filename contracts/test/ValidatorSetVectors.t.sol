// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {ValidatorKeys} from "../src/ValidatorKeys.sol";
import {ValidatorMembers} from "../src/ValidatorMembers.sol";
import {ValidatorSet} from "../src/ValidatorSet.sol";
import {Validators} from "./Validators.sol";

/// @dev Keys and signatures that another program made (tools/validators.mjs). secp256k1 is verified for real; of Ed25519
/// exactly the signatures pass that the vectors hold, each for its key and its message. crates/evm runs the same vectors
/// with the real precompile.
contract ValidatorSetVectorsTest is Validators {
    string private json;

    function setUp() public {
        json = vm.readFile("test/vectors/validators.json");
        _etch();
        vm.etch(Addresses.ED25519_VERIFY, hex"60205ff3"); // no signature is right
        vm.chainId(vm.parseJsonUint(json, ".chainId"));
        vm.assertEq(vm.parseJsonAddress(json, ".contract"), address(set), "contract");
        ValidatorMembers.Validator[] memory list = new ValidatorMembers.Validator[](4);
        for (uint256 i; i < 4; ++i) {
            list[i] = _read(i);
        }
        vm.prank(Addresses.SYSTEM_CALLER);
        set.initialize(list, vm.parseJsonBytes32(json, ".genesisHash"));
        vm.roll(100);
        for (uint256 i = 4; i < 6; ++i) {
            bytes memory possession = vm.parseJsonBytes(json, _at("validators", i, "possession"));
            _accept(i, vm.parseJsonBytes(json, _at("validators", i, "consensusProof")), possession);
        }
    }

    function test_approvedChangesPass() public {
        ValidatorMembers.Validator memory v = _read(4);
        vm.assertEq(set.addChallenge(v), _challenge(0), "add");
        set.add(v, _proof(4, "consensusProof"), _proof(4, "checkpointProof"), _approvals(0));
        bytes32 key = _read(0).consensusKey;
        vm.assertEq(set.removeChallenge(key), _challenge(1), "remove");
        set.remove(key, _approvals(1));
        vm.assertEq(set.ruleChallenge("wide-sums-2", 100_000), _challenge(2), "rule");
        set.scheduleRule("wide-sums-2", 100_000, _approvals(2));
        key = _read(1).consensusKey;
        v = _read(5);
        vm.assertEq(set.replaceChallenge(key, v), _challenge(3), "replace");
        set.replace(key, v, _proof(5, "consensusProof"), _proof(5, "checkpointProof"), _approvals(3));
        vm.roll(193);
        ValidatorMembers.Validator[] memory active = set.validators();
        vm.assertEq(active.length, 4, "active");
        for (uint256 n = 2; n < 6; ++n) {
            bool found;
            for (uint256 i; i < 4; ++i) {
                found = found || keccak256(abi.encode(active[i])) == keccak256(abi.encode(_read(n)));
            }
            vm.assertTrue(found, vm.toString(n));
        }
    }

    function test_votesAreTheMessagesOfConsensus() public view {
        for (uint256 i; i < 6; ++i) {
            for (uint256 k; k < 2; ++k) {
                string memory vote = string.concat(_at("faults", i, "votes["), vm.toString(k), "]");
                bytes32 name = keccak256(bytes(vm.parseJsonString(json, string.concat(vote, ".name"))));
                uint64 epoch = uint64(vm.parseJsonUint(json, _at("faults", i, "epoch")));
                uint64 view_ = uint64(vm.parseJsonUint(json, _at("faults", i, "view")));
                uint64 parent = uint64(vm.parseJsonUint(json, string.concat(vote, ".parentView")));
                bytes32 digest = vm.parseJsonBytes32(json, string.concat(vote, ".digest"));
                bytes32 genesis = set.genesisHash();
                bytes memory message = name == keccak256("notarize")
                    ? ValidatorKeys.notarizeVote(genesis, epoch, view_, parent, digest)
                    : name == keccak256("nullify")
                        ? ValidatorKeys.nullifyVote(genesis, epoch, view_)
                        : ValidatorKeys.finalizeVote(genesis, epoch, view_, parent, digest);
                vm.assertEq(message, vm.parseJsonBytes(json, string.concat(vote, ".message")), vote);
            }
        }
    }

    function test_faultsAreProvenByTheirVotes() public {
        bytes32 key = _read(3).consensusKey;
        for (uint256 i; i < 5; ++i) {
            ValidatorSet.Vote memory first = _vote(i, 0);
            ValidatorSet.Vote memory second = _vote(i, 1);
            uint8 kind = uint8(vm.parseJsonUint(json, _at("faults", i, "kind")));
            uint64 view_ = uint64(vm.parseJsonUint(json, _at("faults", i, "view")));
            vm.expectEmit(true, false, false, true, address(set));
            emit ValidatorSet.ValidatorFault(key, 0, view_, kind);
            set.submitFault(key, kind, 0, view_, first, second);
        }
        vm.assertEq(set.faults(key), 5, "faults");
    }

    // ------------------------------------------------------------------ reading the vectors

    function _at(string memory list, uint256 i, string memory field) private pure returns (string memory) {
        return string.concat(".", list, "[", vm.toString(i), "].", field);
    }

    function _read(uint256 i) private view returns (ValidatorMembers.Validator memory) {
        return ValidatorMembers.Validator(
            vm.parseJsonBytes32(json, _at("validators", i, "consensusKey")),
            vm.parseJsonAddress(json, _at("validators", i, "checkpointAddress")),
            vm.parseJsonAddress(json, _at("validators", i, "feeRecipient")),
            vm.parseJsonString(json, _at("validators", i, "name")),
            vm.parseJsonString(json, _at("validators", i, "network"))
        );
    }

    function _proof(uint256 i, string memory field) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, _at("validators", i, field));
    }

    function _challenge(uint256 i) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, _at("changes", i, "challenge"));
    }

    function _approvals(uint256 i) private returns (ValidatorSet.Approval[] memory approvals) {
        uint256[] memory signers = vm.parseJsonUintArray(json, _at("changes", i, "signers"));
        bytes[] memory signatures = vm.parseJsonBytesArray(json, _at("changes", i, "approvals"));
        approvals = new ValidatorSet.Approval[](signers.length);
        for (uint256 k; k < signers.length; ++k) {
            _accept(signers[k], signatures[k], bytes.concat(_challenge(i)));
            approvals[k] = ValidatorSet.Approval(_read(signers[k]).consensusKey, signatures[k]);
        }
    }

    function _vote(uint256 i, uint256 k) private returns (ValidatorSet.Vote memory vote) {
        string memory path = string.concat(_at("faults", i, "votes["), vm.toString(k), "]");
        vote.parentView = uint64(vm.parseJsonUint(json, string.concat(path, ".parentView")));
        vote.digest = vm.parseJsonBytes32(json, string.concat(path, ".digest"));
        vote.signature = vm.parseJsonBytes(json, string.concat(path, ".signature"));
        _accept(3, vote.signature, vm.parseJsonBytes(json, string.concat(path, ".message")));
    }

    function _accept(uint256 signer, bytes memory signature, bytes memory message) private {
        bytes32 key = vm.parseJsonBytes32(json, _at("validators", signer, "consensusKey"));
        vm.mockCall(Addresses.ED25519_VERIFY, bytes.concat(key, signature, message), abi.encode(1));
    }
}
