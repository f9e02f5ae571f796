// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Alarm} from "examples/Alarm.sol";
import {Maintenance} from "examples/Maintenance.sol";
import {MeterSettlement} from "examples/MeterSettlement.sol";
import {Addresses} from "../src/Addresses.sol";
import {Triad, TriadTarget} from "../src/ITriad.sol";
import {TriadToken} from "../src/TriadToken.sol";
import {System} from "./System.sol";

contract ExamplesTest is System {
    event Rung(bytes32 indexed stream, uint64 leaf, uint64 timeMs, int256 value);

    bytes20 private meter;
    bytes32 private stream;

    function setUp() public {
        genesis(false);
        meter = device(ALICE, 0);
        stream = Triad.streamId(meter, "kwh");
        vm.deal(ALICE, 10 ether);
    }

    function test_theAlarmRingsForItsOwnRegistrationOnly() public {
        vm.prank(ALICE);
        Alarm alarm = new Alarm();
        vm.prank(MALLORY);
        vm.expectRevert(Alarm.NotOurs.selector);
        alarm.arm(meter, "kwh", 8e9);
        vm.prank(ALICE);
        alarm.arm{value: 1 ether}(meter, "kwh", 8e9);
        vm.assertEq(automations.registrationOf(1).threshold, 8e9, "threshold");

        vm.expectRevert(abi.encodeWithSelector(TriadTarget.NotAFiring.selector, address(this)));
        alarm.onTriad(1, ALICE, stream, 5, 6, 9e9, 0);
        vm.startPrank(Addresses.FIRING_CALLER);
        vm.expectRevert(Alarm.NotOurs.selector);
        alarm.onTriad(2, ALICE, stream, 5, 6, 9e9, 0);
        vm.expectEmit(true, true, true, true, address(alarm));
        emit Rung(stream, 5, 6, 9e9);
        alarm.onTriad(1, address(alarm), stream, 5, 6, 9e9, 0);
        vm.stopPrank();
        vm.assertEq(alarm.rings(), 1, "once");
    }

    function test_maintenanceIsOrderedOnThePredictionOfItsOwnModelOnly() public {
        vm.prank(MALLORY);
        Maintenance plan = new Maintenance();
        vm.expectRevert(Maintenance.NotOurs.selector);
        plan.watch(meter, "kwh", 1000, 1 << 15, 900_000);
        vm.deal(MALLORY, 1 ether);
        vm.prank(MALLORY);
        plan.watch{value: 1 ether}(meter, "kwh", 1000, 1 << 15, 900_000);
        vm.assertEq(automations.registrationOf(1).minScore, 900_000, "score");

        bytes memory answer = abi.encode(true, 5, 0, 0, 15, 950_000, 6, true, 7e9, 8);
        vm.mockCall(Addresses.LATEST_PREDICTION, abi.encode(stream, 1000), answer);
        vm.startPrank(Addresses.FIRING_CALLER);
        vm.expectRevert(Maintenance.NotOurs.selector);
        plan.onTriad(2, MALLORY, stream, 5, 6, 7e9, 15);
        plan.onTriad(1, address(plan), stream, 4, 6, 7e9, 15);
        vm.assertEq(plan.orders(), 0, "another model's verdict");
        plan.onTriad(1, address(plan), stream, 5, 6, 7e9, 15);
        vm.assertEq(plan.orders(), 1, "orders");
        vm.assertEq(plan.predicted(), 7e9, "predicted");
        vm.stopPrank();
    }

    function test_theMeterIsPaidForWhatItCounted() public {
        TriadToken token = new TriadToken("Euro", "EUR", 2);
        token.mint(ALICE, 1000);
        _reads(100e9);
        MeterSettlement meterSettlement = new MeterSettlement(token, ALICE, BOB, meter, "kwh", 30);
        vm.prank(ALICE);
        token.approve(address(meterSettlement), 1000);
        vm.expectRevert(
            abi.encodeWithSelector(MeterSettlement.NothingNew.selector, int256(100e9), int256(100e9))
        );
        meterSettlement.settle();
        // 0.05 kWh are 1.5 cents: nothing is lost in rounding
        for (int256 i = 1; i <= 20; ++i) {
            _reads(100e9 + i * 0.05e9);
            meterSettlement.settle();
        }
        vm.assertEq(token.balanceOf(BOB), 30, "one kWh");
        _reads(0); // a new meter counts for nothing
        vm.expectRevert(abi.encodeWithSelector(MeterSettlement.NothingNew.selector, int256(0), int256(101e9)));
        meterSettlement.settle();
    }

    function test_theMeterNeedsAFirstReading() public {
        vm.mockCall(
            Addresses.LATEST_READING,
            abi.encode(stream),
            abi.encode(false, uint64(0), uint16(0), uint64(0), int256(0), uint64(0))
        );
        TriadToken token = new TriadToken("Euro", "EUR", 2);
        vm.expectRevert(MeterSettlement.NoReading.selector);
        new MeterSettlement(token, ALICE, BOB, meter, "kwh", 30);
    }

    function _reads(int256 value) private {
        vm.mockCall(
            Addresses.LATEST_READING,
            abi.encode(stream),
            abi.encode(true, uint64(7), uint16(0), nowMs(), value, uint64(block.number))
        );
    }
}
