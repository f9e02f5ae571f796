//! CONNECT and its answer.
//!
//! Anybody may connect: statements prove by themselves who made them, so user name and password are ignored. Nothing
//! is kept between connections (`session present` is always 0, session expiry 0): what was not acknowledged is sent
//! again. A client id is no identity here, so two connections may use the same one; taking over the older one, as
//! MQTT asks, would let anybody cut off anybody. Wills are accepted and ignored; retained messages are not offered.

use std::time::Duration;

use bytes::BufMut as _;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, Property, ReasonString, ReceiveMaximum, RetainAvailable,
    ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
    v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, MqttError};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Agreed, Session};
use crate::door::Door;
use crate::fault::Fault;
use crate::frame::{self, Frame};
use crate::packets::Version;

impl<D: Door, S: AsyncRead + AsyncWrite + Unpin> Session<D, S> {
    pub(super) fn on_connect(&mut self, frame: Frame, body: &[u8]) -> Result<(), Fault> {
        if frame.kind != frame::CONNECT {
            return Err(Fault::protocol("the first packet must be CONNECT"));
        }
        // Protocol name (2 + 4 bytes), level, flags.
        match body {
            [0, 4, b'M', b'Q', b'T', b'T', 4, flags, ..] => {
                if flags & 1 != 0 || flags & 0b11000 == 0b11000 {
                    return Err(Fault::malformed("reserved CONNECT flags"));
                }
                self.on_connect_3(body)
            }
            [0, 4, b'M', b'Q', b'T', b'T', 5, flags, ..] => {
                if flags & 1 != 0 || flags & 0b11000 == 0b11000 {
                    return Err(self.refuse_5(ConnectReasonCode::MalformedPacket, "reserved CONNECT flags"));
                }
                self.on_connect_5(body)
            }
            [0, 4, b'M', b'Q', b'T', b'T', _, ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', ..] => {
                // In 3.1.1's words, which every older or newer client should know (MQTT 3.1.1, 3.1.2.2).
                Err(self.refuse_3(ConnectReturnCode::UnacceptableProtocolVersion, "unsupported-version"))
            }
            _ => Err(Fault::malformed("no MQTT CONNECT")),
        }
    }

    fn on_connect_3(&mut self, body: &[u8]) -> Result<(), Fault> {
        let packet = match v3_1_1::Connect::parse(body) {
            Ok((packet, used)) if used == body.len() => packet,
            Ok(_) => return Err(Fault::malformed("CONNECT with bytes after its end")),
            Err(MqttError::ClientIdentifierNotValid) => {
                return Err(self.refuse_3(ConnectReturnCode::IdentifierRejected, "bad-client-id"));
            }
            Err(error) => return Err(Fault::codec("CONNECT", error)),
        };
        if packet.client_id().is_empty() && !packet.clean_session() {
            return Err(self.refuse_3(ConnectReturnCode::IdentifierRejected, "bad-client-id"));
        }
        if self.busy {
            return Err(self.refuse_3(ConnectReturnCode::ServerUnavailable, "server-busy"));
        }
        let (silence, _) = self.silence(packet.keep_alive());
        self.answer_3(ConnectReturnCode::Accepted);
        self.agreed = Some(Agreed {
            version: Version::V311,
            silence,
            problem_information: false,
            max_packet: usize::MAX,
        });
        self.common.metrics.connected(Version::V311.name(), "accepted");
        Ok(())
    }

