// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

library Prices {
    function doubled(uint256 price) external pure returns (uint256) {
        return 2 * price;
    }
}

contract Till {
    address public immutable owner;
    uint256 public takings;

    event Paid(address indexed by, uint256 amount);

    constructor(address owner_) payable {
        owner = owner_;
        takings = msg.value;
    }

    function pay() external payable {
        takings += msg.value;
        emit Paid(msg.sender, msg.value);
    }
}

contract Shop {
    Till public immutable till;
    uint256 public price;

    constructor(Till till_, uint256 price_) {
        till = till_;
        price = Prices.doubled(price_);
    }

    function buy() external payable {
        require(msg.value == price, "another price");
        till.pay{value: msg.value}();
    }
}
