// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

/// @dev Merkle trees by the recursive definitions of RFC 9162 sections 2.1.1 and 2.1.3.1, to test the iterative
/// verifier against.
library Tree {
    function leaf(bytes memory data) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", data));
    }

    function root(bytes32[] memory hashes) internal pure returns (bytes32) {
        if (hashes.length == 0) return sha256("");
        return _root(hashes, 0, hashes.length);
    }

    function path(bytes32[] memory hashes, uint256 index) internal pure returns (bytes32[] memory) {
        return _path(hashes, index, 0, hashes.length);
    }

    function _root(bytes32[] memory hashes, uint256 from, uint256 to) private pure returns (bytes32) {
        if (to - from == 1) return hashes[from];
        uint256 middle = from + _split(to - from);
        return sha256(bytes.concat(hex"01", _root(hashes, from, middle), _root(hashes, middle, to)));
    }

    function _path(bytes32[] memory hashes, uint256 index, uint256 from, uint256 to)
        private
        pure
        returns (bytes32[] memory)
    {
        if (to - from == 1) return new bytes32[](0);
        uint256 middle = from + _split(to - from);
        return index < middle
            ? _push(_path(hashes, index, from, middle), _root(hashes, middle, to))
            : _push(_path(hashes, index, middle, to), _root(hashes, from, middle));
    }

    /// @dev The largest power of two below n.
    function _split(uint256 n) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < n) k *= 2;
    }

    function _push(bytes32[] memory list, bytes32 last) private pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }
}
