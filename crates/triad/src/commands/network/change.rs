//! `triad network change`: other validators, or a rule to come, agreed by a quorum of the present ones.
//!
//! One party makes a file that says what is to change; each validator's operator looks at it and signs it where its keys
//! live; whoever has an account sends it. No secret ever leaves its machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolCall;
use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use triad_chain::{Approval, Candidate, Change, Validator};
use triad_evm::VALIDATOR_SET;
use triad_evm::bindings::IValidatorSet;

use crate::account::{KeystoreArgs, account};
use crate::client::{Api, Rpc};
use crate::commands::{Done, block_on};
use crate::node::layout::{Layout, ValidatorKeys};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example, a fifth validator:\n  triad network key --data-dir ./new --name acme > acme.json             (where the new node will run)\n  triad network change add --entry acme.json --network 10.0.0.9:7424 --out change.json\n  triad network approve change.json --data-dir ./net/node-0              (each validator where its keys are)\n  triad network submit change.json\nIt is effective when the epoch ends, 64 to 128 blocks later: see `triad network validators`."
)]
pub struct ChangeArgs {
    /// The HTTP API of any node of the network; its JSON-RPC is asked under /rpc.
    #[arg(
        long,
        global = true,
        env = "TRIAD_API",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    api: String,
    /// The file to write.
    #[arg(long, global = true, default_value = "change.json", value_name = "FILE")]
    out: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// One validator more.
    Add(Comes),
    /// One validator less. Its keys never return.
    Remove {
        /// Name or consensus key of the one that goes.
        who: String,
    },
    /// One validator in the place of another, for instance the same party with new keys.
    Replace {
        /// Name or consensus key of the one that goes.
        who: String,
        #[command(flatten)]
        comes: Comes,
    },
    /// A rule that all validators follow from a block on: a release that does not know it stops there.
    Rule {
        name: String,
        /// The first block under the rule; more than 64 blocks ahead.
        #[arg(long)]
        height: u64,
    },
}

#[derive(Debug, clap::Args)]
struct Comes {
    /// What `triad network key` printed for the one that comes.
    #[arg(long, value_name = "FILE")]
    entry: PathBuf,
    /// Where the other nodes reach it.
    #[arg(long, value_name = "ADDRESS:PORT")]
    network: std::net::SocketAddr,
}

#[derive(Debug, clap::Args)]
pub struct ApproveArgs {
    /// What `triad network change` wrote; the approval is put into it.
    file: PathBuf,
    /// The validator's data directory, where its keys are.
    #[arg(long, env = "TRIAD_DATA_DIR", default_value = "triad-data")]
    data_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct SubmitArgs {
    /// A change with the approvals of a quorum. Of several files with the same change, all approvals count.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    sender: Sender,
}

/// Who sends a call to the `ValidatorSet` contract, and through which node.
#[derive(Debug, clap::Args)]
pub(super) struct Sender {
    /// The HTTP API of any node of the network; its JSON-RPC is asked under /rpc.
    #[arg(long, env = "TRIAD_API", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api: String,
    #[command(flatten)]
    keystore: KeystoreArgs,
    /// Who pays for the transaction: `dev:N`, an address in the keystore, a keystore file, or a file with 64 hex digits.
    #[arg(long, env = "TRIAD_ACCOUNT", default_value = "dev:0", value_name = "ACCOUNT")]
    from: String,
    /// Print a JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl Sender {
    /// Sends it and waits until it is final; its receipt.
    pub(super) async fn send(&self, input: Vec<u8>) -> anyhow::Result<Value> {
        let from = account(&self.from, &self.keystore)?;
        rpc_of(&self.api)?.send(&from, Some(VALIDATOR_SET), input, U256::ZERO).await
    }
}

#[derive(Debug, clap::Args)]
pub struct ValidatorsArgs {
    /// The HTTP API of any node of the network.
    #[arg(long, env = "TRIAD_API", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    api: String,
    /// Print what the node says, as JSON.
    #[arg(long)]
    json: bool,
}

/// What goes from hand to hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proposal {
    chain_id: u64,
    /// Of the contract when this was made: another change since makes it void.
    nonce: u64,
    change: Change,
    approvals: Vec<Approval>,
}

