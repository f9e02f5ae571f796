//! Every route of the door.

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tower_http::cors::{Any, CorsLayer};

use crate::problem::Problem;
use crate::state::Api;
use crate::{
    chain, devices, did, evidence, health, log, metrics, openapi, readings, snapshots, statements, streams,
    submit, verdicts,
};

/// (method, path, what it gives), for the index and the OpenAPI document.
pub(crate) const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/", "This list"),
    (
        "POST",
        "/v1/statements",
        "Submit one signed statement, or a CBOR sequence of many; answered when final",
    ),
    ("GET", "/v1/statements/{leaf}", "A statement with its readings and verdicts, or its bytes"),
    ("GET", "/v1/statements/{leaf}/receipt", "The receipt that proves a statement offline"),
    ("GET", "/v1/devices", "Registered devices"),
    ("GET", "/v1/devices/{id}", "A device: key, status, epoch, next sequence number, streams"),
    ("GET", "/v1/devices/{id}/did.json", "The device's DID document (did:web)"),
    ("GET", "/v1/devices/{id}/streams", "The streams of a device"),
    ("GET", "/v1/devices/{id}/streams/{name}", "A stream by its device and name"),
    ("GET", "/v1/devices/{id}/streams/{name}/readings", "Its readings by time"),
    ("GET", "/v1/devices/{id}/streams/{name}/verdicts", "Its verdicts"),
    ("GET", "/v1/streams/{id}", "A stream: newest reading, newest verdict, models"),
    ("GET", "/v1/streams/{id}/readings", "The readings of a stream by time"),
    ("GET", "/v1/streams/{id}/verdicts", "The verdicts on a stream"),
    (
        "GET",
        "/v1/streams/{id}/awaiting",
        "The readings that await the verdict of a model that validators do not run",
    ),
    ("GET", "/v1/checkpoint", "The newest certified checkpoint"),
    ("GET", "/v1/checkpoints/{height}", "The checkpoint of a block"),
    ("GET", "/v1/log/{leaf}", "The hash of a leaf, and that it is in the log (RFC 9162)"),
    ("GET", "/v1/log/consistency", "That an older log is the beginning of a newer one (RFC 9162)"),
    ("GET", "/v1/blocks/{height}", "A block's bytes"),
    ("GET", "/v1/snapshots", "Snapshots of the whole state that a new node can begin with"),
    ("GET", "/v1/snapshots/{height}", "A snapshot's head: its chunks, and who vouches for them"),
    ("GET", "/v1/snapshots/{height}/chunks/{index}", "A chunk of a snapshot"),
    ("GET", "/v1/genesis", "The genesis file, which receipts are verified against"),
    ("GET", "/v1/status", "Where the node stands"),
    ("GET", "/v1/validators", "Who decides blocks, in every epoch and in the next, and the rules to come"),
    ("GET", "/v1/network", "The other nodes: who is in reach, how far they are, what they voted"),
    ("GET", "/v1/network/evidence", "Proofs that validators voted twice"),
    ("GET", "/v1/network/evidence/{id}", "One of them as a file, which is checked offline"),
    ("GET", "/v1/openapi.json", "This API as an OpenAPI 3.1 document"),
    ("GET", "/healthz", "Whether the program answers"),
    ("GET", "/readyz", "Whether the node can make statements final"),
    ("GET", "/metrics", "Metrics in OpenMetrics text"),
];

pub(crate) fn router(api: &Api) -> Router {
    let own = Router::new()
        .route("/", get(index))
        .route("/v1/statements", post(submit::post))
        .route("/v1/statements/{leaf}", get(statements::get))
        .route("/v1/statements/{leaf}/receipt", get(statements::receipt))
        .route("/v1/devices", get(devices::list))
        .route("/v1/devices/{id}", get(devices::get))
        .route("/v1/devices/{id}/did.json", get(did::get))
        .route("/v1/devices/{id}/streams", get(devices::streams))
        .route("/v1/devices/{id}/streams/{name}", get(streams::get))
        .route("/v1/devices/{id}/streams/{name}/readings", get(readings::list))
        .route("/v1/devices/{id}/streams/{name}/verdicts", get(verdicts::list))
        .route("/v1/streams/{id}", get(streams::get))
        .route("/v1/streams/{id}/readings", get(readings::list))
        .route("/v1/streams/{id}/verdicts", get(verdicts::list))
        .route("/v1/streams/{id}/awaiting", get(streams::awaiting))
        .route("/v1/checkpoint", get(chain::newest))
        .route("/v1/checkpoints/{height}", get(chain::at))
        .route("/v1/log/{leaf}", get(log::inclusion))
        .route("/v1/log/consistency", get(log::consistency))
        .route("/v1/blocks/{height}", get(snapshots::block))
        .route("/v1/snapshots", get(snapshots::list))
        .route("/v1/snapshots/{height}", get(snapshots::head))
        .route("/v1/snapshots/{height}/chunks/{index}", get(snapshots::chunk))
        .route("/v1/genesis", get(chain::genesis))
        .route("/v1/status", get(chain::status))
        .route("/v1/validators", get(chain::validators))
        .route("/v1/network", get(chain::network))
        .route("/v1/network/evidence", get(evidence::list))
        .route("/v1/network/evidence/{id}", get(evidence::get))
        .route("/v1/openapi.json", get(openapi::get))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // What is final is public, so any page may read it.
        .layer(
            CorsLayer::new()
                .allow_origin(Any)
                .allow_methods([Method::GET, Method::HEAD])
                .allow_headers([header::ACCEPT])
                .expose_headers([header::LINK, header::RETRY_AFTER, header::CONTENT_DISPOSITION]),
        );
    let all = match &api.backend.rpc {
        Some(rpc) => own.nest_service("/rpc", rpc.clone()),
        None => own,
    };
    all.layer(middleware::from_fn_with_state(api.clone(), metrics::observe)).with_state(api.clone())
}

async fn index(State(api): State<Api>) -> Response {
    let mut routes: Vec<Value> = ROUTES
        .iter()
        .map(|(method, path, gives)| json!({"method": method, "path": path, "gives": gives}))
        .collect();
    if api.backend.rpc.is_some() {
        routes.push(json!({"method": "POST", "path": "/rpc", "gives": "Ethereum JSON-RPC"}));
    }
    let body = json!({
        "name": "triad",
        "version": env!("CARGO_PKG_VERSION"),
        "chain_id": api.backend.reader.spec().genesis.chain_id,
        "routes": routes,
    });
    Json(body).into_response()
}

async fn not_found(request: Request) -> Problem {
    let path: String = request.uri().path().chars().take(200).collect();
    Problem::new("not-found", format!("there is no route {path}: GET / lists all of them"))
}

async fn method_not_allowed(request: Request) -> Problem {
    let why =
        format!("{} is not a method of this route; the Allow header names those it has", request.method());
    Problem::new("method-not-allowed", why)
}
