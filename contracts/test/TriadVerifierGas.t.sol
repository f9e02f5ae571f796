// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {LogProof} from "../src/LogProof.sol";
import {TriadVerifier} from "../src/TriadVerifier.sol";
import {VerifierChain} from "./VerifierChain.sol";

/// @dev What it costs: four validators, three signatures, a log of a million leaves, eight verdicts in the block. Of each
/// call the gas that it uses, from cold, and what its calldata costs as a transaction; the limits are the measured
/// figures rounded up, so that a change which makes it dearer is seen. `contracts/check --match-contract Gas -vv` shows
/// the figures of docs/performance.md.
contract TriadVerifierGasTest is VerifierChain {
    TriadVerifier private verifier;
    bytes private checkpoint;
    TriadVerifier.Signature[] private signatures;
    LogProof.StatementProof private statement;
    LogProof.VerdictProof private verdict;

    function setUp() public {
        _load();
        verifier = _deployed("long");
        checkpoint = _checkpoint("long", 2);
        TriadVerifier.Signature[] memory signed = _firstOf(_signatures("long", 2), 3);
        for (uint256 i; i < 3; ++i) {
            signatures.push(signed[i]);
        }
        Proof memory p = _proof("long", 0);
        statement = p.statement;
        verdict = p.verdicts[0];
        vm.assertEq(statement.logPath.length, 20, "a log of a million leaves");
    }

    function test_verifyStatement() public {
        _measure(
            "verifyStatement",
            abi.encodeCall(verifier.verifyStatement, (checkpoint, signatures, statement)),
            55_000
        );
    }

    function test_verifyVerdict() public {
        _measure(
            "verifyVerdict", abi.encodeCall(verifier.verifyVerdict, (checkpoint, signatures, verdict)), 61_000
        );
    }

    function test_submitCheckpoint() public {
        _measure(
            "submitCheckpoint", abi.encodeCall(verifier.submitCheckpoint, (checkpoint, signatures)), 85_000
        );
    }

    function test_proveStatement() public {
        verifier.submitCheckpoint(checkpoint, signatures);
        _measure("proveStatement", abi.encodeCall(verifier.proveStatement, (statement)), 22_000);
    }

    function test_proveVerdict() public {
        verifier.submitCheckpoint(checkpoint, signatures);
        _measure("proveVerdict", abi.encodeCall(verifier.proveVerdict, (verdict)), 28_000);
    }

    function test_handOver() public {
        _measure(
            "handOver", abi.encodeCall(verifier.handOver, (checkpoint, signatures, _set("long", 1))), 226_000
        );
    }

    function _measure(string memory name, bytes memory data, uint256 most) private {
        vm.cool(address(verifier));
        address to = address(verifier);
        bool success;
        uint256 used = gasleft();
        assembly ("memory-safe") {
            success := call(gas(), to, 0, add(data, 0x20), mload(data), 0, 0)
        }
        used -= gasleft();
        vm.assertTrue(success, name);
        uint256 calldata_;
        for (uint256 i; i < data.length; ++i) {
            calldata_ += data[i] == 0 ? 4 : 16;
        }
        emit log_named_uint(string.concat(name, ", gas of the call"), used);
        emit log_named_uint(string.concat(name, ", gas of its calldata"), calldata_);
        vm.assertLe(used, most, name);
    }
}
