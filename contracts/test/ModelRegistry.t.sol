// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {ModelRegistry} from "../src/ModelRegistry.sol";
import {System} from "./System.sol";

contract ModelRegistryTest is System {
    event ModelBound(
        uint64 indexed modelId,
        bytes32 indexed stream,
        bytes20 indexed device,
        string name,
        string kind,
        bytes params,
        bytes32 contentHash
    );
    event ModelUnbound(uint64 indexed modelId, bytes32 indexed stream);

    bytes20 private id;
    bytes32 private stream;

    function setUp() public {
        genesis(false);
        id = device(ALICE, 0);
        stream = keccak256(abi.encodePacked(id, "temp"));
    }

    function test_theOwnerBindsModelsFromOneThousandOn() public {
        bytes32 hash = sha256(abi.encodePacked("range", hex"00", hex"a0"));
        vm.expectEmit(true, true, true, true, address(models));
        emit ModelBound(1000, stream, id, "temp", "range", hex"a0", hash);
        vm.startPrank(ALICE);
        vm.assertEq(models.bind(id, "temp", "range", hex"a0"), 1000, "first");
        vm.assertEq(models.bind(id, "temp", "silence", hex"a1"), 1001, "second");
        ModelRegistry.Model memory m = models.modelOf(1000);
        vm.assertEq(m.stream, stream, "stream");
        vm.assertEq(m.contentHash, hash, "hash");
        vm.assertEq(m.kindHash, keccak256("range"), "kind");
        vm.assertEq(models.modelsOf(stream).length, 2, "count");
        vm.stopPrank();
    }

    function test_onlyTheOwnerBindsUnbindsAndFreezes() public {
        vm.prank(ALICE);
        uint64 model = models.bind(id, "temp", "range", hex"a0");
        bytes memory notOwner = abi.encodeWithSelector(ModelRegistry.NotOwner.selector, id, MALLORY);
        vm.startPrank(MALLORY);
        vm.expectRevert(notOwner);
        models.bind(id, "temp", "range", hex"a0");
        vm.expectRevert(notOwner);
        models.unbind(model);
        vm.expectRevert(notOwner);
        models.freeze(id, "temp", nowMs() + 1);
        vm.stopPrank();
        // and the device's new owner, not its old one
        vm.prank(ALICE);
        devices.setOwner(id, BOB);
        vm.prank(BOB);
        models.unbind(model);
    }

    function test_unbindingFreesThePlaceButNotTheId() public {
        vm.startPrank(ALICE);
        for (uint256 i; i < models.MAX_PER_STREAM(); ++i) {
            models.bind(id, "temp", "range", hex"a0");
        }
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.TooManyModels.selector, stream));
        models.bind(id, "temp", "range", hex"a0");
        models.bind(id, "other", "range", hex"a0");

        vm.expectEmit(true, true, true, true, address(models));
        emit ModelUnbound(1002, stream);
        models.unbind(1002);
        vm.assertEq(models.modelOf(1002).stream, bytes32(0), "gone");
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.UnknownModel.selector, 1002));
        models.unbind(1002);
        vm.assertEq(models.bind(id, "temp", "range", hex"a0"), 1009, "a new id");
        uint64[] memory bound = models.modelsOf(stream);
        vm.assertEq(bound.length, 8, "full again");
        for (uint256 i; i < bound.length; ++i) {
            vm.assertTrue(bound[i] != 1002, "not the old one");
        }
        vm.stopPrank();
    }

    function test_aFrozenStreamKeepsItsModels() public {
        vm.startPrank(ALICE);
        uint64 model = models.bind(id, "temp", "range", hex"a0");
        uint64 until = nowMs() + 60_000;
        models.freeze(id, "temp", until);
        bytes memory frozen = abi.encodeWithSelector(ModelRegistry.Frozen.selector, stream, until);
        vm.expectRevert(frozen);
        models.unbind(model);
        vm.expectRevert(frozen);
        models.bind(id, "temp", "range", hex"a0");
        models.bind(id, "other", "range", hex"a0");
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.FreezeOnlyRises.selector, until, until));
        models.freeze(id, "temp", until);
        vm.expectPartialRevert(ModelRegistry.FreezeTooFar.selector);
        models.freeze(id, "temp", type(uint64).max);
        vm.warp(block.timestamp + 60);
        models.unbind(model);
        vm.stopPrank();
    }

    function test_textsAndParametersAreBounded() public {
        vm.startPrank(ALICE);
        vm.expectRevert(ModelRegistry.EmptyText.selector);
        models.bind(id, "", "range", hex"a0");
        vm.expectRevert(ModelRegistry.EmptyText.selector);
        models.bind(id, "temp", "", hex"a0");
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.TooLong.selector, 256, 255));
        models.bind(id, string(new bytes(256)), "range", hex"a0");
        vm.expectRevert(abi.encodeWithSelector(ModelRegistry.TooLong.selector, 4097, 4096));
        models.bind(id, "temp", "range", new bytes(4097));
        vm.stopPrank();
    }
}
