//! Subscriptions of one session, and the events that go out for them.
//!
//! Events are QoS 0: they follow the commit they speak of, and reach whoever is connected then. Nothing is kept for
//! those who are away; the API has it all. A filter that can match nothing here is refused.

use std::task::{Context, Poll};

use bytes::BufMut as _;
use futures::FutureExt as _;
use mqtt_protocol_core::mqtt::packet::{Property, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{
    DisconnectReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Agreed, Session};
use crate::door::Door;
use crate::events::{Event, Walk};
use crate::fault::Fault;
use crate::metrics::KindLabel;
use crate::packets::{self, Version};
use crate::router::Subscriber;
use crate::topics::{Filter, FilterError, Kinds, Who};

/// Filters as the client wrote them, and the events on their way.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    filters: Vec<(String, Filter)>,
    subscriber: Option<Subscriber>,
    current: Option<Walk>,
}

impl Subscriptions {
    pub(super) fn matches(&self, who: Who, kind: Kinds) -> bool {
        self.filters.iter().any(|(_, filter)| filter.matches(who, kind))
    }
}

impl<D: Door, S: AsyncRead + AsyncWrite + Unpin> Session<D, S> {
    pub(super) fn on_subscribe(&mut self, agreed: Agreed, body: &[u8]) -> Result<(), Fault> {
        let codec = |error| Fault::codec("SUBSCRIBE", error);
        let (id, used, answers) = match agreed.version {
            Version::V311 => {
                let (packet, used) = v3_1_1::Subscribe::parse(body).map_err(codec)?;
                if packet.entries().iter().any(|entry| entry.sub_opts().to_buffer()[0] > 2) {
                    return Err(Fault::malformed("reserved bits in a requested QoS"));
                }
                (packet.packet_id(), used, self.add_filters(packet.entries()))
            }
            Version::V5 => {
                let (packet, used) = v5_0::Subscribe::parse(body).map_err(codec)?;
                if packet.props().iter().any(|p| matches!(p, Property::SubscriptionIdentifier(_))) {
                    return Err(Fault::new(
                        "subscription-identifier",
                        DisconnectReasonCode::SubscriptionIdentifiersNotSupported,
                        "subscription identifiers are not offered",
                    ));
                }
                (packet.packet_id(), used, self.add_filters(packet.entries()))
            }
        };
        if used != body.len() || answers.is_empty() {
            return Err(Fault::malformed("SUBSCRIBE with no filter, or with bytes after its end"));
        }
        let answer = match agreed.version {
            Version::V311 => {
                let codes = answers
                    .iter()
                    .map(|answer| match answer {
                        SubackReasonCode::GrantedQos0 => SubackReturnCode::SuccessMaximumQos0,
                        _ => SubackReturnCode::Failure,
                    })
                    .collect();
                v3_1_1::Suback::builder()
                    .packet_id(id)
                    .return_codes(codes)
                    .build()
                    .map(|packet| packet.to_continuous_buffer())
            }
            Version::V5 => v5_0::Suback::builder()
                .packet_id(id)
                .reason_codes(answers)
                .build()
                .map(|packet| packet.to_continuous_buffer()),
        };
        self.wire.output.put_slice(&answer.map_err(codec)?);
        Ok(())
    }

