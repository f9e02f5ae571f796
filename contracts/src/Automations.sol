// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";
import {DeviceRegistry} from "./DeviceRegistry.sol";

/// @title Contracts called when a reading or a verdict makes a condition true.
/// @notice A registration names a stream, a condition, a target and a prepaid balance. When the condition *becomes*
/// true, the node calls `ITriadTarget.onTriad` on the target in the same block, from `Addresses.FIRING_CALLER`.
///
/// Money. Before a firing the node debits gas limit × base fee; after it, it refunds what was not used. Evaluation is
/// debited too. All of it goes into `collected`, which `sweep` sends to the fee recipient. A balance leaves only in
/// two steps: `cancel` marks the registration closing, and in the next block the node closes it, which credits the
/// rest to the owner, who then withdraws it. So nothing a target does during its own call can take back the gas that
/// the call is using. What was debited in a block can be swept only in a later one, because until then it may have to
/// be refunded.
///
///     balance of this contract >= sum of balances of registrations + sum of credits + collected
///
/// A firing is only a prompt: it may come late, or never if the balance runs out.
/// @dev A system contract: its code is in genesis, so there is no constructor and no immutable.
contract Automations {
    struct Condition {
        bytes20 device;
        /// The resolved SenML name of the stream.
        string name;
        /// 0 reading, 1 verdict.
        uint8 source;
        /// Readings only: 0 any, 1 <, 2 <=, 3 >, 4 >=, compares the value with `threshold`.
        uint8 op;
        /// Readings only: in 10^-9 of the stream's unit.
        int256 threshold;
        /// Verdicts only: bit k admits verdict kind k.
        uint256 kinds;
        /// Verdicts only: the smallest score, in parts per million.
        uint32 minScore;
    }

    /// @notice A registration as it is stored.
    struct Registration {
        address owner;
        uint32 gasLimit;
        uint32 kinds;
        uint8 source;
        uint8 op;
        /// 0 none, 1 active, 2 closing, 3 closed.
        uint8 status;
        // next slot
        address target;
        uint64 cooldownMs;
        uint32 minScore;
        // next slot
        bytes20 device;
        uint96 balance;
        // next slots
        bytes32 stream;
        int256 threshold;
    }

    /// @dev One slot. `fresh` is the part of `total` that was debited in block `freshBlock`.
    struct Collected {
        uint96 total;
        uint96 fresh;
        uint64 freshBlock;
    }

    uint8 public constant ACTIVE = 1;
    uint8 public constant CLOSING = 2;
    uint8 public constant CLOSED = 3;

    /// @notice How many registrations one owner may have on one stream.
    uint256 public constant MAX_PER_OWNER_AND_STREAM = 8;
    /// @notice How many registrations all owners together may have on one stream.
    uint256 public constant MAX_PER_STREAM = 256;
    uint64 public constant MIN_GAS_LIMIT = 30_000;
    uint64 public constant MAX_GAS_LIMIT = 2_000_000;
    /// @notice A new registration pays for at least this many firings at the base fee of its block.
    uint256 public constant MIN_FIRINGS = 4;
    uint64 public constant MAX_COOLDOWN_MS = 366 days * 1000;
    /// @notice The longest stream name, in bytes.
    uint256 public constant MAX_NAME_BYTES = 255;

    mapping(uint64 id => Registration) private _registrations;
    mapping(bytes32 stream => mapping(address owner => uint256)) private _countOfOwner;
    mapping(bytes32 stream => uint256) private _count;
    /// @notice What an account may withdraw.
    mapping(address account => uint256) public credits;
    Collected private _collected;
    /// @notice The smallest deposit of a new registration, in wei, whatever its gas limit.
    uint256 public minDeposit;
    /// @notice Who receives what was collected.
    address public feeRecipient;
    uint64 private _lastId;
    bool private _initialized;

    event Registered(
        uint64 indexed id,
        address indexed owner,
        bytes32 indexed stream,
        uint8 source,
        uint8 op,
        int256 threshold,
        uint256 kinds,
        uint32 minScore,
        address target,
        uint64 gasLimit,
        uint64 cooldownMs,
        uint256 balance
    );
    event ToppedUp(uint64 indexed id, uint256 balance);
    event Closing(uint64 indexed id);
    event Withdrawn(address indexed account, uint256 amount);
    event Swept(address indexed feeRecipient, uint256 amount);

    error OnlySystem();
    error AlreadyInitialized();
    error UnknownDevice(bytes20 device);
    error BadName(uint256 length);
    error BadCondition();
    error BadTarget();
    error BadGasLimit(uint64 gasLimit, uint64 min, uint64 max);
    error BadCooldown(uint64 cooldownMs, uint64 max);
    error DepositTooSmall(uint256 deposit, uint256 min);
    error DepositTooLarge();
    error TooManyRegistrations(bytes32 stream);
    error NotActive(uint64 id);
    error NotAllowed(uint64 id, address sender);
    error NothingToWithdraw();
    error TransferFailed();

    modifier onlySystem() {
        if (msg.sender != Addresses.SYSTEM_CALLER) revert OnlySystem();
        _;
    }

    /// @notice Called once by the chain when it makes genesis.
    function initialize(address feeRecipient_, uint256 minDeposit_) external onlySystem {
        if (_initialized) revert AlreadyInitialized();
        _initialized = true;
        feeRecipient = feeRecipient_;
        minDeposit = minDeposit_;
    }

    // ------------------------------------------------------------------ by anybody

    /// @notice Registers `target` for a condition; the value sent becomes the balance.
    /// @param gasLimit the gas that a firing may use.
    /// @param cooldownMs the least time between two firings, by block time.
    function register(Condition calldata c, address target, uint64 gasLimit, uint64 cooldownMs)
        external
        payable
        returns (uint64 id)
    {
        _requireSound(c, target, gasLimit, cooldownMs);
        bytes32 stream = keccak256(abi.encodePacked(c.device, c.name));
        uint256 count = ++_countOfOwner[stream][msg.sender];
        if (count > MAX_PER_OWNER_AND_STREAM || ++_count[stream] > MAX_PER_STREAM) {
            revert TooManyRegistrations(stream);
        }

        id = ++_lastId;
        Registration storage r = _registrations[id];
        r.owner = msg.sender;
        r.gasLimit = uint32(gasLimit);
        r.kinds = uint32(c.kinds);
        r.source = c.source;
        r.op = c.op;
        r.status = ACTIVE;
        r.target = target;
        r.cooldownMs = cooldownMs;
        r.minScore = c.minScore;
        r.device = c.device;
        r.balance = uint96(msg.value);
        r.stream = stream;
        if (c.threshold != 0) r.threshold = c.threshold;
        emit Registered(
            id,
            msg.sender,
            stream,
            c.source,
            c.op,
            c.threshold,
            c.kinds,
            c.minScore,
            target,
            gasLimit,
            cooldownMs,
            msg.value
        );
    }

    /// @notice Adds the value sent to the balance of a registration.
    function topUp(uint64 id) external payable {
        Registration storage r = _requireActive(id);
        uint256 balance = r.balance + msg.value;
        if (balance > type(uint96).max) revert DepositTooLarge();
        r.balance = uint96(balance);
        emit ToppedUp(id, balance);
    }

    /// @notice Ends a registration: by its owner, or by the owner of the device whose stream it watches. What is left
    /// of the balance can be withdrawn from the next block on.
    function cancel(uint64 id) external {
        Registration storage r = _requireActive(id);
        if (msg.sender != r.owner && msg.sender != _ownerOf(r.device)) revert NotAllowed(id, msg.sender);
        r.status = CLOSING;
        emit Closing(id);
    }

    /// @notice Sends the sender what closed registrations left.
    function withdraw() external {
        uint256 amount = credits[msg.sender];
        if (amount == 0) revert NothingToWithdraw();
        credits[msg.sender] = 0;
        emit Withdrawn(msg.sender, amount);
        _send(msg.sender, amount);
    }

    /// @notice Sends the fee recipient what was collected in earlier blocks.
    function sweep() external {
        uint256 amount = sweepable();
        if (amount == 0) revert NothingToWithdraw();
        _collected.total -= uint96(amount);
        emit Swept(feeRecipient, amount);
        _send(feeRecipient, amount);
    }

    // ------------------------------------------------------------------ by the chain itself; none of these emits

    /// @notice Takes `amount` from a balance, if it is active and holds that much.
    /// @return ok whether it was taken; @return balance what is left.
    function debit(uint64 id, uint256 amount) external onlySystem returns (bool ok, uint256 balance) {
        Registration storage r = _registrations[id];
        balance = r.balance;
        if (r.status != ACTIVE || amount > balance) return (false, balance);
        balance -= amount;
        r.balance = uint96(balance);
        _collect(uint96(amount));
        return (true, balance);
    }

    /// @notice Gives back a part of what was debited in this block. A registration that began to close meanwhile gets
    /// it too; of one that is closed, the owner gets it.
    function refund(uint64 id, uint256 amount) external onlySystem returns (uint256 balance) {
        Collected storage c = _collected;
        uint96 fresh = c.freshBlock == block.number ? c.fresh : 0;
        // The chain refunds at most what it debited in this very block.
        assert(amount <= fresh);
        c.total -= uint96(amount);
        c.fresh = fresh - uint96(amount);
        Registration storage r = _registrations[id];
        assert(r.status != 0);
        if (r.status == CLOSED) {
            credits[r.owner] += amount;
            return 0;
        }
        balance = r.balance + amount;
        r.balance = uint96(balance);
    }

    /// @notice Ends a registration for good: `owed`, or all there is if that is less, is collected, the rest credited
    /// to the owner. Does nothing if it is closed already.
    function close(uint64 id, uint256 owed) external onlySystem {
        Registration storage r = _registrations[id];
        if (r.status == 0 || r.status == CLOSED) return;
        uint96 balance = r.balance;
        uint96 taken = owed < balance ? uint96(owed) : balance;
        r.status = CLOSED;
        r.balance = 0;
        --_countOfOwner[r.stream][r.owner];
        --_count[r.stream];
        _collect(taken);
        credits[r.owner] += balance - taken;
    }

    // ------------------------------------------------------------------ views

    /// @notice All zero for an id that was never given.
    function registrationOf(uint64 id) external view returns (Registration memory) {
        return _registrations[id];
    }

    /// @notice How many registrations watch a stream, of one owner and of all.
    function countOf(bytes32 stream, address owner) external view returns (uint256 ofOwner, uint256 ofAll) {
        return (_countOfOwner[stream][owner], _count[stream]);
    }

    /// @notice Fees earned and not swept yet.
    function collected() external view returns (uint256) {
        return _collected.total;
    }

    /// @notice The part of `collected` that no refund can touch any more.
    function sweepable() public view returns (uint256) {
        Collected storage c = _collected;
        return c.freshBlock == block.number ? c.total - c.fresh : c.total;
    }

    /// @notice The smallest deposit for a gas limit at the base fee of this block.
    function minDepositFor(uint64 gasLimit) public view returns (uint256) {
        uint256 firings = uint256(gasLimit) * block.basefee * MIN_FIRINGS;
        return firings > minDeposit ? firings : minDeposit;
    }

    // ------------------------------------------------------------------ inside

    function _collect(uint96 amount) private {
        Collected storage c = _collected;
        c.fresh = c.freshBlock == block.number ? c.fresh + amount : amount;
        c.freshBlock = uint64(block.number);
        c.total += amount;
    }

    function _requireSound(Condition calldata c, address target, uint64 gasLimit, uint64 cooldownMs)
        private
        view
    {
        if (_ownerOf(c.device) == address(0)) revert UnknownDevice(c.device);
        uint256 length = bytes(c.name).length;
        if (length == 0 || length > MAX_NAME_BYTES) revert BadName(length);
        if (c.op > 4 || c.source > 1) revert BadCondition();
        bool sound = c.source == 1
            ? c.kinds != 0 && c.kinds <= type(uint32).max && c.minScore <= 1_000_000 && c.op == 0
                && c.threshold == 0
            : c.kinds == 0 && c.minScore == 0;
        if (!sound) revert BadCondition();
        if (target == address(0)) revert BadTarget();
        if (gasLimit < MIN_GAS_LIMIT || gasLimit > MAX_GAS_LIMIT) {
            revert BadGasLimit(gasLimit, MIN_GAS_LIMIT, MAX_GAS_LIMIT);
        }
        if (cooldownMs > MAX_COOLDOWN_MS) revert BadCooldown(cooldownMs, MAX_COOLDOWN_MS);
        uint256 min = minDepositFor(gasLimit);
        if (msg.value < min) revert DepositTooSmall(msg.value, min);
        if (msg.value > type(uint96).max) revert DepositTooLarge();
    }

    function _requireActive(uint64 id) private view returns (Registration storage r) {
        r = _registrations[id];
        if (r.status != ACTIVE) revert NotActive(id);
    }

    function _ownerOf(bytes20 device) private view returns (address) {
        return DeviceRegistry(Addresses.DEVICE_REGISTRY).ownerOf(device);
    }

    function _send(address to, uint256 amount) private {
        (bool success,) = to.call{value: amount}("");
        if (!success) revert TransferFailed();
    }
}
