//! The votes that the contract `ValidatorSet` takes as evidence are those that consensus signs: its vectors, which another
//! program made, come out of commonware's simplex byte for byte (Ed25519 signatures have no randomness).

#![allow(clippy::unwrap_used)]

use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalize, Notarize, Nullify, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::{Signer as _, ed25519::PrivateKey, sha256};
use commonware_utils::{TryCollect as _, ordered::Set};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn evidence_is_what_consensus_signs() {
    let text = include_str!("../../../contracts/test/vectors/validators.json");
    let vectors: Value = serde_json::from_str(text).unwrap();
    let namespace = [b"triad".as_slice(), &bytes(&vectors["genesisHash"])].concat();
    let mut checked = Vec::new();
    for fault in vectors["faults"].as_array().unwrap() {
        let signer = fault["signer"].as_u64().unwrap();
        let seed = Sha256::digest(format!("triad test validator {signer}"));
        let key = PrivateKey::decode(Copying(seed.as_slice())).unwrap();
        let expected = bytes(&vectors["validators"][signer as usize]["consensusKey"]);
        assert_eq!(key.public_key().encode().to_vec(), expected);
        let set: Set<_> = [key.public_key()].into_iter().try_collect().unwrap();
        let scheme = Scheme::signer(&namespace, set, key).unwrap();
        let round = Round::new(Epoch::new(number(&fault["epoch"])), View::new(number(&fault["view"])));
        for vote in fault["votes"].as_array().unwrap() {
            let digest: [u8; 32] = bytes(&vote["digest"]).try_into().unwrap();
            let parent = View::new(number(&vote["parentView"]));
            let proposal = Proposal::new(round, parent, sha256::Digest(digest));
            let name = vote["name"].as_str().unwrap();
            let attestation = match name {
                "notarize" => Notarize::sign(&scheme, proposal).unwrap().attestation,
                "finalize" => Finalize::sign(&scheme, proposal).unwrap().attestation,
                "nullify" => Nullify::sign::<sha256::Digest>(&scheme, round).unwrap().attestation,
                other => panic!("{other} is no vote"),
            };
            let signature = attestation.signature.get().unwrap().encode().to_vec();
            assert_eq!(hex::encode(signature), hex::encode(bytes(&vote["signature"])), "{vote}");
            checked.push(name);
        }
    }
    checked.sort_unstable();
    checked.dedup();
    assert_eq!(checked, ["finalize", "notarize", "nullify"]);
}
