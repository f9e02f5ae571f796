// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {DeviceRegistry} from "../src/DeviceRegistry.sol";
import {Keys} from "./Keys.sol";

contract DeviceRegistryOpenTest is Keys {
    function setUp() public {
        genesis(true);
    }

    function test_anybodyRegistersToThemselvesOnly() public {
        (bytes memory key, bytes memory proof) = _p256(1, ALICE);
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotAllowedToRegister.selector, MALLORY, ALICE));
        devices.register(2, key, ALICE, 0, proof);
        vm.prank(ALICE);
        bytes20 id = devices.register(2, key, ALICE, 0, proof);
        vm.assertEq(devices.ownerOf(id), ALICE, "owner");
        vm.prank(BOB);
        devices.registerUnsigned(BOB, 0, 0);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotAllowedToRegister.selector, BOB, ALICE));
        devices.registerUnsigned(ALICE, 0, 0);
    }

    /// @dev The Ed25519 verification itself is not in this figure: forge does not know the precompile.
    function test_gasOfABatchFitsATransaction() public {
        for (uint8 alg = 1; alg <= 3; ++alg) {
            uint256 n = 100;
            DeviceRegistry.Registration[] memory batch = new DeviceRegistry.Registration[](n);
            for (uint256 i; i < n; ++i) {
                bytes memory key;
                bytes memory proof;
                if (alg == 2) {
                    (key, proof) = _p256(1000 + i, ALICE);
                } else if (alg == 3) {
                    (key, proof) = _k256(1000 + i, ALICE);
                } else {
                    key = abi.encodePacked(hex"a301012006215820", keccak256(abi.encode(i)));
                    proof = abi.encode(keccak256("r"), keccak256("s"));
                    _ed25519Accepts(key, proof, devices.registrationChallenge(ALICE, key));
                }
                batch[i] = DeviceRegistry.Registration(alg, key, ALICE, keccak256(abi.encode(i)), proof);
            }
            bytes memory data = abi.encodeCall(devices.registerBatch, (batch));
            uint256 gas = 21_000;
            for (uint256 i; i < data.length; ++i) {
                gas += data[i] == 0 ? 4 : 16;
            }
            vm.prank(REGISTRAR);
            uint256 before = gasleft();
            (bool ok,) = address(devices).call(data);
            gas += before - gasleft();
            vm.assertTrue(ok, "batch");
            emit log_named_uint(string.concat("gas per registration, algorithm ", vm.toString(alg)), gas / n);
            vm.assertLe(gas, 10_000_000, "100 a transaction with room to spare");
        }
    }
}
