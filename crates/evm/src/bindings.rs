//! The system contracts as the node and its tools see them: their events, which the node follows, the functions that
//! only it may call, and those that owners call.
//!
//! The Solidity sources lie in `contracts/src`, their compiled artifacts in `contracts/artifacts`; a test holds these
//! declarations against the artifacts.

// What `sol!` generates.
#![allow(missing_debug_implementations, clippy::too_many_arguments)]

use crate::env::{AUTOMATIONS, DEVICE_REGISTRY, MODEL_REGISTRY};
use alloy_primitives::{Address, Bytes, hex};
use alloy_sol_types::sol;

sol! {
    /// The registry of devices.
    #[derive(Debug, PartialEq, Eq)]
    interface IDeviceRegistry {
        struct Registration {
            uint8 alg;
            bytes coseKey;
            address owner;
            bytes32 metadata;
            bytes proof;
        }

        event DeviceRegistered(bytes20 indexed id, address indexed owner, uint8 alg, bytes coseKey, bytes32 metadata);
        event KeyRotated(bytes20 indexed id, uint8 alg, bytes coseKey);
        event EpochRaised(bytes20 indexed id, uint32 epoch);
        event StatusChanged(bytes20 indexed id, uint8 status);
        event SpeakerChanged(bytes20 indexed origin, bytes20 indexed signer, bool allowed);
        event OwnerChanged(bytes20 indexed id, address indexed owner);
        event MetadataChanged(bytes20 indexed id, bytes32 metadata);
        event UnitChanged(bytes20 indexed id, bytes32 indexed stream, string unit);

        function initialize(address[] registrars, bool open_) external;

        function register(uint8 alg, bytes coseKey, address owner, bytes32 metadata, bytes proof) external returns (bytes20 id);
        function registerBatch(Registration[] batch) external returns (uint256 registered);
        function registerUnsigned(address owner, bytes32 salt, bytes32 metadata) external returns (bytes20 id);
        function registrationChallenge(address owner, bytes coseKey) external view returns (bytes32);
        function rotate(bytes20 id, uint8 alg, bytes coseKey, bytes proof) external;
        function rotationChallenge(bytes20 id, bytes coseKey) external view returns (bytes32);
        function raiseEpoch(bytes20 id, uint32 newEpoch) external;
        function suspend(bytes20 id) external;
        function activate(bytes20 id) external;
        function revoke(bytes20 id) external;
        function setSpeaker(bytes20 origin, bytes20 signer, bool allowed) external;
        function setOwner(bytes20 id, address owner) external;
        function setMetadata(bytes20 id, bytes32 metadata) external;
        function setUnit(bytes20 id, string name, string unit) external;

        function ownerOf(bytes20 id) external view returns (address);
        function statusOf(bytes20 id) external view returns (uint8);
        function epochOf(bytes20 id) external view returns (uint32);
        function isRegistrar(address account) external view returns (bool);
        function unsignedId(address owner, bytes32 salt) external view returns (bytes20);
        function speaks(bytes20 origin, bytes20 signer) external view returns (bool);
        function deviceCount() external view returns (uint64);
    }

    /// The registry of model bindings.
    #[derive(Debug, PartialEq, Eq)]
    interface IModelRegistry {
        event ModelBound(uint64 indexed modelId, bytes32 indexed stream, bytes20 indexed device, string name, string kind, bytes params, bytes32 contentHash);
        event ModelUnbound(uint64 indexed modelId, bytes32 indexed stream);
        event StreamFrozen(bytes32 indexed stream, bytes20 indexed device, string name, uint64 untilMs);

        function bind(bytes20 device, string name, string kind, bytes params) external returns (uint64 modelId);
        function unbind(uint64 modelId) external;
        function freeze(bytes20 device, string name, uint64 untilMs) external;
        function frozenUntil(bytes32 stream) external view returns (uint64 untilMs);
        function modelsOf(bytes32 stream) external view returns (uint64[]);
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
        event Swept(address indexed feeRecipient, uint256 amount);
        event Withdrawn(address indexed account, uint256 amount);

        function initialize(address feeRecipient_, uint256 minDeposit_) external;
        function debit(uint64 id, uint256 amount) external returns (bool ok, uint256 balance);
        function refund(uint64 id, uint256 amount) external returns (uint256 balance);
        function close(uint64 id, uint256 owed) external;

        function register(Condition c, address target, uint64 gasLimit, uint64 cooldownMs) external payable returns (uint64 id);
        function topUp(uint64 id) external payable;
        function cancel(uint64 id) external;
        function withdraw() external;
        function sweep() external;

        function minDepositFor(uint64 gasLimit) external view returns (uint256);
        function credits(address account) external view returns (uint256);
        function collected() external view returns (uint256);
    }

    /// The validators and how they change.
    #[derive(Debug, PartialEq, Eq)]
    interface IValidatorSet {
        struct Validator {
            bytes32 consensusKey;
            address checkpointAddress;
            address feeRecipient;
            string name;
            string network;
        }

        struct Approval {
            bytes32 consensusKey;
            bytes signature;
        }

        struct Rule {
            string name;
            uint64 height;
        }

        struct Vote {
            uint64 parentView;
            bytes32 digest;
            bytes signature;
        }

        event ValidatorAdded(uint64 indexed nonce, bytes32 indexed consensusKey, address checkpointAddress, address feeRecipient, string name, string network);
        event ValidatorRemoved(uint64 indexed nonce, bytes32 indexed consensusKey);
        event EpochEnds(uint64 indexed epoch, uint64 lastBlock);
        event RuleScheduled(uint64 indexed nonce, string rule, uint64 height);
        event ValidatorFault(bytes32 indexed consensusKey, uint64 epoch, uint64 view_, uint8 kind);

        function initialize(Validator[] validators_, bytes32 genesisHash_) external;

        function add(Validator v, bytes consensusProof, bytes checkpointProof, Approval[] approvals) external;
        function remove(bytes32 consensusKey, Approval[] approvals) external;
        function replace(bytes32 consensusKey, Validator v, bytes consensusProof, bytes checkpointProof, Approval[] approvals) external;
        function scheduleRule(string rule, uint64 height, Approval[] approvals) external;
        function submitFault(bytes32 consensusKey, uint8 kind, uint64 epoch_, uint64 view_, Vote first, Vote second) external;

        function addChallenge(Validator v) external view returns (bytes32);
        function removeChallenge(bytes32 consensusKey) external view returns (bytes32);
        function replaceChallenge(bytes32 consensusKey, Validator v) external view returns (bytes32);
        function ruleChallenge(string rule, uint64 height) external view returns (bytes32);

        function validators() external view returns (Validator[]);
        function nextValidators() external view returns (Validator[]);
        function epoch() external view returns (uint64);
        function lastBlock() external view returns (uint64);
        function nonce() external view returns (uint64);
        function quorum() external view returns (uint256);
        function rules() external view returns (Rule[]);
        function faults(bytes32 consensusKey) external view returns (uint64);
        function genesisHash() external view returns (bytes32);
    }

    /// What an automation calls.
    #[derive(Debug, PartialEq, Eq)]
    interface ITriadTarget {
        function onTriad(uint64 registrationId, address owner, bytes32 stream, uint64 leafIndex, uint64 timeMs, int256 value, uint8 kind) external;
    }
}

