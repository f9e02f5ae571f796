//! Statements in, acknowledgements out.
//!
//! | QoS | final and on disk | refused, MQTT 5 | refused, MQTT 3.1.1 |
//! | --- | --- | --- | --- |
//! | 0 | counted | counted, `errors` event | counted, `errors` event |
//! | 1 | PUBACK 0x00, user properties `leaf`, `height` | PUBACK with code and `code: message` | grace, drain, close |
//! | 2 | PUBREC 0x00, same properties | PUBREC with code and `code: message` | grace, drain, close |
//!
//! **What a 3.1.1 client is told when it is refused.** Its PUBACK has no room for a no, and a PUBACK would be a yes:
//! *acknowledged means final*. Withholding it silently would block one slot of the client's window for ever, unseen,
//! until all slots are blocked. So the connection is closed, which every client library reports. But not at once: a
//! library that reconnects resends in order, so a bad statement in front of good ones would keep them out for ever.
//! The session goes on reading and acknowledging until the client has been quiet for 200 ms and nothing is in flight,
//! or `drain_timeout` has passed, and closes then. So every good statement in the client's window gets through, and
//! only the bad ones come back; a client whose whole window is bad is stuck, and seen to be. The reason is published
//! on `triad/v1/devices/{id}/errors` (before the close, to the client itself too if it subscribed) and counted.
//! Seen: mosquitto_pub exits with "The connection was lost" and does not resend; paho reconnects every second and
//! resends. A device that wants to know its mistake from the acknowledgement speaks MQTT 5.
//!
//! **Packet identifiers.** Acknowledgements go by identifier, in the order of finality, which need not be the order of
//! arrival. A PUBLISH with an identifier still in flight is a resend when its DUP flag is set and its payload is the
//! same (it shares the one acknowledgement), otherwise a protocol error. After PUBREC the identifier stays taken until
//! PUBREL; a resend then gets PUBREC again.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, PubackReasonCode, PubcompReasonCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Agreed, Session};
use crate::claim::Claim;
use crate::config::Limits;
use crate::door::{Accepted, Door, Refusal, RefusalClass};
use crate::events;
use crate::fault::Fault;
use crate::frame::Frame;
use crate::metrics::Metrics;
use crate::packets::{self, Details, PUBACK, PUBCOMP, PUBREC, Version, parse_publish};
use crate::topics::{Kinds, STATEMENTS};

type Answer = oneshot::Receiver<Result<Accepted, Refusal>>;

/// A statement between its PUBLISH and its acknowledgement.
#[derive(Debug)]
struct Ticket {
    qos: u8,
    id: u16,
    statement: Bytes,
    received: Instant,
}

/// A ticket and the door's answer to come.
#[derive(Debug)]
struct Waiting {
    ticket: Option<Ticket>,
    answer: Answer,
}

impl Future for Waiting {
    type Output = (Ticket, Result<Accepted, Refusal>);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(answer) = Pin::new(&mut self.answer).poll(cx) else { return Poll::Pending };
        let ticket = self.ticket.take().expect("a future is not polled after it was ready");
        Poll::Ready((ticket, answer.unwrap_or_else(|_| Err(dropped()))))
    }
}

/// The door forgot the statement: it stopped before an answer.
fn dropped() -> Refusal {
    Refusal {
        code: "unavailable",
        message: "the node stopped before an answer; send it again".to_owned(),
        class: RefusalClass::Unavailable,
    }
}

/// Where a packet identifier is in its life.
#[derive(Debug)]
enum Identifier {
    /// The statement is on its way.
    InFlight(Bytes),
    /// QoS 2: final and PUBREC sent, PUBREL to come.
    Received,
}

/// The statements of one session.
pub(super) struct Publishing {
    /// Waits for queue space behind the door. Nothing is read meanwhile.
    submitting: Option<(Ticket, BoxFuture<'static, Answer>)>,
    in_flight: FuturesUnordered<Waiting>,
    in_flight_bytes: usize,
    identifiers: HashMap<u16, Identifier>,
}

impl Publishing {
    pub(super) fn new() -> Self {
        Self {
            submitting: None,
            in_flight: FuturesUnordered::new(),
            in_flight_bytes: 0,
            identifiers: HashMap::new(),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.submitting.is_none() && self.in_flight.is_empty()
    }

    /// A statement waits for queue space behind the door.
    pub(super) fn is_submitting(&self) -> bool {
        self.submitting.is_some()
    }

    pub(super) fn identifiers_full(&self, limits: &Limits) -> bool {
        self.identifiers.len() >= usize::from(limits.max_in_flight)
    }

    /// Whether one more statement may be in flight.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        self.in_flight.len() < usize::from(limits.max_in_flight)
            && self.in_flight_bytes < limits.max_in_flight_bytes
    }

