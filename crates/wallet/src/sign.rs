//! What a wallet signs besides transactions. Nothing here needs a node.
//!
//! Personal messages are EIP-191's version 0x45; typed data is EIP-712; a permit (EIP-2612) and a transfer authorisation
//! (ERC-3009) are typed data of a token's own domain, which whoever holds them submits and pays for.

use alloy_dyn_abi::TypedData;
use alloy_primitives::{Address, B256, Bytes, Signature, U256, eip191_hash_message};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct, sol};
use triad_chain::Wallet;

sol! {
    /// EIP-2612.
    #[derive(Debug, PartialEq, Eq)]
    struct Permit {
        address owner;
        address spender;
        uint256 value;
        uint256 nonce;
        uint256 deadline;
    }

    /// ERC-3009.
    #[derive(Debug, PartialEq, Eq)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// ERC-3009: as the former, but only the payee may submit it.
    #[derive(Debug, PartialEq, Eq)]
    struct ReceiveWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    interface Token {
        function permit(address owner, address spender, uint256 value, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
        function receiveWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external;
    }
}

/// Typed data that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum TypedDataError {
    #[error(
        "not typed data (an object with `types`, `primaryType`, `domain` and `message`, as eth_signTypedData_v4 takes it): {0}"
    )]
    Malformed(String),
}

/// What `personal_sign` signs.
pub fn message_hash(message: &[u8]) -> B256 {
    eip191_hash_message(message)
}

/// What `eth_signTypedData_v4` signs.
pub fn typed_data_hash(json: &str) -> Result<B256, TypedDataError> {
    let malformed = |error: String| TypedDataError::Malformed(error);
    let data: TypedData = serde_json::from_str(json).map_err(|e| malformed(e.to_string()))?;
    data.eip712_signing_hash().map_err(|e| malformed(e.to_string()))
}

/// The chain id in the domain of typed data, if it names one.
pub fn typed_data_chain(json: &str) -> Option<U256> {
    serde_json::from_str::<TypedData>(json).ok()?.domain.chain_id
}

/// The domain of a token that signs by EIP-712: its own words for name and version, chain, and address.
pub fn token_domain(name: &str, version: &str, chain_id: u64, token: Address) -> Eip712Domain {
    Eip712Domain {
        name: Some(name.to_owned().into()),
        version: Some(version.to_owned().into()),
        chain_id: Some(U256::from(chain_id)),
        verifying_contract: Some(token),
        salt: None,
    }
}

/// Signed, and the call that whoever submits it sends to the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What was signed.
    pub digest: B256,
    pub signature: Signature,
    pub call: Bytes,
}

fn signed(wallet: &Wallet, digest: B256, call: impl FnOnce(u8, B256, B256) -> Vec<u8>) -> Signed {
    let signature = wallet.sign_hash(&digest);
    let v = 27 + u8::from(signature.v());
    Signed { digest, signature, call: call(v, signature.r().into(), signature.s().into()).into() }
}

/// Lets `permit.spender` take `permit.value` from the wallet, which must be `permit.owner`.
pub fn permit(wallet: &Wallet, domain: &Eip712Domain, permit: &Permit) -> Signed {
    assert_eq!(permit.owner, wallet.address(), "a permit is signed by its owner");
    let Permit { owner, spender, value, deadline, .. } = *permit;
    signed(wallet, permit.eip712_signing_hash(domain), |v, r, s| {
        Token::permitCall { owner, spender, value, deadline, v, r, s }.abi_encode()
    })
}

/// Lets anybody submit the transfer; the wallet must be `transfer.from`.
pub fn transfer(wallet: &Wallet, domain: &Eip712Domain, transfer: &TransferWithAuthorization) -> Signed {
    assert_eq!(transfer.from, wallet.address(), "a transfer is signed by whoever pays");
    let TransferWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *transfer;
    signed(wallet, transfer.eip712_signing_hash(domain), |v, r, s| {
        Token::transferWithAuthorizationCall { from, to, value, validAfter, validBefore, nonce, v, r, s }
            .abi_encode()
    })
}

/// Lets the payee submit the transfer; the wallet must be `transfer.from`.
pub fn transfer_to_payee(
    wallet: &Wallet,
    domain: &Eip712Domain,
    transfer: &ReceiveWithAuthorization,
) -> Signed {
    assert_eq!(transfer.from, wallet.address(), "a transfer is signed by whoever pays");
    let ReceiveWithAuthorization { from, to, value, validAfter, validBefore, nonce } = *transfer;
    signed(wallet, transfer.eip712_signing_hash(domain), |v, r, s| {
        Token::receiveWithAuthorizationCall { from, to, value, validAfter, validBefore, nonce, v, r, s }
            .abi_encode()
    })
}
