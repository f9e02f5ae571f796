//! Signatures, one by one and in batches.
//!
//! Ed25519 follows ZIP-215 (see `ed25519`), under which a batch equation holds exactly if all its single equations hold (up to
//! a chance of 2^-128 a batch), so validators that batch differently agree. RFC 8032 leaves open what this depends on and
//! gives no such promise. When a batch fails its parts are tried, and theirs, until the bad signatures are found: one of them
//! costs as much as another batch or two, and a batch that is bad all through about three times what single verification
//! would.
//!
//! ECDSA signatures are verified one by one over the statement's identity, which is the SHA-256 of what was signed.

use crate::{
    Algorithm, DeviceKey, Statement, ecdsa,
    ed25519::{self, Item},
    key::Point,
};
use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use sha2::{Digest, Sha256};

/// From how many signatures on a batch is faster than as many single verifications.
const SMALLEST_BATCH: usize = 4;
/// A failed batch is split in this many parts, which finds one bad signature, or thousands, cheaper than halving.
const PARTS: usize = 4;
/// A failed batch of this size is not split any more.
const SMALLEST_SPLIT: usize = 16;
/// Batches gain little beyond this size, and a failed one costs more.
const LARGEST_BATCH: usize = 4_096;

/// Whether the device with this key signed this statement.
pub fn verify(statement: &Statement, key: &DeviceKey) -> bool {
    if statement.algorithm() != key.algorithm() {
        return false;
    }
    match &key.0 {
        Point::Ed25519(x) => Item::new(x, statement.signature(), &statement.signed_bytes()).is_good(),
        _ => verify_ecdsa(key, &statement.id().0, statement.signature()),
    }
}

/// [`verify`] for many statements at once, several times as fast for Ed25519; the answers are in the order of `items` and
/// always the same as `verify` would give.
pub fn verify_batch(items: &[(&Statement, &DeviceKey)]) -> Vec<bool> {
    let mut good = vec![false; items.len()];
    let mut batch = Vec::with_capacity(items.len());
    let mut signed = Vec::new();
    for (index, (statement, key)) in items.iter().enumerate() {
        match &key.0 {
            Point::Ed25519(x) if statement.algorithm() == Algorithm::EdDsa => {
                statement.write_signed_bytes(&mut signed);
                batch.push((index, Item::new(x, statement.signature(), &signed)));
            }
            _ => good[index] = verify(statement, key),
        }
    }
    for chunk in batch.chunks(LARGEST_BATCH) {
        verify_ed25519(chunk, &mut good);
    }
    good
}

impl DeviceKey {
    /// Verifies a signature of 64 bytes over any message, as this key's COSE algorithm makes it: Ed25519 over the message
    /// itself, ECDSA over its SHA-256, with high or low s.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(mut signature) = <[u8; 64]>::try_from(signature) else { return false };
        match &self.0 {
            Point::Ed25519(x) => Item::new(x, &signature, message).is_good(),
            _ => {
                ecdsa::normalise_s(self.algorithm(), &mut signature);
                verify_ecdsa(self, &Sha256::digest(message).into(), &signature)
            }
        }
    }
}

/// Sets `good[index]` for each item whose signature is good; those of the others stay false.
pub(crate) fn verify_ed25519(items: &[(usize, Item<'_>)], good: &mut [bool]) {
    if items.len() >= SMALLEST_BATCH {
        let batch: Vec<Item<'_>> = items.iter().map(|(_, item)| *item).collect();
        if ed25519::all_good(&batch) {
            for (index, _) in items {
                good[*index] = true;
            }
            return;
        }
    }
    if items.len() <= SMALLEST_SPLIT {
        for (index, item) in items {
            good[*index] = item.is_good();
        }
        return;
    }
    for part in items.chunks(items.len().div_ceil(PARTS)) {
        verify_ed25519(part, good);
    }
}

/// `digest` is the SHA-256 of the message; a high s of secp256k1 is refused, so it must have been normalised.
fn verify_ecdsa(key: &DeviceKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    match &key.0 {
        Point::Ed25519(_) => false,
        Point::P256(xy) => {
            let point = sec1(xy);
            digest::Digest::import_less_safe(digest, &digest::SHA256).is_ok_and(|digest| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify_digest(&digest, signature)
                    .is_ok()
            })
        }
        Point::Secp256k1(xy) => {
            let key = secp256k1::PublicKey::from_byte_array_uncompressed(sec1(xy));
            let signature = secp256k1::ecdsa::Signature::from_compact(signature);
            let digest = secp256k1::Message::from_digest(*digest);
            key.is_ok_and(|key| {
                signature.is_ok_and(|signature| {
                    secp256k1::SECP256K1.verify_ecdsa(digest, &signature, &key).is_ok()
                })
            })
        }
    }
}

fn sec1(xy: &[u8; 64]) -> [u8; 65] {
    let mut point = [4; 65];
    point[1..].copy_from_slice(xy);
    point
}

#[cfg(test)]
mod tests;
