//! `triad model`

use std::path::PathBuf;
use std::process::ExitCode;

use alloy_primitives::{Address, U256};
use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use triad_chain::{ATTESTED_MODELS_RULE, LEARNED_MODELS_RULE, WINDOWED_MODELS_RULE, contracts};
use triad_models::{
    AnomalySpec, Assurance, ForecastSpec, Meaning, OnnxSpec, RangeSpec, RowModel, SilenceSpec, Spec, Tells,
    TreesSpec, WindowKind, WindowModel, WindowSpec,
};
use triad_statement::{DeviceId, stream_id};

use super::models::on_chain::fetch;
use super::models::onnx;
use super::{Done, Remote, block_on};
use crate::account::{KeystoreArgs, account};
use crate::client::{Api, Rpc};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    keystore: KeystoreArgs,
    /// The device's owner: `dev:N`, an address in the keystore, a keystore file, or a file with 64 hex digits.
    #[arg(long, global = true, env = "TRIAD_ACCOUNT", default_value = "dev:0", value_name = "ACCOUNT")]
    from: String,
    /// Print a JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Bind a model to a device's stream; it judges readings of later blocks.
    #[command(
        after_help = "Examples:\n  triad model bind 0xDEVICE temperature range --low 2 --high 8\n  triad model bind 0xDEVICE temperature silence --interval-ms 60000\n  triad model bind 0xDEVICE temperature anomaly\n  triad model bind 0xDEVICE level forecast --interval-ms 3600000 --season 24 --horizon 6 --low 1.5\n  triad model bind 0xDEVICE vibration trees --at 0xADDRESS    (see `triad models register`)\n  triad model bind 0xDEVICE torque failures --at 0xADDRESS --inputs type,air,process,rpm,torque,wear\n  triad model bind 0xDEVICE vibration onnx --file pump.onnx --runner 0xRUNNER --tells failure-risk --inputs vibration,temperature"
    )]
    Bind(Box<Bind>),
}

#[derive(Debug, clap::Args)]
struct Bind {
    device: DeviceId,
    /// The stream's name, as its readings give it.
    name: String,
    /// range, silence, anomaly, forecast, trees, life, failures, network or onnx
    kind: String,
    #[arg(long, allow_negative_numbers = true)]
    low: Option<f64>,
    #[arg(long, allow_negative_numbers = true)]
    high: Option<f64>,
    /// Below this is a breach at once (range).
    #[arg(long, allow_negative_numbers = true)]
    allowed_low: Option<f64>,
    /// Above this is a breach at once (range).
    #[arg(long, allow_negative_numbers = true)]
    allowed_high: Option<f64>,
    /// Longest tolerated excursion (range).
    #[arg(long)]
    max_outside_ms: Option<u64>,
    /// A reading is expected at least this often (silence), or exactly so often (forecast).
    #[arg(long)]
    interval_ms: Option<u64>,
    /// How much later is still no silence [default: half the interval].
    #[arg(long)]
    grace_ms: Option<u64>,
    /// Readings after which the course repeats itself, 1 to 168; 1: it does not (forecast).
    #[arg(long, default_value_t = 1)]
    season: u16,
    /// Readings ahead, 1 to 24 (forecast).
    #[arg(long, default_value_t = 1)]
    horizon: u16,
    /// What a verdict's value is: the forecast (value), or the low or high end of its interval (forecast) [default: value]. What the
    /// model's number means: failure-risk, remaining-life, anomaly or forecast (onnx).
    #[arg(long)]
    tells: Option<String>,
    /// Where `triad models register` put the file (trees, life, failures, network).
    #[arg(long)]
    at: Option<Address>,
    /// How far readings of one row or window may lie apart in time [default: a minute] (trees, life, failures, network, onnx).
    #[arg(long)]
    max_age_ms: Option<u64>,
    /// Names of the streams in the order of the model's inputs [default: as the file has them (life, failures, network), or the
    /// stream itself (onnx)].
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    inputs: Vec<String>,
    #[command(flatten)]
    onnx: Onnx,
}

