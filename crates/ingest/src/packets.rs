//! Packets on the hot path, by hand: reading PUBLISH without a copy, writing acknowledgements and events.
//!
//! Everything else goes through `mqtt-protocol-core`'s packet types. Only its codec is used, not its `Connection`:
//! that one answers a repeated QoS 2 PUBLISH with PUBREC by itself (here PUBREC means final), leaves some connections
//! open after an error, and panics on a CONNECT with Topic Alias Maximum 0 (0.7.9).

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use mqtt_protocol_core::mqtt::packet::{Property, v5_0};

use crate::fault::Fault;
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;

pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBCOMP: u8 = 0x70;

/// Longest reason string sent, in bytes.
const MAX_REASON: usize = 512;

/// The two protocols spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

impl Version {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V311 => "3.1.1",
            Self::V5 => "5",
        }
    }
}

/// A PUBLISH as received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub topic: &'a [u8],
    pub qos: u8,
    /// Zero for QoS 0.
    pub id: u16,
    pub duplicate: bool,
    pub retain: bool,
    pub payload: &'a [u8],
}

pub(crate) fn parse_publish(version: Version, flags: u8, body: &[u8]) -> Result<Publish<'_>, Fault> {
    let cut = || Fault::malformed("PUBLISH ends too early");
    let (length, rest) = body.split_first_chunk::<2>().ok_or_else(cut)?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or_else(cut)?;
    let qos = (flags >> 1) & 0b11;
    let (id, rest) = if qos == 0 {
        (0, rest)
    } else {
        let (id, rest) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        (u16::from_be_bytes(*id), rest)
    };
    if qos > 0 && id == 0 {
        return Err(Fault::protocol("PUBLISH with packet identifier 0"));
    }
    let payload = match (version, rest.split_first()) {
        (Version::V311, _) => rest,
        // No properties, as most devices send it.
        (Version::V5, Some((0, payload))) => payload,
        (Version::V5, None) => return Err(cut()),
        (Version::V5, Some(_)) => {
            let (packet, _) = v5_0::Publish::parse(flags, Arc::from(body))
                .map_err(|error| Fault::codec("PUBLISH", error))?;
            if packet.props().iter().any(|property| matches!(property, Property::TopicAlias(_))) {
                return Err(Fault::new(
                    "topic-alias",
                    DisconnectReasonCode::TopicAliasInvalid,
                    "topic aliases are not offered (Topic Alias Maximum is 0)",
                ));
            }
            let length = packet.payload().len();
            body.get(body.len() - length..).ok_or_else(cut)?
        }
    };
    Ok(Publish { topic, qos, id, duplicate: flags & 0b1000 != 0, retain: flags & 1 != 0, payload })
}

/// What an MQTT 5 acknowledgement says beyond its packet identifier.
#[derive(Debug, Clone, Default)]
pub(crate) struct Details<'a> {
    pub code: u8,
    pub reason: Option<&'a str>,
    pub user: &'a [(&'a str, u64)],
}

/// Appends PUBACK, PUBREC or PUBCOMP. MQTT 3.1.1 knows no details. Reason string and user properties are left out
/// where they would exceed the client's Maximum Packet Size (MQTT 5, 3.4.2.2.2).
pub(crate) fn acknowledge(
    output: &mut BytesMut,
    kind: u8,
    id: u16,
    details: Option<&Details<'_>>,
    max_packet: usize,
) {
    let Some(details) = details else {
        output.put_slice(&[kind, 2]);
        output.put_u16(id);
        return;
    };
    let reason = details.reason.map(|reason| truncate(reason, MAX_REASON));
    let properties = reason.map_or(0, |reason| 3 + reason.len())
        + details.user.iter().map(|(key, value)| 5 + key.len() + digits(*value)).sum::<usize>();
    let body = 3 + varint_size(properties) + properties;
    if properties == 0 || 1 + varint_size(body) + body > max_packet {
        output.put_slice(&[kind, 3]);
        output.put_u16(id);
        output.put_u8(details.code);
        return;
    }
    output.put_u8(kind);
    put_varint(output, body);
    output.put_u16(id);
    output.put_u8(details.code);
    put_varint(output, properties);
    if let Some(reason) = reason {
        output.put_u8(0x1f);
        put_text(output, reason.as_bytes());
    }
    for (key, value) in details.user {
        output.put_u8(0x26);
        put_text(output, key.as_bytes());
        put_number(output, *value);
    }
}

/// Appends a QoS 0 PUBLISH; false, and nothing written, where it exceeds the client's Maximum Packet Size.
pub(crate) fn event(
    output: &mut BytesMut,
    version: Version,
    topic: &str,
    payload: &[u8],
    max_packet: usize,
) -> bool {
    let body = 2 + topic.len() + usize::from(version == Version::V5) + payload.len();
    if 1 + varint_size(body) + body > max_packet {
        return false;
    }
    output.put_u8(0x30);
    put_varint(output, body);
    put_text(output, topic.as_bytes());
    if version == Version::V5 {
        output.put_u8(0);
    }
    output.put_slice(payload);
    true
}

