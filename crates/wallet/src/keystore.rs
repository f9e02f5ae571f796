//! Web3 Secret Storage, version 3: one secret key, encrypted under a password, as JSON.
//!
//! ```text
//! key        = scrypt(password, salt, n, r, p) or PBKDF2-HMAC-SHA256(password, salt, c), 32 bytes
//! ciphertext = AES-128-CTR(key[0..16], iv, secret)
//! mac        = keccak256(key[16..32] ‖ ciphertext)
//! ```
//!
//! Written with scrypt; both are read. The work that a file asks for is bounded before any of it is done.

use alloy_primitives::keccak256;
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::{constant_time, iv::FixedLength, pbkdf2};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use triad_chain::Wallet;

/// The most memory that a file may ask for, bytes.
const MAX_MEMORY: u64 = 1 << 30;
/// The most work that a file may ask for: blocks mixed by scrypt (n × r × p), and rounds of PBKDF2.
const MAX_WORK: u64 = 1 << 26;

/// How hard a password is to guess: scrypt's n as a power of two. r is 8, p is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost(u8);

impl Cost {
    /// n = 2^18, 256 MiB: what geth and Foundry call standard.
    pub const STANDARD: Cost = Cost(18);
    /// n = 2^12, 4 MiB: for tests, and for machines that have no more. Needs a longer password.
    pub const LIGHT: Cost = Cost(12);
}

