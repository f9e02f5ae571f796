//! `triad models list` and `triad models show`

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use triad_models::Spec;
use triad_statement::DeviceId;
use triad_training::{KINDS, Kind, Trained, kind};

use super::super::{Done, Remote};
use super::{on_chain, onnx};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  triad models list\n  triad models list --device 0xDEVICE --name temperature"
)]
pub struct ListArgs {
    /// What is bound to a stream of this device instead, as the node at --api has it.
    #[arg(long, requires = "name")]
    device: Option<DeviceId>,
    /// The stream's name.
    #[arg(long, requires = "device")]
    name: Option<String>,
    #[command(flatten)]
    remote: Remote,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  triad models show anomaly\n  triad models show engines.tmdl --json\n  triad models show 0xADDRESS    (a registered file, from the node at --rpc)"
)]
pub struct ShowArgs {
    /// A kind of model, a model's file, or where `triad models register` put one.
    #[arg(value_name = "KIND|FILE|ADDRESS")]
    what: String,
    #[command(flatten)]
    remote: Remote,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn list(args: &ListArgs) -> Done {
    if let (Some(device), Some(name)) = (args.device, &args.name) {
        return on_chain::list(&args.remote.api, device, name, args.json);
    }
    if args.json {
        println!("{}", json!({ "kinds": KINDS.iter().map(of_kind).collect::<Vec<_>>() }));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:10} {:10} {:>14} {:>12}  tells", "kind", "class", "ns a reading", "state bytes");
    for kind in KINDS {
        let ns = kind.ns_a_reading.map_or_else(
            || "-".into(),
            |(least, most)| {
                if least == most { most.to_string() } else { format!("{least} to {most}") }
            },
        );
        let state = kind.state_bytes.map_or_else(|| "-".into(), |bytes| bytes.to_string());
        println!("{:10} {:10} {ns:>14} {state:>12}  {}", kind.name, kind.class, kind.tells);
    }
    println!(
        "\nconsensus: every validator runs it again. attested: run off the chain, whoever ran it signs for it;"
    );
    println!("all but onnx give the same bits on every machine. `triad models show KIND` lists parameters.");
    Ok(ExitCode::SUCCESS)
}

pub fn show(args: &ShowArgs) -> Done {
    if let Some(kind) = kind(&args.what) {
        if args.json {
            println!("{}", of_kind(kind));
        } else {
            print_kind(kind);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Ok(address) = args.what.parse() {
        return on_chain::show(&args.remote.rpc, address, args.json);
    }
    let path = Path::new(&args.what);
    if !path.exists() {
        let names = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        bail!("{:?} is neither a file nor an address nor a kind of model: {names}", args.what);
    }
    if onnx::is_onnx(path) {
        let model = onnx::open(path, None)?;
        if args.json {
            println!("{}", onnx::describe(&model));
        } else {
            onnx::print(&model);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let out = Trained::read(path)
        .context("only files of `triad models train`, `import` and `export`, and *.onnx, can be shown")?
        .describe();
    if args.json {
        println!("{out}");
    } else {
        print_file(&out);
    }
    Ok(ExitCode::SUCCESS)
}

/// Hash of a kind without parameters, where it can do without.
fn default_hash(kind: &Kind) -> Option<String> {
    Spec::decode(kind.name, &[]).ok().map(|spec| hex::encode(spec.content_hash()))
}

fn of_kind(kind: &Kind) -> Value {
    let parameters: Vec<Value> = kind
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name, "accepts": parameter.accepts, "required": parameter.default.is_none(),
                "default": parameter.default,
            })
        })
        .collect();
    let ns = kind.ns_a_reading.map(|(least, most)| json!({ "least": least, "most": most }));
    json!({
        "kind": kind.name, "tells": kind.tells, "class": kind.class.to_string(), "deterministic": kind.name != "onnx",
        "used_by": kind.used_by, "parameters": parameters, "ns_a_reading": ns, "state_bytes": kind.state_bytes,
        "sha256_without_parameters": default_hash(kind),
    })
}

fn print_kind(kind: &Kind) {
    println!("kind          {}", kind.name);
    println!("tells         {}", kind.tells);
    println!("class         {}", kind.class);
    println!("used by       {}", kind.used_by);
    if let Some((least, most)) = kind.ns_a_reading {
        println!("cost          {least} to {most} ns a reading");
    }
    if let Some(bytes) = kind.state_bytes {
        println!("state         at most {bytes} bytes a stream");
    }
    if let Some(hash) = default_hash(kind) {
        println!("sha256        {hash} (without parameters)");
    }
    for parameter in kind.parameters {
        let default =
            parameter.default.map_or_else(|| "required".into(), |default| format!("default {default}"));
        println!("parameter     {}: {}; {default}", parameter.name, parameter.accepts);
    }
}

/// What `Trained::describe` says, for people.
pub fn print_file(out: &Value) {
    let text = |key: &str| out[key].as_str().unwrap_or_default().to_owned();
    println!("kind          {}", text("kind"));
    println!("format        {}, {} bytes", text("format"), out["bytes"]);
    println!("sha256        {}", text("sha256"));
    println!("class         {}", text("class"));
    for ensemble in out["ensembles"].as_array().into_iter().flatten() {
        println!(
            "trees         {}: {} trees, {} nodes, depth {}, {} of {} features used",
            ensemble["name"].as_str().unwrap_or_default(),
            ensemble["trees"],
            ensemble["nodes"],
            ensemble["depth"],
            ensemble["features_used"],
            ensemble["features"]
        );
    }
    for key in [
        "tells",
        "inputs",
        "rows",
        "layers",
        "trained_numbers",
        "products",
        "sensors",
        "regimes",
        "thresholds",
        "weights",
    ] {
        if !out[key].is_null() {
            println!("{key:13} {}", out[key]);
        }
    }
}
