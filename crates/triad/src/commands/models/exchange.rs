//! `triad models import` and `triad models export`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use triad_models::trees::{Node, Trees};
use triad_models::window::network::Output;
use triad_training::{OnnxOptions, Trained, import, import_onnx, is_onnx, sha256};

use super::super::Done;

/// Of somebody else's file; the reader has a lower limit of its own.
const MAX_IMPORT_BYTES: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Save trees as JSON (XGBoost: `booster.save_model(\"x.json\")`) or text (LightGBM: `booster.save_model(\"x.txt\")`).\n\
        Splits are carried over exactly; sums are of 64 bits. A row with a missing value gets no prediction.\n\
        Of ONNX, sequential networks: scikit-learn's MLPs (skl2onnx), and dense layers, 1-D convolutions and GRUs of PyTorch \
        (fixed sizes, one example). Weights are carried over exactly; sums are of 64 bits.\n\n\
        Examples:\n  triad models import fraud.json --out fraud.tgbt\n  \
        triad models import pump.onnx --inputs vibration,pressure --tells remaining-life --most 200 --unit h --out pump.tmdl\n  \
        triad models import wear.onnx --window 32 --inputs vibration --tells failure-risk --from 0.4 --out wear.tmdl"
)]
pub struct ImportArgs {
    /// The file of XGBoost or LightGBM, or an ONNX file.
    #[arg(value_name = "FILE")]
    from: PathBuf,
    /// Where the model goes.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// What an ONNX file does not say.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options for networks (ONNX)")]
struct NetworkArgs {
    /// Names of the streams in the order of the network's inputs [default: x1, x2, …].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    inputs: Vec<String>,
    /// Rows of a window, where the network takes them in one row or leaves their number open [default: 1].
    #[arg(long, value_name = "ROWS")]
    window: Option<usize>,
    /// Which of several classes is the failure, from 0 [default: 1 of two].
    #[arg(long, value_name = "NUMBER")]
    class: Option<usize>,
    /// The tensor that is told, where there are several outputs.
    #[arg(long, value_name = "NAME")]
    output: Option<String>,
    /// What it stands for [default: failure-risk of a probability, else estimate].
    #[arg(long, value_enum)]
    tells: Option<NetworkTells>,
    /// More of a life than this is told as this.
    #[arg(long, value_name = "NUMBER")]
    most: Option<f64>,
    /// What a life is counted in, or an estimate measured in.
    #[arg(long, value_name = "UNIT")]
    unit: Option<String>,
    /// From which probability on a failure is expected [default: 0.5].
    #[arg(long = "from", value_name = "PROBABILITY")]
    limit: Option<f64>,
    /// What an estimate usually is; beyond it a verdict's score is full.
    #[arg(long, value_name = "LO:HI", value_parser = super::score::range, allow_hyphen_values = true)]
    usual: Option<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum NetworkTells {
    RemainingLife,
    FailureRisk,
    Estimate,
}

impl NetworkArgs {
    fn is_given(&self) -> bool {
        let listed = !self.inputs.is_empty() || self.output.is_some() || self.tells.is_some();
        let told = self.most.is_some() || self.unit.is_some() || self.limit.is_some() || self.usual.is_some();
        listed || told || self.window.is_some() || self.class.is_some()
    }

    fn options(&self) -> anyhow::Result<OnnxOptions> {
        let life = || -> anyhow::Result<Output> {
            let most = self.most.context("a remaining life needs --most, the most that is told of it")?;
            Ok(Output::RemainingLife { most, unit: self.unit.clone().unwrap_or_else(|| "cycles".into()) })
        };
        let risk = || Output::FailureRisk { from: self.limit.unwrap_or(0.5) };
        let unit = || self.unit.clone().unwrap_or_default();
        let tells = match self.tells {
            Some(NetworkTells::RemainingLife) => Some(life()?),
            Some(NetworkTells::FailureRisk) => Some(risk()),
            Some(NetworkTells::Estimate) => Some(Output::Estimate { usual: self.usual, unit: unit() }),
            None if self.most.is_some() => Some(life()?),
            None if self.limit.is_some() => Some(risk()),
            None if self.usual.is_some() => Some(Output::Estimate { usual: self.usual, unit: unit() }),
            None => None,
        };
        let (inputs, output) = (self.inputs.clone(), self.output.clone());
        Ok(OnnxOptions { inputs, window: self.window, class: self.class, output, tells })
    }
}

/// `triad models import FILE.onnx`
fn import_network(args: &ImportArgs, bytes: &[u8]) -> Done {
    let model = import_onnx(bytes, &args.network.options()?);
    let model = model.and_then(Trained::network);
    let model = model.with_context(|| format!("{} cannot be taken over", args.from.display()))?;
    std::fs::write(&args.out, model.bytes())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let mut out = model.describe();
    out["from"] = json!("onnx");
    out["from_sha256"] = json!(sha256(bytes));
    out["out"] = json!(args.out.display().to_string());
    if args.json {
        println!("{out}");
    } else {
        super::catalogue::print_file(&out);
        println!("{} written", args.out.display());
    }
    Ok(ExitCode::SUCCESS)
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
    if is_onnx(&bytes) {
        return import_network(args, &bytes);
    }
    ensure!(
        !args.network.is_given(),
        "{} holds no network: its options are for ONNX files",
        args.from.display()
    );
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
