//! The whole engine, with real files, real sockets and real kills, behind a small test ledger.

mod cluster;
mod crash;
mod ledger;
mod solo;

use std::{path::Path, time::Duration};

use triad_consensus::{Config, public_key};

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
