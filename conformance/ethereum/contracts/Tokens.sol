// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC1155} from "@openzeppelin/contracts/token/ERC1155/ERC1155.sol";

// The usual three kinds of token; whoever deploys one owns what there is.

contract Coin is ERC20, ERC20Permit {
    constructor() ERC20("Coin", "COIN") ERC20Permit("Coin") {
        _mint(msg.sender, 1_000_000 ether);
    }
}

contract Deed is ERC721 {
    constructor() ERC721("Deed", "DEED") {
        _mint(msg.sender, 1);
        _mint(msg.sender, 2);
    }
}

contract Items is ERC1155 {
    constructor() ERC1155("ipfs://items/{id}") {
        _mint(msg.sender, 1, 100, "");
        _mint(msg.sender, 2, 200, "");
    }
}