/// Cuts at a character boundary.
pub(crate) fn truncate(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

fn put_text(output: &mut BytesMut, text: &[u8]) {
    debug_assert!(text.len() <= usize::from(u16::MAX));
    output.put_u16(text.len() as u16);
    output.put_slice(text);
}

fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// A number as MQTT text.
fn put_number(output: &mut BytesMut, mut value: u64) {
    let mut text = [0; 20];
    let length = digits(value);
    for digit in text[..length].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    put_text(output, &text[..length]);
}

fn varint_size(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_varint(output: &mut BytesMut, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            output.put_u8(byte);
            return;
        }
        output.put_u8(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use mqtt_protocol_core::mqtt::packet::v3_1_1;

    use super::*;

    /// The body of the one packet in `output`.
    fn body(output: &BytesMut) -> &[u8] {
        let frame = crate::frame::next(output, 1 << 20).unwrap().unwrap();
        assert_eq!(frame.total, output.len());
        &output[frame.header..]
    }

    #[test]
    fn acknowledgements_are_what_the_codec_reads() {
        for (leaf, reason) in [(0, None), (9, Some("x")), (10, None), (u64::MAX, Some("long")), (99, None)] {
            let long = "é".repeat(400);
            let reason = reason.map(|r| if r == "long" { long.as_str() } else { r });
            let mut output = BytesMut::new();
            let details = Details { code: 0x97, reason, user: &[("leaf", leaf), ("height", 12)] };
            acknowledge(&mut output, PUBACK, 77, Some(&details), usize::MAX);
            let (packet, used) = v5_0::Puback::parse(body(&output)).unwrap();
            assert_eq!(used, body(&output).len());
            assert_eq!(packet.packet_id(), 77);
            assert_eq!(packet.reason_code().unwrap() as u8, 0x97);
            let props = packet.props().as_ref().unwrap();
            let texts: Vec<(String, String)> = props
                .iter()
                .map(|p| match p {
                    Property::UserProperty(u) => (u.key().to_owned(), u.val().to_owned()),
                    Property::ReasonString(r) => ("reason".to_owned(), r.val().to_owned()),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(texts.contains(&("leaf".to_owned(), leaf.to_string())));
            assert!(texts.contains(&("height".to_owned(), "12".to_owned())));
            if let Some(reason) = reason {
                assert!(texts.contains(&("reason".to_owned(), truncate(reason, MAX_REASON).to_owned())));
            }

            output.clear();
            acknowledge(&mut output, PUBACK, 77, Some(&details), 16);
            assert_eq!(output.as_ref(), &[0x40, 3, 0, 77, 0x97], "too large for the client: the code alone");
        }
        let mut output = BytesMut::new();
        acknowledge(&mut output, PUBREC, 513, None, usize::MAX);
        assert_eq!(output.as_ref(), &[0x50, 2, 2, 1]);
    }

    #[test]
    fn events_are_what_the_codec_reads() {
        let mut output = BytesMut::new();
        let payload = vec![b'x'; 300];
        assert!(event(&mut output, Version::V5, "a/b", &payload, usize::MAX));
        let (packet, _) = v5_0::Publish::parse(0, Arc::from(body(&output))).unwrap();
        assert_eq!((packet.topic_name(), packet.payload().as_slice()), ("a/b", payload.as_slice()));
        output.clear();
        assert!(event(&mut output, Version::V311, "a/b", &payload, usize::MAX));
        let (packet, _) = v3_1_1::Publish::parse(0, Arc::from(body(&output))).unwrap();
        assert_eq!((packet.topic_name(), packet.payload().as_slice()), ("a/b", payload.as_slice()));
        output.clear();
        assert!(!event(&mut output, Version::V311, "a/b", &payload, 300));
        assert!(output.is_empty());
    }

    #[test]
    fn publish_is_read_like_the_codec_reads_it() {
        let plain = b"\x00\x03a/b\x00\x07\x00payload";
        let publish = parse_publish(Version::V5, 0b1010, plain).unwrap();
        assert_eq!((publish.topic, publish.qos, publish.id), (&b"a/b"[..], 1, 7));
        assert!(publish.duplicate && !publish.retain);
        assert_eq!(publish.payload, b"payload");
        // Message expiry interval, then the payload.
        let with = b"\x00\x03a/b\x00\x07\x05\x02\x00\x00\x00\x09payload";
        assert_eq!(parse_publish(Version::V5, 0b0010, with).unwrap().payload, b"payload");
        let v3 = b"\x00\x03a/bpayload";
        assert_eq!(parse_publish(Version::V311, 0, v3).unwrap().payload, b"payload");
        let alias = b"\x00\x03a/b\x03\x23\x00\x01payload";
        assert_eq!(parse_publish(Version::V5, 0, alias).unwrap_err().label, "topic-alias");
        assert!(parse_publish(Version::V5, 0b0010, b"\x00\x03a/b\x00\x00\x00").is_err(), "identifier 0");
        for cut in 0..9 {
            assert!(parse_publish(Version::V5, 0b0010, &with[..cut]).is_err(), "cut at {cut}");
        }
    }
}
