//! One client's connection, from CONNECT to the close.
//!
//! A session is one state machine, polled by one task: it reads many packets a read, hands each statement to the
//! [`Door`], writes an acknowledgement when the door's answer is there, and many acknowledgements a write. Nothing
//! here waits for anything else here, so a client that does not read, or whose statement waits for queue space, holds
//! up nobody but itself.
//!
//! ```text
//! input ─▶ frames ─▶ submitting (≤ 1) ─▶ in flight (bounded) ─▶ acknowledgements ─▶ output (bounded)
//!                                        events of the router (bounded) ──────────▶
//! ```
//!
//! Reading stops while a statement waits for queue space, while in flight or output are full, and once the session is
//! closing. While it stops for such a reason of ours, keep alive is not held against the client.
//!
//! **Closing.** A session that must end still waits, for at most `drain_timeout`, until the statements in flight are
//! final, acknowledges them, and only then says why it ends (MQTT 5 DISCONNECT) and closes.

mod connect;
mod publish;
mod subscribe;

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use mqtt_protocol_core::mqtt::packet::{ReasonString, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep};

use crate::config::Limits;
use crate::door::Door;
use crate::fault::Fault;
use crate::frame::{self, Frame};
use crate::metrics::Metrics;
use crate::packets::{self, Version};
use crate::router::{ConnectionId, Router};
use crate::wire::Wire;

use publish::Publishing;
use subscribe::Subscriptions;

/// How long the last words of a session may take to be sent.
const GOODBYE: Duration = Duration::from_secs(1);

/// A 3.1.1 session with a refused statement ends once the client has sent nothing for so long: what it sent behind the
/// refused one is then acknowledged too (see `publish`).
const REFUSED_QUIET: Duration = Duration::from_millis(200);

/// Resolves when the server stops.
pub(crate) type Shutdown = Shared<BoxFuture<'static, ()>>;

/// What all sessions of a server have in common.
#[derive(Debug)]
pub(crate) struct Common<D> {
    pub door: D,
    pub limits: Limits,
    pub metrics: Metrics,
    pub router: Router,
}

/// What a CONNECT settled.
#[derive(Debug, Clone, Copy)]
struct Agreed {
    version: Version,
    /// Close after so long without a packet; `None` never.
    silence: Option<Duration>,
    /// MQTT 5 Request Problem Information: reason strings and user properties may be sent in acknowledgements.
    problem_information: bool,
    /// The client's Maximum Packet Size.
    max_packet: usize,
}

/// Waiting for what is in flight before the end.
#[derive(Debug)]
struct Closing {
    fault: Fault,
    deadline: Instant,
}

pub(crate) struct Session<D: Door, S> {
    common: Arc<Common<D>>,
    /// The door, for this connection.
    source: D,
    id: ConnectionId,
    wire: Wire<S>,
    shutdown: Option<Shutdown>,
    /// Over the connection limit: answer CONNECT with `server busy`.
    busy: bool,
    agreed: Option<Agreed>,
    publishing: Publishing,
    subscriptions: Subscriptions,
    closing: Option<Closing>,
    /// When a statement of a 3.1.1 client was first refused: the session is to end, but not before its time.
    refused: Option<Instant>,
    /// The next packet is a PUBLISH that has no room in flight yet.
    blocked: bool,
    /// The peer is gone: nothing can be sent.
    peer_gone: bool,
    /// As of the last poll; packets of one poll share it.
    now: Instant,
    connect_deadline: Instant,
    last_packet: Instant,
    last_write: Instant,
    timer: Pin<Box<Sleep>>,
}

/// Serves one connection to its end.
pub(crate) async fn run<D: Door, S: AsyncRead + AsyncWrite + Unpin>(
    common: Arc<Common<D>>,
    id: ConnectionId,
    stream: S,
    shutdown: Shutdown,
    busy: bool,
    connect_deadline: Instant,
) {
    let now = Instant::now();
    let mut session = Session {
        id,
        wire: Wire::new(stream),
        shutdown: Some(shutdown),
        busy,
        agreed: None,
        publishing: Publishing::new(),
        subscriptions: Subscriptions::default(),
        closing: None,
        refused: None,
        blocked: false,
        peer_gone: false,
        now,
        connect_deadline,
        last_packet: now,
        last_write: now,
        timer: Box::pin(tokio::time::sleep_until(connect_deadline)),
        source: common.door.source(),
        common,
    };
    let fault = poll_fn(|cx| session.poll(cx)).await;
    session.finish(fault).await;
}

