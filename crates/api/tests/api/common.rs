use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{B256, U256};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use triad_api::{ApiConfig, ApiServer, Backend, Limits};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{DefaultModel, Ledger, Submitter, contracts};
use triad_models::{RangeSpec, Spec};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

pub const T0: i64 = 1_700_000_100_000_000;
pub const COSE: &str = "application/cose; cose-type=\"cose-sign1\"";

/// A door that is closed when dropped.
pub struct Door {
    pub base: String,
    pub server: ApiServer,
    pub client: Client,
    _stop: oneshot::Sender<()>,
}

pub fn config(limits: Limits) -> ApiConfig {
    ApiConfig { address: "127.0.0.1:0".parse().unwrap(), limits, ..ApiConfig::default() }
}

impl Door {
    pub async fn open(config: ApiConfig, backend: Backend) -> Door {
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let server = triad_api::serve(config, backend, shutdown).await.unwrap();
        let client = Client::builder()
            .timeout(Duration::from_secs(60))
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Door { base: format!("http://{}", server.address), server, client, _stop: stop }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json", "{path}");
        response.json().await.unwrap()
    }

    pub async fn post(&self, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(format!("{}/v1/statements", self.base));
        let request =
            if content_type.is_empty() { request } else { request.header("content-type", content_type) };
        request.body(body).send().await.unwrap()
    }

    /// Submits one statement and gives its leaf.
    pub async fn accept(&self, statement: Bytes) -> u64 {
        let response = self.post(COSE, statement).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        response.json::<Value>().await.unwrap()["leaf"].as_u64().unwrap()
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.text().await.unwrap()
    }

    /// The value of a sample.
    pub async fn metric(&self, sample: &str) -> f64 {
        let text = self.metrics().await;
        let line =
            text.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }
}

/// The problem document of a response, its invariants checked.
pub async fn problem(response: Response) -> Value {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let retry_after = response.headers().get("retry-after").cloned();
    let problem: Value = response.json().await.unwrap();
    crate::schema::check("Problem", &problem);
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:triad:problem:{}", problem["code"].as_str().unwrap()));
    assert_ne!(problem["title"], "The statement is refused", "{problem}");
    if matches!(status, 429 | 503) {
        assert!(retry_after.is_some(), "{problem}");
    }
    problem
}

pub async fn assert_problem(response: Response, status: u16, code: &str) -> Value {
    let problem = problem(response).await;
    assert_eq!((&problem["status"], &problem["code"]), (&status.into(), &code.into()), "{problem}");
    problem
}

pub fn key(seed: u8) -> SigningKey {
    key_of(Algorithm::EdDsa, seed)
}

pub fn key_of(algorithm: Algorithm, seed: u8) -> SigningKey {
    SigningKey::from_secret_bytes(algorithm, &[seed; 32]).unwrap()
}

/// A chain, its door, and device 1.
pub struct World {
    pub door: Door,
    pub chain: TestChain,
    pub device: SigningKey,
    _dir: TempDir,
}

pub fn backend(ledger: &Ledger, submitter: Submitter) -> Backend {
    let reader = triad_chain::testing::reader(ledger);
    let mut registry = Registry::default();
    reader.register_metrics(&mut registry);
    let mut backend = Backend::new(reader, submitter, Arc::new(registry));
    backend.network = Some(Arc::new(|| serde_json::json!({"nodes": []})));
    backend.evidence = Some(Arc::new(crate::evidence::held));
    backend
}

impl World {
    pub async fn start() -> World {
        World::with(Limits::default(), true).await
    }

    /// `judged`: a range model on every stream, 20 to 25.
    pub async fn with(limits: Limits, judged: bool) -> World {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec::Range(RangeSpec { low: Some(20.0), high: Some(25.0), ..RangeSpec::default() });
        let model = DefaultModel { kind: spec.kind().into(), params: spec.params().into() };
        let models = if judged { vec![model] } else { Vec::new() };
        let chain = TestChain::with_genesis(dir.path(), genesis(models));
        let device = key(1);
        let world_backend = backend(&chain.ledger, chain.submitter.clone());
        let door = Door::open(config(limits), world_backend).await;
        let world = World { door, chain, device, _dir: dir };
        world.register(&[&world.device]);
        world
    }

    pub fn call(&self, (to, input): contracts::Call) {
        tokio::task::block_in_place(|| self.chain.send(&wallet(1), Some(to), input, U256::ZERO));
    }

    pub fn register(&self, keys: &[&SigningKey]) {
        let chain_id = self.chain.reader.spec().genesis.chain_id;
        let owner = wallet(1).address();
        let batch = keys.iter().map(|k| contracts::registration(chain_id, owner, k, B256::ZERO)).collect();
        self.call(contracts::register(batch));
    }
}

/// One temperature; number `n` is also its second.
pub fn reading(key: &SigningKey, n: u32, value: f64) -> Bytes {
    let time = T0 + i64::from(n) * 1_000_000;
    StatementBuilder::new(key, Sequence::new(0, n))
        .number("temperature", Some("Cel"), value, Some(time))
        .sign()
}

pub fn concat(statements: &[Bytes]) -> Vec<u8> {
    statements.concat()
}
