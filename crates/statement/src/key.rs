//! A device's public key, and its one encoding.
//!
//! The canonical COSE_Key (RFC 9052, section 7; RFC 9053, section 7) is deterministic CBOR with these fields and no
//! others: `{1: 1, -1: 6, -2: x}` for Ed25519 (40 bytes), `{1: 2, -1: 1, -2: x, -3: y}` for P-256 and
//! `{1: 2, -1: 8, -2: x, -3: y}` for secp256k1 (75 bytes each). Device ids, fingerprints and the registry are made of
//! these bytes, so every other spelling of the same key is refused.
//!
//! A key is refused too when it is no point of its curve, or (Ed25519) an encoding that is not reduced or one of the
//! eight points of small order, under which anybody can sign anything.

use crate::{Algorithm, DeviceId, KeyError, ed25519};
use alloy_primitives::keccak256;
use aws_lc_rs::{
    encoding::AsDer,
    signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey},
};
use sha2::{Digest, Sha256};
use std::fmt;

/// The public key of a device: a valid point, decompressed. 200 bytes in memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey(pub(crate) Point);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Point {
    Ed25519(ed25519::PublicKey),
    P256([u8; 64]),
    Secp256k1([u8; 64]),
}

const OKP_PREFIX: [u8; 8] = [0xa3, 0x01, 0x01, 0x20, 0x06, 0x21, 0x58, 0x20];
const EC2_PREFIX: [u8; 8] = [0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20];
const EC2_Y: [u8; 3] = [0x22, 0x58, 0x20];
const CURVE_AT: usize = 4;
const SECP256K1: u8 = 8;

/// The y coordinates (sign bit cleared) of the points of small order on Curve25519, in their reduced encodings.
const SMALL_ORDER: [[u8; 32]; 5] = {
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    let mut one = [0; 32];
    one[0] = 1;
    [[0; 32], one, minus_one, ORDER_EIGHT, OTHER_ORDER_EIGHT]
};
const ORDER_EIGHT: [u8; 32] = [
    0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
    0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
];
const OTHER_ORDER_EIGHT: [u8; 32] = [
    0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
    0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
];

impl DeviceKey {
    /// Parses a canonical COSE_Key.
    ///
    /// # Errors
    /// [`KeyError::NotCanonical`] for any other bytes, [`KeyError::BadPoint`] for a key that is not usable.
    pub fn from_cose_key(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.starts_with(&OKP_PREFIX) {
            let x = bytes[OKP_PREFIX.len()..].try_into().map_err(|_| KeyError::NotCanonical)?;
            return Self::ed25519(x);
        }
        let (prefix, rest) = bytes.split_at_checked(EC2_PREFIX.len()).ok_or(KeyError::NotCanonical)?;
        let mut expected = EC2_PREFIX;
        expected[CURVE_AT] = prefix[CURVE_AT];
        if prefix != expected || rest.len() != 67 || rest[32..35] != EC2_Y {
            return Err(KeyError::NotCanonical);
        }
        let mut xy = [0; 64];
        xy[..32].copy_from_slice(&rest[..32]);
        xy[32..].copy_from_slice(&rest[35..]);
        match prefix[CURVE_AT] {
            1 => Self::from_raw(Algorithm::Es256, &xy),
            SECP256K1 => Self::from_raw(Algorithm::Es256k, &xy),
            _ => Err(KeyError::NotCanonical),
        }
    }

