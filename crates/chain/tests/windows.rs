//! Models that remember rows on a chain: what they say is what they say off it, a restart at any block and an audit give the same
//! future, and without their rule nothing is bound.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;
#[path = "../../models/tests/common/window.rs"]
mod drawn;

use common::*;
use drawn::{engine, failures, life};
use triad_chain::testing::{TestChain, wallet};
use triad_chain::{Genesis, LEARNED_MODELS_RULE, WINDOWED_MODELS_RULE};
use triad_log::{Verdict, VerdictKind};
use triad_models::{Memory, Spec, WindowModel, WindowSpec};

fn windowed() -> Genesis {
    with_rules(&[LEARNED_MODELS_RULE, WINDOWED_MODELS_RULE])
}

fn registered(chain: &TestChain, file: &[u8]) -> WindowSpec {
    let at = chain.model_file(&wallet(3), file);
    WindowSpec::of(file, &WindowModel::decode(file).unwrap(), at.into())
}

/// A cycle of the engine as one pack, in an order of its own.
fn cycle(chain: &TestChain, second: u32, names: &[String], row: &[f64]) -> triad_chain::Accepted {
    let mut pack: Vec<(&str, f64)> = names.iter().map(String::as_str).zip(row.iter().copied()).collect();
    pack.rotate_left(second as usize % names.len());
    say(chain, second, &pack)
}

fn told(chain: &TestChain, height: u64, model: u64) -> Verdict {
    let said = verdicts(chain, height, model);
    assert_eq!(said.len(), 1, "{said:?}");
    said[0].clone()
}

#[test]
fn a_life_on_chain_is_the_life_off_it_through_restarts_and_in_an_audit() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = start(dir.path(), windowed());
    let file = life().file().encode();
    let spec = registered(&chain, &file);
    let names = life().inputs();
    bind(&chain, "sensor1", &Spec::Window(spec.clone()));
    let rows = engine(230);
    let mut memory = Memory::default();
    let offline: Vec<f64> = rows.iter().map(|row| life().tell(&mut memory, row).unwrap().unwrap()).collect();
    let least = offline.iter().copied().fold(f64::MAX, f64::min);
    let plan = maintenance(&chain, "sensor1", 1 << VerdictKind::RemainingLife as u32, 1);
    let mut worst = 0;
    for (at, row) in rows.iter().enumerate() {
        // More than the 64 blocks that a restart goes through again lie between some restarts, fewer between others.
        if [1, 40, 150, 151, 229].contains(&at) {
            let before = ask(&chain, chain.reader.height(), "sensor1", FIRST_MODEL);
            drop(chain);
            chain = TestChain::with_genesis(dir.path(), windowed());
            assert_eq!(ask(&chain, chain.reader.height(), "sensor1", FIRST_MODEL), before);
        }
        let said = told(&chain, cycle(&chain, at as u32, &names, row).height, FIRST_MODEL);
        assert_eq!(said.kind, VerdictKind::RemainingLife, "{said:?}");
        assert_eq!(said.value_e9, triad_log::value_e9(offline[at]).unwrap(), "cycle {at}");
        worst = worst.max(said.score.ppm());
    }
    assert!(least < 125.0 && worst > 0 && orders(&chain, plan).0 > 0, "{least} {worst}");
    let head = chain.reader.height();
    let read = ask(&chain, head, "sensor1", FIRST_MODEL).unwrap();
    assert_eq!(i128::try_from(read.8).unwrap(), triad_log::value_e9(offline[229]).unwrap());

    // Bound anew it begins anew, and the old binding's memory is gone.
    bind(&chain, "sensor1", &Spec::Window(spec));
    let said = cycle(&chain, 230, &names, &rows[0]).height;
    assert_eq!(told(&chain, said, FIRST_MODEL + 1).value_e9, triad_log::value_e9(offline[0]).unwrap());
    let chain_spec = chain.reader.spec().clone();
    drop(chain);
    assert_eq!(audited(dir.path(), chain_spec).verdicts, 232);
}

#[test]
fn failures_are_judged_by_streams_of_the_owners_names() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), windowed());
    let file = failures().file().encode();
    let names = ["quality", "air", "process", "rpm", "torque", "wear"].map(str::to_owned).to_vec();
    let spec = WindowSpec { names: names.clone(), ..registered(&chain, &file) };
    bind(&chain, "torque", &Spec::Window(spec));
    let row = [1.0, 0.3, 1.0, 0.7, 0.4, 1.0];
    let said = told(&chain, cycle(&chain, 0, &names, &row).height, FIRST_MODEL);
    let (odds, _) = failures().tell(row).unwrap();
    assert_eq!((said.kind, said.value_e9), (VerdictKind::FailureRisk, triad_log::value_e9(odds[4]).unwrap()));
    let said = told(&chain, say(&chain, 1, &[("torque", 1e300), ("rpm", 1e300)]).height, FIRST_MODEL);
    assert_eq!((said.kind, said.reason.as_str()), (VerdictKind::Learning, "the row is none of this model"));
}

#[test]
fn without_the_rule_nothing_is_bound() {
    for rules in [&[LEARNED_MODELS_RULE][..], &[WINDOWED_MODELS_RULE]] {
        let dir = tempfile::tempdir().unwrap();
        let chain = start(dir.path(), with_rules(rules));
        let spec = registered(&chain, &failures().file().encode());
        bind(&chain, "torque", &Spec::Window(spec));
        say(&chain, 0, &[("torque", 1.0)]);
        assert!(chain.reader.models(&stream("torque")).unwrap().is_empty(), "{rules:?}");
    }
}

#[test]
fn what_a_row_of_such_a_model_costs_bounds_a_statement() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), windowed());
    let spec = registered(&chain, &failures().file().encode());
    // A binding may claim more than the file takes; it is charged what it claims: 20,000 and 512 units.
    for claimed in [WindowSpec { products: 1_000_000, memory: 1_024, ..spec.clone() }, spec] {
        for name in 0..13 {
            bind(&chain, &format!("s{name}"), &Spec::Window(claimed.clone()));
        }
    }
    let names: Vec<String> = (0..13).map(|name| format!("s{name}")).collect();
    let packs = |count: usize| names[..count].iter().map(|name| (name.as_str(), 1.0)).collect::<Vec<_>>();
    let key = key();
    let pack = packs(13).into_iter().fold(
        triad_statement::StatementBuilder::new(&key, triad_statement::Sequence::new(0, 50)),
        |pack, (name, value)| pack.number(name, None, value, Some(T0)),
    );
    let refusal = chain.statement(pack.sign()).unwrap_err();
    assert_eq!(refusal.code, "too-much-work");
    let said = say(&chain, 1, &packs(11));
    assert!(told(&chain, said.height, FIRST_MODEL).reason.as_str().contains("the parameters say"));
}
