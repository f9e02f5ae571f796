// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Automations} from "../src/Automations.sol";
import {VerdictKind} from "../src/ITriad.sol";
import {StorageAgreement} from "../src/StorageAgreement.sol";
import {Agreements} from "./Agreements.sol";
import {BlacklistToken, FeeToken, ReentrantToken} from "./Tokens.sol";

/// @dev How an agreement comes about and ends, and that neither side nor a token can harm the other side.
contract StorageAgreementTermsTest is Agreements {
    event Closed(uint256 indexed id, uint256 toDepositor, uint256 toWarehouse);

    uint256 private constant KEY = 0xC0FFEE;

    function setUp() public {
        _setUp();
    }

    // ------------------------------------------------------------------ offer and acceptance

    function test_theFeeIsInEscrowFromTheOfferOn() public {
        uint256 id = _open(_terms());
        vm.assertEq(token.balanceOf(address(agreements)), FEE, "escrow");
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.NotAllowed.selector, id, MALLORY));
        agreements.accept(id);
        vm.startPrank(BOB);
        agreements.accept(id);
        vm.expectRevert(
            abi.encodeWithSelector(StorageAgreement.WrongState.selector, id, StorageAgreement.State.Active)
        );
        agreements.accept(id);
        vm.stopPrank();
        vm.prank(ALICE);
        vm.expectRevert(
            abi.encodeWithSelector(StorageAgreement.WrongState.selector, id, StorageAgreement.State.Active)
        );
        agreements.cancel(id);
    }

    function test_aPermitOpensInOneTransactionAlsoIfSomebodySubmittedItBefore() public {
        address carol = vm.addr(KEY);
        token.mint(carol, 3 * FEE);
        uint256 deadline = block.timestamp;
        for (uint256 nonce; nonce < 2; ++nonce) {
            bytes32 typeHash = keccak256(
                "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
            );
            bytes32 hash = keccak256(abi.encode(typeHash, carol, address(agreements), FEE, nonce, deadline));
            (uint8 v, bytes32 r, bytes32 s) =
                vm.sign(KEY, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), hash)));
            if (nonce == 1) token.permit(carol, address(agreements), FEE, deadline, v, r, s);
            vm.prank(carol);
            agreements.openWithPermit(_terms(), deadline, v, r, s);
        }
        vm.assertEq(token.balanceOf(carol), FEE, "two agreements");
    }

    function test_anOfferIsTakenBackByTheDepositorOrByAnybodyWhenItExpired() public {
        uint256 id = _open(_terms());
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.NotAllowed.selector, id, BOB));
        agreements.cancel(id);
        vm.prank(ALICE);
        agreements.cancel(id);
        _withdraws(id, ALICE, FEE);

        id = _open(_terms());
        _warpTo(start + HOUR + 1000);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.AcceptanceOver.selector, start + HOUR));
        agreements.accept(id);
        vm.prank(MALLORY);
        agreements.cancel(id);
        _withdraws(id, ALICE, FEE);
        vm.assertEq(token.balanceOf(address(agreements)), 0, "nothing stays");
    }

    function test_nothingIsChargedBeforeAcceptance() public {
        uint256 id = _open(_terms());
        vm.prank(ALICE);
        agreements.attach(id, excursionPrompts);
        _fire(5, start, VerdictKind.HIGH);
        vm.assertEq(_charged(id), 0, "nothing");
        _settleRefused(id, _verdict(5, start, VerdictKind.HIGH), start, StorageAgreement.Refusal.NotActive);
        vm.prank(BOB);
        agreements.accept(id);
        // What happened in the period counts all the same.
        _settle(id, _verdict(5, start, VerdictKind.HIGH), start);
    }

    // ------------------------------------------------------------------ terms

    function test_unsoundTermsAreRefused() public {
        StorageAgreement.Terms memory t = _terms();
        t.warehouse = ALICE;
        _refused(t, "warehouse");
        t.warehouse = address(0);
        _refused(t, "warehouse");
        t = _terms();
        t.device = bytes20(MALLORY);
        _refused(t, "device is not active");
        t = _terms();
        t.name = "";
        _refused(t, "name is empty");
        t = _terms();
        t.clock = 2;
        _refused(t, "clock");
        t = _terms();
        t.maxLagMs = type(uint64).max;
        _refused(t, "time too long");
        t = _terms();
        t.start = t.end + 1;
        _refused(t, "end is before start");
        t = _terms();
        t.claimUntil = t.end - 1;
        _refused(t, "claimUntil is before end");
        t = _terms();
        t.acceptBy = start - 1;
        _refused(t, "acceptBy");
        t = _terms();
        t.penaltyCap = t.fee + 1;
        _refused(t, "penaltyCap is above the fee");
        t = _terms();
        t.excursionPenalty = 0;
        _refused(t, "rangeModel, excursionKinds, excursionPenalty: all or none");
        t = _terms();
        t.excursionKinds = 0;
        _refused(t, "rangeModel, excursionKinds, excursionPenalty: all or none");
        t = _terms();
        t.excursionKinds = 1 << 6;
        _refused(t, "excursionKinds");
        t = _terms();
        t.coolDownMs = 0;
        _refused(t, "coolDownMs is zero");
        t = _terms();
        t.silenceModel = 0;
        _refused(t, "silenceModel, silencePenalty: both or none");
    }

    function test_howTheStreamIsJudgedCannotChange() public {
        StorageAgreement.Terms memory t = _terms();
        t.rangeModel = 5; // not bound here
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.ModelNotBound.selector, 5, stream));
        agreements.open(t);
        t = _terms();
        t.claimUntil += 1;
        vm.prank(ALICE);
        vm.expectRevert(
            abi.encodeWithSelector(
                StorageAgreement.StreamNotFrozen.selector, stream, start + 30 * HOUR, t.claimUntil
            )
        );
        agreements.open(t);
    }

    function test_aSecondModelOfTheSameSortIsRefused() public {
        vm.startPrank(OPERATOR);
        uint64 first = models.bind(sensor, "hum", "range", hex"a0");
        uint64 second = models.bind(sensor, "hum", "range", hex"a1");
        models.freeze(sensor, "hum", start + 30 * HOUR);
        vm.stopPrank();
        StorageAgreement.Terms memory t = _terms();
        t.name = "hum";
        t.rangeModel = first;
        t.silenceModel = 0;
        t.silencePenalty = 0;
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.AmbiguousModel.selector, first, second));
        agreements.open(t);
    }

    // ------------------------------------------------------------------ prompts

    function test_onlyFittingRegistrationsAreAttachedAndOnlyByTheirOwner() public {
        uint256 id = _active(_terms());
        uint64 loose = _automate(ALICE, KINDS, 999_999); // would fire for tolerated excursions too
        _notAttached(id, loose);
        _notAttached(id, _automate(ALICE, KINDS | 1 << 8, 1_000_000));
        _notAttached(id, _automate(ALICE, KINDS | 1 << 6, 1_000_000));
        _notAttached(id, excursionPrompts); // attached already
        Automations.Condition memory c = Automations.Condition(sensor, "temp", 0, 3, 0, 0, 0); // on readings
        vm.prank(ALICE);
        _notAttached(id, automations.register{value: 1 ether}(c, address(agreements), 300_000, 0));
        c = Automations.Condition(sensor, "hum", 1, 0, 0, KINDS, 1_000_000); // another stream
        vm.prank(ALICE);
        _notAttached(id, automations.register{value: 1 ether}(c, address(agreements), 300_000, 0));
        c = Automations.Condition(sensor, "temp", 1, 0, 0, KINDS, 1_000_000); // another target
        vm.prank(ALICE);
        _notAttached(id, automations.register{value: 1 ether}(c, address(this), 300_000, 0));

        uint64 fit = _automate(ALICE, 1 << VerdictKind.HIGH, 1_000_000);
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.NotAllowed.selector, id, MALLORY));
        agreements.attach(id, fit);
        vm.prank(ALICE);
        agreements.attach(id, fit);
    }

    // ------------------------------------------------------------------ the end

    function test_afterTheClaimWindowEachSideGetsItsPart() public {
        uint256 id = _active(_terms());
        _fire(5, start, VerdictKind.HIGH);
        _fire(5, start, VerdictKind.SILENT);
        uint64 until = start + 30 * HOUR;
        _warpTo(until);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.ClaimWindowOpen.selector, until));
        agreements.close(id);
        _settle(id, _verdict(9, start + 5 * HOUR, VerdictKind.HIGH), start + 5 * HOUR); // the last moment
        _warpTo(until + 1000);
        _settleRefused(
            id,
            _verdict(10, start + 7 * HOUR, VerdictKind.HIGH),
            start + 7 * HOUR,
            StorageAgreement.Refusal.ClaimWindowOver
        );
        vm.expectEmit(true, true, true, true, address(agreements));
        emit Closed(id, 1700, FEE - 1700);
        vm.prank(MALLORY);
        agreements.close(id);
        _settleRefused(
            id,
            _verdict(10, start + 7 * HOUR, VerdictKind.HIGH),
            start + 7 * HOUR,
            StorageAgreement.Refusal.NotActive
        );
        _withdraws(id, ALICE, 1700);
        _withdraws(id, BOB, FEE - 1700);
        vm.assertEq(token.balanceOf(address(agreements)), 0, "nothing stays");
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.NothingOwed.selector, id, MALLORY));
        agreements.withdraw(id, MALLORY);
    }

    // ------------------------------------------------------------------ awkward tokens

    function test_aSideThatTheTokenRefusesToPayBlocksNobody() public {
        BlacklistToken awkward = new BlacklistToken();
        StorageAgreement.Terms memory t = _terms();
        t.token = awkward;
        awkward.mint(ALICE, FEE);
        vm.prank(ALICE);
        awkward.approve(address(agreements), FEE);
        uint256 id = _active(t);
        _fire(5, start, VerdictKind.HIGH);
        awkward.refuse(ALICE);
        _warpTo(start + 31 * HOUR);
        agreements.close(id);
        vm.expectRevert("refused");
        agreements.withdraw(id, ALICE);
        agreements.withdraw(id, BOB);
        vm.assertEq(awkward.balanceOf(BOB), FEE - EXCURSION, "the warehouse is paid");
        vm.prank(ALICE);
        agreements.withdrawTo(id, OPERATOR);
        vm.assertEq(awkward.balanceOf(OPERATOR), EXCURSION, "the depositor names another recipient");
        vm.prank(MALLORY);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.NothingOwed.selector, id, MALLORY));
        agreements.withdrawTo(id, MALLORY);
    }

    function test_aTokenThatTakesAFeeIsRefused() public {
        FeeToken awkward = new FeeToken();
        StorageAgreement.Terms memory t = _terms();
        t.token = awkward;
        awkward.mint(ALICE, FEE);
        vm.startPrank(ALICE);
        awkward.approve(address(agreements), FEE);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.WrongAmountReceived.selector, FEE - 1, FEE));
        agreements.open(t);
        vm.stopPrank();
    }

    function test_aTokenThatReentersIsPaidOnce() public {
        ReentrantToken awkward = new ReentrantToken(agreements);
        StorageAgreement.Terms memory t = _terms();
        t.token = awkward;
        awkward.mint(ALICE, 2 * FEE);
        vm.startPrank(ALICE);
        awkward.approve(address(agreements), 2 * FEE);
        uint256 other = agreements.open(t); // somebody else's escrow in the same token
        uint256 id = agreements.open(t);
        agreements.cancel(id);
        vm.stopPrank();
        awkward.arm(id, ALICE);
        agreements.withdraw(id, ALICE);
        vm.assertTrue(awkward.tried() && !awkward.succeeded(), "tried and failed");
        vm.assertEq(awkward.balanceOf(ALICE), FEE, "once");
        vm.assertEq(awkward.balanceOf(address(agreements)), FEE, "the other escrow stays");
        vm.assertEq(
            uint256(agreements.agreementOf(other).state), uint256(StorageAgreement.State.Offered), "offered"
        );
    }

    // ------------------------------------------------------------------ helpers

    function _refused(StorageAgreement.Terms memory t, string memory problem) private {
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.BadTerms.selector, problem));
        agreements.open(t);
    }

    function _notAttached(uint256 id, uint64 registration) private {
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.WrongRegistration.selector, registration));
        agreements.attach(id, registration);
    }

    function _withdraws(uint256 id, address party, uint256 amount) private {
        uint256 before = token.balanceOf(party);
        vm.prank(MALLORY); // anybody may ask
        agreements.withdraw(id, party);
        vm.assertEq(token.balanceOf(party) - before, amount, "paid");
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.NothingOwed.selector, id, party));
        agreements.withdraw(id, party);
    }
}
