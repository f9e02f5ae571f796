use super::*;
use rand::{SeedableRng, rngs::StdRng};

#[test]
fn secret_text_survives() {
    let mut rng = StdRng::seed_from_u64(1);
    for algorithm in Algorithm::ALL {
        for _ in 0..20 {
            let key = SigningKey::generate(algorithm, &mut rng);
            let text = key.to_secret_text();
            let again = SigningKey::from_secret_text(&text).unwrap();
            assert_eq!((again.public(), again.to_secret_text()), (key.public(), text));
        }
    }
}

#[test]
fn keys_that_openssl_made() {
    // openssl genpkey -algorithm ed25519; openssl ecparam -genkey -name prime256v1|secp256k1 (SEC 1 form).
    let ed25519 = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let key = SigningKey::from_secret_text(ed25519).unwrap();
    // RFC 8410, section 10.1: the public key of this example.
    assert_eq!(
        hex::encode(key.public().raw_xy()),
        "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1"
    );
}

#[test]
fn other_texts_are_refused() {
    let key = SigningKey::generate(Algorithm::EdDsa, &mut StdRng::seed_from_u64(2)).to_secret_text();
    for text in
        ["", "-----BEGIN PRIVATE KEY-----", &key.replace("PRIVATE", "PUBLIC"), &key[..80], &"x".repeat(9000)]
    {
        assert_eq!(SigningKey::from_secret_text(text).err(), Some(KeyError::BadSecret));
    }
    for algorithm in [Algorithm::Es256, Algorithm::Es256k] {
        for scalar in [[0; 32], [0xff; 32]] {
            assert_eq!(SigningKey::from_secret_bytes(algorithm, &scalar).err(), Some(KeyError::BadSecret));
        }
    }
}

#[test]
fn debug_keeps_the_secret() {
    let key = SigningKey::from_secret_bytes(Algorithm::EdDsa, &[0x41; 32]).unwrap();
    let text = format!("{key:?}");
    assert!(!text.contains("4141") && !text.contains("65, 65") && text.contains("did:key"));
}
