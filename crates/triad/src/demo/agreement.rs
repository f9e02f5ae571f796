//! The contracts of the demo: a token, and an agreement between a depositor and a warehouse.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use anyhow::Context as _;
use serde_json::Value;
use triad_chain::{Wallet, contracts};
use triad_evm::bindings::IAutomations;
use triad_statement::DeviceId;

use crate::client::Rpc;

pub use abi::{Agreement, Freezer, Token};

/// The functions and events that the demo uses; the sources are in `contracts/src`.
#[allow(clippy::too_many_arguments)] // What `sol!` makes of an event.
mod abi {
    use alloy_sol_types::sol;

    sol! {
        interface Token {
            function mint(address to, uint256 amount) external;
            function approve(address spender, uint256 amount) external returns (bool);
            function balanceOf(address account) external view returns (uint256);
        }

        interface Freezer {
            function freeze(bytes20 device, string name, uint64 untilMs) external;
        }

        #[derive(Debug)]
        interface Agreement {
            struct Terms {
                address token;
                address warehouse;
                bytes20 device;
                string name;
                uint8 clock;
                uint64 maxLagMs;
                uint64 start;
                uint64 end;
                uint64 acceptBy;
                uint64 claimUntil;
                uint16 excursionKinds;
                uint32 minScore;
                uint64 coolDownMs;
                uint64 rangeModel;
                uint64 silenceModel;
                uint128 fee;
                uint128 excursionPenalty;
                uint128 silencePenalty;
                uint128 penaltyCap;
            }
            event Charged(uint256 indexed id, uint8 indexed kind, uint64 leaf, int256 readingMs, int256 value, uint256 amount, uint256 charged, bool proven, string reason);
            function open(Terms terms) external returns (uint256 id);
            function accept(uint256 id) external;
            function attach(uint256 id, uint64 registration) external;
            function close(uint256 id) external;
            function withdraw(uint256 id, address party) external;
        }
    }
}

const TOKEN: &str = include_str!("../../../../contracts/artifacts/TriadToken.json");
const AGREEMENT: &str = include_str!("../../../../contracts/artifacts/StorageAgreement.json");
/// Gas of one firing; a charge takes about 72,000.
const FIRING_GAS: u64 = 300_000;
/// Coins that each automation is funded with, in wei.
const DEPOSIT: u64 = 1_000_000_000_000_000_000;

/// Whole tokens, in their smallest unit.
pub fn tokens(n: u64) -> u128 {
    u128::from(n) * 1_000_000
}

/// Everybody's keys, and where the contracts are.
#[derive(Debug)]
pub struct Parties {
    pub rpc: Rpc,
    pub owner: Wallet,
    pub depositor: Wallet,
    pub warehouse: Wallet,
    pub token: Address,
    pub agreement: Address,
}

fn code(artifact: &str) -> anyhow::Result<Vec<u8>> {
    let artifact: Value = serde_json::from_str(artifact)?;
    let text = artifact["bytecode"].as_str().context("an artifact without bytecode")?;
    Ok(hex::decode(text.trim_start_matches("0x"))?)
}

async fn deploy(rpc: &Rpc, from: &Wallet, code: Vec<u8>) -> anyhow::Result<Address> {
    let receipt = rpc.send(from, None, code, U256::ZERO).await?;
    receipt["contractAddress"].as_str().and_then(|a| a.parse().ok()).context("no contract address")
}

impl Parties {
    pub async fn deploy(
        rpc: Rpc,
        owner: Wallet,
        depositor: Wallet,
        warehouse: Wallet,
    ) -> anyhow::Result<Parties> {
        let mut token = code(TOKEN)?;
        token.extend(("Demo Dollar".to_owned(), "DEMO".to_owned(), U256::from(6)).abi_encode_params());
        let token = deploy(&rpc, &owner, token).await?;
        let agreement = deploy(&rpc, &owner, code(AGREEMENT)?).await?;
        Ok(Parties { rpc, owner, depositor, warehouse, token, agreement })
    }

