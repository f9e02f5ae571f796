//! One stream: its newest reading and verdict, and the models that judge it.

use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use minicbor::data::Type;
use minicbor::decode::Decoder;
use serde_json::{Map, Value, json};
use triad_chain::{Latest, LatestReading, Stream};
use triad_log::Assurance;
use triad_models::Spec;
use triad_statement::StreamId;

use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::time::rfc3339;

pub(crate) fn no_such_stream(id: &StreamId) -> Problem {
    Problem::new("no-such-stream", format!("no reading of stream {id} is final yet"))
}

/// A `Link` to the next page (RFC 8288): this request with another `after`.
pub(crate) fn next_link(uri: &Uri, next: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(next) = next else { return headers };
    let mut target = format!("{}?", uri.path());
    for pair in uri.query().unwrap_or_default().split('&') {
        if !pair.is_empty() && pair != "after" && !pair.starts_with("after=") {
            // Writing to a string cannot fail.
            let _ = write!(target, "{pair}&");
        }
    }
    if let Ok(value) = HeaderValue::try_from(format!("<{target}after={next}>; rel=\"next\"")) {
        headers.insert(header::LINK, value);
    }
    headers
}

/// The members that all views of a stream have.
pub(crate) fn summary(id: &StreamId, stream: &Stream) -> Value {
    json!({
        "id": id,
        "origin": stream.origin,
        "name": stream.name.as_ref(),
        "unit": stream.unit.as_deref(),
    })
}

fn reading(r: &LatestReading) -> Value {
    json!({
        "time": rfc3339(r.time_us), "time_us": r.time_us, "value": r.value,
        "leaf": r.leaf, "record": r.record, "height": r.height,
    })
}

fn latest_verdict(latest: &Latest) -> Value {
    latest.verdict.map_or(Value::Null, |v| {
        json!({
            "time": rfc3339(v.time_us), "time_us": v.time_us, "kind": v.kind, "score_ppm": v.score,
            // What others attest is no stream's latest verdict.
            "class": Assurance::Consensus, "model": v.model, "leaf": v.leaf, "record": v.record, "height": v.height,
        })
    })
}

fn model((id, spec): &(u64, Arc<Spec>)) -> Value {
    let params = spec.params();
    json!({
        "id": id,
        "kind": spec.kind(),
        "class": spec.class(),
        "params": params_json(&params),
        "params_cbor": format!("0x{}", hex::encode(&params)),
        "content_hash": format!("0x{}", hex::encode(spec.content_hash())),
        "default": *id < triad_chain::FIRST_REGISTRY_MODEL,
    })
}

/// A model's parameters (a flat CBOR map of numbers, texts and bytes) as JSON.
fn params_json(cbor: &[u8]) -> Option<Value> {
    let mut d = Decoder::new(cbor);
    let mut members = Map::new();
    for _ in 0..d.map().ok()?? {
        let key = d.str().ok()?.to_owned();
        let value = match d.datatype().ok()? {
            Type::U8 | Type::U16 | Type::U32 | Type::U64 => json!(d.u64().ok()?),
            Type::I8 | Type::I16 | Type::I32 | Type::I64 => json!(d.i64().ok()?),
            Type::F16 => json!(half(&mut d)?),
            Type::F32 => json!(d.f32().ok()?),
            Type::F64 => json!(d.f64().ok()?),
            Type::Bytes => json!(format!("0x{}", hex::encode(d.bytes().ok()?))),
            _ => json!(d.str().ok()?),
        };
        members.insert(key, value);
    }
    Some(Value::Object(members))
}

/// RFC 8949, appendix D.
fn half(d: &mut Decoder<'_>) -> Option<f64> {
    let at = d.position();
    let bytes = d.input().get(at + 1..at + 3)?;
    let bits = u16::from_be_bytes([bytes[0], bytes[1]]);
    d.set_position(at + 3);
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let power = |n: i32| f64::from_bits(((1023 + n) as u64) << 52);
    let magnitude = match exponent {
        0 => fraction * power(-24),
        _ => (fraction + 1024.0) * power(exponent - 25),
    };
    Some(if bits & 0x8000 == 0 { magnitude } else { -magnitude })
}

/// `GET /v1/streams/{id}`
pub(crate) async fn get(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    let id = path.stream()?;
    let found = api.read(move |reader| {
        let (stream, latest) = reader.stream(&id)?.ok_or_else(|| no_such_stream(&id))?;
        Ok((stream, latest, reader.models(&id)?))
    });
    let (stream, latest, models) = found.await?;
    let mut body = summary(&id, &stream);
    if let Value::Object(members) = &mut body {
        members.insert("latest_reading".into(), latest.reading.as_ref().map_or(Value::Null, reading));
        members.insert("latest_verdict".into(), latest_verdict(&latest));
        members.insert("models".into(), models.iter().map(model).collect());
        let links = json!({
            "readings": format!("/v1/streams/{id}/readings"),
            "verdicts": format!("/v1/streams/{id}/verdicts"),
            "origin": format!("/v1/devices/{}", stream.origin),
        });
        members.insert("links".into(), links);
    }
    Ok(Json(body).into_response())
}

/// `GET /v1/streams/{id}/awaiting`: of each model of class attested, or of one.
pub(crate) async fn awaiting(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    let query = query.only(&["model"])?;
    let (id, wanted) = (path.stream()?, query.number("model")?);
    let found = api.read(move |reader| {
        let attested =
            reader.models(&id)?.into_iter().filter(|(_, spec)| spec.class() == Assurance::Attested);
        let models: Vec<u64> = match wanted {
            Some(model) => vec![model],
            None => attested.map(|(model, _)| model).collect(),
        };
        let mut all = Vec::new();
        for model in models {
            match reader.awaiting(&id, model)? {
                Some(readings) => all.push((model, readings)),
                None if wanted.is_some() => {
                    let why = format!("no model {model} of class attested is bound to stream {id}");
                    return Err(Problem::parameter("model", why));
                }
                // Unbound meanwhile.
                None => {}
            }
        }
        Ok(all)
    });
    let of_model = |(model, readings): (u64, Vec<LatestReading>)| json!({"model": model, "readings": readings.iter().map(reading).collect::<Vec<_>>()});
    let awaiting: Vec<Value> = found.await?.into_iter().map(of_model).collect();
    Ok(Json(json!({"stream": id, "awaiting": awaiting})).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_shown_as_json() {
        // {"a": 70, "b": -1.5 (half), "c": "x", "d": -2, "e": 0.1}
        let cbor =
            hex::decode("a56161184661 62f9be00 6163 6178 616421 6165fb3fb999999999999a".replace(' ', ""));
        assert_eq!(
            params_json(&cbor.unwrap()),
            Some(json!({"a": 70, "b": -1.5, "c": "x", "d": -2, "e": 0.1}))
        );
        assert_eq!(params_json(&[0xa0]), Some(json!({})));
        assert_eq!(params_json(&[0x80]), None);
    }

    #[test]
    fn the_next_page_keeps_the_query() {
        let uri: Uri = "/v1/streams/0x00/readings?from=1&after=9.9.9&limit=5".parse().unwrap();
        assert_eq!(
            next_link(&uri, Some("1.2.3"))[header::LINK],
            "</v1/streams/0x00/readings?from=1&limit=5&after=1.2.3>; rel=\"next\""
        );
        assert!(next_link(&uri, None).is_empty());
    }
}