    /// From the bytes that other libraries give: 32 bytes for Ed25519; for the others the SEC 1 point, compressed (33),
    /// uncompressed (65) or without its first byte (64).
    ///
    /// # Errors
    /// [`KeyError::BadLength`], or [`KeyError::BadPoint`] for a key that is not usable.
    pub fn from_raw(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, KeyError> {
        let bad_length = || KeyError::BadLength { algorithm: algorithm.name(), found: bytes.len() };
        let mut sec1 = [4u8; 65];
        let point = match (algorithm, bytes.len()) {
            (Algorithm::EdDsa, 32) => return Self::ed25519(bytes.try_into().map_err(|_| bad_length())?),
            (Algorithm::Es256 | Algorithm::Es256k, 33 | 65) => bytes,
            (Algorithm::Es256 | Algorithm::Es256k, 64) => {
                sec1[1..].copy_from_slice(bytes);
                &sec1
            }
            _ => return Err(bad_length()),
        };
        let bad_point = KeyError::BadPoint(algorithm.name());
        let valid_start = if point.len() == 65 { point[0] == 4 } else { matches!(point[0], 2 | 3) };
        let uncompressed = match algorithm {
            _ if !valid_start => None,
            Algorithm::Es256k => {
                secp256k1::PublicKey::from_slice(point).ok().map(|key| key.serialize_uncompressed())
            }
            _ => p256_uncompressed(point),
        };
        let uncompressed = uncompressed.ok_or(bad_point)?;
        let mut xy = [0; 64];
        xy.copy_from_slice(&uncompressed[1..]);
        Ok(Self(if algorithm == Algorithm::Es256 { Point::P256(xy) } else { Point::Secp256k1(xy) }))
    }

    fn ed25519(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let mut y = bytes;
        y[31] &= 0x7f;
        let reduced = y[31] != 0x7f || y[1..31].iter().any(|byte| *byte != 0xff) || y[0] < 0xed;
        let usable = reduced && !SMALL_ORDER.contains(&y);
        let key = usable.then(|| ed25519::PublicKey::new(bytes)).flatten();
        key.map(|key| Self(Point::Ed25519(key))).ok_or(KeyError::BadPoint(Algorithm::EdDsa.name()))
    }

    /// The canonical COSE_Key: 40 bytes for Ed25519, 75 for the others.
    pub fn cose_key(&self) -> Vec<u8> {
        let ec2 = |curve: u8, xy: &[u8; 64]| {
            let mut prefix = EC2_PREFIX;
            prefix[CURVE_AT] = curve;
            [&prefix[..], &xy[..32], &EC2_Y, &xy[32..]].concat()
        };
        match &self.0 {
            Point::Ed25519(x) => [&OKP_PREFIX[..], x.bytes()].concat(),
            Point::P256(xy) => ec2(1, xy),
            Point::Secp256k1(xy) => ec2(SECP256K1, xy),
        }
    }

    /// The one algorithm that this key signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Point::Ed25519(_) => Algorithm::EdDsa,
            Point::P256(_) => Algorithm::Es256,
            Point::Secp256k1(_) => Algorithm::Es256k,
        }
    }

    /// The id of the device whose *first* key this is: the last 20 bytes of Keccak-256 of x and y for secp256k1 (its
    /// Ethereum address), of the canonical COSE_Key for the others.
    pub fn id(&self) -> DeviceId {
        let hash = match &self.0 {
            Point::Secp256k1(xy) => keccak256(xy),
            _ => keccak256(self.cose_key()),
        };
        let mut id = [0; 20];
        id.copy_from_slice(&hash[12..]);
        DeviceId(id)
    }

    /// SHA-256 of the canonical COSE_Key: names the key that verified a statement in its leaf.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.cose_key()).into()
    }

    /// `x` for Ed25519 (32 bytes), `x ‖ y` for the others (64 bytes).
    pub fn raw_xy(&self) -> &[u8] {
        match &self.0 {
            Point::Ed25519(x) => x.bytes(),
            Point::P256(xy) | Point::Secp256k1(xy) => xy,
        }
    }

    /// The key as a `did:key` (base58-btc multibase of multicodec prefix and compressed point).
    pub fn did_key(&self) -> String {
        format!("did:key:{}", self.multibase())
    }

    /// The `publicKeyMultibase` of a DID document's `Multikey`: what follows `did:key:`.
    pub fn multibase(&self) -> String {
        let (codec, point): ([u8; 2], Vec<u8>) = match &self.0 {
            Point::Ed25519(x) => ([0xed, 0x01], x.bytes().to_vec()),
            Point::P256(xy) => ([0x80, 0x24], compressed(xy)),
            Point::Secp256k1(xy) => ([0xe7, 0x01], compressed(xy)),
        };
        format!("z{}", bs58::encode([&codec[..], &point].concat()).into_string())
    }
}

fn compressed(xy: &[u8; 64]) -> Vec<u8> {
    [&[2 + (xy[63] & 1)], &xy[..32]].concat()
}

/// The uncompressed form of a P-256 point, if it lies on the curve.
fn p256_uncompressed(sec1: &[u8]) -> Option<[u8; 65]> {
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, sec1).ok()?;
    if let Ok(uncompressed) = sec1.try_into() {
        return Some(uncompressed);
    }
    // A SubjectPublicKeyInfo ends with the uncompressed point.
    let der = key.as_der().ok()?;
    let point: [u8; 65] = der.as_ref().last_chunk().copied()?;
    (point[0] == 4 && point[1..33] == sec1[1..33]).then_some(point)
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.did_key())
    }
}

#[cfg(test)]
mod tests;
