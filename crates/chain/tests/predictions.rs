//! Forecasts and models of rows on a chain: judged by every validator, acted on in the block of the reading, read by contracts,
//! the same after a restart and in an audit; and a chain without their rule is as it was.

#![allow(clippy::unwrap_used)] // A test may panic.

mod common;

use alloy_primitives::{Address, I256, U256};
use common::*;
use triad_chain::testing::{TestChain, genesis, wallet};
use triad_chain::{ChainSpec, Genesis, LEARNED_MODELS_RULE};
use triad_log::{Verdict, VerdictKind};
use triad_models::trees::{Node, Trees};
use triad_models::{ForecastSpec, Predicts, RowModel, Spec, Tells, TreesSpec};
use triad_statement::{Sequence, StatementBuilder};

fn learned() -> Genesis {
    with_rules(&[LEARNED_MODELS_RULE])
}

fn forecast() -> Spec {
    let tells = Tells::Value;
    Spec::Forecast(ForecastSpec {
        interval_ms: 1_000,
        season: 1,
        horizon: 5,
        low: Some(2.0),
        high: None,
        tells,
    })
}

/// Hours left by two streams; with both at ease 100.
fn pump() -> RowModel {
    let split = |feature, threshold, low, high| {
        vec![Node::Split { feature, threshold, low: 1, high: 2 }, Node::Leaf(low), Node::Leaf(high)]
    };
    let trees = Trees::new(2, 0.0, &[split(0, 4.5, 80.0, 3.0), split(1, 80.0, 20.0, 4.5)]).unwrap();
    let inputs = ["vibration", "temperature"].map(str::to_owned).to_vec();
    RowModel::new(inputs, Predicts::RemainingLife { most: 100.0, unit: "h".into() }, trees).unwrap()
}

fn registered(chain: &TestChain, model: &RowModel) -> TreesSpec {
    let file = model.file().encode();
    let at = chain.model_file(&wallet(3), &file);
    TreesSpec::of(&file, model, at.into())
}

#[test]
fn a_contract_acts_on_a_forecast_in_the_block_of_the_reading_and_everything_is_reproduced() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), learned());
    bind(&chain, "level", &forecast());
    let plan = maintenance(&chain, "level", 1 << VerdictKind::ExpectedLow as u32, 0);
    // A tank that empties slowly: 2 is reached at second 160, and expected five seconds before.
    let level = |second: u32| 10.0 - f64::from(second) / 20.0;
    let mut ordered = None;
    for second in 0..158 {
        let at = say(&chain, second, &[("level", level(second))]);
        let said = verdicts(&chain, at.height, FIRST_MODEL);
        assert_eq!((said.len(), said[0].class.name()), (1, "consensus"));
        let (count, predicted) = orders(&chain, plan);
        if count == 1 && ordered.is_none() {
            ordered = Some(at.height);
            assert_eq!(said[0].kind, VerdictKind::ExpectedLow, "{said:?}");
            assert!(said[0].reason.as_str().contains("expected in 5 s"), "{said:?}");
            assert_eq!(
                i128::try_from(predicted).unwrap(),
                said[0].value_e9,
                "what the contract read is what the verdict says"
            );
            let seen = f64::from(second);
            assert!((150.0..=157.0).contains(&seen), "{second}");
        }
    }
    assert_eq!(orders(&chain, plan).0, 1, "on the edge only");
    let ordered = ordered.unwrap();
    // The precompile after a past block says what was the latest then.
    let then = ask(&chain, ordered, "level", FIRST_MODEL).unwrap();
    assert_eq!((then.0, then.9, then.4), (true, ordered, U256::from(VerdictKind::ExpectedLow as u8)));
    assert_eq!(
        ask(&chain, ordered - 1, "level", FIRST_MODEL).unwrap().4,
        U256::from(VerdictKind::Forecast as u8)
    );
    assert!(
        !ask(&chain, ordered, "level", 7).unwrap().0
            && !ask(&chain, ordered, "other", FIRST_MODEL).unwrap().0
    );

    // After a restart, which replays the last blocks, the future is what it would have been.
    let head = chain.reader.height();
    let before = ask(&chain, head, "level", FIRST_MODEL);
    drop(chain);
    let chain = TestChain::with_genesis(dir.path(), learned());
    assert_eq!(ask(&chain, head, "level", FIRST_MODEL), before);
    let at = say(&chain, 158, &[("level", level(158))]);
    assert_eq!(verdicts(&chain, at.height, FIRST_MODEL)[0].kind, VerdictKind::ExpectedLow);
    let spec = chain.reader.spec().clone();
    drop(chain);
    assert_eq!(audited(dir.path(), spec).verdicts, 159);
}

