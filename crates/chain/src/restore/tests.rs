//! A restart gives exactly the tables that were there before it.

#![allow(clippy::unwrap_used)] // A test may panic.

use alloy_primitives::{B256, U256};
use triad_models::trees::{Node, Trees};
use triad_models::window::network::{Layer, Layers, NetworkModel, Output, Pool};
use triad_models::{
    AnomalySpec, ForecastSpec, Predicts, RangeSpec, RowModel, SilenceSpec, Spec, Tells, TreesSpec,
    WindowModel, WindowSpec,
};
use triad_statement::{Algorithm, Sequence, SigningKey, StatementBuilder};

use crate::contracts;
use crate::state::{Record, State, Table};
use crate::testing::{TestChain, wallet};
use crate::{ChainSpec, Ledger};

type Row = (u8, Vec<u8>, Vec<u8>);

fn rows<R: Record>(table: &Table<R>, out: &mut Vec<Row>) {
    table
        .for_each(|key, row| {
            let (mut name, mut value) = (Vec::new(), Vec::new());
            R::write_key(key, &mut name);
            row.encode(&mut value);
            out.push((R::TABLE as u8, name, value));
        })
        .unwrap();
}

/// Every row of every table.
fn dump(state: &State) -> Vec<Row> {
    let mut out = Vec::new();
    rows(&state.devices, &mut out);
    rows(&state.windows, &mut out);
    rows(&state.opened, &mut out);
    rows(&state.streams, &mut out);
    rows(&state.latest, &mut out);
    rows(&state.bindings, &mut out);
    rows(&state.registrations, &mut out);
    rows(&state.watchers, &mut out);
    rows(&state.counters, &mut out);
    rows(&state.models, &mut out);
    rows(&state.predictions, &mut out);
    rows(state.deadlines.table(), &mut out);
    rows(state.queue.table(), &mut out);
    out
}

fn genesis() -> crate::Genesis {
    let mut genesis = crate::testing::genesis(default_models());
    for name in [crate::LEARNED_MODELS_RULE, crate::WINDOWED_MODELS_RULE] {
        genesis.rules.push(crate::Rule { name: name.into(), height: 0 });
    }
    genesis
}

/// A failure is the likelier the more `t` there is, by what `u` says last.
fn rows_model() -> RowModel {
    let tree =
        vec![Node::Split { feature: 0, threshold: 6.0, low: 1, high: 2 }, Node::Leaf(-1.0), Node::Leaf(1.0)];
    let trees = Trees::new(2, 0.0, &[tree]).unwrap();
    RowModel::new(["t", "u"].map(str::to_owned).to_vec(), Predicts::FailureRisk { from: 0.5 }, trees).unwrap()
}

/// The greatest of what `t` and `u` said in the last five rows.
fn window_model() -> WindowModel {
    let layers = vec![Layer::Global { how: Pool::Max }, Layer::Pick { channel: 0 }];
    let inputs = ["t", "u"].map(str::to_owned).to_vec();
    let output = Output::Estimate { usual: None, unit: String::new() };
    let layers = Layers::new(5, 2, layers).unwrap();
    WindowModel::network(NetworkModel::new(inputs, output, layers).unwrap())
}

fn default_models() -> Vec<crate::DefaultModel> {
    let (interval_ms, tells) = (4_000, Tells::Value);
    let specs = [
        Spec::Range(RangeSpec { low: Some(2.0), high: Some(8.0), ..RangeSpec::default() }),
        Spec::Silence(SilenceSpec { interval_ms: 15, grace_ms: 5 }),
        Spec::Anomaly(AnomalySpec::default()),
        Spec::Forecast(ForecastSpec { interval_ms, season: 2, horizon: 2, low: None, high: None, tells }),
    ];
    specs.iter().map(|s| crate::DefaultModel { kind: s.kind().into(), params: s.params().into() }).collect()
}

/// A named generator (splitmix64): a failing seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) % n
    }
}

