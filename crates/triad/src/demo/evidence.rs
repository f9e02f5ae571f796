//! What the chain says about the record, read back through the HTTP API, and what can be proved of it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;
use triad_log::{Receipt, TrustAnchor};
use triad_statement::StreamId;

use crate::client::Api;
use crate::timestamp;

/// One alarm.
#[derive(Debug, Clone)]
pub struct Alarm {
    pub time_us: i64,
    pub reason: String,
    /// The labelled failure that it lies in.
    pub window: Option<usize>,
}

#[derive(Debug)]
pub struct Evidence {
    pub alarms: Vec<Alarm>,
    /// (leaf, kind) of each verdict with a reason, and the reason.
    pub reasons: HashMap<(u64, String), String>,
    /// Labelled failures: begin and end.
    pub windows: Vec<(i64, i64)>,
    /// (time, value, leaf) of the reading farthest outside the limits.
    pub worst: (i64, f64, u64),
    pub receipt_bytes: u64,
    pub receipt_words: String,
    pub receipt_verified: bool,
    /// What verification said to the receipt with one byte flipped; `None` if it was not refused.
    pub tampered: Option<String>,
}

impl Evidence {
    /// Why a verdict of this kind was given on a statement.
    pub fn reason(&self, leaf: u64, kind: &str) -> &str {
        self.reasons.get(&(leaf, kind.to_owned())).map_or("", String::as_str)
    }

    pub fn labelled_found(&self) -> usize {
        (0..self.windows.len()).filter(|w| self.alarms.iter().any(|a| a.window == Some(*w))).count()
    }

    pub fn false_alarms(&self) -> usize {
        self.alarms.iter().filter(|a| a.window.is_none()).count()
    }
}

/// All rows of a paged answer.
async fn all(api: &Api, path: &str, field: &str) -> anyhow::Result<Vec<Value>> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = api.get(&format!("{path}{separator}limit=5000{after}")).await?;
        rows.extend(page[field].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(rows),
        }
    }
}

pub async fn readings(api: &Api, stream: StreamId) -> anyhow::Result<Vec<Value>> {
    all(api, &format!("/v1/streams/{stream}/readings"), "readings").await
}

fn windows(text: &str) -> anyhow::Result<Vec<(i64, i64)>> {
    let labels: Value = serde_json::from_str(text)?;
    let files = labels.as_object().context("labels")?;
    let spans = files.values().flat_map(|spans| spans.as_array().into_iter().flatten());
    spans
        .map(|span| {
            let at = |i: usize| timestamp::parse(span[i].as_str().unwrap_or_default());
            Ok((at(0)?, at(1)?))
        })
        .collect()
}

pub async fn gather(
    api: &Api,
    stream: StreamId,
    rows: &[(i64, f64)],
    labels: &str,
    anchor: &TrustAnchor,
    receipt_file: &Path,
) -> anyhow::Result<Evidence> {
    let windows = windows(labels)?;
    let verdicts = all(api, &format!("/v1/streams/{stream}/verdicts"), "verdicts").await?;
    let alarms = verdicts.iter().filter(|v| v["kind"] == "anomaly").map(|v| {
        let time_us = v["time_ms"].as_i64().unwrap_or(0) * 1000;
        let window = windows.iter().position(|(from, to)| (*from..=*to).contains(&time_us));
        Alarm { time_us, reason: v["reason"].as_str().unwrap_or_default().to_owned(), window }
    });
    let alarms = alarms.collect();
    let text = |v: &Value, field: &str| v[field].as_str().unwrap_or_default().to_owned();
    let reasons = verdicts
        .iter()
        .filter(|v| v["reason"] != "")
        .map(|v| ((v["leaf"].as_u64().unwrap_or(0), text(v, "kind")), text(v, "reason")))
        .collect();

    let outside = |value: f64| (68.0 - value).max(value - 77.0);
    let worst = rows.iter().max_by(|a, b| outside(a.1).total_cmp(&outside(b.1))).context("no readings")?;
    let at = format!("/v1/streams/{stream}/readings?from={}&to={}", worst.0 / 1000, worst.0 / 1000 + 1);
    let found = all(api, &at, "readings").await?;
    let leaf = found.first().and_then(|r| r["leaf"].as_u64()).context("the worst reading is not there")?;
    let bytes = api.bytes(&format!("/v1/statements/{leaf}/receipt")).await?;
    std::fs::write(receipt_file, &bytes)?;
    let check = |bytes: &[u8]| {
        let receipt = Receipt::decode(bytes).map_err(|e| e.to_string())?;
        receipt.verify(anchor).map_err(|e| e.to_string())
    };
    let report = check(&bytes);
    let mut tampered = bytes.clone();
    let middle = tampered.len() / 3;
    tampered[middle] ^= 1;
    Ok(Evidence {
        alarms,
        reasons,
        windows,
        worst: (worst.0, worst.1, leaf),
        receipt_bytes: bytes.len() as u64,
        receipt_words: report.as_ref().map_or_else(Clone::clone, ToString::to_string),
        receipt_verified: report.is_ok(),
        tampered: check(&tampered).err(),
    })
}
