// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Triad} from "triad/ITriad.sol";

/// @title Pays for energy by a signed meter: so much a kWh, for what the meter counted since the last payment.
/// @notice The stream is the meter's total in kWh. Anybody calls `settle`; the contract reads the latest reading
/// itself, so the caller can say nothing wrong. The buyer approves the token up to what may be spent.
contract MeterSettlement {
    using SafeERC20 for IERC20;

    IERC20 public immutable token;
    address public immutable buyer;
    address public immutable seller;
    bytes32 public immutable stream;
    /// @notice In the token's smallest unit.
    uint256 public immutable pricePerKwh;

    /// @notice The reading paid up to, × 10^9 kWh.
    int256 public paidUpTo;
    /// @dev What rounding left unpaid, × 10^9 units of the token.
    uint256 private _remainder;

    event Paid(uint64 leaf, int256 energy, uint256 amount);

    error NoReading();
    error NothingNew(int256 reading, int256 paidUpTo);

    constructor(
        IERC20 token_,
        address buyer_,
        address seller_,
        bytes20 meter,
        string memory name,
        uint256 price
    ) {
        (token, buyer, seller, pricePerKwh) = (token_, buyer_, seller_, price);
        stream = Triad.streamId(meter, name);
        Triad.Reading memory first = Triad.latestReading(stream);
        if (!first.exists) revert NoReading();
        paidUpTo = first.value;
    }

    function settle() external returns (uint256 amount) {
        Triad.Reading memory reading = Triad.latestReading(stream);
        if (reading.value <= paidUpTo) revert NothingNew(reading.value, paidUpTo);
        int256 energy = reading.value - paidUpTo;
        uint256 owed = uint256(energy) * pricePerKwh + _remainder;
        amount = owed / 1e9;
        _remainder = owed % 1e9;
        paidUpTo = reading.value;
        emit Paid(reading.leaf, energy, amount);
        token.safeTransferFrom(buyer, seller, amount);
    }
}
