//! Problem documents (RFC 9457): how this door says no.
//!
//! `type` is `urn:triad:problem:<code>`, `code` repeats the code alone, `detail` says what was expected, what was found
//! and what to do. A refused statement has `class` and `temporary` besides; a bad parameter has `parameter`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use triad_chain::{ChainError, Refusal, RefusalClass};

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request fails.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    detail: String,
    extra: Map<String, Value>,
    /// Seconds after which it may work.
    pub retry_after: Option<u32>,
}

/// Put into a response so that the metrics count the problem.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub &'static str);

/// (code, status, title) of what this door says itself. Refusals of statements come from the chain.
pub(crate) const OWN: &[(&str, u16, &str)] = &[
    ("bad-parameter", 400, "A parameter is not understood"),
    ("empty-body", 400, "The body is empty"),
    ("incomplete-body", 400, "The body broke off"),
    ("not-found", 404, "There is no such route"),
    ("no-such-leaf", 404, "There is no such leaf"),
    ("not-a-statement", 404, "The leaf is not a statement's"),
    ("no-such-device", 404, "There is no such device"),
    ("no-such-stream", 404, "There is no such stream"),
    ("no-such-block", 404, "There is no such block"),
    ("no-such-evidence", 404, "There is no such evidence"),
    ("no-such-snapshot", 404, "There is no such snapshot"),
    ("method-not-allowed", 405, "The route has no such method"),
    ("not-acceptable", 406, "No accepted media type can be given"),
    ("body-timeout", 408, "The body took too long"),
    ("too-large", 413, "The body is too large"),
    ("too-many-statements", 413, "The body holds too many statements"),
    ("unsupported-media-type", 415, "The media type is not taken here"),
    ("internal", 500, "The node failed"),
    ("busy", 503, "The node is busy"),
    ("not-certified", 503, "Not certified yet"),
    ("not-kept", 503, "Not kept on this node"),
    ("not-ready", 503, "The node is not ready"),
    ("too-many-connections", 503, "Too many connections"),
    ("stopping", 503, "The node is going down"),
    ("not-final-in-time", 504, "Not final in time"),
    ("read-timeout", 504, "The read took too long"),
];

/// (code, title) of the chain's refusals.
pub(crate) const REFUSALS: &[(&str, &str)] = &[
    ("not-cbor", "Not CBOR"),
    ("non-deterministic-cbor", "Not deterministic CBOR"),
    ("not-cose", "Not a COSE_Sign1"),
    ("wrong-tag", "Wrong CBOR tag"),
    ("unprotected-header", "The unprotected header is not empty"),
    ("missing-payload", "The payload is missing"),
    ("bad-signature-length", "The signature has a wrong length"),
    ("high-s", "The signature has a high s"),
    ("bad-header", "The protected header breaks its rules"),
    ("critical-header", "A critical header is not understood"),
    ("unknown-algorithm", "Unknown signature algorithm"),
    ("bad-kid", "The kid is not a device id"),
    ("bad-claims", "The CWT claims break their rules"),
    ("issuer-mismatch", "The issuer is not the signer"),
    ("bad-subject", "The subject is not a device"),
    ("unknown-content-type", "The payload is of an unknown type"),
    ("bad-hash-envelope", "The hash envelope breaks its rules"),
    ("bad-ciphertext", "The ciphertext is not COSE"),
    ("bad-verdicts", "The verdicts break their rules"),
    ("bad-senml", "The payload breaks RFC 8428"),
    ("not-finite", "A number is not finite"),
    ("bad-name", "A SenML name breaks its rules"),
    ("name-too-long", "A SenML name is too long"),
    ("bad-unit", "A unit breaks its rules"),
    ("time-out-of-range", "A time is out of range"),
    ("unsupported-senml", "The SenML needs what is not known here"),
    ("too-many-records", "The pack has too many records"),
    ("time-ahead", "A reading is ahead of time"),
    ("unknown-device", "The device is not registered"),
    ("suspended-device", "The device is suspended"),
    ("revoked-device", "The device is revoked"),
    ("device-without-key", "The device has no key of its own"),
    ("wrong-key", "The key is not the registered one"),
    ("bad-signature", "The signature is wrong"),
    ("origin-not-allowed", "The signer may not speak for the origin"),
    ("too-old", "The sequence number is too old"),
    ("wrong-epoch", "The sequence number is of another epoch"),
    ("equivocation", "The sequence number was used for another statement"),
    ("no-such-model", "The model is not bound to the stream"),
    ("not-the-runner", "Somebody else runs the model"),
    ("wrong-file", "The model is another file"),
    ("wrong-kind", "The model tells other verdicts"),
    ("nothing-to-judge", "No verdict is awaited on this reading"),
    ("already-judged", "The model has judged it, or a later one"),
    ("changed-unit", "The unit of the stream is another"),
    ("device-quota", "Too many statements of the device wait"),
    ("too-many-streams", "The device has too many streams"),
    ("source-slowed", "Bad signatures came from this source"),
    ("used-before", "The sequence number was used before this node's history"),
    ("read-only", "The node only reads"),
    ("no-quorum", "Too few validators are in reach"),
    ("catching-up", "The node is behind the others"),
];

