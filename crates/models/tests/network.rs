//! Small neural networks: what each layer computes, their file, what they say, and hostile files.

#![allow(clippy::unwrap_used, reason = "a test helper that fails says where")]

#[path = "common/window.rs"]
mod drawn;

use drawn::{Draws, network};
use triad_models::window::network::{Activation, Gru, Layer, Layers, NetworkModel, Output, Pool};
use triad_models::{
    FileModel, FileSpec, MAX_ROW_STATE_BYTES, ModelFile, Spec, State, VerdictKind, WindowModel, WindowSpec,
};

const NONE: Activation = Activation::Identity;

fn dense(weights: &[f64], biases: &[f64], activation: Activation) -> Layer {
    Layer::Dense { weights: weights.to_vec(), biases: biases.to_vec(), activation }
}

fn run(rows: usize, inputs: usize, layers: Vec<Layer>, window: &[f64]) -> Option<f64> {
    let layers = Layers::new(rows, inputs, layers).unwrap();
    assert_eq!(Layers::decode(&layers.encode()).unwrap(), layers);
    layers.run(window)
}

#[test]
fn every_layer_computes_what_is_written_of_it() {
    // Two inputs by three outputs, then their sum.
    let hidden = dense(&[1.0, 2.0, 3.0, 10.0, 20.0, 30.0], &[0.5, -100.0, 0.0], Activation::Relu);
    let sum = dense(&[1.0, 1.0, 1.0], &[0.25], NONE);
    assert_eq!(run(1, 2, vec![hidden, sum], &[1.0, 2.0]), Some(21.5 + 0.0 + 63.0 + 0.25));
    let scale = Layer::Scale { offsets: vec![1.0, 2.0], factors: vec![2.0, 4.0] };
    assert_eq!(run(1, 2, vec![scale, dense(&[1.0, 1.0], &[0.0], NONE)], &[3.0, 3.0]), Some(8.0));
    // Kernel of 2, dilated, one zero in front: outputs w0 x[t-1] + w1 x[t+1].
    let conv = |stride| Layer::Conv {
        kernel: 2,
        stride,
        dilation: 2,
        before: 1,
        behind: 0,
        weights: vec![1.0, 10.0],
        biases: vec![0.5],
        activation: NONE,
    };
    let pick = |channel| Layer::Pick { channel };
    let last = Layer::Global { how: Pool::Last };
    let window = [1.0, 2.0, 3.0, 4.0];
    // 20.5, 31.5, 42.5
    assert_eq!(run(4, 1, vec![conv(1), last.clone()], &window), Some(42.5));
    assert_eq!(
        run(4, 1, vec![conv(2), Layer::Global { how: Pool::Mean }], &window),
        Some((20.5 + 42.5) / 2.0)
    );
    let pool = |how| Layer::Pool { how, kernel: 2, stride: 2 };
    assert_eq!(run(4, 1, vec![pool(Pool::Max), dense(&[1.0, 10.0], &[0.0], NONE)], &window), Some(42.0));
    assert_eq!(run(4, 1, vec![pool(Pool::Mean), dense(&[1.0, 10.0], &[0.0], NONE)], &window), Some(36.5));
    // Two channels, three rows: a dense layer takes them row by row.
    let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let places: Vec<f64> = (0..6).map(|at| libm::pow(10.0, f64::from(at))).collect();
    assert_eq!(run(3, 2, vec![dense(&places, &[0.0], NONE)], &rows), Some(654_321.0));
    assert_eq!(run(3, 2, vec![Layer::Global { how: Pool::Max }, pick(1)], &rows), Some(6.0));
    let softmax = Layer::Activate { activation: Activation::Softmax };
    let odds = run(1, 2, vec![softmax, pick(1)], &[0.0, 1.0]).unwrap();
    assert!((odds - 1.0 / (1.0 + libm::exp(-1.0))).abs() < 1e-15);
    let tanh = Layer::Activate { activation: Activation::Tanh };
    assert!((run(1, 1, vec![tanh], &[0.5]).unwrap() - libm::tanh(0.5)).abs() < 1e-15);
}

