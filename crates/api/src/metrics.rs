//! What the door counts. All label sets are finite: routes by their templates, methods by a list.

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use crate::problem::Code;
use crate::state::Api;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    method: &'static str,
    route: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    result: &'static str,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabel, Histogram>,
    problems: Family<CodeLabel, Counter>,
    statements: Family<ResultLabel, Counter>,
    pub connections: Gauge,
    pub connections_refused: Counter,
    pub in_flight: Gauge,
}

impl Metrics {
    pub fn register(registry: &mut Registry) -> Metrics {
        // 0.25 ms to 32 s.
        let histogram = || Histogram::new(exponential_buckets(0.00025, 2.0, 18));
        let metrics = Metrics {
            requests: Family::default(),
            seconds: Family::new_with_constructor(histogram),
            problems: Family::default(),
            statements: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            in_flight: Gauge::default(),
        };
        let r = registry.sub_registry_with_prefix("triad_http");
        r.register("requests", "Requests by method, route and status", metrics.requests.clone());
        let help = "From a request's head to its response's head, by route";
        r.register_with_unit("request", help, Unit::Seconds, metrics.seconds.clone());
        r.register("problems", "Problem documents by code", metrics.problems.clone());
        let help = "Statements by result: accepted, duplicate, or the code of the refusal";
        r.register("statements", help, metrics.statements.clone());
        r.register("connections", "Open connections", metrics.connections.clone());
        let help = "Connections refused because too many were open";
        r.register("connections_refused", help, metrics.connections_refused.clone());
        let help = "Statements received and not yet final or refused";
        r.register("in_flight", help, metrics.in_flight.clone());
        metrics
    }

    pub fn problem(&self, code: &'static str) {
        self.problems.get_or_create(&CodeLabel { code }).inc();
    }

    pub fn statement(&self, result: &'static str) {
        self.statements.get_or_create(&ResultLabel { result }).inc();
    }
}

fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Counts and times every request.
pub(crate) async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = method_label(request.method());
    let path = request.uri().path();
    let is_rpc = api.backend.rpc.is_some() && (path == "/rpc" || path.starts_with("/rpc/"));
    let route = match request.extensions().get::<MatchedPath>() {
        _ if is_rpc => "/rpc".to_owned(),
        Some(matched) => matched.as_str().to_owned(),
        None => "unmatched".to_owned(),
    };
    let response = next.run(request).await;
    if let Some(Code(code)) = response.extensions().get::<Code>() {
        api.metrics.problem(code);
    }
    let took = started.elapsed().as_secs_f64();
    api.metrics.seconds.get_or_create(&RouteLabel { route: route.clone() }).observe(took);
    let status = u32::from(response.status().as_u16());
    api.metrics.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    response
}
