//! `triad wallet`: accounts, money, and what they sign.

mod accounts;
mod coins;
mod offline;
mod signing;
mod token;

use alloy_primitives::Address;
use serde_json::Value;
use triad_chain::Wallet;

use super::{Done, block_on};
use crate::account::{KeystoreArgs, account, warn_of_dev_account};
use crate::client::Rpc;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "An account is an address in the keystore, a keystore file, or `dev:N`. With a single account in the keystore none\nneeds to be named.\n\nPasswords come from --password-file, TRIAD_PASSWORD, or a prompt; never from the command line.\n\nExamples:\n  triad wallet create\n  triad wallet balance\n  triad wallet send 0xRECIPIENT 1.5\n  triad wallet send 0xRECIPIENT 20 --token 0xTOKEN\n  triad wallet sign-typed-data order.json --dev 0"
)]
pub struct Args {
    #[command(flatten)]
    keystore: KeystoreArgs,
    /// The account: an address in the keystore, a keystore file, or `dev:N`.
    #[arg(long, global = true, env = "TRIAD_ACCOUNT", value_name = "ACCOUNT")]
    from: Option<String>,
    /// One of the ten accounts of `triad node --dev`, whose keys everybody knows.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(0..10))]
    dev: Option<u8>,
    /// The node's Ethereum JSON-RPC.
    #[arg(
        long,
        global = true,
        env = "TRIAD_RPC",
        default_value = "http://127.0.0.1:8545",
        value_name = "URL"
    )]
    rpc: String,
    /// Print a JSON object.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an account and encrypt it into the keystore.
    Create(accounts::Create),
    /// Bring an account in: a secret key, a recovery phrase, or another program's keystore file.
    #[command(subcommand)]
    Import(accounts::Import),
    /// Show the accounts of the keystore.
    List,
    /// Show what accounts hold.
    Balance(coins::Balance),
    /// Send coins or tokens, and wait until it is final.
    Send(coins::Send),
    /// Sign a personal message (EIP-191).
    SignMessage(signing::Message),
    /// Sign typed data (EIP-712) from a JSON file.
    SignTypedData(signing::TypedDataFile),
    /// Sign, without sending, that somebody may take tokens (EIP-2612).
    Permit(offline::Permit),
    /// Sign, without sending, a transfer of tokens that somebody else will submit (ERC-3009).
    Authorise(offline::Authorise),
}

pub fn run(args: Args) -> Done {
    let done = match &args.command {
        Command::Create(create) => accounts::create(&args, create),
        Command::Import(import) => accounts::import(&args, import),
        Command::List => accounts::list(&args),
        Command::Balance(balance) => block_on(coins::balance(&args, balance)),
        Command::Send(send) => block_on(coins::send(&args, send)),
        Command::SignMessage(message) => signing::message(&args, message),
        Command::SignTypedData(file) => signing::typed_data(&args, file),
        Command::Permit(permit) => block_on(offline::permit(&args, permit)),
        Command::Authorise(authorise) => block_on(offline::authorise(&args, authorise)),
    };
    print(&args, &done?)
}

impl Args {
    /// The account that signs.
    fn wallet(&self) -> anyhow::Result<Wallet> {
        if self.dev.is_some() || self.from.as_ref().is_some_and(|from| from.starts_with("dev:")) {
            warn_of_dev_account();
        }
        match (self.dev, &self.from) {
            (Some(index), _) => account(&format!("dev:{index}"), &self.keystore),
            (None, Some(text)) => account(text, &self.keystore),
            (None, None) => self.keystore.only(),
        }
    }

    /// Its address, without its password.
    fn address(&self) -> anyhow::Result<Address> {
        match (self.dev, &self.from) {
            (Some(index), _) => Ok(account(&format!("dev:{index}"), &self.keystore)?.address()),
            (None, Some(text)) => match text.parse() {
                Ok(address) => Ok(address),
                Err(_) => Ok(account(text, &self.keystore)?.address()),
            },
            (None, None) => Ok(self.keystore.directory()?.only()?.address),
        }
    }

    fn rpc(&self) -> anyhow::Result<Rpc> {
        Rpc::new(&self.rpc)
    }
}

/// Members, one a line, or JSON; an array with `--json` only.
fn print(args: &Args, value: &Value) -> Done {
    match value {
        _ if args.json => println!("{value}"),
        Value::Object(members) => {
            let width = members.keys().map(String::len).max().unwrap_or(0);
            for (name, value) in members {
                println!("{:width$}  {}", name.replace('_', " "), plain(value));
            }
        }
        Value::Array(rows) => {
            for row in rows {
                let cells: Vec<_> =
                    row.as_object().into_iter().flat_map(|row| row.values()).map(plain).collect();
                println!("{}", cells.join("  "));
            }
        }
        other => println!("{}", plain(other)),
    }
    Ok(std::process::ExitCode::SUCCESS)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
