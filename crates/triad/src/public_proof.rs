//! A receipt and the validators' checkpoint signatures, fetched and put together for `TriadVerifier`.

use alloy_primitives::{Address, Signature};
use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};
use triad_chain::verifier::{PublicProof, constructor_arguments, hand_over, prove_verdict};
use triad_chain::{ChainSpec, CheckpointSignature};
use triad_log::{Receipt, ValidatorSet};

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
    // The contract knows the validators of genesis; each hand-over brings those of the next epoch.
    let mut validators = spec.checkpoint_addresses();
    let mut hand_overs = Vec::new();
    for over in &receipt.hand_overs {
        let signatures = signatures_of(&node, also, over.checkpoint.height.0).await?;
        hand_overs.push(hex0x(&hand_over(over, &signatures, &validators)?));
        let next = ValidatorSet::decode(&over.validators).context("a hand-over of the receipt")?;
        validators = next.addresses().iter().map(|address| Address::from(*address)).collect();
    }
    let signatures = signatures_of(&node, also, receipt.checkpoint.height.0).await?;
    let proof = PublicProof::new(&receipt, &signatures, &validators)?;
    Ok(document(&receipt, &spec, &proof, &hand_overs))
}

/// What all these nodes' validators signed of a checkpoint.
async fn signatures_of(node: &Api, also: &[String], height: u64) -> anyhow::Result<Vec<CheckpointSignature>> {
    let path = format!("/v1/checkpoints/{height}");
    let mut signatures = shown(node, &path).await?;
    for other in also {
        let found = shown(&Api::new(other)?, &path).await;
        signatures.extend(found.with_context(|| format!("asking {other}"))?);
    }
    Ok(signatures)
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

fn document(receipt: &Receipt, spec: &ChainSpec, proof: &PublicProof, hand_overs: &[String]) -> Value {
    let validators = spec.checkpoint_addresses();
    let arguments = constructor_arguments(spec.hash, spec.genesis.chain_id, &validators);
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
            "handOver": hand_overs,
            "verifyStatement": hex0x(&proof.verify_statement()),
            "verifyVerdict": proof.verdicts.iter().map(|v| hex0x(&proof.verify_verdict(v))).collect::<Vec<_>>(),
            "submitCheckpoint": hex0x(&proof.submit_checkpoint()),
            "proveStatement": hex0x(&proof.prove_statement()),
            "proveVerdict": proof.verdicts.iter().map(|v| hex0x(&prove_verdict(v))).collect::<Vec<_>>(),
        },
    })
}
