//! The numeric readings of a stream by time.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::streams::{next_link, no_such_stream};
use crate::time::rfc3339;

#[derive(Debug, Serialize)]
struct ReadingView {
    time: Option<String>,
    time_us: i64,
    value: f64,
    leaf: u64,
    record: u16,
}

/// `GET /v1/streams/{id}/readings`: `from` <= time < `to`, by (time, leaf, record).
pub(crate) async fn list(
    State(api): State<Api>,
    path: Path,
    query: Query,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = query.only(&["from", "to", "limit", "after"])?;
    let stream = path.stream()?;
    let range = (query.time("from")?.unwrap_or(i64::MIN), query.time("to")?.unwrap_or(i64::MAX));
    let (limit, after) = (query.limit(&api)?, query.cursor(3)?);
    let found = api.read(move |reader| {
        let known = reader.stream(&stream)?.ok_or_else(|| no_such_stream(&stream))?.0;
        let page = reader.readings(&stream, range, after.as_deref(), limit)?;
        Ok((known, page.ok_or_else(|| no_such_stream(&stream))?))
    });
    let (known, page) = found.await?;
    let view = |r: &triad_chain::Reading| ReadingView {
        time: rfc3339(r.time_us),
        time_us: r.time_us,
        value: r.value,
        leaf: r.leaf,
        record: r.record,
    };
    let readings: Vec<ReadingView> = page.items.iter().map(view).collect();
    let body = json!({
        "stream": stream,
        "origin": known.origin,
        "name": known.name.as_ref(),
        "unit": known.unit.as_deref(),
        "readings": readings,
        "next": page.next,
    });
    Ok((next_link(&uri, page.next.as_deref()), Json(body)).into_response())
}