    /// Forgets what is left; for the metrics only, the door still has it.
    pub(super) fn abandon(&mut self, metrics: &Metrics) {
        let left = self.in_flight.len() + usize::from(self.submitting.is_some());
        metrics.in_flight.dec_by(left as i64);
        self.submitting = None;
        self.in_flight.clear();
    }
}

impl<D: Door, S: AsyncRead + AsyncWrite + Unpin> Session<D, S> {
    pub(super) fn on_publish(
        &mut self,
        cx: &mut Context<'_>,
        agreed: Agreed,
        frame: Frame,
    ) -> Result<(), Fault> {
        let body = &self.wire.input[frame.header..frame.total];
        let publish = parse_publish(agreed.version, frame.flags, body)?;
        if publish.retain && agreed.version == Version::V5 {
            return Err(Fault::new(
                "retain",
                DisconnectReasonCode::RetainNotSupported,
                "messages are not retained (Retain Available is 0)",
            ));
        }
        let (qos, id) = (publish.qos, publish.id);
        let known_topic = publish.topic == STATEMENTS.as_bytes();
        let topic = (!known_topic).then(|| String::from_utf8_lossy(publish.topic).into_owned());
        if qos > 0
            && let Some(identifier) = self.publishing.identifiers.get(&id)
        {
            match identifier {
                Identifier::InFlight(statement) if publish.duplicate && *statement == publish.payload => {}
                Identifier::Received if qos == 2 => {
                    let details = (agreed.version == Version::V5).then(Details::default);
                    packets::acknowledge(
                        &mut self.wire.output,
                        PUBREC,
                        id,
                        details.as_ref(),
                        agreed.max_packet,
                    );
                }
                _ => {
                    return Err(Fault::protocol(format!("packet identifier {id} is still in use")));
                }
            }
            self.consume(frame);
            return Ok(());
        }
        let statement = Bytes::copy_from_slice(publish.payload);
        self.consume(frame);
        if qos > 0 {
            if self.publishing.identifiers_full(&self.common.limits) {
                return Err(Fault::new(
                    "receive-maximum",
                    DisconnectReasonCode::ReceiveMaximumExceeded,
                    "more unacknowledged messages than Receive Maximum",
                ));
            }
            self.publishing.identifiers.insert(id, Identifier::InFlight(statement.clone()));
        }
        let ticket = Ticket { qos, id, statement, received: self.now };
        self.common.metrics.in_flight.inc();
        if let Some(topic) = topic {
            let topic = packets::truncate(&topic, 100);
            let refusal = Refusal {
                code: "wrong-topic",
                message: format!("statements go to {STATEMENTS}, not to {topic:?}"),
                class: RefusalClass::Malformed,
            };
            self.answer(agreed, ticket, Err(refusal));
            return Ok(());
        }
        let door = self.source.clone();
        let copy = ticket.statement.clone();
        // The receiver is what the submission gives; its answer is awaited elsewhere.
        #[allow(clippy::async_yields_async)]
        let submission = Box::pin(async move { door.submit(copy).await });
        self.publishing.submitting = Some((ticket, submission));
        self.poll_submission(cx);
        Ok(())
    }

    /// Hands over the statement that waits for queue space.
    pub(super) fn poll_submission(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((_, submission)) = &mut self.publishing.submitting else { return false };
        let Poll::Ready(mut answer) = submission.as_mut().poll(cx) else { return false };
        let Some((ticket, _)) = self.publishing.submitting.take() else { return false };
        let Some(agreed) = self.agreed else { return false };
        // An early no, or a duplicate, is often there at once.
        match answer.try_recv() {
            Ok(result) => self.answer(agreed, ticket, result),
            Err(oneshot::error::TryRecvError::Closed) => self.answer(agreed, ticket, Err(dropped())),
            Err(oneshot::error::TryRecvError::Empty) => {
                self.publishing.in_flight_bytes += ticket.statement.len();
                self.publishing.in_flight.push(Waiting { ticket: Some(ticket), answer });
            }
        }
        true
    }

    /// Acknowledges everything that has been answered.
    pub(super) fn poll_in_flight(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(agreed) = self.agreed else { return false };
        let mut progress = false;
        while let Poll::Ready(Some((ticket, result))) = self.publishing.in_flight.poll_next_unpin(cx) {
            self.publishing.in_flight_bytes -= ticket.statement.len();
            self.answer(agreed, ticket, result);
            progress = true;
        }
        progress
    }

