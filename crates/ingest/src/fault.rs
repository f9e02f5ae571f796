//! Why a connection ends: a metric label, and for MQTT 5 clients a reason code and a sentence.

use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, MqttError};

/// A reason to end the connection. MQTT 3.1.1 has no server DISCONNECT: such a client only sees the close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Kebab-case, from a finite set: the `reason` label of the disconnect metric.
    pub label: &'static str,
    /// For DISCONNECT; `None` where nothing is to be said (the client left).
    pub code: Option<DisconnectReasonCode>,
    pub text: String,
}

impl Fault {
    pub(crate) fn new(label: &'static str, code: DisconnectReasonCode, text: impl Into<String>) -> Self {
        Self { label, code: Some(code), text: text.into() }
    }

    pub(crate) fn silent(label: &'static str) -> Self {
        Self { label, code: None, text: String::new() }
    }

    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::new("malformed-packet", DisconnectReasonCode::MalformedPacket, text)
    }

    pub(crate) fn protocol(text: impl Into<String>) -> Self {
        Self::new("protocol-error", DisconnectReasonCode::ProtocolError, text)
    }

    pub(crate) fn too_large(found: usize, limit: usize) -> Self {
        Self::new(
            "packet-too-large",
            DisconnectReasonCode::PacketTooLarge,
            format!("packet of {found} bytes, the limit is {limit}"),
        )
    }

    /// What the packet codec did not like.
    pub(crate) fn codec(packet: &str, error: MqttError) -> Self {
        match error {
            MqttError::ProtocolError => Self::protocol(format!("{packet} breaks the protocol")),
            _ => Self::malformed(format!("{packet} cannot be decoded: {error}")),
        }
    }
}
