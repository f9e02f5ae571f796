//! A receipt and the validators' checkpoint signatures, fetched and put together for `TriadVerifier`.

use alloy_primitives::{Address, Signature};
use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use triad_chain::verifier::{PublicProof, constructor_arguments, prove_verdict};
use triad_chain::{ChainSpec, CheckpointSignature};
use triad_log::Receipt;

use crate::client::Api;

/// A signature as `/v1/checkpoints/{height}` shows it.
#[derive(Deserialize)]
struct Shown {
    validator: u32,
    address: Address,
    signature: alloy_primitives::Bytes,
}

/// Everything that the contract's constructor and functions take, for one statement. `api` gives receipt and genesis; all
/// nodes are asked for signatures.
pub async fn fetch(leaf: u64, api: &str, also: &[String]) -> anyhow::Result<Value> {
    let node = Api::new(api)?;
    let receipt = Receipt::decode(&node.bytes(&format!("/v1/statements/{leaf}/receipt")).await?)?;
    let genesis = node.bytes("/v1/genesis").await?;
    let spec = ChainSpec::parse(str::from_utf8(&genesis).context("the genesis is not UTF-8")?)?;
    receipt.verify(&spec.anchor).context("the node's receipt does not hold against its genesis")?;
    ensure!(receipt.checkpoint.epoch == 0, "only checkpoints of epoch 0 are supported yet");
    let path = format!("/v1/checkpoints/{}", receipt.checkpoint.height);
    let mut signatures = shown(&node, &path).await?;
    for other in also {
        let found = shown(&Api::new(other)?, &path).await;
        signatures.extend(found.with_context(|| format!("asking {other}"))?);
    }
    let validators = spec.checkpoint_addresses();
    let proof = PublicProof::new(&receipt, &signatures, &validators)?;
    Ok(document(&receipt, &spec, &validators, &proof))
}

async fn shown(node: &Api, path: &str) -> anyhow::Result<Vec<CheckpointSignature>> {
    let checkpoint = node.get(path).await?;
    let shown: Vec<Shown> = serde_json::from_value(checkpoint["signatures"].clone())
        .context("the node shows no checkpoint signatures: it is older than this program")?;
    shown
        .into_iter()
        .map(|s| {
            let signature = Signature::from_raw(&s.signature).context("a signature is not 65 bytes")?;
            Ok(CheckpointSignature { validator: s.validator, address: s.address, signature })
        })
        .collect()
}

fn hex0x(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

fn document(receipt: &Receipt, spec: &ChainSpec, validators: &[Address], proof: &PublicProof) -> Value {
    let arguments = constructor_arguments(spec.hash, spec.genesis.chain_id, validators);
    json!({
        "genesis_hash": hex0x(&spec.hash),
        "chain_id": spec.genesis.chain_id,
        "validators": validators,
        "constructor_arguments": hex0x(&arguments),
        "height": receipt.checkpoint.height,
        "digest": hex0x(&receipt.checkpoint.digest()),
        "checkpoint": hex0x(&proof.checkpoint),
        "signatures": proof.signatures,
        "statement": proof.statement,
        "statement_bytes": hex0x(&receipt.statement),
        "verdicts": proof.verdicts,
        "calldata": {
            "verifyStatement": hex0x(&proof.verify_statement()),
            "verifyVerdict": proof.verdicts.iter().map(|v| hex0x(&proof.verify_verdict(v))).collect::<Vec<_>>(),
            "submitCheckpoint": hex0x(&proof.submit_checkpoint()),
            "proveStatement": hex0x(&proof.prove_statement()),
            "proveVerdict": proof.verdicts.iter().map(|v| hex0x(&prove_verdict(v))).collect::<Vec<_>>(),
        },
    })
}
