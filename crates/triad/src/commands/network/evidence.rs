//! `triad network evidence`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::{B256, hex};
use alloy_sol_types::SolCall as _;
use anyhow::Context as _;
use serde_json::{Value, json};
use triad_chain::ChainSpec;
use triad_evm::bindings::IValidatorSet::{Vote, submitFaultCall};
use triad_log::{Evidence, EvidenceId};

use super::change::Sender;
use crate::client::Api;
use crate::commands::{Done, block_on};
use crate::node::layout::read_genesis;

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  triad network evidence\n  triad network evidence fetch ID --out acme.evidence\n  triad network evidence verify acme.evidence --genesis genesis.json"
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, clap::Args)]
struct List {
    /// The HTTP API of any node of the network. Each holds what it saw itself.
    #[arg(long, env = "TRIAD_API", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api: String,
    /// Print what the node says, as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write one proof to a file.
    Fetch {
        /// As the list shows it.
        id: EvidenceId,
        /// Where to write it [default: ID.evidence].
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        list: List,
    },
    /// Record a proof on chain, in the `ValidatorSet` contract. It removes nobody: that takes a change which a quorum approves.
    Submit {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        sender: Sender,
    },
    /// Check a proof offline.
    #[command(
        after_help = "Exit code 0: both votes are that validator's, on this chain, and contradict each other. 1: not so, and the reason is\nprinted. No node and no network are used. --json also gives the call of ValidatorSet.submitFault that records it on chain."
    )]
    Verify {
        /// The file.
        file: PathBuf,
        /// The chain's genesis file.
        #[arg(long)]
        genesis: PathBuf,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: Args) -> Done {
    match args.command {
        None => list(&args.list),
        Some(Command::Fetch { id, out, list }) => fetch(id, out, &list),
        Some(Command::Submit { file, sender }) => submit(&file, &sender),
        Some(Command::Verify { file, genesis, json }) => verify(&file, &genesis, json),
    }
}

/// All pages as one.
async fn fetch_all(api: &Api) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    let mut path = "/v1/network/evidence".to_owned();
    loop {
        let mut page = api.get(&path).await?;
        if let Some(records) = page["evidence"].as_array_mut() {
            all.append(records);
        }
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/network/evidence?after={next}"),
            None => {
                page["evidence"] = all.into();
                return Ok(page);
            }
        }
    }
}

