//! `GET /v1/openapi.json`: this API as an OpenAPI 3.1 document, made from the table of routes.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use triad_log::VerdictKind;

use crate::config::Limits;
use crate::evidence::EVIDENCE;
use crate::problem::PROBLEM_JSON;
use crate::routes::ROUTES;
use crate::schemas::{self, reference};
use crate::snapshots;
use crate::state::Api;
use crate::statements::{COSE, RECEIPT};

/// The validator's key, epoch, view and kind.
const EVIDENCE_ID: &str = "^[0-9a-f]{64}-[0-9]{1,20}-[0-9]{1,20}-[1-3]$";

fn query(name: &str, kind: Value, what: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "schema": kind, "description": what})
}

fn path_parameter(path: &str, name: &str) -> Value {
    let hex = |digits| json!({"type": "string", "pattern": format!("^0x[0-9a-fA-F]{{{digits}}}$")});
    let (schema, what) = match name {
        "leaf" => (whole(), "leaf index in the log"),
        "height" => (whole(), "block number"),
        "index" => (whole(), "counts from 0"),
        "name" => (json!({"type": "string", "minLength": 1}), "resolved SenML name, percent-encoded"),
        _ if path.starts_with("/v1/streams") => (hex(64), "stream id"),
        _ if path.starts_with("/v1/network") => {
            (json!({"type": "string", "pattern": EVIDENCE_ID}), "key, epoch, view and kind")
        }
        _ => (hex(40), "device id"),
    };
    json!({"name": name, "in": "path", "required": true, "schema": schema, "description": what})
}

fn whole() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX})
}

fn page(limits: &Limits, cursor: &str) -> [Value; 2] {
    let limit =
        json!({"type": "integer", "minimum": 1, "maximum": limits.max_page, "default": limits.default_page});
    let after = json!({"type": "string", "pattern": cursor});
    [query("limit", limit, "rows of a page"), query("after", after, "the `next` of the page before")]
}

fn parameters(path: &str, limits: &Limits) -> Vec<Value> {
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Value> = in_path.map(|name| path_parameter(path, name)).collect();
    match path.rsplit('/').next() {
        Some("readings") => {
            let time = || json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "integer"}]});
            let words = "RFC 3339, or milliseconds since 1970";
            all.push(query("from", time(), &format!("first time: {words}")));
            all.push(query("to", time(), &format!("first time that is too late: {words}")));
            all.extend(page(limits, "^-?[0-9]{1,18}\\.[0-9]{1,18}\\.[0-9]{1,18}$"));
        }
        Some("verdicts") => {
            let names: Vec<&str> = VerdictKind::ALL.into_iter().map(VerdictKind::name).collect();
            let kinds = json!({"type": "array", "minItems": 1, "items": {"enum": names}});
            let mut kinds = query("kind", kinds, "kinds, separated by commas; a filtered page may be short");
            kinds["style"] = "form".into();
            kinds["explode"] = false.into();
            all.push(query("from_height", whole(), "first block"));
            all.push(query("to_height", whole(), "last block"));
            all.push(kinds);
            all.push(query("model", whole(), "model id"));
            all.extend(page(limits, "^[0-9]{1,18}\\.[0-9]{1,18}$"));
        }
        Some("awaiting") => all.push(query("model", whole(), "only of this model")),
        Some("receipt") => all.push(query(
            "under",
            json!({"enum": ["first", "newest"], "default": "first"}),
            "under the first certified checkpoint above the statement, or the newest",
        )),
        Some("consistency") => {
            all.push(query("from", whole(), "leaves of the older log; default 0"));
            all.push(query("to", whole(), "leaves of the newer log; default: all"));
        }
        Some("{leaf}") if path.starts_with("/v1/log") => {
            all.push(query("size", whole(), "leaves of the log that the proof is about; default: all"));
        }
        Some("evidence") => all.extend(page(limits, EVIDENCE_ID)),
        Some("devices") => all.extend(page(limits, "^0x[0-9a-fA-F]{40}$")),
        _ => {}
    }
    all
}

