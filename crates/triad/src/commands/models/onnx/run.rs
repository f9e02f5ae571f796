//! `triad models run`: judges what streams show with a model, and signs for it.
//!
//! It remembers nothing: the chain knows what each model has judged and what awaits its verdict, so the runner may be stopped,
//! started again, moved, or run twice, and no reading is judged twice.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use triad_models::{OnnxSpec, Spec};
use triad_onnx::Model;
use triad_statement::limits::MAX_ATTESTED_VERDICTS;
use triad_statement::{
    Attestation, AttestedVerdict, DeviceId, Sequence, SigningKey, StatementBuilder, StreamId, stream_id,
};

use super::super::super::{Done, Remote, block_on};
use super::rows::{self, Awaited};
use super::{Opened, open};
use crate::client::{Api, Problem};
use crate::signer::read_device_key;

/// Refused verdicts that are remembered, not to be tried again; the oldest are forgotten.
const MAX_REFUSED: usize = 10_000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The key is that of a registered device, the runner that the binding names (`triad model bind … onnx --runner`). It goes on \
        where it stopped: the chain knows what awaits a verdict.\n\nExamples:\n  triad models run --file pump.onnx --key runner.pem --device \
        0xDEVICE --name vibration\n  triad models run --file pump.onnx --key runner.pem --device 0xDEVICE --name vibration --once --json"
)]
pub struct Args {
    /// The model's file.
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The runner's secret key.
    #[arg(long)]
    key: PathBuf,
    /// The runner's id, if its key was rotated [default: the key's own].
    #[arg(long = "as", value_name = "DEVICE")]
    runner: Option<DeviceId>,
    /// The device whose streams are judged.
    #[arg(long)]
    device: DeviceId,
    /// The streams that the model is bound to.
    #[arg(long = "name", required = true, value_delimiter = ',')]
    names: Vec<String>,
    /// Only the model with this number, where the file is bound more than once.
    #[arg(long)]
    model: Option<u64>,
    /// How often the node is asked.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(10..=3_600_000), value_name = "MS")]
    every_ms: u64,
    /// Judge what awaits a verdict now, and end.
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    remote: Remote,
    /// Print a JSON object a verdict.
    #[arg(long)]
    json: bool,
}

/// A binding of the file to a stream.
struct Bound {
    stream: StreamId,
    name: String,
    model: u64,
    spec: OnnxSpec,
    opened: Opened,
}

/// A verdict on its way.
struct Told {
    verdict: AttestedVerdict,
    name: String,
    kind: &'static str,
}

struct Runner<'a> {
    args: &'a Args,
    api: Api,
    key: SigningKey,
    id: DeviceId,
    model: Model,
    /// Model and leaf of what was refused.
    refused: BTreeSet<(u64, u64)>,
    /// What was last said of a stream that cannot be judged, so as to say it once.
    said: BTreeSet<String>,
}

