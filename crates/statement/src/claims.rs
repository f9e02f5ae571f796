//! The CWT claims in header 15 (RFC 8392, RFC 9597): who, for whom, when, and the sequence number.

use crate::{
    DeviceId, StatementError,
    cbor::{Fault, Number, Reader},
    header::integer_or_text,
    limits::{MAX_EXTENSIONS, MAX_PARTY_BYTES},
    senml,
};

pub(crate) mod claim {
    pub(crate) const ISS: i64 = 1;
    pub(crate) const SUB: i64 = 2;
    pub(crate) const IAT: i64 = 6;
    pub(crate) const SEQUENCE: i64 = -65537;
}

pub(crate) fn bad_claim(what: &'static str) -> StatementError {
    StatementError::BadClaims { what }
}

/// Claims inside header 15.
#[derive(Default)]
pub(crate) struct Claims<'a> {
    pub(crate) issuer: Option<&'a str>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) issued_at: Option<i64>,
    pub(crate) sequence: Option<u64>,
}

impl<'a> Claims<'a> {
    pub(crate) fn parse(reader: &mut Reader<'a, true>) -> Result<Self, StatementError> {
        let claim = |fault: Fault| match StatementError::from(fault) {
            StatementError::BadHeader { what } => bad_claim(what),
            other => other,
        };
        let mut left = reader.map("expected a map").map_err(claim)?;
        let mut previous = None;
        let mut carried = 0;
        let mut claims = Self::default();
        while reader.more(&mut left) {
            let key = reader.position();
            let name =
                integer_or_text(reader, "a claim's name must be an integer or a text").map_err(claim)?;
            reader.ascending(&mut previous, key)?;
            match name {
                Some(claim::ISS) => {
                    claims.issuer = Some(reader.text("iss (1) must be a text").map_err(claim)?)
                }
                Some(claim::SUB) => {
                    claims.subject = Some(reader.text("sub (2) must be a text").map_err(claim)?)
                }
                Some(claim::IAT) => {
                    const WHAT: &str = "iat (6) must be a number of seconds from 1970 to 9999, without a tag";
                    let time = match reader.number(WHAT).map_err(claim)? {
                        Number::Decimal { .. } => None,
                        seconds => senml::microseconds(seconds).filter(|time| *time >= 0),
                    };
                    claims.issued_at = Some(time.ok_or(bad_claim(WHAT))?);
                }
                Some(claim::SEQUENCE) => {
                    const WHAT: &str = "the sequence number (-65537) must be an unsigned integer";
                    claims.sequence = Some(reader.unsigned(WHAT).map_err(claim)?);
                }
                _ => {
                    carried += 1;
                    if carried > MAX_EXTENSIONS {
                        return Err(bad_claim("more than 16 claims that are not understood"));
                    }
                    reader.skip().map_err(claim)?;
                }
            }
        }
        Ok(claims)
    }
}

/// The device that `iss` or `sub` names: `0x` and 40 lowercase digits, alone or as the last part of a DID.
pub(crate) fn party(text: &str) -> Option<DeviceId> {
    if text.len() > MAX_PARTY_BYTES {
        return None;
    }
    let id = match text.strip_prefix("did:") {
        None => text,
        Some(rest) => {
            let (method, id) = rest.split_once(':')?;
            let simple = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
            if method.is_empty() || !method.bytes().all(simple) || !id.bytes().all(allowed) {
                return None;
            }
            id.rsplit(':').next()?
        }
    };
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_a_party_is() {
        let id = DeviceId([0xab; 20]);
        let hex = id.to_string();
        for text in [
            hex.clone(),
            format!("did:triad:{hex}"),
            format!("did:ethr:0x1:{hex}"),
            format!("did:web:a.b%3A8:{hex}"),
        ] {
            assert_eq!(party(&text), Some(id), "{text}");
        }
        let upper = hex.to_uppercase();
        for text in [
            "",
            "did:",
            "did:x",
            &hex[2..],
            &upper,
            &format!("0x{}", &upper[2..]),
            &format!("did::{hex}"),
            &format!("DID:x:{hex}"),
            &format!("did:x:{hex}:"),
            &format!("did:x:{hex}#key"),
            &format!("urn:x:{hex}"),
            &format!("did:x{hex}"),
            &format!(" {hex}"),
            &format!("did:x:{}:{hex}", "a".repeat(250)),
        ] {
            assert_eq!(party(text), None, "{text}");
        }
    }
}
