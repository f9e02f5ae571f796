//! `triad models serve`: an inference endpoint in the Open Inference Protocol, version 2.
//!
//! A process of its own, not a part of a node: whatever a model costs, consensus does not pay for it. Requests are bounded in
//! bytes, rows, number and time, checked before anything runs, and refused with a problem document (RFC 9457) whose `error` member is
//! what the protocol's clients read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use triad_onnx::protocol::{self, Request};
use triad_onnx::{Model, OnnxError};

use super::super::super::{Done, block_on};
use super::open;

/// Requests that may wait for a processor; more are told to come again.
const MAX_WAITING: usize = 64;
/// How long a request may wait for a processor.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may take; what runs on is still counted.
const ANSWER: Duration = Duration::from_secs(30);
/// How long reading a request's body may take.
const BODY: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "There is no login: whoever reaches the address may run the model.\n\nExample:\n  triad models serve --file pump.onnx\n  curl \
        http://127.0.0.1:8090/v2/models/pump\n  curl -d '{\"inputs\":[{\"name\":\"X\",\"datatype\":\"FP32\",\"shape\":[1,3],\"data\":[4.1,61,2.2]}]}' \
        http://127.0.0.1:8090/v2/models/pump/infer"
)]
pub struct Args {
    /// The model's file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The model's name in the paths [default: the file's].
    #[arg(long)]
    name: Option<String>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Numbers of a row, for a file that leaves it open.
    #[arg(long)]
    width: Option<usize>,
    /// The longest request, in bytes.
    #[arg(long, default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1_024..=64 << 20), value_name = "BYTES")]
    max_body: u64,
}

struct Served {
    model: Model,
    name: String,
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    max_body: usize,
}

pub fn run(args: &Args) -> Done {
    let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = args.name.clone().or(stem).context("the file has no name: see --name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(!name.is_empty() && name.chars().all(plain), "`{name}` is no name for a path: see --name");
    let model = open(&args.file, args.width)?;
    let file = hex::encode(model.description().file);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (running, waiting) = (Arc::new(Semaphore::new(cores)), Arc::new(Semaphore::new(MAX_WAITING)));
    let served =
        Arc::new(Served { model, name: name.clone(), running, waiting, max_body: args.max_body as usize });
    block_on(async move {
        let door = tokio::net::TcpListener::bind(args.listen).await;
        let door = door.with_context(|| format!("cannot listen on {}", args.listen))?;
        let at = door.local_addr()?;
        if !at.ip().is_loopback() {
            eprintln!("triad: {at} is not a loopback address, and there is no login");
        }
        println!("http://{at}/v2/models/{name}, SHA-256 {file}");
        let stop = async {
            // An error of the handler ends it, too.
            let _ = tokio::signal::ctrl_c().await;
        };
        axum::serve(door, router(served)).with_graceful_shutdown(stop).await.context("the server ended")
    })?;
    Ok(ExitCode::SUCCESS)
}

fn router(served: Arc<Served>) -> Router {
    let model = "/v2/models/{name}";
    let version = "/v2/models/{name}/versions/{version}";
    Router::new()
        .route("/v2", get(about))
        .route("/v2/health/live", get(async || axum::Json(json!({"live": true}))))
        .route("/v2/health/ready", get(async || axum::Json(json!({"ready": true}))))
        .route(model, get(metadata))
        .route(version, get(metadata))
        .route(&format!("{model}/ready"), get(ready))
        .route(&format!("{version}/ready"), get(ready))
        .route(&format!("{model}/infer"), post(infer))
        .route(&format!("{version}/infer"), post(infer))
        .fallback(async |request: HttpRequest| {
            let path: String = request.uri().path().chars().take(200).collect();
            problem(StatusCode::NOT_FOUND, "not-found", format!("there is no {path}: see /v2"))
        })
        .method_not_allowed_fallback(async || {
            let why = "the Allow header names the methods of this path";
            problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", why)
        })
        // The body is bounded where it is read, so that too long a one is a problem document, too.
        .layer(DefaultBodyLimit::disable())
        .with_state(served)
}

fn problem(status: StatusCode, code: &str, detail: impl Into<String>) -> Response {
    let detail = detail.into();
    let body = json!({
        "type": format!("urn:triad:problem:{code}"), "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(), "code": code, "detail": detail, "error": detail,
    });
    let kind = HeaderValue::from_static("application/problem+json");
    let mut response = (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A request that is not answered: status, code, and why.
struct Refused(StatusCode, &'static str, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        problem(self.0, self.1, self.2)
    }
}

async fn about(State(served): State<Arc<Served>>) -> Response {
    let body = json!({
        "name": "triad", "version": env!("CARGO_PKG_VERSION"), "extensions": [], "models": [served.name],
    });
    axum::Json(body).into_response()
}

type Named = Path<Vec<(String, String)>>;

/// Whether a path names what is served.
fn named(served: &Served, path: &Named) -> Result<(), Refused> {
    let file = hex::encode(served.model.description().file);
    for (key, value) in &path.0 {
        let known = if key == "name" { &served.name } else { &file };
        if value != known {
            let why = format!("there is no such {key} here; there is `{known}`");
            return Err(Refused(StatusCode::NOT_FOUND, "no-such-model", why));
        }
    }
    Ok(())
}

async fn metadata(State(served): State<Arc<Served>>, path: Named) -> Response {
    if let Err(refused) = named(&served, &path) {
        return refused.into_response();
    }
    axum::Json(protocol::metadata(&served.model, &served.name)).into_response()
}

async fn ready(State(served): State<Arc<Served>>, path: Named) -> Response {
    match named(&served, &path) {
        Ok(()) => axum::Json(json!({"name": served.name, "ready": true})).into_response(),
        Err(refused) => refused.into_response(),
    }
}

async fn infer(
    State(served): State<Arc<Served>>,
    path: Named,
    headers: HeaderMap,
    request: HttpRequest,
) -> Response {
    let checked = named(&served, &path).and_then(|()| json_only(&headers));
    if let Err(refused) = checked {
        return refused.into_response();
    }
    match body(&served, request).await {
        Ok(bytes) => answer(served, bytes).await,
        Err(refused) => refused.into_response(),
    }
}

/// The protocol's binary tensors are not read here.
fn json_only(headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("unreadable").to_owned());
    if text("inference-header-content-length").is_some() {
        let why = "binary tensors are not taken: send the numbers as JSON";
        return Err(Refused(StatusCode::BAD_REQUEST, "bad-request", why.to_owned()));
    }
    let kind = text("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // curl says the last where nothing is said.
    if ["", "application/json", "application/x-www-form-urlencoded"].contains(&kind.as_str()) {
        return Ok(());
    }
    let why = format!("`{kind}` is not taken: send application/json");
    Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", why))
}

async fn body(served: &Served, request: HttpRequest) -> Result<Bytes, Refused> {
    let read = axum::body::to_bytes(request.into_body(), served.max_body);
    match tokio::time::timeout(BODY, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let why =
                format!("the request is longer than {} bytes, or broke off: see --max-body", served.max_body);
            Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, "too-large", why))
        }
        Err(_) => {
            let why = format!("the request did not come within {} s", BODY.as_secs());
            Err(Refused(StatusCode::REQUEST_TIMEOUT, "too-slow", why))
        }
    }
}

