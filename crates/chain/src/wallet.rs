//! An Ethereum account that signs: for the commands that pay, and for tests.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};

/// A secp256k1 secret key. Its `Debug` shows the address only.
#[derive(Clone)]
pub struct Wallet {
    secret: SecretKey,
    address: Address,
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a transaction does and may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxRequest {
    /// `None` to create a contract.
    pub to: Option<Address>,
    pub value: U256,
    pub input: Bytes,
    pub nonce: u64,
    pub gas_limit: u64,
    pub max_fee_per_gas: u128,
}

impl Wallet {
    /// `None` for zero and for numbers not below the curve's order.
    pub fn from_secret(secret: &[u8; 32]) -> Option<Wallet> {
        let secret = SecretKey::from_byte_array(*secret).ok()?;
        let public = PublicKey::from_secret_key(SECP256K1, &secret).serialize_uncompressed();
        let address = Address::from_slice(&keccak256(&public[1..])[12..]);
        Some(Wallet { secret, address })
    }

    pub fn address(&self) -> Address {
        self.address
    }

    pub fn secret(&self) -> [u8; 32] {
        self.secret.secret_bytes()
    }

    /// Signs a 32-byte hash.
    pub fn sign_hash(&self, hash: &B256) -> Signature {
        let signed = SECP256K1.sign_ecdsa_recoverable(Message::from_digest(hash.0), &self.secret);
        let (recovery, bytes) = signed.serialize_compact();
        Signature::from_bytes_and_parity(&bytes, i32::from(recovery) == 1)
    }

    /// An EIP-1559 transaction without a tip, signed and encoded for `eth_sendRawTransaction`.
    pub fn transaction(&self, chain_id: u64, request: TxRequest) -> Vec<u8> {
        let tx = TxEip1559 {
            chain_id,
            nonce: request.nonce,
            gas_limit: request.gas_limit,
            max_fee_per_gas: request.max_fee_per_gas,
            max_priority_fee_per_gas: 0,
            to: request.to.map_or(TxKind::Create, TxKind::Call),
            value: request.value,
            access_list: Default::default(),
            input: request.input,
        };
        let signature = self.sign_hash(&tx.signature_hash());
        alloy_consensus::TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
    }
}