    fn add_filters(&mut self, entries: &[SubEntry]) -> Vec<SubackReasonCode> {
        let before = self.subscriptions.filters.len();
        let mut changed = false;
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            let text = entry.topic_filter();
            let answer = match Filter::parse(text) {
                Err(FilterError::Shared) => SubackReasonCode::SharedSubscriptionsNotSupported,
                Err(FilterError::Invalid) => SubackReasonCode::TopicFilterInvalid,
                Ok(_) if self.subscriptions.filters.iter().any(|(known, _)| known == text) => {
                    SubackReasonCode::GrantedQos0
                }
                Ok(_) if self.subscriptions.filters.len() >= self.common.limits.max_subscriptions => {
                    SubackReasonCode::QuotaExceeded
                }
                Ok(filter) => {
                    self.subscriptions.filters.push((text.to_owned(), filter));
                    changed = true;
                    SubackReasonCode::GrantedQos0
                }
            };
            answers.push(answer);
        }
        if changed {
            self.filters_changed(before);
        }
        answers
    }

    pub(super) fn on_unsubscribe(&mut self, agreed: Agreed, body: &[u8]) -> Result<(), Fault> {
        let codec = |error| Fault::codec("UNSUBSCRIBE", error);
        let (id, used, texts): (u16, usize, Vec<String>) = match agreed.version {
            Version::V311 => {
                let (packet, used) = v3_1_1::Unsubscribe::parse(body).map_err(codec)?;
                let texts = packet.entries().iter().map(|entry| entry.as_str().to_owned()).collect();
                (packet.packet_id(), used, texts)
            }
            Version::V5 => {
                let (packet, used) = v5_0::Unsubscribe::parse(body).map_err(codec)?;
                let texts = packet.entries().iter().map(|entry| entry.as_str().to_owned()).collect();
                (packet.packet_id(), used, texts)
            }
        };
        if used != body.len() || texts.is_empty() {
            return Err(Fault::malformed("UNSUBSCRIBE with no filter, or with bytes after its end"));
        }
        let before = self.subscriptions.filters.len();
        let mut answers = Vec::with_capacity(texts.len());
        for text in &texts {
            let filters = &mut self.subscriptions.filters;
            let count = filters.len();
            filters.retain(|(known, _)| known != text);
            answers.push(if filters.len() < count {
                UnsubackReasonCode::Success
            } else {
                UnsubackReasonCode::NoSubscriptionExisted
            });
        }
        if self.subscriptions.filters.len() < before {
            self.filters_changed(before);
        }
        let answer = match agreed.version {
            Version::V311 => {
                v3_1_1::Unsuback::builder().packet_id(id).build().map(|packet| packet.to_continuous_buffer())
            }
            Version::V5 => v5_0::Unsuback::builder()
                .packet_id(id)
                .reason_codes(answers)
                .build()
                .map(|packet| packet.to_continuous_buffer()),
        };
        self.wire.output.put_slice(&answer.map_err(codec)?);
        Ok(())
    }

    fn filters_changed(&mut self, before: usize) {
        let common = &self.common;
        let now = self.subscriptions.filters.len();
        common.metrics.subscriptions.inc_by(now as i64 - before as i64);
        if self.subscriptions.subscriber.is_none() {
            let subscriber =
                common.router.join(self.id, common.limits.subscriber_blocks, || common.door.watch());
            self.subscriptions.subscriber = Some(subscriber);
        }
        let filters = self.subscriptions.filters.iter().map(|(_, filter)| *filter).collect();
        common.router.set(self.id, filters);
    }

    pub(super) fn leave_subscriptions(&mut self) {
        if self.subscriptions.subscriber.take().is_some() {
            self.common.router.leave(self.id);
            self.common.metrics.subscriptions.dec_by(self.subscriptions.filters.len() as i64);
            self.subscriptions = Subscriptions::default();
        }
    }

    /// Writes events while there is room in the output.
    pub(super) fn poll_events(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(agreed) = self.agreed else { return false };
        if let Some(subscriber) = &mut self.subscriptions.subscriber
            && subscriber.overflow.poll_unpin(cx).is_ready()
        {
            self.leave_subscriptions();
            self.close(Fault::new(
                "slow-subscriber",
                DisconnectReasonCode::QuotaExceeded,
                "events came faster than you read them; read what you missed from the API",
            ));
        }
        let mut progress = false;
        while self.closing.is_none() && self.wire.output.len() < self.common.limits.output_high_water {
            if let Some(walk) = &mut self.subscriptions.current {
                match walk.next() {
                    Some(event) => {
                        self.send_event(agreed, &event);
                        progress = true;
                    }
                    None => self.subscriptions.current = None,
                }
                continue;
            }
            let Some(subscriber) = &mut self.subscriptions.subscriber else { break };
            match subscriber.queue.poll_recv(cx) {
                Poll::Ready(Some(delivery)) => self.subscriptions.current = Some(Walk::new(delivery)),
                _ => break,
            }
        }
        progress
    }

    pub(super) fn send_event(&mut self, agreed: Agreed, event: &Event) {
        let metrics = &self.common.metrics;
        let output = &mut self.wire.output;
        if packets::event(output, agreed.version, &event.topic, &event.payload, agreed.max_packet) {
            metrics.events.get_or_create(&KindLabel { kind: event.kind.name() }).inc();
        } else {
            metrics.events_lost.inc();
        }
    }
}
