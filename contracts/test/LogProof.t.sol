// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Triad} from "../src/ITriad.sol";
import {LogProof} from "../src/LogProof.sol";
import {Test} from "./Test.sol";
import {Tree} from "./Tree.sol";

/// @dev The library behind external functions, so that a revert can be expected and calldata passed.
contract Verifier {
    function prove(LogProof.VerdictProof calldata p) external view returns (LogProof.Verdict memory) {
        return LogProof.prove(p);
    }

    function decode(bytes calldata verdict) external pure returns (LogProof.Verdict memory) {
        return LogProof.decode(verdict);
    }

    function rootOf(bytes32 hash, uint64 index, uint64 size, bytes32[] calldata path)
        external
        view
        returns (bytes32)
    {
        return LogProof.rootOf(hash, index, size, path);
    }

    function verdictLeaf(uint64 height, uint64 timeMs, uint64 count, bytes32 root)
        external
        pure
        returns (bytes memory)
    {
        return LogProof.verdictLeaf(height, timeMs, count, root);
    }
}

contract LogProofTest is Test {
    Verifier private verifier;

    function setUp() public {
        verifier = new Verifier();
    }

    function test_provesVerdictsThatAnotherProgramLogged() public {
        string memory json = vm.readFile("test/vectors/log.json");
        for (uint256 i; i < 45; ++i) {
            LogProof.VerdictProof memory p = _vector(json, i);
            LogProof.Verdict memory v = verifier.prove(p);
            vm.assertEq(v.stream, vm.parseJsonBytes32(json, ".stream"), "stream");
            vm.assertEq(v.model, 1000, "model");
            vm.assertEq(v.record, p.index, "record");
            vm.assertEq(v.score, 1_000_000, "score");
            vm.assertEq(v.kind, p.index % 4 + 1, "kind");
            vm.assertEq(int256(v.timeMs), int256(uint256(p.timeMs)) - 500 * int256(uint256(p.index)), "time");
            int256 value = (int256(uint256(p.index)) - 2) * 1_500_000_000;
            if (p.height == 24 && p.index == 0) value = type(int128).min;
            vm.assertEq(int256(v.value), value, "value");
            string memory reason = string.concat("reason ", vm.toString(p.index), unicode" °C");
            vm.assertEq(bytes(v.reason), p.index % 2 == 0 ? bytes(reason) : bytes(""), "reason");
        }
    }

    function test_everyChangeOfAProofIsRefused() public {
        string memory json = vm.readFile("test/vectors/log.json");
        // The verdict with a path of every sort: in a block of nine, anchored at a later block.
        LogProof.VerdictProof memory p = _vector(json, 31);
        verifier.prove(p);
        for (uint256 i; i < p.verdict.length; ++i) {
            p.verdict[i] ^= 0x01;
            vm.expectRevert();
            verifier.prove(p);
            p.verdict[i] ^= 0x01;
        }
        for (uint256 i; i < p.path.length; ++i) {
            p.path[i] ^= bytes32(uint256(1));
            _refused(p);
            p.path[i] ^= bytes32(uint256(1));
        }
        for (uint256 i; i < p.logPath.length; ++i) {
            p.logPath[i] ^= bytes32(uint256(1));
            _refused(p);
            p.logPath[i] ^= bytes32(uint256(1));
        }
        p.index ^= 1;
        _refused(p);
        p.index ^= 1;
        p.count += 1;
        _refused(p);
        p.count -= 1;
        p.height += 1;
        _refused(p);
        p.height -= 1;
        p.timeMs += 1;
        _refused(p);
        p.timeMs -= 1;
        p.leafIndex -= 1;
        _refused(p);
        p.leafIndex = type(uint64).max;
        _refused(p);
    }

    function test_aPathOfAnotherLengthIsRefused() public {
        string memory json = vm.readFile("test/vectors/log.json");
        LogProof.VerdictProof memory p = _vector(json, 31);
        bytes32[] memory path = p.path;
        bytes32[] memory longer = new bytes32[](path.length + 1);
        for (uint256 i; i < path.length; ++i) {
            longer[i] = path[i];
        }
        p.path = longer;
        _refused(p);
        bytes32[] memory shorter = new bytes32[](path.length - 1);
        for (uint256 i; i < shorter.length; ++i) {
            shorter[i] = path[i];
        }
        p.path = shorter;
        _refused(p);
    }

    function test_aLogThatDoesNotAnswerForTheHeightProvesNothing() public {
        string memory json = vm.readFile("test/vectors/log.json");
        LogProof.VerdictProof memory p = _vector(json, 31);
        bytes memory noAnswer = abi.encodeWithSelector(Triad.NoAnswer.selector, Addresses.LOG);
        bytes32 root = vm.parseJsonBytes32(json, ".proofs[31].logRoot");
        // of another height, as the latest would be
        vm.mockCall(Addresses.LOG, abi.encode(p.anchor), abi.encode(p.anchor + 1, 999, root));
        vm.expectRevert(noAnswer);
        verifier.prove(p);
        vm.clearMockedCalls();
        vm.expectRevert(noAnswer); // no precompile: a call of an empty account succeeds with nothing
        verifier.prove(p);
    }

    function test_agreesWithTheDefinitionForEveryLeafOfSmallTrees() public view {
        for (uint256 size = 1; size <= 33; ++size) {
            bytes32[] memory hashes = new bytes32[](size);
            for (uint256 i; i < size; ++i) {
                hashes[i] = Tree.leaf(abi.encode(i));
            }
            bytes32 root = Tree.root(hashes);
            for (uint256 i; i < size; ++i) {
                bytes32[] memory path = Tree.path(hashes, i);
                vm.assertEq(verifier.rootOf(hashes[i], uint64(i), uint64(size), path), root, "root");
            }
        }
    }

    function testFuzz_noOtherIndexSizeOrLeafLeadsToTheRoot(
        uint256 size,
        uint256 index,
        uint64 i,
        uint64 n,
        bytes32 other
    ) public view {
        size = bound(size, 1, 70);
        index = bound(index, 0, size - 1);
        bytes32[] memory hashes = new bytes32[](size);
        for (uint256 k; k < size; ++k) {
            hashes[k] = Tree.leaf(abi.encode(k));
        }
        bytes32 root = Tree.root(hashes);
        bytes32[] memory path = Tree.path(hashes, index);
        i = uint64(bound(i, 0, 80));
        n = uint64(bound(n, 0, 80));
        if (i != index) _leadsElsewhere(hashes[index], i, uint64(size), path, root);
        if (other != hashes[index]) _leadsElsewhere(other, uint64(index), uint64(size), path, root);
        if (n < index) _leadsElsewhere(hashes[index], uint64(index), n, path, root);
    }

    function test_integersHaveTheirShortestCbor() public view {
        bytes32 root = bytes32(uint256(1));
        bytes memory leaf = verifier.verdictLeaf(23, 24, 255, root);
        vm.assertEq(leaf, bytes.concat(hex"86010117181818ff5820", root), "one byte");
        leaf = verifier.verdictLeaf(256, 65535, 65536, root);
        vm.assertEq(leaf, bytes.concat(hex"86010119010019ffff1a000100005820", root), "two and four");
        leaf = verifier.verdictLeaf(4294967295, 4294967296, type(uint64).max, root);
        vm.assertEq(
            leaf, bytes.concat(hex"8601011affffffff1b00000001000000001bffffffffffffffff5820", root), "eight"
        );
    }

    function test_verdictsOfAnotherShapeAreRefused() public {
        bytes memory verdict = new bytes(81);
        bytes memory malformed = abi.encodeWithSelector(LogProof.MalformedVerdict.selector);
        vm.expectRevert(malformed); // version 0
        verifier.decode(verdict);
        verdict[0] = 0x01;
        verifier.decode(verdict);
        vm.expectRevert(malformed);
        verifier.decode(new bytes(80));
        bytes memory long = new bytes(81 + 256);
        long[0] = 0x01;
        vm.expectRevert(malformed);
        verifier.decode(long);
    }

    function _vector(string memory json, uint256 i) private returns (LogProof.VerdictProof memory p) {
        string memory path = string.concat(".proofs[", vm.toString(i), "]");
        p.verdict = vm.parseJsonBytes(json, string.concat(path, ".verdict"));
        p.index = uint64(vm.parseJsonUint(json, string.concat(path, ".index")));
        p.count = uint64(vm.parseJsonUint(json, string.concat(path, ".count")));
        p.path = vm.parseJsonBytes32Array(json, string.concat(path, ".path"));
        p.height = uint64(vm.parseJsonUint(json, string.concat(path, ".height")));
        p.timeMs = uint64(vm.parseJsonUint(json, string.concat(path, ".timeMs")));
        p.leafIndex = uint64(vm.parseJsonUint(json, string.concat(path, ".leafIndex")));
        p.logPath = vm.parseJsonBytes32Array(json, string.concat(path, ".logPath"));
        p.anchor = uint64(vm.parseJsonUint(json, string.concat(path, ".anchor")));
        uint256 size = vm.parseJsonUint(json, string.concat(path, ".logSize"));
        bytes32 root = vm.parseJsonBytes32(json, string.concat(path, ".logRoot"));
        vm.mockCall(Addresses.LOG, abi.encode(p.anchor), abi.encode(p.anchor, size, root));
    }

    function _refused(LogProof.VerdictProof memory p) private {
        vm.expectRevert(LogProof.NotInLog.selector);
        verifier.prove(p);
    }

    function _leadsElsewhere(bytes32 hash, uint64 index, uint64 size, bytes32[] memory path, bytes32 root)
        private
        view
    {
        try verifier.rootOf(hash, index, size, path) returns (bytes32 found) {
            vm.assertTrue(found != root, "another leaf, same root");
        } catch {}
    }
}