impl Proposal {
    fn read(path: &Path) -> anyhow::Result<Proposal> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `triad network change` writes", path.display()))
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn challenge(&self) -> B256 {
        self.change.challenge(self.chain_id, self.nonce)
    }

    /// For people who are about to approve it.
    fn words(&self) -> String {
        let comes = |c: &Candidate| {
            format!(
                "`{}` at {}\n  consensus key       {}\n  checkpoint address  {}\n  fee recipient       {}",
                c.name, c.network, c.consensus_key, c.checkpoint_address, c.fee_recipient
            )
        };
        let what = match &self.change {
            Change::Add { validator } => format!("add validator {}", comes(validator)),
            Change::Remove { consensus_key } => {
                format!("remove the validator with consensus key {consensus_key}")
            }
            Change::Replace { consensus_key, validator } => {
                format!("replace the validator with consensus key {consensus_key} by {}", comes(validator))
            }
            Change::Rule { rule, height } => format!("follow rule `{rule}` from block {height} on"),
        };
        format!("Chain {}, change {}: {what}", self.chain_id, self.nonce)
    }
}

fn rpc_of(api: &str) -> anyhow::Result<Rpc> {
    Rpc::new(&format!("{}/rpc", Api::new(api)?.base))
}

async fn validators_of(api: &str) -> anyhow::Result<Value> {
    let found = Api::new(api)?.get("/v1/validators").await?;
    ensure!(
        found["can_change"] == true,
        "this chain's genesis has no rule `validator-set`: its validators are fixed for ever"
    );
    Ok(found)
}

/// A validator by its name or key, among those of the next epoch.
fn find(found: &Value, who: &str) -> anyhow::Result<B256> {
    let all = found["next"].as_array().cloned().unwrap_or_default();
    let key = |v: &Value| v["consensus_key"].as_str().unwrap_or_default().to_owned();
    let wanted = who.trim_start_matches("0x").to_lowercase();
    let matches: Vec<String> = all
        .iter()
        .filter(|v| v["name"] == who || key(v).trim_start_matches("0x") == wanted)
        .map(key)
        .collect();
    match matches.as_slice() {
        [one] => Ok(one.parse()?),
        [] => bail!("no validator is called `{who}`, and none has that key: see `triad network validators`"),
        _ => bail!("several validators are called `{who}`: give the consensus key"),
    }
}

fn candidate(comes: &Comes) -> anyhow::Result<Candidate> {
    let path = &comes.entry;
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let wrong = || format!("{} is not what `triad network key` prints", path.display());
    let entry: Validator = serde_json::from_str(&text).with_context(wrong)?;
    Candidate::new(entry, comes.network.to_string()).with_context(wrong)
}

pub fn change(args: &ChangeArgs) -> Done {
    let proposal = block_on(async {
        let found = validators_of(&args.api).await?;
        let rpc = rpc_of(&args.api)?;
        let nonce = rpc.view(VALIDATOR_SET, &IValidatorSet::nonceCall {}.abi_encode()).await?;
        let change = match &args.what {
            What::Add(comes) => Change::Add { validator: candidate(comes)? },
            What::Remove { who } => Change::Remove { consensus_key: find(&found, who)? },
            What::Replace { who, comes } => {
                Change::Replace { consensus_key: find(&found, who)?, validator: candidate(comes)? }
            }
            What::Rule { name, height } => Change::Rule { rule: name.clone(), height: *height },
        };
        let nonce = IValidatorSet::nonceCall::abi_decode_returns(&nonce)
            .context("the ValidatorSet contract does not answer as it should")?;
        Ok(Proposal { chain_id: rpc.chain_id().await?, nonce, change, approvals: Vec::new() })
    })?;
    proposal.write(&args.out)?;
    println!("{}", proposal.words());
    println!("Written to {}. Next, each validator: triad network approve {0}", args.out.display());
    Ok(ExitCode::SUCCESS)
}

