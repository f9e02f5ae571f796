//! `POST /v1/statements`: one statement, or a CBOR sequence (RFC 8742) of many.
//!
//! Answered when every statement of the body is final and on disk, or refused, or `finality_timeout` has passed.
//! Sending again what was not acknowledged is harmless: a statement already held is acknowledged with its leaf.
//!
//! A body that does not split into CBOR items is refused whole, before anything is submitted. Otherwise each statement
//! has its own fate: 201 when all are final, else 207 with one item a statement, in the order of the body.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use triad_chain::{Accepted, Answer, Submitter};
use triad_statement::{DeviceId, StatementId};

use crate::accept::media_type;
use crate::body;
use crate::cbor_seq::{SplitError, split};
use crate::problem::Problem;
use crate::sources::Peer;
use crate::state::Api;

/// What a 415 tells the client to send.
const ACCEPTED_TYPES: &str = "application/cose; cose-type=\"cose-sign1\", application/cbor-seq, application/cbor, application/octet-stream";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Said to be one statement.
    One,
    /// Said to be a sequence: answered with a list, even of one.
    Many,
    /// Whatever it turns out to be.
    Unsaid,
}

/// A final statement, as clients see it.
#[derive(Debug, Serialize)]
struct Receipted {
    leaf: u64,
    height: u64,
    statement_id: StatementId,
    signer: DeviceId,
    duplicate: bool,
}

impl From<&Accepted> for Receipted {
    fn from(a: &Accepted) -> Receipted {
        Receipted {
            leaf: a.leaf,
            height: a.height,
            statement_id: StatementId(a.statement_id),
            signer: DeviceId(a.signer),
            duplicate: a.duplicate,
        }
    }
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let unsupported = |detail: String| {
        let problem = Problem::new("unsupported-media-type", detail);
        Err(problem)
    };
    let text = |name| headers.get(name).map(|v: &HeaderValue| v.to_str().unwrap_or("unreadable"));
    if let Some(coding) = text(header::CONTENT_ENCODING).filter(|c| !c.eq_ignore_ascii_case("identity")) {
        return unsupported(format!("content encoding `{coding}` is not taken: send the bytes as they are"));
    }
    let Some(found) = text(header::CONTENT_TYPE) else { return Ok(Form::Unsaid) };
    let (name, parameters) = media_type(found);
    match name.as_str() {
        "application/cose" => match parameters.iter().find(|(k, _)| k == "cose-type") {
            Some((_, kind)) if kind != "cose-sign1" => {
                unsupported(format!("a statement is a COSE_Sign1, the content type says `{kind}`"))
            }
            _ => Ok(Form::One),
        },
        "application/cbor-seq" => Ok(Form::Many),
        "application/cbor" | "application/octet-stream" => Ok(Form::Unsaid),
        _ => unsupported(format!(
            "`{found}` is no media type of statements: say content-type: application/cose, or application/cbor-seq \
             for many (with curl: -H 'content-type: application/cose')"
        )),
    }
}

fn not_final(api: &Api) -> Problem {
    let seconds = api.config.limits.finality_timeout.as_secs();
    let why = format!(
        "the statement was taken, but is not final after {seconds} s. It may still become final; send it again, here \
         or to another node: a statement that is held already is acknowledged with its leaf"
    );
    Problem::new("not-final-in-time", why)
}

/// Hands statements over and waits for what becomes of each.
struct Waiting {
    api: Api,
    source: Submitter,
    deadline: Instant,
}

impl Waiting {
    async fn submit(&self, statement: Bytes) -> Result<oneshot::Receiver<Answer>, Problem> {
        let submitted = timeout_at(self.deadline, self.source.submit(statement)).await;
        submitted.map_err(|_| Problem::busy())
    }

    async fn answer(&self, answer: Result<oneshot::Receiver<Answer>, Problem>) -> Result<Accepted, Problem> {
        let outcome = match answer {
            Err(problem) => Err(problem),
            Ok(answer) => match timeout_at(self.deadline, answer).await {
                Ok(Ok(answer)) => answer.map_err(Problem::from),
                Ok(Err(_)) => {
                    let why = "the node is going down: send it again, here or to another node";
                    Err(Problem::new("stopping", why).retry_after(1))
                }
                Err(_) => Err(not_final(&self.api)),
            },
        };
        self.api.metrics.statement(match &outcome {
            Ok(accepted) if accepted.duplicate => "duplicate",
            Ok(_) => "accepted",
            Err(problem) => problem.code,
        });
        outcome
    }
}

