// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Automations} from "../src/Automations.sol";
import {VerdictKind} from "../src/ITriad.sol";
import {LogProof} from "../src/LogProof.sol";
import {StorageAgreement} from "../src/StorageAgreement.sol";
import {Agreements} from "./Agreements.sol";
import {System} from "./System.sol";

/// @dev Random registrars, targets and chain; what the chain does is in the order that the node keeps.
contract AutomationsHandler is System {
    bytes20 private _device;
    uint64 public last;
    uint256 public paidIn;
    address[3] private _people = [ALICE, BOB, MALLORY];

    constructor(bytes20 device_) {
        _device = device_;
        for (uint256 i; i < 3; ++i) {
            vm.deal(_people[i], 1e6 ether);
        }
    }

    function register(uint256 who, uint96 deposit) external {
        Automations.Condition memory c = Automations.Condition(_device, "temp", 1, 0, 0, 2, 0);
        uint256 value = bound(deposit, 3e6, 10 ether);
        vm.prank(_people[who % 3]);
        last = automations.register{value: value}(c, address(1), 100_000, 0);
        paidIn += value;
    }

    function topUp(uint256 who, uint64 id, uint96 value) external {
        value = uint96(bound(value, 0, 1 ether));
        vm.prank(_people[who % 3]);
        automations.topUp{value: value}(_known(id));
        paidIn += value;
    }

    function cancel(uint256 who, uint64 id) external {
        vm.prank(_people[who % 3]);
        automations.cancel(_known(id));
    }

    function withdraw(uint256 who) external {
        vm.prank(_people[who % 3]);
        automations.withdraw();
    }

    function sweep() external {
        automations.sweep();
    }

    /// @dev A firing whose target cancels, withdraws and sweeps.
    function fire(uint64 id, uint256 price, uint256 used, uint8 mischief) external {
        id = _known(id);
        price = bound(price, 0, 20 ether);
        used = bound(used, 0, price);
        vm.prank(Addresses.SYSTEM_CALLER);
        (bool ok,) = automations.debit(id, price);
        if (!ok) return;
        address owner = automations.registrationOf(id).owner;
        if (mischief & 1 != 0) this.tryAs(owner, abi.encodeCall(automations.cancel, (id)));
        if (mischief & 2 != 0) this.tryAs(owner, abi.encodeCall(automations.withdraw, ()));
        if (mischief & 4 != 0) this.tryAs(owner, abi.encodeCall(automations.sweep, ()));
        // Whatever a target did, the chain's refund must not fail.
        vm.prank(Addresses.SYSTEM_CALLER);
        (ok,) = address(automations).call(abi.encodeCall(automations.refund, (id, price - used)));
        if (!ok) refundFailed = true;
    }

    bool public refundFailed;

    function tryAs(address who, bytes calldata data) external {
        vm.prank(who);
        (bool ok,) = address(automations).call(data);
        ok;
    }

    function close(uint64 id, uint256 owed) external {
        vm.prank(Addresses.SYSTEM_CALLER);
        automations.close(_known(id), owed);
    }

    function nextBlock() external {
        vm.roll(block.number + 1);
    }

    function owedToPeople() external view returns (uint256 sum) {
        for (uint256 i; i < 3; ++i) {
            sum += automations.credits(_people[i]);
        }
        for (uint64 id = 1; id <= last; ++id) {
            sum += automations.registrationOf(id).balance;
        }
    }

    function withdrawn() external view returns (uint256 sum) {
        for (uint256 i; i < 3; ++i) {
            sum += _people[i].balance;
        }
        return sum + paidIn - 3e6 ether;
    }

    function _known(uint64 id) private view returns (uint64) {
        return last == 0 ? 1 : 1 + id % last;
    }
}

contract AutomationsInvariants is System {
    AutomationsHandler private handler;

    function setUp() public {
        genesis(false);
        handler = new AutomationsHandler(device(ALICE, 0));
    }

    /// @dev Handlers act as whom they name. A sender that the fuzzer picks may be a contract of the test, which no chain lets send.
    function targetSenders() external pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(0x5e11de5);
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    function invariant_everyWeiHasOneOwner() external view {
        uint256 held = address(automations).balance;
        vm.assertEq(held, handler.owedToPeople() + automations.collected(), "balances + credits + collected");
        vm.assertEq(handler.paidIn(), held + FEES.balance + handler.withdrawn(), "nothing appears or is lost");
        vm.assertLe(automations.sweepable(), automations.collected(), "sweepable");
        vm.assertFalse(handler.refundFailed(), "a refund failed");
    }
}

