//! Recovery phrases: BIP-39 words to a seed, BIP-32 from there to Ethereum's accounts, `m/44'/60'/0'/0/i`.

use aws_lc_rs::hmac;
use bip39::{Language, Mnemonic};
use rand::RngExt as _;
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};
use triad_chain::Wallet;

const HARDENED: u32 = 1 << 31;
/// Words that cannot be a phrase, or a phrase that leads nowhere.
#[derive(Debug, thiserror::Error)]
pub enum PhraseError {
    #[error("not a recovery phrase of 12 to 24 English words (BIP-39): {0}")]
    Words(String),
    #[error("the derivation path is not like m/44'/60'/0'/0/0: {0:?}")]
    Path(String),
    #[error("this phrase has no key at that path: take the next index")]
    NoKey,
}

/// A fresh phrase of 12 words, 128 random bits.
pub fn generate() -> String {
    let entropy: [u8; 16] = rand::rng().random();
    let phrase = Mnemonic::from_entropy_in(Language::English, &entropy);
    phrase.expect("16 bytes make 12 words").to_string()
}

/// The account at `m/44'/60'/0'/0/index`.
pub fn account(words: &str, passphrase: &str, index: u32) -> Result<Wallet, PhraseError> {
    at_path(words, passphrase, &format!("m/44'/60'/0'/0/{index}"))
}

/// The account at any path, hardened steps marked by ' or h.
pub fn at_path(words: &str, passphrase: &str, path: &str) -> Result<Wallet, PhraseError> {
    let phrase = Mnemonic::parse_in(Language::English, words.trim())
        .map_err(|error| PhraseError::Words(error.to_string()))?;
    let steps = parse_path(path).ok_or_else(|| PhraseError::Path(path.into()))?;
    derive(&phrase.to_seed(passphrase), &steps)
}

fn parse_path(path: &str) -> Option<Vec<u32>> {
    let mut steps = path.split('/');
    if steps.next()? != "m" {
        return None;
    }
    steps
        .map(|step| {
            let (number, hardened) = match step.strip_suffix(['\'', 'h']) {
                Some(number) => (number, HARDENED),
                None => (step, 0),
            };
            // "+1" parses as a number and is no step.
            let number: u32 = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok())??;
            (number < HARDENED).then_some(number | hardened)
        })
        .collect()
}

/// BIP-32, private parent to private child.
fn derive(seed: &[u8], steps: &[u32]) -> Result<Wallet, PhraseError> {
    let (mut secret, mut chain) = split(hmac512(b"Bitcoin seed", &[seed]));
    let mut key = SecretKey::from_byte_array(secret).map_err(|_| PhraseError::NoKey)?;
    for step in steps {
        let index = step.to_be_bytes();
        let child = if step & HARDENED != 0 {
            hmac512(&chain, &[&[0], &key.secret_bytes(), &index])
        } else {
            hmac512(&chain, &[&PublicKey::from_secret_key(SECP256K1, &key).serialize(), &index])
        };
        (secret, chain) = split(child);
        let tweak = Scalar::from_be_bytes(secret).map_err(|_| PhraseError::NoKey)?;
        key = key.add_tweak(&tweak).map_err(|_| PhraseError::NoKey)?;
    }
    Wallet::from_secret(&key.secret_bytes()).ok_or(PhraseError::NoKey)
}

fn hmac512(key: &[u8], parts: &[&[u8]]) -> [u8; 64] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, key), &parts.concat());
    let mut out = [0; 64];
    out.copy_from_slice(tag.as_ref());
    out
}

fn split(bytes: [u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut left, mut right) = ([0; 32], [0; 32]);
    left.copy_from_slice(&bytes[..32]);
    right.copy_from_slice(&bytes[32..]);
    (left, right)
}
