//! `triad models import` and `triad models export`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use triad_models::trees::{Node, Trees};
use triad_training::{Trained, import, sha256};

use super::super::Done;

/// Of somebody else's file; the reader has a lower limit of its own.
const MAX_IMPORT_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Save the model as JSON (XGBoost: `booster.save_model(\"x.json\")`) or text (LightGBM: `booster.save_model(\"x.txt\")`).\n\
        Splits are carried over exactly; sums are of 64 bits. A row with a missing value gets no prediction.\n\n\
        Example:\n  triad models import fraud.json --out fraud.tgbt"
)]
pub struct ImportArgs {
    /// The file of XGBoost or LightGBM.
    #[arg(value_name = "FILE")]
    from: PathBuf,
    /// Where the ensemble goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn import_file(args: &ImportArgs) -> Done {
    let size =
        std::fs::metadata(&args.from).with_context(|| format!("cannot read {}", args.from.display()))?.len();
    ensure!(
        size <= MAX_IMPORT_BYTES,
        "{} has {size} bytes; at most {MAX_IMPORT_BYTES} are read",
        args.from.display()
    );
    let bytes = std::fs::read(&args.from).with_context(|| format!("cannot read {}", args.from.display()))?;
    let imported = import(&bytes).with_context(|| format!("{} cannot be taken over", args.from.display()))?;
    let model = Trained::trees(imported.trees);
    std::fs::write(&args.out, model.bytes())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let mut out = model.describe();
    out["from"] = json!(imported.from);
    out["from_sha256"] = json!(sha256(&bytes));
    out["objective"] = json!(imported.objective);
    out["link"] = json!(imported.link.name());
    out["feature_names"] = json!(imported.features);
    out["out"] = json!(args.out.display().to_string());
    if args.json {
        println!("{out}");
    } else {
        super::catalogue::print_file(&out);
        println!("from          {} for {}, link {}", imported.from, imported.objective, imported.link.name());
        if !imported.features.is_empty() {
            println!("features      {}", imported.features.join(", "));
        }
        println!("{} written", args.out.display());
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The compact format that the evaluator reads.
    Tgbt,
    /// The same trees for people and other programs.
    Json,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  triad models export machines.tmdl --part OSF --out osf.tgbt\n  triad models export fraud.tgbt --format json --out fraud.json"
)]
pub struct ExportArgs {
    /// A trained model.
    #[arg(value_name = "FILE")]
    model: PathBuf,
    /// Which of its ensembles, where there are several.
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    #[arg(long, value_enum, default_value = "tgbt")]
    format: Format,
    /// Where it goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn export(args: &ExportArgs) -> Done {
    let model = Trained::read(&args.model)?;
    let ensembles = model.ensembles();
    let names = || ensembles.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let trees = match (&args.part, ensembles.as_slice()) {
        (_, []) => bail!("{} holds no trees but a model of the kind {}", args.model.display(), model.kind()),
        (None, [(_, trees)]) => *trees,
        (None, _) => bail!("several ensembles: name one with --part ({})", names()),
        (Some(part), all) => {
            let found = all.iter().find(|(name, _)| name == part);
            found
                .map(|(_, trees)| *trees)
                .with_context(|| format!("no part {part:?}; there are: {}", names()))?
        }
    };
    let alone = Trained::trees(trees.clone());
    let bytes = match args.format {
        Format::Tgbt => alone.bytes().to_vec(),
        Format::Json => format!("{}\n", as_json(trees)).into_bytes(),
    };
    std::fs::write(&args.out, &bytes).with_context(|| format!("cannot write {}", args.out.display()))?;
    let mut out = alone.describe();
    out["out"] = json!(args.out.display().to_string());
    out["out_sha256"] = json!(sha256(&bytes));
    if args.json {
        println!("{out}");
    } else {
        super::catalogue::print_file(&out);
        println!("{} written", args.out.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(trees: &Trees) -> Value {
    let node = |node: &Node| match *node {
        Node::Leaf(value) => json!({ "leaf": value }),
        Node::Split { feature, threshold, low, high } => {
            json!({ "feature": feature, "threshold": threshold, "low": low, "high": high })
        }
    };
    let all: Vec<Vec<Value>> = trees.trees().map(|nodes| nodes.iter().map(node).collect()).collect();
    json!({ "features": trees.features(), "base": trees.base(), "trees": all })
}
