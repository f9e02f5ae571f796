//! Models of rows that may remember: their files, the parameters that name them, what they say, and what they keep.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

#[path = "common/window.rs"]
mod drawn;

use drawn::{engine, failures, life};
use triad_models::window::{MAX_MEMORY, Memory};
use triad_models::{
    FileModel, FileSpec, MAX_ROW_STATE_BYTES, ModelFile, Spec, State, VerdictKind, WindowKind, WindowModel,
    WindowSpec,
};

fn bound(model: &WindowModel, file: &ModelFile) -> (Spec, FileModel) {
    let bytes = file.encode();
    let spec = WindowSpec::of(&bytes, model, [7; 20]);
    let opened = FileSpec::Window(spec.clone()).open(&bytes).unwrap();
    assert_eq!(opened, FileModel::Window(model.clone()));
    (Spec::Window(spec), opened)
}

#[test]
fn a_life_is_told_alike_from_a_memory_that_was_written_and_read_at_every_cycle() {
    let (spec, model) = bound(&WindowModel::life(life()), &life().file());
    let (mut kept, mut copy, mut alone) = (State::new(&spec), State::new(&spec), Memory::default());
    let mut largest = 0;
    for (cycle, row) in engine(400).into_iter().enumerate() {
        let bytes = copy.encode();
        largest = largest.max(bytes.len());
        copy = State::decode(&spec, &bytes).unwrap();
        assert_eq!(copy.encode(), bytes);
        let said = kept.step_row(&model, cycle as i64, &row).unwrap().unwrap();
        assert_eq!(copy.step_row(&model, cycle as i64, &row).unwrap().unwrap(), said);
        assert_eq!(said.kind, VerdictKind::RemainingLife);
        assert!(said.reason.ends_with(" cycles left, of at most 125 that are told"), "{said:?}");
        // What `triad models score` says.
        assert_eq!(said.value, life().tell(&mut alone, &row).unwrap());
    }
    let Spec::Window(spec) = spec else { unreachable!() };
    assert_eq!((spec.inputs, spec.memory), (7, 2 + 9 + 6 + 4 + 160));
    assert!(largest == 17 + 8 * usize::from(spec.memory) && largest <= MAX_ROW_STATE_BYTES, "{largest}");
}

#[test]
fn what_the_memory_of_another_model_holds_is_refused() {
    let (spec, model) = bound(&WindowModel::life(life()), &life().file());
    let mut state = State::new(&spec);
    let rows = engine(3);
    state.step_row(&model, 1, &rows[0]).unwrap().unwrap();
    let bytes = state.encode();
    // One number less, and its count with it.
    let mut short = bytes[..bytes.len() - 8].to_vec();
    let count = u16::from_be_bytes([short[15], short[16]]) - 1;
    short[15..17].copy_from_slice(&count.to_be_bytes());
    let mut short = State::decode(&spec, &short).unwrap();
    assert!(short.step_row(&model, 2, &rows[1]).unwrap_err().to_string().contains("length of a memory"));
    for length in 0..bytes.len() {
        assert!(State::decode(&spec, &bytes[..length]).is_err(), "{length}");
    }
    assert!(State::decode(&spec, &[&bytes[..], &[0]].concat()).is_err());
    let mut endless = bytes.clone();
    endless[17..25].copy_from_slice(&f64::INFINITY.to_bits().to_be_bytes());
    assert!(State::decode(&spec, &endless).is_err());
    let Spec::Window(small) = &spec else { unreachable!() };
    let small = Spec::Window(WindowSpec { memory: 1, ..small.clone() });
    assert!(State::decode(&small, &bytes).is_err());
    // A row of another width leaves everything as it was.
    assert!(state.step_row(&model, 2, &rows[1][1..]).unwrap().is_none());
    assert!(state.step_row(&model, 2, &[f64::MAX; 6]).unwrap().is_none());
    assert_eq!(state.encode(), bytes);
}

#[test]
fn no_reading_makes_a_memory_overflow() {
    let (spec, model) = bound(&WindowModel::life(life()), &life().file());
    let mut state = State::new(&spec);
    for cycle in 0..300 {
        let huge = if cycle % 2 == 0 { f64::MAX } else { f64::MIN };
        let said = state.step_row(&model, cycle, &[huge; 7]).unwrap().unwrap();
        assert!(said.value.is_some_and(|value| (0.0..=125.0).contains(&value)), "{said:?}");
        state = State::decode(&spec, &state.encode()).unwrap();
    }
    let said = failures().tell([1.0, 300.0, 310.0, 1e200, 1e200, 10.0]);
    assert!(said.is_none(), "a power beyond numbers");
}

