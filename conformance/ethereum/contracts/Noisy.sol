// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Emits numbered logs, so that a subscriber can tell whether it missed one, and fails in every way there is.
contract Noisy {
    error Refused(uint256 why);

    event Noise(uint256 indexed number, address indexed from);

    uint256 public count;

    function make(uint256 times) external {
        for (uint256 i = 0; i < times; i++) {
            emit Noise(count++, msg.sender);
        }
    }

    function refuse() external pure {
        revert Refused(7);
    }

    function say() external pure {
        revert("no, because");
    }

    function panic(uint256 zero) external pure returns (uint256) {
        return 1 / zero;
    }
}
