// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "../src/Addresses.sol";
import {Automations} from "../src/Automations.sol";
import {VerdictKind} from "../src/ITriad.sol";
import {LogProof} from "../src/LogProof.sol";
import {StorageAgreement} from "../src/StorageAgreement.sol";
import {TriadToken} from "../src/TriadToken.sol";
import {System} from "./System.sol";
import {Tree} from "./Tree.sol";

/// @dev ALICE stores goods with BOB; the device belongs to a third party. Verdicts can be fired and proved.
abstract contract Agreements is System {
    StorageAgreement internal agreements;
    TriadToken internal token;
    bytes20 internal sensor;
    bytes32 internal stream;
    uint64 internal range;
    uint64 internal silence;
    uint64 internal start;
    uint64 internal excursionPrompts;
    uint64 internal silencePrompts;

    address internal constant OPERATOR = address(0x0E7A);
    uint64 internal constant MINUTE = 60_000;
    uint64 internal constant HOUR = 60 * MINUTE;
    uint128 internal constant FEE = 10_000;
    uint128 internal constant EXCURSION = 700;
    uint128 internal constant SILENCE = 300;
    uint128 internal constant CAP = 5_000;
    uint16 internal constant KINDS = 1 << 1 | 1 << 2;

    function _setUp() internal {
        genesis(false);
        agreements = new StorageAgreement();
        token = new TriadToken("Euro", "EUR", 2);
        token.mint(ALICE, 1_000_000);
        vm.prank(ALICE);
        token.approve(address(agreements), type(uint256).max);
        sensor = device(OPERATOR, 0);
        stream = keccak256(abi.encodePacked(sensor, "temp"));
        start = nowMs();
        vm.startPrank(OPERATOR);
        range = models.bind(sensor, "temp", "range", hex"a0");
        silence = models.bind(sensor, "temp", "silence", hex"a0");
        models.bind(sensor, "temp", "anomaly", hex"a0");
        models.freeze(sensor, "temp", start + 30 * HOUR);
        vm.stopPrank();
        vm.deal(ALICE, 100 ether);
        excursionPrompts = _automate(ALICE, KINDS, 1_000_000);
        silencePrompts = _automate(ALICE, 1 << 6, 0);
    }

    function _terms() internal view returns (StorageAgreement.Terms memory t) {
        t.token = token;
        t.warehouse = BOB;
        t.device = sensor;
        t.name = "temp";
        t.clock = 0;
        t.maxLagMs = 10 * MINUTE;
        t.start = start;
        t.end = start + 24 * HOUR;
        t.acceptBy = start + HOUR;
        t.claimUntil = start + 30 * HOUR;
        t.excursionKinds = KINDS;
        t.minScore = 1_000_000;
        t.coolDownMs = 30 * MINUTE;
        t.rangeModel = range;
        t.silenceModel = silence;
        t.fee = FEE;
        t.excursionPenalty = EXCURSION;
        t.silencePenalty = SILENCE;
        t.penaltyCap = CAP;
    }

    function _open(StorageAgreement.Terms memory t) internal returns (uint256 id) {
        vm.prank(ALICE);
        return agreements.open(t);
    }

    /// @dev An accepted agreement with both prompts.
    function _active(StorageAgreement.Terms memory t) internal returns (uint256 id) {
        id = _open(t);
        vm.prank(BOB);
        agreements.accept(id);
        vm.startPrank(ALICE);
        if (t.rangeModel != 0) agreements.attach(id, excursionPrompts);
        if (t.silenceModel != 0) agreements.attach(id, silencePrompts);
        vm.stopPrank();
    }

    function _automate(address owner, uint256 kinds, uint32 minScore) internal returns (uint64) {
        Automations.Condition memory c = Automations.Condition(sensor, "temp", 1, 0, 0, kinds, minScore);
        vm.prank(owner);
        return automations.register{value: 1 ether}(c, address(agreements), 300_000, 0);
    }

    function _fire(uint64 leaf, uint64 timeMs, uint8 kind) internal {
        uint64 registration = kind == VerdictKind.SILENT ? silencePrompts : excursionPrompts;
        vm.prank(Addresses.FIRING_CALLER);
        agreements.onTriad(registration, ALICE, stream, leaf, timeMs, 9e9, kind);
    }

    function _charged(uint256 id) internal view returns (uint256) {
        return agreements.agreementOf(id).charged;
    }

    function _warpTo(uint64 ms) internal {
        vm.warp(ms / 1000);
    }

    // ------------------------------------------------------------------ proofs

    function _verdict(uint64 leaf, uint64 timeMs, uint8 kind)
        internal
        view
        returns (LogProof.Verdict memory v)
    {
        v.leaf = leaf;
        v.stream = stream;
        v.model = kind == VerdictKind.SILENT ? silence : range;
        v.kind = kind;
        v.score = 1_000_000;
        v.timeMs = int64(timeMs);
        v.value = 9e9;
        v.reason = "above 8 degrees";
    }

    /// @dev Logs the verdict in a block of time `blockMs`, between others, and proves it from a later block.
    function _proof(LogProof.Verdict memory v, uint64 blockMs)
        internal
        returns (LogProof.VerdictProof memory p)
    {
        p.verdict = abi.encodePacked(
            uint8(1),
            v.leaf,
            v.record,
            v.stream,
            v.model,
            v.class,
            v.kind,
            v.score,
            v.timeMs,
            v.value,
            v.reason
        );
        p.index = 1;
        p.count = 3;
        bytes32[] memory verdicts = new bytes32[](3);
        verdicts[0] = Tree.leaf("before");
        verdicts[1] = Tree.leaf(p.verdict);
        verdicts[2] = Tree.leaf("after");
        p.path = Tree.path(verdicts, 1);
        p.height = 77;
        p.timeMs = blockMs;
        bytes32[] memory log = new bytes32[](6);
        for (uint256 i; i < 6; ++i) {
            log[i] = Tree.leaf(abi.encode("statement", i));
        }
        p.leafIndex = 4;
        log[4] = Tree.leaf(LogProof.verdictLeaf(p.height, p.timeMs, p.count, Tree.root(verdicts)));
        p.logPath = Tree.path(log, 4);
        p.anchor = 80;
        vm.mockCall(
            Addresses.LOG, abi.encode(uint256(80)), abi.encode(uint256(80), uint256(6), Tree.root(log))
        );
    }

    function _settle(uint256 id, LogProof.Verdict memory v, uint64 blockMs) internal {
        agreements.settle(id, _proof(v, blockMs));
    }

    function _settleRefused(
        uint256 id,
        LogProof.Verdict memory v,
        uint64 blockMs,
        StorageAgreement.Refusal why
    ) internal {
        LogProof.VerdictProof memory p = _proof(v, blockMs);
        vm.expectRevert(abi.encodeWithSelector(StorageAgreement.Refused.selector, why));
        agreements.settle(id, p);
    }
}
