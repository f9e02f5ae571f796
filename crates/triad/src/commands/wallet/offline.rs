//! Permits and transfer authorisations: signed here, submitted by somebody else.
//!
//! What is not said is read from the token (ERC-5267, decimals, nonce). With all of it said no node is needed.

use alloy_primitives::{Address, B256, U256, hex::encode_prefixed};
use alloy_sol_types::Eip712Domain;
use anyhow::{Context as _, ensure};
use rand::RngExt as _;
use serde_json::{Value, json};
use triad_wallet::Amount;
use triad_wallet::sign::{self, ReceiveWithAuthorization, Signed, TransferWithAuthorization};

use super::Args;
use super::token::{self, Token};

/// The token, and what it says of itself.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The token.
    #[arg(long, value_name = "ADDRESS")]
    token: Address,
    /// The amount is in the token's smallest unit.
    #[arg(long)]
    wei: bool,
    /// The token's decimals [default: ask it].
    #[arg(long, value_name = "N")]
    decimals: Option<u8>,
    /// Name in the token's EIP-712 domain [default: ask it].
    #[arg(long, requires = "token_version")]
    token_name: Option<String>,
    /// Version in the token's EIP-712 domain [default: ask it].
    #[arg(long, requires = "token_name")]
    token_version: Option<String>,
    /// The chain's id; any other is refused [default: ask the node].
    #[arg(long, env = "TRIAD_CHAIN_ID", value_name = "ID")]
    chain_id: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  triad wallet permit 0xSPENDER 100 --token 0xTOKEN --deadline 1800000000\n\nWithout a node:\n  triad wallet permit 0xSPENDER 100 --token 0xTOKEN --decimals 6 --token-name Voucher --token-version 1 \\\n    --chain-id 7423 --nonce 0 --deadline 1800000000"
)]
pub struct Permit {
    /// Who may take the tokens.
    spender: Address,
    /// How many, as people write it.
    amount: String,
    #[command(flatten)]
    of: TokenArgs,
    /// Until when, in seconds since 1970 [default: an hour from now].
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<u64>,
    /// The owner's next permit nonce [default: ask the token].
    #[arg(long)]
    nonce: Option<U256>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  triad wallet authorise 0xPAYEE 12.5 --token 0xTOKEN --payee-only\n\nEach authorisation has a random nonce: many can be out at once, in any order."
)]
pub struct Authorise {
    /// Who is paid.
    to: Address,
    /// How much, as people write it.
    amount: String,
    #[command(flatten)]
    of: TokenArgs,
    /// Only the payee may submit it (receiveWithAuthorization).
    #[arg(long)]
    payee_only: bool,
    /// Not before this, in seconds since 1970.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    valid_after: u64,
    /// Not from this on, in seconds since 1970 [default: an hour from now].
    #[arg(long, value_name = "SECONDS")]
    valid_before: Option<u64>,
    /// 32 bytes that this account never used for this token [default: random].
    #[arg(long)]
    nonce: Option<B256>,
}

/// Long enough to hand a signature on, short enough that a lost one is no worry.
const HOUR: u64 = 3600;

impl TokenArgs {
    async fn amount(&self, args: &Args, text: &str) -> anyhow::Result<Amount> {
        match (self.wei, self.decimals) {
            (true, _) => Ok(Amount::parse(text, 0)?),
            (false, Some(decimals)) => Ok(Amount::parse(text, decimals)?),
            (false, None) => token::amount(&args.rpc()?, Some(self.token), text, false).await,
        }
    }

    /// As said, or as the token says it; then it must be that of this token on the node's chain.
    async fn domain(&self, args: &Args) -> anyhow::Result<Eip712Domain> {
        if let (Some(name), Some(version), Some(chain_id)) =
            (&self.token_name, &self.token_version, self.chain_id)
        {
            return Ok(sign::token_domain(name, version, chain_id, self.token));
        }
        let rpc = args.rpc()?;
        let chain_id = rpc.chain_id().await?;
        let expected = self.chain_id.unwrap_or(chain_id);
        ensure!(expected == chain_id, "this node is of chain {chain_id}, not {expected}: not signed");
        if let (Some(name), Some(version)) = (&self.token_name, &self.token_version) {
            return Ok(sign::token_domain(name, version, chain_id, self.token));
        }
        let told = token::ask(&rpc, self.token, Token::eip712DomainCall {}).await.context(
            "say --token-name and --token-version, since the token does not tell its domain (ERC-5267)",
        )?;
        // name, version, chain id and verifying contract, no salt, no extensions: what permits are defined over.
        let usual = told.fields.0 == [0x0f] && told.extensions.is_empty();
        ensure!(
            usual && told.verifyingContract == self.token && told.chainId == U256::from(chain_id),
            "the token tells another domain than its own on this chain: not signed"
        );
        Ok(sign::token_domain(&told.name, &told.version, chain_id, self.token))
    }
}

pub async fn permit(args: &Args, permit: &Permit) -> anyhow::Result<Value> {
    let amount = permit.of.amount(args, &permit.amount).await?;
    let domain = permit.of.domain(args).await?;
    let owner = args.address()?;
    let nonce = match permit.nonce {
        Some(nonce) => nonce,
        None => token::ask(&args.rpc()?, permit.of.token, Token::noncesCall { owner }).await?,
    };
    let fields = sign::Permit {
        owner,
        spender: permit.spender,
        value: amount.units,
        nonce,
        deadline: U256::from(permit.deadline.unwrap_or(now() + HOUR)),
    };
    let signed = sign::permit(&args.wallet()?, &domain, &fields);
    let mut shown = json!({
        "owner": owner.to_string(),
        "spender": fields.spender.to_string(),
        "value": fields.value.to_string(),
        "nonce": fields.nonce.to_string(),
        "deadline": fields.deadline.to_string(),
    });
    put_signed(&mut shown, permit.of.token, &signed);
    Ok(shown)
}

pub async fn authorise(args: &Args, authorise: &Authorise) -> anyhow::Result<Value> {
    let amount = authorise.of.amount(args, &authorise.amount).await?;
    let domain = authorise.of.domain(args).await?;
    let wallet = args.wallet()?;
    let (from, to, value) = (wallet.address(), authorise.to, amount.units);
    let after = U256::from(authorise.valid_after);
    let before = U256::from(authorise.valid_before.unwrap_or(now() + HOUR));
    let nonce = authorise.nonce.unwrap_or_else(|| B256::from(rand::rng().random::<[u8; 32]>()));
    ensure!(after < before, "--valid-after must be before --valid-before");
    let signed = if authorise.payee_only {
        let fields =
            ReceiveWithAuthorization { from, to, value, validAfter: after, validBefore: before, nonce };
        sign::transfer_to_payee(&wallet, &domain, &fields)
    } else {
        let fields =
            TransferWithAuthorization { from, to, value, validAfter: after, validBefore: before, nonce };
        sign::transfer(&wallet, &domain, &fields)
    };
    let mut shown = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "value": value.to_string(),
        "valid_after": after.to_string(),
        "valid_before": before.to_string(),
        "nonce": nonce,
        "payee_only": authorise.payee_only,
    });
    put_signed(&mut shown, authorise.of.token, &signed);
    Ok(shown)
}

fn put_signed(shown: &mut Value, token: Address, signed: &Signed) {
    shown["token"] = token.to_string().into();
    shown["digest"] = json!(signed.digest);
    shown["signature"] = encode_prefixed(signed.signature.as_bytes()).into();
    shown["calldata"] = json!(signed.call);
}

fn now() -> u64 {
    triad_chain::clock_ms() / 1000
}
