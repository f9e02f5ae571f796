//! MQTT packets in a byte stream: fixed header, remaining length, reserved flag bits (MQTT 3.1.1 and 5, section 2).

use crate::fault::Fault;

pub(crate) const CONNECT: u8 = 1;
pub(crate) const PUBLISH: u8 = 3;
pub(crate) const PUBREL: u8 = 6;
pub(crate) const SUBSCRIBE: u8 = 8;
pub(crate) const UNSUBSCRIBE: u8 = 10;
pub(crate) const PINGREQ: u8 = 12;
pub(crate) const DISCONNECT: u8 = 14;
pub(crate) const AUTH: u8 = 15;

/// One whole packet at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub kind: u8,
    pub flags: u8,
    /// Length of the fixed header, 2 to 5.
    pub header: usize,
    /// Length of header and body.
    pub total: usize,
}

/// The packet at the start of `buffer`; `None` when more bytes are needed. A packet that cannot become valid is
/// refused at its header, before its body is buffered.
pub(crate) fn next(buffer: &[u8], max_packet: usize) -> Result<Option<Frame>, Fault> {
    let Some(&first) = buffer.first() else { return Ok(None) };
    let (kind, flags) = (first >> 4, first & 0x0f);
    let reserved_ok = match kind {
        0 => false,
        PUBLISH => flags & 0b0110 != 0b0110,
        PUBREL | SUBSCRIBE | UNSUBSCRIBE => flags == 0b0010,
        _ => flags == 0,
    };
    if !reserved_ok {
        return Err(Fault::malformed("reserved bits of the fixed header are wrong"));
    }
    let mut length = 0usize;
    for (index, &byte) in buffer.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let header = index + 2;
            let total = header + length;
            if total > max_packet {
                return Err(Fault::too_large(total, max_packet));
            }
            let frame = Frame { kind, flags, header, total };
            return Ok((buffer.len() >= total).then_some(frame));
        }
    }
    if buffer.len() >= 5 {
        return Err(Fault::malformed("remaining length has more than four bytes"));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_whole_packets() {
        assert_eq!(next(&[], 100).unwrap(), None);
        assert_eq!(next(&[0x30], 100).unwrap(), None);
        assert_eq!(next(&[0x30, 2, 0], 100).unwrap(), None);
        let frame = next(&[0x30, 2, 0, 0, 0xc0], 100).unwrap().unwrap();
        assert_eq!((frame.kind, frame.header, frame.total), (PUBLISH, 2, 4));
        let mut long = vec![0x32, 0x80, 0x01];
        assert_eq!(next(&long, 200).unwrap(), None);
        long.resize(131, 0);
        assert_eq!(next(&long, 200).unwrap().unwrap().total, 131);
    }

    #[test]
    fn refuses_at_the_header() {
        assert!(next(&[0x30, 0xff, 0xff, 0xff, 0x7f], 70_000).is_err(), "too large");
        assert!(next(&[0x30, 0xff, 0xff, 0xff, 0xff], 70_000).is_err(), "length of five bytes");
        assert!(next(&[0x00], 100).is_err(), "type 0");
        assert!(next(&[0x36], 100).is_err(), "QoS 3");
        assert!(next(&[0x80], 100).is_err(), "SUBSCRIBE without its reserved bits");
        assert!(next(&[0xc1], 100).is_err(), "PINGREQ with flags");
    }
}
