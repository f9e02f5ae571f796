use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn at(counter: u32) -> Sequence {
    Sequence::new(3, counter)
}

/// The rule in its plainest words.
#[derive(Default)]
struct Plain(BTreeSet<u32>);

impl Plain {
    fn check(&self, counter: u32) -> Freshness {
        match self.0.last() {
            Some(highest) if counter < *highest && highest - counter > SEQUENCE_WINDOW => Freshness::TooOld,
            _ if self.0.contains(&counter) => Freshness::Seen,
            _ => Freshness::Fresh,
        }
    }
}

fn agrees(counters: impl IntoIterator<Item = u32>) {
    let (mut window, mut plain) = (SequenceWindow::new(3), Plain::default());
    for counter in counters {
        let expected = plain.check(counter);
        assert_eq!(window.check(at(counter)), expected, "{counter}");
        assert_eq!(window.accept(at(counter)), expected, "{counter}");
        plain.0.insert(counter);
        assert_eq!(window.highest().map(Sequence::counter), plain.0.last().copied());
        let bytes = window.encode();
        assert_eq!(SequenceWindow::decode(&bytes).as_ref(), Some(&window));
    }
}

proptest! {
    #[test]
    fn a_window_keeps_the_rule(counters in proptest::collection::vec(0u32..3000, 1..400)) {
        agrees(counters);
    }

    #[test]
    fn near_order_with_gaps(steps in proptest::collection::vec((0u32..4, 0u32..1100), 1..300)) {
        let mut counter = 5000u32;
        agrees(steps.into_iter().map(|(kind, step)| {
            counter = if kind == 0 { counter + step } else { counter + 1 };
            if kind == 1 { counter.saturating_sub(step) } else { counter }
        }));
    }

    #[test]
    fn decoding_has_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..150), kind in 0u8..3) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() { *first = kind; }
        if let Some(window) = SequenceWindow::decode(&bytes) {
            prop_assert_eq!(window.encode(), bytes);
        }
    }
}

#[test]
fn the_edges() {
    agrees([
        0,
        0,
        1,
        1024,
        0,
        1025,
        0,
        1,
        u32::MAX,
        u32::MAX - 1,
        u32::MAX - 1024,
        u32::MAX - 1025,
        u32::MAX,
    ]);
    let mut window = SequenceWindow::new(3);
    assert_eq!((window.highest(), window.next()), (None, Some(at(0))));
    assert_eq!(window.accept(at(u32::MAX)), Freshness::Fresh);
    assert_eq!(window.next(), None);
}

#[test]
fn an_epoch_is_exact_and_only_rises() {
    let mut window = SequenceWindow::new(3);
    assert_eq!(window.accept(at(9)), Freshness::Fresh);
    assert_eq!(window.accept(Sequence::new(4, 0)), Freshness::WrongEpoch);
    assert_eq!(window.accept(Sequence::new(2, 50)), Freshness::WrongEpoch);
    assert!(!window.raise_epoch(3) && !window.raise_epoch(2));
    assert_eq!(window.check(at(9)), Freshness::Seen);
    assert!(window.raise_epoch(7));
    assert_eq!(window.check(at(9)), Freshness::WrongEpoch);
    assert_eq!(window.accept(Sequence::new(7, 9)), Freshness::Fresh);
    assert_eq!(window.epoch(), 7);
}

#[test]
fn a_signer_in_order_is_small() {
    assert!(size_of::<SequenceWindow>() <= 24);
    let mut window = SequenceWindow::new(0);
    for counter in 0..5000 {
        window.accept(Sequence::new(0, counter));
    }
    assert_eq!(hex::encode(window.encode()), "0100000000000013870400");
    // A gap costs a bitmap until it leaves the window.
    window.accept(Sequence::new(0, 5001));
    assert_eq!(window.encode().len(), 9 + 128);
    for counter in 5002..5002 + 1024 {
        window.accept(Sequence::new(0, counter));
    }
    assert_eq!(window.encode().len(), 11);
}

#[test]
fn fixtures() {
    let mut window = SequenceWindow::new(1);
    assert_eq!(hex::encode(window.encode()), "0000000001");
    window.accept(Sequence::new(1, 5));
    assert_eq!(hex::encode(window.encode()), "0100000001000000050000");
    window.accept(Sequence::new(1, 8));
    assert_eq!(hex::encode(window.encode()), "02000000010000000804");
}
