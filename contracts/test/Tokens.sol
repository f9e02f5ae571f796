// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {StorageAgreement} from "../src/StorageAgreement.sol";

abstract contract FreeToken is ERC20("", "") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @dev Refuses to pay some.
contract BlacklistToken is FreeToken {
    mapping(address => bool) private _refused;

    function refuse(address account) external {
        _refused[account] = true;
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(!_refused[to], "refused");
        super._update(from, to, amount);
    }
}

/// @dev Keeps one unit of each transfer.
contract FeeToken is FreeToken {
    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) return super._update(from, to, amount);
        super._update(from, to, amount - 1);
        super._update(from, address(1), 1);
    }
}

/// @dev Asks to be paid again while it pays.
contract ReentrantToken is FreeToken {
    StorageAgreement private immutable _agreements;
    uint256 private _id;
    address private _party;
    bool public tried;
    bool public succeeded;

    constructor(StorageAgreement agreements) {
        _agreements = agreements;
    }

    function arm(uint256 id, address party) external {
        _id = id;
        _party = party;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (_id == 0 || tried) return;
        tried = true;
        try _agreements.withdraw(_id, _party) {
            succeeded = true;
        } catch {}
    }
}