fn title(code: &str) -> &'static str {
    let refusal = REFUSALS.iter().find(|(c, _)| *c == code).map(|(_, title)| *title);
    let own = OWN.iter().find(|(c, ..)| *c == code).map(|(_, _, title)| *title);
    refusal.or(own).unwrap_or("The statement is refused")
}

/// What a statement's refusal is in HTTP.
pub(crate) fn refusal_status(class: RefusalClass, code: &str) -> StatusCode {
    match class {
        RefusalClass::Malformed if code == "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalClass::Malformed => StatusCode::BAD_REQUEST,
        RefusalClass::NotAuthorized => StatusCode::FORBIDDEN,
        RefusalClass::Conflict => StatusCode::CONFLICT,
        RefusalClass::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        RefusalClass::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalClass::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// `code` must be in [`OWN`], which gives the status.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Problem {
        let found = OWN.iter().find(|(c, ..)| *c == code);
        debug_assert!(found.is_some(), "{code} is listed");
        let status = found.and_then(|(_, status, _)| StatusCode::from_u16(*status).ok());
        Problem {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            detail: detail.into(),
            extra: Map::new(),
            retry_after: None,
        }
    }

    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// A parameter in path, query or header, and what it should be.
    pub fn parameter(name: &str, detail: impl std::fmt::Display) -> Problem {
        let mut problem = Problem::new("bad-parameter", format!("parameter `{name}`: {detail}"));
        problem.extra.insert("parameter".into(), name.into());
        problem
    }

    /// Where it may be had instead.
    pub fn elsewhere(mut self, name: String, url: String) -> Problem {
        self.detail = format!("{}; {name} may have it: {url}", self.detail);
        self.extra.insert("elsewhere".into(), json!({"name": name, "url": url}));
        self
    }

    pub fn busy() -> Problem {
        Problem::new("busy", "the node has too much to do: try again in a moment").retry_after(1)
    }

    /// Ours, not the caller's: the log says more than the answer.
    pub fn internal(error: &dyn std::fmt::Display) -> Problem {
        tracing::error!(%error, "an HTTP request failed");
        Problem::new("internal", "the node failed; its log says why")
    }

    pub fn json(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:triad:problem:{}", self.code),
            "title": title(self.code),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Value::Object(members) = &mut document {
            members.extend(self.extra.clone());
        }
        document
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let retry_after = match refusal.class {
            // Whoever has too many streams needs another device, or more patience than a header can ask for.
            RefusalClass::QuotaExceeded if refusal.code == "too-many-streams" => Some(3600),
            RefusalClass::QuotaExceeded | RefusalClass::Unavailable => Some(1),
            _ => None,
        };
        let mut extra = Map::new();
        extra.insert("class".into(), refusal.class.as_str().into());
        extra.insert("temporary".into(), refusal.class.is_temporary().into());
        let status = refusal_status(refusal.class, refusal.code);
        Problem { status, code: refusal.code, detail: refusal.message, extra, retry_after }
    }
}

impl From<ChainError> for Problem {
    fn from(error: ChainError) -> Problem {
        match error {
            ChainError::NotKept { .. } => Problem::new("not-kept", error.to_string()),
            error => Problem::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.json().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(Code(self.code));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parse_error_has_a_title_of_its_own() {
        for code in triad_statement::StatementError::CODES {
            assert_ne!(title(code), "The statement is refused", "{code}");
        }
    }

    #[test]
    fn classes_have_their_statuses() {
        for (class, code, status) in [
            (RefusalClass::Malformed, "not-cbor", 400),
            (RefusalClass::Malformed, "too-large", 413),
            (RefusalClass::NotAuthorized, "bad-signature", 403),
            (RefusalClass::Conflict, "equivocation", 409),
            (RefusalClass::QuotaExceeded, "device-quota", 429),
            (RefusalClass::Unavailable, "stopping", 503),
            (RefusalClass::Internal, "internal", 500),
        ] {
            let problem = Problem::from(Refusal::new(class, code, "why"));
            assert_eq!(problem.status.as_u16(), status);
            let response = problem.clone().into_response();
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), matches!(status, 429 | 503));
            let json = problem.json();
            assert_eq!(json["type"], format!("urn:triad:problem:{code}"));
            assert_eq!(json["status"], status);
            assert_eq!(json["temporary"], matches!(status, 429 | 500 | 503));
        }
    }
}
