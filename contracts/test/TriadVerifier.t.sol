// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {LogProof} from "../src/LogProof.sol";
import {TriadCheckpoint} from "../src/TriadCheckpoint.sol";
import {TriadVerifier} from "../src/TriadVerifier.sol";
import {VerifierChain} from "./VerifierChain.sol";

contract TriadVerifierTest is VerifierChain {
    uint256 private constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    TriadVerifier private verifier;

    function setUp() public {
        _load();
        verifier = _deployed("chain");
    }

    // ------------------------------------------------------------------------------------------------- what is right

    function test_provesWhatTheNodeMade() public {
        _follow(verifier, 2);
        for (uint256 i; i <= LAST; ++i) {
            Proof memory p = _proof("chain", i);
            bytes memory checkpoint = _checkpoint("chain", p.height);
            TriadVerifier.Signature[] memory signatures = _signatures("chain", p.height);
            LogProof.StatementLeaf memory leaf = verifier.verifyStatement(checkpoint, signatures, p.statement);
            vm.assertEq(abi.encode(leaf), abi.encode(p.statement.leaf), "leaf");
            for (uint256 k; k < p.verdicts.length; ++k) {
                LogProof.Verdict memory v = verifier.verifyVerdict(checkpoint, signatures, p.verdicts[k]);
                vm.assertEq(v.leaf, p.statement.leafIndex, "the verdict is on the statement");
            }
        }
        Proof memory last = _proof("chain", LAST);
        LogProof.Verdict memory judged =
            verifier.verifyVerdict(_checkpoint("chain", 4), _signatures("chain", 4), last.verdicts[0]);
        vm.assertEq(int256(judged.value), 7_250_000_000, "value");
        vm.assertEq(judged.kind, 2, "kind");
        vm.assertEq(bytes(judged.reason), "above 7 Cel", "reason");
    }

    function test_readsTheFieldsThatTheNodeWrote() public {
        _follow(verifier, 2);
        for (uint64 height = 1; height <= 4; ++height) {
            bytes memory checkpoint = _checkpoint("chain", height);
            (TriadCheckpoint.Checkpoint memory c, bytes32 found) =
                verifier.verifyCheckpoint(checkpoint, _signatures("chain", height));
            (bytes32 digest, bytes32 message) = _digest("chain", height);
            vm.assertEq(found, digest, "digest");
            vm.assertEq(verifier.messageOf(digest), message, "the message that the node signs");
            vm.assertEq(c.height, height, "height");
            vm.assertEq(_encode(c), checkpoint, "every field");
        }
    }

    function test_aQuorumIsEnoughAndOneLessIsNot() public {
        for (uint256 n = 1; n <= 10; ++n) {
            uint256[] memory secrets = new uint256[](n);
            address[] memory validators = new address[](n);
            for (uint256 i; i < n; ++i) {
                secrets[i] = 1000 + i;
                validators[i] = vm.addr(secrets[i]);
            }
            TriadVerifier other = _deploy(bytes32(n), 5, validators);
            uint256 needed = other.quorum(n);
            vm.assertEq(needed, n - (n - 1) / 3, "quorum");
            bytes memory checkpoint = _encode(_any(bytes32(n), 5));
            for (uint256 count; count <= n; ++count) {
                TriadVerifier.Signature[] memory signatures = _sign(other, checkpoint, secrets, count);
                if (count < needed) {
                    vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NoQuorum.selector, count, needed));
                }
                other.verifyCheckpoint(checkpoint, signatures);
            }
        }
    }

    function testFuzz_anyQuorumIsEnough(uint256 seed, bool all) public view {
        TriadVerifier.Signature[] memory signed = _signatures("chain", 1);
        uint256 without = seed % 5; // 4: nobody is left out
        if (all) without = 4;
        uint256 count = without == 4 ? 4 : 3;
        TriadVerifier.Signature[] memory some = new TriadVerifier.Signature[](count);
        uint256 n;
        for (uint256 i; i < 4; ++i) {
            if (i != without) some[n++] = signed[i];
        }
        verifier.verifyCheckpoint(_checkpoint("chain", 1), some);
    }

    // ---------------------------------------------------------------------------------------------- other checkpoints

    function test_everyByteOfTheCheckpointCounts() public view {
        bytes memory good = _checkpoint("chain", 1);
        Proof memory p = _proof("chain", JUDGED);
        TriadVerifier.Signature[] memory signatures = _signatures("chain", 1);
        for (uint256 i; i < good.length; ++i) {
            for (uint256 bit; bit < 8; ++bit) {
                good[i] ^= bytes1(uint8(1 << bit));
                _refused(good, signatures, p.statement);
                good[i] ^= bytes1(uint8(1 << bit));
            }
        }
        verifier.verifyStatement(good, signatures, p.statement);
    }

    function test_aCutOrLongerCheckpointIsRefused() public {
        bytes memory good = _checkpoint("chain", 2);
        TriadVerifier.Signature[] memory signatures = _signatures("chain", 2);
        for (uint256 length; length < good.length; ++length) {
            bytes memory cut = new bytes(length);
            for (uint256 i; i < length; ++i) {
                cut[i] = good[i];
            }
            vm.expectPartialRevert(TriadCheckpoint.MalformedCheckpoint.selector);
            verifier.verifyCheckpoint(cut, signatures);
        }
        vm.expectRevert(abi.encodeWithSelector(TriadCheckpoint.MalformedCheckpoint.selector, good.length));
        verifier.verifyCheckpoint(bytes.concat(good, hex"00"), signatures);
    }

    /// @dev Signed by everybody, and still not a checkpoint: integers that are longer than they need be.
    function testFuzz_onlyTheShortestIntegersAreRead(uint64 n, uint8 form) public {
        TriadCheckpoint.Checkpoint memory c = _any(verifier.genesisHash(), verifier.chainId());
        c.height = uint64(bound(n, 1, type(uint64).max));
        bytes memory shortest = _uint(c.height);
        bytes[4] memory forms = [
            abi.encodePacked(hex"18", uint8(c.height)),
            abi.encodePacked(hex"19", uint16(c.height)),
            abi.encodePacked(hex"1a", uint32(c.height)),
            abi.encodePacked(hex"1b", c.height)
        ];
        bytes memory other = forms[form % 4];
        vm.assume(other.length >= shortest.length);
        bytes memory good = _encode(c);
        uint256 at = 2 + 34 + _uint(c.chainId).length;
        bytes memory checkpoint =
            bytes.concat(_slice(good, 0, at), other, _slice(good, at + shortest.length, good.length));
        TriadVerifier.Signature[] memory signatures = _sign(verifier, checkpoint, _secrets("chain", 0), 4);
        if (other.length > shortest.length) {
            vm.expectRevert(abi.encodeWithSelector(TriadCheckpoint.MalformedCheckpoint.selector, at));
        }
        verifier.verifyCheckpoint(checkpoint, signatures);
    }

    function testFuzz_readsAnyCheckpoint(TriadCheckpoint.Checkpoint memory c) public view {
        (c.genesisHash, c.chainId, c.epoch) = (verifier.genesisHash(), verifier.chainId(), 0);
        bytes memory checkpoint = _encode(c);
        (TriadCheckpoint.Checkpoint memory read,) =
            verifier.verifyCheckpoint(checkpoint, _sign(verifier, checkpoint, _secrets("chain", 0), 3));
        vm.assertEq(abi.encode(read), abi.encode(c), "fields");
    }

    function test_anotherChainIsRefused() public {
        TriadCheckpoint.Checkpoint memory c = _any(bytes32(uint256(7)), verifier.chainId());
        _refusedSigned(c, abi.encodeWithSelector(TriadVerifier.OtherGenesis.selector, bytes32(uint256(7))));
        c = _any(verifier.genesisHash(), 1);
        _refusedSigned(c, abi.encodeWithSelector(TriadVerifier.OtherChain.selector, 1));
        c = _any(verifier.genesisHash(), verifier.chainId());
        c.epoch = 1;
        _refusedSigned(c, abi.encodeWithSelector(TriadVerifier.UnknownEpoch.selector, 1, 0));
    }

    /// @dev The same validators on another chain: what they sign there is nothing here.
    function test_aSignatureForAnotherDomainIsRefused() public {
        bytes memory checkpoint = _checkpoint("chain", 1);
        address[] memory validators = _validators("chain", 0);
        uint256[] memory secrets = _secrets("chain", 0);
        TriadVerifier[2] memory others = [
            _deploy(verifier.genesisHash(), verifier.chainId() + 1, validators),
            _deploy(bytes32(uint256(1)), verifier.chainId(), validators)
        ];
        for (uint256 i; i < 2; ++i) {
            TriadVerifier.Signature[] memory signatures = _sign(others[i], checkpoint, secrets, 4);
            vm.expectPartialRevert(TriadVerifier.WrongSigner.selector);
            verifier.verifyCheckpoint(checkpoint, signatures);
        }
        // What a wallet would sign as a personal message, or as 32 bytes.
        TriadVerifier.Signature[] memory bare = _sign(verifier, checkpoint, secrets, 4);
        bytes32 digest = sha256(checkpoint);
        bare[0] = _signature(0, secrets[0], digest);
        vm.expectPartialRevert(TriadVerifier.WrongSigner.selector);
        verifier.verifyCheckpoint(checkpoint, bare);
        bare[0] =
            _signature(0, secrets[0], keccak256(bytes.concat("\x19Ethereum Signed Message:\n32", digest)));
        vm.expectPartialRevert(TriadVerifier.WrongSigner.selector);
        verifier.verifyCheckpoint(checkpoint, bare);
    }

    // ---------------------------------------------------------------------------------------------- other signatures

    function test_everyBitOfASignatureCounts() public view {
        bytes memory checkpoint = _checkpoint("chain", 1);
        TriadVerifier.Signature[] memory signatures = _firstOf(_signatures("chain", 1), 3);
        Proof memory p = _proof("chain", JUDGED);
        for (uint256 bit; bit < 256; ++bit) {
            bytes32 flip = bytes32(1 << bit);
            signatures[bit % 3].r ^= flip;
            _refused(checkpoint, signatures, p.statement);
            signatures[bit % 3].r ^= flip;
            signatures[bit % 3].vs ^= flip;
            _refused(checkpoint, signatures, p.statement);
            signatures[bit % 3].vs ^= flip;
            signatures[bit % 3].validator ^= uint256(flip);
            _refused(checkpoint, signatures, p.statement);
            signatures[bit % 3].validator ^= uint256(flip);
        }
        verifier.verifyStatement(checkpoint, signatures, p.statement);
    }

    function test_aSignatureTwiceIsRefused() public {
        bytes memory checkpoint = _checkpoint("chain", 1);
        TriadVerifier.Signature[] memory signatures = _firstOf(_signatures("chain", 1), 3);
        signatures[2] = signatures[1];
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.SignerOrder.selector, 1));
        verifier.verifyCheckpoint(checkpoint, signatures);
        // Under another's number it is that one's no more.
        signatures[2].validator = 2;
        vm.expectRevert(
            abi.encodeWithSelector(TriadVerifier.WrongSigner.selector, 2, _validators("chain", 0)[1])
        );
        verifier.verifyCheckpoint(checkpoint, signatures);
    }

    function test_signaturesOutOfOrderAreRefused() public {
        TriadVerifier.Signature[] memory signatures = _firstOf(_signatures("chain", 1), 3);
        (signatures[0], signatures[1]) = (signatures[1], signatures[0]);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.SignerOrder.selector, 0));
        verifier.verifyCheckpoint(_checkpoint("chain", 1), signatures);
    }

    function test_anUnknownValidatorIsRefused() public {
        TriadVerifier.Signature[] memory signatures = _firstOf(_signatures("chain", 1), 3);
        signatures[2].validator = 4;
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NoSuchValidator.selector, 4));
        verifier.verifyCheckpoint(_checkpoint("chain", 1), signatures);
        signatures[2].validator = type(uint256).max;
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NoSuchValidator.selector, type(uint256).max));
        verifier.verifyCheckpoint(_checkpoint("chain", 1), signatures);
    }

    /// @dev The other signature that ecrecover accepts for the same key: (r, n − s) with the other parity.
    function test_aHighSIsRefused() public {
        bytes memory checkpoint = _checkpoint("chain", 1);
        bytes32 message = verifier.messageOf(sha256(checkpoint));
        TriadVerifier.Signature[] memory signatures = _firstOf(_signatures("chain", 1), 3);
        for (uint256 i; i < 3; ++i) {
            bytes32 good = signatures[i].vs;
            uint256 s = ORDER - (uint256(good) & (type(uint256).max >> 1));
            uint8 v = uint8(28 - (uint256(good) >> 255));
            address signer = ecrecover(message, v, signatures[i].r, bytes32(s));
            vm.assertTrue(signer == _validators("chain", 0)[i], "ecrecover itself takes it");
            // The compact form has no room for it: the highest bit is the parity.
            vm.assertEq(s >> 255, 1, "the highest bit of s");
            signatures[i].vs = bytes32(s);
            vm.expectPartialRevert(TriadVerifier.WrongSigner.selector);
            verifier.verifyCheckpoint(checkpoint, signatures);
            signatures[i].vs = good;
        }
        // Just above half the order there is room, and the contract says no, whoever's it is.
        signatures[0].vs = bytes32(ORDER / 2 + 1);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.HighS.selector, 0));
        verifier.verifyCheckpoint(checkpoint, signatures);
        // Exactly half is not high; it is merely wrong.
        signatures[0].vs = bytes32(ORDER / 2);
        vm.expectPartialRevert(TriadVerifier.WrongSigner.selector);
        verifier.verifyCheckpoint(checkpoint, signatures);
    }

    function test_whatIsNoSignatureAtAllIsNobodys() public {
        TriadVerifier.Signature[] memory signatures = _firstOf(_signatures("chain", 1), 3);
        signatures[1].r = 0;
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.WrongSigner.selector, 1, address(0)));
        verifier.verifyCheckpoint(_checkpoint("chain", 1), signatures);
    }

    // --------------------------------------------------------------------------------------------------- other proofs

    function test_everyFieldOfAStatementProofCounts() public view {
        bytes memory checkpoint = _checkpoint("chain", 2);
        TriadVerifier.Signature[] memory signatures = _signatures("chain", 2);
        LogProof.StatementProof memory p = _proof("chain", 2).statement;
        verifier.verifyStatement(checkpoint, signatures, p);
        LogProof.StatementProof memory q = _proof("chain", 2).statement;
        for (uint256 bit; bit < 256; ++bit) {
            q.leaf.statementHash ^= bytes32(1 << bit);
            _refused(checkpoint, signatures, q);
            q.leaf.statementHash = p.leaf.statementHash;
            q.leaf.keyFingerprint ^= bytes32(1 << bit);
            _refused(checkpoint, signatures, q);
            q.leaf.keyFingerprint = p.leaf.keyFingerprint;
            for (uint256 k; k < q.logPath.length; ++k) {
                q.logPath[k] ^= bytes32(1 << bit);
                _refused(checkpoint, signatures, q);
                q.logPath[k] = p.logPath[k];
            }
            if (bit < 160) {
                q.leaf.signer ^= bytes20(uint160(1 << bit));
                _refused(checkpoint, signatures, q);
                q.leaf.signer = p.leaf.signer;
                q.leaf.origin ^= bytes20(uint160(1 << bit));
                _refused(checkpoint, signatures, q);
                q.leaf.origin = p.leaf.origin;
            }
            if (bit < 64) {
                q.leaf.height ^= uint64(1 << bit);
                _refused(checkpoint, signatures, q);
                q.leaf.height = p.leaf.height;
                q.leaf.timeMs ^= uint64(1 << bit);
                _refused(checkpoint, signatures, q);
                q.leaf.timeMs = p.leaf.timeMs;
                q.leafIndex ^= uint64(1 << bit);
                _refused(checkpoint, signatures, q);
                q.leafIndex = p.leafIndex;
                q.anchor ^= uint64(1 << bit);
                _refused(checkpoint, signatures, q);
                q.anchor = p.anchor;
            }
        }
        verifier.verifyStatement(checkpoint, signatures, q);
    }

    function test_everyByteOfAVerdictProofCounts() public view {
        bytes memory checkpoint = _checkpoint("chain", 1);
        TriadVerifier.Signature[] memory signatures = _signatures("chain", 1);
        LogProof.VerdictProof memory p = _proof("chain", JUDGED).verdicts[1];
        for (uint256 i; i < p.verdict.length; ++i) {
            p.verdict[i] ^= bytes1(uint8(1 << (i % 8)));
            _verdictRefused(checkpoint, signatures, p);
            p.verdict[i] ^= bytes1(uint8(1 << (i % 8)));
        }
        for (uint256 bit; bit < 64; ++bit) {
            uint64 flip = uint64(1 << bit);
            p.index ^= flip;
            _verdictRefused(checkpoint, signatures, p);
            p.index ^= flip;
            p.count ^= flip;
            _verdictRefused(checkpoint, signatures, p);
            p.count ^= flip;
            p.height ^= flip;
            _verdictRefused(checkpoint, signatures, p);
            p.height ^= flip;
            p.timeMs ^= flip;
            _verdictRefused(checkpoint, signatures, p);
            p.timeMs ^= flip;
            p.leafIndex ^= flip;
            _verdictRefused(checkpoint, signatures, p);
            p.leafIndex ^= flip;
        }
        for (uint256 bit; bit < 256; ++bit) {
            p.path[bit % p.path.length] ^= bytes32(1 << bit);
            _verdictRefused(checkpoint, signatures, p);
            p.path[bit % p.path.length] ^= bytes32(1 << bit);
            p.logPath[bit % p.logPath.length] ^= bytes32(1 << bit);
            _verdictRefused(checkpoint, signatures, p);
            p.logPath[bit % p.logPath.length] ^= bytes32(1 << bit);
        }
        verifier.verifyVerdict(checkpoint, signatures, p);
    }

    function test_aProofUnderAnotherCheckpointIsRefused() public {
        LogProof.StatementProof memory p = _proof("chain", JUDGED).statement;
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.OtherAnchor.selector, 1, 2));
        verifier.verifyStatement(_checkpoint("chain", 2), _signatures("chain", 2), p);
        p.anchor = 2;
        vm.expectRevert(LogProof.NotInLog.selector);
        verifier.verifyStatement(_checkpoint("chain", 2), _signatures("chain", 2), p);
    }

    // ------------------------------------------------------------------------------------------ submitted checkpoints

    function test_aSubmittedCheckpointServesEveryProofUnderIt() public {
        Proof memory p = _proof("chain", JUDGED);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NotSubmitted.selector, 1));
        verifier.proveStatement(p.statement);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.NotSubmitted.selector, 1));
        verifier.proveVerdict(p.verdicts[0]);
        (bytes32 digest,) = _digest("chain", 1);
        (TriadCheckpoint.Checkpoint memory c,) =
            verifier.verifyCheckpoint(_checkpoint("chain", 1), _signatures("chain", 1));
        vm.expectEmit(true, true, true, true, address(verifier));
        emit TriadVerifier.CheckpointSubmitted(1, digest, c.logSize, c.logRoot);
        verifier.submitCheckpoint(_checkpoint("chain", 1), _signatures("chain", 1));
        verifier.submitCheckpoint(_checkpoint("chain", 1), _signatures("chain", 1));
        verifier.proveStatement(p.statement);
        verifier.proveStatement(_proof("chain", 0).statement);
        verifier.proveVerdict(p.verdicts[0]);
        verifier.proveVerdict(p.verdicts[1]);
        p.verdicts[0].verdict[80] ^= 0x01;
        vm.expectRevert(LogProof.NotInLog.selector);
        verifier.proveVerdict(p.verdicts[0]);
        p.statement.leaf.timeMs += 1;
        vm.expectRevert(LogProof.NotInLog.selector);
        verifier.proveStatement(p.statement);
    }

    function test_aSecondLogForOneHeightIsRefused() public {
        verifier.submitCheckpoint(_checkpoint("chain", 1), _signatures("chain", 1));
        (TriadCheckpoint.Checkpoint memory c,) =
            verifier.verifyCheckpoint(_checkpoint("chain", 1), _signatures("chain", 1));
        c.logRoot = bytes32(uint256(1));
        bytes memory other = _encode(c);
        TriadVerifier.Signature[] memory signatures = _sign(verifier, other, _secrets("chain", 0), 3);
        vm.expectRevert(abi.encodeWithSelector(TriadVerifier.Conflict.selector, 1));
        verifier.submitCheckpoint(other, signatures);
        verifier.proveStatement(_proof("chain", JUDGED).statement);
    }

    // ---------------------------------------------------------------------------------------------------- the helpers

    /// @dev Some checkpoint of a chain.
    function _any(bytes32 genesis, uint64 chainId)
        private
        pure
        returns (TriadCheckpoint.Checkpoint memory c)
    {
        c.genesisHash = genesis;
        c.chainId = chainId;
        c.height = 9;
        c.timeMs = 1_767_225_600_000;
        c.logSize = 99;
        c.logRoot = bytes32(uint256(3));
    }

    function _slice(bytes memory b, uint256 from, uint256 to) private pure returns (bytes memory part) {
        part = new bytes(to - from);
        for (uint256 i; i < part.length; ++i) {
            part[i] = b[from + i];
        }
    }

    function _refusedSigned(TriadCheckpoint.Checkpoint memory c, bytes memory why) private {
        bytes memory checkpoint = _encode(c);
        TriadVerifier.Signature[] memory signatures = _sign(verifier, checkpoint, _secrets("chain", 0), 4);
        vm.expectRevert(why);
        verifier.verifyCheckpoint(checkpoint, signatures);
    }

    function _refused(
        bytes memory checkpoint,
        TriadVerifier.Signature[] memory signatures,
        LogProof.StatementProof memory p
    ) private view {
        try verifier.verifyStatement(checkpoint, signatures, p) {
            vm.assertTrue(false, "a change passed");
        } catch {}
    }

    function _verdictRefused(
        bytes memory checkpoint,
        TriadVerifier.Signature[] memory signatures,
        LogProof.VerdictProof memory p
    ) private view {
        try verifier.verifyVerdict(checkpoint, signatures, p) {
            vm.assertTrue(false, "a change passed");
        } catch {}
    }
}
