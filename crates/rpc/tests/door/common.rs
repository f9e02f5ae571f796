use std::time::Duration;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use futures::{SinkExt, StreamExt};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{ChainSpec, Ledger, Reader, Submitter, Wallet};
use triad_rpc::{Rpc, RpcConfig, ServerHandle};

/// The first topic of what [`NOISY`] emits.
pub const TOPIC: B256 = B256::with_last_byte(0xaa);

/// A door, closed when dropped.
pub struct Door {
    pub url: String,
    address: std::net::SocketAddr,
    client: Client,
    _server: ServerHandle,
}

pub fn config() -> RpcConfig {
    RpcConfig { addr: "127.0.0.1:0".parse().unwrap(), ..RpcConfig::default() }
}

impl Door {
    pub async fn open(config: RpcConfig, reader: Reader, submitter: Submitter) -> Door {
        let rpc = Rpc::new(config, reader, submitter, vec![wallet(0).address()]).unwrap();
        let (address, server) = rpc.listen().await.unwrap();
        let client = Client::builder().timeout(Duration::from_secs(60)).no_proxy().build().unwrap();
        Door { url: format!("http://{address}"), address, client, _server: server }
    }

    /// What a body is answered with: the status and the text.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let request = self.client.post(&self.url).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The whole answer to a call.
    pub async fn answer(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let (status, text) = self.post(body).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn call(&self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Code, message and data of the error that a call ends with.
    pub async fn error(&self, method: &str, params: Value) -> (i64, String, Value) {
        let mut answer = self.answer(method, params).await;
        let error = answer["error"].take();
        assert!(error.is_object(), "{method} succeeded: {answer}");
        (
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
            error["data"].clone(),
        )
    }

    pub async fn send(&self, raw: &Bytes) -> B256 {
        serde_json::from_value(self.call("eth_sendRawTransaction", json!([raw])).await).unwrap()
    }

    /// Sends and waits for the receipt.
    pub async fn receipt(&self, raw: &Bytes) -> Value {
        self.call("eth_sendRawTransactionSync", json!([raw])).await
    }

    pub async fn socket(&self) -> Socket {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (stream, _) = client_async(format!("ws://{}/", self.address), stream).await.unwrap();
        Socket { stream, id: 0, waiting: Vec::new() }
    }
}

pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    id: u64,
    /// Notifications that came before an answer.
    waiting: Vec<Value>,
}

impl Socket {
    async fn receive(&mut self) -> Option<Value> {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(20), self.stream.next()).await;
            match message.expect("a message within 20 s")? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub async fn answer(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let body = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        self.stream.send(Message::text(body.to_string())).await.unwrap();
        loop {
            let message = self.receive().await.expect("the connection is open");
            if message["id"] == self.id {
                return message;
            }
            self.waiting.push(message);
        }
    }

    pub async fn subscribe(&mut self, method: &str, params: Value) -> String {
        let answer = self.answer(method, params).await;
        answer["result"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The `params` of the next notification.
    pub async fn next(&mut self) -> Value {
        if !self.waiting.is_empty() {
            return self.waiting.remove(0)["params"].take();
        }
        self.receive().await.expect("the connection is open")["params"].take()
    }

    pub async fn results(&mut self, count: usize) -> Vec<Value> {
        let mut out = Vec::new();
        while out.len() < count {
            out.push(self.next().await["result"].take());
        }
        out
    }
}

/// A chain that makes blocks by itself, and its door.
pub struct World {
    pub door: Door,
    pub chain: TestChain,
    _dir: TempDir,
}

impl World {
    pub async fn start() -> World {
        World::with(config(), genesis(Vec::new())).await
    }

    pub async fn with(config: RpcConfig, genesis: triad_chain::Genesis) -> World {
        let dir = tempfile::tempdir().unwrap();
        let chain = TestChain::with_genesis(dir.path(), genesis);
        let door = Door::open(config, chain.reader.clone(), chain.submitter.clone()).await;
        World { door, chain, _dir: dir }
    }

    pub async fn noisy(&self) -> Address {
        let receipt = self.door.receipt(&tx(0).nonce(0).create(NOISY)).await;
        serde_json::from_value(receipt["contractAddress"].clone()).unwrap()
    }
}

/// A chain that makes a block only when it is told to.
pub struct Still {
    pub door: Door,
    pub ledger: Ledger,
    _dir: TempDir,
}

impl Still {
    pub async fn start() -> Still {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), ChainSpec::new(genesis(Vec::new())).unwrap()).unwrap();
        let submitter = Submitter::start(ledger.clone(), 1).unwrap();
        let door = Door::open(config(), Reader::new(ledger.clone()), submitter).await;
        Still { door, ledger, _dir: dir }
    }