/// What only `onnx` takes.
#[derive(Debug, clap::Args)]
struct Onnx {
    /// The model's file (onnx).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The device that runs the model and signs for it (onnx).
    #[arg(long, value_name = "DEVICE")]
    runner: Option<DeviceId>,
    /// Readings of the stream that the model sees at once (onnx).
    #[arg(long, default_value_t = 1)]
    window: u16,
    /// The output that counts [default: the last one with numbers] (onnx).
    #[arg(long)]
    output: Option<String>,
    /// Its column, from 0 [default: the last one] (onnx).
    #[arg(long)]
    column: Option<u16>,
    /// The number is output x gain + offset (onnx).
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    gain: f64,
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    offset: f64,
    /// From which a failure or an anomaly is told [default: 0.5] (onnx).
    #[arg(long)]
    limit: Option<f64>,
    /// The most that is told of a remaining life (onnx).
    #[arg(long)]
    most: Option<f64>,
    /// The unit of a remaining life (onnx).
    #[arg(long)]
    unit: Option<String>,
}

impl Onnx {
    fn spec(&self, bind: &Bind) -> anyhow::Result<OnnxSpec> {
        let file = self.file.as_ref().context("onnx needs --file, the model")?;
        let runner = self.runner.context("onnx needs --runner, the device that will sign its verdicts")?;
        let limit = self.limit.unwrap_or(0.5);
        let tells = match bind.tells.as_deref() {
            Some("failure-risk") => Meaning::FailureRisk { limit },
            Some("anomaly") => Meaning::Anomaly { limit },
            Some("forecast") => Meaning::Forecast,
            Some("remaining-life") => Meaning::RemainingLife {
                most: self.most.context("a remaining life needs --most, the most that is told")?,
                unit: self.unit.clone().context("a remaining life needs --unit")?,
            },
            _ => bail!("onnx needs --tells: failure-risk, remaining-life, anomaly or forecast"),
        };
        let width = bind.inputs.len().max(usize::from(self.window));
        let model = onnx::open(file, Some(width))?;
        let spec = OnnxSpec::of(&std::fs::read(file)?, runner.0, tells);
        let spec = OnnxSpec {
            inputs: bind.inputs.clone(),
            window: self.window,
            output: self.output.clone(),
            column: self.column,
            gain: self.gain,
            offset: self.offset,
            max_age_ms: bind.max_age_ms.unwrap_or(spec.max_age_ms),
            ..spec
        };
        onnx::Opened::fit(model, &spec)?;
        Ok(spec)
    }
}

impl Bind {
    /// Where the model's file is, and its bytes.
    async fn file(&self, rpc: &Rpc) -> anyhow::Result<(Address, Vec<u8>)> {
        let needs = || format!("{} needs --at, the address that `triad models register` told", self.kind);
        let at = self.at.with_context(needs)?;
        Ok((at, fetch(rpc, at).await?))
    }

