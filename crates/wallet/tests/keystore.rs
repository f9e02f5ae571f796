//! Keystores and phrases against what others published.

use std::os::unix::fs::PermissionsExt as _;

use triad_chain::Wallet;
use triad_wallet::{Cost, Directory, DirectoryError, Keystore, KeystoreError, phrase};

/// The test vectors of the Web3 Secret Storage Definition: password `testpassword`.
const PBKDF2: &str = r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
    "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46", "kdf": "pbkdf2",
    "kdfparams": {"c": 262144, "dklen": 32, "prf": "hmac-sha256",
        "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"},
    "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"},
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;
const SCRYPT: &str = r#"{"crypto": {"cipher": "aes-128-ctr", "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
    "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c", "kdf": "scrypt",
    "kdfparams": {"dklen": 32, "n": 262144, "r": 1, "p": 8,
        "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"},
    "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"},
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}"#;
const SECRET: &str = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d";

fn secret(wallet: &Wallet) -> String {
    hex::encode(wallet.secret())
}

#[test]
fn the_published_vectors_are_read() {
    for file in [PBKDF2, SCRYPT] {
        let keystore = Keystore::parse(file).unwrap();
        assert_eq!(secret(&keystore.decrypt("testpassword").unwrap()), SECRET);
        assert!(matches!(keystore.decrypt("testpasswort"), Err(KeystoreError::Password)));
        let old = file.replace("\"crypto\"", "\"Crypto\"");
        assert_eq!(secret(&Keystore::parse(&old).unwrap().decrypt("testpassword").unwrap()), SECRET);
    }
}

#[test]
fn what_is_encrypted_is_decrypted_and_no_change_of_it_is() {
    let wallet = Wallet::from_secret(&[9; 32]).unwrap();
    for password in ["", "correct horse", "pässwörd ☃"] {
        let keystore = Keystore::encrypt(&wallet, password, Cost::LIGHT);
        let text = keystore.to_json();
        assert!(!text.contains(&secret(&wallet)));
        assert_eq!(secret(&Keystore::parse(&text).unwrap().decrypt(password).unwrap()), secret(&wallet));
        assert!(matches!(keystore.decrypt("another"), Err(KeystoreError::Password)));
    }
    // Every hexadecimal digit, one bit of each.
    let text = Keystore::encrypt(&wallet, "x", Cost::LIGHT).to_json();
    let mut refused = 0;
    for part in ["\"ciphertext\":\"", "\"mac\":\"", "\"salt\":\"", "\"iv\":\"", "\"address\":\""] {
        let begin = text.find(part).unwrap() + part.len();
        let end = begin + text[begin..].find('"').unwrap();
        for index in begin..end {
            let mut changed = text.clone().into_bytes();
            let digit = (changed[index] as char).to_digit(16).unwrap() ^ 1;
            changed[index] = char::from_digit(digit, 16).unwrap() as u8;
            let changed = String::from_utf8(changed).unwrap();
            Keystore::parse(&changed).unwrap().decrypt("x").expect_err(part);
            refused += 1;
        }
    }
    assert_eq!(refused, 64 + 64 + 64 + 32 + 40);
}

#[test]
fn files_made_to_harm_are_refused_before_the_work() {
    let excessive = [
        SCRYPT.replace("\"n\": 262144", "\"n\": 1073741824"),
        SCRYPT.replace("\"p\": 8", "\"p\": 4294967295"),
        SCRYPT.replace("\"r\": 1", "\"r\": 4294967295"),
        SCRYPT.replace("\"n\": 262144", "\"n\": 9223372036854775808"),
        PBKDF2.replace("\"c\": 262144", "\"c\": 4294967295"),
        PBKDF2.replace("\"c\": 262144", "\"c\": 0"),
    ];
    for file in excessive {
        let refusal = Keystore::parse(&file).unwrap().decrypt("testpassword").unwrap_err();
        assert!(matches!(refusal, KeystoreError::Excessive(_)), "{refusal}");
    }
    let n = SCRYPT.replace("\"n\": 262144", "\"n\": 262143");
    assert!(matches!(Keystore::parse(&n).unwrap().decrypt("x"), Err(KeystoreError::Malformed(_))));
    for (from, to) in [
        ("aes-128-ctr", "aes-128-cbc"),
        ("\"kdf\": \"scrypt\"", "\"kdf\": \"argon2id\""),
        ("\"dklen\": 32", "\"dklen\": 16"),
    ] {
        let refusal = Keystore::parse(&SCRYPT.replace(from, to)).unwrap().decrypt("x").unwrap_err();
        assert!(matches!(refusal, KeystoreError::Unknown { .. }), "{refusal}");
    }
    assert!(matches!(
        Keystore::parse(&SCRYPT.replace("\"version\": 3", "\"version\": 1")),
        Err(KeystoreError::Version(1))
    ));
    for text in ["", "{}", "[]", "null", "{\"version\": 3}", "{\"version\": \"3\"}"] {
        assert!(matches!(Keystore::parse(text), Err(KeystoreError::Malformed(_))), "{text}");
    }
}

