//! Models as a node has them: files in the code of contracts, and what is bound to a stream.

use std::process::ExitCode;

use alloy_primitives::Address;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use triad_chain::model_files;
use triad_statement::{DeviceId, stream_id};
use triad_training::Trained;

use super::super::{Done, block_on};
use super::catalogue::print_file;
use crate::client::{Api, Rpc};

/// The bytes of a model's file at a contract.
pub async fn fetch(rpc: &Rpc, at: Address) -> anyhow::Result<Vec<u8>> {
    let code = async |at: Address| {
        let code = rpc.call("eth_getCode", json!([at, "latest"])).await?;
        anyhow::Ok(hex::decode(code.as_str().unwrap_or_default().trim_start_matches("0x"))?)
    };
    let index = code(at).await?;
    let chunks = model_files::chunks(&index).with_context(|| format!("no model's file is at {at}"))?;
    let mut file = Vec::new();
    for chunk in chunks {
        let code = code(chunk).await?;
        file.extend_from_slice(
            model_files::payload(&code).with_context(|| format!("no part of a file is at {chunk}"))?,
        );
    }
    Ok(file)
}

/// `triad models show 0xADDRESS`
pub fn show(rpc: &str, at: Address, as_json: bool) -> Done {
    let rpc = Rpc::new(rpc)?;
    let file = block_on(fetch(&rpc, at))?;
    let mut out = Trained::decode(&file)?.describe();
    out["at"] = json!(at);
    if as_json {
        println!("{out}");
    } else {
        print_file(&out);
        println!("at            {at}");
    }
    Ok(ExitCode::SUCCESS)
}

/// `triad models list --device 0xDEVICE --name STREAM`
pub fn list(api: &str, device: DeviceId, name: &str, as_json: bool) -> Done {
    let api = Api::new(api)?;
    let stream = stream_id(device, name);
    let found = block_on(async { api.get(&format!("/v1/streams/{stream}")).await })?;
    let models = found["models"].as_array().context("the node does not tell models")?;
    ensure!(!models.is_empty(), "no model is bound to `{name}` of {device}");
    if as_json {
        println!("{}", json!({ "stream": stream, "models": models }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:>8} {:9} {:10} {:66}  parameters", "model", "kind", "class", "content hash");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for model in models {
        let (kind, class, hash) = (text(&model["kind"]), text(&model["class"]), text(&model["content_hash"]));
        println!("{:>8} {kind:9} {class:10} {hash:66}  {}", model["id"].to_string(), model["params"]);
    }
    Ok(ExitCode::SUCCESS)
}
