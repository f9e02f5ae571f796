//! HTTP manners: errors, methods, types, CORS, health, metrics, shutdown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use triad_api::Limits;
use triad_chain::testing::TestChain;

use crate::common::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_told_what_is_wrong() {
    let world = World::with(Default::default(), false).await;
    let door = &world.door;
    for path in ["/nowhere", "/v1", "/v1/statements/1/receipt/x", "/v2/status", "/rpc"] {
        assert_problem(door.get(path).await, 404, "not-found").await;
    }
    let send = |method: &'static str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = door.client.request(method, format!("{}{path}", door.base));
        async { request.send().await.unwrap() }
    };
    let response = send("DELETE", "/v1/status").await;
    assert_eq!(response.headers()["allow"], "GET,HEAD");
    assert_problem(response, 405, "method-not-allowed").await;
    let response = door.get("/v1/statements").await;
    assert_eq!(response.headers()["allow"], "POST");
    assert_problem(response, 405, "method-not-allowed").await;
    assert_eq!(send("HEAD", "/v1/status").await.status(), 200);
    let problem = assert_problem(door.get("/v1/status?verbose=1").await, 400, "bad-parameter").await;
    assert_eq!(problem["parameter"], "verbose");
    for content_type in [
        "application/json",
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/cose; cose-type=\"cose-mac0\"",
        "nonsense",
    ] {
        let response = door.post(content_type, "x").await;
        assert!(response.headers()["accept"].to_str().unwrap().contains("application/cose"));
        assert_problem(response, 415, "unsupported-media-type").await;
    }
    let request = door.client.post(format!("{}/v1/statements", door.base)).header("content-encoding", "gzip");
    assert_problem(request.body("x").send().await.unwrap(), 415, "unsupported-media-type").await;
    assert_problem(door.post(COSE, "").await, 400, "empty-body").await;
    for (content_type, bytes) in [(COSE, 65_537), ("application/cbor-seq", (1 << 20) + 1), ("", 3 << 20)] {
        assert_problem(door.post(content_type, vec![0u8; bytes]).await, 413, "too-large").await;
    }
    assert_eq!(door.metric("triad_http_problems_total{code=\"too-large\"}").await, 3.0);
    assert_eq!(
        door.metric("triad_http_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"}").await,
        5.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_may_read_and_not_write() {
    let world = World::with(Default::default(), false).await;
    let url = format!("{}/v1/status", world.door.base);
    let response = world.door.client.get(&url).header("origin", "https://example.org").send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let preflight = world.door.client.request(reqwest::Method::OPTIONS, &url);
    let preflight =
        preflight.header("origin", "https://example.org").header("access-control-request-method", "POST");
    let response = preflight.send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-methods"], "GET,HEAD");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_readiness_and_metrics_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let able = Arc::new(AtomicBool::new(false));
    let mut parts = backend(&chain.ledger, chain.submitter.clone());
    let check = able.clone();
    parts.ready = Some(Arc::new(move || match check.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("consensus is starting".into()),
    }));
    parts.extra_metrics = Some(Arc::new(|| "# TYPE simplex_view gauge\nsimplex_view 7\n# EOF\n".into()));
    parts.rpc = Some(Router::new().route("/", post(|body: String| async move { format!("echo {body}") })));
    let mut config = config(Limits::default());
    config.max_commit_age = Some(Duration::from_secs(3600));
    let door = Door::open(config, parts).await;
    assert_eq!(door.json("/healthz").await["status"], "ok");
    let problem = assert_problem(door.get("/readyz").await, 503, "not-ready").await;
    assert_eq!(problem["detail"], "consensus is starting");
    able.store(true, Ordering::Relaxed);
    // The genesis of the test lies years back.
    let problem = assert_problem(door.get("/readyz").await, 503, "not-ready").await;
    assert!(problem["detail"].as_str().unwrap().contains("old"), "{problem}");
    tokio::task::block_in_place(|| chain.heartbeat());
    assert_eq!(door.json("/readyz").await["status"], "ready");
    for path in ["/rpc", "/rpc/"] {
        let response = door.client.post(format!("{}{path}", door.base)).body("hi").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "echo hi", "{path}");
    }
    let response = door.get("/metrics").await;
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(text.matches("# EOF").count(), 1);
    for sample in [
        "simplex_view 7",
        "triad_blocks_total ",
        "triad_http_requests_total{method=\"GET\",route=\"/readyz\",status=\"503\"} 2",
        "triad_http_requests_total{method=\"POST\",route=\"/rpc\",status=\"200\"} 2",
        "triad_http_request_seconds_count{route=\"/healthz\"} 1",
        "triad_http_problems_total{code=\"not-ready\"} 2",
        "triad_http_connections ",
    ] {
        assert!(text.lines().any(|line| line.starts_with(sample)), "{sample} in\n{text}");
    }
    let index = door.json("/").await;
    assert!(index["routes"].as_array().unwrap().iter().any(|r| r["path"] == "/rpc"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_closes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let chain = TestChain::start(dir.path());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let server = triad_api::serve(
        config(Limits::default()),
        backend(&chain.ledger, chain.submitter.clone()),
        shutdown,
    );
    let server = server.await.unwrap();
    let address = server.address;
    assert!(address.ip().is_loopback() && address.port() != 0);
    let taken = triad_api::ApiConfig { address, ..config(Limits::default()) };
    let error = triad_api::serve(taken, backend(&chain.ledger, chain.submitter.clone()), async {}).await;
    assert!(error.unwrap_err().to_string().contains("choose another address"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    // Leaves a kept-alive connection behind.
    client.get(format!("http://{address}/healthz")).send().await.unwrap().text().await.unwrap();
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(4), server.stopped())
        .await
        .expect("idle connections do not hold it up");
    assert!(client.get(format!("http://{address}/healthz")).send().await.is_err());
}
