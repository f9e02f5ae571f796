//! The system contracts' events, in the order of the block's logs, become application state for the next block.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy_sol_types::SolEvent;
use triad_evm::bindings::{IAutomations, IDeviceRegistry, IModelRegistry};
use triad_evm::{AUTOMATIONS, Address, DEVICE_REGISTRY, EvmBlock, Log, MODEL_REGISTRY, VALIDATOR_SET};
use triad_log::Assurance;
use triad_models::Spec;
use triad_statement::{DeviceId, DeviceKey, SequenceWindow, StreamId};

use super::{CLOSE, Context, validators};
use crate::error::ChainError;
use crate::state::Work;
use crate::state::records::*;

/// Follows every log of the block's successful transactions and firings.
pub(crate) fn events(ctx: &Context<'_>, work: &mut Work, evm: &EvmBlock) -> Result<(), ChainError> {
    let mut closings = 0;
    for log in evm.receipts.iter().filter(|r| r.success).flat_map(|r| &r.logs) {
        match log.address {
            DEVICE_REGISTRY => device(ctx, work, log)?,
            MODEL_REGISTRY => model(ctx, work, log)?,
            AUTOMATIONS => automation(ctx, work, log, &mut closings)?,
            VALIDATOR_SET if ctx.validator_set => validators::follow(ctx, work, log)?,
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn decode<E: SolEvent>(log: &Log) -> Option<E> {
    (log.topics().first() == Some(&E::SIGNATURE_HASH)).then(|| E::decode_log_data(&log.data).ok()).flatten()
}

/// The contract has checked the key; one that this program cannot use leaves the device without a key.
fn key(cose_key: &[u8]) -> Option<Arc<DeviceKey>> {
    DeviceKey::from_cose_key(cose_key).ok().map(Arc::new)
}

fn device(ctx: &Context<'_>, work: &mut Work, log: &Log) -> Result<(), ChainError> {
    if let Some(e) = decode::<IDeviceRegistry::DeviceRegistered>(log) {
        let device = Device {
            owner: e.owner,
            key: key(&e.coseKey),
            key_since: ctx.height,
            status: Status::Active,
            epoch: 0,
            metadata: e.metadata.0,
            registered_at: ctx.height,
            speakers: Arc::default(),
        };
        work.put(DeviceId(e.id.0), device);
        return Ok(());
    }
    let mut change = |id: [u8; 20], apply: &mut dyn FnMut(&mut Device)| {
        let id = DeviceId(id);
        if let Some(mut device) = work.get::<Device>(&id)? {
            apply(&mut device);
            work.put(id, device);
        }
        Ok::<(), ChainError>(())
    };
    if let Some(e) = decode::<IDeviceRegistry::KeyRotated>(log) {
        change(e.id.0, &mut |d| {
            d.key = key(&e.coseKey);
            d.key_since = ctx.height;
        })
    } else if let Some(e) = decode::<IDeviceRegistry::EpochRaised>(log) {
        change(e.id.0, &mut |d| d.epoch = e.epoch)?;
        let id = DeviceId(e.id.0);
        let mut window = match work.get::<Window>(&id)? {
            Some(window) => window,
            None => Window(SequenceWindow::new(0)),
        };
        window.0.raise_epoch(e.epoch);
        work.put(id, window);
        Ok(())
    } else if let Some(e) = decode::<IDeviceRegistry::StatusChanged>(log) {
        change(e.id.0, &mut |d| d.status = Status::from_u8(e.status).unwrap_or(Status::Revoked))
    } else if let Some(e) = decode::<IDeviceRegistry::OwnerChanged>(log) {
        change(e.id.0, &mut |d| d.owner = e.owner)
    } else if let Some(e) = decode::<IDeviceRegistry::MetadataChanged>(log) {
        change(e.id.0, &mut |d| d.metadata = e.metadata.0)
    } else if let Some(e) = decode::<IDeviceRegistry::SpeakerChanged>(log) {
        change(e.origin.0, &mut |d| {
            let mut speakers = BTreeSet::clone(&d.speakers);
            match e.allowed {
                true => speakers.insert(DeviceId(e.signer.0)),
                false => speakers.remove(&DeviceId(e.signer.0)),
            };
            d.speakers = Arc::new(speakers);
        })
    } else if let Some(e) = decode::<IDeviceRegistry::UnitChanged>(log) {
        let stream = StreamId(e.stream.0);
        if let Some(mut known) = work.get::<Stream>(&stream)? {
            known.unit = (!e.unit.is_empty()).then(|| e.unit.as_str().into());
            work.put(stream, known);
        }
        Ok(())
    } else {
        Ok(())
    }
}

fn model(ctx: &Context<'_>, work: &mut Work, log: &Log) -> Result<(), ChainError> {
    if let Some(e) = decode::<IModelRegistry::ModelBound>(log) {
        // Parameters that no model understands bind nothing; the binding tool checks them before it pays.
        let Ok(spec) = Spec::decode(&e.kind, &e.params) else { return Ok(()) };
        let unknown = spec.is_learned() && !ctx.learned
            || spec.is_windowed() && !ctx.windowed
            || spec.class() == Assurance::Attested && !ctx.attested;
        if unknown {
            return Ok(());
        }
        let stream = StreamId(e.stream.0);
        let mut list = Vec::clone(&work.get::<Bindings>(&stream)?.unwrap_or_default().0);
        list.push(Binding { model: e.modelId, since: ctx.height, spec: Arc::new(spec) });
        list.sort_by_key(|b| b.model);
        work.put(stream, Bindings(Arc::new(list)));
    } else if let Some(e) = decode::<IModelRegistry::ModelUnbound>(log) {
        let stream = StreamId(e.stream.0);
        let mut list = Vec::clone(&work.get::<Bindings>(&stream)?.unwrap_or_default().0);
        list.retain(|b| b.model != e.modelId);
        work.remove::<crate::state::model::ModelState>((stream, e.modelId));
        stop_awaiting(work, stream, e.modelId, &list)?;
        if list.is_empty() {
            work.remove::<Bindings>(stream);
        } else {
            work.put(stream, Bindings(Arc::new(list)));
        }
    }
    Ok(())
}

/// Forgets what nobody judges any more.
fn stop_awaiting(work: &mut Work, stream: StreamId, model: u64, left: &[Binding]) -> Result<(), ChainError> {
    let Some(mut awaiting) = work.get::<Awaiting>(&stream)? else { return Ok(()) };
    if left.iter().any(|binding| binding.spec.class() == Assurance::Attested) {
        awaiting.judged.retain(|(judge, _)| *judge != model);
        work.put(stream, awaiting);
        return Ok(());
    }
    for number in awaiting.oldest()..=awaiting.newest {
        work.remove::<Awaited>((stream, slot(number)));
    }
    work.remove::<Awaiting>(stream);
    Ok(())
}

fn automation(ctx: &Context<'_>, work: &mut Work, log: &Log, closings: &mut u32) -> Result<(), ChainError> {
    if let Some(e) = decode::<IAutomations::Registered>(log) {
        let condition = match (e.source, Comparison::from_u8(e.op)) {
            (0, Some(op)) => Condition::Reading { op, threshold: e.threshold },
            (1, _) => Condition::Verdict { kinds: e.kinds, min_score: e.minScore },
            _ => return Ok(()),
        };
        let stream = StreamId(e.stream.0);
        let registration = Registration {
            owner: e.owner,
            stream,
            condition,
            target: e.target,
            gas_limit: e.gasLimit,
            cooldown_ms: e.cooldownMs,
            held: Vec::new(),
            fired_ms: None,
            owed: 0,
            paused: false,
            closing: false,
        };
        work.put(e.id, registration);
        let mut ids = Vec::clone(&work.get::<Watchers>(&stream)?.unwrap_or_default().0);
        ids.push(e.id);
        ids.sort_unstable();
        work.put(stream, Watchers(Arc::new(ids)));
    } else if let Some(e) = decode::<IAutomations::ToppedUp>(log) {
        if let Some(mut reg) = work.get::<Registration>(&e.id)? {
            reg.paused = false;
            work.put(e.id, reg);
        }
    } else if let Some(e) = decode::<IAutomations::Closing>(log)
        && let Some(mut reg) = work.get::<Registration>(&e.id)?
        && !reg.closing
    {
        reg.closing = true;
        // Behind the block's own triggers: settled in the next block.
        let ordinal = u32::MAX / 2 + *closings;
        *closings += 1;
        let entry = Queued {
            stream: reg.stream,
            leaf: 0,
            time_ms: ctx.time_ms,
            value: alloy_primitives::I256::ZERO,
            kind: CLOSE,
        };
        work.put((ctx.height, ordinal, e.id), entry);
        work.put(e.id, reg);
    }
    Ok(())
}

/// Where the system contracts are, for whoever shows them.
pub const SYSTEM_CONTRACTS: [(&str, Address); 3] =
    [("DeviceRegistry", DEVICE_REGISTRY), ("ModelRegistry", MODEL_REGISTRY), ("Automations", AUTOMATIONS)];
