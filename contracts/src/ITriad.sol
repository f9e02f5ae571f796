// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";

/// @title What a contract implements to be called when a condition becomes true.
/// @dev A target trusts a call only if the sender is `Addresses.FIRING_CALLER` *and* `registrationId` is one that it
/// knows: anybody may register any contract as a target, for any condition. See `TriadTarget`.
interface ITriadTarget {
    /// @param registrationId the id that `Automations.register` returned.
    /// @param owner who made the registration.
    /// @param stream keccak256(origin device id ‖ name).
    /// @param leafIndex the statement's leaf in the log; for a silence, the stream's last one.
    /// @param timeMs the reading's time, milliseconds since 1970.
    /// @param value the reading's value × 10^9; for a verdict that predicts, what is predicted.
    /// @param kind the verdict's kind, see `VerdictKind`; 0 if the condition is on a reading.
    function onTriad(
        uint64 registrationId,
        address owner,
        bytes32 stream,
        uint64 leafIndex,
        uint64 timeMs,
        int256 value,
        uint8 kind
    ) external;
}

/// @title The kinds of verdict.
library VerdictKind {
    uint8 internal constant NORMAL = 0;
    uint8 internal constant LOW = 1;
    uint8 internal constant HIGH = 2;
    /// @dev Outside too long.
    uint8 internal constant DURATION = 3;
    /// @dev The mean kinetic temperature is above its limit.
    uint8 internal constant MKT = 4;
    uint8 internal constant BACK_IN_RANGE = 5;
    uint8 internal constant SILENT = 6;
    uint8 internal constant RESUMED = 7;
    uint8 internal constant ANOMALY = 8;
    /// @dev Not newer than the stream's latest, so no model looked at it.
    uint8 internal constant LATE = 9;
    uint8 internal constant LEARNING = 10;
    /// @dev As forecast. Of this kind and the following ones the value is what is predicted, not what was read.
    uint8 internal constant FORECAST = 11;
    /// @dev The reading is outside the interval that was forecast for it.
    uint8 internal constant OFF_FORECAST = 12;
    /// @dev The forecast is below the model's lower limit.
    uint8 internal constant EXPECTED_LOW = 13;
    uint8 internal constant EXPECTED_HIGH = 14;
    /// @dev What is left of a life; the score is what is gone of it.
    uint8 internal constant REMAINING_LIFE = 15;
    /// @dev Value and score are the probability of a failure.
    uint8 internal constant FAILURE_RISK = 16;
    uint8 internal constant ESTIMATE = 17;
}

/// @title The precompiles of Triad.
/// @notice In block N they show N's readings, verdicts and log, complete: models ran and the verdict leaf was appended
/// before the first transaction.
library Triad {
    /// @dev All zero but `exists` if the stream has no number yet.
    struct Reading {
        bool exists;
        uint64 leaf;
        /// Index in the statement's pack.
        uint16 record;
        uint64 timeMs;
        /// × 10^9
        int256 value;
        uint64 height;
    }

    struct Verdict {
        bool exists;
        uint64 leaf;
        uint16 record;
        uint64 model;
        /// 0 consensus, 1 attested.
        uint8 class;
        uint8 kind;
        /// Parts per million.
        uint32 score;
        uint64 timeMs;
        uint64 height;
    }

    /// @dev What one model predicted last on a stream, and on which reading.
    struct Prediction {
        bool exists;
        uint64 leaf;
        uint16 record;
        /// 0 consensus, 1 attested.
        uint8 class;
        uint8 kind;
        /// Parts per million.
        uint32 score;
        uint64 timeMs;
        /// False: `value` is too large for a contract, and zero.
        bool fits;
        /// × 10^9
        int256 value;
        uint64 height;
    }

    struct LogHead {
        uint64 height;
        uint64 size;
        bytes32 root;
    }

    /// @notice A precompile did not answer: this is not a Triad chain, or the block asked for is unknown.
    error NoAnswer(address precompile);

    /// @notice keccak256(device ‖ name).
    function streamId(bytes20 device, string memory name) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(device, name));
    }

    function latestReading(bytes32 stream) internal view returns (Reading memory) {
        return abi.decode(_ask(Addresses.LATEST_READING, abi.encode(stream), 192), (Reading));
    }

    function latestVerdict(bytes32 stream) internal view returns (Verdict memory) {
        return abi.decode(_ask(Addresses.LATEST_VERDICT, abi.encode(stream), 288), (Verdict));
    }

    /// @notice The latest prediction of a forecast or an ensemble of trees that is, or was, bound to a stream.
    function latestPrediction(bytes32 stream, uint64 model) internal view returns (Prediction memory) {
        return abi.decode(_ask(Addresses.LATEST_PREDICTION, abi.encode(stream, model), 320), (Prediction));
    }

    /// @notice The log as it is after this block.
    function log() internal view returns (LogHead memory) {
        return abi.decode(_ask(Addresses.LOG, "", 96), (LogHead));
    }

    /// @notice The log as it was after block `height`.
    function logAt(uint64 height) internal view returns (LogHead memory head) {
        head = abi.decode(_ask(Addresses.LOG, abi.encode(height), 96), (LogHead));
        if (head.height != height) revert NoAnswer(Addresses.LOG);
    }

    /// @notice Ed25519 by the rules of ZIP-215, the ones that statements are verified by.
    function ed25519Verify(bytes32 key, bytes memory signature, bytes memory message)
        internal
        view
        returns (bool)
    {
        if (signature.length != 64) return false;
        bytes memory answer = _ask(Addresses.ED25519_VERIFY, abi.encodePacked(key, signature, message), 32);
        return abi.decode(answer, (uint256)) == 1;
    }

    function _ask(address precompile, bytes memory input, uint256 length)
        private
        view
        returns (bytes memory)
    {
        (bool success, bytes memory output) = precompile.staticcall(input);
        if (!success || output.length != length) revert NoAnswer(precompile);
        return output;
    }
}

/// @title A target that only believes firings.
abstract contract TriadTarget is ITriadTarget {
    /// @notice The sender is not the chain's firing caller.
    error NotAFiring(address sender);

    modifier onlyFiring() {
        if (msg.sender != Addresses.FIRING_CALLER) revert NotAFiring(msg.sender);
        _;
    }
}
