//! Evidence of double votes: its bytes, and what proves nothing.
//!
//! `TRIAD_WRITE_FIXTURES=1` writes the files anew.

mod common;

use common::*;
use triad_log::{
    BlockVote, Conflict, Evidence, EvidenceError, EvidenceId, EvidenceKind, FormatError, Seen, namespace,
    sha256,
};

fn key() -> ValidatorKey {
    validator_keys(0, 4).remove(2)
}

/// Evidence whose votes carry no signatures yet.
fn unsigned(conflict: Conflict) -> Evidence {
    Evidence {
        namespace: namespace(&[7; 32]),
        validator: public(&key()),
        epoch: 3,
        view: 300,
        conflict,
        seen: Seen { height: 41, time_ms: START_MS, led: true },
    }
}

fn signed(conflict: Conflict) -> Evidence {
    let mut evidence = unsigned(conflict);
    let [first, second] = evidence.votes().map(|vote| <[u8; 64]>::from(key().sign(&vote.message)));
    match &mut evidence.conflict {
        Conflict::Notarizes(votes) | Conflict::Finalizes(votes) => {
            votes[0].signature = first;
            votes[1].signature = second;
        }
        Conflict::NullifyFinalize { nullify, finalize } => {
            *nullify = first;
            finalize.signature = second;
        }
    }
    evidence
}

fn vote(parent_view: u64, block: u8) -> BlockVote {
    BlockVote { parent_view, digest: sha256(&[block]), signature: [0; 64] }
}

