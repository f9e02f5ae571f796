// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {DeviceKeys} from "../src/DeviceKeys.sol";
import {DeviceRegistry} from "../src/DeviceRegistry.sol";
import {Keys} from "./Keys.sol";

contract DeviceRegistryTest is Keys {
    event DeviceRegistered(
        bytes20 indexed id, address indexed owner, uint8 alg, bytes coseKey, bytes32 metadata
    );
    event KeyRotated(bytes20 indexed id, uint8 alg, bytes coseKey);
    event EpochRaised(bytes20 indexed id, uint32 epoch);
    event StatusChanged(bytes20 indexed id, uint8 status);
    event SpeakerChanged(bytes20 indexed origin, bytes20 indexed signer, bool allowed);
    event UnitChanged(bytes20 indexed id, bytes32 indexed stream, string unit);

    struct Vector {
        uint8 algorithm;
        bytes coseKey;
        bytes20 id;
        bytes32 fingerprint;
        bytes registrationProof;
        bytes rotationProof;
        bytes32 registrationChallenge;
        bytes32 rotationChallenge;
    }

    Vector[] private vectors;

    function setUp() public {
        genesis(false);
        string memory json = vm.readFile("test/vectors/registration.json");
        for (uint256 i; i < 3; ++i) {
            string memory path = string.concat(".cases[", vm.toString(i), "]");
            Vector storage v = vectors.push();
            v.algorithm = uint8(vm.parseJsonUint(json, string.concat(path, ".algorithm")));
            v.coseKey = vm.parseJsonBytes(json, string.concat(path, ".coseKey"));
            v.id = bytes20(vm.parseJsonAddress(json, string.concat(path, ".id")));
            v.fingerprint = vm.parseJsonBytes32(json, string.concat(path, ".fingerprint"));
            v.registrationProof = vm.parseJsonBytes(json, string.concat(path, ".registrationProof"));
            v.rotationProof = vm.parseJsonBytes(json, string.concat(path, ".rotationProof"));
            v.registrationChallenge = vm.parseJsonBytes32(json, string.concat(path, ".registrationChallenge"));
            v.rotationChallenge = vm.parseJsonBytes32(json, string.concat(path, ".rotationChallenge"));
        }
        Vector storage ed = vectors[0];
        _ed25519Accepts(ed.coseKey, ed.registrationProof, ed.registrationChallenge);
        _ed25519Accepts(ed.coseKey, ed.rotationProof, ed.rotationChallenge);
    }

    // ------------------------------------------------------------------ registration

    function test_registersKeysThatAnotherLibraryMade() public {
        for (uint256 i; i < 3; ++i) {
            Vector memory v = vectors[i];
            vm.assertEq(devices.registrationChallenge(ALICE, v.coseKey), v.registrationChallenge, "challenge");
            vm.expectEmit(true, true, true, true, address(devices));
            emit DeviceRegistered(v.id, ALICE, v.algorithm, v.coseKey, bytes32(i));
            vm.prank(REGISTRAR);
            bytes20 id = devices.register(v.algorithm, v.coseKey, ALICE, bytes32(i), v.registrationProof);
            vm.assertEq(address(id), address(v.id), "id");
            vm.assertEq(devices.keyHash(id), v.fingerprint, "key hash");
            vm.assertEq(devices.algorithm(id), v.algorithm, "algorithm");
            vm.assertEq(devices.ownerOf(id), ALICE, "owner");
            vm.assertTrue(devices.isActive(id) && devices.speaks(id, id), "active and speaks for itself");
        }
        vm.assertEq(devices.deviceCount(), 3, "count");
    }

    function test_secp256k1DeviceIdIsItsEthereumAddress() public {
        (bytes memory key, bytes memory proof) = _k256(77, ALICE);
        vm.prank(REGISTRAR);
        vm.assertEq(address(devices.register(3, key, ALICE, 0, proof)), vm.addr(77), "address");
    }

    function test_refusesEveryProofThatIsNotTheKeys() public {
        for (uint256 i; i < 3; ++i) {
            Vector memory v = vectors[i];
            vm.startPrank(REGISTRAR);
            // another owner: a proof that was seen is of no use to a thief
            vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, v.id));
            devices.register(v.algorithm, v.coseKey, MALLORY, 0, v.registrationProof);
            // the proof of another purpose
            vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, v.id));
            devices.register(v.algorithm, v.coseKey, ALICE, 0, v.rotationProof);
            // each bit of the signature matters
            for (uint256 k; k < 64; k += 9) {
                bytes memory proof = bytes.concat(v.registrationProof);
                proof[k] ^= 0x01;
                vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, v.id));
                devices.register(v.algorithm, v.coseKey, ALICE, 0, proof);
            }
            // and its length
            vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, v.id));
            devices.register(v.algorithm, v.coseKey, ALICE, 0, bytes.concat(v.registrationProof, hex"00"));
            vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, v.id));
            devices.register(v.algorithm, v.coseKey, ALICE, 0, "");
            vm.stopPrank();
        }
        // another chain
        vm.chainId(1);
        vm.prank(REGISTRAR);
        vm.expectPartialRevert(DeviceRegistry.WrongProof.selector);
        devices.register(2, vectors[1].coseKey, ALICE, 0, vectors[1].registrationProof);
    }

    function test_acceptsHighSSinceSecureElementsMakeIt() public {
        (bytes memory key, bytes memory proof) = _p256(5, ALICE);
        uint256 n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551;
        (bytes32 r, bytes32 s) = abi.decode(proof, (bytes32, bytes32));
        vm.prank(REGISTRAR);
        devices.register(2, key, ALICE, 0, abi.encode(r, n - uint256(s)));
    }

    function test_acceptsOnlyTheCanonicalKey() public {
        vm.startPrank(REGISTRAR);
        for (uint256 i; i < 3; ++i) {
            Vector memory v = vectors[i];
            // Every fixed byte, flipped in every bit; x is bytes 8..40, y bytes 43..75.
            for (uint256 k; k < v.coseKey.length; ++k) {
                if ((k >= 8 && k < 40) || k >= 43) continue;
                for (uint256 bit; bit < 8; ++bit) {
                    bytes memory key = bytes.concat(v.coseKey);
                    key[k] ^= bytes1(uint8(1 << bit));
                    vm.expectRevert(
                        abi.encodeWithSelector(DeviceKeys.MalformedKey.selector, v.algorithm, key)
                    );
                    devices.register(v.algorithm, key, ALICE, 0, v.registrationProof);
                }
            }
            _expectMalformed(v, bytes.concat(v.coseKey, hex"00"));
            _expectMalformed(v, "");
            // a key of another algorithm
            uint8 other = v.algorithm % 3 + 1;
            vm.expectPartialRevert(DeviceKeys.MalformedKey.selector);
            devices.register(other, v.coseKey, ALICE, 0, v.registrationProof);
        }
        for (uint256 alg; alg < 256; alg += 4) {
            vm.expectRevert(abi.encodeWithSelector(DeviceKeys.UnknownAlgorithm.selector, uint8(alg)));
            devices.register(uint8(alg), vectors[0].coseKey, ALICE, 0, vectors[0].registrationProof);
        }
    }

    function test_aDeviceIsRegisteredOnce() public {
        Vector memory v = vectors[1];
        _register(v);
        vm.prank(REGISTRAR);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.AlreadyRegistered.selector, v.id));
        devices.register(v.algorithm, v.coseKey, ALICE, 0, v.registrationProof);
    }

    function test_onlyRegistrarsRegisterUnlessOpen() public {
        Vector memory v = vectors[1];
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotAllowedToRegister.selector, ALICE, ALICE));
        devices.register(v.algorithm, v.coseKey, ALICE, 0, v.registrationProof);
        vm.prank(ALICE);
        vm.expectPartialRevert(DeviceRegistry.NotAllowedToRegister.selector);
        devices.registerUnsigned(ALICE, 0, 0);
    }

    function test_aBatchRegistersAllOrNothing() public {
        DeviceRegistry.Registration[] memory batch = new DeviceRegistry.Registration[](3);
        for (uint256 i; i < 3; ++i) {
            batch[i] = _item(vectors[i]);
        }
        batch[2].proof = batch[1].proof;
        vm.startPrank(REGISTRAR);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, vectors[2].id));
        devices.registerBatch(batch);
        vm.assertEq(devices.deviceCount(), 0, "nothing was done");
        batch[2] = _item(vectors[2]);
        vm.assertEq(devices.registerBatch(batch), 3, "all were done");
        vm.stopPrank();
    }

    function test_anInterruptedImportIsSimplyRunAgain() public {
        _register(vectors[1]);
        DeviceRegistry.Registration[] memory batch = new DeviceRegistry.Registration[](3);
        for (uint256 i; i < 3; ++i) {
            batch[i] = _item(vectors[i]);
        }
        vm.prank(REGISTRAR);
        vm.assertEq(devices.registerBatch(batch), 2, "the one that is there is passed over");
        // but not one that somebody else has
        vm.prank(ALICE);
        devices.setOwner(vectors[0].id, BOB);
        vm.prank(REGISTRAR);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.AlreadyRegistered.selector, vectors[0].id));
        devices.registerBatch(batch);
    }

    function test_aDeviceWithoutAKeyHasTheIdOfItsOwnerAndSalt() public {
        bytes20 expected =
            bytes20(uint160(uint256(keccak256(abi.encode("unsigned", ALICE, bytes32(uint256(9)))))));
        vm.expectEmit(true, true, true, true, address(devices));
        emit DeviceRegistered(expected, ALICE, 0, "", bytes32(uint256(1)));
        vm.startPrank(REGISTRAR);
        bytes20 id = devices.registerUnsigned(ALICE, bytes32(uint256(9)), bytes32(uint256(1)));
        vm.assertEq(address(id), address(expected), "id");
        vm.assertFalse(devices.speaks(id, id), "it cannot speak for itself");
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.AlreadyRegistered.selector, id));
        devices.registerUnsigned(ALICE, bytes32(uint256(9)), 0);
        vm.expectRevert(DeviceRegistry.ZeroOwner.selector);
        devices.registerUnsigned(address(0), 0, 0);
        vm.stopPrank();
    }

    // ------------------------------------------------------------------ a device's life

    function test_rotationKeepsIdOwnerAndSpeakers() public {
        bytes20 id = _register(vectors[1]);
        bytes20 gateway = device(BOB, 1);
        vm.startPrank(ALICE);
        devices.setSpeaker(id, gateway, true);
        bytes20 idOfNewKey = bytes20(vm.addr(42));
        (bytes memory key,) = _k256(42, ALICE);
        bytes memory proof = _k256Sign(42, devices.rotationChallenge(id, key));
        vm.expectEmit(true, true, true, true, address(devices));
        emit KeyRotated(id, 3, key);
        devices.rotate(id, 3, key, proof);
        vm.stopPrank();
        vm.assertEq(devices.algorithm(id), 3, "algorithm");
        vm.assertEq(devices.keyHash(id), sha256(key), "key hash");
        vm.assertEq(devices.ownerOf(id), ALICE, "owner");
        vm.assertTrue(devices.speaks(id, gateway), "speaker");
        vm.assertEq(devices.statusOf(idOfNewKey), 0, "the new key makes no device");
        vm.assertEq(devices.deviceCount(), 2, "count");
    }

    function test_rotationNeedsTheOwnerAndTheNewKeysProofForThisDevice() public {
        bytes20 id = _register(vectors[1]);
        bytes20 other = _register(vectors[2]);
        (bytes memory key, bytes memory registration) = _k256(42, ALICE);
        bytes memory proof = _k256Sign(42, devices.rotationChallenge(id, key));
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotOwner.selector, id, MALLORY));
        devices.rotate(id, 3, key, proof);
        vm.prank(REGISTRAR);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotOwner.selector, id, REGISTRAR));
        devices.rotate(id, 3, key, proof);
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, other));
        devices.rotate(other, 3, key, proof);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.WrongProof.selector, id));
        devices.rotate(id, 3, key, registration);
        vm.stopPrank();
    }

    function test_theRotationProofOfAnotherLibraryIsAccepted() public {
        for (uint256 i; i < 3; ++i) {
            Vector memory v = vectors[i];
            _register(v);
            vm.assertEq(devices.rotationChallenge(v.id, v.coseKey), v.rotationChallenge, "challenge");
            vm.prank(ALICE);
            devices.rotate(v.id, v.algorithm, v.coseKey, v.rotationProof);
        }
    }

    function testFuzz_theEpochOnlyRises(uint32 first, uint32 second) public {
        bytes20 id = device(ALICE, 0);
        vm.startPrank(ALICE);
        if (first == 0) {
            vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.EpochOnlyRises.selector, id, 0, first));
        } else {
            vm.expectEmit(true, true, true, true, address(devices));
            emit EpochRaised(id, first);
        }
        devices.raiseEpoch(id, first);
        if (second <= first) {
            vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.EpochOnlyRises.selector, id, first, second));
        }
        devices.raiseEpoch(id, second);
        vm.assertEq(devices.epochOf(id), second > first ? second : first, "epoch");
        vm.stopPrank();
    }

    function test_eachSideLiftsOnlyItsOwnSuspension() public {
        bytes20 id = device(ALICE, 0);
        vm.prank(ALICE);
        devices.suspend(id);
        vm.prank(REGISTRAR);
        devices.suspend(id);
        vm.assertFalse(devices.isActive(id), "suspended");
        vm.expectEmit(true, true, true, true, address(devices));
        emit StatusChanged(id, 2);
        vm.prank(ALICE);
        devices.activate(id);
        vm.assertFalse(devices.isActive(id), "the registrar's still holds");
        vm.expectEmit(true, true, true, true, address(devices));
        emit StatusChanged(id, 1);
        vm.prank(REGISTRAR);
        devices.activate(id);
        vm.assertTrue(devices.isActive(id), "active");
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotOwnerOrRegistrar.selector, id, MALLORY));
        devices.suspend(id);
    }

    function test_anOwnerCannotUndoARegistrarsSuspension() public {
        bytes20 id = device(ALICE, 0);
        vm.prank(REGISTRAR);
        devices.suspend(id);
        vm.prank(ALICE);
        devices.activate(id);
        vm.assertEq(devices.statusOf(id), 2, "suspended");
    }

    function test_anOwnerWhoIsRegistrarSuspendsAndActivates() public {
        bytes20 id = device(REGISTRAR, 0);
        vm.startPrank(REGISTRAR);
        devices.suspend(id);
        devices.activate(id);
        vm.assertTrue(devices.isActive(id), "active");
    }

    function test_revocationIsForEver() public {
        bytes20 id = _register(vectors[1]);
        vm.prank(REGISTRAR);
        devices.revoke(id);
        vm.assertEq(devices.statusOf(id), 3, "revoked");
        bytes memory revoked = abi.encodeWithSelector(DeviceRegistry.DeviceRevoked.selector, id);
        vm.startPrank(ALICE);
        vm.expectRevert(revoked);
        devices.activate(id);
        vm.expectRevert(revoked);
        devices.suspend(id);
        vm.expectRevert(revoked);
        devices.rotate(id, 2, vectors[1].coseKey, vectors[1].rotationProof);
        vm.expectRevert(revoked);
        devices.setOwner(id, BOB);
        vm.expectRevert(revoked);
        devices.raiseEpoch(id, 1);
        vm.stopPrank();
        vm.prank(REGISTRAR);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.AlreadyRegistered.selector, id));
        devices.register(2, vectors[1].coseKey, ALICE, 0, vectors[1].registrationProof);
    }

    function test_onlyTheOwnerSaysWhoSpeaksForADevice() public {
        bytes20 origin = device(ALICE, 0);
        bytes20 gateway = device(BOB, 1);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotOwner.selector, origin, BOB));
        devices.setSpeaker(origin, gateway, true);

        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.UnknownDevice.selector, bytes20(MALLORY)));
        devices.setSpeaker(origin, bytes20(MALLORY), true);
        vm.expectEmit(true, true, true, true, address(devices));
        emit SpeakerChanged(origin, gateway, true);
        devices.setSpeaker(origin, gateway, true);
        devices.setSpeaker(origin, gateway, true);
        vm.assertTrue(devices.speaks(origin, gateway), "allowed");
        vm.assertFalse(devices.speaks(gateway, origin), "one way only");
        devices.setSpeaker(origin, gateway, false);
        vm.assertFalse(devices.speaks(origin, gateway), "no more");
        vm.stopPrank();
    }

    function test_speakersOfADeviceAreBounded() public {
        bytes20 origin = device(ALICE, 0);
        bytes20 last;
        for (uint256 i = 1; i <= devices.MAX_SPEAKERS(); ++i) {
            last = device(BOB, i);
            vm.prank(ALICE);
            devices.setSpeaker(origin, last, true);
        }
        bytes20 more = device(BOB, 0);
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.TooManySpeakers.selector, origin));
        devices.setSpeaker(origin, more, true);
        devices.setSpeaker(origin, last, false);
        devices.setSpeaker(origin, more, true);
        vm.stopPrank();
    }

    function test_anotherOwnerTakesOver() public {
        bytes20 id = device(ALICE, 0);
        vm.startPrank(ALICE);
        vm.expectRevert(DeviceRegistry.ZeroOwner.selector);
        devices.setOwner(id, address(0));
        devices.setOwner(id, BOB);
        vm.expectRevert(abi.encodeWithSelector(DeviceRegistry.NotOwner.selector, id, ALICE));
        devices.setMetadata(id, bytes32(uint256(1)));
        vm.stopPrank();
        vm.prank(BOB);
        devices.setMetadata(id, bytes32(uint256(1)));
    }

    function test_aUnitIsSetForTheStreamOfItsName() public {
        bytes20 id = device(ALICE, 0);
        vm.expectEmit(true, true, true, true, address(devices));
        emit UnitChanged(id, keccak256(abi.encodePacked(id, "urn:dev:1/temp")), "Cel");
        vm.startPrank(ALICE);
        devices.setUnit(id, "urn:dev:1/temp", "Cel");
        vm.expectPartialRevert(DeviceRegistry.TextTooLong.selector);
        devices.setUnit(id, string(new bytes(256)), "Cel");
        vm.stopPrank();
    }

    function test_onlyTheChainInitializesAndOnlyOnce() public {
        address[] memory none;
        vm.expectRevert(DeviceRegistry.OnlySystem.selector);
        devices.initialize(none, true);
        vm.prank(Addresses.SYSTEM_CALLER);
        vm.expectRevert(DeviceRegistry.AlreadyInitialized.selector);
        devices.initialize(none, true);
    }

    // ------------------------------------------------------------------ helpers

    function _register(Vector memory v) private returns (bytes20) {
        vm.prank(REGISTRAR);
        return devices.register(v.algorithm, v.coseKey, ALICE, 0, v.registrationProof);
    }

    function _item(Vector memory v) private pure returns (DeviceRegistry.Registration memory) {
        return DeviceRegistry.Registration(v.algorithm, v.coseKey, ALICE, 0, v.registrationProof);
    }

    function _expectMalformed(Vector memory v, bytes memory key) private {
        vm.expectRevert(abi.encodeWithSelector(DeviceKeys.MalformedKey.selector, v.algorithm, key));
        devices.register(v.algorithm, key, ALICE, 0, v.registrationProof);
    }
}
