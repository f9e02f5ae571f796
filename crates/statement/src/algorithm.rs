use serde::{Deserialize, Serialize};
use std::fmt;

/// A signature algorithm with its curve. The discriminant is what contracts and our own formats use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032) under ZIP-215 rules. COSE -8 (`EdDSA`) or -19 (`Ed25519`).
    #[serde(rename = "EdDSA")]
    EdDsa = 1,
    /// ECDSA on P-256 with SHA-256. COSE -7 (`ES256`) or -9 (`ESP256`).
    #[serde(rename = "ES256")]
    Es256 = 2,
    /// ECDSA on secp256k1 with SHA-256. COSE -47 (`ES256K`).
    #[serde(rename = "ES256K")]
    Es256k = 3,
}

impl Algorithm {
    /// All algorithms, in order of their number.
    pub const ALL: [Algorithm; 3] = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es256k];

    /// The algorithm with this number; `None` for 0 (a device without a key) and all others.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_u8() == number)
    }

    /// The number that contracts and our own formats use.
    pub fn as_u8(self) -> u8 {
        self as u8
    }

    /// The name in the COSE registry.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::EdDsa => "EdDSA",
            Algorithm::Es256 => "ES256",
            Algorithm::Es256k => "ES256K",
        }
    }

    /// The algorithm with this name in the COSE registry, whatever the case of its letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The COSE identifier that our own statements carry.
    pub fn cose_id(self) -> i64 {
        match self {
            Algorithm::EdDsa => -8,
            Algorithm::Es256 => -7,
            Algorithm::Es256k => -47,
        }
    }

    /// The algorithm of a COSE identifier, RFC 9053's or the fully specified one of RFC 9864.
    pub fn from_cose_id(id: i64) -> Option<Self> {
        match id {
            -8 | -19 => Some(Algorithm::EdDsa),
            -7 | -9 => Some(Algorithm::Es256),
            -47 => Some(Algorithm::Es256k),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
