//! The chain itself: checkpoints, the genesis file, where the node stands.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use triad_chain::{ChainError, ChainMember, CheckpointSignature, Reign};
use triad_log::Checkpoint;

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::time::rfc3339_ms;

fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn view(c: &Checkpoint, certificate: Option<&[u8]>, signatures: &[CheckpointSignature]) -> Value {
    let bytes = c.encode();
    let signed = |s: &CheckpointSignature| json!({"validator": s.validator, "address": s.address, "signature": hex0x(s.signature.as_bytes())});
    json!({
        "height": c.height,
        "digest": hex0x(c.digest()),
        "cbor": hex0x(&bytes),
        "certificate": certificate.map(hex0x),
        "signatures": signatures.iter().map(signed).collect::<Vec<_>>(),
        "version": 1,
        "genesis_hash": hex0x(c.genesis_hash),
        "chain_id": c.chain_id,
        "epoch": c.epoch,
        "parent_digest": hex0x(c.parent_digest),
        "time": rfc3339_ms(c.time_ms),
        "time_ms": c.time_ms,
        "body_hash": hex0x(c.body_hash),
        "log_size": c.log_size,
        "log_root": hex0x(c.log_root),
        "app_digest": hex0x(c.app_digest),
        "eth_block_hash": hex0x(c.eth_block_hash),
        "next_validators": c.next_validators.map(hex0x),
    })
}

/// `GET /v1/checkpoint`: the newest with a certificate.
pub(crate) async fn newest(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let found = api.read(|reader| match reader.certified_checkpoint()? {
        Some((checkpoint, certificate)) => {
            let signatures = reader.checkpoint_signatures(checkpoint.height.0)?;
            Ok(Some(view(&checkpoint, Some(&certificate), &signatures)))
        }
        None => Ok(None),
    });
    let view = found.await?.ok_or_else(|| {
        Problem::new("not-certified", "no checkpoint is certified yet: try again").retry_after(1)
    })?;
    Ok(Json(view).into_response())
}

/// `GET /v1/checkpoints/{height}`; `certificate` is `null` when only a later one certifies it.
pub(crate) async fn at(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let height = path.number("height")?;
    let found = api.read(move |reader| {
        let tip = reader.height();
        let none =
            || Problem::new("no-such-block", format!("there is no block {height}; the last one is {tip}"));
        if height > tip {
            return Err(none());
        }
        let (checkpoint, certificate) = reader.checkpoint(height)?.ok_or_else(none)?;
        Ok(view(&checkpoint, certificate.as_deref(), &reader.checkpoint_signatures(height)?))
    });
    Ok(Json(found.await?).into_response())
}

/// `GET /v1/genesis`: what `triad verify --genesis` takes.
pub(crate) async fn genesis(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let mut response = api.genesis.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = HeaderValue::from_static("attachment; filename=\"genesis.json\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// `GET /v1/status`
pub(crate) async fn status(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let body = api.read(|reader| {
        let (tip, digest) = reader.tip();
        let (statements, transactions) = reader.waiting();
        let spec = reader.spec();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "name": spec.genesis.name,
            "chain_id": spec.genesis.chain_id,
            "genesis_hash": hex0x(spec.hash),
            "validators": reader.reigns().last().map_or(0, |reign| reign.validators.len()),
            "height": tip.height,
            "digest": hex0x(digest),
            "time": rfc3339_ms(tip.time_ms),
            "time_ms": tip.time_ms,
            "log_size": tip.log_size,
            "log_root": hex0x(tip.log_root),
            "waiting": {"statements": statements, "transactions": transactions},
            "disk_bytes": reader.disk_bytes()?,
        }))
    });
    Ok(Json(body.await?).into_response())
}

fn member(m: &ChainMember) -> Value {
    json!({
        "name": m.name,
        "consensus_key": hex0x(m.consensus_key),
        "checkpoint_address": m.checkpoint_address,
        "fee_recipient": m.fee_recipient,
        "network": if m.network.is_empty() { Value::Null } else { json!(m.network) },
    })
}

/// `GET /v1/validators`
pub(crate) async fn validators(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let body = api.read(|reader| {
        let reigns = reader.reigns();
        let members = |all: &[ChainMember]| all.iter().map(member).collect::<Vec<_>>();
        let epoch = |(n, reign): (usize, &Reign)| {
            let last = reign.last.map(|last| reader.checkpoint(last)).transpose()?.flatten();
            Ok::<_, ChainError>(json!({
                "epoch": n,
                "first_block": reign.first,
                "last_block": reign.last,
                "last_digest": last.map(|(checkpoint, _)| hex0x(checkpoint.digest())),
                "validators": members(&reign.validators),
            }))
        };
        let rule = |(name, height): &(String, u64)| json!({"rule": name, "height": height});
        let current = reigns.last();
        Ok(json!({
            "can_change": reader.spec().has_validator_set(),
            "epoch": reigns.len() - 1,
            "last_block": current.and_then(|reign| reign.last),
            "validators": current.map(|reign| members(&reign.validators)),
            "next": current.map(|reign| members(&reign.next)),
            "epochs": reigns.iter().enumerate().map(epoch).collect::<Result<Vec<_>, _>>()?,
            "rules": reader.scheduled_rules()?.iter().map(rule).collect::<Vec<_>>(),
        }))
    });
    Ok(Json(body.await?).into_response())
}

/// `GET /v1/network`
pub(crate) async fn network(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    match &api.backend.network {
        Some(network) => Ok(Json(network()).into_response()),
        None => Err(Problem::new("not-found", "this node does not say who the others are")),
    }
}
