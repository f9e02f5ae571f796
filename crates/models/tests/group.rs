//! Several streams judged together: what is said, and what no row can break.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use triad_models::group::{GroupError, GroupJudgement, GroupSpec, GroupState, MAX_GROUP_STATE_BYTES};

const LEARNING: usize = 400;

fn spec() -> GroupSpec {
    GroupSpec::new(3, 400).unwrap()
}

/// In [-1, 1), without a pattern that matters.
fn noise(seed: &mut u64) -> f64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// A steady flow, a temperature that wanders, and a constant.
fn row(seed: &mut u64, temperature: &mut f64) -> [Option<f64>; 3] {
    *temperature += 0.05 * noise(seed);
    [Some(32.0 + noise(seed)), Some(*temperature + 0.02 * noise(seed)), Some(5.0)]
}

fn run(rows: usize, mut change: impl FnMut(usize, &mut [Option<f64>; 3])) -> Vec<GroupJudgement> {
    let (mut seed, mut temperature) = (7, 60.0);
    let mut state = GroupState::new(spec());
    let said = (0..rows).map(|at| {
        let mut values = row(&mut seed, &mut temperature);
        change(at, &mut values);
        let said = state.step(&values).unwrap();
        assert!((0.0..=1.0).contains(&said.score), "{said:?}");
        assert!(state.encode().len() <= MAX_GROUP_STATE_BYTES);
        said
    });
    said.collect()
}

fn anomalies(said: &[GroupJudgement]) -> Vec<usize> {
    (0..said.len()).filter(|&at| said[at].anomaly()).collect()
}

#[test]
fn a_steady_column_that_leaves_its_level_is_named_and_its_return_is_seen() {
    let said = run(1_200, |at, values| {
        if (600..900).contains(&at) {
            values[0] = values[0].map(|flow| flow - 2.0);
        }
    });
    let found = anomalies(&said);
    assert!(found.iter().all(|at| (600..920).contains(at)), "{found:?}");
    assert!(found.len() > 260, "{}", found.len());
    assert!(said[700].column == 0 && said[700].difference < -1.5 && said[700].usual < 0.5, "{:?}", said[700]);
    let changes: Vec<usize> = (0..said.len()).filter(|&at| said[at].change).collect();
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!((600..660).contains(&changes[0]) && (900..960).contains(&changes[1]), "{changes:?}");
}

#[test]
fn a_wandering_column_raises_no_alarm_by_wandering_on() {
    let said = run(5_000, |_, _| {});
    let found = anomalies(&said).len();
    assert!(found < 100, "{found} of 4,600 rows");
}

#[test]
fn the_slightest_move_of_a_constant_column_is_an_anomaly_and_none_is_none() {
    assert!(anomalies(&run(600, |_, _| {})).is_empty());
    let said = run(600, |at, values| {
        if at >= 500 {
            values[2] = Some(5.001);
        }
    });
    assert_eq!(said[510].column, 2);
    assert_eq!(anomalies(&said)[0], 500);
}

#[test]
fn a_level_that_stays_becomes_the_ordinary() {
    let said = run(2_000, |at, values| {
        if at >= 500 {
            values[0] = values[0].map(|flow| flow + 9.0);
        }
    });
    let found = anomalies(&said);
    assert!(
        found.first().is_some_and(|&at| at < 510) && found.last().is_some_and(|&at| at < 1_320),
        "{found:?}"
    );
}

#[test]
fn huge_steps_and_silent_streams_leave_sense_behind() {
    let said = run(3_000, |at, values| match at {
        600..=602 => values[0] = Some(f64::MAX),
        603 => values[0] = Some(-f64::MAX),
        700..=800 => values[0] = None,
        900 => *values = [None; 3],
        950 => values[1] = Some(f64::MIN_POSITIVE / 4.0),
        _ => {}
    });
    assert!(said[600].anomaly() && said[600].column == 0);
    assert!(!said[2_999].anomaly(), "{:?}", said[2_999]);
    // A column that was silent while learning says nothing ever.
    let said = run(600, |at, values| values[0] = (at >= 450).then_some(1e6));
    assert!(anomalies(&said).is_empty());
}

#[test]
fn rows_that_cannot_be_judged_are_refused_and_change_nothing() {
    let mut state = GroupState::new(spec());
    state.step(&[Some(1.0), None, Some(2.0)]).unwrap();
    let before = state.encode();
    assert_eq!(state.step(&[Some(1.0)]), Err(GroupError::Columns { expected: 3, found: 1 }));
    assert_eq!(state.step(&[None, Some(f64::NAN), None]), Err(GroupError::NotFinite(1)));
    assert_eq!(state.step(&[None, None, Some(f64::INFINITY)]), Err(GroupError::NotFinite(2)));
    assert_eq!(state.encode(), before);
    assert!(GroupSpec::new(0, 400).is_none() && GroupSpec::new(13, 400).is_none());
    assert!(GroupSpec::new(3, 99).is_none() && GroupSpec::new(3, 500).is_none());
}

#[test]
fn a_state_restores_to_the_same_future_and_damage_is_refused() {
    let (mut seed, mut temperature) = (3, 20.0);
    let mut state = GroupState::new(spec());
    for at in 0..1_000 {
        if at % 97 == 0 || at == LEARNING {
            let bytes = state.encode();
            let again = GroupState::decode(spec(), &bytes).unwrap();
            assert_eq!(again, state, "row {at}");
            assert_eq!(again.encode(), bytes);
            for length in 0..bytes.len() {
                assert!(GroupState::decode(spec(), &bytes[..length]).is_err());
            }
            assert!(GroupState::decode(GroupSpec::new(4, 400).unwrap(), &bytes).is_err());
            // Whatever a damaged byte makes of it: refused, or a state that goes on without a panic.
            for place in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[place] ^= 0xc1;
                if let Ok(mut state) = GroupState::decode(spec(), &damaged) {
                    for _ in 0..50 {
                        state.step(&row(&mut seed, &mut temperature)).unwrap();
                        state.encode();
                    }
                }
            }
        }
        let mut values = row(&mut seed, &mut temperature);
        if at > 700 {
            values[0] = Some(40.0);
        }
        state.step(&values).unwrap();
    }
}

#[test]
fn the_largest_group_stays_within_its_bytes() {
    let spec = GroupSpec::new(12, 480).unwrap();
    let mut state = GroupState::new(spec);
    for at in 0..700 {
        state.step(&[Some(f64::from(at % 7)); 12]).unwrap();
        let bytes = state.encode().len();
        assert!(bytes <= MAX_GROUP_STATE_BYTES, "row {at}: {bytes}");
    }
}