const ARTIFACTS: [(Address, &str); 3] = [
    (DEVICE_REGISTRY, include_str!("../../../contracts/artifacts/DeviceRegistry.json")),
    (MODEL_REGISTRY, include_str!("../../../contracts/artifacts/ModelRegistry.json")),
    (AUTOMATIONS, include_str!("../../../contracts/artifacts/Automations.json")),
];

const VALIDATOR_SET_ARTIFACT: &str = include_str!("../../../contracts/artifacts/ValidatorSet.json");

/// The system contracts of a new chain: where they stand and their deployed code.
pub fn system_contracts() -> Vec<(Address, Bytes)> {
    ARTIFACTS.iter().map(|(address, artifact)| (*address, deployed_code(artifact))).collect()
}

/// The deployed code of the contract at [`crate::VALIDATOR_SET`]. It is not among [`system_contracts`]: chains without it
/// keep the state root of their genesis.
pub fn validator_set_code() -> Bytes {
    deployed_code(VALIDATOR_SET_ARTIFACT)
}

/// The code in an artifact. It is embedded in the program, and a test reads it, so it cannot be malformed.
fn deployed_code(artifact: &str) -> Bytes {
    let artifact: serde_json::Value = serde_json::from_str(artifact).expect("an embedded artifact is JSON");
    let code = artifact["deployedBytecode"].as_str().expect("an embedded artifact has its deployed code");
    hex::decode(code).expect("an embedded artifact's code is hex").into()
}

#[cfg(test)]
mod tests;
