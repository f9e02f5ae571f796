//! Verdicts, as clients see them, and those of one stream.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use triad_chain::{Attested, StoredVerdict};
use triad_log::{Assurance, Verdict, VerdictKind};
use triad_statement::StreamId;

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::streams::{next_link, no_such_stream};
use crate::time::rfc3339;

/// Rows that are looked at for one page; a rare kind may fill no page.
const MAX_SCANNED: usize = triad_chain::MAX_PAGE;

#[derive(Debug, Serialize)]
pub(crate) struct VerdictView {
    leaf: u64,
    record: u16,
    height: u64,
    stream: StreamId,
    model: u64,
    class: Assurance,
    kind: VerdictKind,
    /// Parts per million.
    score_ppm: u32,
    time: Option<String>,
    time_ms: i64,
    /// `value_e9` as a number, rounded.
    value: Option<f64>,
    /// The value × 10⁹ as a decimal; `null` where it did not fit.
    value_e9: Option<String>,
    reason: String,
    /// Of class `attested` only: who ran which file on what. Left out where the runner's statement is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    attested: Option<Value>,
}

impl VerdictView {
    pub fn new(v: &Verdict, height: u64, attested: Option<Attested>) -> VerdictView {
        let attested = attested.map(|a| {
            json!({
                "runner": a.runner, "model_file": format!("0x{}", hex::encode(a.file)), "leaf": a.leaf, "record": a.record,
            })
        });
        VerdictView {
            leaf: v.leaf.0,
            record: v.record,
            height,
            stream: v.stream,
            model: v.model,
            class: v.class,
            kind: v.kind,
            score_ppm: v.score.ppm(),
            time: v.time_ms.checked_mul(1000).and_then(rfc3339),
            time_ms: v.time_ms,
            value: v.value().map(|e9| e9 as f64 / 1e9),
            value_e9: v.value().map(|e9| e9.to_string()),
            reason: v.reason.as_str().to_owned(),
            attested,
        }
    }
}

/// Which verdicts a client wants to see.
#[derive(Debug, Clone)]
struct Filter {
    kinds: Option<Vec<VerdictKind>>,
    model: Option<u64>,
}

impl Filter {
    fn read(query: &Query) -> Result<Filter, Problem> {
        let kind = |name: &str| {
            let found = VerdictKind::ALL.into_iter().find(|k| k.name() == name);
            found.ok_or_else(|| {
                let all: Vec<&str> = VerdictKind::ALL.into_iter().map(VerdictKind::name).collect();
                Problem::parameter("kind", format!("`{name}` is unknown; expected some of {}", all.join(",")))
            })
        };
        let kinds = query.get("kind").map(|text| text.split(',').map(kind).collect::<Result<_, _>>());
        Ok(Filter { kinds: kinds.transpose()?, model: query.number("model")? })
    }

    fn takes(&self, v: &Verdict) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&v.kind))
            && self.model.is_none_or(|m| m == v.model)
    }
}

/// `GET /v1/streams/{id}/verdicts`. With a filter a page may be shorter than `limit` though more follow: only a `next`
/// of `null` is the end.
pub(crate) async fn list(
    State(api): State<Api>,
    path: Path,
    query: Query,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = query.only(&["from_height", "to_height", "kind", "model", "limit", "after"])?;
    let stream = path.stream()?;
    let heights = (query.number("from_height")?.unwrap_or(0), query.number("to_height")?.unwrap_or(u64::MAX));
    let filter = Filter::read(&query)?;
    let (limit, mut after) = (query.limit(&api)?, query.cursor(2)?);
    let found = api.read(move |reader| {
        let mut kept: Vec<(StoredVerdict, Option<Attested>)> = Vec::new();
        let mut scanned = 0;
        loop {
            let page = reader.verdicts(&stream, heights, after.as_deref(), limit)?;
            let page = page.ok_or_else(|| no_such_stream(&stream))?;
            scanned += page.items.len();
            for found in page.items {
                if !filter.takes(&found.verdict) {
                    continue;
                }
                if kept.len() == limit {
                    // There is one more: the page ends behind the last one kept.
                    let next = kept.last().map(|(v, _)| format!("{}.{}", v.height, v.ordinal));
                    return Ok((kept, next));
                }
                let attested = reader.attested(&found.verdict)?;
                kept.push((found, attested));
            }
            after = page.next;
            if after.is_none() || kept.len() == limit || scanned >= MAX_SCANNED {
                return Ok((kept, after));
            }
        }
    });
    let (kept, next) = found.await?;
    let verdicts: Vec<VerdictView> =
        kept.iter().map(|(v, attested)| VerdictView::new(&v.verdict, v.height, *attested)).collect();
    let link = next_link(&uri, next.as_deref());
    Ok((link, Json(json!({"stream": stream, "verdicts": verdicts, "next": next}))).into_response())
}
