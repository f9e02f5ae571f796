//! A node as the commands reach it: its HTTP API and its Ethereum JSON-RPC.

use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, U256};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use triad_chain::{TxRequest, Wallet};

/// Why a node refused a statement.
#[derive(Debug, Clone)]
pub struct Problem {
    pub code: String,
    pub detail: String,
    /// Whether the same statement may be accepted later.
    pub temporary: bool,
}

/// The HTTP API.
#[derive(Debug, Clone)]
pub struct Api {
    pub base: String,
    http: reqwest::Client,
}

impl Api {
    pub fn new(base: &str) -> anyhow::Result<Api> {
        let base = base.trim_end_matches('/').to_owned();
        let base = if base.contains("://") { base } else { format!("http://{base}") };
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        Ok(Api { base, http })
    }

    fn unreachable(&self) -> String {
        format!("no node answers at {}: is it running, and is --api right?", self.base)
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response =
            self.http.get(format!("{}{path}", self.base)).send().await.with_context(|| self.unreachable())?;
        read(response).await?.json().await.context("the node's answer is not JSON")
    }

    /// The same, `None` where there is no such thing yet.
    pub async fn find(&self, path: &str) -> anyhow::Result<Option<Value>> {
        let response =
            self.http.get(format!("{}{path}", self.base)).send().await.with_context(|| self.unreachable())?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(read(response).await?.json().await.context("the node's answer is not JSON")?))
    }

    /// Hands a statement in and waits until it is final: its leaf and height, or why it was refused.
    pub async fn statement(&self, bytes: Vec<u8>) -> anyhow::Result<Result<Value, Problem>> {
        let request = self.http.post(format!("{}/v1/statements", self.base));
        let request = request.header("content-type", "application/cose").body(bytes);
        let response = request.send().await.with_context(|| self.unreachable())?;
        if response.status().is_success() {
            return Ok(Ok(response.json().await.context("the node's answer is not JSON")?));
        }
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        let text = |key: &str| problem[key].as_str().map(str::to_owned);
        match (text("code"), text("detail")) {
            (Some(code), Some(detail)) => {
                let temporary = problem["temporary"].as_bool().unwrap_or(status.is_server_error());
                Ok(Err(Problem { code, detail, temporary }))
            }
            _ => bail!("the node answered {status}"),
        }
    }

    /// An answer of at most so many bytes, from a node that need not be trusted.
    pub async fn bytes_up_to(&self, most: usize, path: &str) -> anyhow::Result<Vec<u8>> {
        let response =
            self.http.get(format!("{}{path}", self.base)).send().await.with_context(|| self.unreachable())?;
        let mut response = read(response).await?;
        let mut bytes = Vec::new();
        while let Some(part) = response.chunk().await? {
            if bytes.len() + part.len() > most {
                bail!("{}{path} is longer than {most} bytes", self.base);
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    pub async fn bytes(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response =
            self.http.get(format!("{}{path}", self.base)).send().await.with_context(|| self.unreachable())?;
        Ok(read(response).await?.bytes().await?.to_vec())
    }
}

/// An error answer becomes its problem document's words.
async fn read(response: reqwest::Response) -> anyhow::Result<reqwest::Response> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let problem: Value = response.json().await.unwrap_or_default();
    match (problem["code"].as_str(), problem["detail"].as_str()) {
        (Some(code), Some(detail)) => bail!("{code}: {detail}"),
        (_, Some(detail)) => bail!("{detail}"),
        _ => bail!("the node answered {status}"),
    }
}

/// The Ethereum JSON-RPC.
#[derive(Debug, Clone)]
pub struct Rpc {
    url: String,
    http: reqwest::Client,
}

impl Rpc {
    pub fn new(url: &str) -> anyhow::Result<Rpc> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Ok(Rpc { url, http: reqwest::Client::builder().timeout(Duration::from_secs(60)).build()? })
    }

    pub async fn call(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.http.post(&self.url).json(&request).send().await.with_context(|| {
            format!("no node answers at {}: is it running, and is --rpc right?", self.url)
        })?;
        let answer: Value = response.json().await.context("the node's answer is not JSON")?;
        match &answer["error"] {
            Value::Null => Ok(answer["result"].clone()),
            error => bail!("{method}: {}", error["message"].as_str().unwrap_or("refused")),
        }
    }

    async fn quantity(&self, method: &str, params: Value) -> anyhow::Result<U256> {
        let value = self.call(method, params).await?;
        let text = value.as_str().with_context(|| format!("{method} gave no quantity"))?;
        Ok(U256::from_str_radix(text.trim_start_matches("0x"), 16)?)
    }

    /// In wei.
    pub async fn balance(&self, account: Address) -> anyhow::Result<U256> {
        self.quantity("eth_getBalance", json!([account, "latest"])).await
    }

    /// Of the newest block.
    pub async fn height(&self) -> anyhow::Result<u64> {
        Ok(self.quantity("eth_blockNumber", json!([])).await?.saturating_to())
    }

    /// The account's next nonce, at `latest` or `pending`.
    pub async fn nonce(&self, account: Address, at: &str) -> anyhow::Result<u64> {
        Ok(self.quantity("eth_getTransactionCount", json!([account, at])).await?.saturating_to())
    }

    pub async fn chain_id(&self) -> anyhow::Result<u64> {
        Ok(self.quantity("eth_chainId", json!([])).await?.saturating_to())
    }

    /// Executes a view function.
    pub async fn view(&self, to: Address, input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let call = json!([{"to": to, "input": format!("0x{}", hex::encode(input))}, "latest"]);
        let answer = self.call("eth_call", call).await?;
        Ok(hex::decode(answer.as_str().unwrap_or_default().trim_start_matches("0x"))?)
    }

    /// Signs, sends and waits until the transaction is final. An error says why it failed.
    pub async fn send(
        &self,
        from: &Wallet,
        to: Option<Address>,
        input: Vec<u8>,
        value: U256,
    ) -> anyhow::Result<Value> {
        let hash = self.post(from, to, input, value).await?;
        self.wait(hash).await
    }

    /// Signs and sends without waiting.
    pub async fn post(
        &self,
        from: &Wallet,
        to: Option<Address>,
        input: Vec<u8>,
        value: U256,
    ) -> anyhow::Result<B256> {
        let address = from.address();
        let text = format!("0x{}", hex::encode(&input));
        let mut call = json!({"from": address, "input": text, "value": value});
        if let Some(to) = to {
            call["to"] = json!(to);
        }
        let gas: u64 = self.quantity("eth_estimateGas", json!([call])).await?.saturating_to();
        let price: u64 = self.quantity("eth_gasPrice", json!([])).await?.saturating_to();
        let nonce = self.nonce(address, "pending").await?;
        let request = TxRequest {
            to,
            value,
            input: input.into(),
            nonce,
            gas_limit: (gas + gas / 4).min(16_000_000),
            max_fee_per_gas: u128::from(price) * 2,
        };
        let raw = from.transaction(self.chain_id().await?, request);
        let sent = self.call("eth_sendRawTransaction", json!([format!("0x{}", hex::encode(raw))])).await?;
        sent.as_str().and_then(|hash| hash.parse().ok()).context("the node gave no transaction hash")
    }

    /// Waits until a transaction is final and succeeded; returns its receipt.
    pub async fn wait(&self, hash: B256) -> anyhow::Result<Value> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(60) {
            let receipt = self.call("eth_getTransactionReceipt", json!([hash])).await?;
            match receipt["status"].as_str() {
                Some("0x1") => return Ok(receipt),
                Some(_) => bail!("transaction {hash} reverted"),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        bail!("transaction {hash} is not final after a minute: is the node making blocks?")
    }
}
