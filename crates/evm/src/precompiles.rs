//! The precompiled contracts that Triad adds to Ethereum's.
//!
//! | address | takes | gives | gas |
//! | --- | --- | --- | --- |
//! | [`ED25519_VERIFY`] | key (32) ‖ signature (64) ‖ message | 32 bytes: 1 or 0, ZIP-215 rules | 3,000 + 12 per 32-byte word of the message, rounded up |
//! | [`LATEST_READING`] | stream id (32) | abi (bool exists, uint64 leaf, uint16 record, uint64 timeMs, int256 valueE9, uint64 blockHeight) | 2,600 |
//! | [`LATEST_VERDICT`] | stream id (32) | abi (bool exists, uint64 leaf, uint16 record, uint64 model, uint8 class, uint8 kind, uint32 score, uint64 timeMs, uint64 blockHeight) | 2,600 |
//! | [`LATEST_PREDICTION`] | stream id (32) ‖ uint64 model (32) | abi (bool exists, uint64 leaf, uint16 record, uint8 class, uint8 kind, uint32 score, uint64 timeMs, bool fits, int256 valueE9, uint64 blockHeight) | 2,600 |
//! | [`LOG`] | nothing, or uint256 height | abi (uint64 height, uint64 size, bytes32 root) | 2,600 |
//!
//! The gas follows what the work costs: Ed25519 verification takes as long as `ecrecover` (3,000), and a look-up as
//! long as a cold storage or account access (2,100 to 2,600). Input of another length, a height that is not known, and
//! any value sent revert. A key or signature that is malformed verifies as 0. All are read-only, so static calls may
//! use them and delegate calls change nothing. [`LATEST_PREDICTION`] is there only in blocks whose rules know predictions.

use crate::app::AppView;
use crate::env::Fork;
use alloy_evm::precompiles::{DynPrecompile, PrecompileInput, PrecompilesMap};
use alloy_primitives::{Address, B256, Bytes, I256, U256, address};
use alloy_sol_types::SolValue;
use ed25519_zebra::{Signature, VerificationKey};
use revm::precompile::{
    PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult, PrecompileSpecId, Precompiles,
};
use std::sync::Arc;

pub const ED25519_VERIFY: Address = address!("0x0000000000000000000000000000000000010001");
pub const LATEST_READING: Address = address!("0x0000000000000000000000000000000000010002");
pub const LATEST_VERDICT: Address = address!("0x0000000000000000000000000000000000010003");
pub const LOG: Address = address!("0x0000000000000000000000000000000000010004");
pub const LATEST_PREDICTION: Address = address!("0x0000000000000000000000000000000000010005");

pub const ED25519_VERIFY_GAS: u64 = 3_000;
pub const ED25519_VERIFY_WORD_GAS: u64 = 12;
pub const READ_GAS: u64 = 2_600;

/// The addresses that genesis gives nonce 1 (those of the first version only, or the genesis of chains would change), so that calls with checks on code or existence treat them as contracts.
pub(crate) const ADDRESSES: [Address; 4] = [ED25519_VERIFY, LATEST_READING, LATEST_VERDICT, LOG];

pub(crate) fn with_application(app: Arc<dyn AppView>, fork: Fork) -> PrecompilesMap {
    let ethereum = Precompiles::new(PrecompileSpecId::from_spec_id(fork.spec()));
    let mut map = PrecompilesMap::from_static(ethereum);
    add(&mut map, ED25519_VERIFY, "triad-ed25519-verify", ed25519_cost, |data| Some(ed25519_verify(data)));
    let reader = Arc::clone(&app);
    add(&mut map, LATEST_READING, "triad-latest-reading", read_cost, move |data| {
        latest_reading(&*reader, data)
    });
    let reader = Arc::clone(&app);
    add(&mut map, LATEST_VERDICT, "triad-latest-verdict", read_cost, move |data| {
        latest_verdict(&*reader, data)
    });
    if app.has_predictions() {
        let reader = Arc::clone(&app);
        add(&mut map, LATEST_PREDICTION, "triad-latest-prediction", read_cost, move |data| {
            latest_prediction(&*reader, data)
        });
    }
    add(&mut map, LOG, "triad-log", read_cost, move |data| log(&*app, data));
    map
}