pub fn run(args: &Args) -> Done {
    let key = read_device_key(&args.key)?;
    let id = args.runner.unwrap_or(key.public().id());
    block_on(async {
        let api = Api::new(&args.remote.api)?;
        let width = width(args, &api, id).await;
        let model = open(&args.file, width)?;
        let (refused, said) = (BTreeSet::new(), BTreeSet::new());
        let mut runner = Runner { args, api, key, id, model, refused, said };
        runner.announce();
        runner.follow().await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// How many numbers a row has, as bindings say, for files that leave it open.
async fn width(args: &Args, api: &Api, id: DeviceId) -> Option<usize> {
    for name in &args.names {
        let path = format!("/v1/streams/{}", stream_id(args.device, name));
        let Ok(Some(stream)) = api.find(&path).await else { continue };
        if let Some((_, spec)) = attested(&stream).find(|(_, spec)| spec.runner == id.0) {
            return Some(spec.width());
        }
    }
    None
}

/// The models of a stream that validators do not run.
fn attested(stream: &Value) -> impl Iterator<Item = (u64, OnnxSpec)> {
    stream["models"].as_array().into_iter().flatten().filter_map(|model| {
        let params = hex::decode(model["params_cbor"].as_str()?.trim_start_matches("0x")).ok()?;
        match Spec::decode(model["kind"].as_str()?, &params).ok()? {
            Spec::Onnx(spec) => Some((model["id"].as_u64()?, spec)),
            _ => None,
        }
    })
}

impl Runner<'_> {
    fn announce(&self) {
        let file = hex::encode(self.model.description().file);
        if !self.args.json {
            println!("runner        {} ({})", self.id, self.key.public().algorithm().name());
            println!("model         {}, SHA-256 {file}", self.args.file.display());
        }
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let stop = tokio::signal::ctrl_c();
        tokio::pin!(stop);
        loop {
            let told = self.round().await;
            match told {
                Ok(_) => {}
                Err(error) if self.args.once => return Err(error),
                // The node may come back.
                Err(error) => self.say(&format!("{error:#}")),
            }
            if self.args.once {
                return Ok(());
            }
            tokio::select! {
                _ = &mut stop => return Ok(()),
                () = tokio::time::sleep(Duration::from_millis(self.args.every_ms)) => {}
            }
        }
    }

    /// Says something once on standard error.
    fn say(&mut self, what: &str) {
        if self.said.len() >= MAX_REFUSED {
            self.said.clear();
        }
        if self.said.insert(what.to_owned()) {
            eprintln!("triad: {what}");
        }
    }

    /// Judges all that awaits a verdict now.
    async fn round(&mut self) -> anyhow::Result<()> {
        let mut told = Vec::new();
        for name in &self.args.names {
            for bound in self.bound(name).await? {
                told.extend(self.judge(&bound).await?);
            }
        }
        for some in told.chunks(MAX_ATTESTED_VERDICTS) {
            self.publish(some).await?;
        }
        Ok(())
    }

    /// Where the file is bound to a stream with this runner.
    async fn bound(&mut self, name: &str) -> anyhow::Result<Vec<Bound>> {
        let stream = stream_id(self.args.device, name);
        let Some(found) = self.api.find(&format!("/v1/streams/{stream}")).await? else {
            ensure!(!self.args.once, "no reading of `{name}` of {} is final yet", self.args.device);
            self.say(&format!("waiting for the first reading of `{name}` of {}", self.args.device));
            return Ok(Vec::new());
        };
        let file = self.model.description().file;
        let mine = |(model, spec): &(u64, OnnxSpec)| {
            spec.runner == self.id.0
                && spec.file == file
                && self.args.model.is_none_or(|wanted| wanted == *model)
        };
        let bound = attested(&found).filter(mine).map(|(model, spec)| {
            let opened = Opened::fit(self.model.clone(), &spec).with_context(|| {
                format!("model {model} of `{name}` is bound so that this file cannot run it")
            })?;
            Ok(Bound { stream, name: name.to_owned(), model, spec, opened })
        });
        let bound = bound.collect::<anyhow::Result<Vec<_>>>()?;
        if bound.is_empty() {
            let others: Vec<String> = attested(&found)
                .map(|(model, spec)| {
                    let (file, runner) = (hex::encode(&spec.file[..4]), hex::encode(spec.runner));
                    format!("model {model}: file {file}…, runner 0x{runner}")
                })
                .collect();
            let others =
                if others.is_empty() { "there is no other of its class".into() } else { others.join("; ") };
            let why = format!(
                "this file is not bound to `{name}` of {} with the runner {} ({others})",
                self.args.device, self.id
            );
            ensure!(!self.args.once, "{why}: see `triad model bind … onnx`");
            self.say(&why);
        }
        Ok(bound)
    }

    async fn judge(&mut self, bound: &Bound) -> anyhow::Result<Vec<Told>> {
        let mut told = Vec::new();
        for reading in rows::awaiting(&self.api, bound.stream, bound.model).await? {
            if self.refused.contains(&(bound.model, reading.leaf)) {
                continue;
            }
            let row = rows::row(&self.api, self.args.device, bound.stream, &bound.spec, reading).await?;
            match row.map(|row| verdict(bound, reading, &row)) {
                Ok(Ok(one)) => told.push(one),
                Ok(Err(why)) => self.pass_over(bound, reading, &format!("{why:#}")),
                Err(why) => self.pass_over(bound, reading, &why),
            }
        }
        Ok(told)
    }

    /// There is no verdict on a reading, now or later.
    fn pass_over(&mut self, bound: &Bound, reading: Awaited, why: &str) {
        eprintln!(
            "triad: leaf {} of `{}` is not judged by model {}: {why}",
            reading.leaf, bound.name, bound.model
        );
        self.forget(bound.model, reading.leaf);
    }

    fn forget(&mut self, model: u64, leaf: u64) {
        self.refused.insert((model, leaf));
        while self.refused.len() > MAX_REFUSED {
            self.refused.pop_first();
        }
    }

    /// Signs verdicts and waits until they are final. Where one of several is refused, each goes alone.
    async fn publish(&mut self, told: &[Told]) -> anyhow::Result<()> {
        let answer = match self.submit(told).await? {
            Ok(answer) => answer,
            Err(problem) if problem.temporary => bail!("{}: {}", problem.code, problem.detail),
            Err(problem) => {
                let [one] = told else {
                    for one in told {
                        Box::pin(self.publish(std::slice::from_ref(one))).await?;
                    }
                    return Ok(());
                };
                self.forget(one.verdict.model, one.verdict.leaf);
                eprintln!(
                    "triad: leaf {} of `{}`: {}: {}",
                    one.verdict.leaf, one.name, problem.code, problem.detail
                );
                return Ok(());
            }
        };
        for (place, told) in told.iter().enumerate() {
            self.show(told, place, &answer);
        }
        Ok(())
    }

    async fn submit(&self, told: &[Told]) -> anyhow::Result<Result<Value, Problem>> {
        let device = self.api.get(&format!("/v1/devices/{}", self.id)).await?;
        let next = device["next_sequence"]["number"].as_u64();
        let next = next.context("the runner has used up its epoch, or has no key: see `triad device`")?;
        let file = self.model.description().file;
        let verdicts = told.iter().map(|told| told.verdict.clone()).collect();
        let builder = StatementBuilder::new(&self.key, Sequence(next)).kid(self.id);
        self.api.statement(builder.verdicts(&Attestation { file, verdicts }).sign().to_vec()).await
    }

    fn show(&self, told: &Told, place: usize, answer: &Value) {
        let AttestedVerdict { stream, model, leaf, record, score_ppm, value, reason, .. } = &told.verdict;
        let score = f64::from(*score_ppm) / 1e6;
        if self.args.json {
            let line = json!({
                "stream": stream, "name": told.name, "model": model, "class": "attested", "runner": self.id,
                "model_file": hex::encode(self.model.description().file), "leaf": leaf, "record": record, "kind": told.kind,
                "score": score, "value": value, "reason": reason.as_ref(), "height": answer["height"],
                "statement": answer["leaf"], "place": place,
            });
            println!("{line}");
            return;
        }
        let value = value.map_or_else(String::new, |value| format!(", value {value}"));
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        println!(
            "leaf {leaf} of {}: {} {score:.3}{value}{reason} (model {model}, attested in leaf {}, block {})",
            told.name, told.kind, answer["leaf"], answer["height"]
        );
    }
}

fn verdict(bound: &Bound, reading: Awaited, row: &[f64]) -> anyhow::Result<Told> {
    let told = bound.opened.tell(row)?;
    let judgement = bound.spec.judge(told).with_context(|| format!("the model tells {told}"))?;
    let verdict = AttestedVerdict {
        stream: bound.stream,
        model: bound.model,
        leaf: reading.leaf,
        record: reading.record,
        kind: judgement.kind.as_u8(),
        score_ppm: judgement.score_ppm,
        value: judgement.value,
        reason: judgement.reason.into(),
    };
    Ok(Told { verdict, name: bound.name.clone(), kind: judgement.kind.name() })
}
