//! Whether a statement may enter a block on a given state: the same rules at the door (on the last final state) and in
//! a block (on its parent's), so that a door never says yes to what a block must refuse without a reason.

use std::sync::Arc;

use triad_statement::{DeviceId, DeviceKey, Record as Reading, Statement, Value};

use crate::error::{ChainError, Refusal, RefusalClass};
use crate::state::records::{Device, Opened, Status, Stream, Window};
use crate::state::{Keyed, View, Work};

/// How far a reading's time may lie ahead of the block's.
pub const MAX_AHEAD_MS: u64 = 5 * 60 * 1000;

/// A statement whose signature was checked, and by which key.
#[derive(Debug, Clone)]
pub struct Verified {
    pub statement: Statement,
    /// [`DeviceKey::fingerprint`] of the key that verified it.
    pub key: [u8; 32],
    /// Height of the final block whose registry says that this key speaks for the statement's origin.
    pub checked_at: u64,
}

pub(crate) trait Lookup {
    fn row<R: Keyed>(&self, key: &R::Key) -> Result<Option<R>, ChainError>;
}

impl Lookup for View {
    fn row<R: Keyed>(&self, key: &R::Key) -> Result<Option<R>, ChainError> {
        self.get(key)
    }
}

impl Lookup for Work {
    fn row<R: Keyed>(&self, key: &R::Key) -> Result<Option<R>, ChainError> {
        self.get(key)
    }
}

/// An outer error is ours (the store failed); an inner one is the caller's.
pub(crate) type Checked<T> = Result<Result<T, Refusal>, ChainError>;

fn forbidden(code: &'static str, message: String) -> Refusal {
    Refusal::new(RefusalClass::NotAuthorized, code, message)
}

/// The key that must have signed, once the signer is known, active and allowed to speak for the origin.
pub(crate) fn signer_key(state: &impl Lookup, statement: &Statement) -> Checked<Arc<DeviceKey>> {
    let signer = statement.signer();
    let device = match active(state, signer)? {
        Ok(device) => device,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let Some(key) = device.key else {
        let why = format!("device {signer} has no key of its own: another device signs for it");
        return Ok(Err(forbidden("device-without-key", why)));
    };
    if key.algorithm() != statement.algorithm() {
        let why = format!(
            "device {signer} is registered with {}, the statement says {}",
            key.algorithm().name(),
            statement.algorithm().name()
        );
        return Ok(Err(forbidden("wrong-key", why)));
    }
    let origin = statement.origin();
    if origin != signer {
        let origin_device = match active(state, origin)? {
            Ok(device) => device,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if !origin_device.speakers.contains(&signer) {
            let why = format!("the registry does not let device {signer} speak for device {origin}");
            return Ok(Err(forbidden("origin-not-allowed", why)));
        }
    }
    Ok(Ok(key))
}

fn active(state: &impl Lookup, id: DeviceId) -> Checked<Device> {
    let Some(device) = state.row::<Device>(&id)? else {
        return Ok(Err(forbidden("unknown-device", format!("device {id} is not registered"))));
    };
    Ok(match device.status {
        Status::Active => Ok(device),
        Status::Suspended => Err(forbidden("suspended-device", format!("device {id} is suspended"))),
        Status::Revoked => Err(forbidden("revoked-device", format!("device {id} is revoked"))),
    })
}

pub(crate) enum Number {
    Fresh(Window),
    /// The number was used: by this very statement, or by another one.
    Used,
    /// Older than the window: it may still be a statement already held.
    TooOld,
}

pub(crate) fn number(state: &impl Lookup, statement: &Statement) -> Checked<Number> {
    let signer = statement.signer();
    let window = match state.row::<Window>(&signer)? {
        Some(window) => window,
        None => Window(triad_statement::SequenceWindow::new(0)),
    };
    Ok(Ok(match window.0.check(statement.sequence()) {
        triad_statement::Freshness::Fresh => Number::Fresh(window),
        triad_statement::Freshness::Seen => Number::Used,
        triad_statement::Freshness::TooOld => Number::TooOld,
        triad_statement::Freshness::WrongEpoch => {
            let why = format!(
                "the number is of epoch {}, the registry says {}: read the epoch from the node and continue in it",
                statement.sequence().epoch(),
                window.0.epoch()
            );
            return Ok(Err(Refusal::new(RefusalClass::Conflict, "wrong-epoch", why)));
        }
    }))
}

pub(crate) fn too_old(statement: &Statement) -> Refusal {
    let why = format!(
        "number {} is more than 1,024 below the highest one of device {}",
        statement.sequence().0,
        statement.signer()
    );
    Refusal::new(RefusalClass::Conflict, "too-old", why)
}

/// It may be the very statement that used it, or another.
pub(crate) fn used_before(statement: &Statement) -> Refusal {
    let why = format!(
        "device {} used number {} before this node's history begins, so it cannot tell whether for this statement: ask a node that \
         has it all",
        statement.signer(),
        statement.sequence().0
    );
    Refusal::new(RefusalClass::Unavailable, "used-before", why)
}

pub(crate) fn equivocation(statement: &Statement) -> Refusal {
    let why = format!(
        "device {} has used number {} for another statement",
        statement.signer(),
        statement.sequence().0
    );
    Refusal::new(RefusalClass::Conflict, "equivocation", why)
}

/// A numeric reading with everything resolved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resolved<'a> {
    pub record: u16,
    pub reading: &'a Reading,
    pub value: f64,
    pub time_us: i64,
}

/// The numeric readings of a statement in a block of the given time.
pub(crate) fn readings(statement: &Statement, time_ms: u64) -> impl Iterator<Item = Resolved<'_>> {
    statement.records().iter().enumerate().filter_map(move |(i, reading)| {
        let Value::Number(value) = reading.value else { return None };
        let (time_us, _) = reading.time.resolve(statement.issued_at(), time_ms);
        Some(Resolved { record: i as u16, reading, value, time_us })
    })
}