/// Counts statements in flight, also when the client has gone in between.
struct InFlight<'a>(&'a Api, i64);

impl<'a> InFlight<'a> {
    fn new(api: &'a Api, n: usize) -> InFlight<'a> {
        api.metrics.in_flight.inc_by(n as i64);
        InFlight(api, n as i64)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec_by(self.1);
    }
}

pub(crate) async fn post(State(api): State<Api>, request: Request) -> Response {
    match take(&api, request).await {
        Ok(response) => response,
        Err(problem) => {
            let unsupported = problem.status == StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let mut response = problem.into_response();
            if unsupported {
                response.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(ACCEPTED_TYPES));
            }
            response
        }
    }
}

async fn take(api: &Api, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let form = form(&parts.headers)?;
    let limits = &api.config.limits;
    let (limit, what) = match form {
        Form::One => (limits.statement_bytes, "a statement"),
        Form::Many | Form::Unsaid => (limits.batch_bytes, "a sequence of statements"),
    };
    let held = body::read(api, &parts.headers, body, limit, what).await?;
    let bytes = &held.bytes;
    if bytes.is_empty() {
        return Err(Problem::new(
            "empty-body",
            "the body is empty: a statement, or a CBOR sequence of them, is expected",
        ));
    }
    let submitter = &api.backend.submitter;
    let source = match parts.extensions.get::<Peer>() {
        Some(peer) => api.sources.of(peer.0, submitter),
        None => submitter.source(),
    };
    let waiting = Waiting { api: api.clone(), source, deadline: Instant::now() + limits.finality_timeout };
    if form == Form::One {
        return one(&waiting, bytes).await;
    }
    match split(bytes, limits.batch_statements) {
        Ok(items) if form == Form::Many || items.len() > 1 => {
            // Copied, so that one waiting statement does not keep the whole body in memory.
            let items = items.into_iter().map(|range| Bytes::copy_from_slice(&bytes[range])).collect();
            Ok(many(&waiting, items).await)
        }
        Err(SplitError::TooMany) => {
            let why = format!(
                "a body holds at most {} statements: send the rest in further ones",
                limits.batch_statements
            );
            Err(Problem::new("too-many-statements", why))
        }
        Err(SplitError::NotCbor { index, offset }) if form == Form::Many || index > 0 => {
            let why = format!(
                "item {index} of the sequence, at byte {offset}, is not CBOR, or is cut; nothing of this body was submitted"
            );
            api.metrics.statement("not-cbor");
            let refusal = triad_chain::Refusal::new(triad_chain::RefusalClass::Malformed, "not-cbor", why);
            Err(refusal.into())
        }
        // One item, or none that is CBOR: the statement parser says best what is wrong with it.
        _ => one(&waiting, bytes).await,
    }
}

async fn one(waiting: &Waiting, bytes: &Bytes) -> Result<Response, Problem> {
    let _in_flight = InFlight::new(&waiting.api, 1);
    let submitted = waiting.submit(bytes.clone()).await;
    let accepted = waiting.answer(submitted).await?;
    let location = HeaderValue::try_from(format!("/v1/statements/{}", accepted.leaf));
    let mut response = (StatusCode::CREATED, Json(Receipted::from(&accepted))).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn many(waiting: &Waiting, items: Vec<Bytes>) -> Response {
    let _in_flight = InFlight::new(&waiting.api, items.len());
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        answers.push(waiting.submit(item).await);
    }
    let (mut list, mut refused, mut retry_after) = (Vec::with_capacity(answers.len()), 0, None);
    for (index, answer) in answers.into_iter().enumerate() {
        list.push(match waiting.answer(answer).await {
            Ok(accepted) => item(index, &accepted),
            Err(problem) => {
                refused += 1;
                retry_after = retry_after.max(problem.retry_after);
                waiting.api.metrics.problem(problem.code);
                json!({"index": index, "status": problem.status.as_u16(), "problem": problem.json()})
            }
        });
    }
    let status = if refused == 0 { StatusCode::CREATED } else { StatusCode::MULTI_STATUS };
    let body = json!({"accepted": list.len() - refused, "refused": refused, "items": list});
    let mut response = (status, Json(body)).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn item(index: usize, accepted: &Accepted) -> Value {
    let location = format!("/v1/statements/{}", accepted.leaf);
    let mut item = json!({"index": index, "status": StatusCode::CREATED.as_u16(), "location": location});
    if let (Value::Object(item), Ok(Value::Object(fields))) =
        (&mut item, serde_json::to_value(Receipted::from(accepted)))
    {
        item.extend(fields);
    }
    item
}
