// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

/// @title The addresses that every Triad chain has from genesis on.
library Addresses {
    /// @dev Calls system contracts on behalf of the chain itself. No key exists for it and no transaction can come
    /// from it.
    address internal constant SYSTEM_CALLER = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;
    /// @dev The sender of every firing: keyless and fundless.
    address internal constant FIRING_CALLER = 0x0000000000000000000000000000000000030001;

    /// @dev EIP-7951, on every chain since Osaka.
    address internal constant P256_VERIFY = 0x0000000000000000000000000000000000000100;
    address internal constant ED25519_VERIFY = 0x0000000000000000000000000000000000010001;
    address internal constant LATEST_READING = 0x0000000000000000000000000000000000010002;
    address internal constant LATEST_VERDICT = 0x0000000000000000000000000000000000010003;
    address internal constant LOG = 0x0000000000000000000000000000000000010004;
    /// @dev Only on chains with rule `learned-models`.
    address internal constant LATEST_PREDICTION = 0x0000000000000000000000000000000000010005;

    address internal constant DEVICE_REGISTRY = 0x0000000000000000000000000000000000020001;
    address internal constant MODEL_REGISTRY = 0x0000000000000000000000000000000000020002;
    address internal constant AUTOMATIONS = 0x0000000000000000000000000000000000020003;
    address internal constant VALIDATOR_SET = 0x0000000000000000000000000000000000020004;
}
