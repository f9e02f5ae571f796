//! Registered devices, as the registry contract knows them.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use triad_chain::{Device, Stream};
use triad_statement::{DeviceId, Sequence, StreamId};

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::statements::SequenceView;
use crate::streams::{next_link, summary};

pub(crate) fn no_such_device(id: &DeviceId) -> Problem {
    Problem::new("no-such-device", format!("device {id} is not registered"))
}

fn hex0x(bytes: impl AsRef<[u8]>) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn view(id: &DeviceId, device: &Device) -> Value {
    let key = device.key.as_ref().map(|key| {
        json!({
            "cose_key": hex0x(key.cose_key()),
            "did_key": key.did_key(),
            "fingerprint": hex0x(key.fingerprint()),
            "since_height": device.key_since,
        })
    });
    json!({
        "id": id,
        "owner": hex0x(device.owner),
        "algorithm": device.key.as_ref().map(|key| key.algorithm().name()),
        "key": key,
        "status": device.status.name(),
        "epoch": device.epoch,
        "metadata": hex0x(device.metadata),
        "registered_at_height": device.registered_at,
        "speakers": device.speakers.iter().collect::<Vec<_>>(),
    })
}

fn streams_view(streams: &[(StreamId, Stream)]) -> Value {
    streams.iter().map(|(id, stream)| summary(id, stream)).collect()
}

/// `GET /v1/devices`
pub(crate) async fn list(State(api): State<Api>, query: Query, uri: Uri) -> Result<Response, Problem> {
    let query = query.only(&["limit", "after"])?;
    let limit = query.limit(&api)?;
    let after: Option<Result<DeviceId, _>> = query.get("after").map(|text| text.to_ascii_lowercase().parse());
    let after = after.transpose().map_err(|e| Problem::parameter("after", e))?;
    let page = api.scan(move |reader| Ok(reader.devices(after, limit)?)).await?;
    let devices: Vec<Value> = page.items.iter().map(|(id, device)| view(id, device)).collect();
    let body = json!({"devices": devices, "next": page.next});
    Ok((next_link(&uri, page.next.as_deref()), Json(body)).into_response())
}

/// `GET /v1/devices/{id}`
pub(crate) async fn get(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let id = path.device("id")?;
    let found = api.read(move |reader| {
        let device = reader.device(&id)?.ok_or_else(|| no_such_device(&id))?;
        Ok((device, reader.next_sequence(&id)?))
    });
    let (device, next) = found.await?;
    let streams = api.scan(move |reader| Ok(reader.streams(&id)?)).await?;
    let mut body = view(&id, &device);
    if let Value::Object(members) = &mut body {
        let next: Option<SequenceView> = next.filter(|_| device.key.is_some()).map(Sequence::into);
        members.insert("next_sequence".into(), json!(next));
        members.insert("streams".into(), streams_view(&streams));
        let links = json!({
            "streams": format!("/v1/devices/{id}/streams"),
            "did": format!("/v1/devices/{id}/did.json"),
        });
        members.insert("links".into(), links);
    }
    Ok(Json(body).into_response())
}

/// `GET /v1/devices/{id}/streams`
pub(crate) async fn streams(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let id = path.device("id")?;
    let found = api.scan(move |reader| {
        reader.device(&id)?.ok_or_else(|| no_such_device(&id))?;
        Ok(reader.streams(&id)?)
    });
    let streams = found.await?;
    Ok(Json(json!({"device": id, "streams": streams_view(&streams)})).into_response())
}
