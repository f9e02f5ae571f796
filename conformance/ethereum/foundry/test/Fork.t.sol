// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Counter} from "../src/Counter.sol";

interface Cheats {
    function envAddress(string calldata name) external view returns (address);
}

interface Coin {
    function balanceOf(address) external view returns (uint256);
    function transfer(address, uint256) external returns (bool);
    function name() external view returns (string memory);
}

/// Runs on a fork of the node: reads what is there, and changes only the fork.
contract ForkTest {
    Cheats constant CHEATS = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public IS_TEST = true;

    function test_it_reads_a_contract_of_the_chain() external view {
        Coin coin = Coin(CHEATS.envAddress("COIN"));
        require(keccak256(bytes(coin.name())) == keccak256("Coin"), "another name");
        require(coin.balanceOf(CHEATS.envAddress("HOLDER")) > 0, "no balance");
        require(block.number > 0 && block.basefee > 0, "no block");
    }

    function test_it_deploys_on_the_fork() external {
        Counter counter = new Counter();
        counter.add(2);
        require(counter.number() == 2, "the counter does not count");
    }
}