/// Name of the schema and media types of a route's good answer; other formats have no schema.
fn good_answer(path: &str) -> Value {
    let schema = |name: &str| json!({"schema": reference(name)});
    let json = |name: &str| json!({"application/json": schema(name)});
    let any_json = || json!({"application/json": {"schema": {"type": "object"}}});
    let binary = json!({});
    match path {
        "/v1/statements/{leaf}" => json!({"application/json": schema("Statement"), COSE: binary}),
        "/v1/statements/{leaf}/receipt" => json!({RECEIPT: binary}),
        "/v1/devices" => json("Devices"),
        "/v1/devices/{id}" => json("DeviceDetail"),
        "/v1/devices/{id}/did.json" => json!({"application/did+json": schema("DidDocument")}),
        "/v1/devices/{id}/streams" => json("DeviceStreams"),
        "/v1/devices/{id}/streams/{name}" | "/v1/streams/{id}" => json("Stream"),
        "/v1/checkpoint" | "/v1/checkpoints/{height}" => json("Checkpoint"),
        "/v1/status" => json("Status"),
        "/v1/log/{leaf}" => json("Inclusion"),
        "/v1/log/consistency" => json("Consistency"),
        "/v1/blocks/{height}" => json!({snapshots::BLOCK: binary}),
        "/v1/snapshots" => json("Snapshots"),
        "/v1/snapshots/{height}" => json!({snapshots::HEAD: binary}),
        "/v1/snapshots/{height}/chunks/{index}" => json!({snapshots::CHUNK: binary}),
        "/v1/network/evidence" => json("EvidenceList"),
        "/v1/network/evidence/{id}" => json!({EVIDENCE: binary}),
        "/metrics" => json!({"application/openmetrics-text": {"schema": {"type": "string"}}}),
        _ if path.ends_with("/readings") => json("Readings"),
        _ if path.ends_with("/verdicts") => json("Verdicts"),
        _ if path.ends_with("/awaiting") => json("Awaiting"),
        _ => any_json(),
    }
}

fn answer(what: &str, content: Value) -> Value {
    json!({"description": what, "content": content})
}

fn operation(method: &str, path: &str, summary: &str, limits: &Limits) -> Value {
    let problem = answer("A problem document", json!({PROBLEM_JSON: {"schema": reference("Problem")}}));
    let mut operation = json!({
        "summary": summary,
        "operationId": operation_id(method, path),
        "responses": {"default": problem},
    });
    let parameters = parameters(path, limits);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if method == "POST" {
        let either = json!({"anyOf": [reference("Accepted"), reference("Batch")]});
        operation["requestBody"] = json!({
            "required": true,
            "description": format!(
                "One COSE_Sign1 statement (at most {} bytes), or a CBOR sequence of them (at most {} bytes and {} \
                 statements)",
                limits.statement_bytes, limits.batch_bytes, limits.batch_statements
            ),
            "content": {COSE: {}, "application/cbor-seq": {}, "application/cbor": {}, "application/octet-stream": {}},
        });
        operation["responses"]["201"] =
            answer("Everything is final", json!({"application/json": {"schema": either}}));
        let batch = json!({"application/json": {"schema": reference("Batch")}});
        operation["responses"]["207"] = answer("Some statements of a sequence are not", batch);
    } else {
        operation["responses"]["200"] = answer(summary, good_answer(path));
    }
    operation
}

fn operation_id(method: &str, path: &str) -> String {
    let mut id = method.to_ascii_lowercase();
    for part in path.split(['/', '.', '{', '}']).filter(|part| !part.is_empty() && *part != "v1") {
        let (first, rest) = part.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}

pub(crate) fn document(limits: &Limits) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, summary) in ROUTES {
        paths.insert(
            (*path).to_owned(),
            json!({method.to_ascii_lowercase(): operation(method, path, summary, limits)}),
        );
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Triad",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Signed readings in, finality, verdicts and receipts out. 201 means final and on disk.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas::all()},
    })
}

pub(crate) async fn get(State(api): State<Api>) -> Response {
    Json(document(&api.config.limits)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(target)) = members.get("$ref") {
                    found.push(target.clone());
                }
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_ids_are_unique() {
        let document = document(&Limits::default());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for target in found {
            let pointer = target.strip_prefix('#').expect("a local reference");
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        let mut ids: Vec<_> = ROUTES.iter().map(|(method, path, _)| operation_id(method, path)).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
        assert_eq!(document["paths"].as_object().map(Map::len), Some(ROUTES.len()));
    }
}
