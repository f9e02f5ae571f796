// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "triad/Addresses.sol";
import {Automations} from "triad/Automations.sol";
import {Triad, TriadTarget} from "triad/ITriad.sol";

/// @title Orders maintenance when a model tells that little life is left, in the very block of the reading.
/// @notice Works with every model that predicts: the kinds and the least score say when, the prediction itself says how
/// much. The score of a remaining life is what is gone of it, that of a failure its probability.
contract Maintenance is TriadTarget {
    address public immutable owner = msg.sender;
    uint64 public registration;
    uint64 public model;
    uint64 public orders;
    /// @notice What was predicted when the last order was placed, × 10^9.
    int256 public predicted;

    event Ordered(bytes32 indexed stream, uint64 leaf, uint8 kind, int256 predicted);

    error NotOurs();
    error AlreadyWatching();

    /// @param kinds bit k: verdicts of kind k, see `VerdictKind`.
    /// @param minScore parts per million.
    function watch(bytes20 device, string calldata name, uint64 model_, uint32 kinds, uint32 minScore)
        external
        payable
    {
        if (msg.sender != owner) revert NotOurs();
        if (registration != 0) revert AlreadyWatching();
        Automations.Condition memory due = Automations.Condition({
            device: device, name: name, source: 1, op: 0, threshold: 0, kinds: kinds, minScore: minScore
        });
        model = model_;
        registration =
            Automations(Addresses.AUTOMATIONS).register{value: msg.value}(due, address(this), 150_000, 0);
    }

    function onTriad(uint64 id, address, bytes32 stream, uint64 leaf, uint64, int256, uint8)
        external
        onlyFiring
    {
        if (id != registration) revert NotOurs();
        // Another model on the stream may have called; what ours says is asked of the chain.
        Triad.Prediction memory p = Triad.latestPrediction(stream, model);
        if (!p.exists || p.leaf != leaf) return;
        ++orders;
        predicted = p.value;
        emit Ordered(stream, leaf, p.kind, p.value);
    }
}
