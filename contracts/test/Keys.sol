// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {System} from "./System.sol";

/// @dev Keys of devices and what they sign. P-256 and secp256k1 are verified for real; forge has no Ed25519
/// precompile, so there exactly the signatures pass that a test names.
abstract contract Keys is System {
    function _ed25519Accepts(bytes memory coseKey, bytes memory proof, bytes32 challenge) internal {
        bytes memory x = new bytes(32);
        for (uint256 i; i < 32; ++i) {
            x[i] = coseKey[8 + i];
        }
        vm.mockCall(Addresses.ED25519_VERIFY, bytes.concat(x, proof, challenge), abi.encode(1));
    }

    function _k256(uint256 secret, address owner) internal returns (bytes memory key, bytes memory proof) {
        uint256 x = vm.createWallet(secret).publicKeyX;
        uint256 y = vm.createWallet(secret).publicKeyY;
        key = abi.encodePacked(hex"a401022008215820", x, hex"225820", y);
        proof = _k256Sign(secret, devices.registrationChallenge(owner, key));
    }

    function _k256Sign(uint256 secret, bytes32 challenge) internal pure returns (bytes memory) {
        (, bytes32 r, bytes32 s) = vm.sign(secret, sha256(abi.encode(challenge)));
        return abi.encode(r, s);
    }

    function _p256(uint256 secret, address owner)
        internal
        view
        returns (bytes memory key, bytes memory proof)
    {
        (uint256 x, uint256 y) = vm.publicKeyP256(secret);
        key = abi.encodePacked(hex"a401022001215820", x, hex"225820", y);
        (bytes32 r, bytes32 s) =
            vm.signP256(secret, sha256(abi.encode(devices.registrationChallenge(owner, key))));
        proof = abi.encode(r, s);
    }
}