#[test]
fn a_file_that_lies_about_its_address_is_refused() {
    let lying = SCRYPT.replacen('{', r#"{"address": "00000000000000000000000000000000000000aa","#, 1);
    let refusal = Keystore::parse(&lying).unwrap().decrypt("testpassword").unwrap_err();
    assert!(matches!(refusal, KeystoreError::OtherAddress { .. }), "{refusal}");
}

#[test]
fn a_directory_keeps_accounts_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let keystore = Directory::new(dir.path().join("deep/keystore"));
    assert_eq!(keystore.list().unwrap(), []);
    assert!(matches!(keystore.only(), Err(DirectoryError::Empty { .. })));
    let wallets: Vec<_> = (1..=3).map(|n| Wallet::from_secret(&[n; 32]).unwrap()).collect();
    let first = keystore.add(&wallets[0], "one", Cost::LIGHT).unwrap();
    assert_eq!(keystore.only().unwrap(), first);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&first.path), mode(keystore.path())), (0o600, 0o700));
    for wallet in &wallets[1..] {
        keystore.add(wallet, "two", Cost::LIGHT).unwrap();
    }
    assert!(matches!(keystore.only(), Err(DirectoryError::Several { count: 3, .. })));
    assert!(matches!(keystore.add(&wallets[0], "x", Cost::LIGHT), Err(DirectoryError::Exists { .. })));
    std::fs::write(keystore.path().join("notes.txt"), "not a keystore").unwrap();
    std::fs::create_dir(keystore.path().join("folder")).unwrap();
    assert_eq!(keystore.list().unwrap().len(), 3, "nothing else is taken for an account");
    let found = keystore.find(wallets[2].address()).unwrap();
    assert_eq!(found.open("two").unwrap().secret(), wallets[2].secret());
    assert!(matches!(
        found.open("one"),
        Err(DirectoryError::Keystore { error: KeystoreError::Password, .. })
    ));
    let absent = Wallet::from_secret(&[7; 32]).unwrap().address();
    assert!(matches!(keystore.find(absent), Err(DirectoryError::Absent { .. })));
}

/// The mnemonic that development nodes share, with the keys they print; BIP-32's own vectors are private keys of other
/// paths (test vector 1, whose seed belongs to no phrase, is checked through vector chains of BIP-39 instead).
#[test]
fn phrases_lead_to_the_keys_that_others_derive() {
    let words = "test test test test test test test test test test test junk";
    for (index, expected) in [
        (0, "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"),
        (1, "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"),
        (9, "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6"),
    ] {
        assert_eq!(secret(&phrase::account(words, "", index).unwrap()), expected);
        let spaced = words.replace(' ', "  \n").to_string();
        assert_eq!(secret(&phrase::account(&spaced, "", index).unwrap()), expected);
    }
    // The phrase of all zero entropy: its first Ethereum account is known from many wallets.
    let zero =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let wallet = phrase::account(zero, "", 0).unwrap();
    assert_eq!(wallet.address().to_string(), "0x9858EfFD232B4033E47d90003D41EC34EcaEda94");
    assert_ne!(phrase::account(zero, "TREZOR", 0).unwrap().secret(), wallet.secret());
    assert_eq!(phrase::at_path(zero, "", "m/44h/60h/0h/0/0").unwrap().secret(), wallet.secret());
}

#[test]
fn words_that_are_no_phrase_are_refused() {
    for words in [
        "",
        "test",
        "test test test test test test test test test test test test",
        "test test test test test test test test test test test junkk",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon",
    ] {
        assert!(matches!(phrase::account(words, "", 0), Err(phrase::PhraseError::Words(_))), "{words}");
    }
    let good = phrase::generate();
    assert_eq!(good.split(' ').count(), 12);
    for path in ["", "44'/60'", "m/", "m/x", "m/-1", "m/+1", "m/2147483648", "m/0''", "m//0"] {
        assert!(matches!(phrase::at_path(&good, "", path), Err(phrase::PhraseError::Path(_))), "{path}");
    }
    assert_ne!(good, phrase::generate());
}
