//! What is signed, against the examples in the EIPs and what other programs print.

use alloy_primitives::{Address, B256, U256, address, b256, hex, keccak256};
use alloy_sol_types::{SolStruct, SolValue};
use triad_chain::Wallet;
use triad_wallet::sign::{self, Permit, ReceiveWithAuthorization, TransferWithAuthorization};

/// The example of EIP-712.
const MAIL: &str = r#"{
  "types": {
    "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"},
      {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"}],
    "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
    "Mail": [{"name": "from", "type": "Person"}, {"name": "to", "type": "Person"}, {"name": "contents", "type": "string"}]
  },
  "primaryType": "Mail",
  "domain": {"name": "Ether Mail", "version": "1", "chainId": 1, "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"},
  "message": {
    "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
    "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
    "contents": "Hello, Bob!"
  }
}"#;

fn wallet(secret: B256) -> Wallet {
    Wallet::from_secret(&secret.0).expect("a secret")
}

#[test]
fn typed_data_is_signed_as_in_the_example_of_eip_712() {
    let cow = wallet(keccak256("cow"));
    assert_eq!(cow.address(), address!("0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"));
    let digest = sign::typed_data_hash(MAIL).unwrap();
    assert_eq!(digest, b256!("0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"));
    assert_eq!(
        hex::encode(cow.sign_hash(&digest).as_bytes()),
        "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d\
         07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
    );
    assert_eq!(sign::typed_data_chain(MAIL), Some(U256::from(1)));
}

#[test]
fn what_is_no_typed_data_is_refused() {
    for text in ["", "{}", "[1]", "\"text\"", &MAIL.replace("\"Mail\",", "\"Letter\","), &MAIL[..200]] {
        assert!(sign::typed_data_hash(text).is_err(), "{text}");
    }
    let missing = MAIL
        .replace(r#","contents": "Hello, Bob!""#, "")
        .replace("\"contents\": \"Hello, Bob!\"", "\"x\": 1");
    assert!(sign::typed_data_hash(&missing).is_err());
}

/// The example of web3.js' documentation for `personal_sign`.
#[test]
fn personal_messages_are_signed_as_others_sign_them() {
    let wallet = wallet(b256!("0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"));
    let digest = sign::message_hash(b"Some data");
    assert_eq!(digest, b256!("0x1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"));
    assert_eq!(
        hex::encode(wallet.sign_hash(&digest).as_bytes()),
        "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd\
         6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a0291c"
    );
}

const TOKEN: Address = address!("0x5FbDB2315678afecb367f032d93F642f64180aa3");
const PAYEE: Address = address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8");

/// keccak256(1901 ‖ domain ‖ content), by hand.
fn digest(version: &str, content: B256) -> B256 {
    let domain_type =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    let domain =
        (domain_type, keccak256("Voucher"), keccak256(version), U256::from(7423), TOKEN).abi_encode();
    keccak256([&[0x19, 0x01], keccak256(domain).as_slice(), content.as_slice()].concat())
}

#[test]
fn permits_have_the_type_and_digest_of_eip_2612() {
    let owner = wallet(B256::repeat_byte(5));
    let permit = Permit {
        owner: owner.address(),
        spender: PAYEE,
        value: U256::from(1_500_000),
        nonce: U256::from(3),
        deadline: U256::from(1_900_000_000u64),
    };
    let type_hash = b256!("0x6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9");
    assert_eq!(permit.eip712_type_hash(), type_hash);
    let fields = (type_hash, permit.owner, permit.spender, permit.value, permit.nonce, permit.deadline);
    let expected = digest("1", keccak256(fields.abi_encode()));
    let signed = sign::permit(&owner, &sign::token_domain("Voucher", "1", 7423, TOKEN), &permit);
    assert_eq!(signed.digest, expected);
    assert_eq!(signed.signature.recover_address_from_prehash(&expected).unwrap(), owner.address());
    assert_eq!(
        signed.call[..4],
        keccak256("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)")[..4]
    );
    let elsewhere = sign::permit(&owner, &sign::token_domain("Voucher", "2", 7423, TOKEN), &permit);
    assert_eq!(elsewhere.digest, digest("2", keccak256(fields.abi_encode())));
}

#[test]
fn authorisations_have_the_types_and_digests_of_erc_3009() {
    let payer = wallet(B256::repeat_byte(6));
    let (value, after, before) = (U256::from(42), U256::from(1), U256::from(1_900_000_000u64));
    let nonce = B256::repeat_byte(7);
    let transfer = TransferWithAuthorization {
        from: payer.address(),
        to: PAYEE,
        value,
        validAfter: after,
        validBefore: before,
        nonce,
    };
    let receive = ReceiveWithAuthorization {
        from: payer.address(),
        to: PAYEE,
        value,
        validAfter: after,
        validBefore: before,
        nonce,
    };
    let types = [
        b256!("0x7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267"),
        b256!("0xd099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8"),
    ];
    assert_eq!([transfer.eip712_type_hash(), receive.eip712_type_hash()], types);
    let domain = sign::token_domain("Voucher", "1", 7423, TOKEN);
    let signed =
        [sign::transfer(&payer, &domain, &transfer), sign::transfer_to_payee(&payer, &domain, &receive)];
    for (type_hash, signed) in types.into_iter().zip(&signed) {
        let fields = (type_hash, payer.address(), PAYEE, value, after, before, nonce);
        assert_eq!(signed.digest, digest("1", keccak256(fields.abi_encode())));
        let signer = signed.signature.recover_address_from_prehash(&signed.digest).unwrap();
        assert_eq!(signer, payer.address());
    }
    assert_ne!(signed[0].call[..4], signed[1].call[..4]);
}
