//! Proofs about the log alone (RFC 9162): for whoever watches it, or holds a statement and asks whether it is in there.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use triad_chain::LogProof;

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;

fn hex0x(hash: [u8; 32]) -> String {
    format!("0x{}", hex::encode(hash))
}

fn path_of(proof: &LogProof) -> Vec<Value> {
    proof.path.iter().map(|hash| hex0x(*hash).into()).collect()
}

/// `GET /v1/log/{leaf}?size=`: the leaf's hash and its inclusion proof.
pub(crate) async fn inclusion(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    let query = query.only(&["size"])?;
    let (leaf, size) = (path.number("leaf")?, query.number("size")?);
    let body = api.read(move |reader| {
        let newest = reader.tip().0.log_size;
        let none = || {
            let asked = size.unwrap_or(newest);
            let detail = format!("asked about leaf {leaf} of {asked}; the log has {newest}");
            Problem::new("no-such-leaf", detail)
        };
        let (hash, proof) = reader.inclusion(leaf, size)?.ok_or_else(none)?;
        Ok(json!({
            "leaf": leaf,
            "leaf_hash": hex0x(hash),
            "log_size": proof.size,
            "log_root": hex0x(proof.root),
            "inclusion_path": path_of(&proof),
        }))
    });
    Ok(Json(body.await?).into_response())
}

/// `GET /v1/log/consistency?from=&to=`: that the smaller log is the beginning of the larger.
pub(crate) async fn consistency(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    let query = query.only(&["from", "to"])?;
    let (from, to) = (query.number("from")?.unwrap_or(0), query.number("to")?);
    let body = api.read(move |reader| {
        let newest = reader.tip().0.log_size;
        let none = || {
            let asked = to.unwrap_or(newest);
            let detail = format!("asked about the logs of {from} and {asked} leaves; the log has {newest}");
            Problem::new("no-such-leaf", detail)
        };
        let (from_root, proof) = reader.consistency(from, to)?.ok_or_else(none)?;
        Ok(json!({
            "from": from,
            "from_root": hex0x(from_root),
            "to": proof.size,
            "to_root": hex0x(proof.root),
            "consistency_path": path_of(&proof),
        }))
    });
    Ok(Json(body.await?).into_response())
}
