// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Counter} from "../src/Counter.sol";

interface Cheats {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Deploys a counter, once plainly and once at an address that its code decides, and counts.
contract Deploy {
    Cheats constant CHEATS = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
    // forge takes this for a script.
    bool public IS_SCRIPT = true;

    function run() external {
        CHEATS.startBroadcast();
        Counter counter = new Counter();
        counter.add(41);
        counter.add(1);
        Counter fixedPlace = new Counter{salt: bytes32(uint256(7))}();
        fixedPlace.add(7);
        CHEATS.stopBroadcast();
        require(counter.number() == 42, "the counter does not count");
    }
}
