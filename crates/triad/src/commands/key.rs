//! `triad key`

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use triad_statement::{Algorithm, SigningKey};

use super::Done;
use crate::node::layout::write_secret;
use crate::signer::read_device_key;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a device key (PKCS#8 PEM).
    #[command(after_help = "Example:\n  triad key new --alg ed25519 --out sensor.pem")]
    New {
        /// The signature algorithm.
        #[arg(long, value_enum, default_value_t = Kind::Ed25519)]
        alg: Kind,
        /// Where to write the secret key; never overwritten.
        #[arg(long, default_value = "device.pem")]
        out: PathBuf,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show the public part of a device key.
    Show {
        key: PathBuf,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    Ed25519,
    P256,
    Secp256k1,
}

impl Kind {
    pub fn algorithm(self) -> Algorithm {
        match self {
            Kind::Ed25519 => Algorithm::EdDsa,
            Kind::P256 => Algorithm::Es256,
            Kind::Secp256k1 => Algorithm::Es256k,
        }
    }
}

pub fn run(command: &Command) -> Done {
    match command {
        Command::New { alg, out, json } => {
            let key = SigningKey::generate(alg.algorithm(), &mut rand::rng());
            write_secret(out, &key.to_secret_text())?;
            show(&key, Some(out), *json);
        }
        Command::Show { key, json } => show(&read_device_key(key)?, None, *json),
    }
    Ok(ExitCode::SUCCESS)
}

fn show(key: &SigningKey, written: Option<&PathBuf>, as_json: bool) {
    let public = key.public();
    let cose_key = format!("0x{}", hex::encode(public.cose_key()));
    if as_json {
        let out = json!({
            "device_id": public.id().to_string(), "algorithm": public.algorithm().name(),
            "did": public.did_key(), "cose_key": cose_key, "file": written,
        });
        println!("{out}");
        return;
    }
    if let Some(path) = written {
        println!("secret key  {}", path.display());
    }
    println!("device id   {}", public.id());
    println!("algorithm   {}", public.algorithm().name());
    println!("did         {}", public.did_key());
    println!("COSE_Key    {cose_key}");
}
