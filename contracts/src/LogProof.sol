// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Triad} from "./ITriad.sol";

/// @title Proofs against the chain's log: RFC 9162 Merkle trees over SHA-256.
/// @notice A statement's leaf is canonical CBOR `[1, 0, SHA-256(statement), signer, origin, SHA-256(COSE_Key), height,
/// time_ms]`. A verdict is proved in two steps. The verdicts of a block form a tree, whose root is in that block's verdict
/// leaf, canonical CBOR `[1, 1, height, time_ms, count, root]`. That leaf is in the log, whose root at any height the
/// log precompile tells.
///
///     leaf hash = SHA-256(0x00 ‖ leaf)        node hash = SHA-256(0x01 ‖ left ‖ right)
///
/// A verdict has a fixed layout, big-endian:
///
///     u8 version = 1 | u64 leaf | u16 record | stream[32] | u64 model | u8 class | u8 kind | u32 score
///     | i64 time_ms | i128 value × 10^9 | reason, UTF-8, to the end
library LogProof {
    struct Verdict {
        uint64 leaf;
        uint16 record;
        bytes32 stream;
        uint64 model;
        /// 0 consensus, 1 attested.
        uint8 class;
        uint8 kind;
        /// Parts per million.
        uint32 score;
        /// The reading's time, milliseconds since 1970.
        int64 timeMs;
        /// × 10^9; the smallest int128 means that the value does not fit.
        int128 value;
        string reason;
    }

    struct VerdictProof {
        bytes verdict;
        /// Where the verdict is among the block's verdicts, and how many those are.
        uint64 index;
        uint64 count;
        bytes32[] path;
        /// The block that judged, its time, and its verdict leaf in the log.
        uint64 height;
        uint64 timeMs;
        uint64 leafIndex;
        /// From the verdict leaf to the log's root after block `anchor`, which is `height` or later.
        bytes32[] logPath;
        uint64 anchor;
    }

    /// @notice What the log says of a statement.
    struct StatementLeaf {
        /// SHA-256 of the statement as it is stored.
        bytes32 statementHash;
        /// The device that signed, and the one whose readings they are.
        bytes20 signer;
        bytes20 origin;
        /// SHA-256 of the COSE_Key that verified it.
        bytes32 keyFingerprint;
        /// The block, and its time in milliseconds since 1970.
        uint64 height;
        uint64 timeMs;
    }

    struct StatementProof {
        StatementLeaf leaf;
        uint64 leafIndex;
        /// From the leaf to the log's root after block `anchor`, which is `leaf.height` or later.
        bytes32[] logPath;
        uint64 anchor;
    }

    uint256 internal constant VERDICT_BYTES = 81;
    uint256 internal constant MAX_REASON_BYTES = 255;

    /// @notice The bytes are no verdict of version 1.
    error MalformedVerdict();
    /// @notice The verdict is not among the verdicts of the leaf, or the leaf not in the log.
    error NotInLog();

    /// @notice Decodes a verdict and proves that the block of height `p.height` and time `p.timeMs` gave it, on Triad
    /// itself: the log precompile tells the root.
    function prove(VerdictProof calldata p) internal view returns (Verdict memory verdict) {
        Triad.LogHead memory head = Triad.logAt(p.anchor);
        return proveIn(p, head.size, head.root);
    }

    /// @notice The same against the root of a log of `size` leaves that the caller trusts, on any chain.
    function proveIn(VerdictProof calldata p, uint64 size, bytes32 logRoot)
        internal
        view
        returns (Verdict memory verdict)
    {
        verdict = decode(p.verdict);
        bytes32 root = rootOf(leafHash(p.verdict), p.index, p.count, p.path);
        bytes32 leaf = leafHash(verdictLeaf(p.height, p.timeMs, p.count, root));
        if (rootOf(leaf, p.leafIndex, size, p.logPath) != logRoot) revert NotInLog();
    }

    /// @notice Proves that a log of `size` leaves with this root holds a statement's leaf.
    function proveStatement(StatementProof calldata p, uint64 size, bytes32 logRoot) internal view {
        bytes32 leaf = leafHash(statementLeaf(p.leaf));
        if (rootOf(leaf, p.leafIndex, size, p.logPath) != logRoot) revert NotInLog();
    }

    function decode(bytes calldata b) internal pure returns (Verdict memory v) {
        if (b.length < VERDICT_BYTES || b.length > VERDICT_BYTES + MAX_REASON_BYTES || b[0] != 0x01) {
            revert MalformedVerdict();
        }
        v.leaf = uint64(bytes8(b[1:9]));
        v.record = uint16(bytes2(b[9:11]));
        v.stream = bytes32(b[11:43]);
        v.model = uint64(bytes8(b[43:51]));
        v.class = uint8(b[51]);
        v.kind = uint8(b[52]);
        v.score = uint32(bytes4(b[53:57]));
        v.timeMs = int64(uint64(bytes8(b[57:65])));
        v.value = int128(uint128(bytes16(b[65:81])));
        v.reason = string(b[81:]);
    }

    /// @notice The canonical CBOR of a block's verdict leaf.
    function verdictLeaf(uint64 height, uint64 timeMs, uint64 count, bytes32 root)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(hex"860101", _cbor(height), _cbor(timeMs), _cbor(count), hex"5820", root);
    }

    /// @notice The canonical CBOR of a statement's leaf.
    function statementLeaf(StatementLeaf calldata s) internal pure returns (bytes memory) {
        bytes memory head =
            bytes.concat(hex"8801005820", s.statementHash, hex"54", s.signer, hex"54", s.origin);
        return bytes.concat(head, hex"5820", s.keyFingerprint, _cbor(s.height), _cbor(s.timeMs));
    }

    function leafHash(bytes memory leaf) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", leaf));
    }

    /// @notice The root of a tree of `size` leaves in which `hash` is the leaf at `index`, by RFC 9162 section 2.1.3.2.
    /// Reverts if the path has another length than such a tree demands.
    function rootOf(bytes32 hash, uint64 index, uint64 size, bytes32[] calldata path)
        internal
        view
        returns (bytes32)
    {
        if (index >= size) revert NotInLog();
        uint256 fn = index;
        uint256 sn = size - 1;
        for (uint256 i; i < path.length; ++i) {
            if (sn == 0) revert NotInLog();
            if (fn & 1 == 1 || fn == sn) {
                hash = _node(path[i], hash);
                while (fn & 1 == 0 && fn != 0) {
                    fn >>= 1;
                    sn >>= 1;
                }
            } else {
                hash = _node(hash, path[i]);
            }
            fn >>= 1;
            sn >>= 1;
        }
        if (sn != 0) revert NotInLog();
        return hash;
    }

    /// @dev The shortest CBOR of an unsigned integer.
    function _cbor(uint64 n) private pure returns (bytes memory) {
        if (n < 24) return abi.encodePacked(uint8(n));
        if (n <= type(uint8).max) return abi.encodePacked(hex"18", uint8(n));
        if (n <= type(uint16).max) return abi.encodePacked(hex"19", uint16(n));
        if (n <= type(uint32).max) return abi.encodePacked(hex"1a", uint32(n));
        return abi.encodePacked(hex"1b", n);
    }

    /// @dev SHA-256(0x01 ‖ left ‖ right) in the scratch space, so that a long path allocates nothing.
    function _node(bytes32 left, bytes32 right) private view returns (bytes32 hash) {
        bool success;
        assembly ("memory-safe") {
            let at := mload(0x40)
            mstore8(at, 0x01)
            mstore(add(at, 0x01), left)
            mstore(add(at, 0x21), right)
            success := staticcall(gas(), 0x02, at, 0x41, 0x00, 0x20)
            hash := mload(0x00)
        }
        if (!success) revert NotInLog();
    }
}
