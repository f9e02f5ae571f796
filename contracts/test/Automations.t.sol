// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Automations} from "../src/Automations.sol";
import {ITriadTarget, TriadTarget} from "../src/ITriad.sol";
import {System} from "./System.sol";

/// @dev Does during its own call what somebody would do who wants the gas back that the call uses.
contract Thief is ITriadTarget {
    Automations private constant automations = Automations(Addresses.AUTOMATIONS);
    uint256 public received;
    bool public cancelled;
    bool public withdrew;
    bool public swept;
    bool public reentered;

    function registerSelf(Automations.Condition calldata c) external payable returns (uint64) {
        return automations.register{value: msg.value}(c, address(this), 100_000, 0);
    }

    function withdraw() external {
        automations.withdraw();
    }

    function onTriad(uint64 id, address, bytes32, uint64, uint64, int256, uint8) external {
        try automations.cancel(id) {
            cancelled = true;
        } catch {}
        try automations.withdraw() {
            withdrew = true;
        } catch {}
        try automations.sweep() {
            swept = true;
        } catch {}
        try automations.refund(id, 1) {
            reentered = true;
        } catch {}
        try automations.close(id, 0) {
            reentered = true;
        } catch {}
        try automations.debit(id, 1) {
            reentered = true;
        } catch {}
    }

    receive() external payable {
        received += msg.value;
        // A second helping.
        try automations.withdraw() {
            reentered = true;
        } catch {}
    }
}

contract Burner is ITriadTarget {
    function onTriad(uint64, address, bytes32, uint64, uint64, int256, uint8) external pure {
        while (true) {}
    }
}

contract Careful is TriadTarget {
    uint256 public calls;

    function onTriad(uint64, address, bytes32, uint64, uint64, int256, uint8) external onlyFiring {
        ++calls;
    }
}