#[test]
fn a_recurrent_unit_follows_its_equations_in_both_forms() {
    let mut draws = Draws(2);
    let mut some =
        |count: usize| -> Vec<f64> { (0..count).map(|_| f64::from((draws.share() - 0.5) as f32)).collect() };
    let (units, channels) = (3, 2);
    let rows = [0.3, -1.0, 0.8, 0.1, -0.4, 0.9];
    for reset_after in [false, true] {
        let gru = Gru {
            units,
            reset_after,
            all_steps: false,
            input: some(channels * 3 * units),
            recurrent: some(units * 3 * units),
            input_bias: some(3 * units),
            recurrent_bias: some(3 * units),
        };
        // As written in the papers, a unit and a gate at a time.
        let mut state = vec![0.0; units];
        for row in rows.chunks(channels) {
            let input = |gate: usize, unit: usize| {
                let column = gate * units + unit;
                let products = row.iter().enumerate().map(|(at, x)| x * gru.input[at * 3 * units + column]);
                gru.input_bias[column] + products.sum::<f64>()
            };
            let recurrent = |gate: usize, unit: usize, state: &[f64]| {
                let column = gate * units + unit;
                let products =
                    state.iter().enumerate().map(|(at, h)| h * gru.recurrent[at * 3 * units + column]);
                gru.recurrent_bias[column] + products.sum::<f64>()
            };
            let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
            let gate = |gate: usize, unit: usize| sigmoid(input(gate, unit) + recurrent(gate, unit, &state));
            let reset: Vec<f64> = (0..units).map(|unit| gate(1, unit) * state[unit]).collect();
            let next = (0..units).map(|unit| {
                let hidden = if reset_after {
                    gate(1, unit) * recurrent(2, unit, &state)
                } else {
                    recurrent(2, unit, &reset)
                };
                let (update, new) = (gate(0, unit), libm::tanh(input(2, unit) + hidden));
                (1.0 - update) * new + update * state[unit]
            });
            state = next.collect();
        }
        for (unit, &expected) in state.iter().enumerate() {
            let layers = |all_steps: bool| {
                let last = all_steps.then_some(Layer::Global { how: Pool::Last });
                let gru = Layer::Gru(Gru { all_steps, ..gru.clone() });
                [gru].into_iter().chain(last).chain([Layer::Pick { channel: unit }]).collect()
            };
            let said = run(3, channels, layers(false), &rows).unwrap();
            assert!((said - expected).abs() < 1e-14, "{said} {expected}");
            assert_eq!(run(3, channels, layers(true), &rows), Some(said));
        }
    }
}

fn bound(model: &NetworkModel) -> (Spec, FileModel) {
    let bytes = model.file().encode();
    let whole = WindowModel::decode(&bytes).unwrap();
    assert_eq!(whole, WindowModel::network(model.clone()));
    let spec = WindowSpec::of(&bytes, &whole, [7; 20]);
    assert_eq!(Spec::decode("network", &Spec::Window(spec.clone()).params()), Ok(Spec::Window(spec.clone())));
    let opened = FileSpec::Window(spec.clone()).open(&bytes).unwrap();
    (Spec::Window(spec), opened)
}

#[test]
fn a_window_fills_and_moves_and_a_written_memory_has_the_same_future() {
    let model = network();
    let (spec, opened) = bound(&model);
    let (mut kept, mut copy) = (State::new(&spec), State::new(&spec));
    let (rows, width) = (model.layers().rows(), model.inputs().len());
    let mut draws = Draws(6);
    let course: Vec<Vec<f64>> =
        (0..60).map(|_| (0..width).map(|_| 4.0 * draws.share() - 2.0).collect()).collect();
    for (at, row) in course.iter().enumerate() {
        let bytes = copy.encode();
        copy = State::decode(&spec, &bytes).unwrap();
        assert!(copy.encode() == bytes && bytes.len() <= MAX_ROW_STATE_BYTES);
        let said = kept.step_row(&opened, at as i64, row).unwrap().unwrap();
        assert_eq!(copy.step_row(&opened, at as i64, row).unwrap().unwrap(), said);
        if at + 1 < rows {
            let why = format!("{} of the {rows} rows of its window so far", at + 1);
            assert_eq!((said.kind, said.reason), (VerdictKind::Learning, why));
        } else {
            let window = course[at + 1 - rows..=at].concat();
            assert_eq!((said.kind, said.value), (VerdictKind::Estimate, model.tell(&window)));
        }
    }
    assert_eq!(kept.encode().len(), 17 + 8 * width * (rows - 1));
}

