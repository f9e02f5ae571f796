// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "triad/Addresses.sol";
import {Automations} from "triad/Automations.sol";
import {TriadTarget} from "triad/ITriad.sol";

/// @title Rings when a stream goes above a limit, in the very block of the reading.
/// @notice It registers itself: whoever sends `arm` pays the deposit for its firings.
contract Alarm is TriadTarget {
    address public immutable owner = msg.sender;
    uint64 public registration;
    uint64 public rings;

    event Rung(bytes32 indexed stream, uint64 leaf, uint64 timeMs, int256 value);

    error NotOurs();
    error AlreadyArmed();

    /// @param threshold × 10^9, in the stream's unit.
    function arm(bytes20 device, string calldata name, int256 threshold) external payable {
        if (msg.sender != owner) revert NotOurs();
        if (registration != 0) revert AlreadyArmed();
        Automations.Condition memory above = Automations.Condition({
            device: device, name: name, source: 0, op: 3, threshold: threshold, kinds: 0, minScore: 0
        });
        registration = Automations(Addresses.AUTOMATIONS).register{value: msg.value}(
            above, address(this), 100_000, 60_000
        );
    }

    /// @dev The two checks that every target needs: the caller, and the registration, since anybody may register
    /// anybody as a target.
    function onTriad(uint64 id, address, bytes32 stream, uint64 leaf, uint64 timeMs, int256 value, uint8)
        external
        onlyFiring
    {
        if (id != registration) revert NotOurs();
        ++rings;
        emit Rung(stream, leaf, timeMs, value);
    }
}
