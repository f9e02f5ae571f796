//! The whole engine, with real files, real sockets and real kills, behind a small test ledger.

#![allow(clippy::unwrap_used)] // all of this is test code, also outside of test functions

mod amnesia;
mod cluster;
mod crash;
mod ledger;
mod solo;

use std::{path::Path, time::Duration};

use triad_consensus::{Config, public_key};
use triad_log::{Certificate, Validators};

/// A single validator's configuration with a fast heartbeat.
fn solo(dir: &Path) -> Config {
    let secret = [7; 32];
    let mut config = Config::new(dir, secret, b"triad-test".to_vec(), vec![public_key(&secret)]);
    config.heartbeat = Duration::from_millis(400);
    config
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Fails a test that hangs.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within 30 s"),
    }
}

fn log() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
}

/// Checks every certificate the ledger was given with the verifier that receipts use.
fn check_certificates(ledger: &ledger::Ledger, namespace: &[u8], keys: &[[u8; 32]]) {
    let validators = Validators::new(keys.iter().copied()).unwrap();
    let certificates = ledger.certificates();
    assert!(!certificates.is_empty());
    for (height, digest, bytes) in certificates {
        let certificate = Certificate::decode(&bytes).unwrap();
        assert_eq!(certificate.digest, digest, "height {height}");
        assert_eq!(certificate.encode(), bytes, "height {height}");
        let signers = certificate.verify(namespace, &validators).unwrap();
        assert!(signers.len() >= validators.quorum());
        assert!(certificate.verify(b"another chain", &validators).is_err());
        let mut tampered = bytes.to_vec();
        *tampered.last_mut().unwrap() ^= 1;
        let tampered = Certificate::decode(&tampered);
        assert!(tampered.is_err() || tampered.unwrap().verify(namespace, &validators).is_err());
    }
}
