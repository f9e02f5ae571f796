// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";

/// @title Public keys of devices and the signatures made with them.
/// @notice A key is a COSE_Key (RFC 9052 section 7) in deterministic CBOR (RFC 8949 section 4.2.1) with exactly the
/// members kty, crv and the coordinates. Each kind of key therefore has one layout, and this library compares its
/// fixed bytes instead of parsing CBOR:
///
///     Ed25519    a3 0101 2006 215820 x[32]                     40 bytes
///     P-256      a4 0102 2001 215820 x[32] 225820 y[32]        75 bytes
///     secp256k1  a4 0102 2008 215820 x[32] 225820 y[32]        75 bytes
///
/// A signature is 64 bytes: R ‖ S for Ed25519, r ‖ s (big-endian) for ECDSA, as COSE carries them.
library DeviceKeys {
    /// @dev A parsed key; y is zero for Ed25519.
    struct Key {
        uint8 algorithm;
        bytes32 x;
        bytes32 y;
    }

    /// @dev A device without a key: another device speaks for it.
    uint8 internal constant UNSIGNED = 0;
    uint8 internal constant EDDSA = 1;
    uint8 internal constant ES256 = 2;
    uint8 internal constant ES256K = 3;

    uint256 private constant OKP_PREFIX = 0xa3010120062158200000000000000000_00000000000000000000000000000000;
    uint256 private constant P256_PREFIX =
        0xa4010220012158200000000000000000_00000000000000000000000000000000;
    uint256 private constant K256_PREFIX =
        0xa4010220082158200000000000000000_00000000000000000000000000000000;
    uint256 private constant PREFIX_BITS = 192; // all but the eight bytes before x
    uint256 private constant Y_PREFIX = 0x225820;

    /// @notice The bytes are not the canonical COSE_Key of this algorithm.
    error MalformedKey(uint8 algorithm, bytes coseKey);
    /// @notice The algorithm is none of EdDSA (1), ES256 (2), ES256K (3).
    error UnknownAlgorithm(uint8 algorithm);

    /// @notice Parses a COSE_Key. Whether the point is on its curve is found out by the verification of a signature.
    function parse(uint8 algorithm, bytes calldata coseKey) internal pure returns (Key memory key) {
        uint256 prefix;
        uint256 length = 75;
        if (algorithm == EDDSA) (prefix, length) = (OKP_PREFIX, 40);
        else if (algorithm == ES256) prefix = P256_PREFIX;
        else if (algorithm == ES256K) prefix = K256_PREFIX;
        else revert UnknownAlgorithm(algorithm);

        if (coseKey.length != length) revert MalformedKey(algorithm, coseKey);
        if (uint256(bytes32(coseKey[0:32])) >> PREFIX_BITS != prefix >> PREFIX_BITS) {
            revert MalformedKey(algorithm, coseKey);
        }
        key.algorithm = algorithm;
        key.x = bytes32(coseKey[8:40]);
        if (algorithm != EDDSA) {
            if (uint24(bytes3(coseKey[40:43])) != Y_PREFIX) revert MalformedKey(algorithm, coseKey);
            key.y = bytes32(coseKey[43:75]);
        }
    }

    /// @notice The id of the device whose first key this is: the last 20 bytes of Keccak-256 of x ‖ y for secp256k1
    /// (its Ethereum address), of the COSE_Key for the others.
    function idOf(Key memory key, bytes calldata coseKey) internal pure returns (bytes20) {
        bytes32 hash = key.algorithm == ES256K ? keccak256(abi.encode(key.x, key.y)) : keccak256(coseKey);
        return bytes20(uint160(uint256(hash)));
    }

    /// @notice Whether `signature` over the 32 bytes of `challenge` was made with the key. ECDSA signs their SHA-256,
    /// Ed25519 the bytes themselves. High S is accepted, since secure elements make it.
    function verify(Key memory key, bytes32 challenge, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        if (signature.length != 64) return false;
        if (key.algorithm == EDDSA) {
            return _isOne(Addresses.ED25519_VERIFY, abi.encodePacked(key.x, signature, challenge));
        }
        bytes32 digest = sha256(abi.encode(challenge));
        bytes32 r = bytes32(signature[0:32]);
        bytes32 s = bytes32(signature[32:64]);
        if (key.algorithm == ES256) {
            return _isOne(Addresses.P256_VERIFY, abi.encode(digest, r, s, key.x, key.y));
        }
        if (key.algorithm != ES256K) return false;
        // COSE carries no recovery bit. The key hashes to one address only, so either parity may lead to it.
        address signer = address(uint160(uint256(keccak256(abi.encode(key.x, key.y)))));
        return ecrecover(digest, 27, r, s) == signer || ecrecover(digest, 28, r, s) == signer;
    }

    function _isOne(address precompile, bytes memory input) private view returns (bool) {
        (bool success, bytes memory output) = precompile.staticcall(input);
        return success && output.length == 32 && abi.decode(output, (uint256)) == 1;
    }
}
