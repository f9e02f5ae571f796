//! Ed25519 under ZIP-215's rules, one by one and in batches, with each device's key decompressed once.
//!
//! A signature (R, s) on a message M under a key A is good if A and R decompress (in any encoding, with components of small
//! order allowed), s is below the group order l, and 8·(s·B − k·A − R) = 0, where k = SHA-512(R ‖ A ‖ M) mod l. Because of the
//! cofactor 8, a batch equation with random coefficients z of 128 bits,
//!
//! ```text
//! 8·(−Σ zᵢsᵢ·B + Σ zᵢ·Rᵢ + Σ zᵢkᵢ·Aᵢ) = 0
//! ```
//!
//! holds if all the single ones hold, and else with a chance of 2⁻¹²⁸ at the most: validators that batch differently agree.
//! (<https://zips.z.cash/zip-0215>; Bernstein et al., "High-speed high-security signatures", section 5.)
//!
//! `ed25519-zebra`, whose rules these are and against which the tests hold every answer, takes keys as bytes and decompresses
//! each in each batch. A node knows its devices: held decompressed, their keys save a fifth of the whole.

use curve25519_dalek::{
    constants::ED25519_BASEPOINT_POINT,
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::{IsIdentity as _, VartimeMultiscalarMul as _},
};
use rand::Rng as _;
use sha2::{Digest as _, Sha512};
use std::{cmp::Ordering, hash};

/// Bytes of a batch equation's random coefficients.
const COEFFICIENT_BYTES: usize = 16;

/// A public key and its point. Keys compare by their bytes.
#[derive(Clone, Copy)]
pub(crate) struct PublicKey {
    bytes: [u8; 32],
    point: EdwardsPoint,
}

impl PublicKey {
    /// `None` if the bytes do not decompress.
    pub fn new(bytes: [u8; 32]) -> Option<Self> {
        CompressedEdwardsY(bytes).decompress().map(|point| Self { bytes, point })
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl hash::Hash for PublicKey {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

/// A signature to be verified, its message hashed already.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    key: &'a PublicKey,
    r: [u8; 32],
    s: [u8; 32],
    k: Scalar,
}

impl<'a> Item<'a> {
    pub fn new(key: &'a PublicKey, signature: &[u8; 64], message: &[u8]) -> Self {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        r.copy_from_slice(&signature[..32]);
        s.copy_from_slice(&signature[32..]);
        let hash = Sha512::new().chain_update(r).chain_update(key.bytes).chain_update(message).finalize();
        Self { key, r, s, k: Scalar::from_bytes_mod_order_wide(&hash.into()) }
    }

    fn s(&self) -> Option<Scalar> {
        Scalar::from_canonical_bytes(self.s).into()
    }

    fn r(&self) -> Option<EdwardsPoint> {
        CompressedEdwardsY(self.r).decompress()
    }

    /// Whether this signature is good.
    pub fn is_good(&self) -> bool {
        let (Some(s), Some(r)) = (self.s(), self.r()) else { return false };
        let expected = EdwardsPoint::vartime_double_scalar_mul_basepoint(&self.k, &-self.key.point, &s);
        (r - expected).mul_by_cofactor().is_identity()
    }
}

/// Whether all of these signatures are good.
pub(crate) fn all_good(items: &[Item<'_>]) -> bool {
    // Signatures of one key share its term.
    let mut order: Vec<&Item<'_>> = items.iter().collect();
    order.sort_unstable_by(|a, b| a.key.cmp(b.key));
    let mut random = vec![0; items.len() * COEFFICIENT_BYTES];
    // The coefficients must be unknown to whoever made the signatures; they decide no outcome.
    rand::rng().fill_bytes(&mut random);
    let mut coefficients = random.chunks_exact(COEFFICIENT_BYTES);
    let mut scalars = Vec::with_capacity(2 * items.len() + 1);
    let mut points = Vec::with_capacity(2 * items.len() + 1);
    scalars.push(Scalar::ZERO);
    points.push(ED25519_BASEPOINT_POINT);
    for same_key in order.chunk_by(|a, b| a.key == b.key) {
        let mut of_key = Scalar::ZERO;
        for item in same_key {
            let (Some(s), Some(r)) = (item.s(), item.r()) else { return false };
            let mut z = [0; 32];
            z[..COEFFICIENT_BYTES].copy_from_slice(coefficients.next().expect("there is one for each item"));
            let z = Scalar::from_bytes_mod_order(z);
            scalars[0] -= z * s;
            of_key += z * item.k;
            scalars.push(z);
            points.push(r);
        }
        scalars.push(of_key);
        points.push(same_key[0].key.point);
    }
    EdwardsPoint::vartime_multiscalar_mul(&scalars, &points).mul_by_cofactor().is_identity()
}
