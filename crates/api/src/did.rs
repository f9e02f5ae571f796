//! DID documents of devices, by the did:web method.
//!
//! `did:web:<host>:v1:devices:<id>` is resolved at `https://<host>/v1/devices/<id>/did.json`; the colon before a port is
//! percent-encoded. The host is the one the request names, or what the operator configured. The method asks for a
//! host name: with an IP address the document is served all the same, for tests, but resolvers will refuse it.
//!
//! The device's current key is its only verification method, a `Multikey` named by its `did:key` URL. A suspended
//! device keeps it; a revoked one has none, and its document says `deactivated`.

use axum::extract::State;
use axum::http::{HeaderMap, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use triad_chain::{Device, Status};
use triad_statement::DeviceId;

use crate::devices::no_such_device;
use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;

/// Longest host with port: a DNS name has 253 characters.
const MAX_HOST: usize = 260;

/// A host and port as a method-specific identifier spells it.
fn identifier(host: &str) -> Option<String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let literal = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let valid_name = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    let valid_port = port.is_none_or(|p| p.len() <= 5 && p.parse::<u16>().is_ok());
    if host.len() > MAX_HOST || !valid_name || !valid_port {
        return None;
    }
    let spelled = |c: char| match c {
        '[' => "%5B".to_owned(),
        ']' => "%5D".to_owned(),
        ':' => "%3A".to_owned(),
        c => c.to_ascii_lowercase().to_string(),
    };
    Some(host.chars().map(spelled).collect())
}

fn document(identifier: &str, id: &DeviceId, device: &Device) -> Value {
    let did = format!("did:web:{identifier}:v1:devices:{id}");
    let mut document = json!({
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
    });
    match &device.key {
        _ if device.status == Status::Revoked => document["deactivated"] = true.into(),
        None => {}
        Some(key) => {
            let multibase = key.multibase();
            let method = format!("{}#{multibase}", key.did_key());
            document["verificationMethod"] = json!([{
                "id": method, "type": "Multikey", "controller": did, "publicKeyMultibase": multibase,
            }]);
            document["authentication"] = json!([method]);
            document["assertionMethod"] = json!([method]);
        }
    }
    document
}

/// `GET /v1/devices/{id}/did.json`
pub(crate) async fn get(
    State(api): State<Api>,
    path: Path,
    query: Query,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let id = path.device("id")?;
    let asked = headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let host = api.config.public_host.as_deref().or(uri.authority().map(|a| a.as_str())).or(asked);
    let host = host.ok_or_else(|| Problem::parameter("Host", "the header is missing"))?;
    let identifier = identifier(host)
        .ok_or_else(|| Problem::parameter("Host", "expected a host name, with or without a port"))?;
    let device = api.read(move |reader| reader.device(&id)?.ok_or_else(|| no_such_device(&id))).await?;
    let body = document(&identifier, &id, &device).to_string();
    Ok(([(header::CONTENT_TYPE, "application/did+json")], body).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_become_identifiers() {
        for (host, expected) in [
            ("example.com", Some("example.com")),
            ("Example.com:3000", Some("example.com%3A3000")),
            ("127.0.0.1:8080", Some("127.0.0.1%3A8080")),
            ("[::1]:8080", Some("%5B%3A%3A1%5D%3A8080")),
            ("[::1]", Some("%5B%3A%3A1%5D")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a/b", None),
            ("user@host", None),
            ("host:99999", None),
            ("host:port", None),
            ("[zz]:1", None),
        ] {
            assert_eq!(identifier(host).as_deref(), expected, "{host}");
        }
    }
}