/// Adds a read-only precompile; `run` answers `None` to revert.
fn add(
    map: &mut PrecompilesMap,
    address: Address,
    name: &'static str,
    cost: fn(&[u8]) -> u64,
    run: impl Fn(&[u8]) -> Option<Bytes> + 'static,
) {
    let precompile = move |input: PrecompileInput<'_>| -> PrecompileResult {
        let gas = cost(input.data);
        if gas > input.gas {
            return Ok(PrecompileOutput::halt(PrecompileHalt::OutOfGas, input.reservoir));
        }
        if !input.value.is_zero() {
            return Ok(PrecompileOutput::revert(gas, Bytes::new(), input.reservoir));
        }
        Ok(match run(input.data) {
            Some(output) => PrecompileOutput::new(gas, output, input.reservoir),
            None => PrecompileOutput::revert(gas, Bytes::new(), input.reservoir),
        })
    };
    let id = PrecompileId::Custom(name.into());
    map.apply_precompile(&address, move |_| Some(DynPrecompile::new_stateful(id, precompile)));
}

fn read_cost(_: &[u8]) -> u64 {
    READ_GAS
}

fn ed25519_cost(data: &[u8]) -> u64 {
    let words = data.len().saturating_sub(96).div_ceil(32) as u64;
    ED25519_VERIFY_GAS + ED25519_VERIFY_WORD_GAS * words
}

fn ed25519_verify(data: &[u8]) -> Bytes {
    let verified = data.split_first_chunk::<32>().is_some_and(|(key, rest)| {
        rest.split_first_chunk::<64>().is_some_and(|(signature, message)| {
            VerificationKey::try_from(*key)
                .is_ok_and(|key| key.verify(&Signature::from_bytes(signature), message).is_ok())
        })
    });
    Bytes::copy_from_slice(B256::with_last_byte(u8::from(verified)).as_slice())
}

fn latest_reading(app: &dyn AppView, data: &[u8]) -> Option<Bytes> {
    let found = app.latest_reading(data.try_into().ok()?);
    let answer = match found {
        Some(r) => (true, r.leaf, r.record, r.time_ms, r.value_e9, r.block_height),
        None => (false, 0, 0, 0, Default::default(), 0),
    };
    Some(answer.abi_encode().into())
}

fn latest_verdict(app: &dyn AppView, data: &[u8]) -> Option<Bytes> {
    let found = app.latest_verdict(data.try_into().ok()?);
    // A u8 is no `SolValue` (an array of them is `bytes`); as a word of its own any unsigned integer encodes alike.
    let answer = match found {
        Some(v) => (
            true,
            v.leaf,
            v.record,
            v.model,
            U256::from(v.class),
            U256::from(v.kind),
            v.score,
            v.time_ms,
            v.block_height,
        ),
        None => (false, 0, 0, 0, U256::ZERO, U256::ZERO, 0, 0, 0),
    };
    Some(answer.abi_encode().into())
}

fn latest_prediction(app: &dyn AppView, data: &[u8]) -> Option<Bytes> {
    let (stream, model) = data.split_first_chunk::<32>()?;
    let model: &[u8; 32] = model.try_into().ok()?;
    // A number that no model can have has no prediction.
    let found =
        u64::try_from(U256::from_be_bytes(*model)).ok().and_then(|model| app.prediction(stream, model));
    let answer = match found {
        Some(p) => {
            let value = I256::try_from(p.value_e9.unwrap_or_default()).ok()?;
            let (class, kind, fits) = (U256::from(p.class), U256::from(p.kind), p.value_e9.is_some());
            (true, p.leaf, p.record, class, kind, p.score, p.time_ms, fits, value, p.block_height)
        }
        None => (false, 0, 0, U256::ZERO, U256::ZERO, 0, 0, false, I256::ZERO, 0),
    };
    Some(answer.abi_encode().into())
}

fn log(app: &dyn AppView, data: &[u8]) -> Option<Bytes> {
    let height = match data.len() {
        0 => None,
        32 => Some(u64::try_from(U256::from_be_slice(data)).ok()?),
        _ => return None,
    };
    let at = app.log_at(height)?;
    Some((at.height, at.size, B256::from(at.root)).abi_encode().into())
}

#[cfg(test)]
mod tests;