#[test]
fn outputs_are_cut_and_said_in_words() {
    let told = |output: Output, bias: f64| {
        let layers = Layers::new(1, 1, vec![dense(&[0.0], &[bias], NONE)]).unwrap();
        let (spec, opened) = bound(&NetworkModel::new(vec!["s".into()], output, layers).unwrap());
        State::new(&spec).step_row(&opened, 1, &[1.0]).unwrap().unwrap()
    };
    let life = told(Output::RemainingLife { most: 100.0, unit: "h".into() }, 25.0);
    assert_eq!((life.kind, life.score_ppm), (VerdictKind::RemainingLife, 750_000));
    assert_eq!(told(Output::RemainingLife { most: 100.0, unit: "h".into() }, -3.0).value, Some(0.0));
    let risk = told(Output::FailureRisk { from: 0.5 }, 7.0);
    assert_eq!((risk.kind, risk.value, risk.score_ppm), (VerdictKind::FailureRisk, Some(1.0), 1_000_000));
    let plain = told(Output::Estimate { usual: None, unit: "Cel".into() }, 3.5);
    assert_eq!((plain.kind, plain.score_ppm), (VerdictKind::Estimate, 0));
    assert_eq!(plain.reason, "estimated 3.5 Cel");
    for (bias, score, word) in [(0.5, 1_000_000, "below"), (3.5, 0, "within"), (9.0, 1_000_000, "above")] {
        let said = told(Output::Estimate { usual: Some((1.0, 4.0)), unit: String::new() }, bias);
        assert_eq!((said.score_ppm, said.value), (score, Some(bias)));
        assert_eq!(said.reason, format!("estimated {bias}, {word} the usual 1 to 4"));
    }
}

#[test]
fn numbers_that_grow_too_large_are_no_verdict_and_no_memory_is_lost() {
    let big = f64::from(f32::MAX);
    let layers = vec![dense(&[big, -big], &[0.0, 0.0], Activation::Relu), dense(&[big, big], &[0.0], NONE)];
    let layers = Layers::new(1, 1, layers).unwrap();
    let output = Output::Estimate { usual: None, unit: String::new() };
    let (spec, opened) = bound(&NetworkModel::new(vec!["s".into()], output, layers).unwrap());
    let mut state = State::new(&spec);
    let said = state.step_row(&opened, 1, &[f64::MAX]).unwrap().unwrap();
    assert_eq!(said.kind, VerdictKind::Learning);
    assert!(said.reason.contains("too large"));
    assert!(state.step_row(&opened, 2, &[1e200]).unwrap().unwrap().kind == VerdictKind::Estimate);
}

#[test]
fn a_fixture_is_read_for_ever() {
    let layers = vec![
        dense(&[1.0, -2.0, 0.5, 4.0], &[0.0, 1.0], Activation::Tanh),
        dense(&[1.0, 1.0], &[0.5], Activation::Sigmoid),
    ];
    let layers = Layers::new(1, 2, layers).unwrap();
    let model =
        NetworkModel::new(["a", "b"].map(str::to_owned).to_vec(), Output::FailureRisk { from: 0.5 }, layers);
    let fixture = "544d444c 01 07 6e6574776f726b 04 06 696e70757473 00000003 612c62 \
         05 74656c6c73 0000000c 6661696c7572652d7269736b 06 6c696d697473 00000008 3fe0000000000000 \
         06 6c6179657273 00000036 544e4554 01 0001 0002 02 \
         01 0002 02 3f800000 c0000000 3f000000 40800000 00000000 3f800000 \
         01 0001 03 3f800000 3f800000 3f000000";
    assert_eq!(hex::encode(model.unwrap().file().encode()), fixture.replace(' ', ""));
}

