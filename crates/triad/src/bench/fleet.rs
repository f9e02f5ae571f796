//! Devices and what they sign, before any clock starts.

use std::collections::HashMap;

use bytes::Bytes;
use triad_chain::clock_ms;
use triad_statement::{Algorithm, DeviceId, DeviceKey, Sequence, SigningKey, Statement, StatementBuilder};

use super::machine::cores;

/// The stream that every device has.
pub const STREAM: &str = "temperature";
/// Readings of a stream are this far apart, in microseconds.
const INTERVAL_US: i64 = 1_000_000;

/// Ed25519 devices.
pub struct Fleet {
    pub keys: Vec<SigningKey>,
    pub public: Vec<DeviceKey>,
    ids: HashMap<DeviceId, usize>,
    /// Time of the first reading: in the past, so that no reading lies ahead of the chain.
    begin_us: i64,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("devices", &self.keys.len()).finish_non_exhaustive()
    }
}

/// Signed statements; the one at `index` is number `index / devices` of device `index % devices`.
#[derive(Debug)]
pub struct Pool {
    pub pack: usize,
    pub statements: Vec<Bytes>,
}

impl Pool {
    pub fn bytes(&self) -> u64 {
        self.statements.iter().map(|s| s.len() as u64).sum()
    }
}

impl Fleet {
    pub fn new(devices: usize) -> anyhow::Result<Fleet> {
        let mut keys = Vec::with_capacity(devices);
        for n in 0..devices as u64 {
            let mut secret = *b"triad bench device key  ........";
            secret[24..].copy_from_slice(&n.to_be_bytes());
            keys.push(SigningKey::from_secret_bytes(Algorithm::EdDsa, &secret)?);
        }
        let public: Vec<DeviceKey> = keys.iter().map(SigningKey::public).collect();
        let ids = public.iter().enumerate().map(|(n, key)| (key.id(), n)).collect();
        // Thirty days: more readings than a run sends.
        let begin_us = (clock_ms() as i64 - 30 * 86_400_000) * 1000;
        Ok(Fleet { keys, public, ids, begin_us })
    }

    /// Signs `count` statements of `pack` readings, on all cores.
    pub fn sign(&self, pack: usize, count: usize) -> Pool {
        let share = count.div_ceil(cores()).max(1);
        let mut statements = Vec::with_capacity(count);
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..count)
                .step_by(share)
                .map(|from| {
                    let to = (from + share).min(count);
                    scope.spawn(move || (from..to).map(|i| self.statement(pack, i)).collect::<Vec<Bytes>>())
                })
                .collect();
            for worker in workers {
                statements.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
        });
        Pool { pack, statements }
    }

    fn statement(&self, pack: usize, index: usize) -> Bytes {
        let (device, number) = (index % self.keys.len(), index / self.keys.len());
        let sequence = Sequence::new(0, number as u32 + 1);
        let mut builder = StatementBuilder::new(&self.keys[device], sequence);
        for k in number * pack..(number + 1) * pack {
            let time = self.begin_us + k as i64 * INTERVAL_US;
            builder = builder.number(STREAM, Some("Cel"), temperature(device, k), Some(time));
        }
        builder.sign()
    }

    /// The index of a statement of [`Fleet::sign`].
    pub fn index(&self, statement: &Statement) -> Option<usize> {
        let device = self.ids.get(&statement.signer())?;
        let number = u64::from(statement.sequence().counter()).checked_sub(1)? as usize;
        Some(number * self.keys.len() + device)
    }

    pub fn key(&self, index: usize) -> &DeviceKey {
        &self.public[index % self.public.len()]
    }
}

/// A slow swing with noise, in hundredths of a degree: what a model has to learn.
fn temperature(device: usize, k: usize) -> f64 {
    let phase = (k + device * 7) % 600;
    let swing = if phase < 300 { phase } else { 600 - phase } as f64;
    let mut x = (device as u64) << 32 ^ k as u64 ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    let noise = ((x ^ x >> 31) % 50) as f64;
    (400.0 + swing + noise) / 100.0
}