impl<D: Door, S: AsyncRead + AsyncWrite + Unpin> Session<D, S> {
    /// Runs until nothing more can be done now; ready when the session is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        loop {
            self.now = Instant::now();
            if !self.wire.has_output() {
                self.last_write = self.now;
            }
            self.poll_shutdown(cx);
            let mut progress = self.poll_submission(cx);
            progress |= self.poll_in_flight(cx);
            progress |= self.poll_events(cx);
            progress |= self.poll_write(cx);
            if let Some(fault) = self.closed() {
                return Poll::Ready(fault);
            }
            progress |= self.or_close(|session| session.process_input(cx));
            progress |= self.or_close(|session| session.poll_read(cx));
            if let Some(fault) = self.closed() {
                return Poll::Ready(fault);
            }
            if progress {
                continue;
            }
            return match self.poll_timer(cx) {
                Some(fault) => Poll::Ready(fault),
                None => Poll::Pending,
            };
        }
    }

    /// Closing is progress too: its last words are to be sent.
    fn or_close(&mut self, step: impl FnOnce(&mut Self) -> Result<bool, Fault>) -> bool {
        step(self).unwrap_or_else(|fault| {
            self.close(fault);
            true
        })
    }

    /// Ends the session once what is in flight is settled.
    fn close(&mut self, fault: Fault) {
        if self.closing.is_none() {
            self.closing = Some(Closing { fault, deadline: self.now + self.common.limits.drain_timeout });
        }
    }

    /// The fault to end with, when closing and nothing is left to wait for.
    fn closed(&mut self) -> Option<Fault> {
        let settled = self.publishing.is_settled() && (self.peer_gone || !self.wire.has_output());
        if settled { self.closing.take().map(|closing| closing.fault) } else { None }
    }

    /// Whether the client's packets are processed now.
    fn may_process(&self) -> bool {
        self.closing.is_none()
            && !self.publishing.is_submitting()
            && self.wire.output.len() < self.common.limits.output_high_water
    }

    /// Whether a PUBLISH has to wait until something in flight is settled. A client that exceeds its Receive Maximum
    /// does not wait: it is told.
    fn must_wait(&self, frame: Frame) -> bool {
        let over_maximum = self.agreed.is_some_and(|agreed| agreed.version == Version::V5)
            && frame.flags & 0b0110 != 0
            && self.publishing.identifiers_full(&self.common.limits);
        frame.kind == frame::PUBLISH && !over_maximum && !self.publishing.has_room(&self.common.limits)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) {
        if let Some(shutdown) = &mut self.shutdown
            && shutdown.poll_unpin(cx).is_ready()
        {
            self.shutdown = None;
            self.close(Fault::new(
                "server-shutdown",
                DisconnectReasonCode::ServerShuttingDown,
                "the node is stopping; send again what was not acknowledged",
            ));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.peer_gone {
            self.wire.output.clear();
            return false;
        }
        if !self.wire.has_output() {
            return false;
        }
        match self.wire.poll_write(cx) {
            Poll::Ready(Ok(count)) => {
                self.last_write = self.now;
                self.common.metrics.bytes_out.inc_by(count as u64);
                // Room in the output may let something else go on.
                true
            }
            Poll::Ready(Err(_)) => {
                self.peer_gone = true;
                self.close(Fault::silent("connection-lost"));
                true
            }
            Poll::Pending => false,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        if self.blocked || !self.may_process() {
            return Ok(false);
        }
        match self.wire.poll_read(cx) {
            Poll::Ready(Ok(0)) => {
                let inside = if self.wire.input.is_empty() { "closed-by-client" } else { "cut-packet" };
                Err(Fault::silent(inside))
            }
            Poll::Ready(Ok(count)) => {
                self.common.metrics.bytes_in.inc_by(count as u64);
                Ok(true)
            }
            Poll::Ready(Err(_)) => {
                self.peer_gone = true;
                Err(Fault::silent("connection-lost"))
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Processes whole packets of the input until one has to wait; whether there was any.
    fn process_input(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let mut progress = false;
        self.blocked = false;
        while self.may_process() {
            let Some(frame) = frame::next(&self.wire.input, self.common.limits.max_packet)? else { break };
            if self.must_wait(frame) {
                self.blocked = true;
                break;
            }
            progress = true;
            self.last_packet = self.now;
            match self.agreed {
                Some(agreed) if frame.kind == frame::PUBLISH => self.on_publish(cx, agreed, frame)?,
                Some(agreed) => {
                    let packet = self.wire.input.split_to(frame.total);
                    self.on_packet(agreed, frame, &packet[frame.header..])?;
                }
                None => {
                    let packet = self.wire.input.split_to(frame.total);
                    self.on_connect(frame, &packet[frame.header..])?;
                }
            }
        }
        Ok(progress)
    }

    fn on_packet(&mut self, agreed: Agreed, frame: Frame, body: &[u8]) -> Result<(), Fault> {
        match frame.kind {
            frame::PUBREL => self.on_pubrel(agreed, body),
            frame::SUBSCRIBE => self.on_subscribe(agreed, body),
            frame::UNSUBSCRIBE => self.on_unsubscribe(agreed, body),
            frame::PINGREQ if body.is_empty() => {
                self.wire.output.put_slice(&[0xd0, 0]);
                Ok(())
            }
            frame::PINGREQ => Err(Fault::malformed("PINGREQ with a body")),
            frame::DISCONNECT => {
                let parsed = match agreed.version {
                    Version::V311 => v3_1_1::Disconnect::parse(body).map(|(_, used)| used),
                    Version::V5 => v5_0::Disconnect::parse(body).map(|(_, used)| used),
                };
                match parsed {
                    Ok(used) if used == body.len() => {
                        self.close(Fault::silent("disconnect-by-client"));
                        Ok(())
                    }
                    Ok(_) => Err(Fault::malformed("DISCONNECT with bytes after its end")),
                    Err(error) => Err(Fault::codec("DISCONNECT", error)),
                }
            }
            frame::CONNECT => Err(Fault::protocol("a second CONNECT")),
            frame::AUTH => Err(Fault::protocol("AUTH without an authentication method")),
            kind => Err(Fault::protocol(format!("packet type {kind} is not for a client to send here"))),
        }
    }

    /// The next instant at which something may have to happen.
    fn next_deadline(&self) -> Option<Instant> {
        let connect = self.agreed.is_none().then_some(self.connect_deadline);
        let silence = self.agreed.and_then(|agreed| agreed.silence).map(|limit| self.last_packet + limit);
        let write = self.wire.has_output().then(|| self.last_write + self.common.limits.write_timeout);
        let drain = self.closing.as_ref().map(|closing| closing.deadline);
        let refused = self.refused_deadline();
        [connect, silence, write, drain, refused].into_iter().flatten().min()
    }

    /// When a session with a refused statement stops reading.
    fn refused_deadline(&self) -> Option<Instant> {
        let at_the_latest = self.refused? + self.common.limits.drain_timeout;
        let quiet = self.publishing.is_settled() && !self.blocked;
        Some(if quiet { at_the_latest.min(self.last_packet + REFUSED_QUIET) } else { at_the_latest })
    }

    /// Arms the timer, or says what has expired.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Option<Fault> {
        loop {
            let now = self.now;
            if let Some(closing) = self.closing.take_if(|closing| now >= closing.deadline) {
                return Some(closing.fault);
            }
            if self.closing.is_none() && self.refused_deadline().is_some_and(|deadline| now >= deadline) {
                self.refused = None;
                self.close(Fault::silent("refused-statement"));
                if let Some(fault) = self.closed() {
                    return Some(fault);
                }
                continue;
            }
            if self.agreed.is_none() && now >= self.connect_deadline {
                return Some(Fault::silent("connect-timeout"));
            }
            if self.wire.has_output() && now >= self.last_write + self.common.limits.write_timeout {
                return Some(Fault::new(
                    "slow-reader",
                    DisconnectReasonCode::QuotaExceeded,
                    "nothing sent to you was taken for too long",
                ));
            }
            if let Some(silence) = self.agreed.and_then(|agreed| agreed.silence)
                && now >= self.last_packet + silence
            {
                if self.may_process() && !self.blocked {
                    return Some(Fault::new(
                        "keep-alive",
                        DisconnectReasonCode::KeepAliveTimeout,
                        "no packet within one and a half times the keep alive",
                    ));
                }
                // We did not read: its packets may be waiting.
                self.last_packet = now;
            }
            let deadline = self.next_deadline()?;
            // A timer that fires early finds nothing expired and is set again, so activity need not move it.
            if deadline < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(deadline);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            self.now = Instant::now();
        }
    }

    /// Says why, closes, and counts.
    async fn finish(mut self, fault: Fault) {
        self.common.metrics.disconnected(fault.label);
        self.publishing.abandon(&self.common.metrics);
        self.leave_subscriptions();
        tracing::debug!(connection = self.id, reason = fault.label, text = %fault.text, "MQTT connection ended");
        if let (Some(agreed), Some(code)) = (self.agreed, fault.code)
            && agreed.version == Version::V5
        {
            let text = packets::truncate(&fault.text, 512);
            let with_text = ReasonString::new(text).and_then(|reason| {
                v5_0::Disconnect::builder().reason_code(code).props(vec![reason.into()]).build()
            });
            if let Ok(packet) = with_text.or_else(|_| v5_0::Disconnect::builder().reason_code(code).build())
                && packet.size() <= agreed.max_packet
            {
                self.wire.output.put_slice(&packet.to_continuous_buffer());
            }
        }
        let sent = async {
            if !self.peer_gone {
                while self.wire.has_output() {
                    if poll_fn(|cx| self.wire.poll_write(cx)).await.is_err() {
                        break;
                    }
                }
            }
            let mut stream = self.wire.into_stream();
            // The peer may be gone; there is nobody to tell.
            let _ = stream.shutdown().await;
            // Unread input would turn the close into a reset, and the reset would overtake our last words.
            let mut rest = [0; 4096];
            use tokio::io::AsyncReadExt as _;
            for _ in 0..64 {
                match stream.read(&mut rest).await {
                    Ok(count) if count > 0 => {}
                    _ => break,
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE, sent).await;
    }
}

impl<D: Door, S: AsyncRead + AsyncWrite + Unpin> Session<D, S> {
    /// Drops a whole packet from the input.
    fn consume(&mut self, frame: Frame) {
        self.wire.input.advance(frame.total);
    }
}
