// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {TriadCheckpoint} from "../src/TriadCheckpoint.sol";
import {TriadVerifier} from "../src/TriadVerifier.sol";
import {VerifierChain} from "./VerifierChain.sol";

/// @dev Submits and hands over, in any order: what validators honestly signed, and what they, or some of them, or the
/// validators of another epoch signed besides.
contract VerifierUser is VerifierChain {
    TriadVerifier public verifier;
    /// @dev The first log that was taken for a height.
    mapping(uint64 height => bytes32) public firstRoot;
    uint64[] public heights;
    uint64 public newest;
    bool public tookTooFew;
    bool public tookAnotherEpoch;
    uint256 public taken;

    constructor() {
        _load();
        verifier = _deployed("chain");
    }

    function handOver(uint256 n) external {
        n = bound(n, 2, 3);
        verifier.handOver(_checkpoint("chain", n), _signatures("chain", n), _set("chain", n - 1));
        newest = verifier.epoch();
        ++taken;
    }

    function submit(uint256 n) external {
        n = bound(n, 1, 4);
        verifier.submitCheckpoint(_checkpoint("chain", n), _signatures("chain", n));
        _took(uint64(n));
    }

    /// @dev A checkpoint of any height and epoch, by any number of any epoch's validators.
    function forge(uint64 height, uint64 epoch, uint256 signersOf, uint256 count, bytes32 root) external {
        TriadCheckpoint.Checkpoint memory c;
        c.genesisHash = verifier.genesisHash();
        c.chainId = verifier.chainId();
        c.height = uint64(bound(height, 1, 6));
        c.epoch = uint64(bound(epoch, 0, 3));
        c.logSize = 9;
        c.logRoot = bytes32(uint256(root) % 3);
        signersOf = bound(signersOf, 0, 2);
        uint256[] memory secrets = _secrets("chain", signersOf);
        count = bound(count, 0, secrets.length);
        bytes memory checkpoint = _encode(c);
        verifier.submitCheckpoint(checkpoint, _sign(verifier, checkpoint, secrets, count));
        if (count < verifier.quorum(secrets.length)) tookTooFew = true;
        if (signersOf != c.epoch) tookAnotherEpoch = true;
        _took(c.height);
    }

    function count() external view returns (uint256) {
        return heights.length;
    }

    function _took(uint64 height) private {
        ++taken;
        (bytes32 root,,,) = verifier.submitted(height);
        if (firstRoot[height] != 0) return;
        // A root of zero is a root as well: marked so that it is not taken for none.
        firstRoot[height] = keccak256(abi.encode(root));
        heights.push(height);
    }
}

contract TriadVerifierInvariants is VerifierChain {
    VerifierUser private user;

    function setUp() public {
        user = new VerifierUser();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(user);
    }

    function invariant_whatWasTakenForAHeightStays() public view {
        for (uint256 i; i < user.count(); ++i) {
            uint64 height = user.heights(i);
            (bytes32 root, uint64 size,,) = user.verifier().submitted(height);
            vm.assertTrue(size > 0, "submitted");
            vm.assertEq(keccak256(abi.encode(root)), user.firstRoot(height), "the first log");
        }
    }

    function invariant_onlyAQuorumOfTheRightEpochIsBelieved() public view {
        vm.assertFalse(user.tookTooFew(), "too few signers");
        vm.assertFalse(user.tookAnotherEpoch(), "validators of another epoch");
    }

    function invariant_epochsFollowEachOther() public view {
        TriadVerifier verifier = user.verifier();
        uint64 epoch = verifier.epoch();
        vm.assertEq(epoch, user.newest(), "only a hand-over moves it");
        uint64 before;
        for (uint64 e; e < epoch; ++e) {
            (bytes32 digest, uint64 height) = verifier.ends(e);
            vm.assertTrue(digest != 0 && height > before, "heights rise");
            before = height;
        }
        for (uint64 e; e <= 3; ++e) {
            vm.assertEq(
                verifier.validatorsOf(e).length > 0 ? 1 : 0, e <= epoch ? 1 : 0, "the sets that are known"
            );
        }
        (bytes32 none,) = verifier.ends(epoch);
        vm.assertEq(none, bytes32(0), "the newest epoch has no end");
    }
}