contract AutomationsTest is System {
    event Registered(
        uint64 indexed id,
        address indexed owner,
        bytes32 indexed stream,
        uint8 source,
        uint8 op,
        int256 threshold,
        uint256 kinds,
        uint32 minScore,
        address target,
        uint64 gasLimit,
        uint64 cooldownMs,
        uint256 balance
    );
    event ToppedUp(uint64 indexed id, uint256 balance);
    event Closing(uint64 indexed id);

    uint64 private constant GAS = 100_000;
    uint256 private constant DEPOSIT = 10 ether;
    bytes20 private id;
    bytes32 private stream;
    Careful private target;

    function setUp() public {
        genesis(false);
        id = device(ALICE, 0);
        stream = keccak256(abi.encodePacked(id, "temp"));
        target = new Careful();
        vm.deal(ALICE, 1000 ether);
        vm.deal(BOB, 1000 ether);
        vm.deal(MALLORY, 1000 ether);
    }

    // ------------------------------------------------------------------ registering

    function test_registersWithEverythingInTheEvent() public {
        vm.expectEmit(true, true, true, true, address(automations));
        emit Registered(1, BOB, stream, 0, 3, -5, 0, 0, address(target), GAS, 60_000, DEPOSIT);
        Automations.Condition memory c = Automations.Condition(id, "temp", 0, 3, -5, 0, 0);
        vm.prank(BOB);
        vm.assertEq(automations.register{value: DEPOSIT}(c, address(target), GAS, 60_000), 1, "first id");
        Automations.Registration memory r = automations.registrationOf(1);
        vm.assertEq(r.owner, BOB, "owner");
        vm.assertEq(r.stream, stream, "stream");
        vm.assertEq(r.threshold, -5, "threshold");
        vm.assertEq(r.op, 3, "op");
        vm.assertEq(r.cooldownMs, 60_000, "cool-down");
        vm.assertEq(r.balance, DEPOSIT, "balance");
        vm.assertEq(address(r.device), address(id), "device");

        c = Automations.Condition(id, "temp", 1, 0, 0, 6, 500_000);
        vm.prank(BOB);
        r = automations.registrationOf(automations.register{value: DEPOSIT}(c, address(target), GAS, 0));
        vm.assertEq(r.kinds, 6, "kinds");
        vm.assertEq(r.minScore, 500_000, "score");
    }

    function test_refusesUnsoundConditions() public {
        Automations.Condition memory c = _verdicts();
        c.device = bytes20(MALLORY);
        _refused(
            c, address(target), GAS, 0, abi.encodeWithSelector(Automations.UnknownDevice.selector, c.device)
        );
        c = _verdicts();
        c.name = "";
        _refused(c, address(target), GAS, 0, abi.encodeWithSelector(Automations.BadName.selector, 0));
        bytes memory bad = abi.encodeWithSelector(Automations.BadCondition.selector);
        c = _verdicts();
        c.kinds = 0;
        _refused(c, address(target), GAS, 0, bad);
        c.kinds = 1 << 32;
        _refused(c, address(target), GAS, 0, bad);
        c = _verdicts();
        c.minScore = 1_000_001;
        _refused(c, address(target), GAS, 0, bad);
        c = _verdicts();
        c.source = 2;
        _refused(c, address(target), GAS, 0, bad);
        c = _verdicts();
        c.op = 3; // a verdict is not compared with a threshold
        _refused(c, address(target), GAS, 0, bad);
        c = _verdicts();
        c.threshold = 1;
        _refused(c, address(target), GAS, 0, bad);
        c = Automations.Condition(id, "temp", 0, 5, 0, 0, 0);
        _refused(c, address(target), GAS, 0, bad);
        c = _verdicts();
        c.source = 0; // a reading has no kind
        _refused(c, address(target), GAS, 0, bad);
        c = _verdicts();
        _refused(c, address(0), GAS, 0, abi.encodeWithSelector(Automations.BadTarget.selector));
        _refused(
            c,
            address(target),
            29_999,
            0,
            abi.encodeWithSelector(Automations.BadGasLimit.selector, 29_999, 30_000, 2_000_000)
        );
        _refused(
            c,
            address(target),
            2_000_001,
            0,
            abi.encodeWithSelector(Automations.BadGasLimit.selector, 2_000_001, 30_000, 2_000_000)
        );
        uint64 max = automations.MAX_COOLDOWN_MS();
        _refused(
            c,
            address(target),
            GAS,
            max + 1,
            abi.encodeWithSelector(Automations.BadCooldown.selector, max + 1, max)
        );
    }

    function test_aDepositPaysForFourFiringsAtLeast() public {
        uint256 min = uint256(GAS) * BASE_FEE * 4;
        vm.assertEq(automations.minDepositFor(GAS), min, "by gas");
        vm.startPrank(BOB);
        vm.expectRevert(abi.encodeWithSelector(Automations.DepositTooSmall.selector, min - 1, min));
        automations.register{value: min - 1}(_verdicts(), address(target), GAS, 0);
        automations.register{value: min}(_verdicts(), address(target), GAS, 0);
        vm.fee(0);
        vm.expectRevert(
            abi.encodeWithSelector(Automations.DepositTooSmall.selector, MIN_DEPOSIT - 1, MIN_DEPOSIT)
        );
        automations.register{value: MIN_DEPOSIT - 1}(_verdicts(), address(target), GAS, 0);
        vm.stopPrank();
    }

    // ------------------------------------------------------------------ the flood

    function test_aFloodIsCappedByOwnerAndByStream() public {
        uint256 perOwner = automations.MAX_PER_OWNER_AND_STREAM();
        for (uint256 i; i < perOwner; ++i) {
            _register(MALLORY);
        }
        bytes memory tooMany = abi.encodeWithSelector(Automations.TooManyRegistrations.selector, stream);
        vm.prank(MALLORY);
        vm.expectRevert(tooMany);
        automations.register{value: DEPOSIT}(_verdicts(), address(target), GAS, 0);
        // an accomplice for each eight
        uint256 all = automations.MAX_PER_STREAM();
        for (uint256 i = perOwner; i < all; ++i) {
            address accomplice = address(uint160(0x10000 + i / perOwner));
            vm.deal(accomplice, 100 ether);
            _register(accomplice);
        }
        vm.prank(BOB);
        vm.expectRevert(tooMany);
        automations.register{value: DEPOSIT}(_verdicts(), address(target), GAS, 0);
        // The device's owner makes room.
        vm.prank(ALICE);
        automations.cancel(1);
        vm.prank(BOB);
        vm.expectRevert(tooMany); // not before the chain closed it
        automations.register{value: DEPOSIT}(_verdicts(), address(target), GAS, 0);
        _close(1, 0);
        _register(BOB);
    }

    function test_theDevicesOwnerClosesAnyRegistrationOthersDoNot() public {
        uint64 r = _register(BOB);
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(Automations.NotAllowed.selector, r, MALLORY));
        automations.cancel(r);
        vm.expectEmit(true, true, true, true, address(automations));
        emit Closing(r);
        vm.prank(ALICE);
        automations.cancel(r);
        _close(r, 0);
        vm.assertEq(automations.credits(BOB), DEPOSIT, "the balance stays its owner's");
        vm.assertEq(automations.credits(ALICE), 0, "not the device owner's");
    }

    // ------------------------------------------------------------------ money

    function test_aBalanceLeavesOnlyInTwoSteps() public {
        uint64 r = _register(BOB);
        vm.startPrank(BOB);
        automations.cancel(r);
        vm.expectRevert(Automations.NothingToWithdraw.selector);
        automations.withdraw();
        vm.expectRevert(abi.encodeWithSelector(Automations.NotActive.selector, r));
        automations.cancel(r);
        vm.expectRevert(abi.encodeWithSelector(Automations.NotActive.selector, r));
        automations.topUp{value: 1}(r);
        vm.stopPrank();
        _close(r, 1 ether);
        uint256 before = BOB.balance;
        vm.startPrank(BOB);
        automations.withdraw();
        vm.assertEq(BOB.balance - before, DEPOSIT - 1 ether, "less what evaluation cost");
        vm.expectRevert(Automations.NothingToWithdraw.selector);
        automations.withdraw();
        vm.stopPrank();
    }

    function test_topUpsAdd() public {
        uint64 r = _register(BOB);
        vm.expectEmit(true, true, true, true, address(automations));
        emit ToppedUp(r, DEPOSIT + 5);
        vm.prank(MALLORY); // anybody may
        automations.topUp{value: 5}(r);
        vm.assertEq(automations.registrationOf(r).balance, DEPOSIT + 5, "balance");
    }

    function test_aDebitIsAllOrNothing() public {
        uint64 r = _register(BOB);
        (bool ok, uint256 balance) = _debit(r, DEPOSIT + 1);
        vm.assertFalse(ok, "too much");
        vm.assertEq(balance, DEPOSIT, "untouched");
        (ok, balance) = _debit(r, DEPOSIT);
        vm.assertTrue(ok && balance == 0, "all of it");
        vm.assertEq(automations.collected(), DEPOSIT, "collected");
        (ok,) = _debit(99, 0);
        vm.assertFalse(ok, "unknown");
        r = _register(BOB);
        vm.prank(BOB);
        automations.cancel(r);
        (ok,) = _debit(r, 1);
        vm.assertFalse(ok, "closing");
    }

    function test_owedBeyondTheBalanceTakesTheBalance() public {
        uint64 r = _register(BOB);
        _close(r, DEPOSIT * 2);
        vm.assertEq(automations.credits(BOB), 0, "nothing left");
        vm.assertEq(automations.collected(), DEPOSIT, "collected what there was");
        _close(r, DEPOSIT); // twice does nothing
        vm.assertEq(automations.collected(), DEPOSIT, "once");
    }

    function test_refundsBeyondTheBlocksDebitsAreImpossible() public {
        uint64 r = _register(BOB);
        _debit(r, 100);
        vm.prank(Addresses.SYSTEM_CALLER);
        vm.expectRevert();
        automations.refund(r, 101);
        vm.roll(block.number + 1);
        vm.prank(Addresses.SYSTEM_CALLER);
        vm.expectRevert();
        automations.refund(r, 1);
    }

    function test_sweepingWaitsForTheNextBlock() public {
        uint64 r = _register(BOB);
        _debit(r, 100);
        vm.expectRevert(Automations.NothingToWithdraw.selector);
        automations.sweep();
        vm.roll(block.number + 1);
        _debit(r, 7);
        automations.sweep();
        vm.assertEq(FEES.balance, 100, "of earlier blocks only");
        vm.assertEq(automations.collected(), 7, "the rest waits");
        vm.assertEq(_refund(r, 7), DEPOSIT - 100, "and can be refunded");
    }

    function test_onlyTheChainMovesBalances() public {
        uint64 r = _register(BOB);
        address[4] memory others = [BOB, ALICE, Addresses.FIRING_CALLER, address(0)];
        for (uint256 i; i < others.length; ++i) {
            vm.startPrank(others[i]);
            vm.expectRevert(Automations.OnlySystem.selector);
            automations.debit(r, 1);
            vm.expectRevert(Automations.OnlySystem.selector);
            automations.refund(r, 1);
            vm.expectRevert(Automations.OnlySystem.selector);
            automations.close(r, 0);
            vm.expectRevert(Automations.OnlySystem.selector);
            automations.initialize(MALLORY, 0);
            vm.stopPrank();
        }
        vm.prank(Addresses.SYSTEM_CALLER);
        vm.expectRevert(Automations.AlreadyInitialized.selector);
        automations.initialize(MALLORY, 0);
    }

    // ------------------------------------------------------------------ attacks by targets

    function test_aTargetTakesNothingBackDuringItsOwnCall() public {
        Thief thief = new Thief();
        uint64 r = thief.registerSelf{value: DEPOSIT}(_verdicts());
        uint256 price = uint256(GAS) * BASE_FEE;
        uint256 used = _fire(r, address(thief), price);
        vm.assertTrue(thief.cancelled(), "it may cancel");
        vm.assertFalse(thief.withdrew() || thief.swept() || thief.reentered(), "and nothing else");
        vm.assertEq(automations.registrationOf(r).balance, DEPOSIT - used * BASE_FEE, "pays for its gas");
        vm.roll(block.number + 1);
        _close(r, 5);
        thief.withdraw();
        vm.assertEq(thief.received(), DEPOSIT - used * BASE_FEE - 5, "the rest, once");
        vm.assertFalse(thief.reentered(), "no second helping");
        vm.assertEq(address(automations).balance, automations.collected(), "nothing else is missing");
    }

    function test_aRefundAfterClosingGoesToTheOwner() public {
        uint64 r = _register(BOB);
        _debit(r, 100);
        _close(r, 0);
        vm.assertEq(_refund(r, 60), 0, "no balance any more");
        vm.assertEq(automations.credits(BOB), DEPOSIT - 40, "credited");
    }

    function test_aTargetThatBurnsAllItsGasPaysForAllOfIt() public {
        Burner burner = new Burner();
        vm.prank(MALLORY);
        uint64 r = automations.register{value: DEPOSIT}(_verdicts(), address(burner), GAS, 0);
        uint256 used = _fire(r, address(burner), uint256(GAS) * BASE_FEE);
        vm.assertEq(used, GAS, "all of it");
        vm.assertEq(automations.registrationOf(r).balance, DEPOSIT - uint256(GAS) * BASE_FEE, "paid");
    }

    function test_aCarefulTargetRefusesOtherCallers() public {
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(TriadTarget.NotAFiring.selector, MALLORY));
        target.onTriad(1, ALICE, stream, 0, 0, 0, 1);
        vm.prank(Addresses.SYSTEM_CALLER);
        vm.expectRevert(abi.encodeWithSelector(TriadTarget.NotAFiring.selector, Addresses.SYSTEM_CALLER));
        target.onTriad(1, ALICE, stream, 0, 0, 0, 1);
        vm.prank(Addresses.FIRING_CALLER);
        target.onTriad(1, ALICE, stream, 0, 0, 0, 1);
        vm.assertEq(target.calls(), 1, "one call");
    }

    // ------------------------------------------------------------------ helpers

    function _verdicts() private view returns (Automations.Condition memory) {
        return Automations.Condition(id, "temp", 1, 0, 0, 6, 0);
    }

    function _register(address owner) private returns (uint64) {
        vm.prank(owner);
        return automations.register{value: DEPOSIT}(_verdicts(), address(target), GAS, 0);
    }

    function _refused(
        Automations.Condition memory c,
        address to,
        uint64 gas,
        uint64 cooldown,
        bytes memory why
    ) private {
        vm.prank(BOB);
        vm.expectRevert(why);
        automations.register{value: DEPOSIT}(c, to, gas, cooldown);
    }

    function _debit(uint64 r, uint256 amount) private returns (bool, uint256) {
        vm.prank(Addresses.SYSTEM_CALLER);
        return automations.debit(r, amount);
    }

    function _refund(uint64 r, uint256 amount) private returns (uint256) {
        vm.prank(Addresses.SYSTEM_CALLER);
        return automations.refund(r, amount);
    }

    function _close(uint64 r, uint256 owed) private {
        vm.prank(Addresses.SYSTEM_CALLER);
        automations.close(r, owed);
    }

    /// @dev A firing as the node makes it: debit, call, refund what was not used.
    function _fire(uint64 r, address to, uint256 price) private returns (uint256 used) {
        (bool ok,) = _debit(r, price);
        vm.assertTrue(ok, "debit");
        bytes memory data = abi.encodeCall(ITriadTarget.onTriad, (r, BOB, stream, 1, 2, 3, 1));
        vm.prank(Addresses.FIRING_CALLER);
        uint256 before = gasleft();
        (ok,) = to.call{gas: GAS}(data);
        used = before - gasleft();
        if (used > GAS) used = GAS;
        _refund(r, price - used * BASE_FEE);
    }
}