    fn on_connect_5(&mut self, body: &[u8]) -> Result<(), Fault> {
        let packet = match v5_0::Connect::parse(body) {
            Ok((packet, used)) if used == body.len() => packet,
            Ok(_) => return Err(self.refuse_5(ConnectReasonCode::MalformedPacket, "bytes after the end")),
            Err(error) => {
                let code = match error {
                    MqttError::ClientIdentifierNotValid => ConnectReasonCode::ClientIdentifierNotValid,
                    MqttError::ProtocolError => ConnectReasonCode::ProtocolError,
                    _ => ConnectReasonCode::MalformedPacket,
                };
                return Err(self.refuse_5(code, &error.to_string()));
            }
        };
        let mut agreed =
            Agreed { version: Version::V5, silence: None, problem_information: true, max_packet: usize::MAX };
        let mut properties = Vec::new();
        for property in packet.props() {
            match property {
                Property::MaximumPacketSize(size) => agreed.max_packet = size.val() as usize,
                Property::RequestProblemInformation(wanted) => agreed.problem_information = wanted.val() == 1,
                Property::SessionExpiryInterval(interval) if interval.val() > 0 => {
                    properties.extend(SessionExpiryInterval::new(0).map(Property::from));
                }
                Property::AuthenticationMethod(_) => {
                    let why = "no authentication is needed: statements prove who made them";
                    return Err(self.refuse_5(ConnectReasonCode::BadAuthenticationMethod, why));
                }
                _ => {}
            }
        }
        if packet.will_flag() && packet.will_retain() {
            return Err(self.refuse_5(ConnectReasonCode::RetainNotSupported, "messages are not retained"));
        }
        if self.busy {
            return Err(self.refuse_5(ConnectReasonCode::ServerBusy, "too many connections; try again later"));
        }
        let (silence, told) = self.silence(packet.keep_alive());
        agreed.silence = silence;
        let limits = &self.common.limits;
        properties.extend(ReceiveMaximum::new(limits.max_in_flight).map(Property::from));
        let max_packet = u32::try_from(limits.max_packet).unwrap_or(u32::MAX);
        properties.extend(MaximumPacketSize::new(max_packet).map(Property::from));
        properties.extend(RetainAvailable::new(0).map(Property::from));
        properties.extend(SubscriptionIdentifierAvailable::new(0).map(Property::from));
        properties.extend(SharedSubscriptionAvailable::new(0).map(Property::from));
        if let Some(seconds) = told {
            properties.extend(ServerKeepAlive::new(seconds).map(Property::from));
        }
        if packet.client_id().is_empty() {
            let name = format!("triad-{}", self.id);
            properties.extend(AssignedClientIdentifier::new(name).map(Property::from));
        }
        if !self.answer_5(ConnectReasonCode::Success, properties, agreed.max_packet) {
            // Leaving our limits out would be worse than not being heard.
            self.common.metrics.connected(Version::V5.name(), "packet-size");
            return Err(Fault::silent("packet-size"));
        }
        self.agreed = Some(agreed);
        self.common.metrics.connected(Version::V5.name(), "accepted");
        Ok(())
    }

    /// From the client's keep alive: how long it may be silent, and the keep alive it must be told instead.
    fn silence(&self, keep_alive: u16) -> (Option<Duration>, Option<u16>) {
        let most = u16::try_from(self.common.limits.max_keep_alive.as_secs()).unwrap_or(u16::MAX).max(1);
        let told = (keep_alive == 0 || keep_alive > most).then_some(most);
        let seconds = told.unwrap_or(keep_alive);
        (Some(Duration::from_millis(u64::from(seconds) * 1_500)), told)
    }

    fn answer_3(&mut self, code: ConnectReturnCode) {
        self.wire.output.put_slice(&[0x20, 2, 0, code as u8]);
    }

    /// Whether the answer fits into the client's Maximum Packet Size, and so was sent.
    fn answer_5(&mut self, code: ConnectReasonCode, properties: Vec<Property>, max_packet: usize) -> bool {
        let packet =
            v5_0::Connack::builder().session_present(false).reason_code(code).props(properties).build();
        match packet {
            Ok(packet) if packet.size() <= max_packet => {
                self.wire.output.put_slice(&packet.to_continuous_buffer());
                true
            }
            _ => false,
        }
    }

    fn refuse_3(&mut self, code: ConnectReturnCode, label: &'static str) -> Fault {
        self.common.metrics.connected(Version::V311.name(), label);
        self.answer_3(code);
        Fault::silent(label)
    }

    fn refuse_5(&mut self, code: ConnectReasonCode, why: &str) -> Fault {
        let label = match code {
            ConnectReasonCode::ServerBusy => "server-busy",
            ConnectReasonCode::ClientIdentifierNotValid => "bad-client-id",
            ConnectReasonCode::BadAuthenticationMethod => "bad-authentication-method",
            ConnectReasonCode::RetainNotSupported => "retain",
            ConnectReasonCode::ProtocolError => "protocol-error",
            _ => "malformed-packet",
        };
        self.common.metrics.connected(Version::V5.name(), label);
        self.answer_5(code, ReasonString::new(why).map(Property::from).into_iter().collect(), usize::MAX);
        Fault::silent(label)
    }
}
