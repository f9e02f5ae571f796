//! Secret keys: for devices simulated or served by us, for tests, and for `triad key new`.
//!
//! The text form is PKCS#8 in PEM without a password, as OpenSSL writes and reads it for all three curves.

use crate::{Algorithm, DeviceKey, KeyError, ecdsa, ed25519::PublicKey, key::Point};
use aws_lc_rs::{
    encoding::AsBigEndian,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use rand::CryptoRng;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc};

/// The secret key of a device.
#[derive(Clone)]
pub struct SigningKey {
    secret: Secret,
    public: DeviceKey,
}

#[derive(Clone)]
enum Secret {
    Ed25519(Box<ed25519_zebra::SigningKey>),
    P256([u8; 32], Arc<EcdsaKeyPair>),
    Secp256k1(secp256k1::SecretKey),
}

const ED25519_DER: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP256K1_OID: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
const EC_OID: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// Far above any key of ours: what is longer is something else.
const MAX_PEM_BYTES: usize = 4_096;

impl SigningKey {
    /// A new key from the given source of randomness.
    pub fn generate(algorithm: Algorithm, rng: &mut impl CryptoRng) -> Self {
        loop {
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            // Fails for scalars that are zero or above the group order, which nobody ever saw.
            if let Ok(key) = Self::from_secret_bytes(algorithm, &secret) {
                return key;
            }
        }
    }

    /// From the 32-byte seed (Ed25519) or big-endian scalar (the others).
    ///
    /// # Errors
    /// [`KeyError::BadSecret`] for another length or a scalar out of range.
    pub fn from_secret_bytes(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = secret.try_into().map_err(|_| KeyError::BadSecret)?;
        match algorithm {
            Algorithm::EdDsa => {
                let secret = ed25519_zebra::SigningKey::from(bytes);
                let public = PublicKey::new(secret.verification_key().into())
                    .expect("a secret key's public key is a point");
                Ok(Self {
                    secret: Secret::Ed25519(Box::new(secret)),
                    public: DeviceKey(Point::Ed25519(public)),
                })
            }
            Algorithm::Es256 => {
                let der = ec_der(&P256_OID, &bytes, None);
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der);
                let pair = pair.map_err(|_| KeyError::BadSecret)?;
                let public = DeviceKey::from_raw(algorithm, pair.public_key().as_ref())?;
                Ok(Self { secret: Secret::P256(bytes, Arc::new(pair)), public })
            }
            Algorithm::Es256k => {
                let secret = secp256k1::SecretKey::from_byte_array(bytes).map_err(|_| KeyError::BadSecret)?;
                let public = secp256k1::PublicKey::from_secret_key_global(&secret).serialize_uncompressed();
                Ok(Self {
                    secret: Secret::Secp256k1(secret),
                    public: DeviceKey::from_raw(algorithm, &public)?,
                })
            }
        }
    }

    /// From an unencrypted PEM: PKCS#8 for all curves, or SEC 1 (`EC PRIVATE KEY`) for P-256 and secp256k1.
    ///
    /// # Errors
    /// [`KeyError::BadSecret`] for anything else.
    pub fn from_secret_text(text: &str) -> Result<Self, KeyError> {
        let der = decode_pem(text).ok_or(KeyError::BadSecret)?;
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der) {
            let seed = pair.seed().map_err(|_| KeyError::BadSecret)?;
            let seed = seed.as_be_bytes().map_err(|_| KeyError::BadSecret)?;
            return Self::from_secret_bytes(Algorithm::EdDsa, seed.as_ref());
        }
        let ec = |signing: &'static EcdsaSigningAlgorithm| {
            let pair = EcdsaKeyPair::from_private_key_der(signing, &der).ok()?;
            pair.private_key().as_be_bytes().ok()
        };
        for (algorithm, signing) in [
            (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::Es256k, &ECDSA_P256K1_SHA256_FIXED_SIGNING),
        ] {
            if let Some(secret) = ec(signing) {
                return Self::from_secret_bytes(algorithm, secret.as_ref());
            }
        }
        Err(KeyError::BadSecret)
    }

    /// The key as PKCS#8 in PEM. Whoever reads this text can sign as the device.
    pub fn to_secret_text(&self) -> String {
        let der = match &self.secret {
            Secret::Ed25519(key) => [&ED25519_DER[..], key.as_bytes()].concat(),
            Secret::P256(secret, _) => ec_der(&P256_OID, secret, Some(self.public.raw_xy())),
            Secret::Secp256k1(secret) => {
                ec_der(&SECP256K1_OID, &secret.secret_bytes(), Some(self.public.raw_xy()))
            }
        };
        let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
        let encoded = STANDARD.encode(der);
        for start in (0..encoded.len()).step_by(64) {
            text.push_str(&encoded[start..encoded.len().min(start + 64)]);
            text.push('\n');
        }
        text + "-----END PRIVATE KEY-----\n"
    }

    /// The public key.
    pub fn public(&self) -> DeviceKey {
        self.public
    }

    /// The algorithm of this key.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Signs a message: 64 bytes. ECDSA signs its SHA-256, with low s; P-256 signatures differ each time.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Secret::P256(_, pair) => {
                let signature = pair
                    .sign(&SystemRandom::new(), message)
                    .expect("a valid key pair signs, or the operating system has no randomness to give");
                let mut signature = signature.as_ref().to_vec();
                ecdsa::normalise_s(Algorithm::Es256, &mut signature);
                signature
            }
            Secret::Secp256k1(key) => {
                let digest = secp256k1::Message::from_digest(Sha256::digest(message).into());
                key.sign_ecdsa(digest).serialize_compact().to_vec()
            }
        }
    }
}

/// PKCS#8 of an elliptic curve key (RFC 5915 inside), the public key included where it is given.
fn ec_der(curve: &[u8], secret: &[u8; 32], public: Option<&[u8]>) -> Vec<u8> {
    let nest = |tag: u8, content: Vec<u8>| {
        let length = content.len() as u8;
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [head, content].concat()
    };
    let public = public.map_or_else(Vec::new, |xy| nest(0xa1, nest(0x03, [&[0, 4], xy].concat())));
    let key = nest(0x30, [&[0x02, 1, 1, 0x04, 32][..], secret, &public].concat());
    let algorithm = nest(0x30, [&EC_OID, curve].concat());
    nest(0x30, [vec![0x02, 1, 0], algorithm, nest(0x04, key)].concat())
}

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_PEM_BYTES {
        return None;
    }
    ["PRIVATE KEY", "EC PRIVATE KEY"].into_iter().find_map(|label| {
        let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----"))?;
        let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
        let body: String = body.split_ascii_whitespace().collect();
        STANDARD.decode(body).ok()
    })
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret of {:?})", self.public)
    }
}

#[cfg(test)]
mod tests;