/// @dev Random agreements in one token, charged by firings and proofs, closed and withdrawn in any order.
contract AgreementsHandler is Agreements {
    uint256 public last;

    constructor() {
        _setUp();
    }

    function money() external view returns (TokenView memory) {
        return TokenView(token.balanceOf(address(agreements)), token.balanceOf(ALICE), token.balanceOf(BOB));
    }

    struct TokenView {
        uint256 held;
        uint256 alice;
        uint256 bob;
    }

    function open(uint128 fee, uint128 cap, uint128 excursion, uint128 silent, uint8 how) external {
        StorageAgreement.Terms memory t = _terms();
        t.fee = uint128(bound(fee, 1, 20_000));
        t.penaltyCap = uint128(bound(cap, 0, t.fee));
        t.excursionPenalty = uint128(bound(excursion, 1, 30_000));
        t.silencePenalty = uint128(bound(silent, 1, 30_000));
        t.clock = how & 1;
        t.acceptBy = t.claimUntil;
        if (how % 8 < 3) last = _open(t);
        else last = _openActive(t);
    }

    function _openActive(StorageAgreement.Terms memory t) private returns (uint256 id) {
        excursionPrompts = _automate(ALICE, KINDS, 1_000_000);
        silencePrompts = _automate(ALICE, 1 << 6, 0);
        return _active(t);
    }

    function accept(uint256 id) external {
        vm.prank(BOB);
        agreements.accept(_known(id));
    }

    function cancel(uint256 id) external {
        vm.prank(ALICE);
        agreements.cancel(_known(id));
    }

    function fire(uint64 leaf, uint64 back, uint256 kind) external {
        _fire(leaf % 8, nowMs() - uint64(bound(back, 0, 20 * MINUTE)), _kind(kind));
    }

    function settle(uint256 id, uint64 leaf, uint64 time, uint64 lag, uint256 kind) external {
        time = start + uint64(bound(time, 0, 25 * HOUR));
        LogProof.Verdict memory v = _verdict(leaf % 8, time, _kind(kind));
        _settle(_known(id), v, time + uint64(bound(lag, 0, 15 * MINUTE)));
    }

    function close(uint256 id) external {
        agreements.close(_known(id));
    }

    function withdraw(uint256 id, bool alice) external {
        agreements.withdraw(_known(id), alice ? ALICE : BOB);
    }

    function wait_(uint256 seconds_) external {
        vm.warp(block.timestamp + bound(seconds_, 1, 8 hours));
    }

    function claims() external view returns (uint256 sum, bool sound) {
        sound = true;
        for (uint256 id = 1; id <= last; ++id) {
            StorageAgreement.Agreement memory a = agreements.agreementOf(id);
            if (a.charged > a.penaltyCap || a.penaltyCap > a.fee) sound = false;
            if (a.state == StorageAgreement.State.Offered || a.state == StorageAgreement.State.Active) {
                sum += a.fee;
            }
            sum += agreements.owed(id, ALICE) + agreements.owed(id, BOB);
        }
    }

    function _known(uint256 id) private view returns (uint256) {
        return last == 0 ? 1 : 1 + id % last;
    }

    function _kind(uint256 kind) private pure returns (uint8) {
        kind %= 3;
        return kind == 0 ? VerdictKind.LOW : kind == 1 ? VerdictKind.HIGH : VerdictKind.SILENT;
    }
}

contract StorageAgreementInvariants is System {
    AgreementsHandler private handler;

    function setUp() public {
        handler = new AgreementsHandler();
    }

    /// @dev Handlers act as whom they name. A sender that the fuzzer picks may be a contract of the test, which no chain lets send.
    function targetSenders() external pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(0x5e11de5);
    }

    function targetContracts() external view returns (address[] memory list) {
        list = new address[](1);
        list[0] = address(handler);
    }

    function invariant_escrowIsExactlyWhatIsClaimed() external view {
        (uint256 claims, bool sound) = handler.claims();
        AgreementsHandler.TokenView memory m = handler.money();
        vm.assertTrue(sound, "charged <= cap <= fee");
        vm.assertEq(m.held, claims, "escrow = fees not closed + owed");
        vm.assertEq(m.held + m.alice + m.bob, 1_000_000, "nothing appears or is lost");
    }
}
