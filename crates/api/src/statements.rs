//! One statement: what it says, in JSON, or its very bytes; and its receipt.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Value as Json_, json};
use triad_chain::{Attested, ReceiptError, StoredStatement};
use triad_log::Verdict;
use triad_statement::{
    Clock, Content, ContentType, DeviceId, HashAlgorithm, HashEnvelope, Record, Sequence, StatementId,
    StreamId, Value,
};

use crate::accept::choose;
use crate::params::{Path, Query};
use crate::problem::Problem;
use crate::state::Api;
use crate::time::{rfc3339, rfc3339_ms};
use crate::verdicts::VerdictView;

pub(crate) const COSE: &str = "application/cose; cose-type=\"cose-sign1\"";
pub(crate) const RECEIPT: &str = "application/vnd.triad.receipt+cbor";

/// A sequence number; `number` may exceed 2^53, its two halves never do.
#[derive(Debug, Serialize)]
pub(crate) struct SequenceView {
    epoch: u32,
    counter: u32,
    number: u64,
}

impl From<Sequence> for SequenceView {
    fn from(s: Sequence) -> SequenceView {
        SequenceView { epoch: s.epoch(), counter: s.counter(), number: s.0 }
    }
}

#[derive(Debug, Serialize)]
struct StatementView {
    leaf: u64,
    statement_id: StatementId,
    height: u64,
    block_time: Option<String>,
    block_time_ms: u64,
    signer: DeviceId,
    origin: DeviceId,
    /// `device-signed` or `gateway-signed`.
    signed: &'static str,
    algorithm: &'static str,
    sequence: SequenceView,
    issued_at: Option<String>,
    issued_at_us: Option<i64>,
    bytes: usize,
    content: Json_,
    readings: Vec<RecordView>,
    verdicts: Vec<VerdictView>,
    links: Json_,
}

/// A record of the pack. Exactly one of `value`, `text`, `boolean` and `data` is there, or only `sum`.
#[derive(Debug, Serialize)]
struct RecordView {
    record: usize,
    stream: StreamId,
    name: String,
    unit: Option<String>,
    time: Option<String>,
    time_us: i64,
    clock: Clock,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boolean: Option<bool>,
    /// base64url without padding, as in SenML.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sum: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update_seconds: Option<f64>,
}

impl RecordView {
    fn new(index: usize, record: &Record, issued_at: Option<i64>, time_ms: u64) -> RecordView {
        let (time_us, clock) = record.time.resolve(issued_at, time_ms);
        let value = &record.value;
        RecordView {
            record: index,
            stream: record.stream,
            name: record.name.to_string(),
            unit: record.unit.as_deref().map(str::to_owned),
            time: rfc3339(time_us),
            time_us,
            clock,
            value: record.number(),
            text: if let Value::Text(text) = value { Some(text.to_string()) } else { None },
            boolean: if let Value::Bool(b) = value { Some(*b) } else { None },
            data: if let Value::Data(data) = value { Some(URL_SAFE_NO_PAD.encode(data)) } else { None },
            sum: record.sum,
            update_seconds: record.update,
        }
    }
}

fn content(content: &Content) -> Json_ {
    match content {
        Content::Senml(_) => json!({"kind": "senml"}),
        Content::Encrypted => json!({"kind": "encrypted"}),
        Content::Verdicts(attestation) => json!({
            "kind": "verdicts",
            "model_file": format!("0x{}", hex::encode(attestation.file)),
            "judged": attestation.verdicts.iter().map(|v| json!({
                "stream": v.stream, "model": v.model, "leaf": v.leaf, "record": v.record,
            })).collect::<Vec<_>>(),
        }),
        Content::HashEnvelope(HashEnvelope { algorithm, digest, content_type, location }) => json!({
            "kind": "hash-envelope",
            "hash_algorithm": match algorithm {
                HashAlgorithm::Sha256 => "SHA-256",
                HashAlgorithm::Sha384 => "SHA-384",
                HashAlgorithm::Sha512 => "SHA-512",
            },
            "digest": format!("0x{}", hex::encode(digest)),
            "content_type": content_type.as_ref().map(|t| match t {
                ContentType::Number(n) => json!(n),
                ContentType::Text(text) => json!(text.as_ref()),
            }),
            "location": location.as_deref(),
        }),
    }
}