    pub async fn advance(&self) -> bool {
        let ledger = self.ledger.clone();
        tokio::task::spawn_blocking(move || triad_chain::testing::advance(&ledger, false)).await.unwrap()
    }
}

/// Creates a contract that emits as many logs as the first word of its input says. Each has the topics [`TOPIC`] and its
/// number, counted from 0 in each call, and no data.
pub const NOISY: &[u8] = &[
    0x60, 0x18, 0x80, 0x60, 0x09, 0x5f, 0x39, 0x5f, 0xf3, // returns the 24 bytes that follow
    0x5f, // i = 0
    0x5b, // at 1, the loop:
    0x5f, 0x35, 0x81, 0x10, 0x15, 0x60, 0x16, 0x57, // to 22 unless i < input
    0x80, 0x60, 0xaa, 0x5f, 0x5f, 0xa2, // log2(0, 0, TOPIC, i)
    0x60, 0x01, 0x01, 0x60, 0x01, 0x56, // i += 1, to 1
    0x5b, 0x00, // at 22: stop
];

pub fn times(n: u64) -> Vec<u8> {
    U256::from(n).to_be_bytes::<32>().to_vec()
}

/// A transaction to be signed by the test wallet at an index.
#[derive(Clone)]
pub struct Tx {
    from: u8,
    pub tx: TxEip1559,
}

pub fn tx(from: u8) -> Tx {
    Tx {
        from,
        tx: TxEip1559 {
            chain_id: 7423,
            gas_limit: 3_000_000,
            max_fee_per_gas: 2_000_000_000,
            to: TxKind::Call(wallet(7).address()),
            ..TxEip1559::default()
        },
    }
}

impl Tx {
    pub fn nonce(mut self, nonce: u64) -> Tx {
        self.tx.nonce = nonce;
        self
    }

    pub fn tip(mut self, tip: u128) -> Tx {
        self.tx.max_priority_fee_per_gas = tip;
        self.tx.max_fee_per_gas = 1_000_000_000 + tip;
        self
    }

    pub fn gas(mut self, gas: u64) -> Tx {
        self.tx.gas_limit = gas;
        self
    }

    pub fn value(self, value: u64) -> Bytes {
        self.wei(U256::from(value))
    }

    pub fn wei(mut self, value: U256) -> Bytes {
        self.tx.value = value;
        self.raw()
    }

    pub fn call(mut self, to: Address, input: Vec<u8>) -> Bytes {
        self.tx.to = TxKind::Call(to);
        self.tx.input = input.into();
        self.raw()
    }

    pub fn create(mut self, code: &[u8]) -> Bytes {
        self.tx.to = TxKind::Create;
        self.tx.input = code.to_vec().into();
        self.raw()
    }

    pub fn raw(self) -> Bytes {
        sign(&wallet(self.from), self.tx)
    }
}

/// Signs any kind of transaction.
pub fn sign<T: SignableTransaction<Signature>>(wallet: &Wallet, tx: T) -> Bytes
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = wallet.sign_hash(&tx.signature_hash());
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718().into()
}

pub fn hex(n: u64) -> String {
    format!("{n:#x}")
}

pub fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no quantity"));
    u64::from_str_radix(&text[2..], 16).unwrap()
}