#[test]
fn a_remaining_life_is_told_of_a_pack_in_any_order_and_acted_on() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), learned());
    let spec = registered(&chain, &pump());
    bind(&chain, "vibration", &Spec::Trees(spec.clone()));
    let plan = maintenance(&chain, "vibration", 1 << VerdictKind::RemainingLife as u32, 900_000);
    let told = |second, readings: &[(&str, f64)]| {
        let said = verdicts(&chain, say(&chain, second, readings).height, FIRST_MODEL);
        assert_eq!(said.len(), 1, "{said:?}");
        let Verdict { kind, value_e9, score, reason, .. } = said[0].clone();
        (kind, value_e9, score.ppm(), reason.as_str().to_owned())
    };
    let learning = told(0, &[("vibration", 1.0)]);
    assert_eq!(
        (learning.0, learning.3.as_str()),
        (VerdictKind::Learning, "no reading of temperature so far")
    );
    let at_ease =
        (VerdictKind::RemainingLife, 100_000_000_000, 0, "100 h left, of at most 100 that are told".into());
    assert_eq!(told(1, &[("vibration", 1.0), ("temperature", 20.0)]), at_ease);
    assert_eq!(told(2, &[("temperature", 20.0), ("other", 1.0), ("vibration", 1.0)]), at_ease);
    // An input alone is no reason to speak; the row is what is latest.
    assert!(verdicts(&chain, say(&chain, 3, &[("temperature", 99.0)]).height, FIRST_MODEL).is_empty());
    assert_eq!(told(4, &[("vibration", 1.0)]).1, 84_500_000_000);
    assert_eq!(orders(&chain, plan).0, 0);
    let worn = told(5, &[("vibration", 9.0)]);
    assert_eq!((worn.1, worn.2), (7_500_000_000, 925_000));
    assert_eq!(orders(&chain, plan), (1, I256::try_from(7_500_000_000_i64).unwrap()), "in the very block");
    // Two minutes apart are no row, and an old reading is late.
    let stale = told(130, &[("vibration", 9.0)]);
    assert_eq!(stale.3, "temperature was read 127000 ms apart, at most 60000 ms are one row");
    let key = key();
    let old = StatementBuilder::new(&key, Sequence::new(0, 200)).number(
        "vibration",
        None,
        1.0,
        Some(T0 + 9_000_000),
    );
    let at = chain.statement(old.sign()).unwrap();
    assert_eq!(verdicts(&chain, at.height, FIRST_MODEL)[0].kind, VerdictKind::Late);
    // The verdict names the model, the model its file.
    let bound = chain.reader.models(&stream("vibration")).unwrap();
    let [(FIRST_MODEL, found)] = &bound[..] else { panic!("{bound:?}") };
    let Spec::Trees(found) = found.as_ref() else { panic!("{found:?}") };
    assert_eq!(found.file, triad_log::sha256(&pump().file().encode()));

    let latest = |chain: &TestChain| chain.reader.stream(&stream("vibration")).unwrap().unwrap().1;
    let head = chain.reader.height();
    let before = (ask(&chain, head, "vibration", FIRST_MODEL), latest(&chain));
    drop(chain);
    let chain = TestChain::with_genesis(dir.path(), learned());
    assert_eq!((ask(&chain, head, "vibration", FIRST_MODEL), latest(&chain)), before);
    let said = say(&chain, 131, &[("vibration", 1.0), ("temperature", 20.0)]);
    assert_eq!(verdicts(&chain, said.height, FIRST_MODEL)[0].kind, VerdictKind::RemainingLife);
    let spec = chain.reader.spec().clone();
    drop(chain);
    audited(dir.path(), spec);
}

