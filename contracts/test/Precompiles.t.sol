// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Triad} from "../src/ITriad.sol";
import {Test} from "./Test.sol";

contract Asker {
    function latestReading(bytes32 stream) external view returns (Triad.Reading memory) {
        return Triad.latestReading(stream);
    }

    function latestVerdict(bytes32 stream) external view returns (Triad.Verdict memory) {
        return Triad.latestVerdict(stream);
    }

    function latestPrediction(bytes32 stream, uint64 model) external view returns (Triad.Prediction memory) {
        return Triad.latestPrediction(stream, model);
    }

    function log() external view returns (Triad.LogHead memory) {
        return Triad.log();
    }

    function logAt(uint64 height) external view returns (Triad.LogHead memory) {
        return Triad.logAt(height);
    }

    function ed25519Verify(bytes32 key, bytes memory signature, bytes memory message)
        external
        view
        returns (bool)
    {
        return Triad.ed25519Verify(key, signature, message);
    }
}

/// @dev What the library sends to the precompiles, and how it reads their answers. The real ones are tested in Rust.
contract PrecompilesTest is Test {
    bytes32 private constant STREAM = keccak256("stream");
    Asker private asker;

    function setUp() public {
        asker = new Asker();
    }

    function test_readsAnswersWordByWord() public {
        vm.mockCall(Addresses.LATEST_READING, abi.encode(STREAM), abi.encode(true, 1, 2, 3, -4, 5));
        Triad.Reading memory r = asker.latestReading(STREAM);
        vm.assertTrue(
            r.exists && r.leaf == 1 && r.record == 2 && r.timeMs == 3 && r.value == -4 && r.height == 5, "r"
        );
        vm.mockCall(Addresses.LATEST_VERDICT, abi.encode(STREAM), abi.encode(true, 1, 2, 3, 1, 5, 6, 7, 8));
        Triad.Verdict memory v = asker.latestVerdict(STREAM);
        vm.assertTrue(v.exists && v.leaf == 1 && v.record == 2 && v.model == 3 && v.class == 1, "v");
        vm.assertTrue(v.kind == 5 && v.score == 6 && v.timeMs == 7 && v.height == 8, "v");
        bytes memory answer = abi.encode(true, 1, 2, 0, 15, 6, 7, true, -8, 9);
        vm.mockCall(Addresses.LATEST_PREDICTION, abi.encode(STREAM, 1000), answer);
        Triad.Prediction memory p = asker.latestPrediction(STREAM, 1000);
        vm.assertTrue(p.exists && p.leaf == 1 && p.record == 2 && p.class == 0 && p.kind == 15, "p");
        vm.assertTrue(p.score == 6 && p.timeMs == 7 && p.fits && p.value == -8 && p.height == 9, "p");
        vm.mockCall(Addresses.LOG, "", abi.encode(9, 10, STREAM));
        Triad.LogHead memory head = asker.log();
        vm.assertTrue(head.height == 9 && head.size == 10 && head.root == STREAM, "log");
        head = asker.logAt(9);
        vm.assertTrue(head.size == 10, "log at");
    }

    function test_sendsKeySignatureAndMessageAsTheyAre() public {
        bytes memory signature = abi.encodePacked(keccak256("r"), keccak256("s"));
        vm.mockCall(Addresses.ED25519_VERIFY, "", abi.encode(0));
        vm.mockCall(Addresses.ED25519_VERIFY, bytes.concat(STREAM, signature, "message"), abi.encode(1));
        vm.assertTrue(asker.ed25519Verify(STREAM, signature, "message"), "right");
        vm.assertFalse(asker.ed25519Verify(STREAM, signature, "massage"), "wrong");
        vm.assertFalse(asker.ed25519Verify(STREAM, bytes.concat(signature, hex"00"), "message"), "length");
    }

    function test_anotherChainGivesAnErrorNotZeros() public {
        vm.expectRevert(abi.encodeWithSelector(Triad.NoAnswer.selector, Addresses.LATEST_READING));
        asker.latestReading(STREAM);
        vm.expectRevert(abi.encodeWithSelector(Triad.NoAnswer.selector, Addresses.LATEST_VERDICT));
        asker.latestVerdict(STREAM);
        vm.expectRevert(abi.encodeWithSelector(Triad.NoAnswer.selector, Addresses.LOG));
        asker.log();
        vm.mockCall(Addresses.LOG, "", abi.encode(9, 10, STREAM));
        vm.expectRevert(abi.encodeWithSelector(Triad.NoAnswer.selector, Addresses.LOG));
        asker.logAt(8);
    }
}