fn all() -> [(&'static str, Evidence); 3] {
    let pair = [vote(299, 1), vote(298, 2)];
    [
        ("evidence-notarizes.hex", signed(Conflict::notarizes(pair))),
        ("evidence-finalizes.hex", signed(Conflict::finalizes(pair))),
        (
            "evidence-nullify-finalize.hex",
            signed(Conflict::NullifyFinalize { nullify: [0; 64], finalize: vote(299, 1) }),
        ),
    ]
}

#[test]
fn the_bytes_are_those_of_the_fixtures_and_hold() {
    let (chain, validator) = (namespace(&[7; 32]), public(&key()));
    for ((name, evidence), kind) in all().into_iter().zip(1u8..) {
        assert_fixture(name, &evidence.encode());
        let read = Evidence::decode(&fixture(name)).expect("evidence");
        assert_eq!(read, evidence);
        assert_eq!(read.conflict.kind() as u8, kind);
        assert_eq!(read.verify(&chain, &validator), Ok(()), "{name}");
        let id = read.id();
        assert_eq!(id.to_string(), format!("{}-3-300-{kind}", hex::encode(validator)));
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

#[test]
fn both_votes_in_any_order_are_the_same_evidence() {
    let (a, b) = (vote(299, 1), vote(298, 2));
    assert_eq!(Conflict::notarizes([a, b]), Conflict::notarizes([b, a]));
    assert_eq!(Conflict::finalizes([a, b]), Conflict::finalizes([b, a]));
    // Out of order they are not read.
    let Conflict::Notarizes([first, second]) = Conflict::notarizes([a, b]) else { unreachable!() };
    let turned = unsigned(Conflict::Notarizes([second, first])).encode();
    assert!(matches!(Evidence::decode(&turned), Err(FormatError::Malformed { .. })));
}

#[test]
fn what_proves_nothing_is_refused_with_the_reason() {
    let (chain, validator) = (namespace(&[7; 32]), public(&key()));
    let other_chain = namespace(&[8; 32]);
    let honest = public(&validator_keys(0, 4)[0]);
    for (name, evidence) in all() {
        let refused = evidence.verify(&other_chain, &validator);
        assert!(matches!(refused, Err(EvidenceError::WrongChain { .. })), "{name}: {refused:?}");
        let refused = evidence.verify(&chain, &honest);
        assert!(matches!(refused, Err(EvidenceError::WrongValidator { .. })), "{name}: {refused:?}");
        // Its signatures moved to another chain, or blamed on another.
        let moved = Evidence { namespace: other_chain.clone(), ..evidence.clone() };
        let refused = moved.verify(&other_chain, &validator);
        assert!(matches!(refused, Err(EvidenceError::Signature { place: "first", .. })), "{refused:?}");
        let blamed = Evidence { validator: honest, ..evidence.clone() };
        assert!(matches!(blamed.verify(&chain, &honest), Err(EvidenceError::Signature { .. })));
        // Another view: the very same signatures do not hold there.
        let elsewhere = Evidence { view: 301, ..evidence };
        assert!(matches!(elsewhere.verify(&chain, &validator), Err(EvidenceError::Signature { .. })));
    }
    // A vote and the same vote: no contradiction, however it is signed.
    for same in [Conflict::notarizes([vote(299, 1); 2]), Conflict::finalizes([vote(299, 1); 2])] {
        let same = signed(same);
        assert_eq!(Evidence::decode(&same.encode()).as_ref(), Ok(&same));
        assert_eq!(same.verify(&chain, &validator), Err(EvidenceError::NoConflict));
    }
    // A vote to notarise passed off as one to finalise.
    let Conflict::Notarizes(votes) = all()[0].1.conflict else { unreachable!() };
    let passed_off = unsigned(Conflict::Finalizes(votes));
    let refused = passed_off.verify(&chain, &validator);
    assert_eq!(refused, Err(EvidenceError::Signature { place: "first", vote: "finalize" }));
}

/// Every single bit counts, but for the keeper's notes at the end, which nothing proves.
#[test]
fn evidence_with_any_bit_flipped_is_refused() {
    let (chain, validator) = (namespace(&[7; 32]), public(&key()));
    for (name, evidence) in all() {
        let bytes = evidence.encode();
        let (mut refused, mut notes) = (0, 0);
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            match Evidence::decode(&damaged) {
                Ok(read) if read.verify(&chain, &validator).is_ok() => {
                    assert_eq!(Evidence { seen: evidence.seen, ..read }, evidence, "{name}: bit {at}");
                    notes += 1;
                }
                _ => refused += 1,
            }
        }
        // Height, time and led have 1 + 1 + 8 + 1 bytes or so.
        assert!(notes < 100 && refused > 1500, "{name}: {refused} refused, {notes} in the notes");
    }
}

#[test]
fn malformed_evidence_is_not_read() {
    let good = all()[0].1.encode();
    assert!(Evidence::decode(&[]).is_err());
    assert!(Evidence::decode(&[good.as_slice(), &[0]].concat()).is_err());
    assert!(matches!(Evidence::decode(&vec![0; 2000]), Err(FormatError::Length { found: 2000, .. })));
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).expect("it is there");
        Evidence::decode(&[&good[..at], to, &good[at + from.len()..]].concat())
    };
    assert!(matches!(replaced(b"evidence\x01", b"evidence\x02"), Err(FormatError::Version { found: 2, .. })));
    // View 300, then the kind.
    let kind = |number| replaced(&[0x19, 0x01, 0x2c, 1], &[0x19, 0x01, 0x2c, number]);
    assert!(kind(2).is_ok());
    assert!(matches!(kind(4), Err(FormatError::Field { field: "kind", .. })));
    assert!(kind(3).is_err(), "the first vote is no vote to give up");
}

#[test]
fn ids_have_one_spelling() {
    let id = EvidenceId { validator: [0xab; 32], epoch: 0, view: 7, kind: EvidenceKind::Finalizes };
    let text = id.to_string();
    assert_eq!(text.parse(), Ok(id));
    for bad in [
        String::new(),
        text.to_uppercase(),
        format!("{text}-1"),
        text.replace("-7-", "-07-"),
        text.replace("-7-", "-+7-"),
        text.replace("-2", "-4"),
        text[2..].to_owned(),
    ] {
        assert!(bad.parse::<EvidenceId>().is_err(), "{bad}");
    }
}