    async fn send(&self, from: &Wallet, to: Address, call: impl SolCall) -> anyhow::Result<Value> {
        self.rpc.send(from, Some(to), call.abi_encode(), U256::ZERO).await
    }

    pub async fn balance(&self, account: Address) -> anyhow::Result<U256> {
        let output = self.rpc.view(self.token, &Token::balanceOfCall { account }.abi_encode()).await?;
        Ok(Token::balanceOfCall::abi_decode_returns(&output)?)
    }

    /// Puts the fee in escrow, has both sides agree, and arms the two automations that will charge.
    pub async fn agree(&self, terms: Agreement::Terms) -> anyhow::Result<()> {
        let fee = U256::from(terms.fee);
        let to = self.depositor.address();
        self.send(&self.owner, self.token, Token::mintCall { to, amount: fee }).await?;
        let approve = Token::approveCall { spender: self.agreement, amount: fee };
        self.send(&self.depositor, self.token, approve).await?;
        let freeze =
            Freezer::freezeCall { device: terms.device, name: terms.name.clone(), untilMs: terms.claimUntil };
        self.send(&self.owner, triad_evm::MODEL_REGISTRY, freeze).await?;
        let (device, name) = (DeviceId(terms.device.0), terms.name.clone());
        let conditions = [
            (U256::from(terms.excursionKinds), terms.minScore),
            (U256::from(1u64 << triad_log::VerdictKind::Silent as u8), 0),
        ];
        self.send(&self.depositor, self.agreement, Agreement::openCall { terms }).await?;
        for (kinds, min_score) in conditions {
            let id = self.arm(device, &name, kinds, min_score).await?;
            let attach = Agreement::attachCall { id: U256::ONE, registration: id };
            self.send(&self.depositor, self.agreement, attach).await?;
        }
        self.send(&self.warehouse, self.agreement, Agreement::acceptCall { id: U256::ONE }).await?;
        Ok(())
    }

    async fn arm(&self, device: DeviceId, name: &str, kinds: U256, min_score: u32) -> anyhow::Result<u64> {
        let condition = IAutomations::Condition {
            device: device.0.into(),
            name: name.to_owned(),
            source: 1,
            op: 0,
            threshold: Default::default(),
            kinds,
            minScore: min_score,
        };
        let (to, input) = contracts::automation(condition, self.agreement, FIRING_GAS, 0);
        let receipt = self.rpc.send(&self.depositor, Some(to), input, U256::from(DEPOSIT)).await?;
        let topic = receipt["logs"][0]["topics"][1].as_str().context("no registration")?;
        Ok(u64::from_str_radix(topic.trim_start_matches("0x"), 16)?)
    }

    /// Closes the agreement and pays both sides.
    pub async fn settle(&self) -> anyhow::Result<()> {
        self.send(&self.owner, self.agreement, Agreement::closeCall { id: U256::ONE }).await?;
        for party in [self.depositor.address(), self.warehouse.address()] {
            // Nothing is owed to a side that lost everything.
            if let Err(error) =
                self.send(&self.owner, self.agreement, Agreement::withdrawCall { id: U256::ONE, party }).await
            {
                tracing::debug!(%error, "nothing to withdraw");
            }
        }
        Ok(())
    }

    /// Every penalty charged, in order.
    pub async fn charges(&self) -> anyhow::Result<Vec<Agreement::Charged>> {
        let filter = serde_json::json!([{
            "fromBlock": "0x0", "address": self.agreement, "topics": [Agreement::Charged::SIGNATURE_HASH],
        }]);
        let logs = self.rpc.call("eth_getLogs", filter).await?;
        let mut out = Vec::new();
        for log in logs.as_array().into_iter().flatten() {
            let topics: Vec<alloy_primitives::B256> = serde_json::from_value(log["topics"].clone())?;
            let data: alloy_primitives::Bytes = serde_json::from_value(log["data"].clone())?;
            out.push(Agreement::Charged::decode_raw_log(topics, &data)?);
        }
        Ok(out)
    }
}
