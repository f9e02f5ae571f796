//! What one reading costs: `speed [STREAMS]` prints nanoseconds a reading for every consensus model, with states that
//! are kept (warm) and with states that come from bytes and go back to bytes (cold), over many streams in turn.

#[path = "../tests/common/window.rs"]
#[allow(clippy::unwrap_used, reason = "what is drawn fits")]
mod drawn;

use std::hint::black_box;
use std::time::Instant;

use triad_models::group::{GroupSpec, GroupState};
use triad_models::heart::HeartMonitor;
use triad_models::trees::{Node, Trees};
use triad_models::{
    AnomalySpec, FileModel, ForecastSpec, Input, Predicts, RangeSpec, RowModel, SilenceSpec, Spec, State,
    Tells, WindowModel, WindowSpec,
};

const READINGS: usize = 1_000;

fn main() {
    let streams = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(2_000_usize);
    let range = RangeSpec { low: Some(0.0), high: Some(101.0), ..RangeSpec::default() };
    let specs = [
        Spec::Range(range),
        Spec::Silence(SilenceSpec { interval_ms: 3_600_000, grace_ms: 0 }),
        Spec::Anomaly(AnomalySpec { range: None }),
        forecast(1, 1),
        forecast(48, 6),
        forecast(168, 24),
    ];
    println!("model     readings before   state bytes   warm ns   cold ns (decode, step, encode)");
    for spec in &specs {
        for before in [10, READINGS] {
            let mut settled = State::new(spec);
            for step in 0..before {
                settled.step(spec, input(step));
            }
            let bytes = settled.encode();
            let mut warm = vec![settled; streams];
            let mut cold = vec![bytes.clone(); streams];
            let mut spent = [0.0; 2];
            for step in before..before + 10 {
                let started = Instant::now();
                for state in &mut warm {
                    black_box(state.step(spec, input(step)));
                }
                spent[0] += started.elapsed().as_nanos() as f64;
                let started = Instant::now();
                for bytes in &mut cold {
                    let Ok(mut state) = State::decode(spec, bytes) else { unreachable!("it was encoded") };
                    black_box(state.step(spec, input(step)));
                    *bytes = state.encode();
                }
                spent[1] += started.elapsed().as_nanos() as f64;
            }
            let [warm, cold] = spent.map(|ns| ns / (10 * streams) as f64);
            println!("{:9} {before:15} {:13} {warm:9.0} {cold:9.0}", spec.kind(), bytes.len());
        }
    }
    group(streams);
    heart();
    trees();
    windows();
    gaps();
    let (spec, state) = alarming();
    let started = Instant::now();
    for _ in 0..10_000 {
        black_box(state.clone().step(&spec, Input { value: 1e4, ..input(READINGS) }));
    }
    println!(
        "an alarm with its reason, and a copy of the state: {} ns",
        started.elapsed().as_nanos() / 10_000
    );
}

/// A row of eight streams that are judged together.
fn group(groups: usize) {
    let Some(spec) = GroupSpec::new(8, 400) else { return };
    let row = |step: usize| [Some(input(step).value); 8];
    let mut settled = GroupState::new(spec);
    for step in 0..READINGS {
        black_box(settled.step(&row(step)).is_ok());
    }
    let (bytes, mut warm) = (settled.encode().len(), vec![settled; groups]);
    let started = Instant::now();
    for step in READINGS..READINGS + 10 {
        for state in &mut warm {
            black_box(state.step(&row(step)).is_ok());
        }
    }
    let spent = started.elapsed().as_nanos() as f64 / (10 * groups) as f64;
    println!("group of 8 {READINGS:14} {bytes:13} {spent:9.0}");
}

/// A sample of one lead, with a beat every 0.8 s.
fn heart() {
    let mut monitor = HeartMonitor::default();
    let started = Instant::now();
    for at in 0..360_000_i32 {
        let height = 40 * (10 - (at % 290 - 145).abs()).max(0);
        black_box(monitor.step(height + at * 7_919 % 5));
    }
    println!("a sample of a heart: {} ns", started.elapsed().as_nanos() / 360_000);
}

