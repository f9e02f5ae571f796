//! Models of rows that remember, drawn at random with a seed.
#![allow(dead_code, reason = "each user takes its part")]

use triad_models::trees::{Node, Trees};
use triad_models::window::life::{Course, Regimes};
use triad_models::window::network::{Activation, Gru, Layer, Layers, NetworkModel, Output, Pool};
use triad_models::window::{FailureModel, LifeModel};

/// A named generator (Knuth's MMIX constants), so that a failing draw repeats.
pub struct Draws(pub u64);

impl Draws {
    /// From 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Full trees of depth 4 with thresholds from `low` to `high`.
    pub fn trees(&mut self, features: usize, count: usize, low: f64, high: f64) -> Trees {
        let mut tree = |_| {
            let mut nodes: Vec<Node> = (0..15_u16)
                .map(|at| Node::Split {
                    feature: (self.share() * features as f64) as u16,
                    threshold: low + (high - low) * self.share(),
                    low: 2 * at + 1,
                    high: 2 * at + 2,
                })
                .collect();
            nodes.extend((0..16).map(|_| Node::Leaf(self.share() - 0.5)));
            nodes
        };
        let trees: Vec<Vec<Node>> = (0..count).map(&mut tree).collect();
        Trees::new(features as u16, 0.25, &trees).unwrap()
    }
}

/// Two regimes, four sensors of which one never moves.
pub fn life() -> LifeModel {
    let regime = |altitude: f64| [altitude, 0.0, 100.0, altitude, 1.0, 5.0, 7.0, 2.0, 0.5, 1.0, 0.0];
    let numbers: Vec<f64> = [4.0].into_iter().chain([0.0, 35.0].into_iter().flat_map(regime)).collect();
    let regimes = Regimes::from_numbers(&numbers).unwrap();
    assert_eq!((regimes.moving(), regimes.sensors()), (3, 4));
    let course = Course::new(regimes, vec![-8.0, 3.5, 12.0, 60.0]).unwrap();
    let trees = Draws(9).trees(course.features(), 60, -2.0, 90.0);
    LifeModel::new(course, trees).unwrap()
}

/// Cycles of an engine that wears out: settings, then sensors.
pub fn engine(cycles: usize) -> Vec<Vec<f64>> {
    let mut draws = Draws(3);
    let row = |cycle: usize| {
        let altitude = if cycle.is_multiple_of(3) { 35.0 } else { 0.0 };
        let wear = cycle as f64 / 60.0;
        let noise = [draws.share() - 0.5, draws.share() - 0.5, draws.share() - 0.5];
        vec![altitude, 0.0, 100.0, altitude + noise[0] + wear, 1.0 + noise[1], 5.0 + noise[2] - wear, 7.0]
    };
    (0..cycles).map(row).collect()
}

/// An ensemble a mode.
pub fn failures() -> FailureModel {
    let mut draws = Draws(4);
    let modes = (0..4).map(|_| draws.trees(10, 12, 0.0, 2.0)).collect();
    FailureModel::new(modes, vec![0.5, 0.5, 0.4, 0.5, 0.96]).unwrap()
}

/// A window of eight rows of three streams through a convolution, a pool, a recurrent unit and a dense layer.
pub fn network() -> NetworkModel {
    let mut draws = Draws(5);
    let mut some =
        |count: usize| -> Vec<f64> { (0..count).map(|_| f64::from((draws.share() - 0.5) as f32)).collect() };
    let layers = vec![
        Layer::Scale { offsets: some(3), factors: vec![1.0, 0.5, 2.0] },
        Layer::Conv {
            kernel: 3,
            stride: 1,
            dilation: 1,
            before: 1,
            behind: 1,
            weights: some(3 * 3 * 5),
            biases: some(5),
            activation: Activation::Relu,
        },
        Layer::Pool { how: Pool::Mean, kernel: 2, stride: 2 },
        Layer::Gru(Gru {
            units: 4,
            reset_after: true,
            all_steps: true,
            input: some(5 * 12),
            recurrent: some(4 * 12),
            input_bias: some(12),
            recurrent_bias: some(12),
        }),
        Layer::Gru(Gru {
            units: 3,
            reset_after: false,
            all_steps: false,
            input: some(4 * 9),
            recurrent: some(3 * 9),
            input_bias: some(9),
            recurrent_bias: some(9),
        }),
        Layer::Dense { weights: some(3 * 4), biases: some(4), activation: Activation::Tanh },
        Layer::Activate { activation: Activation::Softmax },
        Layer::Dense { weights: some(4), biases: some(1), activation: Activation::Identity },
    ];
    let output = Output::Estimate { usual: Some((-0.1, 0.1)), unit: "bar".into() };
    let inputs = ["a", "b", "c"].map(str::to_owned).to_vec();
    NetworkModel::new(inputs, output, Layers::new(8, 3, layers).unwrap()).unwrap()
}

/// Dense layers of so many inputs, then so many units each, in one row.
pub fn perceptron(inputs: usize, first: usize, second: usize) -> NetworkModel {
    let mut draws = Draws(14);
    let mut dense = |inputs: usize, outputs: usize, activation| {
        let mut some = |count: usize| (0..count).map(|_| f64::from((draws.share() - 0.5) as f32)).collect();
        Layer::Dense { weights: some(inputs * outputs), biases: some(outputs), activation }
    };
    let layers = vec![
        dense(inputs, first, Activation::Relu),
        dense(first, second, Activation::Tanh),
        dense(second, 1, Activation::Sigmoid),
    ];
    let names = (0..inputs).map(|at| format!("s{at}")).collect();
    let layers = Layers::new(1, inputs, layers).unwrap();
    NetworkModel::new(names, Output::FailureRisk { from: 0.5 }, layers).unwrap()
}