#[test]
fn a_failure_names_its_mode_and_needs_no_memory() {
    let (spec, model) = bound(&WindowModel::failures(failures()), &failures().file());
    let mut state = State::new(&spec);
    let (mut expected, mut other) = (0, 0);
    for at in 0..200 {
        let row = [f64::from(at % 3), 0.3, 1.0, f64::from(at % 7) / 3.0, f64::from(at % 5) / 3.0, 1.0];
        let said = state.step_row(&model, at.into(), &row).unwrap().unwrap();
        let (odds, any) = failures().tell(row).unwrap();
        assert_eq!((said.kind, said.value), (VerdictKind::FailureRisk, Some(odds[4])));
        let none = odds[..4].iter().fold(1.0, |none, odds| none * (1.0 - odds));
        assert_eq!(odds[4], 1.0 - none);
        assert_eq!(said.reason.contains("a failure is expected, most likely "), any, "{said:?}");
        if any { expected += 1 } else { other += 1 }
    }
    assert!(expected > 5 && other > 5, "{expected} {other}");
    assert_eq!(state.encode().len(), 17);
}

#[test]
fn parameters_come_back_and_name_the_file() {
    for (model, file) in
        [(WindowModel::life(life()), life().file()), (WindowModel::failures(failures()), failures().file())]
    {
        let (spec, _) = bound(&model, &file);
        let kind = model.kind().name();
        assert_eq!(Spec::decode(kind, &spec.params()).unwrap(), spec);
        let Spec::Window(spec) = spec else { unreachable!() };
        let names: Vec<String> = (0..model.inputs().len()).map(|at| format!("s{at}")).collect();
        let renamed = WindowSpec { names: names.clone(), max_age_ms: 1, ..spec.clone() };
        assert_eq!(
            Spec::decode(kind, &Spec::Window(renamed.clone()).params()).unwrap(),
            Spec::Window(renamed.clone())
        );
        let bytes = file.encode();
        assert_eq!(renamed.open(&bytes).unwrap().inputs(), names);
        let refused = |spec: WindowSpec| spec.open(&bytes).unwrap_err().to_string();
        assert!(refused(WindowSpec { bytes: 1, ..spec.clone() }).contains("the parameters say 1"));
        assert!(refused(WindowSpec { file: [0; 32], ..spec.clone() }).contains("another SHA-256"));
        assert!(
            refused(WindowSpec { products: 1, ..spec.clone() }).contains("splits, products and memory are")
        );
        let other = WindowKind::ALL.into_iter().find(|&other| other != model.kind()).unwrap();
        assert!(refused(WindowSpec { kind: other, ..spec.clone() }).contains("the parameters say"));
        let wrong =
            |spec: WindowSpec| Spec::decode(kind, &Spec::Window(spec).params()).unwrap_err().to_string();
        let (first, few) = (names[0].clone(), names[1..].to_vec());
        assert!(wrong(WindowSpec { names: few, ..spec.clone() }).contains("as many as inputs"));
        let twice = vec![first; names.len()];
        assert!(wrong(WindowSpec { names: twice, ..spec.clone() }).contains("comes twice"));
        assert!(wrong(WindowSpec { products: 1_000_001, ..spec.clone() }).contains("0 to 1000000"));
        assert!(wrong(WindowSpec { memory: 1_025, ..spec }).contains(&MAX_MEMORY.to_string()));
    }
}

#[test]
fn hostile_files_are_refused() {
    let refused = |file: &ModelFile| WindowModel::decode(&file.encode()).unwrap_err().to_string();
    let with = |name: &str, bytes: Vec<u8>| {
        let mut file = life().file();
        file.sections.iter_mut().filter(|(section, _)| section == name).for_each(|s| s.1 = bytes.clone());
        file
    };
    let numbers =
        |numbers: &[f64]| numbers.iter().flat_map(|n| n.to_bits().to_be_bytes()).collect::<Vec<u8>>();
    assert!(refused(&with("regimes", numbers(&[1e9, 0.0]))).contains("impossible regimes"));
    assert!(refused(&with("regimes", numbers(&[2.5, 0.0]))).contains("impossible regimes"));
    assert!(refused(&with("regimes", numbers(&[1.0, 0.0, 0.0, 0.0, 1.0, -1.0]))).contains("impossible"));
    assert!(refused(&with("regimes", numbers(&[f64::NAN]))).contains("no list of finite numbers"));
    assert!(refused(&with("health", numbers(&[1.0]))).contains("do not fit each other"));
    assert!(refused(&with("trees", failures().modes()[0].encode())).contains("follow from its sensors"));
    assert!(refused(&life().file().with("more", vec![])).contains("4 sections; 3 are expected"));
    assert!(refused(&failures().file().with("more", vec![])).contains("6 sections; 5 are expected"));
    assert!(refused(&ModelFile::new("other").with("a", vec![])).contains("life, failures"));
    // Two hundred sensors are more streams than a row has.
    let wide: Vec<f64> = [200.0].into_iter().chain(vec![0.0; 3 + 400]).collect();
    assert!(refused(&with("regimes", numbers(&wide))).contains("do not fit each other"));
    let bytes = life().file().encode();
    for length in (0..bytes.len()).step_by(97) {
        assert!(WindowModel::decode(&bytes[..length]).is_err());
    }
}