/// 500 trees of 63 splits over 64 features.
fn trees() {
    let node = |at: u16| match at {
        0..63 => Node::Split {
            feature: at * 37 % 64,
            threshold: f64::from(at * 13 % 64),
            low: 2 * at + 1,
            high: 2 * at + 2,
        },
        at => Node::Leaf(f64::from(at)),
    };
    let tree: Vec<Node> = (0..127).map(node).collect();
    let Ok(trees) = Trees::new(64, 0.0, &vec![tree; 500]) else { unreachable!("a full tree of depth 6") };
    let inputs = (0..64).map(|at| format!("s{at}")).collect();
    let Ok(model) = RowModel::new(inputs, Predicts::FailureRisk { from: 0.5 }, trees) else {
        unreachable!("64 streams")
    };
    let mut row = [0.0; 64];
    let mut spent = [0, 0];
    for turn in 0..2_000_usize {
        row[turn % 64] = (turn * 7_919 % 64) as f64;
        let started = Instant::now();
        black_box(model.trees().predict(&row));
        spent[0] += started.elapsed().as_nanos();
        let started = Instant::now();
        black_box(model.judge(&row));
        spent[1] += started.elapsed().as_nanos();
    }
    let [sum, verdict] = spent.map(|ns| ns / 2_000);
    println!("an ensemble of 500 trees of depth 6: {sum} ns, the verdict on a row by it {verdict} ns");
    let file = model.file().encode();
    let started = Instant::now();
    for _ in 0..20 {
        black_box(RowModel::decode(&file).is_ok());
    }
    println!("its file of {} bytes opened: {} ns", file.len(), started.elapsed().as_nanos() / 20);
}

/// A row of a model that remembers, its state at hand, and read from bytes and written back.
fn windows() {
    let life = drawn::life();
    window("a life's cycle", &WindowModel::life(life.clone()), &life.file().encode(), &drawn::engine(400));
    let failures = drawn::failures();
    let network = drawn::network();
    let mut draws = drawn::Draws(1);
    let rows: Vec<Vec<f64>> = (0..400).map(|_| (0..3).map(|_| draws.share()).collect()).collect();
    window("a small network's row", &WindowModel::network(network.clone()), &network.file().encode(), &rows);
    let perceptron = drawn::perceptron(16, 64, 32);
    let rows: Vec<Vec<f64>> = (0..400).map(|_| (0..16).map(|_| draws.share()).collect()).collect();
    window(
        "a perceptron's row",
        &WindowModel::network(perceptron.clone()),
        &perceptron.file().encode(),
        &rows,
    );
    let rows = vec![vec![1.0, 0.3, 1.0, 0.7, 0.4, 1.0]; 400];
    window("a machine's row", &WindowModel::failures(failures.clone()), &failures.file().encode(), &rows);
}

fn window(what: &str, model: &WindowModel, file: &[u8], rows: &[Vec<f64>]) {
    let spec = WindowSpec::of(file, model, [0; 20]);
    let (opened, spec) = (FileModel::Window(model.clone()), Spec::Window(spec));
    let mut state = State::new(&spec);
    let mut spent = [0, 0];
    for turn in 0..20 {
        for (at, row) in rows.iter().enumerate() {
            let time = (turn * rows.len() + at) as i64;
            let bytes = state.encode();
            let started = Instant::now();
            black_box(state.step_row(&opened, time, row).is_ok());
            spent[0] += started.elapsed().as_nanos();
            let started = Instant::now();
            let Ok(mut state) = State::decode(&spec, &bytes) else { unreachable!("it was encoded") };
            black_box(state.step_row(&opened, time, row).is_ok());
            black_box(state.encode());
            spent[1] += started.elapsed().as_nanos();
        }
    }
    let [kept, read] = spent.map(|ns| ns / (20 * rows.len()) as u128);
    let (bytes, splits, products) = (state.encode().len(), model.splits(), model.products());
    println!(
        "{what} ({splits} splits, {products} products, state {bytes} bytes): {kept} ns, state read and written {read} ns"
    );
}

/// Of half-hourly readings.
fn forecast(season: u16, horizon: u16) -> Spec {
    let (interval_ms, tells) = (1_800_000, Tells::Value);
    Spec::Forecast(ForecastSpec { interval_ms, season, horizon, low: None, high: None, tells })
}

/// A forecast's reading after as many missing ones as are filled.
fn gaps() {
    let spec = forecast(168, 24);
    let mut state = State::new(&spec);
    (0..READINGS).for_each(|step| drop(state.step(&spec, input(step))));
    let started = Instant::now();
    for turn in 1..=10_000 {
        black_box(state.step(&spec, input(READINGS + turn * 168)));
    }
    println!("a forecast's reading after 167 missing ones: {} ns", started.elapsed().as_nanos() / 10_000);
}

fn alarming() -> (Spec, State) {
    let spec = Spec::Anomaly(AnomalySpec { range: None });
    let mut state = State::new(&spec);
    for step in 0..READINGS {
        state.step(&spec, input(step));
    }
    (spec, state)
}

fn input(step: usize) -> Input {
    let time_ms = 1_700_000_000_000 + step as u64 * 1_800_000;
    Input { time_us: time_ms as i64 * 1_000, value: ((step * 7_919) % 101) as f64, block_time_ms: time_ms }
}