    async fn spec(&self, rpc: &Rpc) -> anyhow::Result<Spec> {
        let &Bind { low, high, allowed_low, allowed_high, max_outside_ms, .. } = self;
        let &Bind { season, horizon, .. } = self;
        let tells = || self.tells.as_deref().map_or(Ok(Tells::Value), str::parse).map_err(anyhow::Error::msg);
        let interval_ms = || self.interval_ms.with_context(|| format!("{} needs --interval-ms", self.kind));
        let spec = match self.kind.as_str() {
            "range" => {
                let base = RangeSpec {
                    low,
                    high,
                    allowed_low,
                    allowed_high,
                    max_outside_ms,
                    ..RangeSpec::default()
                };
                Spec::Range(base)
            }
            "silence" => {
                let interval_ms = interval_ms()?;
                Spec::Silence(SilenceSpec { interval_ms, grace_ms: self.grace_ms.unwrap_or(interval_ms / 2) })
            }
            "anomaly" => Spec::Anomaly(AnomalySpec { range: low.zip(high) }),
            "forecast" => Spec::Forecast(ForecastSpec {
                interval_ms: interval_ms()?,
                season,
                horizon,
                low,
                high,
                tells: tells()?,
            }),
            "trees" => {
                let (at, file) = self.file(rpc).await?;
                let spec = TreesSpec::of(&file, &RowModel::decode(&file)?, at.into());
                Spec::Trees(TreesSpec { max_age_ms: self.max_age_ms.unwrap_or(spec.max_age_ms), ..spec })
            }
            "onnx" => Spec::Onnx(self.onnx.spec(self)?),
            other => {
                let Some(kind) = WindowKind::named(other) else {
                    let windows = WindowKind::ALL.map(WindowKind::name).join(", ");
                    bail!(
                        "`{other}` is no model: range, silence, anomaly, forecast, trees, {windows} or onnx"
                    )
                };
                let (at, file) = self.file(rpc).await?;
                let model = WindowModel::decode(&file)?;
                let found = model.kind().name();
                ensure!(model.kind() == kind, "the file at {at} holds a model of the kind {found}");
                let spec = WindowSpec::of(&file, &model, at.into());
                let max_age_ms = self.max_age_ms.unwrap_or(spec.max_age_ms);
                Spec::Window(WindowSpec { max_age_ms, names: self.inputs.clone(), ..spec })
            }
        };
        // The registry takes any bytes; what no model understands would bind nothing.
        Ok(Spec::decode(spec.kind(), &spec.params())?)
    }
}

/// Refuses to pay for a binding that the chain's rules do not know and that would bind nothing.
async fn check_rules(api: &Api, rpc: &Rpc, spec: &Spec) -> anyhow::Result<()> {
    let needed = [
        (spec.is_learned(), LEARNED_MODELS_RULE),
        (spec.is_windowed(), WINDOWED_MODELS_RULE),
        (spec.class() == Assurance::Attested, ATTESTED_MODELS_RULE),
    ];
    if !needed.iter().any(|(needed, _)| *needed) {
        return Ok(());
    }
    let (genesis, validators) = (api.get("/v1/genesis").await?, api.get("/v1/validators").await?);
    let height = rpc.height().await?;
    for (_, name) in needed.into_iter().filter(|(needed, _)| *needed) {
        let named = |rules: &Value, key: &str| {
            let holds = |rule: &Value| rule[key] == name && rule["height"].as_u64() <= Some(height);
            rules.as_array().is_some_and(|rules| rules.iter().any(holds))
        };
        ensure!(
            named(&genesis["rules"], "name") || named(&validators["rules"], "rule"),
            "this chain does not know models of the kind {} yet: its validators have to schedule rule `{name}`",
            spec.kind()
        );
    }
    Ok(())
}

pub fn run(args: Args) -> Done {
    let Command::Bind(bind) = args.command;
    let (device, name) = (bind.device, &bind.name);
    let (spec, receipt) = block_on(async {
        let rpc = Rpc::new(&args.remote.rpc)?;
        let spec = bind.spec(&rpc).await?;
        check_rules(&Api::new(&args.remote.api)?, &rpc, &spec).await?;
        let (to, input) = contracts::bind_model(device, name, &spec);
        let receipt = rpc.send(&account(&args.from, &args.keystore)?, Some(to), input, U256::ZERO).await?;
        Ok((spec, receipt))
    })?;
    let stream = stream_id(device, name).to_string();
    let (kind, class, hash) = (spec.kind(), spec.class(), hex::encode(spec.content_hash()));
    // The event's first topic after its name is the model's number.
    let model = receipt["logs"][0]["topics"][1].as_str().map(|text| text.trim_start_matches("0x"));
    let model = model.and_then(|text| u64::from_str_radix(text, 16).ok());
    if args.json {
        let transaction = &receipt["transactionHash"];
        println!(
            "{}",
            json!({"stream": stream, "kind": kind, "model": model, "content_hash": hash, "class": class, "transaction": transaction})
        );
    } else {
        let model = model.map_or_else(String::new, |model| format!(" as model {model}"));
        println!(
            "{kind} judges stream {stream} (`{name}` of {device}) from the next block on{model} ({class})"
        );
        println!("content hash  {hash}");
    }
    Ok(ExitCode::SUCCESS)
}
