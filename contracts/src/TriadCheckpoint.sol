// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

/// @title What a block of Triad is, in two hundred and some bytes: the thing whose SHA-256 the validators sign.
/// @notice Canonical CBOR (RFC 8949, section 4.2.1), read strictly: shortest integers, nothing before or after. So one
/// checkpoint has one byte string.
///
///     [1, genesis hash b32, chain id, height, epoch, parent digest b32, time_ms, body hash b32, log size, log root b32,
///      application digest b32, Ethereum block hash b32, next validators b32 | null]
library TriadCheckpoint {
    struct Checkpoint {
        bytes32 genesisHash;
        uint64 chainId;
        uint64 height;
        /// Which validator set signs it.
        uint64 epoch;
        bytes32 parentDigest;
        /// Block time, milliseconds since 1970.
        uint64 timeMs;
        bytes32 bodyHash;
        /// Leaves of the log after this block, and its RFC 9162 root.
        uint64 logSize;
        bytes32 logRoot;
        bytes32 appDigest;
        bytes32 ethBlockHash;
        /// SHA-256 of the next validator set in an epoch's last block, else zero.
        bytes32 nextValidators;
    }

    /// @notice The bytes are no checkpoint of version 1 in its canonical form; `offset` is where that shows.
    error MalformedCheckpoint(uint256 offset);

    function decode(bytes calldata b) internal pure returns (Checkpoint memory c) {
        if (b.length < 2 || b[0] != 0x8d || b[1] != 0x01) revert MalformedCheckpoint(0);
        uint256 offset = 2;
        (c.genesisHash, offset) = _hash(b, offset);
        (c.chainId, offset) = _uint(b, offset);
        (c.height, offset) = _uint(b, offset);
        (c.epoch, offset) = _uint(b, offset);
        (c.parentDigest, offset) = _hash(b, offset);
        (c.timeMs, offset) = _uint(b, offset);
        (c.bodyHash, offset) = _hash(b, offset);
        (c.logSize, offset) = _uint(b, offset);
        (c.logRoot, offset) = _hash(b, offset);
        (c.appDigest, offset) = _hash(b, offset);
        (c.ethBlockHash, offset) = _hash(b, offset);
        if (offset < b.length && b[offset] == 0xf6) ++offset;
        else (c.nextValidators, offset) = _hash(b, offset);
        if (offset != b.length) revert MalformedCheckpoint(offset);
    }

    /// @dev A byte string of 32.
    function _hash(bytes calldata b, uint256 offset) private pure returns (bytes32 hash, uint256 next) {
        next = offset + 34;
        if (next > b.length || b[offset] != 0x58 || b[offset + 1] != 0x20) {
            revert MalformedCheckpoint(offset);
        }
        hash = bytes32(b[offset + 2:next]);
    }

    /// @dev An unsigned integer in its shortest form.
    function _uint(bytes calldata b, uint256 offset) private pure returns (uint64 n, uint256 next) {
        if (offset >= b.length) revert MalformedCheckpoint(offset);
        uint256 first = uint8(b[offset]);
        next = offset + 1;
        if (first < 24) return (uint64(first), next);
        if (first > 27) revert MalformedCheckpoint(offset);
        uint256 width = 1 << (first - 24);
        next += width;
        if (next > b.length) revert MalformedCheckpoint(offset);
        n = uint64(bytes8(b[offset + 1:next]) >> (64 - 8 * width));
        uint256 least = width == 1 ? 24 : 1 << (4 * width);
        if (n < least) revert MalformedCheckpoint(offset);
    }
}
