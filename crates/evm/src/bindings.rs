//! The system contracts as the node sees them: their events, which it follows, and the functions that it calls.
//!
//! The Solidity sources lie in `contracts/src`; a test holds these declarations against the compiled ABI.

// What `sol!` generates.
#![allow(missing_debug_implementations, clippy::too_many_arguments)]

use alloy_primitives::{Address, Bytes};
use alloy_sol_types::sol;

sol! {
    /// The registry of devices.
    #[derive(Debug, PartialEq, Eq)]
    interface IDeviceRegistry {
        event DeviceRegistered(bytes20 indexed id, address indexed owner, uint8 alg, bytes coseKey, bytes32 metadata);
        event KeyRotated(bytes20 indexed id, uint8 alg, bytes coseKey);
        event EpochRaised(bytes20 indexed id, uint32 epoch);
        event StatusChanged(bytes20 indexed id, uint8 status);
        event SpeakerChanged(bytes20 indexed origin, bytes20 indexed signer, bool allowed);
        event OwnerChanged(bytes20 indexed id, address indexed owner);
        event MetadataChanged(bytes20 indexed id, bytes32 metadata);
        event UnitChanged(bytes20 indexed id, bytes32 indexed stream, string unit);

        function initialize(address[] registrars) external;
    }

    /// The registry of model bindings.
    #[derive(Debug, PartialEq, Eq)]
    interface IModelRegistry {
        event ModelBound(uint64 indexed modelId, bytes32 indexed stream, bytes20 indexed device, string name, string kind, bytes params, bytes32 contentHash);
        event ModelUnbound(uint64 indexed modelId, bytes32 indexed stream);

        function bind(bytes20 device, string name, string kind, bytes params) external returns (uint64 modelId);
        function unbind(uint64 modelId) external;
    }

    /// The registry of automations.
    #[derive(Debug, PartialEq, Eq)]
    interface IAutomations {
        struct Condition {
            bytes20 device;
            string name;
            uint8 source;
            uint8 op;
            int256 threshold;
            uint256 kinds;
            uint32 minScore;
        }

        event Registered(uint64 indexed id, address indexed owner, bytes32 indexed stream, uint8 source, uint8 op, int256 threshold, uint256 kinds, uint32 minScore, address target, uint64 gasLimit, uint64 cooldownMs, uint256 balance);
        event ToppedUp(uint64 indexed id, uint256 balance);
        event Closing(uint64 indexed id);

        function register(Condition c, address target, uint64 gasLimit, uint64 cooldownMs) external payable returns (uint64 id);
        function topUp(uint64 id) external payable;
        function cancel(uint64 id) external;
        function withdraw() external;

        function debit(uint64 id, uint256 amount) external returns (bool ok, uint256 balance);
        function refund(uint64 id, uint256 amount) external returns (uint256 balance);
        function close(uint64 id, uint256 owed) external;
    }

    /// What an automation calls.
    #[derive(Debug, PartialEq, Eq)]
    interface ITriadTarget {
        function onTriad(uint64 registrationId, address owner, bytes32 stream, uint64 leafIndex, uint64 timeMs, int256 value, uint8 kind) external;
    }
}

/// The system contracts of a new chain: where they stand and their deployed code.
pub fn system_contracts() -> Vec<(Address, Bytes)> {
    Vec::new()
}
