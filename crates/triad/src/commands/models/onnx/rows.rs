//! What a model sees of a reading, from a node's read side.
//!
//! Of what was there with the statement that is judged (its leaf or an earlier one), and at most `max_age_ms` apart from the reading:
//! the newest readings of the stream, the oldest first, as many as the window has; or the newest reading of each input. Of
//! readings with one time the first in the log counts.

use anyhow::Context as _;
use serde_json::Value;
use triad_models::OnnxSpec;
use triad_statement::{DeviceId, StreamId, stream_id};

use crate::client::Api;

/// Readings that a node gives at once.
const PAGE: usize = 1_000;
/// Most pages of one stream: a million readings within `max_age_ms`.
const MAX_PAGES: usize = 1_000;

/// A reading that awaits a verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Awaited {
    pub leaf: u64,
    pub record: u16,
    pub time_us: i64,
    pub value: f64,
}

impl Awaited {
    pub fn read(value: &Value) -> anyhow::Result<Awaited> {
        let record = value["record"].as_u64().and_then(|record| u16::try_from(record).ok());
        let told =
            record.zip(value["leaf"].as_u64()).zip(value["time_us"].as_i64()).zip(value["value"].as_f64());
        let (((record, leaf), time_us), value) = told.context("the node's readings are not as expected")?;
        Ok(Awaited { leaf, record, time_us, value })
    }
}

/// The readings that await the verdict of a model.
pub async fn awaiting(api: &Api, stream: StreamId, model: u64) -> anyhow::Result<Vec<Awaited>> {
    let found = api.get(&format!("/v1/streams/{stream}/awaiting?model={model}")).await?;
    found["awaiting"][0]["readings"].as_array().into_iter().flatten().map(Awaited::read).collect()
}

/// The model's row, or why there is none.
pub async fn row(
    api: &Api,
    device: DeviceId,
    stream: StreamId,
    spec: &OnnxSpec,
    reading: Awaited,
) -> anyhow::Result<Result<Vec<f64>, String>> {
    if spec.width() == 1 && spec.inputs.is_empty() {
        return Ok(Ok(vec![reading.value]));
    }
    let age_us = i64::try_from(spec.max_age_ms).unwrap_or(i64::MAX).saturating_mul(1_000);
    let (from, to) = (reading.time_us.saturating_sub(age_us), reading.time_us.saturating_add(age_us));
    if spec.inputs.is_empty() {
        let seen = readings(api, stream, from, reading.time_us, reading.leaf).await?;
        let window = usize::from(spec.window);
        let Some(start) = seen.len().checked_sub(window) else {
            return Ok(Err(format!("{} of {window} readings of the window", seen.len())));
        };
        return Ok(Ok(seen[start..].iter().map(|reading| reading.value).collect()));
    }
    let mut row = Vec::with_capacity(spec.inputs.len());
    for name in &spec.inputs {
        let seen = readings(api, stream_id(device, name), from, to, reading.leaf).await?;
        let Some(newest) = seen.last() else {
            return Ok(Err(format!("no reading of `{name}` within {} ms", spec.max_age_ms)));
        };
        row.push(newest.value);
    }
    Ok(Ok(row))
}

/// Readings from `from` to `to`, both included, that were there with a leaf, by time; of one time the first.
async fn readings(
    api: &Api,
    stream: StreamId,
    from: i64,
    to: i64,
    leaf: u64,
) -> anyhow::Result<Vec<Awaited>> {
    let (first, end) = (from.div_euclid(1_000), to.div_euclid(1_000) + 1);
    let path = format!("/v1/streams/{stream}/readings?from={first}&to={end}&limit={PAGE}");
    let mut seen: Vec<Awaited> = Vec::new();
    let mut after = String::new();
    for _ in 0..MAX_PAGES {
        let Some(page) = api.find(&format!("{path}{after}")).await? else { return Ok(seen) };
        for reading in page["readings"].as_array().into_iter().flatten() {
            let reading = Awaited::read(reading)?;
            let wanted = (from..=to).contains(&reading.time_us) && reading.leaf <= leaf;
            if wanted && seen.last().is_none_or(|last| last.time_us < reading.time_us) {
                seen.push(reading);
            }
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    Ok(seen)
}