/// A file that gives no secret.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    #[error("not a keystore file: {0}")]
    Malformed(String),
    #[error("keystore version {0} is not known here, only 3 is")]
    Version(u64),
    #[error("{what} {found} is not known here, expected {expected}")]
    Unknown { what: &'static str, found: String, expected: &'static str },
    #[error("the file asks for more work or memory than is sensible ({0}): it is damaged or made to harm")]
    Excessive(String),
    #[error("wrong password, or a damaged file")]
    Password,
    #[error("the file says it holds {said}, but its key is that of {found}")]
    OtherAddress { said: String, found: String },
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keystore {
    /// Hex without 0x. Some programs leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(alias = "Crypto")]
    crypto: Crypto,
    #[serde(default)]
    id: String,
    version: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Crypto {
    cipher: String,
    cipherparams: CipherParams,
    #[serde(with = "hexadecimal")]
    ciphertext: Vec<u8>,
    kdf: String,
    kdfparams: KdfParams,
    #[serde(with = "hexadecimal")]
    mac: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CipherParams {
    #[serde(with = "hexadecimal")]
    iv: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum KdfParams {
    Scrypt {
        dklen: u64,
        n: u64,
        p: u32,
        r: u32,
        #[serde(with = "hexadecimal")]
        salt: Vec<u8>,
    },
    Pbkdf2 {
        c: u32,
        dklen: u64,
        prf: String,
        #[serde(with = "hexadecimal")]
        salt: Vec<u8>,
    },
}

impl Keystore {
    /// Encrypts the wallet's secret under a password.
    pub fn encrypt(wallet: &Wallet, password: &str, cost: Cost) -> Keystore {
        let mut rng = rand::rng();
        let (salt, iv, id): ([u8; 32], [u8; 16], [u8; 16]) = (rng.random(), rng.random(), rng.random());
        let kdfparams = KdfParams::Scrypt { dklen: 32, n: 1 << cost.0, p: 1, r: 8, salt: salt.to_vec() };
        let key = kdfparams.derive("scrypt", password).expect("these parameters are within the bounds");
        let mut ciphertext = wallet.secret().to_vec();
        let cipher = UnboundCipherKey::new(&AES_128, &key[..16])
            .and_then(EncryptingKey::ctr)
            .expect("a key of 16 bytes is one of AES-128");
        cipher
            .less_safe_encrypt(&mut ciphertext, EncryptionContext::Iv128(FixedLength::from(iv)))
            .expect("counter mode takes any length");
        Keystore {
            address: Some(hex::encode(wallet.address())),
            crypto: Crypto {
                cipher: "aes-128-ctr".into(),
                cipherparams: CipherParams { iv: iv.to_vec() },
                mac: mac(&key, &ciphertext),
                ciphertext,
                kdf: "scrypt".into(),
                kdfparams,
            },
            id: uuid(id),
            version: 3,
        }
    }

    /// Reads a file's text.
    pub fn parse(json: &str) -> Result<Keystore, KeystoreError> {
        let malformed = |e: serde_json::Error| KeystoreError::Malformed(e.to_string());
        let value: serde_json::Value = serde_json::from_str(json).map_err(malformed)?;
        match value["version"].as_u64() {
            Some(3) => serde_json::from_value(value).map_err(malformed),
            Some(other) => Err(KeystoreError::Version(other)),
            None => Err(KeystoreError::Malformed("it has no version".into())),
        }
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }

    /// Takes the secret out.
    pub fn decrypt(&self, password: &str) -> Result<Wallet, KeystoreError> {
        let crypto = &self.crypto;
        if crypto.cipher != "aes-128-ctr" {
            let found = crypto.cipher.clone();
            return Err(KeystoreError::Unknown { what: "the cipher", found, expected: "aes-128-ctr" });
        }
        let key = crypto.kdfparams.derive(&crypto.kdf, password)?;
        constant_time::verify_slices_are_equal(&mac(&key, &crypto.ciphertext), &crypto.mac)
            .map_err(|_| KeystoreError::Password)?;
        let malformed = |what: &str| KeystoreError::Malformed(what.into());
        let iv: [u8; 16] =
            crypto.cipherparams.iv.as_slice().try_into().map_err(|_| malformed("the iv has not 16 bytes"))?;
        let mut secret = crypto.ciphertext.clone();
        let cipher = UnboundCipherKey::new(&AES_128, &key[..16])
            .and_then(DecryptingKey::ctr)
            .expect("a key of 16 bytes is one of AES-128");
        cipher
            .decrypt(&mut secret, DecryptionContext::Iv128(FixedLength::from(iv)))
            .map_err(|_| malformed("the ciphertext"))?;
        let wallet = <[u8; 32]>::try_from(secret.as_slice()).ok().and_then(|s| Wallet::from_secret(&s));
        let wallet = wallet.ok_or_else(|| malformed("what it holds is no secp256k1 secret"))?;
        let found = hex::encode(wallet.address());
        match &self.address {
            Some(said) if !said.trim_start_matches("0x").eq_ignore_ascii_case(&found) => {
                Err(KeystoreError::OtherAddress { said: said.clone(), found })
            }
            _ => Ok(wallet),
        }
    }
}

impl KdfParams {
    fn derive(&self, kdf: &str, password: &str) -> Result<[u8; 32], KeystoreError> {
        let mut key = [0; 32];
        let length = |dklen: u64| match dklen {
            32 => Ok(()),
            _ => Err(KeystoreError::Unknown { what: "dklen", found: dklen.to_string(), expected: "32" }),
        };
        match (self, kdf) {
            (KdfParams::Scrypt { dklen, n, p, r, salt }, "scrypt") => {
                length(*dklen)?;
                scrypt::scrypt(password.as_bytes(), salt, &scrypt_params(*n, *r, *p)?, &mut key)
                    .map_err(|e| KeystoreError::Malformed(format!("scrypt: {e}")))?;
            }
            (KdfParams::Pbkdf2 { c, dklen, prf, salt }, "pbkdf2") => {
                length(*dklen)?;
                if prf != "hmac-sha256" {
                    let found = prf.clone();
                    return Err(KeystoreError::Unknown { what: "the prf", found, expected: "hmac-sha256" });
                }
                let rounds = NonZeroU32::new(*c).filter(|c| u64::from(c.get()) <= MAX_WORK);
                let rounds = rounds.ok_or_else(|| KeystoreError::Excessive(format!("c = {c}")))?;
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut key);
            }
            _ => {
                let expected = "scrypt or pbkdf2, with its parameters";
                return Err(KeystoreError::Unknown { what: "the kdf", found: kdf.into(), expected });
            }
        }
        Ok(key)
    }
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Result<scrypt::Params, KeystoreError> {
    let asked = || format!("n = {n}, r = {r}, p = {p}");
    if !n.is_power_of_two() || n < 2 {
        return Err(KeystoreError::Malformed(format!("scrypt's n is no power of two: {}", asked())));
    }
    let blocks = n.saturating_mul(r.into());
    if blocks.saturating_mul(128) > MAX_MEMORY || blocks.saturating_mul(p.into()) > MAX_WORK {
        return Err(KeystoreError::Excessive(asked()));
    }
    let log_n = u8::try_from(n.trailing_zeros()).expect("below 64");
    scrypt::Params::new(log_n, r, p).map_err(|_| KeystoreError::Malformed(format!("scrypt: {}", asked())))
}

fn mac(key: &[u8; 32], ciphertext: &[u8]) -> [u8; 32] {
    keccak256([&key[16..], ciphertext].concat()).0
}

/// RFC 9562, version 4.
fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let text = hex::encode(random);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Bytes as hex digits, without 0x.
mod hexadecimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &impl AsRef<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>, T: TryFrom<Vec<u8>>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hex::decode(text).map_err(D::Error::custom)?;
        T::try_from(bytes).map_err(|_| D::Error::custom("another number of bytes was expected"))
    }
}
