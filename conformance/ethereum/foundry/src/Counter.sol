// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

contract Counter {
    uint256 public number;

    function add(uint256 n) external {
        number += n;
    }
}
