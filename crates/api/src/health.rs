//! For whoever runs the node: alive, ready, counted.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use serde_json::json;

use crate::problem::Problem;
use crate::state::Api;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const EOF: &str = "# EOF";

/// `GET /healthz`: the program answers.
pub(crate) async fn alive() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// `GET /readyz`: the node can take statements and make them final.
pub(crate) async fn ready(State(api): State<Api>) -> Result<Response, Problem> {
    let not_ready = |why: String| Problem::new("not-ready", why).retry_after(1);
    if let Some(ready) = &api.backend.ready {
        ready().map_err(not_ready)?;
    }
    let (tip, _) = api.backend.reader.tip();
    let age_ms = triad_chain::clock_ms().saturating_sub(tip.time_ms);
    if let Some(most) = api.config.max_commit_age.filter(|most| u128::from(age_ms) > most.as_millis()) {
        let why = format!(
            "the last block, {}, is {} s old, more than {} s: consensus stands still, or the clock is wrong",
            tip.height,
            age_ms / 1000,
            most.as_secs()
        );
        return Err(not_ready(why));
    }
    Ok(Json(json!({"status": "ready", "height": tip.height, "age_ms": age_ms})).into_response())
}

/// `GET /metrics`, in OpenMetrics text.
pub(crate) async fn metrics(State(api): State<Api>) -> Result<Response, Problem> {
    let mut text = String::new();
    let encoded = encode_registry(&mut text, &api.backend.registry)
        .and_then(|()| encode_registry(&mut text, &api.own_registry));
    encoded.map_err(|error| Problem::internal(&error))?;
    if let Some(extra) = &api.backend.extra_metrics {
        let extra = extra();
        for line in extra.lines().filter(|line| *line != EOF) {
            text.push_str(line);
            text.push('\n');
        }
    }
    encode_eof(&mut text).map_err(|error| Problem::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response())
}
