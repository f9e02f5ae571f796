// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {LogProof} from "../src/LogProof.sol";
import {TriadCheckpoint} from "../src/TriadCheckpoint.sol";
import {TriadVerifier} from "../src/TriadVerifier.sol";
import {Test} from "./Test.sol";

/// @dev The chain of test/vectors/verifier.json, made by the node's own code (crates/chain/tests/verifier.rs), and
/// checkpoints that its validators sign here.
abstract contract VerifierChain is Test {
    struct Proof {
        uint64 height;
        LogProof.StatementProof statement;
        LogProof.VerdictProof[] verdicts;
    }

    /// @dev Two proofs of the vectors: one with two verdicts in the first block, one in epoch 2.
    uint256 internal constant JUDGED = 1;
    uint256 internal constant LAST = 6;

    string private _json;

    function _load() internal {
        _json = vm.readFile("test/vectors/verifier.json");
    }

    /// @dev The committed artifact, which is what people deploy.
    function _deploy(bytes32 genesis, uint64 chainId, address[] memory validators)
        internal
        returns (TriadVerifier verifier)
    {
        bytes memory code = vm.parseJsonBytes(vm.readFile("artifacts/TriadVerifier.json"), ".bytecode");
        code = bytes.concat(code, abi.encode(genesis, chainId, validators));
        assembly ("memory-safe") {
            verifier := create(0, add(code, 0x20), mload(code))
        }
        if (address(verifier) == address(0)) {
            assembly ("memory-safe") {
                returndatacopy(mload(0x40), 0, returndatasize())
                revert(mload(0x40), returndatasize())
            }
        }
    }

    function _deployed(string memory chain) internal returns (TriadVerifier) {
        string memory at = string.concat(".", chain);
        return _deploy(
            vm.parseJsonBytes32(_json, string.concat(at, ".genesisHash")),
            uint64(vm.parseJsonUint(_json, string.concat(at, ".chainId"))),
            _validators(chain, 0)
        );
    }

    function _validators(string memory chain, uint256 epoch) internal view returns (address[] memory) {
        return abi.decode(
            vm.parseJsonBytes(_json, string.concat(_at(chain, "epochs", epoch), ".validators")), (address[])
        );
    }

    function _set(string memory chain, uint256 epoch) internal view returns (bytes memory) {
        return vm.parseJsonBytes(_json, string.concat(_at(chain, "epochs", epoch), ".set"));
    }

    function _secrets(string memory chain, uint256 epoch) internal view returns (uint256[] memory secrets) {
        bytes32[] memory words =
            vm.parseJsonBytes32Array(_json, string.concat(_at(chain, "epochs", epoch), ".secrets"));
        secrets = new uint256[](words.length);
        for (uint256 i; i < words.length; ++i) {
            secrets[i] = uint256(words[i]);
        }
    }

    function _checkpoint(string memory chain, uint256 height) internal view returns (bytes memory) {
        return vm.parseJsonBytes(_json, string.concat(_at(chain, "checkpoints", height - 1), ".cbor"));
    }

    function _digest(string memory chain, uint256 height)
        internal
        view
        returns (bytes32 digest, bytes32 message)
    {
        string memory at = _at(chain, "checkpoints", height - 1);
        digest = vm.parseJsonBytes32(_json, string.concat(at, ".digest"));
        message = vm.parseJsonBytes32(_json, string.concat(at, ".message"));
    }

    /// @dev By every validator of its epoch, as the node made them.
    function _signatures(string memory chain, uint256 height)
        internal
        view
        returns (TriadVerifier.Signature[] memory)
    {
        bytes memory encoded =
            vm.parseJsonBytes(_json, string.concat(_at(chain, "checkpoints", height - 1), ".signatures"));
        return abi.decode(encoded, (TriadVerifier.Signature[]));
    }

    function _proof(string memory chain, uint256 i) internal view returns (Proof memory p) {
        string memory at = _at(chain, "proofs", i);
        p.height = uint64(vm.parseJsonUint(_json, string.concat(at, ".height")));
        p.statement =
            abi.decode(vm.parseJsonBytes(_json, string.concat(at, ".statement")), (LogProof.StatementProof));
        bytes[] memory verdicts = vm.parseJsonBytesArray(_json, string.concat(at, ".verdicts"));
        p.verdicts = new LogProof.VerdictProof[](verdicts.length);
        for (uint256 k; k < verdicts.length; ++k) {
            p.verdicts[k] = abi.decode(verdicts[k], (LogProof.VerdictProof));
        }
    }

    function _at(string memory chain, string memory list, uint256 i) private pure returns (string memory) {
        return string.concat(".", chain, ".", list, "[", vm.toString(i), "]");
    }

    // ------------------------------------------------------------------------------------------ signing things here

    /// @dev The first `count` of the signers, in order.
    function _sign(TriadVerifier verifier, bytes memory checkpoint, uint256[] memory secrets, uint256 count)
        internal
        view
        returns (TriadVerifier.Signature[] memory signatures)
    {
        bytes32 message = verifier.messageOf(sha256(checkpoint));
        signatures = new TriadVerifier.Signature[](count);
        for (uint256 i; i < count; ++i) {
            signatures[i] = _signature(i, secrets[i], message);
        }
    }

    function _signature(uint256 index, uint256 secret, bytes32 message)
        internal
        pure
        returns (TriadVerifier.Signature memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(secret, message);
        return TriadVerifier.Signature(index, r, bytes32(uint256(s) | (uint256(v - 27) << 255)));
    }

    function _firstOf(TriadVerifier.Signature[] memory all, uint256 count)
        internal
        pure
        returns (TriadVerifier.Signature[] memory some)
    {
        some = new TriadVerifier.Signature[](count);
        for (uint256 i; i < count; ++i) {
            some[i] = all[i];
        }
    }

    /// @dev Canonical CBOR of a checkpoint.
    function _encode(TriadCheckpoint.Checkpoint memory c) internal pure returns (bytes memory) {
        bytes memory head = bytes.concat(
            hex"8d015820",
            c.genesisHash,
            _uint(c.chainId),
            _uint(c.height),
            _uint(c.epoch),
            hex"5820",
            c.parentDigest
        );
        bytes memory log = bytes.concat(
            _uint(c.timeMs),
            hex"5820",
            c.bodyHash,
            _uint(c.logSize),
            hex"5820",
            c.logRoot,
            hex"5820",
            c.appDigest
        );
        bytes memory next = c.nextValidators == 0 ? bytes(hex"f6") : bytes.concat(hex"5820", c.nextValidators);
        return bytes.concat(head, log, hex"5820", c.ethBlockHash, next);
    }

    function _uint(uint64 n) internal pure returns (bytes memory) {
        if (n < 24) return abi.encodePacked(uint8(n));
        if (n <= type(uint8).max) return abi.encodePacked(hex"18", uint8(n));
        if (n <= type(uint16).max) return abi.encodePacked(hex"19", uint16(n));
        if (n <= type(uint32).max) return abi.encodePacked(hex"1a", uint32(n));
        return abi.encodePacked(hex"1b", n);
    }

    /// @dev `handOver` up to an epoch, with the vectors' own checkpoints; blocks 2 and 3 end epochs 0 and 1.
    function _follow(TriadVerifier verifier, uint256 toEpoch) internal {
        for (uint256 i; i < toEpoch; ++i) {
            verifier.handOver(_checkpoint("chain", 2 + i), _signatures("chain", 2 + i), _set("chain", i + 1));
        }
    }
}