    fn answer(&mut self, agreed: Agreed, ticket: Ticket, result: Result<Accepted, Refusal>) {
        let metrics = &self.common.metrics;
        metrics.in_flight.dec();
        metrics.acknowledgement.observe(self.now.saturating_duration_since(ticket.received).as_secs_f64());
        match result {
            Ok(accepted) => {
                if accepted.duplicate {
                    metrics.refused("duplicate");
                } else {
                    metrics.accepted.inc();
                }
                self.accept(agreed, &ticket, &accepted);
            }
            Err(refusal) => {
                metrics.refused(refusal.code);
                self.refuse(agreed, &ticket, &refusal);
            }
        }
    }

    fn accept(&mut self, agreed: Agreed, ticket: &Ticket, accepted: &Accepted) {
        let kind = match ticket.qos {
            0 => return,
            1 => {
                self.publishing.identifiers.remove(&ticket.id);
                PUBACK
            }
            _ => {
                self.publishing.identifiers.insert(ticket.id, Identifier::Received);
                PUBREC
            }
        };
        let user = [("leaf", accepted.leaf), ("height", accepted.height), ("duplicate", 1)];
        let user = if accepted.duplicate { &user[..] } else { &user[..2] };
        let details = match (agreed.version, agreed.problem_information) {
            (Version::V311, _) => None,
            (Version::V5, true) => Some(Details { code: 0, reason: None, user }),
            (Version::V5, false) => Some(Details::default()),
        };
        packets::acknowledge(&mut self.wire.output, kind, ticket.id, details.as_ref(), agreed.max_packet);
    }

    fn refuse(&mut self, agreed: Agreed, ticket: &Ticket, refusal: &Refusal) {
        let (who, event) = events::error(Claim::read(&ticket.statement), refusal);
        if self.subscriptions.matches(who, Kinds::ERRORS) {
            self.send_event(agreed, &event);
        }
        let common = self.common.clone();
        common.router.error(self.id, who, event, &common.metrics);
        if ticket.qos == 0 {
            return;
        }
        if agreed.version == Version::V311 {
            // The identifier stays in flight: this session ends, and never acknowledges it.
            self.refused.get_or_insert(self.now);
            return;
        }
        self.publishing.identifiers.remove(&ticket.id);
        let text = refusal.to_string();
        let details = Details {
            code: reason_code(refusal) as u8,
            reason: agreed.problem_information.then_some(text.as_str()),
            user: &[],
        };
        let kind = if ticket.qos == 1 { PUBACK } else { PUBREC };
        packets::acknowledge(&mut self.wire.output, kind, ticket.id, Some(&details), agreed.max_packet);
    }

    /// QoS 2, third step: the client has seen our PUBREC and gives the identifier back.
    pub(super) fn on_pubrel(&mut self, agreed: Agreed, body: &[u8]) -> Result<(), Fault> {
        let (id, used) = match agreed.version {
            Version::V311 => v3_1_1::Pubrel::parse(body).map(|(packet, used)| (packet.packet_id(), used)),
            Version::V5 => v5_0::Pubrel::parse(body).map(|(packet, used)| (packet.packet_id(), used)),
        }
        .map_err(|error| Fault::codec("PUBREL", error))?;
        if used != body.len() {
            return Err(Fault::malformed("PUBREL with bytes after its end"));
        }
        let code = match self.publishing.identifiers.get(&id) {
            Some(Identifier::Received) => {
                self.publishing.identifiers.remove(&id);
                PubcompReasonCode::Success
            }
            Some(Identifier::InFlight(_)) => {
                return Err(Fault::protocol(format!("PUBREL {id} before its PUBREC")));
            }
            // After a reconnect: the session that sent PUBREC is gone, the statement is final.
            None => PubcompReasonCode::PacketIdentifierNotFound,
        };
        let details = match (agreed.version, code) {
            (Version::V311, _) | (_, PubcompReasonCode::Success) => None,
            (Version::V5, code) => Some(Details { code: code as u8, ..Details::default() }),
        };
        packets::acknowledge(&mut self.wire.output, PUBCOMP, id, details.as_ref(), agreed.max_packet);
        Ok(())
    }
}

/// The reason code of PUBACK and PUBREC. 0x80 and 0x97 may pass later with the same bytes; the others never will.
fn reason_code(refusal: &Refusal) -> PubackReasonCode {
    if refusal.code == "wrong-topic" {
        return PubackReasonCode::TopicNameInvalid;
    }
    match refusal.class {
        RefusalClass::Malformed => PubackReasonCode::PayloadFormatInvalid,
        RefusalClass::NotAuthorized => PubackReasonCode::NotAuthorized,
        RefusalClass::Conflict => PubackReasonCode::ImplementationSpecificError,
        RefusalClass::QuotaExceeded => PubackReasonCode::QuotaExceeded,
        RefusalClass::Unavailable | RefusalClass::Internal => PubackReasonCode::UnspecifiedError,
    }
}
