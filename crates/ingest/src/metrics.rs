//! What the door counts. All label sets are finite.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TransportLabel {
    pub transport: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ResultLabel {
    pub result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ReasonLabel {
    pub reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ConnectLabel {
    pub protocol: &'static str,
    pub result: &'static str,
}

#[derive(Debug)]
pub(crate) struct Metrics {
    pub connections: Family<TransportLabel, Gauge>,
    pub connects: Family<ConnectLabel, Counter>,
    pub disconnects: Family<ReasonLabel, Counter>,
    pub publishes: Family<ResultLabel, Counter>,
    /// `publishes{result="accepted"}`, looked up once.
    pub accepted: Counter,
    pub in_flight: Gauge,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub acknowledgement: Histogram,
    pub subscriptions: Gauge,
    pub events: Family<KindLabel, Counter>,
    pub events_lost: Counter,
}

impl Metrics {
    /// Creates the families under the prefix `triad_mqtt`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let publishes = Family::<ResultLabel, Counter>::default();
        let metrics = Self {
            connections: Family::default(),
            connects: Family::default(),
            disconnects: Family::default(),
            accepted: publishes.get_or_create_owned(&ResultLabel { result: "accepted" }),
            publishes,
            in_flight: Gauge::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            acknowledgement: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            subscriptions: Gauge::default(),
            events: Family::default(),
            events_lost: Counter::default(),
        };
        let r = registry.sub_registry_with_prefix("triad_mqtt");
        r.register("connections", "Open connections", metrics.connections.clone());
        r.register("connects", "CONNECT packets by protocol and result", metrics.connects.clone());
        r.register("disconnects", "Ended connections by reason", metrics.disconnects.clone());
        r.register(
            "publishes",
            "Statements by result: accepted, duplicate, or the code of the refusal",
            metrics.publishes.clone(),
        );
        r.register(
            "in_flight",
            "Statements received and not yet final or refused",
            metrics.in_flight.clone(),
        );
        r.register_with_unit("received", "Bytes read", Unit::Bytes, metrics.bytes_in.clone());
        r.register_with_unit("sent", "Bytes written", Unit::Bytes, metrics.bytes_out.clone());
        r.register_with_unit(
            "acknowledgement",
            "From a whole PUBLISH to its acknowledgement",
            Unit::Seconds,
            metrics.acknowledgement.clone(),
        );
        r.register("subscriptions", "Topic filters held by connections", metrics.subscriptions.clone());
        r.register("events", "Events delivered to subscribers by kind", metrics.events.clone());
        r.register(
            "events_lost",
            "Events or whole blocks that subscribers missed",
            metrics.events_lost.clone(),
        );
        metrics
    }

    pub(crate) fn refused(&self, code: &'static str) {
        self.publishes.get_or_create(&ResultLabel { result: code }).inc();
    }

    pub(crate) fn disconnected(&self, reason: &'static str) {
        self.disconnects.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn connected(&self, protocol: &'static str, result: &'static str) {
        self.connects.get_or_create(&ConnectLabel { protocol, result }).inc();
    }
}
