//! Models that remember rows on a chain: what they say is what they say off it, a restart at any block and an audit give the same
//! future, and without their rule nothing is bound.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;
#[path = "../../models/tests/common/window.rs"]
mod drawn;

use common::*;
use drawn::{Draws, engine, failures, life, network};
use triad_chain::testing::{TestChain, wallet};
use triad_chain::{Genesis, LEARNED_MODELS_RULE, WINDOWED_MODELS_RULE};
use triad_log::{Verdict, VerdictKind};
use triad_models::window::network::{Layer, Layers, NetworkModel, Output, Pool};
use triad_models::{Memory, Spec, WindowModel, WindowSpec};
use triad_statement::{Sequence, StatementBuilder};

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
fn a_network_sees_a_window_of_several_streams_and_a_contract_acts_on_its_estimate() {
    let dir = tempfile::tempdir().unwrap();
    let mut chain = start(dir.path(), windowed());
    let model = network();
    let spec = registered(&chain, &model.file().encode());
    bind(&chain, "b", &Spec::Window(spec));
    let plan = maintenance(&chain, "b", 1 << VerdictKind::Estimate as u32, 1_000_000);
    let mut draws = Draws(21);
    let (mut rows, mut outside): (Vec<Vec<f64>>, u32) = (Vec::new(), 0);
    for at in 0..30 {
        if [5, 8, 20].contains(&at) {
            drop(chain);
            chain = TestChain::with_genesis(dir.path(), windowed());
        }
        rows.push((0..3).map(|_| 6.0 * draws.share() - 3.0).collect());
        let said = told(&chain, cycle(&chain, at, model.inputs(), &rows[at as usize]).height, FIRST_MODEL);
        let Some(from) = rows.len().checked_sub(model.layers().rows()) else {
            assert_eq!(said.kind, VerdictKind::Learning, "{said:?}");
            continue;
        };
        let estimate = model.tell(&rows[from..].concat()).unwrap();
        assert_eq!(said.kind, VerdictKind::Estimate, "{said:?}");
        assert_eq!(said.value_e9, triad_log::value_e9(estimate).unwrap(), "row {at}");
        outside += u32::from(said.score.ppm() == 1_000_000);
        assert_eq!(orders(&chain, plan).0 > 0, outside > 0, "in the very block");
    }
    assert!(outside > 0);
    let read = ask(&chain, chain.reader.height(), "b", FIRST_MODEL).unwrap();
    assert_eq!(read.4, alloy_primitives::U256::from(VerdictKind::Estimate as u8));
    let chain_spec = chain.reader.spec().clone();
    drop(chain);
    audited(dir.path(), chain_spec);
}

#[test]
fn of_a_network_with_one_input_each_reading_of_a_pack_is_a_row() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), windowed());
    // The mean of the last three readings.
    let layers = Layers::new(3, 1, vec![Layer::Global { how: Pool::Mean }]).unwrap();
    let output = Output::Estimate { usual: None, unit: String::new() };
    let model = NetworkModel::new(vec!["s".into()], output, layers).unwrap();
    let spec = registered(&chain, &model.file().encode());
    bind(&chain, "s", &Spec::Window(spec.clone()));
    bind(&chain, "t", &Spec::Window(spec));
    let key = key();
    let pack = |number: u32, readings: &[(i64, f64)]| {
        let pack = readings
            .iter()
            .fold(StatementBuilder::new(&key, Sequence::new(0, number)), |pack, (second, value)| {
                pack.number("s", None, *value, Some(T0 + second * 1_000_000))
            });
        let height = chain.statement(pack.sign()).unwrap().height;
        let said = verdicts(&chain, height, FIRST_MODEL);
        said.into_iter().map(|said| (said.kind, said.value_e9 / 1_000_000_000)).collect::<Vec<_>>()
    };
    let (learning, late, estimate) = (VerdictKind::Learning, VerdictKind::Late, VerdictKind::Estimate);
    assert_eq!(
        pack(1, &[(1, 3.0), (2, 6.0), (1, 50.0), (3, 9.0), (4, 12.0)]),
        [(learning, 3), (learning, 6), (late, 50), (estimate, 6), (estimate, 9)]
    );
    assert_eq!(pack(2, &[(4, 1.0), (5, 15.0)]), [(late, 1), (estimate, 12)]);
    let latest = chain.reader.stream(&stream("s")).unwrap().unwrap().1;
    assert_eq!(latest.verdict.unwrap().kind, estimate);
    let other = verdicts(&chain, say(&chain, 9, &[("t", 1.0)]).height, FIRST_MODEL + 1);
    assert_eq!(other[0].reason.as_str(), "its one input is s: it is to be bound to that");
    let chain_spec = chain.reader.spec().clone();
    drop(chain);
    audited(dir.path(), chain_spec);
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
    let pack = packs(13)
        .into_iter()
        .fold(StatementBuilder::new(&key, Sequence::new(0, 50)), |pack, (name, value)| {
            pack.number(name, None, value, Some(T0))
        });
    let refusal = chain.statement(pack.sign()).unwrap_err();
    assert_eq!(refusal.code, "too-much-work");
    let said = say(&chain, 1, &packs(11));
    assert!(told(&chain, said.height, FIRST_MODEL).reason.as_str().contains("the parameters say"));
}