async fn answer(served: Arc<Served>, bytes: Bytes) -> Response {
    let busy = || {
        let why = "all processors are busy and enough requests wait: come again";
        problem(StatusCode::SERVICE_UNAVAILABLE, "busy", why)
    };
    let Ok(place) = served.waiting.clone().try_acquire_owned() else { return busy() };
    let turn = tokio::time::timeout(PATIENCE, served.running.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return busy() };
    drop(place);
    let work = tokio::task::spawn_blocking(move || {
        let answer = infer_now(&served, &bytes);
        // Held to the end, whoever still waits for the answer.
        drop(turn);
        answer
    });
    match tokio::time::timeout(ANSWER, work).await {
        Ok(Ok(Ok(answer))) => axum::Json(answer).into_response(),
        Ok(Ok(Err(error))) => refused(&error),
        Ok(Err(_)) => problem(StatusCode::INTERNAL_SERVER_ERROR, "model-failed", "the model broke off"),
        Err(_) => {
            let why = format!("the answer takes longer than {} s: send fewer rows", ANSWER.as_secs());
            problem(StatusCode::GATEWAY_TIMEOUT, "too-slow", why)
        }
    }
}

fn infer_now(served: &Served, bytes: &[u8]) -> Result<Value, OnnxError> {
    let request: Value = serde_json::from_slice(bytes)
        .map_err(|error| OnnxError::Input(format!("the request is not JSON: {error}")))?;
    Request::read(&served.model, &request)?.run(&served.model, &served.name)
}

fn refused(error: &OnnxError) -> Response {
    match error {
        OnnxError::Input(why) => problem(StatusCode::BAD_REQUEST, "bad-input", why),
        other => problem(StatusCode::INTERNAL_SERVER_ERROR, "model-failed", other.to_string()),
    }
}
