//! What a validator's second key signs: a final checkpoint, for contracts on other chains to believe.
//!
//! The signature is over an EIP-712 message, so that any Ethereum library can make and check one:
//!
//! ```text
//! signed    = keccak256(19 01 ‖ domain ‖ keccak256(TYPE ‖ digest))
//! domain    = keccak256(DOMAIN ‖ keccak256("Triad") ‖ keccak256("1") ‖ chain id (uint256) ‖ genesis hash)
//! DOMAIN    = keccak256("EIP712Domain(string name,string version,uint256 chainId,bytes32 salt)")
//! TYPE      = keccak256("Checkpoint(bytes32 digest)")
//! digest    = SHA-256(checkpoint)
//! signature = r ‖ s ‖ v, 65 bytes; s at most half the curve's order, v 27 or 28, the nonce as in RFC 6979
//! ```
//!
//! The key is an Ethereum key and may own an account, so what it signs must not be anything else as well. `19 01` begins
//! no transaction (a legacy one begins with c0 or above, and 19 is not given to a typed one) and no personal message
//! (`19 45`); the domain keeps it apart from other typed data, other Triad chains (genesis hash, chain id) and later
//! versions. The proof of possession in genesis begins with the letter `t`. The contract that verifies is *not* in the
//! domain: one signature serves every verifier on every chain.
//!
//! Signing is outside consensus: a signature is made when somebody asks for it, of a checkpoint that the store holds as
//! final, and says nothing that finality did not say.

use alloy_primitives::{Address, B256, Signature};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use quick_cache::sync::Cache;

use crate::genesis::ChainSpec;
use crate::state::records::Reign;
use crate::wallet::Wallet;

/// Signatures kept, since one checkpoint is asked for many times.
const KEPT: usize = 256;

mod message {
    use super::sol;
    sol! {
        struct Checkpoint {
            bytes32 digest;
        }
    }
}

/// What is signed for a checkpoint's digest, see the module.
pub fn checkpoint_message(genesis_hash: &[u8; 32], chain_id: u64, digest: &[u8; 32]) -> B256 {
    let domain = Eip712Domain {
        name: Some("Triad".into()),
        version: Some("1".into()),
        chain_id: Some(alloy_primitives::U256::from(chain_id)),
        verifying_contract: None,
        salt: Some(B256::from(*genesis_hash)),
    };
    message::Checkpoint { digest: B256::from(*digest) }.eip712_signing_hash(&domain)
}

/// One validator's signature of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointSignature {
    /// Index in the set of the checkpoint's epoch.
    pub validator: u32,
    /// Its checkpoint address in that set.
    pub address: Address,
    pub signature: Signature,
}

/// Signs with this node's validator's second key.
#[derive(Debug)]
pub struct CheckpointSigner {
    wallet: Wallet,
    genesis_hash: [u8; 32],
    chain_id: u64,
    made: Cache<[u8; 32], Signature>,
}

impl CheckpointSigner {
    pub fn new(spec: &ChainSpec, wallet: Wallet) -> CheckpointSigner {
        CheckpointSigner {
            wallet,
            genesis_hash: spec.hash,
            chain_id: spec.genesis.chain_id,
            made: Cache::new(KEPT),
        }
    }

    /// The digest must be of a final checkpoint, `reign` its epoch. None where the key is no validator's in that.
    pub(crate) fn sign(&self, digest: &[u8; 32], reign: &Reign) -> Option<CheckpointSignature> {
        let address = self.wallet.address();
        let index = reign.validators.iter().position(|m| m.checkpoint_address == address)?;
        let validator = u32::try_from(index).ok()?;
        let signature = self.made.get(digest).unwrap_or_else(|| {
            let message = checkpoint_message(&self.genesis_hash, self.chain_id, digest);
            let signature = self.wallet.sign_hash(&message);
            self.made.insert(*digest, signature);
            signature
        });
        Some(CheckpointSignature { validator, address, signature })
    }
}
