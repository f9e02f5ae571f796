// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";
import {DeviceKeys} from "./DeviceKeys.sol";

/// @title Who may speak on this chain: devices, their keys, owners and states.
/// @notice The node follows the events of this contract; only statements of active devices enter a block. The id of a
/// device is fixed at its first registration and survives every change of key.
///
/// Registering proves possession of the device's key: a signature by it over `registrationChallenge`, which names the
/// owner, so nobody who sees the proof can register the device as theirs. Registrars (set at genesis) register any
/// device for any owner. If genesis opened the registry, anybody registers devices to themselves.
///
/// A suspension remembers who made it. Owner and registrars lift only their own, so an owner cannot undo a registrar's.
/// Revocation is for ever.
/// @dev A system contract: its code is in genesis, so there is no constructor and no immutable.
contract DeviceRegistry {
    /// @notice One device as `registerBatch` takes it; the fields are the arguments of `register`.
    struct Registration {
        uint8 algorithm;
        bytes coseKey;
        address owner;
        bytes32 metadata;
        bytes proof;
    }

    /// @dev One slot. `status` is zero for a device that was never registered.
    struct Device {
        address owner;
        uint32 epoch;
        uint16 speakers;
        uint8 algorithm;
        uint8 status;
        uint8 holds;
    }

    uint8 public constant ACTIVE = 1;
    uint8 public constant SUSPENDED = 2;
    uint8 public constant REVOKED = 3;

    /// @notice How many devices may speak for one origin.
    uint16 public constant MAX_SPEAKERS = 256;
    /// @notice The longest name of a stream, and the longest unit, in bytes.
    uint256 public constant MAX_TEXT_BYTES = 255;

    uint8 private constant HELD_BY_OWNER = 1;
    uint8 private constant HELD_BY_REGISTRAR = 2;

    mapping(bytes20 id => Device) private _devices;
    mapping(bytes20 id => bytes32) private _keyHashes;
    mapping(bytes20 origin => mapping(bytes20 signer => bool)) private _speakers;
    /// @notice Whether an account is a registrar.
    mapping(address account => bool) public isRegistrar;
    /// @notice How many devices were ever registered.
    uint64 public deviceCount;
    /// @notice Whether anybody may register devices to themselves.
    bool public open;
    bool private _initialized;

    event DeviceRegistered(
        bytes20 indexed id, address indexed owner, uint8 alg, bytes coseKey, bytes32 metadata
    );
    event KeyRotated(bytes20 indexed id, uint8 alg, bytes coseKey);
    event EpochRaised(bytes20 indexed id, uint32 epoch);
    /// @notice `status`: 1 active, 2 suspended, 3 revoked.
    event StatusChanged(bytes20 indexed id, uint8 status);
    event SpeakerChanged(bytes20 indexed origin, bytes20 indexed signer, bool allowed);
    event OwnerChanged(bytes20 indexed id, address indexed owner);
    event MetadataChanged(bytes20 indexed id, bytes32 metadata);
    event UnitChanged(bytes20 indexed id, bytes32 indexed stream, string unit);

    error OnlySystem();
    error AlreadyInitialized();
    error NotAllowedToRegister(address sender, address owner);
    error AlreadyRegistered(bytes20 id);
    error UnknownDevice(bytes20 id);
    error NotOwner(bytes20 id, address sender);
    error NotOwnerOrRegistrar(bytes20 id, address sender);
    error DeviceRevoked(bytes20 id);
    error ZeroOwner();
    /// @notice The signature over the challenge was not made with the key it came with.
    error WrongProof(bytes20 id);
    error EpochOnlyRises(bytes20 id, uint32 epoch, uint32 asked);
    error TooManySpeakers(bytes20 origin);
    error TextTooLong(uint256 length, uint256 limit);

    modifier onlyOwner(bytes20 id) {
        _requireOwner(id);
        _;
    }

    /// @notice Called once by the chain when it makes genesis.
    function initialize(address[] calldata registrars, bool open_) external {
        if (msg.sender != Addresses.SYSTEM_CALLER) revert OnlySystem();
        if (_initialized) revert AlreadyInitialized();
        _initialized = true;
        open = open_;
        for (uint256 i; i < registrars.length; ++i) {
            isRegistrar[registrars[i]] = true;
        }
    }

    // ------------------------------------------------------------------ registration

    /// @notice Registers a device with its first key.
    /// @param alg 1 EdDSA (Ed25519), 2 ES256 (P-256), 3 ES256K (secp256k1).
    /// @param coseKey the canonical COSE_Key, see `DeviceKeys`.
    /// @param metadata a hash of what the owner says about the device; the node keeps the text.
    /// @param proof 64 bytes: the key's signature over `registrationChallenge(owner, coseKey)`.
    function register(
        uint8 alg,
        bytes calldata coseKey,
        address owner,
        bytes32 metadata,
        bytes calldata proof
    ) external returns (bytes20 id) {
        _requireMayRegister(owner);
        id = _registerKeyed(alg, coseKey, owner, metadata, proof, false);
    }

    /// @notice Registers many. All or nothing, except that a device which its owner already has is passed over, so
    /// that an interrupted import can simply be run again.
    /// @return registered how many were new.
    function registerBatch(Registration[] calldata batch) external returns (uint256 registered) {
        uint64 before = deviceCount;
        for (uint256 i; i < batch.length; ++i) {
            Registration calldata item = batch[i];
            _requireMayRegister(item.owner);
            _registerKeyed(item.algorithm, item.coseKey, item.owner, item.metadata, item.proof, true);
        }
        registered = deviceCount - before;
    }

    /// @notice Registers a device that cannot sign. Others speak for it, see `setSpeaker`.
    /// @return id see `unsignedId`.
    function registerUnsigned(address owner, bytes32 salt, bytes32 metadata) external returns (bytes20 id) {
        _requireMayRegister(owner);
        id = unsignedId(owner, salt);
        if (_devices[id].status != 0) revert AlreadyRegistered(id);
        _create(id, owner, DeviceKeys.UNSIGNED);
        emit DeviceRegistered(id, owner, DeviceKeys.UNSIGNED, "", metadata);
    }

    // ------------------------------------------------------------------ by the owner

    /// @notice Replaces the key. The id, the owner and the speakers stay; the old key signs for nothing any more.
    /// @param proof the new key's signature over `rotationChallenge(id, coseKey)`.
    function rotate(bytes20 id, uint8 alg, bytes calldata coseKey, bytes calldata proof)
        external
        onlyOwner(id)
    {
        DeviceKeys.Key memory key = DeviceKeys.parse(alg, coseKey);
        if (!DeviceKeys.verify(key, rotationChallenge(id, coseKey), proof)) revert WrongProof(id);
        _devices[id].algorithm = alg;
        _keyHashes[id] = sha256(coseKey);
        emit KeyRotated(id, alg, coseKey);
    }

    /// @notice Starts a new epoch of sequence numbers, for a device that lost its counter.
    function raiseEpoch(bytes20 id, uint32 newEpoch) external onlyOwner(id) {
        Device storage device = _devices[id];
        if (newEpoch <= device.epoch) revert EpochOnlyRises(id, device.epoch, newEpoch);
        device.epoch = newEpoch;
        emit EpochRaised(id, newEpoch);
    }

    /// @notice Says whether the device `signer` may sign readings of `origin`.
    function setSpeaker(bytes20 origin, bytes20 signer, bool allowed) external onlyOwner(origin) {
        if (_speakers[origin][signer] == allowed) return;
        Device storage device = _devices[origin];
        if (allowed) {
            if (_devices[signer].status == 0) revert UnknownDevice(signer);
            if (device.speakers == MAX_SPEAKERS) revert TooManySpeakers(origin);
            device.speakers += 1;
        } else {
            device.speakers -= 1;
        }
        _speakers[origin][signer] = allowed;
        emit SpeakerChanged(origin, signer, allowed);
    }

    /// @notice Hands the device over. Its speakers stay: the new owner looks through them.
    function setOwner(bytes20 id, address owner) external onlyOwner(id) {
        if (owner == address(0)) revert ZeroOwner();
        _devices[id].owner = owner;
        emit OwnerChanged(id, owner);
    }

    function setMetadata(bytes20 id, bytes32 metadata) external onlyOwner(id) {
        emit MetadataChanged(id, metadata);
    }

    /// @notice Changes the unit of a stream, which its first reading fixed.
    /// @param name the resolved SenML name.
    function setUnit(bytes20 id, string calldata name, string calldata unit) external onlyOwner(id) {
        _requireShort(name);
        _requireShort(unit);
        emit UnitChanged(id, keccak256(abi.encodePacked(id, name)), unit);
    }

    // ------------------------------------------------------------------ by the owner or a registrar

    /// @notice Keeps the device's statements out until it is activated again.
    function suspend(bytes20 id) external {
        Device storage device = _requireLive(id);
        device.holds |= _holdOf(id, device);
        device.status = SUSPENDED;
        emit StatusChanged(id, SUSPENDED);
    }

    /// @notice Lifts the sender's own suspension. The event tells the state that results: still suspended if the
    /// other side suspended the device too.
    function activate(bytes20 id) external {
        Device storage device = _requireLive(id);
        uint8 lifted = _holdOf(id, device);
        if (isRegistrar[msg.sender]) lifted |= HELD_BY_REGISTRAR;
        device.holds &= ~lifted;
        device.status = device.holds == 0 ? ACTIVE : SUSPENDED;
        emit StatusChanged(id, device.status);
    }

    /// @notice Ends the device for ever.
    function revoke(bytes20 id) external {
        Device storage device = _requireLive(id);
        _holdOf(id, device);
        device.status = REVOKED;
        emit StatusChanged(id, REVOKED);
    }

    // ------------------------------------------------------------------ views

    /// @notice What the first key signs to register: it binds the chain, this contract, the owner and the key.
    function registrationChallenge(address owner, bytes calldata coseKey) public view returns (bytes32) {
        return keccak256(
            abi.encode(
                "Triad device registration v1", block.chainid, address(this), owner, keccak256(coseKey)
            )
        );
    }

    /// @notice What the new key of device `id` signs.
    function rotationChallenge(bytes20 id, bytes calldata coseKey) public view returns (bytes32) {
        return keccak256(
            abi.encode("Triad device rotation v1", block.chainid, address(this), id, keccak256(coseKey))
        );
    }

    /// @notice The id of the device without a key that `owner` registers with `salt`.
    function unsignedId(address owner, bytes32 salt) public pure returns (bytes20) {
        return bytes20(uint160(uint256(keccak256(abi.encode("unsigned", owner, salt)))));
    }

    function isActive(bytes20 id) external view returns (bool) {
        return _devices[id].status == ACTIVE;
    }

    /// @notice Zero for an unknown device.
    function ownerOf(bytes20 id) external view returns (address) {
        return _devices[id].owner;
    }

    /// @notice SHA-256 of the current COSE_Key, as statement leaves carry it; zero for a device without a key.
    function keyHash(bytes20 id) external view returns (bytes32) {
        return _keyHashes[id];
    }

    /// @notice 0 none, 1 EdDSA, 2 ES256, 3 ES256K.
    function algorithm(bytes20 id) external view returns (uint8) {
        return _devices[id].algorithm;
    }

    /// @notice 0 unknown, 1 active, 2 suspended, 3 revoked.
    function statusOf(bytes20 id) external view returns (uint8) {
        return _devices[id].status;
    }

    function epochOf(bytes20 id) external view returns (uint32) {
        return _devices[id].epoch;
    }

    /// @notice Whether `signer` may sign readings of `origin`, whatever the states of both.
    function speaks(bytes20 origin, bytes20 signer) external view returns (bool) {
        if (origin == signer) return _devices[origin].algorithm != DeviceKeys.UNSIGNED;
        return _speakers[origin][signer];
    }

    // ------------------------------------------------------------------ inside

    function _registerKeyed(
        uint8 alg,
        bytes calldata coseKey,
        address owner,
        bytes32 metadata,
        bytes calldata proof,
        bool passOver
    ) private returns (bytes20 id) {
        DeviceKeys.Key memory key = DeviceKeys.parse(alg, coseKey);
        id = DeviceKeys.idOf(key, coseKey);
        Device storage device = _devices[id];
        if (device.status != 0) {
            if (passOver && device.owner == owner) return id;
            revert AlreadyRegistered(id);
        }
        if (!DeviceKeys.verify(key, registrationChallenge(owner, coseKey), proof)) revert WrongProof(id);
        _create(id, owner, alg);
        _keyHashes[id] = sha256(coseKey);
        emit DeviceRegistered(id, owner, alg, coseKey, metadata);
    }

    function _create(bytes20 id, address owner, uint8 alg) private {
        if (owner == address(0)) revert ZeroOwner();
        _devices[id] = Device({owner: owner, epoch: 0, speakers: 0, algorithm: alg, status: ACTIVE, holds: 0});
        deviceCount += 1;
    }

    function _requireMayRegister(address owner) private view {
        if (isRegistrar[msg.sender] || (open && owner == msg.sender)) return;
        revert NotAllowedToRegister(msg.sender, owner);
    }

    function _requireOwner(bytes20 id) private view {
        if (_requireLive(id).owner != msg.sender) revert NotOwner(id, msg.sender);
    }

    function _requireLive(bytes20 id) private view returns (Device storage device) {
        device = _devices[id];
        if (device.status == 0) revert UnknownDevice(id);
        if (device.status == REVOKED) revert DeviceRevoked(id);
    }

    /// @dev In which of the two roles the sender acts; the owner's comes first.
    function _holdOf(bytes20 id, Device storage device) private view returns (uint8) {
        if (device.owner == msg.sender) return HELD_BY_OWNER;
        if (isRegistrar[msg.sender]) return HELD_BY_REGISTRAR;
        revert NotOwnerOrRegistrar(id, msg.sender);
    }

    function _requireShort(string calldata text) private pure {
        if (bytes(text).length > MAX_TEXT_BYTES) revert TextTooLong(bytes(text).length, MAX_TEXT_BYTES);
    }
}