fn view(stored: &StoredStatement, verdicts: Vec<VerdictView>) -> StatementView {
    let (s, leaf) = (&stored.statement, stored.leaf);
    let record = |(i, r)| RecordView::new(i, r, s.issued_at(), stored.time_ms);
    StatementView {
        leaf,
        statement_id: s.id(),
        height: stored.height,
        block_time: rfc3339_ms(stored.time_ms),
        block_time_ms: stored.time_ms,
        signer: s.signer(),
        origin: s.origin(),
        signed: if s.on_behalf() { "gateway-signed" } else { "device-signed" },
        algorithm: s.algorithm().name(),
        sequence: s.sequence().into(),
        issued_at: s.issued_at().and_then(rfc3339),
        issued_at_us: s.issued_at(),
        bytes: s.bytes().len(),
        content: content(s.content()),
        readings: s.records().iter().enumerate().map(record).collect(),
        verdicts,
        links: json!({
            "receipt": format!("/v1/statements/{leaf}/receipt"),
            "origin": format!("/v1/devices/{}", s.origin()),
            "checkpoint": format!("/v1/checkpoints/{}", stored.height),
        }),
    }
}

fn no_such_leaf(leaf: u64, size: u64) -> Problem {
    Problem::new(
        "no-such-leaf",
        format!("there is no leaf {leaf}; the log has {size} leaves, counted from 0"),
    )
}

fn not_a_statement(leaf: u64) -> Problem {
    Problem::new("not-a-statement", format!("leaf {leaf} is a block's verdict leaf, not a statement's"))
}

/// `GET /v1/statements/{leaf}`
pub(crate) async fn get(
    State(api): State<Api>,
    path: Path,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    query.only(&[])?;
    let leaf = path.number("leaf")?;
    let offered: [&[&str]; 2] =
        [&["application/json"], &["application/cose", "application/cbor", "application/octet-stream"]];
    let chosen = choose(&headers, &offered).ok_or_else(|| {
        Problem::new("not-acceptable", "a statement is given as application/json or application/cose")
    })?;
    let found = api.read(move |reader| {
        let size = reader.tip().0.log_size;
        let Some(stored) = reader.statement(leaf)? else {
            return Err(if leaf < size { not_a_statement(leaf) } else { no_such_leaf(leaf, size) });
        };
        let verdicts: Vec<Verdict> = match chosen {
            0 => reader.block_verdicts(stored.height)?.into_iter().filter(|v| v.leaf.0 == leaf).collect(),
            _ => Vec::new(),
        };
        Ok((stored, verdicts))
    });
    let (stored, verdicts) = found.await?;
    let mut response = if chosen == 0 {
        let verdicts = verdicts.iter().map(|v| {
            let attested = Attested::of(v, &stored.statement);
            VerdictView::new(v, stored.height, attested)
        });
        let verdicts = verdicts.collect();
        Json(view(&stored, verdicts)).into_response()
    } else {
        ([(header::CONTENT_TYPE, COSE)], stored.statement.bytes().clone()).into_response()
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// `GET /v1/statements/{leaf}/receipt`
pub(crate) async fn receipt(State(api): State<Api>, path: Path, query: Query) -> Result<Response, Problem> {
    let query = query.only(&["under"])?;
    let newest = match query.get("under") {
        None | Some("first") => false,
        Some("newest") => true,
        Some(other) => {
            return Err(Problem::parameter(
                "under",
                format!("expected `first` or `newest`, found `{other}`"),
            ));
        }
    };
    let leaf = path.number("leaf")?;
    let made = api.read(move |reader| match reader.receipt_under(leaf, newest) {
        Ok(receipt) => Ok(receipt.encode()),
        Err(ReceiptError::NoSuchLeaf(leaf)) => Err(no_such_leaf(leaf, reader.tip().0.log_size)),
        Err(ReceiptError::NotAStatement(leaf)) => Err(not_a_statement(leaf)),
        Err(error @ ReceiptError::NotCertified(_)) => {
            Err(Problem::new("not-certified", error.to_string()).retry_after(1))
        }
        Err(ReceiptError::Chain(error)) => Err(error.into()),
    });
    let bytes = made.await?;
    let name = format!("attachment; filename=\"triad-receipt-{leaf}.cbor\"");
    let headers = [(header::CONTENT_TYPE, RECEIPT.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, bytes).into_response())
}