#[test]
fn hostile_networks_are_refused_before_they_cost_anything() {
    let good = network().layers().encode();
    for length in 0..good.len() {
        assert!(Layers::decode(&good[..length]).is_err(), "{length}");
    }
    let refused = |text: &str| {
        let bytes = hex::decode(text.replace(' ', "")).unwrap();
        Layers::decode(&bytes).unwrap_err().to_string()
    };
    let head = "544e4554 01 ";
    assert!(refused("544e4553 01 0001 0001 01").contains("TNET"));
    assert!(refused(&format!("{head} 0000 0001 01")).contains("1 to 1024"));
    assert!(refused(&format!("{head} ffff ffff 01")).contains("1 to 1024"));
    assert!(refused(&format!("{head} 0001 0001 00")).contains("0 layers"));
    assert!(refused(&format!("{head} 0001 0001 ff")).contains("255 layers"));
    assert!(refused(&format!("{head} 0001 0001 01 09")).contains("kind 9"));
    assert!(refused(&format!("{head} 0001 0001 01 01 0001 05")).contains("activation 5"));
    assert!(refused(&format!("{head} 0001 0001 01 01 0000 00")).contains("0 numbers a step"));
    // A billion weights claimed by a few bytes.
    assert!(refused(&format!("{head} 0400 0400 01 01 0400 00")).contains("ends too early"));
    assert!(refused(&format!("{head} 0400 0400 01 06 0400 01")).contains("ends too early"));
    assert!(refused(&format!("{head} 0001 0001 01 06 0001 04")).contains("flags 4"));
    assert!(refused(&format!("{head} 0001 0001 01 04 00 02 01")).contains("over 2 steps; there are 1"));
    assert!(refused(&format!("{head} 0004 0001 01 04 00 00 01")).contains("zero"));
    assert!(refused(&format!("{head} 0004 0001 01 04 02 01 01")).contains("greatest or the mean"));
    assert!(refused(&format!("{head} 0002 0001 01 07 00")).contains("2 steps of 1 numbers come out"));
    assert!(refused(&format!("{head} 0001 0002 01 08 0002")).contains("number 2 of 2"));
    // NaN, and an infinite bias.
    assert!(refused(&format!("{head} 0001 0001 01 01 0001 00 7fc00000 00000000")).contains("not finite"));
    assert!(refused(&format!("{head} 0001 0001 01 01 0001 00 3f800000 7f800000")).contains("not finite"));
    assert!(
        refused(&format!("{head} 0001 0001 01 01 0001 00 3f800000 00000000 00")).contains("1 bytes behind")
    );

    let layers = |rows, inputs, layers| Layers::new(rows, inputs, layers);
    let activation = NONE;
    let wide = Layer::Conv {
        kernel: 1,
        stride: 1,
        dilation: 1,
        before: 0,
        behind: 0,
        weights: vec![0.0; 1_024],
        biases: vec![0.0; 1_024],
        activation,
    };
    let error = layers(1_024, 1, vec![wide]).unwrap_err().to_string();
    assert!(error.contains("1048576 numbers; at most 65536"), "{error}");
    let third = dense(&[0.1], &[0.0], NONE);
    assert!(layers(1, 1, vec![third]).unwrap_err().to_string().contains("32 bits"));

    // A whole file: too much work, too much memory, limits and names that say nothing.
    let file = |layers: Layers, output: Output| {
        let inputs = (0..layers.inputs()).map(|at| format!("s{at}")).collect();
        NetworkModel::new(inputs, output, layers).map(|model| model.file().encode())
    };
    let estimate = || Output::Estimate { usual: None, unit: String::new() };
    let refused = |bytes: Vec<u8>| WindowModel::decode(&bytes).unwrap_err().to_string();
    let heavy = Layer::Gru(Gru {
        units: 64,
        reset_after: true,
        all_steps: false,
        input: vec![0.0; 3 * 64],
        recurrent: vec![0.0; 64 * 3 * 64],
        input_bias: vec![0.0; 3 * 64],
        recurrent_bias: vec![0.0; 3 * 64],
    });
    let heavy = layers(512, 1, vec![heavy, Layer::Pick { channel: 0 }]).unwrap();
    assert!(refused(file(heavy, estimate()).unwrap()).contains("multiplications a row; at most 1000000"));
    let long = layers(1_024, 2, vec![Layer::Global { how: Pool::Last }, Layer::Pick { channel: 0 }]).unwrap();
    assert!(refused(file(long, estimate()).unwrap()).contains("2046 numbers to remember; at most 1024"));
    let plain = || layers(1, 1, vec![dense(&[1.0], &[0.0], NONE)]).unwrap();
    let wrong = |output: Output| file(plain(), output).unwrap_err().to_string();
    assert!(wrong(Output::FailureRisk { from: 1.5 }).contains("0 to 1"));
    assert!(wrong(Output::RemainingLife { most: f64::NAN, unit: "h".into() }).contains("above zero"));
    assert!(wrong(Output::Estimate { usual: Some((2.0, 1.0)), unit: String::new() }).contains("low <= high"));
    assert!(wrong(Output::Estimate { usual: None, unit: "x".repeat(17) }).contains("0 to 16 bytes"));
    let tells = ModelFile::new("network")
        .with("inputs", b"s".to_vec())
        .with("tells", b"fortune".to_vec())
        .with_numbers("limits", [1.0])
        .with("layers", plain().encode());
    assert!(refused(tells.encode()).contains("tells \"fortune\" with 1 limits"));
}
