//! Readings and verdicts as JSON, and who wants which.

use alloy_primitives::{B256, U64};
use serde::Deserialize;
use serde_json::{Value, json};
use triad_chain::{Latest, Reader, Stream, resolved_readings};
use triad_log::Verdict;
use triad_statement::{DeviceId, Statement, StreamId};

use crate::errors::{Answer, chain, refused};

/// Which readings or verdicts a subscriber wants: those that meet all that is given.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    stream: Option<StreamId>,
    device: Option<DeviceId>,
    /// Of the stream.
    name: Option<String>,
    /// Verdicts only: of these kinds.
    kinds: Option<Vec<String>>,
    /// Verdicts only: of these models.
    models: Option<Vec<u64>>,
    /// Verdicts only: with at least this score, 0 to 1.
    min_score: Option<f64>,
}

impl Filter {
    fn stream(&self, id: &StreamId, device: &DeviceId, name: &str) -> bool {
        self.stream.is_none_or(|wanted| wanted == *id)
            && self.device.is_none_or(|wanted| wanted == *device)
            && self.name.as_ref().is_none_or(|wanted| wanted == name)
    }

    fn verdict(&self, verdict: &Verdict) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|k| k == verdict.kind.name()))
            && self.models.as_ref().is_none_or(|models| models.contains(&verdict.model))
            && self.min_score.is_none_or(|least| f64::from(verdict.score.ppm()) / 1e6 >= least)
    }
}

/// The numeric readings of a block.
pub fn readings(reader: &Reader, height: u64, filter: &Filter) -> Answer<Vec<Value>> {
    let Some(block) = reader.block(height).map_err(chain)? else { return Ok(Vec::new()) };
    let c = &block.checkpoint;
    let statements = &block.body.statements;
    // The statements' leaves, then one of verdicts.
    let first_leaf = c.log_size - 1 - statements.len() as u64;
    let mut out = Vec::new();
    for (leaf, bytes) in (first_leaf..).zip(statements) {
        let statement = Statement::parse(bytes.clone())
            .map_err(|e| refused(format!("the statement of leaf {leaf} does not parse: {e}")))?;
        if filter.device.is_some_and(|wanted| wanted != statement.origin()) {
            continue;
        }
        for (index, time_us, value) in resolved_readings(&statement, c.time_ms) {
            let Some(record) = statement.records().get(usize::from(index)) else { continue };
            if filter.stream(&record.stream, &statement.origin(), &record.name) {
                out.push(json!({
                    "stream": record.stream,
                    "device": statement.origin(),
                    "signer": statement.signer(),
                    "name": &*record.name,
                    "unit": record.unit.as_deref(),
                    "timeUs": time_us,
                    "value": value,
                    "leaf": U64::from(leaf),
                    "record": index,
                    "height": U64::from(height),
                }));
            }
        }
    }
    Ok(out)
}

/// The verdicts of a block.
pub fn verdicts(reader: &Reader, height: u64, filter: &Filter) -> Answer<Vec<Value>> {
    let mut out = Vec::new();
    for verdict in reader.block_verdicts(height).map_err(chain)? {
        if filter.stream.is_some_and(|wanted| wanted != verdict.stream) || !filter.verdict(&verdict) {
            continue;
        }
        let Some((stream, _)) = reader.stream(&verdict.stream).map_err(chain)? else { continue };
        if filter.stream(&verdict.stream, &stream.origin, &stream.name) {
            let attested = reader.attested(&verdict).map_err(chain)?.map(|a| {
                let file = B256::from(a.file);
                json!({"runner": a.runner, "modelFile": file, "leaf": U64::from(a.leaf), "record": a.record})
            });
            let mut shown = json!({
                "stream": verdict.stream,
                "device": stream.origin,
                "name": &*stream.name,
                "kind": verdict.kind.name(),
                "class": verdict.class.name(),
                "model": verdict.model,
                "score": f64::from(verdict.score.ppm()) / 1e6,
                "reason": verdict.reason.as_str(),
                "timeMs": verdict.time_ms,
                "leaf": U64::from(verdict.leaf.0),
                "record": verdict.record,
                "height": U64::from(height),
            });
            if let Some(attested) = attested {
                shown["attested"] = attested;
            }
            out.push(shown);
        }
    }
    Ok(out)
}

/// A stream's newest reading; null while it has none.
pub fn latest(id: &StreamId, stream: &Stream, latest: &Latest) -> Value {
    latest.reading.map_or(Value::Null, |r| {
        json!({
            "stream": id,
            "device": stream.origin,
            "name": &*stream.name,
            "unit": stream.unit.as_deref(),
            "timeUs": r.time_us,
            "value": r.value,
            "leaf": U64::from(r.leaf),
            "record": r.record,
            "height": U64::from(r.height),
        })
    })
}