#[test]
fn a_restart_brings_every_row_back() {
    let seed = std::env::var("TRIAD_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    println!("TRIAD_SEED={seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let keys: Vec<SigningKey> =
        (1..=4).map(|n| SigningKey::from_secret_bytes(Algorithm::EdDsa, &[n; 32]).unwrap()).collect();
    let mut epochs = [0u32; 4];
    let mut next = [0u32; 4];
    let (mut silent, mut late, mut raised, mut restarts, mut rows, mut windows) = (0, 0, 0, 0, 0, 0);
    let mut chain = TestChain::with_genesis(dir.path(), genesis());
    let owner = wallet(1);
    let id = chain.reader.spec().genesis.chain_id;
    let batch = keys.iter().map(|k| contracts::registration(id, owner.address(), k, B256::ZERO)).collect();
    let (to, input) = contracts::register(batch);
    chain.send(&owner, Some(to), input, U256::ZERO);
    let file = rows_model().file().encode();
    let at = chain.model_file(&owner, &file);
    let window = window_model().file().encode();
    let there = chain.model_file(&owner, &window);
    // A detector with a higher number judges each reading before the row is judged, and is the latest nevertheless.
    let window = &window;
    for (key, name) in keys.iter().flat_map(|key| ["t", "u"].map(|name| (key, name))) {
        let spec = TreesSpec { max_age_ms: 30_000, ..TreesSpec::of(&file, &rows_model(), at.into()) };
        let anomaly = Spec::Anomaly(AnomalySpec { range: Some((0.0, 12.0)) });
        let window =
            WindowSpec { max_age_ms: 30_000, ..WindowSpec::of(window, &window_model(), there.into()) };
        for spec in [Spec::Trees(spec), Spec::Window(window), anomaly] {
            let (to, input) = contracts::bind_model(key.public().id(), name, &spec);
            chain.send(&owner, Some(to), input, U256::ZERO);
        }
    }
    for step in 0..260u64 {
        let d = random.below(4) as usize;
        match random.below(40) {
            0 => {
                epochs[d] += 1;
                next[d] = 0;
                raised += 1;
                let (to, input) = contracts::raise_epoch(keys[d].public().id(), epochs[d]);
                chain.send(&owner, Some(to), input, U256::ZERO);
            }
            // Longer than the silence detector waits.
            1..=3 => std::thread::sleep(std::time::Duration::from_millis(40)),
            _ => {
                // Numbers out of order, times out of order, packs.
                let number = next[d] + random.below(3) as u32;
                next[d] = number + 1 + random.below(2) as u32;
                let mut builder = StatementBuilder::new(&keys[d], Sequence::new(epochs[d], number));
                for _ in 0..=random.below(3) {
                    let time = 1_700_000_100_000_000 + (step as i64 - random.below(4) as i64) * 1_000_000;
                    let name = ["t", "u"][random.below(2) as usize];
                    builder = builder.number(name, None, random.below(120) as f64 / 10.0, Some(time));
                }
                chain.statement(builder.sign()).unwrap();
            }
        }
        if random.below(25) == 0 {
            let ledger = chain.ledger.clone();
            drop(chain);
            let before = (dump(&ledger.0.store.state), ledger.height());
            drop(ledger);
            let again = Ledger::open(dir.path(), ChainSpec::new(genesis()).unwrap()).unwrap();
            assert_eq!(again.height(), before.1);
            let after = dump(&again.0.store.state);
            assert!(before.0 == after, "seed {seed}, height {}: the rows differ", before.1);
            restarts += 1;
            drop(again);
            chain = TestChain::with_genesis(dir.path(), genesis());
        }
    }
    for height in 1..=chain.reader.height() {
        for verdict in chain.ledger.0.store.verdicts(height).unwrap() {
            silent += usize::from(verdict.kind == triad_log::VerdictKind::Silent);
            late += usize::from(verdict.kind == triad_log::VerdictKind::Late);
            rows += usize::from(verdict.kind == triad_log::VerdictKind::FailureRisk);
            windows += usize::from(verdict.kind == triad_log::VerdictKind::Estimate);
        }
    }
    assert!(rows > 50 && windows > 30, "{rows} {windows}");
    assert!(raised > 0 && silent > 0 && late > 0 && restarts > 3, "{raised} {silent} {late} {restarts}");
}
