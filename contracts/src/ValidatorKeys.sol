// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";

/// @title What the two keys of a validator sign: the proofs that it has them, and its votes in consensus.
/// @notice Possession, as in the genesis file (docs/formats.md):
///
///     "triad validator possession v1" ‖ chain id (u64) ‖ consensus key (32) ‖ checkpoint address (20)
///
/// signed by the consensus key (Ed25519, 64 bytes) and, its Keccak-256, by the checkpoint key (r ‖ s ‖ v, 65 bytes).
///
/// Votes, as commonware simplex makes them:
///
///     notarize   varint(46) ‖ NS ‖ "_NOTARIZE" ‖ round ‖ varint(parent view) ‖ digest (32)
///     nullify    varint(45) ‖ NS ‖ "_NULLIFY" ‖ round
///     finalize   varint(46) ‖ NS ‖ "_FINALIZE" ‖ round ‖ varint(parent view) ‖ digest (32)
///     round      varint(epoch) ‖ varint(view)
///     NS         "triad" ‖ genesis hash (37 bytes)
///
/// A varint is LEB128 in its shortest form; the first one is the length of what stands before the round.
library ValidatorKeys {
    bytes private constant POSSESSION = "triad validator possession v1";
    bytes private constant NAMESPACE = "triad";
    bytes private constant NOTARIZE = "_NOTARIZE";
    bytes private constant NULLIFY = "_NULLIFY";
    bytes private constant FINALIZE = "_FINALIZE";
    /// @dev Half the order of secp256k1, rounded down: s may not be larger.
    uint256 private constant HALF_ORDER = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0;

    /// @notice What both keys of a validator sign, so that nobody else can claim either.
    function possession(bytes32 consensusKey, address checkpointAddress)
        internal
        view
        returns (bytes memory)
    {
        return abi.encodePacked(POSSESSION, uint64(block.chainid), consensusKey, checkpointAddress);
    }

    /// @notice What a validator signs to notarize a proposal.
    function notarizeVote(bytes32 genesisHash, uint64 epoch, uint64 view_, uint64 parentView, bytes32 digest)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(_round(genesisHash, NOTARIZE, epoch, view_), _varint(parentView), digest);
    }

    /// @notice What a validator signs to give up a view.
    function nullifyVote(bytes32 genesisHash, uint64 epoch, uint64 view_)
        internal
        pure
        returns (bytes memory)
    {
        return _round(genesisHash, NULLIFY, epoch, view_);
    }

    /// @notice What a validator signs to finalise a proposal.
    function finalizeVote(bytes32 genesisHash, uint64 epoch, uint64 view_, uint64 parentView, bytes32 digest)
        internal
        pure
        returns (bytes memory)
    {
        return bytes.concat(_round(genesisHash, FINALIZE, epoch, view_), _varint(parentView), digest);
    }

    /// @notice Whether the Ed25519 key made the signature, by the rules of ZIP-215.
    function verify(bytes32 key, bytes calldata signature, bytes memory message)
        internal
        view
        returns (bool)
    {
        if (signature.length != 64) return false;
        (bool success, bytes memory output) =
            Addresses.ED25519_VERIFY.staticcall(abi.encodePacked(key, signature, message));
        return success && output.length == 32 && abi.decode(output, (uint256)) == 1;
    }

    /// @notice Whose key made r ‖ s ‖ v over the hash; zero if nobody's. v is 27 or 28, or the bare parity. A large s
    /// is refused, as in genesis.
    function recover(bytes32 hash, bytes calldata signature) internal pure returns (address) {
        if (signature.length != 65) return address(0);
        bytes32 s = bytes32(signature[32:64]);
        if (uint256(s) > HALF_ORDER) return address(0);
        uint8 v = uint8(signature[64]);
        return ecrecover(hash, v < 2 ? v + 27 : v, bytes32(signature[0:32]), s);
    }

    function _round(bytes32 genesisHash, bytes memory kind, uint64 epoch, uint64 view_)
        private
        pure
        returns (bytes memory)
    {
        bytes1 length = bytes1(uint8(NAMESPACE.length + 32 + kind.length));
        return bytes.concat(length, NAMESPACE, genesisHash, kind, _varint(epoch), _varint(view_));
    }

    function _varint(uint64 n) private pure returns (bytes memory out) {
        while (n >= 0x80) {
            out = bytes.concat(out, bytes1(uint8(n) | 0x80));
            n >>= 7;
        }
        return bytes.concat(out, bytes1(uint8(n)));
    }
}
