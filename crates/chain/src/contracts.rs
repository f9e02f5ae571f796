//! Calls to the system contracts, as commands and tests make them.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{SolCall, SolValue, sol};
use triad_evm::{AUTOMATIONS, DEVICE_REGISTRY, MODEL_REGISTRY};
use triad_statement::{DeviceId, DeviceKey, SigningKey};

sol! {
    /// See `contracts/src/DeviceRegistry.sol`.
    #[derive(Debug)]
    interface DeviceRegistry {
        struct Registration {
            uint8 algorithm;
            bytes coseKey;
            address owner;
            bytes32 metadata;
            bytes proof;
        }
        function register(uint8 alg, bytes coseKey, address owner, bytes32 metadata, bytes proof) external returns (bytes20 id);
        function registerBatch(Registration[] batch) external returns (uint256 registered);
        function registerUnsigned(address owner, bytes32 salt, bytes32 metadata) external returns (bytes20 id);
        function rotate(bytes20 id, uint8 alg, bytes coseKey, bytes proof) external;
        function raiseEpoch(bytes20 id, uint32 newEpoch) external;
        function suspend(bytes20 id) external;
        function activate(bytes20 id) external;
        function revoke(bytes20 id) external;
        function setSpeaker(bytes20 origin, bytes20 signer, bool allowed) external;
        function setUnit(bytes20 id, string name, string unit) external;
    }

    /// See `contracts/src/ModelRegistry.sol`.
    #[derive(Debug)]
    interface ModelRegistry {
        function bind(bytes20 device, string name, string kind, bytes params) external returns (uint64 modelId);
        function unbind(uint64 modelId) external;
    }
}

/// Where a call goes and its input.
pub type Call = (Address, Vec<u8>);

fn challenge(purpose: &str, chain_id: u64, subject: B256, key: &DeviceKey) -> B256 {
    let key = keccak256(key.cose_key());
    let fields = (purpose.to_owned(), U256::from(chain_id), DEVICE_REGISTRY, subject, key);
    keccak256(fields.abi_encode_params())
}

/// What a device's key signs to be registered for `owner`.
pub fn registration_challenge(chain_id: u64, owner: Address, key: &DeviceKey) -> B256 {
    challenge("Triad device registration v1", chain_id, owner.into_word(), key)
}

/// One registration with its proof of possession.
pub fn registration(
    chain_id: u64,
    owner: Address,
    key: &SigningKey,
    metadata: B256,
) -> DeviceRegistry::Registration {
    let public = key.public();
    let proof = key.sign(registration_challenge(chain_id, owner, &public).as_slice());
    DeviceRegistry::Registration {
        algorithm: public.algorithm().as_u8(),
        coseKey: public.cose_key().into(),
        owner,
        metadata,
        proof: proof.into(),
    }
}

pub fn register(batch: Vec<DeviceRegistry::Registration>) -> Call {
    (DEVICE_REGISTRY, DeviceRegistry::registerBatchCall { batch }.abi_encode())
}

/// Registers a device that cannot sign; its id follows from owner and salt.
pub fn register_unsigned(owner: Address, salt: B256, metadata: B256) -> (DeviceId, Call) {
    let digest = keccak256(("unsigned".to_owned(), owner, salt).abi_encode_params());
    let mut id = [0; 20];
    id.copy_from_slice(&digest[12..]);
    (
        DeviceId(id),
        (DEVICE_REGISTRY, DeviceRegistry::registerUnsignedCall { owner, salt, metadata }.abi_encode()),
    )
}

/// Replaces a device's key; the new key proves possession.
pub fn rotate(chain_id: u64, id: DeviceId, new_key: &SigningKey) -> Call {
    let public = new_key.public();
    let mut subject = B256::ZERO;
    subject[..20].copy_from_slice(&id.0);
    let proof = new_key.sign(challenge("Triad device rotation v1", chain_id, subject, &public).as_slice());
    let call = DeviceRegistry::rotateCall {
        id: id.0.into(),
        alg: public.algorithm().as_u8(),
        coseKey: public.cose_key().into(),
        proof: proof.into(),
    };
    (DEVICE_REGISTRY, call.abi_encode())
}

pub fn raise_epoch(id: DeviceId, epoch: u32) -> Call {
    (DEVICE_REGISTRY, DeviceRegistry::raiseEpochCall { id: id.0.into(), newEpoch: epoch }.abi_encode())
}

pub fn suspend(id: DeviceId) -> Call {
    (DEVICE_REGISTRY, DeviceRegistry::suspendCall { id: id.0.into() }.abi_encode())
}

pub fn activate(id: DeviceId) -> Call {
    (DEVICE_REGISTRY, DeviceRegistry::activateCall { id: id.0.into() }.abi_encode())
}

pub fn revoke(id: DeviceId) -> Call {
    (DEVICE_REGISTRY, DeviceRegistry::revokeCall { id: id.0.into() }.abi_encode())
}

/// Lets `signer` sign readings of `origin`, or not any more.
pub fn set_speaker(origin: DeviceId, signer: DeviceId, allowed: bool) -> Call {
    let call = DeviceRegistry::setSpeakerCall { origin: origin.0.into(), signer: signer.0.into(), allowed };
    (DEVICE_REGISTRY, call.abi_encode())
}

/// Changes the unit of a device's stream.
pub fn set_unit(id: DeviceId, name: &str, unit: &str) -> Call {
    let call = DeviceRegistry::setUnitCall { id: id.0.into(), name: name.into(), unit: unit.into() };
    (DEVICE_REGISTRY, call.abi_encode())
}

/// Binds a model to a device's stream.
pub fn bind_model(device: DeviceId, name: &str, spec: &triad_models::Spec) -> Call {
    let call = ModelRegistry::bindCall {
        device: device.0.into(),
        name: name.into(),
        kind: spec.kind().into(),
        params: spec.params().into(),
    };
    (MODEL_REGISTRY, call.abi_encode())
}

/// Ends the binding of a model.
pub fn unbind_model(model: u64) -> Call {
    (MODEL_REGISTRY, ModelRegistry::unbindCall { modelId: model }.abi_encode())
}

/// Registers an automation; the value sent along is its prepaid balance.
pub fn automation(
    condition: triad_evm::bindings::IAutomations::Condition,
    target: Address,
    gas_limit: u64,
    cooldown_ms: u64,
) -> Call {
    let call = triad_evm::bindings::IAutomations::registerCall {
        c: condition,
        target,
        gasLimit: gas_limit,
        cooldownMs: cooldown_ms,
    };
    (AUTOMATIONS, call.abi_encode())
}
