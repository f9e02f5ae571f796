// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.35;

import {Addresses} from "./Addresses.sol";
import {DeviceRegistry} from "./DeviceRegistry.sol";

/// @title Which models judge which streams.
/// @notice The owner of a device binds models to its streams. The node follows the events; a model judges from the
/// block after its binding on. Ids count up from 1000; smaller ones are the defaults of genesis, unknown here.
///
/// Whoever binds models decides what counts as an excursion, so a contract with money in it must know that this will
/// not change: the owner can *freeze* a stream, after which its set of models stays as it is until the given time.
/// @dev A system contract: its code is in genesis, so there is no constructor and no immutable.
contract ModelRegistry {
    struct Model {
        bytes32 stream;
        bytes32 contentHash;
        bytes32 kindHash;
        bytes20 device;
    }

    /// @notice The first id given here.
    uint64 public constant FIRST_ID = 1000;
    /// @notice How many models may judge one stream.
    uint256 public constant MAX_PER_STREAM = 8;
    /// @notice The longest stream name and the longest kind, in bytes.
    uint256 public constant MAX_TEXT_BYTES = 255;
    /// @notice The longest parameters, in bytes.
    uint256 public constant MAX_PARAMS_BYTES = 4096;
    /// @notice The farthest that a freeze may reach into the future.
    uint64 public constant MAX_FREEZE_MS = 10 * 365 days * 1000;

    mapping(uint64 id => Model) private _models;
    mapping(bytes32 stream => uint64[]) private _ofStream;
    mapping(bytes32 stream => uint64) private _frozenUntil;
    uint64 private _count;

    event ModelBound(
        uint64 indexed modelId,
        bytes32 indexed stream,
        bytes20 indexed device,
        string name,
        string kind,
        bytes params,
        bytes32 contentHash
    );
    event ModelUnbound(uint64 indexed modelId, bytes32 indexed stream);
    /// @notice Until `untilMs`, milliseconds since 1970, no model is bound to the stream and none unbound.
    event StreamFrozen(bytes32 indexed stream, bytes20 indexed device, string name, uint64 untilMs);

    error NotOwner(bytes20 device, address sender);
    error UnknownModel(uint64 modelId);
    error TooManyModels(bytes32 stream);
    error Frozen(bytes32 stream, uint64 untilMs);
    error FreezeOnlyRises(uint64 untilMs, uint64 asked);
    error FreezeTooFar(uint64 asked, uint64 limit);
    error EmptyText();
    error TooLong(uint256 length, uint256 limit);

    /// @notice Binds a model to the stream `name` of `device`.
    /// @param kind the kind of model, such as "range", "silence" or "anomaly".
    /// @param params the model's parameters in deterministic CBOR.
    function bind(bytes20 device, string calldata name, string calldata kind, bytes calldata params)
        external
        returns (uint64 modelId)
    {
        _requireOwner(device);
        _requireText(name);
        _requireText(kind);
        if (params.length > MAX_PARAMS_BYTES) revert TooLong(params.length, MAX_PARAMS_BYTES);
        bytes32 stream = streamId(device, name);
        _requireThawed(stream);
        uint64[] storage bound = _ofStream[stream];
        if (bound.length == MAX_PER_STREAM) revert TooManyModels(stream);

        modelId = FIRST_ID + _count++;
        bytes32 hash = contentHash(kind, params);
        bound.push(modelId);
        _models[modelId] = Model(stream, hash, keccak256(bytes(kind)), device);
        emit ModelBound(modelId, stream, device, name, kind, params, hash);
    }

    /// @notice Ends a binding. Ids are never given again.
    function unbind(uint64 modelId) external {
        Model storage model = _models[modelId];
        bytes32 stream = model.stream;
        if (stream == 0) revert UnknownModel(modelId);
        _requireOwner(model.device);
        _requireThawed(stream);
        delete _models[modelId];
        uint64[] storage bound = _ofStream[stream];
        for (uint256 i; i < bound.length; ++i) {
            if (bound[i] != modelId) continue;
            bound[i] = bound[bound.length - 1];
            bound.pop();
            break;
        }
        emit ModelUnbound(modelId, stream);
    }

    /// @notice Keeps the set of models of a stream as it is until `untilMs` (block time). A freeze cannot be lifted
    /// or shortened.
    function freeze(bytes20 device, string calldata name, uint64 untilMs) external {
        _requireOwner(device);
        _requireText(name);
        bytes32 stream = streamId(device, name);
        if (untilMs <= _frozenUntil[stream]) revert FreezeOnlyRises(_frozenUntil[stream], untilMs);
        uint64 limit = uint64(block.timestamp) * 1000 + MAX_FREEZE_MS;
        if (untilMs > limit) revert FreezeTooFar(untilMs, limit);
        _frozenUntil[stream] = untilMs;
        emit StreamFrozen(stream, device, name, untilMs);
    }

    /// @notice keccak256(device ‖ name).
    function streamId(bytes20 device, string calldata name) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(device, name));
    }

    /// @notice What a model is, in 32 bytes: SHA-256 of kind ‖ 0x00 ‖ params.
    function contentHash(string calldata kind, bytes calldata params) public pure returns (bytes32) {
        return sha256(abi.encodePacked(kind, bytes1(0), params));
    }

    /// @notice All zero for a model that is not bound now.
    function modelOf(uint64 modelId) external view returns (Model memory) {
        return _models[modelId];
    }

    /// @notice The models bound to a stream now.
    function modelsOf(bytes32 stream) external view returns (uint64[] memory) {
        return _ofStream[stream];
    }

    /// @notice Zero for a stream that was never frozen.
    function frozenUntil(bytes32 stream) external view returns (uint64 untilMs) {
        return _frozenUntil[stream];
    }

    function _requireOwner(bytes20 device) private view {
        if (DeviceRegistry(Addresses.DEVICE_REGISTRY).ownerOf(device) != msg.sender) {
            revert NotOwner(device, msg.sender);
        }
    }

    function _requireThawed(bytes32 stream) private view {
        uint64 untilMs = _frozenUntil[stream];
        if (block.timestamp * 1000 < untilMs) revert Frozen(stream, untilMs);
    }

    function _requireText(string calldata text) private pure {
        if (bytes(text).length == 0) revert EmptyText();
        if (bytes(text).length > MAX_TEXT_BYTES) revert TooLong(bytes(text).length, MAX_TEXT_BYTES);
    }
}
