// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {TriadTarget, VerdictKind} from "../src/ITriad.sol";
import {LogProof} from "../src/LogProof.sol";
import {StorageAgreement} from "../src/StorageAgreement.sol";
import {Agreements} from "./Agreements.sol";

/// @dev What is charged, how often, and by which clock.
contract StorageAgreementChargesTest is Agreements {
    event Charged(
        uint256 indexed id,
        uint8 indexed kind,
        uint64 leaf,
        int256 readingMs,
        int256 value,
        uint256 amount,
        uint256 charged,
        bool proven,
        string reason
    );
    event PromptIgnored(
        uint256 indexed id,
        uint64 indexed registration,
        uint64 leaf,
        uint8 kind,
        StorageAgreement.Refusal refusal
    );

    uint8 private constant LOW = VerdictKind.LOW;
    uint8 private constant HIGH = VerdictKind.HIGH;
    uint8 private constant SILENT = VerdictKind.SILENT;
    uint256 private id;
    uint64 private t; // an hour into the agreement

    function setUp() public {
        _setUp();
        id = _active(_terms());
        t = start + HOUR;
        _warpTo(t);
    }

    // ------------------------------------------------------------------ both ways

    function test_aFiringCharges() public {
        vm.expectEmit(true, true, true, true, address(agreements));
        emit Charged(id, HIGH, 5, int256(uint256(t)), 9e9, EXCURSION, EXCURSION, false, "high");
        _fire(5, t, HIGH);
        vm.expectEmit(true, true, true, true, address(agreements));
        emit Charged(id, SILENT, 6, int256(uint256(t)), 9e9, SILENCE, EXCURSION + SILENCE, false, "silent");
        _fire(6, t, SILENT);
    }

    function test_aSettlementChargesWithTheVerdictsReason() public {
        vm.expectEmit(true, true, true, true, address(agreements));
        emit Charged(id, HIGH, 5, int256(uint256(t)), 9e9, EXCURSION, EXCURSION, true, "above 8 degrees");
        vm.prank(MALLORY); // anybody may
        _settle(id, _verdict(5, t, HIGH), t);
        _settle(id, _verdict(6, t, SILENT), t);
        vm.assertEq(_charged(id), EXCURSION + SILENCE, "both");
    }

    function test_anEventIsChargedOnceWhicheverComesFirst() public {
        StorageAgreement.Refusal already = StorageAgreement.Refusal.AlreadyCharged;
        _fire(5, t, HIGH);
        _settleRefused(id, _verdict(5, t, HIGH), t, already);
        _fire(6, t, SILENT);
        _settleRefused(id, _verdict(6, t, SILENT), t, already);
        vm.assertEq(_charged(id), EXCURSION + SILENCE, "firing first");

        _settle(id, _verdict(9, t + HOUR, HIGH), t + HOUR);
        _settle(id, _verdict(10, t + HOUR, SILENT), t + HOUR);
        _warpTo(t + HOUR + 2000); // the firing waited in the queue
        vm.expectEmit(true, true, true, true, address(agreements));
        emit PromptIgnored(id, excursionPrompts, 9, HIGH, already);
        _fire(9, t + HOUR, HIGH);
        vm.expectEmit(true, true, true, true, address(agreements));
        emit PromptIgnored(id, silencePrompts, 10, SILENT, already);
        _fire(10, t + HOUR, SILENT);
        vm.assertEq(_charged(id), 2 * (EXCURSION + SILENCE), "settlement first");
        _settleRefused(id, _verdict(9, t + HOUR, HIGH), t + HOUR, already);
    }

    function test_byBlockTimeAnEventIsChargedOnceThoughItsFiringCameLate() public {
        StorageAgreement.Terms memory terms = _terms();
        terms.clock = 1;
        terms.coolDownMs = 1000;
        id = _open(terms);
        vm.prank(BOB);
        agreements.accept(id);
        uint64 prompts = _automate(ALICE, KINDS, 1_000_000);
        vm.prank(ALICE);
        agreements.attach(id, prompts);
        _warpTo(t + 30_000);
        vm.prank(Addresses.FIRING_CALLER);
        agreements.onTriad(prompts, ALICE, stream, 5, t - HOUR, 9e9, HIGH);
        vm.assertEq(_charged(id), EXCURSION, "fired");
        _settleRefused(id, _verdict(5, t - HOUR, HIGH), t, StorageAgreement.Refusal.AlreadyCharged);
        // a later statement of the same excursion, a cool-down after it
        _settle(id, _verdict(6, t - HOUR, HIGH), t + 31_000);
        vm.assertEq(_charged(id), 2 * EXCURSION, "the next");
    }

    function test_aPromptThatIsNotChargedByBlockTimeLeavesItsEventToSettle() public {
        StorageAgreement.Terms memory terms = _terms();
        terms.clock = 1;
        id = _open(terms);
        vm.prank(BOB);
        agreements.accept(id);
        uint64 prompts = _automate(ALICE, KINDS, 1_000_000);
        vm.prank(ALICE);
        agreements.attach(id, prompts);
        _settle(id, _verdict(9, t, HIGH), t + 31 * MINUTE);
        // Its own time is a cool-down away from the charged one, its firing's is not.
        _warpTo(t + 10 * MINUTE);
        vm.prank(Addresses.FIRING_CALLER);
        agreements.onTriad(prompts, ALICE, stream, 5, t, 9e9, HIGH);
        vm.assertEq(_charged(id), EXCURSION, "not by the firing");
        _settle(id, _verdict(5, t, HIGH), t);
        vm.assertEq(_charged(id), 2 * EXCURSION, "but by its proof");
    }

    // ------------------------------------------------------------------ excursions

    function test_aShortExcursionCostsOnePenaltyHoweverManyReadingsItHas() public {
        _fire(5, t, HIGH);
        for (uint64 i = 1; i < 30; ++i) {
            _settleRefused(
                id,
                _verdict(5 + i, t + i * MINUTE, HIGH),
                t + i * MINUTE,
                StorageAgreement.Refusal.AlreadyCharged
            );
        }
        // nor do readings before the charged one cost more
        _settleRefused(id, _verdict(4, t - MINUTE, HIGH), t, StorageAgreement.Refusal.AlreadyCharged);
        vm.assertEq(_charged(id), EXCURSION, "one");
    }

    function test_aLongExcursionIsChargedAgainForEachCoolDown() public {
        _fire(5, t, HIGH);
        _settle(id, _verdict(6, t + 30 * MINUTE, HIGH), t + 30 * MINUTE);
        _settleRefused(
            id, _verdict(7, t + 59 * MINUTE, HIGH), t + HOUR, StorageAgreement.Refusal.AlreadyCharged
        );
        _settle(id, _verdict(8, t + 60 * MINUTE, HIGH), t + HOUR);
        vm.assertEq(_charged(id), 3 * EXCURSION, "three");
    }

    function test_kindsCountApart() public {
        _fire(5, t, HIGH);
        _fire(6, t + MINUTE, LOW);
        vm.assertEq(_charged(id), 2 * EXCURSION, "low and high");
    }

    /// @dev The promise of the rule, for readings in any order, by firing or proof: no two charges are nearer than the
    /// cool-down, and nothing that is a cool-down away from all charges is refused.
    function testFuzz_chargesAreACoolDownApart(uint64[12] calldata times, uint256 fired) public {
        StorageAgreement.Terms memory terms = _terms();
        terms.penaltyCap = FEE;
        terms.excursionPenalty = 1;
        terms.maxLagMs = 48 * HOUR;
        id = _open(terms);
        vm.prank(BOB);
        agreements.accept(id);
        excursionPrompts = _automate(ALICE, KINDS, 1_000_000);
        vm.prank(ALICE);
        agreements.attach(id, excursionPrompts);

        uint64[] memory chargedTimes = new uint64[](times.length);
        uint256 count;
        for (uint256 i; i < times.length; ++i) {
            uint64 time = start + uint64(bound(times[i], 0, 4 * HOUR));
            bool near;
            for (uint256 k; k < count; ++k) {
                uint64 other = chargedTimes[k];
                if ((time > other ? time - other : other - time) < terms.coolDownMs) near = true;
            }
            if (fired >> i & 1 == 1) {
                _fire(uint64(i), time, HIGH);
            } else if (near) {
                _settleRefused(
                    id, _verdict(uint64(i), time, HIGH), time, StorageAgreement.Refusal.AlreadyCharged
                );
            } else {
                _settle(id, _verdict(uint64(i), time, HIGH), time);
            }
            if (!near) chargedTimes[count++] = time;
            vm.assertEq(_charged(id), count, "charges");
        }
    }

    // ------------------------------------------------------------------ silences

    function test_eachSilenceIsChargedHoweverSoonTheNextComes() public {
        _fire(5, t, SILENT);
        _fire(6, t + 1, SILENT);
        vm.assertEq(_charged(id), 2 * SILENCE, "two");
        _fire(5, t + 2, SILENT); // the same one
        vm.assertEq(_charged(id), 2 * SILENCE, "still two");
    }

    // ------------------------------------------------------------------ what does not count

    function test_onlyAgreedVerdictsAreSettled() public {
        LogProof.Verdict memory v = _verdict(5, t, HIGH);
        v.stream = keccak256("another");
        _settleRefused(id, v, t, StorageAgreement.Refusal.NotAgreed);
        v = _verdict(5, t, HIGH);
        v.model = silence;
        _settleRefused(id, v, t, StorageAgreement.Refusal.NotAgreed);
        v.model = range + 7;
        _settleRefused(id, v, t, StorageAgreement.Refusal.NotAgreed);
        v = _verdict(5, t, SILENT);
        v.model = range;
        _settleRefused(id, v, t, StorageAgreement.Refusal.NotAgreed);
        v = _verdict(5, t, HIGH);
        v.class = 1; // attested
        _settleRefused(id, v, t, StorageAgreement.Refusal.NotAgreed);
        v = _verdict(5, t, HIGH);
        v.score = 999_999; // tolerated
        _settleRefused(id, v, t, StorageAgreement.Refusal.NotAgreed);
        for (uint256 kind; kind < 256; ++kind) {
            if (kind == LOW || kind == HIGH || kind == SILENT) continue;
            _settleRefused(id, _verdict(5, t, uint8(kind)), t, StorageAgreement.Refusal.NotAgreed);
        }
        vm.assertEq(_charged(id), 0, "nothing");
    }

    function test_aFalseProofIsRefused() public {
        LogProof.VerdictProof memory p = _proof(_verdict(5, t, HIGH), t);
        p.timeMs += 1;
        vm.expectRevert(LogProof.NotInLog.selector);
        agreements.settle(id, p);
    }

    function test_onlyReadingsInThePeriodCount() public {
        StorageAgreement.Refusal outside = StorageAgreement.Refusal.OutsidePeriod;
        uint64 end = start + 24 * HOUR;
        _settleRefused(id, _verdict(5, start - 1, HIGH), start, outside);
        _settleRefused(id, _verdict(5, end + 1, HIGH), end, outside);
        _settle(id, _verdict(5, start, HIGH), start);
        _settle(id, _verdict(5, end, HIGH), end);
        // A silence counts by block time, whatever the verdict says.
        _settleRefused(id, _verdict(5, t, SILENT), end + 1, outside);
        _settle(id, _verdict(5, end + 1, SILENT), end);
        LogProof.Verdict memory v = _verdict(5, 0, HIGH);
        v.timeMs = -1;
        _settleRefused(id, v, t, outside);
    }

    function test_readingsThatCameTooLateDoNotCount() public {
        uint64 lag = 10 * MINUTE;
        _settleRefused(id, _verdict(5, t, HIGH), t + lag + 1, StorageAgreement.Refusal.TooMuchLag);
        _settleRefused(id, _verdict(5, t, HIGH), t - lag - 1001, StorageAgreement.Refusal.TooMuchLag);
        _settle(id, _verdict(5, t, HIGH), t + lag);
        vm.expectEmit(true, true, true, true, address(agreements));
        emit PromptIgnored(id, excursionPrompts, 6, LOW, StorageAgreement.Refusal.TooMuchLag);
        _fire(6, t - lag - 1, LOW);
        _fire(6, t - lag, LOW);
        vm.assertEq(_charged(id), 2 * EXCURSION, "within the lag");
    }

    function test_penaltiesStopAtTheCap() public {
        for (uint64 i; i < 7; ++i) {
            _fire(i, t, SILENT);
        }
        vm.assertEq(_charged(id), 2100, "seven silences");
        for (uint64 i; i < 4; ++i) {
            _settle(id, _verdict(20 + i, t + i * HOUR, HIGH), t + i * HOUR);
        }
        vm.assertEq(_charged(id), 4900, "before");
        _settle(id, _verdict(30, t + 10 * HOUR, HIGH), t + 10 * HOUR);
        vm.assertEq(_charged(id), CAP, "what was left");
        _settleRefused(
            id, _verdict(31, t + 11 * HOUR, HIGH), t + 11 * HOUR, StorageAgreement.Refusal.CapReached
        );
    }

    // ------------------------------------------------------------------ who may call

    function test_spoofedFiringsAreRefused() public {
        address[4] memory callers = [ALICE, MALLORY, Addresses.AUTOMATIONS, Addresses.SYSTEM_CALLER];
        for (uint256 i; i < callers.length; ++i) {
            vm.prank(callers[i]);
            vm.expectRevert(abi.encodeWithSelector(TriadTarget.NotAFiring.selector, callers[i]));
            agreements.onTriad(excursionPrompts, ALICE, stream, 5, t, 9e9, HIGH);
        }
    }

    function test_firingsOfOtherRegistrationsAreRefused() public {
        // Anybody can register this contract as a target; only attached registrations count.
        vm.deal(MALLORY, 10 ether);
        uint64 loose = _automate(MALLORY, KINDS, 0);
        vm.startPrank(Addresses.FIRING_CALLER);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.WrongRegistration.selector, loose));
        agreements.onTriad(loose, MALLORY, stream, 5, t, 9e9, HIGH);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.WrongRegistration.selector, excursionPrompts));
        agreements.onTriad(excursionPrompts, ALICE, keccak256("another"), 5, t, 9e9, HIGH);
        vm.expectEmit(true, true, true, true, address(agreements));
        emit PromptIgnored(id, excursionPrompts, 5, 8, StorageAgreement.Refusal.NotAgreed);
        agreements.onTriad(excursionPrompts, ALICE, stream, 5, t, 9e9, 8);
        vm.stopPrank();
    }

    function test_gasOfAFiringAndOfASettlement() public {
        uint256 gas = gasleft();
        _fire(5, t, HIGH);
        emit log_named_uint("gas of a firing that charges, with the prank", gas - gasleft());
        LogProof.VerdictProof memory p = _proof(_verdict(9, t + HOUR, HIGH), t + HOUR);
        gas = gasleft();
        agreements.settle(id, p);
        emit log_named_uint("gas of a settlement", gas - gasleft());
    }
}
