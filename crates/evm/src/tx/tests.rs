use super::*;
use crate::testing::{CHAIN_ID, Wallet};
use alloy_consensus::{TxEip2930, TxLegacy};
use alloy_primitives::{TxKind, U256, hex};

fn firing() -> Firing {
    Firing {
        height: 5,
        ordinal: 1,
        registration: 42,
        gas: 100_000,
        to: Address::repeat_byte(0xaa),
        input: Bytes::from_static(&[1, 2, 3]),
    }
}

#[test]
fn a_firing_has_one_encoding() {
    let raw = firing().encoded_2718();
    // 0x74, then RLP: list of 28 + … bytes; written out by hand from the RLP rules.
    let expected = hex!("74 e0 05 01 2a 830186a0 94aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 83010203");
    assert_eq!(raw, expected);
    assert_eq!(Firing::decode_2718(&raw).unwrap(), firing());
    assert_eq!(firing().hash(), keccak256(expected));
    assert_eq!(TriadTx::decode_2718(&raw).unwrap(), TriadTx::Firing(firing()));
    for cut in 0..raw.len() {
        assert!(Firing::decode_2718(&raw[..cut]).is_err());
    }
    let mut longer = raw;
    longer.push(0);
    assert_eq!(Firing::decode_2718(&longer), Err(TxDecodeError::NotCanonical));
}

#[test]
fn nobody_can_submit_a_firing() {
    assert!(matches!(recover(&firing().encoded_2718()), Err(TxDecodeError::Malformed(_))));
}

#[test]
fn signers_are_recovered_for_every_type() {
    let wallet = Wallet::new(1);
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        gas_price: 10,
        gas_limit: 21_000,
        to: TxKind::Call(Address::ZERO),
        value: U256::from(1),
        ..TxLegacy::default()
    };
    let access_list = TxEip2930 { chain_id: CHAIN_ID, gas_limit: 21_000, ..TxEip2930::default() };
    for tx in [wallet.sign(legacy), wallet.sign(access_list), wallet.call(3, Address::ZERO, 1, vec![])] {
        let raw = tx.encoded_2718();
        let recovered = recover(&raw).unwrap();
        assert_eq!(recovered, tx);
        assert_eq!(recovered.signer(), wallet.address);
        assert_eq!(TriadTx::decode_2718(&raw).unwrap().encoded_2718(), raw);
        assert_eq!(TriadTx::Ethereum(tx).hash(), keccak256(&raw));
        let mut longer = raw.clone();
        longer.push(0);
        assert!(recover(&longer).is_err());
        assert!(recover(&raw[..raw.len() - 1]).is_err());
    }
}

#[test]
fn what_no_block_takes_is_refused_by_name() {
    assert_eq!(recover(&[3, 0xc0]), Err(TxDecodeError::Blob));
    assert_eq!(recover(&vec![2; MAX_TX_BYTES + 1]), Err(TxDecodeError::TooLarge(MAX_TX_BYTES + 1)));
    assert!(matches!(recover(&[]), Err(TxDecodeError::Malformed(_))));
    assert!(matches!(recover(b"not a transaction"), Err(TxDecodeError::Malformed(_))));
}

#[test]
fn a_malleated_signature_is_refused() {
    let wallet = Wallet::new(1);
    let tx = wallet.call(0, Address::ZERO, 1, vec![]);
    let TxEnvelope::Eip1559(signed) = tx.into_inner() else { unreachable!() };
    let (tx, signature, _) = signed.into_parts();
    // (r, n - s, other parity) verifies as well in plain ECDSA; EIP-2 forbids it.
    let order = U256::from_be_bytes(hex!("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"));
    let other = alloy_primitives::Signature::new(signature.r(), order - signature.s(), !signature.v());
    let raw = TxEnvelope::from(alloy_consensus::Signed::new_unhashed(tx, other)).encoded_2718();
    assert_eq!(recover(&raw), Err(TxDecodeError::BadSignature));
}