/// How many runs of readings, successive ones of one stream, a statement has; each verdict of an attestation counts as one.
pub(crate) fn runs(statement: &Statement) -> u64 {
    let mut last = None;
    let mut runs = statement.attestation().map_or(0, |attestation| attestation.verdicts.len() as u64);
    for reading in statement.records().iter().filter(|r| matches!(r.value, Value::Number(_))) {
        if last.replace(reading.stream) != Some(reading.stream) {
            runs += 1;
        }
    }
    runs
}

/// Times, units and the number of streams. Yields the number of the stream of each run of readings (successive ones of one
/// stream), `None` for a stream that these readings open.
pub(crate) fn check_readings(
    state: &impl Lookup,
    statement: &Statement,
    time_ms: u64,
    device_streams: u64,
) -> Checked<Vec<Option<u32>>> {
    let latest = ((time_ms + MAX_AHEAD_MS) as i64).saturating_mul(1000);
    let mut new_streams: Vec<(&Reading, Option<&str>)> = Vec::new();
    for (i, reading) in statement.records().iter().enumerate() {
        let (time_us, _) = reading.time.resolve(statement.issued_at(), time_ms);
        if time_us > latest {
            let why = format!(
                "record {i} is {} s ahead of block time; at most {} s are accepted",
                (time_us - time_ms as i64 * 1000) / 1_000_000,
                MAX_AHEAD_MS / 1000
            );
            return Ok(Err(Refusal::new(RefusalClass::Malformed, "time-ahead", why)));
        }
    }
    let mut last: Option<&Reading> = None;
    let mut runs = Vec::new();
    for resolved in readings(statement, time_ms) {
        let reading = resolved.reading;
        let unit = reading.unit.as_deref();
        if last.is_some_and(|l| l.stream == reading.stream && l.unit.as_deref() == unit) {
            continue;
        }
        last = Some(reading);
        let known = match state.row::<Stream>(&reading.stream)? {
            Some(stream) => {
                runs.push(Some(stream.number));
                Some(stream.unit)
            }
            None => {
                runs.push(None);
                let seen = new_streams.iter().find(|(r, _)| r.stream == reading.stream);
                let known = seen.map(|(_, unit)| unit.map(Arc::from));
                if known.is_none() {
                    new_streams.push((reading, unit));
                }
                known
            }
        };
        if let Some(expected) = known.filter(|expected| expected.as_deref() != unit) {
            let why = format!(
                "stream `{}` is in {}, the reading says {}; only the device's owner can change it, in the registry",
                reading.name,
                expected.as_deref().unwrap_or("no unit"),
                unit.unwrap_or("no unit")
            );
            return Ok(Err(Refusal::new(RefusalClass::Conflict, "changed-unit", why)));
        }
    }
    if !new_streams.is_empty() {
        let opened = state.row::<Opened>(&statement.origin())?.map_or(0, |o| o.0);
        if u64::from(opened) + new_streams.len() as u64 > device_streams {
            let why = format!(
                "device {} has {opened} streams and would open {} more; the limit is {device_streams}",
                statement.origin(),
                new_streams.len()
            );
            return Ok(Err(Refusal::new(RefusalClass::QuotaExceeded, "too-many-streams", why)));
        }
    }
    Ok(Ok(runs))
}