#[test]
fn a_file_of_several_parts_is_read_and_what_is_no_model_is_told_in_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), learned());
    let split = |at: usize| Node::Split {
        feature: 0,
        threshold: at as f64,
        low: 2 * at as u16 + 1,
        high: 2 * at as u16 + 2,
    };
    let tree: Vec<Node> = (0..511).map(split).chain((0..512).map(|at| Node::Leaf(f64::from(at)))).collect();
    let trees = Trees::new(1, 0.0, &vec![tree; 4]).unwrap();
    let large = RowModel::new(vec!["s".into()], Predicts::FailureRisk { from: 0.5 }, trees).unwrap();
    let file = large.file().encode();
    assert!(file.len() > 2 * 24_575, "{}", file.len());
    let at = chain.model_file(&wallet(3), &file);
    let good = TreesSpec::of(&file, &large, at.into());
    let mut hostile = pump().file();
    hostile.sections.last_mut().unwrap().1[20] ^= 0xff;
    let hostile = hostile.encode();
    let there = chain.model_file(&wallet(3), &hostile);
    let sha256 = triad_log::sha256(&hostile);
    let bad = TreesSpec { bytes: hostile.len() as u32, file: sha256, at: there.into(), ..good.clone() };
    for spec in [
        good.clone(),
        TreesSpec { at: Address::repeat_byte(9).into(), ..good.clone() },
        TreesSpec { bytes: 1_000, ..good.clone() },
        TreesSpec { file: [7; 32], ..good.clone() },
        TreesSpec { splits: 1, ..good.clone() },
        bad,
    ] {
        bind(&chain, "s", &Spec::Trees(spec));
    }
    let at = say(&chain, 0, &[("s", 5.0)]);
    let said = |model| {
        let said = verdicts(&chain, at.height, FIRST_MODEL + model);
        (said[0].kind, said[0].reason.as_str().to_owned())
    };
    assert_eq!(said(0).0, VerdictKind::FailureRisk);
    for (model, why) in [
        (1, "is no contract that names 1 to 43 parts of a file"),
        (2, "has more than 1000 bytes"),
        (3, "another SHA-256"),
        (4, "36 splits a row; the parameters say 1 and 1"),
        (5, "no model: "),
    ] {
        let (kind, reason) = said(model);
        assert!(
            kind == VerdictKind::Learning && reason.starts_with("no model: ") && reason.contains(why),
            "{reason}"
        );
    }
}

#[test]
fn what_models_cost_bounds_a_block_and_a_statement() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), learned());
    for _ in 0..4 {
        bind(&chain, "a", &forecast());
    }
    let pack = |names: &[&str], count: usize, number: u32| {
        let key = key();
        let readings = (0..count).fold(StatementBuilder::new(&key, Sequence::new(0, number)), |pack, at| {
            let time = T0 + i64::from(number) * 1_000_000_000 + at as i64 * 1_000_000;
            pack.number(names[at % names.len()], None, 1.0, Some(time))
        });
        readings.sign()
    };
    // In one run 60 units a state and 40 a reading; back and forth the state is opened at each.
    assert!(chain.statement(pack(&["a"], 1_024, 1)).is_ok());
    assert!(chain.statement(pack(&["a", "b"], 1_024, 2)).is_ok());
    // Several at once do not fit one block, and all get their turn.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let answers: Vec<_> =
        (3..8).map(|number| runtime.block_on(chain.submitter.submit(pack(&["a"], 1_024, number)))).collect();
    let mut heights: Vec<u64> =
        answers.into_iter().map(|answer| runtime.block_on(answer).unwrap().unwrap().height).collect();
    heights.sort_unstable();
    let most = heights.chunk_by(|a, b| a == b).map(<[u64]>::len).max();
    assert!(most.is_some_and(|most| most == 1), "164,080 units each, 250,000 a block: {heights:?}");

    let trees = Trees::new(1, 0.0, &[]).unwrap();
    let model = RowModel::new(vec!["a".into()], Predicts::FailureRisk { from: 0.5 }, trees).unwrap();
    let spec = registered(&chain, &model);
    // A claim of the largest cost, on 20 streams: 20 x 8 x 1,630 units.
    let names: Vec<String> = (0..20).map(|at| format!("n{at}")).collect();
    for name in &names {
        for _ in 0..8 {
            bind(&chain, name, &Spec::Trees(TreesSpec { splits: 32_000, ..spec.clone() }));
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let refusal = chain.statement(pack(&names, 20, 20)).unwrap_err();
    assert_eq!(refusal.code, "too-much-work");
    assert!(chain.statement(pack(&names[..10], 10, 21)).is_ok());
}

#[test]
fn a_chain_without_the_rule_binds_nothing_and_has_no_precompile() {
    let dir = tempfile::tempdir().unwrap();
    let chain = start(dir.path(), genesis(Vec::new()));
    bind(&chain, "level", &forecast());
    let at = say(&chain, 0, &[("level", 1.0)]);
    assert!(chain.reader.models(&stream("level")).unwrap().is_empty());
    assert!(chain.reader.block_verdicts(at.height).unwrap().is_empty());
    assert_eq!(ask(&chain, at.height, "level", FIRST_MODEL), None);
    drop(chain);

    let with = |spec: &Spec, rules: Genesis| {
        let model = triad_chain::DefaultModel { kind: spec.kind().into(), params: spec.params().into() };
        ChainSpec::new(Genesis { default_models: vec![model], ..rules })
    };
    let refused = with(&forecast(), genesis(Vec::new())).unwrap_err().to_string();
    assert!(refused.contains("needs rule `learned-models`"), "{refused}");
    assert!(with(&forecast(), learned()).is_ok());
    let rows = Spec::Trees(TreesSpec::of(b"x", &pump(), [1; 20]));
    let refused = with(&rows, learned()).unwrap_err().to_string();
    assert!(refused.contains("for rows of one device"), "{refused}");
}
