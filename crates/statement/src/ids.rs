//! The three identities, each a fixed number of bytes, written as lowercase hex after `0x`.

use alloy_primitives::Keccak256;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// Text that is not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 0x and {expected} lowercase hexadecimal digits for a {what}")]
pub struct ParseIdError {
    what: &'static str,
    expected: usize,
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// Bytes of this identity.
            pub const LEN: usize = $bytes;

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0u8; 2 + 2 * $bytes];
                text[..2].copy_from_slice(b"0x");
                hex::encode_to_slice(self.0, &mut text[2..]).map_err(|_| fmt::Error)?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0u8; $bytes];
                decode_hex(text, &mut bytes)
                    .then_some(Self(bytes))
                    .ok_or(ParseIdError { what: $what, expected: 2 * $bytes })
            }
        }

        impl From<[u8; $bytes]> for $name {
            fn from(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = std::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!("a ", $what, " as 0x and lowercase hexadecimal digits"))
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}

identity!(
    /// A device, forever: the last 20 bytes of Keccak-256 of its first public key (see [`crate::DeviceKey::id`]).
    DeviceId,
    20,
    "device id"
);
identity!(
    /// One quantity of one device: see [`stream_id`].
    StreamId,
    32,
    "stream id"
);
identity!(
    /// What was signed: SHA-256 of the COSE `Sig_structure`. It covers signer, sequence number and payload, and
    /// leaves out the signature, so nobody without the key can make a second identity.
    StatementId,
    32,
    "statement id"
);

/// The stream of the readings that `origin` makes under a resolved SenML name: Keccak-256 of id and name joined.
pub fn stream_id(origin: DeviceId, name: &str) -> StreamId {
    let mut hasher = Keccak256::new();
    hasher.update(origin.0);
    hasher.update(name.as_bytes());
    StreamId(hasher.finalize().0)
}

/// Exactly `0x` and two lowercase digits a byte; upper case is refused so that an identity has one spelling.
fn decode_hex(text: &str, out: &mut [u8]) -> bool {
    let Some(digits) = text.strip_prefix("0x") else { return false };
    digits.len() == 2 * out.len()
        && !digits.bytes().any(|byte| byte.is_ascii_uppercase())
        && hex::decode_to_slice(digits, out).is_ok()
}
