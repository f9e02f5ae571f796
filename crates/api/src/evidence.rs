//! Evidence that validators voted twice, as this node holds it.

use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use triad_log::{Evidence, EvidenceId};

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::streams::next_link;
use crate::time::rfc3339_ms;

pub(crate) const EVIDENCE: &str = "application/vnd.triad.evidence+cbor";

/// A record, and what its validator is called where this node knows.
pub type NamedEvidence = (Option<String>, Arc<Evidence>);

/// What the node behind the door holds.
#[derive(Clone, Default)]
pub struct HeldEvidence {
    /// By rising id.
    pub records: Vec<NamedEvidence>,
    /// Not kept since the start, because there were enough.
    pub dropped: u64,
    /// Conflicts since the start whose signatures did not hold.
    pub unproven: u64,
    /// Names of files that hold no evidence of this chain.
    pub damaged: Vec<String>,
}

impl fmt::Debug for HeldEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldEvidence").field("records", &self.records.len()).finish_non_exhaustive()
    }
}

fn held(api: &Api) -> Result<HeldEvidence, Problem> {
    let held = api.backend.evidence.as_ref().map(|evidence| evidence());
    held.ok_or_else(|| Problem::new("not-found", "this node does not watch how others vote"))
}

fn view((name, evidence): &NamedEvidence) -> Value {
    let mut view = evidence.to_json();
    view["name"] = json!(name);
    view["seen_time"] = json!(rfc3339_ms(evidence.seen.time_ms));
    view["links"] = json!({"file": format!("/v1/network/evidence/{}", evidence.id())});
    view
}

/// `GET /v1/network/evidence`
pub(crate) async fn list(State(api): State<Api>, query: Query, uri: Uri) -> Result<Response, Problem> {
    let query = query.only(&["limit", "after"])?;
    let limit = query.limit(&api)?;
    let after: Option<Result<EvidenceId, _>> = query.get("after").map(str::parse);
    let after = after.transpose().map_err(|e| Problem::parameter("after", e))?;
    let shared = api.clone();
    let page = api.read(move |_| {
        let held = held(&shared)?;
        let mut rest = held.records.iter().filter(|(_, e)| after.is_none_or(|after| e.id() > after));
        let records: Vec<&NamedEvidence> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(records.last()).map(|(_, last)| last.id().to_string());
        let body = json!({
            "evidence": records.into_iter().map(view).collect::<Vec<_>>(),
            "held": held.records.len(),
            "dropped": held.dropped,
            "unproven": held.unproven,
            "damaged": held.damaged,
            "next": next,
        });
        Ok((body, next))
    });
    let (body, next) = page.await?;
    Ok((next_link(&uri, next.as_deref()), Json(body)).into_response())
}

/// `GET /v1/network/evidence/{id}`: the bytes, for whoever checks them offline.
pub(crate) async fn get(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let id: EvidenceId = path.text("id")?.parse().map_err(|e| Problem::parameter("id", e))?;
    let held = held(&api)?;
    let (_, evidence) = held
        .records
        .iter()
        .find(|(_, evidence)| evidence.id() == id)
        .ok_or_else(|| Problem::new("no-such-evidence", format!("this node holds no evidence {id}")))?;
    let mut response = evidence.encode().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVIDENCE));
    if let Ok(name) = HeaderValue::try_from(format!("attachment; filename=\"{id}.evidence\"")) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}
