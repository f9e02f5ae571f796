//! Snapshots of the whole state, and blocks as bytes: what a node that joins late begins with.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use triad_chain::SnapshotInfo;

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::time::rfc3339_ms;

pub(crate) const HEAD: &str = "application/vnd.triad.snapshot-head+cbor";
pub(crate) const CHUNK: &str = "application/octet-stream";
pub(crate) const BLOCK: &str = "application/vnd.triad.block+cbor";

fn view(info: &SnapshotInfo) -> Value {
    let checkpoint = &info.checkpoint;
    json!({
        "height": checkpoint.height,
        "digest": format!("0x{}", hex::encode(checkpoint.digest())),
        "time": rfc3339_ms(checkpoint.time_ms),
        "root": format!("0x{}", hex::encode(info.root)),
        "chunks": info.chunks,
        "bytes": info.bytes,
        "signatures": info.signatures,
        "quorum": info.quorum,
        "vouched_for": info.is_vouched_for(),
        "links": {"head": format!("/v1/snapshots/{}", checkpoint.height)},
    })
}

fn typed(bytes: Vec<u8>, kind: &'static str) -> Response {
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn none(height: u64) -> Problem {
    Problem::new(
        "no-such-snapshot",
        format!("this node holds no snapshot after block {height}, or not that chunk of it"),
    )
}

/// `GET /v1/snapshots`
pub(crate) async fn list(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let body = api.read(|reader| {
        let held = reader.snapshots();
        Ok(json!({
            "snapshots": held.iter().map(view).collect::<Vec<_>>(),
            "begins_at": reader.base(),
            "oldest_block": reader.oldest(),
        }))
    });
    Ok(Json(body.await?).into_response())
}

/// `GET /v1/snapshots/{height}`: its head, which says what the chunks are and who vouches for them.
pub(crate) async fn head(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let height = path.number("height")?;
    let bytes = api.read(move |reader| reader.snapshot_head(height).ok_or_else(|| none(height)));
    Ok(typed(bytes.await?, HEAD))
}

/// `GET /v1/snapshots/{height}/chunks/{index}`
pub(crate) async fn chunk(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let (height, index) = (path.number("height")?, path.number("index")?);
    let bytes = api.read(move |reader| {
        let index = usize::try_from(index).map_err(|_| none(height))?;
        reader.snapshot_chunk(height, index)?.ok_or_else(|| none(height))
    });
    Ok(typed(bytes.await?, CHUNK))
}

/// `GET /v1/blocks/{height}`: the block's bytes, as validators agreed on them.
pub(crate) async fn block(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let height = path.number("height")?;
    let bytes = api.read(move |reader| {
        let tip = reader.height();
        let none =
            || Problem::new("no-such-block", format!("there is no block {height}; the last one is {tip}"));
        if height > tip {
            return Err(none());
        }
        Ok(reader.block(height)?.ok_or_else(none)?.bytes.to_vec())
    });
    Ok(typed(bytes.await?, BLOCK))
}