fn list(args: &List) -> Done {
    let found = block_on(async { fetch_all(&Api::new(&args.api)?).await })?;
    if args.json {
        println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    let records = found["evidence"].as_array().cloned().unwrap_or_default();
    for record in &records {
        let text = |name: &str| record[name].as_str().unwrap_or("?").to_owned();
        let name = record["name"].as_str().unwrap_or("a validator that is not in the set");
        println!(
            "{name} ({}) {}: epoch {}, view {}, seen at block {}, {}",
            text("validator"),
            text("meaning"),
            record["epoch"],
            record["view"],
            record["seen_height"],
            text("seen_time")
        );
        println!("  {}", text("id"));
    }
    match records.len() {
        0 => println!("This node holds no proof that a validator voted twice."),
        _ => println!("\nWrite one to a file: triad network evidence fetch ID"),
    }
    let count = |name: &str| found[name].as_u64().unwrap_or(0);
    if count("dropped") > 0 {
        println!("{} more were seen and not kept: there were enough.", count("dropped"));
    }
    for damaged in found["damaged"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        println!("The node cannot use its file {damaged}.");
    }
    Ok(ExitCode::SUCCESS)
}

fn fetch(id: EvidenceId, out: Option<PathBuf>, list: &List) -> Done {
    let out = out.unwrap_or_else(|| format!("{id}.evidence").into());
    let bytes = block_on(async { Api::new(&list.api)?.bytes(&format!("/v1/network/evidence/{id}")).await })?;
    std::fs::write(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    if list.json {
        println!("{}", json!({"file": out, "bytes": bytes.len()}));
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} bytes in {}", bytes.len(), out.display());
    println!("Check it: triad network evidence verify {} --genesis genesis.json", out.display());
    Ok(ExitCode::SUCCESS)
}

/// The validator's name, if genesis has it, or why the bytes prove nothing.
fn check(bytes: &[u8], spec: &ChainSpec) -> Result<(Evidence, Option<String>), String> {
    let evidence = Evidence::decode(bytes).map_err(|e| e.to_string())?;
    evidence.verify(&spec.namespace(), &evidence.validator).map_err(|e| e.to_string())?;
    let entry =
        spec.genesis.validators.iter().find(|v| v.consensus_key.as_ref() == evidence.validator.as_slice());
    if entry.is_none() && evidence.epoch == 0 {
        return Err(format!(
            "both signatures hold, but 0x{} is no validator of epoch 0: it is not in the genesis file",
            hex::encode(evidence.validator)
        ));
    }
    Ok((evidence, entry.map(|v| v.name.clone())))
}

/// What records it on chain.
fn submit_fault(evidence: &Evidence) -> submitFaultCall {
    let [first, second] = evidence.votes().map(|vote| {
        let (parent_view, digest) = vote.block.unwrap_or_default();
        Vote {
            parentView: parent_view,
            digest: B256::from(digest),
            signature: vote.signature.to_vec().into(),
        }
    });
    submitFaultCall {
        consensusKey: B256::from(evidence.validator),
        kind: evidence.conflict.kind() as u8,
        epoch_: evidence.epoch,
        view_: evidence.view,
        first,
        second,
    }
}

fn submit(file: &Path, sender: &Sender) -> Done {
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let evidence = Evidence::decode(&bytes).with_context(|| format!("{} is no evidence", file.display()))?;
    let input = submit_fault(&evidence).abi_encode();
    let sent = block_on(sender.send(input))?;
    if sender.json {
        println!("{}", json!({"transaction": sent["transactionHash"]}));
    } else {
        println!("Recorded on chain: 0x{} {}", hex::encode(evidence.validator), evidence.meaning());
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(file: &Path, genesis: &Path, json: bool) -> Done {
    let spec = read_genesis(genesis)?;
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (evidence, name) = match check(&bytes, &spec) {
        Ok(found) => found,
        Err(reason) if json => {
            println!("{}", json!({"verified": false, "reason": reason}));
            return Ok(ExitCode::FAILURE);
        }
        Err(reason) => {
            println!("NOT PROVED: {reason}");
            return Ok(ExitCode::FAILURE);
        }
    };
    if json {
        let mut out = evidence.to_json();
        out["verified"] = true.into();
        out["name"] = json!(name);
        out["in_genesis"] = name.is_some().into();
        out["submit_fault"] = hex::encode_prefixed(submit_fault(&evidence).abi_encode()).into();
        println!("{out}");
        return Ok(ExitCode::SUCCESS);
    }
    let key = hex::encode_prefixed(evidence.validator);
    let who = name.clone().map_or(key.clone(), |name| format!("{name} ({key})"));
    println!("PROVED: {who} {} (epoch {}, view {}).", evidence.meaning(), evidence.epoch, evidence.view);
    for vote in evidence.votes() {
        match vote.block {
            Some((parent_view, digest)) => println!(
                "  {} of block {} on the block of view {parent_view}",
                vote.name,
                hex::encode_prefixed(digest)
            ),
            None => println!("  {}", vote.name),
        }
    }
    if evidence.epoch > 0 {
        println!(
            "Genesis says who validated in epoch 0 only: whether the key was a validator's in epoch {} is for you to check.",
            evidence.epoch
        );
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use triad_log::{BlockVote, Conflict, Seen};

    use super::*;

    #[test]
    fn the_call_that_records_it_holds_both_votes_in_their_order() {
        let vote = |block: u8| BlockVote {
            parent_view: u64::from(block),
            digest: [block; 32],
            signature: [block; 64],
        };
        let evidence = |conflict| Evidence {
            namespace: Vec::new(),
            validator: [7; 32],
            epoch: 2,
            view: 9,
            conflict,
            seen: Seen::default(),
        };
        let call = submit_fault(&evidence(Conflict::notarizes([vote(5), vote(3)])));
        let read = submitFaultCall::abi_decode(&call.abi_encode()).unwrap();
        assert_eq!((read.consensusKey.0, read.kind, read.epoch_, read.view_), ([7; 32], 1, 2, 9));
        assert_eq!((read.first.parentView, read.first.digest.0), (3, [3; 32]));
        assert_eq!((read.second.parentView, read.second.signature.to_vec()), (5, vec![5; 64]));
        // The contract takes the vote to give up first; of it only the signature counts.
        let conflict = Conflict::NullifyFinalize { nullify: [1; 64], finalize: vote(4) };
        let call = submit_fault(&evidence(conflict));
        assert_eq!((call.kind, call.first.parentView, call.first.digest), (3, 0, B256::ZERO));
        assert_eq!((call.first.signature.to_vec(), call.second.digest.0), (vec![1; 64], [4; 32]));
    }
}