pub fn approve(args: &ApproveArgs) -> Done {
    let mut proposal = Proposal::read(&args.file)?;
    let keys = ValidatorKeys::load(&Layout::new(&args.data_dir).validator())?;
    let secret = keys.consensus()?;
    let own = B256::from(triad_consensus::public_key(&secret));
    let signature =
        triad_statement::SigningKey::from_secret_bytes(triad_statement::Algorithm::EdDsa, &secret)?
            .sign(proposal.challenge().as_slice());
    proposal.approvals.retain(|a| a.consensus_key != own);
    proposal.approvals.push(Approval { consensus_key: own, signature: signature.into() });
    proposal.write(&args.file)?;
    println!("{}", proposal.words());
    println!("Approved with consensus key {own}; {} so far", proposal.approvals.len());
    Ok(ExitCode::SUCCESS)
}

pub fn submit(args: &SubmitArgs) -> Done {
    let mut files = args.files.iter().map(|path| Proposal::read(path).map(|p| (path, p)));
    let (_, mut proposal) = files.next().context("no file")??;
    for other in files {
        let (path, other) = other?;
        ensure!(
            other.challenge() == proposal.challenge(),
            "{} is another change than {}",
            path.display(),
            args.files[0].display()
        );
        proposal.approvals.extend(other.approvals);
    }
    proposal.approvals.sort_by_key(|a| a.consensus_key);
    proposal.approvals.dedup_by_key(|a| a.consensus_key);
    let (_, input) = proposal.change.call(&proposal.approvals);
    let api = &args.sender.api;
    let (receipt, after) = block_on(async {
        validators_of(api).await?;
        let rpc = rpc_of(api)?;
        let now = rpc.view(VALIDATOR_SET, &IValidatorSet::nonceCall {}.abi_encode()).await?;
        let now = IValidatorSet::nonceCall::abi_decode_returns(&now)?;
        ensure!(
            now == proposal.nonce,
            "the file is change {} of this chain and {now} is next: another change passed since. Make and approve it again",
            proposal.nonce
        );
        Ok((args.sender.send(input).await?, validators_of(api).await?))
    })?;
    if args.sender.json {
        println!(
            "{}",
            json!({"transaction": receipt["transactionHash"], "epoch": after["epoch"], "last_block": after["last_block"]})
        );
        return Ok(ExitCode::SUCCESS);
    }
    match after["last_block"].as_u64().filter(|_| !matches!(proposal.change, Change::Rule { .. })) {
        Some(last) => println!("Passed. Effective after block {last}, the last of epoch {}", after["epoch"]),
        None => println!("Passed"),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn validators(args: &ValidatorsArgs) -> Done {
    let found = block_on(async { Api::new(&args.api)?.get("/v1/validators").await })?;
    if args.json {
        println!("{found}");
        return Ok(ExitCode::SUCCESS);
    }
    let list = |of: &Value| {
        for v in of.as_array().into_iter().flatten() {
            let network = v["network"].as_str().unwrap_or("-");
            let text = |name: &str| v[name].as_str().unwrap_or_default();
            println!("  {:<24} {}  {network}", text("name"), text("consensus_key"));
        }
    };
    println!("Epoch {}", found["epoch"]);
    for epoch in found["epochs"].as_array().into_iter().flatten() {
        // What `triad verify --trusted-checkpoint` takes; to be written down while it is new.
        if let Some(digest) = epoch["last_digest"].as_str() {
            println!("  after block {}, digest {digest}", epoch["last_block"]);
        }
    }
    list(&found["validators"]);
    match found["last_block"].as_u64() {
        Some(last) => {
            println!("From block {} on", last + 1);
            list(&found["next"]);
        }
        None if found["can_change"] == true => println!("No change is decided"),
        None => println!("They are fixed: genesis has no rule `validator-set`"),
    }
    for rule in found["rules"].as_array().into_iter().flatten() {
        println!("Rule {} from block {} on", rule["rule"], rule["height"]);
    }
    Ok(ExitCode::SUCCESS)
}
