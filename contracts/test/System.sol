// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Automations} from "../src/Automations.sol";
import {DeviceRegistry} from "../src/DeviceRegistry.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {Test} from "./Test.sol";

/// @dev A chain with the system contracts at their addresses, as genesis makes it.
abstract contract System is Test {
    DeviceRegistry internal constant devices = DeviceRegistry(Addresses.DEVICE_REGISTRY);
    ModelRegistry internal constant models = ModelRegistry(Addresses.MODEL_REGISTRY);
    Automations internal constant automations = Automations(Addresses.AUTOMATIONS);

    address internal constant REGISTRAR = address(0x4E6157);
    address internal constant ALICE = address(0xA11CE);
    address internal constant BOB = address(0xB0B);
    address internal constant MALLORY = address(0xBAD);
    address internal constant FEES = address(0xFEE5);
    uint256 internal constant MIN_DEPOSIT = 1000;
    uint256 internal constant BASE_FEE = 7;

    function genesis(bool open) internal {
        vm.etch(
            address(devices),
            vm.parseJsonBytes(vm.readFile("artifacts/DeviceRegistry.json"), ".deployedBytecode")
        );
        vm.etch(
            address(models),
            vm.parseJsonBytes(vm.readFile("artifacts/ModelRegistry.json"), ".deployedBytecode")
        );
        vm.etch(
            address(automations),
            vm.parseJsonBytes(vm.readFile("artifacts/Automations.json"), ".deployedBytecode")
        );
        // Without the real precompile: no signature is right unless a test says so.
        vm.etch(Addresses.ED25519_VERIFY, hex"60205ff3");
        address[] memory registrars = new address[](1);
        registrars[0] = REGISTRAR;
        vm.startPrank(Addresses.SYSTEM_CALLER);
        devices.initialize(registrars, open);
        automations.initialize(FEES, MIN_DEPOSIT);
        vm.stopPrank();
        vm.fee(BASE_FEE);
        vm.roll(100);
        vm.warp(1_800_000_000);
    }

    /// @dev A device without a key, which is all that most tests need.
    function device(address owner, uint256 salt) internal returns (bytes20 id) {
        vm.prank(REGISTRAR);
        id = devices.registerUnsigned(owner, bytes32(salt), 0);
    }

    function nowMs() internal view returns (uint64) {
        return uint64(block.timestamp * 1000);
    }
}
