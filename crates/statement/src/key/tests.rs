use super::*;
use crate::SigningKey;
use rand::{SeedableRng, rngs::StdRng};

fn keys() -> Vec<DeviceKey> {
    let mut rng = StdRng::seed_from_u64(7);
    Algorithm::ALL.into_iter().map(|algorithm| SigningKey::generate(algorithm, &mut rng).public()).collect()
}

#[test]
fn a_cose_key_survives_its_encoding_and_has_no_second_one() {
    for key in keys() {
        let bytes = key.cose_key();
        assert_eq!(bytes.len(), if key.algorithm() == Algorithm::EdDsa { 40 } else { 75 });
        assert_eq!(DeviceKey::from_cose_key(&bytes), Ok(key));
        assert_eq!(DeviceKey::from_raw(key.algorithm(), key.raw_xy()), Ok(key));
        for cut in 0..bytes.len() {
            assert_eq!(DeviceKey::from_cose_key(&bytes[..cut]), Err(KeyError::NotCanonical));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(DeviceKey::from_cose_key(&longer), Err(KeyError::NotCanonical));
        for at in 0..8 {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                // No flip in the map's head is the same key; a flipped curve has a point that is not on it.
                assert_ne!(DeviceKey::from_cose_key(&other).ok(), Some(key));
            }
        }
    }
}

#[test]
fn every_sec1_form_gives_the_same_key() {
    for key in keys().into_iter().filter(|key| key.algorithm() != Algorithm::EdDsa) {
        let xy: [u8; 64] = key.raw_xy().try_into().unwrap();
        let uncompressed = [&[4][..], &xy].concat();
        assert_eq!(DeviceKey::from_raw(key.algorithm(), &uncompressed), Ok(key));
        assert_eq!(DeviceKey::from_raw(key.algorithm(), &compressed(&xy)), Ok(key));
        let mut off_curve = xy;
        off_curve[63] ^= 1;
        assert!(matches!(DeviceKey::from_raw(key.algorithm(), &off_curve), Err(KeyError::BadPoint(_))));
        let mut hybrid = uncompressed;
        hybrid[0] = 6 + (xy[63] & 1);
        assert!(matches!(DeviceKey::from_raw(key.algorithm(), &hybrid), Err(KeyError::BadPoint(_))));
        assert!(matches!(
            DeviceKey::from_raw(key.algorithm(), &xy[1..]),
            Err(KeyError::BadLength { found: 63, .. })
        ));
        assert!(matches!(DeviceKey::from_raw(key.algorithm(), &[0; 64]), Err(KeyError::BadPoint(_))));
    }
    assert!(matches!(
        DeviceKey::from_raw(Algorithm::EdDsa, &[4; 33]),
        Err(KeyError::BadLength { found: 33, .. })
    ));
}

#[test]
fn ed25519_keys_under_which_anybody_can_sign_are_refused() {
    for y in SMALL_ORDER {
        for sign in [0, 0x80] {
            let mut bytes = y;
            bytes[31] |= sign;
            assert!(DeviceKey::from_raw(Algorithm::EdDsa, &bytes).is_err(), "{}", hex::encode(bytes));
        }
    }
    // 2^255 − 19 + k are second spellings of k.
    for k in 0..19u8 {
        let mut bytes = [0xff; 32];
        bytes[0] = 0xed + k;
        for top in [0x7f, 0xff] {
            bytes[31] = top;
            assert!(DeviceKey::from_raw(Algorithm::EdDsa, &bytes).is_err());
        }
    }
}

#[test]
fn known_identities() {
    // The key of the first account of every Ethereum test chain ("test test … junk").
    let secret = hex::decode("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap();
    let key = SigningKey::from_secret_bytes(Algorithm::Es256k, &secret).unwrap().public();
    assert_eq!(key.id().to_string(), "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266");

    // RFC 8032, section 7.1, test 1, and its did:key form.
    let x = hex::decode("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").unwrap();
    let key = DeviceKey::from_raw(Algorithm::EdDsa, &x).unwrap();
    assert_eq!(
        hex::encode(key.cose_key()),
        "a301012006215820d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    assert!(key.did_key().starts_with("did:key:z6Mk"));
}

#[test]
fn did_keys_have_the_prefix_of_their_kind() {
    // did:key (W3C CCG): z6Mk Ed25519, zDn P-256, zQ3s secp256k1.
    let prefixes: Vec<String> = keys().iter().map(|key| key.multibase()).collect();
    assert!(prefixes[0].starts_with("z6Mk"));
    assert!(prefixes[1].starts_with("zDn"));
    assert!(prefixes[2].starts_with("zQ3s"));
}
